"""What an optimizer forms of sums over arrays, before it writes anything: what each step is scaled by."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

from lrcore import checks, norms, reference
from lrcore.arrays import Array
from lrcore.groups import Now, ParameterGroup, Values
from lrcore.kernels import Sweep
from lrcore.options import Option
from lrcore.reference import GradientTerms
from lrcore.spans import Filter, Spans
from lrcore.state import Clocks

Moving = Sequence[tuple[ParameterGroup, Clocks]]

LEAST_AGREEMENT = 1e-3  # share of elements below which a masked step grows no further, as in timm


class Cautious(Option[bool]):
    """Whether steps are masked: True only for an optimizer that says of which rules, see ``maskable``."""

    def __init__(self) -> None:
        super().__init__(checks.flag)

    def __set__(self, instance: Any, value: Any) -> None:
        can = instance.maskable and not (instance.sums or instance.looks or instance._spans.filters)
        if checks.flag(self._name, value) and not can:
            raise ValueError(f"{self._name} must be False for {type(instance).__name__}, got True")
        super().__set__(instance, value)


class Formed(NamedTuple):
    """Of one array: what holds for it at a step, and what that makes of its sums."""

    h: Values
    rate: float
    l2: float
    keep: float
    scale: float
    """What its gradient is multiplied by."""
    numbers: Mapping[str, float]
    """Those remembered, the sums, ``"n"``, how many elements it has, and ``"tiny"``, its least normal number."""
    mask: float


class Summing:
    """What a class says of sums, and how they are formed. Each array is then a tensor by itself, also in a buffer."""

    sums: ClassVar[tuple[reference.Products, ...]] = ()
    """Sums over each array by itself that coefficients are formed of: "gg" squares of its gradient, after
    ``grad_scale`` and clipping by norm; "gt" gradient times parameter; "tt" squares of the parameter."""

    looks: ClassVar[Mapping[str, tuple[reference.Seen, ...]]] = {}
    """Rules that are run on copies of each array and its states, and what is summed of u, which they make of the
    parameter: "u" its elements, "uu" their squares, "ug" their products with the gradient as the rule takes it, "gg"
    the squares of that, "agree" how many step against it. A sum is called ``"rule.uu"`` in ``numbers``. States of a
    look that the rule of the step has not are kept too, and stay as they begin."""

    together: ClassVar[bool] = False
    """Whether what is remembered is of all parameters together, see :meth:`_together`."""

    maskable: ClassVar[tuple[str, ...]] = ()
    """The rules whose steps ``cautious`` masks. Their coefficients must not be formed of sums."""

    filters: ClassVar[bool] = True
    """Whether ``grokfast`` and ``mars`` may filter gradients before the rule sees them; not where there are ``looks``,
    which see them as they are."""

    _like: str
    _spans: Spans
    _cautious: bool
    _clipnorm: float | None
    _clip_value: float | None

    def _look(self, look: str, h: Values, lr: float, t: int, numbers: Mapping[str, float]) -> tuple[float, ...]:
        """All coefficients of a look, ``keep`` too where it has one. t is that of ``_together`` where there is one."""
        raise NotImplementedError

    def _together(
        self, each: Sequence[tuple[Values, float, Mapping[str, float]]], t: int, numbers: Mapping[str, float]
    ) -> Mapping[str, float]:
        """Numbers that hold for all parameters in the t-th step of the optimizer, formed of those remembered and, of
        each array, hyperparameters, rate and sums. Whatever ``_advance`` gives of them is remembered of all."""
        raise NotImplementedError

    def _rates(self, h: Values, lr: float, t: int, numbers: Mapping[str, float]) -> tuple[float, float]:
        """The rate that coefficients are formed of, and the one that multiplies decoupled weight decay."""
        return lr, lr

    def _coefficients(self, rule: str, h: Values, lr: float, t: int, numbers: Mapping[str, float]) -> tuple[float, ...]:
        raise NotImplementedError

    def _summed(self, sums: Any, grads: Sequence[Array | None], by_name: bool) -> Any:
        """Sums of a sweep; raises the reason where it has refused to form them."""
        raise NotImplementedError

    def _gamma(self, h: Values, theta: Array) -> float | None:
        """How much the gradient of a parameter is corrected, see ``mars``; None if it is not."""
        return self._spans.mars

    def _form(
        self, sweep: Sweep, grads: Sequence[Array | None], now: Now, moving: Moving, which: Sequence[int], factor: float
    ) -> list[Formed]:
        """What a step makes of each array that does not rest; they are swept by name."""
        present = [g for g in grads if g is not None]
        scales = [factor] * len(present)
        if self._clipnorm is not None:
            squares = self._summed(sweep.totals(grads), grads, True)
            mine = [square for square, n in zip(squares, which, strict=True) if n >= 0]
            for k, (g, square) in enumerate(zip(present, mine, strict=True)):
                scales[k] *= norms.clip_factor(norms.norm(square, [g], factor)[0], self._clipnorm, "keras")
        remembered = now.latest() if self.together else {}
        settled, entries, known = [], [], []
        for k, (group, ((t, numbers),)) in enumerate(moving):
            h, lr, l2, keep, sign = group.at(now.step, t + 1)
            tiny = 2.0**-126 if present[k].itemsize == 4 else 2.0**-1022
            numbers = {**numbers, **remembered, "n": present[k].size, "tiny": tiny}
            step = now.step if self.together else t
            looks: list[reference.Look] = [
                (look, self._look(look, h, lr, step + 1, numbers), products) for look, products in self.looks.items()
            ]
            if self._cautious and group.rule in self.maskable:
                looks.append((group.rule, (0.0, *self._coefficients(group.rule, h, lr, t + 1, numbers)), ("agree",)))
            scales[k] *= sign
            settled.append((h, lr, l2, keep))
            entries.append((scales[k], l2, looks))
            known.append(numbers)
        if present and (self.sums or self.looks or self._cautious):
            found = sweep.look(grads, entries, which, self._clip_value or math.inf, self.sums)
            sums = [values for values in self._summed(found, grads, True) if values is not None]
            for numbers, values, scale, (_, _, looks) in zip(known, sums, scales, entries, strict=True):
                powers = {"gg": scale * scale, "gt": scale, "tt": 1.0}
                labels = [f"{look}.{product}" for look, _, products in looks for product in products]
                numbers.update(zip((*self.sums, *labels), values, strict=True))
                numbers.update({of: numbers[of] * powers[of] for of in self.sums})
        if self.together and present:
            each = [(h, lr, numbers) for (h, lr, _, _), numbers in zip(settled, known, strict=True)]
            shared = self._together(each, now.step + 1, remembered)
            known = [{**numbers, **shared} for numbers in known]
        return [
            self._formed(group, clocks[0][0] + 1, scale, numbers, values)
            for (group, clocks), scale, numbers, values in zip(moving, scales, known, settled, strict=True)
        ]

    def _formed(
        self, group: ParameterGroup, t: int, scale: float, numbers: Mapping[str, float],
        settled: tuple[Values, float, float, float],
    ) -> Formed:  # fmt: skip
        h, lr, l2, keep = settled
        rate, decaying = self._rates(h, lr, t, numbers)
        if decaying != lr and not l2:
            keep = 1.0 - decaying * h.get("weight_decay", 0.0)
        agreeing = numbers.get(f"{group.rule}.agree")
        mask = 0.0 if agreeing is None else 1.0 / max(agreeing / max(numbers["n"], 1.0), LEAST_AGREEMENT)
        return Formed(h, rate, l2, keep, scale, numbers, mask)

    def _filtered(
        self, sweep: Sweep, grads: Sequence[Array | None], formed: Sequence[Formed], now: Now, moving: Moving
    ) -> tuple[list[Formed], Iterator[Filter]]:
        """``formed`` with sums of gradients as the rule sees them, and what is done to these, array by array."""
        thetas = [theta for parameters in now.roster.parameters for theta in parameters.tensors(by_name=True)]
        present = [k for k, g in enumerate(grads) if g is not None]
        filters: list[tuple[float, GradientTerms] | None] = [None] * len(grads)
        terms: list[GradientTerms] = []
        for k, (_, ((t, _),)), mine in zip(present, moving, formed, strict=True):
            gamma = self._gamma(mine.h, thetas[k])
            terms.append(self._spans.filter_at(t + 1, gamma, 0.0 if gamma is None else mine.h["betas"][0]))
            filters[k] = mine.scale, terms[-1]
        wanted = dict.fromkeys((*(("gg",) if self._spans.corrects else ()), *(of for of in self.sums if of != "tt")))
        columns = {
            of: self._summed(sweep.totals(grads, of, filters, self._clip_value or math.inf), grads, True)
            for of in wanted
        }
        made: list[Formed] = []
        done: list[Filter] = []
        for k, mine, given in zip(present, formed, terms, strict=True):
            size = 1.0
            if given.corrects:
                norm = math.sqrt(columns["gg"][k])
                size = norm if norm > 1.0 or norm != norm else 1.0
            powers = {"gg": size * size, "gt": size}
            changed: dict[str, float] = {of: columns[of][k] / powers[of] for of in self.sums if of in powers}
            made.append(mine._replace(numbers={**mine.numbers, **changed}))
            done.append((given, size))
        return made, iter(done)
