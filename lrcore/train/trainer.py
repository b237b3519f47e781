"""Mini-batch training of a network on a split table: what ``lrcore train`` repeats every epoch."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import repeat
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from lrcore.base import Optimizer
from lrcore.divergence import Divergence
from lrcore.finder import LrFinding, find_lr
from lrcore.minimize import evaluate
from lrcore.structure import Structure
from lrcore.train.models import Network
from lrcore.train.tables import Split


class DivergedError(ArithmeticError):
    """The loss is not finite, or grows without bound. The message is one line that names the step and the rate."""


@dataclass(frozen=True)
class Epoch:
    """Where training stood at the end of an epoch.

    ``train_loss`` is the mean over the epoch's batches, each before its step. Squared errors are in the
    target's own unit; ``held_out_score`` is accuracy or R².
    """

    epoch: int
    step: int
    lr: float
    train_loss: float
    held_out_loss: float
    held_out_score: float


class Trainer:
    """Trains epoch by epoch, each over all rows in a new order, and remembers how it went.

    Parameters
    ----------
    network : Network
    optimizer : Optimizer
        Of ``network.params``.
    data : Split
    batch_size : int
        Rows a step; an epoch's last batch may have fewer.
    seed : int or numpy.random.Generator
        Of the order of the rows.

    Attributes
    ----------
    history : list of Epoch
    seconds, optimizer_seconds : float
        Spent on batches so far, and how much of it in ``optimizer.step``. Held-out evaluation is not counted.
    """

    def __init__(
        self,
        network: Network,
        optimizer: Optimizer,
        data: Split,
        batch_size: int,
        seed: int | np.random.Generator = 0,
    ) -> None:
        self.network = network
        self.optimizer = optimizer
        self.data = data
        self.batch_size = batch_size
        self.history: list[Epoch] = []
        self.seconds = 0.0
        self.optimizer_seconds = 0.0
        self._training, self._held_out = Divergence(), Divergence()
        self._rng = np.random.default_rng(seed)
        self._x = np.empty((batch_size, data.x.shape[1]), data.x.dtype)

    @property
    def steps_per_epoch(self) -> int:
        """Batches that an epoch has."""
        return math.ceil(len(self.data.y) / self.batch_size)

    def epoch(self, after_step: Callable[[], object] | None = None) -> Epoch:
        """Train on every row once, then evaluate on the held-out rows.

        Raises
        ------
        DivergedError
            A loss is not finite or grows without bound, see :mod:`lrcore.divergence`. The batches before it have
            been stepped.
        """
        total = 0.0
        lr = self.optimizer.lr
        with np.errstate(all="ignore"):
            for rows in self._batches():
                began = perf_counter()
                loss, _ = evaluate(self._fun(rows), self.network.params)
                self._check(self._training, loss, "training", lr)
                ready = perf_counter()
                lr = self.optimizer.step().lr
                done = perf_counter()
                self.seconds += done - began
                self.optimizer_seconds += done - ready
                total += loss * len(rows)
                if after_step:
                    after_step()
            loss, score = self._evaluate()
        self._check(self._held_out, loss, "held-out", lr)
        unit = self.data.target_std**2
        record = Epoch(
            epoch=len(self.history) + 1,
            step=self.optimizer.step_count,
            lr=lr,
            train_loss=total / len(self.data.y) * unit,
            held_out_loss=loss * unit,
            held_out_score=score,
        )
        self.history.append(record)
        return record

    def find_lr(self, low: float, high: float, steps: int) -> LrFinding:
        """Try rates on batch after batch, see :func:`lrcore.find_lr`. Parameters and optimizer stay as they are."""
        batches = (rows for _ in repeat(None) for rows in self._batches())

        def fun(params: Structure) -> tuple[float, None]:
            return self._fun(next(batches))(params)

        return find_lr(fun, self.network.params, self.optimizer, low, high, steps)

    def _batches(self) -> Iterator[NDArray[np.intp]]:
        """The rows of each batch of an epoch."""
        order = self._rng.permutation(len(self.data.y))
        for start in range(0, len(order), self.batch_size):
            yield order[start : start + self.batch_size]

    def _fun(self, rows: NDArray[np.intp]) -> Callable[[Structure], tuple[float, None]]:
        """The loss of a batch, whose gradients go into ``params.grads``."""

        def fun(params: Structure) -> tuple[float, None]:
            x = np.take(self.data.x, rows, axis=0, out=self._x[: len(rows)], mode="clip")
            return self.network.gradient(x, self.data.y[rows]), None

        return fun

    def _evaluate(self) -> tuple[float, float]:
        outputs = self.network.predict(self.data.x_held)
        score = self.network.loss.score(outputs, self.data.y_held)
        return self.network.loss.gradient(outputs, self.data.y_held), score

    def _check(self, judge: Divergence, loss: float, which: str, lr: float) -> None:
        if judge.update(loss):
            step = self.optimizer.step_count
            raise DivergedError(f"diverged: the {which} loss is {loss} after step {step}, with lr {lr:g}")
