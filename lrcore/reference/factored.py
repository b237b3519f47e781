"""Second moments kept by row and column, and other directions of steps that the shape of an array decides.

A direction takes the place of the gradient, and a rule then steps along it. Its formulas take the gradient, their state
and, after the ``/``, coefficients formed in double precision; they change nothing.
"""

from __future__ import annotations

import numpy as np

from lrcore.arrays import Array


def scaled(g: Array, r: Array, c: Array, /, bound: float) -> Array:
    """Shazeer & Stern 2018, algorithm 4: r and c are the inverse roots of what is kept by row and by column."""
    u: Array = g * at_most(r * c, bound)
    return u


def moment(g: Array, v: Array, /, beta: float, one_minus_beta: float, eps_in: float) -> Array:
    """The second moment after this gradient, element by element."""
    return beta * v + one_minus_beta * (g * g + eps_in)


def covered(g: Array, row: Array, column: Array, /) -> Array:
    """Anil et al. 2019, algorithm SM3-II: the least that is kept of what covers an element, and its square."""
    v: Array = np.minimum(row, column) + g * g
    return v


def normalized(g: Array, v: Array, /, eps: float, bound: float) -> Array:
    """The gradient over the root of a second moment."""
    return g * at_most(1.0 / np.sqrt(v + eps), bound)


def momentum(g: Array, b: Array, /, mu: float, gain: float) -> Array:
    """The velocity after this gradient."""
    return mu * b + gain * g


def adaptive(
    g: Array, m: Array, v: Array, /, share_g: float, share_m: float, eps_in: float, eps: float
) -> Array:  # fmt: skip
    """Adam's, given its moments after this gradient; with a share of the gradient, NAdam's."""
    u: Array = (share_g * g + share_m * m) / (np.sqrt(v + eps_in) + eps)
    return u


def at_most(x: Array, bound: float) -> Array:
    """x, no larger than a bound; a NaN stays one."""
    least: Array = np.minimum(x, np.asarray(bound, x.dtype))
    return least
