"""What the conventions of the optimizers are made of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lrcore.groups import Values
from lrcore.hyperparameters import Number

Betas = tuple[Number, Number]

KERAS = ("keras", "keras2")
REQUIRED: Any = None
"""In place of a default: the library has none."""


def given(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The hyperparameters among the arguments of a constructor, as ``locals()`` has them."""
    return {name: value for name, value in arguments.items() if name not in ("self", "params", "options", "__class__")}


def has_momentum(h: Values) -> bool:
    """Whether a velocity is kept."""
    return callable(h["momentum"]) or h["momentum"] != 0


def eps_pair(eps: float, inside: bool) -> tuple[float, float]:
    """The eps under the square root and the one beside it."""
    return (eps, 0.0) if inside else (0.0, eps)
