"""What watches a run: the metric, its best so far, and that it is the same run all the time."""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable, Mapping
from typing import Any, Literal

from lrcore import checks
from lrcore.arrays import Change
from lrcore.base import Optimizer
from lrcore.minimize import Iteration
from lrcore.settings import Closed, Setting

Mode = Literal["min", "max"]
Metric = Callable[[Iteration], float]


def _metric(name: str, value: Any) -> Metric | None:
    if value is None:
        return None
    metric: Metric = checks.function(name, value)
    return metric


class Watch(Closed):
    """The best metric so far, how many updates ago it was, and which run is watched.

    All that changes from update to update is one mapping, ``_memory``, that is exchanged or changed in one call, so
    that an interrupt comes before an update or after it.
    """

    __slots__ = ("__weakref__", "_every", "_memory", "_metric", "_mode", "_patience", "_run")

    patience = Setting(lambda name, value: checks.whole(name, value, 1))
    every = Setting(lambda name, value: checks.whole(name, value, 1))
    metric = Setting(_metric)

    _memory: dict[str, Any]

    def __init__(self, patience: int, mode: Mode, metric: Metric | None, every: int) -> None:
        self.patience = patience
        self._mode = checks.one_of("mode", mode, "min", "max")
        self.metric = metric
        self.every = every
        self._memory = {"best": math.inf if mode == "min" else -math.inf, "waited": 0, "seen": -1}
        self._run: weakref.ref[Optimizer] | None = None

    @property
    def mode(self) -> str:
        """Whether lower or higher is better: it cannot change, as ``best`` would lose its meaning."""
        return self._mode

    @property
    def best(self) -> float:
        """Best metric so far; infinity before the first."""
        best: float = self._memory["best"]
        return best

    @property
    def waited(self) -> int:
        """Updates in a row without improvement, see the class."""
        waited: int = self._memory["waited"]
        return waited

    def _improves(self, metric: float, threshold: float, relative: bool) -> bool:
        best = self.best
        margin = 0.0 if math.isinf(best) else threshold * abs(best) if relative else threshold
        return metric < best - margin if self._mode == "min" else metric > best + margin

    def _watches(self, at: Iteration) -> None:
        """Raise if this run is not the one watched so far."""
        name = type(self).__name__
        step, seen = at.optimizer.step_count, self._memory["seen"]
        if self._run is not None and self._run() is not at.optimizer:
            raise ValueError(
                f"{name} must watch the run of one optimizer, and has watched another's, got {at.optimizer!r}; "
                "make a new one for a new run"
            )
        if step < seen:
            raise ValueError(
                f"{name} must go on where it was, at step {seen} or later, got step {step}; "
                "make a new one for a new run"
            )
        if self._run is None:
            self._run = weakref.ref(at.optimizer)

    def _look(self, at: Iteration) -> float | None:
        """The metric of a run at this point; None where it is not looked at, or was already."""
        step = at.optimizer.step_count
        if step % self.every or step == self._memory["seen"]:
            return None
        return checks.number("metric", self.metric(at) if self.metric else at.loss)

    def state_dict(self) -> dict[str, Any]:
        """Where it stands, to be saved."""
        raise NotImplementedError

    def _loading(self, saved: Mapping[str, Any]) -> Change:
        """What ``load_state_dict`` changes; raises if it cannot be loaded."""
        raise NotImplementedError

    def _settings(self) -> dict[str, Any]:
        """What a state must have been saved with to be loaded."""
        return {"mode": self._mode, "patience": self.patience, "every": self.every}

    def _check_settings(self, saved: Mapping[str, Any]) -> None:
        for key, mine in self._settings().items():
            theirs = checks.plain(saved[key])
            if type(theirs) is bool or type(mine) is bool or isinstance(mine, str) or mine is None:
                same = type(theirs) is type(mine) and theirs == mine
            else:
                same = checks.number(f"state[{key!r}]", theirs) == mine
            if not same:
                raise ValueError(f"state[{key!r}] must be {mine!r} as here, got {checks.shown(theirs)}")

    def _checked_memory(self, saved: Mapping[str, Any]) -> dict[str, Any]:
        best = checks.number("state['best']", saved["best"])
        if math.isnan(best):
            raise ValueError("state['best'] must not be nan")
        waited = checks.whole("state['waited']", saved["waited"], 0)
        seen = checks.whole("state['seen']", saved["seen"], -1)
        return {"best": best, "waited": waited, "seen": seen}

    def __getstate__(self) -> tuple[dict[str, Any] | None, dict[str, Any]]:
        # A copy watches a run of its own.
        names = [
            name for kind in type(self).__mro__ for name in getattr(kind, "__slots__", ()) if name != "__weakref__"
        ]
        kept = {name: getattr(self, name) for name in names} | {"_run": None, "_memory": dict(self._memory)}
        return getattr(self, "__dict__", None), kept
