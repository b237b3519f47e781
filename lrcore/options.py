"""What every optimizer is told besides its own hyperparameters, and what a step tells."""

from __future__ import annotations

from collections.abc import Callable, Mapping
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
        optimizer._options_changed()


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
        optimizer._options_changed()


def declares(cls: type, name: str) -> bool:
    """Whether a class, or one that it is made of, says that its objects have such an attribute."""
    return any(name in vars(base).get("__annotations__", ()) for base in cls.__mro__)


def no_attribute(optimizer: str, name: str, hyper: Mapping[str, Any]) -> str:
    """Why an attribute of an optimizer with these hyperparameters cannot be set, and what to set instead."""
    hint = ""
    if name == "learning_rate":
        hint = "; its rate is lr"
    elif name in hyper:
        hint = f'; set param_groups[0]["{name}"], of every group'
    elif name in Options.__annotations__:
        hint = "; it must be given when the optimizer is made"
    return f"{optimizer} has no attribute {checks.shown(name)[1:-1]} to set{hint}"


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


make: Callable[..., StepReport] = tuple.__new__
"""``make(StepReport, fields)``, in a third of the time that the class takes."""
