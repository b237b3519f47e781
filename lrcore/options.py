"""What every optimizer is told besides its own hyperparameters, and what a step tells."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple, TypedDict, cast, get_args

from lrcore import checks, hyperparameters
from lrcore.settings import Setting, T
from lrcore.spans import Ema
from lrcore.state import Allocator

OnNonfinite = Literal["propagate", "skip", "raise"]


class Options(TypedDict, total=False):
    """What every optimizer takes besides its own hyperparameters, see :class:`lrcore.Optimizer`."""

    like: str
    maximize: bool | None
    ema: Ema
    ema_warmup: bool
    lookahead: tuple[int, float] | None
    grokfast: tuple[float, float] | None
    mars: float | None
    clip_norm: float | None
    clipnorm: float | None
    clip_value: float | None
    cautious: bool
    on_nonfinite: OnNonfinite
    allocator: Allocator | None


class Option(Setting[T]):
    """A setting of an optimizer, from which others follow."""

    def __set__(self, instance: Any, value: Any) -> None:
        super().__set__(instance, value)
        instance._options_changed()


def _bound(name: str, value: Any) -> float | None:
    return None if value is None else hyperparameters.number(name, value)


class Bound(Option[float | None]):
    """A bound of gradients: a number > 0, or None for no bound."""

    def __init__(self, excludes: str = "") -> None:
        super().__init__(_bound)
        self._excludes = excludes

    def __set__(self, instance: Any, value: Any) -> None:
        bound = _bound(self._name, value)
        other = getattr(instance, f"_{self._excludes}") if self._excludes else None
        if bound is not None and other is not None:
            raise ValueError(f"{self._name} must not be given with {self._excludes}, got {bound} and {other}")
        super().__set__(instance, bound)


def what_nonfinite_does(name: str, value: Any) -> OnNonfinite:
    """One of the words of ``on_nonfinite``."""
    return cast(OnNonfinite, checks.one_of(name, value, *get_args(OnNonfinite)))


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
