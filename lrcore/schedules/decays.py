"""The schedules with a formula of their own."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import accumulate
from operator import mul
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from lrcore import checks, kernels
from lrcore.schedules.base import Constant, Join, Schedule, Stepped, conversion
from lrcore.schedules.fields import (
    AtLeastOne,
    Boundaries,
    Count,
    CountOrZero,
    Flag,
    Fraction,
    NotNegative,
    OptionalCount,
    OptionalReal,
    Points,
    Positive,
    Real,
    Reals,
    at_most_entries,
    count,
    each,
    one_of,
    optional,
    points,
    real,
    scales,
)

if TYPE_CHECKING:
    from lrcore.schedules.base import Steps, Values


class _Compiled(Schedule):
    """A schedule whose formula is compiled code, with its twin in :mod:`lrcore.schedules.formulas`."""

    def _settle(self) -> None:
        super()._settle()
        name, *arguments = self._formula()
        formula = kernels.formulas(kernels.selected).Formula(name, arguments)
        object.__setattr__(self, "_values", formula.values)
        cls = type(self)
        if cls._over is _Compiled._over and cls._at is Schedule._at:  # straight to it, where no subclass says otherwise
            object.__setattr__(self, "_at", formula.value)
            object.__setattr__(self, "_over", formula.values)

    if TYPE_CHECKING:
        _values: ClassVar[Any]

    def _over(self, steps: "Steps") -> "Values":
        values: Values = self._values(steps)
        return values

    def _formula(self) -> tuple[Any, ...]:
        """The name of the formula and its arguments, in order."""
        raise NotImplementedError


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
        return "polynomial", self.initial, self.final, self.steps, 1.0, 0.0, 1.0

    @classmethod
    @conversion
    def like_transformers(cls, lr: Real, num_warmup_steps: CountOrZero, num_training_steps: Count) -> Schedule:
        """``get_linear_schedule_with_warmup``, whose first step has rate 0."""
        return _warmed(cls(lr, 0.0, _after(num_warmup_steps, num_training_steps)), num_warmup_steps)

    @classmethod
    @conversion
    def like_deepspeed(
        cls,
        total_num_steps: Count,
        warmup_min_lr: Real = 0.0,
        warmup_max_lr: Real = 0.001,
        warmup_num_steps: CountOrZero = 1000,
        warmup_type: str = "log",
    ) -> Schedule:
        """``WarmupDecayLR`` as training meets it: the first two steps have ``warmup_min_lr``."""
        warmup_num_steps = max(2, warmup_num_steps)
        decay = cls(warmup_max_lr, warmup_min_lr, max(1, total_num_steps - warmup_num_steps))
        return _deepspeed(warmup_max_lr, warmup_min_lr, warmup_num_steps, warmup_type, decay).shift(-1)


@dataclass(frozen=True, repr=False, eq=False)
class PolynomialDecay(_Compiled):
    r"""A power of the time that is left.

    .. math:: \eta_t = \text{final} + (\text{initial} - \text{final})
        \left(\frac{T - \min(t, T)}{T}\right)^{\text{power}}, \quad T = \text{steps}

    With ``cycle=True``, as in Keras, T is the smallest positive multiple of ``steps`` that is at least t: the rate
    rises again after each multiple, and there is no end. With ``k_decay`` what is left is :math:`1 - (t / T)^k`, as
    in timm (Zhang and Li, "k-decay: A New Method for Learning Rate Schedule", 2020).

    Parameters
    ----------
    initial, final : finite float
        Value at step 0, and from step ``steps`` on.
    steps : int >= 1
    power : float > 0
    cycle : bool
    k_decay : float > 0
        Above 1 the rate falls later.
    """

    initial: Real
    final: Real
    steps: Count
    power: Positive = 1.0
    cycle: Flag = False
    k_decay: Positive = 1.0

    text_name = "polynomial"

    @property
    def length(self) -> int | None:
        return None if self.cycle else self.steps

    def _formula(self) -> tuple[Any, ...]:
        return "polynomial", self.initial, self.final, self.steps, self.power, float(self.cycle), self.k_decay

    @classmethod
    @conversion
    def like_transformers(
        cls, lr: Real, num_warmup_steps: CountOrZero, num_training_steps: Count, lr_end: Real = 1e-7, power: Real = 1.0
    ) -> Schedule:
        """``get_polynomial_decay_schedule_with_warmup``, whose first step has rate 0."""
        return _warmed(cls(lr, lr_end, _after(num_warmup_steps, num_training_steps), power), num_warmup_steps)

    @classmethod
    @conversion
    def like_timm(
        cls,
        lr: Real,
        t_initial: Count,
        power: Real = 0.5,
        lr_min: Real = 0.0,
        *,
        cycle_mul: Real = 1.0,
        cycle_decay: Real = 1.0,
        cycle_limit: Count = 1,
        warmup_t: CountOrZero = 0,
        warmup_lr_init: Real = 0.0,
        warmup_prefix: Flag = False,
        k_decay: Real = 1.0,
        updates: Count = 1,
    ) -> Schedule:
        """``PolyLRScheduler``; as :meth:`CosineDecay.like_timm` says."""
        cycles = _cycles(
            lambda peak, steps: cls(peak, lr_min, steps, power, k_decay=k_decay),
            lr,
            t_initial,
            cycle_mul,
            cycle_decay,
            cycle_limit,
        )
        return _timm(cycles, lr, warmup_t, warmup_lr_init, warmup_prefix, updates)


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
        if self.initial == 0 or self.decay_rate == 1:
            return
        falls = (self.decay_rate < 1) == (self.initial > 0)
        if self.final > self.initial if falls else self.final < self.initial:
            rule = "<=" if falls else ">="
            raise ValueError(f"final must be {rule} initial = {self.initial}, to where it decays, got {self.final}")

    def _formula(self) -> tuple[Any, ...]:
        final = math.nan if self.final is None else self.final
        return "exponential", self.initial, self.decay_rate, self.decay_steps, float(self.staircase), final


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
        return "inverse_time", self.initial, self.decay_rate, self.decay_steps, float(self.staircase)


@dataclass(frozen=True, repr=False, eq=False)
class PowerDecay(_Compiled):
    r"""A negative power of a clock that starts at 1.

    .. math:: \eta_t = \text{initial} \left(1 + \frac{t}{\text{steps}}\right)^{-\text{power}}

    scikit-learn's ``invscaling`` is ``steps=1``, with ``power_t`` for ``power``. There is no end. With ``power=1`` it
    is :class:`InverseTimeDecay`, with ``power=0.5`` :class:`InverseSqrt` after its warmup.

    Parameters
    ----------
    initial : finite float
    power : float > 0
    steps : int >= 1
        After as many steps the clock is at 2.
    """

    initial: Real
    power: Positive
    steps: Count = 1

    text_name = "power"

    def _formula(self) -> tuple[Any, ...]:
        return "power_decay", self.initial, self.power, self.steps


class _Interval(int):
    """A number of steps that is called as the method whose name it has: the argument is older than the method."""

    schedule: Schedule

    def __call__(self, steps: int) -> Stepped:
        return Stepped(self.schedule, steps)


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
    every: Count  # type: ignore[assignment]  # callable too, as the method is

    text_name = "step"

    def _check(self) -> None:
        every = _Interval(self.every)
        every.schedule = self
        object.__setattr__(self, "every", every)

    def _arguments(self) -> dict[str, Any]:
        return {**super()._arguments(), "every": int(self.every)}

    def _formula(self) -> tuple[Any, ...]:
        return "exponential", self.initial, self.factor, self.every, 1.0, math.nan

    @classmethod
    @conversion
    def like_timm(
        cls,
        lr: Real,
        decay_t: Count,
        decay_rate: Real = 1.0,
        *,
        warmup_t: CountOrZero = 0,
        warmup_lr_init: Real = 0.0,
        warmup_prefix: Flag = True,
        updates: Count = 1,
    ) -> Schedule:
        """``StepLRScheduler``; as :meth:`CosineDecay.like_timm` says, but the warmup comes before by default."""
        return _timm(cls(lr, decay_rate, decay_t), lr, warmup_t, warmup_lr_init, warmup_prefix, updates)


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
    values: Reals

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

    @classmethod
    @conversion
    def like_torch(
        cls, lr: Real, milestones: Annotated[Iterable[int], each(count, increasing=True)], gamma: Real = 0.1
    ) -> "PiecewiseConstant":
        """``MultiStepLR``: one factor for all milestones, not values."""
        boundaries = tuple(milestones)
        return cls(boundaries, tuple(accumulate([lr, *[gamma] * len(boundaries)], mul)))

    @classmethod
    @conversion
    def like_optax(
        cls, init_value: Real, boundaries_and_scales: Annotated[Mapping[int, float], scales]
    ) -> "PiecewiseConstant":
        """``piecewise_constant_schedule``: each value is given as a factor on the one before."""
        return cls(*_scaled(init_value, boundaries_and_scales))

    @classmethod
    @conversion
    def like_keras(
        cls, boundaries: Annotated[Iterable[int], points], values: Annotated[Iterable[float], each(real)]
    ) -> "PiecewiseConstant":
        """``PiecewiseConstantDecay``, where the step that equals a boundary has the value before it."""
        return cls(tuple(boundary + 1 for boundary in boundaries), tuple(values))


@dataclass(frozen=True, repr=False, eq=False)
class Table(_Compiled):
    r"""Values at steps of your choice, and what lies between them.

    .. math:: \eta_t = v_{i+1} + (v_i - v_{i+1}) \, g\!\left(\frac{s_{i+1} - t}{s_{i+1} - s_i}\right),
        \quad s_i \le t < s_{i+1}

    with g(x) = x ("linear"), :math:`(1 - \cos \pi x) / 2` ("cosine") or 1 (None: each value holds until the next
    one's step). The first value holds before its step, the last one after. Linear is ignite's ``PiecewiseLinear``;
    optax's ``piecewise_interpolate_schedule`` gives each value as a factor on the one before.

    Parameters
    ----------
    steps : sequence of int >= 0, strictly increasing, at least one
    values : sequence of finite float, as many as steps
    interpolate : "linear", "cosine" or None
    """

    steps: Points
    values: Reals
    interpolate: Annotated[str | None, optional(one_of("linear", "cosine"))] = "linear"

    text_name = "table"

    def _check(self) -> None:
        if not self.steps:
            raise ValueError("steps must have at least one entry, got 0")
        if len(self.values) != len(self.steps):
            raise ValueError(f"values must have len(steps) = {len(self.steps)} entries, got {len(self.values)}")

    @property
    def length(self) -> int:
        return self.steps[-1] if len(self.steps) > 1 else 0

    def _formula(self) -> tuple[Any, ...]:
        return "table", (None, "linear", "cosine").index(self.interpolate), *self.steps, *self.values

    @classmethod
    @conversion
    def like_optax(
        cls, interpolate_type: str, init_value: Real, boundaries_and_scales: Annotated[Mapping[int, float], scales]
    ) -> "Table":
        """``piecewise_interpolate_schedule``: each value is given as a factor on the one before."""
        steps, values = _scaled(init_value, boundaries_and_scales)
        return cls((0, *steps), values, interpolate_type)

    @classmethod
    @conversion
    def chebyshev(
        cls, lr: Real, steps: Annotated[int, at_most_entries], low: Positive = 0.05, high: Positive = 1.0
    ) -> "Table":
        r"""Rates that differ widely and together act as the best polynomial of their degree.

        .. math:: \eta_t = \frac{\text{lr}}{\text{high} - (\text{high} - \text{low}) \, (1 + \cos \theta) / 2},
            \quad \theta = \pi \frac{\sigma(t) + 1/2}{\text{steps}}

        in the fractal order :math:`\sigma`, which keeps the run stable: large rates among small ones. Agarwal, Goel
        and Zhang, "Acceleration via Fractal Learning Rate Schedules" (2021). ``low`` and ``high``, above 0, are
        bounds on the curvature relative to 1 / lr; ``steps`` is a power of two.
        """
        if steps & (steps - 1):
            raise ValueError(f"steps must be a power of two, got {steps}")
        order = [0]
        while len(order) < steps:
            order = [k for first in order for k in (first, 2 * len(order) - 1 - first)]
        near = CosineDecay(1.0, 2 * steps)
        return cls(range(steps), [lr / (high - (high - low) * near(2 * k + 1)) for k in order], None)  # type: ignore[arg-type]


@dataclass(frozen=True, repr=False, eq=False)
class CosineDecay(_Compiled):
    r"""Half a period of the cosine, from one value to another.

    .. math:: \eta_t = \text{final} + (\text{initial} - \text{final})
        \left(\frac{1 + \cos(\pi \min(t, T) / T)}{2}\right)^{\text{exponent}}, \quad T = \text{steps}

    Loshchilov and Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts" (2017), one period. It holds
    ``final`` past its end, where torch's ``CosineAnnealingLR`` rises again. ``final`` is a value, not the fraction
    ``alpha`` of Keras and optax. The value keeps its relative accuracy down to ``final=0``, where the expression
    ``1 + cos`` cancels. With ``k_decay`` the angle is :math:`\pi (t / T)^k`, as in timm (Zhang and Li, "k-decay: A New
    Method for Learning Rate Schedule", 2020).

    Parameters
    ----------
    initial : finite float
    steps : int >= 1
    final : finite float
    exponent : float > 0
    k_decay : float > 0
        Above 1 the rate falls later.
    """

    initial: Real
    steps: Count
    final: Real = 0.0
    exponent: Positive = 1.0
    k_decay: Positive = 1.0

    text_name = "cosine"

    @property
    def length(self) -> int:
        return self.steps

    def _formula(self) -> tuple[Any, ...]:
        return "cosine", self.initial, self.final, self.steps, self.exponent, self.k_decay

    @classmethod
    @conversion
    def like_keras(
        cls,
        initial_learning_rate: Real,
        decay_steps: Count,
        alpha: Real = 0.0,
        warmup_target: OptionalReal = None,
        warmup_steps: CountOrZero = 0,
    ) -> Schedule:
        """``CosineDecay``, where ``alpha`` is a fraction of ``warmup_target``, if that is given."""
        peak = initial_learning_rate if warmup_target is None else warmup_target
        decay = cls(peak, decay_steps, alpha * peak)
        return decay if warmup_target is None else _warmed(decay, warmup_steps, initial_learning_rate)

    @classmethod
    @conversion
    def like_transformers(
        cls, lr: Real, num_warmup_steps: CountOrZero, num_training_steps: Count, min_lr: Real = 0.0
    ) -> Schedule:
        """``get_cosine_schedule_with_warmup`` and ``get_cosine_with_min_lr_schedule_with_warmup``.

        Up to ``num_training_steps``: after that theirs rises again. (With other ``num_cycles``: that of
        :class:`CosineCycles`.)
        """
        return _warmed(cls(lr, _after(num_warmup_steps, num_training_steps), min_lr), num_warmup_steps)

    @classmethod
    @conversion
    def like_timm(
        cls,
        lr: Real,
        t_initial: Count,
        lr_min: Real = 0.0,
        *,
        cycle_mul: Real = 1.0,
        cycle_decay: Real = 1.0,
        cycle_limit: Count = 1,
        warmup_t: CountOrZero = 0,
        warmup_lr_init: Real = 0.0,
        warmup_prefix: Flag = False,
        k_decay: Real = 1.0,
        updates: Count = 1,
    ) -> Schedule:
        """``CosineLRScheduler``, without its noise, which needs torch's generator.

        During the warmup the clock of the schedule runs, unless ``warmup_prefix``, so that the rate falls when the
        warmup ends. All times are in the scheduler's unit, by default epochs: ``updates`` is the number of updates
        in it, 1 where ``t_in_epochs=False``. Cycles must be whole, else ValueError.
        """
        cycles = _cycles(
            lambda peak, steps: cls(peak, steps, lr_min, k_decay=k_decay),
            lr,
            t_initial,
            cycle_mul,
            cycle_decay,
            cycle_limit,
        )
        return _timm(cycles, lr, warmup_t, warmup_lr_init, warmup_prefix, updates)

    @classmethod
    @conversion
    def like_deepspeed(
        cls,
        lr: Real,
        total_num_steps: Count,
        warmup_min_ratio: Real = 0.0,
        warmup_num_steps: CountOrZero = 1000,
        cos_min_ratio: Real = 0.0001,
        warmup_type: str = "log",
    ) -> Schedule:
        """``WarmupCosineLR`` as training meets it: the first step has rate 0, the cosine begins one step on."""
        warmup_num_steps = max(2, warmup_num_steps)
        decay = cls(lr, max(1, total_num_steps - warmup_num_steps), cos_min_ratio * lr).shift(1)
        warmed = _deepspeed(lr, warmup_min_ratio * lr, warmup_num_steps, warmup_type, decay)
        return Constant(0.0).then(warmed, at=1)


@dataclass(frozen=True, repr=False, eq=False)
class CosineCycles(_Compiled):
    r"""Any number of periods of the cosine, also a part of one; for ever.

    .. math:: \eta_t = \text{final} + (\text{initial} - \text{final}) \frac{1 + \cos 2 \pi x}{2},
        \quad x = \text{cycles} \cdot t / \text{steps}

    From ``initial`` down to ``final`` and up again, ``cycles`` times in ``steps`` steps: the ``num_cycles`` of
    transformers. torch's ``CosineAnnealingLR``, which comes to ``final`` at ``T_max``, is one cycle of ``2 * T_max``
    steps. With ``restart=True`` each cycle only falls, :math:`(1 + \cos \pi (x \bmod 1)) / 2`, and the next begins at
    ``initial``: transformers' hard restarts.

    Parameters
    ----------
    initial, final : finite float
        The upper value, at step 0, and the lower one.
    steps : int >= 1
    cycles : float > 0, at most steps
    restart : bool
    """

    initial: Real
    steps: Count
    cycles: Positive = 1.0
    final: Real = 0.0
    restart: Flag = False

    text_name = "cosine_cycles"

    def _check(self) -> None:
        if self.cycles > self.steps:
            raise ValueError(f"cycles must be <= steps = {self.steps}, got {self.cycles}")

    def _formula(self) -> tuple[Any, ...]:
        return "cosine_cycles", self.initial, self.final, self.steps, self.cycles, float(self.restart)

    @classmethod
    @conversion
    def like_transformers(
        cls,
        lr: Real,
        num_warmup_steps: CountOrZero,
        num_training_steps: Count,
        num_cycles: Real = 0.5,
        hard_restarts: Flag = False,
    ) -> Schedule:
        """``get_cosine_schedule_with_warmup`` with any ``num_cycles``, also past its end.

        With ``hard_restarts`` that of ``get_cosine_with_hard_restarts_schedule_with_warmup``, which ends at 0.
        """
        steps = _after(num_warmup_steps, num_training_steps)
        waves: Schedule = cls(lr, steps, num_cycles, restart=hard_restarts)
        if hard_restarts:
            waves = waves.then(Constant(0.0), at=steps)
        return _warmed(waves, num_warmup_steps)


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

    @classmethod
    @conversion
    def like_keras(
        cls,
        initial_learning_rate: Real,
        first_decay_steps: Count,
        t_mul: Real = 2.0,
        m_mul: Real = 1.0,
        alpha: Real = 0.0,
    ) -> "CosineRestarts":
        """``CosineDecayRestarts``, where ``alpha`` is a fraction."""
        return cls(initial_learning_rate, first_decay_steps, t_mul, m_mul, alpha * initial_learning_rate)


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
    anneal: Annotated[str, one_of("cosine", "linear")] = "cosine"
    three_phase: Flag = False

    text_name = "one_cycle"

    def _check(self) -> None:
        initial = self.peak / self.start_factor
        for name, rate in (("start_factor", initial), ("end_factor", initial / self.end_factor)):
            if math.isinf(rate):
                raise ValueError(f"{name} must leave the rate within float64, got {getattr(self, name)}")
        if self.three_phase and self.warmup_fraction >= 0.5:
            raise ValueError(f"warmup_fraction must be < 0.5 with three_phase, got {self.warmup_fraction}")

    @property
    def length(self) -> int:
        return self.steps

    def _formula(self) -> tuple[Any, ...]:
        initial = self.peak / self.start_factor
        warmup = self.warmup_fraction * self.steps
        down = 2.0 * warmup if self.three_phase else warmup
        linear = float(self.anneal == "linear")
        return "one_cycle", initial, self.peak, initial / self.end_factor, self.steps, warmup, down, linear

    @classmethod
    @conversion
    def like_torch(
        cls,
        max_lr: Real,
        total_steps: Count,
        pct_start: Real = 0.3,
        anneal_strategy: str = "cos",
        div_factor: Real = 25.0,
        final_div_factor: Real = 1e4,
        three_phase: Flag = False,
    ) -> "OneCycle":
        """``OneCycleLR``, whose points lie at steps ``pct_start * total_steps - 1`` and ``total_steps - 1``.

        Its momentum, from ``max_momentum`` to ``base_momentum`` and back, is the same with ``max_lr=base_momentum,
        div_factor=base_momentum / max_momentum, final_div_factor=1.0``.
        """
        last = checks.whole("total_steps", total_steps, 2) - 1
        rise = checks.number("pct_start", pct_start, "[0, 1]") * total_steps - 1.0
        if not 0.0 <= rise < last:
            raise ValueError(f"pct_start must be >= 1 / total_steps and < 1, got {pct_start}")
        anneal = {"cos": "cosine"}.get(checks.one_of("anneal_strategy", anneal_strategy, "cos", "linear"), "linear")
        return cls(max_lr, last, rise / last, div_factor, final_div_factor, anneal, three_phase)


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
    mode: Annotated[str, one_of("triangular", "triangular2", "exp_range")] = "triangular"
    gamma: Positive = 1.0

    text_name = "cyclic"

    def _formula(self) -> tuple[Any, ...]:
        down = self.steps_up if self.steps_down is None else self.steps_down
        mode = ("triangular", "triangular2", "exp_range").index(self.mode)
        return "cyclic", self.low, self.high, self.steps_up, down, mode, self.gamma


@dataclass(frozen=True, repr=False, eq=False)
class InverseSqrt(_Compiled):
    r"""Linear warmup, then the inverse square root of the step.

    .. math:: \eta_t = \text{peak} \cdot \frac{t + 1}{w} \quad (t + 1 < w), \qquad
        \eta_t = \text{peak} \cdot \sqrt{\frac{\tau}{\tau + t + 1 - w}} \quad (t + 1 \ge w),
        \quad w = \text{warmup\_steps}, \quad \tau = \text{timescale}

    Vaswani et al., "Attention Is All You Need" (2017), section 5.3, which counts steps from 1 and has
    :math:`\text{peak} = (d_\text{model} w)^{-1/2}` and :math:`\tau = w`. transformers counts from 0: its first step
    has rate 0 and all its values come one step later. There is no end.

    Parameters
    ----------
    peak : finite float
        Value at step ``warmup_steps - 1``.
    warmup_steps : int >= 1
    timescale : int >= 1, optional
        ``warmup_steps`` by default; the rate has halved after three times as many steps.
    """

    peak: Real
    warmup_steps: Count
    timescale: OptionalCount = None

    text_name = "inverse_sqrt"

    def _formula(self) -> tuple[Any, ...]:
        return "inverse_sqrt", self.peak, self.warmup_steps, self.timescale or self.warmup_steps

    @classmethod
    @conversion
    def like_transformers(cls, lr: Real, num_warmup_steps: CountOrZero, timescale: OptionalCount = None) -> Schedule:
        """``get_inverse_sqrt_schedule``, whose first step has rate 0 and all others come one later."""
        if num_warmup_steps == 0:
            return PowerDecay(lr, 0.5, timescale or 10_000)
        return Constant(0.0).then(cls(lr, num_warmup_steps, timescale), at=1)


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
    shape: Annotated[str, one_of("1-sqrt", "linear", "cosine", "1-square")] = "1-sqrt"

    text_name = "wsd"

    @property
    def length(self) -> int:
        return self.warmup + self.stable + self.decay

    def _formula(self) -> tuple[Any, ...]:
        shape = ("1-sqrt", "linear", "cosine", "1-square").index(self.shape)
        return "warmup_stable_decay", self.peak, self.final, self.warmup, self.stable, self.decay, shape

    @classmethod
    @conversion
    def like_transformers(
        cls,
        lr: Real,
        num_warmup_steps: CountOrZero,
        num_decay_steps: Count,
        num_stable_steps: CountOrZero,
        warmup_type: str = "linear",
        decay_type: str = "cosine",
        min_lr_ratio: Real = 0.0,
    ) -> Schedule:
        """``get_wsd_schedule``, which also warms up from ``min_lr_ratio`` times the rate."""
        low = min_lr_ratio * lr
        return _warmed(
            cls(lr, 0, num_stable_steps, num_decay_steps, low, decay_type), num_warmup_steps, low, warmup_type
        )


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
class Tanh(_Compiled):
    r"""A hyperbolic tangent: slow, fast, slow.

    .. math:: \eta_t = \text{final} + (\text{peak} - \text{final}) \frac{1 - \tanh y}{2}, \quad
        y = \text{lower} (1 - x) + \text{upper} \, x, \quad x = t / \text{steps}

    and ``final`` from step ``steps`` on. Hsueh, Li and Wu, "Stochastic Gradient Descent with Hyperbolic-Tangent Decay
    on Classification" (2019), with the defaults of timm. The value at step 0 lies short of ``peak``, by a millionth of
    the way with ``lower=-7``; the last one before the end lies above ``final``, by a four-hundredth with ``upper=3``.

    Parameters
    ----------
    peak, final : finite float
    steps : int >= 1
    lower, upper : finite float, lower < upper
        The part of the tangent that is run through.
    """

    peak: Real
    steps: Count
    final: Real = 0.0
    lower: Real = -7.0
    upper: Real = 3.0

    text_name = "tanh"

    def _check(self) -> None:
        if self.lower >= self.upper:
            raise ValueError(f"lower must be < upper = {self.upper}, got {self.lower}")

    @property
    def length(self) -> int:
        return self.steps

    def _formula(self) -> tuple[Any, ...]:
        return "tanh", self.peak, self.final, self.steps, self.lower, self.upper

    @classmethod
    @conversion
    def like_timm(
        cls,
        lr: Real,
        t_initial: Count,
        lb: Real = -7.0,
        ub: Real = 3.0,
        lr_min: Real = 0.0,
        *,
        cycle_mul: Real = 1.0,
        cycle_decay: Real = 1.0,
        cycle_limit: Count = 1,
        warmup_t: CountOrZero = 0,
        warmup_lr_init: Real = 0.0,
        warmup_prefix: Flag = False,
        updates: Count = 1,
    ) -> Schedule:
        """``TanhLRScheduler``; as :meth:`CosineDecay.like_timm` says, but the warmup goes to where the tangent is."""
        cycles = _cycles(
            lambda peak, steps: cls(peak, steps, lr_min, lb, ub), lr, t_initial, cycle_mul, cycle_decay, cycle_limit
        )
        peak = lr if warmup_prefix else cycles(warmup_t)
        return _timm(cycles, peak, warmup_t, warmup_lr_init, warmup_prefix, updates)


# ---- parts of the conversions
def _scaled(initial: float, scales: Mapping[int, float]) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """The steps, and the values from the first on, each a factor times the one before."""
    return tuple(scales), tuple(accumulate([initial, *scales.values()], mul))


def _after(warmup: int, total: int) -> int:
    """The steps of training that are left after the warmup."""
    if warmup >= total:
        raise ValueError(f"num_warmup_steps must be < num_training_steps = {total}, got {warmup}")
    return total - warmup


def _warmed(schedule: Schedule, steps: int, start: float = 0.0, shape: str = "linear") -> Schedule:
    return schedule.with_warmup(steps, start, shape=shape) if steps else schedule


def _deepspeed(peak: float, low: float, steps: int, shape: str, then: Schedule) -> Schedule:
    """The warmup of DeepSpeed, which with "log" is at the peak one step early, and what comes after it."""
    checks.one_of("warmup_type", shape, "log", "linear")
    return Constant(peak).with_warmup(steps - (shape == "log"), low, shape=shape).then(then, at=steps)


def _cycles(
    cycle: Callable[[float, int], Schedule], lr: float, steps: int, growth: float, decay: float, limit: int
) -> Schedule:
    """One cycle after another, each longer and lower."""
    lengths = list(accumulate([float(steps), *[growth] * (limit - 1)], mul))
    if any(length < 1.0 or length != length // 1.0 for length in lengths):
        raise ValueError(f"cycle_mul must give cycles of whole lengths, got {growth} with {steps} steps")
    peaks = accumulate([lr, *[decay] * (limit - 1)], mul)
    parts = [cycle(peak, int(length)) for peak, length in zip(peaks, lengths, strict=True)]
    return parts[0] if limit == 1 else Join(parts, tuple(map(int, accumulate(lengths[:-1]))))  # type: ignore[arg-type]


def _timm(schedule: Schedule, peak: float, steps: int, start: float, prefix: bool, updates: int) -> Schedule:
    if steps:
        schedule = Linear(start, peak, steps).then(schedule if prefix else schedule.shift(steps), at=steps)
    return schedule if updates == 1 else schedule.every(updates)
