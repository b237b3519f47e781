"""Checks of arguments: each returns the value or raises with name, rule, value."""

from __future__ import annotations

import math
from collections.abc import Mapping
from numbers import Real
from typing import Any

import numpy as np

_RULES = {"(-inf, inf)": "finite", "[0, inf)": "finite and >= 0", "(0, inf)": "finite and > 0"}


def number(name: str, value: Any, interval: str = "") -> float:
    """``value`` as a float if it lies in the interval, like ``"[0, 1)"``; without one any will do, NaN too."""
    if not isinstance(value, Real) or isinstance(value, bool):
        raise TypeError(f"{name} must be a number, got {value!r}")
    try:
        x = float(value)
        got = repr(x)
    except OverflowError:
        x, got = math.nan, "a number beyond float64"
        interval = interval or "(-inf, inf)"
    if not interval:
        return x
    low, high = map(float, interval[1:-1].split(","))
    if low < x < high or (x == low and interval[0] == "[") or (x == high and interval[-1] == "]"):
        return x
    raise ValueError(f"{name} must be {_RULES.get(interval, f'in {interval}')}, got {got}")


def whole(name: str, value: Any, low: int) -> int:
    """An integer from ``low`` up."""
    if not isinstance(value, (int, np.integer)) or isinstance(value, bool):
        raise TypeError(f"{name} must be an integer, got {value!r}")
    if value < low:
        raise ValueError(f"{name} must be >= {low}, got {value}")
    return int(value)


def flag(name: str, value: Any) -> bool:
    """``value`` if it is a bool."""
    if not isinstance(value, bool):
        raise TypeError(f"{name} must be True or False, got {value!r}")
    return value


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
