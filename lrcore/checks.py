"""Checks of arguments: each returns the value in its plain form, or raises with name, rule and value.

A number is whatever Python, NumPy or another library holds one real number in: int, float, Fraction, a NumPy scalar or
an array of one element and no axis, a scalar tensor. Truth values and text are none. An error quotes at most
``LONGEST`` characters of a value.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from numbers import Real
from typing import Any

import numpy as np

LONGEST = 200

_RULES = {"(-inf, inf)": "finite", "[0, inf)": "finite and >= 0", "(0, inf)": "finite and > 0"}


def shown(value: Any) -> str:
    """A value as an error quotes it."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # more digits, or levels, than Python prints
        text = f"a number of {value.bit_length()} bits" if isinstance(value, int) else f"a {type(value).__name__}"
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}… ({len(text)} characters)"


def listed(names: Iterable[Any], most: int = 12) -> str:
    """The first few of some names as an error lists them."""
    quoted = list(map(shown, names))
    return ", ".join(quoted[:most]) + (f" and {len(quoted) - most} more" if len(quoted) > most else "")


def plain(value: Any) -> Any:
    """The Python number, truth value or text in a NumPy scalar, or in an array or tensor without axes."""
    if isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if getattr(value, "shape", None) == () and callable(getattr(value, "item", None)):
        return value.item()
    return value


def number(name: str, value: Any, interval: str = "") -> float:
    """``value`` as a float if it lies in the interval, like ``"[0, 1)"``; without one any will do, NaN too."""
    if type(value) is not float:
        given, value = value, plain(value)
        if not isinstance(value, Real) or isinstance(value, bool):
            raise TypeError(f"{name} must be a number, got {shown(given)}")
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


def whole(name: str, value: Any, low: int, high: int = 2**53 - 1) -> int:
    """An integer from ``low`` to ``high``: by default all that float64 tells apart."""
    integer = plain(value)
    if not isinstance(integer, int) or isinstance(integer, bool):
        raise TypeError(f"{name} must be an integer, got {shown(value)}")
    if integer < low:
        raise ValueError(f"{name} must be >= {low}, got {shown(integer)}")
    if integer > high:
        limit = "< 2**53" if high == 2**53 - 1 else f"<= {high}"
        raise ValueError(f"{name} must be {limit}, got {shown(integer)}")
    return integer


def flag(name: str, value: Any) -> bool:
    """A truth value."""
    truth = plain(value)
    if not isinstance(truth, bool):
        raise TypeError(f"{name} must be True or False, got {shown(value)}")
    return truth


def one_of(name: str, value: Any, *words: str) -> str:
    """One of some words."""
    word = plain(value)
    if not isinstance(word, str) or word not in words:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, words))}, got {shown(value)}")
    return word


def function(name: str, value: Any) -> Any:
    """Something that can be called."""
    if not callable(value):
        raise TypeError(f"{name} must be callable, got {shown(value)}")
    return value


def state(value: Any, keys: Mapping[str, Any]) -> None:
    """Raise unless ``value`` is a mapping with the keys that a ``state_dict`` has."""
    if not isinstance(value, Mapping):
        raise TypeError(f"state must be a mapping as state_dict gives, got {type(value).__name__}")
    for key in keys:
        if key not in value:
            raise ValueError(f"state must have the key {key!r}, got {listed(value)}")
