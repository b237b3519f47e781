"""Valid ranges of the hyperparameters, as data."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lrcore import checks

Schedule = Callable[[int], float]
Number = float | Schedule

_FLAGS = ("nesterov", "centered", "amsgrad", "decoupled_weight_decay")

_RANGES = {
    "lr": "[0, inf)",
    "momentum": "[0, inf)",
    "dampening": "(-inf, inf)",
    "alpha": "[0, 1]",
    "rho": "[0, 1]",
    "betas": "[0, 1)",
    "eps": "[0, inf)",
    "weight_decay": "[0, inf)",
    "lr_decay": "[0, inf)",
    "decay": "[0, inf)",
    "momentum_decay": "[0, inf)",
    "schedule_decay": "[0, inf)",
    "initial_accumulator_value": "[0, inf)",
    "ema": "[0, 1)",
    "clip_norm": "(0, inf)",
    "clip_value": "(0, inf)",
    "grad_scale": "[1e-300, 1e300]",
}


def number(name: str, value: Any, label: str = "") -> float:
    """``value`` as a float if it lies in the range of hyperparameter ``name``; raises if not."""
    return checks.number(label or name, value, _RANGES[name])


def check(name: str, value: Any) -> Any:
    """A hyperparameter as it is kept: floats for numbers, schedules as they are; raises if it is out of range."""
    if name in _FLAGS:
        return checks.flag(name, value)
    if name == "betas":
        if not isinstance(value, (tuple, list)):
            raise TypeError(f"betas must be a pair of numbers, got {value!r}")
        if len(value) != 2:
            raise ValueError(f"betas must be a pair of numbers, got {len(value)} of them")
        return tuple(beta if callable(beta) else number("betas", beta, f"betas[{k}]") for k, beta in enumerate(value))
    if callable(value) and name != "initial_accumulator_value":
        return value
    return number(name, value)


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
