"""What every optimizer is told besides its own hyperparameters, and what a step tells."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Literal, NamedTuple, TypedDict

from lrcore import checks, hyperparameters
from lrcore.state import Allocator

OnNonfinite = Literal["propagate", "skip", "raise"]


class Options(TypedDict, total=False):
    """What every optimizer takes besides its own hyperparameters, see :class:`lrcore.Optimizer`."""

    like: str
    maximize: bool | None
    ema: float | None
    ema_warmup: bool
    clip_norm: float | None
    clipnorm: float | None
    clip_value: float | None
    on_nonfinite: OnNonfinite
    allocator: Allocator | None


class Bound:
    """A bound of gradients, as an attribute of an optimizer: a number > 0, or None for no bound."""

    def __init__(self, excludes: str = "") -> None:
        self._excludes = excludes

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, optimizer: Any, owner: type | None = None) -> Any:
        return self if optimizer is None else optimizer.__dict__.get("_" + self._name)

    def __set__(self, optimizer: Any, value: Any) -> None:
        bound = None if value is None else hyperparameters.number(self._name, value)
        other = optimizer.__dict__.get("_" + self._excludes)
        if bound is not None and other is not None:
            raise ValueError(f"{self._name} must not be given with {self._excludes}, got {bound} and {other}")
        optimizer.__dict__["_" + self._name] = bound


class Choice:
    """One of some words, as an attribute of an optimizer."""

    def __init__(self, *words: str) -> None:
        self._words = words

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, optimizer: Any, owner: type | None = None) -> Any:
        return self if optimizer is None else optimizer.__dict__["_" + self._name]

    def __set__(self, optimizer: Any, value: Any) -> None:
        optimizer.__dict__["_" + self._name] = checks.one_of(self._name, value, *self._words)


class StepReport(NamedTuple):
    """What a step did.

    Attributes
    ----------
    step : int
        Its number t = 1, 2, …; that of the last one applied, if this one was skipped.
    lr : float
        The rate of the first group.
    applied : bool
        Whether parameters were changed.
    grad_norm : float or None
        Euclidean norm of all gradients, divided by the loss scale, before clipping; None where nothing needed it.
        Neither threads nor build change a bit of it. It is summed tensor by tensor, and a ParameterBuffer is one
        unless it is swept by name: the last bits may differ between a buffer and a list of the same values.
    """

    step: int
    lr: float
    applied: bool
    grad_norm: float | None = None


report: Callable[[tuple[int, float, bool, float | None]], StepReport] = partial(tuple.__new__, StepReport)
"""A report of these fields, made in a third of the time that its class takes."""
