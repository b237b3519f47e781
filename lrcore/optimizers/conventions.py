"""What the conventions of the optimizers are made of."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from lrcore.groups import Values
from lrcore.hyperparameters import Number
from lrcore.kernels import power

Betas = tuple[Number, Number]

KERAS = ("keras", "keras2")
REQUIRED: Any = None
"""In place of a default: the library has none."""


def given(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The hyperparameters among the arguments of a constructor, as ``locals()`` has them."""
    return {name: value for name, value in arguments.items() if name not in ("self", "params", "options", "__class__")}


def uses(h: Values, name: str) -> bool:
    """Whether there is a hyperparameter of this name, and it is not 0."""
    value = h.get(name, 0.0)
    return callable(value) or value != 0


def has_momentum(h: Values) -> bool:
    """Whether a velocity is kept."""
    return uses(h, "momentum")


def eps_pair(eps: float, inside: bool) -> tuple[float, float]:
    """The eps under the square root and the one beside it."""
    return (eps, 0.0) if inside else (0.0, eps)


def shares(beta1: float, t: int, nesterov: bool) -> tuple[float, float]:
    """What the gradient and its average m weigh in optax's first moment, corrected for the start of m at zero."""
    if nesterov:
        return (1.0 - beta1) / (1.0 - power(beta1, t)), beta1 / (1.0 - power(beta1, t + 1))
    return 0.0, 1.0 / (1.0 - power(beta1, t))


def corrected(h: Values, rate: float, t: int, share_g: float, share_m: float) -> tuple[float, ...]:
    """The coefficients of the rule ``nadam`` where v is corrected for its start at zero before eps is added to it."""
    beta1, beta2 = h["betas"]
    correction2 = 1.0 - power(beta2, t)
    root_correction2 = math.sqrt(correction2)
    rate *= root_correction2
    eps_in, eps = h.get("eps_root", 0.0) * correction2, h["eps"] * root_correction2
    return beta1, 1.0 - beta1, beta2, 1.0 - beta2, rate * share_g, rate * share_m, 1.0, eps_in, eps
