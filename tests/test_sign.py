"""Optimizers that go by a sign: against the libraries that have them, their papers, and NaN and zero."""

import numpy as np
import pytest
from conftest import BUILDS
from peers import assert_agree, formula, ours, timm, torchs

import lrcore as lr
from lrcore import kernels

BETAS = (0.8, 0.95)

FORMULAS = {
    "Lion": {"betas": BETAS, "weight_decay": 0.1},
    "Lion without decay": {"betas": (0.9, 0.99), "weight_decay": 0.0},
    "SignSGD": {},
    "Signum": {"beta": 0.9},
    "Tiger": {"beta": 0.965, "weight_decay": 0.01},
    "Rprop": {"etas": (0.5, 1.2), "step_sizes": (1e-6, 50.0)},
}


def by_the_papers(name, hyper):
    """Chen et al. 2023, algorithm 2; Bernstein et al. 2018, algorithms 1 and 2; Igel & Huesken 2000, iRprop-."""

    def lion(theta, g, state, t, eta, betas, weight_decay=0.0):
        m = state.get("m", 0.0)
        update = np.sign(betas[0] * m + (1 - betas[0]) * g)
        state["m"] = betas[1] * m + (1 - betas[1]) * g
        return theta - eta * (update + weight_decay * theta)

    def momentum(theta, g, state, t, eta, beta, weight_decay=0.0):
        state["m"] = beta * state.get("m", 0.0) + (1 - beta) * g
        return theta - eta * weight_decay * theta - eta * np.sign(state["m"])

    def rprop(theta, g, state, t, eta, etas, step_sizes):
        before, size = state.get("g", np.zeros_like(g)), state.get("size", np.full_like(g, eta))
        g, theta, size = g.copy(), theta.copy(), size.copy()
        for i in np.ndindex(g.shape):
            if g[i] * before[i] > 0:
                size[i] = size[i] * etas[1]
            elif g[i] * before[i] < 0:
                size[i] = size[i] * etas[0]
                g[i] = 0.0
            size[i] = min(max(size[i], step_sizes[0]), step_sizes[1])
            theta[i] -= np.sign(g[i]) * size[i]
        state.update(g=g, size=size)
        return theta

    update = {"Lion": lion, "Signum": momentum, "Tiger": momentum, "Rprop": rprop}.get(name.partition(" ")[0])
    if update is None:
        return formula(lambda theta, g, state, t, eta: theta - eta * np.sign(g))
    return formula(lambda *given: update(*given, **hyper))


@pytest.mark.parametrize("name", FORMULAS)
def test_by_the_papers(name):
    hyper = FORMULAS[name]
    assert_agree(ours(getattr(lr, name.partition(" ")[0]), **hyper), by_the_papers(name, hyper))


@pytest.mark.parametrize("hyper", [{}, {"betas": BETAS, "weight_decay": 0.1}], ids=["defaults", "all"])
def test_lion_of_timm(hyper):
    assert_agree(ours(lr.Lion, like="timm", **hyper), torchs(timm("lion").Lion, **hyper))


@pytest.mark.parametrize("decoupled", [True, False])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_sign_descent_of_pytorch_optimizer(momentum, decoupled):
    theirs = pytest.importorskip("pytorch_optimizer").SignSGD
    hyper = {"momentum": momentum, "weight_decay": 0.1}
    assert_agree(
        ours(lr.SignSGD, like="pytorch_optimizer", decoupled_weight_decay=decoupled, **hyper),
        torchs(theirs, weight_decouple=decoupled, **hyper),
    )


def test_tiger_of_pytorch_optimizer():
    theirs = pytest.importorskip("pytorch_optimizer").Tiger
    assert_agree(ours(lr.Tiger), torchs(theirs))
    hyper = {"beta": 0.7, "weight_decay": 0.2}
    assert_agree(ours(lr.Tiger, **hyper), torchs(theirs, **hyper))


def test_rprop_of_torch():
    theirs = pytest.importorskip("torch").optim.Rprop
    assert_agree(ours(lr.Rprop), torchs(theirs))
    hyper = {"etas": (0.3, 1.7), "step_sizes": (0.04, 0.3)}
    assert_agree(ours(lr.Rprop, **hyper), torchs(theirs, **hyper))


def test_lion_needs_a_rate_and_has_the_decay_of_optax():
    with pytest.raises(TypeError, match="lr must be given: optax has no default for it in Lion"):
        lr.Lion(np.ones(3))
    w = np.ones(3)
    lr.Lion(w, lr=1e-4).step(np.array([1.0, -2.0, 0.0]))
    np.testing.assert_allclose(w, 1 - 1e-4 * (np.array([1.0, -1.0, 0.0]) + 1e-3), rtol=1e-15)


def test_momentum_is_lion_with_equal_betas_to_the_bit():
    lion = ours(lr.Lion, betas=(0.7, 0.7), weight_decay=0.0)
    for cls, hyper in ((lr.Signum, {"beta": 0.7}), (lr.SignSGD, {"momentum": 0.7})):
        np.testing.assert_array_equal(ours(cls, **hyper), lion)
    decayed = ours(lr.Lion, betas=(0.7, 0.7), weight_decay=0.1)
    np.testing.assert_array_equal(ours(lr.Tiger, beta=0.7, weight_decay=0.1), decayed)


ALL = [
    (lr.Lion, {"lr": 0.1, "weight_decay": 0.0}),
    (lr.SignSGD, {"lr": 0.1}),
    (lr.SignSGD, {"lr": 0.1, "momentum": 0.9}),
    (lr.Signum, {"lr": 0.1}),
    (lr.Tiger, {"weight_decay": 0.0}),
    (lr.Rprop, {}),
]


@pytest.mark.parametrize("build", BUILDS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("cls", "hyper"), ALL)
def test_a_nan_comes_through_a_sign_and_zero_does_not_move(cls, hyper, dtype, build):
    w = np.ones(5, dtype)
    with kernels.using(build):
        opt = cls(w, **hyper)
    opt.step(np.array([np.nan, 0.0, -0.0, 1.0, np.inf], dtype))
    assert np.isnan(w[0])
    np.testing.assert_array_equal(w[1:3], 1)
    assert (w[3:] < 1).all()
    opt.step(np.zeros(5, dtype))
    assert np.isnan(w[0])


@pytest.mark.parametrize("build", BUILDS)
def test_rprop_compares_signs_where_a_product_would_vanish(build):
    w = np.zeros(2, np.float32)
    with kernels.using(build):
        opt = lr.Rprop(w, lr=1.0)
    tiny = np.float32(1e-30)
    opt.step(np.array([tiny, tiny]))
    opt.step(np.array([tiny, -tiny]))
    np.testing.assert_array_equal(w, np.array([-2.2, -1.0], np.float32))
    opt.step(np.array([tiny, -tiny]))
    np.testing.assert_allclose(w, np.array([-3.64, -0.5], np.float32), rtol=1e-6)


def test_rprop_begins_at_the_rate_of_each_parameters_first_step():
    w, late = np.zeros(1), np.zeros(1)
    opt = lr.Rprop([w, late], lr=0.25)
    opt.step([np.ones(1), None])
    opt.lr = 0.5
    opt.step([np.ones(1), None])
    opt.step([np.ones(1), np.ones(1)])
    np.testing.assert_allclose(w, -(0.25 + 0.3 + 0.36), rtol=1e-15)
    np.testing.assert_array_equal(late, -0.5)


@pytest.mark.parametrize(
    ("hyper", "error", "message"),
    [
        ({"etas": (0.5, 0.9)}, ValueError, r"etas\[1\] must be in \(1, inf\), got 0.9"),
        ({"etas": (1.0, 1.2)}, ValueError, r"etas\[0\] must be in \(0, 1\), got 1.0"),
        ({"etas": 0.5}, TypeError, "etas must be a pair of numbers, got 0.5"),
        ({"step_sizes": (1.0, 2.0, 3.0)}, ValueError, "step_sizes must be a pair of numbers, got 3 of them"),
        ({"step_sizes": (2.0, 1.0)}, ValueError, r"step_sizes must be the smallest and the largest, got \(2.0, 1.0\)"),
    ],
)
def test_pairs_of_rprop_are_checked(hyper, error, message):
    w = np.ones(2)
    with pytest.raises(error, match=message):
        lr.Rprop(w, **hyper)
    opt = lr.Rprop(w)
    for name, value in hyper.items():
        with pytest.raises(error, match=message):
            opt.param_groups[0][name] = value
    assert opt.param_groups[0]["etas"] == (0.5, 1.2)
