"""What callers do to an optimizer that it does not expect: each is right, or refused, and nothing is left torn."""

from __future__ import annotations

import contextlib
import copy
import pickle
import subprocess
import sys
import threading

import numpy as np
import pytest
from conftest import BUILDS
from test_interrupted import PRELUDE

import lrcore as lr
from lrcore import kernels
from lrcore.arrays import assign, assignment

PLAIN = (BUILDS[-2], "reference") if len(BUILDS) > 1 else BUILDS
COMPILED = kernels.compiled()[-1:]

# Interrupts.

STEP = """
params = [np.full(3, float(k)) for k in range(12)]
groups = lambda: [{"params": params[k : k + 2]} for k in range(0, 12, 2)]
grads = [[p * 0 + 1 for p in group["params"]] for group in groups()]
opt = lr.NAdam(groups(), lr=1e-3, ema=0.5)
states = [opt.state_dict()]
other = copy.deepcopy(opt)

def check(cut):
    while len(states) <= opt.step_count:
        other.step(grads)
        states.append(other.state_dict())
    np.testing.assert_equal(opt.state_dict(), states[opt.step_count])

interrupted(lambda: opt.step(grads), 150, check)
"""

AVERAGED = """
params = [np.full(3, float(k)) for k in range(300)]
opt = lr.SGD(params, lr=0.1, ema=0.5)
for _ in range(2):
    opt.step([p * 0 + 1 for p in params])
before = [p.copy() for p in params]

def call():
    with opt.averaged():
        pass

interrupted(call, 150, lambda cut: np.testing.assert_equal(params, before))
"""

LISTS = """
params = [np.zeros(3) for _ in range(11)]
opt = lr.Adam([{"params": p} for p in params[:-1]])
groups = list(opt.param_groups)
count = [0]

def call():
    count[0] += 1
    opt.param_groups = groups[:: 1 if count[0] % 2 else -1]
    if count[0] % 3 == 0:
        opt.add_param_group({"params": params[-1]})

def check(cut):
    now = list(opt.param_groups)
    assert opt._now().roster.groups == now
    assert [g.parameters.names for g in now] == [[str(k)] for k in range(len(now))]
    assert [g.parameters.prefix for g in now] == [f"[{k}]" for k in range(len(now))]
    opt.step([np.ones(3)] * len(now))

interrupted(call, 150, check)
"""

COPIES = """
params = [np.zeros(3) for _ in range(50)]
opt = lr.Adam(params)
calls = [copy.copy, copy.deepcopy, lambda o: pickle.loads(pickle.dumps(o))]
for call in calls:
    interrupted(lambda: call(opt), 100, lambda cut: opt.step([np.ones(3)] * 50))
"""

LOADS = """
params = [np.zeros(3) for _ in range(20)]
opt = lr.NAdam([{"params": p} for p in params])
states = []
for k in range(2):
    opt.step([np.ones(3)] * 20)
    opt.lr = 0.1 * (k + 1)
    states.append(opt.state_dict())
count = [0]

def load():
    count[0] += 1
    opt.load_state_dict(states[count[0] % 2])

interrupted(load, 100, lambda cut: np.testing.assert_equal(opt.state_dict(), states[opt.step_count - 1]))

def rate():
    count[0] += 1
    opt.lr = float(count[0])

def check(cut):
    assert len({group["lr"] for group in opt.param_groups}) == 1

interrupted(rate, 100, check)
"""


@pytest.mark.parametrize("build", PLAIN)
@pytest.mark.parametrize("name", ["STEP", "AVERAGED", "LISTS", "COPIES", "LOADS"])
def test_an_interrupt_leaves_nothing_torn_and_nothing_locked(name, build):
    code = f"{PRELUDE}\nimport copy, pickle\nwith lr.kernels.using({build!r}):\n    exec(sys.argv[1])"
    run = subprocess.run(
        [sys.executable, "-c", code, globals()[name], "0"], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr


class Interrupting:
    """Raises KeyboardInterrupt at the n-th call of a Python function, where a signal would be handled."""

    def __init__(self, n):
        self.left = n

    def __call__(self, frame, event, arg):
        if event == "call" and frame.f_code.co_name not in ("__del__", "<genexpr>"):  # whose errors go nowhere
            self.left -= 1
            if self.left == 0:
                raise KeyboardInterrupt


def interrupted_at_each_call(call, check, most=400):
    before = sys.gettrace()
    for n in range(1, most):
        try:
            sys.settrace(Interrupting(n))
            try:
                call()
            finally:
                sys.settrace(before)
        except KeyboardInterrupt:
            pass
        else:
            assert n > 1
            return
        check()
    raise AssertionError("it never came to an end")


def test_an_interrupt_on_leaving_averaged_does_not_leave_the_averages():
    params = [np.full(3, float(k)) for k in range(3)]
    opt = lr.SGD(params, lr=0.1, ema=0.5)
    for _ in range(2):
        opt.step([np.ones(3)] * 3)
    before = [p.copy() for p in params]

    def call():
        with opt.averaged():
            pass

    def check():
        np.testing.assert_equal(params, before)
        assert not opt._lock.locked()

    interrupted_at_each_call(call, check)


def test_an_interrupted_change_of_groups_renames_nothing():
    params = [np.zeros(3) for _ in range(3)]
    opt = lr.Adam([{"params": p} for p in params])
    groups = list(opt.param_groups)

    def check():
        now = list(opt.param_groups)
        assert [g.parameters.names for g in now] == [["0"], ["1"], ["2"]]
        assert [g.parameters.prefix for g in now] == ["[0]", "[1]", "[2]"]
        opt.param_groups = groups

    interrupted_at_each_call(lambda: setattr(opt, "param_groups", groups[::-1]), check)


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda o: pickle.loads(pickle.dumps(o))])
def test_an_interrupted_copy_leaves_no_lock(copied):
    opt = lr.Adam([np.zeros(3), np.ones(2)])
    interrupted_at_each_call(lambda: copied(opt), lambda: opt.step([np.ones(3), np.ones(2)]), most=2000)


def test_an_assignment_may_be_made_before_it_is_done():
    a, items = np.zeros(2), [0]
    ready = assignment([a], [np.ones(2)], (items, 0, 5))
    assert (a == 0).all()
    ready()
    assert (a == 1).all()
    assert items == [5]
    a[:] = 3
    ready()  # once
    assert (a == 3).all()
    assign([a], [7.0])
    assert (a == 7).all()


# Copies.


class Uncopied:
    def __call__(self, t):
        return 0.1

    def __deepcopy__(self, memo):
        raise ValueError("not to be copied")

    def __reduce__(self):
        raise ValueError("not to be copied")


@pytest.mark.parametrize("copied", [copy.deepcopy, pickle.dumps])
def test_a_copy_that_fails_leaves_no_lock_even_while_its_error_lives(copied):
    opt = lr.SGD(np.zeros(3), lr=Uncopied())
    with pytest.raises(ValueError, match="not to be copied") as kept:
        copied(opt)
    assert opt.step(np.ones(3)).applied
    assert kept is not None


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda o: pickle.loads(pickle.dumps(o))])
def test_no_step_is_taken_while_a_copy_is_made(copied, monkeypatch):
    """Every part of the copy is from one step: what is copied last, too."""
    params = [np.zeros(2) for _ in range(3)]
    opt = lr.Adam(params)
    opt.step([np.ones(2)] * 3)
    refused = []
    allocate = lr.Adam._allocate

    def stepping(self, group):
        allocate(self, group)
        try:
            opt.step([np.ones(2)] * 3)
        except RuntimeError:
            refused.append(True)

    monkeypatch.setattr(lr.Adam, "_allocate", stepping)
    other = copied(opt)
    # Of a pickle the arrays are bytes by then.
    assert refused or opt.step_count == 2
    state = other.state_dict()
    expected = lr.Adam([np.zeros(2) for _ in range(3)])
    monkeypatch.undo()
    expected.step([np.ones(2)] * 3)
    np.testing.assert_equal(state, expected.state_dict())


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda o: pickle.loads(pickle.dumps(o))])
def test_copies_beside_a_thread_that_steps_are_of_whole_steps(copied):
    params = [np.zeros(2) for _ in range(40)]
    opt = lr.Adam(params)
    done = threading.Event()

    def work():
        while not done.is_set():
            with contextlib.suppress(RuntimeError):
                opt.step([np.ones(2)] * 40)

    worker = threading.Thread(target=work)
    worker.start()
    try:
        made = []
        for _ in range(3000):
            try:
                made.append(copied(opt).state_dict())
            except RuntimeError:
                continue
            if len(made) == 5:
                break
    finally:
        done.set()
        worker.join()
    for state in made:
        assert len({float(arrays["m"][0]) for arrays in state["state"].values()}) == 1
    assert opt.step([np.ones(2)] * 40).applied


# Assignments.


@pytest.mark.parametrize(
    "name",
    [
        "params",
        "averages",
        "like",
        "step_count",
        "next_rate",
        "defaults",
        "rules",
        "decoupled",
        "ranges",
        "numbers",
        "shapes",
        "sums",
        "betas",
        "learning_rate",
        "ema",
        "maximize",
        "allocator",
        "anything",
    ],
)
def test_an_attribute_of_an_optimizer_that_takes_no_effect_raises(name):
    opt = lr.SGD(np.zeros(3), lr=0.1)
    with pytest.raises(AttributeError, match=name):
        setattr(opt, name, 3)
    opt.step(np.ones(3))


@pytest.mark.parametrize("name", ["lr", "states", "apart", "cell", "rule", "parameters", "anything"])
def test_an_attribute_of_a_group_raises(name):
    group = lr.Adam(np.zeros(3)).param_groups[0]
    with pytest.raises(AttributeError, match=name):
        setattr(group, name, 3)


def test_attributes_that_a_subclass_declares_may_be_set():
    class Own(lr.SGD):
        seen: int
        also = 3

    opt = Own(np.zeros(3))
    opt.seen, opt.also = 1, 2
    assert (opt.seen, opt.also) == (1, 2)
    with pytest.raises(AttributeError, match="other"):
        opt.other = 3


# Saved states.

DEEP: list = []
for _ in range(100_000):
    DEEP = [DEEP]

WRONG = [lambda t: 0.1, "x", "9" * 10**6, float("nan"), float("inf"), 10**400, -1, True, None, [], {}, np.zeros(3)]
WRONG += [np.array(["a", "b"]), object(), [1, 2, 3], np.array([None, {}]), DEEP]


@pytest.mark.parametrize(
    "path",
    [("optimizer",), ("like",), ("step",), ("groups",), ("state",), ("groups", 0), ("state", "a"), ("state", "a", "m")]
    + [("groups", 0, key) for key in ("params", "lr", "betas", "eps", "momentum_decay", "mu_product", "step", "new")],
)
@pytest.mark.parametrize("value", WRONG, ids=lambda value: type(value).__name__)
def test_a_wrong_entry_of_a_state_is_refused_in_few_words(path, value):
    opt = lr.NAdam({"a": np.ones(4)})
    opt.step({"a": np.ones(4)})
    before = opt.state_dict()
    saved = opt.state_dict()
    into = saved
    for key in path[:-1]:
        into = into[key]
    into[path[-1]] = value
    with pytest.raises((TypeError, ValueError)) as error:
        opt.load_state_dict(saved)
    assert len(str(error.value)) < 1000
    assert "truth value" not in str(error.value)
    np.testing.assert_equal(opt.state_dict(), before)


def test_a_state_may_have_passed_through_arrays_and_tuples():
    opt = lr.NAdam({"a": np.ones(3), "b": np.ones(2)})
    opt.step({"a": np.ones(3), "b": None})
    saved = opt.state_dict()
    group = {key: np.array(value) for key, value in saved["groups"][0].items()}
    del group["maximize"]  # as of versions that did not have it
    other = lr.NAdam({"a": np.ones(3), "b": np.ones(2)})
    passed = {key: np.array(saved[key]) for key in ("optimizer", "like", "step")}
    other.load_state_dict({**passed, "groups": [group], "state": saved["state"]})
    np.testing.assert_equal(other.state_dict(), saved)
    other.load_state_dict({**saved, "groups": [{**saved["groups"][0], "params": ("a", "b")}]})


# Structures.

BIG = "n" * 10**6


@pytest.mark.parametrize(
    "call",
    [
        lambda: lr.SGD({BIG: np.zeros(2, int)}),
        lambda: lr.SGD({(BIG,): np.zeros(2)}),
        lambda: lr.SGD([{BIG: np.zeros(2)}]),
        lambda: lr.SGD([{"params": {BIG: np.zeros(2)}}, {"params": {BIG: np.zeros(2)}}]),
        lambda: lr.SGD({BIG: np.zeros(2)}).step({BIG: np.zeros(3)}),
        lambda: lr.SGD({"a": np.zeros(2)}).step({BIG: np.zeros(2)}),
        lambda: lr.SGD({"a": np.zeros(2)}).step({str(k): np.zeros(2) for k in range(10**5)}),
        lambda: lr.ParameterBuffer({BIG: np.zeros(2, int)}),
        lambda: lr.ParameterBuffer({BIG: None}),
        lambda: lr.ParameterBuffer({"a": np.zeros(2)}).__setitem__(BIG, 3),
        lambda: lr.ParameterBuffer({str(k): np.zeros(1) for k in range(10**4)}).__setitem__("x", 3),
        lambda: setattr(lr.SGD(np.zeros(2)), BIG, 3),
    ],
)
def test_an_error_is_short_however_long_a_name(call):
    with pytest.raises((TypeError, ValueError, KeyError, AttributeError)) as error:
        call()
    assert len(str(error.value)) < 1000


@pytest.mark.parametrize("build", PLAIN)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_number_cannot_be_zeroed(build, dtype):
    with kernels.using(build):
        opt = lr.SGD(np.zeros((), dtype), lr=1.0)
    for g in (1.0, 1, dtype(1)):
        with pytest.raises(ValueError, match="grads must be writable to be zeroed"):
            opt.step(g, zero_grad=True)
        opt.step(g)
    opt.step(np.ones((), dtype), zero_grad=True)
    assert opt.params == -4


# A sweep made by hand.


@pytest.mark.parametrize("build", COMPILED)
@pytest.mark.parametrize("wrong", [None, 3, [1.0], np.zeros(2, int), np.zeros(2, ">f8"), np.zeros((4, 2))[:, 0]])
def test_a_sweep_refuses_arrays_that_it_cannot_walk(build, wrong):
    sweep, fine = kernels.module(build).Sweep, np.zeros(2)
    with pytest.raises((TypeError, ValueError)):
        sweep([("sgd", [(wrong, [], None)])])
    with pytest.raises((TypeError, ValueError)):
        sweep([("momentum", [(fine, [wrong], None)])])
    if wrong is not None:
        with pytest.raises((TypeError, ValueError)):
            sweep([("sgd", [(fine, [], wrong)])])


@pytest.mark.parametrize("build", COMPILED)
def test_a_sweep_refuses_arrays_that_say_they_are_longer(build):
    class Longer(np.ndarray):
        size = 10**9
        nbytes = 8 * 10**9

    theta, g = np.zeros(2).view(Longer), np.ones(2)
    sweep = kernels.module(build).Sweep([("momentum", [(theta, [np.zeros(2).view(Longer)], None)])])
    assert sweep.chunks == [0, 1]
    counts = [0]
    assert sweep.step([g], [(1.0, 0.0, 1.0, 0.0, False, 1.0, 0.9, 1.0, 0.1)], None, np.inf, False, counts, 1)
    np.testing.assert_allclose(np.asarray(theta), -0.1)


@pytest.mark.parametrize("build", COMPILED)
def test_a_sweep_forgets_whose_terms_a_resting_tensor_had(build):
    a, b, g = np.zeros(2), np.zeros(2), np.ones(2)
    sweep = kernels.module(build).Sweep([("sgd", [(a, [], None), (b, [], None)])])
    head = (1.0, 0.0, 1.0, 0.0, False, 1.0)
    sweep.step([g, g], [(*head, 1.0), (*head, 2.0)], [0, 1], np.inf, False, [0], 1)
    sweep.step([g, None], [(*head, 1.0)], None, np.inf, False, [0], 1)
    sweep.step([g, g], [(*head, 1.0)], None, np.inf, False, [0], 1)
    np.testing.assert_equal([a, b], [[-3.0, -3.0], [-3.0, -3.0]])


@pytest.mark.parametrize("build", COMPILED)
@pytest.mark.parametrize(
    ("terms", "which"),
    [
        ([], None),
        ([None], None),
        ([()], None),
        ([(1.0,) * 99], None),
        ([("x",) * 7], None),
        ([(1.0,) * 6], None),
        ([(1.0,) * 7], []),
        ([(1.0,) * 7], [1]),
        ([(1.0,) * 7], [-1]),
        ([(1.0,) * 7], ["0"]),
        ([[1.0] * 7], None),
    ],
)
def test_a_sweep_refuses_terms_that_are_not_its_rule_s(build, terms, which):
    theta = np.zeros(2)
    sweep = kernels.module(build).Sweep([("sgd", [(theta, [], None)])])
    with pytest.raises((TypeError, ValueError)):
        sweep.step([np.ones(2)], terms, which, np.inf, False, [0], 1)
    assert (theta == 0).all()
