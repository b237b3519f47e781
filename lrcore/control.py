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

from collections.abc import Mapping, Sequence
from typing import Any, Literal, overload

import numpy as np

from lrcore import checks, hyperparameters
from lrcore.arrays import Array, Change, assign, change
from lrcore.base import Optimizer
from lrcore.hyperparameters import Number
from lrcore.minimize import Iteration
from lrcore.settings import Setting
from lrcore.structure import Structure, arrays_of, check_array
from lrcore.watch import Metric, Mode, Watch

PlateauAnswer = Literal["improved", "waiting", "cooldown", "reduced", "stop"]
StoppingAnswer = Literal["improved", "waiting", "stop"]

_REACHED = 1 + 1e-12  # times stop_at: three times 0.1 is a thousandth, though not to the last bit


class ReduceOnPlateau(Watch):
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
    AttributeError
        Something else than the arguments is assigned, or ``mode``. The other arguments may be: they are checked, and
        hold from the next update on.

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

    __slots__ = ("_asked", "_cooldown", "_factor", "_initial", "_stop_at", "_threshold", "_threshold_mode")

    initial = Setting(lambda name, value: value if callable(value) else hyperparameters.number("lr", value, name))
    factor = Setting(lambda name, value: checks.number(name, value, "(0, 1)"))
    threshold = Setting(lambda name, value: checks.number(name, value, "[0, inf)"))
    cooldown = Setting(lambda name, value: checks.whole(name, value, 0))
    stop_at = Setting(lambda name, value: checks.number(name, value, "[0, 1)"))
    threshold_mode = Setting(lambda name, value: checks.one_of(name, value, "rel", "abs"))

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
        self.initial = initial
        self.factor = factor
        self.threshold = threshold
        self.cooldown = cooldown
        self.stop_at = stop_at
        self.threshold_mode = threshold_mode
        super().__init__(patience, mode, metric, every)
        self._memory |= {"scale": 1.0, "cooling": 0}
        self._asked = False

    @property
    def scale(self) -> float:
        """s; 1 at first."""
        scale: float = self._memory["scale"]
        return scale

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
            As a callback: the optimizer does not ask it for a rate, or is not that of the run watched before.
        """
        if not isinstance(step, Iteration):
            self._asked = True
            rate: float = (self.initial(step) if callable(self.initial) else self.initial) * self.scale
            return rate
        self._check_in_use(step.optimizer)
        self._watches(step)
        metric = self._look(step)
        if metric is not None:
            self._take(metric, {"seen": step.optimizer.step_count})
        return self.stopped

    def _check_in_use(self, optimizer: Optimizer) -> None:
        """Raise unless the rate of a group comes from here, directly or through other schedules."""
        self._asked = False
        for group in optimizer.param_groups:
            hyperparameters.at("lr", group["lr"], optimizer.step_count)
        if not self._asked:
            raise ValueError(f"optimizer must have this ReduceOnPlateau as its lr, got lr={optimizer.lr!r}")

    def update(self, metric: float) -> PlateauAnswer:
        """Take one more metric, reduce the rate if it is time, and say what was done.

        Returns
        -------
        str
            "improved": best so far. "cooldown": no improvement, soon after a reduction. "waiting": no
            improvement, for fewer than ``patience`` updates. "reduced". "stop": reduced to ``stop_at``; and ever
            after, when nothing changes any more.
        """
        return self._take(checks.number("metric", metric), {})

    def _take(self, metric: float, also: dict[str, Any]) -> PlateauAnswer:
        if self.stopped:
            return "stop"
        answer, changed = self._next(metric)
        self._memory = self._memory | changed | also
        return answer

    def _next(self, metric: float) -> tuple[PlateauAnswer, dict[str, Any]]:
        """What a metric brings about."""
        cooling = self._memory["cooling"]
        left = max(0, cooling - 1)
        if self._improves(metric, self.threshold, self.threshold_mode == "rel"):
            return "improved", {"best": metric, "waited": 0, "cooling": left}
        if cooling:
            return "cooldown", {"waited": 0, "cooling": left}
        if self.waited + 1 < self.patience:
            return "waiting", {"waited": self.waited + 1}
        scale = self.scale * self.factor
        last = scale <= self.stop_at * _REACHED
        return "stop" if last else "reduced", {
            "waited": 0, "cooling": self.cooldown, "scale": self.stop_at if last else scale,
        }  # fmt: skip

    def __repr__(self) -> str:
        return f"ReduceOnPlateau({self.initial!r}, factor={self.factor!r}, patience={self.patience!r}): {self.scale:g}x"

    def state_dict(self) -> dict[str, Any]:
        """Where it stands and the arguments it was made with, in plain numbers and text."""
        return {**self._memory, **self._settings()}

    def _settings(self) -> dict[str, Any]:
        return {
            **super()._settings(),
            "initial": None if callable(self.initial) else self.initial,
            "factor": self.factor,
            "threshold": self.threshold,
            "threshold_mode": self.threshold_mode,
            "cooldown": self.cooldown,
            "stop_at": self.stop_at,
        }

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Go on where :meth:`state_dict` left off.

        To go on with other arguments, load into a plateau with the same ones, then assign to it.

        Raises
        ------
        TypeError, ValueError
            ``saved`` is not the state of a plateau with these arguments. Nothing has changed.
        """
        change(self._loading(saved))

    def _loading(self, saved: Mapping[str, Any]) -> Change:
        checks.state(saved, self.state_dict())
        self._check_settings(saved)
        memory = self._checked_memory(saved)
        memory["scale"] = checks.number("state['scale']", saved["scale"], "[0, 1]")
        memory["cooling"] = checks.whole("state['cooling']", saved["cooling"], 0)
        return Change(attributes=[(self, "_memory", memory), (self, "_run", None)])


class EarlyStopping(Watch):
    """Stops when the metric has stopped improving; remembers the best step and its parameters.

    Parameters
    ----------
    patience : int >= 1
        Updates in a row without improvement after which to stop.
    mode : {"min", "max"}
        Whether lower or higher is better.
    min_delta : float >= 0
        How much better than the best a metric must be, in its own unit. It is the ``threshold`` of a plateau.
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
    AttributeError
        Something else than the arguments is assigned, or ``mode``. The other arguments may be: they are checked, and
        hold from the next update on.

    Notes
    -----
    It belongs to one run: to one optimizer, and to the parameters that it is given first. Going on with these is
    resuming; others are refused, as the best of one model is not that of another. A copy, or a new one with
    the state loaded, belongs to the run that it is first used in.

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

    __slots__ = ("_min_delta", "_of", "_restore_best")

    min_delta = Setting(lambda name, value: checks.number(name, value, "[0, inf)"))
    restore_best = Setting(checks.flag)

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
        self.min_delta = min_delta
        self.restore_best = restore_best
        super().__init__(patience, mode, metric, every)
        self._memory |= {"best_step": -1, "updates": 0, "kept": []}
        self._of: list[Array] = []

    @property
    def best_step(self) -> int:
        """The step that had the best metric; -1 before the first."""
        step: int = self._memory["best_step"]
        return step

    def __call__(self, at: Iteration) -> bool:
        """As a callback of minimize: whether to stop."""
        if not self._of and self._memory["kept"] and at.optimizer.step_count == 0 > self._memory["seen"]:
            raise ValueError(
                "EarlyStopping must be new for a new run, got one with the parameters of another and an optimizer at "
                "step 0"
            )
        self._watches(at)
        arrays = self._belonging(at.params)
        metric = self._look(at)
        if metric is not None:
            step = at.optimizer.step_count
            self._take(metric, arrays, step, {"seen": step})
        return self.waited >= self.patience

    def finish(self, at: Iteration) -> str | None:
        """At the end of a run of minimize: restore the best parameters, and say so if they are not the last."""
        if not self.restore_best or not self._memory["kept"]:
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
        step = self._memory["updates"] if step is None else checks.whole("step", step, 0)
        return self._take(metric, [] if params is None else self._belonging(params), step, {})

    def _take(self, metric: float, arrays: list[Array], step: int, also: dict[str, Any]) -> StoppingAnswer:
        updates = self._memory["updates"] + 1
        if not self._improves(metric, self.min_delta, False):
            waited = self.waited + 1
            self._memory = self._memory | {"waited": waited, "updates": updates} | also
            return "stop" if waited >= self.patience else "waiting"
        changed = {"best": metric, "waited": 0, "updates": updates, "best_step": step} | also
        kept = self._memory["kept"]
        wanted = arrays if self.restore_best else []
        if _forms(kept) == _forms(wanted):
            assign(kept, wanted, *((self._memory, key, value) for key, value in changed.items()))
        else:
            self._memory = self._memory | changed | {"kept": [array.copy() for array in wanted]}
        return "improved"

    def _belonging(self, params: Structure) -> list[Array]:
        """The arrays of ``params``; raises if they are not those of the model that was seen first."""
        arrays = arrays_of(params)
        kept = self._memory["kept"]
        if kept and _forms(kept) != _forms(arrays):
            raise ValueError(
                f"params must have the shapes and dtypes of those kept, {_forms(kept)}, got {_forms(arrays)}"
            )
        if not self._of:
            self._of = arrays
        elif [_place(array) for array in arrays] != [_place(array) for array in self._of]:
            raise ValueError(
                "params must be those that this EarlyStopping was given first, got other arrays; make a new one for "
                "another model, or give it this one's state_dict()"
            )
        return arrays

    def restore(self, params: Structure) -> None:
        """Copy the best parameters back into ``params``.

        Raises
        ------
        TypeError, ValueError
            ``params`` does not have the shapes and dtypes of those kept, or is another model's. Nothing has changed.
        RuntimeError
            None were kept: ``restore_best`` is False, or ``update`` was not given any with the best metric.
        """
        kept = self._memory["kept"]
        if not kept:
            raise RuntimeError(
                "no parameters to restore: update must be given params, and restore_best be True"
                if self.best_step >= 0
                else "no parameters to restore: there is no best step yet"
            )
        assign(self._belonging(params), kept)

    def __repr__(self) -> str:
        return f"EarlyStopping(patience={self.patience!r}, mode={self.mode!r}): best {self.best:g} at {self.best_step}"

    def state_dict(self) -> dict[str, Any]:
        """Where it stands, its arguments, in plain numbers and text, and the arrays of the best parameters, copied."""
        memory = dict(self._memory)
        return {"params": [array.copy() for array in memory.pop("kept")], **memory, **self._settings()}

    def _settings(self) -> dict[str, Any]:
        return {**super()._settings(), "min_delta": self.min_delta, "restore_best": self.restore_best}

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Go on where :meth:`state_dict` left off.

        To go on with other arguments, load into one with the same ones, then assign to it.

        Raises
        ------
        TypeError, ValueError
            ``saved`` is not the state of an EarlyStopping with these arguments. Nothing has changed.
        """
        change(self._loading(saved))

    def _loading(self, saved: Mapping[str, Any]) -> Change:
        checks.state(saved, self.state_dict())
        self._check_settings(saved)
        memory = self._checked_memory(saved)
        memory["best_step"] = checks.whole("state['best_step']", saved["best_step"], -1)
        memory["updates"] = checks.whole("state['updates']", saved["updates"], 0)
        params = saved["params"]
        if not isinstance(params, (list, tuple)) or not all(isinstance(array, np.ndarray) for array in params):
            raise TypeError(f"state['params'] must be a list of arrays, got {checks.shown(params)}")
        for k, array in enumerate(params):
            check_array(f"state['params'][{k}]", array)
        memory["kept"] = [array.copy() for array in params]
        return Change(attributes=[(self, "_memory", memory), (self, "_run", None), (self, "_of", [])])

    def __getstate__(self) -> tuple[dict[str, Any] | None, dict[str, Any]]:
        own, kept = super().__getstate__()
        kept["_memory"]["kept"] = [array.copy() for array in self._memory["kept"]]
        return own, kept | {"_of": []}


def _forms(arrays: Sequence[Array]) -> list[tuple[tuple[int, ...], str]]:
    return [(array.shape, array.dtype.name) for array in arrays]


def _place(array: Array) -> tuple[int, tuple[int, ...], str]:
    return array.ctypes.data, array.shape, array.dtype.name
