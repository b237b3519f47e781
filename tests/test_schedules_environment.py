"""What the caller set in the floating-point environment changes no value, and is there again afterwards."""

from __future__ import annotations

import copy
import ctypes
import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from test_schedules import IDS, SCHEDULES

import lrcore as lr
from lrcore import kernels
from lrcore.schedules import (
    Constant,
    CosineDecay,
    CosineRestarts,
    Custom,
    Cyclic,
    ExponentialDecay,
    OneCycle,
    PiecewiseConstant,
    PolynomialDecay,
    Schedule,
    StepDecay,
    Table,
    Tanh,
    WarmupStableDecay,
    from_dict,
    parse,
)

pytestmark = [
    pytest.mark.skipif(
        platform.machine() != "x86_64" or platform.libc_ver()[0] != "glibc", reason="writes glibc's fenv_t on x86-64"
    ),
    pytest.mark.skipif(kernels.selected == "reference", reason="NumPy computes in the environment that it finds"),
]

FLAGS = 0x3F
NEAREST = 0x1F80
SETTINGS = {
    "up": NEAREST | 0x4000,
    "down": NEAREST | 0x2000,
    "to zero": NEAREST | 0x6000,
    "flush to zero": NEAREST | 0x8000,
    "subnormals are zero": NEAREST | 0x0040,
    "all at once": NEAREST | 0xC040,
}


def mxcsr() -> int:
    """The floating-point control and status register: the last 4 bytes of glibc's fenv_t."""
    env = ctypes.create_string_buffer(32)
    ctypes.CDLL(None).fegetenv(env)
    return int.from_bytes(env.raw[28:32], "little")


@contextmanager
def environment(value: int) -> Iterator[None]:
    """With this in the register."""
    libc = ctypes.CDLL(None)
    before = ctypes.create_string_buffer(32)
    libc.fegetenv(before)
    changed = ctypes.create_string_buffer(before.raw[:28] + value.to_bytes(4, "little"), 32)
    libc.fesetenv(changed)
    try:
        yield
    finally:
        libc.fesetenv(before)


TINY = [
    StepDecay(1e-300, 0.1, 1),  # through the subnormal numbers to zero
    ExponentialDecay(1.0, 0.7, 3, final=1e-310),
    5e-324 * Constant(1.0),
    1e-310 * Cyclic(0.1, 1.0, 7),
    Constant(3e-320).clip(1e-320, 2e-320),
    Custom(lambda t: 1e-310 * t) * Constant(0.3),
    OneCycle(1e-300, 50, start_factor=1e10),
]
MANY = [*SCHEDULES, *TINY, Custom(lambda t: 0.1 / (t + 3))]
STEPS = np.arange(150)


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("schedule", MANY, ids=[*IDS, *map(repr, TINY), "custom"])
def test_every_schedule_has_the_same_bits_in_any_environment(schedule: Schedule, setting: str) -> None:
    expected = schedule(STEPS)
    steps = STEPS.tolist()
    for build in kernels.compiled():
        with kernels.using(build), environment(SETTINGS[setting]):
            many = schedule(STEPS)
            alone = [schedule(t) for t in steps]
            again = copy.deepcopy(schedule)
            made = again(STEPS)
            control = mxcsr() & ~FLAGS
        assert control == SETTINGS[setting]
        assert many.tobytes() == expected.tobytes()
        assert np.array(alone).tobytes() == expected.tobytes()
        assert again == schedule
        assert made.tobytes() == expected.tobytes()


@pytest.mark.parametrize("setting", SETTINGS)
def test_text_and_dicts_are_read_in_the_default_environment(setting: str) -> None:
    texts = [f"rex({0.1 + k / 7919:.17g}, 9) * one_cycle({k}e-{k % 50}, {k + 1}).clip({k}.3e-5)" for k in range(1, 400)]
    expected = [parse(text) for text in texts]
    dicts = [schedule.to_dict() for schedule in expected]
    with environment(SETTINGS[setting]):
        read = [parse(text) for text in texts]
        loaded = [from_dict(data) for data in dicts]
    assert read == expected
    assert loaded == expected
    assert [s(5) for s in loaded] == [s(5) for s in expected]


CONVERSIONS: list[Callable[[float, int], Schedule]] = [
    lambda lr, n: OneCycle.like_torch(lr, n, 0.37),
    lambda lr, n: PiecewiseConstant.like_torch(lr, range(1, n), 0.7),
    lambda lr, n: PiecewiseConstant.like_optax(lr, {n: 0.7, n + 1: 0.3}),
    lambda lr, n: Table.like_optax("linear", lr, {n: 0.7, n + 1: 0.3}),
    lambda lr, n: Table.chebyshev(lr, 16),
    lambda lr, n: CosineDecay.like_keras(lr, n, 0.1),
    lambda lr, n: CosineRestarts.like_keras(lr, n, alpha=0.3),
    lambda lr, n: WarmupStableDecay.like_transformers(lr, n, n, n, min_lr_ratio=0.1),
    lambda lr, n: CosineDecay.like_deepspeed(lr, 3 * n, 0.1, n, 0.3),
    lambda lr, n: CosineDecay.like_timm(lr, n, cycle_decay=0.7, cycle_limit=5, warmup_t=n),
    lambda lr, n: PolynomialDecay.like_timm(lr, n, cycle_decay=0.7, cycle_limit=5),
    lambda lr, n: Tanh.like_timm(lr, n, cycle_decay=0.7, cycle_limit=5, warmup_t=n),
]


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("convert", CONVERSIONS)
def test_conversions_compute_in_the_default_environment(
    convert: Callable[[float, int], Schedule], setting: str
) -> None:
    arguments = [(0.1 + k / 7919, k) for k in range(7, 60)]
    expected = [convert(*given) for given in arguments]
    with environment(SETTINGS[setting]):
        got = [convert(*given) for given in arguments]
    assert got == expected


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("build", kernels.compiled())
def test_powers_and_averages_have_the_same_bits_in_any_environment(build: str, setting: str) -> None:
    power = kernels.formulas(build).scalar_power
    rng = np.random.default_rng(0)
    pairs = list(zip((1 - 10.0 ** rng.uniform(-4, 0, 500)).tolist(), rng.uniform(0, 2000, 500).tolist(), strict=True))
    x = rng.standard_normal((50, 7)) * 10.0 ** rng.uniform(-320, 3, (50, 7))
    expected = [power(a, b) for a, b in pairs], lr.ewma(x, 0.9), lr.ewma(x.astype(np.float32), 0.9)
    with environment(SETTINGS[setting]):
        got = [power(a, b) for a, b in pairs], lr.ewma(x, 0.9), lr.ewma(np.float32(1) * x.astype(np.float32), 0.9)
    assert got[0] == expected[0]
    np.testing.assert_array_equal(got[1], expected[1])


@pytest.mark.parametrize("flags", [0, 0x20, FLAGS])
@pytest.mark.parametrize("setting", [NEAREST, *SETTINGS.values(), NEAREST & ~0x0200], ids=hex)
def test_the_environment_is_given_back_with_its_flags(setting: int, flags: int) -> None:
    formula = kernels.formulas(kernels.selected).Formula("cosine", (0.3, 0.01, 1000.0, 1.7, 1.5))
    far = kernels.formulas(kernels.selected).Formula("exponential", (1.0, 1.7, 1.0, 0.0, 0.0))
    schedule = 0.3 * (ExponentialDecay(0.1, 0.9, 7) * Constant(0.3)).with_warmup(3)
    x, steps = np.full((3, 2), 0.1), np.array([3, 40, 5000])
    rows = __import__("lrcore._averages", fromlist=["rows"]).rows
    calls: list[Any] = [
        lambda: formula.value(333),
        lambda: formula.values(steps),
        lambda: far.value(5000),
        lambda: kernels.power(0.3, 0.7),
        lambda: schedule(1),
        lambda: schedule(17),
        lambda: schedule(steps),
        lambda: rows(x, 0.9, True, np.zeros(2), 1.0, x.copy()),
    ]
    for call in calls:
        after = set()
        for _ in range(3):  # the interpreter itself may compute in between, now and then
            with environment(setting | flags):
                call()
                after.add(mxcsr())
        assert setting | flags in after


def test_the_environment_is_given_back_where_a_function_raises_and_is_the_default_within() -> None:
    seen = []

    def fails(step: int) -> float:
        seen.append(mxcsr() & ~FLAGS)
        raise KeyError(step)

    with environment(SETTINGS["all at once"]):
        with pytest.raises(KeyError, match="3"):
            (2 * Custom(fails))(3)
        after = mxcsr() & ~FLAGS
    assert after == SETTINGS["all at once"]
    assert seen == [NEAREST]
