"""Every rule x dtype x size: the reference and each build, one step of an optimizer on one array."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
import pytest
from conftest import BUILDS, TINY

import lrcore as lr
from lrcore import kernels
from lrcore.bench.cases import GROUPS, Case

SIZES = {"1 Ki": 1 << 10} if TINY else {"1 Ki": 1 << 10, "64 Ki": 1 << 16, "1 Mi": 1 << 20, "16 Mi": 1 << 24}
RULES = GROUPS["optimizers"]
CASES = {(case.name, size): replace(case, shapes=((size,),)) for case in RULES for size in SIZES.values()}


def make(case: Case, build: str) -> tuple[lr.Optimizer, np.ndarray, np.ndarray]:
    (params,), (grads,) = case.parameters(), case.gradients()
    with kernels.using(build):
        return case.make(params), params, grads


@lru_cache(maxsize=1)
def expected(name: str, size: int) -> np.ndarray:
    """The parameters after two steps of the reference."""
    opt, params, grads = make(CASES[name, size], "reference")
    opt.step(grads)
    opt.step(grads)
    return params


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    metafunc.parametrize(("name", "size", "build"), [
        pytest.param(case.name, size, build, id=f"{case.name}-{label}-{build}", marks=pytest.mark.benchmark(
            group=f"{case.name} {label}", disable_gc=True))
        for case in RULES for label, size in SIZES.items() for build in BUILDS
    ])  # fmt: skip


def test_step(benchmark: Any, name: str, size: int, build: str) -> None:
    opt, params, grads = make(CASES[name, size], build)
    opt.step(grads)
    opt.step(grads)
    np.testing.assert_array_equal(params, expected(name, size))
    iterations = 1 if TINY else max(1, (1 << 17) // size)
    rounds = 1 if TINY else max(5, min(50, (1 << 25) // size))
    benchmark.pedantic(opt.step, (grads,), iterations=iterations, rounds=rounds, warmup_rounds=1)
