"""Optimizers whose steps follow from sums of what they compute, against libraries and the papers' formulas.

Each runs past step 100 over arrays of different shapes: gradients of 1e-6 at first, zeros, signs that change, a rate
that changes half-way. The formulas here are straight from the equations, in an order of their own.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from peers import timm

import lrcore as lr

Arrays = list[np.ndarray]

SHAPES = ((7,), (3, 4), (1,), (33, 5))
STEPS = 110


def numbers(count: int, seed: int) -> Arrays:
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(shape) for shape in SHAPES for _ in range(count)]


def start() -> Arrays:
    first, second, third, fourth = numbers(1, 1)
    return [first, second, 0.0 * third, fourth]


def gradients() -> Iterator[Arrays]:
    rng = np.random.default_rng(2)
    for step in range(STEPS):
        grads = [rng.standard_normal(shape) * (1e-6 if step < 5 else 1.0) for shape in SHAPES]
        grads[0][0] = 0.0
        if step in (3, 12, 13):
            grads[0][:] = 0.0
        grads[1] = np.abs(grads[1]) * (-1.0) ** (step + np.add.outer(np.arange(3), np.arange(4)))
        grads[3] += 0.3
        yield grads


def rates(rate: float) -> Iterator[float]:
    for step in range(STEPS):
        yield rate if step < STEPS // 2 else rate / 4


def run(step: Callable[[Arrays, Arrays, float], Arrays | None], rate: float) -> Arrays:
    """Parameters after each step, end to end; ``step`` changes them or gives new ones."""
    theta = start()
    rows = []
    for grads, now in zip(gradients(), rates(rate), strict=True):
        theta = step(theta, [g.copy() for g in grads], now) or theta
        rows.append(np.concatenate([np.array(a).ravel() for a in theta]))
    return rows


def ours(name: str, hyper: dict[str, Any], rate: float) -> Arrays:
    opt = None

    def step(theta: Arrays, grads: Arrays, now: float) -> None:
        nonlocal opt
        opt = opt or getattr(lr, name)(theta, lr=now, **hyper)
        opt.lr = now
        opt.step(grads)

    return run(step, rate)


def assert_close(one: Arrays, other: Arrays, rtol: float = 1e-9) -> None:
    """To ``rtol`` of the largest parameter at that step, and to a hundred times that of each by itself."""
    for a, b in zip(one, other, strict=True):
        assert np.isfinite(b).all()
        np.testing.assert_allclose(a, b, rtol=100 * rtol, atol=rtol * np.abs(b).max())


def library(name: str) -> Any:
    return pytest.importorskip(name)


def torch_runs(make: Callable[[Any], Any], rate: float) -> Arrays:
    torch = library("torch")
    tensors: list[Any] = []
    opt = None

    def step(theta: Arrays, grads: Arrays, now: float) -> Arrays:
        nonlocal opt, tensors
        if opt is None:
            tensors = [torch.tensor(a, requires_grad=True) for a in theta]
            opt = make(tensors)
        for group in opt.param_groups:
            group["lr"] = now
        for tensor, g in zip(tensors, grads, strict=True):
            tensor.grad = torch.from_numpy(g)
        opt.step()
        return [tensor.detach().numpy().copy() for tensor in tensors]

    return run(step, rate)


def optax_runs(make: Callable[[Any, float], Any], rate: float) -> Arrays:
    jax, optax = library("jax"), library("optax")
    jax.config.update("jax_enable_x64", True)
    importlib.import_module("optax.contrib")
    state = None

    def step(theta: Arrays, grads: Arrays, now: float) -> Arrays:
        nonlocal state
        transformation = make(optax, now)
        state = transformation.init(theta) if state is None else state
        updates, state = transformation.update(grads, state, theta)
        return [np.array(a) for a in optax.apply_updates(theta, updates)]

    return run(step, rate)


# Against libraries.

WD = {"weight_decay": 0.1}


@pytest.mark.parametrize("hyper", [{}, {**WD, "betas": (0.8, 0.95), "eps": 1e-5}])
def test_lamb_is_that_of_optax(hyper):
    def make(optax, rate):
        b1, b2 = hyper.get("betas", (0.9, 0.999))
        return optax.lamb(rate, b1, b2, hyper.get("eps", 1e-6), weight_decay=hyper.get("weight_decay", 0.0))

    assert_close(ours("LAMB", {"like": "optax", **hyper}, 0.05), optax_runs(make, 0.05))


@pytest.mark.parametrize(
    ("hyper", "theirs"),
    [
        ({}, {}),
        ({"weight_decay": 0.0}, {}),
        ({"weight_decay": 0.0, "always_adapt": True}, {}),
        ({"trust_clip": True, "betas": (0.8, 0.95)}, {}),
        ({"weight_decay": 0.2, "decoupled_weight_decay": True}, {"decoupled_decay": True}),
        ({"bias_correction": False, "grad_averaging": False, "eps": 1e-4}, {}),
    ],
)
def test_lamb_is_that_of_timm(hyper, theirs):
    optim = timm("lamb")
    given = {**{k: v for k, v in hyper.items() if k != "decoupled_weight_decay"}, **theirs}
    expected = torch_runs(lambda p: optim.Lamb(p, lr=0.05, **given), 0.05)
    assert_close(ours("LAMB", {"like": "timm", "clip_norm": 1.0, **hyper}, 0.05), expected)


@pytest.mark.parametrize("hyper", [{}, {**WD, "betas": (0.8, 0.95), "clipping_threshold": 0.5, "eps": 1e-5}])
def test_stable_adamw_is_that_of_timm(hyper):
    optim = timm("adamw")
    expected = torch_runs(lambda p: optim.AdamWLegacy(p, **{"lr": 0.05, "clipping_threshold": 1.0, **hyper}), 0.05)
    assert_close(ours("StableAdamW", {"like": "timm", **hyper}, 0.05), expected)


@pytest.mark.parametrize(
    ("hyper", "theirs"),
    [
        ({}, {}),
        ({**WD, "betas": (0.8, 0.95), "eps": 1e-4}, {}),
        ({**WD, "decoupled_weight_decay": False}, {"weight_decouple": False}),
    ],
)
def test_stable_adamw_is_that_of_pytorch_optimizer(hyper, theirs):
    optim = library("pytorch_optimizer")
    given = {**{k: v for k, v in hyper.items() if k != "decoupled_weight_decay"}, **theirs}
    expected = torch_runs(lambda p: optim.StableAdamW(p, lr=0.05, foreach=False, **given), 0.05)
    assert_close(ours("StableAdamW", {"like": "paper", **hyper}, 0.05), expected)


@pytest.mark.parametrize(
    "hyper",
    [
        {}, {**WD, "eps": 1e-4}, {"init_step": ("distance", 0.01)},
        {"init_step": ("learning_rate", 0.02), "eps": 0.0}, {"init_step": ("heuristic", 1e-3)},
    ],
)  # fmt: skip
def test_dog_is_that_of_optax(hyper):
    def make(optax, rate):
        given = {"init_step": ("heuristic", 1e-6), **hyper}
        return optax.contrib.dog(rate, **given)

    assert_close(ours("DoG", hyper, 1.0), optax_runs(make, 1.0), 1e-8)


@pytest.mark.parametrize("hyper", [{}, {**WD, "eps": 1e-3, "init_estim_sq_dist": 0.01}])
def test_dowg_is_that_of_optax(hyper):
    assert_close(ours("DoWG", hyper, 1.0), optax_runs(lambda o, rate: o.contrib.dowg(rate, **hyper), 1.0), 1e-8)


@pytest.mark.parametrize(
    "hyper",
    [
        {}, {**WD, "betas": (0.8, 0.95), "eps": 1e-4, "estim_lr_coef": 2.0},
        {"beta3": 0.9, "estim_lr0": 1e-3, "safeguard_warmup": True},
    ],
)  # fmt: skip
def test_prodigy_is_that_of_optax(hyper):
    expected = optax_runs(lambda o, rate: o.contrib.prodigy(rate, **hyper), 1.0)
    assert_close(ours("Prodigy", hyper, 1.0), expected, 1e-8)


PRODIGY = {
    "estim_lr0": "d0", "estim_lr_coef": "d_coef", "decoupled_weight_decay": "decouple",
}  # fmt: skip


@pytest.mark.parametrize(
    "hyper",
    [
        {}, {**WD, "betas": (0.8, 0.95), "eps": 1e-4, "estim_lr_coef": 2.0, "use_bias_correction": True},
        {"beta3": 0.9, "estim_lr0": 1e-3, "safeguard_warmup": True, "growth_rate": 1.05},
        {**WD, "decoupled_weight_decay": False, "betas": (0.0, 0.9)},
    ],
)  # fmt: skip
def test_prodigy_is_that_of_prodigyopt(hyper):
    optim = library("prodigyopt")
    given = {PRODIGY.get(k, k): v for k, v in hyper.items()}
    expected = torch_runs(lambda p: optim.Prodigy(p, lr=1.0, **given), 1.0)
    assert_close(ours("Prodigy", {"like": "paper", **hyper}, 1.0), expected, 1e-8)


@pytest.mark.parametrize("hyper", [{}, {**WD, "betas": (0.8, 0.95), "eps": 1e-4, "estim_lr0": 1e-3}])
def test_dadapt_adam_is_that_of_optax(hyper):
    expected = optax_runs(lambda o, rate: o.contrib.dadapt_adamw(rate, **hyper), 1.0)
    assert_close(ours("DAdaptAdam", hyper, 1.0), expected, 1e-8)


@pytest.mark.parametrize(
    "hyper",
    [
        {}, {**WD, "betas": (0.8, 0.95), "eps": 1e-4, "estim_lr0": 1e-3, "use_bias_correction": True},
        {**WD, "decoupled_weight_decay": True, "growth_rate": 1.02},
    ],
)  # fmt: skip
def test_dadapt_adam_is_that_of_dadaptation(hyper):
    optim = library("dadaptation")
    given = {PRODIGY.get(k, k): v for k, v in hyper.items()}
    expected = torch_runs(lambda p: optim.DAdaptAdam(p, lr=1.0, **given), 1.0)
    assert_close(ours("DAdaptAdam", {"like": "paper", **hyper}, 1.0), expected, 1e-8)


@pytest.mark.parametrize("hyper", [{}, {"momentum": 0.9, "d0": 1e-3}, {**WD, "momentum": 0.5, "growth_rate": 1.02}])
def test_dadapt_sgd_is_that_of_dadaptation(hyper):
    optim = library("dadaptation")
    expected = torch_runs(lambda p: optim.DAdaptSGD(p, lr=1.0, **hyper), 1.0)
    assert_close(ours("DAdaptSGD", hyper, 1.0), expected, 1e-8)


@pytest.mark.parametrize(
    ("name", "theirs", "hyper", "given"),
    [
        ("AdamW", "adamw.AdamWLegacy", {"weight_decay": 0.1}, {}),
        ("SGD", "sgdw.SGDW", {"momentum": 0.9}, {}),
        ("SGD", "sgdw.SGDW", {"momentum": 0.9, "nesterov": True}, {}),
        ("SGD", "sgdw.SGDW", {}, {}),
    ],
)
def test_cautious_steps_are_those_of_timm(name, theirs, hyper, given):
    module, cls = theirs.split(".")
    optim = timm(module)
    expected = torch_runs(
        lambda p: getattr(optim, cls)(p, lr=0.05, caution=True, **{"weight_decay": 0.0, **hyper}), 0.05
    )
    assert_close(ours(name, {"cautious": True, **hyper}, 0.05), expected)


# Against the formulas, written out.


def plain(make: Callable[[Arrays], Callable[[int, Arrays, Arrays, float], Arrays]], rate: float) -> Arrays:
    """``make`` of the parameters at first gives the step: its number, parameters, gradients, rate."""
    formula: Any = None
    t = 0

    def step(theta: Arrays, grads: Arrays, now: float) -> Arrays:
        nonlocal formula, t
        formula = formula or make([a.copy() for a in theta])
        t += 1
        return formula(t, theta, grads, now)

    return run(step, rate)


class Moments:
    """Exponential averages of gradients, and of their squares, for each array, corrected for their start if asked."""

    def __init__(self, betas: tuple[float, float], corrected: bool = True) -> None:
        self.betas, self.corrected = betas, corrected
        self.m: dict[int, Any] = {}
        self.v: dict[int, Any] = {}

    def __call__(self, k: int, t: int, g: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        b1, b2 = self.betas
        self.m[k] = b1 * self.m.get(k, 0.0) + (1 - b1) * g
        self.v[k] = b2 * self.v.get(k, 0.0) + (1 - b2) * g**2
        return (self.m[k] / (1 - b1**t), self.v[k] / (1 - b2**t)) if self.corrected else (self.m[k], self.v[k])


def size(a: np.ndarray) -> float:
    return float(np.sqrt(np.sum(a**2)))


def norm(arrays: Arrays) -> float:
    return float(np.sqrt(sum(np.sum(a**2) for a in arrays)))


@pytest.mark.parametrize("like", ["optax", "paper", "keras", "timm"])
@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_lamb(like, decay):
    betas, eps = (0.8, 0.95), 1e-4

    def make(first):
        moments = Moments(betas)

        def step(t, theta, grads, rate):
            moved = []
            for k, (w, g) in enumerate(zip(theta, grads, strict=True)):
                m, v = moments(k, t, g)
                u = m / (np.sqrt(v) + eps)
                if like == "keras":
                    w = w * (1 - rate * decay)
                else:
                    u = u + decay * w
                ratio = size(w) / size(u) if size(w) and size(u) else 1.0
                if like == "timm" and not decay:
                    ratio = 1.0
                moved.append(w - rate * ratio * u)
            return moved

        return step

    hyper = {"like": like, "betas": betas, "eps": eps, "weight_decay": decay}
    assert_close(ours("LAMB", hyper, 0.05), plain(make, 0.05))


@pytest.mark.parametrize("like", ["paper", "timm"])
def test_stable_adamw(like):
    betas, eps, decay = (0.9, 0.95), 1e-3, 0.1

    def make(first):
        moments = Moments(betas)

        def step(t, theta, grads, rate):
            moved = []
            for k, (w, g) in enumerate(zip(theta, grads, strict=True)):
                m, v = moments(k, t, g)
                if like == "paper":
                    pace = rate / max(1.0, np.sqrt(np.mean(g**2 / np.maximum(v, eps**2))))
                    w = w - pace * decay * w
                else:
                    pace = rate / max(1.0, np.sqrt(np.mean((g / (np.sqrt(v) + eps)) ** 2)) / 0.7)
                    w = w - rate * decay * w
                moved.append(w - pace * m / (np.sqrt(v) + eps))
            return moved

        return step

    hyper = {"like": like, "betas": betas, "eps": eps, "weight_decay": decay}
    if like == "timm":
        hyper["clipping_threshold"] = 0.7
    assert_close(ours("StableAdamW", hyper, 0.05), plain(make, 0.05))


@pytest.mark.parametrize("kind", ["heuristic", "distance", "learning_rate"])
def test_dog(kind):
    eps, decay = 1e-6, 0.05

    def make(first):
        far = {"heuristic": 0.01 * (1 + norm(first)), "distance": 0.01, "learning_rate": 0.0}[kind]
        squares = 0.0

        def step(t, theta, grads, rate):
            nonlocal far, squares
            grads = [g + decay * w for g, w in zip(grads, theta, strict=True)]
            far = max(far, norm([w - w0 for w, w0 in zip(theta, first, strict=True)]))
            squares += norm(grads) ** 2
            pace = 0.01 if kind == "learning_rate" and t == 1 else far / np.sqrt(squares + eps)
            return [w - rate * pace * g for w, g in zip(theta, grads, strict=True)]

        return step

    hyper = {"init_step": (kind, 0.01), "eps": eps, "weight_decay": decay}
    assert_close(ours("DoG", hyper, 1.0), plain(make, 1.0), 1e-8)


def test_dowg():
    def make(first):
        far, squares = 1e-4, 0.0

        def step(t, theta, grads, rate):
            nonlocal far, squares
            far = max(far, norm([w - w0 for w, w0 in zip(theta, first, strict=True)]) ** 2)
            squares += far * norm(grads) ** 2
            return [w - rate * far / (np.sqrt(squares) + 1e-4) * g for w, g in zip(theta, grads, strict=True)]

        return step

    assert_close(ours("DoWG", {}, 1.0), plain(make, 1.0), 1e-8)


@pytest.mark.parametrize("like", ["optax", "paper"])
def test_prodigy(like):
    betas, eps, decay, d0, grows = (0.8, 0.95), 1e-4, 0.1, 1e-3, 1.1
    b1, b2 = betas
    b3 = np.sqrt(b2)

    def make(first):
        m, v, s = ([np.zeros_like(a) for a in first] for _ in range(3))
        d = largest = d0
        number = 0.0

        def step(t, theta, grads, rate):
            nonlocal d, largest, number
            pace = d * rate * (np.sqrt(1 - b2**t) / (1 - b1**t) if like == "optax" else 1.0)
            number = b3 * number
            for k, g in enumerate(grads):
                number += d / d0 * pace * np.sum(g * (first[k] - theta[k]))
                m[k] = b1 * m[k] + (1 - b1) * d * g
                v[k] = b2 * v[k] + (1 - b2) * (d * g) ** 2
                s[k] = b3 * s[k] + d / d0 * pace * g
            estimate = number / sum(np.sum(np.abs(a)) for a in s)
            if like == "optax":
                d = max(d, estimate)
            else:
                d = max(d, estimate) if d == d0 else d
                largest = max(largest, estimate)
                d = min(largest, d * grows)
            return [
                w - decay * pace * w - pace * a / (np.sqrt(b) + d * eps) for w, a, b in zip(theta, m, v, strict=True)
            ]

        return step

    hyper = {"like": like, "betas": betas, "eps": eps, "weight_decay": decay, "estim_lr0": d0}
    if like == "paper":
        hyper["growth_rate"] = grows
    assert_close(ours("Prodigy", hyper, 1.0), plain(make, 1.0), 1e-8)


@pytest.mark.parametrize("like", ["optax", "paper"])
def test_dadapt_adam(like):
    betas, eps, decay, d0 = (0.8, 0.95), 1e-4, 0.1, 1e-3
    b1, b2 = betas
    b3 = np.sqrt(b2)

    def make(first):
        m, v, s = ([np.zeros_like(a) for a in first] for _ in range(3))
        d, number = d0, 0.0

        def step(t, theta, grads, rate):
            nonlocal d, number
            pace = d * rate * (np.sqrt(1 - b2**t) / (1 - b1**t) if like == "optax" else 1.0)
            if like == "paper":
                grads = [g + decay * w for g, w in zip(grads, theta, strict=True)]
            products = sum(np.sum(g * s[k] / (np.sqrt(v[k]) + eps)) for k, g in enumerate(grads))
            number = b3 * number + (1 - b3) * pace * products
            for k, g in enumerate(grads):
                m[k] = b1 * m[k] + (1 - b1) * pace * g
                v[k] = b2 * v[k] + (1 - b2) * g**2
                s[k] = b3 * s[k] + (1 - b3) * pace * g
            d = max(d, number / ((1 - b3) * sum(np.sum(np.abs(a)) for a in s)))
            kept = 1 - decay * pace if like == "optax" else 1.0
            return [kept * w - a / (np.sqrt(b) + eps) for w, a, b in zip(theta, m, v, strict=True)]

        return step

    hyper = {"like": like, "betas": betas, "eps": eps, "weight_decay": decay, "estim_lr0": d0}
    assert_close(ours("DAdaptAdam", hyper, 1.0), plain(make, 1.0), 1e-8)


def test_dadapt_sgd():
    momentum, d0 = 0.7, 1e-3

    def make(first):
        s = [np.zeros_like(a) for a in first]
        d, number, g0 = d0, 0.0, 0.0

        def step(t, theta, grads, rate):
            nonlocal d, number, g0, s
            g0 = norm(grads) if t == 1 else g0
            pace = d * rate / g0
            number += pace * sum(np.sum(g * a) for g, a in zip(grads, s, strict=True))
            s = [a + pace * g for a, g in zip(s, grads, strict=True)]
            d = max(d, 2 * number / norm(s))
            return [momentum * w + (1 - momentum) * (w0 - a) for w, w0, a in zip(theta, first, s, strict=True)]

        return step

    assert_close(ours("DAdaptSGD", {"momentum": momentum, "d0": d0}, 1.0), plain(make, 1.0), 1e-8)


CAUTIOUS = [
    ("AdamW", {"weight_decay": 0.1, "betas": (0.8, 0.95)}),
    ("Adam", {"weight_decay": 0.1, "like": "keras", "betas": (0.8, 0.95)}),
    ("NAdam", {"like": "optax", "betas": (0.8, 0.95)}),
    ("SGD", {"momentum": 0.8}),
    ("SGD", {"momentum": 0.8, "nesterov": True}),
]


@pytest.mark.parametrize(("name", "hyper"), CAUTIOUS)
def test_cautious(name, hyper):
    """Where the direction and the gradient agree in sign, divided by the share of elements where they do."""
    decay = hyper.get("weight_decay", 0.0)

    def make(first):
        b1, b2 = hyper.get("betas", (0.9, 0.999))
        moments = Moments((b1, b2))
        velocity = [np.zeros_like(a) for a in first]

        def direction(k, t, g):
            if name == "SGD":
                velocity[k] = 0.8 * velocity[k] + g
                return g + 0.8 * velocity[k] if hyper.get("nesterov") else velocity[k]
            m, v = moments(k, t, g)
            if name == "NAdam":
                m = (1 - b1) / (1 - b1**t) * g + b1 / (1 - b1 ** (t + 1)) * moments.m[k]
            eps = 1e-7 / np.sqrt(1 - b2**t) if hyper.get("like") == "keras" else 1e-8
            return m / (np.sqrt(v) + eps)

        def step(t, theta, grads, rate):
            moved = []
            for k, (w, g) in enumerate(zip(theta, grads, strict=True)):
                u = direction(k, t, g)
                agrees = np.sign(u) * np.sign(g) > 0
                moved.append(w * (1 - rate * decay) - rate * np.where(agrees, u, 0) / max(np.mean(agrees), 1e-3))
            return moved

        return step

    assert_close(ours(name, {**hyper, "cautious": True}, 0.05), plain(make, 0.05))
