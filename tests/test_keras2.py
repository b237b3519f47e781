"""like="keras2": Keras 1 and 2 as their source computes, written out for one number at a time.

Those versions cannot be installed beside today's NumPy. Below, ``n`` is ``iterations``, which counts from 0;
``t`` counts from 1; ``state`` begins at 0. Each function is ``get_updates`` of the class of that name in
``keras/optimizers.py``, up to Keras 2.3.
"""

from collections import defaultdict
from math import sqrt

import conventions
import numpy as np
import pytest

import lrcore as lr

DEFAULTS = {
    "SGD": {"lr": 0.01, "momentum": 0.0, "decay": 0.0, "nesterov": False},
    "Adagrad": {"lr": 0.01, "eps": 1e-8, "decay": 0.0},
    "Adadelta": {"lr": 1.0, "rho": 0.95, "eps": 1e-8, "decay": 0.0},
    "RMSprop": {"lr": 0.001, "alpha": 0.9, "eps": 1e-8, "decay": 0.0},
    "Adam": {"lr": 0.001, "betas": (0.9, 0.999), "eps": 1e-8, "decay": 0.0, "amsgrad": False},
    "Adamax": {"lr": 0.002, "betas": (0.9, 0.999), "eps": 1e-8, "decay": 0.0},
    "NAdam": {"lr": 0.002, "betas": (0.9, 0.999), "eps": 1e-8, "schedule_decay": 0.004},
}


def sgd(p, g, n, state, lr, momentum, decay, nesterov):
    lr *= 1.0 / (1.0 + decay * n)
    v = momentum * state["v"] - lr * g
    state["v"] = v
    return p + momentum * v - lr * g if nesterov else p + v


def adagrad(p, g, n, state, lr, eps, decay):
    lr *= 1.0 / (1.0 + decay * n)
    state["a"] += g**2
    return p - lr * g / (sqrt(state["a"]) + eps)


def adadelta(p, g, n, state, lr, rho, eps, decay):
    lr *= 1.0 / (1.0 + decay * n)
    state["a"] = rho * state["a"] + (1.0 - rho) * g**2
    update = g * sqrt(state["d"] + eps) / sqrt(state["a"] + eps)
    state["d"] = rho * state["d"] + (1.0 - rho) * update**2
    return p - lr * update


def rmsprop(p, g, n, state, lr, alpha, eps, decay):
    lr *= 1.0 / (1.0 + decay * n)
    state["a"] = alpha * state["a"] + (1.0 - alpha) * g**2
    return p - lr * g / (sqrt(state["a"]) + eps)


def adam(p, g, n, state, lr, betas, eps, decay, amsgrad):
    beta_1, beta_2 = betas
    lr *= 1.0 / (1.0 + decay * n)
    t = n + 1
    lr_t = lr * (sqrt(1.0 - beta_2**t) / (1.0 - beta_1**t))
    m = state["m"] = beta_1 * state["m"] + (1.0 - beta_1) * g
    v = state["v"] = beta_2 * state["v"] + (1.0 - beta_2) * g**2
    if amsgrad:
        v = state["vhat"] = max(state["vhat"], v)
    return p - lr_t * m / (sqrt(v) + eps)


def adamax(p, g, n, state, lr, betas, eps, decay):
    beta_1, beta_2 = betas
    lr *= 1.0 / (1.0 + decay * n)
    lr_t = lr / (1.0 - beta_1 ** (n + 1))
    m = state["m"] = beta_1 * state["m"] + (1.0 - beta_1) * g
    u = state["u"] = max(beta_2 * state["u"], abs(g))
    return p - lr_t * m / (u + eps)


def nadam(p, g, n, state, lr, betas, eps, schedule_decay):
    beta_1, beta_2 = betas
    t = n + 1
    momentum_t = beta_1 * (1.0 - 0.5 * 0.96 ** (t * schedule_decay))
    momentum_t_1 = beta_1 * (1.0 - 0.5 * 0.96 ** ((t + 1) * schedule_decay))
    m_schedule_new = (state["m_schedule"] if n else 1.0) * momentum_t
    m_schedule_next = m_schedule_new * momentum_t_1
    state["m_schedule"] = m_schedule_new
    g_prime = g / (1.0 - m_schedule_new)
    m = state["m"] = beta_1 * state["m"] + (1.0 - beta_1) * g
    m_prime = m / (1.0 - m_schedule_next)
    v = state["v"] = beta_2 * state["v"] + (1.0 - beta_2) * g**2
    v_prime = v / (1.0 - beta_2**t)
    m_bar = (1.0 - momentum_t) * g_prime + momentum_t_1 * m_prime
    return p - lr * m_bar / (sqrt(v_prime) + eps)


UPDATES = {
    "SGD": sgd, "Adagrad": adagrad, "Adadelta": adadelta, "RMSprop": rmsprop, "Adam": adam, "Adamax": adamax,
    "NAdam": nadam,
}  # fmt: skip


def scalar_loops(case, params):
    """A case, one number at a time."""
    hyper = DEFAULTS[case.optimizer] | dict(case.hyper)
    states = defaultdict(lambda: defaultdict(float))
    n = -1

    def step(grads, rate):
        nonlocal n
        n += 1
        hyper["lr"] = rate
        for k, (theta, g) in enumerate(zip(params, grads, strict=True)):
            for at in np.ndindex(theta.shape):
                p, slope = float(theta[at]), float(g[at])
                theta[at] = UPDATES[case.optimizer](p, slope, n, states[k, at], **hyper)

    return step, lambda: params


@pytest.mark.parametrize("case", conventions.CASES["keras2"], ids=str)
def test_source_written_out(case):
    conventions.assert_same(
        conventions.trajectory(conventions.lrcore, case), conventions.trajectory(scalar_loops, case)
    )


@pytest.mark.parametrize("optimizer", DEFAULTS)
def test_defaults(optimizer):
    """What the documents print for each optimizer."""
    assert getattr(lr, optimizer).defaults["keras2"] == DEFAULTS[optimizer]


def test_adamw_came_later():
    with pytest.raises(ValueError, match="like must be one of"):
        lr.AdamW(np.zeros(1), like="keras2")


def test_sgd_with_all_of_it():
    """``SGD(lr=0.01, decay=1e-6, momentum=0.9, nesterov=True)``, the documents' example."""
    w = np.array([1.0])
    opt = lr.SGD(w, lr=0.01, decay=1e-6, momentum=0.9, nesterov=True, like="keras2")
    opt.step(np.array([1.0]))  # v = -0.01; w + 0.9 v - 0.01
    np.testing.assert_allclose(w, 1.0 - 0.009 - 0.01, rtol=1e-15)
    opt.step(np.array([1.0]))
    slow = 0.01 / 1.000001
    np.testing.assert_allclose(w, 0.981 + 0.9 * (0.9 * -0.01 - slow) - slow, rtol=1e-15)
