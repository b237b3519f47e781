"""Rates adapted to the size of past gradients, element by element."""

from __future__ import annotations

import numpy as np

from lrcore.arrays import Array


def adagrad(theta: Array, g: Array, s: Array, /, keep: float, rate: float, eps_in: float, eps: float) -> None:
    """Duchi, Hazan & Singer 2011, the diagonal form of figure 1; an element without any gradient, nor eps, rests."""
    s[...] = s + g * g
    d = np.sqrt(s + eps_in) + eps
    theta[...] = keep * theta - np.where(d != 0.0, rate * g / d, 0.0)


def adadelta(
    theta: Array, g: Array, v: Array, u: Array, /, keep: float, rho: float, one_minus_rho: float, rate: float,
    eps: float,
) -> None:  # fmt: skip
    """Zeiler 2012, algorithm 1."""
    v[...] = rho * v + one_minus_rho * (g * g)
    d = np.sqrt(u + eps) / np.sqrt(v + eps) * g
    u[...] = rho * u + one_minus_rho * (d * d)
    theta[...] = keep * theta - rate * d


def rmsprop(
    theta: Array, g: Array, v: Array, /, keep: float, alpha: float, one_minus_alpha: float, rate: float,
    eps_in: float, eps: float,
) -> None:  # fmt: skip
    """Tieleman & Hinton 2012, lecture 6.5."""
    v[...] = alpha * v + one_minus_alpha * (g * g)
    theta[...] = keep * theta - rate * g / (np.sqrt(v + eps_in) + eps)


def rmsprop_momentum(
    theta: Array, g: Array, v: Array, b: Array, /, keep: float, alpha: float, one_minus_alpha: float,
    eps_in: float, eps: float, mu: float, gain: float, rate_d: float, rate_b: float,
) -> None:  # fmt: skip
    """RMSprop, its scaled gradient fed to momentum, heavy-ball or Nesterov's."""
    v[...] = alpha * v + one_minus_alpha * (g * g)
    d = gain * g / (np.sqrt(v + eps_in) + eps)
    b[...] = mu * b + d
    theta[...] = keep * theta - (rate_d * d + rate_b * b)


def rmsprop_centered(
    theta: Array, g: Array, v: Array, m: Array, /, keep: float, alpha: float, one_minus_alpha: float,
    center: float, rate: float, eps_in: float, eps: float,
) -> None:  # fmt: skip
    """Graves 2013, eq. 38-41 without momentum: scaled by the deviation, rounding kept from below zero."""
    v[...] = alpha * v + one_minus_alpha * (g * g)
    m[...] = alpha * m + one_minus_alpha * g
    theta[...] = keep * theta - rate * g / (np.sqrt(np.maximum(v - center * (m * m), 0.0) + eps_in) + eps)


def rmsprop_centered_momentum(
    theta: Array, g: Array, v: Array, m: Array, b: Array, /, keep: float, alpha: float, one_minus_alpha: float,
    center: float, eps_in: float, eps: float, mu: float, gain: float, rate_d: float, rate_b: float,
) -> None:  # fmt: skip
    """Graves 2013, eq. 38-41, rounding kept from below zero; or with Nesterov's momentum."""
    v[...] = alpha * v + one_minus_alpha * (g * g)
    m[...] = alpha * m + one_minus_alpha * g
    d = gain * g / (np.sqrt(np.maximum(v - center * (m * m), 0.0) + eps_in) + eps)
    b[...] = mu * b + d
    theta[...] = keep * theta - (rate_d * d + rate_b * b)
