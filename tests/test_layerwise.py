"""Optimizers with rates from sums over each array: against the papers' formulas, written out, and timm and others."""

from __future__ import annotations

import inspect
import math
import os
import subprocess
import sys
from importlib.util import find_spec
from types import SimpleNamespace

import conventions
import numpy as np
import peers
import pytest
from conftest import BUILDS

import lrcore as lr
from lrcore import kernels

STEPS = 130
RATES = (0.05, 0.013)


def trajectory(step, params):
    """Parameters after each of STEPS steps, whose rate changes half-way."""
    rows = []
    for k in range(STEPS):
        grads = [g.copy() for g in conventions.GRADIENTS[k % conventions.STEPS]]
        step(grads, RATES[k >= STEPS // 2])
        rows.append(np.concatenate([np.array(array).ravel() for array in params]))
    return np.array(rows)


def ours(optimizer, hyper, build=None):
    params = conventions.initial_parameters()
    with kernels.using(build or kernels.selected):
        opt = getattr(lr, optimizer)(params, lr=RATES[0], **hyper)

    def step(grads, rate):
        opt.lr = rate
        opt.step(grads)

    return trajectory(step, params)


def written_out(formula, hyper):
    """A formula for one array: its parameters after the t-th step, given those before, gradient, rate and state."""
    params = conventions.initial_parameters()
    states = [SimpleNamespace(t=0) for _ in params]

    def step(grads, rate):
        for theta, g, state in zip(params, grads, states, strict=True):
            state.t += 1
            theta[...] = formula(theta, g, rate, state, **hyper)

    return trajectory(step, params)


def norm(array):
    return math.sqrt(sum(x * x for x in array.ravel()))


def assert_close(actual, expected):
    np.testing.assert_allclose(actual, expected, rtol=1e-10, atol=1e-14, equal_nan=False)


# The formulas, from the papers and from what is told of the libraries.


def lars_optax(theta, g, lr, s, momentum=0.9, nesterov=False, weight_decay=0.0, trust_coefficient=1e-3, eps=0.0,
               trust_ratio_mask=True):  # fmt: skip
    u = g + weight_decay * theta
    if trust_ratio_mask and norm(theta) and norm(u):
        u = u * trust_coefficient * norm(theta) / (norm(u) + eps)
    s.b = lr * u if s.t == 1 else momentum * s.b + lr * u
    return theta - (lr * u + momentum * s.b if nesterov else s.b)


def lars_timm(theta, g, lr, s, momentum=0.0, dampening=0.0, nesterov=False, weight_decay=0.0, trust_coefficient=1e-3,
              eps=1e-8, always_adapt=False, clip=False):  # fmt: skip
    u = g + weight_decay * theta
    if weight_decay or always_adapt:
        ratio = 1.0
        if norm(theta) and norm(g):
            ratio = trust_coefficient * norm(theta) / (norm(g) + weight_decay * norm(theta) + eps)
        u = u * (min(ratio / lr, 1.0) if clip else ratio)
    s.b = u if s.t == 1 else momentum * s.b + (1 - dampening) * u
    return theta - lr * (u + momentum * s.b if nesterov else s.b)


def larc(*args, **hyper):
    return lars_timm(*args, clip=True, **hyper)


def novograd_optax(theta, g, lr, s, betas=(0.9, 0.25), eps=1e-6, eps_root=0.0, weight_decay=0.0):
    s.n = norm(g) ** 2 if s.t == 1 else betas[1] * s.n + (1 - betas[1]) * norm(g) ** 2
    u = g / (math.sqrt(s.n + eps_root) + eps) + weight_decay * theta
    s.m = u if s.t == 1 else betas[0] * s.m + u
    return theta - lr * s.m


def novograd_timm(theta, g, lr, s, betas=(0.95, 0.98), eps=1e-8, weight_decay=0.0, grad_averaging=False,
                  decoupled_weight_decay=False):  # fmt: skip
    n = getattr(s, "n", 0.0)
    s.n = norm(g) ** 2 if n == 0 else betas[1] * n + (1 - betas[1]) * norm(g) ** 2
    u = g / (math.sqrt(s.n) + eps)
    if decoupled_weight_decay:
        theta = theta * (1 - lr * weight_decay)
    else:
        u = u + weight_decay * theta
    s.m = betas[0] * getattr(s, "m", 0.0) + (u * (1 - betas[0]) if grad_averaging else u)
    return theta - lr * s.m


def fromage_optax(theta, g, lr, s, min_norm=1e-6):
    a, b = max(norm(theta), min_norm), max(norm(g), min_norm)
    return (theta - lr * (a / b if a and b else 1.0) * g) / math.sqrt(1 + lr**2)


def fromage_paper(theta, g, lr, s):
    return fromage_optax(theta, g, lr, s, min_norm=0.0)


def normalized_sgd(theta, g, lr, s, momentum=0.0, nesterov=False, eps=1e-6):
    u = g / (norm(g) + eps)
    s.b = u if s.t == 1 else momentum * s.b + u
    return theta - lr * (u + momentum * s.b if nesterov else s.b)


CASES = {
    "lars": ("LARS", lars_optax, {}),
    "lars-all": ("LARS", lars_optax, {"momentum": 0.8, "weight_decay": 0.1, "trust_coefficient": 0.1, "eps": 1e-6}),
    "lars-nesterov": ("LARS", lars_optax, {"nesterov": True, "weight_decay": 0.1, "trust_coefficient": 0.1}),
    "lars-masked": ("LARS", lars_optax, {"trust_ratio_mask": False, "weight_decay": 0.1}),
    "lars-sgd": ("LARS", lars_optax, {"momentum": 0.0, "trust_coefficient": 1.0}),
    "lars-timm": ("LARS", lars_timm, {"like": "timm"}),
    "lars-timm-decay": ("LARS", lars_timm, {"like": "timm", "weight_decay": 0.1, "trust_coefficient": 0.5}),
    "lars-timm-all": ("LARS", lars_timm, {"like": "timm", "momentum": 0.8, "dampening": 0.3, "weight_decay": 0.1,
                                          "trust_coefficient": 0.5, "eps": 1e-4}),
    "lars-timm-nesterov": ("LARS", lars_timm, {"like": "timm", "momentum": 0.8, "nesterov": True,
                                               "always_adapt": True, "trust_coefficient": 0.5}),
    "larc": ("LARC", larc, {}),
    "larc-always": ("LARC", larc, {"always_adapt": True, "momentum": 0.9, "trust_coefficient": 0.02}),
    "larc-all": ("LARC", larc, {"weight_decay": 0.1, "momentum": 0.8, "dampening": 0.3, "trust_coefficient": 0.04}),
    "novograd": ("NovoGrad", novograd_optax, {}),
    "novograd-all": ("NovoGrad", novograd_optax, {"betas": (0.8, 0.95), "eps": 1e-4, "eps_root": 1e-8,
                                                  "weight_decay": 0.1}),
    "novograd-timm": ("NovoGrad", novograd_timm, {"like": "timm"}),
    "novograd-timm-all": ("NovoGrad", novograd_timm, {"like": "timm", "betas": (0.8, 0.9), "weight_decay": 0.1,
                                                      "grad_averaging": True, "eps": 1e-4}),
    "novograd-timm-decoupled": ("NovoGrad", novograd_timm, {"like": "timm", "weight_decay": 0.1,
                                                            "decoupled_weight_decay": True}),
    "fromage": ("Fromage", fromage_optax, {}),
    "fromage-norm": ("Fromage", fromage_optax, {"min_norm": 0.5}),
    "fromage-paper": ("Fromage", fromage_paper, {"like": "paper"}),
    "normalized": ("NormalizedSGD", normalized_sgd, {}),
    "normalized-momentum": ("NormalizedSGD", normalized_sgd, {"momentum": 0.9, "eps": 1e-3}),
    "normalized-nesterov": ("NormalizedSGD", normalized_sgd, {"momentum": 0.8, "nesterov": True}),
}  # fmt: skip

every_case = pytest.mark.parametrize("case", CASES)


@every_case
def test_formula(case):
    optimizer, formula, hyper = CASES[case]
    written = {name: value for name, value in hyper.items() if name != "like"}
    assert_close(ours(optimizer, hyper), written_out(formula, written))


def test_cases_differ():
    """Of one formula, from each other: what computed the same as another would test nothing."""
    ends = {case: ours(optimizer, hyper)[-1] for case, (optimizer, _, hyper) in CASES.items()}
    for case, (_, formula, _) in CASES.items():
        for other, (_, others, _) in CASES.items():
            if formula is others and case < other:
                assert np.max(np.abs(ends[case] - ends[other])) > 1e-9, (case, other)


# Libraries.


@pytest.fixture(scope="module")
def timm():
    """timm's optimizers, in float64, in which NvNovoGrad keeps its second moments."""
    torch = pytest.importorskip("torch")
    lars, nvnovograd = peers.timm("lars"), peers.timm("nvnovograd")
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield {"LARS": lars.Lars, "LARC": lars.Lars, "NovoGrad": nvnovograd.NvNovoGrad}
    torch.set_default_dtype(before)


TIMM_NAMES = {"trust_coefficient": "trust_coeff", "decoupled_weight_decay": "decoupled_decay"}


@pytest.mark.parametrize("case", [name for name, (_, formula, _) in CASES.items() if formula is larc or
                                  formula in (lars_timm, novograd_timm)])  # fmt: skip
def test_timm(case, timm):
    optimizer, formula, hyper = CASES[case]
    theirs = {TIMM_NAMES.get(name, name): value for name, value in hyper.items() if name != "like"}
    if formula is larc:
        theirs["trust_clip"] = True
    assert_close(ours(optimizer, hyper), torch_like(timm[optimizer], theirs))


def test_timm_defaults(timm):
    for name, cls in timm.items():
        signature = inspect.signature(cls).parameters
        for key, value in getattr(lr, name).defaults["timm"].items():
            assert signature[TIMM_NAMES.get(key, key)].default == value


def torch_like(cls, hyper):
    import torch

    params = conventions.initial_parameters()
    tensors = [torch.from_numpy(array) for array in params]
    opt = cls(tensors, lr=RATES[0], **hyper)

    def step(grads, rate):
        opt.param_groups[0]["lr"] = rate
        for tensor, g in zip(tensors, grads, strict=True):
            tensor.grad = torch.from_numpy(g)
        opt.step()

    return trajectory(step, params)


def test_fromage_of_pytorch_optimizer():
    pytest.importorskip("torch")
    optimizers = pytest.importorskip("pytorch_optimizer")
    assert_close(ours("Fromage", {"like": "paper"}), torch_like(optimizers.Fromage, {}))


def test_lars_of_pytorch_optimizer_leaves_vectors_alone():
    """Its matrices are timm's with always_adapt and eps 0; its vectors are plain momentum."""
    pytest.importorskip("torch")
    optimizers = pytest.importorskip("pytorch_optimizer")
    params = conventions.initial_parameters()
    shared = {"momentum": 0.9, "weight_decay": 0.1, "trust_coefficient": 0.1}
    groups = [
        {"params": params[1], "always_adapt": True},
        {"params": [params[0], params[2]], "weight_decay": 0.0, "always_adapt": False},
    ]
    opt = lr.LARS(groups, lr=RATES[0], like="timm", eps=0.0, **shared)

    def step(grads, rate):
        opt.lr = rate
        opt.step([grads[1], [grads[0], grads[2]]])

    assert_close(trajectory(step, params), torch_like(optimizers.LARS, shared))


def test_optax_normalizes_one_array_as_we_do_and_several_by_clipping():
    """In a process of its own: threads of JAX do not stand forking."""
    if find_spec("optax") is None:
        pytest.skip("optax not installed")
    code = """
import jax, numpy as np, optax
import lrcore as lr
jax.config.update("jax_enable_x64", True)
rng = np.random.default_rng(5)
for shapes in [(5,)], [(5,), (2, 3)]:
    params = [rng.standard_normal(shape) for shape in shapes]
    theirs = [p.copy() for p in params]
    chain = optax.chain(optax.normalize_by_update_norm(), optax.sgd(0.1))
    state = chain.init(theirs)
    if len(shapes) == 1:
        opt, tolerance = lr.NormalizedSGD(params, lr=0.1), 1e-12
    else:  # where optax has an eps of 1e-6 besides
        opt, tolerance = lr.SGD(params, lr=0.1 / 1e-3, clip_norm=1e-3, like="optax"), 1e-5
    for _ in range(60):
        grads = [rng.standard_normal(shape) for shape in shapes]
        updates, state = chain.update(grads, state, theirs)
        theirs = optax.apply_updates(theirs, updates)
        opt.step(grads)
    for mine, other in zip(params, theirs):
        np.testing.assert_allclose(mine, np.array(other), rtol=tolerance, atol=tolerance)
"""
    subprocess.run([sys.executable, "-c", code], env={**os.environ, "JAX_PLATFORMS": "cpu"}, check=True, timeout=300)


# Where norms are 0, not finite, or not there.

EVERY = [pytest.param(optimizer, hyper, id=case) for case, (optimizer, _, hyper) in CASES.items()]


@pytest.mark.parametrize("build", [kernels.selected, "reference"])
@pytest.mark.parametrize(("optimizer", "hyper"), EVERY)
def test_zeros_stay_finite(optimizer, hyper, build):
    """Parameters of 0, gradients of 0, gradients whose squares vanish, in float32; and no eps anywhere."""
    hyper = {name: value for name, value in hyper.items() if name not in ("eps", "eps_root", "min_norm")}
    none = {name: 0.0 for name in ("eps", "min_norm") if name in getattr(lr, optimizer).defaults[hyper.get(
        "like", next(iter(getattr(lr, optimizer).defaults)))]}  # fmt: skip
    for eps in ({}, none):
        params = [np.zeros(3, np.float32), np.ones(3, np.float32), np.zeros(0, np.float32)]
        with kernels.using(build):
            opt = getattr(lr, optimizer)(params, lr=0.1, **{**hyper, **eps})
        for size in (0.0, 1e-45, 1e-30, 0.0, *[0.0] * 60, 1.0, 1e-38):
            opt.step([np.array([size, 0, -size], np.float32) for _ in range(2)] + [np.zeros(0, np.float32)])
            assert all(np.isfinite(p).all() for p in params), size


@pytest.mark.parametrize(("optimizer", "hyper"), EVERY)
def test_gradients_of_zero_move_no_parameter_of_zero(optimizer, hyper):
    w = np.zeros(4)
    getattr(lr, optimizer)(w, lr=0.1, **hyper).step(np.zeros(4))
    assert not w.any()


@pytest.mark.parametrize(("optimizer", "hyper"), EVERY)
def test_a_nan_stays_in_its_array(optimizer, hyper):
    params = [np.ones(3), np.ones(3)]
    opt = getattr(lr, optimizer)(params, lr=0.1, **hyper)
    opt.step([np.array([1.0, np.nan, 2.0]), np.array([1.0, 0.0, 2.0])])
    assert np.isnan(params[0][1])
    assert np.isfinite(params[1]).all()


@pytest.mark.parametrize(("optimizer", "hyper"), EVERY)
def test_an_array_that_rests_is_left_out(optimizer, hyper):
    """Step, rest and step again is what stepping twice is, for that array; the others go on."""
    params = [np.linspace(1, 2, 5), np.linspace(-1, 1, 4)]
    alone = [p.copy() for p in params]
    opt = getattr(lr, optimizer)(params, lr=0.1, **hyper)
    apart = [getattr(lr, optimizer)(p, lr=0.1, **hyper) for p in alone]
    rng = np.random.default_rng(2)
    for rests in (None, 0, 0, None, 1, None):
        grads = [None if k == rests else rng.standard_normal(p.size) for k, p in enumerate(params)]
        opt.step(grads)
        for one, g in zip(apart, grads, strict=True):
            if g is not None:
                one.step(g)
    for mine, other in zip(params, alone, strict=True):
        np.testing.assert_array_equal(mine, other)


@pytest.mark.parametrize("build", [BUILDS[-2], "reference"])
@pytest.mark.parametrize(("optimizer", "hyper"), EVERY)
def test_ascending_is_descending_by_the_negated_gradient(optimizer, hyper, build):
    """Also where the sign of the gradient beside the parameter counts: in the norm of both."""
    rng = np.random.default_rng(4)
    up = [rng.standard_normal(6), rng.standard_normal((2, 3))]
    down = [p.copy() for p in up]
    with kernels.using(build):
        ascent = getattr(lr, optimizer)(up, lr=0.1, maximize=True, **hyper)
        descent = getattr(lr, optimizer)(down, lr=0.1, **hyper)
    for _ in range(5):
        grads = [rng.standard_normal(p.shape) for p in up]
        ascent.step([-g for g in grads], grad_scale=4.0)
        descent.step(grads, grad_scale=4.0)
    for one, other in zip(up, down, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_loss_scale_changes_nothing():
    """A power of two: sums are of what is left after it."""
    for optimizer, _, hyper in CASES.values():
        plain, scaled = conventions.initial_parameters(), conventions.initial_parameters()
        one, other = (getattr(lr, optimizer)(p, lr=0.1, **hyper) for p in (plain, scaled))
        for grads in conventions.GRADIENTS[5:15]:
            one.step(grads)
            other.step([1024.0 * g for g in grads], grad_scale=1024.0)
        for a, b in zip(plain, scaled, strict=True):
            np.testing.assert_array_equal(a, b)


def test_novograd_saves_the_second_moment_of_each_array():
    params = [np.ones(3), np.ones(2)]
    opt = lr.NovoGrad(params, lr=0.1)
    opt.step([np.array([3.0, 0.0, 4.0]), np.array([1.0, 1.0])])
    opt.step([np.zeros(3), np.array([1.0, 1.0])])
    saved = opt.state_dict()
    assert saved["groups"][0]["second_moment"] == [0.25 * 25.0, 2.0]
    saved["groups"][0]["second_moment"] = [-1.0, 2.0]
    with pytest.raises(ValueError, match=r"second_moment'\]\[0\] must be finite and >= 0, got -1.0"):
        opt.load_state_dict(saved)


def test_nesterov_of_timm_needs_momentum():
    for cls in (lr.LARS, lr.LARC):
        with pytest.raises(ValueError, match="nesterov must come with momentum > 0 and dampening 0"):
            cls(np.zeros(2), like="timm", nesterov=True)
