"""Misuse that would otherwise corrupt memory or state in silence."""

from __future__ import annotations

import copy
import os
import pickle
import re
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest
from conftest import BUILDS

import lrcore as lr
from lrcore import kernels

PLAIN = (BUILDS[-2], "reference")


def test_a_reordered_mapping_keeps_gradients_and_state_with_their_names():
    params = {"a": np.zeros(1), "b": np.zeros(1)}
    opt = lr.SGD(params, lr=1.0, momentum=0.5, ema=0.0)
    params["a"] = params.pop("a")
    opt.step({"a": np.array([1.0]), "b": np.array([2.0])})
    assert (params["a"], params["b"]) == (-1, -2)
    assert (opt.averages["a"], opt.averages["b"]) == (-1, -2)
    assert opt.state_dict()["state"]["b"]["b"] == 2


@pytest.mark.parametrize("structure", [dict, list])
def test_a_replaced_parameter_is_noticed(structure):
    params = {"a": np.zeros(2), "b": np.zeros(1)} if structure is dict else [np.zeros(2), np.zeros(1)]
    key = "a" if structure is dict else 0
    opt = lr.SGD(params, lr=1.0)
    params[key] = params[key] * 1
    grads = {"a": np.ones(2), "b": np.ones(1)} if structure is dict else [np.ones(2), np.ones(1)]
    path = re.escape('params["a"]' if structure is dict else "params[0]")
    with pytest.raises(ValueError, match=f"{path} must stay the array that the optimizer was made for"):
        opt.step(grads)
    assert opt.step_count == 0


@pytest.mark.parametrize("build", PLAIN)
@pytest.mark.parametrize("size", [8, 2])
def test_a_resized_parameter_is_noticed(build, size):
    w = np.zeros(4)
    with kernels.using(build):
        opt = lr.SGD(w, lr=1.0)
    w.resize(size, refcheck=False)
    with pytest.raises(ValueError, match="params must stay as it was when the optimizer was made, but was resized"):
        opt.step(np.ones(size))
    assert opt.step_count == 0


@pytest.mark.parametrize("build", PLAIN)
@pytest.mark.parametrize("kind", [lambda a: np.ma.array(a, mask=[0, 1]), lambda a: np.asarray(a).view(np.matrix)])
@pytest.mark.filterwarnings("ignore:the matrix subclass")
def test_arrays_with_operations_of_their_own_are_refused(build, kind):
    odd = kind(np.ones(2))
    with pytest.raises(TypeError, match=r"params must be a NumPy array, got (MaskedArray|matrix)"):
        lr.SGD(odd)
    w = np.ones(odd.shape)
    with kernels.using(build):
        opt = lr.SGD(w, lr=1.0)
    with pytest.raises(TypeError, match=r"grads must be a NumPy array, got (MaskedArray|matrix)"):
        opt.step(odd)
    assert (w == 1).all()


def test_a_memmap_is_an_array(tmp_path):
    w = np.memmap(tmp_path / "w", np.float64, "w+", shape=(3,))
    lr.SGD(w, lr=1.0).step(np.ones(3))
    np.testing.assert_array_equal(w, [-1, -1, -1])


def test_loading_changes_all_or_nothing():
    opt = lr.SGD(np.ones(2), lr=0.1, momentum=0.9, nesterov=True)
    saved = opt.state_dict()
    saved["groups"][0].update(lr=5.0, dampening=0.5)
    with pytest.raises(ValueError, match="nesterov must come with"):
        opt.load_state_dict(saved)
    assert opt.lr == 0.1


def test_a_read_only_parameter_refuses_the_averages_whole():
    params = [np.ones(1), np.ones(1)]
    opt = lr.SGD(params, lr=1.0, ema=0.5)
    for _ in range(2):
        opt.step([np.ones(1), np.ones(1)])
    params[1].flags.writeable = False
    with pytest.raises(ValueError, match=re.escape("params[1] must be writable")), opt.averaged():
        pass
    assert params[0] == -1
    params[1].flags.writeable = True
    assert opt.step([np.ones(1), np.ones(1)]).step == 3


@pytest.mark.parametrize("clone", [copy.deepcopy, pickle.dumps, copy.copy])
def test_no_copy_is_taken_of_swapped_parameters(clone):
    opt = lr.SGD(np.ones(2), ema=0.5)
    with opt.averaged(), pytest.raises(RuntimeError, match="must not be called"):
        clone(opt)


def test_a_shallow_copy_shares_the_parameters_alone():
    w = np.ones(2)
    opt = lr.NAdam(w)
    other = copy.copy(opt)
    other.step(np.ones(2))
    assert w[0] != 1
    assert opt.step_count == 0
    assert opt.state_dict()["groups"][0]["mu_product"] == 1.0
    assert not opt.state_dict()["state"]["0"]["m"].any()


def test_gradients_may_be_taken_out_of_their_list_during_the_step():
    grads = [np.ones(8_000_000, np.float32)]
    opt = lr.SGD([np.zeros(8_000_000, np.float32)], lr=1.0)
    thread = threading.Timer(0.002, grads.clear)
    thread.start()
    opt.step(grads)
    thread.join()
    assert (opt.params[0] == -1).all()


def test_the_history_has_the_rate_after_inverse_time_decay():
    w = np.ones(1)
    opt = lr.SGD(w, lr=0.1, like="keras2", decay=1.0)
    history = lr.minimize(lambda w: (0.0, np.ones(1)), w, opt, 3)
    np.testing.assert_allclose(history.lr, [0.1, 0.05, 0.1 / 3, 0.025], rtol=1e-15)
    assert opt.lr == 0.1
    assert opt.next_rate == 0.025


def test_a_plateau_that_nobody_asks_is_noticed():
    w = np.ones(1)
    opt = lr.SGD(w, lr=lr.schedules.Constant(0.1))
    with pytest.raises(ValueError, match="optimizer must have this ReduceOnPlateau as its lr"):
        lr.minimize(lambda w: (0.0, np.ones(1)), w, opt, 9, callbacks=[lr.ReduceOnPlateau(0.1, patience=1)])


def test_unscaling_that_overflows_is_not_finite():
    w = np.zeros(2, np.float32)
    opt = lr.SGD(w, on_nonfinite="skip")
    assert not opt.step(np.full(2, 1e38, np.float32), grad_scale=0.1).applied
    assert not w.any()


def test_the_gradients_of_a_buffer_cannot_be_replaced():
    params = lr.ParameterBuffer([np.ones(2)])
    with pytest.raises(AttributeError):
        params.grads = {}
    assert (params == params) is True
    assert (params == lr.ParameterBuffer([np.ones(2)])) is False


def test_groups_may_be_minimized():
    w, b = np.ones(2), np.ones(1)
    groups = [{"params": w}, {"params": [b]}]
    history = lr.minimize(lambda g: (0.0, [np.ones(2), [np.ones(1)]]), groups, lambda g: lr.SGD(g, lr=1.0), 1)
    assert history.ended == "completed"
    assert (w[0], b[0]) == (0, 0)


INTERRUPTS = """
import signal, numpy as np, lrcore as lr

def interrupt(*_):
    raise KeyboardInterrupt

signal.signal(signal.SIGALRM, interrupt)
opt = lr.SGD(np.ones(3))
for k in range(400):
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.0002 + k * 1e-6)
        while True:
            opt.step(np.ones(3))
    except KeyboardInterrupt:
        pass
    opt.state_dict()
print("free")
"""


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no interval timer")
def test_an_interrupt_leaves_no_lock_behind():
    env = {key: value for key, value in os.environ.items() if key != "LRCORE_ISA"}
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTS], env=env, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout == "free\n", done.stderr
