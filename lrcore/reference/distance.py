"""Rates from the distance that parameters have come: DoG, D-Adaptation, Prodigy."""

from __future__ import annotations

import numpy as np

from lrcore.arrays import Array


def away(theta: Array, g: Array, start: Array, /) -> None:
    """A look: how far parameters have come."""
    theta[...] = theta - start


def gathered(theta: Array, g: Array, s: Array, /) -> None:
    """A look: the weighted sum of past gradients."""
    theta[...] = s


def gathered_size(theta: Array, g: Array, s: Array, /, beta3: float, gain_s: float) -> None:
    """A look: sizes of the weighted sum of gradients, this one included."""
    theta[...] = np.abs(beta3 * s + gain_s * g)


def gathered_direction(theta: Array, g: Array, v: Array, s: Array, /, eps: float) -> None:
    """A look: the weighted sum of past gradients over the root of their mean square."""
    theta[...] = s / (np.sqrt(v) + eps)


def dadapt_sgd(
    theta: Array, g: Array, s: Array, start: Array, /, keep: float, mu: float, one_minus_mu: float, gain: float
) -> None:  # fmt: skip
    """Defazio & Mishchenko 2023, algorithm 4: dual averaging from ``start``, averaged as momentum is."""
    s[...] = s + gain * g
    theta[...] = keep * (mu * theta + one_minus_mu * (start - s))


def prodigy(
    theta: Array, g: Array, m: Array, v: Array, s: Array, /, keep: float, beta1: float, gain_m: float, beta2: float,
    gain_v: float, beta3: float, gain_s: float, rate: float, eps: float,
) -> None:  # fmt: skip
    """Mishchenko & Defazio 2023, algorithm 4; with other gains Defazio & Mishchenko 2023, algorithm 5."""
    m[...] = beta1 * m + gain_m * g
    v[...] = beta2 * v + gain_v * (g * g)
    s[...] = beta3 * s + gain_s * g
    theta[...] = keep * theta - rate * m / (np.sqrt(v) + eps)
