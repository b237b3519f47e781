"""Gradient descent and its momenta."""

from __future__ import annotations

from lrcore.arrays import Array


def sgd(theta: Array, g: Array, /, keep: float, rate: float) -> None:
    """Gradient descent: Robbins & Monro 1951."""
    theta[...] = keep * theta - rate * g


def momentum(theta: Array, g: Array, b: Array, /, keep: float, mu: float, gain: float, rate: float) -> None:
    """Heavy-ball momentum: Polyak 1964; in this form Sutskever et al. 2013, eq. 1-2."""
    b[...] = mu * b + gain * g
    theta[...] = keep * theta - rate * b


def nesterov(
    theta: Array, g: Array, b: Array, /, keep: float, mu: float, gain: float, rate_g: float, rate_b: float
) -> None:
    """Nesterov's momentum, gradient taken at the parameters: Sutskever et al. 2013, eq. 3-4, shifted."""
    b[...] = mu * b + gain * g
    theta[...] = keep * theta - (rate_g * g + rate_b * b)
