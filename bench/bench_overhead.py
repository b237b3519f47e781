"""What a step costs beside the arithmetic: one small array, and many."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from conftest import BUILDS

import lrcore as lr
from lrcore import kernels


@pytest.mark.parametrize("build", [pytest.param(b, marks=pytest.mark.benchmark(group="AdamW 1,000")) for b in BUILDS])
def test_one_small_array(benchmark: Any, build: str) -> None:
    params = np.ones(1000, np.float32)
    grads = np.full(1000, 0.1, np.float32)
    with kernels.using(build):
        opt = lr.AdamW(params)
    benchmark(opt.step, grads)
    assert params.max() < 1


@pytest.mark.parametrize("structure", ["list", "buffer"])
@pytest.mark.parametrize("build", BUILDS)
def test_many_small_arrays(benchmark: Any, structure: str, build: str) -> None:
    benchmark.group = f"AdamW 200 x 64, {structure}"
    params: Any = [np.ones(64, np.float32) for _ in range(200)]
    grads: Any = [np.full(64, 0.1, np.float32) for _ in range(200)]
    if structure == "buffer":
        params = lr.ParameterBuffer(params)
        params.grads.flat.fill(0.1)
        grads = None
    with kernels.using(build):
        opt = lr.AdamW(params)
    benchmark(opt.step, grads)
    assert (params.flat if structure == "buffer" else params[-1]).max() < 1
