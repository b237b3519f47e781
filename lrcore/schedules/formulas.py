"""The schedules' formulas in NumPy: what ``src/schedules.pyx`` computes, operation for operation.

:mod:`lrcore.schedules` evaluates its formulas in compiled code, or here where no compiled code is installed (and
when ``LRCORE_ISA=reference`` asks for it). Both give the same bits, on every machine, being made of
:mod:`lrcore.schedules.elementary` alone.

In every formula ``t`` is the step as a double, and the arguments are in the order in which
:class:`lrcore.schedules.Schedule` hands them over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from lrcore import checks
from lrcore.schedules.elementary import (
    LARGEST,
    Doubles,
    exponential_of,
    full,
    half_cosine,
    less_power,
    logarithm,
    power,
    power_of_log,
    times_power,
    two_product,
)
from lrcore.schedules.elementary import scalar_power as scalar_power


def smaller(a: Doubles, b: float) -> Doubles:
    return np.where(a > b, b, a)


def blend(initial: float | Doubles, final: float | Doubles, s: Doubles) -> Doubles:
    """final + (initial - final) s, exact at both ends: ``initial`` for s = 1, ``final`` for s = 0.

    Also where the difference or s overflows.
    """
    difference = np.asarray(initial) - final
    between = np.where(np.abs(difference) == np.inf, final * (1.0 - s) + initial * s, final + difference * s)
    return np.where(s == 1.0, initial, np.where((s == 0.0) | (difference == 0.0), final, between))


def polynomial(
    t: Doubles, initial: float, final: float, steps: float, exponent: float, cycle: float, k_decay: float
) -> Doubles:
    if cycle:
        cycles = np.floor(t / steps)
        cycles = np.where(cycles * steps < t, cycles + 1.0, cycles)  # t / steps, rounded up
        length = steps * np.where(cycles < 1.0, 1.0, cycles)
    else:
        length = full(t, steps)
        t = smaller(t, steps)
    s = (length - t) / length if k_decay == 1.0 else less_power(t / length, k_decay)
    if exponent != 1.0:
        s = power(s, full(s, exponent))
    return blend(initial, final, s)


def exponential(t: Doubles, initial: float, rate: float, decay_steps: float, staircase: float, final: float) -> Doubles:
    """``final`` is nan where there is none."""
    k = t / decay_steps
    if staircase:
        k = np.floor(k)
    log = logarithm(full(t, rate))
    value = initial * power_of_log(log, k)
    far = np.abs(t / decay_steps * log[0]) > 708.0
    if initial == 0.0 or far.any():
        value = np.where(far | (initial == 0.0), times_power(initial, log, k), value)
    if (initial > 0.0 and rate < 1.0) or (initial < 0.0 and rate > 1.0):
        return np.where(value < final, final, value)
    if (initial > 0.0 and rate > 1.0) or (initial < 0.0 and rate < 1.0):
        return np.where(value > final, final, value)
    return value


def inverse_time(t: Doubles, initial: float, rate: float, decay_steps: float, staircase: float) -> Doubles:
    k = t / decay_steps
    if staircase:
        k = np.floor(k)
    divisor = 1.0 + rate * k
    return np.where(divisor == np.inf, initial / k / rate, initial / divisor)


def piecewise_constant(t: Doubles, *boundaries_then_values: float) -> Doubles:
    n = len(boundaries_then_values) // 2
    boundaries, values = boundaries_then_values[:n], boundaries_then_values[n:]
    return np.array(values)[np.searchsorted(np.array(boundaries), t, side="right")]


def cosine(t: Doubles, initial: float, final: float, steps: float, exponent: float, k_decay: float) -> Doubles:
    t = smaller(t, steps)
    s = half_cosine((steps - t) / steps if k_decay == 1.0 else less_power(t / steps, k_decay))
    if exponent != 1.0:
        s = power(s, full(s, exponent))
    return blend(initial, final, s)


def cosine_cycles(t: Doubles, initial: float, final: float, steps: float, cycles: float, restart: float) -> Doubles:
    """``restart`` 1: each cycle falls only; 0: it falls and rises."""
    high, low = two_product(t, full(t, cycles))  # modulo steps, without an error that grows with t
    whole = np.floor(high / steps)
    p, e = two_product(whole, full(t, steps))
    gone = (high - p) + (low - e)
    gone = np.where(gone < 0.0, gone + steps, gone)
    gone = np.where(gone >= steps, gone - steps, gone)
    left = (steps - gone) / steps if restart else np.abs(steps - 2.0 * gone) / steps
    return blend(initial, final, half_cosine(left))


def restart(scale: Doubles, steps: float, growth: float) -> Doubles:
    """The step at which a period begins that is ``scale`` times as long as the first."""
    start = steps * (scale - 1.0) / growth
    return np.where(start == np.inf, steps * ((scale - 1.0) / growth), start)


def cosine_restarts(t: Doubles, initial: float, final: float, steps: float, t_mul: float, m_mul: float) -> Doubles:
    if t_mul == 1.0:
        i = np.floor(t / steps)
        start = i * steps
        length = full(t, steps)
    else:  # restart i lies at steps (t_mul^i - 1) / (t_mul - 1); the logarithm may miss i by one
        growth = t_mul - 1.0
        log = logarithm(full(t, t_mul))
        i = np.floor(logarithm(smaller(1.0 + t * growth / steps, LARGEST))[0] / log[0])
        i = np.where(restart(power_of_log(log, i), steps, growth) > t, i - 1.0, i)
        i = np.where(restart(power_of_log(log, i + 1.0), steps, growth) <= t, i + 1.0, i)
        scale = power_of_log(log, i)
        start = restart(scale, steps, growth)
        length = steps * scale
    left = ((start + length) - t) / length
    left = np.where(length == np.inf, 1.0, smaller(np.where(left < 0.0, 0.0, left), 1.0))
    height = power_of_log(logarithm(full(t, m_mul)), i)
    if abs(initial - final) <= LARGEST and initial != final:
        return final + (initial - final) * height * half_cosine(left)
    return blend(initial, final, height * half_cosine(left))


def one_cycle(
    t: Doubles, initial: float, peak: float, final: float, steps: float, warmup: float, down: float, linear: float
) -> Doubles:
    """Up from ``initial`` at 0 to ``peak`` at ``warmup``, back at ``down`` (if above ``warmup``), then to ``final``."""
    t = smaller(t, steps)
    three_phase = down > warmup
    rising = t < warmup
    falling = ~rising & (t < down)
    start = np.where(rising, 0.0, np.where(falling, warmup, down))
    end = np.where(rising, warmup, np.where(falling, down, steps))
    first = np.where(rising, initial, np.where(falling, peak, initial if three_phase else peak))
    last = np.where(rising, peak, np.where(falling, initial, final))
    s = (end - t) / (end - start)
    if not linear:
        s = half_cosine(s)
    return blend(first, last, s)


def cyclic(t: Doubles, low: float, high: float, up: float, down: float, mode: float, gamma: float) -> Doubles:
    """``mode`` 0: triangular, 1: triangular2, 2: exp_range."""
    total = up + down
    cycle = np.floor(t / total)
    p = t - cycle * total
    s = np.where(p <= up, p / up, (total - p) / down)
    height = full(t, 1.0)
    if mode == 1.0:
        height = power_of_log(logarithm(full(t, 0.5)), cycle)
    elif mode == 2.0:
        height = power_of_log(logarithm(full(t, gamma)), t)
    return np.where(s == 0.0, low, blend(high, low, s * height))


def inverse_sqrt(t: Doubles, peak: float, warmup: float, timescale: float) -> Doubles:
    n = t + 1.0
    return peak * np.where(n < warmup, n / warmup, np.sqrt(timescale / ((n - warmup) + timescale)))


def warmup_stable_decay(
    t: Doubles, peak: float, final: float, warmup: float, stable: float, decay: float, shape: float
) -> Doubles:
    """``shape`` 0: 1-sqrt, 1: linear, 2: cosine, 3: 1-square."""
    gone = (t - warmup) - stable
    gone = smaller(np.where(gone < 0.0, 0.0, gone), decay)
    x, left = gone / decay, (decay - gone) / decay
    if shape == 0.0:
        s = left / (1.0 + np.sqrt(x))
    elif shape == 1.0:
        s = left
    elif shape == 2.0:
        s = half_cosine(left)
    else:
        s = left * (1.0 + x)
    return np.where(t < warmup, peak * ((t + 1.0) / warmup), blend(peak, final, s))


def rex(t: Doubles, initial: float, final: float, steps: float) -> Doubles:
    left = steps - smaller(t, steps)
    return blend(initial, final, 2.0 * left / (steps + left))


def power_decay(t: Doubles, initial: float, exponent: float, steps: float) -> Doubles:
    log, y = logarithm((steps + t) / steps), full(t, -exponent)
    value = initial * power_of_log(log, y)
    far = np.abs(y * log[0]) > 708.0
    return np.where(far, times_power(initial, log, y), value) if far.any() else value


def tanh(t: Doubles, peak: float, final: float, steps: float, lower: float, upper: float) -> Doubles:
    """(1 - tanh y) / 2 = 1 / (1 + exp 2 y)."""
    t = smaller(t, steps)
    y = lower * ((steps - t) / steps) + upper * (t / steps)
    s = 1.0 / (1.0 + exponential_of(2.0 * y, full(t, 0.0)))
    return np.where(t < steps, blend(peak, final, s), final)


def table(t: Doubles, interpolate: float, *steps_then_values: float) -> Doubles:
    """``interpolate`` 0: not at all, 1: linear, 2: cosine."""
    n = len(steps_then_values) // 2
    steps, values = np.array(steps_then_values[:n]), np.array(steps_then_values[n:])
    i = np.searchsorted(steps, t, side="right") - 1
    before, after = np.maximum(i, 0), np.minimum(i + 1, n - 1)
    if not interpolate:
        return values[before]
    inside = before < after
    length = np.where(inside, steps[after] - steps[before], 1.0)
    left = np.where(inside, (steps[after] - t) / length, 1.0)
    if interpolate == 2.0:
        left = half_cosine(left)
    return blend(values[before], values[after], left)


def warmup(t: Doubles, peak: float, start: float, steps: float, shape: float, offset: float) -> Doubles:
    """``shape`` 0: linear, 1: cosine, 2: 1-sqrt, 3: log, 4: exponential; ``offset`` 0 or 1 is added to the step."""
    t = smaller(t + offset, steps)
    x, left = t / steps, (steps - t) / steps
    if shape == 4.0:
        between = power(full(t, abs(start)), left) * power(full(t, abs(peak)), x)
        return np.where(x == 1.0, peak, -between if peak < 0.0 else between)
    if shape == 0.0:
        s = x
    elif shape == 1.0:
        s = half_cosine(x)
    elif shape == 2.0:
        s = x / (1.0 + np.sqrt(left))
    else:
        s = smaller(logarithm(1.0 + t)[0] / logarithm(full(t, 1.0 + steps))[0], 1.0)
    return blend(peak, start, s)


FORMULAS: dict[str, Any] = {
    f.__name__: f
    for f in (
        polynomial,
        exponential,
        inverse_time,
        piecewise_constant,
        cosine,
        cosine_restarts,
        one_cycle,
        cyclic,
        inverse_sqrt,
        warmup_stable_decay,
        rex,
        cosine_cycles,
        power_decay,
        tanh,
        table,
        warmup,
    )
}
POINTS_AND_VALUES = {"piecewise_constant", "table"}
"""Formulas of any odd number of arguments: values one more than boundaries, and a mode before steps and values."""


def in_default_environment(function: Callable[[Any], Any], argument: Any) -> Any:
    """``function(argument)``; the compiled one sees to the floating-point environment, which nothing here can."""
    return function(argument)


class Formula:
    """A formula by name with its arguments, all of them, as many as it reads; evaluated at one step or at many.

    The compiled class of the same name does the same.
    """

    def __init__(self, name: str, arguments: Iterable[Any]) -> None:
        self._function = function = FORMULAS[name]
        values = tuple(checks.number(f"{name}[{i}]", x) for i, x in enumerate(arguments))
        expected, got = function.__code__.co_argcount - 1, len(values)
        if name not in POINTS_AND_VALUES and got != expected:
            raise ValueError(f"{name} must have {expected} arguments, got {got}")
        if name in POINTS_AND_VALUES:
            first = int(name == "table")
            if got % 2 == 0 or got <= 2 * first:
                raise ValueError(f"{name} must have an odd number of arguments{', 3 or more' * first}, got {got}")
            if not all(a < b for a, b in pairwise(values[first : first + got // 2])):
                raise ValueError(f"{name} must have steps that increase, got {checks.shown(list(values))}")
        self._arguments = tuple(map(np.float64, values))

    def value(self, step: int) -> float:
        """The value at one step."""
        return float(self.values(np.array([step], np.int64))[0])

    def values(self, steps: npt.NDArray[np.int64]) -> Doubles:
        """The values at a one-dimensional array of steps."""
        with np.errstate(all="ignore"):
            result: Doubles = self._function(steps.astype(np.float64), *self._arguments)
            return result
