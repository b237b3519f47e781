"""Moving averages of a long sequence and of wide rows, and what one update costs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from conftest import BUILDS

import lrcore as lr
from lrcore import kernels

SHAPES = {"100,000 numbers": (100_000,), "100 rows of 10,000": (100, 10_000)}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("build", [BUILDS[-1], "reference"])
def test_ewma(benchmark: Any, shape: str, build: str) -> None:
    benchmark.group = f"ewma {shape}"
    x = np.random.default_rng(0).standard_normal(SHAPES[shape])
    with kernels.using("reference"):
        expected = lr.ewma(x, 0.99)
    with kernels.using(build):
        np.testing.assert_array_equal(benchmark(lr.ewma, x, 0.99), expected)


def test_one_update(benchmark: Any) -> None:
    average = lr.MovingAverage(0.99)
    benchmark(average.update, 1.0)
    assert average.value == pytest.approx(1.0)
