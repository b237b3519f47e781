"""minimize: the training loop, with a history and an eye on divergence."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from lrcore import checks
from lrcore.arrays import Array, assign
from lrcore.base import Optimizer
from lrcore.buffer import ParameterBuffer
from lrcore.divergence import Divergence
from lrcore.structure import Structure, arrays_of

Ended = Literal["completed", "stopped", "diverged", "oscillated"]


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
        "oscillated": all steps were taken, but in the second half they went to and fro and gained nothing. If the
        loss grew there, they "diverged".
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
    stop_diverged: bool = True,
) -> History:
    """Take ``steps`` optimizer steps on ``fun``, changing ``params`` in place.

    The run ends early, as "diverged", when the loss is not finite or has grown a thousandfold and still grows, as
    :mod:`lrcore.divergence` has it; parameters that gave no finite loss are put back to the last that did.

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
        Each is called with an :class:`Iteration` before every step and after the last. ``True`` as an answer stops
        the run; None and ``False`` do not. They may change ``optimizer.lr``. One that has a method
        ``finish(iteration)`` is also told of the end, unless by an exception, and may still change the parameters;
        text that it returns is added to the message.
    progress : bool
        Show a progress bar (needs tqdm: ``pip install "lrcore[train]"``).
    keep_params : bool
        Keep the parameters of every step in the history.
    stop_diverged : bool
        False: take all steps, whatever the loss, also where it is not finite; nothing is put back.

    Returns
    -------
    History

    Raises
    ------
    TypeError, ValueError
        An argument or an answer of ``fun`` or of a callback is not as described.
    """
    steps = checks.whole("steps", steps, 0)
    stop_diverged = checks.flag("stop_diverged", stop_diverged)
    opt, arrays = bind(optimizer, params)
    callbacks = tuple(checks.function(f"callbacks[{k}]", callback) for k, callback in enumerate(callbacks))

    losses: list[float] = []
    rates: list[float] = []
    kept: list[list[Array]] = []
    trail = _Trail(arrays)
    judge = Divergence()
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
            if stop_diverged and judge.update(loss):
                ended, message = "diverged", _say_diverged(step, losses, rates)
                if not math.isfinite(loss):
                    trail.put_back()
                break
            answers = [
                _stops(k, callback, callback(Iteration(step, loss, rates[-1], params, opt)))
                for k, callback in enumerate(callbacks)
            ]
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
    if ended == "completed" and not math.isfinite(losses[-1]):
        ended, message = "diverged", _say_diverged(steps, losses, rates)
    elif ended == "completed" and trail.goes_to_and_fro:
        course = _course(losses)
        if course == "grew":
            ended = "diverged"
            message = (
                f"diverged: the last {trail.reversals} of {steps} steps went to and fro, each further than the one "
                f"before, at rate {rates[-1]:g}: the loss is {losses[-1]:g}"
            )
        elif course == "stood":
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
            product = 0.0
            for a, b, c in zip(before, last, self._arrays, strict=True):
                product += float(np.vdot(b - a, c - b))
            self.reversals += product < 0
        if len(self._points) < 2:
            self._points.append([a.copy() for a in self._arrays])
            return
        self._points.reverse()
        assign(self._points[1], self._arrays)

    def put_back(self) -> None:
        """Restore the last point noted."""
        if self._points:
            assign(self._arrays, self._points[-1])

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
    return _one_number(loss), grads


def _one_number(loss: Any) -> float:
    given = loss
    if isinstance(loss, (list, tuple)):
        loss = np.asarray(loss)
    shape = tuple(getattr(loss, "shape", ()))
    if math.prod(shape) != 1:
        raise ValueError(f"fun must return a loss of one number, got shape {shape}")
    loss = loss.item() if shape and callable(getattr(loss, "item", None)) else checks.plain(loss)
    if isinstance(loss, bool) or not isinstance(loss, Real):
        raise TypeError(f"fun must return a loss that is a number, got {checks.shown(given)}")
    return checks.number("fun's loss", loss)


def _stops(k: int, callback: Callback, answer: Any) -> bool:
    """Whether a callback's answer stops the run; raises unless it is True, False or None."""
    stops = checks.plain(answer)
    if stops is None or isinstance(stops, bool):
        return bool(stops)
    name = getattr(callback, "__qualname__", type(callback).__qualname__)
    raise TypeError(f"callbacks[{k}], {name}, must return True, False or None, got {checks.shown(answer)}")


def _say_diverged(step: int, losses: Sequence[float], rates: Sequence[float]) -> str:
    if step == 0:
        return f"diverged: the loss is {losses[0]:g} before the first step"
    return f"diverged at step {step}, taken at rate {rates[step - 1]:g}: the loss is {losses[-1]:g}"


def _course(losses: Sequence[float]) -> Literal["grew", "stood", "fell"]:
    """How the losses of the last quarter compare with those of the quarter before."""
    n = len(losses)
    third, last = losses[n // 2 : n - n // 4], losses[n - n // 4 :]
    before, now = float(np.median(third)), float(np.median(last))
    if min(last) > max(third) and now - before > 0.01 * abs(before):
        return "grew"
    return "stood" if before - now < 0.01 * abs(before) and abs(now) > 1e-3 * abs(losses[0]) else "fell"


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
