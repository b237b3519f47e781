"""What a training loop and a plot wait for: one value of a schedule, and a million.

    pytest bench/bench_schedules.py

The limits that the last tests assert are those of the project: a value in at most 1 microsecond for every class, 2
with a composition around it, and a million cosine values at least twice as fast as the NumPy expression.
"""

from __future__ import annotations

import copy
import os
import subprocess
import sys
import timeit
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import TINY

from lrcore import kernels, schedules
from lrcore.schedules import (
    Constant,
    CosineCycles,
    CosineDecay,
    CosineRestarts,
    Custom,
    Cyclic,
    ExponentialDecay,
    InverseSqrt,
    InverseTimeDecay,
    Join,
    Linear,
    OneCycle,
    PiecewiseConstant,
    PolynomialDecay,
    PowerDecay,
    Rex,
    Schedule,
    StepDecay,
    Table,
    Tanh,
    WarmupStableDecay,
)

CLASSES: list[Schedule] = [
    Constant(0.1),
    Linear(0.1, 0, 1000),
    PolynomialDecay(0.1, 0.01, 1000, power=2.5),
    ExponentialDecay(0.1, 0.99, 10, staircase=True),
    InverseTimeDecay(0.1, 1e-6),
    StepDecay(0.1, 0.5, 30),
    PiecewiseConstant([100, 600], [0.1, 0.01, 0.001]),
    CosineDecay(0.1, 1000),
    CosineRestarts(0.1, 100),
    OneCycle(0.1, 1000),
    Cyclic(0.01, 0.1, 100, mode="exp_range", gamma=0.999),
    InverseSqrt(0.1, 400),
    WarmupStableDecay(0.1, 100, 300, 600),
    Rex(0.1, 1000),
    PowerDecay(0.1, 0.5),
    CosineCycles(0.1, 1000, 2.5),
    Tanh(0.1, 1000),
    Table([0, 100, 1000], [0.0, 0.1, 0.01], "cosine"),
    Join([Constant(0.1), Linear(0.1, 0, 500)], [500]),
    Custom(lambda step: 0.1),
]
COMPOSED: list[Schedule] = [
    CosineDecay(0.1, 1000).with_warmup(500),
    2 * CosineDecay(0.1, 1000),
    CosineDecay(0.1, 1000) * StepDecay(1, 0.5, 30),
    CosineDecay(0.1, 1000).clip(0.01, 0.09),
    CosineDecay(0.1, 100).repeat(10),
    CosineDecay(0.1, 1000) + 0.01,
    CosineDecay(0.1, 1000).shift(100),
    CosineDecay(0.1, 100).every(10),
]
MILLION = np.arange(1_000 if TINY else 1_000_000)
COSINE = CosineDecay(0.3, 1_000_000, final=0.01)


def numpy_cosine(steps: np.ndarray) -> np.ndarray:
    """The expression that one writes without a library."""
    return 0.01 + (0.3 - 0.01) * 0.5 * (1 + np.cos(np.pi * np.minimum(steps, 1_000_000) / 1_000_000))


def numpy_exponential(steps: np.ndarray) -> np.ndarray:
    return 0.1 * 0.99999 ** (steps / 10)


def on(build: str, schedule: Schedule) -> Schedule:
    with kernels.using(build):
        return copy.deepcopy(schedule)


def name(schedule: Schedule) -> str:
    return type(schedule).__name__


@pytest.mark.parametrize("schedule", [*CLASSES, *COMPOSED], ids=name)
def test_one_value(benchmark: Any, schedule: Schedule) -> None:
    benchmark.group = "one value"
    assert benchmark(schedule, 567) == schedule(np.array([567]))[0]


def test_one_value_of_a_torch_scheduler(benchmark: Any) -> None:
    torch = pytest.importorskip("torch")
    benchmark.group = "one value"
    opt = torch.optim.SGD([torch.zeros(1)], lr=0.1)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(opt, T_max=10**9)
    opt.step()
    benchmark(scheduler.step)
    assert 0.099 < opt.param_groups[0]["lr"] <= 0.1


@pytest.mark.parametrize("build", ["numpy", *kernels.compiled()])
def test_a_million_cosine_values(benchmark: Any, build: str) -> None:
    benchmark.group = "a million cosine values"
    function: Callable[..., Any] = numpy_cosine if build == "numpy" else on(build, COSINE)
    np.testing.assert_allclose(benchmark(function, MILLION), numpy_cosine(MILLION), rtol=1e-13)


@pytest.mark.parametrize("build", ["numpy", *kernels.compiled()])
def test_a_million_exponential_values(benchmark: Any, build: str) -> None:
    benchmark.group = "a million exponential values"
    schedule = ExponentialDecay(0.1, 0.99999, 10)
    function: Callable[..., Any] = numpy_exponential if build == "numpy" else on(build, schedule)
    np.testing.assert_allclose(benchmark(function, MILLION), numpy_exponential(MILLION), rtol=1e-13)


@pytest.mark.skipif(TINY or not kernels.compiled(), reason="the limits are those of compiled code, on a quiet machine")
def test_one_value_of_every_class_takes_at_most_a_microsecond() -> None:
    assert {type(s) for s in CLASSES + COMPOSED} == {
        cls for cls in schedules.REGISTRY.values() if cls.__module__.startswith("lrcore.schedules.")
    }
    for limit, group in ((1e-6, CLASSES), (2e-6, COMPOSED)):
        for schedule in group:
            again = on(kernels.compiled()[-1], schedule)
            seconds = min(timeit.repeat(lambda s=again: s(567), number=2000, repeat=20)) / 2000  # type: ignore[misc]
            assert seconds <= limit, f"{schedule}: {seconds * 1e9:.0f} ns"


@pytest.mark.skipif(TINY or not kernels.compiled(), reason="the limits are those of compiled code, on a quiet machine")
def test_a_million_cosine_values_take_at_most_half_the_time_of_numpy() -> None:
    ours = on(kernels.compiled()[-1], COSINE)
    best = {"numpy": float("inf"), "lrcore": float("inf")}
    for _ in range(20):
        best["numpy"] = min(best["numpy"], timeit.timeit(lambda: numpy_cosine(MILLION), number=1))
        best["lrcore"] = min(best["lrcore"], timeit.timeit(lambda: ours(MILLION), number=1))
    assert best["lrcore"] <= best["numpy"] / 2, best


@pytest.mark.skipif(TINY, reason="the limit is that of a quiet machine")
def test_import_is_cheap(tmp_path: Path) -> None:
    """Processor time of ``import lrcore.schedules`` after NumPy and the rest of lrcore: at most 10 ms."""
    code = "import time, lrcore; t = time.process_time(); import lrcore.schedules; print(time.process_time() - t)"
    env = {**os.environ, "PYTHONPYCACHEPREFIX": str(tmp_path), "PYTHONDONTWRITEBYTECODE": ""}
    command = [sys.executable, "-P", "-c", code]
    runs = [subprocess.run(command, env=env, capture_output=True, text=True, check=True) for _ in range(6)]
    assert min(float(run.stdout) for run in runs) < 0.01
