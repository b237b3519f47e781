"""The options of every optimizer that keep state around its rule: what they remember, and the terms of a step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import numpy as np

from lrcore import checks, hyperparameters
from lrcore.reference import GradientTerms, Tail
from lrcore.state import Initial

Ema = float | Literal["mean"] | None
Pair = tuple[float, float]

Filter = tuple[GradientTerms, float]
"""What the spans of the gradient take for an array, and what the corrected gradient is divided by."""


class Spans(NamedTuple):
    """Which of them an optimizer has, as they are kept: see its parameters of the same names."""

    ema: Ema = None
    ema_warmup: bool = False
    lookahead: tuple[int, float] | None = None
    grokfast: Pair | None = None
    mars: float | None = None
    corrects: bool = False
    """Whether gradients are corrected by those before: by ``mars``, or by what a class has in its place."""

    @property
    def average(self) -> dict[str, Initial]:
        """What averages begin with, if they are kept."""
        return {} if self.ema is None else {"average": "parameter"}

    @property
    def around(self) -> dict[str, Initial]:
        """What the state of the others begins with, by name, as in ``reference.AROUND``."""
        begins: dict[str, tuple[bool, Initial]] = {
            "lookahead": (self.lookahead is not None, "parameter"),
            "grokfast": (self.grokfast is not None, 0.0),
            "mars": (self.corrects, 0.0),
        }
        return {name: initial for name, (kept, initial) in begins.items() if kept}

    @property
    def followers(self) -> list[str]:
        """Names of state that is the parameter before its first step."""
        return [name for name, initial in (self.average | self.around).items() if initial == "parameter"]

    @property
    def filters(self) -> bool:
        """Whether rules see other gradients than those that are scaled and clipped."""
        return self.grokfast is not None or self.corrects

    def ema_at(self, t: int) -> Pair:
        """Weights of the average and of the parameter at the t-th step of a parameter; where the first is 1, the other
        is that of the distance between them, see ``reference.spans.move``."""
        if self.ema is None:
            return 1.0, 0.0
        if self.ema == "mean":
            return (1.0, 1.0 / t) if t > 1 else (0.0, 1.0)
        ema = min(self.ema, (1 + t) / (10 + t)) if self.ema_warmup else self.ema if t > 1 else 0.0
        return ema, 1.0 - ema

    def filter_at(self, t: int, gamma: float | None = None, beta1: float = 0.0) -> GradientTerms:
        """What the spans of the gradient take at the t-th step; without ``gamma`` it is not corrected."""
        alpha, lamb = self.grokfast or (0.0, 0.0)
        alpha = alpha if t > 1 else 0.0
        if gamma is None:
            return GradientTerms(alpha, 1.0 - alpha, lamb)
        return GradientTerms(alpha, 1.0 - alpha, lamb, True, gamma * beta1 / (1.0 - beta1) if t > 1 else 0.0)

    def head(self, t: int) -> tuple[float, float, bool]:
        """The terms of the average at the t-th step."""
        return *self.ema_at(t), t == 1

    def tail(self, t: int, known: Filter | None) -> tuple[float, ...]:
        """The terms of the others at the t-th step; those of the gradient where they are known already."""
        if not self.around:
            return ()
        terms, size = known or (self.filter_at(t), 1.0)
        k, alpha = self.lookahead or (0, 0.0)
        return Tail(*terms, size, k > 0 and t % k == 0, alpha)


def checked(
    name: str, known: Mapping[str, Any], ema: Any, ema_warmup: Any, lookahead: Any, grokfast: Any, mars: Any,
    corrects: bool, filters: bool,
) -> Spans:  # fmt: skip
    """The options as they are kept, of an optimizer of this name with these hyperparameters; raises if they cannot be.

    ``corrects`` says that it has a correction of gradients of its own, ``filters`` that its gradients may be filtered.
    """
    for option, value in (("grokfast", grokfast), ("mars", mars)):
        if value is not None and not filters:
            raise ValueError(
                f"{option} must not be given for {name}, which looks at gradients before it steps; got {value}"
            )
    warmup = checks.flag("ema_warmup", ema_warmup)
    if isinstance(ema, str) and ema == "mean":
        if warmup:
            raise ValueError("ema_warmup must not be given with ema='mean', whose first weights are 0, 1/2, 2/3, …")
    elif ema is not None:
        ema = hyperparameters.number("ema", ema)
    if lookahead is not None:
        k, alpha = _pair("lookahead", lookahead)
        lookahead = checks.whole("lookahead[0]", k, 1), checks.number("lookahead[1]", alpha, "[0, 1]")
    if grokfast is not None:
        alpha, lamb = _pair("grokfast", grokfast)
        grokfast = checks.number("grokfast[0]", alpha, "[0, 1)"), checks.number("grokfast[1]", lamb, "[0, inf)")
    if mars is not None:
        mars = checks.number("mars", mars, "[0, inf)")
        if corrects or "betas" not in known:
            reason = "corrects its gradients by itself" if corrects else "has no betas"
            raise ValueError(f"mars must not be given for {name}, which {reason}; got {mars}")
    return Spans(ema, warmup, lookahead, grokfast, mars, corrects or mars is not None)


def _pair(name: str, value: Any) -> tuple[Any, Any]:
    """Two entries, or the reason why they are none."""
    what = {"lookahead": "k and alpha", "grokfast": "alpha and lamb"}[name]
    value = value.tolist() if isinstance(value, np.ndarray) else value
    if not isinstance(value, (tuple, list)):
        raise TypeError(f"{name} must be a pair, {what}, got {checks.shown(value)}")
    if len(value) != 2:
        raise ValueError(f"{name} must be a pair, {what}, got {len(value)} entries")
    return value[0], value[1]
