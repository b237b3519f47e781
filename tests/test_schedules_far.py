"""Values far from the beginning, and of numbers near the ends of float64, against exact arithmetic."""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal, localcontext
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_schedules import BUILDS, BUILT_IN, remade

from lrcore import kernels
from lrcore.schedules import (
    Clipped,
    Constant,
    CosineCycles,
    CosineDecay,
    CosineRestarts,
    Custom,
    Cyclic,
    ExponentialDecay,
    InverseSqrt,
    InverseTimeDecay,
    Join,
    Linear,
    OneCycle,
    PiecewiseConstant,
    PolynomialDecay,
    PowerDecay,
    Product,
    Repeated,
    Rex,
    Scaled,
    Schedule,
    Shifted,
    StepDecay,
    Stepped,
    Sum,
    Table,
    Tanh,
    Warmup,
    WarmupStableDecay,
)

LAST = 2**53 - 1
FAR = [
    9_999,
    10_000,
    10_001,
    123_457,
    10**5,
    10**6,
    10**7 + 19,
    2**31 - 1,
    2**31,
    10**12 + 39,
    2**52 + 1,
    LAST - 1,
    LAST,
]
DIGITS = Context(prec=60, Emin=MIN_EMIN, Emax=MAX_EMAX)
PI = Decimal("3.14159265358979323846264338327950288419716939937510582097494459230781640628620899863")


def exact(x: Fraction | Decimal | float) -> Decimal:
    return Decimal(x.numerator) / Decimal(x.denominator) if isinstance(x, Fraction) else Decimal(x)


def power(x: Fraction | float, y: Fraction | int) -> Decimal:
    """x to the power y, by logarithm and exponential with 60 digits."""
    return Decimal(0) if x == 0 else (exact(x).ln() * exact(y if isinstance(y, Fraction) else Fraction(y))).exp()


def fall(x: Fraction) -> Decimal:
    """(1 + cos(pi x)) / 2 = sin(pi (1 - x) / 2)^2 by its power series."""
    angle = PI * exact(1 - x) / 2
    term = total = angle
    k = 1
    while abs(term) > Decimal("1e-55"):
        term = -term * angle * angle / ((k + 1) * (k + 2))
        total += term
        k += 2
    return total * total


def mixed(first: float, last: float, s: Fraction | Decimal) -> Decimal:
    """From ``last`` at s = 0 to ``first`` at s = 1."""
    return exact(Fraction(last)) + exact(Fraction(first) - Fraction(last)) * exact(s)


def left(t: int, steps: int) -> Fraction:
    return Fraction(steps - min(t, steps), steps)


def triangle(t: int, up: int, down: int) -> Fraction:
    p = t % (up + down)
    return Fraction(p, up) if p <= up else Fraction(up + down - p, down)


def restarted(t: int, first: int, growth: int) -> tuple[int, Fraction]:
    """Number of the period that step t is in, and how much of it has gone."""
    i, start, length = 0, 0, first
    while t >= start + length:
        i, start, length = i + 1, start + length, length * growth
    return i, Fraction(t - start, length)


def one_cycle(t: int, anneal: Callable[[Fraction], Fraction | Decimal]) -> Decimal:
    """Peak 0.5 at 2^40 of 2^42 steps, from 0.5 / 16 to 0.5 / 16 / 1024."""
    if t < 2**40:
        return mixed(0.5 / 16, 0.5, anneal(Fraction(t, 2**40)))
    return mixed(0.5, 0.5 / 2**14, anneal(Fraction(min(t, 2**42) - 2**40, 2**42 - 2**40)))


def stable(t: int, decay: Callable[[Fraction], Fraction | Decimal]) -> Decimal:
    """Peak 0.4: up in 20,000 steps, a plateau of 10^6, down to 0.1 in 10^7."""
    if t < 20_000:
        return exact(Fraction(0.4) * Fraction(t + 1, 20_000))
    return mixed(0.4, 0.1, decay(Fraction(min(max(t - 20_000 - 10**6, 0), 10**7), 10**7)))


Q = Fraction
CASES: list[tuple[Schedule, Callable[[int], Decimal | Fraction | float]]] = [
    (Constant(0.1), lambda t: 0.1),
    (Linear(0.3, 0.1, 10**12), lambda t: mixed(0.3, 0.1, left(t, 10**12))),
    (PolynomialDecay(0.3, 0.1, 2**40, power=3.0), lambda t: mixed(0.3, 0.1, left(t, 2**40) ** 3)),
    (
        PolynomialDecay(0.3, 0.1, 1000, cycle=True),
        lambda t: mixed(0.3, 0.1, 1 - Q(t, 1000 * max(1, -(-t // 1000)))),
    ),
    (
        PolynomialDecay(0.3, 0.1, 10**12, k_decay=1.5),
        lambda t: mixed(0.3, 0.1, 1 - power(Q(min(t, 10**12), 10**12), Q(3, 2))),
    ),
    (PowerDecay(0.1, 0.75), lambda t: exact(0.1) * power(Q(t + 1), Q(-3, 4))),
    (PowerDecay(0.1, 1.0, 1000), lambda t: Q(0.1) / (1 + Q(t, 1000))),
    (
        Tanh(0.4, 2**30, final=0.1, lower=-4.0, upper=4.0),
        lambda t: 0.1 if t >= 2**30 else mixed(0.4, 0.1, 1 / (1 + exact(Q(16 * t, 2**30) - 8).exp())),
    ),
    (
        Table([10_000, 2**33, 2**52], [0.5, 0.1, 0.3]),
        lambda t: (
            0.5
            if t < 10_000
            else mixed(0.5, 0.1, 1 - Q(t - 10_000, 2**33 - 10_000))
            if t < 2**33
            else mixed(0.1, 0.3, 1 - Q(min(t, 2**52) - 2**33, 2**52 - 2**33))
        ),
    ),
    (
        CosineCycles(0.3, 1000, 3.0, final=0.1),
        lambda t: mixed(0.3, 0.1, fall(1 - abs(1 - Q(2 * (3 * t % 1000), 1000)))),
    ),
    (
        CosineCycles(0.3, 10**9 + 7, 0.37, final=0.1),
        lambda t: mixed(0.3, 0.1, fall(1 - abs(1 - 2 * (Q(0.37) * t % (10**9 + 7) / (10**9 + 7))))),
    ),
    (
        CosineCycles(0.3, 1009, 7.5, final=0.1, restart=True),
        lambda t: mixed(0.3, 0.1, fall(Q(15 * t % 2018, 2018))),
    ),
    (ExponentialDecay(0.1, 1 - 1e-6, 8), lambda t: exact(0.1) * power(1 - 1e-6, Q(t, 8))),
    (ExponentialDecay(0.1, 1 - 2.0**-53, 1), lambda t: exact(0.1) * power(1 - 2.0**-53, t)),
    (ExponentialDecay(1e-9, 1 + 2.0**-50, 3, staircase=True), lambda t: exact(1e-9) * power(1 + 2.0**-50, t // 3)),
    (ExponentialDecay(0.1, 0.9, 10, final=0.001), lambda t: max(exact(0.1) * power(0.9, Q(t, 10)), exact(0.001))),
    (InverseTimeDecay(0.01, 1e-6), lambda t: Q(0.01) / (1 + Q(1e-6) * t)),
    (InverseTimeDecay(0.1, 0.5, 7), lambda t: Q(0.1) / (1 + Q(0.5) * Q(t, 7))),
    (InverseTimeDecay(0.1, 0.5, 7, staircase=True), lambda t: Q(0.1) / (1 + Q(0.5) * (t // 7))),
    (StepDecay(0.1, 0.5, 10**4), lambda t: exact(0.1) * power(0.5, t // 10**4)),
    (StepDecay(0.1, 1 - 1e-15, 3), lambda t: exact(0.1) * power(1 - 1e-15, t // 3)),
    (
        PiecewiseConstant([10_000, 10**6, 2**52, LAST], [0.5, 0.4, 0.3, 0.2, 0.1]),
        lambda t: [0.5, 0.4, 0.3, 0.2, 0.1][sum(t >= b for b in (10_000, 10**6, 2**52, LAST))],
    ),
    (CosineDecay(0.3, 10**7), lambda t: mixed(0.3, 0.0, fall(1 - left(t, 10**7)))),
    (CosineDecay(0.3, LAST, final=0.1), lambda t: mixed(0.3, 0.1, fall(1 - left(t, LAST)))),
    (
        CosineDecay(0.3, 10**7, final=0.1, k_decay=2.0),
        lambda t: mixed(0.3, 0.1, fall(Q(min(t, 10**7), 10**7) ** 2)),
    ),
    (CosineRestarts(0.3, 10), lambda t: mixed(0.3, 0.0, fall(restarted(t, 10, 2)[1]))),
    (CosineRestarts(0.3, 1000, t_mul=1.0, final=0.1), lambda t: mixed(0.3, 0.1, fall(Q(t % 1000, 1000)))),
    (
        CosineRestarts(0.3, 1, t_mul=3.0, m_mul=0.5),
        lambda t: exact(0.3) * power(0.5, restarted(t, 1, 3)[0]) * fall(restarted(t, 1, 3)[1]),
    ),
    (OneCycle(0.5, 2**42, 0.25, 16.0, 1024.0), lambda t: one_cycle(t, fall)),
    (OneCycle(0.5, 2**42, 0.25, 16.0, 1024.0, "linear"), lambda t: one_cycle(t, lambda x: 1 - x)),
    (Cyclic(0.1, 0.5, 3000, 4001), lambda t: mixed(0.5, 0.1, triangle(t, 3000, 4001))),
    (
        Cyclic(0.1, 0.5, 3000, mode="triangular2"),
        lambda t: mixed(0.5, 0.1, exact(triangle(t, 3000, 3000)) * power(0.5, t // 6000)),
    ),
    (
        Cyclic(0.1, 0.5, 3000, mode="exp_range", gamma=1 - 1e-9),
        lambda t: mixed(0.5, 0.1, exact(triangle(t, 3000, 3000)) * power(1 - 1e-9, t)),
    ),
    (
        InverseSqrt(0.1, 20_000),
        lambda t: min(exact(0.1) * (t + 1) / 20_000, exact(0.1) * (20_000 / Decimal(t + 1)).sqrt()),
    ),
    (
        InverseSqrt(0.1, 20_000, timescale=10**6),
        lambda t: (
            Q(0.1) * Q(t + 1, 20_000) if t < 20_000 else exact(0.1) * exact(Q(10**6, t + 1 - 20_000 + 10**6)).sqrt()
        ),
    ),
    (WarmupStableDecay(0.4, 20_000, 10**6, 10**7, 0.1), lambda t: stable(t, lambda x: 1 - exact(x).sqrt())),
    (WarmupStableDecay(0.4, 20_000, 10**6, 10**7, 0.1, "linear"), lambda t: stable(t, lambda x: 1 - x)),
    (WarmupStableDecay(0.4, 20_000, 10**6, 10**7, 0.1, "cosine"), lambda t: stable(t, fall)),
    (WarmupStableDecay(0.4, 20_000, 10**6, 10**7, 0.1, "1-square"), lambda t: stable(t, lambda x: 1 - x * x)),
    (Rex(0.3, 10**12), lambda t: exact(0.3) * exact(left(t, 10**12) / (1 - (1 - left(t, 10**12)) / 2))),
    (Custom(lambda t: 1 / (t + 1)), lambda t: Q(1, t + 1)),
    (
        Join([Constant(0.1), InverseTimeDecay(0.1, 0.5)], [10_000]),
        lambda t: 0.1 if t < 10_000 else Q(0.1) / (1 + Q(0.5) * (t - 10_000)),
    ),
    (
        InverseTimeDecay(0.1, 0.5).with_warmup(20_000),
        lambda t: Q(0.1) * Q(t + 1, 20_000) if t < 20_000 else Q(0.1) / (1 + Q(0.5) * (t - 20_000)),
    ),
    (
        Constant(0.3).with_warmup(10**7, shape="log"),
        lambda t: exact(0.3) * Decimal(1 + min(t + 1, 10**7)).ln() / Decimal(1 + 10**7).ln(),
    ),
    (
        Constant(0.3).with_warmup(10**7, 0.1, shape="cosine"),
        lambda t: mixed(0.1, 0.3, fall(Q(min(t, 10**7), 10**7))),
    ),
    (
        Constant(0.3).with_warmup(10**7, 0.1, shape="1-sqrt"),
        lambda t: mixed(0.1, 0.3, exact(1 - Q(min(t, 10**7), 10**7)).sqrt()),
    ),
    (
        Constant(0.3).with_warmup(10**7, 1e-5, shape="exponential"),
        lambda t: exact(1e-5) * power(Q(0.3) / Q(1e-5), Q(min(t, 10**7), 10**7)),
    ),
    (InverseTimeDecay(0.1, 0.5).shift(-(10**6)), lambda t: Q(0.1) / (1 + Q(0.5) * max(t - 10**6, 0))),
    (InverseTimeDecay(0.1, 0.5).shift(10**9), lambda t: Q(0.1) / (1 + Q(0.5) * min(t + 10**9, LAST))),
    (InverseTimeDecay(0.1, 0.5).every(1009), lambda t: Q(0.1) / (1 + Q(0.5) * (t // 1009))),
    (
        InverseTimeDecay(0.1, 0.5) + InverseTimeDecay(0.2, 0.3),
        lambda t: Q(0.1) / (1 + Q(0.5) * t) + Q(0.2) / (1 + Q(0.3) * t),
    ),
    (3 * InverseTimeDecay(0.1, 0.5), lambda t: 3 * Q(0.1) / (1 + Q(0.5) * t)),
    (
        InverseTimeDecay(0.1, 0.5) * InverseTimeDecay(0.2, 0.3),
        lambda t: Q(0.1) / (1 + Q(0.5) * t) * Q(0.2) / (1 + Q(0.3) * t),
    ),
    (InverseTimeDecay(0.1, 0.5).clip(1e-7, 1e-5), lambda t: min(max(Q(0.1) / (1 + Q(0.5) * t), Q(1e-7)), Q(1e-5))),
    (
        Linear(0.3, 0.1, 1009).repeat(10**9),
        lambda t: mixed(0.3, 0.1, 1 - Q(t % 1009, 1009)) if t < 1009 * 10**9 else 0.1,
    ),
]


def near(got: float, true: Decimal | Fraction | float, scale: float) -> bool:
    """Within a few units in the last place of the value, or of the larger of the two values it lies between."""
    with localcontext(DIGITS):
        return abs(exact(got) - exact(true)) <= exact(4 * max(math.ulp(float(true)), math.ulp(scale)))


@pytest.mark.parametrize("build", BUILDS)
@pytest.mark.parametrize(("schedule", "true"), CASES, ids=[repr(schedule)[:80] for schedule, _ in CASES])
def test_values_from_ten_thousand_steps_to_the_last(
    schedule: Schedule, true: Callable[[int], Decimal | Fraction | float], build: str
) -> None:
    with kernels.using(build):
        schedule = remade(schedule)
    scale = max(getattr(schedule, name, None) or 0.0 for name in ("final", "low", "peak"))
    values = schedule(np.array(FAR))
    with localcontext(DIGITS):
        for step, value in zip(FAR, values.tolist(), strict=True):
            assert schedule(step) == value
            assert near(value, true(step), scale), (step, value, float(true(step)))


def test_every_class_is_followed_that_far() -> None:
    compositions = {Join, Warmup, Scaled, Product, Sum, Shifted, Stepped, Clipped, Repeated}
    assert {type(schedule) for schedule, _ in CASES} == set(BUILT_IN) >= compositions


@settings(max_examples=300, deadline=None)
@given(
    st.floats(1e-6, 1e3), st.floats(0, 10) | st.floats(1e-12, 1e-3), st.integers(1, 10**6), st.integers(0, LAST)
)  # fmt: skip
def test_inverse_time_decay_is_exact_to_the_last_bits_at_any_step(
    initial: float, rate: float, decay_steps: int, step: int
) -> None:
    expected = float(Fraction(initial) / (1 + Fraction(rate) * Fraction(step, decay_steps)))
    for build in BUILDS:
        with kernels.using(build):
            value = InverseTimeDecay(initial, rate, decay_steps)(step)
        assert abs(value - expected) <= 3 * math.ulp(expected)


# ---- numbers near the ends of float64: what lies between two finite values is finite, and between them
WITHIN: list[tuple[Callable[[], Schedule], int, float]] = [
    (lambda: Cyclic(5e-5, 1e-4, 5, mode="triangular2"), 10_245, 5e-5),
    (lambda: Cyclic(5e-5, 1e-4, 5, mode="triangular2"), LAST, 5e-5),
    (lambda: Cyclic(0.1, 0.5, 10, mode="exp_range", gamma=1.1), 20 * 10**6, 0.1),
    (lambda: Cyclic(0.1, 0.1, 10, mode="exp_range", gamma=1.1), LAST, 0.1),
    (lambda: ExponentialDecay(1.0, 0.5, 1, final=1e-3), 10**9, 1e-3),
    (lambda: ExponentialDecay(1.0, 2.0, 1, final=1e3), 10**9, 1e3),
    (lambda: ExponentialDecay(1e-200, 0.5, 1, final=1e-250), LAST, 1e-250),
    (lambda: ExponentialDecay(1e-300, 10.0, 1), 400, 1e100),
    (lambda: ExponentialDecay(1e300, 0.1, 1), 400, 1e-100),
    (lambda: ExponentialDecay(-1e300, 0.1, 1), 310, -1e-10),
    (lambda: ExponentialDecay(0.0, 10.0, 1), 10**6, 0.0),
    (lambda: StepDecay(0.0, 10.0, 1), LAST, 0.0),
    (lambda: StepDecay(1.0, 10.0, 1), LAST, math.inf),
    (lambda: StepDecay(-1.0, 1e300, 1), LAST, -math.inf),
    (lambda: StepDecay(1.0, 1e-300, 1), LAST, 0.0),
    (lambda: StepDecay(1.0, 1.0, 1), LAST, 1.0),
    (lambda: InverseTimeDecay(1e308, 1e308), 10**3, 1e-3),
    (lambda: InverseTimeDecay(1.0, 1e308), LAST, 0.0),
    (lambda: Linear(1e308, -1e308, 10), 5, 0.0),
    (lambda: Linear(-1.7e308, 1.7e308, 10), 10, 1.7e308),
    (lambda: CosineDecay(1.5e308, 10, final=-1.5e308), 5, 0.0),
    (lambda: CosineRestarts(1.0, 10, t_mul=1e308), 5, 0.5),
    (lambda: CosineRestarts(1.0, 10, t_mul=1e308), 10, 1.0),
    (lambda: CosineRestarts(1.0, 10, t_mul=1e308, m_mul=0.5), LAST, 0.5),
    (lambda: CosineRestarts(1.0, 10, t_mul=1.0, m_mul=0.5, final=0.25), LAST, 0.25),
    (lambda: CosineRestarts(0.5, 10, t_mul=1.0, m_mul=2.0, final=0.5), LAST, 0.5),
    (lambda: PolynomialDecay(1.0, 0.5, 10, power=1e308), 1, 0.5),
    (lambda: PolynomialDecay(1.0, 0.5, 10, power=5e-324), 9, 1.0),
    (lambda: OneCycle(5e-324, 10), 10, 0.0),
    (lambda: InverseSqrt(1e308, LAST), LAST, 1e308),
    (lambda: InverseSqrt(1e308, 1, timescale=LAST), 0, 1e308),
    (lambda: PowerDecay(1e300, 20.5), 10**15 - 1, 10.0**-7.5),
    (lambda: PowerDecay(1e300, 20.0), 10**15 - 1, 1.0),
    (lambda: PowerDecay(1.0, 1e308), 1, 0.0),
    (lambda: PowerDecay(1.0, 1e308), 0, 1.0),
    (lambda: CosineDecay(1.0, 10, final=0.5, k_decay=1e308), 9, 1.0),
    (lambda: CosineDecay(1.0, 10, final=0.5, k_decay=5e-324), 9, 0.5),
    (lambda: PolynomialDecay(1.0, 0.5, 10, k_decay=1e308), 10, 0.5),
    (lambda: Tanh(1.0, 10, final=0.5, lower=-1e308, upper=1e308), 1, 1.0),
    (lambda: Tanh(1.0, 10, final=0.5, lower=-1e308, upper=1e308), 9, 0.5),
    (lambda: Tanh(1.5e308, 10, final=-1.5e308, lower=-1, upper=1), 5, 0.0),
    (lambda: Table([0, LAST], [1.5e308, -1.5e308], "cosine"), LAST, -1.5e308),
    (lambda: Table([1, 3], [1.5e308, -1.5e308]), 2, 0.0),
    (lambda: CosineCycles(1.5e308, 4, final=-1.5e308), 1, 0.0),
    (lambda: CosineCycles(1.0, LAST, LAST, final=0.5), LAST, 1.0),
    (lambda: CosineCycles(1.0, 10, 5e-324, final=0.5), LAST, 1.0),
    (lambda: Constant(1.5e308).with_warmup(4, -1.5e308), 2, 0.0),
    (lambda: Constant(1e300).with_warmup(4, 1e-300, shape="exponential"), 2, 1.0),
    (lambda: Constant(-1e-306).with_warmup(4, -1e-300, shape="exponential"), 2, -1e-303),
]


@pytest.mark.parametrize("build", BUILDS)
@pytest.mark.parametrize(("make", "step", "value"), WITHIN)
def test_intermediate_results_neither_over_nor_underflow(
    make: Callable[[], Schedule], step: int, value: float, build: str
) -> None:
    with kernels.using(build):
        schedule = make()
    assert schedule(step) == pytest.approx(value, rel=1e-13, abs=0)
    assert schedule(np.array([step]))[0] == schedule(step)


wide = st.floats(-1.7e308, 1.7e308)


@settings(max_examples=300, deadline=None)
@given(wide, wide, st.integers(1, LAST), st.integers(0, LAST), st.floats(1e-3, 1e3))
def test_what_goes_from_one_value_to_another_stays_between_them(
    initial: float, final: float, steps: int, step: int, exponent: float
) -> None:
    low, high = sorted((initial, final))
    for build in BUILDS:
        with kernels.using(build):
            schedules: list[Schedule] = [
                Linear(initial, final, steps),
                PolynomialDecay(initial, final, steps, exponent),
                PolynomialDecay(initial, final, steps, exponent, cycle=True),
                CosineDecay(initial, steps, final, exponent),
                CosineRestarts(initial, steps, final=final),
                Cyclic(initial, final, steps),
                Cyclic(initial, final, steps, mode="triangular2"),
                WarmupStableDecay(initial, 0, steps, steps, final),
                Rex(initial, steps, final),
                CosineDecay(initial, steps, final, k_decay=exponent),
                PolynomialDecay(initial, final, steps, k_decay=exponent),
                CosineCycles(initial, steps, min(exponent, steps), final),
                CosineCycles(initial, steps, min(exponent, steps), final, restart=True),
                Tanh(initial, steps, final),
                Table([0, steps], [initial, final]),
                Table([0, steps], [initial, final], "cosine"),
                *(
                    Constant(final).with_warmup(steps, initial, shape=shape)
                    for shape in ("linear", "cosine", "1-sqrt", "log")
                ),
            ]
        for schedule in schedules:
            value = schedule(step)
            slack = 2 * max(math.ulp(low), math.ulp(high))
            assert low - slack <= value <= high + slack, schedule


@pytest.mark.parametrize("build", BUILDS)
def test_a_cycle_begins_at_its_step_also_where_the_product_of_step_and_cycles_is_no_double(build: str) -> None:
    with kernels.using(build):
        schedule = CosineCycles(0.3, 1009, 3.0, restart=True)
    for step in (1009 * m for m in range(LAST // 1009 - 40, LAST // 1009)):
        assert schedule(step) == 0.3, step
        assert schedule(step + 1) == pytest.approx(0.3 * math.cos(math.pi * 1.5 / 1009) ** 2, rel=1e-12), step
