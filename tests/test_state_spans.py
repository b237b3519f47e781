"""Spans with state of their own around a rule: lookahead, the mean of parameters, Grokfast, MARS, and all together."""

from __future__ import annotations

import copy
import math
import pickle
import re

import numpy as np
import pytest
from conftest import BUILDS, each_rule, gradients
from peers import timm

import lrcore as lr
from lrcore import base, kernels, reference

OPTIONS = {
    "lookahead": {"lookahead": (3, 0.4)},
    "mean": {"ema": "mean"},
    "grokfast": {"grokfast": (0.9, 2.0)},
    "mars": {"mars": 0.2},
}
ALL = {
    **{key: value for option in OPTIONS.values() for key, value in option.items()},
    "clip_value": 2.0,
    "clip_norm": 30.0,
}
STATE = {"lookahead": "lookahead", "mean": "average", "grokfast": "grokfast", "mars": "mars"}
PLAIN = (BUILDS[-2], "reference") if len(BUILDS) > 1 else BUILDS
LENGTHS = (0, 1, 31, 2048, 5003)


def options_of(cls, options):
    """Those that the optimizer takes."""
    refused = set() if cls.filters and not cls.looks else {"grokfast", "mars"}
    if cls.corrects or not all("betas" in defaults for defaults in cls.defaults.values()):
        refused.add("mars")
    return {key: value for key, value in options.items() if key not in refused}


def run(build, cls, options, dtype, container=list, steps=7, rests=True, threads=None):
    rng = np.random.default_rng(5)
    values = [rng.standard_normal(n).astype(dtype) for n in LENGTHS]
    values.append(rng.standard_normal((5, 7)).astype(dtype))
    columns = [gradients(v.shape, dtype, steps, seed=k) for k, v in enumerate(values)]
    params = container(values)
    with kernels.using(build):
        opt = cls(params, **options)
    for k, row in enumerate(zip(*columns, strict=True)):
        row = [None if rests and (k + j) % 5 == 2 else g.copy() for j, g in enumerate(row)]
        if isinstance(params, lr.ParameterBuffer):
            opt.step(dict(zip(params, row, strict=True)))
        else:
            opt.step(row)
    arrays = list(params.values()) if isinstance(params, lr.ParameterBuffer) else params
    return [a.copy() for a in arrays], opt.state_dict()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("cls", "hyper"), [case for case in each_rule() if "cautious" not in case.values[1]])
def test_bits_of_every_rule_with_every_option(cls, hyper, dtype, eager_pool):
    """Every build, any number of threads, parameters that rest, odd lengths."""
    for options in (*OPTIONS.values(), ALL):
        options = {**hyper, **options_of(cls, options)}
        expected = run("reference", cls, options, dtype)
        for build in BUILDS[:-1]:
            for threads in (1, 3):
                lr.set_num_threads(threads)
                np.testing.assert_equal(run(build, cls, options, dtype), expected)


@pytest.mark.parametrize("build", PLAIN)
@pytest.mark.parametrize("option", [*OPTIONS, "all"])
def test_a_buffer_and_a_list_have_the_same_bits(option, build):
    options = {**OPTIONS, "all": {k: v for k, v in ALL.items() if k != "clip_norm"}}[option]
    for rests in (False, True):
        arrays, state = run(build, lr.Adam, options, np.float32, rests=rests)
        others, other = run(build, lr.Adam, options, np.float32, lr.ParameterBuffer, rests=rests)
        np.testing.assert_equal(others, arrays)
        np.testing.assert_equal(list(other["state"].values()), list(state["state"].values()))


@pytest.mark.parametrize("build", PLAIN)
def test_arrays_beyond_the_caches_have_the_same_bits(build):
    values = np.random.default_rng(1).standard_normal(1_000_003).astype(np.float32)

    def stepped(build):
        params = values.copy()
        with kernels.using(build):
            opt = lr.AdamW(params, **ALL)
        for k in range(3):
            opt.step(np.roll(values, k), grad_scale=2.0)
        return params, opt.state_dict()

    np.testing.assert_equal(stepped(build), stepped("reference"))


# Against the formulas, written out.


class Formula:
    """The spans of one parameter around a rule, in the order in which they are documented."""

    def __init__(self, rule, theta, lookahead=None, mean=False, grokfast=None, mars=None, beta1=0.9, l2=0.0):
        self.rule, self.theta, self.t = rule, theta.copy(), 0
        self.lookahead, self.mean, self.grokfast, self.mars = lookahead, mean, grokfast, mars
        self.beta1, self.l2 = beta1, l2
        self.slow, self.visited = theta.copy(), []
        self.e = self.before = None

    def step(self, g):
        self.t += 1
        if self.grokfast:
            alpha, lamb = self.grokfast
            self.e = g if self.e is None else alpha * self.e + (1 - alpha) * g
            g = g + lamb * self.e
        if self.mars is not None:
            before = g if self.before is None else self.before
            c = g + self.mars * self.beta1 / (1 - self.beta1) * (g - before)
            self.before, g = g, c / max(1.0, np.linalg.norm(c))
        self.theta = self.rule(self.theta, g + self.l2 * self.theta, self.t)
        if self.lookahead and self.t % self.lookahead[0] == 0:
            self.slow = self.slow + self.lookahead[1] * (self.theta - self.slow)
            self.theta = self.slow.copy()
        self.visited.append(self.theta.copy())

    @property
    def average(self):
        return np.mean(self.visited, axis=0)


def sgd(rate):
    return lambda theta, g, t: theta - rate * g


def adam(rate, beta1=0.9, beta2=0.999, eps=1e-8, decay=0.0):
    memory = {}

    def rule(theta, g, t):
        m = memory["m"] = beta1 * memory.get("m", 0.0) + (1 - beta1) * g
        v = memory["v"] = beta2 * memory.get("v", 0.0) + (1 - beta2) * g * g
        step = m / (1 - beta1**t) / (np.sqrt(v / (1 - beta2**t)) + eps)
        return theta - rate * decay * theta - rate * step

    return rule


CASES = {
    "sgd lookahead": (lr.SGD, {"lr": 0.1, "weight_decay": 0.05}, sgd(0.1), {"lookahead": (5, 0.5), "l2": 0.05}),
    "sgd every step": (lr.SGD, {"lr": 0.1}, sgd(0.1), {"lookahead": (1, 0.25)}),
    "sgd mean": (lr.SGD, {"lr": 0.1}, sgd(0.1), {"mean": True}),
    "sgd grokfast": (lr.SGD, {"lr": 0.1, "weight_decay": 0.1}, sgd(0.1), {"grokfast": (0.98, 2.0), "l2": 0.1}),
    "adam mars": (lr.Adam, {"lr": 0.01, "weight_decay": 0.1}, lambda: adam(0.01), {"mars": 0.3, "l2": 0.1}),
    "adamw all": (
        lr.AdamW, {"lr": 0.01, "weight_decay": 0.1}, lambda: adam(0.01, decay=0.1),
        {"mars": 0.025, "grokfast": (0.9, 1.0), "lookahead": (4, 0.8), "mean": True},
    ),
}  # fmt: skip


def hard_gradients(shape, k):
    """1e-6 in the first steps, then of ordinary size, with zeros and changes of sign."""
    rng = np.random.default_rng(100 + k)
    g = rng.standard_normal(shape) * (1e-6 if k < 3 else 1.0)
    g[rng.random(shape) < 0.1] = 0.0
    return g


@pytest.mark.parametrize("build", PLAIN)
@pytest.mark.parametrize("case", CASES)
def test_the_formulas(case, build):
    """120 steps of several arrays, each of which rests at times; past both, a rate that does not change."""
    cls, hyper, rule, spans = CASES[case]
    shapes = [(7,), (3, 5), (1,), ()]
    params = [np.array(np.random.default_rng(k).standard_normal(shape)) for k, shape in enumerate(shapes)]
    formulas = [Formula(rule if case.startswith("sgd") else rule(), p, **spans) for p in params]
    options = {key: value for key, value in spans.items() if key in ("lookahead", "grokfast", "mars")}
    if "mean" in spans:
        options["ema"] = "mean"
    with kernels.using(build):
        opt = cls(params, **hyper, **options)
    for k in range(120):
        grads = [np.array(hard_gradients(shape or (1,), k).reshape(shape)) for shape in shapes]
        grads = [None if k % 7 == 3 + j else g for j, g in enumerate(grads)]
        opt.step(grads)
        for formula, g in zip(formulas, grads, strict=True):
            if g is not None:
                formula.step(g)
        for j, formula in enumerate(formulas):
            np.testing.assert_allclose(params[j], formula.theta, rtol=1e-9, atol=1e-12)
            if "mean" in spans and formula.t:
                np.testing.assert_allclose(opt.averages[j], formula.average, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("build", PLAIN)
def test_the_order_of_what_is_done_to_a_gradient_by_hand(build):
    """Loss scale, sign, bounds, Grokfast, MARS, penalty, rule; each of which changes the outcome."""
    theta = np.array([1.0, -2.0])
    with kernels.using(build):
        opt = lr.Adam(
            theta, lr=1.0, betas=(0.5, 0.0), eps=0.0, weight_decay=0.5, maximize=True, clip_value=3.0,
            grokfast=(0.5, 1.0), mars=0.25, lookahead=(2, 0.5),
        )  # fmt: skip
    opt.step(np.array([8.0, -2.0]), grad_scale=2.0)
    # -(4, -1), bounded to (-3, 1); the first e is that: (-6, 2); the first c too, of norm sqrt(40).
    state = opt.state_dict()["state"]["0"]
    np.testing.assert_allclose(state["grokfast"], [-3.0, 1.0], rtol=1e-15)
    np.testing.assert_allclose(state["mars"], [-6.0, 2.0], rtol=1e-15)
    seen = np.array([-6.0, 2.0]) / math.sqrt(40) + 0.5 * np.array([1.0, -2.0])
    np.testing.assert_allclose(state["m"], 0.5 * seen, rtol=1e-14)
    np.testing.assert_allclose(state["v"], seen * seen, rtol=1e-14)
    np.testing.assert_allclose(theta, np.array([1.0, -2.0]) - np.sign(seen), rtol=1e-14)
    np.testing.assert_array_equal(state["lookahead"], [1.0, -2.0])
    # The second, -(1, 1): e = (-2, 0), g = (-3, -1), c = g + (0.25 * 0.5 / 0.5) (3, -3) = (-2.25, -1.75).
    before = theta.copy()
    opt.step(np.array([1.0, 1.0]))
    state = opt.state_dict()["state"]["0"]
    second = np.array([-2.25, -1.75]) / math.hypot(2.25, 1.75) + 0.5 * before
    np.testing.assert_allclose(state["v"], second * second, rtol=1e-14)
    m = 0.5 * (0.5 * seen) + 0.5 * second
    fast = before - m / 0.75 / np.abs(second)
    np.testing.assert_allclose(theta, (np.array([1.0, -2.0]) + fast) / 2, rtol=1e-14)


@pytest.mark.parametrize("build", PLAIN)
def test_the_average_is_of_parameters_that_were_drawn_back(build):
    theta = np.array([8.0])
    with kernels.using(build):
        opt = lr.SGD(theta, lr=1.0, lookahead=(2, 0.25), ema="mean")
    seen = []
    for _ in range(4):
        opt.step(np.array([1.0]))
        seen.append((theta[0], opt.averages[0]))
    # 7, then 6 drawn back to 8 - 2/4; 6.5, then 5.5 drawn back to 7.5 - 2/4.
    assert seen == [(7.0, 7.0), (7.5, 7.25), (6.5, 7.0), (7.0, 7.0)]


@pytest.mark.parametrize("build", PLAIN)
def test_slow_parameters_begin_where_the_first_step_does(build):
    """Also where the parameter was changed after the optimizer was made, and for each parameter by itself."""
    a, b = np.zeros(3), np.zeros(3)
    with kernels.using(build):
        opt = lr.SGD([a, b], lr=1.0, lookahead=(2, 0.5))
    a[:], b[:] = 4.0, 9.0
    np.testing.assert_equal(opt.state_dict()["state"]["0"]["lookahead"], np.full(3, 4.0))
    opt.step([np.ones(3), None])
    b[:] = 5.0
    opt.step([np.ones(3), np.ones(3)])
    np.testing.assert_array_equal(a, np.full(3, 3.0))
    np.testing.assert_array_equal(b, np.full(3, 4.0))
    opt.step([None, np.ones(3)])
    np.testing.assert_array_equal(b, np.full(3, 4.0))


@pytest.mark.parametrize("build", PLAIN)
def test_between_meetings_slow_parameters_are_not_looked_at(build):
    theta = np.full(5, 8.0)
    with kernels.using(build):
        opt = lr.SGD(theta, lr=1.0, lookahead=(3, 0.5))
    (slow,) = opt.param_groups[0].states["lookahead"]
    opt.step(np.ones(5))
    slow[:] = np.nan
    opt.step(np.ones(5))
    np.testing.assert_array_equal(theta, np.full(5, 6.0))
    slow[:] = 8.0
    opt.step(np.ones(5))
    np.testing.assert_array_equal(theta, np.full(5, 6.5))
    np.testing.assert_array_equal(slow, theta)


@pytest.mark.parametrize("build", PLAIN)
def test_groups_have_their_own_betas_and_rates_change(build):
    """The correction goes by beta1 of the group at the step, a schedule or not."""
    a, b = np.ones((2, 2)), np.ones((2, 2))
    with kernels.using(build):
        opt = lr.Adam([{"params": a, "betas": (lambda k: 0.5 + 0.1 * k, 0.9)}, {"params": b}], lr=0.1, mars=0.5)
    gs = [np.full((2, 2), 0.01 * (k + 1) ** 2) for k in range(4)]
    for g in gs:
        opt.step([g, g])
    seen = opt.state_dict()["state"]
    m, before = 0.0, gs[0]
    for k, g in enumerate(gs):
        beta1 = 0.5 + 0.1 * k
        m = beta1 * m + (1 - beta1) * (g + 0.5 * beta1 / (1 - beta1) * (g - before))
        before = g
    np.testing.assert_allclose(next(iter(seen.values()))["m"], m, rtol=1e-12)


@pytest.mark.parametrize("build", PLAIN)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_gradient_that_is_not_finite_is_not_made_finite(build, bad):
    theta = np.zeros((2, 2))
    with kernels.using(build):
        opt = lr.SGD(theta, lr=1.0, grokfast=(0.9, 1.0))
        other = lr.AdamW(np.zeros((2, 2)), lr=1.0, mars=0.1)
    g = np.ones((2, 2))
    g[0, 0] = bad
    opt.step(g)
    other.step(g)
    np.testing.assert_array_equal(np.isfinite(theta), [[False, True], [True, True]])
    assert np.isnan(other.params).all()  # its norm is none


class Scaled(lr.Adam):
    """A rate by the sums of gradients, and what those were."""

    sums = ("gg", "gt", "tt")

    def _coefficients(self, rule, h, lr, t, numbers):
        seen.append([numbers[of] for of in self.sums])
        return super()._coefficients(rule, h, lr / math.sqrt(numbers["gg"]), t, numbers)


seen: list[list[float]] = []


@pytest.mark.parametrize("build", PLAIN)
@pytest.mark.parametrize("options", [{"grokfast": (0.8, 2.0)}, {"mars": 0.3}, {"grokfast": (0.8, 2.0), "mars": 0.3}])
def test_sums_are_of_gradients_as_the_rule_sees_them(build, options):
    """Clipped, filtered and corrected; on arrays of more than one chunk."""
    values = [np.random.default_rng(k).standard_normal(n) for k, n in enumerate((3, 5000))]
    params = [v.copy() for v in values]
    with kernels.using(build):
        opt = Scaled(params, lr=0.01, clip_value=0.7, **options)
    recorded = []
    formulas = [Formula(lambda theta, g, t: recorded.append(g) or theta, v, **options) for v in values]
    for k in range(4):
        before = [p.copy() for p in params]
        grads = [np.random.default_rng(10 * k + j).standard_normal(v.size) for j, v in enumerate(values)]
        del seen[:], recorded[:]
        opt.step(grads, grad_scale=2.0)
        for formula, g in zip(formulas, grads, strict=True):
            formula.step(np.clip(g / 2, -0.7, 0.7))
        expected = [[g @ g, g @ theta, theta @ theta] for g, theta in zip(recorded, before, strict=True)]
        np.testing.assert_allclose(seen, expected, rtol=1e-12)


@pytest.mark.parametrize("build", PLAIN)
def test_neither_a_mean_nor_slow_parameters_drift(build):
    """In float32, where weights would not add up to 1: of constant parameters both are these parameters."""
    theta = np.random.default_rng(0).standard_normal(64).astype(np.float32)
    before = theta.copy()
    with kernels.using(build):
        opt = lr.SGD(theta, lr=0.0, ema="mean", lookahead=(1, 0.37))
    for _ in range(2000):
        opt.step(np.zeros(64, np.float32))
    np.testing.assert_array_equal(theta, before)
    np.testing.assert_array_equal(opt.averages, before)


@pytest.mark.parametrize("build", PLAIN)
def test_a_skipped_step_leaves_all_of_it(build):
    theta = np.ones((3, 3))
    with kernels.using(build):
        opt = lr.Adam(theta, lr=0.1, on_nonfinite="skip", **{**ALL, "clip_norm": None})
    opt.step(np.ones((3, 3)))
    before = pickle.dumps((theta, opt.state_dict()))
    assert not opt.step(np.full((3, 3), np.nan)).applied
    assert pickle.dumps((theta, opt.state_dict())) == before


# Saving, loading, copying, interrupts.


@pytest.mark.parametrize("build", PLAIN)
@pytest.mark.parametrize("how", ["state_dict", "pickle", "deepcopy"])
@pytest.mark.parametrize("buffer", [False, True])
def test_a_run_goes_on_with_the_same_bits(how, buffer, build):
    def make():
        rng = np.random.default_rng(0)
        values = {"w": rng.standard_normal((3, 4)), "b": rng.standard_normal(3), "c": rng.standard_normal(5)}
        params = lr.ParameterBuffer(values) if buffer else values
        with kernels.using(build):
            return lr.AdamW(params, lr=0.1, **ALL)

    def train(opt, steps):
        for k in steps:
            grads = {name: np.cos(np.arange(a.size) + k).reshape(a.shape) for name, a in opt.params.items()}
            if k in (1, 2, 6):
                grads["b"] = None
            opt.step(grads)

    whole = make()
    train(whole, range(10))
    for stop in range(10):
        opt = make()
        train(opt, range(stop))
        if how == "state_dict":
            saved, values = pickle.loads(pickle.dumps((opt.state_dict(), dict(opt.params))))
            opt = make()
            for name, value in values.items():
                opt.params[name][...] = value
            opt.load_state_dict(saved)
        else:
            opt = pickle.loads(pickle.dumps(opt)) if how == "pickle" else copy.deepcopy(opt)
        train(opt, range(stop, 10))
        np.testing.assert_equal(dict(opt.params), dict(whole.params))
        np.testing.assert_equal(opt.state_dict(), whole.state_dict())


@pytest.mark.parametrize("option", OPTIONS)
def test_state_is_shown_and_must_be_that_of_the_options(option):
    opt = lr.Adam({"w": np.ones((2, 3))}, lr=0.1, **OPTIONS[option])
    opt.step({"w": np.ones((2, 3))})
    saved = opt.state_dict()
    assert set(saved["state"]["w"]) == {"m", "v", STATE[option]}
    assert saved["state"]["w"][STATE[option]].any()
    with pytest.raises(ValueError, match=r"must hold \['m', 'v'\]"):
        lr.Adam({"w": np.ones((2, 3))}).load_state_dict(saved)
    with pytest.raises(ValueError, match=f"must hold .*{STATE[option]}"):
        opt.load_state_dict(lr.Adam({"w": np.ones((2, 3))}).state_dict())


def test_a_file_knows_the_options(tmp_path):
    def make(**options):
        return lr.AdamW({"w": np.ones((2, 3))}, lr=0.1, **{**ALL, **options})

    opt = make()
    opt.step({"w": np.full((2, 3), 0.1)})
    lr.save(tmp_path / "run.npz", optimizer=opt)
    same = make()
    lr.load(tmp_path / "run.npz", optimizer=same)
    np.testing.assert_equal(same.state_dict(), opt.state_dict())
    for other in ({"lookahead": (4, 0.4)}, {"grokfast": (0.9, 1.0)}, {"mars": 0.1}, {"ema": 0.5}):
        with pytest.raises(ValueError, match=f"{next(iter(other))} must be what was saved"):
            lr.load(tmp_path / "run.npz", optimizer=make(**other))


def test_no_rule_has_state_of_such_a_name():
    names = {name for rule in reference.RULES for name in reference.state_names(rule)}
    assert not names & {"average", *reference.AROUND}


def test_a_group_that_comes_later_begins_its_own_counts():
    a, b = np.full(2, 8.0), np.full(2, 8.0)
    opt = lr.SGD([{"params": a}], lr=1.0, lookahead=(2, 0.5), grokfast=(0.5, 1.0))
    opt.step([np.ones(2)])
    opt.add_param_group({"params": b})
    opt.step([np.ones(2), np.ones(2)])
    np.testing.assert_array_equal(a, np.full(2, 6.0))  # 8 - 2 - 2, drawn back halfway
    np.testing.assert_array_equal(b, np.full(2, 6.0))  # 8 - 2
    opt.step([None, np.ones(2)])
    np.testing.assert_array_equal(b, np.full(2, 6.0))


@pytest.mark.parametrize("fail", ["slow", "gradient"])
def test_the_reference_puts_back_what_an_interrupt_tears(fail, monkeypatch):
    """NumPy's operations are many, and a signal may come between any two."""
    params = [np.ones((2, 2)), np.ones(3)]
    with kernels.using("reference"):
        opt = lr.Adam(params, lr=0.1, **{**ALL, "lookahead": (2, 0.5)})
    grads = [np.ones((2, 2)), np.ones(3)]
    opt.step(grads)
    before = pickle.dumps((params, opt.state_dict()))
    name = {"slow": "synchronize", "gradient": "filtered"}[fail]
    module = reference.sweep
    whole, calls = getattr(module, name), []

    def torn(*arguments):
        result = whole(*arguments)
        calls.append(name)
        if len(calls) == (4 if name == "filtered" else 2):  # two sums come before
            raise KeyboardInterrupt
        return result

    with monkeypatch.context() as patch:
        patch.setattr(module, name, torn)
        with pytest.raises(KeyboardInterrupt):
            opt.step(grads)
    assert pickle.dumps((params, opt.state_dict())) == before
    assert opt.step(grads).step == 2


# What is refused.


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"ema": "mean", "ema_warmup": True}, ValueError, "ema_warmup must not be given with ema='mean'"),
        ({"ema": "median"}, TypeError, "ema must be a number, got 'median'"),
        ({"lookahead": 5}, TypeError, "lookahead must be a pair, k and alpha, got 5"),
        ({"lookahead": (5,)}, ValueError, "lookahead must be a pair, k and alpha, got 1 entries"),
        ({"lookahead": (0, 0.5)}, ValueError, "lookahead[0] must be >= 1, got 0"),
        ({"lookahead": (2.5, 0.5)}, TypeError, "lookahead[0] must be an integer, got 2.5"),
        ({"lookahead": (5, 1.5)}, ValueError, "lookahead[1] must be in [0, 1], got 1.5"),
        ({"lookahead": (5, np.nan)}, ValueError, "lookahead[1] must be in [0, 1], got nan"),
        ({"lookahead": (5, "x")}, TypeError, "lookahead[1] must be a number, got 'x'"),
        ({"grokfast": 0.98}, TypeError, "grokfast must be a pair, alpha and lamb, got 0.98"),
        ({"grokfast": (1.0, 2.0)}, ValueError, "grokfast[0] must be in [0, 1), got 1.0"),
        ({"grokfast": (0.98, -1)}, ValueError, "grokfast[1] must be finite and >= 0, got -1.0"),
        ({"grokfast": (0.98, 2.0, 1)}, ValueError, "grokfast must be a pair, alpha and lamb, got 3 entries"),
        ({"mars": -0.1}, ValueError, "mars must be finite and >= 0, got -0.1"),
        ({"mars": "x"}, TypeError, "mars must be a number, got 'x'"),
    ],
)
def test_bad_options(options, error, message):
    with pytest.raises(error, match=re.escape(message)):
        lr.Adam(np.ones(2), **options)


def test_mars_is_for_optimizers_with_betas():
    with pytest.raises(ValueError, match=re.escape("mars must not be given for SGD, which has no betas; got 0.1")):
        lr.SGD(np.ones(2), mars=0.1)
    with pytest.raises(ValueError, match="mars must not be given for MARS, which corrects its gradients by itself"):
        lr.MARS(np.ones(2), mars=0.1)


@pytest.mark.parametrize("name", ["lookahead", "grokfast", "mars", "ema"])
def test_they_are_given_when_the_optimizer_is_made(name):
    with pytest.raises(
        AttributeError, match=f"no attribute {name} to set; it must be given when the optimizer is made"
    ):
        setattr(lr.Adam(np.ones(2)), name, (2, 0.5))


@pytest.mark.parametrize("build", PLAIN)
@pytest.mark.parametrize(
    "around",
    [
        {"other": [np.zeros(2)]},
        {"lookahead": []},
        {"lookahead": [np.zeros(2), np.zeros(2)]},
        {"average": [np.zeros(2)]},
    ],
)
def test_a_sweep_refuses_other_state(build, around):
    with pytest.raises(ValueError, match="around must hold arrays of lookahead, grokfast, mars, one a tensor, got"):
        kernels.module(build).Sweep([("sgd", [(np.zeros(2), [], None)])], around)


@pytest.mark.parametrize("build", BUILDS[:-1])
def test_a_compiled_sweep_refuses_what_it_cannot_walk(build):
    sweep = kernels.module(build).Sweep
    tensors = [("sgd", [(np.zeros(2), [], None)])]
    for wrong in (np.zeros(3), np.zeros(2, np.float32), np.zeros(4)[::2]):
        with pytest.raises(ValueError, match="must"):
            sweep(tensors, {"mars": [wrong]})
    with pytest.raises(TypeError, match="must be NumPy arrays"):
        sweep(tensors, {"mars": [None]})
    made = sweep(tensors, {"mars": [np.zeros(2)]})
    g = np.ones(2)
    for terms in ([(1.0,) * 7], [(1.0,) * 38], [("x",) * 15]):
        with pytest.raises((TypeError, ValueError)):
            made.step([g], terms, None, np.inf, False, [0], 1)
    for filters in ([], [None], [(1.0, (1.0,))], [(1.0, 2.0)]):
        with pytest.raises((TypeError, ValueError, IndexError)):
            made.totals([g], "gg", filters)
    assert made.totals([g], "gg") == [2.0]


# Against other libraries.


def tensors_of(torch, arrays):
    return [torch.nn.Parameter(torch.tensor(a)) for a in arrays]


SHAPES = [(7,), (3, 5), (2, 3, 2), (1,)]


def start():
    return [np.random.default_rng(k).standard_normal(shape) for k, shape in enumerate(SHAPES)]


def against_torch(torch, opt, params, theirs, step, steps=120):
    """Both on the same gradients; the rate changes half-way."""
    worst = 0.0
    for k in range(steps):
        grads = [hard_gradients(shape, 10 * k + j) for j, shape in enumerate(SHAPES)]
        if k == steps // 2:
            opt.lr = opt.lr / 4
            for group in step.__self__.param_groups:
                group["lr"] /= 4
        opt.step(grads)
        for p, g in zip(theirs, grads, strict=True):
            p.grad = torch.tensor(g)
        step()
        for mine, p in zip(params, theirs, strict=True):
            other = p.detach().numpy()
            worst = max(worst, float(np.abs(mine - other).max() / max(1.0, np.abs(other).max())))
    return worst


@pytest.mark.parametrize("kind", ["timm", "pytorch_optimizer"])
@pytest.mark.parametrize("name", ["SGD", "AdamW"])
def test_lookahead_against_those_of_torch(kind, name):
    torch = pytest.importorskip("torch")
    module = timm("lookahead") if kind == "timm" else pytest.importorskip("pytorch_optimizer")
    params = start()
    hyper = {"lr": 0.05, "weight_decay": 0.03, **({"momentum": 0.9} if name == "SGD" else {})}
    opt = getattr(lr, name)(params, lookahead=(6, 0.3), **hyper)
    theirs = tensors_of(torch, params)
    inner = getattr(torch.optim, name)(theirs, **hyper)
    theirs_opt = module.Lookahead(inner, alpha=0.3, k=6)
    beginning = [p.detach().clone() for p in theirs]

    class Begun:
        param_groups = inner.param_groups

        def step(self):
            theirs_opt.step()
            if kind == "timm":  # its slow parameters begin after k steps, unless they are there
                for p, slow in zip(theirs, beginning, strict=True):
                    inner.state[p].setdefault("lookahead_slow_buff", slow)

    assert against_torch(torch, opt, params, theirs, Begun().step) < 1e-9


@pytest.mark.parametrize("name", ["sgd", "adam"])
def test_lookahead_against_optax(name):
    optax = pytest.importorskip("optax")
    jax = pytest.importorskip("jax")
    jax.config.update("jax_enable_x64", True)
    try:
        params = start()
        opt = {"sgd": lr.SGD, "adam": lr.Adam}[name](params, lr=0.05, like="optax", lookahead=(5, 0.4))
        theirs = optax.lookahead(getattr(optax, name)(0.05), sync_period=5, slow_step_size=0.4)
        pair = optax.LookaheadParams.init_synced([jax.numpy.array(p) for p in params])
        state = theirs.init(pair)
        for k in range(120):
            grads = [hard_gradients(shape, 10 * k + j) for j, shape in enumerate(SHAPES)]
            opt.step(grads)
            updates, state = theirs.update([jax.numpy.array(g) for g in grads], state, pair)
            pair = optax.apply_updates(pair, updates)
            for j, (mine, fast) in enumerate(zip(params, pair.fast, strict=True)):
                np.testing.assert_allclose(mine, fast, rtol=1e-9, atol=1e-9)
                np.testing.assert_allclose(
                    opt.param_groups[0].states["lookahead"][j], pair.slow[j], rtol=1e-9, atol=1e-9
                )
    finally:
        jax.config.update("jax_enable_x64", False)


def test_the_mean_against_torch():
    torch = pytest.importorskip("torch")
    params = start()
    opt = lr.AdamW(params, lr=0.05, ema="mean")
    model = torch.nn.ParameterList(tensors_of(torch, params))
    inner = torch.optim.AdamW(model.parameters(), lr=0.05)
    averaged = torch.optim.swa_utils.AveragedModel(model)

    def check(k):
        averaged.update_parameters(model)
        for mine, theirs in zip(opt.averages, averaged.module, strict=True):
            np.testing.assert_allclose(mine, theirs.detach().numpy(), rtol=1e-9, atol=1e-9)

    for k in range(120):
        grads = [hard_gradients(shape, 10 * k + j) for j, shape in enumerate(SHAPES)]
        opt.step(grads)
        for p, g in zip(model, grads, strict=True):
            p.grad = torch.tensor(g)
        inner.step()
        check(k)


@pytest.mark.parametrize("name", ["SGD", "Adam"])
def test_grokfast_against_pytorch_optimizer(name):
    torch = pytest.importorskip("torch")
    grokfast = pytest.importorskip("pytorch_optimizer.optimizer.grokfast")
    params = start()
    hyper = {"lr": 0.05, "weight_decay": 0.03}
    opt = getattr(lr, name)(params, grokfast=(0.95, 1.5), **hyper)
    model = torch.nn.ParameterList(tensors_of(torch, params))
    inner = getattr(torch.optim, name)(model.parameters(), **hyper)
    memory = {}

    class Filtered:
        param_groups = inner.param_groups

        def step(self):
            memory["e"] = grokfast.gradfilter_ema(model, memory.get("e"), alpha=0.95, lamb=1.5)
            inner.step()

    assert against_torch(torch, opt, params, list(model), Filtered().step) < 1e-9


@pytest.mark.parametrize("optimize_1d", [False, True])
@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_mars_against_timm(optimize_1d, decay):
    torch = pytest.importorskip("torch")
    mars = timm("mars")
    hyper = {"lr": 0.01, "weight_decay": decay, "gamma": 0.1, "optimize_1d": optimize_1d}
    params = start()
    theirs = tensors_of(torch, params)
    opt = lr.MARS(params, **hyper)
    assert against_torch(torch, opt, params, theirs, mars.Mars(theirs, **hyper).step) < 1e-9


def test_the_defaults_of_mars_are_those_of_timm():
    torch = pytest.importorskip("torch")
    mars = timm("mars")
    params = start()
    theirs = tensors_of(torch, params)
    assert against_torch(torch, lr.MARS(params), params, theirs, mars.Mars(theirs).step, steps=20) < 1e-9


@pytest.mark.parametrize("build", PLAIN)
def test_mars_by_its_formula(build):
    """The class is AdamW with the option for what has two axes, and AdamW alone for the rest."""
    params = start()
    with kernels.using(build):
        opt = lr.MARS(params, lr=0.01, gamma=lambda k: 0.01 * k, weight_decay=0.1)
    expected = [Formula(adam(0.01, 0.9, 0.99, decay=0.1), p, mars=0.0 if p.ndim >= 2 else None) for p in params]
    for k in range(60):
        grads = [hard_gradients(shape, 10 * k + j) for j, shape in enumerate(SHAPES)]
        opt.step(grads)
        for formula, g in zip(expected, grads, strict=True):
            if formula.mars is not None:
                formula.mars = 0.01 * k
            formula.step(g)
        for mine, formula in zip(params, expected, strict=True):
            np.testing.assert_allclose(mine, formula.theta, rtol=1e-9, atol=1e-11)


def test_every_registered_optimizer_takes_them():
    for cls in base.registered().values():
        first = next(iter(cls.defaults))
        taken = options_of(cls, ALL)
        opt = cls(np.ones((2, 2)), lr=0.1, like=first, **taken)
        for _ in range(3):
            opt.step(np.ones((2, 2)))
        kept = {"average", "lookahead", *(name for name in ("grokfast", "mars") if name in taken)}
        assert kept <= set(opt.state_dict()["state"]["0"])


@pytest.mark.parametrize("option", ["grokfast", "mars"])
@pytest.mark.parametrize("name", [n for n, c in base.registered().items() if c.looks or not c.filters])
def test_gradients_that_are_looked_at_are_not_filtered(name, option):
    with pytest.raises(ValueError, match=f"{option} must not be given for {name}, which looks at gradients before it"):
        getattr(lr, name)(np.ones(2), lr=0.1, **{option: OPTIONS[option][option]})


def test_cautious_steps_are_not_of_filtered_gradients():
    with pytest.raises(ValueError, match="cautious must be False for AdamW, got True"):
        lr.AdamW(np.ones(2), cautious=True, grokfast=(0.9, 1.0))
    opt = lr.AdamW(np.ones(2), mars=0.025)
    with pytest.raises(ValueError, match="cautious must be False for AdamW, got True"):
        opt.cautious = True
