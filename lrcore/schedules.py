r"""Learning-rate schedules: immutable values that map a step to a number.

>>> s = CosineDecay(3e-4, 10_000).with_warmup(500)
>>> s(0), s(500)
(6e-07, 0.0003)
>>> s(np.arange(10_500)).shape
(10500,)

A schedule is a pure function of the step. It keeps no counter and knows no optimizer, so a run resumes from one
integer, and any hyperparameter can follow one: learning rate, momentum, betas, weight decay. Steps count from 0.

**Evaluation.** ``s(step)`` takes an integer and gives a float; ``s(steps)`` takes an array of integers of any shape
and gives float64 values of that shape. Both give the same bits, on every machine and in every build (see
:mod:`lrcore.formulas`). A step must lie in [0, 2^53); a negative one raises ValueError, a float or a bool
TypeError.

**Past the end.** Every schedule with an end holds its last value for ever. ``s.length`` is the step at which that
value is reached, or None for a schedule that never ends (exponential decay, cycles, restarts).

**Composition.** ``a.then(b, at=1000)``, ``s.with_warmup(500)``, ``2 * s``, ``a * b``, ``s.clip(low, high)``,
``s.repeat(3)``: each gives another schedule.

**Text.** ``repr(s)`` is read back by :func:`parse`, ``s.to_dict()`` (JSON) by :func:`from_dict`.

**A new schedule is one class**: a frozen dataclass with :class:`Schedule` as its base that defines ``_over``. Text,
JSON, pickling, composition and the checks of annotated fields come with the base.
"""

import math
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, NoReturn, Self, TypeAlias, get_type_hints, overload

import numpy as np

from lrcore import kernels
from lrcore.checks import function as check_callable

if TYPE_CHECKING:
    import numpy.typing as npt

    Steps: TypeAlias = npt.NDArray[np.int64]
    Values: TypeAlias = npt.NDArray[np.float64]

__all__ = [
    "Clipped",
    "Constant",
    "CosineDecay",
    "CosineRestarts",
    "Custom",
    "Cyclic",
    "ExponentialDecay",
    "InverseSqrt",
    "InverseTimeDecay",
    "Join",
    "Linear",
    "OneCycle",
    "PiecewiseConstant",
    "PolynomialDecay",
    "Product",
    "Repeated",
    "Rex",
    "Scaled",
    "Schedule",
    "StepDecay",
    "Warmup",
    "WarmupStableDecay",
    "from_dict",
    "parse",
]

LAST_STEP = 2**53 - 1  # steps up to here, and their successors, are exact as doubles
REGISTRY: dict[str, type["Schedule"]] = {}


# ---- valid arguments, as data: an annotation of a field checks and converts what it is given ----------------
class Number:
    """A finite number for which ``holds`` is true; ``rule`` says so in words."""

    def __init__(self, rule: str = "finite", holds: Callable[[float], bool] = math.isfinite) -> None:
        self.rule, self.holds = rule, holds

    def __call__(self, name: str, value: object) -> float:
        if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, float, np.integer, np.floating)):
            raise TypeError(f"{name} must be a number, got {value!r}")
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if not (math.isfinite(number) and self.holds(number)):
            raise ValueError(f"{name} must be {self.rule}, got {number!r}")
        return number


class Whole:
    """An integer that is at least ``minimum``."""

    def __init__(self, minimum: int) -> None:
        self.minimum = minimum

    def __call__(self, name: str, value: object) -> int:
        if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)):
            raise TypeError(f"{name} must be an integer, got {value!r}")
        if not self.minimum <= value <= LAST_STEP:
            rule = f">= {self.minimum}" if value < self.minimum else "< 2**53"
            raise ValueError(f"{name} must be {rule}, got {value}")
        return int(value)


class OrNone:
    """None, or what ``check`` accepts."""

    def __init__(self, check: Callable[[str, object], object]) -> None:
        self.check = check

    def __call__(self, name: str, value: object) -> object:
        return None if value is None else self.check(name, value)


class OneOf:
    """One of a few words."""

    def __init__(self, *words: str) -> None:
        self.words = words

    def __call__(self, name: str, value: object) -> str:
        if not isinstance(value, str):
            raise TypeError(f"{name} must be text, got {value!r}")
        if value not in self.words:
            raise ValueError(f"{name} must be one of {', '.join(map(repr, self.words))}, got {value!r}")
        return value


class Each:
    """A sequence, kept as a tuple, each entry of which ``check`` accepts; in strictly increasing order if asked."""

    def __init__(self, check: Callable[[str, object], object], increasing: bool = False) -> None:
        self.check, self.increasing = check, increasing

    def __call__(self, name: str, value: object) -> tuple[Any, ...]:
        if isinstance(value, (str, Mapping)) or not isinstance(value, Iterable):
            raise TypeError(f"{name} must be a sequence, got {value!r}")
        entries: tuple[Any, ...] = tuple(self.check(f"{name}[{i}]", entry) for i, entry in enumerate(value))
        if self.increasing and any(b <= a for a, b in pairwise(entries)):
            raise ValueError(f"{name} must increase strictly, got {entries}")
        return entries


def _flag(name: str, value: object) -> bool:
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be True or False, got {value!r}")
    return bool(value)


def _schedule(name: str, value: object) -> "Schedule":
    if not isinstance(value, Schedule):
        hint = "; Custom(function) makes one of a function" if callable(value) else ""
        raise TypeError(f"{name} must be a schedule, got {value!r}{hint}")
    return value


Real: TypeAlias = Annotated[float, Number()]
Positive: TypeAlias = Annotated[float, Number("> 0", lambda x: x > 0)]
NotNegative: TypeAlias = Annotated[float, Number(">= 0", lambda x: x >= 0)]
AtLeastOne: TypeAlias = Annotated[float, Number(">= 1", lambda x: x >= 1)]
Fraction: TypeAlias = Annotated[float, Number("in [0, 1)", lambda x: 0 <= x < 1)]
OptionalReal: TypeAlias = Annotated[float | None, OrNone(Number())]
Count: TypeAlias = Annotated[int, Whole(1)]
CountOrZero: TypeAlias = Annotated[int, Whole(0)]
OptionalCount: TypeAlias = Annotated[int | None, OrNone(Whole(1))]
Flag: TypeAlias = Annotated[bool, _flag]
Boundaries: TypeAlias = Annotated[tuple[int, ...], Each(Whole(1), increasing=True)]


# ---- the base -----------------------------------------------------------------------------------------------
class Schedule:
    """A value that depends on the step alone; the base of every schedule.

    A subclass is a frozen dataclass and defines ``_over``; ``_at`` if one step can be had faster; ``length`` if it
    has an end. A field annotated with a check of this module (``Real``, ``Positive``, ``Count``, ...) is checked
    and converted when the schedule is made.
    """

    text_name: ClassVar[str] = ""  # a short name for the command line, beside the name of the class
    __array_ufunc__: ClassVar[None] = None  # numpy_number * schedule comes to __rmul__

    def __init_subclass__(cls) -> None:
        if cls.__name__.startswith("_"):
            return
        known = REGISTRY.get(cls.__name__)
        if known is not None and (known.__module__, known.__qualname__) != (cls.__module__, cls.__qualname__):
            raise TypeError(f"a schedule named {cls.__name__} exists already: {known.__module__}.{known.__qualname__}")
        REGISTRY[cls.__name__] = cls

    def __post_init__(self) -> None:
        for name, checks in _checks(type(self)).items():  # type: ignore[arg-type]  # a class is hashable
            for check in checks:
                object.__setattr__(self, name, check(name, getattr(self, name)))

    # -- evaluation
    def _over(self, steps: "Steps") -> "Values":
        """Values at a one-dimensional array of steps, none of them negative."""
        raise NotImplementedError(f"{type(self).__name__} must define _over(steps)")

    def _at(self, step: int) -> float:
        """The value at one step that is not negative."""
        return float(self._over(np.array([step], np.int64))[0])

    @overload
    def __call__(self, step: int) -> float: ...
    @overload
    def __call__(self, step: "npt.NDArray[np.integer[Any]]") -> "Values": ...
    def __call__(self, step: "int | npt.NDArray[np.integer[Any]]") -> "float | Values":
        """The value at a step, or the values at an array of steps.

        Raises
        ------
        TypeError
            If ``step`` is not an integer or an array of integers.
        ValueError
            If a step is negative, or 2^53 or more.
        """
        if type(step) is int and 0 <= step <= LAST_STEP:
            return self._at(step)
        if isinstance(step, (int, np.integer)) and not isinstance(step, bool):
            return self._at(Whole(0)("step", step))
        steps = np.asarray(step)
        if steps.dtype.kind not in "iu":
            shown = repr(step) if steps.ndim == 0 else f"an array of {steps.dtype}"
            raise TypeError(f"step must be an integer or an array of integers, got {shown}")
        flat = np.ascontiguousarray(steps, np.int64).reshape(-1)
        if flat.size and flat.view(np.uint64).max() > LAST_STEP:
            low, high = int(steps.min()), int(steps.max())
            raise ValueError(f"step must be >= 0, got {low}" if low < 0 else f"step must be < 2**53, got {high}")
        with np.errstate(all="ignore"):  # as one step at a time: inf and NaN without a warning
            return self._over(flat).reshape(steps.shape)

    @property
    def length(self) -> int | None:
        """The step from which the value no longer changes; None if there is no such step."""
        return None

    # -- composition
    def with_warmup(self, steps: int, start: float | None = None, inside: bool = False) -> "Schedule":
        r"""This schedule after a linear warmup.

        .. math:: \eta_t = \eta(0) \frac{t + 1}{\text{steps}} \quad (t < \text{steps}),
            \qquad \eta_t = \eta(t - \text{steps}) \quad (t \ge \text{steps})

        The first step is already above zero and the last warmup step has the full rate. With ``start`` the ramp
        begins at that value: ``start + (s(0) - start) * t / steps``; ``start=0.0`` is the warmup of optax and
        transformers, in which the first step does nothing.

        Parameters
        ----------
        steps : int >= 1
            Number of warmup steps.
        start : float, optional
            Value at step 0.
        inside : bool
            False: the warmup comes before the schedule, whose own steps are all still run; the whole is
            ``steps`` longer. (torch ``SequentialLR``, Keras ``CosineDecay``.) True: the warmup counts inside the
            total; the schedule is made shorter by ``steps``, and the end stays where it was. (transformers, optax
            ``warmup_cosine_decay_schedule``.) A schedule without a total raises ValueError.
        """
        steps = Whole(1)("steps", steps)
        inside = _flag("inside", inside)
        return Warmup(self._shortened(steps) if inside else self, steps, start)

    def _shortened(self, steps: int) -> "Schedule":
        total = getattr(self, "steps", None)
        if total is None or total != self.length:
            raise ValueError(f"inside=True needs a schedule with a total of steps, got {self!r}")
        if steps >= total:
            raise ValueError(f"steps must be < {total}, the total that the warmup is inside of, got {steps}")
        return replace(self, steps=total - steps)  # type: ignore[type-var]

    def then(self, other: "Schedule", at: int | None = None) -> "Join":
        """This schedule up to step ``at``, then ``other``, which counts from its own zero.

        ``at`` is an integer >= 1, by default this schedule's ``length`` (ValueError where it has none). A chain
        ``a.then(b, 10).then(c, 20)`` is ``Join((a, b, c), (10, 20))``: each ``at`` counts from the beginning and
        must be greater than the one before.
        """
        if at is None:
            at = self.length
            if not at:
                raise ValueError(f"at must be given after a schedule that has no end of its own, {self!r}")
        return Join((self, other), (at,))

    def __mul__(self, other: object) -> "Schedule":
        if isinstance(other, Schedule):
            return Product(self, other)
        if isinstance(other, (int, float, np.integer, np.floating)) and not isinstance(other, bool):
            return Scaled(float(other), self)
        return NotImplemented

    def __rmul__(self, other: object) -> "Schedule":
        return self.__mul__(other)

    def clip(self, low: float | None = None, high: float | None = None) -> "Clipped":
        """This schedule held between ``low`` and ``high``; either may be None, not both."""
        return Clipped(self, low, high)

    def repeat(self, times: int) -> "Repeated":
        """This schedule ``times`` times in a row, each ``length`` steps long, then its last value.

        The last value belongs to the step after the last repetition: between two repetitions the value goes from
        that of step ``length - 1`` straight to that of step 0. Raises ValueError if the schedule has no end.
        """
        return Repeated(self, times)

    # -- values
    @classmethod
    def _fields(cls) -> dict[str, Any]:
        fields: dict[str, Any] = getattr(cls, "__dataclass_fields__", {})
        return {name: field for name, field in fields.items() if field.init}

    def _arguments(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self._fields()}

    def __repr__(self) -> str:
        arguments = ", ".join(f"{name}={value!r}" for name, value in self._arguments().items())
        return f"{type(self).__name__}({arguments})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Schedule) or type(other) is not type(self):
            return NotImplemented
        return self._arguments() == other._arguments()

    def __hash__(self) -> int:
        return hash((type(self), *self._arguments().values()))

    def __reduce__(self) -> tuple[type[Self], tuple[Any, ...]]:
        return type(self), tuple(self._arguments().values())

    def to_dict(self) -> dict[str, Any]:
        """This schedule as a dict that JSON can carry; :func:`from_dict` reads it.

        Raises
        ------
        TypeError
            If a :class:`Custom` schedule is part of it.
        """
        return {"type": type(self).__name__, **{k: _plain(v) for k, v in self._arguments().items()}}


@cache
def _checks(cls: type[Schedule]) -> dict[str, tuple[Callable[[str, object], object], ...]]:
    """The checks in the annotations of each field."""
    hints = get_type_hints(cls, include_extras=True)
    return {name: getattr(hints[name], "__metadata__", ()) for name in cls._fields()}


def _plain(value: object) -> object:
    if isinstance(value, Schedule):
        return value.to_dict()
    return [_plain(entry) for entry in value] if isinstance(value, tuple) else value


def from_dict(data: Mapping[str, Any]) -> Schedule:
    """The schedule that :meth:`Schedule.to_dict` wrote.

    Raises
    ------
    TypeError
        If ``data`` is not a mapping, or an argument has the wrong type.
    ValueError
        If the name or an argument is unknown, missing or out of range.
    """
    if not isinstance(data, Mapping):
        raise TypeError(f"a schedule must be a mapping, got {data!r}")
    arguments = dict(data)
    name = arguments.pop("type", None)
    if not isinstance(name, str) or name not in REGISTRY:
        raise ValueError(f'"type" must be one of {", ".join(sorted(REGISTRY))}, got {name!r}')
    try:
        bind(REGISTRY[name], (), arguments)
    except TypeError as error:
        raise ValueError(f"{name}: {error}, got {', '.join(arguments) or 'no arguments'}") from None
    return REGISTRY[name](**{key: _schedules_in(value) for key, value in arguments.items()})


def _schedules_in(value: object) -> object:
    if isinstance(value, Mapping):
        return from_dict(value)
    return tuple(_schedules_in(entry) for entry in value) if isinstance(value, list) else value


def bind(function: Callable[..., object], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Raises TypeError, in words about the arguments, if ``function`` cannot be called with these."""
    import inspect

    inspect.signature(function).bind(*args, **kwargs)


class _Compiled(Schedule):
    """A schedule whose formula is compiled code, with its twin in :mod:`lrcore.formulas`."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check()
        name, *arguments = self._formula()
        formula = kernels.formulas(kernels.selected).Formula(name, arguments)
        object.__setattr__(self, "_at", formula.value)
        object.__setattr__(self, "_over", formula.values)

    def _check(self) -> None:
        """What concerns several arguments at once."""

    def _formula(self) -> tuple[Any, ...]:
        """The name of the formula and its arguments, in order."""
        raise NotImplementedError


# ---- schedules ----------------------------------------------------------------------------------------------
@dataclass(frozen=True, repr=False, eq=False)
class Constant(Schedule):
    r"""A fixed value.

    .. math:: \eta_t = \text{value}

    torch's ``ConstantLR`` is something else: a factor of 1/3 for five steps, then 1.

    Parameters
    ----------
    value : finite float
    """

    value: Real

    text_name = "constant"
    length = 0

    def _at(self, step: int) -> float:
        return self.value

    def _over(self, steps: "Steps") -> "Values":
        return np.full(steps.shape, self.value)


@dataclass(frozen=True, repr=False, eq=False)
class Linear(_Compiled):
    r"""A straight line from one value to another.

    .. math:: \eta_t = \text{final} + (\text{initial} - \text{final})
        \frac{T - \min(t, T)}{T}, \quad T = \text{steps}

    The textbook form :math:`\eta_0 - (t / T) \Delta\eta` with :math:`\Delta\eta = \text{initial} - \text{final}`.

    Parameters
    ----------
    initial, final : finite float
        Value at step 0, and from step ``steps`` on.
    steps : int >= 1
    """

    initial: Real
    final: Real
    steps: Count

    text_name = "linear"

    @property
    def length(self) -> int:
        return self.steps

    def _formula(self) -> tuple[Any, ...]:
        return "polynomial", self.initial, self.final, self.steps, 1.0, 0.0


@dataclass(frozen=True, repr=False, eq=False)
class PolynomialDecay(_Compiled):
    r"""A power of the time that is left.

    .. math:: \eta_t = \text{final} + (\text{initial} - \text{final})
        \left(\frac{T - \min(t, T)}{T}\right)^{\text{power}}, \quad T = \text{steps}

    With ``cycle=True``, as in Keras, T is the smallest positive multiple of ``steps`` that is at least t: the rate
    rises again after each multiple, and there is no end.

    Parameters
    ----------
    initial, final : finite float
        Value at step 0, and from step ``steps`` on.
    steps : int >= 1
    power : float > 0
    cycle : bool
    """

    initial: Real
    final: Real
    steps: Count
    power: Positive = 1.0
    cycle: Flag = False

    text_name = "polynomial"

    @property
    def length(self) -> int | None:
        return None if self.cycle else self.steps

    def _formula(self) -> tuple[Any, ...]:
        return "polynomial", self.initial, self.final, self.steps, self.power, self.cycle


@dataclass(frozen=True, repr=False, eq=False)
class ExponentialDecay(_Compiled):
    r"""Multiplied by a rate every so many steps, smoothly or in stairs.

    .. math:: \eta_t = \text{initial} \cdot \text{decay\_rate}^{t / \text{decay\_steps}}

    With ``staircase=True`` the exponent is rounded down. The value approaches 0 (or grows, for a rate above 1) and
    stops at ``final`` if that is given. As optax and Keras have it, where ``final`` is optax's ``end_value``.

    Parameters
    ----------
    initial : finite float
    decay_rate : float > 0
    decay_steps : int >= 1
    staircase : bool
    final : finite float, optional
        Must lie on the side to which the value moves, else ValueError.
    """

    initial: Real
    decay_rate: Positive
    decay_steps: Count
    staircase: Flag = False
    final: OptionalReal = None

    text_name = "exponential"

    def _check(self) -> None:
        if self.final is None:
            return
        direction = self.initial * self.decay_rate - self.initial
        if (self.final - self.initial) * direction < 0:
            rule = "<=" if direction < 0 else ">="
            raise ValueError(f"final must be {rule} initial = {self.initial}, to where it decays, got {self.final}")

    def _formula(self) -> tuple[Any, ...]:
        final = math.nan if self.final is None else self.final
        return "exponential", self.initial, self.decay_rate, self.decay_steps, self.staircase, final


@dataclass(frozen=True, repr=False, eq=False)
class InverseTimeDecay(_Compiled):
    r"""Divided by a number that grows with the step.

    .. math:: \eta_t = \frac{\text{initial}}{1 + \text{decay\_rate} \cdot t / \text{decay\_steps}}

    With ``staircase=True`` the quotient is rounded down. With ``decay_steps=1`` this is the ``decay=`` argument of
    the optimizers of Keras 1 and 2: ``decay=1e-6`` is ``InverseTimeDecay(lr, 1e-6)``.

    Parameters
    ----------
    initial : finite float
    decay_rate : float >= 0
    decay_steps : int >= 1
    staircase : bool
    """

    initial: Real
    decay_rate: NotNegative
    decay_steps: Count = 1
    staircase: Flag = False

    text_name = "inverse_time"

    def _formula(self) -> tuple[Any, ...]:
        return "inverse_time", self.initial, self.decay_rate, self.decay_steps, self.staircase


@dataclass(frozen=True, repr=False, eq=False)
class StepDecay(_Compiled):
    r"""Multiplied by a factor every so many steps.

    .. math:: \eta_t = \text{initial} \cdot \text{factor}^{\lfloor t / \text{every} \rfloor}

    Parameters
    ----------
    initial : finite float
    factor : float > 0
    every : int >= 1
    """

    initial: Real
    factor: Positive
    every: Count

    text_name = "step"

    def _formula(self) -> tuple[Any, ...]:
        return "exponential", self.initial, self.factor, self.every, 1.0, math.nan


@dataclass(frozen=True, repr=False, eq=False)
class PiecewiseConstant(_Compiled):
    r"""One value up to each boundary, the next one from it on.

    .. math:: \eta_t = \text{values}_i, \quad i = \#\{b \in \text{boundaries} : b \le t\}

    The step that equals a boundary has the *new* value, as in torch and optax. Keras keeps the old one there: its
    boundary b is b + 1 here.

    Parameters
    ----------
    boundaries : sequence of int >= 1, strictly increasing
    values : sequence of finite float, one more than boundaries
    """

    boundaries: Boundaries
    values: Annotated[tuple[float, ...], Each(Number())]

    text_name = "piecewise"

    def _check(self) -> None:
        if len(self.values) != len(self.boundaries) + 1:
            raise ValueError(
                f"values must have len(boundaries) + 1 = {len(self.boundaries) + 1} entries, got {len(self.values)}"
            )

    @property
    def length(self) -> int:
        return self.boundaries[-1] if self.boundaries else 0

    def _formula(self) -> tuple[Any, ...]:
        return "piecewise_constant", *self.boundaries, *self.values


@dataclass(frozen=True, repr=False, eq=False)
class CosineDecay(_Compiled):
    r"""Half a period of the cosine, from one value to another.

    .. math:: \eta_t = \text{final} + (\text{initial} - \text{final})
        \left(\frac{1 + \cos(\pi \min(t, T) / T)}{2}\right)^{\text{exponent}}, \quad T = \text{steps}

    Loshchilov and Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts" (2017), one period. It holds
    ``final`` past its end, where torch's ``CosineAnnealingLR`` rises again. ``final`` is a value, not the fraction
    ``alpha`` of Keras and optax. The value keeps its relative accuracy down to ``final=0``, where the expression
    ``1 + cos`` cancels.

    Parameters
    ----------
    initial : finite float
    steps : int >= 1
    final : finite float
    exponent : float > 0
    """

    initial: Real
    steps: Count
    final: Real = 0.0
    exponent: Positive = 1.0

    text_name = "cosine"

    @property
    def length(self) -> int:
        return self.steps

    def _formula(self) -> tuple[Any, ...]:
        return "cosine", self.initial, self.final, self.steps, self.exponent


@dataclass(frozen=True, repr=False, eq=False)
class CosineRestarts(_Compiled):
    r"""Cosine decay that starts again, each time longer and lower.

    .. math:: \eta_t = \text{final} + (\text{initial} - \text{final}) \, \text{m\_mul}^i \,
        \frac{1 + \cos(\pi (t - t_i) / T_i)}{2}, \quad T_i = \text{steps} \cdot \text{t\_mul}^i

    Period i begins at :math:`t_i = T_0 + \dots + T_{i-1}`; there is no end. Loshchilov and Hutter, "SGDR" (2017),
    with Keras' factor ``m_mul`` on the height of a restart. As in Keras a period may have a fractional length; torch
    takes an integer ``T_mult`` only.

    Parameters
    ----------
    initial : finite float
    steps : int >= 1
        Length of the first period.
    t_mul : float >= 1
    m_mul : float > 0
    final : finite float
    """

    initial: Real
    steps: Count
    t_mul: AtLeastOne = 2.0
    m_mul: Positive = 1.0
    final: Real = 0.0

    text_name = "cosine_restarts"

    def _formula(self) -> tuple[Any, ...]:
        return "cosine_restarts", self.initial, self.final, self.steps, self.t_mul, self.m_mul


@dataclass(frozen=True, repr=False, eq=False)
class OneCycle(_Compiled):
    r"""Up to a peak and down to almost nothing.

    From ``initial = peak / start_factor`` at step 0, to ``peak`` at ``warmup_fraction * steps``, to ``final =
    initial / end_factor`` at ``steps``, which it holds from there. With ``three_phase`` it comes back to
    ``initial``, as slowly as it rose, before it goes on to ``final``. Between two such points a and b

    .. math:: \eta_t = \eta_b + (\eta_a - \eta_b) \frac{1 + \cos \pi x}{2} \;\text{(cosine)}, \quad
        \eta_t = \eta_a + (\eta_b - \eta_a) x \;\text{(linear)}, \quad x = \frac{t - a}{b - a}

    Smith and Topin, "Super-Convergence" (2018). The points are those of optax, not rounded to whole steps. torch
    puts them one step earlier (the peak at ``pct_start * total_steps - 1``, the end at ``total_steps - 1``) and
    leaves the curve past its end: its linear form turns negative there. fastai's ``div_final`` divides ``peak``,
    not ``initial``.

    Parameters
    ----------
    peak : finite float
    steps : int >= 1
    warmup_fraction : float in [0, 1); below 0.5 with three_phase
    start_factor, end_factor : float > 0
    anneal : "cosine" or "linear"
    three_phase : bool
    """

    peak: Real
    steps: Count
    warmup_fraction: Fraction = 0.3
    start_factor: Positive = 25.0
    end_factor: Positive = 1e4
    anneal: Annotated[str, OneOf("cosine", "linear")] = "cosine"
    three_phase: Flag = False

    text_name = "one_cycle"

    def _check(self) -> None:
        if self.three_phase and self.warmup_fraction >= 0.5:
            raise ValueError(f"warmup_fraction must be < 0.5 with three_phase, got {self.warmup_fraction}")

    @property
    def length(self) -> int:
        return self.steps

    def _formula(self) -> tuple[Any, ...]:
        initial = self.peak / self.start_factor
        warmup = self.warmup_fraction * self.steps
        down = 2.0 * warmup if self.three_phase else warmup
        linear = self.anneal == "linear"
        return "one_cycle", initial, self.peak, initial / self.end_factor, self.steps, warmup, down, linear


@dataclass(frozen=True, repr=False, eq=False)
class Cyclic(_Compiled):
    r"""Up and down between two values, for ever.

    .. math:: \eta_t = \text{low} + (\text{high} - \text{low}) \, s_t \, h_t

    where s rises from 0 to 1 in ``steps_up`` steps and falls back in ``steps_down``, and h is 1 ("triangular"),
    :math:`2^{-i}` in cycle i = 0, 1, ... ("triangular2") or :math:`\gamma^t` ("exp_range"). Smith, "Cyclical
    Learning Rates for Training Neural Networks" (2017); the modes of torch's ``CyclicLR``.

    Parameters
    ----------
    low, high : finite float
    steps_up : int >= 1
    steps_down : int >= 1, optional
        As many as ``steps_up`` by default.
    mode : "triangular", "triangular2" or "exp_range"
    gamma : float > 0
        Used by "exp_range".
    """

    low: Real
    high: Real
    steps_up: Count
    steps_down: OptionalCount = None
    mode: Annotated[str, OneOf("triangular", "triangular2", "exp_range")] = "triangular"
    gamma: Positive = 1.0

    text_name = "cyclic"

    def _formula(self) -> tuple[Any, ...]:
        down = self.steps_up if self.steps_down is None else self.steps_down
        mode = ("triangular", "triangular2", "exp_range").index(self.mode)
        return "cyclic", self.low, self.high, self.steps_up, down, mode, self.gamma


@dataclass(frozen=True, repr=False, eq=False)
class InverseSqrt(_Compiled):
    r"""Linear warmup, then the inverse square root of the step.

    .. math:: \eta_t = \text{peak} \cdot \min\left(\frac{t + 1}{w}, \sqrt{\frac{w}{t + 1}}\right),
        \quad w = \text{warmup\_steps}

    Vaswani et al., "Attention Is All You Need" (2017), section 5.3, which counts steps from 1 and has
    :math:`\text{peak} = (d_\text{model} w)^{-1/2}`. transformers counts from 0: its first step has rate 0 and all
    its values come one step later. There is no end.

    Parameters
    ----------
    peak : finite float
        Value at step ``warmup_steps - 1``.
    warmup_steps : int >= 1
    """

    peak: Real
    warmup_steps: Count

    text_name = "inverse_sqrt"

    def _formula(self) -> tuple[Any, ...]:
        return "inverse_sqrt", self.peak, self.warmup_steps


@dataclass(frozen=True, repr=False, eq=False)
class WarmupStableDecay(_Compiled):
    r"""Linear warmup, a plateau, a decay ("trapezoidal", WSD).

    .. math:: \eta_t = \begin{cases}
        \text{peak} \cdot (t + 1) / \text{warmup} & t < \text{warmup} \\
        \text{final} + (\text{peak} - \text{final}) \, s(x) & \text{else}
        \end{cases} \qquad x = \frac{t - \text{warmup} - \text{stable}}{\text{decay}} \text{ held to } [0, 1]

    with s(x) = :math:`1 - \sqrt{x}` ("1-sqrt"), :math:`1 - x` ("linear"), :math:`(1 + \cos \pi x) / 2` ("cosine")
    or :math:`1 - x^2` ("1-square"). The decay starts at ``peak`` and ends at ``final`` whatever its shape. Hu et
    al., "MiniCPM" (2024); the shape "1-sqrt" is that of Hägele et al., "Scaling Laws and Compute-Optimal Training
    Beyond Fixed Training Durations" (2024).

    Parameters
    ----------
    peak : finite float
    warmup, stable : int >= 0
    decay : int >= 1
        Numbers of steps; ``length`` is their sum.
    final : finite float
    shape : "1-sqrt", "linear", "cosine" or "1-square"
    """

    peak: Real
    warmup: CountOrZero
    stable: CountOrZero
    decay: Count
    final: Real = 0.0
    shape: Annotated[str, OneOf("1-sqrt", "linear", "cosine", "1-square")] = "1-sqrt"

    text_name = "wsd"

    @property
    def length(self) -> int:
        return self.warmup + self.stable + self.decay

    def _formula(self) -> tuple[Any, ...]:
        shape = ("1-sqrt", "linear", "cosine", "1-square").index(self.shape)
        return "warmup_stable_decay", self.peak, self.final, self.warmup, self.stable, self.decay, shape


@dataclass(frozen=True, repr=False, eq=False)
class Rex(_Compiled):
    r"""Slow first and fast at the end: the reflection of an exponential decay.

    .. math:: \eta_t = \text{final} + (\text{initial} - \text{final}) \frac{1 - x}{1 - x / 2},
        \quad x = \min(t / \text{steps}, 1)

    Chen, Wolfe, Li and Kyrillidis, "REX: Revisiting Budgeted Training with an Improved Schedule" (2022).

    Parameters
    ----------
    initial, final : finite float
        Value at step 0, and from step ``steps`` on.
    steps : int >= 1
    """

    initial: Real
    steps: Count
    final: Real = 0.0

    text_name = "rex"

    @property
    def length(self) -> int:
        return self.steps

    def _formula(self) -> tuple[Any, ...]:
        return "rex", self.initial, self.final, self.steps


@dataclass(frozen=True, repr=False, eq=False)
class Custom(Schedule):
    r"""Any function of the step.

    .. math:: \eta_t = \text{function}(t)

    The function is called with one Python int, also for every entry of an array, and must return a number. The
    schedule pickles if the function does; ``to_dict`` raises TypeError, and :func:`parse` does not read it.

    Parameters
    ----------
    function : callable, int -> float
        It should depend on nothing but the step.
    """

    function: Annotated[Callable[[int], float], check_callable]

    def _at(self, step: int) -> float:
        return float(self.function(step))

    def _over(self, steps: "Steps") -> "Values":
        return np.array([self._at(step) for step in steps.tolist()], np.float64)

    def to_dict(self) -> NoReturn:
        raise TypeError(f"Custom holds a Python function, which JSON cannot carry: {self.function!r}")


# ---- compositions -------------------------------------------------------------------------------------------
@dataclass(frozen=True, repr=False, eq=False)
class Join(Schedule):
    r"""One schedule after another; what ``a.then(b, at=...)`` makes.

    .. math:: \eta_t = s_i(t - b_{i-1}), \quad b_{i-1} \le t < b_i

    Each schedule counts from its own zero. One that is shorter than its place holds its last value, one that is
    longer is cut. As optax's ``join_schedules`` and torch's ``SequentialLR``, but numbers that do not match raise.

    Parameters
    ----------
    schedules : sequence of schedules, at least one
        A Join in the first place is taken apart.
    boundaries : sequence of int >= 1, strictly increasing, one fewer than schedules
        The steps, counted from the beginning, at which the next schedule takes over.
    """

    schedules: Annotated[tuple[Schedule, ...], Each(_schedule)]
    boundaries: Boundaries

    text_name = "join"

    def __post_init__(self) -> None:
        super().__post_init__()
        n = len(self.schedules)
        if n == 0:
            raise ValueError("schedules must have at least one entry, got 0")
        if len(self.boundaries) != n - 1:
            raise ValueError(f"boundaries must have len(schedules) - 1 = {n - 1} entries, got {len(self.boundaries)}")
        first = self.schedules[0]
        if isinstance(first, Join):
            boundaries = Each(Whole(1), increasing=True)("boundaries", first.boundaries + self.boundaries)
            object.__setattr__(self, "schedules", first.schedules + self.schedules[1:])
            object.__setattr__(self, "boundaries", boundaries)

    @property
    def length(self) -> int | None:
        last = self.schedules[-1].length
        return None if last is None else last + (self.boundaries[-1] if self.boundaries else 0)

    def _at(self, step: int) -> float:
        i = bisect_right(self.boundaries, step)
        return self.schedules[i]._at(step - self.boundaries[i - 1] if i else step)

    def _over(self, steps: "Steps") -> "Values":
        out = np.empty(steps.shape)
        part = np.searchsorted(np.array(self.boundaries, np.int64), steps, side="right")
        for i, (start, schedule) in enumerate(zip((0, *self.boundaries), self.schedules, strict=True)):
            here = part == i
            out[here] = schedule._over(steps[here] - start)
        return out


@dataclass(frozen=True, repr=False, eq=False)
class Warmup(Schedule):
    """A schedule after a linear warmup; what ``s.with_warmup(steps, start)`` makes, where the formula is.

    Parameters
    ----------
    schedule : Schedule
    steps : int >= 1
    start : finite float, optional
        Value at step 0; without it, ``schedule(0) / steps``.
    """

    schedule: Annotated[Schedule, _schedule]
    steps: Count
    start: OptionalReal = None

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "_peak", self.schedule._at(0))

    if TYPE_CHECKING:
        _peak: ClassVar[float]

    @property
    def length(self) -> int | None:
        return None if self.schedule.length is None else self.steps + self.schedule.length

    def _shortened(self, steps: int) -> Schedule:
        return replace(self, schedule=self.schedule._shortened(steps))

    def _at(self, step: int) -> float:
        if step >= self.steps:
            return self.schedule._at(step - self.steps)
        if self.start is None:
            return self._peak * ((step + 1) / self.steps)
        return self.start + (self._peak - self.start) * (step / self.steps)

    def _over(self, steps: "Steps") -> "Values":
        if self.start is None:
            ramp = self._peak * ((steps + 1) / self.steps)
        else:
            ramp = self.start + (self._peak - self.start) * (steps / self.steps)
        after = self.schedule._over(np.maximum(steps - self.steps, 0))
        return np.where(steps < self.steps, ramp, after)

    def __repr__(self) -> str:
        start = "" if self.start is None else f", start={self.start!r}"
        return f"{_factor(self.schedule)}.with_warmup({self.steps}{start})"


@dataclass(frozen=True, repr=False, eq=False)
class Scaled(Schedule):
    r"""A multiple of a schedule; what ``2 * s`` makes.

    .. math:: \eta_t = \text{factor} \cdot s(t)

    Parameters
    ----------
    factor : finite float
    schedule : Schedule
    """

    factor: Real
    schedule: Annotated[Schedule, _schedule]

    @property
    def length(self) -> int | None:
        return self.schedule.length

    def _shortened(self, steps: int) -> Schedule:
        return replace(self, schedule=self.schedule._shortened(steps))

    def _at(self, step: int) -> float:
        return self.factor * self.schedule._at(step)

    def _over(self, steps: "Steps") -> "Values":
        return self.factor * self.schedule._over(steps)

    def __repr__(self) -> str:
        return f"{self.factor!r} * {_factor(self.schedule)}"


@dataclass(frozen=True, repr=False, eq=False)
class Product(Schedule):
    r"""Two schedules multiplied; what ``a * b`` makes.

    .. math:: \eta_t = a(t) \, b(t)

    Parameters
    ----------
    first, second : Schedule
    """

    first: Annotated[Schedule, _schedule]
    second: Annotated[Schedule, _schedule]

    @property
    def length(self) -> int | None:
        a, b = self.first.length, self.second.length
        return None if a is None or b is None else max(a, b)

    def _at(self, step: int) -> float:
        return self.first._at(step) * self.second._at(step)

    def _over(self, steps: "Steps") -> "Values":
        return self.first._over(steps) * self.second._over(steps)

    def __repr__(self) -> str:
        return f"{_factor(self.first)} * {_factor(self.second)}"


@dataclass(frozen=True, repr=False, eq=False)
class Clipped(Schedule):
    r"""A schedule held within bounds; what ``s.clip(low, high)`` makes.

    .. math:: \eta_t = \min(\max(s(t), \text{low}), \text{high})

    Parameters
    ----------
    schedule : Schedule
    low, high : finite float or None, not both None; low <= high
    """

    schedule: Annotated[Schedule, _schedule]
    low: OptionalReal = None
    high: OptionalReal = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.low is None and self.high is None:
            raise ValueError("low or high must be given, got None for both")
        if self.low is not None and self.high is not None and self.low > self.high:
            raise ValueError(f"low must be <= high = {self.high}, got {self.low}")

    @property
    def length(self) -> int | None:
        return self.schedule.length

    def _shortened(self, steps: int) -> Schedule:
        return replace(self, schedule=self.schedule._shortened(steps))

    def _at(self, step: int) -> float:
        value = self.schedule._at(step)
        if self.low is not None and value < self.low:
            return self.low
        return self.high if self.high is not None and value > self.high else value

    def _over(self, steps: "Steps") -> "Values":
        values = self.schedule._over(steps)
        if self.low is not None:
            values = np.where(values < self.low, self.low, values)
        return values if self.high is None else np.where(values > self.high, self.high, values)

    def __repr__(self) -> str:
        return f"{_factor(self.schedule)}.clip({self.low!r}, {self.high!r})"


@dataclass(frozen=True, repr=False, eq=False)
class Repeated(Schedule):
    r"""A schedule several times in a row; what ``s.repeat(times)`` makes.

    .. math:: \eta_t = s(t \bmod L) \quad (t < \text{times} \cdot L), \qquad \eta_t = s(L) \quad \text{after},
        \quad L = s.\text{length}

    Parameters
    ----------
    schedule : Schedule
        With a length of at least 1.
    times : int >= 1
    """

    schedule: Annotated[Schedule, _schedule]
    times: Count

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.schedule.length:
            raise ValueError(
                f"schedule must have an end to be repeated, got {self.schedule!r} of length {self.schedule.length}"
            )
        object.__setattr__(self, "_period", self.schedule.length)

    if TYPE_CHECKING:
        _period: ClassVar[int]

    @property
    def length(self) -> int:
        return self.times * self._period

    def _at(self, step: int) -> float:
        done, step = divmod(step, self._period)
        return self.schedule._at(step if done < self.times else self._period)

    def _over(self, steps: "Steps") -> "Values":
        done, rest = np.divmod(steps, self._period)
        return self.schedule._over(np.where(done < self.times, rest, self._period))

    def __repr__(self) -> str:
        return f"{_factor(self.schedule)}.repeat({self.times})"


def _factor(schedule: Schedule) -> str:
    """The text of a schedule where an operand stands: in parentheses if it is a product."""
    return f"({schedule!r})" if isinstance(schedule, (Scaled, Product)) else repr(schedule)


# ---- text ---------------------------------------------------------------------------------------------------
def parse(text: str) -> Schedule:
    """The schedule that a text describes: what ``repr`` prints, or shorter.

    >>> parse("cosine(3e-4, 10_000).with_warmup(500)")
    CosineDecay(initial=0.0003, steps=10000, final=0.0, exponent=1.0).with_warmup(500)

    The text is read by a parser of its own; nothing in it is run::

        product   = chain { "*" chain }
        chain     = value { "." method arguments }
        value     = ["-" | "+"] number | text in quotes | None | True | False
                  | name arguments | "(" product ")" | "(" values ")" | "[" values "]"
        arguments = "(" [ [name "="] product { "," [name "="] product } [","] ] ")"
        method    = "with_warmup" | "then" | "clip" | "repeat"

    A name is that of a class, in any case and with or without underscores (``CosineDecay``, ``cosine_decay``), or
    its short form: ``constant``, ``linear``, ``polynomial``, ``exponential``, ``inverse_time``, ``step``,
    ``piecewise``, ``cosine``, ``cosine_restarts``, ``one_cycle``, ``cyclic``, ``inverse_sqrt``, ``wsd``, ``rex``,
    ``join``.

    Raises
    ------
    TypeError
        If ``text`` is not a string.
    ValueError
        If the text cannot be read or an argument is wrong, with the position (from 0) and the reason.
    """
    if not isinstance(text, str):
        raise TypeError(f"text must be a string, got {text!r}")
    from lrcore.schedule_parser import Parser

    return Parser(text).schedule()
