"""Files of a run: one every so many steps, the last few of which are kept, and the best."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from lrcore import checks
from lrcore.base import Optimizer
from lrcore.minimize import Iteration
from lrcore.saving import SUFFIXES, load, save
from lrcore.structure import Params
from lrcore.watch import Mode, Watch


class Checkpoint:
    """Files of a run, one every so many steps, of which the last few are kept, and the best.

    As a callback of :func:`lrcore.minimize`, or called in a loop of one's own, with the step and any metrics::

        kept = lr.Checkpoint("run", optimizer=opt, every=100, best="held_out")
        kept.resume()                       # goes on where the last file left off, if there is one
        while opt.step_count < 10_000:
            ...
            kept(opt.step_count, held_out=loss)

    Parameters
    ----------
    folder : str or path
        Made if there is none. Files are named ``step-000000000100.npz``; the best is ``best.npz`` besides.
    params, optimizer, control
        As for :func:`save`.
    every : int >= 1
        Steps from one file to the next: those that it divides.
    keep : int >= 1
        How many files are kept, besides the best.
    best : str, optional
        The metric by which a file is the best; as a callback, ``"loss"``. It is looked at at every call.
    mode : {"min", "max"}
        Whether lower or higher is better.
    suffix : {".npz", ".safetensors"}

    Raises
    ------
    TypeError, ValueError
        An argument is not as described.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        params: Params | None = None,
        optimizer: Optimizer | None = None,
        control: Iterable[Watch] = (),
        every: int = 1,
        keep: int = 3,
        best: str | None = None,
        mode: Mode = "min",
        suffix: str = ".npz",
    ) -> None:
        self.folder = Path(folder)
        self._what: dict[str, Any] = {"params": params, "optimizer": optimizer, "control": tuple(control)}
        self._every = checks.whole("every", every, 1)
        self._keep = checks.whole("keep", keep, 1)
        if best is not None and not isinstance(best, str):
            raise TypeError(f"best must be the name of a metric, got {checks.shown(best)}")
        self._metric = best
        self._sign = 1.0 if checks.one_of("mode", mode, "min", "max") == "min" else -1.0
        self._suffix = checks.one_of("suffix", suffix, *SUFFIXES)
        self._kept: float | None = None

    def __call__(self, at: int | Iteration, **metrics: float) -> None:
        """Save, if this step is to be, or is the best so far.

        Raises
        ------
        TypeError, ValueError
            The metric named ``best`` is not given, or is no number.
        """
        if isinstance(at, Iteration):
            step, metrics = at.optimizer.step_count, {"loss": at.loss}
        else:
            step = checks.whole("step", at, 0)
        extra = {"step": step, "metrics": {name: checks.number(name, value) for name, value in metrics.items()}}
        if self._metric is not None:
            if self._metric not in metrics:
                raise ValueError(f"metrics must have {self._metric!r}, got {checks.listed(metrics) or 'none'}")
            badness = self._badness(extra)
            if badness < self._lowest():
                save(self._best_path, **self._what, extra=extra)
                self._kept = badness
        if step % self._every == 0:
            save(self.folder / f"step-{step:012}{self._suffix}", **self._what, extra=extra)
            for path in self._paths()[: -self._keep]:
                path.unlink(missing_ok=True)

    @property
    def _best_path(self) -> Path:
        return self.folder / f"best{self._suffix}"

    def _badness(self, extra: Any) -> float:
        """What is to be low; infinite if it is no number."""
        value = self._sign * float(extra["metrics"][self._metric])
        return value if value == value else math.inf

    def _lowest(self) -> float:
        """That of the best file, which an earlier process may have written."""
        if self._kept is None:
            path = self.best()
            self._kept = math.inf if path is None else self._badness(load(path, strict=False))
        return self._kept

    def _paths(self) -> list[Path]:
        """The files of steps, in their order."""
        found = [path for path in self.folder.glob(f"step-*{self._suffix}") if path.stem[5:].isdecimal()]
        return sorted(found, key=lambda path: int(path.stem[5:]))

    def latest(self) -> Path | None:
        """The file of the last step, or None."""
        return next(reversed(self._paths()), None)

    def best(self) -> Path | None:
        """The file of the best step, or None."""
        return self._best_path if self._best_path.exists() else None

    def resume(self) -> int | None:
        """Go on where the last file left off, see :func:`load`; its step, or None if there is no file."""
        path = self.latest()
        return None if path is None else int(load(path, **self._what)["step"])
