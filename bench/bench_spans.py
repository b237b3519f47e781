"""What clipping by norm, moving averages and zeroing the gradient add to a step of 16 Mi elements."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from conftest import TINY

import lrcore as lr

SIZE = 1 << (10 if TINY else 24)


@pytest.mark.benchmark(group="AdamW float32, what surrounds the rule")
@pytest.mark.parametrize("tail", ["bare", "ema", "clip", "zero", "ema + clip + zero"])
def test_tail(benchmark: Any, tail: str) -> None:
    params = lr.ParameterBuffer({"w": np.ones(SIZE, np.float32)})
    options: dict[str, Any] = {}
    if "ema" in tail:
        options["ema"] = 0.999
    if "clip" in tail:
        options["clip_norm"] = 1.0
    opt = lr.AdamW(params, **options)
    params.grads.flat.fill(0.1)
    report = opt.step(zero_grad="zero" in tail)
    assert (report.grad_norm is not None) == ("clip" in tail)
    assert bool(params.grads.flat.any()) == ("zero" not in tail)
    benchmark.pedantic(opt.step, kwargs={"zero_grad": "zero" in tail}, rounds=1 if TINY else 30, warmup_rounds=1)
    assert params.flat.max() < 1
