"""Norms of gradients, from sums of their squares, and what clipping makes of them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from lrcore.arrays import Array
from lrcore.reference import chunk_sums
from lrcore.reference.sums import in_order

_SINGLE_MAX = float(np.finfo(np.float32).max)


def norm(squares: float, grads: Sequence[Array | None], factor: float) -> tuple[float, bool]:
    """Euclidean norm of gradients times ``factor``, and whether every one of their elements is finite.

    ``squares`` is the sum of their squares; where that overflows, or might hide an element that does when multiplied,
    the gradients themselves are looked at.
    """
    value = math.sqrt(squares) * factor
    if value <= _SINGLE_MAX:
        return value, True
    present = [g for g in grads if g is not None]
    with np.errstate(all="ignore"):
        if not all(np.isfinite(g * factor).all() for g in present):
            return value, False
        if math.isfinite(squares):
            return value, True
        largest = max(float(np.abs(g).max(initial=0)) for g in present)
        scaled = [chunk_sums(g / largest, g / largest) for g in present]
    return largest * factor * math.sqrt(in_order(np.concatenate(scaled))), True


def clip_factor(value: float, bound: float, like: str) -> float:
    """What gradients of this norm are multiplied by so that it is at most ``bound``; NaN if it is NaN."""
    if like == "torch":
        return min(1.0, bound / (value + 1e-6)) if value == value else value
    return bound / value if value > bound or value != value else 1.0


def raise_nonfinite(labelled: Sequence[tuple[str, Array]]) -> None:
    """Raise FloatingPointError for the first element that is not finite, if there is one."""
    for label, g in labelled:
        wrong = np.argwhere(~np.isfinite(g))
        if len(wrong):
            at = tuple(map(int, wrong[0]))
            raise FloatingPointError(f"{label} must be finite, got {g[at]} at index {at}")
