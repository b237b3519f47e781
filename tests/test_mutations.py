"""Faults that are easily made and hard to see: one check left out, a number that freezes, a rounding unguarded."""

from __future__ import annotations

import math

import numpy as np
import pytest
from conftest import BUILDS, every_optimizer
from test_threads import needs_glibc, spoiled

import lrcore as lr
from lrcore import kernels, norms

PLAIN = (BUILDS[-2], "reference") if len(BUILDS) > 1 else BUILDS
every_build = pytest.mark.parametrize("build", PLAIN)


@pytest.mark.parametrize("like", ["torch", "keras", "keras2", "optax"])
def test_a_norm_that_is_nan_makes_the_clip_factor_nan(like):
    assert math.isnan(norms.clip_factor(math.nan, 1.0, like))
    params = [np.zeros(2), np.zeros(2)]
    lr.SGD(params, lr=1.0, like=like, clip_norm=1.0).step([np.array([math.nan, 1.0]), np.ones(2)])
    assert np.isnan(params).all()


@pytest.mark.parametrize("wrong", [-1e-9, 1.0 + 1e-9, 2, math.nan, math.inf, True, "1"])
def test_only_a_product_of_betas_is_loaded_as_one(wrong):
    opt = lr.NAdam(np.zeros(2))
    saved = opt.state_dict()
    saved["groups"][0]["mu_product"] = wrong
    with pytest.raises((TypeError, ValueError), match="mu_product"):
        opt.load_state_dict(saved)
    assert opt.state_dict()["groups"][0]["mu_product"] == 1.0


DECAYS = [("Adagrad", "torch", "lr_decay")]
DECAYS += [(p.values[0].__name__, "keras2", "decay") for p in every_optimizer() if p.values[1]["like"] == "keras2"]
DECAYS = sorted({d for d in DECAYS if d[2] in getattr(lr, d[0]).defaults[d[1]]})


@pytest.mark.parametrize(("name", "like", "key"), DECAYS)
def test_an_inverse_time_decay_is_not_negative(name, like, key):
    cls = getattr(lr, name)
    with pytest.raises(ValueError, match=rf"{key} must be finite and >= 0, got -0.1"):
        cls(np.zeros(2), like=like, **{key: -0.1})
    opt = cls(np.zeros(2), like=like, **{key: 0.1})
    with pytest.raises(ValueError, match=rf"{key} must be finite and >= 0"):
        opt.param_groups[0][key] = -0.1
    saved = opt.state_dict()
    saved["groups"][0][key] = -0.1
    with pytest.raises(ValueError, match=rf"{key}.* must be finite and >= 0"):
        opt.load_state_dict(saved)


@every_build
@pytest.mark.parametrize(("name", "like", "key"), DECAYS)
@pytest.mark.parametrize("t", [10_001, 123_457, 3_000_000])
def test_an_inverse_time_decay_goes_on(name, like, key, t, build):
    """Against the same step without decay, at the rate that the formula gives."""
    moved = []
    for decay, rate in ((0.1, 0.5), (0.0, 0.5 / (1.0 + (t - 1) * 0.1))):
        with kernels.using(build):
            opt = getattr(lr, name)(np.ones(3), lr=rate, like=like, **{key: decay})
        saved = opt.state_dict()
        opt.load_state_dict({**saved, "step": t - 1})
        report = opt.step(np.array([0.5, -1.0, 2.0]))
        moved.append((report.step, report.lr, opt.params))
    np.testing.assert_equal(moved[0], moved[1])
    assert moved[0][1] == pytest.approx(0.5 / (1 + 0.1 * (t - 1)), rel=1e-15)


@pytest.mark.parametrize("change", ["read-only", "replaced", "resized"])
def test_averages_are_not_swapped_into_parameters_that_changed(change):
    params = [np.arange(3.0), np.arange(4.0)]
    opt = lr.SGD(params, lr=1.0, ema=0.5)
    for _ in range(2):
        opt.step([np.ones(3), np.ones(4)])
    first, second = params
    if change == "read-only":
        second.flags.writeable = False
    elif change == "replaced":
        params[1] = second.copy()
    else:
        second.resize(2, refcheck=False)
    before = first.copy()
    with pytest.raises(ValueError, match=r"params\[1\] must (be writable|stay)"), opt.averaged():
        raise AssertionError("they were swapped in")
    np.testing.assert_array_equal(first, before)
    assert not opt._lock.locked()


@every_build
@pytest.mark.parametrize("order", [(0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)])
@pytest.mark.parametrize("extents", [[(0, 4), (10, 14), (3, 7)], [(0, 12), (20, 24), (4, 8)], [(0, 4), (4, 8), (7, 9)]])
def test_gradients_to_be_zeroed_do_not_overlap_in_any_order(extents, order, build):
    memory = np.ones(30)
    grads = [memory[slice(*extents[k])] for k in order]
    params = [np.zeros(g.size) for g in grads]
    with kernels.using(build):
        opt = lr.SGD(params, lr=1.0)
    with pytest.raises(ValueError, match="must not overlap in memory"):
        opt.step(grads, zero_grad=True)
    assert (memory == 1).all()
    assert not any(p.any() for p in params)
    opt.step(grads)


EPS_INSIDE = ("keras", "optax", "timm")  # the root, in RMSprop and Adagrad


def by_formula(name, like, steps, g, eps, lr_):
    """One parameter after so many steps with one gradient, in Python's floats, as papers and libraries write it."""
    theta, m, v, u = 1.0, 0.0, 0.0, 0.0
    inside = like in EPS_INSIDE
    for t in range(1, steps + 1):
        root = 1.0
        if name in ("Adam", "NAdam"):
            m, v = 0.9 * m + (1 - 0.9) * g, 0.999 * v + (1 - 0.999) * g * g
            root = math.sqrt(1 - 0.999**t)
            # Keras adds eps before the correction of v, the others after it.
            denominator = (math.sqrt(v) + eps) / root if like.startswith("keras") else math.sqrt(v) / root + eps
        if name == "Adam":
            theta -= lr_ * m / (1 - 0.9**t) / denominator
        elif name == "NAdam" and like == "optax":
            hat = 0.9 * m / (1 - 0.9 ** (t + 1)) + (1 - 0.9) * g / (1 - 0.9**t)
            theta -= lr_ * hat / denominator
        elif name == "Adamax":
            m = 0.9 * m + (1 - 0.9) * g
            u = max(0.999 * u, abs(g) + (0.0 if like.startswith("keras") else eps))
            theta -= lr_ / (1 - 0.9**t) * m / (u + (eps if like.startswith("keras") else 0.0))
        elif name == "RMSprop":
            v = 0.9 * v + (1 - 0.9) * g * g
            theta -= lr_ * g / (math.sqrt(v + eps) if inside else math.sqrt(v) + eps)
        elif name == "Adagrad":
            v += g * g
            theta -= lr_ * g / (math.sqrt(v + eps) if inside else math.sqrt(v) + eps)
        elif name == "Adadelta":
            v = 0.9 * v + (1 - 0.9) * g * g
            d = math.sqrt(u + eps) / math.sqrt(v + eps) * g
            u = 0.9 * u + (1 - 0.9) * d * d
            theta -= lr_ * d
    return theta


EPS_CASES = [
    (name, like)
    for name in ("Adam", "NAdam", "Adamax", "RMSprop", "Adagrad", "Adadelta")
    for like in getattr(lr, name).defaults
    if name != "NAdam" or like == "optax"
]
EXTRA = {
    "RMSprop": {"alpha": 0.9, "initial_scale": 0.0},
    "Adadelta": {"rho": 0.9},
    "Adagrad": {"initial_accumulator_value": 0.0},
    "Adam": {"betas": (0.9, 0.999)},
    "Adamax": {"betas": (0.9, 0.999)},
    "NAdam": {"betas": (0.9, 0.999)},
}


@every_build
@pytest.mark.parametrize("steps", [59, 60, 61, 62, 100, 130, 250])
@pytest.mark.parametrize(("name", "like"), EPS_CASES)
def test_eps_stays_where_it_is_after_many_steps(name, like, steps, build):
    eps = 1e-12 if name in ("RMSprop", "Adagrad", "Adadelta") and like in EPS_INSIDE else 1e-6
    extra = {key: value for key, value in EXTRA[name].items() if key in getattr(lr, name).defaults[like]}
    theta = np.ones(1)
    with kernels.using(build):
        opt = getattr(lr, name)(theta, lr=0.01, eps=eps, like=like, **extra)
    for _ in range(steps):
        opt.step(np.array([1e-6]))
    expected = by_formula(name, like, steps, 1e-6, eps, 0.01)
    assert float(theta[0]) - 1 == pytest.approx(expected - 1, rel=1e-9)


@needs_glibc
@pytest.mark.skipif(not kernels.compiled(), reason="without compiled code the arithmetic is the caller's")
@every_build
@pytest.mark.parametrize(("cls", "hyper"), every_optimizer())
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_what_python_computes_does_not_depend_on_the_environment(cls, hyper, dtype, build):
    """Made, changed, stepped and loaded under upward rounding and flush-to-zero: the very same bits."""

    def run():
        with kernels.using(build):
            opt = cls([values.copy(), values[:3].copy()], clip_norm=0.3, ema=0.9, ema_warmup=True, **hyper)
        for key in ("weight_decay", "decay", "lr_decay"):
            if key in opt.param_groups[0]:
                opt.param_groups[0][key] = 0.07
        rates = []
        for k in range(4):
            opt.lr = lrs[k]
            rates.append(opt.next_rate)
            report = opt.step(grads[k], grad_scale=3.0)
            rates += [report.lr, report.grad_norm]
        opt.load_state_dict(opt.state_dict())
        opt.step(grads[0])
        return opt.params, opt.state_dict(), rates

    if "initial_accumulator_value" in cls.defaults[hyper["like"]]:
        hyper = {**hyper, "initial_accumulator_value": 0.7}  # rounded down to float32, to nearest
    # Formed here, so that the test itself computes nothing in the spoiled environment.
    values = np.linspace(-1, 1, 7).astype(dtype)
    grads = [[np.cos(np.arange(7) + k).astype(dtype), np.sin(np.arange(3) - k).astype(dtype)] for k in range(4)]
    lrs = [0.1 / (k + 3) for k in range(4)]
    expected = run()
    with spoiled():
        actual = run()
    np.testing.assert_equal(actual, expected)
