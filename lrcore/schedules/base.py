"""What every schedule has, the checks of its fields, and the schedules made of other schedules."""

import math
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, NoReturn, Self, TypeAlias, get_type_hints, overload

import numpy as np

from lrcore.checks import function as check_callable

if TYPE_CHECKING:
    import numpy.typing as npt

    Steps: TypeAlias = npt.NDArray[np.int64]
    Values: TypeAlias = npt.NDArray[np.float64]

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
