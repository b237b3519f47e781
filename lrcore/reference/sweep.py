"""The sweep in NumPy: one step over all tensors of a model, twin of the class in ``src/kernels.pyx``."""

from __future__ import annotations

from collections.abc import Sequence
from operator import is_
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from lrcore.arrays import Array, assignment
from lrcore.reference.directions import Aim, Direction, Settings
from lrcore.reference.rules import RULES
from lrcore.reference.sums import CHUNK, chunk_sums, in_order

Products = Literal["gg", "gt", "tt"]
"""What is summed: the squares of the gradient, its products with the parameter, the squares of the parameter."""

Terms = tuple[float, ...]
"""``factor, l2, ema, one_minus_ema, begins``, then the coefficients of the rule; see :meth:`Sweep.step`."""

HEAD = 5  # terms before those of the rule


def same_objects(one: Sequence[object], other: Sequence[object]) -> bool:
    """Whether two sequences hold the same objects in the same order."""
    return len(one) == len(other) and all(map(is_, one, other))


def any_none(items: Sequence[object]) -> bool:
    """Whether None is among them."""
    return any(item is None for item in items)


class Sweep:
    """One step over all tensors of a model; the compiled builds have a class of the same name and methods.

    ``groups`` is a sequence of ``(rule, tensors)``, a tensor being ``(theta, states, average or None)``. Where a
    gradient is None, its tensor rests: nothing of it is read or changed, and its sums are 0.

    Attributes
    ----------
    chunks : list of int
        For each tensor, the number of the first of its chunks; at the end, how many there are.
    """

    def __init__(self, groups: Sequence[tuple[str, Sequence[tuple[Array, Sequence[Array], Array | None]]]]) -> None:
        self._tensors = [(RULES[rule], *tensor) for rule, tensors in groups for tensor in tensors]
        self._group = [j for j, (_, tensors) in enumerate(groups) for _ in tensors]
        self.chunks = [0]
        for _, theta, _, _ in self._tensors:
            self.chunks.append(self.chunks[-1] + -(-theta.size // CHUNK))
        self.aims: list[Aim | None] = [None] * len(self._tensors)
        self._directions: list[Direction | None] = [None] * len(self._tensors)

    def direct(self, aims: Sequence[Aim | None]) -> None:
        """From now on the rule of a tensor with an aim steps along its direction, see :meth:`look`."""
        self.aims = list(aims)
        self._directions = [None if aim is None else Direction(aim) for aim in aims]

    def look(
        self, grads: Sequence[Array | None], settings: Sequence[Settings | None], clip_value: float, squares: bool
    ) -> list[float]:
        """Form what the directions of the next step need; the sum of squares of each, 0 unless asked for.

        Of each tensor that has a direction and does not rest, settings are the factor of its gradient and those of the
        kind. State is changed by the step alone, which must have the same gradients, factors and ``clip_value``.
        """
        sums = [0.0] * len(grads)
        with np.errstate(all="ignore"):
            for k, (g, given, direction) in enumerate(zip(grads, settings, self._directions, strict=True)):
                if g is not None and given is not None and direction is not None:
                    prepared = _prepared(g, given[0], clip_value)
                    direction.look(prepared, given[1:])
                    if squares:
                        u = direction.along(prepared, write=False)
                        sums[k] = in_order(chunk_sums(u, u))
        return sums

    def block_sums(self, grads: Sequence[Array | None], of: Products = "gg") -> NDArray[np.float64]:
        """The sums of each chunk, in double precision, in the order of the chunks."""
        sums = np.zeros(self.chunks[-1])
        with np.errstate(all="ignore"):
            for k, g in enumerate(grads):
                if g is not None:
                    theta = self._tensors[k][1]
                    a, b = theta if of == "tt" else g, g if of == "gg" else theta
                    sums[self.chunks[k] : self.chunks[k + 1]] = chunk_sums(a, b)
        return sums

    def total(self, grads: Sequence[Array | None], of: Products = "gg") -> float:
        """The sum over all chunks, added in order."""
        return in_order(self.block_sums(grads, of))

    def totals(self, grads: Sequence[Array | None], of: Products = "gg") -> list[float]:
        """The sum of each tensor's chunks, added in order."""
        sums = self.block_sums(grads, of)
        return [in_order(sums[a:b]) for a, b in zip(self.chunks, self.chunks[1:], strict=False)]

    def step(
        self,
        grads: Sequence[Array | None],
        terms: Sequence[Terms],
        which: Sequence[int] | None,
        clip_value: float,
        zero_grad: bool,
        counts: list[Any],
        after: object,
    ) -> bool:
        """Multiply the gradient by ``factor``, clip its elements to ± ``clip_value``, add the penalty ``l2``; apply
        the rule; move the average of the parameters towards them; zero the gradient if asked to. Where ``begins``,
        the average is first made the parameters as they are before the rule.

        Tensor k takes ``terms[which[k]]``; without ``which``, those numbered as its group. In the end ``counts[0]``
        is ``after``. All or nothing: what was changed before an interrupt is put back.
        """
        which = self._group if which is None else which
        changed: list[Any] = []
        for (_, theta, states, average), direction, g in zip(self._tensors, self._directions, grads, strict=True):
            if g is not None:
                changed += [theta, *states, *([] if average is None else [average]), *([g] if zero_grad else [])]
                changed += [] if direction is None else direction.states
        restore = assignment(changed, [array.copy() for array in changed])
        try:
            with np.errstate(all="ignore"):
                for (rule, theta, states, average), direction, g, k in zip(
                    self._tensors, self._directions, grads, which, strict=True
                ):
                    if g is not None:
                        self._step(rule, theta, g, states, average, direction, terms[k], clip_value, zero_grad)
            counts[0] = after
        finally:
            if counts[0] is not after:
                restore()
        return True

    @staticmethod
    def _step(
        rule: Any, theta: Array, g: Array, states: Sequence[Array], average: Array | None,
        direction: Direction | None, terms: Terms, clip_value: float, zero_grad: bool,
    ) -> None:  # fmt: skip
        factor, l2, ema, one_minus_ema, begins, *coefficients = terms
        if average is not None and begins:
            average[...] = theta
        prepared = _prepared(g, factor, clip_value)
        if l2:
            prepared = prepared + l2 * theta
        if direction is not None:
            prepared = direction.along(prepared, write=True)
            direction.commit()
        rule(theta, prepared, *states, *coefficients)
        if average is not None:
            average[...] = ema * average + one_minus_ema * theta
        if zero_grad:
            g[...] = 0


def _prepared(g: Array, factor: float, clip_value: float) -> Array:
    """The gradient scaled and clipped."""
    if factor == 1.0 and clip_value == np.inf:
        return g
    return np.clip(factor * g, -clip_value, clip_value)
