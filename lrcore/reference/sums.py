"""Sums in double precision, in an order that no vector width and no number of threads changes.

Twin of ``src/sums.pxi``.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lrcore.arrays import Array

CHUNK = 2048  # elements that are summed by themselves
LANES = 32  # partial sums of a chunk


def chunk_sums(a: Array, b: Array) -> NDArray[np.float64]:
    """Sums of a_i b_i over each chunk of two tensors of one size.

    Element i of a chunk goes to partial sum i mod LANES; the partial sums are added in order.
    """
    chunks = -(-a.size // CHUNK)
    products = np.zeros((chunks, CHUNK // LANES, LANES))
    flat = products.reshape(-1)[: a.size]
    flat[...] = a.reshape(-1)
    flat *= b.reshape(-1)
    lanes = np.zeros((chunks, LANES))
    for row in range(CHUNK // LANES):
        lanes += products[:, row]
    totals = np.zeros(chunks)
    for lane in range(LANES):
        totals += lanes[:, lane]
    return totals


def against(u: Array, g: Array) -> NDArray[np.bool_]:
    """Where a step u goes against the gradient: by their signs, whose product would be lost where it is too small."""
    found: NDArray[np.bool_] = ((u < 0) & (g > 0)) | ((u > 0) & (g < 0))
    return found


def agreements(u: Array, g: Array) -> NDArray[np.float64]:
    """How many elements of u go against the gradient, as an only sum: counting is exact in any order."""
    return np.array([float(np.count_nonzero(against(u, g)))])


def in_order(terms: NDArray[np.float64]) -> float:
    """Their sum, added one after another from zero: NumPy's own ``sum`` adds in pairs."""
    total = 0.0
    for term in terms.tolist():
        total += term
    return total
