"""Looks of Adam whose rate in each array follows from the step that it would take there."""

from __future__ import annotations

import numpy as np

from lrcore.arrays import Array


def update_rms(
    theta: Array, g: Array, v: Array, /, beta2: float, one_minus_beta2: float, floor: float, eps: float
) -> None:  # fmt: skip
    """A look: the gradient over the root of its mean square, as Wortsman et al. 2023, algorithm 2, measure it."""
    v[...] = beta2 * v + one_minus_beta2 * (g * g)
    theta[...] = g / (np.maximum(np.sqrt(v), floor) + eps)
