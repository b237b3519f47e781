"""The Python layer: structures, groups, schedules, counting, saving, copying."""

from __future__ import annotations

import copy
import json
import pickle
import threading

import numpy as np
import pytest
from conftest import BUILDS, every_optimizer, gradients

import lrcore as lr
from lrcore import kernels


def model(dtype=np.float64):
    rng = np.random.default_rng(3)
    return {"w": rng.standard_normal((3, 4)).astype(dtype), "b": rng.standard_normal(4).astype(dtype)}


def grads_of(params, steps, seed=0):
    columns = [gradients(a.shape, a.dtype, steps, seed + k) for k, a in enumerate(params.values())]
    return [dict(zip(params, row, strict=True)) for row in zip(*columns, strict=True)]


def test_the_example():
    w = np.array([5.0], dtype=np.float32)
    opt = lr.SGD(w, lr=0.2)
    report = opt.step(2 * (w + 1))
    assert w[0] == np.float32(2.6)
    assert (report.step, report.lr, report.applied, report.grad_norm) == (1, 0.2, True, None)


@pytest.mark.parametrize("build", [BUILDS[-2], "reference"])
@pytest.mark.parametrize(("cls", "hyper"), every_optimizer())
def test_every_structure_gives_the_same_bits(cls, hyper, build):
    """One array at a time, a list, a tuple, a mapping, a buffer (three ways to pass gradients), and groups."""
    start = model()
    steps = grads_of(start, 5)

    def run(params, step, make=lambda p: p):
        with kernels.using(build):
            opt = cls(make(params), **hyper)
        for grads in steps:
            step(opt, grads)
        return [np.array(a) for a in (params.values() if hasattr(params, "values") else params)]

    def fill(buffer, grads):
        for name, g in grads.items():
            buffer.grads[name] = g
        return buffer.grads

    def in_groups(arrays):
        return [{"params": array} for array in arrays]

    arrays = lambda: [a.copy() for a in start.values()]  # noqa: E731
    expected = []
    for name in start:
        (alone,) = run([start[name].copy()], lambda opt, g, name=name: opt.step(g[name]), lambda p: p[0])
        expected.append(alone)
    if cls.together:
        expected = run(arrays(), lambda opt, g: opt.step(list(g.values())))
    buffer = lr.ParameterBuffer
    runs = [
        run(arrays(), lambda opt, g: opt.step(list(g.values()))),
        run(tuple(arrays()), lambda opt, g: opt.step(tuple(g.values()))),
        run(dict(zip(start, arrays(), strict=True)), lambda opt, g: opt.step(g)),
        run(buffer(start), lambda opt, g: (fill(opt.params, g), opt.step())),
        run(buffer(start), lambda opt, g: opt.step(fill(opt.params, g))),
        run(buffer(start), lambda opt, g: opt.step(fill(opt.params, g).flat)),
        run(buffer(start), lambda opt, g: opt.step(g)),
        run(arrays(), lambda opt, g: opt.step(list(g.values())), in_groups),
        run(arrays(), lambda opt, g: opt.step([{"params": v} for v in g.values()]), in_groups),
        run(buffer(start), lambda opt, g: opt.step([g]), lambda p: [{"params": p}]),
    ]  # fmt: skip
    for got in runs:
        for a, b in zip(got, expected, strict=True):
            np.testing.assert_array_equal(a, b, strict=True)


@pytest.mark.parametrize(("cls", "hyper"), every_optimizer())
@pytest.mark.parametrize("structure", ["mapping", "buffer", "groups"])
def test_a_run_that_is_saved_and_loaded_goes_on_with_the_same_bits(cls, hyper, structure):
    def make():
        params = model()
        if structure == "buffer":
            params = lr.ParameterBuffer(params)
        groups = [{"params": {"w": params["w"]}, "lr": 0.01}, {"params": {"b": params["b"]}}]
        return params, cls(groups if structure == "groups" else params, **hyper)

    def step(opt, grads):
        opt.step([{"w": grads["w"]}, {"b": grads["b"]}] if structure == "groups" else grads)

    params, opt = make()
    steps = grads_of(params, 9)
    for grads in steps[:4]:
        step(opt, grads)
    opt.lr = 0.02
    saved, values = opt.state_dict(), {name: a.copy() for name, a in params.items()}
    saved = pickle.loads(pickle.dumps(saved))
    for grads in steps[4:]:
        step(opt, grads)
    again, fresh = make()
    for name, a in values.items():
        again[name][...] = a
    fresh.load_state_dict(saved)
    assert fresh.step_count == 4
    assert fresh.lr == 0.02
    for grads in steps[4:]:
        step(fresh, grads)
    for name in params:
        np.testing.assert_array_equal(again[name], params[name], strict=True)
    np.testing.assert_equal(fresh.state_dict(), opt.state_dict())


def test_state_dict_is_plain():
    opt = lr.NAdam(model())
    opt.step(grads_of(model(), 1)[0])
    state = opt.state_dict()
    assert state["state"]["w"].keys() == {"m", "v"}
    assert state["state"]["w"]["m"].shape == (3, 4)
    json.dumps({key: value for key, value in state.items() if key != "state"})
    state["state"]["w"]["m"][...] = 7
    assert not np.any(opt.state_dict()["state"]["w"]["m"] == 7)


def test_loading_keeps_a_schedule():
    opt = lr.SGD(model(), lr=0.5)
    scheduled = lr.SGD(model(), lr=lambda step: 1.0 / (1 + step))
    scheduled.load_state_dict(opt.state_dict())
    assert callable(scheduled.param_groups[0]["lr"])
    with pytest.raises(ValueError, match=r"state\['groups'\]\[0\] must have 'lr'; if that followed a schedule"):
        opt.load_state_dict(scheduled.state_dict())
    assert opt.lr == 0.5


@pytest.mark.parametrize("clone", [copy.deepcopy, lambda pair: pickle.loads(pickle.dumps(pair))])
@pytest.mark.parametrize("wrap", [dict, lr.ParameterBuffer, lambda p: list(p.values())])
def test_copies_go_on_by_themselves_with_the_same_bits(clone, wrap):
    params = wrap(model())
    opt = lr.NAdam(params, betas=(0.8, 0.9))
    steps = grads_of(model(), 6)
    as_params = lambda grads: list(grads.values()) if isinstance(params, list) else grads  # noqa: E731
    for grads in steps[:3]:
        opt.step(as_params(grads))
    other_params, other = clone((params, opt))
    if wrap is lr.ParameterBuffer:
        np.testing.assert_array_equal(other_params.flat, params.flat)
    before = copy.deepcopy(params)
    for grads in steps[3:]:
        other.step(as_params(grads))
    np.testing.assert_equal(_plain(params), _plain(before))
    for grads in steps[3:]:
        opt.step(as_params(grads))
    np.testing.assert_equal(_plain(other_params), _plain(params))
    assert other.step_count == opt.step_count == 6


def _plain(params):
    return list(params) if isinstance(params, list) else dict(params)


def test_groups_have_their_own_hyperparameters():
    w, b = np.ones(3), np.ones(3)
    opt = lr.SGD([{"params": w, "lr": 0.1}, {"params": b, "weight_decay": 0.0}], lr=0.01, weight_decay=0.5)
    report = opt.step([np.ones(3), np.ones(3)])
    np.testing.assert_array_equal(w, np.full(3, 1 - 0.1 * 1.5))
    np.testing.assert_array_equal(b, np.full(3, 1 - 0.01))
    assert report.lr == 0.1
    opt.param_groups[1]["lr"] = 0.2
    b[...] = 1
    opt.step([np.ones(3), np.ones(3)])
    np.testing.assert_array_equal(b, np.full(3, 1 - 0.2))
    opt.lr = 0.3
    assert [group["lr"] for group in opt.param_groups] == [0.3, 0.3]
    assert opt.params[0]["params"] is w


def test_groups_may_have_rules_of_their_own():
    a, b = np.ones(2), np.ones(2)
    opt = lr.SGD([{"params": a}, {"params": b, "momentum": 0.5}], lr=0.1)
    for _ in range(2):
        opt.step([np.ones(2), np.ones(2)])
    np.testing.assert_allclose(a, 1 - 0.2, rtol=1e-15)
    np.testing.assert_allclose(b, 1 - 0.1 - 0.15, rtol=1e-15)
    assert opt.state_dict()["state"].keys() == {"0", "1"}
    assert opt.state_dict()["state"]["1"].keys() == {"b"}


def test_schedules_count_from_0_and_bias_correction_from_1():
    asked = []

    def schedule(step):
        asked.append(step)
        return 0.1 / (1 + step)

    w = np.array([1.0])
    opt = lr.Adam(w, lr=schedule)
    assert opt.lr == 0.1
    asked.clear()
    reports = [opt.step(np.array([0.5])) for _ in range(3)]
    assert asked == [0, 1, 2]
    assert [r.step for r in reports] == [1, 2, 3]
    assert [r.lr for r in reports] == [0.1, 0.05, 0.1 / 3]
    # With a constant gradient m / (1 - beta1^t) is g at every t, and Adam moves by lr * sign(g).
    np.testing.assert_allclose(w, 1 - (0.1 + 0.05 + 0.1 / 3), rtol=1e-6)


@pytest.mark.parametrize("name", ["momentum", "dampening", "weight_decay"])
def test_every_hyperparameter_takes_a_schedule(name):
    w, expected = np.array([1.0]), np.array([1.0])
    opt = lr.SGD(w, lr=0.1, **({"momentum": 0.5} | {name: lambda step: 0.25 * step}))
    other = lr.SGD(expected, lr=0.1, momentum=0.5)
    for step in range(4):
        opt.step(np.array([1.0]))
        if name != "momentum" or step:
            other.param_groups[0][name] = 0.25 * step
        elif step == 0:
            other.param_groups[0]["momentum"] = 1e-300
        other.step(np.array([1.0]))
    np.testing.assert_array_equal(w, expected)
    assert w[0] != 1.0


def test_the_decay_of_keras_2_is_inverse_time_decay():
    w, u = np.array([5.0]), np.array([5.0])
    hyper = {"momentum": 0.9, "nesterov": True}
    decayed = lr.SGD(w, lr=0.01, decay=1e-6, like="keras2", **hyper)
    scheduled = lr.SGD(u, lr=lr.schedules.InverseTimeDecay(0.01, 1e-6), like="keras", **hyper)
    for k in range(50):
        reports = [opt.step(np.array([np.cos(k)])) for opt in (decayed, scheduled)]
        assert reports[0].lr == reports[1].lr == pytest.approx(0.01 / (1 + 1e-6 * k), rel=1e-15)
    np.testing.assert_array_equal(w, u)


def test_a_scalar_parameter_and_an_empty_one():
    params = [np.array(2.0), np.empty((0, 3))]
    opt = lr.SGD(params, lr=0.5)
    opt.step([np.array(1.0), np.empty((0, 3))])
    assert params[0] == 1.5


def test_numbers_of_numpy_are_taken():
    opt = lr.SGD(np.ones(2), lr=np.float32(0.5), momentum=np.int64(0))
    assert opt.step(np.ones(2)).lr == 0.5


def test_repr():
    opt = lr.Adam({"w": np.zeros((1000, 2), np.float32), "b": np.zeros(2, np.float32)}, lr=0.01)
    assert repr(opt).startswith("Adam(lr=0.01, betas=(0.9, 0.999), eps=1e-08, weight_decay=0.0, amsgrad=False")
    assert "like='torch'): 2 parameters, 2,002 elements, step 0" in repr(opt)


def test_one_optimizer_is_not_stepped_by_two_threads_at_once():
    entered, leave = threading.Event(), threading.Event()

    def schedule(step):
        entered.set()
        assert leave.wait(10)
        return 0.1

    w = np.ones(3)
    opt = lr.SGD(w, lr=schedule)
    thread = threading.Thread(target=opt.step, args=(np.ones(3),))
    thread.start()
    assert entered.wait(10)
    with pytest.raises(RuntimeError, match="step must not be called while a thread is in a step"):
        opt.step(np.ones(3))
    leave.set()
    thread.join()
    assert opt.step_count == 1
    np.testing.assert_array_equal(w, np.full(3, 0.9))


def test_a_step_allocates_nothing_of_the_models_size():
    import tracemalloc

    w, g = np.ones(100_000), np.ones(100_000)
    for build in kernels.compiled():
        with kernels.using(build):
            opt = lr.Adam(w, weight_decay=0.1)
        opt.step(g)
        tracemalloc.start()
        opt.step(g)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 10_000
