"""The sweep in NumPy: one step over all tensors of a model, twin of the class in ``src/kernels.pyx``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import is_
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from lrcore.arrays import Array, assignment
from lrcore.reference.directions import Aim, Direction, Settings
from lrcore.reference.rules import RULES, state_names
from lrcore.reference.spans import AROUND, GradientTerms, Tail, filtered, move, prepared, synchronize
from lrcore.reference.sums import CHUNK, against, agreements, chunk_sums, in_order

Products = Literal["gg", "gt", "tt"]
"""What is summed: the squares of the gradient, its products with the parameter, the squares of the parameter."""

Seen = Literal["u", "uu", "ug", "gg", "agree"]
"""What is summed of a look, which makes u of a parameter: the elements of u, their squares, their products with the
gradient as the rule takes it, the squares of that; and how many elements of u step against it."""

Look = tuple[str, Sequence[float], Sequence[Seen]]
"""A rule, all of its coefficients, and what is summed."""

Entry = tuple[float, float, Sequence[Look]]
"""``factor, l2``, as of :data:`Terms`, and the looks at a tensor; see :meth:`Sweep.look`."""

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

    ``groups`` is a sequence of ``(rule, tensors)``, a tensor being ``(theta, states, average or None)``. After the
    states of the rule may come others, for looks alone: their names are then a third entry of the group. Where a
    gradient is None, its tensor rests: nothing of it is read or changed, and its sums are 0. ``around`` is the state of
    spans besides averages: for each name of ``AROUND`` that there is, an array for each tensor.

    Attributes
    ----------
    chunks : list of int
        For each tensor, the number of the first of its chunks; at the end, how many there are.
    """

    def __init__(self, groups: Sequence[Any], around: Mapping[str, Sequence[Array]] | None = None) -> None:
        self._tensors: list[tuple[Any, Array, list[Array], Array | None]] = []
        self._seen: list[dict[str, Array]] = []
        self._group: list[int] = []
        self.chunks = [0]
        for j, (rule, tensors, *names) in enumerate(groups):
            own = state_names(rule)
            for theta, states, average in tensors:
                self._tensors.append((RULES[rule], theta, list(states[: len(own)]), average))
                self._seen.append(dict(zip((*own, *(names[0] if names else ())), states, strict=True)))
                self._group.append(j)
                self.chunks.append(self.chunks[-1] + -(-theta.size // CHUNK))
        around = around or {}
        if not around.keys() <= set(AROUND) or any(len(arrays) != len(self._tensors) for arrays in around.values()):
            raise ValueError(f"around must hold arrays of {', '.join(AROUND)}, one a tensor, got {list(around)}")
        self._around = [{name: arrays[k] for name, arrays in around.items()} for k in range(len(self._tensors))]
        self.aims: list[Aim | None] = [None] * len(self._tensors)
        self._directions: list[Direction | None] = [None] * len(self._tensors)

    def direct(self, aims: Sequence[Aim | None]) -> None:
        """From now on the rule of a tensor with an aim steps along its direction, see :meth:`form_directions`."""
        self.aims = list(aims)
        self._directions = [None if aim is None else Direction(aim) for aim in aims]

    def form_directions(
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
                    scaled = prepared(g, given[0], clip_value)
                    direction.look(scaled, given[1:])
                    if squares:
                        u = direction.along(scaled, write=False)
                        sums[k] = in_order(chunk_sums(u, u))
        return sums

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

    def look(
        self,
        grads: Sequence[Array | None],
        entries: Sequence[Entry],
        which: Sequence[int],
        clip_value: float,
        plain: Sequence[Products] = (),
    ) -> list[tuple[float, ...] | None]:
        """Sums over each tensor by itself, None for one that rests: ``plain`` ones, of the gradient as it is; then
        those of each look. A look is a rule run on copies of the parameter and of its states: nothing is changed.

        Tensor k takes ``entries[which[k]]``.
        """
        found: list[tuple[float, ...] | None] = []
        with np.errstate(all="ignore"):
            for (_, theta, _, _), seen, g, k in zip(self._tensors, self._seen, grads, which, strict=True):
                if g is None:
                    found.append(None)
                    continue
                factor, l2, looks = entries[k]
                sums = [chunk_sums(theta if of == "tt" else g, g if of == "gg" else theta) for of in plain]
                p = prepared(g, factor, clip_value)
                p = p + l2 * theta if l2 else p
                for rule, coefficients, products in looks:
                    u = theta.copy()
                    RULES[rule](u, p, *(seen[name].copy() for name in state_names(rule)), *coefficients)
                    of_look = {"u": (u, np.ones_like(u)), "uu": (u, u), "ug": (u, p), "gg": (p, p)}
                    sums += [agreements(u, p) if of == "agree" else chunk_sums(*of_look[of]) for of in products]
                found.append(tuple(map(in_order, sums)))
        return found

    def step(
        self,
        grads: Sequence[Array | None],
        terms: Sequence[Terms],
        which: Sequence[int] | None,
        clip_value: float,
        zero_grad: bool,
        counts: list[Any],
        after: object,
        masks: Sequence[float] | None = None,
    ) -> bool:
        """Multiply the gradient by ``factor``, clip its elements to ± ``clip_value``, filter it, add the penalty
        ``l2``; apply the rule; draw the parameters back to slow ones; move the average of the parameters towards them;
        zero the gradient if asked to. Where ``begins``, average and slow parameters are first made the parameters as
        they are before the rule.

        Tensor k takes ``terms[which[k]]``; without ``which``, those numbered as its group. Where the entry of ``masks``
        of that number is not 0, a parameter moves, its decay aside, only where that is against its gradient, and so
        many times as far. In the end ``counts[0]`` is ``after``. All or nothing: what was changed before an interrupt
        is put back.
        """
        which = self._group if which is None else which
        changed: list[Any] = []
        for (_, theta, states, average), around, direction, g in zip(
            self._tensors, self._around, self._directions, grads, strict=True
        ):
            if g is not None:
                changed += [theta, *states, *([] if average is None else [average]), *([g] if zero_grad else [])]
                changed += around.values()
                changed += [] if direction is None else direction.states
        restore = assignment(changed, [array.copy() for array in changed])
        try:
            with np.errstate(all="ignore"):
                for tensor, around, direction, g, k in zip(
                    self._tensors, self._around, self._directions, grads, which, strict=True
                ):
                    if g is not None:
                        mask = masks[k] if masks else 0.0
                        self._step(*tensor, around, direction, g, terms[k], clip_value, zero_grad, mask)
            counts[0] = after
        finally:
            if counts[0] is not after:
                restore()
        return True

    @staticmethod
    def _step(
        rule: Any, theta: Array, states: Sequence[Array], average: Array | None, around: Mapping[str, Array],
        direction: Direction | None, g: Array, terms: Terms, clip_value: float, zero_grad: bool, mask: float,
    ) -> None:  # fmt: skip
        factor, l2, ema, one_minus_ema, begins, keep, *coefficients = terms
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
        if direction is not None:
            seen = direction.along(seen, write=True)
            direction.commit()
        if mask:
            d = np.zeros_like(theta)
            rule(d, seen, *states, 0.0, *coefficients)
            theta[...] = keep * theta + np.where(against(d, seen), mask * d, 0.0)
        else:
            rule(theta, seen, *states, keep, *coefficients)
        if tail is not None and tail.synchronizes:
            synchronize(theta, around["lookahead"], tail.pull)
        if average is not None:
            move(average, theta, ema, one_minus_ema)
        if zero_grad:
            g[...] = 0
