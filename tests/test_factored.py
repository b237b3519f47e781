"""Adafactor and SM3: bits of builds and threads, formulas written out, other libraries, state, what is all or none."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
from conftest import BUILDS

import lrcore as lr
from lrcore import kernels
from lrcore.reference import Aim

SHAPES = ((7,), (3, 4), (1,), (130, 140), (4, 5, 6), (2, 3, 2, 2), (0, 3), (3, 0), (), (1, 9), (9, 1))
EVERY = [
    (lr.Adafactor, {"lr": 0.05, "weight_decay": 0.1}),
    (lr.Adafactor, {"like": "keras", "lr": 0.05, "weight_decay": 0.1}),
    (lr.Adafactor, {"like": "optax", "lr": 0.05}),
    (lr.Adafactor, {"like": "optax", "lr": 0.05, "weight_decay": 0.01, "momentum": 0.8, "min_dim_size_to_factor": 2}),
    (lr.Adafactor, {"like": "transformers", "weight_decay": 0.1}),
    (lr.Adafactor, {"like": "transformers", "lr": 0.05, "relative_step": False, "momentum": 0.9}),
    (lr.SM3, {"lr": 0.05}),
    (lr.SM3, {"like": "paper", "lr": 0.05}),
]
every = pytest.mark.parametrize(("cls", "hyper"), EVERY, ids=[f"{c.__name__}-{k}" for k, (c, _) in enumerate(EVERY)])


def inputs(shapes, steps, dtype=np.float64, seed=0):
    """Parameters and gradients: tiny at first, with zeros, a row and a column that have none, alternating signs."""
    rng = np.random.default_rng(seed)
    params = [rng.standard_normal(shape) for shape in shapes]
    rounds = []
    for step in range(steps):
        grads = []
        for k, shape in enumerate(shapes):
            g = np.array(rng.standard_normal(shape) * (1e-6 if step < 5 else 2.0))
            g = np.where(rng.random(shape) < 0.1, 0.0, g)
            g = np.abs(g) * (-1) ** step if k % 2 else g
            if g.ndim > 1 and g.size > 20:
                g[0], g[..., -1] = 0.0, 0.0
            grads.append(np.asarray(g, dtype))
        rounds.append(grads)
    return [np.asarray(p, dtype) for p in params], rounds


def run(cls, hyper, params, rounds, rate=None):
    opt = cls(params, **hyper)
    for step, grads in enumerate(rounds):
        if rate is not None:
            opt.lr = rate(step)
        opt.step(grads)
    return opt


def rate_of(step):
    return 0.05 if step < 35 else 0.013


# Bits.


@pytest.mark.usefixtures("eager_pool")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@every
def test_bits_of_every_build_and_number_of_threads(cls, hyper, dtype):
    """Also where an array has several bands of rows and stretches of columns, and axes between and after the two."""
    shapes = (*SHAPES, (600, 3), (5, 4100), (300, 2050), (131, 2, 140, 3), (3, 130, 140), (40, 3, 3, 2))
    params, rounds = inputs(shapes, 3, dtype)

    def made(build):
        mine = [p.copy() for p in params]
        with kernels.using(build):
            opt = run(cls, {**hyper, "clip_value": 1.5, "clip_norm": 1e4, "ema": 0.9}, mine, rounds)
        return mine, opt.averages, opt.state_dict()["state"]

    expected = made("reference")
    assert all(np.isfinite(p).all() for p in expected[0])
    for build in BUILDS:
        for threads in (1, 2, 3, 7) if build != "reference" else ():
            lr.set_num_threads(threads)
            np.testing.assert_equal(made(build), expected)


@every
def test_a_buffer_and_its_arrays_have_the_same_bits(cls, hyper):
    params, rounds = inputs([shape for shape in SHAPES if shape], 4)
    names = [str(k) for k in range(len(params))]
    buffer = lr.ParameterBuffer(dict(zip(names, params, strict=True)))
    opt = cls(buffer, **hyper)
    for grads in rounds:
        for name, g in zip(names, grads, strict=True):
            buffer.grads[name] = g
        opt.step()
    mine = [p.copy() for p in params]
    other = run(cls, hyper, mine, rounds)
    np.testing.assert_equal(list(buffer.values()), mine)
    np.testing.assert_equal(opt.state_dict()["state"], other.state_dict()["state"])


@every
def test_gradients_are_prepared_before_anything_is_formed_of_them(cls, hyper):
    """Unscaled, clipped, negated: as if such gradients had been given. They are left zeroed if asked for."""
    params, rounds = inputs(SHAPES, 4)
    mine, other = [p.copy() for p in params], [p.copy() for p in params]
    opt = cls(mine, **hyper, maximize=True, clip_value=0.5)
    plain = cls(other, **hyper)
    for grads in rounds:
        plain.step([np.clip(-g / 4, -0.5, 0.5) for g in grads])
        given = [g.copy() for g in grads]
        opt.step(given, grad_scale=4.0, zero_grad=True)
        assert not any(g.any() for g in given)
    np.testing.assert_equal(mine, other)


# The formulas.


def adafactor(like, param, grads, rate, *, decay, eps, d, weight_decay, momentum, factor, scaled, relative):
    """Shazeer & Stern 2018, algorithms 4 to 6, as each library has them, on one array in place."""
    row = column = v = m = 0.0
    for t, g in enumerate(grads, 1):
        beta = 1.0 - t**decay
        lr_t = rate(t - 1)
        if like == "keras":
            param *= 1.0 - lr_t * weight_decay
        rms = np.sqrt((param**2).mean())
        if like in ("torch", "keras"):
            alpha = max(eps[1], rms) * min(lr_t, 1 / np.sqrt(t))
        else:
            alpha = lr_t * (min(1e-2, 1 / np.sqrt(t)) if relative else 1.0) * (max(eps[1], rms) if scaled else 1.0)
        squares = g * g + (0.0 if like == "torch" else eps[0])
        axes = factor(param.shape)
        if axes is None:
            v = beta * v + (1 - beta) * squares
            estimate = v
        else:
            a, b = axes
            row = beta * row + (1 - beta) * squares.mean(axis=b, keepdims=True)
            column = beta * column + (1 - beta) * squares.mean(axis=a, keepdims=True)
            mean = row.mean(axis=a, keepdims=True)
            estimate = row * column / (np.maximum(mean, eps[0]) if like == "torch" else mean)
        if like == "torch":
            estimate = np.maximum(estimate, eps[0] ** 2)
        u = g / np.sqrt(estimate)
        u = u / max(1.0, np.sqrt((u**2).mean()) / d)
        change = alpha * u
        if momentum:
            m = momentum * m + (1 - momentum) * change
            change = m
        if like != "keras":
            param *= 1.0 - {"torch": lr_t, "optax": 1.0, "transformers": alpha}[like] * weight_decay
        param -= change


def last_two(shape):
    return (len(shape) - 2, len(shape) - 1) if len(shape) > 1 else None


def two_longest(least):
    def factor(shape):
        order = np.argsort(shape, kind="stable") if len(shape) > 1 else ()
        if len(order) == 0 or shape[order[-2]] < least:
            return None
        return tuple(sorted(order[-2:]))

    return factor


@pytest.mark.parametrize("steps", [70, 130])
@pytest.mark.parametrize("case", [0, 1, 2, 3, 4, 5, 6])
def test_adafactor_is_its_formula(case, steps):
    """In the conventions of four libraries; past step 100 too."""
    plain = {"decay": -0.8, "eps": (1e-30, 1e-3), "d": 1.0, "weight_decay": 0.0, "momentum": 0.0, "factor": last_two,
             "scaled": True, "relative": False}  # fmt: skip
    like, hyper, changes = [
        ("torch", {"weight_decay": 0.1}, {"eps": (np.finfo(float).eps, 1e-3), "weight_decay": 0.1}),
        ("torch", {"eps": (1e-5, 0.5), "d": 1.5, "beta2_decay": -0.6},
         {"eps": (1e-5, 0.5), "d": 1.5, "decay": -0.6}),
        ("keras", {"weight_decay": 0.1, "eps": (1e-8, 0.2)}, {"weight_decay": 0.1, "eps": (1e-8, 0.2)}),
        ("optax", {"weight_decay": 0.01, "momentum": 0.9},
         {"factor": two_longest(128), "weight_decay": 0.01, "momentum": 0.9}),
        ("optax", {"min_dim_size_to_factor": 2, "multiply_by_parameter_scale": False, "d": 1e300},
         {"factor": two_longest(2), "scaled": False, "d": 1e300}),
        ("transformers", {"weight_decay": 0.5, "momentum": 0.9},
         {"weight_decay": 0.5, "momentum": 0.9, "relative": True}),
        ("transformers", {"relative_step": False, "multiply_by_parameter_scale": False}, {"scaled": False}),
    ][case]  # fmt: skip
    shapes = (*SHAPES, (5, 2, 3), (6, 2, 7, 3)) if steps < 100 else ((3, 4), (4, 5, 6), (7,))
    params, rounds = inputs(shapes, steps)
    expected = [p.copy() for p in params]
    for k, param in enumerate(expected):
        if param.size:
            adafactor(like, param, [grads[k] for grads in rounds], rate_of, **{**plain, **changes})
    run(lr.Adafactor, {"like": like, **hyper}, params, rounds, rate_of)
    for mine, theirs in zip(params, expected, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-9, atol=1e-12)


def test_warmup_init_begins_with_a_millionth():
    w, g = np.full((2, 3), 2.0), np.ones((2, 3))
    lr.Adafactor(w, like="transformers", warmup_init=True).step(g)
    np.testing.assert_allclose(w, 2.0 - 2.0 * 1e-6, rtol=1e-15)


@pytest.mark.parametrize("hyper", [{"momentum": 0.9}, {"like": "paper", "momentum": 0.0, "eps": 1e-30}])
@pytest.mark.parametrize("steps", [70, 130])
def test_sm3_is_its_formula(hyper, steps):
    """Anil et al. 2019, algorithm SM3-II with momentum; the cover of an array of one axis are its elements."""
    params, rounds = inputs(SHAPES, steps)
    momentum, eps = hyper["momentum"], hyper.get("eps", 1e-8)
    expected = [p.copy() for p in params]
    for k, param in enumerate(expected):
        axes = range(param.ndim)
        mus = [np.zeros([n if other == axis else 1 for other, n in enumerate(param.shape)]) for axis in axes]
        mus = mus if param.ndim > 1 else [np.zeros(param.shape)]
        m = 0.0
        for step, grads in enumerate(rounds):
            g = grads[k]
            nu = np.minimum.reduce(np.broadcast_arrays(*mus)) + g**2 if param.ndim > 1 else mus[0] + g**2
            if param.ndim > 1 and param.size:
                mus = [nu.max(axis=tuple(o for o in axes if o != axis), keepdims=True) for axis in axes]
            elif param.ndim < 2:
                mus = [nu]
            with np.errstate(all="ignore"):
                u = np.where(nu > 0, g / np.sqrt(nu + eps), 0.0)
            m = momentum * m + (1 - momentum) * u
            param -= rate_of(step) * m
    run(lr.SM3, {"lr": 0.1, **hyper}, params, rounds, rate_of)
    for mine, theirs in zip(params, expected, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-12, atol=1e-14)


# Other libraries.


def test_adafactor_against_torch():
    torch = pytest.importorskip("torch")
    params, rounds = inputs([shape for shape in SHAPES if np.prod(shape)], 70)
    theirs = [torch.tensor(p) for p in params]
    opt = torch.optim.Adafactor(theirs, lr=0.05, weight_decay=0.1, foreach=False)
    for step, grads in enumerate(rounds):
        opt.param_groups[0]["lr"] = rate_of(step)
        for tensor, g in zip(theirs, grads, strict=True):
            tensor.grad = torch.tensor(g)
        opt.step()
    run(lr.Adafactor, {"weight_decay": 0.1}, params, rounds, rate_of)
    for mine, other in zip(params, theirs, strict=True):
        np.testing.assert_allclose(mine, other.numpy(), rtol=1e-9, atol=1e-12)


def test_adafactor_against_transformers():
    torch = pytest.importorskip("torch")
    optimization = pytest.importorskip("transformers.optimization")
    params, rounds = inputs([shape for shape in SHAPES if np.prod(shape)], 70)
    for theirs, ours in (
        ({"weight_decay": 0.5, "beta1": 0.9}, {"weight_decay": 0.5, "momentum": 0.9}),
        ({"warmup_init": True, "eps": (1e-8, 0.2), "clip_threshold": 1.5, "decay_rate": -0.6},
         {"warmup_init": True, "eps": (1e-8, 0.2), "d": 1.5, "beta2_decay": -0.6}),
        ({"lr": 0.05, "relative_step": False, "scale_parameter": False},
         {"lr": 0.05, "relative_step": False, "multiply_by_parameter_scale": False}),
    ):  # fmt: skip
        tensors = [torch.tensor(p) for p in params]
        opt = optimization.Adafactor(tensors, **theirs)
        for grads in rounds:
            for tensor, g in zip(tensors, grads, strict=True):
                tensor.grad = torch.tensor(g)
            opt.step()
        mine = [p.copy() for p in params]
        run(lr.Adafactor, {"like": "transformers", **ours}, mine, rounds)
        for one, other in zip(mine, tensors, strict=True):
            np.testing.assert_allclose(one, other.numpy(), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_sm3_against_pytorch_optimizer(momentum):
    torch = pytest.importorskip("torch")
    pytorch_optimizer = pytest.importorskip("pytorch_optimizer")
    params, rounds = inputs([shape for shape in SHAPES if np.prod(shape)], 70)
    theirs = [torch.tensor(p) for p in params]
    opt = pytorch_optimizer.SM3(theirs, momentum=momentum)
    for grads in rounds:
        for tensor, g in zip(theirs, grads, strict=True):
            tensor.grad = torch.tensor(g)
        opt.step()
    run(lr.SM3, {"like": "paper", "momentum": momentum}, params, rounds)
    for mine, other in zip(params, theirs, strict=True):
        np.testing.assert_allclose(mine, other.numpy(), rtol=1e-9, atol=1e-12)


# State.


def test_state_is_a_vector_for_each_axis():
    params = {"w": np.ones((30, 40)), "k": np.ones((2, 3, 4, 5)), "b": np.ones(7)}
    state = lr.Adafactor(params).state_dict()["state"]
    shapes = {name: {key: array.shape for key, array in arrays.items()} for name, arrays in state.items()}
    assert shapes == {
        "w": {"row": (30,), "column": (40,)},
        "k": {"row": (2, 3, 4), "column": (2, 3, 5)},
        "b": {"v": (7,)},
    }
    state = lr.SM3(params, lr=0.1, momentum=0.0).state_dict()["state"]
    assert {name: arrays["mu"].shape for name, arrays in state.items()} == {"w": (70,), "k": (14,), "b": (7,)}
    wide = {"w": np.ones((130, 3, 140)), "k": np.ones((127, 300)), "e": np.ones((128, 128, 128))}
    state = lr.Adafactor(wide, like="optax", momentum=0.5).state_dict()["state"]
    assert {key: array.shape for key, array in state["w"].items()} == {
        "b": (130, 3, 140), "row": (130, 3), "column": (3, 140)
    }  # fmt: skip
    assert state["k"].keys() == {"b", "v"}
    assert state["e"]["row"].shape == (128, 128)


@every
def test_a_parameter_without_gradient_rests_with_its_state(cls, hyper):
    params, rounds = inputs(SHAPES, 5)
    opt = cls(params, **hyper)
    alone = [p.copy() for p in params]
    others = [cls(p, **hyper) for p in alone]
    for step, grads in enumerate(rounds):
        given = [None if (step + k) % 3 == 0 else g for k, g in enumerate(grads)]
        opt.step(given)
        for other, g in zip(others, given, strict=True):
            if g is not None:
                other.step(g)
    np.testing.assert_equal(params, alone)


@every
def test_a_run_that_is_saved_and_loaded_goes_on(cls, hyper):
    params, rounds = inputs(SHAPES, 6)
    mine = [p.copy() for p in params]
    opt = run(cls, hyper, mine, rounds[:3])
    saved, values = opt.state_dict(), [p.copy() for p in mine]
    again = cls(values, **hyper)
    again.load_state_dict(saved)
    for grads in rounds[3:]:
        opt.step(grads)
        again.step(grads)
    np.testing.assert_equal(values, mine)
    np.testing.assert_equal(again.state_dict(), opt.state_dict())


def test_state_of_another_layout_is_refused():
    w = np.ones((3, 4))
    saved = lr.Adafactor(w, like="optax", min_dim_size_to_factor=2).state_dict()
    with pytest.raises(ValueError, match=r"state\['state'\]\['0'\] must hold \['v'\]"):
        lr.Adafactor(w, like="optax").load_state_dict(saved)


@pytest.mark.parametrize("build", [BUILDS[-2], "reference"] if len(BUILDS) > 1 else BUILDS)
@pytest.mark.parametrize(("name", "hyper"), [("Adafactor", {}), ("SM3", {"lr": 0.1}), ("Muon", {})])
def test_an_interrupt_comes_before_a_step_or_after_it(name, hyper, build):
    code = f"""
import signal, time
import numpy as np
import lrcore as lr
from lrcore import kernels

signal.signal(signal.SIGALRM, signal.default_int_handler)
rng = np.random.default_rng(0)
start = [rng.standard_normal(s) for s in ((60, 80), (3, 20, 30), (900,), (5, 2100))]
grads = [rng.standard_normal(p.shape) for p in start]
with kernels.using({build!r}):
    made = lambda: lr.{name}([p.copy() for p in start], **{hyper!r})
    opt, steps, took, cut = made(), [], float("inf"), 0
    for _ in range(31):
        state = opt.state_dict()
        steps.append(([p.copy() for p in opt.params], state))
        began = time.perf_counter()
        opt.step(grads)
        took = min(took, time.perf_counter() - began)
    opt = made()
    for _ in range(30):
        try:
            try:
                signal.setitimer(signal.ITIMER_REAL, max(1e-6, rng.uniform(0, 1.2) * took))
                opt.step(grads)
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
        except KeyboardInterrupt:
            cut += 1
        np.testing.assert_equal((list(opt.params), opt.state_dict()), steps[opt.step_count])
assert cut > 2, cut
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("build", kernels.compiled())
@every
def test_a_step_allocates_nothing_of_the_models_size(cls, hyper, build):
    w, k = np.ones((300, 400)), np.ones((20, 30, 3, 3))
    with kernels.using(build):
        opt = cls([w, k], **hyper)
    opt.step([w * 0.5, k * 0.5])
    grads = [w * 0.25, k * 0.25]
    tracemalloc.start()
    opt.step(grads)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10_000


# Edges.


@every
@pytest.mark.parametrize("build", [BUILDS[-2], "reference"] if len(BUILDS) > 1 else BUILDS)
def test_what_has_no_gradient_rests_and_a_nan_is_seen(cls, hyper, build):
    """Rows and columns of zeros in float32, where products of their inverse roots leave its range."""
    with kernels.using(build):
        w = np.ones((40, 50), np.float32)
        opt = cls(w, **{**hyper, "weight_decay": 0.0} if "weight_decay" in hyper else hyper)
        opt.step(np.zeros_like(w))
        assert (w == 1.0).all()
        g = np.full_like(w, 1e10)
        g[3], g[:, 7] = 0.0, 0.0
        opt.step(g)
        still = g == 0.0
        assert (w[still] == 1.0).all()
        assert np.isfinite(w).all()
        assert (w[~still] != 1.0).all()
        g[5, 5] = np.nan
        opt.step(g)
        assert np.isnan(w[5, 5])
        opt.step(np.ones_like(w))
        assert np.isnan(w[5, 5])


@pytest.mark.parametrize("build", BUILDS)
def test_a_nan_is_the_largest_along_its_axes(build):
    with kernels.using(build):
        opt = lr.SM3(np.ones((70, 80), np.float32), lr=0.1, momentum=0.0)
    g = np.ones((70, 80), np.float32)
    g[3, 40] = np.nan
    opt.step(g)
    mu = opt.state_dict()["state"]["0"]["mu"]
    assert np.flatnonzero(np.isnan(mu)).tolist() == [3, 70 + 40]


def test_hyperparameters_that_are_several_numbers():
    w = np.ones((2, 3))
    with pytest.raises(TypeError, match=r"eps must be a pair of numbers, got 1e-30"):
        lr.Adafactor(w, eps=1e-30)
    with pytest.raises(ValueError, match=r"eps must be a pair of numbers, got 1 of them"):
        lr.Adafactor(w, eps=(1e-3,))
    with pytest.raises(ValueError, match=r"eps\[1\] must be finite and >= 0, got -1.0"):
        lr.Adafactor(w, eps=(0.0, -1.0))
    opt = lr.Adafactor(w, eps=(0.0, lambda step: 0.5 - step))
    opt.step(w * 1)
    before = w.copy()
    with pytest.raises(ValueError, match=r"eps\[1\] at step 1 must be finite and >= 0, got -0.5"):
        opt.step(w * 1)
    np.testing.assert_equal(w, before)
    with pytest.raises(ValueError, match="factored must be given when the optimizer is made"):
        lr.Adafactor(w, like="optax").param_groups[0]["factored"] = False


@pytest.mark.parametrize("build", kernels.compiled())
def test_a_compiled_sweep_takes_no_aim_that_is_not_its_tensors(build):
    w = np.ones((3, 4))

    def directed(aim, **others):
        sweep = kernels.sweep([("sgd", [(w, [], None)])], build)
        sweep.direct([aim])
        return sweep

    row, column = np.zeros(3), np.zeros(4)
    good = Aim("factored", (1, 3, 1, 4, 1), (row, column))
    sweep = directed(good)
    with pytest.raises(ValueError, match="directed once"):
        sweep.direct([good])
    with pytest.raises(ValueError, match=r"settings\[0\] must have 7 entries, got 2"):
        sweep.form_directions([w * 1], [(1.0, 2.0)], np.inf, False)
    with pytest.raises(ValueError, match="settings must have 1 entries, got 0"):
        sweep.form_directions([w * 1], [], np.inf, False)
    assert sweep.form_directions([w[:2] * 1], [(1.0,) * 7], np.inf, False) is None
    with pytest.raises(ValueError, match="directed before it looks"):
        kernels.sweep([("sgd", [(w, [], None)])], build).form_directions([w * 1], [None], np.inf, False)
    for aim, said in (
        (good._replace(kind="else"), "kind must be one of"),
        (good._replace(dims=(1, 3, 1, 5, 1)), "dims must have a product of 12"),
        (good._replace(dims=(-1, 3, -1, 4, 1)), "dims must have a product of 12"),
        (good._replace(dims=(3, 4)), "unpack"),
        (good._replace(states=(row,)), "factored must have 2 states, got 1"),
        (good._replace(states=(row, row)), "must have the size of its parameter, 4, got 3"),
        (good._replace(states=(row.astype("f4"), column)), "must be float32 or float64, as their parameter"),
        (Aim("covered", (12,), (np.zeros(12),)), "dims must be two or more"),
        (Aim("covered", (3, 4), (np.zeros(12),)), "must have the size of its parameter, 7, got 12"),
        (Aim("moment", (3, 4), (np.zeros(7),)), "must have the size of its parameter, 12, got 7"),
    ):
        with pytest.raises(ValueError, match=said):
            directed(aim)
