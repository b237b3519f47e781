"""Moving averages: closed forms, bits of the compiled code against its twin and the running form, bad input."""

from __future__ import annotations

import copy
import re
from fractions import Fraction

import numpy as np
import pytest
from conftest import BUILDS
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import lrcore as lr
from lrcore import kernels

betas = st.floats(0, 1, exclude_max=True) | st.sampled_from([0.0, 0.5, 0.9, 0.999, 1 - 2.0**-53])


def on(build, *arguments):
    with kernels.using(build):
        return lr.ewma(*arguments)


@pytest.mark.parametrize("build", BUILDS)
def test_by_hand(build):
    # v = 1/2, 1/4 + 1, 5/8 + 3/2; divided by 1/2, 3/4, 7/8
    np.testing.assert_array_equal(on(build, [1, 2, 3], 0.5, False), [0.5, 1.25, 2.125])
    np.testing.assert_array_equal(on(build, [1, 2, 3], 0.5, True), [1.0, 1.25 / 0.75, 2.125 / 0.875])
    np.testing.assert_array_equal(on(build, [4.0, -1.0], 0.0, True), [4.0, -1.0])


@pytest.mark.parametrize("beta", [0.5, 0.9, 0.98, 0.999])
def test_is_the_weighted_mean_of_the_values_so_far(beta):
    x = np.random.default_rng(0).standard_normal(300)
    exact = Fraction(beta)
    for t in (1, 2, 10, 300):
        weights = [exact ** (t - 1 - k) for k in range(t)]
        total = sum(w * Fraction(v) for w, v in zip(weights, x[:t].tolist(), strict=True))
        np.testing.assert_allclose(lr.ewma(x, beta)[t - 1], float(total / sum(weights)), rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(lr.ewma(x, beta, False)[t - 1], float(total * (1 - exact)), rtol=1e-12, atol=1e-14)


def test_the_correction_keeps_a_constant_and_without_it_the_first_averages_lie_near_zero():
    x = np.full(1000, 3.0)
    np.testing.assert_allclose(lr.ewma(x, 0.98), x, rtol=1e-13)
    t = np.arange(1, 1001)
    np.testing.assert_allclose(lr.ewma(x, 0.98, False), 3 * (1 - 0.98**t), rtol=1e-12)


@settings(max_examples=60, deadline=None)
@given(
    hnp.arrays(
        st.sampled_from([np.float32, np.float64]),
        st.sampled_from([(0,), (1,), (40,), (3, 5), (0, 4), (4, 0), (7, 2, 3)]),
        elements=st.floats(width=32),
    ),
    betas,
    st.booleans(),
)
def test_equal_bits_compiled_in_numpy_and_running(x, beta, corrected):
    expected = on("reference", x, beta, corrected)
    assert expected.dtype == x.dtype
    assert expected.shape == x.shape
    for build in BUILDS:
        np.testing.assert_array_equal(on(build, x, beta, corrected), expected)
        with kernels.using(build):
            rows = lr.MovingAverage(beta, corrected)
            numbers = lr.MovingAverage(beta, corrected)
            for t, row in enumerate(x):
                if row.ndim:
                    np.testing.assert_array_equal(rows.update(row), expected[t])
                    np.testing.assert_array_equal(rows.value, expected[t])
                    assert rows.value.dtype == x.dtype
                else:
                    np.testing.assert_array_equal(numbers.update(row), on(build, np.float64(x), beta, corrected)[t])
                    assert type(numbers.value) is float


@pytest.mark.parametrize("build", BUILDS)
def test_the_power_of_beta_ends_where_it_no_longer_counts(build):
    # 1 - 0.9^t rounds to 1 from t = 356 on; left to itself it would end as the smallest denormal.
    with kernels.using(build):
        scalar, rows = lr.MovingAverage(0.9), lr.MovingAverage(0.9)
        for t in range(1, 400):
            assert scalar.update(1.0) == rows.update(np.ones(2))[0]
            for average in (scalar, rows):
                assert (average.state_dict()["power"] == 0) == (t >= 356)
        np.testing.assert_allclose(scalar.value, 1.0, rtol=1e-14)


@pytest.mark.parametrize("build", BUILDS)
def test_strides_integers_and_read_only_arrays(build):
    x = np.arange(24.0).reshape(4, 6)
    expected = on(build, x[:, ::2].copy(), 0.7, True)
    np.testing.assert_array_equal(on(build, x[:, ::2], 0.7, True), expected)
    np.testing.assert_array_equal(on(build, x.astype(int)[:, ::2], 0.7, True), expected)
    np.testing.assert_array_equal(on(build, x.astype(">f8")[:, ::2], 0.7, True), expected)
    frozen = x[:, ::2].copy()
    frozen.flags.writeable = False
    np.testing.assert_array_equal(on(build, frozen, 0.7, True), expected)


def test_the_running_form_keeps_no_hold_of_what_it_is_given_nor_gives_of_its_own():
    average = lr.MovingAverage(0.5, bias_correction=False)
    x = np.array([2.0, 4.0])
    first = average.update(x)
    x[:] = 100
    average.value[:] = 100
    first[:] = 100
    np.testing.assert_array_equal(average.value, [1, 2])
    np.testing.assert_array_equal(average.update(np.zeros(2)), [0.5, 1])
    assert average.count == 2


def test_before_the_first_value_the_average_is_nan():
    assert np.isnan(lr.MovingAverage(0.9).value)


@pytest.mark.parametrize("kind", [float, np.float32, lambda x: np.full((2, 3), x, np.float32), lambda x: np.full(2, x)])
def test_state_goes_on_with_the_same_bits(kind):
    xs = [kind(x) for x in np.random.default_rng(1).standard_normal(20)]
    whole, half = lr.MovingAverage(0.95), lr.MovingAverage(0.95)
    for x in xs[:10]:
        half.update(x)
    resumed = lr.MovingAverage(0.95)
    resumed.load_state_dict(half.state_dict())
    np.testing.assert_array_equal(resumed.value, half.value)
    for x in xs:
        whole.update(x)
    for x in xs[10:]:
        resumed.update(x)
        half.update(x)
    np.testing.assert_array_equal(resumed.value, whole.value)
    np.testing.assert_array_equal(half.value, whole.value)
    assert resumed.count == 20
    assert type(resumed.value) is type(whole.value)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: lr.ewma([1.0], 1.0), ValueError, "beta must be in [0, 1), got 1.0"),
        (lambda: lr.ewma([1.0], -0.1), ValueError, "beta must be in [0, 1), got -0.1"),
        (lambda: lr.ewma([1.0], float("nan")), ValueError, "beta must be in [0, 1), got nan"),
        (lambda: lr.ewma([1.0], "0.9"), TypeError, "beta must be a number, got '0.9'"),
        (lambda: lr.ewma([1.0], 0.9, 1), TypeError, "bias_correction must be True or False, got 1"),
        (lambda: lr.ewma(1.0, 0.9), ValueError, "x must have at least one axis, got the number 1.0"),
        (lambda: lr.ewma(["a"], 0.9), TypeError, "x must be real numbers within float64, got <U1"),
        (lambda: lr.ewma([1j], 0.9), TypeError, "x must be real numbers within float64, got complex128"),
        (lambda: lr.ewma([True], 0.9), TypeError, "x must be real numbers within float64, got bool"),
        (lambda: lr.ewma([[1.0], [1.0, 2.0]], 0.9), TypeError, "x must be numbers or arrays of one shape, got list"),
        (lambda: lr.MovingAverage(2), ValueError, "beta must be in [0, 1), got 2.0"),
        (lambda: lr.MovingAverage(0.9, None), TypeError, "bias_correction must be True or False, got None"),
    ],
)
def test_bad_arguments(call, error, message):
    with pytest.raises(error, match=re.escape(message)):
        call()


@pytest.mark.parametrize(
    ("first", "then", "error", "message"),
    [
        (1.0, np.ones(2), ValueError, "x must be a number like those before, got a float64 array of shape (2,)"),
        (np.ones(2), 1.0, ValueError, "x must be a float64 array of shape (2,) like those before, got a number"),
        (np.ones(2), np.ones(3), ValueError, "like those before, got a float64 array of shape (3,)"),
        (np.ones(2), np.ones(2, np.float32), ValueError, "like those before, got a float32 array of shape (2,)"),
        (1.0, "1", TypeError, "x must be real numbers within float64, got <U1"),
        (1.0, True, TypeError, "x must be real numbers within float64, got bool"),
        (1.0, 10**400, ValueError, "x must be finite, got a number beyond float64"),
    ],
)
def test_a_value_unlike_those_before_changes_nothing(first, then, error, message):
    average = lr.MovingAverage(0.9)
    average.update(first)
    before = average.state_dict()
    with pytest.raises(error, match=re.escape(message)):
        average.update(then)
    np.testing.assert_equal(average.state_dict(), before)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"beta": 0.5}, ValueError, "state['beta'] must be 0.9, got 0.5"),
        ({"count": -1}, ValueError, "state['count'] must be >= 0, got -1"),
        ({"count": 1.0}, TypeError, "state['count'] must be an integer, got 1.0"),
        ({"power": 1.5}, ValueError, "state['power'] must be beta to the power of count, 0.9^1, got 1.5"),
        ({"power": 1.0}, ValueError, "state['power'] must be beta to the power of count, 0.9^1, got 1.0"),
        ({"dtype": "int64"}, ValueError, "state['dtype'] must be one of '', 'float32', 'float64', got 'int64'"),
        ({"dtype": "float32"}, TypeError, "state['average'] must be a float64 array, got"),
        ({"average": None}, TypeError, "state['average'] must be a number, got None"),
    ],
)
def test_a_state_that_does_not_belong(change, error, message):
    average = lr.MovingAverage(0.9)
    average.update(1.0)
    before = average.state_dict()
    with pytest.raises(error, match=re.escape(message)):
        average.load_state_dict(before | change)
    assert average.state_dict() == before
    with pytest.raises(TypeError, match="state must be a mapping as state_dict gives, got list"):
        average.load_state_dict([])
    with pytest.raises(ValueError, match=re.escape("state must have the key 'beta', got 'count'")):
        average.load_state_dict({"count": 1})


def test_assignments_take_effect_or_raise():
    average = lr.MovingAverage(0.5)
    average.update(1.0)
    average.beta = np.float32(0.75)
    assert average.update(3.0) == (0.75 * 0.5 + 0.25 * 3) / (1 - 0.5 * 0.75)  # weights 3/8 and 1/4, of their sum
    average.bias_correction = False
    assert average.value == 0.75 * 0.5 + 0.25 * 3
    with pytest.raises(ValueError, match=re.escape("beta must be in [0, 1), got 1.0")):
        average.beta = 1
    with pytest.raises(TypeError, match="bias_correction must be True or False, got 1"):
        average.bias_correction = 1
    for name in ("count", "value", "decay", "alpha"):
        with pytest.raises(AttributeError, match=f"{name} of MovingAverage must not be assigned: .*; beta, bias_corr"):
            setattr(average, name, 0.5)
    assert average.count == 2


def test_a_state_with_another_correction_is_refused():
    average = lr.MovingAverage(0.5)
    with pytest.raises(ValueError, match=re.escape("state['bias_correction'] must be True, got False")):
        average.load_state_dict(lr.MovingAverage(0.5, bias_correction=False).state_dict())


def test_a_copy_goes_on_by_itself():
    average = lr.MovingAverage(0.5, bias_correction=False)
    average.update(np.ones(2))
    other = copy.copy(average)
    other.update(np.full(2, 9.0))
    np.testing.assert_array_equal(average.value, [0.5, 0.5])


@pytest.mark.parametrize("x", [np.array(3.0), np.float16(3), np.int8(3), 3])
def test_any_number_is_averaged(x):
    assert lr.MovingAverage(0.5).update(x) == 3
