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


def momentum_rule(h: Values) -> str:
    """The rule of descent with the momentum that these hyperparameters ask for."""
    if not has_momentum(h):
        return "sgd"
    return "nesterov" if h["nesterov"] else "momentum"


def check_nesterov(h: Values) -> None:
    """Raise if Nesterov's momentum is asked for with what torch refuses beside it."""
    if h["nesterov"] and (not has_momentum(h) or h["dampening"] != 0):
        raise ValueError(
            "nesterov must come with momentum > 0 and dampening 0, "
            f"got momentum {h['momentum']}, dampening {h['dampening']}"
        )


def rectification(beta2: float, t: int) -> tuple[float, float | None]:
    """rho of Liu et al. 2020, algorithm 2, and what then corrects for the variance of the second moment: known from 4
    on, else None."""
    left = power(beta2, t)
    most = 2.0 / (1.0 - beta2) - 1.0
    rho = most - 2.0 * t * left / (1.0 - left)
    if not rho >= 4.0 or most <= 4.0:
        return rho, None
    return rho, math.sqrt((rho - 4.0) * (rho - 2.0) * most / ((most - 4.0) * (most - 2.0) * rho))


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
