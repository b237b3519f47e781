"""Threads share a step and change no bit of it; they start late, sleep early, survive fork and interrupts."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from importlib import import_module

import numpy as np
import pytest
from conftest import BUILDS, every_optimizer, gradients

import lrcore as lr
from lrcore import kernels
from lrcore.pool import _quota

COMPILED = [build for build in BUILDS if build != "reference"]
pytestmark = pytest.mark.skipif(not COMPILED, reason="no compiled build, no threads")
SIZES = (20_001, 0, 1, 5000, 15_003)


@pytest.fixture(autouse=True)
def _restore():
    before = lr.get_num_threads()
    yield
    lr.set_num_threads(before)


@pytest.fixture
def _eager():
    pool = import_module("lrcore._lrcore_pool")
    pool.set_eager(True)
    yield
    pool.set_eager(False)


def run(build, cls, hyper, n, dtype):
    rng = np.random.default_rng(7)
    params = [rng.standard_normal(size).astype(dtype) for size in SIZES]
    columns = [gradients((size,), dtype, 2, seed=size) for size in SIZES]
    with kernels.using(build), lr.threads(n):
        opt = cls(params, ema=0.9, clip_norm=1.0, **hyper)
        norms = [opt.step(list(row), zero_grad=False).grad_norm for row in zip(*columns, strict=True)]
    return params, norms, opt.state_dict()["state"]


@pytest.mark.usefixtures("_eager")
@pytest.mark.parametrize(("cls", "hyper"), every_optimizer())
def test_bits_do_not_depend_on_threads(cls, hyper):
    for dtype in (np.float32, np.float64):
        expected = run("reference", cls, hyper, 1, dtype)
        for build in COMPILED:
            for n in (1, 2, 3, 7):
                np.testing.assert_equal(run(build, cls, hyper, n, dtype), expected)


def test_the_number_is_set_for_good_or_for_a_while():
    lr.set_num_threads(3)
    with lr.threads(5):
        assert lr.get_num_threads() == 5
    assert lr.get_num_threads() == 3
    with pytest.raises(ZeroDivisionError), lr.threads(2):
        raise ZeroDivisionError
    assert lr.get_num_threads() == 3


@pytest.mark.parametrize(
    ("n", "error", "message"),
    [(0, ValueError, "n must be >= 1, got 0"), (1.5, TypeError, "n must be an integer, got 1.5"),
     (True, TypeError, "n must be an integer, got True"), ("2", TypeError, "n must be an integer, got '2'")],
)  # fmt: skip
def test_bad_numbers(n, error, message):
    before = lr.get_num_threads()
    with pytest.raises(error, match=re.escape(message)):
        lr.set_num_threads(n)
    assert lr.get_num_threads() == before


# Of the best compiled build, whatever the suite runs on.
ENVIRONMENT = {k: v for k, v in os.environ.items() if k not in ("OMP_NUM_THREADS", "LRCORE_NUM_THREADS", "LRCORE_ISA")}


def python(code, **env):
    return subprocess.run(
        [sys.executable, "-c", code], env=ENVIRONMENT | env, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.mark.parametrize(
    ("env", "n"),
    [
        ({"LRCORE_NUM_THREADS": "3", "OMP_NUM_THREADS": "5"}, 3),
        ({"OMP_NUM_THREADS": "5,2"}, 5),
        ({"LRCORE_NUM_THREADS": ""}, None),
        ({"OMP_NUM_THREADS": "many"}, None),
    ],
)
def test_the_environment_sets_the_number(env, n):
    done = python("import lrcore; print(lrcore.get_num_threads())", **env)
    allowed = min(len(os.sched_getaffinity(0)), _quota()) if hasattr(os, "sched_getaffinity") else None
    assert n is not None or allowed is not None
    assert int(done.stdout) == (n or allowed)


def test_a_wrong_number_in_the_environment_says_so():
    done = python("import lrcore", LRCORE_NUM_THREADS="many")
    assert "LRCORE_NUM_THREADS must be an integer >= 1, got 'many'" in done.stderr


@pytest.mark.parametrize(
    ("files", "n"),
    [
        ({"cpu.max": "max 100000"}, 1 << 16),
        ({"cpu.max": "150000 100000"}, 2),
        ({"cpu.max": "1000 100000"}, 1),
        ({"cpu/cpu.cfs_quota_us": "400000", "cpu/cpu.cfs_period_us": "100000"}, 4),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, 1 << 16),
        ({}, 1 << 16),
    ],
)
def test_the_quota_of_a_cgroup(tmp_path, files, n):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert _quota(tmp_path) == n


def test_threadpoolctl_limits_the_threads():
    threadpoolctl = pytest.importorskip("threadpoolctl")
    lr.set_num_threads(3)
    (info,) = [i for i in threadpoolctl.threadpool_info() if i["user_api"] == "lrcore"]
    assert info["num_threads"] == 3
    with threadpoolctl.threadpool_limits(limits=1):
        assert lr.get_num_threads() == 1
    with threadpoolctl.threadpool_limits(limits=1, user_api="blas"):
        assert lr.get_num_threads() == 3
    assert lr.get_num_threads() == 3


def test_joblib_workers_use_their_share(monkeypatch):
    monkeypatch.delenv("LRCORE_NUM_THREADS", raising=False)  # it would count more
    joblib = pytest.importorskip("joblib")
    with joblib.parallel_config("loky", n_jobs=2, inner_max_num_threads=1):
        numbers = joblib.Parallel()(joblib.delayed(lr.get_num_threads)() for _ in range(2))
    assert numbers == [1, 1]


COUNT = """
import os, numpy as np, lrcore as lr
tasks = lambda: len(os.listdir("/proc/self/task"))
lr.set_num_threads(3)
first = tasks()
small, large = np.ones(1000), np.ones(1_000_000)
lr.Adam(small).step(np.ones(1000))
print(tasks() - first)
lr.Adam(large).step(np.ones(1_000_000))
print(tasks() - first)
"""


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="counts threads in /proc")
def test_no_thread_starts_before_a_step_that_needs_it():
    assert python(COUNT, OPENBLAS_NUM_THREADS="1").stdout.split() == ["0", "2"]


def test_idle_threads_burn_no_time():
    lr.set_num_threads(4)
    w = np.ones(1_000_000)
    lr.Adam(w).step(np.ones(1_000_000))
    time.sleep(0.01)
    before = time.process_time()
    time.sleep(0.3)
    assert time.process_time() - before < 0.03


FORK = """
import os, numpy as np, lrcore as lr
lr.set_num_threads(3)
w, g = np.ones(300_000), np.ones(300_000)
opt = lr.Adam(w)
opt.step(g)
good = 0
for _ in range({children}):
    child = os.fork()
    if child == 0:
        opt.step(g)
        os._exit(0 if opt.step_count == 2 and abs(w[0] - 0.998) < 1e-6 and (w == w[0]).all() else 1)
    good += os.waitpid(child, 0)[1] == 0
opt.step(g)
print(good, opt.step_count)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_forked_child_steps():
    done = python(FORK.format(children=200))
    assert done.stdout.split() == ["200", "2"], done.stderr


def test_several_python_threads_step_optimizers_of_their_own():
    lr.set_num_threads(2)
    start = np.linspace(-1, 1, 200_000)
    g = np.cos(start)
    expected = start.copy()
    reference = lr.Adam(expected)
    for _ in range(20):
        reference.step(g)
    copies = [start.copy() for _ in range(4)]
    go = threading.Barrier(4)

    def work(w):
        opt = lr.Adam(w)
        go.wait()
        for _ in range(20):
            opt.step(g)

    workers = [threading.Thread(target=work, args=(w,)) for w in copies]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for w in copies:
        np.testing.assert_array_equal(w, expected)


INTERRUPT = """
import numpy as np, lrcore as lr
lr.set_num_threads(2)
w, g = np.zeros(3_000_000), np.ones(3_000_000)
opt = lr.SGD(w, lr=1.0)
print("ready", flush=True)
try:
    while True:
        opt.step(g)
except KeyboardInterrupt:
    print((w == -opt.step_count).all(), opt.step_count > 0, opt.step(g).applied)
"""


@pytest.mark.skipif(os.name != "posix", reason="sends SIGINT")
@pytest.mark.parametrize("after", [0.05, 0.111, 0.2])
def test_an_interrupt_is_answered_and_leaves_a_whole_number_of_steps(after):
    child = subprocess.Popen([sys.executable, "-c", INTERRUPT], env=ENVIRONMENT, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    time.sleep(after)
    child.send_signal(signal.SIGINT)
    sent = time.monotonic()
    out, _ = child.communicate(timeout=30)
    assert out == "True True True\n"
    assert time.monotonic() - sent < 2
