"""The sweep in NumPy: one step over all tensors of a model, twin of the class in ``src/kernels.pyx``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import is_
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from lrcore.arrays import Array, assignment
from lrcore.reference.rules import RULES
from lrcore.reference.spans import AROUND, GradientTerms, Tail, filtered, move, prepared, synchronize
from lrcore.reference.sums import CHUNK, chunk_sums, in_order

Products = Literal["gg", "gt", "tt"]
"""What is summed: the squares of the gradient, its products with the parameter, the squares of the parameter."""

Terms = tuple[float, ...]
"""``factor, l2, ema, one_minus_ema, begins``, then the coefficients of the rule, then, where a sweep has state around
it, those of :class:`Tail`; see :meth:`Sweep.step`."""

Filters = Sequence["tuple[float, GradientTerms] | None"]
"""For each tensor, what its gradient is multiplied by, and what the spans of the gradient take; None where it rests."""

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
    gradient is None, its tensor rests: nothing of it is read or changed, and its sums are 0. ``around`` is the state of
    spans besides averages: for each name of ``AROUND`` that there is, an array for each tensor.

    Attributes
    ----------
    chunks : list of int
        For each tensor, the number of the first of its chunks; at the end, how many there are.
    """

    def __init__(
        self, groups: Sequence[tuple[str, Sequence[tuple[Array, Sequence[Array], Array | None]]]],
        around: Mapping[str, Sequence[Array]] | None = None,
    ) -> None:  # fmt: skip
        self._tensors = [(RULES[rule], *tensor) for rule, tensors in groups for tensor in tensors]
        self._group = [j for j, (_, tensors) in enumerate(groups) for _ in tensors]
        self.chunks = [0]
        for _, theta, _, _ in self._tensors:
            self.chunks.append(self.chunks[-1] + -(-theta.size // CHUNK))
        around = around or {}
        if not around.keys() <= set(AROUND) or any(len(arrays) != len(self._tensors) for arrays in around.values()):
            raise ValueError(f"around must hold arrays of {', '.join(AROUND)}, one a tensor, got {list(around)}")
        self._around = [{name: arrays[k] for name, arrays in around.items()} for k in range(len(self._tensors))]

    def block_sums(
        self, grads: Sequence[Array | None], of: Products = "gg", filters: Filters | None = None,
        clip_value: float = np.inf,
    ) -> NDArray[np.float64]:  # fmt: skip
        """The sums of each chunk, in double precision, in the order of the chunks.

        With ``filters``, of the gradients as rules would see them: scaled, clipped to ± ``clip_value``, through the
        spans of the gradient, whose state does not change.
        """
        sums = np.zeros(self.chunks[-1])
        with np.errstate(all="ignore"):
            for k, g in enumerate(grads):
                if g is not None:
                    theta = self._tensors[k][1]
                    if filters is not None and (known := filters[k]) is not None:
                        copies = {name: array.copy() for name, array in self._around[k].items()}
                        g = filtered(prepared(g, known[0], clip_value), copies, known[1], 1.0)
                    a, b = theta if of == "tt" else g, g if of == "gg" else theta
                    sums[self.chunks[k] : self.chunks[k + 1]] = chunk_sums(a, b)
        return sums

    def total(self, grads: Sequence[Array | None], of: Products = "gg") -> float:
        """The sum over all chunks, added in order."""
        return in_order(self.block_sums(grads, of))

    def totals(
        self, grads: Sequence[Array | None], of: Products = "gg", filters: Filters | None = None,
        clip_value: float = np.inf,
    ) -> list[float]:  # fmt: skip
        """The sum of each tensor's chunks, added in order; with ``filters``, as in :meth:`block_sums`."""
        sums = self.block_sums(grads, of, filters, clip_value)
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
        """Multiply the gradient by ``factor``, clip its elements to ± ``clip_value``, filter it, add the penalty
        ``l2``; apply the rule; draw the parameters back to slow ones; move the average of the parameters towards them;
        zero the gradient if asked to. Where ``begins``, average and slow parameters are first made the parameters as
        they are before the rule.

        Tensor k takes ``terms[which[k]]``; without ``which``, those numbered as its group. In the end ``counts[0]``
        is ``after``. All or nothing: what was changed before an interrupt is put back.
        """
        which = self._group if which is None else which
        changed: list[Any] = []
        for (_, theta, states, average), around, g in zip(self._tensors, self._around, grads, strict=True):
            if g is not None:
                changed += [theta, *states, *([] if average is None else [average]), *([g] if zero_grad else [])]
                changed += around.values()
        restore = assignment(changed, [array.copy() for array in changed])
        try:
            with np.errstate(all="ignore"):
                for tensor, around, g, k in zip(self._tensors, self._around, grads, which, strict=True):
                    if g is not None:
                        self._step(*tensor, around, g, terms[k], clip_value, zero_grad)
            counts[0] = after
        finally:
            if counts[0] is not after:
                restore()
        return True

    @staticmethod
    def _step(
        rule: Any, theta: Array, states: Sequence[Array], average: Array | None, around: Mapping[str, Array], g: Array,
        terms: Terms, clip_value: float, zero_grad: bool,
    ) -> None:  # fmt: skip
        factor, l2, ema, one_minus_ema, begins, *coefficients = terms
        if begins:
            for follower in (average, around.get("lookahead")):
                if follower is not None:
                    follower[...] = theta
        seen = prepared(g, factor, clip_value)
        tail = None
        if around:
            coefficients, tail = coefficients[: -len(Tail._fields)], Tail(*coefficients[-len(Tail._fields) :])
            seen = filtered(seen, around, GradientTerms(*tail[: len(GradientTerms._fields)]), tail.size)
        if l2:
            seen = seen + l2 * theta
        rule(theta, seen, *states, *coefficients)
        if tail is not None and tail.synchronizes:
            synchronize(theta, around["lookahead"], tail.pull)
        if average is not None:
            move(average, theta, ema, one_minus_ema)
        if zero_grad:
            g[...] = 0
