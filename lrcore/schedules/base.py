"""What every schedule has, the schedules made of other schedules, and those without a formula."""

import copyreg
import inspect
import math
import numbers
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, wraps
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    ClassVar,
    NoReturn,
    ParamSpec,
    TypeAlias,
    TypeVar,
    get_type_hints,
    overload,
)

import numpy as np

from lrcore import checks, kernels
from lrcore.schedules.fields import (
    LAST_STEP,
    Boundaries,
    Check,
    Count,
    Integer,
    OptionalReal,
    Real,
    count,
    each,
    one_of,
)

if TYPE_CHECKING:
    import numpy.typing as npt

    Steps: TypeAlias = npt.NDArray[np.int64]
    Values: TypeAlias = npt.NDArray[np.float64]

DEEPEST = 50  # schedules within schedules: text, JSON and pickle recurse, and Python bounds that
WARMUPS = ("linear", "cosine", "1-sqrt", "log", "exponential")
MOST_PARTS = 2**14  # of a schedule made of others, which doubles with each s * s

REGISTRY: dict[str, type["Schedule"]] = {}
"""The classes that text and JSON may name."""

NAMES: dict[str, type["Schedule"]] = {}
"""The same by what a text may call them: the name of the class and the short one, as :func:`spelled`."""

evaluated: Callable[[Callable[[Any], Any], Any], Any] = kernels.formulas(kernels.selected).in_default_environment
"""``function(argument)``, computed in the default floating-point environment where there is compiled code."""


_P = ParamSpec("_P")
_R = TypeVar("_R")


def conversion(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """A function whose annotations check its arguments, as those of fields do; in the default environment."""

    @wraps(function)
    def converted(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        signature = inspect.signature(function)
        given = signature.bind(*args, **kwargs)

        def convert(arguments: dict[str, Any]) -> _R:
            for name in arguments:
                for check in getattr(signature.parameters[name].annotation, "__metadata__", ()):
                    arguments[name] = check(name, arguments[name])
            return function(*given.args, **given.kwargs)

        return evaluated(convert, given.arguments)  # type: ignore[no-any-return]

    return converted


def _schedule(name: str, value: Any) -> "Schedule":
    if not isinstance(value, Schedule):
        hint = "; Custom(function) makes one of a function" if callable(value) else ""
        raise TypeError(f"{name} must be a schedule, got {checks.shown(value)}{hint}")
    return value


def spelled(name: str) -> str:
    """A name as texts are compared: case and underscores do not count."""
    return name.lower().replace("_", "")


class Schedule:
    """A value that depends on the step alone; the base of every schedule.

    A subclass is a frozen dataclass and defines ``_over``; ``_at`` if one step can be had faster; ``length`` if it
    has an end; ``_check`` if arguments must fit each other. A field annotated with a check of
    :mod:`lrcore.schedules.fields` (``Real``,
    ``Positive``, ``Count``, ...) is checked and converted when the schedule is made.

    Text and JSON know it by the name of its class, in texts also by ``text_name``; TypeError if another schedule has
    that name. Two kinds of subclasses stay outside, where :meth:`to_dict` raises TypeError and :func:`parse` and
    :func:`from_dict` ValueError: those whose name begins with an underscore, and those with an ``__init__`` of
    their own, which are equal only to themselves. They are evaluated and compose like all others.
    """

    text_name: ClassVar[str] = ""  # a short name for the command line, beside the name of the class
    __array_ufunc__: ClassVar[None] = None  # numpy_number * schedule comes to __rmul__
    if TYPE_CHECKING:
        _depth: ClassVar[int]
        _parts: ClassVar[int]
    else:
        _depth = _parts = 1

    def __init_subclass__(cls) -> None:
        if cls.__name__.startswith("_"):
            return
        identity = cls.__module__, cls.__qualname__
        own = {spelled(name): name for name in (cls.__name__, vars(cls).get("text_name", "")) if name}
        for key, name in own.items():
            known = NAMES.get(key)
            if known is not None and (known.__module__, known.__qualname__) != identity:
                raise TypeError(f"a schedule named {name} exists already: {known.__module__}.{known.__qualname__}")
        for key in [key for key, known in NAMES.items() if (known.__module__, known.__qualname__) == identity]:
            del NAMES[key]  # the same class, defined again
        NAMES.update(dict.fromkeys(own, cls))
        REGISTRY[cls.__name__] = cls

    def __post_init__(self) -> None:
        evaluated(type(self)._settle, self)

    def _settle(self) -> None:
        """Check and convert the arguments, and prepare what evaluation needs."""
        cls = type(self)
        made_as = getattr(cls, "__dataclass_params__", None)
        if made_as is not None and not made_as.frozen:
            raise TypeError(f"{cls.__name__} must be a frozen dataclass: what is assigned later would not be checked")
        for name, field_checks in _checks(cls).items():  # type: ignore[arg-type]  # a class is hashable
            for check in field_checks:
                object.__setattr__(self, name, check(name, getattr(self, name)))
        self._check()
        parts = [part for value in self._arguments().values() for part in _parts_of(value)]
        depth = 1 + max((part._depth for part in parts), default=0)
        size = 1 + sum(part._parts for part in parts)
        if depth > DEEPEST:
            raise ValueError(f"a schedule must be nested at most {DEEPEST} deep, got {depth} in {cls.__name__}")
        if size > MOST_PARTS:
            raise ValueError(f"a schedule must have at most {MOST_PARTS} parts, got {size} in {cls.__name__}")
        object.__setattr__(self, "_depth", depth)
        object.__setattr__(self, "_parts", size)

    def _check(self) -> None:
        """Raise ValueError where arguments do not fit each other."""

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
            return evaluated(self._at, step)  # type: ignore[no-any-return]
        given: Any = step if isinstance(step, np.ndarray) else checks.plain(step)
        if isinstance(given, int) and not isinstance(given, bool):
            return evaluated(self._at, checks.whole("step", given, 0))  # type: ignore[no-any-return]
        return evaluated(self._at_all, step)  # type: ignore[no-any-return]

    def _at_all(self, given: Any) -> "Values":
        """The values at whatever NumPy makes an array of integers of."""
        steps = np.asarray(given)
        if steps.size == 0 and isinstance(given, (list, tuple)):
            steps = steps.astype(np.int64)
        if steps.dtype.kind not in "iu":
            shown = checks.shown(given) if steps.ndim == 0 else f"an array of {steps.dtype}"
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
    def with_warmup(
        self, steps: int, start: float | None = None, inside: bool = False, shape: str = "linear"
    ) -> "Schedule":
        r"""This schedule after a warmup.

        .. math:: \eta_t = \eta(0) \, g\!\left(\frac{t + 1}{\text{steps}}\right) \quad (t < \text{steps}),
            \qquad \eta_t = \eta(t - \text{steps}) \quad (t \ge \text{steps})

        The first step is already above zero and the last warmup step has the full rate. With ``start`` the ramp
        begins at that value: :math:`\text{start} + (\eta(0) - \text{start}) \, g(t / \text{steps})`; ``start=0.0``
        is the warmup of optax and transformers, in which the first step does nothing. With x what g is given,

        =============== =======================================================================================
        ``shape``       g(x)
        =============== =======================================================================================
        "linear"        x
        "cosine"        :math:`(1 - \cos \pi x) / 2`
        "1-sqrt"        :math:`1 - \sqrt{1 - x}`
        "log"           :math:`\ln(1 + x \cdot \text{steps}) / \ln(1 + \text{steps})`
        "exponential"   the same factor from step to step: :math:`\text{start} \, (\eta(0) / \text{start})^x`
        =============== =======================================================================================

        The first three are those of transformers' ``get_wsd_schedule``; "log" is that of DeepSpeed's ``WarmupLR``,
        whose ``warmup_num_steps`` is ``steps + 1`` here; "exponential" is fastai's ``SchedExp``.

        Parameters
        ----------
        steps : int >= 1
            Number of warmup steps.
        start : float, optional
            Value at step 0. "exponential" needs one, above zero if the schedule begins above zero, else below.
        inside : bool
            False: the warmup comes before the schedule, whose own steps are all still run; the whole is
            ``steps`` longer. (torch ``SequentialLR``, Keras ``CosineDecay``.) True: the warmup counts inside the
            total; the schedule is made shorter by ``steps``, and the end stays where it was. (transformers, optax
            ``warmup_cosine_decay_schedule``.) A schedule without a total raises ValueError. Where the schedule's
            own clock is to run from the first warmup step on, it is ``s.shift(steps).with_warmup(steps)``.
        shape : "linear", "cosine", "1-sqrt", "log" or "exponential"
        """
        steps = checks.whole("steps", steps, 1)
        inside = checks.flag("inside", inside)
        return Warmup(self._shortened(steps) if inside else self, steps, start, shape)

    def _shortened(self, steps: int) -> "Schedule":
        total = getattr(self, "steps", None)
        if total is None or total != self.length:
            raise ValueError(f"inside=True needs a schedule with a total of steps, got {checks.shown(self)}")
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
                raise ValueError(f"at must be given after a schedule that has no end of its own, {checks.shown(self)}")
        return Join((self, other), (at,))

    def __mul__(self, other: object) -> "Schedule":
        if isinstance(other, Schedule):
            return Product(self, other)
        factor = checks.plain(other)
        if isinstance(factor, numbers.Real) and not isinstance(factor, bool):
            return Scaled(factor, self)  # type: ignore[arg-type]  # its check makes a float of it
        return NotImplemented

    def __rmul__(self, other: object) -> "Schedule":
        return self.__mul__(other)

    def __add__(self, other: object) -> "Schedule":
        if isinstance(other, Schedule):
            return Sum(self, other)
        number = checks.plain(other)
        if isinstance(number, numbers.Real) and not isinstance(number, bool):
            return Sum(self, Constant(number))  # type: ignore[arg-type]  # its check makes a float of it
        return NotImplemented

    def __radd__(self, other: object) -> "Schedule":
        return self.__add__(other)

    def __sub__(self, other: object) -> "Schedule":
        return self + (-1 * other) if isinstance(other, Schedule) else self.__add__(_negative(other))

    def __rsub__(self, other: object) -> "Schedule":
        return (-1 * self).__add__(other)

    def shift(self, by: int) -> "Shifted":
        """This schedule ``by`` steps ahead: s(t + by). Where ``by`` is negative it comes later, after its first value.

        ``s.shift(n).with_warmup(n)`` is a warmup during which the clock of the schedule runs.
        """
        return Shifted(self, by)

    def every(self, steps: int) -> "Stepped":
        """This schedule with a step of its own every ``steps`` steps: s(t // steps), say one an epoch."""
        return Stepped(self, steps)

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
        if not is_data(type(self)):
            return object.__repr__(self)
        arguments = ", ".join(f"{name}={value!r}" for name, value in self._arguments().items())
        return f"{type(self).__name__}({arguments})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Schedule) or type(other) is not type(self):
            return NotImplemented
        return self is other or (is_data(type(self)) and self._arguments() == other._arguments())

    def __hash__(self) -> int:
        if not is_data(type(self)):
            return object.__hash__(self)
        return hash((type(self), *self._arguments().values()))

    def __reduce__(self) -> tuple[Any, ...]:
        if not is_data(type(self)):
            return copyreg.__newobj__, (type(self),), vars(self)  # type: ignore[attr-defined]
        return _made, (type(self), self._arguments())

    def to_dict(self) -> dict[str, Any]:
        """This schedule as a dict that JSON can carry; :func:`from_dict` reads it.

        Raises
        ------
        TypeError
            If a :class:`Custom` schedule is part of it, or one of a class that :func:`from_dict` does not know.
        """
        cls = type(self)
        if cls.__name__ not in REGISTRY:
            raise TypeError(f"{cls.__name__} is not known to from_dict, since its name begins with an underscore")
        if not is_data(cls):
            raise TypeError(f"{cls.__name__} {NOT_DATA}")
        return {"type": cls.__name__, **{k: _plain(v) for k, v in self._arguments().items()}}


NOT_DATA = "has an __init__ of its own: only a dataclass can be written and read"


@cache
def _checks(cls: type[Any]) -> dict[str, tuple[Check, ...]]:
    """The checks in the annotations of each field."""
    hints = get_type_hints(cls, include_extras=True)
    return {name: getattr(hints[name], "__metadata__", ()) for name in cls._fields()}


def is_data(cls: type[Any]) -> bool:
    """Whether the arguments of the constructor are the fields of a dataclass, or none."""
    maker = next(base for base in cls.__mro__ if "__init__" in vars(base))
    return maker is object or "__dataclass_params__" in vars(maker)


def _negative(value: Any) -> Any:
    """A number with the other sign; anything else as it is."""
    number = checks.plain(value)
    return -number if isinstance(number, numbers.Real) and not isinstance(number, bool) else value


def _made(cls: type[Schedule], arguments: dict[str, Any]) -> Schedule:
    """What a pickle calls."""
    return cls(**arguments)


def _parts_of(value: object) -> tuple[Schedule, ...]:
    """The schedules in the value of a field."""
    if isinstance(value, Schedule):
        return (value,)
    return tuple(entry for entry in value if isinstance(entry, Schedule)) if isinstance(value, tuple) else ()


def _plain(value: object) -> object:
    if isinstance(value, Schedule):
        return value.to_dict()
    return [_plain(entry) for entry in value] if isinstance(value, tuple) else value


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

    @classmethod
    @conversion
    def like_deepspeed(
        cls,
        warmup_min_lr: Real = 0.0,
        warmup_max_lr: Real = 0.001,
        warmup_num_steps: Count = 1000,
        warmup_type: str = "log",
    ) -> Schedule:
        """``WarmupLR`` as training meets it: the first two steps have ``warmup_min_lr``."""
        steps = max(2, warmup_num_steps) - (checks.one_of("warmup_type", warmup_type, "log", "linear") == "log")
        return cls(warmup_max_lr).with_warmup(steps, warmup_min_lr, shape=warmup_type).shift(-1)


@dataclass(frozen=True, repr=False, eq=False)
class Custom(Schedule):
    r"""Any function of the step.

    .. math:: \eta_t = \text{function}(t)

    The function is called with one Python int, also for every entry of an array, and must return a number (any that
    holds one: a NumPy scalar, a scalar tensor), else TypeError. It runs in the default floating-point environment.
    The schedule pickles if the function does; ``to_dict`` raises TypeError, and :func:`parse` does not read it.

    Parameters
    ----------
    function : callable, int -> float
        It should depend on nothing but the step.
    """

    function: Annotated[Callable[[int], float], checks.function]

    def _at(self, step: int) -> float:
        value = self.function(step)
        return value if type(value) is float else checks.number(f"function({step})", value)

    def _over(self, steps: "Steps") -> "Values":
        return np.array([self._at(step) for step in steps.tolist()], np.float64)

    def to_dict(self) -> NoReturn:
        raise TypeError(f"Custom holds a Python function, which JSON cannot carry: {checks.shown(self.function)}")


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

    schedules: Annotated[tuple[Schedule, ...], each(_schedule)]
    boundaries: Boundaries

    text_name = "join"

    def _check(self) -> None:
        n = len(self.schedules)
        if n == 0:
            raise ValueError("schedules must have at least one entry, got 0")
        if len(self.boundaries) != n - 1:
            raise ValueError(f"boundaries must have len(schedules) - 1 = {n - 1} entries, got {len(self.boundaries)}")
        first = self.schedules[0]
        if isinstance(first, Join):
            boundaries = each(count, increasing=True)("boundaries", first.boundaries + self.boundaries)
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
    """A schedule after a warmup; what ``s.with_warmup(steps, start, shape=shape)`` makes, where the formula is.

    Parameters
    ----------
    schedule : Schedule
    steps : int >= 1
    start : finite float, optional
        Value at step 0; without it, that of the ramp from zero one step later.
    shape : "linear", "cosine", "1-sqrt", "log" or "exponential"
    """

    schedule: Annotated[Schedule, _schedule]
    steps: Count
    start: OptionalReal = None
    shape: Annotated[str, one_of(*WARMUPS)] = "linear"

    def _check(self) -> None:
        peak = self.schedule._at(0)
        start, offset = (0.0, 1) if self.start is None else (self.start, 0)
        if self.shape == "exponential" and not start * math.copysign(1.0, peak) > 0.0 < abs(peak):
            raise ValueError(
                f'start must have the sign of the first value, {peak}, and neither be 0, with shape="exponential", '
                f"got {self.start}"
            )
        ramp = kernels.formulas(kernels.selected).Formula(
            "warmup", (peak, start, self.steps, WARMUPS.index(self.shape), offset)
        )
        object.__setattr__(self, "_ramp", ramp)

    if TYPE_CHECKING:
        _ramp: ClassVar[Any]

    @property
    def length(self) -> int | None:
        return None if self.schedule.length is None else self.steps + self.schedule.length

    def _shortened(self, steps: int) -> Schedule:
        return replace(self, schedule=self.schedule._shortened(steps))

    def _at(self, step: int) -> float:
        if step >= self.steps:
            return self.schedule._at(step - self.steps)
        return self._ramp.value(step)  # type: ignore[no-any-return]

    def _over(self, steps: "Steps") -> "Values":
        ramp = self._ramp.values(steps)
        after = self.schedule._over(np.maximum(steps - self.steps, 0))
        return np.where(steps < self.steps, ramp, after)

    def __repr__(self) -> str:
        start = "" if self.start is None else f", start={self.start!r}"
        shape = "" if self.shape == "linear" else f", shape={self.shape!r}"
        return f"{_factor(self.schedule)}.with_warmup({self.steps}{start}{shape})"


@dataclass(frozen=True, repr=False, eq=False)
class Shifted(Schedule):
    r"""A schedule sooner or later; what ``s.shift(by)`` makes.

    .. math:: \eta_t = s(\max(t + \text{by}, 0))

    Parameters
    ----------
    schedule : Schedule
    by : int
        Steps ahead; negative for later. Beyond step 2^53 - 1 the schedule is asked for its value there.
    """

    schedule: Annotated[Schedule, _schedule]
    by: Integer

    @property
    def length(self) -> int | None:
        length = self.schedule.length
        return max(length - self.by, 0) if length else length

    def _shortened(self, steps: int) -> Schedule:
        return replace(self, schedule=self.schedule._shortened(steps))

    def _at(self, step: int) -> float:
        return self.schedule._at(min(max(step + self.by, 0), LAST_STEP))

    def _over(self, steps: "Steps") -> "Values":
        return self.schedule._over(np.clip(steps + self.by, 0, LAST_STEP))

    def __repr__(self) -> str:
        return f"{_factor(self.schedule)}.shift({self.by})"


@dataclass(frozen=True, repr=False, eq=False)
class Stepped(Schedule):
    r"""A schedule that takes a step every so many steps; what ``s.every(steps)`` makes.

    .. math:: \eta_t = s(\lfloor t / \text{each} \rfloor)

    Parameters
    ----------
    schedule : Schedule
    each : int >= 1
        Number of steps that every step of the schedule takes, say those of an epoch.
    """

    schedule: Annotated[Schedule, _schedule]
    each: Count

    @property
    def length(self) -> int | None:
        return None if self.schedule.length is None else self.schedule.length * self.each

    def _at(self, step: int) -> float:
        return self.schedule._at(step // self.each)

    def _over(self, steps: "Steps") -> "Values":
        return self.schedule._over(steps // self.each)

    def __repr__(self) -> str:
        return f"{_factor(self.schedule)}.every({self.each})"


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


def _until_both_end(first: Schedule, second: Schedule) -> int | None:
    a, b = first.length, second.length
    return None if a is None or b is None else max(a, b)


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
        return _until_both_end(self.first, self.second)

    def _at(self, step: int) -> float:
        return self.first._at(step) * self.second._at(step)

    def _over(self, steps: "Steps") -> "Values":
        return self.first._over(steps) * self.second._over(steps)

    def __repr__(self) -> str:
        return f"{_factor(self.first)} * {_factor(self.second)}"


@dataclass(frozen=True, repr=False, eq=False)
class Sum(Schedule):
    r"""Two schedules added; what ``a + b`` makes, and ``a + 0.1`` with a :class:`Constant`.

    .. math:: \eta_t = a(t) + b(t)

    Parameters
    ----------
    first, second : Schedule
    """

    first: Annotated[Schedule, _schedule]
    second: Annotated[Schedule, _schedule]

    @property
    def length(self) -> int | None:
        return _until_both_end(self.first, self.second)

    def _shortened(self, steps: int) -> Schedule:
        if self.second.length == 0:
            return replace(self, first=self.first._shortened(steps))
        return (
            replace(self, second=self.second._shortened(steps)) if self.first.length == 0 else super()._shortened(steps)
        )

    def _at(self, step: int) -> float:
        return self.first._at(step) + self.second._at(step)

    def _over(self, steps: "Steps") -> "Values":
        return self.first._over(steps) + self.second._over(steps)

    def __repr__(self) -> str:
        second = f"({self.second!r})" if isinstance(self.second, Sum) else repr(self.second)
        return f"{self.first!r} + {second}"


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

    def _check(self) -> None:
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

    def _check(self) -> None:
        if not self.schedule.length:
            raise ValueError(
                f"schedule must have an end to be repeated, got {checks.shown(self.schedule)} "
                f"of length {self.schedule.length}"
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
    """The text of a schedule where an operand stands: in parentheses if it is a product or sum."""
    return f"({schedule!r})" if isinstance(schedule, (Scaled, Product, Sum)) else repr(schedule)
