"""Valid ranges of the hyperparameters, as data, and their values at a step."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from lrcore import checks

Schedule = Callable[[int], float]
Number = float | Schedule

Interval = str | tuple[str, ...]
"""The valid range of a number; or of each of several that come as a tuple, as betas do."""

FLAG = "True or False"

RANGES = {
    "lr": "[0, inf)",
    "momentum": "[0, inf)",
    "alpha": "[0, 1]",
    "rho": "[0, 1]",
    "betas": "[0, 1)",
    "eps": "[0, inf)",
    "weight_decay": "[0, inf)",
    "decay": "[0, inf)",
    "initial_accumulator_value": "[0, inf)",
    "maximize": FLAG,
    "ema": "[0, 1)",
    "clip_norm": "(0, inf)",
    "clipnorm": "(0, inf)",
    "clip_value": "(0, inf)",
    "grad_scale": "[1e-300, 1e300]",
}
"""Of the hyperparameters that several optimizers have; a class has those of its own, and may differ, in ``ranges``."""


def number(name: str, value: Any, label: str = "") -> float:
    """``value`` as a float if it lies in the range of hyperparameter ``name``; raises if not."""
    return checks.number(label or name, value, RANGES[name])


def range_of(name: str, own: Mapping[str, Interval], defaults: Iterable[Mapping[str, Any]]) -> Interval:
    """The valid range of a hyperparameter with these defaults, a mapping for each library; its own comes first."""
    default = next((known[name] for known in defaults if known.get(name) is not None), None)
    if isinstance(default, bool):
        return FLAG
    interval = own.get(name) or RANGES[name]
    return (interval,) * len(default) if isinstance(default, tuple) and isinstance(interval, str) else interval


def check(name: str, value: Any, interval: Interval) -> Any:
    """A hyperparameter as it is kept: floats for numbers, schedules as they are; raises if it is out of range."""
    if interval == FLAG:
        return checks.flag(name, value)
    if isinstance(interval, tuple):
        several = {2: "a pair of numbers", 3: "a triple of numbers"}.get(len(interval), f"{len(interval)} numbers")
        if isinstance(value, np.ndarray):
            value = value.tolist()
        if not isinstance(value, (tuple, list)):
            raise TypeError(f"{name} must be {several}, got {checks.shown(value)}")
        if len(value) != len(interval):
            raise ValueError(f"{name} must be {several}, got {len(value)} of them")
        return tuple(
            one if callable(one) else checks.number(f"{name}[{k}]", one, interval[k]) for k, one in enumerate(value)
        )
    if callable(value) and name != "initial_accumulator_value":
        return value
    return checks.number(name, value, interval)


def is_scheduled(value: Any) -> bool:
    """Whether a hyperparameter changes by itself from step to step."""
    return callable(value) or (isinstance(value, tuple) and any(map(callable, value)))


def at(name: str, value: Any, step: int, interval: Interval = "") -> Any:
    """The value of a hyperparameter at a step, counted from 0; checked where a schedule gives it."""
    interval = interval or RANGES[name]
    if isinstance(interval, tuple):
        return tuple(
            checks.number(f"{name}[{k}] at step {step}", one(step), interval[k]) if callable(one) else one
            for k, one in enumerate(value)
        )
    return checks.number(f"{name} at step {step}", value(step), interval) if callable(value) else value
