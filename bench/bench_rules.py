"""Every rule x dtype x size: the reference and each build, one step of an optimizer on one array."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np
import pytest
from conftest import BUILDS, TINY

import lrcore as lr
from lrcore import base, kernels, reference
from lrcore.bench.cases import by_rule

# An optimizer that uses the rule.
OPTIMIZERS: dict[str, tuple[type[lr.Optimizer], Mapping[str, Any]]] = {
    rule: (base.registered()[name], hyper) for rule, (name, hyper) in by_rule().items()
}
assert OPTIMIZERS.keys() == reference.RULES.keys()

SIZES = {"1 Ki": 1 << 10} if TINY else {"1 Ki": 1 << 10, "64 Ki": 1 << 16, "1 Mi": 1 << 20, "16 Mi": 1 << 24}


def make(rule: str, build: str, dtype: str, size: int) -> tuple[lr.Optimizer, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    params = rng.standard_normal(size, dtype=dtype)
    grads = rng.standard_normal(size, dtype=dtype)
    cls, hyper = OPTIMIZERS[rule]
    with kernels.using(build):
        return cls(params, **hyper), params, grads


@lru_cache(maxsize=1)
def expected(rule: str, dtype: str, size: int) -> np.ndarray:
    """The parameters after two steps of the reference."""
    opt, params, grads = make(rule, "reference", dtype, size)
    opt.step(grads)
    opt.step(grads)
    return params


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    cases = [
        pytest.param(rule, dtype, size, build, id=f"{rule}-{dtype}-{label}-{build}", marks=pytest.mark.benchmark(
            group=f"{rule} {dtype} {label}", disable_gc=True))
        for rule in OPTIMIZERS for dtype in ("float32", "float64") for label, size in SIZES.items()
        for build in BUILDS
    ]  # fmt: skip
    metafunc.parametrize(("rule", "dtype", "size", "build"), cases)


def test_step(benchmark: Any, rule: str, dtype: str, size: int, build: str) -> None:
    opt, params, grads = make(rule, build, dtype, size)
    opt.step(grads)
    opt.step(grads)
    np.testing.assert_array_equal(params, expected(rule, dtype, size))
    iterations = 1 if TINY else max(1, (1 << 17) // size)
    rounds = 1 if TINY else max(5, min(50, (1 << 25) // size))
    benchmark.pedantic(opt.step, (grads,), iterations=iterations, rounds=rounds, warmup_rounds=1)
