"""Averages of iterates, and sums of gradients: dual averaging, schedule-free and follow-the-leader methods."""

from __future__ import annotations

import numpy as np

from lrcore.arrays import Array


def cube_root(x: Array) -> Array:
    """The cube root, within a unit in the last place: from a guess in the bits, Halley's steps in double precision."""
    a = np.abs(x).astype(np.float64)
    large, small = a > 1e200, a < 1e-200
    a = a * np.where(large, 2.0**-300, np.where(small, 2.0**300, 1.0))  # so that a cube neither overflows nor vanishes
    y = (((a.view(np.uint64) >> 32) * 0x55555556 >> 32) + 715094163 << 32).view(np.float64)  # a third of the exponent
    for _ in range(2 if x.dtype == np.float32 else 3):
        c = y * y * y
        y = y + y * ((a - c) / (c + c + a))
    y = y * np.where(large, 2.0**100, np.where(small, 2.0**-100, 1.0))
    root: Array = np.where((x != 0) & (np.abs(x) < np.inf), np.where(x < 0, -y, y), x).astype(x.dtype)
    return root


def asgd(
    theta: Array, g: Array, ax: Array, /, keep: float, shrink: float, rate: float, mu: float,
) -> None:  # fmt: skip
    """Polyak & Juditsky 1992, with a rate that falls; where mu is 1, the average begins anew."""
    theta[...] = keep * (shrink * theta) - rate * g
    ax[...] = theta if mu == 1.0 else ax + mu * (theta - ax)


def ftrl(
    theta: Array, g: Array, n: Array, z: Array, /, keep: float, of_root: float, of_n: float, of_one: float,
    per_rate: float, shrinkage: float, l1: float, l2: float,
) -> None:  # fmt: skip
    """McMahan et al. 2013, algorithm 1, its root of n one of three powers; an element without any gradient rests."""
    before = of_root * np.sqrt(n) + of_n * n + of_one
    n[...] = n + g * g
    after = of_root * np.sqrt(n) + of_n * n + of_one
    w = keep * theta
    z[...] = z + ((g + shrinkage * w) - (after - before) * per_rate * w)
    quadratic = after * per_rate + l2
    theta[...] = np.where(quadratic != 0.0, (np.clip(z, -l1, l1) - z) / quadratic, w)


def schedule_free(
    theta: Array, g: Array, z: Array, /, keep: float, first: float, stay: float, pull: float, rate: float,
    rate_z: float,
) -> None:  # fmt: skip
    """Defazio et al. 2024, eq. 3-5 with theta as y, and x taken out."""
    y = keep * theta
    base = theta.copy() if first else z
    theta[...] = stay * y + pull * base - rate * g
    z[...] = base - rate_z * g


def schedule_free_adam(
    theta: Array, g: Array, v: Array, z: Array, /, keep: float, first: float, stay: float, pull: float, rate: float,
    rate_z: float, beta2: float, one_minus_beta2: float, root_share: float, eps: float, decay: float,
) -> None:  # fmt: skip
    """Defazio et al. 2024, algorithm 1 with theta as y, and x taken out."""
    y = keep * theta
    base = theta.copy() if first else z
    v[...] = beta2 * v + one_minus_beta2 * (g * g)
    u = g / (root_share * np.sqrt(v) + eps) + decay * y
    theta[...] = stay * y + pull * base - rate * u
    z[...] = base - rate_z * u


def madgrad(
    theta: Array, g: Array, q: Array, s: Array, x0: Array, /, keep: float, first: float, weight: float, eps: float,
    mu: float, one_minus_mu: float,
) -> None:  # fmt: skip
    """Defazio & Jelassi 2021, algorithm 1; an element without any gradient, nor eps, is drawn to where it began."""
    if first:
        x0[...] = theta
    q[...] = q + weight * (g * g)
    s[...] = s + weight * g
    d = cube_root(q) + eps
    theta[...] = mu * (keep * theta) + one_minus_mu * (x0 - np.where(d != 0.0, s / d, 0.0))


def madgrad_plain(
    theta: Array, g: Array, q: Array, s: Array, /, keep: float, weight: float, eps: float,
) -> None:  # fmt: skip
    """Without momentum: where it began is where it stands without the steps so far."""
    d = cube_root(q) + eps
    x0 = keep * theta + np.where(d != 0.0, s / d, 0.0)
    q[...] = q + weight * (g * g)
    s[...] = s + weight * g
    d = cube_root(q) + eps
    theta[...] = x0 - np.where(d != 0.0, s / d, 0.0)
