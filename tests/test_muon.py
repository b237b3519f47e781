"""Muon: the formula written out, other libraries, what goes by AdamW, memory."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from conftest import BUILDS

import lrcore as lr
from lrcore import kernels

SHAPES = ((3, 4), (7,), (30, 12), (2, 3, 4), (1, 5), (6, 6), (0, 3), ())
QUINTIC = (3.4445, -4.7750, 2.0315)


def inputs(steps, dtype=np.float64):
    """Parameters and gradients, which are tiny at first and now and then zero."""
    rng = np.random.default_rng(0)
    params = [np.asarray(rng.standard_normal(shape), dtype) for shape in SHAPES]
    rounds = [
        [
            np.asarray(rng.standard_normal(shape) * (1e-6 if step < 5 else 2.0) * (step % 11 != 7 or k != 2), dtype)
            for k, shape in enumerate(SHAPES)
        ]
        for step in range(steps)
    ]
    return params, rounds


def rate_of(step):
    return 0.05 if step < 35 else 0.013


def run(hyper, params, rounds):
    opt = lr.Muon(params, **{"lr": 0.1, **hyper})
    for step, grads in enumerate(rounds):
        opt.lr = rate_of(step)
        opt.step(grads)
    return opt


def orthogonalized(x, steps, norm):
    """Jordan et al. 2024, for a matrix that is no taller than wide."""
    a, b, c = QUINTIC
    if x.shape[0] > x.shape[1]:
        return orthogonalized(x.T, steps, norm).T
    x = x / norm(np.sqrt((x**2).sum()))
    for _ in range(steps):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x


def muon(like, param, grads, nesterov, decay, rms_rate):
    """Of one matrix, in place, as each library has it."""
    mu, (n, m) = 0.95, param.shape
    velocity = np.zeros_like(param)
    for t, g in enumerate(grads, 1):
        velocity = mu * velocity + (g if like == "keras" else (1 - mu) * g)
        if like == "keras":
            x = g + mu * velocity if nesterov else velocity
        elif like == "torch":
            x = (1 - mu) * g + mu * velocity if nesterov else velocity
        else:
            x = velocity / (1 - mu**t)
            if nesterov:
                x = (1 - mu) * g / (1 - mu**t) + mu * velocity / (1 - mu ** (t + 1))
        norm = {"torch": lambda x: max(x, 1e-7), "keras": lambda x: x + 1e-7, "optax": lambda x: x + 1e-8}[like]
        scale = {"torch": np.sqrt(max(1, n / m)), "keras": 1.0, "optax": np.sqrt(max(1, m / n))}[like]
        scale = rms_rate * np.sqrt(max(n, m)) if rms_rate else scale
        rate = rate_of(t - 1)
        param *= 1 - rate * decay
        param -= rate * scale * orthogonalized(x, 5, norm)


def adamw(like, param, grads, nesterov, eps, decay):
    m = v = 0.0
    for t, g in enumerate(grads, 1):
        rate = rate_of(t - 1)
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        corrected = m / (1 - 0.9**t)
        if like == "optax" and nesterov:
            corrected = 0.9 * m / (1 - 0.9 ** (t + 1)) + 0.1 * g / (1 - 0.9**t)
        below = np.sqrt(v / (1 - 0.999**t))
        below = below + (eps / np.sqrt(1 - 0.999**t) if like == "keras" else eps)
        param[...] = (1 - rate * decay) * param - rate * corrected / below


@pytest.mark.parametrize("steps", [70, 130])
@pytest.mark.parametrize("nesterov", [True, False])
@pytest.mark.parametrize("like", ["torch", "keras", "optax"])
def test_matrices_by_muon_and_the_rest_by_adamw(like, nesterov, steps):
    params, rounds = inputs(steps)
    expected = [p.copy() for p in params]
    eps, decay = {"torch": (1e-8, 1e-2), "keras": (1e-7, 4e-3), "optax": (1e-8, 0.0)}[like]
    for k, param in enumerate(expected):
        grads = [each[k] for each in rounds]
        if param.ndim == 2 and param.size:
            muon(like, param, grads, nesterov, 0.03, 0.2 if like == "keras" else 0.0)
        elif param.ndim != 2:
            adamw(like, param, grads, nesterov, eps, decay)
    run({"like": like, "nesterov": nesterov, "weight_decay": 0.03}, params, rounds)
    for mine, theirs in zip(params, expected, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-9, atol=1e-11)


def test_a_direction_is_nearly_orthogonal():
    """Singular values of the change from about 0.7 to 1.2, where those of the gradient are from 1 to 30."""
    rng = np.random.default_rng(0)
    u, _ = np.linalg.qr(rng.standard_normal((60, 20)))
    v, _ = np.linalg.qr(rng.standard_normal((20, 20)))
    g = u * np.geomspace(1, 30, 20) @ v
    w = np.zeros((60, 20))
    lr.Muon(w, lr=1.0, like="keras", rms_rate=0.0).step(g)
    values = np.linalg.svd(-w, compute_uv=False)
    assert 0.6 < values.min() < values.max() < 1.3
    np.testing.assert_allclose(np.linalg.svd(u.T @ -w @ v.T, compute_uv=False), values, rtol=1e-10)
    assert (np.diag(u.T @ -w @ v.T) > 0.6).all()


def test_against_torch_in_bfloat16():
    """Its matrices have 8 bits of precision: directions agree to some hundredths of their length."""
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(1)
    w = rng.standard_normal((30, 12))
    theirs = torch.tensor(w)
    opt = torch.optim.Muon([theirs], lr=0.05, weight_decay=0.1)
    mine = lr.Muon(w, lr=0.05, weight_decay=0.1)
    for _ in range(10):
        before, other_before = w.copy(), theirs.numpy().copy()
        g = rng.standard_normal((30, 12))
        theirs.grad = torch.tensor(g)
        opt.step()
        mine.step(g)
        change, other = w - before, theirs.numpy() - other_before
        assert np.linalg.norm(change - other) < 0.05 * np.linalg.norm(other)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_build_has_the_same_bits_on_one_machine(dtype):
    params, rounds = inputs(4, dtype)

    def made(build, wrap):
        mine = wrap([p.copy() for p in params])
        with kernels.using(build):
            opt = lr.Muon(mine, lr=0.1, clip_value=1.0, ema=0.9, clip_norm=10.0)
        for grads in rounds:
            opt.step(grads if wrap is list else dict(zip(mine, grads, strict=True)), grad_scale=2.0)
        return list(mine if wrap is list else mine.values()), opt.state_dict()["state"]

    expected = made("reference", list)
    for build in BUILDS:
        np.testing.assert_equal(made(build, list), expected)
        np.testing.assert_equal(made(build, lr.ParameterBuffer), expected)


def test_groups_choose_which_matrices():
    params, rounds = inputs(5)
    head, weights = params[2].copy(), params[0].copy()
    opt = lr.Muon([{"params": weights}, {"params": head, "use_muon": False, "adam_weight_decay": 0.5}], lr=0.05)
    assert {name: set(arrays) for name, arrays in opt.state_dict()["state"].items()} == {"0": {"b"}, "1": {"m", "v"}}
    other, alone = params[2].copy(), params[0].copy()
    adam, plain = lr.AdamW(other, lr=0.05, weight_decay=0.5), lr.Muon(alone, lr=0.05)
    for grads in rounds:
        opt.step([grads[0], grads[2]])
        adam.step(grads[2])
        plain.step(grads[0])
    np.testing.assert_equal(weights, alone)
    np.testing.assert_allclose(head, other, rtol=1e-12)
    with pytest.raises(ValueError, match="use_muon must be given when the optimizer is made"):
        opt.param_groups[0]["use_muon"] = False


def test_a_matrix_without_gradient_rests_and_one_of_zeros_only_decays():
    w, u = np.ones((3, 4)), np.ones((2, 2))
    opt = lr.Muon([w, u], lr=0.5, weight_decay=0.1)
    opt.step([None, np.zeros((2, 2))])
    assert (w == 1.0).all()
    np.testing.assert_allclose(u, 0.95, rtol=1e-15)
    opt.step([np.full((3, 4), np.nan), np.zeros((2, 2))])
    assert np.isnan(w).all()
    assert np.isfinite(u).all()


@pytest.mark.parametrize("build", kernels.compiled())
def test_a_step_allocates_nothing_of_the_models_size(build):
    w, u = np.ones((300, 200)), np.ones((200, 250))
    with kernels.using(build):
        opt = lr.Muon([w, u])
    opt.step([w * 1, u * 1])
    grads = [w * 0.5, u * 0.5]
    tracemalloc.start()
    opt.step(grads)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20_000
