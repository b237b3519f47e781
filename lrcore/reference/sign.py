"""Rates that the sign of a gradient, or of its momentum, decides."""

from __future__ import annotations

import numpy as np

from lrcore.arrays import Array


def sign(theta: Array, g: Array, /, keep: float, rate: float) -> None:
    """Bernstein et al. 2018, algorithm 1."""
    theta[...] = keep * theta - rate * np.sign(g)


def lion(
    theta: Array, g: Array, m: Array, /, keep: float, beta1: float, one_minus_beta1: float, beta2: float,
    one_minus_beta2: float, rate: float,
) -> None:  # fmt: skip
    """Chen et al. 2023, algorithm 2; with beta1 = beta2, Bernstein et al. 2018, algorithm 2."""
    c = beta1 * m + one_minus_beta1 * g
    m[...] = beta2 * m + one_minus_beta2 * g
    theta[...] = keep * theta - rate * np.sign(c)


def rprop(
    theta: Array, g: Array, previous: Array, s: Array, /, keep: float, start: float, eta_minus: float,
    eta_plus: float, low: float, high: float,
) -> None:  # fmt: skip
    """Igel & Huesken 2000, iRprop-; ``start`` is the step size before the first step, later 0; ``previous`` is the
    sign of the gradient before, 0 where it had turned."""
    now = np.sign(g)
    agree = now * previous
    turned = np.maximum(-agree, 0)
    factor = np.maximum(agree, 0) * eta_plus + turned * eta_minus + (1 - np.abs(agree))
    s[...] = np.minimum(np.maximum((s + start) * factor, low), high)
    previous[...] = now * (1 - turned)
    theta[...] = keep * theta - s * previous
