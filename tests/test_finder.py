"""The searches for the rate and the weight decay: what they find, and that they leave everything as it was."""

from __future__ import annotations

import math
import pickle
import re
import signal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import lrcore as lr
from lrcore import finder

CURVATURES = np.array([1.0, 10.0])


def bowl(w):
    """Gradient descent on it goes down below a rate of 2/10, and diverges above."""
    return float(CURVATURES @ w**2) / 2, CURVATURES * w


def test_every_public_name_is_there():
    assert {"find_lr", "coarse_lr", "find_weight_decay"} <= set(lr.__all__)
    for name in lr.__all__:
        assert getattr(lr, name) is not None
    assert lr.find_lr is finder.find_lr
    with pytest.raises(AttributeError, match="module 'lrcore' has no attribute 'find_rate'"):
        lr.find_rate  # noqa: B018


# The curve.


def test_the_curve_is_that_of_steps_at_growing_rates():
    w = np.array([3.0, -2.0])
    found = lr.find_lr(bowl, w, lr.SGD, low=1e-3, high=0.1, steps=5, beta=0.5)
    v, losses = w.copy(), []
    for k in range(5):
        v -= 1e-3 * 10 ** (k / 2) * CURVATURES * v
        losses.append(bowl(v)[0])
    np.testing.assert_allclose(found.lr, [1e-3, 10**-2.5, 1e-2, 10**-1.5, 1e-1], rtol=1e-12)
    np.testing.assert_allclose(found.loss, losses, rtol=1e-12)
    np.testing.assert_array_equal(found.smoothed, lr.ewma(found.loss, 0.5))
    assert not found.diverged
    assert found.minimum == found.lr[-1]
    assert found.minimum_tenth == found.minimum / 10


def test_the_minimum_is_where_a_parabola_turns_and_the_search_ends_beyond_it():
    # A step on w^2 / 2 multiplies w by 1 - rate: down below a rate of 2, up above.
    found = lr.find_lr(lambda w: (float(w[0] ** 2) / 2, 1 * w), np.array([3.0]), lr.SGD, high=1e3, beta=0)
    assert found.diverged
    assert found.minimum < 2 < found.lr[np.argmin(found.loss) + 1]
    assert found.loss[-1] > 1000 * 4.5
    assert found.lr[-1] < 1e3
    assert 0.01 < found.steepest < found.minimum
    assert 1e-5 < found.valley < found.steepest


def losses_in_turn(losses):
    """A function that answers these losses, call by call, whatever the parameters."""
    left = iter(losses)
    return lambda w: (next(left), np.zeros_like(w))


@pytest.mark.parametrize(
    ("losses", "taken", "diverged"),
    [
        ([9, 90, 300, 900, 2000, 8000, 9001, 0, 0, 0, 0], 6, True),  # a thousand times the first, in six rises
        ([9, 90, 300, 900, 2000, 8000, 8999, 0, 0, 0, 0], 10, False),
        ([9, 90, 300, 900, 2000, 1999, 9001, 0, 0, 0, 0], 10, False),  # not risen all the time
        ([-9, 90, 300, 900, 2000, 8000, 9001, 0, 0, 0, 0], 6, True),
        ([9, 4, 2, 1, 4, 3.9, 4.1, 0, 0, 0, 0], 10, False),
        ([9, 8, 7, 6, 5, 4, 3, math.inf, 0, 0, 0], 6, True),  # the loss that is not finite is left out
        ([9, 8, 7, 6, 5, 4, 3, math.nan, 0, 0, 0], 6, True),
        ([9, 8, 7, 6, 5, 4, 3, 2, 1, 2, 3], 10, False),
    ],
)
def test_divergence(losses, taken, diverged):
    found = lr.find_lr(losses_in_turn(losses), np.ones(1), lr.SGD, low=1e-9, high=1.0, steps=10, beta=0, trial=0)
    assert found.diverged is diverged
    np.testing.assert_array_equal(found.loss, losses[1 : taken + 1])
    np.testing.assert_allclose(found.lr, [10.0 ** (k - 9) for k in range(taken)])


def test_suggestions_worked_by_hand():
    # The first two, a tenth, are left out. The slopes from 20 to the minimum, 7, over two neighbours each, are
    # -1, -1.5, -3, -4, -2.5, -1, -1: steepest at 13. The longest fall is these seven; a third of 7, and half of
    # that, after the one before its first is the third of them: 17.
    losses = [99, 21, 20.5, 20, 19, 17, 13, 9, 8, 7, 7.5, 8.5, *[9.5] * 9]
    found = lr.find_lr(losses_in_turn(losses), np.ones(1), lr.SGD, low=1e-10, high=1e9, steps=20, beta=0, trial=0)
    np.testing.assert_allclose(found.steepest, 1e-5)
    np.testing.assert_allclose(found.valley, 1e-6)
    np.testing.assert_allclose(found.minimum, 1e-2)
    np.testing.assert_allclose(found.minimum_tenth, 1e-3)


def long_valley(w):
    return 0.5 * (w[0] ** 2 + 20 * w[1] ** 2), np.array([w[0], 20 * w[1]])


@pytest.mark.parametrize("start", [(3.0, 2.0), (-1.0, 0.01), (0.1, -5.0)])
@pytest.mark.parametrize("trial", [10, 20, 50])
def test_what_is_suggested_falls_from_the_start(start, trial):
    """In the valley (x² + 20 y²) / 2 rates from 0.1 on diverge; the range test alone may end beyond that."""
    found = lr.find_lr(long_valley, np.array(start), lr.SGD, trial=trial)
    assert 0.02 < found.suggested < 0.1
    assert np.log2(found.minimum / found.suggested) % 1 == 0
    params = np.array(start)
    history = lr.minimize(long_valley, params, lr.SGD(params, lr=found.suggested), 300)
    assert history.ended == "completed"
    assert history.loss[-1] < 1e-3 * history.loss[0]


def test_what_is_suggested_is_the_largest_of_the_halves_that_falls():
    found = lr.find_lr(bowl, np.array([3.0, -2.0]), lr.SGD)
    rates = [found.minimum / 2**k for k in range(10)]
    falls = []
    for rate in rates:
        params = np.array([3.0, -2.0])
        losses = lr.minimize(bowl, params, lr.SGD(params, lr=rate), 20, stop_diverged=False).loss
        falls.append(losses[11:].mean() < losses[0])
    assert not falls[0]  # the search has ended beyond what falls
    assert found.suggested == rates[falls.index(True)]


def test_noise_is_no_fall():
    suggested = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        noise = lambda w: (rng.standard_normal(), rng.standard_normal(2))  # noqa: B023, E731
        suggested += not math.isnan(lr.find_lr(noise, np.zeros(2), lr.SGD, steps=30).suggested)
    assert suggested <= 3


def test_a_loss_without_noise_is_asked_for_it_twice():
    calls = []
    lr.find_lr(lambda w: (calls.append(1), bowl(w))[1], np.array([3.0, -2.0]), lr.SGD, steps=10, trial=7)
    assert (len(calls) - 11 - 2) % 8 == 0


def test_too_few_rates_for_a_suggestion():
    found = lr.find_lr(losses_in_turn([9, 5, 1, 5, math.inf]), np.ones(1), lr.SGD, steps=20, beta=0)
    assert len(found.lr) == 3  # of which a tenth of 20 are left out
    assert found.diverged
    assert all(map(math.isnan, (found.steepest, found.valley, found.minimum, found.minimum_tenth)))


def test_where_nothing_falls_there_is_no_suggestion():
    found = lr.find_lr(lambda w: (1.0 + w[0], -np.ones(1)), np.zeros(1), lr.SGD, beta=0)
    assert all(map(math.isnan, (found.steepest, found.valley, found.minimum, found.minimum_tenth)))
    assert "steepest=nan" in repr(found)


def valley_of_fastai(losses):
    """``valley`` of fastai/callback/schedule.py, which is quadratic."""
    n = len(losses)
    max_start, max_end = 0, 0
    lds = [1] * n
    for i in range(1, n):
        for j in range(i):
            if losses[i] < losses[j] and lds[i] < lds[j] + 1:
                lds[i] = lds[j] + 1
            if lds[max_end] < lds[i]:
                max_end = i
                max_start = max_end - lds[max_end]
    sections = (max_end - max_start) / 3
    return max_start + int(sections) + int(sections / 2)


@given(st.lists(st.integers(-9, 9) | st.floats(-9, 9), min_size=1, max_size=40))
def test_valley_is_that_of_fastai(losses):
    expected = valley_of_fastai(losses)
    if len(set(losses)) > 1 and any(a > b for k, a in enumerate(losses) for b in losses[k:]):
        assert finder._valley(losses) == max(0, expected)


# Nothing is changed.


def stepped(make, params):
    """An optimizer that has moved, so that its state is not all zeros."""
    opt = make(params)
    for k in range(3):
        opt.step([np.full_like(a, 0.1 * k) for a in params])
    return opt


def picture(params, opt):
    """Every byte that must not change, and every schedule."""
    rates = [group["lr"] for group in opt.param_groups]
    return [a.tobytes() for a in params], pickle.dumps(opt.state_dict()), rates


plateau = lr.ReduceOnPlateau(0.1)

OPTIMIZERS = {
    "number": lambda params: lr.Adam(params, lr=0.3),
    "schedule": lambda params: lr.SGD(params, lr=lambda step: 0.1 / (1 + step), momentum=lambda step: 0.5),
    "plateau": lambda params: lr.SGD(params, lr=plateau, momentum=0.9),
    "scalars": lambda params: lr.NAdam(params, lr=0.3),
    "groups": lambda params: lr.RMSprop(
        [{"params": [a], "lr": rate} for a, rate in zip(params, (0.1, plateau), strict=True)], centered=True
    ),
}
SEARCHES = {
    "find_lr": lambda fun, params, opt: lr.find_lr(fun, params, opt, steps=20),
    "coarse_lr": lambda fun, params, opt: lr.coarse_lr(fun, params, opt, steps=4),
}


class Interrupted:
    """A function of two arrays that raises, or answers nonsense, at its n-th call."""

    def __init__(self, at, raises, grouped):
        self.left, self.raises, self.grouped = at, raises, grouped

    def __call__(self, params):
        self.left -= 1
        if self.left == 0:
            if self.raises is signal.SIGINT:
                signal.raise_signal(signal.SIGINT)
            elif self.raises is not None:
                raise self.raises
            else:
                return 1.0, [np.ones(7)]
        loss = sum(float((a.astype(float) ** 2).sum()) for a in params)
        grads = [2 * a for a in params]
        return loss, [[g] for g in grads] if self.grouped else grads


@pytest.mark.parametrize("search", SEARCHES)
@pytest.mark.parametrize("kind", OPTIMIZERS)
@pytest.mark.parametrize("ends", ["well", "exception", "interrupt", "signal", "bad gradients"])
def test_parameters_and_optimizer_are_as_before(search, kind, ends):
    params = [np.linspace(-1, 2, 5), np.array([[-0.0, 1e-40], [3, 4]], np.float32)]
    opt = stepped(lambda p: OPTIMIZERS[kind](p), [params[0], params[1]]) if kind != "groups" else None
    if opt is None:
        opt = OPTIMIZERS[kind](params)
        opt.step([[np.ones(5)], [np.ones((2, 2), np.float32)]])
    before = picture(params, opt)
    outcome = {
        "well": None,
        "exception": OSError("no more batches"),
        "interrupt": KeyboardInterrupt(),
        "signal": signal.SIGINT,
        "bad gradients": None,
    }[ends]
    fun = Interrupted(0 if ends == "well" else 3, outcome, kind == "groups")
    if ends == "well":
        SEARCHES[search](fun, params, opt)
    else:
        errors = {"exception": OSError, "bad gradients": (TypeError, ValueError)}
        with pytest.raises(errors.get(ends, KeyboardInterrupt)):
            SEARCHES[search](fun, params, opt)
    after = picture(params, opt)
    assert after[:2] == before[:2]
    assert all(a is b or a == b for a, b in zip(after[2], before[2], strict=True))
    assert [type(rate) for rate in after[2]] == [type(rate) for rate in before[2]]


def test_a_buffer_whose_function_writes_its_gradients():
    params = lr.ParameterBuffer({"w": np.array([3.0, -2.0])})

    def fun(params):
        loss, params.grads["w"][...] = bowl(params["w"])
        return loss, None

    before = params.flat.tobytes()
    found = lr.find_lr(fun, params, lr.SGD(params))
    assert params.flat.tobytes() == before
    np.testing.assert_array_equal(found.loss, lr.find_lr(bowl, params["w"].copy(), lr.SGD).loss)


def test_groups_keep_their_proportions():
    params = [np.ones(1), np.ones(1), np.ones(1)]
    rates = (0.1, 0.4, 0.0)
    seen = []

    def fun(params):
        seen.append([float(a[0]) for a in params])
        return 1.0, [[np.ones(1)]] * 3

    opt = lr.SGD([{"params": [a], "lr": rate} for a, rate in zip(params, rates, strict=True)])
    lr.find_lr(fun, params, opt, low=0.01, high=0.02, steps=2)
    np.testing.assert_allclose(-np.diff(seen, axis=0), [[0.0025, 0.01, 0], [0.005, 0.02, 0]])
    seen.clear()
    opt.lr = 0.0
    lr.find_lr(fun, params, opt, low=0.01, high=0.02, steps=2)
    np.testing.assert_allclose(-np.diff(seen, axis=0), [[0.01] * 3, [0.02] * 3])


@pytest.mark.parametrize("on_nonfinite", ["skip", "raise"])
def test_gradients_that_the_optimizer_refuses_are_divergence(on_nonfinite):
    def fun(w):
        return float(w[0]), np.full(1, 1.0 if w[0] > -0.5 else np.inf)

    w = np.zeros(1)
    opt = lr.SGD(w, on_nonfinite=on_nonfinite)
    found = lr.find_lr(fun, w, opt, low=0.01, high=1e4, steps=7, beta=0)
    assert found.diverged
    np.testing.assert_allclose(found.lr, [0.01, 0.1, 1.0])
    assert lr.coarse_lr(fun, w, opt).lr == 0.01
    assert w == 0


# The coarse search.


@pytest.mark.parametrize(
    ("scale", "start", "rates", "best"),
    [
        (1.0, 0.01, [0.01, 0.1, 1.0], 0.1),  # falls below 0.2
        (1e-3, 0.01, [0.01, 0.1, 1.0, 10.0, 100.0, 1000.0], 100.0),
        (1e3, 0.01, [0.01, 0.001, 0.0001], 0.0001),
        (1e4, 0.01, [0.01, 0.001, 0.0001, 0.00001], 0.00001),
        (1.0, 0.3, [0.3, 0.03], 0.03),
    ],
)
def test_coarse_search(scale, start, rates, best):
    fun = lambda w: tuple(scale * x for x in bowl(w))  # noqa: E731
    found = lr.coarse_lr(fun, np.array([3.0, -2.0]), lr.SGD, start)
    assert [trial.lr for trial in found.trials] == rates
    assert found.lr == best
    assert [trial.falls for trial in found.trials] == [trial.lr <= best for trial in found.trials]
    assert {trial.before for trial in found.trials} == {scale * 24.5}


def test_a_cost_that_goes_to_and_fro_does_not_fall():
    # (w + 1)^2 at rate 1, of the documents: w = 5, -7, 5, … and the loss is 36 for ever.
    found = lr.coarse_lr(lambda w: (float((w[0] + 1) ** 2), 2 * (w + 1)), np.array([5.0]), lr.SGD, start=1.0)
    assert found.trials[0] == (1.0, 36.0, 36.0, False)
    assert found.lr == 0.1


def test_the_second_half_of_a_trial_counts():
    found = lr.coarse_lr(losses_in_turn([5, 9, 9, 4, 5, 5, 0, 0, 6, 6]), np.ones(1), lr.SGD, start=0.1, steps=4)
    assert found.trials == ((0.1, 5.0, 4.5, True), (1.0, 5.0, 6.0, False))
    assert found.lr == 0.1


@pytest.mark.parametrize(("slope", "message"), [
    (0.0, "does not fall at every rate from 1e-14 to 0.01"), (1.0, "falls at every rate from 0.01 to 1e+10")
])  # fmt: skip
def test_no_coarse_rate(slope, message):
    w = np.zeros(1)
    with pytest.raises(RuntimeError, match=re.escape(message)):
        lr.coarse_lr(lambda w: (slope * w[0], np.full(1, slope)), w, lr.SGD)
    assert w == 0


# Weight decay.


@pytest.mark.parametrize(
    ("best", "start", "coarse"),
    [
        (300.0, 1.0, [0, 1, 10, 100, 1000]),
        (0.003, 1.0, [0, 1, 10, 0.1, 0.01, 0.001, 0.0001]),
        (1.0, 1.0, [0, 1, 10, 0.1]),
        (0.02, 0.1, [0, 0.1, 1, 0.01, 0.001]),
    ],
)
def test_weight_decay_coarse_then_fine(best, start, coarse):
    def train(weight_decay):
        tried.append(weight_decay)
        return abs(math.log10(weight_decay / best)) if weight_decay else 50.0

    tried = []
    found = lr.find_weight_decay(train, start, refinements=0)
    np.testing.assert_allclose(tried, coarse)
    assert found.weight_decay == min(coarse[1:], key=lambda x: abs(math.log10(x / best)))
    assert found.trials == tuple((x, train(x)) for x in tried[: len(coarse)])
    tried = []
    found = lr.find_weight_decay(train, start)
    assert len(tried) == len(coarse) + 6
    assert abs(math.log10(found.weight_decay / best)) <= 1 / 16 + 1e-9
    assert found.loss == train(found.weight_decay)


def test_a_weight_decay_that_is_far_too_strong_is_walked_away_from():
    losses = {0.0: 0.5, 1.0: 2.3, 10.0: math.nan, 0.1: 2.3, 0.01: 2.3, 0.001: 0.4, 0.0001: 0.49}
    found = lr.find_weight_decay(losses.__getitem__, refinements=0)
    assert [trial.weight_decay for trial in found.trials] == [0.0, 1.0, 10.0, 0.1, 0.01, 0.001, 0.0001]
    assert found.weight_decay == 0.001
    collapsed = {1.0: 90.0, 10.0: 2.3, 100.0: 2.3, 0.1: 2.4, 0.01: 0.4, 0.001: 0.45, 0.0: 0.5}
    assert lr.find_weight_decay(collapsed.__getitem__, refinements=0).weight_decay == 0.01


def test_no_weight_decay_may_be_best():
    found = lr.find_weight_decay(lambda weight_decay: weight_decay)
    assert found.weight_decay == 0
    assert len(found.trials) == 9  # 0, 1, 10, and six decades down; nothing to refine


def test_no_training_gives_a_number():
    with pytest.raises(RuntimeError, match="train must return a loss that is a number for some weight decay"):
        lr.find_weight_decay(lambda weight_decay: math.nan)


# Bad arguments.


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda w: lr.find_lr(bowl, w, lr.SGD, low=0), ValueError, "low must be finite and > 0, got 0.0"),
        (lambda w: lr.find_lr(bowl, w, lr.SGD, high="1"), TypeError, "high must be a number, got '1'"),
        (lambda w: lr.find_lr(bowl, w, lr.SGD, high=math.inf), ValueError, "high must be finite and > 0, got inf"),
        (lambda w: lr.find_lr(bowl, w, lr.SGD, low=1, high=1), ValueError, "low must be < high, got 1.0 and 1.0"),
        (lambda w: lr.find_lr(bowl, w, lr.SGD, steps=1), ValueError, "steps must be >= 2, got 1"),
        (lambda w: lr.find_lr(bowl, w, lr.SGD, beta=1), ValueError, "beta must be in [0, 1), got 1.0"),
        (lambda w: lr.find_lr(bowl, w, lr.SGD(w.copy())), ValueError, "optimizer must be made for the arrays in"),
        (lambda w: lr.find_lr(lambda w: 1.0, w, lr.SGD), TypeError, "fun must return (loss, grads), got float"),
        (lambda w: lr.find_lr(lambda w: (math.nan, w), w, lr.SGD), ValueError,
         "fun must return a finite loss at params, got nan"),
        (lambda w: lr.find_lr(losses_in_turn([1, math.inf]), w, lr.SGD), ValueError,
         "low must be a rate at which the loss stays finite, got 1e-07"),
        (lambda w: lr.coarse_lr(bowl, w, lr.SGD, start=-1), ValueError, "start must be finite and > 0, got -1.0"),
        (lambda w: lr.coarse_lr(bowl, w, lr.SGD, steps=0), ValueError, "steps must be >= 1, got 0"),
        (lambda w: lr.coarse_lr(bowl, w, 3), TypeError, "'int' object is not callable"),
        (lambda w: lr.find_weight_decay(3), TypeError, "train must be callable, got 3"),
        (lambda w: lr.find_weight_decay(abs, start=0), ValueError, "start must be finite and > 0, got 0.0"),
        (lambda w: lr.find_weight_decay(abs, refinements=-1), ValueError, "refinements must be >= 0, got -1"),
        (lambda w: lr.find_weight_decay(str), TypeError, "train's answer must be a number, got '0.0'"),
    ],
)  # fmt: skip
def test_bad_arguments(call, error, message):
    w = np.array([3.0, -2.0])
    with pytest.raises(error, match=re.escape(message)):
        call(w)
    np.testing.assert_array_equal(w, [3, -2])


# Noise, flat losses, and rates that an optimizer makes smaller by itself.


@pytest.mark.parametrize("kind", ["perceptron", "logistic"])
def test_losses_of_single_rows_do_not_end_the_search(kind):
    for seed in range(50):
        rng = np.random.default_rng(seed)
        x = rng.standard_normal((200, 5))
        label = np.where(x @ rng.standard_normal(5) > 0, 1.0, -1.0)

        def fun(w):
            i = rng.integers(200)  # noqa: B023
            margin = label[i] * float(x[i] @ w)  # noqa: B023
            if kind == "perceptron":
                return max(0.0, -margin), -label[i] * x[i] * (margin <= 0)  # noqa: B023
            return float(np.logaddexp(0, -margin)), -label[i] * x[i] / (1 + math.exp(min(margin, 700)))  # noqa: B023

        found = lr.find_lr(fun, seed % 2 * rng.standard_normal(5), lr.SGD)
        assert not found.diverged
        assert len(found.lr) == 100


def nothing_suggested(found):
    rates = (found.suggested, found.steepest, found.valley, found.minimum, found.minimum_tenth)
    return all(map(math.isnan, rates))


@given(st.floats(-1e300, 1e300), st.sampled_from([0.0, 0.5, 0.9, 0.98]))
def test_a_constant_loss_suggests_no_rate(constant, beta):
    assert nothing_suggested(lr.find_lr(lambda w: (constant, np.zeros(2)), np.ones(2), lr.SGD, beta=beta))


@pytest.mark.parametrize("constant", [0.6931471805599453, 0.1, 100.0, -3.0, 1e-30])
def test_a_loss_that_is_constant_to_rounding_suggests_no_rate(constant):
    rng = np.random.default_rng(0)
    for dtype in (np.float32, np.float64):
        eps = float(np.finfo(dtype).eps)
        wobble = lambda w: (dtype(constant * (1 + eps * rng.integers(-2, 3))), np.zeros(2))  # noqa: B023, E731
        assert nothing_suggested(lr.find_lr(wobble, np.ones(2), lr.SGD))
        in_python = lambda w: (float(wobble(w)[0]) / 3, np.zeros(2, dtype))  # noqa: B023, E731
        assert nothing_suggested(lr.find_lr(in_python, np.ones(2, dtype), lr.SGD))


@pytest.mark.parametrize(("scale", "offset"), [(1e-300, 0.0), (1e300, 0.0), (1.0, 1e6), (1.0, -1e6)])
def test_a_bowl_of_any_size_and_offset_suggests_its_rates(scale, offset):
    expected = lr.find_lr(bowl, np.array([3.0, -2.0]), lr.SGD, high=0.19)

    def fun(w):
        loss, grads = bowl(w)
        return scale * loss + offset, grads

    found = lr.find_lr(fun, np.array([3.0, -2.0]), lr.SGD, high=0.19)
    np.testing.assert_allclose(found.minimum, expected.minimum)
    np.testing.assert_allclose(found.steepest, expected.steepest)


def test_a_search_that_diverges_ends_or_goes_on_as_asked():
    assert lr.find_lr(bowl, np.array([3.0, -2.0]), lr.SGD).diverged
    found = lr.find_lr(bowl, np.array([3.0, -2.0]), lr.SGD, stop_diverged=False)
    assert not found.diverged
    assert len(found.lr) == 100
    with pytest.raises(TypeError, match="stop_diverged must be True or False, got None"):
        lr.find_lr(bowl, np.array([3.0, -2.0]), lr.SGD, stop_diverged=None)


DECAYS = {
    "keras2": lambda groups, decays: lr.SGD(
        [group | {"decay": decay} for group, decay in zip(groups, decays, strict=True)], like="keras2"
    ),
    "torch": lambda groups, decays: lr.Adagrad(
        [group | {"lr_decay": decay} for group, decay in zip(groups, decays, strict=True)], like="torch"
    ),
}


@pytest.mark.parametrize("kind", DECAYS)
@pytest.mark.parametrize("decays", [(0.5, 0.5), (0.5, 0.0), (0.0, 3.0), (1e6, 0.1)])
def test_the_rates_tried_are_those_of_the_steps_whatever_decay_is_built_in(kind, decays):
    def searched(decays, begun):
        params = [np.array([3.0]), np.array([-2.0])]
        groups = [{"params": [p], "lr": 0.1} for p in params]
        opt = DECAYS[kind](groups, decays)
        for _ in range(begun):
            opt.step([[np.zeros(1)], [np.zeros(1)]])
        # The rates of the next step are to be equal.
        for group, decay in zip(opt.param_groups, decays, strict=True):
            group["lr"] = 0.1 * (1 + begun * decay)

        def fun(groups):
            loss, grads = bowl(np.concatenate(params))
            return loss, [[grads[:1].copy()], [grads[1:].copy()]]

        before = picture(params, opt)
        found = lr.find_lr(fun, groups, opt, low=1e-3, high=0.1, steps=10, beta=0)
        coarse = lr.coarse_lr(fun, groups, opt, start=1e-3, steps=1) if kind == "keras2" else None
        assert picture(params, opt) == before
        return found, coarse

    plain, decayed = searched((0.0, 0.0), 0), searched(decays, 5)
    np.testing.assert_allclose(decayed[0].loss, plain[0].loss, rtol=1e-12)
    if kind == "keras2":
        np.testing.assert_allclose(decayed[1].trials, plain[1].trials, rtol=1e-9)
