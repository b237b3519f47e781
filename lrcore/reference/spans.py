"""What surrounds a rule and has state of its own: each span on one tensor, in NumPy; twin of ``src/spans.pxi``.

Which of them a sweep runs, it knows from the state that it is given for them (``AROUND``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from lrcore.arrays import Array

AROUND = ("lookahead", "grokfast", "mars")
"""Names of state that spans keep besides averages, those of their options, so that no rule has state of the same name:
slow parameters, slow gradients, the gradient of the step before."""


class GradientTerms(NamedTuple):
    """What the spans of the gradient take at a step."""

    alpha: float = 0.0
    one_minus_alpha: float = 1.0
    lamb: float = 0.0
    corrects: float = False
    correction: float = 0.0


class Tail(NamedTuple):
    """Terms that follow those of the rule, where a sweep has state of ``AROUND``."""

    alpha: float
    one_minus_alpha: float
    lamb: float
    corrects: float
    correction: float
    size: float
    synchronizes: float
    pull: float


def prepared(g: Array, factor: float, clip_value: float) -> Array:
    """The gradient scaled and clipped; itself where neither changes it."""
    if factor != 1.0 or clip_value != np.inf:
        return np.clip(factor * g, -clip_value, clip_value)
    return g


def filtered(g: Array, around: Mapping[str, Array], terms: GradientTerms, size: float) -> Array:
    """The gradient that a rule sees, of the one that is scaled and clipped; what is remembered of it changes."""
    if "grokfast" in around:
        g = amplify(g, around["grokfast"], terms.alpha, terms.one_minus_alpha, terms.lamb)
    if "mars" in around and terms.corrects:
        g = correct(g, around["mars"], terms.correction, size)
    return g


def amplify(g: Array, grokfast: Array, alpha: float, one_minus_alpha: float, lamb: float) -> Array:
    """Lee et al. 2024 (Grokfast), algorithm 1: the slow part of the gradients, once more."""
    grokfast[...] = alpha * grokfast + one_minus_alpha * g
    return g + lamb * grokfast


def correct(g: Array, previous: Array, correction: float, size: float) -> Array:
    """Yuan et al. 2024 (MARS), algorithm 2: against the noise of the gradients, at most of norm 1."""
    c = (g + correction * (g - previous)) / size
    previous[...] = g
    return c


def move(average: Array, theta: Array, ema: float, one_minus_ema: float) -> None:
    """The average moved towards the parameters: by that share of the distance where ``ema`` is 1, as a mean is, whose
    changing weights would not add up to 1 once they are rounded."""
    if ema == 1.0:
        average[...] = average + one_minus_ema * (theta - average)
    else:
        average[...] = ema * average + one_minus_ema * theta


def synchronize(theta: Array, slow: Array, pull: float) -> None:
    """Zhang et al. 2019 (Lookahead), algorithm 1: slow parameters drawn to the fast, which begin from them again."""
    slow[...] = slow + pull * (theta - slow)
    theta[...] = slow
