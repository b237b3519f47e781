"""The functions that the schedules are built from: how near the truth, and the same bits in every build."""

from __future__ import annotations

import math
import re
from decimal import Context, Decimal, localcontext
from typing import Any

import numpy as np
import pytest

from lrcore import kernels
from lrcore.schedules import elementary, formulas

BUILDS = (*kernels.compiled(), "reference")
DIGITS = Context(prec=50, Emin=-(10**6), Emax=10**6)
PI = Decimal("3.14159265358979323846264338327950288419716939937510582097494459230781640628620899863")


def errors_in_ulp(got: np.ndarray, true: list[Decimal]) -> float:
    """The largest distance from the truth, in units in the last place of the double next to it."""
    with localcontext(DIGITS):
        return max(
            float(abs(Decimal(float(g)) - t) / Decimal(math.ulp(float(t)))) for g, t in zip(got, true, strict=True)
        )


def true_half_cosine(x: float) -> Decimal:
    """sin(pi x / 2)^2 by its power series, with 50 digits."""
    with localcontext(DIGITS):
        angle = PI * Decimal(x) / 2
        term = total = angle
        k = 1
        while abs(term) > abs(total) * Decimal("1e-48"):
            term = -term * angle * angle / ((k + 1) * (k + 2))
            total += term
            k += 2
        return total * total


def power_error_in_ulp(x: np.ndarray, y: np.ndarray) -> float:
    with localcontext(DIGITS):
        true = [(Decimal(b) * Decimal(a).ln()).exp() for a, b in zip(x.tolist(), y.tolist(), strict=True)]
    return errors_in_ulp(elementary.power(x, y), true)


def test_half_cosine_is_within_one_ulp_of_the_truth() -> None:
    rng = np.random.default_rng(0)
    near = rng.random(300)
    edges = [0.5 + 1e-6 * near, 0.5 - 1e-6 * near, 0.49 + near / 50, 1 - near**8, near**8, near**40]
    x = np.concatenate([rng.random(2000), *edges])
    assert errors_in_ulp(elementary.half_cosine(x), [true_half_cosine(float(v)) for v in x]) < 0.9


def test_half_cosine_is_exact_where_it_can_be() -> None:
    x = np.array([0.0, 0.5, 1.0, 1 - 1e-9, 0.25, 0.75])
    np.testing.assert_array_equal(elementary.half_cosine(x)[:4], [0.0, 0.5, 1.0, 1.0])
    assert elementary.half_cosine(x)[5] == (2 + math.sqrt(2)) / 4


def test_half_cosine_rises_and_is_symmetric() -> None:
    x = np.arange(100_001) / 100_001
    values = elementary.half_cosine(x)
    assert (np.diff(values) > 0).all()
    d = np.arange(1 << 12) / (1 << 13)
    up, down = elementary.half_cosine(0.5 - d), elementary.half_cosine(0.5 + d)
    np.testing.assert_array_equal(down, 1.0 - up)


@pytest.mark.parametrize(
    ("low", "high", "exponents"), [(-12, 12, (-20, 20)), (-0.1, 0.1, (-5000, 5000)), (-300, 300, (-1, 1))]
)
def test_power_is_within_one_ulp_of_the_truth(low: float, high: float, exponents: tuple[float, float]) -> None:
    rng = np.random.default_rng(1)
    x = 10.0 ** rng.uniform(low, high, 800)
    y = rng.uniform(*exponents, 800)
    keep = np.abs(y * np.log10(x)) < 307
    x, y = x[keep], y[keep]
    assert len(x) > 500
    assert power_error_in_ulp(x, y) < 0.55


def test_power_near_one_and_far_out() -> None:
    rng = np.random.default_rng(2)
    x = 1 - 10.0 ** rng.uniform(-15, -2, 500)
    y = np.floor(10.0 ** rng.uniform(0, 4, 500))
    assert power_error_in_ulp(x, y) < 0.55


def test_staircase_powers_of_the_mission_are_within_one_ulp() -> None:
    k = np.arange(3000.0)
    rate = 0.99
    with localcontext(DIGITS):
        true = [Decimal(rate) ** i for i in range(3000)]
    assert errors_in_ulp(elementary.power(np.full(3000, rate), k), true) < 0.55


@pytest.mark.parametrize("exponent", [0.3, 0.5, 1.0, 1.5, 2.0, 3.0, 7.0, 1e3])
def test_what_a_power_leaves_of_one_is_within_two_ulp_of_the_truth(exponent: float) -> None:
    rng = np.random.default_rng(4)
    x = np.concatenate([rng.random(500), 1 - 10.0 ** rng.uniform(-15, -1, 500), 10.0 ** rng.uniform(-15, -1, 200)])
    with localcontext(DIGITS):
        true = [1 - (Decimal(exponent) * Decimal(a).ln()).exp() for a in x.tolist()]
    assert errors_in_ulp(elementary.less_power(x, exponent), true) < 2.0
    np.testing.assert_array_equal(elementary.less_power(np.array([0.0, 1.0]), exponent), [1.0, 0.0])


def test_power_is_exact_where_the_result_is_a_double() -> None:
    x = 10.0 ** np.random.default_rng(3).uniform(-300, 300, 5000)
    np.testing.assert_array_equal(elementary.power(x, np.ones(5000)), x)
    np.testing.assert_array_equal(elementary.power(x, np.zeros(5000)), 1.0)
    n = np.arange(-1074.0, 1024.0)
    np.testing.assert_array_equal(elementary.power(np.full(len(n), 2.0), n), np.ldexp(1.0, n.astype(int)))
    small = np.arange(1.0, 2000.0)
    np.testing.assert_array_equal(elementary.power(small, np.full(1999, 2.0)), small * small)
    np.testing.assert_array_equal(elementary.power(small * small, np.full(1999, 0.5)), small)
    np.testing.assert_array_equal(elementary.power(np.zeros(2), np.array([0.5, 7.0])), 0.0)


def test_power_leaves_the_range_of_doubles_at_zero_and_infinity() -> None:
    x = np.array([0.5, 2.0, 10.0, 10.0, 0.999, 2.0])
    y = np.array([2000.0, 2000.0, -400.0, 400.0, 1e18, 1e300])
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(elementary.power(x, y), [0.0, np.inf, 0.0, np.inf, 0.0, np.inf])


def test_the_table_of_powers_of_two_is_right() -> None:
    with localcontext(DIGITS):
        for j, (high, low) in enumerate(zip(elementary.EXP2_HIGH, elementary.EXP2_LOW, strict=True)):
            true = (Decimal(j) / 32 * Decimal(2).ln()).exp()
            assert float(high) == float(true)
            assert abs(Decimal(float(high)) + Decimal(float(low)) - true) < Decimal("1e-32")


# Arguments of each formula drawn at random, in its order.
def _draw(name: str, rng: np.random.Generator) -> tuple[float, ...]:
    value = lambda: float(rng.choice([0.0, 1.0, *rng.uniform(-2, 2, 2), *10.0 ** rng.uniform(-9, 1, 4)]))  # noqa: E731
    steps = lambda: float(rng.integers(1, 10 ** rng.integers(1, 7)))  # noqa: E731
    flag = lambda: float(rng.integers(2))  # noqa: E731
    positive = lambda: float(rng.choice([1.0, 0.5, 2.0, *rng.uniform(0.01, 3, 4)]))  # noqa: E731
    span = steps()
    warmup = span * float(rng.uniform(0, 0.49))
    bounds = sorted({steps() for _ in range(int(rng.integers(0, 6)))})
    points = sorted({steps() - 1.0 for _ in range(int(rng.integers(1, 6)))})
    drawn: dict[str, tuple[float, ...]] = {
        "polynomial": (value(), value(), steps(), positive(), flag(), positive()),
        "exponential": (value(), float(rng.uniform(0.5, 1.1)), steps(), flag(), float(rng.choice([np.nan, value()]))),
        "inverse_time": (value(), float(rng.uniform(0, 2)), steps(), flag()),
        "piecewise_constant": (*bounds, *(value() for _ in range(len(bounds) + 1))),
        "cosine": (value(), value(), steps(), positive(), positive()),
        "cosine_cycles": (value(), value(), steps(), positive(), flag()),
        "power_decay": (value(), positive(), steps()),
        "tanh": (value(), value(), steps(), float(rng.uniform(-9, 0)), float(rng.uniform(0, 9))),
        "table": (float(rng.integers(3)), *points, *(value() for _ in points)),
        "warmup": (value(), value(), steps(), float(rng.integers(5)), flag()),
        "cosine_restarts": (value(), value(), steps(), float(rng.choice([1.0, 2.0, rng.uniform(1.01, 3)])), positive()),
        "one_cycle": (value(), value(), value(), span, warmup, warmup * float(rng.integers(1, 3)), flag()),
        "cyclic": (value(), value(), steps(), steps(), float(rng.integers(3)), float(rng.uniform(0.99, 1))),
        "inverse_sqrt": (value(), steps(), steps()),
        "warmup_stable_decay": (value(), value(), steps() - 1, steps() - 1, steps(), float(rng.integers(4))),
        "rex": (value(), value(), steps()),
    }
    return drawn[name]


@pytest.mark.parametrize("build", kernels.compiled())
@pytest.mark.parametrize("name", formulas.FORMULAS)
def test_every_build_gives_the_bits_of_the_reference(name: str, build: str) -> None:
    rng = np.random.default_rng(list(name.encode()))
    for _ in range(40):
        arguments = _draw(name, rng)
        n = int(rng.integers(1, 1500))  # over two chunks, and all lengths of a vector's tail
        steps = rng.integers(0, 10 ** int(rng.integers(1, 8)), n)
        steps[: n // 2] = np.arange(n // 2)
        compiled = kernels.formulas(build).Formula(name, arguments)
        expected = formulas.Formula(name, arguments).values(steps)
        np.testing.assert_array_equal(compiled.values(steps), expected, err_msg=f"{name}{arguments}")
        alone = [compiled.value(int(step)) for step in steps[:50]]
        np.testing.assert_array_equal(alone, expected[:50], err_msg=f"{name}{arguments}")


@pytest.mark.parametrize("build", kernels.compiled())
def test_bits_of_power_and_half_cosine_over_many_arguments(build: str) -> None:
    steps = np.arange(100_000)
    for name, arguments in [
        ("cosine", (1.0, 0.0, 99_991.0, 1.0, 1.0)),
        ("cosine", (1.0, 0.0, 99_991.0, 0.37, 1.0)),
        ("cosine", (1.0, 0.0, 99_991.0, 1.0, 2.3)),
        ("polynomial", (1.0, 0.0, 99_991.0, 3.3, 0.0, 1.0)),
        ("polynomial", (1.0, 0.0, 99_991.0, 1.0, 0.0, 0.4)),
        ("tanh", (1.0, 0.0, 99_991.0, -7.0, 3.0)),
        ("tanh", (1.0, 0.0, 99_991.0, -400.0, 400.0)),  # beyond what its exponential can hold
        ("exponential", (1.0, 0.9993, 7.0, 0.0, math.nan)),
        ("exponential", (1.0, 0.7, 40.0, 0.0, math.nan)),  # through the subnormal numbers to zero
        ("exponential", (1.0, 1.7, 40.0, 0.0, math.nan)),  # to infinity
    ]:
        expected = formulas.Formula(name, arguments).values(steps)
        np.testing.assert_array_equal(kernels.formulas(build).Formula(name, arguments).values(steps), expected)


COUNTS = {
    "polynomial": 6, "exponential": 5, "inverse_time": 4, "cosine": 5, "cosine_restarts": 5, "one_cycle": 7,
    "cyclic": 6, "inverse_sqrt": 3, "warmup_stable_decay": 6, "rex": 3, "cosine_cycles": 5, "power_decay": 3,
    "tanh": 5, "warmup": 5,
}  # fmt: skip


@pytest.mark.parametrize("build", BUILDS)
def test_a_build_has_every_formula_and_no_other(build: str) -> None:
    made: Any = kernels.formulas(build).Formula
    assert set(formulas.FORMULAS) == {*COUNTS, *formulas.POINTS_AND_VALUES}
    for name, n in COUNTS.items():
        made(name, (1.0,) * n)
    with pytest.raises(KeyError, match="constant"):
        made("constant", (1.0,))


WRONG_ARGUMENTS: list[tuple[str, Any, type[Exception], str]] = [
    *(
        (name, (1.0,) * wrong, ValueError, f"{name} must have {n} arguments, got {wrong}")
        for name, n in COUNTS.items()
        for wrong in sorted({0, 1, n - 1, n + 1, 1000} - {n})
    ),
    ("piecewise_constant", (), ValueError, "piecewise_constant must have an odd number of arguments, got 0"),
    ("piecewise_constant", (1, 2), ValueError, "piecewise_constant must have an odd number of arguments, got 2"),
    ("piecewise_constant", (2, 1, 0, 0, 0), ValueError,
     "piecewise_constant must have steps that increase, got [2.0, 1.0, 0.0, 0.0, 0.0]"),
    ("piecewise_constant", (1, math.nan, 0, 0, 0), ValueError, "piecewise_constant must have steps that increase"),
    *(("table", (1.0,) * n, ValueError, f"table must have an odd number of arguments, 3 or more, got {n}")
      for n in (0, 1, 2, 4)),
    ("table", (1, 2, 2, 0, 0), ValueError, "table must have steps that increase, got [1.0, 2.0, 2.0, 0.0, 0.0]"),
    ("table", (1, math.nan, 2, 0, 0), ValueError, "table must have steps that increase"),
    ("rex", (1, "2", 3), TypeError, "rex[1] must be a number, got '2'"),
    ("rex", ([1], 2, 3), TypeError, "rex[0] must be a number, got [1]"),
    ("rex", (1, 2, 10**400), ValueError, "rex[2] must be finite, got a number beyond float64"),
    ("rex", 3, TypeError, "'int' object is not iterable"),
]  # fmt: skip


@pytest.mark.parametrize("build", BUILDS)
@pytest.mark.parametrize(("name", "arguments", "error", "message"), WRONG_ARGUMENTS)
def test_a_formula_reads_its_own_arguments_and_nothing_beyond(
    name: str, arguments: Any, error: type[Exception], message: str, build: str
) -> None:
    with pytest.raises(error, match=f"^{re.escape(message)}"):
        kernels.formulas(build).Formula(name, arguments)


@pytest.mark.parametrize("build", kernels.compiled())
def test_a_formula_that_was_not_made_cannot_be_asked(build: str) -> None:
    made: Any = kernels.formulas(build).Formula
    with pytest.raises(TypeError):
        made.__new__(made)
    with pytest.raises(TypeError):
        made("rex", (1, 2, 3)).values(None)


ABSURD = [0.0, 1.0, -1.0, 0.5, 2.0, 3.0, 10.0, 1.1, 1000.0, 2.0**53 - 1, 1e308, -1e308, 1e-320, 5e-324,
          math.nan, math.inf, -math.inf]  # fmt: skip
FAR = np.array([0, 1, 2, 5, 9, 10, 11, 999, 1000, 1001, 10**5, 2**31, 2**40, 2**53 - 2, 2**53 - 1])


@pytest.mark.parametrize("build", kernels.compiled())
@pytest.mark.parametrize("name", COUNTS)
def test_absurd_arguments_give_what_the_reference_gives(name: str, build: str) -> None:
    rng = np.random.default_rng(list(name.encode()))
    for _ in range(1000):
        arguments = rng.choice(ABSURD, COUNTS[name])
        expected = formulas.Formula(name, arguments).values(FAR)
        compiled = kernels.formulas(build).Formula(name, arguments)
        np.testing.assert_array_equal(compiled.values(FAR), expected, err_msg=f"{name}{arguments}")
        alone = [compiled.value(int(step)) for step in FAR]
        np.testing.assert_array_equal(alone, expected, err_msg=f"{name}{arguments}")


@pytest.mark.parametrize("build", BUILDS)
def test_powers_of_absurd_numbers(build: str) -> None:
    power = kernels.formulas(build).scalar_power
    for x in ABSURD:
        for y in ABSURD:
            np.testing.assert_equal(power(x, y), formulas.scalar_power(x, y))
    assert power(3.0, 1e19) == power(1.5, 2.0**60) == power(1e300, 2.0**53) == math.inf
    assert power(0.3, 1e19) == power(0.7, 2.0**60) == power(1e-300, 2.0**53) == 0.0
    for x in (-1.0, math.inf, math.nan):
        assert math.isnan(power(x, 2.0))


# Bits, as numbers, that no build and no machine may change. (piecewise_constant computes nothing.)
PINNED = [
    ("polynomial", (0.3, 0.01, 1000.0, 1.7, 0.0, 1.0), 234, "0x1.8dfadbbb77707p-3"),
    ("exponential", (0.1, 0.97, 7.0, 0.0, math.nan), 234, "0x1.27ede468b7193p-5"),
    ("inverse_time", (0.1, 0.003, 7.0, 0.0), 234, "0x1.7444566b4aeb3p-4"),
    ("cosine", (0.3, 0.01, 1000.0, 1.7, 1.0), 834, "0x1.a65bd1dffd85fp-7"),
    ("cosine_restarts", (0.3, 0.01, 10.0, 1.3, 0.9), 834, "0x1.09cd31956d94bp-4"),
    ("one_cycle", (0.004, 0.1, 4e-07, 1000.0, 293.0, 586.0, 0.0), 834, "0x1.6bdb595fa6f3ep-10"),
    ("cyclic", (0.01, 0.1, 20.0, 30.0, 2.0, 0.997), 834, "0x1.c80c048fe5431p-7"),
    ("inverse_sqrt", (0.1, 40.0, 40.0), 834, "0x1.6698d770e4e39p-6"),
    ("warmup_stable_decay", (0.1, 0.003, 10.0, 500.0, 700.0, 0.0), 834, "0x1.1696b17859cb9p-5"),
    ("rex", (0.3, 0.01, 1000.0), 834, "0x1.7b2db84d6c6cbp-4"),
    ("polynomial", (0.3, 0.01, 1000.0, 1.7, 0.0, 1.6), 234, "0x1.037dd3aecf10dp-2"),
    ("cosine", (0.3, 0.01, 1000.0, 1.7, 0.6), 834, "0x1.5aefb977ff1ecp-7"),
    ("cosine_cycles", (0.3, 0.01, 1000.0, 2.3, 0.0), 83400007, "0x1.3270e11ac766ap-2"),
    ("cosine_cycles", (0.3, 0.01, 1000.0, 2.3, 1.0), 83400007, "0x1.330296b7faa61p-2"),
    ("power_decay", (0.1, 0.7, 30.0), 834, "0x1.37cca1a383489p-7"),
    ("tanh", (0.1, 0.003, 1000.0, -7.0, 3.0), 834, "0x1.2e3fa5dae95abp-7"),
    ("table", (1.0, 10.0, 1000.0, 0.3, 0.01), 834, "0x1.e0442f1554026p-5"),
    ("table", (2.0, 10.0, 1000.0, 0.3, 0.01), 834, "0x1.e5e688cc09cfep-6"),
    ("warmup", (0.3, 0.01, 1000.0, 0.0, 1.0), 834, "0x1.02339c0ebedfap-2"),
    ("warmup", (0.3, 0.01, 1000.0, 1.0, 1.0), 834, "0x1.1fb1c4aca80d2p-2"),
    ("warmup", (0.3, 0.01, 1000.0, 2.0, 1.0), 834, "0x1.752607bc50760p-3"),
    ("warmup", (0.3, 0.01, 1000.0, 3.0, 1.0), 834, "0x1.2b752600400c3p-2"),
    ("warmup", (0.3, 0.01, 1000.0, 4.0, 1.0), 834, "0x1.5e87e35a8e0d9p-3"),
]


@pytest.mark.parametrize("build", BUILDS)
def test_pinned_bits_of_every_formula(build: str) -> None:
    assert {name for name, *_ in PINNED} == set(formulas.FORMULAS) - {"piecewise_constant"}
    for name, arguments, step, bits in PINNED:
        assert kernels.formulas(build).Formula(name, arguments).value(step).hex() == bits
