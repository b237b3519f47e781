"""Finding the learning rate and the weight decay by trying: :func:`find_lr`, :func:`coarse_lr`,
:func:`find_weight_decay`.

The first two leave parameters and optimizer as they were, to the bit, also when they are interrupted. Values of
``fun`` are taken as they come: if it draws batches, it will have drawn those of the search; and if it writes into
``params.grads``, the last gradients are found there.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from lrcore import checks
from lrcore.arrays import Array
from lrcore.averages import MovingAverage
from lrcore.base import Optimizer
from lrcore.divergence import Divergence
from lrcore.groups import ParameterGroup
from lrcore.minimize import bind, evaluate
from lrcore.structure import Structure

Function = Callable[[Structure], tuple[Any, Structure]]
MakesOptimizer = Optimizer | Callable[[Structure], Optimizer]
T = TypeVar("T")

_ROUNDING = 32  # units of rounding by which a loss that is constant may wobble
_HALVINGS = 12  # of the rate with the lowest loss, until one is suggested
_SURE = 4.0  # standard errors that a fall must be above noise
_DECADES = 12  # that coarse_lr tries on either side of the start
_COARSE = 6  # likewise find_weight_decay


@dataclass(frozen=True, eq=False)
class LrFinding:
    """Losses over rates, and the rates that they suggest. NaN where no rate lowered the loss by more than rounding.

    One is tried, ``suggested``; the others are read off the smoothed losses, without the first tenth of the rates: the
    first averages are of few values. A range test steps on and on, and each step begins where smaller rates have led:
    where the loss falls most steeply in it may be a rate that diverges from the start.

    Attributes
    ----------
    suggested : float
        The largest of ``minimum``, its half, its quarter, … whose ``trial`` steps from the start lower the loss, by
        more than its noise. NaN if none does, or none was tried.
    lr, loss, smoothed : float64 arrays
        Each rate tried, the loss after the step at it, and its moving average, up to the last finite loss.
    steepest : float
        Rate at which the loss falls most steeply over the logarithm of the rate, before its minimum.
    valley : float
        Rate halfway down the longest fall: fastai's ``valley``, the middle of the longest decreasing subsequence.
    minimum : float
        Rate of the lowest loss; too high to train with.
    diverged : bool
        Whether the search ended before the highest rate.
    """

    lr: NDArray[np.float64]
    loss: NDArray[np.float64]
    smoothed: NDArray[np.float64]
    steepest: float
    valley: float
    minimum: float
    diverged: bool
    suggested: float = math.nan

    @property
    def minimum_tenth(self) -> float:
        """A tenth of ``minimum``."""
        return self.minimum / 10

    def __repr__(self) -> str:
        return (
            f"LrFinding(suggested={self.suggested:.3g}, steepest={self.steepest:.3g}, valley={self.valley:.3g}, "
            f"minimum_tenth={self.minimum_tenth:.3g}; {len(self.lr)} rates from {self.lr[0]:.3g} to "
            f"{self.lr[-1]:.3g}{', diverged' * self.diverged})"
        )


def find_lr(
    fun: Function,
    params: Structure,
    optimizer: MakesOptimizer,
    low: float = 1e-7,
    high: float = 10.0,
    steps: int = 100,
    *,
    beta: float = 0.9,
    stop_diverged: bool = True,
    trial: int = 20,
) -> LrFinding:
    r"""Try rates from ``low`` to ``high``, one step at each: the range test of Smith 2017.

    .. math::

        \eta_k = \text{low} \cdot (\text{high} / \text{low})^{k / (\text{steps} - 1)} \qquad k = 0, 1, \ldots

    Ends early where the loss diverges: it is not finite, or has grown a thousandfold and still grows, as
    :mod:`lrcore.divergence` has it.

    Parameters
    ----------
    fun : callable, ``fun(params) -> (loss, grads)``
        As for :func:`lrcore.minimize`; each call may be for another batch. Called at most ``steps + 1`` times, then at
        most ``trial`` times for its noise and ``trial + 1`` times for each rate that is tried for ``suggested``.
    params : array, sequence, mapping or ParameterBuffer
        Not changed.
    optimizer : Optimizer, or callable ``params -> Optimizer``
        Not changed: its state, step count, rates and schedules are put back. With parameter groups, the group of
        the highest rate has the rate tried and the others keep their proportion to it.
    low, high : float
        0 < low < high.
    steps : int >= 2
    beta : float in [0, 1)
        Of the moving average, see :class:`lrcore.MovingAverage`. 0: none.
    stop_diverged : bool
        False: try every rate, as long as the loss is finite.
    trial : int >= 0
        Steps from the start at each rate that is tried for ``suggested``. 0: none is.

    Returns
    -------
    LrFinding

    Raises
    ------
    TypeError, ValueError
        An argument or an answer of ``fun`` is not as described, or the loss before the first step is not finite.
        Parameters and optimizer are put back, as on any exception.

    Notes
    -----
    Range and number of steps are fastai's. It ends where the moving average is above 4 times the best, which the
    losses of single rows soon are by chance. There, in ignite and in Lightning a rate is
    credited with the loss before its step, here with the loss after it; their moving averages have beta 0.98,
    0.95 and 0.98: with a hundred steps, a lag of decades. Leslie N. Smith, "Cyclical learning rates for training
    neural networks", section 3.3, 2017.
    """
    low = checks.number("low", low, "(0, inf)")
    high = checks.number("high", high, "(0, inf)")
    if low >= high:
        raise ValueError(f"low must be < high, got {low!r} and {high!r}")
    steps = checks.whole("steps", steps, 2)
    average = MovingAverage(beta)
    stop_diverged = checks.flag("stop_diverged", stop_diverged)
    trial = checks.whole("trial", trial, 0)
    opt, arrays = bind(optimizer, params)
    rates: list[float] = []
    losses: list[float] = []

    def search() -> bool:
        judge = Divergence()
        proportions = _proportions(opt)
        loss, grads = evaluate(fun, params)
        if not math.isfinite(loss):
            raise ValueError(f"fun must return a finite loss at params, got {loss}")
        judge.update(loss)
        for k in range(steps):
            rate = low * (high / low) ** (k / (steps - 1))
            _set_rate(opt, rate, proportions)
            loss, grads = _step(opt, grads, fun, params)
            if not math.isfinite(loss):
                return True
            rates.append(rate)
            losses.append(loss)
            if stop_diverged and judge.update(loss):
                return True
        return False

    diverged = _and_put_back(search, arrays, opt)
    if not rates:
        raise ValueError(f"low must be a rate at which the loss stays finite, got {low!r}")
    smoothed = np.array([average.update(loss) for loss in losses])
    found = np.array(losses)
    with np.errstate(all="ignore"):
        steepest, valley, minimum = _suggest(np.array(rates), smoothed, steps // 10, _resolution(found, arrays))
    suggested = math.nan if math.isnan(minimum) or trial == 0 else _tried(fun, params, opt, arrays, minimum, trial)
    return LrFinding(np.array(rates), found, smoothed, steepest, valley, minimum, diverged, suggested)


def _tried(
    fun: Function, params: Structure, opt: Optimizer, arrays: Sequence[Array], highest: float, steps: int
) -> float:
    """The largest of a rate, its half, its quarter … whose steps lower the loss by more than its noise; NaN if none."""
    before: list[float] = []
    while len(before) < steps and (len(before) != 2 or before[0] != before[1]):  # if they are equal, there is no noise
        before.append(evaluate(fun, params)[0])
    with np.errstate(all="ignore"):
        noise = float(np.std(before)) * math.sqrt(1 / len(before) + 1 / (steps - steps // 2))
        must = float(np.mean(before)) - _SURE * noise
    for k in range(_HALVINGS + 1):
        rate: float = highest / 2**k
        if _and_put_back(partial(_try_rate, fun, params, opt, rate, steps), arrays, opt).after < must:
            return rate
    return math.nan


def _resolution(losses: NDArray[np.float64], arrays: Sequence[Array]) -> float:
    """The rounding error of the losses, relative to their size: of float32 if they are, or the parameters."""
    single = (losses == losses.astype(np.float32)).all() or any(array.dtype == np.float32 for array in arrays)
    return _ROUNDING * float(np.finfo(np.float32 if single else np.float64).eps)


def _suggest(
    rates: NDArray[np.float64], losses: NDArray[np.float64], skip: int, resolution: float
) -> tuple[float, float, float]:
    """The rates of the steepest fall, of the valley and of the minimum, without the first ``skip`` rates."""
    rates, losses = rates[skip:], losses[skip:]
    lowest = int(np.argmin(losses)) if len(losses) else 0
    until = losses[: lowest + 1]
    if lowest == 0 or until.max() - until[-1] <= resolution * max(np.abs(until).max(), np.finfo(np.float64).tiny):
        return math.nan, math.nan, math.nan
    slopes = np.gradient(losses[: lowest + 1], np.log(rates[: lowest + 1]))
    return float(rates[np.argmin(slopes)]), float(rates[_valley(losses)]), float(rates[lowest])


def _valley(losses: Sequence[float] | NDArray[np.float64]) -> int:
    """Where fastai's ``valley`` (``callback/schedule.py``) lies: halfway down the longest decreasing subsequence."""
    tails: list[float] = []  # the k-th: minus the lowest end of a decreasing subsequence of k + 1 losses
    end = 0
    for i, loss in enumerate(losses):
        length = bisect_left(tails, -loss)
        if length == len(tails):
            tails.append(-loss)
            end = i
        else:
            tails[length] = -loss
    third = len(tails) / 3
    return max(0, end - len(tails) + int(third) + int(third / 2))


class LrTrial(NamedTuple):
    """A rate that was tried, the loss before, the mean loss of the second half of the steps, whether it fell."""

    lr: float
    before: float
    after: float
    falls: bool


@dataclass(frozen=True)
class CoarseLr:
    """What :func:`coarse_lr` found: the rate, and every trial in the order made."""

    lr: float
    trials: tuple[LrTrial, ...]


def coarse_lr(
    fun: Function, params: Structure, optimizer: MakesOptimizer, start: float = 0.01, steps: int = 10
) -> CoarseLr:
    """The largest rate, to a power of ten, at which the training cost falls.

    Begins at ``start``. If the cost falls, tries ten times the rate, again and again until it does not; if not, a
    tenth, until it does. Every trial begins from the same parameters and optimizer state. The cost falls if all
    losses of a trial are finite and the mean of its second half is below the loss before it: a cost that only
    goes to and fro does not fall.

    Parameters
    ----------
    fun : callable, ``fun(params) -> (loss, grads)``
        As for :func:`lrcore.minimize`. If its losses are of batches, take enough steps for their mean to count.
    params : array, sequence, mapping or ParameterBuffer
        Not changed.
    optimizer : Optimizer, or callable ``params -> Optimizer``
        Not changed; as for :func:`find_lr`.
    start : float > 0
    steps : int >= 1
        Of each trial.

    Returns
    -------
    CoarseLr

    Raises
    ------
    TypeError, ValueError
        An argument or an answer of ``fun`` is not as described.
    RuntimeError
        The cost falls at no rate, or at every one, of twelve decades.

    Notes
    -----
    Nielsen, *Neural Networks and Deep Learning*, chapter 3, "How to choose a neural network's hyper-parameters".
    """
    start = checks.number("start", start, "(0, inf)")
    steps = checks.whole("steps", steps, 1)
    opt, arrays = bind(optimizer, params)
    trials: list[LrTrial] = []
    for power in range(_DECADES + 1):
        rate = start * 10**power if power == 0 or trials[0].falls else start / 10**power
        trials.append(_and_put_back(partial(_try_rate, fun, params, opt, rate, steps), arrays, opt))
        if trials[-1].falls != trials[0].falls:
            return CoarseLr(max(trial.lr for trial in trials if trial.falls), tuple(trials))
    rates = sorted(trial.lr for trial in trials)
    raise RuntimeError(
        "the cost must fall at some rate and not at another, but it "
        f"{'falls' if trials[0].falls else 'does not fall'} at every rate from {rates[0]:g} to {rates[-1]:g}"
    )


def _try_rate(fun: Function, params: Structure, opt: Optimizer, rate: float, steps: int) -> LrTrial:
    _set_rate(opt, rate, _proportions(opt))
    before, grads = evaluate(fun, params)
    losses = []
    for _ in range(steps):
        loss, grads = _step(opt, grads, fun, params)
        losses.append(loss)
        if not math.isfinite(loss):
            return LrTrial(rate, before, loss, False)
    half = losses[steps // 2 :]
    total = 0.0
    for loss in half:
        total += loss
    after = total / len(half)
    return LrTrial(rate, before, after, after < before)


class WeightDecayTrial(NamedTuple):
    """A weight decay and the held-out loss of the training with it."""

    weight_decay: float
    loss: float


@dataclass(frozen=True)
class WeightDecayFinding:
    """What :func:`find_weight_decay` found: the best trial, and every trial in the order made."""

    weight_decay: float
    loss: float
    trials: tuple[WeightDecayTrial, ...]


def find_weight_decay(train: Callable[[float], float], start: float = 1.0, refinements: int = 3) -> WeightDecayFinding:
    r"""Look for the weight decay with the lowest held-out loss: coarsely by factors of ten, then finer.

    1. :math:`\lambda = 0`, for comparison. The learning rate is best found before, without weight decay.
    2. :math:`\lambda` = ``start``, then ten times that, and on upwards while the loss falls. Unless that was better
       than ``start`` and :math:`\lambda = 0`, then a tenth of ``start``, and on downwards while the loss falls or
       is still above that of :math:`\lambda = 0`: a weight decay too strong by decades gives one bad loss after
       another. At most six decades either way.
    3. If the best of these is better than :math:`\lambda = 0`: both neighbours at a factor of
       :math:`10^{1/2}`, then those of the best at :math:`10^{1/4}`, and so on.

    Parameters
    ----------
    train : callable, ``train(weight_decay) -> held-out loss``
        Trains a new model with this weight decay, from the same seed, and evaluates it on data it was not trained
        on. A loss that is NaN is the worst there is.
    start : float > 0
    refinements : int >= 0
        Rounds of step 3, with two trainings each.

    Returns
    -------
    WeightDecayFinding

    Raises
    ------
    TypeError, ValueError
        An argument or an answer of ``train`` is not as described.
    RuntimeError
        No training gave a number.

    Notes
    -----
    Nielsen, *Neural Networks and Deep Learning*, chapter 3.

    Examples
    --------
    .. code-block:: python

        def train(weight_decay):
            params = lr.ParameterBuffer(initial_values(seed=0))
            lr.minimize(training_loss, params, lr.AdamW(params, lr=0.01, weight_decay=weight_decay), 1000)
            return held_out_loss(params)

        lr.find_weight_decay(train, start=0.1).weight_decay
    """
    checks.function("train", train)
    start = checks.number("start", start, "(0, inf)")
    refinements = checks.whole("refinements", refinements, 0)
    trials: list[WeightDecayTrial] = []

    def attempt(weight_decay: float) -> float:
        trials.append(WeightDecayTrial(weight_decay, checks.number("train's answer", train(weight_decay))))
        return _badness(trials[-1])

    without = attempt(0.0)
    last = first = attempt(start)
    for power in range(1, _COARSE + 1):
        before, last = last, attempt(start * 10**power)
        if not last < before:
            break
    if min(trials, key=_badness).weight_decay in (0.0, start):
        last = first
        for power in range(1, _COARSE + 1):
            before, last = last, attempt(start / 10**power)
            if not (last < before or last > without):
                break
    best = min(trials, key=_badness)
    if math.isinf(_badness(best)):
        raise RuntimeError(f"train must return a loss that is a number for some weight decay, got {trials}")
    if best.weight_decay > 0:
        for k in range(1, refinements + 1):
            factor = 10.0**0.5**k
            for weight_decay in (best.weight_decay / factor, best.weight_decay * factor):
                attempt(weight_decay)
            best = min(trials, key=_badness)
    return WeightDecayFinding(best.weight_decay, best.loss, tuple(trials))


def _badness(trial: WeightDecayTrial) -> float:
    return math.inf if math.isnan(trial.loss) else trial.loss


def _and_put_back(search: Callable[[], T], arrays: Sequence[Array], opt: Optimizer) -> T:
    """What ``search`` returns; afterwards parameters and optimizer are as before, whatever happened.

    No with statement, which an interrupt may leave before what is to be put back is.
    """
    put_back = opt._snapshot(arrays)
    try:
        with np.errstate(all="ignore"):
            return search()
    finally:
        put_back()


def _step(opt: Optimizer, grads: Structure, fun: Function, params: Structure) -> tuple[float, Structure]:
    """Loss and gradients after a step; NaN if the optimizer refuses gradients that are not finite."""
    try:
        applied = opt.step(grads).applied
    except FloatingPointError:
        applied = False
    return evaluate(fun, params) if applied else (math.nan, grads)


def _proportions(opt: Optimizer) -> list[float]:
    """Each group's rate at the next step, relative to the highest; 1 for all if that is zero."""
    rates = [_rate(group, opt) for group in opt.param_groups]
    highest = max(rates)
    return [rate / highest for rate in rates] if highest else [1.0] * len(rates)


def _set_rate(opt: Optimizer, rate: float, proportions: Sequence[float]) -> None:
    """Have every group step at this rate times its proportion, after any inverse-time decay of its own."""
    for group, proportion in zip(opt.param_groups, proportions, strict=True):
        wanted = rate * proportion
        group["lr"] = wanted
        given = _rate(group, opt)
        if given not in (0.0, wanted):
            group["lr"] = wanted * (wanted / given)


def _rate(group: ParameterGroup, opt: Optimizer) -> float:
    """The rate at which the group will take the optimizer's next step."""
    return group.at(opt.step_count)[1]
