"""Adam's step from the gradient and its momentum together."""

from __future__ import annotations

import numpy as np

from lrcore.arrays import Array


def nadam(
    theta: Array, g: Array, m: Array, v: Array, /, keep: float, beta1: float, one_minus_beta1: float,
    beta2: float, one_minus_beta2: float, rate_g: float, rate_m: float, adaptive: float, eps_in: float, eps: float,
) -> None:  # fmt: skip
    """Dozat 2016, algorithm 2: Adam with Nesterov's momentum. Where ``adaptive`` is 0, v has no part in the step."""
    m[...] = beta1 * m + one_minus_beta1 * g
    v[...] = beta2 * v + one_minus_beta2 * (g * g)
    size = adaptive * np.sqrt(v + eps_in) if adaptive else 0.0
    theta[...] = keep * theta - (rate_g * g + rate_m * m) / (size + eps)


def qhadam(
    theta: Array, g: Array, m: Array, v: Array, /, keep: float, beta1: float, one_minus_beta1: float,
    beta2: float, one_minus_beta2: float, rate_g: float, rate_m: float, share_g: float, share_v: float, eps: float,
) -> None:  # fmt: skip
    """Ma & Yarats 2019: the gradient beside its average, and its square beside the average of squares."""
    m[...] = beta1 * m + one_minus_beta1 * g
    v[...] = beta2 * v + one_minus_beta2 * (g * g)
    theta[...] = keep * theta - (rate_g * g + rate_m * m) / (np.sqrt(share_g * (g * g) + share_v * v) + eps)
