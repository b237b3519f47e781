"""Valid ranges of the hyperparameters, as data, and the one function that checks them."""

from __future__ import annotations

import math
from collections.abc import Callable
from numbers import Real
from typing import Any

Schedule = Callable[[int], float]
Number = float | Schedule

_FLAGS = ("nesterov", "centered", "amsgrad", "decoupled_weight_decay")

# name: (lowest value, highest value, whether the highest is allowed)
_RANGES = {
    "lr": (0.0, math.inf, False),
    "momentum": (0.0, math.inf, False),
    "dampening": (-math.inf, math.inf, False),
    "alpha": (0.0, 1.0, True),
    "rho": (0.0, 1.0, True),
    "betas": (0.0, 1.0, False),
    "eps": (0.0, math.inf, False),
    "weight_decay": (0.0, math.inf, False),
    "lr_decay": (0.0, math.inf, False),
    "decay": (0.0, math.inf, False),
    "momentum_decay": (0.0, math.inf, False),
    "schedule_decay": (0.0, math.inf, False),
    "initial_accumulator_value": (0.0, math.inf, False),
}


def number(name: str, value: Any, label: str = "") -> float:
    """``value`` as a float if it lies in the range of hyperparameter ``name``; raises if not."""
    label = label or name
    low, high, closed = _RANGES[name]
    if not isinstance(value, Real) or isinstance(value, bool):
        raise TypeError(f"{label} must be a number, got {value!r}")
    try:
        x = float(value)
        got = repr(x)
    except OverflowError:
        x, got = math.nan, "a number beyond float64"
    if low <= x and (x < high or (closed and x == high)):
        return x
    if high != math.inf:
        rule = f"be in [{low:g}, {high:g}{']' if closed else ')'}"
    else:
        rule = f"be finite and >= {low:g}" if low == 0 else "be finite"
    raise ValueError(f"{label} must {rule}, got {got}")


def check(name: str, value: Any) -> Any:
    """A hyperparameter as it is kept: floats for numbers, schedules as they are; raises if it is out of range."""
    if name in _FLAGS:
        if not isinstance(value, bool):
            raise TypeError(f"{name} must be True or False, got {value!r}")
        return value
    if name == "betas":
        if not isinstance(value, (tuple, list)):
            raise TypeError(f"betas must be a pair of numbers, got {value!r}")
        if len(value) != 2:
            raise ValueError(f"betas must be a pair of numbers, got {len(value)} of them")
        return tuple(beta if callable(beta) else number("betas", beta, f"betas[{k}]") for k, beta in enumerate(value))
    return value if callable(value) else number(name, value)


def is_scheduled(value: Any) -> bool:
    """Whether a hyperparameter changes by itself from step to step."""
    return callable(value) or (isinstance(value, tuple) and any(map(callable, value)))


def at(name: str, value: Any, step: int) -> Any:
    """The value of a hyperparameter at a step, counted from 0; checked where a schedule gives it."""
    if callable(value):
        return number(name, value(step), f"{name} at step {step}")
    if isinstance(value, tuple):
        return tuple(
            number(name, beta(step), f"{name}[{k}] at step {step}") if callable(beta) else beta
            for k, beta in enumerate(value)
        )
    return value
