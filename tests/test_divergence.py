"""The judge of divergence: growth that goes on, whatever the size, the offset and the noise of the losses."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lrcore as lr
from lrcore.divergence import FEWEST, GROWTH, RISES, Divergence


def seen_at(losses):
    """The index of the loss at which a run is judged to have diverged; None if it is not."""
    judge = Divergence()
    return next((k for k, loss in enumerate(losses) if judge.update(loss)), None)


@pytest.mark.parametrize(
    ("losses", "at"),
    [
        ([36 * 4.0**k for k in range(20)], 6),
        ([1e-6 * 4.0**k for k in range(20)], 6),
        ([math.ldexp(1, -1074 + 2 * k) for k in range(20)], 6),  # subnormal
        ([1e300 * 4.0**k for k in range(20)], 6),
        ([25 * 4.0**k + 1e6 for k in range(20)], 13),  # an offset is a size
        ([25 * 4.0**k - 1e6 for k in range(20)], 13),
        ([36 * 1.0404**k for k in range(400)], 175),  # slowly
        ([float(k + 1) for k in range(3000)], 1000),
        ([0.0] * 50 + [4.0**k for k in range(20)], 56),  # zeros say nothing of the size
        ([1.0] * 50 + [4.0**k for k in range(20)], 56),
        ([2.0**-k for k in range(30)] + [2.0 ** (2 * k - 30) for k in range(60)], 30 + 20),  # after a good beginning
        ([2.0**k * (1, 100)[k % 2] for k in range(200)], 20),  # to and fro
        ([1.0, math.nan], 1),
        ([math.nan], 0),
        ([3.0, -math.inf], 1),
    ],
)
def test_growth_is_seen(losses, at):
    found = seen_at(losses)
    assert found is not None
    assert found <= at + 3
    assert found >= at - 3


@pytest.mark.parametrize(
    "losses",
    [
        [0.0] * 100,
        [0.0, 0.0, 0.3, 0.2, 0.25, 0.3, 0.35, 0.2] + [0.1] * 100,
        [1e-30, 1e-30, 0.3, 0.2, 0.25, 0.3, 0.35, 0.2] + [0.1] * 100,  # a jump from rounding errors to its size
        [1e-30] * 20 + [0.3, 0.35, 0.4] * 20,
        [1e-300, 0.1, 0.2, 0.3, 0.35, 0.4, 0.45, 0.46, 0.45] + [0.4] * 50,
        [1.0] * 50 + [1 + 1e-3 * k for k in range(500)],  # constant, then rising by little
        [1.0, 1000.0] * 100,
        [1.0, 1e9] + [1.0] * 100,  # one spike
        [2.0, 20.0, 200.0, 1500.0, 100.0, 3.0] + [1.0] * 50,  # of a warmup
        [-(2.0**k) for k in range(100)],  # falls for ever
        [-1e5 + k for k in range(200)],
        [36.0] * 200,
    ],
)
def test_what_is_no_divergence(losses):
    assert seen_at(losses) is None
    assert seen_at([2.0**-900 * loss for loss in losses]) is None


def test_one_rise_less_and_the_thousandth_exactly_are_not_enough():
    growing = [GROWTH ** (k / RISES) for k in range(RISES)]
    assert seen_at([1.0, *growing[1:], GROWTH]) is None
    assert seen_at([1.0, *growing[1:], GROWTH * 1.001]) == RISES
    assert seen_at([1.0, *growing[2:], GROWTH * 1.001]) is None
    assert FEWEST > 1


@given(st.lists(st.floats(-1, 1), max_size=200), st.integers(-1000, 1000))
def test_no_losses_within_a_thousandfold_of_the_first_diverge(noise, power):
    first = math.ldexp(1.0, power)
    assert seen_at([first, *(first * 2**exponent for exponent in noise)]) is None


@given(st.lists(st.floats(1e-3, 1e3), max_size=150), st.integers(-900, 900))
def test_the_unit_of_the_loss_does_not_matter(losses, power):
    grown = [loss * 3.0 ** (k / 4) for k, loss in enumerate(losses)]
    assert seen_at(grown) == seen_at([math.ldexp(loss, power) for loss in grown])


def single_rows(kind, seed, rate, steps=400, begin=0.0):
    """Losses of gradient descent on one row after another."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((200, 5))
    truth = rng.standard_normal(5)
    label = np.where(x @ truth + 0.7 * (seed % 3) * rng.standard_normal(200) > 0, 1.0, -1.0)
    target = x @ truth + 0.3 * rng.standard_normal(200)
    w = begin * rng.standard_normal(5)
    opt = lr.SGD(w, lr=rate)

    def fun(w):
        i = rng.integers(200)
        margin = label[i] * float(x[i] @ w)
        if kind == "perceptron":
            return max(0.0, -margin), -label[i] * x[i] * (margin <= 0)
        if kind == "logistic":
            return float(np.logaddexp(0, -margin)), -label[i] * x[i] / (1 + math.exp(min(margin, 700)))
        error = float(x[i] @ w - target[i])
        return error * error, 2 * error * x[i]

    return lr.minimize(fun, w, opt, steps)


@pytest.mark.parametrize(
    ("kind", "rates"), [("perceptron", (0.01, 1.0)), ("logistic", (0.1, 10.0)), ("squares", (0.001, 0.05))]
)
def test_healthy_runs_on_single_rows_do_not_diverge(kind, rates):
    for rate in rates:
        for seed in range(100):
            history = single_rows(kind, seed, rate, steps=200, begin=seed % 2)
            assert history.ended == "completed", (kind, rate, seed, history.message)


@pytest.mark.parametrize("rate", [0.5, 3.0])
def test_diverging_runs_on_single_rows_are_all_seen(rate):
    with np.errstate(all="ignore"):
        histories = [single_rows("squares", seed, rate, steps=300) for seed in range(50)]
    assert {history.ended for history in histories} == {"diverged"}
    assert np.median([len(history.loss) for history in histories]) < 40


@settings(max_examples=20)
@given(st.integers(0, 10**6))
def test_what_is_remembered_does_not_grow_with_the_run(seed):
    rng = np.random.default_rng(seed)
    judge = Divergence()
    for loss in rng.exponential(size=2000):
        judge.update(float(loss))
    assert len(judge._levels) <= 11
    assert len(judge._rise) < 20


def test_highest_losses_that_grow_are_not_enough_where_the_others_are_as_before():
    # Of a perceptron that begins at zero, rates tried from low to high: losses in proportion to the rate, or zero.
    for seed in range(50):
        rng = np.random.default_rng(seed)
        assert seen_at(np.maximum(0.0, 1.3 ** np.arange(200) * rng.standard_normal(200)).tolist()) is None
