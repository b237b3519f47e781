"""The specification: every update rule as plain NumPy, changing its arrays in place.

A rule takes its arrays by position (parameter ``theta``, gradient ``g``, then its state) and after the ``/``
its coefficients, Python floats formed once a step by :mod:`lrcore.optimizers`. NumPy casts them to the arrays'
dtype. ``src/rules.pxi`` holds the same rules compiled: same names, same argument order, same order of
operations, and so, each operation being correctly rounded, the same bits.

Throughout, ``keep`` is 1 minus the decoupled weight decay of this step (1.0 where there is none, which changes
no bit), and ``one_minus_x`` is ``1 - x`` formed in double precision. Bias corrections are folded into ``rate``
and ``eps`` as at the end of section 2 of Kingma & Ba, so that a convention is a choice of coefficients.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import is_
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def sgd(theta: Array, g: Array, /, keep: float, rate: float) -> None:
    """Gradient descent: Robbins & Monro 1951."""
    theta[...] = keep * theta - rate * g


def momentum(theta: Array, g: Array, b: Array, /, keep: float, mu: float, gain: float, rate: float) -> None:
    """Heavy-ball momentum: Polyak 1964; in this form Sutskever et al. 2013, eq. 1-2."""
    b[...] = mu * b + gain * g
    theta[...] = keep * theta - rate * b


def nesterov(
    theta: Array, g: Array, b: Array, /, keep: float, mu: float, gain: float, rate_g: float, rate_b: float
) -> None:
    """Nesterov's momentum, gradient taken at the parameters: Sutskever et al. 2013, eq. 3-4, shifted."""
    b[...] = mu * b + gain * g
    theta[...] = keep * theta - (rate_g * g + rate_b * b)


def adagrad(theta: Array, g: Array, s: Array, /, keep: float, rate: float, eps_in: float, eps: float) -> None:
    """Duchi, Hazan & Singer 2011, the diagonal form of figure 1."""
    s[...] = s + g * g
    theta[...] = keep * theta - rate * g / (np.sqrt(s + eps_in) + eps)


def adadelta(
    theta: Array, g: Array, v: Array, u: Array, /, keep: float, rho: float, one_minus_rho: float, rate: float,
    eps: float,
) -> None:  # fmt: skip
    """Zeiler 2012, algorithm 1."""
    v[...] = rho * v + one_minus_rho * (g * g)
    d = np.sqrt(u + eps) / np.sqrt(v + eps) * g
    u[...] = rho * u + one_minus_rho * (d * d)
    theta[...] = keep * theta - rate * d


def rmsprop(
    theta: Array, g: Array, v: Array, /, keep: float, alpha: float, one_minus_alpha: float, rate: float,
    eps_in: float, eps: float,
) -> None:  # fmt: skip
    """Tieleman & Hinton 2012, lecture 6.5."""
    v[...] = alpha * v + one_minus_alpha * (g * g)
    theta[...] = keep * theta - rate * g / (np.sqrt(v + eps_in) + eps)


def rmsprop_momentum(
    theta: Array, g: Array, v: Array, b: Array, /, keep: float, alpha: float, one_minus_alpha: float,
    eps_in: float, eps: float, mu: float, gain: float, rate: float,
) -> None:  # fmt: skip
    """RMSprop, its scaled gradient fed to heavy-ball momentum."""
    v[...] = alpha * v + one_minus_alpha * (g * g)
    b[...] = mu * b + gain * g / (np.sqrt(v + eps_in) + eps)
    theta[...] = keep * theta - rate * b


def rmsprop_centered(
    theta: Array, g: Array, v: Array, m: Array, /, keep: float, alpha: float, one_minus_alpha: float,
    rate: float, eps_in: float, eps: float,
) -> None:  # fmt: skip
    """Graves 2013, eq. 38-41 without momentum: scaled by the deviation, rounding kept from below zero."""
    v[...] = alpha * v + one_minus_alpha * (g * g)
    m[...] = alpha * m + one_minus_alpha * g
    theta[...] = keep * theta - rate * g / (np.sqrt(np.maximum(v - m * m + eps_in, 0.0)) + eps)


def rmsprop_centered_momentum(
    theta: Array, g: Array, v: Array, m: Array, b: Array, /, keep: float, alpha: float, one_minus_alpha: float,
    eps_in: float, eps: float, mu: float, gain: float, rate: float,
) -> None:  # fmt: skip
    """Graves 2013, eq. 38-41, rounding kept from below zero."""
    v[...] = alpha * v + one_minus_alpha * (g * g)
    m[...] = alpha * m + one_minus_alpha * g
    b[...] = mu * b + gain * g / (np.sqrt(np.maximum(v - m * m + eps_in, 0.0)) + eps)
    theta[...] = keep * theta - rate * b


def adam(
    theta: Array, g: Array, m: Array, v: Array, /, keep: float, beta1: float, one_minus_beta1: float,
    beta2: float, one_minus_beta2: float, rate: float, eps: float,
) -> None:  # fmt: skip
    """Kingma & Ba 2015, algorithm 1 in the order given at the end of its section 2."""
    m[...] = beta1 * m + one_minus_beta1 * g
    v[...] = beta2 * v + one_minus_beta2 * (g * g)
    theta[...] = keep * theta - rate * m / (np.sqrt(v) + eps)


def amsgrad(
    theta: Array, g: Array, m: Array, v: Array, v_max: Array, /, keep: float, beta1: float,
    one_minus_beta1: float, beta2: float, one_minus_beta2: float, correction: float, rate: float, eps: float,
) -> None:  # fmt: skip
    """Reddi, Kale & Kumar 2018, algorithm 2; ``correction`` multiplies v before it is compared."""
    m[...] = beta1 * m + one_minus_beta1 * g
    v[...] = beta2 * v + one_minus_beta2 * (g * g)
    v_max[...] = np.maximum(v_max, correction * v)
    theta[...] = keep * theta - rate * m / (np.sqrt(v_max) + eps)


def adamax(
    theta: Array, g: Array, m: Array, u: Array, /, keep: float, beta1: float, one_minus_beta1: float,
    beta2: float, rate: float, eps_in: float, eps: float,
) -> None:  # fmt: skip
    """Kingma & Ba 2015, algorithm 2."""
    m[...] = beta1 * m + one_minus_beta1 * g
    u[...] = np.maximum(beta2 * u, np.abs(g) + eps_in)
    theta[...] = keep * theta - rate * m / (u + eps)


def nadam(
    theta: Array, g: Array, m: Array, v: Array, /, keep: float, beta1: float, one_minus_beta1: float,
    beta2: float, one_minus_beta2: float, rate_g: float, rate_m: float, eps: float,
) -> None:  # fmt: skip
    """Dozat 2016, algorithm 2: Adam whose momentum is Nesterov's."""
    m[...] = beta1 * m + one_minus_beta1 * g
    v[...] = beta2 * v + one_minus_beta2 * (g * g)
    theta[...] = keep * theta - (rate_g * g + rate_m * m) / (np.sqrt(v) + eps)


RULES: dict[str, Callable[..., None]] = {
    rule.__name__: rule
    for rule in (
        sgd, momentum, nesterov, adagrad, adadelta, rmsprop, rmsprop_momentum, rmsprop_centered,
        rmsprop_centered_momentum, adam, amsgrad, adamax, nadam,
    )
}  # fmt: skip


def state_names(rule: str) -> tuple[str, ...]:
    """Names of the state arrays of a rule, in its argument order."""
    code = RULES[rule].__code__
    return code.co_varnames[2 : code.co_posonlyargcount]


def coefficient_names(rule: str) -> tuple[str, ...]:
    """Names of the coefficients of a rule, in its argument order."""
    code = RULES[rule].__code__
    return code.co_varnames[code.co_posonlyargcount : code.co_argcount]


BLOCK = 2048
LANES = 32


def sum_of_squares(g: Array) -> list[float]:
    """Sums of squares of each block of a tensor, in double precision.

    Element i of a block goes to partial sum i mod LANES; the partial sums are added in order. No vector width
    and no number of threads changes that.
    """
    blocks = -(-g.size // BLOCK)
    squares = np.zeros((blocks, BLOCK // LANES, LANES))
    squares.reshape(-1)[: g.size] = g.reshape(-1)
    squares *= squares
    lanes = np.zeros((blocks, LANES))
    for row in range(BLOCK // LANES):
        lanes += squares[:, row]
    totals = np.zeros(blocks)
    for lane in range(LANES):
        totals += lanes[:, lane]
    return totals.tolist()


def same_objects(one: Sequence[object], other: Sequence[object]) -> bool:
    """Whether two sequences hold the same objects in the same order."""
    return len(one) == len(other) and all(map(is_, one, other))


class Sweep:
    """One step over all tensors of a model; the compiled builds have a class of the same name and methods.

    Unlike theirs, a step here can be interrupted halfway, by Ctrl-C.

    ``groups`` is a sequence of ``(rule, tensors)``, a tensor being ``(theta, states, average or None)``.
    """

    def __init__(self, groups: Sequence[tuple[str, Sequence[tuple[Array, Sequence[Array], Array | None]]]]) -> None:
        self.groups = groups
        self.steps = 0

    def sum_of_squares(self, grads: Sequence[Array]) -> float:
        """Sum of the squares of all gradients in double precision."""
        total = 0.0
        with np.errstate(all="ignore"):
            for g in grads:
                for block in sum_of_squares(g):
                    total += block
        return total

    def step(
        self,
        grads: Sequence[Array],
        coefficients: Sequence[tuple[float, ...]],
        factor: float,
        clip_value: float,
        ema: float,
        one_minus_ema: float,
        zero_grad: bool,
    ) -> bool:
        """Multiply the gradient by ``factor``, clip its elements to ± ``clip_value``, add the L2 penalty; apply
        each group's rule; move the average of the parameters towards them; zero the gradient if asked to.

        A group's coefficients are its L2 penalty, then those of its rule.
        """
        gradients = iter(grads)
        with np.errstate(all="ignore"):
            for (rule, tensors), (l2, *rest) in zip(self.groups, coefficients, strict=True):
                for theta, states, average in tensors:
                    g = next(gradients)
                    prepared = g
                    if factor != 1.0 or clip_value != np.inf:
                        prepared = np.clip(factor * g, -clip_value, clip_value)
                    if l2:
                        prepared = prepared + l2 * theta
                    RULES[rule](theta, prepared, *states, *rest)
                    if average is not None:
                        average[...] = ema * average + one_minus_ema * theta
                    if zero_grad:
                        g[...] = 0
        self.steps += 1
        return True
