"""First steps worked by hand from the papers, with numbers that come out even.

``eps`` is 0 unless it is what is shown.
"""

import numpy as np
import pytest

import lrcore as lr


def steps(optimizer, theta, *gradients, **hyper):
    """theta after each gradient."""
    w = np.array([theta], dtype=np.float64)
    opt = optimizer(w, **hyper)
    path = []
    for g in gradients:
        opt.step(np.array([g], dtype=np.float64))
        path.append(w[0])
    return path


def close(actual, *expected):
    np.testing.assert_allclose(actual, expected, rtol=1e-14)


def test_gradient_descent():
    close(steps(lr.SGD, 5.0, 12.0, lr=0.2), 2.6)  # 5 - 0.2 * 12


def test_l2_penalty_and_decoupled_decay():
    close(steps(lr.SGD, 5.0, 12.0, lr=0.2, weight_decay=0.6), 2.0)  # 5 - 0.2 (12 + 0.6 * 5)
    close(steps(lr.SGD, 5.0, 12.0, lr=0.2, weight_decay=0.6, like="keras"), 2.0)  # 5 (1 - 0.12) - 2.4
    # Where the gradient is scaled, the two part: sign(g) is all that Adam's first step takes from g.
    adam = {"lr": 0.5, "weight_decay": 0.2, "eps": 0.0}
    close(steps(lr.Adam, 4.0, 3.0, **adam), 3.5)  # 4 - 0.5
    close(steps(lr.AdamW, 4.0, 3.0, **adam), 3.1)  # 4 (1 - 0.1) - 0.5


def test_momentum():
    # b: 1, 0.9 + 1, 0.81 + 0.9 + 1
    close(steps(lr.SGD, 0.0, 1, 1, 1, lr=1.0, momentum=0.9), -1.0, -2.9, -5.61)
    # dampening 0.5, not in the first step: 1, 0.9 + 0.5, 1.26 + 0.5
    close(steps(lr.SGD, 0.0, 1, 1, 1, lr=1.0, momentum=0.9, dampening=0.5), -1.0, -2.4, -4.16)


def test_nesterov():
    # g + 0.9 b: 1.9, 1 + 0.9 * 1.9
    close(steps(lr.SGD, 0.0, 1, 1, lr=1.0, momentum=0.9, nesterov=True), -1.9, -4.61)


def test_momentum_when_the_rate_falls():
    """One gradient, then coasting: torch at the new rate, Keras at the rate the velocity was made with."""
    falls = {"momentum": 0.5, "lr": lambda step: (1.0, 0.1)[step]}
    close(steps(lr.SGD, 0.0, 1, 0, **falls), -1.0, -1.05)
    close(steps(lr.SGD, 0.0, 1, 0, **falls, like="optax"), -1.0, -1.05)
    close(steps(lr.SGD, 0.0, 1, 0, **falls, like="keras"), -1.0, -1.5)
    close(steps(lr.SGD, 0.0, 1, 0, **falls, like="keras2"), -1.0, -1.5)
    # alpha 0.75 makes the scaled gradient 1 / sqrt(1/4) = 2
    falls["alpha"], falls["eps"] = 0.75, 0.0
    close(steps(lr.RMSprop, 0.0, 1, 0, **falls), -2.0, -2.1)
    close(steps(lr.RMSprop, 0.0, 1, 0, **falls, like="keras"), -2.0, -3.0)
    close(steps(lr.RMSprop, 0.0, 1, 0, **falls, like="optax"), -2.0, -3.0)


def test_adagrad():
    # s: 9, 9 + 16; lr g / sqrt(s): 1, 4 / 5
    close(steps(lr.Adagrad, 0.0, 3, 4, lr=1.0, eps=0.0), -1.0, -1.8)
    # the second at half the rate
    close(steps(lr.Adagrad, 0.0, 3, 4, lr=1.0, eps=0.0, lr_decay=1.0), -1.0, -1.4)
    # s begins at 7: 3 / sqrt(16)
    close(steps(lr.Adagrad, 0.0, 3, lr=1.0, eps=0.0, initial_accumulator_value=7.0), -0.75)


def test_adagrad_eps():
    close(steps(lr.Adagrad, 0.0, 3, lr=1.0, eps=7.0), -0.3)  # 3 / (sqrt(9) + 7)
    inside = {"lr": 1.0, "eps": 7.0, "initial_accumulator_value": 0.0}
    close(steps(lr.Adagrad, 0.0, 3, like="keras", **inside), -0.75)  # 3 / sqrt(9 + 7)
    close(steps(lr.Adagrad, 0.0, 3, like="optax", **inside), -0.75)


def test_adadelta():
    # rho 0.75, g 2: v = 1; d = sqrt(3) / sqrt(1 + 3) * 2 = sqrt(3); u = 3/4. Then g 0: v = 3/4, d = 0.
    # Then g 2: u = 9/16, v = 9/16 + 1; d = sqrt(57/16) / sqrt(73/16) * 2
    root = 3**0.5
    path = steps(lr.Adadelta, 0.0, 2, 0, 2, lr=1.0, rho=0.75, eps=3.0)
    close(path, -root, -root, -root - 2 * (57 / 73) ** 0.5)


def test_rmsprop():
    # alpha 0.75, g 2: v = 1; g / sqrt(v) = 2. Then g 1: v = 3/4 + 1/4 = 1
    close(steps(lr.RMSprop, 0.0, 2, 1, lr=1.0, alpha=0.75, eps=0.0), -2.0, -3.0)
    # eps beside the root, 2 / (1 + 3), or under it, 2 / sqrt(1 + 3)
    close(steps(lr.RMSprop, 0.0, 2, lr=1.0, alpha=0.75, eps=3.0), -0.5)
    close(steps(lr.RMSprop, 0.0, 2, lr=1.0, alpha=0.75, eps=3.0, like="keras2"), -0.5)
    close(steps(lr.RMSprop, 0.0, 2, lr=1.0, alpha=0.75, eps=3.0, like="keras"), -1.0)
    close(steps(lr.RMSprop, 0.0, 2, lr=1.0, alpha=0.75, eps=3.0, like="optax"), -1.0)


def test_rmsprop_centered():
    # alpha 0.75, g 4: v = 4, m = 1, v - m^2 = 3
    close(steps(lr.RMSprop, 0.0, 4, lr=1.0, alpha=0.75, eps=0.0, centered=True), -4 / 3**0.5)
    close(steps(lr.RMSprop, 0.0, 4, lr=1.0, alpha=0.75, eps=1.0, centered=True, like="keras"), -2.0)


@pytest.mark.parametrize("like", ["torch", "keras", "keras2", "optax"])
@pytest.mark.parametrize("g", [1e-9, -1e-3, 1.0, -1e6])
def test_adam_begins_with_the_sign(like, g):
    """m / (1 - beta1) = g and v / (1 - beta2) = g^2 at t = 1, whatever the betas."""
    close(steps(lr.Adam, 0.0, g, lr=0.25, betas=(0.7, 0.8), eps=0.0, like=like), -0.25 * np.sign(g))


def test_adam_eps():
    # betas (0.5, 0.75), g 1: bias corrections 1/2 and 1/4. Beside sqrt(v / (1/4)) = 1, or beside sqrt(v) = 1/2.
    adam = {"lr": 1.0, "betas": (0.5, 0.75), "eps": 1.0}
    close(steps(lr.Adam, 0.0, 1, **adam), -1 / (1 + 1))
    close(steps(lr.Adam, 0.0, 1, **adam, like="optax"), -1 / (1 + 1))
    close(steps(lr.Adam, 0.0, 1, **adam, like="keras"), -0.5 / (0.5 + 1))
    close(steps(lr.Adam, 0.0, 1, **adam, like="keras2"), -0.5 / (0.5 + 1))


def test_adam_second_step():
    # betas (0.5, 0.75): m = 1/2, v = 1/4. Then g 0: m = 1/4, v = 3/16, corrections 3/4 and 7/16.
    second = (1 / 3) / (3 / 7) ** 0.5
    close(steps(lr.Adam, 0.0, 1, 0, lr=1.0, betas=(0.5, 0.75), eps=0.0), -1.0, -1.0 - second)


def test_amsgrad():
    # As above, but v stays at its largest: 1/4, divided by the correction of the step, 7/16 …
    amsgrad = {"lr": 1.0, "betas": (0.5, 0.75), "eps": 0.0, "amsgrad": True}
    close(steps(lr.Adam, 0.0, 1, 0, **amsgrad), -1.0, -1.0 - (1 / 3) / (4 / 7) ** 0.5)
    # … which optax does before it compares: 1/4 over 1/4, then 3/16 over 7/16; the first is the larger.
    close(steps(lr.Adam, 0.0, 1, 0, **amsgrad, like="optax"), -1.0, -1.0 - 1 / 3)


def test_adamax():
    # betas (0.5, 0.75), g 4: m = 2, u = 4, m / (1/2) / u = 1. Then g 1: m = 3/2, u = max(3, 1), (3/2) / (3/4) / 3
    close(steps(lr.Adamax, 0.0, 4, 1, lr=1.0, betas=(0.5, 0.75), eps=0.0), -1.0, -1.0 - 2 / 3)
    # eps beside u is forgotten, eps inside the maximum is kept: u = 5, then 15/4; or 4 + 1, then 3 + 1
    adamax = {"lr": 1.0, "betas": (0.5, 0.75), "eps": 1.0}
    close(steps(lr.Adamax, 0.0, 4, 1, **adamax), -0.8, -0.8 - 2 / 3.75)
    close(steps(lr.Adamax, 0.0, 4, 1, **adamax, like="keras"), -0.8, -0.8 - 2 / 4)


def test_nadam():
    # momentum_decay 0 makes every mu beta1 / 2 = 1/4. g 1, m = 1/2, sqrt(v / bc2) = 1:
    # (3/4) / (3/4) * 1 + (1/4) / (15/16) * (1/2)
    nadam = {"lr": 1.0, "betas": (0.5, 0.75), "eps": 0.0}
    close(steps(lr.NAdam, 0.0, 1, **nadam, momentum_decay=0.0), -17 / 15)
    close(steps(lr.NAdam, 0.0, 1, **nadam, schedule_decay=0.0, like="keras2"), -17 / 15)
    # optax: (1/2) / (1/2) * 1 + (1/2) / (3/4) * (1/2)
    close(steps(lr.NAdam, 0.0, 1, **nadam, like="optax"), -4 / 3)
    # Keras 3, psi = 1: mu = (1/2) (1 - 0.48), mu' = (1/2) (1 - 0.4608)
    mu, following = 0.26, 0.2696
    close(steps(lr.NAdam, 0.0, 1, **nadam, like="keras"), -1 - following / (1 - mu * following) / 2)
