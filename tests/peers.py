"""Long trajectories beside libraries that live on torch, and beside formulas written out: what their tests share.

130 steps in float64 over three arrays, on inputs where conventions differ: gradients of 1e-6 in the first steps, of
order 1 then, with steps of zeros, signs that alternate, signs that stay, and an element without any; a rate that
changes half-way.
"""

from __future__ import annotations

import os
import sys
import types
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest
from conventions import initial_parameters

import lrcore as lr

STEPS = 130
RATES = (0.05, 0.013)

Arrays = list[np.ndarray]
Update = Callable[[np.ndarray, np.ndarray, dict[str, Any], int, float], np.ndarray]
"""One array by a formula: the parameter, its gradient, what is remembered (at first nothing), t, the rate."""


def _gradients() -> list[Arrays]:
    rng = np.random.default_rng(7)
    every = []
    for step in range(STEPS):
        size = 1e-6 if step < 5 else 1.0
        first, second, last = (size * rng.standard_normal(p.shape) for p in initial_parameters())
        first[0] = 0.0
        if step in (3, 12, 13, 101):
            first[:] = 0.0
        if 30 <= step < 60:
            last = np.abs(last)
        every.append([first, np.abs(second) * (-1.0) ** step, last])
    return every


GRADIENTS = _gradients()


def rate(step: int) -> float:
    """The learning rate at a step, counted from 0."""
    return RATES[step >= STEPS // 2]


def ours(cls: type[lr.Optimizer], **hyper: Any) -> np.ndarray:
    """Parameters after every step, a row each."""
    params = initial_parameters()
    opt = cls(params, lr=rate(0), **hyper)  # type: ignore[call-arg, arg-type]
    rows = []
    for step, grads in enumerate(GRADIENTS):
        opt.lr = rate(step)
        opt.step([g.copy() for g in grads])
        rows.append(np.concatenate([p.ravel() for p in params]))
    return np.array(rows)


def torchs(factory: Callable[..., Any], *, gradients: list[Arrays] = GRADIENTS, **hyper: Any) -> np.ndarray:
    """The same, or with other gradients, by an optimizer that is one of torch's kind."""
    import torch

    tensors = [torch.from_numpy(p) for p in initial_parameters()]
    opt = factory(tensors, lr=rate(0), **hyper)
    rows = []
    for step, grads in enumerate(gradients):
        opt.param_groups[0]["lr"] = rate(step)
        for tensor, g in zip(tensors, grads, strict=True):
            tensor.grad = torch.from_numpy(g.copy())
        opt.step()
        rows.append(np.concatenate([tensor.numpy().ravel() for tensor in tensors]))
    return np.array(rows)


def formula(update: Update) -> np.ndarray:
    """The same by a formula."""
    params, states = initial_parameters(), [dict[str, Any]() for _ in initial_parameters()]
    rows = []
    for step, grads in enumerate(GRADIENTS):
        params = [
            update(theta, g, state, step + 1, rate(step)) for theta, g, state in zip(params, grads, states, strict=True)
        ]
        rows.append(np.concatenate([p.ravel() for p in params]))
    return np.array(rows)


def assert_agree(one: np.ndarray, other: np.ndarray, rtol: float = 1e-9) -> None:
    """Two trajectories agree, and move."""
    assert np.isfinite(other).all()
    assert np.abs(other[-1] - other[0]).max() > 1e-3
    np.testing.assert_allclose(one, other, rtol=rtol, atol=1e-3 * rtol)


def timm(module: str) -> Any:
    """A module of ``timm.optim``, by itself: timm as a whole needs torchvision."""
    pytest.importorskip("torch")
    spec = find_spec("timm") if "timm" not in sys.modules else sys.modules["timm"].__spec__
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("timm not installed")
    before = {name: sys.modules.pop(name) for name in list(sys.modules) if name.partition(".")[0] == "timm"}
    try:
        (root,) = spec.submodule_search_locations
        for name, path in (("timm", root), ("timm.optim", os.path.join(root, "optim"))):
            package = types.ModuleType(name)
            package.__path__ = [path]
            sys.modules[name] = package
        return import_module(f"timm.optim.{module}")
    finally:
        for name in list(sys.modules):
            if name.partition(".")[0] == "timm":
                del sys.modules[name]
        sys.modules.update(before)
