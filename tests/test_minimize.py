"""minimize: its history, its callbacks, and what it notices."""

from __future__ import annotations

import re

import numpy as np
import pytest

import lrcore as lr


def bowl(w):
    return (w + 1) ** 2, 2 * (w + 1)


def test_history_has_a_value_before_the_first_step_and_after_each():
    w = np.array([2.0])
    history = lr.minimize(lambda w: (w**2, 2 * w), w, lr.SGD(w, lr=0.1), steps=10, keep_params=True)
    np.testing.assert_array_equal(history.step, np.arange(11))
    np.testing.assert_allclose(history.params[:, 0], 2 * 0.8 ** np.arange(11), rtol=1e-14)
    np.testing.assert_allclose(history.loss, 4 * 0.64 ** np.arange(11), rtol=1e-14)
    np.testing.assert_array_equal(history.lr, np.full(11, 0.1))
    assert history.params[-1] == w
    assert history.ended == "completed"
    assert "completed 10 steps" in repr(history)


@pytest.mark.parametrize("rate", [1.0, 0.999])
def test_a_rate_that_oscillates_is_seen(rate):
    w = np.array([5.0], dtype=np.float32)
    history = lr.minimize(bowl, w, lr.SGD(w, lr=rate), steps=40 if rate == 1.0 else 4)
    if rate == 1.0:
        assert history.ended == "oscillated"
        assert history.message == "oscillated: the last 20 of 40 steps undid each other at rate 1"
    else:
        assert history.ended == "completed"


def test_a_zigzag_that_converges_is_not_called_oscillation():
    w = np.array([5.0])
    history = lr.minimize(bowl, w, lr.SGD(w, lr=0.95), steps=100)
    assert history.ended == "completed"
    assert history.loss[-1] < 1e-6


def test_a_loss_that_grows_without_bound_ends_the_run():
    w = np.array([5.0])
    history = lr.minimize(bowl, w, lr.SGD(w, lr=1.5), steps=1000)
    assert history.ended == "diverged"
    assert history.message == "diverged at step 6, taken at rate 1.5: the loss is 147456"
    assert np.isfinite(w).all()


@pytest.mark.parametrize("wrap", [lambda w: w, lambda w: [w], lambda w: {"w": w}, lambda w: lr.ParameterBuffer([w])])
def test_a_loss_that_is_not_finite_puts_the_last_good_parameters_back(wrap):
    params = wrap(np.array([1.0, 2.0]))

    def fun(params):
        w = params if isinstance(params, np.ndarray) else next(iter(getattr(params, "values", lambda: params)()))
        grads = np.full(2, 0.0 if calls else 1.0)
        calls.append(w.copy())
        if len(calls) == 4:
            grads[0] = np.nan
        if isinstance(params, np.ndarray):
            return w.sum(), grads
        return w.sum(), dict.fromkeys(params, grads) if hasattr(params, "keys") else [grads]

    calls = []
    history = lr.minimize(fun, params, lr.SGD, steps=9, keep_params=True)
    assert history.ended == "diverged"
    assert re.fullmatch(r"diverged at step 4, taken at rate 0\.001: the loss is nan", history.message)
    assert len(history.loss) == 5
    values = params if isinstance(params, np.ndarray) else next(iter(getattr(params, "values", lambda: params)()))
    np.testing.assert_array_equal(values, [0.999, 1.999])
    np.testing.assert_array_equal(values, calls[3])


def test_a_loss_that_is_not_finite_at_the_start():
    w = np.array([1.0])
    history = lr.minimize(lambda w: (np.inf, w), w, lr.SGD(w), steps=3)
    assert history.message == "diverged: the loss is inf before the first step"
    assert w == 1.0


def test_callbacks_see_every_point_and_may_stop_or_change_the_rate():
    seen = []

    def callback(at):
        seen.append((at.step, at.loss, at.lr, float(at.params[0])))
        if at.step == 2:
            at.optimizer.lr = 0.05
        return at.step == 4

    w = np.array([2.0])
    history = lr.minimize(lambda w: (w[0] ** 2, 2 * w), w, lr.SGD(w, lr=0.1), 10, callbacks=[callback])
    assert history.ended == "stopped"
    assert history.message == "stopped by a callback after 4 steps"
    assert [s[0] for s in seen] == [0, 1, 2, 3, 4]
    np.testing.assert_allclose([s[3] for s in seen], [2, 1.6, 1.28, 1.152, 1.0368])
    np.testing.assert_array_equal(history.lr, [0.1, 0.1, 0.05, 0.05, 0.05])  # of the step that follows
    np.testing.assert_array_equal(history.loss, [s[1] for s in seen])


def test_parameters_of_a_mapping_are_kept_by_name():
    params = {"a": np.zeros((2, 3)), "b": np.ones(1)}
    fun = lambda p: (0.0, {"a": np.ones((2, 3)), "b": np.ones(1)})  # noqa: E731
    history = lr.minimize(fun, params, lambda p: lr.SGD(p, lr=1.0), 2, keep_params=True)
    assert history.params["a"].shape == (3, 2, 3)
    np.testing.assert_array_equal(history.params["b"][:, 0], [1, 0, -1])
    buffer = lr.ParameterBuffer(params)
    history = lr.minimize(fun, buffer, lambda p: lr.SGD(p, lr=1.0), 2, keep_params=True)
    assert history.params["a"].shape == (3, 2, 3)
    np.testing.assert_array_equal(history.params["b"][:, 0], [-1, -2, -3])


def test_groups_of_the_same_arrays():
    params = {"a": np.ones(2), "b": np.ones(1)}
    opt = lr.SGD([{"params": {"a": params["a"]}, "lr": 1.0}, {"params": {"b": params["b"]}, "lr": 0.5}])
    lr.minimize(lambda p: (0.0, [{"a": np.ones(2)}, {"b": np.ones(1)}]), params, opt, 1)
    assert params["a"][0] == 0
    assert params["b"][0] == 0.5


def test_a_buffer_whose_function_writes_its_gradients():
    params = lr.ParameterBuffer({"w": np.ones(3)})

    def fun(params):
        np.multiply(2, params["w"], out=params.grads["w"])
        return float(params["w"] @ params["w"]), None

    history = lr.minimize(fun, params, lr.Adam(params, lr=0.1), 200)
    assert history.loss[-1] < 1e-3


def test_progress_bar(capsys):
    pytest.importorskip("tqdm")
    w = np.array([5.0])
    lr.minimize(bowl, w, lr.SGD(w, lr=0.1), 5, progress=True)
    assert "5/5" in capsys.readouterr().err


W = np.array([1.0])


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"steps": -1}, ValueError, "steps must be >= 0, got -1"),
        ({"steps": 1.5}, TypeError, "steps must be an integer, got 1.5"),
        ({"optimizer": lambda p: 3}, TypeError, "optimizer must be an Optimizer or make one, got int"),
        ({"optimizer": lr.SGD(np.ones(1))}, ValueError, "optimizer must be made for the arrays in params"),
        ({"fun": lambda w: 3.0}, TypeError, "fun must return (loss, grads), got float"),
        ({"fun": lambda w: (np.ones(2), w)}, ValueError, "fun must return a loss of one number, got shape (2,)"),
        ({"fun": lambda w: (1.0, np.ones(2))}, ValueError, "grads has shape (2,), its parameter (1,)"),
    ],
)
def test_bad_arguments(arguments, error, message):
    given = {"fun": lambda w: (1.0, np.ones(1)), "params": W, "optimizer": lr.SGD, "steps": 2} | arguments
    with pytest.raises(error, match=re.escape(message)):
        lr.minimize(**given)
    assert W[0] == 1.0


# What callbacks answer, and what a loss is.


@pytest.mark.parametrize(("answer", "steps"), [(True, 0), (np.True_, 0), (np.array(True), 0), (None, 3), (False, 3)])
def test_only_true_stops_a_run(answer, steps):
    w = np.array([2.0])
    assert len(lr.minimize(bowl, w, lr.SGD(w, lr=0.1), 3, callbacks=[lambda at: answer]).loss) == steps + 1


@pytest.mark.parametrize("answer", [{}, {"loss": 1.0}, 1, 0, "improved", [], np.ones(2)])
def test_other_answers_are_refused(answer):
    def watch(at):
        return answer

    w = np.array([2.0])
    with pytest.raises(TypeError, match=r"callbacks\[1\], .*watch, must return True, False or None, got "):
        lr.minimize(bowl, w, lr.SGD(w, lr=0.1), 3, callbacks=[lambda at: None, watch])
    assert w == 2
    with pytest.raises(TypeError, match=r"callbacks\[0\] must be callable, got 3"):
        lr.minimize(bowl, w, lr.SGD(w, lr=0.1), 3, callbacks=[3])


class Tensor:
    """A number of another library."""

    def __init__(self, value, shape=()):
        self.value, self.shape = value, shape

    def item(self):
        return self.value


@pytest.mark.parametrize(
    "loss",
    [2, 2.0, np.float32(2), np.array(2.0), np.array([2.0]), np.array([[2]]), [2.0], Tensor(2.0), Tensor(2.0, (1,))],
)
def test_any_number_is_a_loss(loss):
    w = np.array([1.0])
    np.testing.assert_array_equal(lr.minimize(lambda w: (loss, np.ones(1)), w, lr.SGD(w, lr=0.1), 1).loss, [2.0, 2.0])


@pytest.mark.parametrize(
    ("loss", "error", "message"),
    [
        (True, TypeError, "fun must return a loss that is a number, got True"),
        ("2", TypeError, "fun must return a loss that is a number, got '2'"),
        (None, TypeError, "fun must return a loss that is a number, got None"),
        (2j, TypeError, "fun must return a loss that is a number, got 2j"),
        (Tensor(2.0, (3,)), ValueError, "fun must return a loss of one number, got shape (3,)"),
        (np.empty(0), ValueError, "fun must return a loss of one number, got shape (0,)"),
        (10**400, ValueError, "fun's loss must be finite, got a number beyond float64"),
    ],
)
def test_what_is_no_loss(loss, error, message):
    w = np.array([1.0])
    with pytest.raises(error, match=re.escape(message)):
        lr.minimize(lambda w: (loss, np.ones(1)), w, lr.SGD(w, lr=0.1), 1)


# Divergence.


def test_to_and_fro_with_a_loss_that_grows_is_divergence():
    for start, offset in ((5.0, 0.0), (1e-3, 0.0), (5.0, -100.0), (5.0, 1e3)):
        w = np.array([start])
        history = lr.minimize(lambda w: (w[0] ** 2 + offset, 2 * w), w, lr.SGD(w, lr=1.01), steps=40)  # noqa: B023
        assert history.ended == "diverged"
    w = np.array([5.0])
    history = lr.minimize(bowl, w, lr.SGD(w, lr=1.01), steps=40)
    assert history.message.startswith(
        "diverged: the last 20 of 40 steps went to and fro, each further than the one before"
    )
    assert len(history.loss) == 41


@pytest.mark.parametrize("offset", [-100.0, -36.0, 0.0, 1e3])
def test_oscillation_is_seen_wherever_the_loss_lies(offset):
    w = np.array([5.0])
    history = lr.minimize(lambda w: ((w[0] + 1) ** 2 + offset, 2 * (w + 1)), w, lr.SGD(w, lr=1.0), steps=40)
    assert history.ended == ("oscillated" if offset != -36 else "completed")


@pytest.mark.parametrize("start", [5.0, 1e-3, 1e-150])
def test_a_run_that_diverges_is_stopped_or_not_as_asked(start):
    w = np.array([start])
    assert len(lr.minimize(lambda w: (w[0] ** 2, 2 * w), w, lr.SGD(w, lr=1.5), 100).loss) == 7
    w = np.array([start])
    history = lr.minimize(lambda w: (w[0] ** 2, 2 * w), w, lr.SGD(w, lr=1.5), 100, stop_diverged=False)
    assert len(history.loss) == 101
    assert history.ended == "diverged"
    with pytest.raises(TypeError, match="stop_diverged must be True or False, got 0"):
        lr.minimize(bowl, w, lr.SGD(w), 1, stop_diverged=0)


def test_losses_that_are_not_finite_are_passed_where_divergence_does_not_stop():
    losses = iter([1.0, np.nan, np.inf, 1.0])
    w = np.array([1.0])
    history = lr.minimize(lambda w: (next(losses), np.ones(1)), w, lr.SGD(w, lr=1.0), 3, stop_diverged=False)
    assert history.ended == "completed"
    assert w == -2
    losses = iter([1.0, np.nan])
    assert lr.minimize(lambda w: (next(losses), np.ones(1)), w, lr.SGD(w), 1, stop_diverged=False).ended == "diverged"


def test_a_loss_that_begins_at_zero_is_not_judged_by_that():
    losses = iter([0.0, 0.0, 1e-9, 0.0, 0.2, 0.3, 0.4, 0.1, *[0.2] * 50])
    w = np.zeros(1)
    assert lr.minimize(lambda w: (next(losses), np.ones(1)), w, lr.SGD(w), 50).ended == "completed"
