r"""Control of training by how it goes: :class:`ReduceOnPlateau` and :class:`EarlyStopping`.

Both watch a number, are told of it by ``update`` in a loop of one's own or watch a run of :func:`lrcore.minimize`
as its callbacks, and count the updates in a row that brought no improvement:

.. code-block:: python

    plateau = lr.ReduceOnPlateau(0.1, patience=10)
    early = lr.EarlyStopping(patience=30, metric=lambda at: held_out_loss(at.params), every=100)
    lr.minimize(fun, params, lr.SGD(params, lr=plateau), 10_000, callbacks=[plateau, early])

An improvement on the best metric so far, ``best``, is, with :math:`\delta` = ``threshold``:

==========  =====================================  =====================================
mode        absolute                               relative
==========  =====================================  =====================================
``"min"``   metric < best - :math:`\delta`         metric < best - :math:`\delta` |best|
``"max"``   metric > best + :math:`\delta`         metric > best + :math:`\delta` |best|
==========  =====================================  =====================================

The bars make it right for negative metrics, where torch's and optax's ``best * (1 - threshold)`` would call a
metric that got worse an improvement. NaN is never an improvement; the first other number always is one, except
infinity in the bad direction.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Literal, overload

import numpy as np

from lrcore import checks, hyperparameters
from lrcore.arrays import Array
from lrcore.hyperparameters import Number
from lrcore.minimize import Iteration
from lrcore.structure import Structure, arrays_of

Mode = Literal["min", "max"]
Metric = Callable[[Iteration], float]
PlateauAnswer = Literal["improved", "waiting", "cooldown", "reduced", "stop"]
StoppingAnswer = Literal["improved", "waiting", "stop"]

_REACHED = 1 + 1e-12  # times stop_at: three times 0.1 is a thousandth, though not to the last bit


class _Watch:
    """The best metric so far, how many updates ago it was, and when a run of minimize is to be looked at."""

    def __init__(
        self, patience: int, mode: Mode, threshold: float, relative: bool, metric: Metric | None, every: int
    ) -> None:
        self.patience = checks.whole("patience", patience, 1)
        self.mode = checks.one_of("mode", mode, "min", "max")
        self.metric = metric if metric is None else checks.function("metric", metric)
        self.every = checks.whole("every", every, 1)
        self.best = math.inf if mode == "min" else -math.inf
        self.waited = 0
        self._threshold = threshold
        self._relative = relative
        self._seen = -1  # step count of the optimizer when a run was last looked at

    def _improves(self, metric: float) -> bool:
        if math.isinf(self.best):
            margin = 0.0
        else:
            margin = self._threshold * abs(self.best) if self._relative else self._threshold
        return metric < self.best - margin if self.mode == "min" else metric > self.best + margin

    def _note(self, metric: float, improved: bool) -> None:
        if improved:
            self.best = metric
        self.waited = 0 if improved else self.waited + 1

    def _look(self, at: Iteration) -> float | None:
        """The metric of a run at this point; None where it is not looked at, or was already."""
        step = at.optimizer.step_count
        if step % self.every or step == self._seen:
            return None
        metric = checks.number("metric", self.metric(at) if self.metric else at.loss)
        self._seen = step
        return metric

    def _state(self) -> dict[str, Any]:
        return {"best": self.best, "waited": self.waited, "seen": self._seen}

    def _load(self, saved: Mapping[str, Any]) -> None:
        best = checks.number("state['best']", saved["best"])
        if math.isnan(best):
            raise ValueError("state['best'] must not be nan")
        waited = checks.whole("state['waited']", saved["waited"], 0)
        seen = checks.whole("state['seen']", saved["seen"], -1)
        self.best, self.waited, self._seen = best, waited, seen


class ReduceOnPlateau(_Watch):
    r"""A rate that is reduced whenever the metric has stopped improving.

    .. math::

        \eta(\text{step}) = s \cdot \text{initial}(\text{step}), \qquad
        s \leftarrow \max(s \cdot \text{factor},\ \text{stop at})

    whenever ``patience`` updates in a row have brought no improvement. It is a schedule that remembers, and is given
    to an optimizer as its rate. The same object is told of the metric: by :meth:`update`, or as a callback of
    :func:`lrcore.minimize`, whose run it ends when it says "stop". With the defaults the rate is halved ten times,
    to 1/1024 of the first.

    Parameters
    ----------
    initial : float >= 0, or callable ``step -> float``
        The rate, or the schedule, that is multiplied by the scale s.
    factor : float in (0, 1)
    patience : int >= 1
        Updates in a row without improvement after which the rate is reduced, by the last of them.
    threshold : float >= 0
        How much better than the best a metric must be, see :mod:`lrcore.control`.
    mode : {"min", "max"}
        Whether lower or higher is better.
    cooldown : int >= 0
        Updates after a reduction that do not count as waiting. An improvement among them is noted.
    stop_at : float in [0, 1)
        Scale at which to stop. It is never passed, nor undershot by a last reduction. 0: never stop.
    threshold_mode : {"rel", "abs"}
        Whether ``threshold`` is a fraction of the size of the best metric, or in its unit.
    metric : callable ``Iteration -> float``, optional
        What a callback of minimize watches; default, its loss.
    every : int >= 1
        As a callback, look only when the optimizer's ``step_count`` is a multiple of this: an epoch's steps, say.

    Attributes
    ----------
    scale : float
        s; 1 at first.
    best : float
        Best metric so far; infinity before the first.
    waited : int
        Updates since the last improvement, reduction or end of cooldown.
    stopped : bool
        Whether ``stop_at`` is reached.

    Raises
    ------
    TypeError, ValueError
        An argument is not as described.

    Notes
    -----
    ``patience`` counts as in Keras, ``ReduceLROnPlateau(patience=10)``, and optax; torch's
    ``ReduceLROnPlateau(patience=9)`` is this ``patience=10``, as torch reduces when more than ``patience`` updates
    brought nothing. ``cooldown`` counts as in torch; Keras lets the last update of a cooldown count as waiting.
    Keras's ``min_delta`` is an absolute threshold. The rule to stop at 1/1024: Nielsen, *Neural Networks and Deep
    Learning*, chapter 3. The others have a floor to the rate instead, at which they go on.

    Examples
    --------
    >>> plateau = ReduceOnPlateau(0.1, patience=2)
    >>> [plateau.update(loss) for loss in (5.0, 4.0, 4.0, 4.0, 3.0)]
    ['improved', 'improved', 'waiting', 'reduced', 'improved']
    >>> plateau(step=5)
    0.05
    """

    def __init__(
        self,
        initial: Number,
        factor: float = 0.5,
        patience: int = 10,
        threshold: float = 1e-4,
        mode: Mode = "min",
        cooldown: int = 0,
        stop_at: float = 1 / 1024,
        *,
        threshold_mode: Literal["rel", "abs"] = "rel",
        metric: Metric | None = None,
        every: int = 1,
    ) -> None:
        self.initial = initial if callable(initial) else hyperparameters.number("lr", initial, "initial")
        self.factor = checks.number("factor", factor, "(0, 1)")
        self.threshold = checks.number("threshold", threshold, "[0, inf)")
        self.cooldown = checks.whole("cooldown", cooldown, 0)
        self.stop_at = checks.number("stop_at", stop_at, "[0, 1)")
        self.threshold_mode = checks.one_of("threshold_mode", threshold_mode, "rel", "abs")
        super().__init__(patience, mode, self.threshold, threshold_mode == "rel", metric, every)
        self.scale = 1.0
        self._in_use = False  # as a rate
        self._cooling = 0

    @property
    def stopped(self) -> bool:
        """Whether ``stop_at`` is reached: then nothing changes any more."""
        return self.scale <= self.stop_at

    @overload
    def __call__(self, step: int) -> float: ...
    @overload
    def __call__(self, step: Iteration) -> bool: ...
    def __call__(self, step: int | Iteration) -> float | bool:
        """The rate at a step; or, as a callback of minimize, whether to stop.

        Raises
        ------
        ValueError
            As a callback: no optimizer has asked for its rate, so it is not in use.
        """
        if not isinstance(step, Iteration):
            self._in_use = True
            return (self.initial(step) if callable(self.initial) else self.initial) * self.scale
        if not self._in_use:
            raise ValueError(f"optimizer must have this ReduceOnPlateau as its lr, got lr={step.optimizer.lr!r}")
        metric = self._look(step)
        if metric is not None:
            self.update(metric)
        return self.stopped

    def update(self, metric: float) -> PlateauAnswer:
        """Take one more metric, reduce the rate if it is time, and say what was done.

        Returns
        -------
        str
            "improved": best so far. "cooldown": no improvement, soon after a reduction. "waiting": no
            improvement, for fewer than ``patience`` updates. "reduced". "stop": reduced to ``stop_at``; and ever
            after, when nothing changes any more.
        """
        metric = checks.number("metric", metric)
        if self.stopped:
            return "stop"
        cooling = self._cooling > 0
        self._cooling -= cooling
        improved = self._improves(metric)
        self._note(metric, improved)
        if improved:
            return "improved"
        if cooling:
            self.waited = 0
            return "cooldown"
        if self.waited < self.patience:
            return "waiting"
        self.waited = 0
        self._cooling = self.cooldown
        self.scale *= self.factor
        if self.scale > self.stop_at * _REACHED:
            return "reduced"
        self.scale = self.stop_at
        return "stop"

    def __repr__(self) -> str:
        return f"ReduceOnPlateau({self.initial!r}, factor={self.factor!r}, patience={self.patience!r}): {self.scale:g}x"

    def state_dict(self) -> dict[str, Any]:
        """Where it stands, in plain numbers."""
        return {"scale": self.scale, "cooling": self._cooling, **self._state()}

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Go on where :meth:`state_dict` left off.

        Raises
        ------
        TypeError, ValueError
            ``saved`` is not such a state. Nothing has changed.
        """
        checks.state(saved, self.state_dict())
        scale = checks.number("state['scale']", saved["scale"], "[0, 1]")
        cooling = checks.whole("state['cooling']", saved["cooling"], 0)
        self._load(saved)
        self.scale, self._cooling = scale, cooling


class EarlyStopping(_Watch):
    """Stops when the metric has stopped improving; remembers the best step and its parameters.

    Parameters
    ----------
    patience : int >= 1
        Updates in a row without improvement after which to stop.
    mode : {"min", "max"}
        Whether lower or higher is better.
    min_delta : float >= 0
        How much better than the best a metric must be, in its own unit.
    restore_best : bool
        Keep a copy of the best parameters. A run of minimize then ends with them in place, however it ends short
        of an exception; by hand, call :meth:`restore`.
    metric : callable ``Iteration -> float``, optional
        What a callback of minimize watches; default, its loss.
    every : int >= 1
        As a callback, look only when the optimizer's ``step_count`` is a multiple of this.

    Attributes
    ----------
    best : float
        Best metric so far; infinity before the first.
    best_step : int
        The step that had it: the optimizer's ``step_count`` in a run of minimize; by hand, the ``step`` given, or
        how many updates came before. -1 before the first.
    waited : int
        Updates since then.

    Raises
    ------
    TypeError, ValueError
        An argument is not as described.

    Notes
    -----
    ``patience`` and ``min_delta`` are those of Keras's ``EarlyStopping``, which restores the best parameters only
    with ``restore_best_weights=True``.

    Examples
    --------
    >>> early = EarlyStopping(patience=2)
    >>> [early.update(loss) for loss in (3.0, 2.0, 2.5, 2.0)]
    ['improved', 'improved', 'waiting', 'stop']
    >>> early.best_step
    1
    """

    def __init__(
        self,
        patience: int = 10,
        mode: Mode = "min",
        min_delta: float = 0.0,
        restore_best: bool = True,
        *,
        metric: Metric | None = None,
        every: int = 1,
    ) -> None:
        self.min_delta = checks.number("min_delta", min_delta, "[0, inf)")
        self.restore_best = checks.flag("restore_best", restore_best)
        super().__init__(patience, mode, self.min_delta, False, metric, every)
        self.best_step = -1
        self._updates = 0
        self._kept: list[Array] = []

    def __call__(self, at: Iteration) -> bool:
        """As a callback of minimize: whether to stop."""
        metric = self._look(at)
        if metric is not None:
            self.update(metric, at.params, at.optimizer.step_count)
        return self.waited >= self.patience

    def finish(self, at: Iteration) -> str | None:
        """At the end of a run of minimize: restore the best parameters, and say so if they are not the last."""
        if not self._kept:
            return None
        self.restore(at.params)
        step = at.optimizer.step_count
        return f"restored the parameters of step {self.best_step}" if self.best_step != step else None

    def update(self, metric: float, params: Structure = None, step: int | None = None) -> StoppingAnswer:
        """Take one more metric, and say whether to stop.

        Parameters
        ----------
        metric : float
        params : array, sequence, mapping, ParameterBuffer or list of groups, optional
            Copied if the metric improved and ``restore_best`` is set.
        step : int, optional
            Default: how many updates came before.

        Returns
        -------
        {"improved", "waiting", "stop"}
            "stop" when ``patience`` updates in a row brought no improvement, until one does.
        """
        metric = checks.number("metric", metric)
        step = self._updates if step is None else checks.whole("step", step, 0)
        improved = self._improves(metric)
        if improved:
            self._keep(arrays_of(params) if self.restore_best and params is not None else [])
            self.best_step = step
        self._note(metric, improved)
        self._updates += 1
        if improved:
            return "improved"
        return "stop" if self.waited >= self.patience else "waiting"

    def restore(self, params: Structure) -> None:
        """Copy the best parameters back into ``params``.

        Raises
        ------
        TypeError, ValueError
            ``params`` does not have the shapes and dtypes of those kept. Nothing has changed.
        RuntimeError
            None were kept: ``restore_best`` is False, or ``update`` was not given any with the best metric.
        """
        if not self._kept:
            raise RuntimeError(
                "no parameters to restore: update must be given params, and restore_best be True"
                if self.best_step >= 0
                else "no parameters to restore: there is no best step yet"
            )
        arrays = arrays_of(params)
        mine, theirs = ([(a.shape, a.dtype.name) for a in some] for some in (self._kept, arrays))
        if mine != theirs:
            raise ValueError(f"params must have the shapes and dtypes of those kept, {mine}, got {theirs}")
        for array, kept in zip(arrays, self._kept, strict=True):
            array[...] = kept

    def _keep(self, arrays: list[Array]) -> None:
        if [(a.shape, a.dtype) for a in arrays] != [(a.shape, a.dtype) for a in self._kept]:
            self._kept = [array.copy() for array in arrays]
            return
        for kept, array in zip(self._kept, arrays, strict=True):
            kept[...] = array

    def __repr__(self) -> str:
        return f"EarlyStopping(patience={self.patience!r}, mode={self.mode!r}): best {self.best:g} at {self.best_step}"

    def state_dict(self) -> dict[str, Any]:
        """Where it stands, in plain numbers, and the arrays of the best parameters, copied."""
        return {
            "best_step": self.best_step,
            "updates": self._updates,
            "params": [kept.copy() for kept in self._kept],
            **self._state(),
        }

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Go on where :meth:`state_dict` left off.

        Raises
        ------
        TypeError, ValueError
            ``saved`` is not such a state. Nothing has changed.
        """
        checks.state(saved, self.state_dict())
        best_step = checks.whole("state['best_step']", saved["best_step"], -1)
        updates = checks.whole("state['updates']", saved["updates"], 0)
        params = saved["params"]
        if not isinstance(params, (list, tuple)) or not all(isinstance(array, np.ndarray) for array in params):
            raise TypeError(f"state['params'] must be a list of arrays, got {params!r}")
        self._load(saved)
        self.best_step, self._updates, self._kept = best_step, updates, [array.copy() for array in params]
