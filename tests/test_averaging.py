"""Averages of iterates and sums of gradients: each against its formula, written out plainly, and against its library.

Over more than a hundred steps of what ``tests/conventions.py`` has: tiny gradients at first, zeros, signs that change,
a rate that falls half-way, several shapes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import partial
from typing import Any

import conventions
import numpy as np
import pytest
from conftest import BUILDS
from peers import STEPS, rate, timm
from test_threads import needs_glibc, spoiled

import lrcore as lr
from lrcore import kernels
from lrcore.reference.averaging import cube_root

Points = Iterator[tuple[np.ndarray, np.ndarray]]
every_build = pytest.mark.parametrize("build", [BUILDS[-2], "reference"] if len(BUILDS) > 1 else BUILDS)


def joined(arrays: Any) -> np.ndarray:
    return np.concatenate([np.ravel(array) for array in arrays])


GRADIENTS = [conventions.GRADIENTS[k % conventions.STEPS] for k in range(STEPS)]


def ours(opt: lr.Optimizer, params: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Parameters, end to end, after every step, and their averages if there are any."""
    rows, averages = [], []
    for k, grads in enumerate(GRADIENTS):
        opt.lr = rate(k)
        opt.step(grads)
        rows.append(joined(params))
        averages.append(joined(params if isinstance(opt, (lr.Ftrl, lr.MADGRAD)) else opt.averages))
    return np.array(rows), np.array(averages)


# The formulas, as they stand in the papers: a parameter, and what is to be used of it, after each step.


def asgd(theta: np.ndarray, lambd: float = 1e-4, alpha: float = 0.75, t0: float = 1e6, l2: float = 0.0) -> Points:
    average, eta, mu = 0.0 * theta, rate(0), 1.0
    for t, g in enumerate(map(joined, GRADIENTS), 1):
        theta = theta - lambd * eta * theta - eta * (g + l2 * theta)
        average = (1 - mu) * average + mu * theta
        eta, mu = rate(t - 1) / (1 + lambd * rate(t - 1) * t) ** alpha, 1 / max(1, t - t0)
        yield theta, average


def ftrl(
    theta: np.ndarray, power: float = 0.5, n: float = 0.1, l1: float = 0.0, l2: float = 0.0, shrinkage: float = 0.0,
    beta: float = 0.0, decay: float = 0.0,
) -> Points:  # fmt: skip
    sums, z = np.full_like(theta, n), 0.0 * theta
    for k, g in enumerate(map(joined, GRADIENTS)):
        theta = theta * (1 - rate(k) * decay)
        sigma = ((sums + g**2) ** power - sums**power) / rate(k)
        sums = sums + g**2
        z = z + g + 2 * shrinkage * theta - sigma * theta
        theta = -np.sign(z) * np.maximum(np.abs(z) - l1, 0) / ((beta + sums**power) / rate(k) + 2 * l2)
        yield theta, theta


def schedule_free(
    theta: np.ndarray, like: str, beta: Callable[[int], float], weight_decay: float = 0.0, warmup: float = 0,
    r: float = 0.0, power: float = 2.0, beta2: float | None = None, eps: float = 1e-8, silent: bool | None = None,
) -> Points:  # fmt: skip
    x = y = z = theta
    v, weights, largest = 0.0 * theta, 0.0, 0.0
    for t, g in enumerate(map(joined, GRADIENTS), 1):
        eta = weighing = rate(t - 1)
        if warmup:
            eta *= min(1, (t - 1 if like == "optax" else t) / warmup)
            weighing *= min(1, t / warmup)
        u = g
        if beta2 is not None:
            v = beta2 * v + (1 - beta2) * g**2
            u = g / (np.sqrt(v / (1 - beta2**t)) + eps)
        if silent is not None and beta2 is not None:
            rho_inf = 2 / (1 - beta2) - 1
            rho = rho_inf - 2 * t * beta2**t / (1 - beta2**t)
            if rho > 4:
                eta *= math.sqrt((rho - 4) * (rho - 2) * rho_inf / ((rho_inf - 4) * (rho_inf - 2) * rho))
            else:
                eta, u = 0.0 if silent else eta, g
            weighing = eta
        if like == "keras":
            x = x - rate(t - 1) * weight_decay * y / beta(t - 2)
        else:
            u = u + weight_decay * y
        largest = max(largest, weighing)
        weight = t**r * largest**power
        weights += weight
        z = z - eta * u
        c = weight / weights if weights else 0.0
        x = (1 - c) * x + c * z
        y = (1 - beta(t - 1)) * z + beta(t - 1) * x
        yield y, x


def madgrad(
    theta: np.ndarray, momentum: float = 0.9, eps: float = 1e-6, l2: float = 0.0, decoupled: float = 0.0
) -> Points:
    x0, q, s = theta, 0.0 * theta, 0.0 * theta
    for t, g in enumerate(map(joined, GRADIENTS), 1):
        weight = (rate(t - 1) + eps) * math.sqrt(t)
        g = g + l2 * theta
        if momentum == 0 and decoupled:
            x0 = x0 - rate(t - 1) * decoupled * theta
        theta = theta * (1 - rate(t - 1) * decoupled)
        q, s = q + weight * g**2, s + weight * g
        theta = momentum * theta + (1 - momentum) * (x0 - s / (np.cbrt(q) + eps))
        yield theta, theta


SF = {"beta": lambda step: 0.9}
SF_ALL = {"weight_decay": 0.1, "warmup_steps": 7, "weight_lr_power": 1.0}
FREE = {"beta": lambda step: 0.8, "weight_decay": 0.1, "warmup": 7, "power": 1.0}
ADAM = {"betas": (0.8, 0.95), "eps": 1e-6}
PLAIN_ADAM = {"beta2": 0.95, "eps": 1e-6}
CASES: list[tuple[str, dict[str, Any], Callable[..., Points], dict[str, Any]]] = [
    ("ASGD", {}, asgd, {}),
    ("ASGD", {"lambd": 0.2, "alpha": 0.6, "t0": 40, "weight_decay": 0.1}, asgd,
     {"lambd": 0.2, "alpha": 0.6, "t0": 40, "l2": 0.1}),
    ("Ftrl", {"l1": 0.02, "l2": 0.1, "l2_shrinkage": 0.3, "beta": 0.5, "weight_decay": 0.1}, ftrl,
     {"l1": 0.02, "l2": 0.1, "shrinkage": 0.3, "beta": 0.5, "decay": 0.1}),
    ("Ftrl", {"learning_rate_power": -1, "initial_accumulator_value": 0.5}, ftrl, {"power": 1.0, "n": 0.5}),
    ("Ftrl", {"learning_rate_power": 0, "l1": 0.5}, ftrl, {"power": 0.0, "l1": 0.5}),
    ("ScheduleFreeSGD", {}, schedule_free, {"like": "optax", **SF}),
    ("ScheduleFreeSGD", {"momentum": 0.8, **SF_ALL}, schedule_free, {"like": "optax", **FREE}),
    ("ScheduleFreeSGD", {"like": "paper", "momentum": 0.8, "r": 0.5, **SF_ALL}, schedule_free,
     {"like": "paper", "r": 0.5, **FREE}),
    ("ScheduleFreeAdamW", {**ADAM, **SF_ALL}, schedule_free, {"like": "optax", **FREE, **PLAIN_ADAM}),
    ("ScheduleFreeAdamW", {"like": "paper", **ADAM, **SF_ALL, "r": 2}, schedule_free,
     {"like": "paper", **FREE, **PLAIN_ADAM, "r": 2}),
    ("ScheduleFreeAdamW", {"like": "keras", **ADAM, "weight_decay": 0.1, "warmup_steps": 7}, schedule_free,
     {"like": "keras", **FREE, **PLAIN_ADAM, "power": 0.0}),
    ("ScheduleFreeRAdam", {}, schedule_free, {"like": "paper", **SF, "beta2": 0.999, "silent": True}),
    ("ScheduleFreeRAdam", {**ADAM, "weight_decay": 0.1, "r": 1, "weight_lr_power": 1, "silent_sgd_phase": False},
     schedule_free, {"like": "paper", **FREE, **PLAIN_ADAM, "warmup": 0, "r": 1, "silent": False}),
    ("MADGRAD", {"momentum": 0.6, "weight_decay": 0.1, "eps": 1e-3}, madgrad,
     {"momentum": 0.6, "l2": 0.1, "eps": 1e-3}),
    ("MADGRAD", {"momentum": 0.0, "weight_decay": 0.1}, madgrad, {"momentum": 0.0, "l2": 0.1}),
    ("MADGRAD", {"like": "timm", "weight_decay": 0.1, "decoupled_weight_decay": True}, madgrad, {"decoupled": 0.1}),
    ("MADGRAD", {"like": "timm", "momentum": 0.0, "weight_decay": 0.1, "decoupled_weight_decay": True}, madgrad,
     {"momentum": 0.0, "decoupled": 0.1}),
]  # fmt: skip


@every_build
@pytest.mark.parametrize(("name", "hyper", "formula", "plain"), CASES)
def test_the_formula(
    name: str, hyper: dict[str, Any], formula: Callable[..., Points], plain: dict[str, Any], build: str
) -> None:
    params = conventions.initial_parameters()
    with kernels.using(build):
        opt = getattr(lr, name)(params, lr=rate(0), **hyper)
    expected = zip(*formula(joined(params), **plain), strict=True)
    for mine, theirs in zip(ours(opt, params), expected, strict=True):
        np.testing.assert_allclose(mine, np.array(theirs), rtol=1e-9, atol=1e-13)


# The authors' own packages.


def stepped(name: str, make: Callable[..., Any], **hyper: Any) -> tuple[np.ndarray, np.ndarray]:
    """The same of an optimizer of torch's kind."""
    torch: Any = pytest.importorskip("torch")
    params = [torch.from_numpy(array).requires_grad_() for array in conventions.initial_parameters()]
    opt = make(params, **hyper)
    free = hasattr(opt, "eval")
    rows, averages = [], []
    for k, grads in enumerate(GRADIENTS):
        for param, g in zip(params, grads, strict=True):
            param.grad = torch.from_numpy(g.copy())
        opt.param_groups[0]["lr"] = rate(k)
        if free:
            opt.train()
        opt.step()
        rows.append(joined(param.detach() for param in params))
        if free:
            opt.eval()
        kept = (opt.state[param]["ax"] if name == "ASGD" else param.detach() for param in params)
        averages.append(joined(kept))
    return np.array(rows), np.array(averages)


def compare(name: str, make: Callable[..., Any], hyper: dict[str, Any], theirs: dict[str, Any]) -> None:
    params = conventions.initial_parameters()
    mine = ours(getattr(lr, name)(params, lr=rate(0), **hyper), params)
    for a, b in zip(mine, stepped(name, make, **theirs), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-13)


@pytest.mark.parametrize(
    ("name", "hyper"),
    [
        ("SGD", {}), ("SGD", {"momentum": 0.7, **SF_ALL, "r": 0.5}),
        ("AdamW", {}), ("AdamW", {**ADAM, **SF_ALL, "r": 0.5}),
        ("RAdam", {}), ("RAdam", {**ADAM, "weight_decay": 0.1, "r": 0.5, "silent_sgd_phase": False}),
        ("RAdam", {"betas": (0.8, 0.6), "silent_sgd_phase": False}), ("RAdam", {"betas": (0.8, 0.6)}),
    ],
)  # fmt: skip
def test_schedulefree(name: str, hyper: dict[str, Any]) -> None:
    pytest.importorskip("torch")
    package: Any = pytest.importorskip("schedulefree")
    make = partial(getattr(package, f"{name}ScheduleFree"), foreach=False)
    compare(f"ScheduleFree{name}", make, {"like": "paper", **hyper}, hyper)


@pytest.mark.parametrize(
    "hyper",
    [
        {}, {"momentum": 0.6, "weight_decay": 0.1, "eps": 1e-3}, {"weight_decay": 0.1, "decoupled_weight_decay": True},
        {"momentum": 0.0}, {"momentum": 0.0, "weight_decay": 0.1, "decoupled_weight_decay": True},
    ],
)  # fmt: skip
def test_timm(hyper: dict[str, Any]) -> None:
    make = timm("madgrad").MADGRAD
    theirs = {{"decoupled_weight_decay": "decoupled_decay"}.get(key, key): value for key, value in hyper.items()}
    compare("MADGRAD", make, {"like": "timm", **hyper}, theirs)


def test_torchs_average() -> None:
    """In float64: torch keeps rate and weight in its default dtype."""
    torch: Any = pytest.importorskip("torch")
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        compare("ASGD", partial(torch.optim.ASGD, foreach=False), {"t0": 60}, {"t0": 60})
    finally:
        torch.set_default_dtype(before)


# The averages.


def free(params: Any, **hyper: Any) -> lr.Optimizer:
    return lr.ScheduleFreeSGD(params, lr=0.1, momentum=0.5, **hyper)


def test_averages_by_hand() -> None:
    """z = 1, 0, -2 and x, its mean; y half-way between them."""
    w = np.array([1.0])
    opt = lr.ScheduleFreeSGD(w, lr=1.0, momentum=0.5)
    assert opt.averages == 1.0
    seen = []
    for g in (1.0, 2.0):
        opt.step(np.array([g]))
        seen.append((w[0], opt.averages[0], opt.state_dict()["state"]["0"]["z"][0]))
    assert seen == [(0.0, 0.0, 0.0), (-1.5, -1.0, -2.0)]
    with pytest.raises(ValueError, match="read-only"):
        opt.averages[0] = 1


@every_build
@pytest.mark.parametrize("make", [free, partial(lr.ASGD, t0=0.0)])
@pytest.mark.parametrize("structure", ["list", "mapping", "buffer", "groups"])
def test_averages_are_swapped_in_and_out_in_any_structure_while_some_rest(
    make: Any, structure: str, build: str
) -> None:
    rng = np.random.default_rng(0)
    values = {name: rng.standard_normal(shape) for name, shape in (("a", (3, 2)), ("b", (5,)), ("c", ()))}
    steps = [{name: rng.standard_normal(value.shape) for name, value in values.items()} for _ in range(6)]
    rests = {1: "a", 2: "a"}
    alone = {}
    for name, value in values.items():
        w = value.copy()
        with kernels.using(build):
            opt = make(w)
        for k, grads in enumerate(steps):
            if rests.get(k) != name and name != "c":
                opt.step(grads[name])
        alone[name] = (w, np.array(opt.averages))
    arrays = {name: value.copy() for name, value in values.items()}
    given = {
        "list": list(arrays.values()),
        "mapping": arrays,
        "buffer": lr.ParameterBuffer(arrays),
        "groups": [{"params": arrays["a"]}, {"params": [arrays["b"], arrays["c"]]}],
    }[structure]
    with kernels.using(build):
        opt = make(given)
    for k, grads in enumerate(steps):
        a, b, c = [None if name in (rests.get(k), "c") else g for name, g in grads.items()]
        opt.step({"list": [a, b, c], "groups": [a, [b, c]]}.get(structure, {"a": a, "b": b, "c": c}))
    if structure == "buffer":
        arrays = dict(given)
    expected = {name: average for name, (_, average) in alone.items()}
    averages: Any = opt.averages
    if structure == "groups":
        averages = [averages[0], *averages[1]]
    np.testing.assert_equal(
        dict(zip("abc", averages if isinstance(averages, list) else averages.values(), strict=True)), expected
    )
    with opt.averaged():
        np.testing.assert_equal(arrays, expected)
    np.testing.assert_equal(arrays, {name: w for name, (w, _) in alone.items()})
    assert np.any(expected["a"] != arrays["a"])
    np.testing.assert_array_equal(expected["c"], values["c"])  # it has taken no step


def test_averages_of_a_parameter_that_may_not_be_written_change_nothing() -> None:
    params = [np.ones(2), np.ones(2)]
    opt = free(params)
    opt.step([np.ones(2), np.ones(2)])
    opt.step([np.ones(2), np.ones(2)])
    before = [p.copy() for p in params]
    params[1].flags.writeable = False
    with pytest.raises(ValueError, match=r"params\[1\] must be writable"), opt.averaged():
        pass
    np.testing.assert_equal(params, before)


def test_with_ema_the_averages_are_the_moving_ones() -> None:
    w, u = np.ones(2), np.ones(2)
    one, other = free(w, ema=0.75), free(u)
    mean = None
    for _ in range(3):
        for opt in (one, other):
            opt.step(np.ones(2))
        mean = u if mean is None else 0.75 * mean + 0.25 * u
        mean = mean.copy()
    np.testing.assert_array_equal(one.averages, mean)
    assert np.all(one.averages != other.averages)


def test_averages_come_back_with_a_saved_state() -> None:
    w, u = np.ones(3), np.zeros(3)
    opt, fresh = free(w), free(u)
    for k in range(3):
        opt.step(np.full(3, float(k)))
    u[...] = w
    fresh.load_state_dict(opt.state_dict())
    np.testing.assert_array_equal(fresh.averages, opt.averages)
    group = opt.state_dict()["groups"][0]
    assert (group["weight_sum"], group["lr_max"], group["share_x"]) == (pytest.approx(0.03), 0.1, 0.5)
    for key, wrong in (("share_x", 0.0), ("lr_max", -1.0), ("weight_sum", math.nan)):
        with pytest.raises(ValueError, match=key):
            fresh.load_state_dict({**opt.state_dict(), "groups": [{**group, key: wrong}]})


def test_other_optimizers_still_say_how_averages_are_asked_for() -> None:
    for opt in (lr.Ftrl(np.ones(2)), lr.MADGRAD(np.ones(2), lr=0.1)):
        with pytest.raises(ValueError, match="averages must be asked for when the optimizer is made"):
            opt.averages  # noqa: B018


@every_build
def test_what_is_averaged_stays_when_the_momentum_changes(build: str) -> None:
    beta = lambda step: (0.9, 0.5, 0.7)[step % 3]  # noqa: E731
    params = conventions.initial_parameters()
    with kernels.using(build):
        opt = lr.ScheduleFreeSGD(params, lr=rate(0), momentum=beta)
    expected = zip(*schedule_free(joined(params), "optax", beta), strict=True)
    for mine, theirs in zip(ours(opt, params), expected, strict=True):
        np.testing.assert_allclose(mine, np.array(theirs), rtol=1e-9, atol=1e-13)
    before = joined(opt.averages)
    opt.param_groups[0]["momentum"] = 0.2
    np.testing.assert_array_equal(joined(opt.averages), before)


@pytest.mark.parametrize("hyper", [{"like": "keras"}, {"like": "paper", "weight_lr_power": 0.0}])
def test_without_weights_all_points_count_alike_also_those_of_a_rate_of_zero(hyper: dict[str, Any]) -> None:
    w = np.ones(2)
    opt = lr.ScheduleFreeAdamW(w, lr=lambda step: 0.1 * step, **hyper)
    points = []
    for _ in range(4):
        opt.step(np.ones(2))
        points.append(opt.state_dict()["state"]["0"]["z"])
    np.testing.assert_allclose(opt.averages, np.mean(points, axis=0), rtol=1e-14)


@every_build
@pytest.mark.parametrize("cls", [lr.ScheduleFreeSGD, lr.ScheduleFreeAdamW, lr.MADGRAD, lr.ASGD])
def test_it_begins_where_the_parameters_are_at_the_first_step(cls: Any, build: str) -> None:
    w, u = np.zeros(3), np.full(3, 5.0)
    with kernels.using(build):
        one, other = cls(w, lr=0.1), cls(u, lr=0.1)
    w[...] = u
    for _ in range(2):
        for opt in (one, other):
            opt.step(np.ones(3))
    np.testing.assert_array_equal(w, u)


@needs_glibc
@pytest.mark.skipif(not kernels.compiled(), reason="without compiled code the arithmetic is the caller's")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_averages_are_formed_in_the_default_environment(dtype: Any) -> None:
    w = np.linspace(-1, 1, 33).astype(dtype)
    opt = lr.ScheduleFreeSGD(w, lr=0.1, momentum=0.7)
    for k in range(3):
        opt.step(np.cos(np.arange(33) + k).astype(dtype))
    expected = opt.averages
    with spoiled():
        averages = opt.averages
        with opt.averaged():
            swapped = w.copy()
    np.testing.assert_array_equal(averages, expected)
    np.testing.assert_array_equal(swapped, expected)


# What is particular to each.


def test_asgd_takes_a_change_of_rate_one_step_late() -> None:
    w = np.zeros(1)
    opt = lr.ASGD(w, lr=1.0, lambd=0.0)
    opt.step(np.ones(1))
    opt.lr = 0.25
    seen = [float(w[0])]
    for _ in range(2):
        opt.step(np.ones(1))
        seen.append(float(w[0]))
    assert seen == [-1.0, -2.0, -2.25]


def test_ftrl_gives_exact_zeros_and_lets_rest_what_has_had_no_gradient() -> None:
    w = np.array([1.0, 0.0, 0.0])
    opt = lr.Ftrl(w, lr=0.1, l1=3.0, initial_accumulator_value=0.0)
    for _ in range(3):
        opt.step(np.array([0.0, 0.5, 5.0]))
    assert (w[0], w[1]) == (1.0, 0.0)
    assert w[2] < 0


def test_ftrl_says_which_powers_it_has() -> None:
    w = np.ones(2)
    with pytest.raises(ValueError, match=r"learning_rate_power must be -0\.5, 0 or -1, got -0\.3"):
        lr.Ftrl(w, learning_rate_power=-0.3)
    with pytest.raises(ValueError, match="lr must be finite and > 0, got 0"):
        lr.Ftrl(w, lr=0)
    opt = lr.Ftrl(w, learning_rate_power=lambda step: -0.5 if step == 0 else -0.25)
    opt.step(np.ones(2))
    before = w.copy(), opt.state_dict()
    with pytest.raises(ValueError, match=r"learning_rate_power must be -0\.5, 0 or -1, got -0\.25"):
        opt.step(np.ones(2))
    np.testing.assert_equal((w, opt.state_dict()), before)


@pytest.mark.parametrize("cls", [lr.ScheduleFreeSGD, lr.ScheduleFreeAdamW, lr.ScheduleFreeRAdam])
def test_a_share_of_nothing_is_refused(cls: Any) -> None:
    given = {"momentum": 0.0} if cls is lr.ScheduleFreeSGD else {"betas": (0.0, 0.9)}
    with pytest.raises(ValueError, match=r"must be in \(0, 1\), got 0\.0"):
        cls(np.ones(2), **given)


@every_build
@pytest.mark.parametrize("momentum", [0.0, 0.5])
def test_madgrad_without_eps_lets_rest_what_has_had_no_gradient(momentum: float, build: str) -> None:
    w = np.array([1.0, 1.0])
    with kernels.using(build):
        opt = lr.MADGRAD(w, lr=0.1, eps=0.0, momentum=momentum)
    for _ in range(2):
        opt.step(np.array([0.0, 1.0]))
    assert w[0] == 1.0
    assert 0 < w[1] < 1


# The cube root.


def edges(dtype: Any) -> np.ndarray:
    """Values over the whole range: at random by their bits, and where something begins or ends."""
    info = np.finfo(dtype)
    integer = np.uint64 if dtype == np.float64 else np.uint32
    bits = np.random.default_rng(0).integers(0, np.array(np.inf, dtype).view(integer), 2000, dtype=integer)
    special = [info.smallest_subnormal, info.smallest_normal, info.max, 1.0, 8.0, 27.0, 1e-30]
    special += [1e-200, 1e200] if dtype == np.float64 else []
    with np.errstate(over="ignore"):
        near = [np.nextafter(dtype(x), dtype(to)) for x in special for to in (0, np.inf)]
    small = info.smallest_subnormal * np.arange(1, 200, dtype=dtype)
    values = np.concatenate([bits.view(dtype), np.array(special + near, dtype), small])
    return values[(values > 0) & np.isfinite(values)]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_cube_root_is_exact_to_the_last_place(dtype: Any) -> None:
    """Between the exact cubes of its neighbours; in float32, of the numbers half-way to them."""
    values = edges(dtype)
    roots = cube_root(values)
    part = 2 if dtype == np.float32 else 1
    for x, y in zip(values, roots, strict=True):
        exact, root = Fraction(float(x)), Fraction(float(y))
        below, above = (Fraction(float(np.nextafter(y, dtype(to)))) for to in (0, np.inf))
        assert (root - (root - below) / part) ** 3 < exact < (root + (above - root) / part) ** 3
    np.testing.assert_array_equal(cube_root(-values), -roots)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_cube_root_of_what_has_none_but_itself(dtype: Any) -> None:
    values = np.array([0.0, -0.0, np.inf, -np.inf, np.nan], dtype)
    with np.errstate(all="ignore"):  # as in a sweep
        roots = cube_root(values)
    np.testing.assert_array_equal(roots, values, strict=True)
    assert np.signbit(roots[1])


@pytest.mark.parametrize("build", [build for build in BUILDS if build != "reference"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_compiled_cube_root_has_the_same_bits(dtype: Any, build: str) -> None:
    """Seen through a step with no gradient: theta = -1 / cube root, where nothing else is added."""
    values = np.concatenate([edges(dtype), -edges(dtype)[:50], np.array([0.0, -0.0, np.inf, -np.inf, np.nan], dtype)])
    seen = []
    for which in (build, "reference"):
        w = np.zeros(values.size, dtype)
        with kernels.using(which):
            opt = lr.MADGRAD(w, lr=0.0, eps=0.0)
        opt.step(np.zeros_like(w))
        saved = opt.state_dict()
        saved["state"]["0"].update(q=values, s=np.ones_like(values))
        opt.load_state_dict(saved)
        opt.param_groups[0]["momentum"] = 5e-324  # is no momentum, but keeps where it began
        opt.step(np.zeros_like(w))
        seen.append(w)
    np.testing.assert_array_equal(seen[0], seen[1])
    finite = np.isfinite(values) & (values != 0)
    with np.errstate(over="ignore", divide="ignore"):
        expected = dtype(0) - dtype(1) / cube_root(values[finite])
    np.testing.assert_array_equal(seen[1][finite], expected)
