"""minimize: the training loop, with a history and an eye on divergence."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from lrcore import checks
from lrcore.arrays import Array
from lrcore.base import Optimizer
from lrcore.buffer import ParameterBuffer
from lrcore.structure import Structure, arrays_of

Ended = Literal["completed", "stopped", "diverged", "oscillated"]

_GROWTH = 1e3  # a loss this many times the first ones, and still rising, is taken to grow without bound
_RISES = 3
_NOTHING = 1e-12  # losses below this rise by rounding


@dataclass(frozen=True)
class Iteration:
    """What a callback sees after ``step`` steps: the loss there, and the rate the next step would have."""

    step: int
    loss: float
    lr: float
    params: Structure
    optimizer: Optimizer


Callback = Callable[[Iteration], Any]


@dataclass(frozen=True, eq=False)
class History:
    """The course of a run of n steps: n + 1 values each, before the first step and after every one.

    Attributes
    ----------
    step : int array, 0 … n
    loss : float64 array
        Loss after so many steps.
    lr : float64 array
        Rate of the step that follows.
    params : like the parameters, each array with a leading axis of length n + 1, or None
        Kept where ``keep_params`` asked for it.
    ended : {"completed", "stopped", "diverged", "oscillated"}
        "oscillated": all steps were taken, but in the second half they went to and fro and gained nothing.
    message : str
        The same in a sentence.
    """

    step: NDArray[np.int64]
    loss: NDArray[np.float64]
    lr: NDArray[np.float64]
    params: Structure
    ended: Ended
    message: str

    def __repr__(self) -> str:
        return f"History({self.message}; loss {self.loss[0]:.6g} -> {self.loss[-1]:.6g})"


def minimize(
    fun: Callable[[Structure], tuple[Any, Structure]],
    params: Structure,
    optimizer: Optimizer | Callable[[Structure], Optimizer],
    steps: int,
    callbacks: Iterable[Callback] = (),
    progress: bool = False,
    *,
    keep_params: bool = False,
) -> History:
    """Take ``steps`` optimizer steps on ``fun``, changing ``params`` in place.

    The run ends early, as "diverged", when the loss is not finite or has risen a thousandfold and still rises;
    parameters that gave no finite loss are put back to the last that did.

    Parameters
    ----------
    fun : callable, ``fun(params) -> (loss, grads)``
        The loss, one number, and its gradients in the structure of ``params``; None as gradients takes those
        that ``fun`` wrote into ``params.grads`` of a ParameterBuffer. Called ``steps + 1`` times.
    params : array, sequence, mapping or ParameterBuffer
        As for an optimizer.
    optimizer : Optimizer, or callable ``params -> Optimizer``
        One made for these very arrays, or its class: ``lr.Adam``.
    steps : int >= 0
    callbacks : iterable of callable
        Each is called with an :class:`Iteration` before every step and after the last; a true answer stops the
        run. They may change ``optimizer.lr``. One that has a method ``finish(iteration)`` is also told of the
        end, unless by an exception, and may still change the parameters; text that it returns is added to the
        message.
    progress : bool
        Show a progress bar (needs tqdm: ``pip install "lrcore[train]"``).
    keep_params : bool
        Keep the parameters of every step in the history.

    Returns
    -------
    History

    Raises
    ------
    TypeError, ValueError
        An argument or an answer of ``fun`` is not as described.
    """
    checks.whole("steps", steps, 0)
    opt, arrays = bind(optimizer, params)
    callbacks = tuple(callbacks)

    losses: list[float] = []
    rates: list[float] = []
    kept: list[list[Array]] = []
    trail = _Trail(arrays)
    ended: Ended = "completed"
    message = f"completed {steps} steps"
    bar = _progress_bar(steps) if progress else None
    try:
        for step in range(steps + 1):
            loss, grads = evaluate(fun, params)
            losses.append(loss)
            rates.append(opt.next_rate)
            if keep_params:
                kept.append([a.copy() for a in arrays])
            if _diverges(losses):
                ended, message = "diverged", _say_diverged(step, losses, rates)
                if not math.isfinite(loss):
                    trail.put_back()
                break
            answers = [callback(Iteration(step, loss, rates[-1], params, opt)) for callback in callbacks]
            if callbacks:
                rates[-1] = opt.next_rate  # they may have changed it
            if any(answers):
                ended, message = "stopped", f"stopped by a callback after {step} steps"
                break
            if bar is not None:
                bar.set_postfix(loss=f"{loss:.6g}", lr=f"{rates[-1]:.3g}", refresh=False)
            trail.note(reversals=step > steps // 2)
            if step < steps:
                opt.step(grads)
                if bar is not None:
                    bar.update()
    finally:
        if bar is not None:
            bar.close()
    if ended == "completed" and trail.goes_to_and_fro and _gained_nothing(losses):
        ended = "oscillated"
        message = f"oscillated: the last {trail.reversals} of {steps} steps undid each other at rate {rates[-1]:g}"
    last = Iteration(len(losses) - 1, losses[-1], rates[-1], params, opt)
    said = [callback.finish(last) for callback in callbacks if hasattr(callback, "finish")]
    message = "; ".join([message, *filter(None, said)])
    return History(
        np.arange(len(losses)), np.array(losses), np.array(rates),
        _stacked(params, kept) if keep_params else None, ended, message,
    )  # fmt: skip


class _Trail:
    """The last two points that gave a finite loss, and how often the step between them was turned back."""

    def __init__(self, arrays: Sequence[Array]) -> None:
        self._arrays = arrays
        self._points: list[list[Array]] = []
        self._seen = 0
        self.reversals = 0

    def note(self, reversals: bool) -> None:
        """Remember the present point; count whether the last step went against the one before it."""
        if reversals and len(self._points) == 2:
            self._seen += 1
            before, last = self._points
            product = sum(float(np.vdot(b - a, c - b)) for a, b, c in zip(before, last, self._arrays, strict=True))
            self.reversals += product < 0
        if len(self._points) < 2:
            self._points.append([a.copy() for a in self._arrays])
            return
        self._points.reverse()
        for saved, array in zip(self._points[1], self._arrays, strict=True):
            saved[...] = array

    def put_back(self) -> None:
        """Restore the last point noted."""
        if self._points:
            for saved, array in zip(self._points[-1], self._arrays, strict=True):
                array[...] = saved

    @property
    def goes_to_and_fro(self) -> bool:
        return self._seen >= 4 and self.reversals >= 0.9 * self._seen


def bind(optimizer: Optimizer | Callable[[Structure], Optimizer], params: Structure) -> tuple[Optimizer, list[Array]]:
    """The optimizer, made if need be, and the arrays of ``params``; raises if it was made for others."""
    opt = optimizer if isinstance(optimizer, Optimizer) else optimizer(params)
    if not isinstance(opt, Optimizer):
        raise TypeError(f"optimizer must be an Optimizer or make one, got {type(opt).__name__}")
    arrays = arrays_of(params)
    optimized = arrays_of(opt.params)
    if {a.ctypes.data for a in arrays} != {a.ctypes.data for a in optimized}:
        raise ValueError(f"optimizer must be made for the arrays in params, got {opt!r}")
    return opt, arrays


def evaluate(fun: Callable[[Structure], tuple[Any, Structure]], params: Structure) -> tuple[float, Structure]:
    """The loss and the gradients that ``fun`` answers; raises if it answers anything else."""
    answer = fun(params)
    if not isinstance(answer, tuple) or len(answer) != 2:
        raise TypeError(f"fun must return (loss, grads), got {type(answer).__name__}")
    loss, grads = answer
    if np.size(loss) != 1:
        raise ValueError(f"fun must return a loss of one number, got shape {np.shape(loss)}")
    if np.asarray(loss).dtype.kind not in "fiu":
        raise TypeError(f"fun must return a loss that is a number, got {loss!r}")
    return float(np.asarray(loss).item()), grads


def _diverges(losses: Sequence[float]) -> bool:
    if not math.isfinite(losses[-1]):
        return True
    last = losses[-1 - _RISES :]
    rising = len(last) > _RISES and all(a < b for a, b in pairwise(last))
    return rising and losses[-1] > _GROWTH * max(_NOTHING, *map(abs, losses[:2]))


def _say_diverged(step: int, losses: Sequence[float], rates: Sequence[float]) -> str:
    if step == 0:
        return f"diverged: the loss is {losses[0]:g} before the first step"
    return f"diverged at step {step}, taken at rate {rates[step - 1]:g}: the loss is {losses[-1]:g}"


def _gained_nothing(losses: Sequence[float]) -> bool:
    return losses[-1] > 0.99 * losses[len(losses) // 2] and losses[-1] > 1e-3 * abs(losses[0])


def _stacked(params: Structure, kept: Sequence[Sequence[Array]]) -> Structure:
    columns = [np.stack(column) for column in zip(*kept, strict=True)]
    if isinstance(params, np.ndarray):
        return columns[0]
    if isinstance(params, ParameterBuffer):
        stacked, start = {}, 0
        for name, array in params.items():
            stacked[name] = columns[0][:, start : start + array.size].reshape(-1, *array.shape)
            start += array.size
        return stacked
    return dict(zip(params, columns, strict=True)) if isinstance(params, Mapping) else columns


def _progress_bar(steps: int) -> Any:
    try:
        from tqdm import tqdm
    except ImportError as error:
        raise ImportError('progress=True needs tqdm: pip install "lrcore[train]"') from error
    return tqdm(total=steps, unit="step")
