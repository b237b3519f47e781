"""What a rule steps along in place of the gradient, where it depends on the shape of an array; twin of
``src/directions.pxi``.

An array is seen with five axes: outer, rows, middle, columns, inner. What is kept of a row is formed over the columns,
what is kept of a column over the rows, and both for each place in the other three by themselves.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

import lrcore.reference.factored as factored
from lrcore.arrays import Array
from lrcore.reference.sums import CHUNK, LANES

BAND = 256  # rows that are summed by themselves

Kind = Literal["factored", "moment", "covered", "orthogonal", "adaptive"]
"""``factored``: states row and column, means of squares; settings beta, one_minus_beta, eps_in, floor, eps, bound.
``moment``: state v; the same settings. ``covered``: state mu, the maxima of each axis end to end; the same settings.
``orthogonal``: states b and o, the direction itself; settings mu, gain.
``adaptive``: states m and v; settings beta1, one_minus_beta1, beta2, one_minus_beta2, share_g, share_m, eps_in, eps."""

SETTINGS = {"factored": 6, "moment": 6, "covered": 6, "orthogonal": 2, "adaptive": 8}
STATES = {"factored": 2, "moment": 1, "covered": 1, "orthogonal": 2, "adaptive": 2}

Settings = tuple[float, ...]
"""What the gradient is multiplied by first, then the settings of the kind, in double precision."""


class Aim(NamedTuple):
    """How the direction of an array is formed: kind, the array's shape as it is seen, state."""

    kind: Kind
    dims: tuple[int, ...]
    """Of ``factored`` the five numbers above; else those of the array."""
    states: Sequence[Array]


class Direction:
    """The direction of one array. What is kept of rows and columns is looked at first, and kept by :meth:`commit`."""

    def __init__(self, aim: Aim) -> None:
        self.kind, self.dims, states = aim
        self.states = list(states)
        self._fresh: list[Array] = []
        self._r, self._c = np.empty(0), np.empty(0)
        self._settings: Settings = ()

    def look(self, g: Array, settings: Settings) -> None:
        """Form what is kept of rows and columns after this gradient, which is prepared."""
        self._settings = settings
        self._fresh = []
        if not g.size:
            return
        if self.kind == "factored":
            self._look_factored(g)
        elif self.kind == "covered":
            self._look_covered(g)

    def _look_factored(self, g: Array) -> None:
        row, column = self.states
        outer, rows, middle, columns, inner = self.dims
        beta, one_minus_beta, eps_in, floor, _, _ = self._settings
        squares = g.astype(np.float64).reshape(outer, rows, middle, columns * inner) ** 2
        means = _row_sums(squares, inner) / columns + eps_in
        fresh_row = (beta * row.reshape(means.shape).astype(np.float64) + one_minus_beta * means).astype(g.dtype)
        means = _column_sums(squares) / rows + eps_in
        fresh_column = (beta * column.reshape(means.shape).astype(np.float64) + one_minus_beta * means).astype(g.dtype)
        mean = np.zeros((outer, middle, inner))
        for i in range(rows):
            mean += fresh_row[:, i]
        mean = np.maximum(mean / rows, floor)
        mean[mean == 0.0] = 1.0  # there is no gradient yet
        self._r = np.sqrt(mean[:, None] / fresh_row).astype(g.dtype).reshape(outer, rows, middle, 1, inner)
        self._c = np.sqrt(1.0 / fresh_column.astype(np.float64)).astype(g.dtype)
        self._c = self._c.reshape(outer, 1, middle, columns, inner)
        self._fresh = [fresh_row.reshape(row.shape), fresh_column.reshape(column.shape)]

    def _look_covered(self, g: Array) -> None:
        moment = factored.covered(g.reshape(self.dims), *self._cover())
        axes = range(len(self.dims))
        maxima = [moment.max(axis=tuple(other for other in axes if other != axis)) for axis in axes]
        self._fresh = [np.concatenate(maxima)]

    def _cover(self) -> tuple[Array, Array]:
        """The least of what is kept along all axes but the last, and what is kept along that one."""
        ends = np.cumsum(self.dims)[:-1]
        *others, last = np.split(self.states[0], ends)
        least = others[0].reshape(-1, 1)
        for mu in others[1:]:
            least = np.minimum(least, mu).reshape(-1, 1)
        return least.reshape(*self.dims[:-1], 1), last

    def along(self, g: Array, write: bool) -> Array:
        """The direction, given the prepared gradient; state of the array's own shape is changed if asked to."""
        settings, states = self._settings, self.states
        if not g.size:
            return g
        if self.kind == "factored":
            return factored.scaled(g.reshape(self.dims), self._r, self._c, settings[5]).reshape(g.shape)
        if self.kind == "covered":
            moment = factored.covered(g.reshape(self.dims), *self._cover()).reshape(g.shape)
            return factored.normalized(g, moment, settings[4], settings[5])
        if self.kind == "moment":
            changed = [factored.moment(g, states[0].reshape(g.shape), *settings[:3])]
            u = factored.normalized(g, changed[0], settings[4], settings[5])
        elif self.kind == "orthogonal":
            changed = [factored.momentum(g, states[0].reshape(g.shape), *settings)]
            u = states[1].reshape(g.shape)
        else:
            m = factored.momentum(g, states[0].reshape(g.shape), *settings[:2])
            v = factored.momentum(g * g, states[1].reshape(g.shape), *settings[2:4])
            changed = [m, v]
            u = factored.adaptive(g, m, v, *settings[4:])
        if write:
            for state, values in zip(states, changed, strict=False):
                state[...] = values.reshape(state.shape)
        return u

    def commit(self) -> None:
        """Keep what was looked at."""
        for state, values in zip(self.states, self._fresh, strict=False):
            state[...] = values


def _row_sums(x: NDArray[np.float64], inner: int) -> NDArray[np.float64]:
    """Sums over columns: of each stretch of CHUNK, element i added to partial sum i mod LANES, or mod ``inner`` where
    that is not 1, then stretch by stretch in order."""
    *others, width = x.shape
    totals = np.zeros((*others, inner))
    for start in range(0, width, CHUNK):
        stripe = x[..., start : start + CHUNK]
        if inner == 1:
            n = math.ceil(stripe.shape[-1] / LANES)
            padded = np.zeros((*others, n * LANES))
            padded[..., : stripe.shape[-1]] = stripe
            lanes = np.zeros((*others, LANES))
            for k in range(n):
                lanes += padded[..., k * LANES : (k + 1) * LANES]
            part = np.zeros((*others, 1))
            for lane in range(LANES):
                part[..., 0] += lanes[..., lane]
        else:
            part = np.zeros((*others, inner))
            for k in range(stripe.shape[-1]):
                part[..., (start + k) % inner] += stripe[..., k]
        totals += part
    return totals


def _column_sums(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sums over rows, added in order in bands of BAND, then band by band."""
    outer, rows, *others = x.shape
    totals = np.zeros((outer, *others))
    for start in range(0, rows, BAND):
        part = np.zeros((outer, *others))
        for i in range(start, min(start + BAND, rows)):
            part += x[:, i]
        totals += part
    return totals
