"""Rates from sums over each array: trust ratios and normalized gradients."""

from __future__ import annotations

from lrcore.arrays import Array


def novograd(
    theta: Array, g: Array, m: Array, /, keep: float, beta1: float, share: float, norm: float, decay: float,
    rate: float,
) -> None:  # fmt: skip
    """Ginsburg et al. 2019, algorithm 1, from the norm of the array's gradients on."""
    m[...] = beta1 * m + share * (g / norm + decay * theta)
    theta[...] = keep * theta - rate * m
