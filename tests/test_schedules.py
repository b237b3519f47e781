"""Schedules against their closed forms, written out here, and everything that can be done with one."""

from __future__ import annotations

import copy
import dataclasses
import json
import math
import pickle
import re
from collections.abc import Callable
from itertools import pairwise
from operator import add, mul, sub
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lrcore import kernels, schedules
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
    from_dict,
    parse,
)

BUILDS = (*kernels.compiled(), "reference")
BUILT_IN = [cls for cls in schedules.REGISTRY.values() if cls.__module__.startswith("lrcore.schedules.")]
RUN = 140  # steps of a run; every schedule with an end here ends well before it


def fall(x: float) -> float:
    """(1 + cos(pi x)) / 2, in the form that does not cancel."""
    return math.sin(math.pi * (1 - x) / 2) ** 2


def restarts(t: int, first: int, t_mul: float) -> tuple[int, float]:
    """Number of the period that step t is in, and how much of it has gone."""
    i, start, length = 0, 0.0, float(first)
    while t >= start + length:
        i, start, length = i + 1, start + length, length * t_mul
    return i, (t - start) / length


def one_cycle(t: int, points: list[tuple[float, float]], shape: Callable[[float], float]) -> float:
    for (a, first), (b, last) in pairwise(points):
        if t < b:
            return last + (first - last) * shape((t - a) / (b - a))
    return points[-1][1]


def triangle(t: int, up: int, down: int) -> float:
    p = t % (up + down)
    return p / up if p <= up else (up + down - p) / down


def wsd(t: int, s: Callable[[float], float]) -> float:
    """Peak 0.4, 10 + 30 + 50 steps, final 0.1."""
    if t < 10:
        return 0.4 * (t + 1) / 10
    return 0.1 + 0.3 * s(min(max((t - 40) / 50, 0), 1))


def table(t: int, shape: Callable[[float], float]) -> float:
    """0.4 at 10, 0.1 at 40, 0.3 at 60."""
    for (a, first), (b, last) in pairwise([(10, 0.4), (40, 0.1), (60, 0.3)]):
        if a <= t < b:
            return last + (first - last) * shape((t - a) / (b - a))
    return 0.4 if t < 10 else 0.3


def ramp(shape: str, x: float, steps: int) -> float:
    """What a warmup of a shape is at, from 0 at x = 0 to 1 at x = 1."""
    return {
        "linear": x,
        "cosine": fall(1 - x),
        "1-sqrt": x / (1 + math.sqrt(1 - x)),
        "log": math.log1p(x * steps) / math.log1p(steps),
    }[shape]


def warm(t: int, shape: str, start: float | None) -> float:
    """20 steps of warmup to 0.3, then down to 0.1 in 40."""
    if t >= 20:
        return 0.3 - 0.2 * min(t - 20, 40) / 40
    if start is None:
        return 0.3 * ramp(shape, (t + 1) / 20, 20)
    return start + (0.3 - start) * ramp(shape, t / 20, 20)


def square(t: int) -> float:
    return 1.0 / (t + 1) ** 2


# schedule, its closed form, its length
CASES: list[tuple[Schedule, Callable[[int], float], int | None]] = [
    (Constant(0.1), lambda t: 0.1, 0),
    (Linear(0.3, 0.1, 40), lambda t: 0.3 - min(t, 40) / 40 * 0.2, 40),
    (Linear(0.0, 0.5, 40), lambda t: 0.5 * min(t, 40) / 40, 40),
    (PolynomialDecay(0.3, 0.1, 40), lambda t: 0.3 - min(t, 40) / 40 * 0.2, 40),
    (PolynomialDecay(0.3, 0.1, 40, power=2.5), lambda t: 0.1 + 0.2 * (1 - min(t, 40) / 40) ** 2.5, 40),
    (PolynomialDecay(0.3, 0.0, 40, power=0.5), lambda t: 0.3 * math.sqrt(1 - min(t, 40) / 40), 40),
    (
        PolynomialDecay(0.3, 0.1, 40, power=2.0, cycle=True),
        lambda t: 0.1 + 0.2 * (1 - t / (40 * max(1, math.ceil(t / 40)))) ** 2,
        None,
    ),
    (
        PolynomialDecay(0.3, 0.1, 40, power=2.0, k_decay=1.5),
        lambda t: 0.1 + 0.2 * (1 - (min(t, 40) / 40) ** 1.5) ** 2,
        40,
    ),
    (
        PolynomialDecay(0.3, 0.1, 40, cycle=True, k_decay=2.0),
        lambda t: 0.1 + 0.2 * (1 - (t / (40 * max(1, math.ceil(t / 40)))) ** 2),
        None,
    ),
    (PowerDecay(0.1, 0.7), lambda t: 0.1 / (t + 1) ** 0.7, None),
    (PowerDecay(0.1, 2.0, 7), lambda t: 0.1 / (1 + t / 7) ** 2, None),
    (ExponentialDecay(0.1, 0.9, 7), lambda t: 0.1 * 0.9 ** (t / 7), None),
    (ExponentialDecay(0.1, 0.9, 7, staircase=True), lambda t: 0.1 * 0.9 ** (t // 7), None),
    (ExponentialDecay(0.1, 0.9, 7, final=0.04), lambda t: max(0.1 * 0.9 ** (t / 7), 0.04), None),
    (ExponentialDecay(0.1, 1.1, 7, final=0.4), lambda t: min(0.1 * 1.1 ** (t / 7), 0.4), None),
    (ExponentialDecay(0.1, 1.0, 7, final=0.04), lambda t: 0.1, None),
    (ExponentialDecay(-0.1, 0.9, 7, final=-0.04), lambda t: min(-0.1 * 0.9 ** (t / 7), -0.04), None),
    (InverseTimeDecay(0.1, 0.3), lambda t: 0.1 / (1 + 0.3 * t), None),
    (InverseTimeDecay(0.1, 0.3, 7), lambda t: 0.1 / (1 + 0.3 * t / 7), None),
    (InverseTimeDecay(0.1, 0.3, 7, staircase=True), lambda t: 0.1 / (1 + 0.3 * (t // 7)), None),
    (StepDecay(0.1, 0.5, 20), lambda t: 0.1 / 2 ** (t // 20), None),
    (
        PiecewiseConstant([10, 50], [0.3, 0.2, 0.1]),
        lambda t: 0.3 if t < 10 else (0.2 if t < 50 else 0.1),
        50,
    ),
    (PiecewiseConstant([], [0.3]), lambda t: 0.3, 0),
    (Table([10, 40, 60], [0.4, 0.1, 0.3]), lambda t: table(t, lambda x: 1 - x), 60),
    (Table([10, 40, 60], [0.4, 0.1, 0.3], "cosine"), lambda t: table(t, fall), 60),
    (Table([10, 40, 60], [0.4, 0.1, 0.3], None), lambda t: table(t, lambda x: 1), 60),
    (Table([5], [0.4]), lambda t: 0.4, 0),
    (CosineDecay(0.3, 100), lambda t: 0.3 * fall(min(t, 100) / 100), 100),
    (CosineDecay(0.3, 100, final=0.1), lambda t: 0.1 + 0.2 * fall(min(t, 100) / 100), 100),
    (CosineDecay(0.3, 100, final=0.1, exponent=1.7), lambda t: 0.1 + 0.2 * fall(min(t, 100) / 100) ** 1.7, 100),
    (
        CosineDecay(0.3, 100, final=0.1, exponent=1.7, k_decay=2.5),
        lambda t: 0.1 + 0.2 * fall((min(t, 100) / 100) ** 2.5) ** 1.7,
        100,
    ),
    (CosineDecay(0.3, 100, k_decay=0.5), lambda t: 0.3 * fall(math.sqrt(min(t, 100) / 100)), 100),
    (
        CosineCycles(0.3, 100, 2.5, final=0.1),
        lambda t: 0.1 + 0.2 * fall(abs(1 - abs(1 - 2 * (2.5 * t % 100 / 100)))),
        None,
    ),
    (CosineCycles(0.3, 100, 3, restart=True), lambda t: 0.3 * fall(3 * t % 100 / 100), None),
    (CosineRestarts(0.3, 10), lambda t: 0.3 * fall(restarts(t, 10, 2)[1]), None),
    (
        CosineRestarts(0.3, 10, t_mul=1.0, m_mul=0.8, final=0.1),
        lambda t: 0.1 + 0.2 * 0.8 ** (t // 10) * fall(t % 10 / 10),
        None,
    ),
    (
        CosineRestarts(0.3, 10, t_mul=1.5, m_mul=0.8, final=0.1),
        lambda t: 0.1 + 0.2 * 0.8 ** restarts(t, 10, 1.5)[0] * fall(restarts(t, 10, 1.5)[1]),
        None,
    ),
    (OneCycle(0.5, 100), lambda t: one_cycle(t, [(0, 0.02), (30, 0.5), (100, 2e-6)], fall), 100),
    (
        OneCycle(0.5, 100, 0.25, 10.0, 100.0, anneal="linear", three_phase=True),
        lambda t: one_cycle(t, [(0, 0.05), (25, 0.5), (50, 0.05), (100, 5e-4)], lambda x: 1 - x),
        100,
    ),
    (
        OneCycle(0.5, 90, 0.35, three_phase=True),
        lambda t: one_cycle(t, [(0, 0.02), (31.5, 0.5), (63, 0.02), (90, 2e-6)], fall),
        90,
    ),
    (OneCycle(0.5, 100, warmup_fraction=0.0), lambda t: one_cycle(t, [(0, 0.5), (100, 2e-6)], fall), 100),
    (Cyclic(0.1, 0.5, 20), lambda t: 0.1 + 0.4 * triangle(t, 20, 20), None),
    (Cyclic(0.1, 0.5, 20, 10, "triangular2"), lambda t: 0.1 + 0.4 * triangle(t, 20, 10) / 2 ** (t // 30), None),
    (Cyclic(0.1, 0.5, 20, 10, "exp_range", 0.97), lambda t: 0.1 + 0.4 * triangle(t, 20, 10) * 0.97**t, None),
    (InverseSqrt(0.1, 16), lambda t: 0.1 * min((t + 1) / 16, math.sqrt(16 / (t + 1))), None),
    (
        InverseSqrt(0.1, 16, timescale=50),
        lambda t: 0.1 * ((t + 1) / 16 if t < 15 else math.sqrt(50 / (t + 1 + 50 - 16))),
        None,
    ),
    (WarmupStableDecay(0.4, 10, 30, 50, 0.1), lambda t: wsd(t, lambda x: 1 - math.sqrt(x)), 90),
    (WarmupStableDecay(0.4, 10, 30, 50, 0.1, "linear"), lambda t: wsd(t, lambda x: 1 - x), 90),
    (WarmupStableDecay(0.4, 10, 30, 50, 0.1, "cosine"), lambda t: wsd(t, fall), 90),
    (WarmupStableDecay(0.4, 10, 30, 50, 0.1, "1-square"), lambda t: wsd(t, lambda x: 1 - x * x), 90),
    (WarmupStableDecay(0.4, 0, 0, 50), lambda t: 0.4 * (1 - math.sqrt(min(t, 50) / 50)), 50),
    (Rex(0.3, 100), lambda t: 0.3 * (1 - min(t, 100) / 100) / (1 - min(t, 100) / 200), 100),
    (Rex(0.3, 100, final=0.1), lambda t: 0.1 + 0.2 * (1 - min(t, 100) / 100) / (1 - min(t, 100) / 200), 100),
    (
        Tanh(0.3, 100, final=0.1),
        lambda t: 0.1 if t >= 100 else 0.1 + 0.2 / (1 + math.exp(2 * (-7 * (1 - t / 100) + 3 * t / 100))),
        100,
    ),
    (
        Tanh(0.3, 100, lower=-4.0, upper=4.0),
        lambda t: 0.0 if t >= 100 else 0.3 / (1 + math.exp(2 * (-4 + 8 * t / 100))),
        100,
    ),
    (Custom(square), square, None),
    # compositions
    (
        Join([Constant(0.1), Linear(1, 0, 10), StepDecay(0.5, 0.1, 7)], [5, 30]),
        lambda t: 0.1 if t < 5 else (1 - min(t - 5, 10) / 10 if t < 30 else 0.5 * 0.1 ** ((t - 30) // 7)),
        None,
    ),
    (Join([Rex(0.3, 100)], []), lambda t: 0.3 * (1 - min(t, 100) / 100) / (1 - min(t, 100) / 200), 100),
    (Constant(0.1).then(CosineDecay(0.1, 60), at=50), lambda t: 0.1 * fall(min(max(t - 50, 0), 60) / 60), 110),
    (Linear(0, 1, 20).then(Linear(1, 0.5, 40)), lambda t: t / 20 if t < 20 else 1 - min(t - 20, 40) / 80, 60),
    (
        CosineDecay(0.3, 100).with_warmup(20),
        lambda t: 0.3 * (t + 1) / 20 if t < 20 else 0.3 * fall(min(t - 20, 100) / 100),
        120,
    ),
    (
        CosineDecay(0.3, 100).with_warmup(20, start=0.1),
        lambda t: 0.1 + 0.2 * t / 20 if t < 20 else 0.3 * fall(min(t - 20, 100) / 100),
        120,
    ),
    (
        CosineDecay(0.3, 100).with_warmup(20, inside=True),
        lambda t: 0.3 * (t + 1) / 20 if t < 20 else 0.3 * fall(min(t - 20, 80) / 80),
        100,
    ),
    (
        (2 * Linear(0.3, 0, 100)).clip(0.05).with_warmup(20, start=0.0, inside=True),
        lambda t: 0.6 * t / 20 if t < 20 else max(0.6 * (1 - min(t - 20, 80) / 80), 0.05),
        100,
    ),
    (ExponentialDecay(0.1, 0.9, 7).with_warmup(5), lambda t: 0.1 * min((t + 1) / 5, 0.9 ** ((t - 5) / 7)), None),
    *(
        (
            Linear(0.3, 0.1, 40).with_warmup(20, start, shape=shape),
            lambda t, shape=shape, start=start: warm(t, shape, start),
            60,
        )
        for shape in ("linear", "cosine", "1-sqrt", "log")
        for start in (None, 0.1)
    ),
    (
        Constant(0.3).with_warmup(20, 1e-3, shape="exponential"),
        lambda t: 1e-3 * 300 ** (min(t, 20) / 20),
        20,
    ),
    (
        Constant(-0.3).with_warmup(20, -1e-3, shape="exponential"),
        lambda t: -1e-3 * 300 ** (min(t, 20) / 20),
        20,
    ),
    (Linear(1, 0, 100).shift(30), lambda t: 1 - min(t + 30, 100) / 100, 70),
    (Linear(1, 0, 50).shift(-30), lambda t: 1 - min(max(t - 30, 0), 50) / 50, 80),
    (StepDecay(1, 0.5, 9).shift(5), lambda t: 0.5 ** ((t + 5) // 9), None),
    (Linear(1, 0, 20).every(5), lambda t: 1 - min(t // 5, 20) / 20, 100),
    (
        CosineDecay(0.3, 100).shift(20).with_warmup(20),
        lambda t: 0.3 * fall(0.2) * (t + 1) / 20 if t < 20 else 0.3 * fall(min(t, 100) / 100),
        100,
    ),
    (Linear(1, 0, 30) + StepDecay(0.1, 0.5, 20), lambda t: 1 - min(t, 30) / 30 + 0.1 / 2 ** (t // 20), None),
    ((Linear(1, 0, 30) + 0.5).shift(9) * StepDecay(2, 0.5, 20), lambda t: (
        (1 - min(t + 9, 30) / 30 + 0.5) * 2 / 2 ** (t // 20)
    ), None),
    (2 * (Linear(1, 0, 30) + (Linear(1, 0, 60) + 0.5)), lambda t: (
        2 * (1 - min(t, 30) / 30 + 1 - min(t, 60) / 60 + 0.5)
    ), 60),
    (Linear(1, 0, 30) + 0.5, lambda t: 1 - min(t, 30) / 30 + 0.5, 30),
    (1 - Linear(1, 0.5, 30) * Linear(1, 0.5, 60), lambda t: 1 - (1 - min(t, 30) / 60) * (1 - min(t, 60) / 120), 60),
    (2 * Rex(0.3, 100), lambda t: 0.6 * (1 - min(t, 100) / 100) / (1 - min(t, 100) / 200), 100),
    (Linear(1, 0.5, 30) * StepDecay(0.1, 0.5, 20), lambda t: (1 - min(t, 30) / 60) * 0.1 / 2 ** (t // 20), None),
    (Linear(1, 0.5, 30) * Linear(1, 0, 60), lambda t: (1 - min(t, 30) / 60) * (1 - min(t, 60) / 60), 60),
    (Linear(1, 0, 100).clip(0.2, 0.7), lambda t: min(max(1 - min(t, 100) / 100, 0.2), 0.7), 100),
    (Linear(1, 0, 100).clip(high=0.7), lambda t: min(1 - min(t, 100) / 100, 0.7), 100),
    (Linear(1, 0, 20).repeat(3), lambda t: 1 - t % 20 / 20 if t < 60 else 0.0, 60),
    (CosineDecay(0.3, 20).with_warmup(5).repeat(2), lambda t: (
        0.0 if t >= 50 else 0.3 * (t % 25 + 1) / 5 if t % 25 < 5 else 0.3 * fall((t % 25 - 5) / 20)
    ), 50),
]  # fmt: skip
IDS = [repr(schedule)[:80] for schedule, _, _ in CASES]
SCHEDULES = [schedule for schedule, _, _ in CASES]


def remade(schedule: Schedule) -> Schedule:
    """The same schedule, evaluated by the build that is selected now."""
    return copy.deepcopy(schedule)


def test_every_class_is_among_the_cases() -> None:
    assert {type(schedule) for schedule in SCHEDULES} == set(BUILT_IN)
    assert {cls.__name__ for cls in BUILT_IN} | {"Schedule", "from_dict", "parse"} == set(schedules.__all__)


@pytest.mark.parametrize("build", BUILDS)
@pytest.mark.parametrize(("schedule", "formula", "length"), CASES, ids=IDS)
def test_closed_form_at_every_step_and_past_the_end(
    schedule: Schedule, formula: Callable[[int], float], length: int | None, build: str
) -> None:
    with kernels.using(build):
        schedule = remade(schedule)
    expected = [formula(t) for t in range(RUN)]
    np.testing.assert_allclose(schedule(np.arange(RUN)), expected, rtol=2e-14, atol=0)


@pytest.mark.parametrize("build", BUILDS)
@pytest.mark.parametrize("schedule", SCHEDULES, ids=IDS)
def test_one_step_and_many_give_the_same_bits(schedule: Schedule, build: str) -> None:
    with kernels.using(build):
        schedule = remade(schedule)
    steps = np.arange(RUN)
    together = schedule(steps)
    assert together.dtype == np.float64
    alone = [schedule(t) for t in range(RUN)]
    assert {type(value) for value in alone} == {float}
    np.testing.assert_array_equal(together, alone)
    shuffled = np.random.default_rng(0).permutation(steps)
    np.testing.assert_array_equal(schedule(shuffled), together[shuffled])


@pytest.mark.parametrize(("schedule", "formula", "length"), CASES, ids=IDS)
def test_length_is_where_the_value_no_longer_changes(
    schedule: Schedule, formula: Callable[[int], float], length: int | None
) -> None:
    assert schedule.length == length
    if length is not None:
        last = schedule(length)
        assert set(schedule(np.arange(length, length + 300)).tolist()) == {last}
        assert schedule(2**53 - 1) == last
        if length > 0:
            assert schedule(length - 1) != last or "clip" in repr(schedule)


@pytest.mark.parametrize("schedule", SCHEDULES, ids=IDS)
def test_ends_are_exact(schedule: Schedule) -> None:
    if hasattr(schedule, "initial"):
        assert schedule(0) == schedule.initial
    if hasattr(schedule, "final") and schedule.length is not None:
        assert schedule(schedule.length) == schedule.final


def test_a_wsd_decays_from_its_peak_to_its_floor_whatever_the_shape() -> None:
    for shape in ("1-sqrt", "linear", "cosine", "1-square"):
        s = WarmupStableDecay(0.37, 7, 11, 23, final=0.013, shape=shape)
        assert s(6) == s(7) == s(18) == 0.37
        assert s(19) < 0.37
        assert s(40) > 0.013
        assert s(41) == 0.013


# ---- the same thing said in two ways
SAME = [
    (Linear(0.3, 0.1, 40), PolynomialDecay(0.3, 0.1, 40)),
    (StepDecay(0.1, 0.99, 10), ExponentialDecay(0.1, 0.99, 10, staircase=True)),
    (CosineDecay(0.3, 10).repeat(20), CosineRestarts(0.3, 10, t_mul=1.0)),
    (Cyclic(0.1, 0.3, 8), Cyclic(0.1, 0.3, 8, 8)),
    (
        WarmupStableDecay(0.4, 10, 30, 50, 0.1, "cosine"),
        Constant(0.4).with_warmup(10).then(CosineDecay(0.4, 50, 0.1), at=40),
    ),
    (OneCycle(0.5, 80, 0.25, anneal="linear"), Linear(0.02, 0.5, 20).then(Linear(0.5, 2e-6, 60))),
    (
        Constant(1.0).then(Linear(1, 0, 5), at=9).then(Rex(1, 4), at=12),
        Join([Constant(1), Linear(1, 0, 5), Rex(1, 4)], (9, 12)),
    ),
    (CosineDecay(1, 90).with_warmup(10), CosineDecay(1, 100).with_warmup(10, inside=True)),
    (CosineCycles(0.3, 20, restart=True), CosineDecay(0.3, 20).repeat(99)),
    (CosineCycles(0.3, 100, 0.5).then(Constant(0.1), at=80), CosineDecay(0.3, 100).then(Constant(0.1), at=80)),
    (Table([10, 50], [0.3, 0.1]), Linear(0.3, 0.1, 40).shift(-10)),
    (Table([0, 10, 50], [0.3, 0.2, 0.1], None), PiecewiseConstant([10, 50], [0.3, 0.2, 0.1])),
    (Table([10, 50], [0.3, 0.1], "cosine"), CosineDecay(0.3, 40, final=0.1).shift(-10)),
    (Rex(1, 100).shift(30), Rex(1, 100).shift(20).shift(10)),
    (Rex(1, 100).every(12), Rex(1, 100).every(3).every(4)),
    (Rex(1, 100) - Linear(1, 0, 30), Rex(1, 100) + -1 * Linear(1, 0, 30)),
    (Rex(1, 100) - 0.25, -0.25 + Rex(1, 100)),
    (0.25 - Rex(1, 100), 0.25 + -1 * Rex(1, 100)),
    (InverseSqrt(0.1, 16), InverseSqrt(0.1, 16, timescale=16)),
    ((Rex(1, 100) + 0.5).with_warmup(10, inside=True), (Rex(1, 90) + 0.5).with_warmup(10)),
    ((Constant(0.5) + Rex(1, 100)).with_warmup(10, inside=True), (Constant(0.5) + Rex(1, 90)).with_warmup(10)),
    (Rex(1, 100).shift(20).with_warmup(10, inside=True), Rex(1, 90).shift(20).with_warmup(10)),
]  # fmt: skip


@pytest.mark.parametrize(("a", "b"), SAME, ids=lambda s: repr(s)[:60])
def test_two_ways_to_say_the_same(a: Schedule, b: Schedule) -> None:
    np.testing.assert_array_equal(a(np.arange(RUN)), b(np.arange(RUN)))


# ---- runs of the mission
def test_exponential_staircase_run() -> None:
    """(w - 1)^2 from w = 5 with 0.1 * 0.99^floor(step / 10), in float32, as TensorFlow 1 printed it."""
    s = ExponentialDecay(0.1, 0.99, 10, staircase=True)
    printed = """4.2 3.56 3.0479999 2.6383998 2.31072 2.0485759 1.8388608 1.6710886 1.5368708 1.4294966
        1.3444563 1.2762539 1.2215557 1.1776876"""
    w, two, one = np.float32(5), np.float32(2), np.float32(1)
    got = []
    for t in range(14):
        w = w - np.float32(s(t)) * (two * (w - one))
        got.append(str(w))
    assert got == printed.split()
    assert s(9) == 0.1
    assert s(10) == 0.099


def test_quarter_then_a_tenth_of_it_from_epoch_20() -> None:
    s = StepDecay(0.25, 0.1, 20)
    assert (s(0), s(19), s(20), s(39)) == (0.25, 0.25, 0.025, 0.025)


# ---- steps
def test_steps_of_every_integer_type_and_shape() -> None:
    s = CosineDecay(0.3, 100)
    for dtype in (np.int8, np.uint8, np.int16, np.int32, np.uint32, np.int64, np.uint64):
        assert s(dtype(7)) == s(7)  # type: ignore[call-overload]
        assert type(s(dtype(7))) is float  # type: ignore[call-overload]
        np.testing.assert_array_equal(s(np.array([3, 1, 2], dtype)), [s(3), s(1), s(2)])
    grid = np.arange(24).reshape(2, 3, 4)
    np.testing.assert_array_equal(s(grid), s(grid.ravel()).reshape(2, 3, 4))
    np.testing.assert_array_equal(s(grid.T), s(grid).T)
    np.testing.assert_array_equal(s(grid[:, ::2, ::-1]), s(grid)[:, ::2, ::-1])
    assert s(np.array(7)).shape == ()
    assert s(np.array([], np.int64)).shape == (0,)
    frozen = np.arange(5)
    frozen.flags.writeable = False
    np.testing.assert_array_equal(s(frozen), s(np.arange(5)))


@pytest.mark.parametrize("schedule", [CosineDecay(0.3, 100), Constant(1), 2 * Rex(1, 5), Custom(square)], ids=repr)
@pytest.mark.parametrize(
    ("step", "error", "message"),
    [
        (-1, ValueError, "step must be >= 0, got -1"),
        (np.int8(-3), ValueError, "step must be >= 0, got -3"),
        (2**53, ValueError, "step must be < 2**53, got 9007199254740992"),
        (10**400, ValueError, "step must be < 2**53, got 1000"),
        (np.array([3, -2]), ValueError, "step must be >= 0, got -2"),
        (np.array([3, 2**63], np.uint64), ValueError, "step must be < 2**53, got 9223372036854775808"),
        (1.0, TypeError, "step must be an integer or an array of integers, got 1.0"),
        (np.float64(1), TypeError, "step must be an integer or an array of integers, got np.float64(1.0)"),
        (True, TypeError, "step must be an integer or an array of integers, got True"),
        (np.True_, TypeError, "step must be an integer or an array of integers, got np.True_"),
        (None, TypeError, "step must be an integer or an array of integers, got None"),
        ("7", TypeError, "step must be an integer or an array of integers, got '7'"),
        (np.arange(3.0), TypeError, "step must be an integer or an array of integers, got an array of float64"),
        (np.array([True]), TypeError, "step must be an integer or an array of integers, got an array of bool"),
    ],
    ids=repr,
)
def test_steps_that_are_none(schedule: Schedule, step: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=f"^{re.escape(message)}"):
        schedule(step)


# ---- wrong arguments
WRONG: list[tuple[Callable[[], object], type[Exception], str]] = [
    (lambda: Constant("a"), TypeError, "value must be a number, got 'a'"),
    (lambda: Constant(math.nan), ValueError, "value must be finite, got nan"),
    (lambda: Constant(True), TypeError, "value must be a number, got True"),
    (lambda: Constant(10**400), ValueError, "value must be finite, got a number beyond float64"),
    (lambda: Linear(math.inf, 0, 10), ValueError, "initial must be finite, got inf"),
    (lambda: Linear(1, None, 10), TypeError, "final must be a number, got None"),
    (lambda: Linear(1, 0, 0), ValueError, "steps must be >= 1, got 0"),
    (lambda: Linear(1, 0, 10.0), TypeError, "steps must be an integer, got 10.0"),
    (lambda: Linear(1, 0, True), TypeError, "steps must be an integer, got True"),
    (lambda: Linear(1, 0, 2**53), ValueError, "steps must be < 2**53, got 9007199254740992"),
    (lambda: PolynomialDecay(1, 0, 10, power=0), ValueError, "power must be finite and > 0, got 0.0"),
    (lambda: PolynomialDecay(1, 0, 10, cycle=1), TypeError, "cycle must be True or False, got 1"),
    (lambda: ExponentialDecay(1, 0, 10), ValueError, "decay_rate must be finite and > 0, got 0.0"),
    (lambda: ExponentialDecay(1, 0.9, 0), ValueError, "decay_steps must be >= 1, got 0"),
    (lambda: ExponentialDecay(1, 0.9, 10, "no"), TypeError, "staircase must be True or False, got 'no'"),
    (lambda: ExponentialDecay(1, 0.9, 10, final=2), ValueError,
     "final must be <= initial = 1.0, to where it decays, got 2.0"),
    (lambda: ExponentialDecay(1, 1.1, 10, final=0.5), ValueError,
     "final must be >= initial = 1.0, to where it decays, got 0.5"),
    (lambda: InverseTimeDecay(1, -0.1), ValueError, "decay_rate must be finite and >= 0, got -0.1"),
    (lambda: InverseTimeDecay(1, 0.1, 0), ValueError, "decay_steps must be >= 1, got 0"),
    (lambda: StepDecay(1, -0.5, 10), ValueError, "factor must be finite and > 0, got -0.5"),
    (lambda: StepDecay(1, 0.5, -1), ValueError, "every must be >= 1, got -1"),
    (lambda: PiecewiseConstant([10, 10], [1, 2, 3]), ValueError, "boundaries must increase strictly, got (10, 10)"),
    (lambda: PiecewiseConstant([0], [1, 2]), ValueError, "boundaries[0] must be >= 1, got 0"),
    (lambda: PiecewiseConstant([1.5], [1, 2]), TypeError, "boundaries[0] must be an integer, got 1.5"),
    (lambda: PiecewiseConstant([10], [1]), ValueError, "values must have len(boundaries) + 1 = 2 entries, got 1"),
    (lambda: PiecewiseConstant([10], [1, math.inf]), ValueError, "values[1] must be finite, got inf"),
    (lambda: PiecewiseConstant(10, [1, 2]), TypeError, "boundaries must be a sequence, got 10"),
    (lambda: PiecewiseConstant([10], "12"), TypeError, "values must be a sequence, got '12'"),
    (lambda: CosineDecay(1, 0), ValueError, "steps must be >= 1, got 0"),
    (lambda: CosineDecay(1, 10, final=math.nan), ValueError, "final must be finite, got nan"),
    (lambda: CosineDecay(1, 10, exponent=-1), ValueError, "exponent must be finite and > 0, got -1.0"),
    (lambda: CosineRestarts(1, 10, t_mul=0.5), ValueError, "t_mul must be in [1, inf), got 0.5"),
    (lambda: CosineRestarts(1, 10, m_mul=0), ValueError, "m_mul must be finite and > 0, got 0.0"),
    (lambda: OneCycle(1, 10, warmup_fraction=1), ValueError, "warmup_fraction must be in [0, 1), got 1.0"),
    (lambda: OneCycle(1, 10, 0.5, three_phase=True), ValueError,
     "warmup_fraction must be < 0.5 with three_phase, got 0.5"),
    (lambda: OneCycle(1, 10, start_factor=0), ValueError, "start_factor must be finite and > 0, got 0.0"),
    (lambda: OneCycle(1, 10, end_factor=-1), ValueError, "end_factor must be finite and > 0, got -1.0"),
    (lambda: OneCycle(1, 10, start_factor=1e-320), ValueError,
     "start_factor must leave the rate within float64, got 1e-320"),
    (lambda: OneCycle(1e200, 10, 1e-9, 0.1, 1e-200), ValueError,
     "end_factor must leave the rate within float64, got 1e-200"),
    (lambda: OneCycle(1, 10, anneal="cos"), ValueError, "anneal must be one of 'cosine', 'linear', got 'cos'"),
    (lambda: OneCycle(1, 10, anneal=None), ValueError, "anneal must be one of 'cosine', 'linear', got None"),
    (lambda: Cyclic(0, 1, 0), ValueError, "steps_up must be >= 1, got 0"),
    (lambda: Cyclic(0, 1, 5, 0), ValueError, "steps_down must be >= 1, got 0"),
    (lambda: Cyclic(0, 1, 5, mode="saw"), ValueError,
     "mode must be one of 'triangular', 'triangular2', 'exp_range', got 'saw'"),
    (lambda: Cyclic(0, 1, 5, gamma=0), ValueError, "gamma must be finite and > 0, got 0.0"),
    (lambda: InverseSqrt(1, 0), ValueError, "warmup_steps must be >= 1, got 0"),
    (lambda: WarmupStableDecay(1, -1, 0, 1), ValueError, "warmup must be >= 0, got -1"),
    (lambda: WarmupStableDecay(1, 0, -1, 1), ValueError, "stable must be >= 0, got -1"),
    (lambda: WarmupStableDecay(1, 0, 0, 0), ValueError, "decay must be >= 1, got 0"),
    (lambda: WarmupStableDecay(1, 0, 0, 1, shape="sqrt"), ValueError,
     "shape must be one of '1-sqrt', 'linear', 'cosine', '1-square', got 'sqrt'"),
    (lambda: Rex(1, 0), ValueError, "steps must be >= 1, got 0"),
    (lambda: CosineDecay(1, 9, k_decay=0), ValueError, "k_decay must be finite and > 0, got 0.0"),
    (lambda: PolynomialDecay(1, 0, 9, k_decay=-1), ValueError, "k_decay must be finite and > 0, got -1.0"),
    (lambda: CosineCycles(1, 9, 0), ValueError, "cycles must be finite and > 0, got 0.0"),
    (lambda: CosineCycles(1, 9, 9.5), ValueError, "cycles must be <= steps = 9, got 9.5"),
    (lambda: PowerDecay(1, 0), ValueError, "power must be finite and > 0, got 0.0"),
    (lambda: PowerDecay(1, 1, 0), ValueError, "steps must be >= 1, got 0"),
    (lambda: InverseSqrt(1, 5, 0), ValueError, "timescale must be >= 1, got 0"),
    (lambda: Tanh(1, 9, lower=3), ValueError, "lower must be < upper = 3.0, got 3.0"),
    (lambda: Table([], []), ValueError, "steps must have at least one entry, got 0"),
    (lambda: Table([1, 2], [1]), ValueError, "values must have len(steps) = 2 entries, got 1"),
    (lambda: Table([2, 2], [1, 2]), ValueError, "steps must increase strictly, got (2, 2)"),
    (lambda: Table([-1, 2], [1, 2]), ValueError, "steps[0] must be >= 0, got -1"),
    (lambda: Table([0, 2], [1, 2], "step"), ValueError, "interpolate must be one of 'linear', 'cosine', got 'step'"),
    (lambda: Rex(1, 9).with_warmup(3, shape="log2"), ValueError,
     "shape must be one of 'linear', 'cosine', '1-sqrt', 'log', 'exponential', got 'log2'"),
    *((lambda peak=peak, start=start: Constant(peak).with_warmup(3, start, shape="exponential"), ValueError,
       f"start must have the sign of the first value, {peak}, and neither be 0, "
       f'with shape="exponential", got {start}')
      for peak, start in ((1.0, None), (1.0, 0.0), (1.0, -0.5), (0.0, 0.5), (-1.0, 0.5))),
    (lambda: Rex(1, 9).shift(0.5), TypeError, "by must be an integer, got 0.5"),
    (lambda: Rex(1, 9).shift(2**53), ValueError, "by must be < 2**53, got 9007199254740992"),
    (lambda: Rex(1, 9).shift(-(2**53)), ValueError, "by must be >= -9007199254740991, got -9007199254740992"),
    (lambda: Rex(1, 9).every(0), ValueError, "each must be >= 1, got 0"),
    (lambda: Rex(1, 9) + math.inf, ValueError, "value must be finite, got inf"),
    (lambda: Rex(1, 9) - math.nan, ValueError, "value must be finite, got nan"),
    (lambda: Rex(1, 9).every(2).with_warmup(1, inside=True), ValueError,
     "inside=True needs a schedule with a total of steps, got Rex("),
    (lambda: (Rex(1, 9) + Rex(1, 9)).with_warmup(1, inside=True), ValueError,
     "inside=True needs a schedule with a total of steps, got Rex("),
    (lambda: Sum(Rex(1, 9), 0.1), TypeError, "second must be a schedule, got 0.1"),
    (lambda: Shifted(0.1, 5), TypeError, "schedule must be a schedule, got 0.1"),
    (lambda: Stepped(0.1, 5), TypeError, "schedule must be a schedule, got 0.1"),
    (lambda: Custom(0.1), TypeError, "function must be callable, got 0.1"),
    (lambda: Join([], []), ValueError, "schedules must have at least one entry, got 0"),
    (lambda: Join([Constant(1), Constant(2)], []), ValueError,
     "boundaries must have len(schedules) - 1 = 1 entries, got 0"),
    (lambda: Join([Constant(1)], [5]), ValueError, "boundaries must have len(schedules) - 1 = 0 entries, got 1"),
    (lambda: Join([Constant(1), square], [5]), TypeError,
     f"schedules[1] must be a schedule, got {square!r}; Custom(function) makes one of a function"),
    (lambda: Join([Constant(1), 0.5], [5]), TypeError, "schedules[1] must be a schedule, got 0.5"),
    (lambda: Constant(1).then(Rex(1, 9), at=0), ValueError, "boundaries[0] must be >= 1, got 0"),
    (lambda: Constant(1).then(Rex(1, 9)), ValueError,
     "at must be given after a schedule that has no end of its own, Constant(value=1.0)"),
    (lambda: StepDecay(1, 0.5, 3).then(Rex(1, 9)), ValueError, "at must be given after a schedule that has no end"),
    (lambda: Rex(1, 9).then(Rex(1, 9)).then(Rex(1, 9), at=9), ValueError,
     "boundaries must increase strictly, got (9, 9)"),
    (lambda: Rex(1, 9).with_warmup(0), ValueError, "steps must be >= 1, got 0"),
    (lambda: Rex(1, 9).with_warmup(2, start=math.inf), ValueError, "start must be finite, got inf"),
    (lambda: Rex(1, 9).with_warmup(2, inside="yes"), TypeError, "inside must be True or False, got 'yes'"),
    (lambda: Rex(1, 9).with_warmup(9, inside=True), ValueError,
     "steps must be < 9, the total that the warmup is inside of, got 9"),
    (lambda: StepDecay(1, 0.5, 3).with_warmup(2, inside=True), ValueError,
     "inside=True needs a schedule with a total of steps, got StepDecay("),
    (lambda: CosineRestarts(1, 9).with_warmup(2, inside=True), ValueError,
     "inside=True needs a schedule with a total of steps, got CosineRestarts("),
    (lambda: math.nan * Rex(1, 9), ValueError, "factor must be finite, got nan"),
    (lambda: Rex(1, 9).clip(), ValueError, "low or high must be given, got None for both"),
    (lambda: Rex(1, 9).clip(2, 1), ValueError, "low must be <= high = 1.0, got 2.0"),
    (lambda: Rex(1, 9).repeat(0), ValueError, "times must be >= 1, got 0"),
    (lambda: StepDecay(1, 0.5, 3).repeat(2), ValueError, "schedule must have an end to be repeated, got StepDecay("),
    (lambda: Constant(1).repeat(2), ValueError,
     "schedule must have an end to be repeated, got Constant(value=1.0) of length 0"),
    (lambda: Scaled(2, 3), TypeError, "schedule must be a schedule, got 3"),
    (lambda: Product(Rex(1, 9), square), TypeError, "second must be a schedule, got <function"),
    (lambda: Warmup(0.1, 5), TypeError, "schedule must be a schedule, got 0.1"),
    (lambda: Repeated(0.1, 5), TypeError, "schedule must be a schedule, got 0.1"),
    (lambda: Clipped(0.1, 5), TypeError, "schedule must be a schedule, got 0.1"),
]  # fmt: skip


@pytest.mark.parametrize(("make", "error", "message"), WRONG, ids=[f"{i}-{w[2][:50]}" for i, w in enumerate(WRONG)])
def test_wrong_arguments_raise_at_once(make: Callable[[], object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=f"^{re.escape(message)}"):
        make()


@pytest.mark.parametrize("other", ["2", None, True, [1, 2], 1j], ids=repr)
def test_only_numbers_and_schedules_multiply_and_add(other: Any) -> None:
    for operator in (mul, add, sub):
        with pytest.raises(TypeError):
            operator(other, Rex(1, 9))
        with pytest.raises(TypeError):
            operator(Rex(1, 9), other)


@pytest.mark.parametrize("factor", [2, 2.0, np.float64(2), np.float32(2), np.int64(2)], ids=repr)
def test_numbers_of_every_type_multiply_from_both_sides(factor: Any) -> None:
    assert factor * Rex(1, 9) == Rex(1, 9) * factor == Scaled(2.0, Rex(1, 9))
    assert factor + Rex(1, 9) == Rex(1, 9) + factor == Sum(Rex(1, 9), Constant(2.0))
    assert Rex(1, 9) - factor == Sum(Rex(1, 9), Constant(-2.0))
    assert factor - Rex(1, 9) == Sum(Scaled(-1.0, Rex(1, 9)), Constant(2.0))


# ---- values
def test_a_schedule_is_an_immutable_value() -> None:
    s = CosineDecay(np.float32(0.5), np.int32(100))  # type: ignore[arg-type]
    assert repr(s) == "CosineDecay(initial=0.5, steps=100, final=0.0, exponent=1.0, k_decay=1.0)"
    assert s == CosineDecay(0.5, 100)
    assert hash(s) == hash(CosineDecay(0.5, 100))
    assert s != CosineDecay(0.5, 101)
    assert s != Rex(0.5, 100)
    assert s != 0.5
    assert len({s, CosineDecay(0.5, 100), 2 * s, 2 * s}) == 2
    assert PiecewiseConstant([1], [1, 2]) == PiecewiseConstant((1,), (1.0, 2.0))
    assert dataclasses.is_dataclass(s)
    assert dataclasses.replace(s, steps=7) == CosineDecay(0.5, 7)
    assert dataclasses.replace(s, steps=7)(7) == 0.0
    with pytest.raises(dataclasses.FrozenInstanceError):
        s.steps = 5  # type: ignore[misc]
    with pytest.raises(dataclasses.FrozenInstanceError):
        del s.steps  # type: ignore[misc]


@pytest.mark.parametrize("schedule", SCHEDULES, ids=IDS)
def test_pickle_and_deepcopy_give_the_same_schedule(schedule: Schedule) -> None:
    steps = np.arange(RUN)
    for again in (pickle.loads(pickle.dumps(schedule)), copy.deepcopy(schedule), copy.copy(schedule)):
        assert again == schedule
        assert hash(again) == hash(schedule)
        np.testing.assert_array_equal(again(steps), schedule(steps))


@pytest.mark.parametrize("schedule", [s for s in SCHEDULES if not isinstance(s, Custom)], ids=repr)
def test_json_and_text_give_the_same_schedule(schedule: Schedule) -> None:
    steps = np.arange(RUN)
    for again in (from_dict(json.loads(json.dumps(schedule.to_dict(), allow_nan=False))), parse(repr(schedule))):
        assert again == schedule
        np.testing.assert_array_equal(again(steps), schedule(steps))


def test_json_form() -> None:
    assert Join([Rex(1, 9), 2 * Constant(3)], [4]).to_dict() == {
        "type": "Join",
        "schedules": [
            {"type": "Rex", "initial": 1.0, "steps": 9, "final": 0.0},
            {"type": "Scaled", "factor": 2.0, "schedule": {"type": "Constant", "value": 3.0}},
        ],
        "boundaries": [4],
    }


numbers = st.floats(-1e6, 1e6)
positives = st.floats(1e-6, 10)
counts = st.integers(1, 10**6)
wholes = st.integers(0, 10**6)
boundaries = st.lists(st.integers(1, 1000), max_size=4, unique=True).map(sorted)


def exponentials(initial: float, rate: float, steps: int, staircase: bool, with_final: bool) -> ExponentialDecay:
    return ExponentialDecay(initial, rate, steps, staircase, initial * min(rate, 5) if with_final else None)


leaves = st.one_of(
    st.builds(Constant, numbers),
    st.builds(Linear, numbers, numbers, counts),
    st.builds(PolynomialDecay, numbers, numbers, counts, positives, st.booleans(), positives),
    st.builds(PowerDecay, numbers, positives, counts),
    st.builds(exponentials, numbers, st.floats(0.5, 2), counts, st.booleans(), st.booleans()),
    st.builds(InverseTimeDecay, numbers, positives, counts, st.booleans()),
    st.builds(StepDecay, numbers, positives, counts),
    boundaries.flatmap(
        lambda b: st.builds(PiecewiseConstant, st.just(b), st.lists(numbers, min_size=len(b) + 1, max_size=len(b) + 1))
    ),
    st.builds(CosineDecay, numbers, counts, numbers, positives, positives),
    st.builds(CosineCycles, numbers, counts, st.floats(1e-6, 1), numbers, st.booleans()),
    st.builds(Tanh, numbers, counts, numbers, st.floats(-9, 0), st.floats(0.1, 9)),
    st.lists(wholes, min_size=1, max_size=4, unique=True).map(sorted).flatmap(
        lambda s: st.builds(
            Table, st.just(s), st.lists(numbers, min_size=len(s), max_size=len(s)),
            st.sampled_from(["linear", "cosine", None]),
        )
    ),
    st.builds(CosineRestarts, numbers, counts, st.floats(1, 3), positives, numbers),
    st.builds(
        OneCycle, numbers, counts, st.floats(0, 0.4), positives, positives, st.sampled_from(["cosine", "linear"]),
        st.booleans(),
    ),
    st.builds(
        Cyclic, numbers, numbers, counts, st.none() | counts,
        st.sampled_from(["triangular", "triangular2", "exp_range"]), st.floats(0.9, 1),
    ),
    st.builds(InverseSqrt, numbers, counts, st.none() | counts),
    st.builds(
        WarmupStableDecay, numbers, wholes, wholes, counts, numbers,
        st.sampled_from(["1-sqrt", "linear", "cosine", "1-square"]),
    ),
    st.builds(Rex, numbers, counts, numbers),
)  # fmt: skip


def joined(parts: list[Schedule]) -> Join:
    """One after another, also where the first is a Join with boundaries of its own."""
    start = parts[0].boundaries[-1] if isinstance(parts[0], Join) and parts[0].boundaries else 0
    return Join(parts, [start + 7 * (i + 1) for i in range(len(parts) - 1)])


def composed(inner: st.SearchStrategy[Schedule]) -> st.SearchStrategy[Schedule]:
    ended = inner.filter(lambda s: bool(s.length))
    return st.one_of(
        st.builds(Scaled, numbers, inner),
        st.builds(Product, inner, inner),
        st.builds(Sum, inner, inner),
        st.builds(Shifted, inner, st.integers(-(10**6), 10**6)),
        st.builds(Stepped, inner, counts),
        st.builds(Warmup, inner, counts, st.none() | numbers, st.sampled_from(["linear", "cosine", "1-sqrt", "log"])),
        st.builds(lambda s, steps: (s.clip(0.5, 2)).with_warmup(steps, 1e-3, shape="exponential"), inner, counts),
        st.builds(Clipped, inner, st.floats(-10, 0), st.none() | st.floats(0, 10)),
        st.builds(Repeated, ended, counts),
        boundaries.flatmap(lambda b: st.builds(joined, st.lists(inner, min_size=len(b) + 1, max_size=len(b) + 1))),
    )


@st.composite
def any_schedule(draw: st.DrawFn) -> Schedule:
    return draw(st.recursive(leaves, composed, max_leaves=6))


@settings(max_examples=200, deadline=None)
@given(any_schedule(), st.integers(0, 2000))
def test_any_schedule_survives_text_json_and_pickle(schedule: Schedule, step: int) -> None:
    value = schedule(step)
    for again in (
        parse(repr(schedule)),
        from_dict(json.loads(json.dumps(schedule.to_dict(), allow_nan=False))),
        pickle.loads(pickle.dumps(schedule)),
    ):
        assert again == schedule
        assert repr(again) == repr(schedule)
        np.testing.assert_array_equal(again(step), value)
    np.testing.assert_array_equal(schedule(np.array([step, 0])), [value, schedule(0)])


@settings(max_examples=100, deadline=None)
@given(any_schedule(), st.lists(st.integers(0, 10**7), min_size=1, max_size=20))
def test_any_schedule_has_the_same_bits_in_every_build(schedule: Schedule, steps: list[int]) -> None:
    with kernels.using("reference"):
        expected = remade(schedule)(np.array(steps))
    for build in BUILDS:
        with kernels.using(build):
            again = remade(schedule)
        np.testing.assert_array_equal(again(np.array(steps)), expected)


# ---- text
@pytest.mark.parametrize(
    ("text", "schedule"),
    [
        ("cosine(3e-4, 10000).with_warmup(500)", Warmup(CosineDecay(3e-4, 10_000), 500)),
        ("cosine(3e-4, 10_000).with_warmup(500, inside=True)", Warmup(CosineDecay(3e-4, 9_500), 500)),
        ("2 * linear(1, 0, 10)", Scaled(2, Linear(1, 0, 10))),
        ("linear(1, 0, 10) * 2", Scaled(2, Linear(1, 0, 10))),
        ("-.5 * linear(1, 0, 10) * rex(1, 9)", Product(Scaled(-0.5, Linear(1, 0, 10)), Rex(1, 9))),
        ("2 * (linear(1, 0, 10) * rex(1, 9))", Scaled(2, Product(Linear(1, 0, 10), Rex(1, 9)))),
        ("constant(0.1).then(cosine(0.1, 100), at=50)", Join([Constant(0.1), CosineDecay(0.1, 100)], [50])),
        ("  piecewise ( [10 , 20], (1, .1, 1e-2,), )\n", PiecewiseConstant([10, 20], [1, 0.1, 0.01])),
        ("one_cycle(0.1, 100, anneal='linear', three_phase=true)",
         OneCycle(0.1, 100, anneal="linear", three_phase=True)),
        ('WSD(3e-4, 10, 20, 30, shape="1-square")', WarmupStableDecay(3e-4, 10, 20, 30, shape="1-square")),
        ("exponential(0.1, 0.9, 10, final=None)", ExponentialDecay(0.1, 0.9, 10)),
        ("ExponentialDecay(0.1, 0.9, 10, staircase=True)", ExponentialDecay(0.1, 0.9, 10, True)),
        ("exponential_decay(+1e-1, 9E-1, 10)", ExponentialDecay(0.1, 0.9, 10)),
        ("piecewise((), [5.])", PiecewiseConstant([], [5])),
        ("rex(1, 9).clip(None, 0.5).repeat(2).clip(low=0.1)", Rex(1, 9).clip(None, 0.5).repeat(2).clip(0.1)),
        ("join((rex(1, 9), constant(2)), (9,))", Join([Rex(1, 9), Constant(2)], [9])),
        ("Warmup(rex(1, 9), 3, 0.1)", Warmup(Rex(1, 9), 3, 0.1)),
        ("((((rex(1, 9)))))", Rex(1, 9)),
        ("linear(-1, -0.5, 10)", Linear(-1, -0.5, 10)),
        ("rex(1, 9) + 0.5", Sum(Rex(1, 9), Constant(0.5))),
        ("0.5 + rex(1, 9)", Sum(Rex(1, 9), Constant(0.5))),
        ("1 - rex(1, 9)", Sum(Scaled(-1, Rex(1, 9)), Constant(1))),
        ("rex(1, 9) - rex(1, 5) * 2", Sum(Rex(1, 9), Scaled(-1, Scaled(2, Rex(1, 5))))),
        ("rex(1, 9) - -0.5 - (0.25 + rex(1, 5))",
         Sum(Sum(Rex(1, 9), Constant(0.5)), Scaled(-1, Sum(Rex(1, 5), Constant(0.25))))),
        ("2 * (rex(1, 9)+rex(1, 5)).shift(-3).every(7)", Scaled(2, Stepped(Shifted(Sum(Rex(1, 9), Rex(1, 5)), -3), 7))),
        ("tanh(0.1, 9).with_warmup(5, 1e-3, shape='exponential')", Warmup(Tanh(0.1, 9), 5, 1e-3, "exponential")),
        ("table([0, 10], [1, .5], None)", Table((0, 10), (1.0, 0.5), None)),
        ("one_cycle.like_torch(0.1, 101)", OneCycle.like_torch(0.1, 101)),
        ("2 * Tanh . like_timm(0.1, 20, warmup_t=5).repeat(2)", 2 * Tanh.like_timm(0.1, 20, warmup_t=5).repeat(2)),
        ("constant.like_deepspeed(0.01, 0.1, 20)", Constant.like_deepspeed(0.01, 0.1, 20)),
    ],
    ids=repr,
)  # fmt: skip
def test_text_that_reads(text: str, schedule: Schedule) -> None:
    assert parse(text) == schedule


def test_short_names_are_documented() -> None:
    names = {cls.text_name for cls in schedules.REGISTRY.values() if cls.__module__.startswith("lrcore.schedules.")} - {
        ""
    }
    documented = str(parse.__doc__).split("its short form:")[1].split("Raises")[0]
    assert set(re.findall("``(.*?)``", documented)) == names


METHODS = "with_warmup, then, clip, repeat, shift, every"


@pytest.mark.parametrize(
    ("text", "position", "reason"),
    [
        ("", 0, "expected a schedule or a value, got the end"),
        ("   ", 3, "expected a schedule or a value, got the end"),
        ("cosine", 6, "expected '(', got the end"),
        ("cosine(3e-4 x", 12, "expected ',', got 'x'"),
        ("cosine(3e-4, 10", 15, "expected ',', got the end"),
        ("cosine(3e-4, 10))", 16, "expected the end, got ')'"),
        ("cosine(3e-4, 10) rex(1, 9)", 17, "expected the end, got 'rex'"),
        ("cosin(3e-4, 10)", 0, "no schedule is named 'cosin'; did you mean 'cosine'?"),
        ("qqq(1)", 0, "no schedule is named 'qqq'; there are Clipped, "),
        ("custom(1)", 0, "Custom holds a Python function, which text cannot carry"),
        ("cosine(1)", 0, "missing a required argument: 'steps'"),
        ("2 * cosine(1, 0)", 4, "steps must be >= 1, got 0"),
        ("cosine(1, 1e4)", 0, "steps must be an integer, got 10000.0"),
        ("cosine(1, 5, bad=3)", 0, "got an unexpected keyword argument 'bad'"),
        ("cosine(1, steps=5, steps=6)", 19, "steps is given twice"),
        ("cosine(initial=1, 5)", 18, "an argument without a name follows one with a name"),
        ("cosine(1, 5).eval(3)", 13, f"expected one of {METHODS} after '.', got 'eval'"),
        ("cosine(1, 5).__class__", 13, f"expected one of {METHODS} after '.', got '__class__'"),
        ("cosine(1, 5).with_warmup", 24, "expected '(', got the end"),
        ("cosine(1, 5).with_warmup(0)", 13, "steps must be >= 1, got 0"),
        ("cosine(1, 5).repeat('a')", 13, "times must be an integer, got 'a'"),
        ("5 .repeat(2)", 3, "repeat needs a schedule before it, got 5"),
        ("2 * 3", 2, "'*' needs a schedule and a number, or two schedules, got 2 and 3"),
        ("'a' * 3", 4, "'*' needs a schedule and a number, or two schedules, got 'a' and 3"),
        ("rex(1, 9) * true", 10, "'*' needs a schedule and a number, or two schedules, got Rex("),
        ("0.1", 0, "expected a schedule, got 0.1"),
        ("[rex(1, 9)]", 0, "expected a schedule, got (Rex("),
        ("-rex(1, 9)", 1, "expected a number, got 'rex'"),
        ("2 + 3", 2, "'+' needs a schedule and a number, or two schedules, got 2 and 3"),
        ("rex(1, 9) - true", 10, "'-' needs a schedule and a number, or two schedules, got Rex("),
        ("[1 + 2]", 3, "'+' needs a schedule and a number, or two schedules, got 1 and 2"),
        ("rex(1, 9) + 1e999", 10, "value must be finite, got inf"),
        ("rex(1, 9) +", 11, "expected a schedule or a value, got the end"),
        ("rex(1, 9)" + " + 2" * 60, 206, "a schedule must be nested at most 50 deep, got 51 in Sum"),
        ("rex(1, $)", 7, "'$' cannot stand in a schedule"),
        ("wsd(1, 2, 3, 4, shape='line)", 22, '"\'" cannot stand in a schedule'),
        ("rex(1__0, 9)", 4, "'1__0' is not a number"),
        ("rex(1, \u0663)", 7, "'\u0663' cannot stand in a schedule"),
        ("(" * 120, 100, "nested deeper than 100"),
        ("rex(1, 9)" + ".clip(0, 1)" * 60, 549, "a schedule must be nested at most 50 deep, got 51 in Clipped"),
        ("rex(1, 9)" + ".then(rex(1, 9), 1)" * 60, 29, "boundaries must increase strictly, got (1, 1)"),
        ("rex(1, 9)" + " * 2" * 60, 206, "a schedule must be nested at most 50 deep, got 51 in Scaled"),
        ("__import__('os').getcwd()", 0, "no schedule is named '__import__'"),
        ("rex.like_torch(1, 9)", 4, "Rex has no conversions after '.', got 'like_torch'"),
        ("one_cycle.like_timm(1, 9)", 10, "expected one of like_torch after '.', got 'like_timm'"),
        ("one_cycle.__init__(1, 9)", 10, "expected one of like_torch after '.', got '__init__'"),
        ("one_cycle.", 10, "expected one of like_torch after '.', got ''"),
        ("one_cycle.like_torch", 20, "expected '(', got the end"),
        ("one_cycle.like_torch(0.1, 1)", 0, "total_steps must be >= 2, got 1"),
        ("lambda: 0", 6, "':' cannot stand in a schedule"),
    ],
    ids=lambda v: repr(v)[:40],
)
def test_text_that_does_not_read_says_where_and_why(text: str, position: int, reason: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(f'schedule, position {position}: {reason}')}") as caught:
        parse(text)
    *_, line, caret = str(caught.value).split("\n")
    shown = line[2:].strip("…")
    assert shown in text
    assert len(shown) == min(len(text), 200)
    assert (line[2:] == text) == (len(text) <= 200)
    assert re.fullmatch(" *\\^", caret)
    assert (line + " ")[len(caret) - 1] == (text + " ")[position]


@settings(max_examples=300, deadline=None)
@given(st.text("cosinerx(),.*[]'\"=_ 0123456789e-+\n#:", max_size=40))
def test_no_text_does_anything_but_read_or_raise_value_error(text: str) -> None:
    result: Any = None
    reason = ""
    try:
        result = parse(text)
    except ValueError as error:
        reason = str(error)
    assert isinstance(result, Schedule) or reason.startswith("schedule, position ")


def test_what_cannot_be_written_says_so() -> None:
    for schedule in (Custom(square), 2 * Custom(square), Custom(square).with_warmup(3)):
        with pytest.raises(TypeError, match="Custom holds a Python function, which JSON cannot carry"):
            schedule.to_dict()
    with pytest.raises(TypeError, match="text must be a string, got 3"):
        parse(3)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        (3, TypeError, "a schedule must be a mapping, got 3"),
        ({}, ValueError, '"type" must be one of '),
        ({"type": "Cosine"}, ValueError, '"type" must be one of '),
        ({"type": ["Rex"]}, ValueError, '"type" must be one of '),
        ({"type": "Rex", "initial": 1}, ValueError, "Rex: missing a required argument: 'steps', got initial"),
        ({"type": "Rex", "initial": 1, "steps": 3, "x": 1}, ValueError,
         "Rex: got an unexpected keyword argument 'x', got initial, steps, x"),
        ({"type": "Rex", "initial": 1, "steps": 0}, ValueError, "steps must be >= 1, got 0"),
        ({"type": "Rex", "initial": "1", "steps": 3}, TypeError, "initial must be a number, got '1'"),
        ({"type": "Repeated", "of": 3, "times": 2}, ValueError, "Repeated: missing a required argument"),
    ],
)  # fmt: skip
def test_data_that_is_no_schedule(data: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=f"^{re.escape(message)}"):
        from_dict(data)


# ---- the base
@dataclasses.dataclass(frozen=True)
class Chebyshev(Schedule):
    """A schedule of one's own: one class."""

    initial: schedules.Positive
    steps: schedules.Count

    text_name = "chebyshev"

    def _over(self, steps: np.ndarray) -> np.ndarray:
        return self.initial / (1.0 + np.minimum(steps, self.steps))


@dataclasses.dataclass(frozen=True)
class _NamedCosine(schedules.CosineDecay):
    """A schedule of one's own made of another, with one more field."""

    name: str = ""


class _Ramp(Schedule):
    """A schedule of one's own that is no dataclass."""

    def __init__(self, slope: float) -> None:
        self.slope = slope

    def _over(self, steps: np.ndarray) -> np.ndarray:
        return self.slope * steps


def test_a_new_schedule_may_be_made_of_another_or_be_a_plain_class() -> None:
    assert _NamedCosine(0.1, 10, name="mine")(5) == schedules.CosineDecay(0.1, 10)(5)
    assert _Ramp(0.5)(3) == 1.5


def test_a_new_schedule_is_one_class() -> None:
    s = Chebyshev(np.float32(0.5), 4)  # type: ignore[arg-type]
    np.testing.assert_array_equal(s(np.arange(6)), [0.5, 0.25, 0.5 / 3, 0.125, 0.1, 0.1])
    assert s(2) == 0.5 / 3
    assert type(s(2)) is float
    assert (2 * s).with_warmup(2)(0) == 0.5
    assert parse("2 * chebyshev(0.5, 4)") == 2 * s == parse(repr(2 * s)) == from_dict((2 * s).to_dict())
    assert pickle.loads(pickle.dumps(s)) == s
    with pytest.raises(ValueError, match="steps must be >= 1, got 0"):
        Chebyshev(0.5, 0)
    with pytest.raises(ValueError, match="step must be >= 0, got -1"):
        s(-1)


def test_two_classes_of_one_name_are_refused() -> None:
    with pytest.raises(TypeError, match=r"a schedule named Rex exists already: lrcore\.schedules\.decays\.Rex"):
        type("Rex", (Schedule,), {})
    assert schedules.REGISTRY["Rex"] is Rex


def test_no_argument_hides_a_method() -> None:
    hidden = {
        (cls, field.name)
        for cls in BUILT_IN
        for field in dataclasses.fields(cls)  # type: ignore[arg-type]
        if hasattr(Schedule, field.name)
    }
    assert hidden == {(StepDecay, "every")}
    s = StepDecay(0.1, 0.5, every=30)
    assert repr(s) == "StepDecay(initial=0.1, factor=0.5, every=30)"
    assert s.every == 30
    assert s.every(7) == Stepped(StepDecay(0.1, 0.5, 30), 7)  # type: ignore[operator]
    assert dataclasses.replace(s, factor=0.25).every(7) == Stepped(StepDecay(0.1, 0.25, 30), 7)  # type: ignore[operator]
    assert copy.deepcopy(s).every(7) == pickle.loads(pickle.dumps(s)).every(7) == s.every(7)  # type: ignore[operator]
    assert type(s.to_dict()["every"]) is int
    assert parse("step(0.1, 0.5, every=30).every(7)") == s.every(7)  # type: ignore[operator]


def test_a_class_without_values_says_so() -> None:
    class _Empty(Schedule):
        pass

    with pytest.raises(NotImplementedError, match=r"_Empty must define _over\(steps\)"):
        _Empty()(0)


@pytest.mark.parametrize("cls", BUILT_IN)
def test_every_class_documents_its_equation_and_arguments(cls: type[Schedule]) -> None:
    doc = str(cls.__doc__)
    assert ".. math::" in doc or cls is Warmup
    assert ".. math::" in str(Schedule.with_warmup.__doc__)
    for field in dataclasses.fields(cls):  # type: ignore[arg-type]
        assert re.search(rf"^ *.*\b{field.name}\b.*:", doc.split("Parameters")[1], re.MULTILINE), field.name


def test_the_examples_of_the_documentation_run() -> None:
    text = (Path(__file__).parents[1] / "docs" / "schedules.md").read_text(encoding="utf-8")
    names: dict[str, Any] = {"__name__": __name__}
    for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        exec(compile(block, "schedules.md", "exec", dont_inherit=True), names)
    assert names["s"](20_000) == 0.0
    quick = text.split("## From other libraries")[0]
    every = {name: getattr(schedules, name) for name in schedules.__all__}
    cells = re.findall(r"^\|.*\|(.*)\|$", quick, re.MULTILINE)
    seen = {type(eval(code, every)) for cell in cells for code in re.findall("`(.*?)`", cell)}
    composites = {Join, Warmup, Scaled, Product, Sum, Shifted, Stepped, Clipped, Repeated}
    assert seen | composites == set(BUILT_IN)


def test_a_value_that_is_not_finite_comes_without_a_warning() -> None:
    schedule = 0.0 * StepDecay(1.0, 10.0, 1)
    assert math.isnan(schedule(309))
    np.testing.assert_array_equal(schedule(np.array([0, 309])), [0.0, np.nan])
