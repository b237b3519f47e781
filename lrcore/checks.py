"""Checks of arguments that are not hyperparameters: name, rule, value."""

from __future__ import annotations

import math
from collections.abc import Mapping
from numbers import Real
from typing import Any

import numpy as np


def real(name: str, value: Any) -> float:
    """``value`` as a float, NaN and infinities included; TypeError if it is not a number."""
    if not isinstance(value, Real) or isinstance(value, bool):
        raise TypeError(f"{name} must be a number, got {value!r}")
    try:
        return float(value)
    except OverflowError:
        raise ValueError(f"{name} must be within float64, got a number beyond it") from None


def at_least(name: str, value: Any, low: float) -> float:
    """A finite number from ``low`` up."""
    x = real(name, value)
    if not low <= x < math.inf:
        raise ValueError(f"{name} must be finite and >= {low:g}, got {x!r}")
    return x


def positive(name: str, value: Any) -> float:
    """A finite number above zero."""
    x = real(name, value)
    if not 0 < x < math.inf:
        raise ValueError(f"{name} must be finite and > 0, got {x!r}")
    return x


def fraction(name: str, value: Any, zero: bool = True) -> float:
    """A number from 0, itself allowed or not, to 1, which is not."""
    x = real(name, value)
    if not 0 <= x < 1 or (x == 0 and not zero):
        raise ValueError(f"{name} must be in {'[' if zero else '('}0, 1), got {x!r}")
    return x


def whole(name: str, value: Any, low: int) -> int:
    """An integer from ``low`` up."""
    if not isinstance(value, (int, np.integer)) or isinstance(value, bool):
        raise TypeError(f"{name} must be an integer, got {value!r}")
    if value < low:
        raise ValueError(f"{name} must be >= {low}, got {value}")
    return int(value)


def flag(name: str, value: Any) -> bool:
    """True or False."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be True or False, got {value!r}")
    return bool(value)


def one_of(name: str, value: Any, *words: str) -> str:
    """One of some words."""
    if not isinstance(value, str) or value not in words:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, words))}, got {value!r}")
    return value


def function(name: str, value: Any) -> Any:
    """Something that can be called."""
    if not callable(value):
        raise TypeError(f"{name} must be callable, got {value!r}")
    return value


def state(value: Any, keys: Mapping[str, Any]) -> None:
    """Raise unless ``value`` is a mapping with the keys that a ``state_dict`` has."""
    if not isinstance(value, Mapping):
        raise TypeError(f"state must be a mapping as state_dict gives, got {type(value).__name__}")
    for key in keys:
        if key not in value:
            raise ValueError(f"state must have the key {key!r}, got {', '.join(map(repr, value))}")
