"""Mistakes raise a typed error with name, rule and value, and leave every byte as it was."""

from __future__ import annotations

import re

import numpy as np
import pytest
from conftest import BUILDS
from hypothesis import given, settings
from hypothesis import strategies as st

import lrcore as lr
from lrcore import kernels


def f32(*shape: int) -> np.ndarray:
    return np.arange(1, 1 + np.prod(shape, dtype=int), dtype=np.float32).reshape(shape)


def read_only(array: np.ndarray) -> np.ndarray:
    array.flags.writeable = False
    return array


def misaligned() -> np.ndarray:
    return np.zeros(17, np.uint8)[1:].view(np.float32)


BAD_HYPERPARAMETERS = [
    (lr.SGD, {"lr": -0.1}, ValueError, "lr must be finite and >= 0, got -0.1"),
    (lr.SGD, {"lr": np.nan}, ValueError, "lr must be finite and >= 0, got nan"),
    (lr.SGD, {"lr": np.inf}, ValueError, "lr must be finite and >= 0, got inf"),
    (lr.SGD, {"lr": 10**400}, ValueError, "lr must be finite and >= 0, got a number beyond float64"),
    (lr.SGD, {"lr": "fast"}, TypeError, "lr must be a number, got 'fast'"),
    (lr.SGD, {"lr": True}, TypeError, "lr must be a number, got True"),
    (lr.SGD, {"lr": 1j}, TypeError, "lr must be a number, got 1j"),
    (lr.SGD, {"lr": np.array([0.1])}, TypeError, "lr must be a number, got array([0.1])"),
    (lr.SGD, {"momentum": -0.9}, ValueError, "momentum must be finite and >= 0, got -0.9"),
    (lr.SGD, {"dampening": np.nan}, ValueError, "dampening must be finite, got nan"),
    (lr.SGD, {"nesterov": 1}, TypeError, "nesterov must be True or False, got 1"),
    (lr.SGD, {"nesterov": True}, ValueError, "nesterov must come with momentum > 0 and dampening 0, got momentum 0.0"),
    (lr.SGD, {"nesterov": True, "momentum": 0.9, "dampening": 0.1}, ValueError, "got momentum 0.9, dampening 0.1"),
    (lr.SGD, {"weight_decay": -1}, ValueError, "weight_decay must be finite and >= 0, got -1.0"),
    (lr.Adam, {"betas": (0.9, 1.0)}, ValueError, "betas[1] must be in [0, 1), got 1.0"),
    (lr.Adam, {"betas": (-0.1, 0.9)}, ValueError, "betas[0] must be in [0, 1), got -0.1"),
    (lr.Adam, {"betas": (np.nan, 0.9)}, ValueError, "betas[0] must be in [0, 1), got nan"),
    (lr.Adam, {"betas": 0.9}, TypeError, "betas must be a pair of numbers, got 0.9"),
    (lr.Adam, {"betas": (0.9,)}, ValueError, "betas must be a pair of numbers, got 1 of them"),
    (lr.Adam, {"betas": ("a", 0.9)}, TypeError, "betas[0] must be a number, got 'a'"),
    (lr.Adam, {"eps": -1e-8}, ValueError, "eps must be finite and >= 0, got -1e-08"),
    (lr.Adam, {"amsgrad": "yes"}, TypeError, "amsgrad must be True or False, got 'yes'"),
    (lr.Adam, {"like": "caffe"}, ValueError, "like must be one of 'torch', 'keras', 'keras2', 'optax' for Adam, got"),
    (lr.Adam, {"like": 5}, ValueError, "for Adam, got 5"),
    (lr.Adam, {"like": "optax"}, TypeError, "lr must be given: optax has no default for it in Adam"),
    (lr.Adam, {"decay": 0.1}, ValueError, "decay must not be given with like='torch': Adam has lr, betas, eps"),
    (lr.AdamW, {"like": "keras2"}, ValueError, "like must be one of 'torch', 'keras', 'optax' for AdamW, got 'keras2'"),
    (lr.Adam, {"like": "keras2", "weight_decay": 0.1}, ValueError, "weight_decay must not be given with like='keras2'"),
    (lr.SGD, {"like": "keras", "dampening": 0.1}, ValueError, "dampening must not be given with like='keras'"),
    (lr.RMSprop, {"alpha": 1.5}, ValueError, "alpha must be in [0, 1], got 1.5"),
    (lr.RMSprop, {"centered": 0}, TypeError, "centered must be True or False, got 0"),
    (lr.Adadelta, {"rho": -0.5}, ValueError, "rho must be in [0, 1], got -0.5"),
    (lr.Adagrad, {"lr_decay": -1.0}, ValueError, "lr_decay must be finite and >= 0, got -1.0"),
    (lr.Adagrad, {"initial_accumulator_value": np.inf}, ValueError, "initial_accumulator_value must be finite and"),
    (lr.NAdam, {"momentum_decay": -1}, ValueError, "momentum_decay must be finite and >= 0, got -1.0"),
    (lr.NAdam, {"like": "keras", "momentum_decay": 0.1}, ValueError, "momentum_decay must not be given with like='ker"),
]


@pytest.mark.parametrize(("cls", "hyper", "error", "message"), BAD_HYPERPARAMETERS)
def test_bad_hyperparameters(cls, hyper, error, message):
    w = f32(3)
    with pytest.raises(error, match=re.escape(message)):
        cls(w, **hyper)
    np.testing.assert_array_equal(w, f32(3))


SHARED = f32(10)
BAD_PARAMETERS = [
    (3.0, TypeError, "params must be an array, a list, tuple or mapping of arrays, or a ParameterBuffer, got float"),
    ("w", TypeError, "params must be an array, a list, tuple or mapping of arrays, or a ParameterBuffer, got str"),
    (None, TypeError, "got NoneType"),
    ([1.0, 2.0], TypeError, "params[0] must be a NumPy array, got float"),
    ([], ValueError, "params must hold at least one array, got none"),
    ({}, ValueError, "params must hold at least one array, got none"),
    (np.arange(3), TypeError, "params must be float32 or float64, got int64"),
    ({"w": np.ones(3, np.float16)}, TypeError, 'params["w"] must be float32 or float64, got float16'),
    ([np.ones(3, ">f4")], TypeError, "params[0] must be float32 or float64, got >f4"),
    (np.ones(3, complex), TypeError, "params must be float32 or float64, got complex128"),
    ({1: f32(3)}, TypeError, "names in params must be str, got 1"),
    (read_only(f32(3)), ValueError, "params must be writable, but is read-only"),
    ({"w": f32(4, 6)[:, ::2]}, ValueError, 'params["w"] must be C-contiguous, got strides (24, 8) for shape (4, 3)'),
    ([f32(4, 6).T], ValueError, "params[0] must be C-contiguous, got strides (4, 24) for shape (6, 4)"),
    (misaligned(), ValueError, "params must be aligned to 4 bytes, got 0x"),
    ([SHARED, SHARED], ValueError, "params[0] and params[1] must not overlap in memory"),
    ([SHARED[:6], SHARED[5:]], ValueError, "params[0] and params[1] must not overlap in memory"),
    ([{"params": f32(3)}, f32(3)], TypeError, "params[1] must be a group like the others, got ndarray"),
    ([{"weights": f32(3)}], ValueError, "params[0] must have the key \"params\", got 'weights'"),
    ([{"params": [f32(3), 4]}], TypeError, 'params[0]["params"][1] must be a NumPy array, got int'),
    ([{"params": f32(3), "lr": -1}], ValueError, "lr must be finite and >= 0, got -1.0"),
    ([{"params": f32(3), "rate": 1}], ValueError, "rate must not be given with like='torch': SGD has lr, momentum"),
    ([{"params": {"w": f32(3)}}, {"params": {"w": f32(3)}}], ValueError, "names in params must differ, got 'w' at"),
]


@pytest.mark.parametrize(("params", "error", "message"), BAD_PARAMETERS)
def test_bad_parameters(params, error, message):
    with pytest.raises(error, match=re.escape(message)):
        lr.SGD(params)


BAD_BUFFERS = [
    (3.0, TypeError, "params must be an array, a sequence or a mapping of arrays, got float"),
    ("w", TypeError, "got str"),
    ({}, ValueError, "params must not be empty"),
    ({"w": [1.0]}, TypeError, "params['w'] must be a NumPy array, got list"),
    ({"w": np.arange(3)}, TypeError, "params['w'] must be float32 or float64, got int64"),
    ({1: f32(3)}, TypeError, "names of params must be str, got 1"),
    ({"a": f32(3), "b": np.ones(2)}, TypeError, "must have the dtype of params['a'], float32, got float64"),
]


@pytest.mark.parametrize(("params", "error", "message"), BAD_BUFFERS)
def test_bad_buffers(params, error, message):
    with pytest.raises(error, match=re.escape(message)):
        lr.ParameterBuffer(params)


def test_bad_assignment_to_a_buffer():
    params = lr.ParameterBuffer({"w": f32(2, 3)})
    with pytest.raises(KeyError, match=re.escape("params has no 'b'; its names are 'w'")):
        params["b"] = f32(3)
    with pytest.raises(ValueError, match=re.escape("params.grads['w'] must have shape (2, 3), got (3,)")):
        params.grads["w"] = f32(3)
    assert not params.grads.flat.any()


W = f32(4)
LIST = [f32(4), f32(2, 3)]
MAPPING = {"w": f32(4), "b": f32(2)}
GROUPS = [{"params": f32(4)}, {"params": {"b": f32(2, 3)}, "lr": 0.5}]
BUFFER = lr.ParameterBuffer({"w": f32(4), "b": f32(2)})

BAD_GRADIENTS = [
    (W, lambda: None, TypeError, "grads must be given: only a ParameterBuffer brings its gradients along"),
    (W, lambda: [1.0, 2.0, 3.0, 4.0], TypeError, "grads must be a NumPy array, got list"),
    (W, lambda: f32(5), ValueError, "grads has shape (5,), its parameter (4,)"),
    (W, lambda: f32(4, 1), ValueError, "grads has shape (4, 1), its parameter (4,)"),
    (W, lambda: np.ones(4), TypeError, "grads has dtype float64, its parameter float32"),
    (W, lambda: np.ones(4, int), TypeError, "grads must be float32 or float64, got int64"),
    (W, lambda: f32(8)[::2], ValueError, "grads must be C-contiguous, got strides (8,) for shape (4,)"),
    (W, misaligned, ValueError, "grads must be aligned to 4 bytes"),
    (W, lambda: W, ValueError, "grads must not overlap params in memory"),
    (W, lambda: np.ones(4, ">f4"), TypeError, "grads must be float32 or float64, got >f4"),
    (LIST, lambda: None, TypeError, "grads must be given"),
    (LIST, lambda: f32(4), TypeError, "grads must be a list or tuple of arrays as params is, got ndarray"),
    (LIST, lambda: [f32(4)], ValueError, "grads must have as many arrays as params, 2, got 1"),
    (LIST, lambda: [f32(4), f32(3, 2)], ValueError, "grads[1] has shape (3, 2), its parameter (2, 3)"),
    (LIST, lambda: [f32(4), 1.0], TypeError, "grads[1] must be a NumPy array, got float"),
    (LIST, lambda: [f32(4), f32(3, 2).T], ValueError, "grads[1] must be C-contiguous"),
    (LIST, lambda: [f32(4), LIST[1]], ValueError, "grads[1] must not overlap params[1] in memory"),
    (LIST, lambda: [LIST[1].reshape(-1)[:4], f32(2, 3)], ValueError, "grads[0] must not overlap params[1] in memory"),
    (MAPPING, lambda: [f32(4), f32(2)], TypeError, "grads must be a mapping with the keys of params, got list"),
    (MAPPING, lambda: {"w": f32(4)}, ValueError, "grads must have the keys of params, but lacks 'b'"),
    (MAPPING, lambda: {"w": f32(4), "c": f32(2)}, ValueError, "but lacks 'b' and has unknown 'c'"),
    (MAPPING, lambda: {"w": f32(4), "b": f32(3)}, ValueError, 'grads["b"] has shape (3,), its parameter (2,)'),
    (GROUPS, lambda: f32(4), TypeError, "grads must be a list with one entry per group, got ndarray"),
    (GROUPS, lambda: [f32(4)], ValueError, "grads must have one entry per group, 2, got 1"),
    (GROUPS, lambda: [f32(4), {"b": f32(6)}], ValueError, 'grads[1]["b"] has shape (6,), its parameter (2, 3)'),
    (GROUPS, lambda: None, TypeError, "grads must be given: only a ParameterBuffer brings its gradients along"),
    (BUFFER, lambda: f32(5), ValueError, "grads.flat has shape (5,), its parameter (6,)"),
    (BUFFER, lambda: {"w": f32(4)}, ValueError, "grads must have the keys of params, but lacks 'b'"),
    (BUFFER, lambda: [f32(4), f32(2)], TypeError, "grads.flat must be a NumPy array, got list"),
    (BUFFER, lambda: BUFFER.flat, ValueError, "grads.flat must not overlap params"),
]


def everything(params, opt):
    """All that a step may change, copied."""
    arrays = params.flat if isinstance(params, lr.ParameterBuffer) else params
    return np.copy(arrays) if isinstance(arrays, np.ndarray) else repr(arrays), opt.state_dict(), repr(opt)


def assert_unchanged(before, after):
    np.testing.assert_equal(after, before)


@pytest.mark.parametrize("build", [BUILDS[-2], "reference"])
@pytest.mark.parametrize(("params", "grads", "error", "message"), BAD_GRADIENTS)
def test_bad_gradients(params, grads, error, message, build):
    with kernels.using(build):
        opt = lr.Adam(params, lr=0.1)
    before = everything(params, opt)
    with pytest.raises(error, match=re.escape(message)):
        opt.step(grads())
    assert_unchanged(before, everything(params, opt))


@pytest.mark.parametrize("build", [BUILDS[-2], "reference"])
def test_parameters_frozen_after_the_optimizer_was_made(build):
    w = f32(4)
    with kernels.using(build):
        opt = lr.Adam(w)
    read_only(w)
    with pytest.raises(ValueError, match="params must be writable, but is read-only"):
        opt.step(f32(4))
    np.testing.assert_array_equal(w, f32(4))
    assert opt.step_count == 0


@pytest.mark.parametrize("build", [BUILDS[-2], "reference"])
@pytest.mark.parametrize(
    ("hyper", "error", "message"),
    [
        ({"lr": lambda step: 0.1 - step}, ValueError, "lr at step 1 must be finite and >= 0, got -0.9"),
        ({"lr": lambda step: np.nan if step else 0.1}, ValueError, "lr at step 1 must be finite and >= 0, got nan"),
        ({"lr": lambda step: "x" if step else 0.1}, TypeError, "lr at step 1 must be a number, got 'x'"),
        ({"betas": (0.9, lambda step: 0.9 + step)}, ValueError, "betas[1] at step 1 must be in [0, 1), got 1.9"),
        ({"weight_decay": lambda step: -step}, ValueError, "weight_decay at step 1 must be finite and >= 0, got -1.0"),
        ({"eps": lambda step: 1 / (1 - step)}, ZeroDivisionError, "division by zero"),
    ],
)
def test_bad_values_of_schedules(hyper, error, message, build):
    w = f32(4)
    with kernels.using(build):
        opt = lr.Adam(w, **hyper)
    opt.step(f32(4))
    before = everything(w, opt)
    with pytest.raises(error, match=re.escape(message)):
        opt.step(f32(4))
    with pytest.raises(error):
        opt.step(f32(4))
    assert opt.step_count == 1
    w_before, state_before, _ = before
    np.testing.assert_array_equal(w, w_before)
    assert_unchanged(state_before, opt.state_dict())


def edited(path, value):
    """A state dict of Adam on a mapping, with one place changed; None deletes it."""

    def make(state):
        place = state
        for key in path[:-1]:
            place = place[key]
        if value is None:
            del place[path[-1]]
        else:
            place[path[-1]] = value
        return state

    return make


BAD_STATES = [
    (lambda s: 3, TypeError, "state must be a mapping as state_dict gives, got int"),
    (edited(["step"], None), ValueError, "state must have the key 'step', got 'optimizer', 'like', 'groups', 'state'"),
    (edited(["optimizer"], "SGD"), ValueError, "state['optimizer'] must be 'Adam', got 'SGD'"),
    (edited(["like"], "keras"), ValueError, "state['like'] must be 'torch', got 'keras'"),
    (edited(["step"], -1), ValueError, "state['step'] must be >= 0, got -1"),
    (edited(["step"], 1.5), TypeError, "state['step'] must be an integer, got 1.5"),
    (edited(["groups"], []), ValueError, "state['groups'] must have 1 groups, got 0"),
    (edited(["groups"], 3), TypeError, "state['groups'] must be a list, got int"),
    (edited(["groups", 0], 3), TypeError, "state['groups'][0] must be a mapping, got int"),
    (edited(["groups", 0, "params"], ["w"]), ValueError, "state['groups'][0]['params'] must be ['w', 'b'], got ['w']"),
    (edited(["groups", 0, "lr"], -1.0), ValueError, "lr must be finite and >= 0, got -1.0"),
    (
        edited(["groups", 0, "rate"], 1.0),
        ValueError,
        "state['groups'][0] must have no 'rate': there is no such hyperparameter here",
    ),
    (edited(["groups", 0, "amsgrad"], True), ValueError, "amsgrad must not change what the optimizer remembers"),
    (edited(["groups", 0, "lr"], None), ValueError, "state['groups'][0] must have 'lr'; if that followed a schedule"),
    (edited(["state"], []), TypeError, "state['state'] must be a mapping, got list"),
    (edited(["state", "b"], None), ValueError, "state['state'] must be for 'w', 'b', got 'w'"),
    (edited(["state", "b"], {}), ValueError, "state['state']['b'] must hold ['m', 'v'], got []"),
    (edited(["state", "b", "v"], [1.0]), TypeError, "state['state']['b']['v'] must be a NumPy array, got list"),
    (edited(["state", "b", "v"], np.ones(2)), TypeError, "state['state']['b']['v'] must be float32, got float64"),
    (edited(["state", "b", "v"], f32(3)), ValueError, "state['state']['b']['v'] must have shape (2,), got (3,)"),
]


@pytest.mark.parametrize(("edit", "error", "message"), BAD_STATES)
def test_bad_states(edit, error, message):
    params = {"w": f32(4), "b": f32(2)}
    opt = lr.Adam(params)
    opt.step({"w": f32(4), "b": f32(2)})
    other = lr.Adam({"w": f32(4), "b": f32(2)}, lr=0.5)
    other.step({"w": -f32(4), "b": -f32(2)})
    before = everything(params, opt)
    with pytest.raises(error, match=re.escape(message)):
        opt.load_state_dict(edit(other.state_dict()))
    assert_unchanged(before, everything(params, opt))


def test_bad_changes_of_a_group():
    opt = lr.SGD(f32(3), momentum=0.9)
    (group,) = opt.param_groups
    for key, value, error, message in [
        ("lr", -1, ValueError, "lr must be finite and >= 0, got -1.0"),
        ("rate", 1, KeyError, "no hyperparameter 'rate'"),
        ("momentum", 0.0, ValueError, "momentum must not change what the optimizer remembers"),
        ("dampening", "x", TypeError, "dampening must be a number, got 'x'"),
    ]:
        before = dict(group)
        with pytest.raises(error, match=re.escape(message)):
            group[key] = value
        np.testing.assert_equal(dict(group), before)
    with pytest.raises(TypeError, match="keeps its hyperparameters"):
        del group["lr"]
    with pytest.raises(ValueError, match="lr must be finite"):
        opt.lr = np.nan
    assert opt.lr == 1e-3


ANYTHING = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=3), st.lists(st.floats(), max_size=5),
    st.integers(0, 6).map(f32), st.integers(0, 6).map(lambda n: np.ones((n, 2))),
    st.dictionaries(st.sampled_from(["w", "b", "params"]), st.integers(0, 5).map(f32), max_size=3),
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(grads=st.one_of(ANYTHING, st.lists(ANYTHING, max_size=3)), build=st.sampled_from([BUILDS[-2], "reference"]))
def test_any_gradients_step_or_raise_and_change_nothing(grads, build):
    params = {"w": f32(4), "b": f32(2)}
    with kernels.using(build):
        opt = lr.Adam(params)
    good = isinstance(grads, dict) and {k: v.shape for k, v in grads.items()} == {"w": (4,), "b": (2,)}
    if good:
        assert opt.step(grads).applied
        return
    before = everything(params, opt)
    with pytest.raises((TypeError, ValueError)):
        opt.step(grads)
    assert_unchanged(before, everything(params, opt))


@settings(max_examples=300, deadline=None)
@given(name=st.sampled_from(["lr", "momentum", "dampening", "weight_decay", "nesterov"]), value=ANYTHING)
def test_any_hyperparameter_is_taken_or_raises(name, value):
    w = f32(3)
    try:
        opt = lr.SGD(w, **{name: value})
    except (TypeError, ValueError) as error:
        assert name in str(error)  # noqa: PT017 - raising is one of the two right outcomes
    else:
        opt.step(f32(3))
        taken = opt.param_groups[0][name]
        assert value is None or taken == (value if isinstance(value, bool) else float(value))
