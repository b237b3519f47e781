"""Valid ranges of the hyperparameters, as data, and their values at a step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from lrcore import checks

Schedule = Callable[[int], float]
Number = float | Schedule

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


def check(name: str, value: Any, interval: str) -> Any:
    """A hyperparameter as it is kept: floats for numbers, schedules as they are; raises if it is out of range."""
    if interval == FLAG:
        return checks.flag(name, value)
    if name == "betas":
        if isinstance(value, np.ndarray):
            value = value.tolist()
        if not isinstance(value, (tuple, list)):
            raise TypeError(f"betas must be a pair of numbers, got {checks.shown(value)}")
        if len(value) != 2:
            raise ValueError(f"betas must be a pair of numbers, got {len(value)} of them")
        return tuple(
            beta if callable(beta) else checks.number(f"betas[{k}]", beta, interval) for k, beta in enumerate(value)
        )
    if "|" in interval:
        if not isinstance(value, (tuple, list)) or len(value) != 2:
            raise TypeError(f"{name} must be a pair of a word and a number, got {checks.shown(value)}")
        word = checks.one_of(f"{name}[0]", value[0], *interval.split("|"))
        return word, checks.number(f"{name}[1]", value[1], "[0, inf)")
    if callable(value) and name != "initial_accumulator_value":
        return value
    return checks.number(name, value, interval)


def is_scheduled(value: Any) -> bool:
    """Whether a hyperparameter changes by itself from step to step."""
    return callable(value) or (isinstance(value, tuple) and any(map(callable, value)))


def at(name: str, value: Any, step: int, interval: str = "") -> Any:
    """The value of a hyperparameter at a step, counted from 0; checked where a schedule gives it."""
    interval = interval or RANGES[name]
    if callable(value):
        return checks.number(f"{name} at step {step}", value(step), interval)
    if isinstance(value, tuple):
        return tuple(
            checks.number(f"{name}[{k}] at step {step}", beta(step), interval) if callable(beta) else beta
            for k, beta in enumerate(value)
        )
    return value
