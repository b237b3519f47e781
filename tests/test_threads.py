"""Threads share a step and change no bit of it; they start late, sleep early, follow their caller, survive forks."""

from __future__ import annotations

import asyncio
import ctypes
import os
import platform
import re
import signal
import subprocess
import sys
import textwrap
import threading
import time
from contextlib import contextmanager

import numpy as np
import pytest
from conftest import BUILDS, each_rule, gradients

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


def run(build, cls, hyper, n, dtype):
    rng = np.random.default_rng(7)
    params = [rng.standard_normal(size).astype(dtype) for size in SIZES]
    columns = [gradients((size,), dtype, 2, seed=size) for size in SIZES]
    with kernels.using(build), lr.threads(n):
        opt = cls(params, ema=0.9, clip_norm=1.0, **hyper)
        norms = [opt.step(list(row), zero_grad=False).grad_norm for row in zip(*columns, strict=True)]
    return params, norms, opt.state_dict()["state"]


@pytest.mark.usefixtures("eager_pool")
@pytest.mark.parametrize(("cls", "hyper"), each_rule())
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


def test_a_number_for_a_while_is_seen_by_its_thread_alone():
    lr.set_num_threads(3)
    turns = [threading.Event() for _ in range(4)]
    seen = {}

    def first():
        with lr.threads(5):
            turns[0].set()
            turns[1].wait(60)
            seen["first"] = lr.get_num_threads()
        turns[2].set()

    def second():
        turns[0].wait(60)
        with lr.threads(7):
            turns[1].set()
            turns[2].wait(60)  # the one that entered before leaves before
            seen["second"] = lr.get_num_threads()
        seen["after"] = lr.get_num_threads()

    workers = [threading.Thread(target=target) for target in (first, second)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert seen == {"first": 5, "second": 7, "after": 3}
    assert lr.get_num_threads() == 3


def test_numbers_for_a_while_end_in_any_order():
    def steps(n):
        with lr.threads(n):
            yield lr.get_num_threads()

    lr.set_num_threads(3)
    first, second = steps(5), steps(7)
    assert [next(first), next(second)] == [5, 7]
    first.close()
    assert lr.get_num_threads() == 7
    second.close()
    assert lr.get_num_threads() == 3


def test_a_number_for_a_while_belongs_to_its_task():
    async def task(n, pause):
        with lr.threads(n):
            await asyncio.sleep(pause)
            return lr.get_num_threads()

    async def main():
        return await asyncio.gather(task(5, 0.002), task(7, 0.001), task(6, 0.003))

    lr.set_num_threads(3)
    assert asyncio.run(main()) == [5, 7, 6]
    assert lr.get_num_threads() == 3


def test_one_number_for_a_while_serves_again_and_again():
    hold = lr.threads(5)
    lr.set_num_threads(3)
    with hold, lr.threads(6), hold:
        assert lr.get_num_threads() == 5
    with hold:
        with hold:
            pass
        assert lr.get_num_threads() == 5
    assert lr.get_num_threads() == 3

    @lr.threads(4)
    def depth(n):
        return lr.get_num_threads() if n == 0 else depth(n - 1)

    assert depth(3) == 4
    assert lr.get_num_threads() == 3


def test_the_number_of_the_process_does_not_outrank_one_for_a_while():
    lr.set_num_threads(3)
    with lr.threads(5):
        lr.set_num_threads(2)
        assert lr.get_num_threads() == 5
    assert lr.get_num_threads() == 2


def test_a_step_takes_the_number_that_holds_for_it():
    code = """
    import threading, numpy as np, lrcore as lr
    from importlib import import_module
    pool = import_module("lrcore._lrcore_pool")
    pool.set_eager(True)
    lr.set_num_threads(1)
    w, g = np.ones(100_000), np.ones(100_000)
    opt = lr.Adam(w)
    opt.step(g)
    print(pool.started())
    with lr.threads(3):
        other = threading.Thread(target=opt.step, args=(g,))
        other.start()
        other.join()
        print(pool.started())
        opt.step(g)
    print(pool.started())
    """
    assert python(textwrap.dedent(code)).stdout.split() == ["0", "0", "2"]


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
        ({"LRCORE_NUM_THREADS": "0" * 5000 + "3"}, 3),
        ({"LRCORE_NUM_THREADS": "9" * 5000}, 256),
        ({"LRCORE_NUM_THREADS": "257"}, 256),
        ({"OMP_NUM_THREADS": "9" * 5000}, 256),
        ({"LRCORE_NUM_THREADS": ""}, None),
        ({"OMP_NUM_THREADS": "many"}, None),
        ({"OMP_NUM_THREADS": "0"}, None),
        ({"OMP_NUM_THREADS": "-" * 5000}, None),
    ],
)
def test_the_environment_sets_the_number(env, n):
    done = python("import lrcore; print(lrcore.get_num_threads())", **env)
    allowed = min(len(os.sched_getaffinity(0)), _quota()) if hasattr(os, "sched_getaffinity") else None
    assert n is not None or allowed is not None
    assert int(done.stdout) == (n or allowed)


@pytest.mark.parametrize("value", ["many", "0", "-1", "1.5", "٣", "1e3", "x" * 5000, "0" * 5000])
def test_a_wrong_number_in_the_environment_says_so(value):
    done = python("import lrcore", LRCORE_NUM_THREADS=value)
    last = done.stderr.splitlines()[-1]
    assert last.startswith(f"ImportError: LRCORE_NUM_THREADS must be an integer >= 1, got {value[:150]!r}"[:-1])
    assert len(last) < 350


@pytest.mark.parametrize(
    ("files", "n"),
    [
        ({"cpu.max": "max 100000"}, 1 << 16),
        ({"cpu.max": "150000 100000"}, 2),
        ({"cpu.max": "1000 100000"}, 1),
        ({"cpu/cpu.cfs_quota_us": "400000", "cpu/cpu.cfs_period_us": "100000"}, 4),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, 1 << 16),
        ({"cpu.max": "100000 0"}, 1 << 16),
        ({"cpu.max": "many 100000"}, 1 << 16),
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
    with lr.threads(5), threadpoolctl.threadpool_limits(limits=1):
        assert lr.get_num_threads() == 5  # the limit is the process's
    assert lr.get_num_threads() == 3


def test_joblib_workers_use_their_share(monkeypatch):
    monkeypatch.delenv("LRCORE_NUM_THREADS", raising=False)  # it would count more
    joblib = pytest.importorskip("joblib")
    with joblib.parallel_config("loky", n_jobs=2, inner_max_num_threads=1):
        numbers = joblib.Parallel()(joblib.delayed(lr.get_num_threads)() for _ in range(2))
    assert numbers == [1, 1]


needs_linux = pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="looks at threads in /proc")

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


@needs_linux
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


FORK_AMID_STEPS = """
import os, threading, numpy as np, lrcore as lr
from importlib import import_module

pool = import_module("lrcore._lrcore_pool")
pool.set_eager(True)
lr.set_num_threads(3)
g = np.ones(60_000)
mine, others = (lr.Adam(np.ones(g.size)) for _ in range(2))


def good(child):
    pid = os.fork()
    if pid == 0:
        os._exit(0 if child() else 1)
    return os.waitpid(pid, 0)[1] == 0


def steps(generations):
    mine.step(g)
    made = pool.started() == 2 and len(os.listdir("/proc/self/task")) == 3
    return made and (generations == 0 or good(lambda: steps(generations - 1)))


def forks_amid_steps():
    over = False

    def step():
        while not over:
            others.step(g)

    thread = threading.Thread(target=step)
    thread.start()
    children = [good(lambda: steps(k)) for k in (0, 1, 2)]
    over = True
    thread.join()
    return all(children)


print(sum(good(forks_amid_steps) for _ in range(30)))
"""


@needs_linux
def test_a_child_forked_at_any_moment_has_workers_of_its_own():
    """While no worker exists, while the first start, while another thread steps; and its children too."""
    done = python(FORK_AMID_STEPS)
    assert done.stdout.split() == ["30"], done.stderr


FORKED_PROCESSES = """
import multiprocessing, os, numpy as np, lrcore as lr
from importlib import import_module

pool = import_module("lrcore._lrcore_pool")
pool.set_eager(True)
lr.set_num_threads(2)


def train(seed):
    w = np.random.default_rng(seed).standard_normal(200_000)
    opt = lr.AdamW(w)
    for _ in range(5):
        opt.step(np.cos(w))
    return w.tobytes(), pool.started(), os.getpid() == parent or len(os.listdir("/proc/self/task")) == 2


parent = os.getpid()
before = train(1)
context = multiprocessing.get_context("fork")
with context.Pool(3) as processes:
    answers = processes.map(train, [1] * 9)
print(answers == [before] * 9, train(1) == before)
"""


@needs_linux
def test_forked_processes_and_their_parent_step():
    done = python(FORKED_PROCESSES)
    assert done.stdout.split() == ["True", "True"], done.stderr


def linux(code, **env):
    """Output of a program that knows ``workers()``, the ids of the pool's threads, two of them."""
    done = python(WORKERS + textwrap.dedent(code), **env, OPENBLAS_NUM_THREADS="1")
    assert done.returncode == 0, done.stderr
    return done.stdout


WORKERS = """
import os, threading, time, numpy as np, lrcore as lr
tasks = lambda: set(map(int, os.listdir("/proc/self/task")))
first = tasks()
lr.set_num_threads(3)
g = np.ones(2_000_000)
opt = lr.Adam(np.ones(g.size))
opt.step(g)
made = sorted(tasks() - first)

def status(task, key):
    with open(f"/proc/self/task/{task}/status") as file:
        return next(line.split(":")[1].strip() for line in file if line.startswith(key + ":"))

def step():
    time.sleep(0.001)
    opt.step(g)
    while any(status(task, "State")[0] != "S" for task in made):
        time.sleep(0.001)

step()
"""

needs_two = pytest.mark.skipif(
    not hasattr(os, "sched_getaffinity") or len(os.sched_getaffinity(0)) < 2, reason="needs two processors"
)


@needs_linux
@needs_two
def test_workers_leave_signals_that_are_sent_to_the_program_and_take_those_of_their_faults():
    masks = linux("print(*[status(task, 'SigBlk') for task in made])").split()
    assert len(masks) == 2
    faults = {"SIGBUS", "SIGSEGV", "SIGFPE", "SIGILL", "SIGABRT", "SIGTRAP", "SIGSYS"}
    sent = {"SIGINT", "SIGTERM", "SIGHUP", "SIGALRM", "SIGPROF", "SIGUSR1", "SIGCHLD", "SIGQUIT"}
    for mask in masks:
        blocked = {
            s.name for s in signal.valid_signals() if isinstance(s, signal.Signals) if int(mask, 16) >> s - 1 & 1
        }
        assert not blocked & faults
        assert blocked >= sent


FAULT = """
import faulthandler, mmap, numpy as np, lrcore as lr
faulthandler.enable()
lr.set_num_threads(2)
size = 4_000_000
g = np.memmap({path!r}, np.float32, "w+", shape=size)
opt = lr.SGD(np.zeros(size, np.float32))
for _ in range(2):
    opt.step(g)
with open({path!r}, "r+b") as file:
    file.truncate(g.nbytes - 4096)  # where a worker begins, the third step going backwards
opt.step(g)
"""


@needs_linux
@needs_two
def test_a_fault_in_a_worker_is_reported(tmp_path):
    done = python(FAULT.format(path=str(tmp_path / "gradient")))
    assert done.returncode == -signal.SIGBUS
    assert "Fatal Python error: Bus error" in done.stderr


@needs_linux
@needs_two
def test_workers_keep_to_the_processors_of_their_caller():
    out = linux("""
    a, b, *_ = sorted(os.sched_getaffinity(0))
    def where():
        return [os.sched_getaffinity(task) for task in made]
    os.sched_setaffinity(0, {a, b})
    step()
    print(all(len(s) == 1 and s < {a, b} for s in where()))
    os.sched_setaffinity(0, {a})
    step()
    print(where() == [{a}, {a}])
    switches = [status(task, "voluntary_ctxt_switches") for task in made]
    for _ in range(5):
        step()
    print(switches == [status(task, "voluntary_ctxt_switches") for task in made])  # they slept
    os.sched_setaffinity(0, {b})
    step()
    print(where() == [{b}, {b}])
    os.sched_setaffinity(0, {a, b})
    step()
    print(all(len(s) == 1 and s < {a, b} for s in where()))
    def elsewhere():
        os.sched_setaffinity(0, {b})
        step()
        seen.append(where())
    os.sched_setaffinity(0, {a})
    for _ in range(2):
        seen = []
        other = threading.Thread(target=elsewhere)
        other.start()
        other.join()
        step()
        seen.append(where())
        print(seen == [[{b}, {b}], [{a}, {a}]])
    """)
    assert set(out.split()) == {"True"}, out


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


# The floating-point environment. Every compiled call runs in one that its caller has spoiled.

UPWARD, FLUSH, FENV = {"x86_64": (0x800, 0x8040, slice(28, 32)), "aarch64": (0x400000, 1 << 24, slice(0, 4))}.get(
    platform.machine(), (0, 0, slice(0))
)
needs_glibc = pytest.mark.skipif(not FLUSH or platform.libc_ver()[0] != "glibc", reason="writes glibc's fenv_t")


def environment():
    """The calling thread's, as bytes."""
    kept = ctypes.create_string_buffer(32)
    ctypes.CDLL(None).fegetenv(kept)
    return kept.raw


@contextmanager
def spoiled():
    """Rounding upward, numbers that are not normal flushed to zero; checks that it is found again."""
    libm = ctypes.CDLL("libm.so.6")
    kept = ctypes.create_string_buffer(environment(), 32)
    libm.fesetround(UPWARD)
    odd = bytearray(environment())
    odd[FENV] = (int.from_bytes(odd[FENV], "little") | FLUSH).to_bytes(FENV.stop - FENV.start, "little")
    libm.fesetenv(ctypes.create_string_buffer(bytes(odd), 32))
    try:
        before = environment()
        yield
        after = environment()
    finally:
        libm.fesetenv(kept)
    assert before == after
    assert int.from_bytes(before[FENV], "little") & FLUSH == FLUSH


class Spoiled:
    """A sweep, each of whose calls is made in a spoiled environment."""

    def __init__(self, sweep):
        self._sweep = sweep

    def __getattr__(self, name):
        value = getattr(self._sweep, name)
        if not callable(value):
            return value

        def call(*args, **kwargs):
            with spoiled():
                return value(*args, **kwargs)

        return call


@needs_glibc
def test_the_environment_is_spoiled():
    small = np.array([1e-310])
    with spoiled():
        product, total = small * 1.0, np.ones(1) + 1e-30
    assert (product[0], total[0]) == (0, np.nextafter(1, 2))


@needs_glibc
@pytest.mark.usefixtures("eager_pool")
@pytest.mark.parametrize("build", COMPILED)
@pytest.mark.parametrize(("cls", "hyper"), each_rule())
def test_bits_do_not_depend_on_the_floating_point_environment(monkeypatch, cls, hyper, build):
    """A worker's environment is that of the thread that made it, so that threads of a spoiled one are made, too."""

    def stepped(dtype, n, clip_norm):
        params = [np.linspace(-1, 1, size).astype(dtype) for size in SIZES]
        small = np.finfo(dtype).tiny
        grads = [gradients((size,), dtype, 2, seed=size) for size in SIZES]
        for rows in grads:
            for g in rows:
                g[::7] *= small
                g[::5] = small / 8
        with kernels.using(build), lr.threads(n):
            opt = cls(params, clip_norm=clip_norm, **hyper)
            norms = [opt.step(list(row)).grad_norm for row in zip(*grads, strict=True)]
        return params, opt.state_dict()["state"], norms

    cases = [(dtype, n, clip) for dtype in (np.float32, np.float64) for n in (1, 3) for clip in (None, 1.0)]
    expected = [stepped(*case) for case in cases]
    made = kernels.sweep
    monkeypatch.setattr(kernels, "sweep", lambda *args: Spoiled(made(*args)))
    np.testing.assert_equal([stepped(*case) for case in cases], expected)
