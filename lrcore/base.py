"""What all optimizers share: checking, counting steps, resolving rates, the step, saving and loading.

The step t = 1, 2, … and the step that a schedule is asked for, t - 1, meet in :meth:`Optimizer.step` and nowhere
else.
"""

from __future__ import annotations

import math
from _thread import allocate_lock
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from copy import copy
from functools import partial
from typing import Any, ClassVar, Literal, NamedTuple, TypedDict

import numpy as np

from lrcore import checks, hyperparameters, kernels, reference, structure
from lrcore.buffer import staggered
from lrcore.hyperparameters import Number
from lrcore.structure import Array, Gradients, Parameters, Params, Structure

_ONE = 1.0  # the default loss scale, known by identity: it needs no check

_SINGLE_MAX = float(np.finfo(np.float32).max)

Values = Mapping[str, Any]  # of the hyperparameters at one step

Settled = tuple[Values, float, float, float]
"""Values at one step, and from them: the learning rate, the L2 penalty, what decoupled decay leaves of a parameter."""

_OPTIMIZERS: dict[str, type[Optimizer]] = {}


def registered() -> Mapping[str, type[Optimizer]]:
    """Every optimizer by name."""
    return dict(_OPTIMIZERS)


class Options(TypedDict, total=False):
    """What every optimizer takes besides its own hyperparameters, see :class:`Optimizer`."""

    like: str
    ema: float | None
    ema_warmup: bool
    clip_norm: float | None
    clip_value: float | None
    on_nonfinite: Literal["propagate", "skip", "raise"]


class StepReport(NamedTuple):
    """What a step did.

    Attributes
    ----------
    step : int
        Its number t = 1, 2, …; that of the last one applied, if this one was skipped.
    lr : float
        The rate of the first group.
    applied : bool
        Whether parameters were changed.
    grad_norm : float or None
        Euclidean norm of all gradients, divided by the loss scale, before clipping; None where nothing needed it.
        Neither threads nor build change a bit of it. It is summed tensor by tensor, and a ParameterBuffer is one:
        the last bits may differ between a buffer and a list of the same values.
    """

    step: int
    lr: float
    applied: bool
    grad_norm: float | None = None


_report: Callable[[tuple[int, float, bool, float | None]], StepReport] = partial(tuple.__new__, StepReport)
"""A report of these fields, made in a third of the time that its class takes."""


class ParameterGroup(MutableMapping[str, Any]):
    """The hyperparameters of some of the parameters. ``group["lr"] = 0.1`` is checked and holds from the next step."""

    _hyper: dict[str, Any]

    def __init__(self, parameters: Parameters, hyper: dict[str, Any], kind: type[Optimizer], like: str) -> None:
        kind._check_together(hyper, like)
        self.parameters = parameters
        self.rule = kind._rule(hyper)
        self.scalars = dict(kind._initial_scalars(like))
        self._kind = kind
        self._like = like
        self.adopt(hyper)

    def at(self, step: int) -> Settled:
        """The hyperparameters at a step, counted from 0, and the scalars of every rule that follow from them."""
        h = self._hyper
        if self._scheduled:
            h = h | {name: hyperparameters.at(name, h[name], step) for name in self._scheduled}
        lr = h["lr"]
        inverse_time = self._inverse_time
        if inverse_time is not None and h[inverse_time]:
            lr /= 1.0 + step * h[inverse_time]
        weight_decay = h.get("weight_decay")
        if not weight_decay:
            return h, lr, 0.0, 1.0
        if self._like in self._kind.decoupled or h.get("decoupled_weight_decay"):
            return h, lr, 0.0, 1.0 - lr * weight_decay
        return h, lr, weight_decay, 1.0

    def __getitem__(self, name: str) -> Any:
        return self.parameters.structure if name == "params" else self._hyper[name]

    def __setitem__(self, name: str, value: Any) -> None:
        if name not in self._hyper:
            raise KeyError(f"no hyperparameter {name!r}; this optimizer has {', '.join(self._hyper)}")
        if name == "initial_accumulator_value":
            raise ValueError(f"{name} must be given when the optimizer is made, where it is used")
        self.adopt(self.with_changes({name: hyperparameters.check(name, value)}))

    def with_changes(self, changes: dict[str, Any]) -> dict[str, Any]:
        """All hyperparameters, some of them changed; raises if they do not go together, or with the state."""
        changed = self._hyper | changes
        self._kind._check_together(changed, self._like)
        if self._kind._rule(changed) != self.rule:
            differ = [name for name, value in changes.items() if value != self._hyper[name]]
            raise ValueError(
                f"{' and '.join(differ)} must not change what the optimizer remembers once it is made: "
                f"{', '.join(f'{self._hyper[name]!r} to {changes[name]!r}' for name in differ)} would"
            )
        return changed

    def adopt(self, hyper: dict[str, Any]) -> None:
        """Have these hyperparameters from now on."""
        self._hyper = hyper
        self._scheduled = [name for name, value in hyper.items() if hyperparameters.is_scheduled(value)]
        # torch's Adagrad and Keras 1 and 2 have an inverse-time decay of the rate built in.
        self._inverse_time = next((name for name in ("lr_decay", "decay") if name in hyper), None)
        varies = self._scheduled or (self._inverse_time and hyper[self._inverse_time])
        self.settled: Settled | None = None if varies else self.at(0)

    def twin(self) -> ParameterGroup:
        """A group of the same parameters that changes by itself."""
        other = copy(self)
        other.scalars = dict(self.scalars)
        return other

    def __delitem__(self, name: str) -> None:
        raise TypeError("a parameter group keeps its hyperparameters")

    def __iter__(self) -> Iterator[str]:
        return iter(("params", *self._hyper))

    def __len__(self) -> int:
        return 1 + len(self._hyper)

    def __repr__(self) -> str:
        return f"ParameterGroup({', '.join(f'{k}={v!r}' for k, v in self._hyper.items())})"


class Optimizer:
    """What all optimizers share: checking, counting steps, resolving rates, saving and loading.

    Parameters
    ----------
    params : array, sequence of arrays, mapping of str to array, ParameterBuffer, or list of groups
        float32 or float64, writable, C-contiguous; changed in place by each step, never copied. A group is a
        mapping with the key ``"params"`` and, besides, any hyperparameters that differ from those of the
        optimizer: ``[{"params": weights, "weight_decay": 0.01}, {"params": biases, "lr": 1e-2}]``.
    like : {"torch", "keras", "keras2", "optax"}
        Whose formula and defaults, see the table of each class.
    ema : float in [0, 1), optional
        Keep moving averages of the parameters, updated in the same sweep:
        ``average = ema * average + (1 - ema) * theta`` after each step, and at first the parameters themselves
        after step 1 (as torch's ``AveragedModel`` and Keras). See :attr:`averages` and :meth:`averaged`.
    ema_warmup : bool
        At step t use ``min(ema, (1 + t) / (10 + t))`` and begin with the parameters before step 1, as
        TensorFlow's ``ExponentialMovingAverage`` with ``num_updates=t``.
    clip_norm : float > 0, optional
        Multiply the gradients so that their Euclidean norm, over all parameters, is at most this: by
        ``min(1, clip_norm / (norm + 1e-6))`` with torch, by exactly ``clip_norm / norm`` otherwise, where the
        norm is larger.
    clip_value : float > 0, optional
        Clip each element of the gradients to ± this, after ``clip_norm``.
    on_nonfinite : {"propagate", "skip", "raise"}
        What to do where a gradient has a NaN or an infinity: step all the same; change nothing, neither t nor
        schedules nor state, and report ``applied=False``; or raise FloatingPointError.

    Raises
    ------
    TypeError, ValueError
        With name, rule and value, before anything has changed.
    """

    defaults: ClassVar[Mapping[str, Mapping[str, Any]]]
    """For each library, the hyperparameters it has and their defaults."""

    decoupled: ClassVar[tuple[str, ...]] = ("keras",)
    """The libraries in which this optimizer's weight decay bypasses the gradient."""

    def __init_subclass__(cls) -> None:
        _OPTIMIZERS.setdefault(cls.__name__, cls)

    def __init__(
        self,
        params: Params,
        given: Mapping[str, Any],
        like: str = "torch",
        ema: float | None = None,
        ema_warmup: bool = False,
        clip_norm: float | None = None,
        clip_value: float | None = None,
        on_nonfinite: Literal["propagate", "skip", "raise"] = "propagate",
    ) -> None:
        name = type(self).__name__
        if not isinstance(like, str) or like not in self.defaults:
            libraries = ", ".join(map(repr, self.defaults))
            raise ValueError(f"like must be one of {libraries} for {name}, got {like!r}")
        self.like = like
        shared = dict(self.defaults[like])
        shared.update(self._checked({key: value for key, value in given.items() if value is not None}))
        split = structure.split_groups(params)
        self._grouped = structure.is_groups(params)
        self.param_groups: list[ParameterGroup] = []
        for parameters, own in split:
            hyper = shared | self._checked(own)
            missing = [key for key, value in hyper.items() if value is None]
            if missing:
                raise TypeError(f"{missing[0]} must be given: {like} has no default for it in {name}")
            self.param_groups.append(ParameterGroup(parameters, hyper, type(self), like))
        self._ema = None if ema is None else hyperparameters.number("ema", ema)
        self._ema_warmup = checks.flag("ema_warmup", ema_warmup)
        self._clip_norm = None if clip_norm is None else hyperparameters.number("clip_norm", clip_norm)
        self._clip_value = math.inf if clip_value is None else hyperparameters.number("clip_value", clip_value)
        if on_nonfinite not in ("propagate", "skip", "raise"):
            raise ValueError(f"on_nonfinite must be 'propagate', 'skip' or 'raise', got {on_nonfinite!r}")
        self._on_nonfinite = on_nonfinite
        self._t = 0
        self._states = [self._allocate(group) for group in self.param_groups]
        self._prepare()

    def _checked(self, given: Mapping[str, Any]) -> dict[str, Any]:
        known = self.defaults[self.like]
        for key in given:
            if key not in known:
                raise ValueError(
                    f"{key} must not be given with like={self.like!r}: {type(self).__name__} has "
                    f"{', '.join(known)} there"
                )
        return {key: hyperparameters.check(key, value) for key, value in given.items()}

    # What a subclass says.

    @staticmethod
    def _rule(h: Values) -> str:
        """Name of the rule for these hyperparameters, in :mod:`lrcore.reference` and ``src/rules.pxi``."""
        raise NotImplementedError

    def _coefficients(self, group: ParameterGroup, h: Values, t: int, lr: float) -> tuple[float, ...]:
        """The coefficients of the group's rule at step t that follow ``keep``, in double precision."""
        raise NotImplementedError

    @staticmethod
    def _check_together(h: Values, like: str) -> None:
        """Raise if hyperparameters, each in its range, do not go together."""

    @staticmethod
    def _initial(h: Values) -> Mapping[str, float]:
        """Initial values of the state arrays that do not begin at zero."""
        return {}

    @staticmethod
    def _initial_scalars(like: str) -> Mapping[str, float]:
        """Numbers that a group remembers from step to step, at first."""
        return {}

    def _advance(self, group: ParameterGroup, h: Values, t: int) -> Mapping[str, float]:
        """The numbers that a group remembers after step t."""
        return group.scalars

    # State and sweeps.

    def _allocate(self, group: ParameterGroup) -> dict[str, list[Array]]:
        """State arrays by name, one per tensor and of its shape, each name's end to end on cache lines."""
        tensors = group.parameters.tensors(by_name=False)
        names = reference.state_names(group.rule)
        if self._ema is not None:
            names = (*names, "average")
        states: dict[str, list[Array]] = {name: [np.empty(0)] * len(tensors) for name in names}
        initial = self._initial(group)
        for dtype in {tensor.dtype for tensor in tensors}:
            line = 64 // dtype.itemsize
            mine = [k for k, tensor in enumerate(tensors) if tensor.dtype == dtype]
            slots = [math.ceil(tensors[k].size / line) * line for k in mine]
            for name, row in zip(names, staggered(len(names), sum(slots), dtype, first=2), strict=True):
                row.fill(initial.get(name, 0.0))
                start = 0
                for k, slot in zip(mine, slots, strict=True):
                    states[name][k] = row[start : start + tensors[k].size].reshape(tensors[k].shape)
                    start += slot
        for average, tensor in zip(states.get("average", ()), tensors, strict=False):
            average[...] = tensor
        return states

    def _prepare(self) -> None:
        """What is made from the rest, and is not saved."""
        self._lock = allocate_lock()
        self._build = kernels.selected
        self._parameters = [group.parameters for group in self.param_groups]
        self._sweeps: dict[bool, kernels.Sweep] = {False: self._make_sweep(by_name=False)}

    def _make_sweep(self, by_name: bool) -> kernels.Sweep:
        groups = []
        for group, states in zip(self.param_groups, self._states, strict=True):
            parameters = group.parameters
            if by_name:
                states = {name: list(parameters.split(arrays).values()) for name, arrays in states.items()}
            rows = [arrays for name, arrays in states.items() if name != "average"]
            averages = states.get("average")
            groups.append((group.rule, [
                (theta, [arrays[k] for arrays in rows], averages[k] if averages else None)
                for k, theta in enumerate(parameters.tensors(by_name))
            ]))  # fmt: skip
        return kernels.sweep(groups, self._build)

    # The step.

    def step(self, grads: Gradients = None, grad_scale: float = _ONE, zero_grad: bool = False) -> StepReport:
        """Change every parameter by one step.

        Parameters
        ----------
        grads : same structure as ``params``
            Gradients of the shapes and dtypes of their parameters, C-contiguous; only read. None takes
            ``params.grads`` where ``params`` is a ParameterBuffer. With groups, a list of one entry per group.
        grad_scale : float > 0
            The loss scale: gradients are divided by it first.
        zero_grad : bool
            Leave the gradients zeroed, also where the step is skipped; they must be writable and not overlap.

        Raises
        ------
        TypeError, ValueError
            A gradient or a schedule's value is not acceptable. Nothing has changed.
        FloatingPointError
            A gradient is not finite and ``on_nonfinite`` is "raise". Nothing has changed.
        RuntimeError
            Another thread is in a step of this optimizer, or :meth:`averaged` is in force. Nothing has changed.
        """
        self._refuse_if_busy("step")
        with self._lock:
            return self._step(grads, grad_scale, zero_grad)

    def _step(self, grads: Structure, grad_scale: float, zero_grad: bool) -> StepReport:
        # Apart from the with statement: CPython 3.13 does not unwind one if interrupted at the end of a loop in it.
        gathered, by_name = structure.gather(self._parameters, grads, self._grouped)
        factor = 1.0
        if grad_scale is not _ONE:
            factor = 1.0 / hyperparameters.number("grad_scale", grad_scale)
        if zero_grad is not False:
            checks.flag("zero_grad", zero_grad)
        step = self._t
        t = step + 1
        rates = []
        coefficients = []
        scalars = []
        for group in self.param_groups:
            h, lr, l2, keep = group.settled or group.at(step)
            rates.append(lr)
            coefficients.append((l2, keep, *self._coefficients(group, h, t, lr)))
            if group.scalars:
                scalars.append((group.scalars, self._advance(group, h, t)))
        if by_name not in self._sweeps:
            structure.explain(self._parameters, gathered, by_name, zero_grad)
            self._sweeps[by_name] = self._make_sweep(by_name)
        sweep = self._sweeps[by_name]
        if isinstance(sweep, reference.Sweep):
            structure.explain(self._parameters, gathered, by_name, zero_grad)
        lr = rates[0]
        norm = None
        if self._clip_norm is not None or self._on_nonfinite != "propagate":
            norm, finite = self._norm(sweep, gathered, by_name, factor)
            if not finite and self._on_nonfinite != "propagate":
                self._refuse(gathered, by_name, zero_grad)
                return StepReport(step, lr, False, norm)
            if self._clip_norm is not None:
                factor *= self._clip_factor(norm, self._clip_norm)
        ema = 1.0 if self._ema is None else self._ema_at(t, self._ema)
        before = sweep.steps
        try:
            # An interrupt may arrive between any two lines; the sweep's own count tells what was done.
            accepted = sweep.step(gathered, coefficients, factor, self._clip_value, ema, 1.0 - ema, zero_grad)
        finally:
            if sweep.steps != before:
                self._t = t
                for old, new in scalars:
                    old.update(new)
        if not accepted:
            structure.explain(self._parameters, gathered, by_name, zero_grad)
            raise RuntimeError("a gradient was refused that satisfies every rule")
        return _report((t, lr, True, norm))

    def _refuse_if_busy(self, method: str) -> None:
        # Asked first and taken after, so that an interrupt between the two leaves no lock held.
        if self._lock.locked():
            raise RuntimeError(
                f"{method} must not be called while a thread is in a step of the same optimizer, nor in averaged()"
            )

    def _norm(self, sweep: kernels.Sweep, grads: Sequence[Array], by_name: bool, factor: float) -> tuple[float, bool]:
        """Norm of all gradients times ``factor``, and whether every one of their elements is finite."""
        squares = sweep.sum_of_squares(grads)
        if squares is None:
            structure.explain(self._parameters, grads, by_name, writable=False)
            raise RuntimeError("a gradient was refused that satisfies every rule")
        norm = math.sqrt(squares) * factor
        if norm <= _SINGLE_MAX:
            return norm, True
        with np.errstate(over="ignore"):
            finite = all(np.isfinite(g * factor).all() for g in grads)
        if not finite:
            return norm, False
        if math.isfinite(squares):
            return norm, True
        largest = max(float(np.abs(g).max(initial=0)) for g in grads)  # the squares overflowed
        total = sum(sum(reference.sum_of_squares(g / largest)) for g in grads)
        return largest * factor * math.sqrt(total), True

    def _clip_factor(self, norm: float, bound: float) -> float:
        if self.like == "torch":
            return min(1.0, bound / (norm + 1e-6)) if norm == norm else norm
        return bound / norm if norm > bound or norm != norm else 1.0

    def _refuse(self, grads: Sequence[Array], by_name: bool, zero_grad: bool) -> None:
        """Raise if gradients that are not finite are to raise; else leave them zeroed if asked to."""
        labelled = structure.explain(self._parameters, grads, by_name, zero_grad)
        if self._on_nonfinite == "raise":
            for label, g in labelled:
                wrong = np.argwhere(~np.isfinite(g))
                if len(wrong):
                    at = tuple(map(int, wrong[0]))
                    raise FloatingPointError(f"{label} must be finite, got {g[at]} at index {at}")
        if zero_grad:
            for _, g in labelled:
                g[...] = 0

    def _ema_at(self, t: int, ema: float) -> float:
        """Weight of the old average at step t."""
        if self._ema_warmup:
            return min(ema, (1 + t) / (10 + t))
        return ema if t > 1 else 0.0

    # What callers see.

    @property
    def params(self) -> Structure:
        """The parameters, as they were given."""
        if self._grouped:
            return [{"params": group["params"]} for group in self.param_groups]
        return self.param_groups[0]["params"]

    @property
    def lr(self) -> float:
        """The hyperparameter ``lr`` of the first group at the next step. Assigning sets that of every group."""
        rate: float = hyperparameters.at("lr", self.param_groups[0]["lr"], self._t)
        return rate

    @lr.setter
    def lr(self, value: Number) -> None:
        hyperparameters.check("lr", value)
        for group in self.param_groups:
            group["lr"] = value

    @property
    def next_rate(self) -> float:
        """The rate that the next step will report: ``lr``, after the inverse-time decay that some have built in."""
        return self.param_groups[0].at(self._t)[1]

    @property
    def step_count(self) -> int:
        """Steps taken so far; the step that a schedule is asked for next."""
        return self._t

    def __repr__(self) -> str:
        hyper = ", ".join(f"{name}={value!r}" for name, value in self.param_groups[0].items() if name != "params")
        leaves = [leaf for parameters in self._parameters for leaf in parameters.leaves]
        size = sum(leaf.array.size for leaf in leaves)
        groups = f" in {len(self.param_groups)} groups" if self._grouped else ""
        return (
            f"{type(self).__name__}({hyper}, like={self.like!r}): {len(leaves)} parameter"
            f"{'s' if len(leaves) != 1 else ''}{groups}, {size:,} elements, step {self._t}"
        )

    @property
    def averages(self) -> Structure:
        """The moving averages in the structure of ``params``, as read-only views; a mapping for a ParameterBuffer."""
        if self._ema is None:
            raise ValueError("averages must be asked for when the optimizer is made: ema=0.999")
        views: list[Structure] = []
        for group, states in zip(self.param_groups, self._states, strict=True):
            named = {name: array.view() for name, array in group.parameters.split(states["average"]).items()}
            for view in named.values():
                view.flags.writeable = False
            views.append(group.parameters.like_structure(named))
        return views if self._grouped else views[0]

    @contextmanager
    def averaged(self) -> Iterator[Structure]:
        """Have the averages in the parameters: ``with opt.averaged(): predict()``; on leaving, what was there before.

        Raises
        ------
        ValueError
            No averages are kept.
        RuntimeError
            A step is under way, or the averages are swapped in already.
        """
        if self._ema is None:
            raise ValueError("averages must be asked for when the optimizer is made: ema=0.999")
        self._refuse_if_busy("averaged")
        for parameters in self._parameters:
            parameters.check_same()
            for leaf in parameters.leaves:
                leaf.check_parameter("params" + leaf.path)
        pairs = [
            (theta, average)
            for group, states in zip(self.param_groups, self._states, strict=True)
            for theta, average in zip(group.parameters.tensors(by_name=False), states["average"], strict=True)
        ]
        with self._lock:
            saved = [theta.copy() for theta, _ in pairs]
            try:
                for theta, average in pairs:
                    theta[...] = average
                yield self.params
            finally:
                for (theta, _), value in zip(pairs, saved, strict=True):
                    theta[...] = value

    # Saving and loading.

    def state_dict(self) -> dict[str, Any]:
        """Everything a run needs to go on with the same bits, in plain arrays and numbers, copied.

        ``{"optimizer", "like", "step", "groups": [{hyperparameters, "params": names}], "state": {name: {…}}}``.
        Schedules are code and are not saved: give them again.
        """
        self._refuse_if_busy("state_dict")
        with self._lock:
            return self._copied_state()

    def _copied_state(self) -> dict[str, Any]:
        saved = self._state()
        saved["state"] = {
            name: {key: array.copy() for key, array in arrays.items()} for name, arrays in saved["state"].items()
        }
        return saved

    def _state(self) -> dict[str, Any]:
        """What :meth:`state_dict` gives, not copied."""
        groups = []
        state: dict[str, dict[str, Array]] = {}
        for group, states in zip(self.param_groups, self._states, strict=True):
            names = group.parameters.names
            numbers = {
                key: value
                for key, value in group.items()
                if key != "params" and not hyperparameters.is_scheduled(value)
            }
            groups.append({"params": list(names), **numbers, **group.scalars})
            for name in names:
                state[name] = {}
            for key, arrays in states.items():
                for name, array in group.parameters.split(arrays).items():
                    state[name][key] = array
        return {
            "optimizer": type(self).__name__,
            "like": self.like,
            "step": self._t,
            "groups": groups,
            "state": state,
        }

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Go on where :meth:`state_dict` left off. Hyperparameters that are schedules here stay as they are.

        Raises
        ------
        TypeError, ValueError
            ``saved`` belongs to another optimizer or model. Nothing has changed.
        """
        self._refuse_if_busy("load_state_dict")
        mine = self._state()
        checks.state(saved, mine)
        for key in ("optimizer", "like"):
            if saved[key] != mine[key]:
                raise ValueError(f"state[{key!r}] must be {mine[key]!r}, got {saved[key]!r}")
        step = checks.whole("state['step']", saved["step"], 0)
        changes = self._check_groups(saved["groups"], mine["groups"])
        _check_state(saved["state"], mine["state"])
        with self._lock:
            self._load(mine["state"], saved["state"], changes, step)

    def _load(
        self,
        mine: Mapping[str, Mapping[str, Array]],
        saved: Mapping[str, Mapping[str, Array]],
        changes: Sequence[tuple[dict[str, Any], dict[str, float]]],
        step: int,
    ) -> None:
        for group, (hyper, scalars) in zip(self.param_groups, changes, strict=True):
            group.adopt(hyper)
            group.scalars.update(scalars)
        for name, arrays in mine.items():
            for key, array in arrays.items():
                array[...] = saved[name][key]
        self._t = step

    def _check_groups(
        self, saved: Any, mine: Sequence[Mapping[str, Any]]
    ) -> list[tuple[dict[str, Any], dict[str, float]]]:
        """The hyperparameters and scalars to load into each group; raises if they do not belong to it."""
        if not isinstance(saved, (list, tuple)):
            raise TypeError(f"state['groups'] must be a list, got {type(saved).__name__}")
        if len(saved) != len(mine):
            raise ValueError(f"state['groups'] must have {len(mine)} groups, got {len(saved)}")
        changes = []
        for k, (theirs, ours, group) in enumerate(zip(saved, mine, self.param_groups, strict=True)):
            label = f"state['groups'][{k}]"
            if not isinstance(theirs, Mapping):
                raise TypeError(f"{label} must be a mapping, got {type(theirs).__name__}")
            if theirs.get("params") != ours["params"]:
                raise ValueError(f"{label}['params'] must be {ours['params']}, got {theirs.get('params')}")
            for key in ours:
                if key not in theirs:
                    raise ValueError(
                        f"{label} must have {key!r}; if that followed a schedule, make the optimizer with it"
                    )
            given = {key: value for key, value in theirs.items() if key not in ("params", *group.scalars)}
            checked = self._checked(given)
            scalars = {}
            for key in group.scalars:
                if not isinstance(theirs[key], float):
                    raise TypeError(f"{label}[{key!r}] must be a float, got {theirs[key]!r}")
                if not 0.0 <= theirs[key] <= 1.0:
                    raise ValueError(f"{label}[{key!r}] must be in [0, 1], got {theirs[key]!r}")
                scalars[key] = theirs[key]
            changes.append((group.with_changes({key: checked[key] for key in checked if key in ours}), scalars))
        return changes

    def __getstate__(self) -> dict[str, Any]:
        self._refuse_if_busy("a copy")
        return {key: value for key, value in vars(self).items() if key not in ("_lock", "_sweeps")}

    def __setstate__(self, saved: dict[str, Any]) -> None:
        self.__dict__.update(saved)
        self.param_groups = [group.twin() for group in self.param_groups]
        copied = self._states
        self._states = [self._allocate(group) for group in self.param_groups]
        for mine, theirs in zip(self._states, copied, strict=True):
            for key, arrays in mine.items():
                for array, value in zip(arrays, theirs[key], strict=True):
                    array[...] = value
        self._prepare()


def _check_state(saved: Any, mine: Mapping[str, Mapping[str, Array]]) -> None:
    """Raise unless saved state arrays are those of this model."""
    if not isinstance(saved, Mapping):
        raise TypeError(f"state['state'] must be a mapping, got {type(saved).__name__}")
    if set(saved) != set(mine):
        raise ValueError(f"state['state'] must be for {', '.join(map(repr, mine))}, got {', '.join(map(repr, saved))}")
    for name, arrays in mine.items():
        if not isinstance(saved[name], Mapping) or set(saved[name]) != set(arrays):
            got = sorted(saved[name]) if isinstance(saved[name], Mapping) else type(saved[name]).__name__
            raise ValueError(f"state['state'][{name!r}] must hold {sorted(arrays)}, got {got}")
        for key, array in arrays.items():
            label = f"state['state'][{name!r}][{key!r}]"
            value = saved[name][key]
            if not isinstance(value, np.ndarray):
                raise TypeError(f"{label} must be a NumPy array, got {type(value).__name__}")
            if value.dtype != array.dtype:
                raise TypeError(f"{label} must be {array.dtype}, got {value.dtype}")
            if value.shape != array.shape:
                raise ValueError(f"{label} must have shape {array.shape}, got {value.shape}")
