"""Fit a line to y = 2 x + 3 + noise, twice: as a text on learning rates prints it, and mended.

    python examples/regression.py

As printed, the gradient is summed over the hundred samples, so that each step goes a hundred times too far, and
the line has no intercept though the data have one. Mended, the gradient is the mean over the samples, the line
has an intercept and the rate falls. The noise is uniform on [0, 1), with mean one half: it moves 3 to 3.5.
"""

import numpy as np

import lrcore as lr


def samples(count=100):
    """x uniform on [0, 1), and y."""
    rng = np.random.default_rng(1)
    x = rng.random(count)
    return x, 2 * x + 3 + rng.random(count)


def as_printed(x, y, steps=1000):
    """Slope alone, gradient summed, rate 0.1."""

    def squared_error(w):
        error = w * x - y
        return np.mean(error**2), 2 * np.sum(error * x, keepdims=True)

    w = np.zeros(1)
    return w, lr.minimize(squared_error, w, lr.SGD(w, lr=0.1), steps)


def mended(x, y, steps=1000):
    """Slope and intercept, mean gradient, a rate that falls from 0.5 to half of that."""

    def squared_error(line):
        error = line["slope"] * x + line["intercept"] - y
        return np.mean(error**2), {
            "slope": 2 * np.mean(error * x, keepdims=True),
            "intercept": 2 * np.mean(error, keepdims=True),
        }

    line = {"slope": np.zeros(1), "intercept": np.zeros(1)}
    optimizer = lr.SGD(line, lr=lambda step: 0.5 / (1 + step / 1000))
    return line, lr.minimize(squared_error, line, optimizer, steps)


if __name__ == "__main__":
    x, y = samples()

    w, history = as_printed(x, y)
    print(f"as printed: {history.message}")
    for step, loss in zip(history.step[:5], history.loss, strict=False):
        print(f"  after {step} steps: mean squared error {loss:.6g}")

    line, history = mended(x, y)
    print(f"mended: {history.message}")
    for step in range(0, 1001, 200):
        print(f"  after {step:4} steps: mean squared error {history.loss[step]:.6f}, rate {history.lr[step]:.3f}")
    print(f"  y = {line['slope'][0]:.3f} x + {line['intercept'][0]:.3f}")
