"""Ctrl-C at random moments of the searches and of the controls: all is as before, or all is done."""

from __future__ import annotations

import subprocess
import sys

import pytest

MOMENTS = 40  # of each

PRELUDE = """
import signal, sys, time
import numpy as np
import lrcore as lr

signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGALRM, signal.default_int_handler)
rng = np.random.default_rng(int(sys.argv[2]))

def interrupted(call, moments, check):
    took = float("inf")
    for _ in range(3):
        began = time.perf_counter()
        call()
        took = min(took, time.perf_counter() - began)
        check(None)
    cut = 0
    for _ in range(moments):
        try:
            try:
                signal.setitimer(signal.ITIMER_REAL, max(1e-6, rng.uniform(0, 1.1) * took))
                call()
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
        except KeyboardInterrupt:
            cut += 1
        check(cut)
    assert cut > moments // 10, cut
"""

SEARCHES = """
params = [np.full(4, float(k)) for k in range(40)]
before = [p.copy() for p in params]
plateau = lr.ReduceOnPlateau(0.3)
groups = [{"params": params[:20], "lr": plateau}, {"params": params[20:], "lr": 0.1}]
opt = lr.NAdam(groups) if KIND == "NAdam" else lr.Adam(groups, ema=0.9, like="keras2", decay=0.1)
fun = lambda g: (sum(float(p @ p) for p in params), [[2 * p for p in params[:20]], [2 * p for p in params[20:]]])
opt.step(fun(None)[1])
before = [p.copy() for p in params]
state = opt.state_dict()

def check(cut):
    assert all((p == b).all() for p, b in zip(params, before)), "parameters"
    assert opt.param_groups[0]["lr"] is plateau and opt.param_groups[1]["lr"] == 0.1, "rates"
    now = opt.state_dict()
    np.testing.assert_equal(now, state)

search = lr.find_lr if SEARCH == "find_lr" else lr.coarse_lr
interrupted(lambda: search(fun, groups, opt, steps=10), MOMENTS, check)
"""

RESTORES = """
params = [np.zeros(1000) for _ in range(150)]
early = lr.EarlyStopping()
early.update(1.0, params)

def check(cut):
    values = {float(v) for p in params for v in (p[0], p[-1])}
    assert len(values) == 1, values
    for p in params:
        p[:] = 7

interrupted(lambda: early.restore(params), MOMENTS, check)
"""

KEEPS = """
params = [np.zeros(1000) for _ in range(150)]
early = lr.EarlyStopping()
early.update(1e9, params)
count = [0]

def call():
    early.update(-float(count[0]), params, count[0])

def check(cut):
    state = early.state_dict()
    values = {float(v) for p in state["params"] for v in (p[0], p[-1])}
    assert len(values) == 1, values
    assert values == {-state["best"]} and state["best_step"] == -state["best"], (values, state["best"])
    count[0] += 1
    for p in params:
        p[:] = count[0]

early.update(0.0, params, 0)
interrupted(call, MOMENTS, check)
"""

MINIMIZES = """
params = [np.full(4, 1.0 + k) for k in range(40)]
early = lr.EarlyStopping(patience=1000)
fun = lambda g: (sum(float(p @ p) for p in params), [2 * p for p in params])
opt = lr.SGD(params, lr=0.01, momentum=0.5)

def check(cut):
    # Every array has taken the same steps.
    assert all(np.array_equal(p * 1.0, np.full(4, p[0])) for p in params)
    ratio = {round(float(p[0] / (1.0 + k)), 9) for k, p in enumerate(params)}
    assert len(ratio) == 1, ratio
    state = early.state_dict()
    assert len({round(float(p[0] / (1.0 + k)), 9) for k, p in enumerate(state["params"])}) <= 1
    if state["params"]:
        best = 0.0
        for p in state["params"]:
            best += float(p @ p)
        assert abs(best - state["best"]) <= 1e-9 * best

interrupted(lambda: lr.minimize(fun, params, opt, 5, callbacks=[early]), MOMENTS, check)
"""

AVERAGES = """
average = lr.MovingAverage(0.5)
x = np.ones(50_000)

def check(cut):
    assert (average.value == 1).all()

interrupted(lambda: average.update(x), MOMENTS, check)
"""

SCRIPTS = {
    "find_lr": f'KIND, SEARCH = "NAdam", "find_lr"\n{SEARCHES}',
    "find_lr with averages": f'KIND, SEARCH = "Adam", "find_lr"\n{SEARCHES}',
    "coarse_lr": f'KIND, SEARCH = "NAdam", "coarse_lr"\n{SEARCHES}',
    "restore": RESTORES,
    "keep": KEEPS,
    "minimize": MINIMIZES,
    "average": AVERAGES,
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_an_interrupt_leaves_nothing_torn(name):
    code = f"{PRELUDE}\nMOMENTS = int(sys.argv[1])\n{SCRIPTS[name]}"
    run = subprocess.run([sys.executable, "-c", code, str(MOMENTS), "0"], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
