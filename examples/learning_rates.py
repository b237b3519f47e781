"""One parameter, five runs: what the learning rate does to gradient descent.

    python examples/learning_rates.py

A step of gradient descent is w <- w - rate * slope. On a parabola the rate alone decides what becomes of it.
"""

import numpy as np

import lrcore as lr


def descend(center, start, rate, steps, dtype=np.float32):
    """Gradient descent on (w - center)^2: how the run ended, w and the loss before each step and at the end."""

    def parabola(w):
        away = w - dtype(center)
        return away[0] ** 2, 2 * away  # the loss, and its slope

    w = np.array([start], dtype=dtype)
    history = lr.minimize(parabola, w, lr.SGD(w, lr=rate), steps, keep_params=True)
    return history.ended, history.params[:, 0], history.loss


def right_rate():
    """Each step covers four tenths of the way that is left."""
    return descend(center=-1, start=5, rate=0.2, steps=40)


def too_large():
    """Each step lands as far beyond the minimum as it began before it: for ever."""
    return descend(center=-1, start=5, rate=1.0, steps=40)


def too_small():
    """After forty steps it has hardly left."""
    return descend(center=-1, start=5, rate=0.0001, steps=40)


def falling_rate():
    """The rate may follow a schedule: here it falls by a hundredth every ten steps."""
    schedule = lr.schedules.ExponentialDecay(0.1, decay_rate=0.99, decay_steps=10, staircase=True)
    return descend(center=1, start=5, rate=schedule, steps=14)


def in_double():
    """w shrinks by the factor 0.8; in float64, 15 digits of the exact 2 * 0.8^t are there."""
    return descend(center=0, start=2, rate=0.1, steps=10, dtype=np.float64)


RUNS = {
    "(w + 1)^2 from 5, rate 0.2": right_rate,
    "(w + 1)^2 from 5, rate 1": too_large,
    "(w + 1)^2 from 5, rate 0.0001": too_small,
    "(w - 1)^2 from 5, rate 0.1 * 0.99^floor(step / 10)": falling_rate,
    "w^2 from 2, rate 0.1, float64": in_double,
}

if __name__ == "__main__":
    for title, run in RUNS.items():
        ended, w, loss = run()
        print(f"{title}: {ended} after {len(w) - 1} steps, loss {loss[0]:g} -> {loss[-1]:.3g}")
        print("  w =", *map(str, w[:9]), "...", str(w[-1]), end="\n\n")
