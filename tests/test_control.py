"""Plateau and early stopping: what each update answers, and runs of minimize under their control."""

from __future__ import annotations

import copy
import json
import math
import pickle
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lrcore as lr

NAN, INF = math.nan, math.inf
SHORT = {"i": "improved", "w": "waiting", "c": "cooldown", "r": "reduced", "s": "stop"}


def answers(watch, metrics):
    return [watch.update(metric) for metric in metrics]


@pytest.mark.parametrize(
    ("arguments", "metrics", "expected"),
    [
        # plain, patience 2: the second update in a row without improvement reduces, and the count begins anew
        ({}, [5, 4, 4, 4, 4, 4, 3, 3, 3], "iiwrwriwr"),
        ({}, [5, 6, 4, 4, 5, 3], "iwiwri"),
        ({"patience": 1}, [5, 5, 5, 4, 4], "irrir"),
        ({"patience": 4}, [5, 5, 5, 5, 5, 5], "iwwwrw"),
        ({"mode": "max"}, [1, 2, 2, 2, 1, 1, 3], "iiwrwri"),
        # relative thresholds, of the best metric's size: 10% better than 10 is below 9, than -10 below -11
        ({"threshold": 0.1}, [10, 9.5, 8.9], "iwi"),
        ({"threshold": 0.1}, [-10, -9.5, -10.5], "iwr"),
        ({"threshold": 0.1}, [-10, -9.5, -11.5], "iwi"),
        ({"threshold": 0.1, "mode": "max"}, [10, 10.5, 11.5], "iwi"),
        ({"threshold": 0.1, "mode": "max"}, [-10, -10.5, -9.5], "iwr"),
        ({"threshold": 0.1, "mode": "max"}, [-10, -9.5, -8.5], "iwi"),
        ({"threshold": 0.1}, [1, 0, -1e-300, -2], "iiii"),
        # absolute thresholds, in the metric's unit; just reaching one is not enough
        ({"threshold": 1, "threshold_mode": "abs"}, [5, 4, 3.9, 3, 2.8], "iwiwi"),
        ({"threshold": 1, "threshold_mode": "abs"}, [-5, -6, -6.1], "iwi"),
        ({"threshold": 1, "threshold_mode": "abs", "mode": "max"}, [-5, -4, -3.9], "iwi"),
        ({"threshold": 0}, [5, 5, 4.999999], "iwi"),
        # a best that improves by less than the threshold each time stays: ten steps of 0.5% are not 1%
        ({"threshold": 0.01}, [1, 0.995, 0.991], "iwr"),
        # NaN is no improvement, first or later, and does not become the best
        ({}, [NAN, 5, NAN, NAN, 4], "wiwri"),
        ({}, [NAN, NAN, NAN, 5, 5], "wrwiw"),
        ({"mode": "max"}, [NAN, 5, NAN, 6], "wiwi"),
        # infinities
        ({}, [INF, 5, INF, -INF, -INF, -INF], "wiwiwr"),
        ({"mode": "max"}, [-INF, 5, -INF, INF, INF, INF], "wiwiwr"),
        ({"threshold": 0}, [INF, 5, -INF, -INF], "wiiw"),
        # two updates after a reduction do not count, but an improvement among them does
        ({"cooldown": 2}, [5, 5, 5, 5, 5, 5, 5, 5], "iwrccwrc"),
        ({"cooldown": 2}, [5, 5, 5, 4, 4, 4, 4], "iwricwr"),
        ({"cooldown": 1}, [5, 5, 5, NAN, 5, 5], "iwrcwr"),
    ],
)
def test_what_a_plateau_answers(arguments, metrics, expected):
    plateau = lr.ReduceOnPlateau(1.0, **{"patience": 2, **arguments})
    assert answers(plateau, metrics) == [SHORT[letter] for letter in expected]
    assert plateau(0) == 0.5 ** expected.count("r")


def test_ten_halvings_to_a_1024th_then_stop():
    plateau = lr.ReduceOnPlateau(3.0, patience=1)
    rates = [plateau(step=0)]
    said = answers(plateau, [1.0])
    for _ in range(10):
        said.append(plateau.update(1.0))
        rates.append(plateau(0))
    assert rates == [3.0 / 2**k for k in range(11)]
    assert rates[-1] == 3.0 / 1024
    assert said == ["improved", *["reduced"] * 9, "stop"]
    assert plateau.stopped
    before = plateau.state_dict()
    assert answers(plateau, [1.0, 0.5, NAN]) == ["stop"] * 3
    assert plateau.state_dict() == before


@pytest.mark.parametrize(
    ("factor", "stop_at", "scales"),
    [
        (0.1, 0.001, [0.1, 0.01, 0.001]),  # 0.1 ** 3 is above 0.001 by a rounding error
        (0.5, 0.3, [0.5, 0.3]),  # not undershot
        (0.1, 1 / 1024, [0.1, 0.01, 0.001, 1 / 1024]),
        (0.1, 0.5, [0.5]),
    ],
)
def test_where_a_plateau_stops(factor, stop_at, scales):
    plateau = lr.ReduceOnPlateau(1.0, factor, patience=1, stop_at=stop_at)
    plateau.update(1.0)
    for scale in scales:
        assert not plateau.stopped
        said = plateau.update(1.0)
        np.testing.assert_allclose(plateau(0), scale, rtol=1e-15)
    assert said == "stop"
    assert plateau(0) == stop_at


def test_stop_at_zero_goes_on():
    plateau = lr.ReduceOnPlateau(1.0, patience=1, stop_at=0)
    assert answers(plateau, [1.0] * 500) == ["improved", *["reduced"] * 499]
    assert plateau(0) == 0.5**499


def test_a_plateau_multiplies_another_schedule():
    plateau = lr.ReduceOnPlateau(lambda step: 0.1 / (1 + step), patience=1)
    answers(plateau, [1, 1, 1])
    assert [plateau(step) for step in range(4)] == [0.1 / (1 + step) / 4 for step in range(4)]
    w = np.zeros(1)
    opt = lr.SGD(w, lr=plateau)
    assert [opt.step(np.ones(1)).lr for _ in range(2)] == [0.025, 0.0125]


metrics_of_any_kind = st.lists(st.floats(-100, 100) | st.sampled_from([NAN, INF, -INF, 1.0, 1.05]), max_size=60)
settings_of_a_plateau = st.fixed_dictionaries(
    {
        "patience": st.integers(1, 4),
        "cooldown": st.integers(0, 3),
        "threshold": st.sampled_from([0.0, 2.0**-13, 0.125, 3.0]),
        "threshold_mode": st.sampled_from(["rel", "abs"]),
    }
)


@given(metrics_of_any_kind, settings_of_a_plateau)
def test_max_is_min_of_the_negative(metrics, arguments):
    low = lr.ReduceOnPlateau(1.0, mode="min", **arguments)
    high = lr.ReduceOnPlateau(1.0, mode="max", **arguments)
    assert answers(low, metrics) == answers(high, [-metric for metric in metrics])


@given(metrics_of_any_kind, settings_of_a_plateau, st.integers(0, 60))
def test_a_plateau_goes_on_from_its_state(metrics, arguments, at):
    plateau = lr.ReduceOnPlateau(1.0, **arguments)
    answers(plateau, metrics[:at])
    resumed = lr.ReduceOnPlateau(1.0, **arguments)
    resumed.load_state_dict(json.loads(json.dumps(plateau.state_dict())))
    copied = pickle.loads(pickle.dumps(plateau))
    rest = answers(plateau, metrics[at:])
    assert answers(resumed, metrics[at:]) == rest
    assert answers(copied, metrics[at:]) == rest
    assert resumed(0) == copied(0) == plateau(0)


# With positive metrics, for torch's sake, that neither library rounds.
@settings(deadline=None)  # importing torch takes a while
@given(st.lists(st.integers(8, 12).map(float) | st.integers(1, 99).map(float) | st.just(NAN)), settings_of_a_plateau)
def test_reduces_when_torch_does_with_one_less_patience(metrics, arguments):
    torch = pytest.importorskip("torch")
    opt = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    patience = arguments["patience"] - 1
    theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(
        opt, factor=0.5, mode="max", eps=0, **(arguments | {"patience": patience})
    )
    ours = lr.ReduceOnPlateau(1.0, mode="max", stop_at=0, **arguments)
    for metric in metrics:
        ours.update(metric)
        theirs.step(metric)
        assert ours(0) == opt.param_groups[0]["lr"]


# Early stopping.


@pytest.mark.parametrize(
    ("arguments", "metrics", "expected", "best_step"),
    [
        ({}, [5, 4, 4, 4], "iiws", 1),
        ({}, [5, 6, 4, 5, 5, 5], "iwiwss", 2),
        ({}, [5, 6, 6, 4], "iwsi", 3),
        ({"patience": 1}, [5, 5], "is", 0),
        ({"mode": "max"}, [1, 2, 2, 1], "iiws", 1),
        ({"mode": "max"}, [-3, -2, -2.5, -2], "iiws", 1),
        ({"min_delta": 1}, [5, 4, 3.5, 3, 2.5], "iwiws", 2),
        ({"min_delta": 1}, [-5, -5.5, -6.5], "iwi", 2),
        ({"min_delta": 1, "mode": "max"}, [-5, -4.5, -3.5], "iwi", 2),
        ({}, [NAN, 5, NAN, NAN], "wiws", 1),
        ({}, [NAN, NAN], "ws", -1),
    ],
)
def test_what_early_stopping_answers(arguments, metrics, expected, best_step):
    early = lr.EarlyStopping(**{"patience": 2, **arguments})
    assert answers(early, metrics) == [SHORT[letter] for letter in expected]
    assert early.best_step == best_step
    assert early.best == (metrics[best_step] if best_step >= 0 else INF)


W, B = np.arange(6.0).reshape(2, 3), np.ones(2, np.float32)


@pytest.mark.parametrize(
    "params",
    [
        W,
        [W, B],
        {"w": W, "b": B},
        lr.ParameterBuffer({"w": W, "v": W[0]}),
        [{"params": [W]}, {"params": {"b": B}, "lr": 0.1}],
    ],
)
def test_the_best_parameters_are_copied_and_come_back(params):
    params = copy.deepcopy(params)
    arrays = [leaf.array for parameters, _ in lr.structure.split_groups(params) for leaf in parameters.leaves]
    early = lr.EarlyStopping(patience=3)
    for k, metric in enumerate([3.0, 1.0, 2.0, 2.0]):
        for array in arrays:
            array[...] = k + 0.5
        early.update(metric, params, step=10 * k)
    assert early.best_step == 10
    resumed = lr.EarlyStopping(patience=3)
    resumed.load_state_dict(copy.deepcopy(early.state_dict()))
    early.restore(params)
    assert all((array == 1.5).all() for array in arrays)
    for array in arrays:
        array[...] = 9
    assert resumed.update(2.0) == "stop"
    resumed.restore(params)
    assert all((array == 1.5).all() for array in arrays)


def test_keeping_does_not_allocate_each_time():
    early = lr.EarlyStopping()
    w = np.zeros(3)
    early.update(3.0, w)
    kept = early._memory["kept"][0]
    w[:] = 1
    early.update(2.0, w)
    assert early._memory["kept"][0] is kept
    assert kept[0] == 1


def test_nothing_to_restore():
    w = np.zeros(3)
    early = lr.EarlyStopping(restore_best=False)
    with pytest.raises(RuntimeError, match="no parameters to restore: there is no best step yet"):
        early.restore(w)
    early.update(1.0, w)
    with pytest.raises(RuntimeError, match="update must be given params, and restore_best be True"):
        early.restore(w)
    early = lr.EarlyStopping()
    early.update(2.0, w)
    early.update(1.0)  # better, but of parameters not given: those before are no longer the best
    with pytest.raises(RuntimeError, match="no parameters to restore"):
        early.restore(w)


def test_restoring_into_other_parameters_changes_nothing():
    early = lr.EarlyStopping()
    early.update(1.0, [np.zeros(3), np.zeros(2)])
    others = [np.ones(3), np.ones(4)]
    with pytest.raises(
        ValueError, match=re.escape("must have the shapes and dtypes of those kept, [((3,), 'float64')")
    ):
        early.restore(others)
    assert all((other == 1).all() for other in others)


# In runs of minimize.


def bowl(w):
    return float(w[0] ** 2), 2 * w


def test_a_plateau_drives_a_run_to_its_end():
    plateau = lr.ReduceOnPlateau(1.0, patience=1)
    w = np.zeros(1)
    history = lr.minimize(lambda w: (7.0, np.ones(1)), w, lr.SGD(w, lr=plateau), 100, callbacks=[plateau])
    assert history.message == "stopped by a callback after 10 steps"
    np.testing.assert_array_equal(history.lr, [1.0, *(0.5**k for k in range(1, 11))])
    assert w == -sum(0.5**k for k in range(10))


def test_a_plateau_that_the_optimizer_does_not_use_is_refused():
    w = np.ones(1)
    plateau = lr.ReduceOnPlateau(0.1)
    with pytest.raises(ValueError, match=r"optimizer must have this ReduceOnPlateau as its lr, got lr=0\.3"):
        lr.minimize(bowl, w, lr.SGD(w, lr=0.3), 5, callbacks=[plateau])
    assert w == 1
    assert plateau.best == INF


def test_a_metric_of_ones_own_every_so_many_steps():
    looked = []

    def metric(at):
        looked.append(at.step)
        return 1.0

    w = np.ones(1)
    plateau = lr.ReduceOnPlateau(0.1, patience=2, metric=metric, every=3)
    history = lr.minimize(bowl, w, lr.SGD(w, lr=plateau), 10, callbacks=[plateau])
    assert looked == [0, 3, 6, 9]
    np.testing.assert_array_equal(history.lr, [0.1] * 6 + [0.05] * 5)


# Losses 4, 1, 9, 9, … at w = 2, 1, 3, 4, …
def rising(w):
    return {2.0: 4.0, 1.0: 1.0, 0.0: 9.0}.get(w[0], 10.0), np.ones(1)


@pytest.mark.parametrize(
    ("fun", "steps", "patience", "message"),
    [
        (rising, 100, 3, "stopped by a callback after 4 steps; restored the parameters of step 1"),
        (rising, 3, 10, "completed 3 steps; restored the parameters of step 1"),
        (rising, 1, 10, "completed 1 steps"),
        (lambda w: (NAN if w[0] < 0 else rising(w)[0], np.ones(1)), 9, 10,
         "diverged at step 3, taken at rate 1: the loss is nan; restored the parameters of step 1"),
    ],
)  # fmt: skip
def test_a_run_ends_with_the_best_parameters_however_it_ends(fun, steps, patience, message):
    for restore_best in (True, False):
        w = np.array([2.0])
        early = lr.EarlyStopping(patience, restore_best=restore_best)
        history = lr.minimize(fun, w, lr.SGD(w, lr=1.0), steps, callbacks=[early])
        assert early.best_step == 1
        if restore_best:
            assert history.message == message
            assert w == 1
        else:
            assert history.message == message.partition(";")[0]
            assert (w == 1) == (steps == 1)


def test_a_run_that_raises_is_left_as_it_is():
    def fun(w):
        if w[0] == 0:
            raise KeyboardInterrupt
        return rising(w)

    w = np.array([2.0])
    early = lr.EarlyStopping()
    with pytest.raises(KeyboardInterrupt):
        lr.minimize(fun, w, lr.SGD(w, lr=1.0), 9, callbacks=[early])
    assert w == 0
    early.restore(w)
    assert w == 1


def noisy(seed):
    """A function whose loss does not depend on when it is called, but hops."""
    target = np.random.default_rng(seed).standard_normal(5)

    def fun(w):
        return float(np.sin(1e3 * w).sum() + ((w - target) ** 2).sum()), 2 * (w - target)

    return fun


@pytest.mark.parametrize("stop", [0, 1, 17, 40])
def test_a_run_resumed_from_its_state_has_the_same_bits(stop):
    def make():
        w = np.zeros(5)
        plateau = lr.ReduceOnPlateau(lambda step: 0.3 / (1 + 0.01 * step), patience=2, every=2, cooldown=1)
        early = lr.EarlyStopping(patience=20)
        return w, plateau, early, lr.Adam(w, lr=plateau)

    w, plateau, early, opt = make()
    whole = lr.minimize(noisy(0), w, opt, 41, callbacks=[plateau, early])
    assert 0 < plateau.scale < 0.5

    first, plateau_1, early_1, opt_1 = make()
    saved = []

    def save(at):
        if at.step == stop:
            saved.extend([at.params.copy(), opt_1.state_dict(), plateau_1.state_dict(), early_1.state_dict()])
        return at.step == stop

    lr.minimize(noisy(0), first, opt_1, 41, callbacks=[plateau_1, early_1, save])
    second, plateau_2, early_2, opt_2 = make()
    second[:] = saved[0]
    for thing, state in zip((opt_2, plateau_2, early_2), saved[1:], strict=True):
        thing.load_state_dict(state)
    rest = lr.minimize(noisy(0), second, opt_2, 41 - stop, callbacks=[plateau_2, early_2])

    np.testing.assert_array_equal(second, w)
    np.testing.assert_array_equal(rest.loss, whole.loss[stop:])
    np.testing.assert_array_equal(rest.lr, whole.lr[stop:])
    assert plateau_2.state_dict() == plateau.state_dict()
    np.testing.assert_equal(early_2.state_dict(), early.state_dict())


@pytest.mark.parametrize("stop", range(0, 30, 3))
def test_warmup_cosine_plateau_averages_and_clipping_go_on_from_any_step(stop):
    def make():
        w = np.linspace(-1, 1, 7, dtype=np.float32)
        decay = lr.schedules.CosineDecay(0.1, 30).with_warmup(5)
        plateau = lr.ReduceOnPlateau(decay, patience=2, threshold=0.05)
        return w, plateau, lr.AdamW(w, lr=plateau, ema=0.9, clip_norm=0.5)

    def train(w, plateau, opt, steps):
        for _ in range(steps):
            opt.step(2 * w)
            plateau.update(float(w @ w))

    w, plateau, opt = make()
    train(w, plateau, opt, 30)
    assert plateau.scale < 1
    begun, plateau_1, opt_1 = make()
    train(begun, plateau_1, opt_1, stop)
    resumed, plateau_2, opt_2 = make()
    resumed[:] = begun
    opt_2.load_state_dict(opt_1.state_dict())
    plateau_2.load_state_dict(json.loads(json.dumps(plateau_1.state_dict())))
    train(resumed, plateau_2, opt_2, 30 - stop)
    assert resumed.tobytes() == w.tobytes()
    assert opt_2.averages.tobytes() == opt.averages.tobytes()
    assert plateau_2(30) == plateau(30)


# Bad arguments.


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"initial": -0.1}, ValueError, "initial must be finite and >= 0, got -0.1"),
        ({"initial": "0.1"}, TypeError, "initial must be a number, got '0.1'"),
        ({"factor": 1.0}, ValueError, "factor must be in (0, 1), got 1.0"),
        ({"factor": 0}, ValueError, "factor must be in (0, 1), got 0.0"),
        ({"factor": None}, TypeError, "factor must be a number, got None"),
        ({"patience": 0}, ValueError, "patience must be >= 1, got 0"),
        ({"patience": 2.0}, TypeError, "patience must be an integer, got 2.0"),
        ({"patience": True}, TypeError, "patience must be an integer, got True"),
        ({"threshold": -1e-4}, ValueError, "threshold must be finite and >= 0, got -0.0001"),
        ({"threshold": NAN}, ValueError, "threshold must be finite and >= 0, got nan"),
        ({"mode": "auto"}, ValueError, "mode must be one of 'min', 'max', got 'auto'"),
        ({"mode": 1}, ValueError, "mode must be one of 'min', 'max', got 1"),
        ({"cooldown": -1}, ValueError, "cooldown must be >= 0, got -1"),
        ({"stop_at": 1.0}, ValueError, "stop_at must be in [0, 1), got 1.0"),
        ({"stop_at": -0.1}, ValueError, "stop_at must be in [0, 1), got -0.1"),
        ({"threshold_mode": "relative"}, ValueError, "threshold_mode must be one of 'rel', 'abs', got 'relative'"),
        ({"metric": 3}, TypeError, "metric must be callable, got 3"),
        ({"every": 0}, ValueError, "every must be >= 1, got 0"),
    ],
)
def test_bad_arguments_of_a_plateau(arguments, error, message):
    with pytest.raises(error, match=re.escape(message)):
        lr.ReduceOnPlateau(**{"initial": 0.1, **arguments})


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"patience": 0}, ValueError, "patience must be >= 1, got 0"),
        ({"mode": "lower"}, ValueError, "mode must be one of 'min', 'max', got 'lower'"),
        ({"min_delta": -1}, ValueError, "min_delta must be finite and >= 0, got -1.0"),
        ({"restore_best": "yes"}, TypeError, "restore_best must be True or False, got 'yes'"),
        ({"metric": "loss"}, TypeError, "metric must be callable, got 'loss'"),
        ({"every": 1.5}, TypeError, "every must be an integer, got 1.5"),
    ],
)
def test_bad_arguments_of_early_stopping(arguments, error, message):
    with pytest.raises(error, match=re.escape(message)):
        lr.EarlyStopping(**arguments)


@pytest.mark.parametrize("make", [lambda: lr.ReduceOnPlateau(0.1), lr.EarlyStopping])
def test_bad_metrics_change_nothing(make):
    watch = make()
    watch.update(1.0)
    before = watch.state_dict()
    for bad in ("1", None, True, [1.0], 1j):
        with pytest.raises(TypeError, match="metric must be a number, got"):
            watch.update(bad)
    assert watch.state_dict() == before


@pytest.mark.parametrize(
    ("make", "change", "error", "message"),
    [
        (lambda: lr.ReduceOnPlateau(0.1), {"scale": 2.0}, ValueError, "state['scale'] must be in [0, 1], got 2.0"),
        (lambda: lr.ReduceOnPlateau(0.1), {"cooling": -1}, ValueError, "state['cooling'] must be >= 0, got -1"),
        (lambda: lr.ReduceOnPlateau(0.1), {"best": NAN}, ValueError, "state['best'] must not be nan"),
        (lambda: lr.ReduceOnPlateau(0.1), {"waited": 0.5}, TypeError, "state['waited'] must be an integer, got 0.5"),
        (lr.EarlyStopping, {"best_step": -2}, ValueError, "state['best_step'] must be >= -1, got -2"),
        (lr.EarlyStopping, {"params": 3}, TypeError, "state['params'] must be a list of arrays, got 3"),
        (lr.EarlyStopping, {"seen": None}, TypeError, "state['seen'] must be an integer, got None"),
    ],
)
def test_states_that_do_not_belong_change_nothing(make, change, error, message):
    watch = make()
    watch.update(1.0)
    before = watch.state_dict()
    with pytest.raises(error, match=re.escape(message)):
        watch.load_state_dict({**before, "best": 0.5, **change})
    assert watch.state_dict() == before


# One object, one run.


def descended(early, start=1.0, steps=20):
    w = np.array([start])
    opt = lr.SGD(w, lr=0.1)
    lr.minimize(bowl, w, opt, steps, callbacks=[early])
    return w, opt


def test_the_state_of_one_run_is_not_used_in_another():
    early = lr.EarlyStopping(patience=3)
    w, opt = descended(early)
    other = np.array([50.0])
    attempts = {
        "a second optimizer": lambda: lr.minimize(bowl, other, lr.SGD(other, lr=0.1), 20, callbacks=[early]),
        "of the same parameters": lambda: lr.minimize(bowl, w, lr.SGD(w, lr=0.1), 20, callbacks=[early]),
        "by hand": lambda: early.update(-1.0, other),
        "restored": lambda: early.restore(other),
        "a copy": lambda: lr.minimize(bowl, other, lr.SGD(other, lr=0.1), 20, callbacks=[copy.copy(early)]),
        "a deep copy": lambda: lr.minimize(bowl, other, lr.SGD(other, lr=0.1), 20, callbacks=[copy.deepcopy(early)]),
        "a plateau": lambda: descended_by_plateau(plateau),
    }
    plateau = lr.ReduceOnPlateau(0.1)
    descended_by_plateau(plateau)
    before, kept = early.state_dict(), w.copy()
    for attempt in attempts.values():
        with pytest.raises(ValueError, match=r"new one for a new run|params must be those that"):
            attempt()
        assert other == 50
        assert w == kept
    np.testing.assert_equal(early.state_dict(), before)
    lr.minimize(bowl, w, opt, 5, callbacks=[early])  # the same run goes on
    assert early.best_step == 25


def descended_by_plateau(plateau):
    w = np.array([1.0])
    lr.minimize(bowl, w, lr.SGD(w, lr=plateau), 5, callbacks=[plateau])


def test_a_copy_told_by_hand_does_not_put_its_parameters_into_a_new_run():
    early = lr.EarlyStopping()
    early.update(0.5, np.array([7.0]))
    w = np.array([50.0])
    with pytest.raises(ValueError, match="EarlyStopping must be new for a new run"):
        lr.minimize(bowl, w, lr.SGD(w, lr=0.1), 5, callbacks=[copy.deepcopy(early)])
    assert w == 50


def test_a_copy_goes_on_by_itself():
    early = lr.EarlyStopping()
    w = np.array([1.0])
    early.update(1.0, w)
    for other in (copy.copy(early), copy.deepcopy(early), pickle.loads(pickle.dumps(early))):
        w[:] = 2
        other.update(0.5, w)
        early.restore(w)
        assert w == 1
        other.restore(w)
        assert w == 2
        w[:] = 1


@pytest.mark.parametrize("make", [lambda rate: rate, lambda rate: lambda step: 0.5 * rate(step)])
def test_a_plateau_whose_rate_was_replaced_is_noticed(make):
    plateau = lr.ReduceOnPlateau(0.1, patience=1)
    w = np.ones(1)
    opt = lr.SGD(w, lr=make(plateau))
    lr.minimize(bowl, w, opt, 3, callbacks=[plateau])
    opt.lr = 0.05
    before = plateau.state_dict(), w.copy()
    with pytest.raises(ValueError, match=r"optimizer must have this ReduceOnPlateau as its lr, got lr=0\.05"):
        lr.minimize(bowl, w, opt, 3, callbacks=[plateau])
    assert (plateau.state_dict(), w) == before


def test_a_plateau_may_be_the_rate_of_any_group():
    plateau = lr.ReduceOnPlateau(0.1, patience=1)
    groups = [{"params": np.ones(1), "lr": 0.1}, {"params": np.ones(1), "lr": plateau}]
    opt = lr.SGD(groups)
    lr.minimize(lambda _: (1.0, [np.ones(1)] * 2), groups, opt, 3, callbacks=[plateau])
    assert plateau.scale == 0.125


# States belong to one configuration.


@pytest.mark.parametrize(
    ("make", "other", "message"),
    [
        (
            lambda **k: lr.ReduceOnPlateau(**{"initial": 0.1} | k),
            {"mode": "max"},
            "state['mode'] must be 'min' as here",
        ),
        (
            lambda **k: lr.ReduceOnPlateau(**{"initial": 0.1} | k),
            {"threshold": 0.5},
            "state['threshold'] must be 0.0001",
        ),
        (lambda **k: lr.ReduceOnPlateau(**{"initial": 0.1} | k), {"threshold_mode": "abs"}, "must be 'rel' as here"),
        (
            lambda **k: lr.ReduceOnPlateau(**{"initial": 0.1} | k),
            {"factor": 0.1},
            "state['factor'] must be 0.5 as here",
        ),
        (lambda **k: lr.ReduceOnPlateau(**{"initial": 0.1} | k), {"initial": 0.2}, "state['initial'] must be 0.1"),
        (
            lambda **k: lr.ReduceOnPlateau(**{"initial": 0.1} | k),
            {"patience": 3},
            "state['patience'] must be 10 as here",
        ),
        (
            lambda **k: lr.ReduceOnPlateau(**{"initial": 0.1} | k),
            {"cooldown": 3},
            "state['cooldown'] must be 0 as here",
        ),
        (lambda **k: lr.ReduceOnPlateau(**{"initial": 0.1} | k), {"stop_at": 0}, "state['stop_at'] must be 0.000976"),
        (lr.EarlyStopping, {"mode": "max"}, "state['mode'] must be 'min' as here, got 'max'"),
        (lr.EarlyStopping, {"min_delta": 1}, "state['min_delta'] must be 0.0 as here, got 1.0"),
        (lr.EarlyStopping, {"restore_best": False}, "state['restore_best'] must be True as here, got False"),
        (lr.EarlyStopping, {"every": 2}, "state['every'] must be 1 as here, got 2"),
    ],
)
def test_a_state_of_another_configuration_is_refused(make, other, message):
    watch = make()
    before = watch.state_dict()
    saved = make(**other).state_dict()
    with pytest.raises(ValueError, match=re.escape(message)):
        watch.load_state_dict(saved)
    old = {key: value for key, value in before.items() if key not in other}
    with pytest.raises(ValueError, match=f"state must have the key '{next(iter(other))}'"):
        watch.load_state_dict(old)
    assert watch.state_dict() == before


def test_a_state_whose_numbers_became_arrays_is_loaded():
    plateau = lr.ReduceOnPlateau(0.1, patience=1)
    answers(plateau, [3, 3])
    resumed = lr.ReduceOnPlateau(0.1, patience=1)
    resumed.load_state_dict({key: np.array(value) for key, value in plateau.state_dict().items()})
    assert resumed.state_dict() == plateau.state_dict()


# Assigned attributes.


def test_assignments_take_effect():
    plateau = lr.ReduceOnPlateau(1.0, patience=10)
    plateau.patience, plateau.factor, plateau.threshold, plateau.threshold_mode = np.int64(1), 0.1, np.array(1.0), "abs"
    assert answers(plateau, [5, 4.5, 3]) == ["improved", "reduced", "improved"]
    assert plateau(0) == 0.1
    plateau.initial = 2.0
    assert plateau(0) == 0.2
    plateau.stop_at, plateau.cooldown = 0.0, 1
    assert answers(plateau, [3, 3, 3]) == ["reduced", "cooldown", "reduced"]
    early = lr.EarlyStopping()
    early.min_delta, early.patience = 1, 1
    assert answers(early, [5, 4.5, 3]) == ["improved", "stop", "improved"]
    early.restore_best = False
    early.update(0.0, np.ones(1))
    with pytest.raises(RuntimeError, match="no parameters to restore"):
        early.restore(np.ones(1))


@pytest.mark.parametrize("make", [lambda: lr.ReduceOnPlateau(0.1), lr.EarlyStopping])
def test_assignments_without_effect_raise(make):
    watch = make()
    names = ("mode", "best", "waited", "scale", "stopped", "best_step", "lr", "tolerance")
    for name in (*names, "min_delta" if isinstance(watch, lr.ReduceOnPlateau) else "threshold"):
        with pytest.raises(
            AttributeError, match=f"^{name} of {type(watch).__name__} must not be assigned: it is .*patience"
        ):
            setattr(watch, name, 1)
    for name in ("patience", "every"):
        with pytest.raises(ValueError, match=f"{name} must be >= 1, got 0"):
            setattr(watch, name, 0)
    assert watch.patience == 10


@pytest.mark.parametrize("metric", [np.array(0.5), np.float32(0.5), np.float64(0.5), np.array(0.5, np.float16)])
@pytest.mark.parametrize("make", [lambda: lr.ReduceOnPlateau(0.1), lr.EarlyStopping])
def test_any_number_is_a_metric(make, metric):
    watch = make()
    assert watch.update(metric) == "improved"
    assert type(watch.best) is float


@pytest.mark.parametrize("watch", [lr.EarlyStopping, lambda: lr.ReduceOnPlateau(0.01)])
def test_another_optimizer_of_the_same_parameters_is_another_run_however_far_it_is(watch):
    watch = watch()
    w = np.array([1.0])
    rate = watch if isinstance(watch, lr.ReduceOnPlateau) else 0.01
    lr.minimize(bowl, w, lr.SGD(w, lr=rate), 5, callbacks=[watch])
    other = lr.SGD(w, lr=rate)
    for _ in range(9):
        other.step(np.ones(1))
    with pytest.raises(ValueError, match=r"must watch the run of one optimizer, and has watched another's, got SGD\("):
        lr.minimize(bowl, w, other, 5, callbacks=[watch])
