"""The schedules with a formula of their own."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from lrcore import kernels
from lrcore.schedules.base import Schedule
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
    one_of,
    optional,
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
    :math:`\text{peak} = (d_\text{model} w)^{-1/2}` and :math:`\tau = w`. transformers counts from 0: its first step has rate 0 and all
    its values come one step later. There is no end.

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
