"""Adam and its kin: momentum over a size of past gradients."""

from __future__ import annotations

import numpy as np

from lrcore.arrays import Array


def adam(
    theta: Array, g: Array, m: Array, v: Array, /, keep: float, beta1: float, one_minus_beta1: float,
    beta2: float, one_minus_beta2: float, rate: float, eps: float,
) -> None:  # fmt: skip
    """Kingma & Ba 2015, algorithm 1 in the order given at the end of its section 2."""
    m[...] = beta1 * m + one_minus_beta1 * g
    v[...] = beta2 * v + one_minus_beta2 * (g * g)
    theta[...] = keep * theta - rate * m / (np.sqrt(v) + eps)


def amsgrad(
    theta: Array, g: Array, m: Array, v: Array, v_max: Array, /, keep: float, beta1: float,
    one_minus_beta1: float, beta2: float, one_minus_beta2: float, correction: float, rate: float, eps_in: float,
    eps: float,
) -> None:  # fmt: skip
    """Reddi, Kale & Kumar 2018, algorithm 2; ``correction`` multiplies v before it is compared."""
    m[...] = beta1 * m + one_minus_beta1 * g
    v[...] = beta2 * v + one_minus_beta2 * (g * g)
    v_max[...] = np.maximum(v_max, correction * v)
    theta[...] = keep * theta - rate * m / (np.sqrt(v_max + eps_in) + eps)


def adamax(
    theta: Array, g: Array, m: Array, u: Array, /, keep: float, beta1: float, one_minus_beta1: float,
    beta2: float, rate: float, eps_in: float, eps: float,
) -> None:  # fmt: skip
    """Kingma & Ba 2015, algorithm 2."""
    m[...] = beta1 * m + one_minus_beta1 * g
    u[...] = np.maximum(beta2 * u, np.abs(g) + eps_in)
    theta[...] = keep * theta - rate * m / (u + eps)
