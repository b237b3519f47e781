"""AdamW and its kin in lrcore and in other libraries: a group for each case, a row for each implementation.

    make bench-peers
    make bench-peers ARGS='-k "gpt2 or tail"'

All rows of a run share a process here, and with it each other's idle threads; the ratios that we quote come from
``lrcore bench --peers``, which gives every implementation a process of its own. An implementation whose library is
not installed, or does not run here, is skipped with the reason.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from typing import Any

import pytest
from conftest import TINY

from lrcore.bench import implementations, work
from lrcore.bench.cases import CASES, GROUPS, Case

SIZES = ("1Ki", "64Ki", "1Mi", "16Mi")
CHOSEN = [CASES[name] for name in SIZES] + [
    case for group in ("small", "models", "tail", "in-turn", "optimizers") for case in GROUPS[group]
]

pytestmark = pytest.mark.filterwarnings("ignore")  # of other libraries


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    metafunc.parametrize(("case", "implementation"), [
        pytest.param(case, name, id=f"{case.name}-{name}", marks=pytest.mark.benchmark(group=case.name))
        for case in CHOSEN for name in case.contenders
    ])  # fmt: skip


@pytest.fixture
def made(case: Case, implementation: str) -> Iterator[implementations.Implementation]:
    reason = implementations.missing(implementation, case)
    if reason:
        pytest.skip(reason)
    try:
        yield implementations.make(implementation, case.tiny() if TINY else case, threads=2)
    except (ImportError, RuntimeError, OSError) as error:
        pytest.skip(f"{implementation} does not run here: {error}")
    gc.collect()


def test_step(benchmark: Any, case: Case, implementation: str, made: implementations.Implementation) -> None:
    case = case.tiny() if TINY else case
    step = made.step
    if case.kind == "turn":
        before = work.make(case, made.params, made.grads)
        before()

        def step() -> None:
            before()
            made.step()

    implementations.prove(implementation, made, case)
    rounds = 1 if TINY else max(5, min(200, (1 << 26) // case.elements))
    benchmark.pedantic(step, setup=made.prepare, rounds=rounds, iterations=1, warmup_rounds=1)
