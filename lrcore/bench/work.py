"""What goes on between two steps of a training loop: matrix products, in NumPy or in torch.

Two layers of width H on a batch of B. What the backward pass starts from is held fixed, so that a run of any length
computes with numbers of ordinary size. In NumPy these are four products: two forward, and one for the gradient of each
weight matrix.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

import numpy as np

from lrcore.arrays import Array
from lrcore.bench.cases import Case


def make(case: Case, params: Sequence[Array], grads: Sequence[Array]) -> Callable[[], object]:
    """A function that reads the two weight matrices and writes their gradients."""
    rng = np.random.default_rng(2)
    width = case.shapes[0][0]
    x, d = (rng.standard_normal((case.batch, width)).astype(case.dtype) for _ in range(2))
    return (_numpy if case.work == "numpy" else _torch)(x, d, params, grads)


def _numpy(x: Array, d: Array, params: Sequence[Array], grads: Sequence[Array]) -> Callable[[], object]:
    h, y = np.empty_like(x), np.empty_like(x)

    def work() -> None:
        np.matmul(x, params[0], out=h)
        np.matmul(h, params[1], out=y)
        np.matmul(h.T, d, out=grads[1])
        np.matmul(x.T, d, out=grads[0])

    return work


def _torch(x: Array, d: Array, params: Sequence[Array], grads: Sequence[Array]) -> Callable[[], object]:
    torch: Any = import_module("torch")
    inputs, ends = torch.from_numpy(x), torch.from_numpy(d)
    weights = [torch.from_numpy(p).requires_grad_() for p in params]
    for weight, grad in zip(weights, grads, strict=True):
        weight.grad = torch.from_numpy(grad)

    def work() -> None:
        for weight in weights:
            weight.grad.zero_()
        output = torch.relu(inputs @ weights[0]) @ weights[1]
        output.backward(ends)

    return work
