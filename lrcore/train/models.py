"""The models of ``lrcore train``: linear and softmax regression, and perceptrons with hidden ReLU layers.

They are one network. Without a hidden layer it is linear regression under :class:`SquaredError` and softmax
regression under :class:`CrossEntropy`; with hidden layers, a multilayer perceptron under either.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
from numpy.typing import DTypeLike, NDArray

from lrcore.buffer import ParameterBuffer

Array = NDArray[Any]

_ROWS = 1024  # that predict sends through the network at a time


class Loss(Protocol):
    """What is minimised, and the score that people read beside it."""

    score_name: str

    def gradient(self, outputs: Array, targets: Array) -> float:
        """The mean loss over a batch. ``outputs`` are overwritten by its derivative with respect to them."""
        ...

    def score(self, outputs: Array, targets: Array) -> float:
        """The score, at most 1; ``outputs`` are only read."""
        ...


class SquaredError:
    r"""Least squares, for ``outputs`` of shape (n, 1) and real ``targets`` of shape (n,).

    .. math::

        L = \frac{1}{n} \sum_i (z_i - y_i)^2 \qquad
        \frac{\partial L}{\partial z_i} = \frac{2}{n} (z_i - y_i) \qquad
        R^2 = 1 - \frac{\sum_i (z_i - y_i)^2}{\sum_i (y_i - \bar y)^2}
    """

    score_name = "r2"

    def gradient(self, outputs: Array, targets: Array) -> float:
        """The mean squared error. ``outputs`` are overwritten by its derivative with respect to them."""
        error = outputs[:, 0]
        error -= targets
        loss = float(np.dot(error, error)) / len(error)
        error *= 2 / len(error)
        return loss

    def score(self, outputs: Array, targets: Array) -> float:
        """R², the share of the targets' variance that is explained; NaN where they have none."""
        variance = float(np.var(targets, dtype=np.float64))
        error = np.mean(np.square(outputs[:, 0] - targets, dtype=np.float64))
        return float(1 - error / variance) if variance else float("nan")


class CrossEntropy:
    r"""Softmax cross-entropy, for ``outputs`` of shape (n, classes) and n class indices as ``targets``.

    .. math::

        L = \frac{1}{n} \sum_i \Bigl( \log \sum_k e^{z_{ik}} - z_{i y_i} \Bigr) \qquad
        \frac{\partial L}{\partial z_{ik}}
        = \frac{1}{n} \Bigl( \frac{e^{z_{ik}}}{\sum_j e^{z_{ij}}} - [k = y_i] \Bigr)

    The largest output of a row is subtracted first, so that nothing overflows. The score is accuracy.

    Source: Bishop 2006, *Pattern Recognition and Machine Learning*, eq. 4.104, 4.108 and 4.109.
    """

    score_name = "accuracy"

    def gradient(self, outputs: Array, targets: Array) -> float:
        """The mean cross-entropy. ``outputs`` are overwritten by its derivative with respect to them."""
        n = len(outputs)
        rows = np.arange(n)
        outputs -= outputs.max(axis=1, keepdims=True)
        chosen = outputs[rows, targets]
        np.exp(outputs, out=outputs)
        total = outputs.sum(axis=1, keepdims=True)
        loss = float(np.mean(np.log(total[:, 0]) - chosen))
        outputs /= total
        outputs[rows, targets] -= 1
        outputs /= n
        return loss

    def score(self, outputs: Array, targets: Array) -> float:
        """Accuracy, the share of rows whose largest output is that of their class."""
        return float(np.mean(outputs.argmax(axis=1) == targets))


class Network:
    r"""Affine layers with ReLU between them.

    .. math::

        a_0 = x \qquad a_k = \max(0,\; a_{k-1} W_k + b_k) \qquad z = a_{L-1} W_L + b_L

    Backward, with :math:`\delta_L = \partial L / \partial z` from the loss,

    .. math::

        \frac{\partial L}{\partial W_k} = a_{k-1}^\top \delta_k \qquad
        \frac{\partial L}{\partial b_k} = \sum_i \delta_{k,i} \qquad
        \delta_{k-1} = (\delta_k W_k^\top) \odot [a_{k-1} > 0]

    A layer before a ReLU begins with normal weights of variance 2 / inputs (He et al. 2015, eq. 10), the last
    one with uniform weights of variance 2 / (inputs + outputs) (Glorot & Bengio 2010, eq. 16), biases at 0.

    Parameters
    ----------
    sizes : sequence of int
        Features, hidden units of each layer, outputs; at least two.
    loss : SquaredError or CrossEntropy
    seed : int or numpy.random.Generator
        Of the initial weights.
    dtype : float32 or float64
        Of parameters and gradients; the features given must have it too.

    Attributes
    ----------
    params : ParameterBuffer
        ``"w1"`` of shape (inputs, outputs), ``"b1"`` of shape (outputs,), ``"w2"``, …, with the gradients
        that :meth:`gradient` writes in ``params.grads``.
    """

    def __init__(
        self,
        sizes: Sequence[int],
        loss: Loss,
        seed: int | np.random.Generator = 0,
        dtype: DTypeLike = np.float32,
    ) -> None:
        if len(sizes) < 2 or min(sizes) < 1:
            raise ValueError(f"sizes must be two or more whole numbers >= 1, got {tuple(sizes)}")
        rng = np.random.default_rng(seed)
        self.sizes = tuple(sizes)
        self.loss = loss
        self._layers = len(sizes) - 1
        initial: dict[str, Array] = {}
        for k, (inputs, outputs) in enumerate(pairwise(sizes), start=1):
            if k < self._layers:
                w = rng.standard_normal((inputs, outputs)) * np.sqrt(2 / inputs)
            else:
                bound = np.sqrt(6 / (inputs + outputs))
                w = rng.uniform(-bound, bound, (inputs, outputs))
            initial[f"w{k}"] = w.astype(dtype)
            initial[f"b{k}"] = np.zeros(outputs, dtype)
        self.params = ParameterBuffer(initial)
        self._reserve(0)

    def _reserve(self, rows: int) -> None:
        """Room for the activations of so many rows, and for the gradients with respect to the hidden ones."""
        self._rows = rows
        self._activations = [np.empty((rows, size), self.params.dtype) for size in self.sizes[1:]]
        self._deltas = [np.empty((rows, size), self.params.dtype) for size in self.sizes[1:-1]]

    def _forward(self, x: Array) -> list[Array]:
        """The input and the activations of each layer; the last are the outputs. Good until the next call."""
        if len(x) > self._rows:
            self._reserve(len(x))
        layers = [x, *(activation[: len(x)] for activation in self._activations)]
        for k in range(1, self._layers + 1):
            np.matmul(layers[k - 1], self.params[f"w{k}"], out=layers[k])
            layers[k] += self.params[f"b{k}"]
            if k < self._layers:
                np.maximum(layers[k], 0, out=layers[k])
        return layers

    def gradient(self, x: Array, targets: Array) -> float:
        """The mean loss over a batch, its gradient into ``params.grads``.

        Parameters
        ----------
        x : array of shape (n, features), of the network's dtype
        targets : array of shape (n,)
            Real numbers or class indices, as the loss takes them.
        """
        layers = self._forward(x)
        grads = self.params.grads
        delta = layers[-1]
        loss = self.loss.gradient(delta, targets)
        for k in range(self._layers, 0, -1):
            np.matmul(layers[k - 1].T, delta, out=grads[f"w{k}"])
            delta.sum(axis=0, out=grads[f"b{k}"])
            if k > 1:
                before = self._deltas[k - 2][: len(x)]
                np.matmul(delta, self.params[f"w{k}"].T, out=before)
                before *= np.sign(layers[k - 1], out=layers[k - 1])  # 1 where ReLU let through, otherwise 0
                delta = before
        return loss

    def predict(self, x: Array) -> Array:
        """The outputs for ``x`` of shape (n, features), in a new array of shape (n, outputs)."""
        outputs = np.empty((len(x), self.sizes[-1]), self.params.dtype)
        for start in range(0, len(x), _ROWS):
            rows = slice(start, start + _ROWS)
            outputs[rows] = self._forward(x[rows])[-1]
        return outputs
