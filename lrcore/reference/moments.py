"""Descendants of Adam: other moments of past gradients."""

from __future__ import annotations

import numpy as np

from lrcore.arrays import Array


def adabelief(
    theta: Array, g: Array, m: Array, s: Array, /, keep: float, beta1: float, one_minus_beta1: float,
    beta2: float, one_minus_beta2: float, eps_in: float, rate_g: float, rate_m: float, root_of_s: float, eps: float,
) -> None:  # fmt: skip
    """Zhuang et al. 2020, algorithm 2; with ``root_of_s`` 0 and ``eps`` 1 a momentum that s does not divide."""
    m[...] = beta1 * m + one_minus_beta1 * g
    s[...] = beta2 * s + one_minus_beta2 * ((g - m) * (g - m)) + eps_in
    theta[...] = keep * theta - (rate_g * g + rate_m * m) / (root_of_s * np.sqrt(s) + eps)


def yogi(
    theta: Array, g: Array, m: Array, v: Array, /, keep: float, beta1: float, one_minus_beta1: float,
    one_minus_beta2: float, rate: float, eps: float,
) -> None:  # fmt: skip
    """Zaheer et al. 2018, algorithm 2."""
    m[...] = beta1 * m + one_minus_beta1 * g
    v[...] = v - one_minus_beta2 * (np.sign(v - g * g) * (g * g))
    theta[...] = keep * theta - rate * m / (np.sqrt(v) + eps)


def adan(
    theta: Array, g: Array, m: Array, d: Array, n: Array, previous: Array, /, keep: float, differs: float,
    beta1: float, one_minus_beta1: float, beta2: float, one_minus_beta2: float, gamma: float, beta3: float,
    one_minus_beta3: float, rate_m: float, rate_d: float, eps_in: float, eps: float,
) -> None:  # fmt: skip
    """Xie et al. 2022, algorithm 1; ``differs`` is 0 in the first step, before which there is no gradient."""
    delta = differs * (g - previous)
    m[...] = beta1 * m + one_minus_beta1 * g
    d[...] = beta2 * d + one_minus_beta2 * delta
    w = g + gamma * delta
    n[...] = beta3 * n + one_minus_beta3 * (w * w)
    previous[...] = g
    theta[...] = keep * theta - (rate_m * m + rate_d * d) / (np.sqrt(n + eps_in) + eps)


def ademamix(
    theta: Array, g: Array, m: Array, slow: Array, v: Array, /, keep: float, beta1: float,
    one_minus_beta1: float, beta2: float, one_minus_beta2: float, beta3: float, one_minus_beta3: float,
    rate_m: float, rate_slow: float, eps_in: float, eps: float,
) -> None:  # fmt: skip
    """Pagliardini et al. 2024, algorithm 1."""
    m[...] = beta1 * m + one_minus_beta1 * g
    slow[...] = beta3 * slow + one_minus_beta3 * g
    v[...] = beta2 * v + one_minus_beta2 * (g * g)
    theta[...] = keep * theta - (rate_m * m + rate_slow * slow) / (np.sqrt(v + eps_in) + eps)


def adopt(
    theta: Array, g: Array, m: Array, v: Array, /, keep: float, left: float, beta1: float,
    one_minus_beta1: float, beta2: float, one_minus_beta2: float, clip: float, rate_u: float, rate_m: float,
    eps: float,
) -> None:  # fmt: skip
    """Taniguchi et al. 2024, algorithm 2; v divides before it takes in this gradient."""
    u = np.minimum(np.maximum(g / np.maximum(np.sqrt(v), eps), -clip), clip)
    m[...] = beta1 * m + one_minus_beta1 * u
    v[...] = beta2 * v + one_minus_beta2 * (g * g)
    theta[...] = keep * (left * theta) - (rate_u * u + rate_m * m)


def acprop(
    theta: Array, g: Array, m: Array, s: Array, /, keep: float, beta1: float, one_minus_beta1: float,
    beta2: float, gain: float, eps_in: float, rate: float, root_of_s: float, eps: float,
) -> None:  # fmt: skip
    """Zhuang et al. 2021, algorithm 2: AdaBelief's s divides before it takes in this gradient; there, with the new m,
    g - m is beta1 times what it is here."""
    theta[...] = keep * theta - rate * g / (root_of_s * np.sqrt(s) + eps)
    s[...] = beta2 * s + gain * ((g - m) * (g - m)) + eps_in
    m[...] = beta1 * m + one_minus_beta1 * g
