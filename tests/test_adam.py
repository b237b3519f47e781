"""Kin of Adam, of RMSprop and of descent: each against its formula, written out plainly, and against its library.

Over more than a hundred steps of what ``tests/conventions.py`` has: tiny gradients at first, zeros, signs that change,
a rate that falls half-way, several shapes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from inspect import signature
from typing import Any

import conventions
import numpy as np
import pytest
from conftest import BUILDS
from peers import STEPS, rate, timm, torchs

import lrcore as lr
from lrcore import kernels

Formula = Callable[..., Any]


def gradients() -> list[list[np.ndarray]]:
    every = []
    for step, flat in enumerate(conventions._uniform(STEPS * 20, seed=3).reshape(STEPS, 20)):
        first, second, last = conventions._split(flat * (1e-6 if step < 7 else 2.0))
        first[0] = 0.0
        if step in (3, 12, 13, 90):
            first[:] = 0.0
        every.append([first, np.abs(second) * (-1.0) ** (step + np.arange(12).reshape(3, 4)), last])
    return every


GRADIENTS = gradients()


def ours(name: str, hyper: dict[str, Any]) -> np.ndarray:
    """Parameters, end to end, after every step."""
    params = conventions.initial_parameters()
    opt = getattr(lr, name)(params, lr=rate(0), **hyper)
    rows = []
    for k, grads in enumerate(GRADIENTS):
        opt.lr = rate(k)
        opt.step(grads)
        rows.append(np.concatenate([array.ravel() for array in params]))
    return np.array(rows)


# The formulas: parameters after step t of a gradient g, at a rate; s is what is remembered, by name, at first 0.


def averages(s: dict[str, Any], t: int, g: Any, betas: tuple[float, float]) -> tuple[Any, Any, Any, Any]:
    """m and v, and both corrected for their start at zero."""
    beta1, beta2 = betas
    m = s["m"] = beta1 * s.get("m", 0.0) + (1 - beta1) * g
    v = s["v"] = beta2 * s.get("v", 0.0) + (1 - beta2) * g**2
    return m, v, m / (1 - beta1**t), v / (1 - beta2**t)


def looked_ahead(m: Any, g: Any, t: int, beta1: float) -> Any:
    return beta1 * m / (1 - beta1 ** (t + 1)) + (1 - beta1) * g / (1 - beta1**t)


def radam(
    t: int, theta: Any, g: Any, lr_: float, s: dict[str, Any], like: str = "torch", betas: Any = (0.9, 0.999),
    eps: float = 1e-8, weight_decay: float = 0.0, decoupled_weight_decay: bool = False, eps_root: float = 0.0,
    threshold: float = 5.0, nesterov: bool = False,
) -> Any:  # fmt: skip
    if decoupled_weight_decay or like == "timm":
        theta = theta - lr_ * weight_decay * theta
    else:
        g = g + weight_decay * theta
    m, v, m_hat, v_hat = averages(s, t, g, betas)
    if nesterov:
        m_hat = looked_ahead(m, g, t, betas[0])
    last = 2 / (1 - betas[1]) - 1
    rho = last - 2 * t * betas[1] ** t / (1 - betas[1] ** t)
    if not (rho > 5 if like == "torch" else rho >= threshold) or last <= 4:
        return theta - lr_ * m_hat
    r = math.sqrt((rho - 4) * (rho - 2) * last / ((last - 4) * (last - 2) * rho))
    if like == "optax":
        return theta - lr_ * r * m_hat / (np.sqrt(v_hat + eps_root) + eps)
    return theta - lr_ * r * m_hat * math.sqrt(1 - betas[1] ** t) / (np.sqrt(v) + eps)


def adamw(
    t: int, theta: Any, g: Any, lr_: float, s: dict[str, Any], betas: Any = (0.9, 0.999), eps: float = 1e-8,
    eps_root: float = 0.0, weight_decay: float = 0.0, nesterov: bool = False,
) -> Any:  # fmt: skip
    m, _, m_hat, v_hat = averages(s, t, g, betas)
    if nesterov:
        m_hat = looked_ahead(m, g, t, betas[0])
    return theta - lr_ * (m_hat / (np.sqrt(v_hat + eps_root) + eps) + weight_decay * theta)


def nadamw(
    t: int, theta: Any, g: Any, lr_: float, s: dict[str, Any], like: str = "optax", betas: Any = (0.9, 0.999),
    eps: float = 1e-8, eps_root: float = 0.0, weight_decay: float | None = None,
) -> Any:  # fmt: skip
    if like == "optax":
        decay = 1e-4 if weight_decay is None else weight_decay
        return adamw(t, theta, g, lr_, s, betas, eps, eps_root, decay, nesterov=True)
    theta = theta * (1 - lr_ * (1e-2 if weight_decay is None else weight_decay))
    m, _, _, v_hat = averages(s, t, g, betas)
    return theta - lr_ / (1 - betas[0] ** t) * (betas[0] * m + (1 - betas[0]) * g) / (np.sqrt(v_hat) + eps)


def amsgrad(
    t: int, theta: Any, g: Any, lr_: float, s: dict[str, Any], betas: Any = (0.9, 0.999), eps: float = 1e-8,
    eps_root: float = 0.0, bias_correction_mu: bool = True, bias_correction_nu: bool = True,
) -> Any:  # fmt: skip
    m, v, m_hat, v_hat = averages(s, t, g, betas)
    s["largest"] = np.maximum(s.get("largest", 0.0), v_hat if bias_correction_nu else v)
    return theta - lr_ * (m_hat if bias_correction_mu else m) / (np.sqrt(s["largest"] + eps_root) + eps)


def adamaxw(
    t: int, theta: Any, g: Any, lr_: float, s: dict[str, Any], betas: Any = (0.9, 0.999), eps: float = 1e-8,
    weight_decay: float = 1e-4,
) -> Any:  # fmt: skip
    s["m"] = betas[0] * s.get("m", 0.0) + (1 - betas[0]) * g
    s["u"] = np.maximum(betas[1] * s.get("u", 0.0), np.abs(g) + eps)
    return theta - lr_ * (s["m"] / (1 - betas[0] ** t) / s["u"] + weight_decay * theta)


def simplified_ademamix(
    t: int, theta: Any, g: Any, lr_: float, s: dict[str, Any], betas: Any = (0.99, 0.95), alpha: float = 0.0,
    eps: float = 1e-8, eps_root: float = 0.0, weight_decay: float = 0.0,
) -> Any:  # fmt: skip
    s["sum"] = betas[0] * s.get("sum", 0.0) + g
    _, _, _, v_hat = averages(s, t, g, betas)
    return theta - lr_ * ((s["sum"] + alpha * g) / (np.sqrt(v_hat + eps_root) + eps) + weight_decay * theta)


def qhadam(
    t: int, theta: Any, g: Any, lr_: float, s: dict[str, Any], betas: Any = (0.9, 0.999), nus: Any = (1.0, 1.0),
    eps: float = 1e-8, weight_decay: float = 0.0, decoupled_weight_decay: bool = False,
) -> Any:  # fmt: skip
    if decoupled_weight_decay:
        theta = theta - lr_ * weight_decay * theta
    else:
        g = g + weight_decay * theta
    _, _, m_hat, v_hat = averages(s, t, g, betas)
    numerator = (1 - nus[0]) * g + nus[0] * m_hat
    return theta - lr_ * numerator / (np.sqrt((1 - nus[1]) * g**2 + nus[1] * v_hat) + eps)


def qhm(
    t: int, theta: Any, g: Any, lr_: float, s: dict[str, Any], momentum: float = 0.999, nu: float = 0.7,
    weight_decay: float = 0.0, decoupled_weight_decay: bool = False,
) -> Any:  # fmt: skip
    if decoupled_weight_decay:
        theta = theta - lr_ * weight_decay * theta
    else:
        g = g + weight_decay * theta
    s["b"] = momentum * s.get("b", 0.0) + (1 - momentum) * g
    return theta - lr_ * ((1 - nu) * g + nu * s["b"])


def sgdw(
    t: int, theta: Any, g: Any, lr_: float, s: dict[str, Any], momentum: float = 0.0, dampening: float = 0.0,
    weight_decay: float = 0.0, nesterov: bool = False,
) -> Any:  # fmt: skip
    theta = theta - lr_ * weight_decay * theta
    s["b"] = g if t == 1 else momentum * s["b"] + (1 - dampening) * g
    return theta - lr_ * (g + momentum * s["b"] if nesterov else s["b"])


def laprop(
    t: int, theta: Any, g: Any, lr_: float, s: dict[str, Any], betas: Any = (0.9, 0.999), eps: float = 1e-15,
    weight_decay: float = 0.0,
) -> Any:  # fmt: skip
    _, _, _, v_hat = averages(s, t, g, betas)
    s["b"] = betas[0] * s.get("b", 0.0) + lr_ * (1 - betas[0]) * g / (np.sqrt(v_hat) + eps)
    s["rate"] = betas[0] * s.get("rate", 0.0) + (1 - betas[0]) * lr_
    theta = theta - s["b"] * lr_ / s["rate"]
    return theta - lr_ * weight_decay * theta


def rmsprop(
    t: int, theta: Any, g: Any, lr_: float, s: dict[str, Any], alpha: float = 0.9, eps: float = 1e-8,
    initial_scale: float = 0.0, eps_in_sqrt: bool = True, centered: bool = False, momentum: float = 0.0,
    nesterov: bool = False, bias_correction: bool = False,
) -> Any:  # fmt: skip
    v = s["v"] = alpha * s.get("v", initial_scale) + (1 - alpha) * g**2
    m = s["m"] = alpha * s.get("m", 0.0) + (1 - alpha) * g
    correction = 1 - alpha**t if bias_correction else 1.0
    size = v / correction - (m / correction) ** 2 if centered else v / correction
    step = lr_ * g / (np.sqrt(size + eps) if eps_in_sqrt else np.sqrt(size) + eps)
    s["b"] = momentum * s.get("b", 0.0) + step
    return theta - (step + momentum * s["b"] if nesterov else s["b"])


BETAS = {"betas": (0.8, 0.95), "eps": 1e-6}
OPTAX = {"like": "optax"}
CASES: list[tuple[str, Formula, dict[str, Any]]] = [
    ("RAdam", radam, {"like": "torch"}),
    ("RAdam", radam, {"like": "torch", **BETAS, "weight_decay": 0.1}),
    ("RAdam", radam, {"like": "torch", "weight_decay": 0.1, "decoupled_weight_decay": True}),
    ("RAdam", radam, {"like": "torch", "betas": (0.9, 0.6)}),
    ("RAdam", radam, {"like": "timm", "weight_decay": 0.1, "eps": 1e-5}),
    ("RAdam", radam, {"like": "timm", "betas": (0.9, 0.2)}),
    ("RAdam", radam, {**OPTAX, **BETAS}),
    ("RAdam", radam, {**OPTAX, **BETAS, "eps_root": 1e-5, "threshold": 11.0, "nesterov": True}),
    ("RAdam", radam, {**OPTAX, "threshold": 4.0, "betas": (0.9, 0.61)}),
    ("RAdam", radam, {**OPTAX, "threshold": 4.0, "betas": (0.9, 0.6)}),
    ("Adam", adamw, {**OPTAX, **BETAS, "eps_root": 1e-5}),
    ("Adam", adamw, {**OPTAX, **BETAS, "nesterov": True}),
    ("Adam", amsgrad, {**OPTAX, "amsgrad": True, "eps_root": 1e-5}),
    ("Adam", amsgrad, {**OPTAX, **BETAS, "amsgrad": True, "bias_correction_mu": False}),
    ("Adam", amsgrad, {**OPTAX, **BETAS, "amsgrad": True, "bias_correction_nu": False}),
    ("AdamW", adamw, {**OPTAX, **BETAS, "eps_root": 1e-5, "nesterov": True, "weight_decay": 0.1}),
    ("NAdam", partial(adamw, nesterov=True), {**OPTAX, **BETAS, "eps_root": 1e-5}),
    ("NAdamW", nadamw, {**OPTAX}),
    ("NAdamW", nadamw, {**OPTAX, **BETAS, "eps_root": 1e-5, "weight_decay": 0.1}),
    ("NAdamW", nadamw, {"like": "timm"}),
    ("NAdamW", nadamw, {"like": "timm", **BETAS, "weight_decay": 0.1}),
    ("AdamaxW", adamaxw, {}),
    ("AdamaxW", adamaxw, {**BETAS, "weight_decay": 0.1}),
    ("SimplifiedAdEMAMix", simplified_ademamix, {}),
    ("SimplifiedAdEMAMix", simplified_ademamix, {**BETAS, "alpha": 2.5, "eps_root": 1e-5, "weight_decay": 0.1}),
    ("QHAdam", qhadam, {}),
    ("QHAdam", qhadam, {"nus": (0.7, 1.0), "betas": (0.995, 0.999), "weight_decay": 0.1}),
    ("QHAdam", qhadam, {**BETAS, "nus": (0.6, 0.4), "weight_decay": 0.1, "decoupled_weight_decay": True}),
    ("QHM", qhm, {}),
    ("QHM", qhm, {"momentum": 0.9, "nu": 1.3, "weight_decay": 0.1}),
    ("QHM", qhm, {"momentum": 0.0, "nu": 0.5, "weight_decay": 0.1, "decoupled_weight_decay": True}),
    ("SGDW", sgdw, {"weight_decay": 0.1}),
    ("SGDW", sgdw, {"momentum": 0.9, "dampening": 0.3, "weight_decay": 0.1}),
    ("SGDW", sgdw, {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1}),
    ("LaProp", laprop, {}),
    ("LaProp", laprop, {**BETAS, "weight_decay": 0.1}),
    ("RMSprop", rmsprop, {**OPTAX, "eps_in_sqrt": False, "eps": 1e-6}),
    ("RMSprop", rmsprop, {**OPTAX, "bias_correction": True, "initial_scale": 0.5, "centered": True, "eps": 1e-6}),
    ("RMSprop", rmsprop, {**OPTAX, "bias_correction": True, "momentum": 0.8, "nesterov": True, "eps": 1e-6}),
    ("RMSprop", partial(rmsprop, initial_scale=1.0), {"like": "timm", "momentum": 0.8, "centered": True, "eps": 1e-6}),
]


def case_id(case: tuple[str, Formula, dict[str, Any]]) -> str:
    return f"{case[0]}-{'-'.join(f'{k}={v}' for k, v in case[2].items())}"


@pytest.mark.parametrize("case", CASES, ids=case_id)
def test_the_formula(case: tuple[str, Formula, dict[str, Any]]) -> None:
    name, formula, hyper = case
    told = signature(formula).parameters
    theirs = {key: value for key, value in hyper.items() if key in told or key not in ("like", "amsgrad")}
    thetas = conventions.initial_parameters()
    memory: list[dict[str, Any]] = [{} for _ in thetas]
    rows = []
    for k, grads in enumerate(GRADIENTS):
        thetas = [formula(k + 1, *pair, rate(k), s, **theirs) for *pair, s in zip(thetas, grads, memory, strict=True)]
        rows.append(np.concatenate([array.ravel() for array in thetas]))
    expected = np.array(rows)
    assert np.isfinite(expected).all()
    np.testing.assert_allclose(ours(name, hyper), expected, rtol=1e-9, atol=1e-13)


# timm, and qhoptim, the package of QHM's authors.


@contextmanager
def in_float64() -> Iterator[Any]:
    """torch, with float64 as the dtype that timm's LaProp keeps its numbers in."""
    torch: Any = pytest.importorskip("torch")
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield torch
    finally:
        torch.set_default_dtype(before)


TIMM: list[tuple[str, dict[str, Any]]] = [
    ("RMSprop", {}),
    ("RMSprop", {"momentum": 0.9, "weight_decay": 0.1, "eps": 1e-6}),
    ("RMSprop", {"momentum": 0.9, "centered": True, "lr_in_momentum": False, "decoupled_decay": True,
                 "weight_decay": 0.1, "eps": 1e-6}),
    ("NAdamW", {}),
    ("NAdamW", {**BETAS, "weight_decay": 0.1}),
    ("LaProp", {}),
    ("LaProp", {**BETAS, "weight_decay": 0.1}),
    ("SGDW", {"weight_decay": 0.1}),
    ("SGDW", {"momentum": 0.9, "dampening": 0.3, "weight_decay": 0.1}),
    ("SGDW", {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1}),
]  # fmt: skip


def timms(name: str) -> Any:
    return timm("rmsprop_tf").RMSpropTF if name == "RMSprop" else getattr(timm(name.lower()), name)


@pytest.mark.parametrize(("name", "hyper"), TIMM)
def test_timm(name: str, hyper: dict[str, Any]) -> None:
    with in_float64():
        expected = torchs(timms(name), gradients=GRADIENTS, **hyper)
    mine = {"decoupled_weight_decay" if key == "decoupled_decay" else key: value for key, value in hyper.items()}
    np.testing.assert_allclose(ours(name, {"like": "timm", **mine}), expected, rtol=1e-9, atol=1e-13)


def test_timms_corrected_weight_decay_is_a_schedule() -> None:
    hyper = {"momentum": 0.9, "nesterov": True}
    with in_float64():
        corrected = partial(timm("sgdw").SGDW, corrected_weight_decay=True)
        expected = torchs(corrected, gradients=GRADIENTS, weight_decay=0.1, **hyper)
    mine = ours("SGDW", {"weight_decay": lambda step: 0.1 * rate(step) / rate(0), **hyper})
    np.testing.assert_allclose(mine, expected, rtol=1e-9, atol=1e-13)


@pytest.mark.parametrize("hyper", [{}, {**BETAS, "weight_decay": 0.1}])
def test_timms_radam_which_computes_in_float32(hyper: dict[str, Any]) -> None:
    """Its parameters, gradients and state are made float32: here as they would be without that."""
    with in_float64() as torch, pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.Tensor, "float", lambda tensor: tensor)
        expected = torchs(timm("radam").RAdamLegacy, gradients=GRADIENTS, **hyper)
    np.testing.assert_allclose(ours("RAdam", {"like": "timm", **hyper}), expected, rtol=1e-9, atol=1e-13)


@pytest.mark.parametrize("name", ["NAdamW", "LaProp", "SGDW", "RMSprop"])
def test_the_defaults_of_timm(name: str) -> None:
    torch: Any = pytest.importorskip("torch")
    theirs = timms(name)([torch.zeros(1)]).defaults
    mine = getattr(lr, name).defaults["timm"]
    other = {"decoupled_weight_decay": "decoupled_decay"}
    assert {key: theirs[other.get(key, key)] for key in mine if key != "initial_scale"} == {
        key: value for key, value in mine.items() if key != "initial_scale"
    }


QUASI: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("QHM", {"momentum": 0.999, "nu": 0.7}, {}),
    ("QHM", {"momentum": 0.9, "nu": 1.3, "weight_decay": 0.1}, {}),
    ("QHM", {"momentum": 0.9, "nu": 0.5, "weight_decay": 0.1}, {"weight_decay_type": "direct"}),
    ("QHAdam", {}, {}),
    ("QHAdam", {**BETAS, "nus": (0.7, 0.8), "weight_decay": 0.1}, {}),
    ("QHAdam", {**BETAS, "nus": (0.7, 1.0), "weight_decay": 0.1}, {"decouple_weight_decay": True}),
]


@pytest.mark.filterwarnings("ignore:This overload of add_ is deprecated")
@pytest.mark.parametrize(("name", "hyper", "decoupled"), QUASI)
def test_qhoptim(name: str, hyper: dict[str, Any], decoupled: dict[str, Any]) -> None:
    package = pytest.importorskip("qhoptim.pyt")
    with in_float64():
        expected = torchs(getattr(package, name), gradients=GRADIENTS, **hyper, **decoupled)
    mine = dict(hyper, decoupled_weight_decay=True) if decoupled else hyper
    np.testing.assert_allclose(ours(name, mine), expected, rtol=1e-9, atol=1e-13)


# What a formula does at its edges.


def path(name: str, *gradients: float, **hyper: Any) -> list[float]:
    w = np.zeros(1)
    opt = getattr(lr, name)(w, **hyper)
    moved = []
    for g in gradients:
        opt.step(np.array([g]))
        moved.append(float(w[0]))
    return moved


@pytest.mark.parametrize("like", ["torch", "timm", "optax"])
def test_radam_takes_five_steps_of_momentum_and_begins_the_sixth_slowly(like: str) -> None:
    """With one gradient g, m over its correction is g, and the root mean square is |g|."""
    moved = np.diff([0.0, *path("RAdam", *[-1e-3] * 7, lr=0.5, eps=0.0, like=like)])
    np.testing.assert_allclose(moved[:5], 0.5e-3, rtol=1e-13)
    last = 1999.0
    for t in (6, 7):
        rho = last - 2 * t * 0.999**t / (1 - 0.999**t)
        r = ((rho - 4) * (rho - 2) * last / ((last - 4) * (last - 2) * rho)) ** 0.5
        np.testing.assert_allclose(moved[t - 1], 0.5 * r, rtol=1e-9)
    assert 0.01 < moved[5] < 0.02


@pytest.mark.parametrize("beta2", [0.0, 0.5, 0.6, 2 / 3])
@pytest.mark.parametrize("like", ["torch", "timm", "optax"])
def test_radam_of_short_memory_is_momentum_for_ever(like: str, beta2: float) -> None:
    hyper = {"threshold": 4.0} if like == "optax" and beta2 <= 0.6 else {}
    moved = path("RAdam", *[-8.0] * 200, lr=0.5, betas=(0.9, beta2), like=like, **hyper)
    np.testing.assert_allclose(np.diff([0.0, *moved]), 4.0, rtol=1e-12)


def test_radams_threshold_may_be_a_schedule() -> None:
    moved = path("RAdam", *[-1e-3] * 8, lr=0.5, eps=0.0, like="optax", threshold=lambda step: 4.0 + 2000.0 * (step < 6))
    steps = np.diff([0.0, *moved])
    np.testing.assert_allclose(steps[:6], 0.5e-3, rtol=1e-13)
    assert (steps[6:] > 0.01).all()


@pytest.mark.parametrize("build", BUILDS)
def test_radam_has_no_use_for_v_where_it_overflows_at_first(build: str) -> None:
    w = np.zeros(9, np.float32)
    with kernels.using(build):
        opt = lr.RAdam(w, lr=0.5)
    for k in range(3):
        opt.step(np.full(9, -1e25, np.float32))
        np.testing.assert_allclose(w, (k + 1) * 0.5e25, rtol=1e-6)


def test_laprop_keeps_what_was_gathered_at_an_old_rate() -> None:
    # betas (1/2, 3/4). g 1: b = 1/2, rates' average 1/2. Then g 0 at a tenth: b = 1/4, average 1/4 + 1/20.
    moved = path("LaProp", 1.0, 0.0, lr=lambda step: (1.0, 0.1)[step], betas=(0.5, 0.75), eps=0.0)
    np.testing.assert_allclose(moved, [-1.0, -1.0 - 0.1 / 0.3 / 4], rtol=1e-14)


def test_laprop_rests_while_its_rate_is_0_and_comes_to_no_harm() -> None:
    moved = path("LaProp", 1.0, 1.0, 1.0, lr=lambda step: (0.0, 0.0, 1.0)[step], weight_decay=0.1)
    assert moved[:2] == [0.0, 0.0]
    np.testing.assert_allclose(moved[2], -0.9, rtol=1e-14)


def test_the_decay_of_laprop_comes_last() -> None:
    moved = path("LaProp", 1.0, lr=1.0, weight_decay=0.25, eps=0.0)
    np.testing.assert_allclose(moved, [-0.75], rtol=1e-14)


def test_quasi_hyperbolic_methods_are_what_they_interpolate() -> None:
    g = [1.0, -2.0, 0.5, 0.25, -3.0]
    plain = path("SGD", *g, lr=0.1)
    np.testing.assert_allclose(path("QHM", *g, lr=0.1, nu=0.0), plain, rtol=1e-14)
    heavy = path("SGD", *g, lr=0.1 * (1 - 0.9), momentum=0.9, like="optax")
    np.testing.assert_allclose(path("QHM", *g, lr=0.1, momentum=0.9, nu=1.0), heavy, rtol=1e-13)
    nesterov = path("SGD", *g, lr=0.1 * (1 - 0.9), momentum=0.9, nesterov=True, like="optax")
    np.testing.assert_allclose(path("QHM", *g, lr=0.1, momentum=0.9, nu=0.9), nesterov, rtol=1e-13)
    np.testing.assert_allclose(path("QHAdam", *g), path("Adam", *g), rtol=1e-13)


def test_a_schedule_may_give_alpha_and_nus() -> None:
    g = [1.0, -2.0, 0.5]
    ademamix = {"lr": 0.1, "betas": (0.9, 0.99)}
    scheduled = path("SimplifiedAdEMAMix", *g, alpha=lambda step: 2.0 * (step > 1), **ademamix)
    assert scheduled[:2] == path("SimplifiedAdEMAMix", *g, **ademamix)[:2]
    assert scheduled[2] != path("SimplifiedAdEMAMix", *g, **ademamix)[2]
    constant = path("QHAdam", *g, nus=(0.7, 0.8))
    assert path("QHAdam", *g, nus=(lambda step: 0.7, lambda step: 0.8)) == constant
    with pytest.raises(ValueError, match=r"nus\[1\] at step 0 must be in \[0, 1\], got 1.5"):
        path("QHAdam", *g, nus=(0.7, lambda step: 1.5))


WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("RAdam", {"like": "optax", "threshold": 3.9}, r"threshold must be in \[4, inf\), got 3.9"),
    ("RAdam", {"threshold": 5.0}, "threshold must not be given with like='torch'"),
    ("Adam", {"like": "optax", "amsgrad": True, "nesterov": True}, "nesterov must be False with amsgrad, got True"),
    ("Adam", {"like": "optax", "bias_correction_nu": False}, "bias_correction_nu must be True without amsgrad, got F"),
    ("Adam", {"like": "optax", "eps_root": -1e-8}, "eps_root must be finite and >= 0, got -1e-08"),
    ("AdamW", {"like": "torch", "eps_root": 1e-8}, "eps_root must not be given with like='torch'"),
    ("QHAdam", {"nus": (0.5,)}, "nus must be a pair of numbers, got 1 of them"),
    ("QHAdam", {"nus": (0.5, 1.5)}, r"nus\[1\] must be in \[0, 1\], got 1.5"),
    ("QHM", {"momentum": 1.0}, r"momentum must be in \[0, 1\), got 1.0"),
    ("SGDW", {"nesterov": True}, "nesterov must come with momentum > 0 and dampening 0"),
    ("RMSprop", {"like": "optax", "initial_scale": -0.5}, "initial_scale must be finite and >= 0, got -0.5"),
]


@pytest.mark.parametrize(("name", "hyper", "message"), WRONG)
def test_errors_say_name_rule_and_value(name: str, hyper: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        getattr(lr, name)(np.zeros(2), lr=0.1, **hyper)


def test_a_correction_that_stays_zero_is_refused_before_anything_has_changed() -> None:
    w = np.ones(3)
    opt = lr.RMSprop(w, lr=0.1, like="optax", bias_correction=True, alpha=lambda step: 0.9 if step == 0 else 1.0)
    opt.step(np.ones(3))
    before = w.copy()
    with pytest.raises(ValueError, match=r"alpha must be < 1 with bias_correction, got 1\.0"):
        opt.step(np.ones(3))
    np.testing.assert_array_equal(w, before)
    assert opt.step_count == 1


def test_what_state_begins_with_cannot_change() -> None:
    opt = lr.RMSprop(np.ones(3), lr=0.1, like="optax", initial_scale=0.5)
    np.testing.assert_array_equal(next(iter(opt.state_dict()["state"].values()))["v"], 0.5)
    with pytest.raises(ValueError, match="initial_scale must be given when the optimizer is made"):
        opt.param_groups[0]["initial_scale"] = 1.0
    with pytest.raises(TypeError, match="initial_scale must be a number"):
        lr.RMSprop(np.ones(3), lr=0.1, like="optax", initial_scale=lambda step: 0.5)


def test_a_rule_does_not_change_under_way() -> None:
    opt = lr.Adam(np.ones(3), lr=0.1, like="optax")
    with pytest.raises(ValueError, match="eps_root must not change what the optimizer remembers"):
        opt.param_groups[0]["eps_root"] = 1e-8


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("Nadam", "NAdam"), ("AdaGrad", "Adagrad"), ("RMSProp", "RMSprop"), ("AdaDelta", "Adadelta"), ("sgd", "SGD"),
        ("Radam", "RAdam"), ("LAPROP", "LaProp"), ("simplified_ademamix", "SimplifiedAdEMAMix"),
        ("Parameter_Buffer", "ParameterBuffer"),
    ],
)  # fmt: skip
def test_a_name_in_the_spelling_of_others_is_answered_with_ours(name: str, meant: str) -> None:
    with pytest.raises(AttributeError, match=rf"^module 'lrcore' has no attribute '{name}'; did you mean {meant}\?$"):
        getattr(lr, name)
    assert not hasattr(lr, name)


@pytest.mark.parametrize("name", ["Adamm", "nothing", "__wrapped__", "_"])
def test_a_name_like_no_other_is_answered_without_advice(name: str) -> None:
    with pytest.raises(AttributeError, match=rf"^module 'lrcore' has no attribute '{name}'$"):
        getattr(lr, name)
