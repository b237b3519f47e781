"""What all optimizers share: checking, counting steps, resolving rates, the step, saving and loading.

The step t = 1, 2, … and the step that a schedule is asked for, t - 1, meet in :meth:`Optimizer.step` and nowhere
else.
"""

from __future__ import annotations

import math
from _thread import allocate_lock
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

from lrcore import checks, hyperparameters, kernels, norms, reference, spans, state, structure
from lrcore.arrays import Array, assign, assignment
from lrcore.groups import Counts, Now, ParameterGroup, Roster, Values, decay
from lrcore.kernels import GUARD_REFUSES, any_none
from lrcore.options import Bound, OnNonfinite, Option, StepReport, declares, make, no_attribute, what_nonfinite_does
from lrcore.registry import register as register
from lrcore.registry import registered as registered
from lrcore.state import Allocator, Clocks, Initial, Shape
from lrcore.stateful import Stateful
from lrcore.structure import Gradients, Parameters, Params, Structure
from lrcore.sums import Cautious, Summing

_ONE = 1.0  # the default loss scale, known by identity: it needs no check

_REFUSED = "a gradient was refused that satisfies every rule"


class Optimizer(Summing, Stateful):
    """What all optimizers share: checking, counting steps, resolving rates, saving and loading.

    Parameters
    ----------
    params : array, sequence of arrays, mapping of str to array, ParameterBuffer, or list of groups
        float32 or float64, writable, C-contiguous; changed in place by each step, never copied. A group is a
        mapping with the key ``"params"`` and, besides, any hyperparameters that differ from those of the
        optimizer: ``[{"params": weights, "weight_decay": 0.01}, {"params": biases, "lr": 1e-2}]``.
    like : {"torch", "keras", "keras2", "optax"}
        Whose formula and defaults, see the table of each class; by default its first row.
    maximize : bool
        Ascend: the negated gradient is stepped, as torch's ``maximize``. A group may differ.
    ema : float in [0, 1) or "mean", optional
        Keep moving averages of the parameters, updated in the same sweep:
        ``average = ema * average + (1 - ema) * theta`` after each step, and at first the parameters themselves
        after step 1 (as torch's ``AveragedModel`` and Keras). ``"mean"``: ``average += (theta - average) / t`` at the
        t-th step, the mean of the parameters after each step (Izmailov et al. 2018, algorithm 1; what ``AveragedModel``
        does by default). See :attr:`averages` and :meth:`averaged`.
    ema_warmup : bool
        At step t use ``min(ema, (1 + t) / (10 + t))`` and begin with the parameters before step 1, as
        TensorFlow's ``ExponentialMovingAverage`` with ``num_updates=t``. t counts the steps of each parameter.
    lookahead : pair (k, alpha) of an integer >= 1 and a float in [0, 1], optional
        After every k-th step of a parameter ``slow += alpha * (theta - slow)`` and ``theta = slow``; slow begins as the
        parameter before its first step (Zhang et al. 2019, algorithm 1; optax's ``lookahead``. timm's begins as the
        parameter after k steps, so that the first k-th step changes nothing). Averages are of what ``theta`` is then.
        In ``state_dict``, this and the next two have the names of their options.
    grokfast : pair (alpha, lamb) of floats in [0, 1) and >= 0, optional
        ``e = alpha * e + (1 - alpha) * g``, beginning as the first gradient, and ``g + lamb * e`` in place of g
        (Lee et al. 2024, algorithm 1), after clipping and before ``mars`` and the L2 penalty.
    mars : float >= 0, optional
        gamma of Yuan et al. 2024, algorithm 2: ``c = g + gamma * beta1 / (1 - beta1) * (g - g of the step before)``,
        at the first step g, in place of g, divided by its norm where that is above 1, for each parameter by itself
        (as timm's ``Mars``). After ``grokfast`` and before the L2 penalty; for optimizers with ``betas``. A
        ParameterBuffer is then swept by name.
    clip_norm : float > 0, optional
        Multiply the gradients so that their Euclidean norm, over all parameters, is at most this: by
        ``min(1, clip_norm / (norm + 1e-6))`` with torch, by exactly ``clip_norm / norm`` otherwise, where the
        norm is larger.
    clipnorm : float > 0, optional
        The same for the gradient of each parameter by itself: multiply by ``clipnorm / norm`` where its own norm is
        larger, as Keras's ``clipnorm``. A ParameterBuffer is then swept by name. Not together with ``clip_norm``.
    clip_value : float > 0, optional
        Clip each element of the gradients to ± this, after ``clip_norm``.
    cautious : bool
        Leave elements where they are that would move with their gradient and not against it, and move the others of
        the array further, by one over their share (at most 1000): Liang et al. 2024, algorithm 1, as timm's
        ``caution``. Decay and state are as without. Of the rules that a class has in ``maskable``; others raise.
    on_nonfinite : {"propagate", "skip", "raise"}
        What to do where a gradient has a NaN or an infinity: step all the same; change nothing, neither t nor
        schedules nor state, and report ``applied=False``; or raise FloatingPointError.
    allocator : callable ``(count, size, dtype) -> sequence of arrays``, optional
        Gives the memory of the state: ``count`` arrays of shape ``(size,)``. Called once for each dtype.

    Raises
    ------
    TypeError, ValueError
        With name, rule and value, before anything has changed.
    """

    defaults: ClassVar[Mapping[str, Mapping[str, Any]]]
    """For each library, the hyperparameters it has and their defaults; the first is the default convention."""

    rules: ClassVar[Mapping[str, Mapping[str, Any]]]
    """Each rule that the class can have, and hyperparameters that lead to it."""

    decoupled: ClassVar[tuple[str, ...]] = ("keras",)
    """The libraries in which this optimizer's weight decay bypasses the gradient."""

    _decay = classmethod(decay)  # the L2 penalty, and what decoupled decay leaves, by h, rate and library

    ranges: ClassVar[Mapping[str, hyperparameters.Interval]] = {}
    """Valid ranges of hyperparameters where :data:`lrcore.hyperparameters.RANGES` has none, or another."""

    numbers: ClassVar[Mapping[str, str]] = {}
    """What is remembered of each parameter besides arrays: the range of each number, see :meth:`_initial_numbers`."""

    clip_norm = Bound(excludes="clipnorm")
    clipnorm = Bound(excludes="clip_norm")
    clip_value = Bound()
    cautious = Cautious()
    on_nonfinite = Option(what_nonfinite_does)
    """As given. They may be assigned, and hold from the next step."""

    _by_array: bool
    """Whether each array is a tensor of its own to the sweep, also in a ParameterBuffer."""
    _wants_norm: bool
    _clip_norm: float | None = None
    _clipnorm: float | None = None
    _clip_value: float | None = None
    _cautious: bool = False
    _on_nonfinite: OnNonfinite = "propagate"

    shapes: ClassVar[Mapping[str, Callable[[Shape], Shape | None]]] = {}
    """State that the rule does not see, by name: its shape, of that of the parameter; None where it has none."""

    corrects: ClassVar[bool] = False
    """Whether the optimizer corrects its gradients as ``mars`` does, see :meth:`_gamma`."""

    def __init_subclass__(cls) -> None:
        for kind in ("rules", "looks", "maskable"):
            for rule in vars(cls).get(kind, ()):
                if rule not in reference.RULES:
                    raise TypeError(f"{kind} of {cls.__name__} must be of lrcore.reference, got {rule!r}")

    def __init__(
        self,
        params: Params,
        given: Mapping[str, Any],
        like: str | None = None,
        maximize: bool | None = None,
        ema: spans.Ema = None,
        ema_warmup: bool = False,
        lookahead: tuple[int, float] | None = None,
        grokfast: tuple[float, float] | None = None,
        mars: float | None = None,
        clip_norm: float | None = None,
        clipnorm: float | None = None,
        clip_value: float | None = None,
        cautious: bool = False,
        on_nonfinite: OnNonfinite = "propagate",
        allocator: Allocator | None = None,
    ) -> None:
        like = next(iter(self.defaults)) if like is None else like
        if not isinstance(like, str) or like not in self.defaults:
            libraries = ", ".join(map(repr, self.defaults))
            raise ValueError(f"like must be one of {libraries} for {type(self).__name__}, got {checks.shown(like)}")
        self._like = like
        self._allocator = allocator if allocator is None else checks.function("allocator", allocator)
        given = {key: value for key, value in {**given, "maximize": maximize}.items() if value is not None}
        self._shared = {**self._known(), **self._checked(given)}
        options = ema, ema_warmup, lookahead, grokfast, mars
        filters = self.filters and not self.looks
        self._spans = spans.checked(type(self).__name__, self._known(), *options, self.corrects, filters)
        self._plain = not (self._spans.average or self._spans.around)
        self.clip_norm, self.clipnorm, self.clip_value = clip_norm, clipnorm, clip_value
        self.cautious, self.on_nonfinite = cautious, on_nonfinite
        self._groups = [self._new_group(*entry) for entry in structure.split_groups(params)]
        clocks = [self._first_clocks() for _ in self._groups]
        self._begin(Now.of(self._groups, structure.is_groups(params), {}, 0, clocks))

    def _known(self) -> Mapping[str, Any]:
        return {**self.defaults[self._like], "maximize": False}

    def _checked(self, given: Mapping[str, Any]) -> dict[str, Any]:
        known = self._known()
        for key in given:
            if key not in known:
                raise ValueError(
                    f"{checks.shown(key)[1:-1]} must not be given with like={self._like!r}: {type(self).__name__} has "
                    f"{', '.join(self.defaults[self._like])} there"
                )
        return {key: hyperparameters.check(key, value, self.range_of(key)) for key, value in given.items()}

    @classmethod
    def range_of(cls, name: str) -> hyperparameters.Interval:
        """The valid range of a hyperparameter."""
        return hyperparameters.range_of(name, cls.ranges, cls.defaults.values())

    # What a subclass says.

    @staticmethod
    def _rule(h: Values) -> str:
        """Name of the rule for these hyperparameters, in :mod:`lrcore.reference` and ``src/rules``."""
        raise NotImplementedError

    def _coefficients(self, rule: str, h: Values, lr: float, t: int, numbers: Mapping[str, float]) -> tuple[float, ...]:
        """The coefficients of a rule at the t-th step of parameters that follow ``keep``, in double precision.

        ``numbers`` are those remembered, as they were before the step, and the sums of this step, see ``sums``.
        """
        raise NotImplementedError

    @staticmethod
    def _check_together(h: Values, like: str) -> None:
        """Raise if hyperparameters, each in its range, do not go together."""

    @staticmethod
    def _initial(h: Values) -> Mapping[str, Initial]:
        """What state arrays begin with that do not begin at zero."""
        return {}

    @staticmethod
    def _initial_numbers(like: str) -> Mapping[str, float]:
        """The numbers that are remembered of each parameter, at first: some or all of ``numbers``."""
        return {}

    def _advance(self, h: Values, t: int, numbers: Mapping[str, float]) -> Mapping[str, float]:
        """The numbers that are remembered after the t-th step, given those of :meth:`_coefficients`."""
        return {key: numbers[key] for key in self._initial_numbers(self._like)}

    # Groups, state and sweeps.

    def _new_group(self, parameters: Parameters, own: Mapping[str, Any]) -> ParameterGroup:
        """A group of these parameters, with new state."""
        hyper = {**self._shared, **self._checked(own)}
        missing = [key for key, value in hyper.items() if value is None]
        if missing:
            raise TypeError(f"{missing[0]} must be given: {self._like} has no default for it in {type(self).__name__}")
        group = ParameterGroup(parameters, hyper, type(self), self._like)
        self._allocate(group)
        return group

    def _allocate(self, group: ParameterGroup) -> None:
        """Give a group its state, new."""
        initial = self._initial(group)
        begin: dict[str, Initial] = {
            name: initial.get(name, 0.0) for rule in (group.rule, *self.looks) for name in reference.state_names(rule)
        }
        begin |= self._spans.average | self._spans.around
        with kernels.guard(allocate_lock()):  # numbers are rounded to the dtypes of the parameters
            states = state.allocate(group.parameters.tensors(by_name=False), begin, self._allocator)
            apart = state.allocate_apart(group.parameters.tensors(by_name=True), self._shapes(group), initial)
        group.remember(states, apart)

    def _shapes(self, h: Values) -> Mapping[str, Callable[[Shape], Shape | None]]:
        """As ``shapes``, where hyperparameters decide them too."""
        return self.shapes

    def _first_clocks(self) -> Clocks:
        return ((0, dict(self._initial_numbers(self._like))),)

    def _ranges_of_numbers(self) -> Mapping[str, str]:
        return {name: self.numbers[name] for name in self._initial_numbers(self._like)}

    def _refresh(self) -> None:
        for name in self._spans.followers:
            self._followed(name)

    def _begin(self, now: Now) -> None:
        super()._begin(now)
        self._build = kernels.selected
        self._sweep(now.roster, self._by_array)

    def _options_changed(self) -> None:
        """What follows from options that may be assigned."""
        self._by_array = (
            self._clipnorm is not None or bool(self.sums or self.looks) or self._cautious or self._spans.corrects
        )
        self._wants_norm = self._clip_norm is not None or self._on_nonfinite != "propagate"

    def _sweep(self, roster: Roster, by_name: bool) -> kernels.Sweep:
        """The sweep over these groups, made if need be."""
        if by_name not in roster.sweeps:
            around = {
                name: [array for group in roster.groups for array in group.swept(name, by_name)]
                for name in self._spans.around
            }
            groups = [group.tensors(by_name) for group in roster.groups]
            sweep = kernels.sweep(groups, self._build, around)
            self._direct(sweep, roster)
            roster.sweeps[by_name] = sweep
        return roster.sweeps[by_name]

    def _direct(self, sweep: kernels.Sweep, roster: Roster) -> None:
        """Complete a sweep that was made, before it is in use."""

    # The step.

    def step(self, grads: Gradients = None, grad_scale: float = _ONE, zero_grad: bool = False) -> StepReport:
        """Change every parameter by one step.

        Parameters
        ----------
        grads : same structure as ``params``
            Gradients of the shapes and dtypes of their parameters, C-contiguous; only read. None takes
            ``params.grads`` where ``params`` is a ParameterBuffer. With groups, a list of one entry per group.
            None in place of one gradient lets its parameter rest: it, its state, its decay, its average and the
            count of its own steps stay as they are, and it has no part in norms; None in place of those of a group
            that is no ParameterBuffer, all of that group's.
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
        if not GUARD_REFUSES:
            self._refuse_if_busy("step")
        with self._guard:
            return self._step(grads, grad_scale, zero_grad)

    def _step(self, grads: Structure, grad_scale: float, zero_grad: bool) -> StepReport:
        # Apart from the with statement: CPython 3.13 does not unwind one if interrupted at the end of a loop in it.
        counts, (roster,) = self._cell
        groups, parameters, grouped, _, sweeps = roster
        if self._groups != groups:  # of the same objects in the same order: groups are equal to themselves alone
            groups, parameters, grouped, _, sweeps = roster = self._current().roster
        step, every, uneven = counts[0]
        by_array = self._by_array
        by_name = by_array or uneven
        if grouped:
            gathered, by_name = structure.gather(parameters, grads, by_name)
        else:
            alone = parameters[0]
            by_name = by_name or (alone.is_buffer and alone.come_by_name(grads))
            gathered = alone.gather(grads, by_name)
        factor = 1.0
        if grad_scale is not _ONE:
            factor = 1.0 / hyperparameters.number("grad_scale", grad_scale)
        if zero_grad is not False:
            zero_grad = checks.flag("zero_grad", zero_grad)
        sweep = sweeps.get(by_name)
        if sweep is None or self._build == "reference":
            structure.explain(parameters, gathered, by_name, zero_grad)
            sweep = self._sweep(roster, by_name)
        norm = None
        if self._wants_norm:
            norm, finite = norms.norm(self._summed(sweep.total(gathered), gathered, by_name), gathered, factor)
            if not finite and self._on_nonfinite != "propagate":
                self._refuse(gathered, by_name, zero_grad)
                return StepReport(step, self.next_rate, False, norm)
            if self._clip_norm is not None:
                factor *= norms.clip_factor(norm, self._clip_norm, self._like)
        moving: Sequence[tuple[ParameterGroup, Clocks]] = every
        which = None
        if by_array or uneven or (any_none(gathered) if len(gathered) > 1 else gathered[0] is None):
            now = Now(step, every, uneven, roster)
            moving, which = now.moving(gathered, by_name, apart=by_array)
        formed, masks, filters, rate = None, None, None, None
        if by_array:
            arrays = self._form(sweep, gathered, now, moving, which or (), factor)
            if self._spans.filters:
                arrays, filters = self._filtered(sweep, gathered, arrays, now, moving)
            formed, masks = iter(arrays), [array.mask for array in arrays] if self._cautious else None
        terms, moved = [], []
        for group, ((t, numbers),) in moving:
            t += 1
            if formed is None:
                h, lr, l2, keep, sign = group.cell[0][0] or group.at(step, t)
                scale, known = sign * factor, numbers
            else:
                h, lr, l2, keep, scale, known, _ = next(formed)
            rest = self._coefficients(group.rule, h, lr, t, known)
            if self._plain:
                terms.append((scale, l2, 1.0, 0.0, False, keep) + rest)  # noqa: RUF005  # twice as quick as unpacking
            else:
                tail = self._spans.tail(t, None if filters is None else next(filters))
                terms.append((scale, l2, *self._spans.head(t), keep, *rest, *tail))
            moved.append((group, ((t, self._advance(h, t, known) if numbers else numbers),)))
            if rate is None:
                rate = lr
        if which is None:
            after: Counts = (step + 1, tuple(moved), False)
        else:
            after = now.after(moved, which, by_name, self.together)
            rate = groups[0].at(step)[1]
        # Stepped and counted in one call, since an interrupt may arrive between any two lines.
        if not sweep.step(gathered, terms, which, self._clip_value or math.inf, zero_grad, counts, after, masks):
            structure.explain(parameters, gathered, by_name, zero_grad)
            raise RuntimeError(_REFUSED)
        return make(StepReport, (step + 1, rate, True, norm))

    def _summed(self, sums: Any, grads: Sequence[Array | None], by_name: bool) -> Any:
        """Sums of a sweep; raises the reason where it has refused to form them."""
        if sums is None:
            structure.explain(self._now().roster.parameters, grads, by_name, writable=False)
            raise RuntimeError(_REFUSED)
        return sums

    def _refuse(self, grads: Sequence[Array | None], by_name: bool, zero_grad: bool) -> None:
        """Raise if gradients that are not finite are to raise; else leave them zeroed if asked to."""
        labelled = structure.explain(self._now().roster.parameters, grads, by_name, zero_grad)
        if self._on_nonfinite == "raise":
            norms.raise_nonfinite(labelled)
        if zero_grad:
            assign([g for _, g in labelled], [0.0] * len(labelled))

    # What callers see.

    def __setattr__(self, name: str, value: Any) -> None:
        known = (hasattr(type(self), name) or declares(type(self), name)) and not declares(Optimizer, name)
        if not known and not name.startswith("_"):
            raise AttributeError(no_attribute(type(self).__name__, name, self._known()))
        super().__setattr__(name, value)

    def _averages(self) -> list[tuple[Array, Array]]:
        """Parameters and their averages, array by array; raises if none are kept."""
        return self._followed("average") if self._spans.average else self._own_averages()

    def _followed(self, name: str) -> list[tuple[Array, Array]]:
        """Parameters and state that is the parameter, as it is now, before its first step."""
        pairs, new = [], []
        for group, clocks in self._current().every:
            by_name = len(clocks) > 1
            thetas, followers = group.parameters.tensors(by_name), group.swept(name, by_name)
            for k, (theta, follower) in enumerate(zip(thetas, followers, strict=True)):
                pairs.append((theta, follower))
                if clocks[k if by_name else 0][0] == 0:
                    new.append((follower, theta))
        assign([follower for follower, _ in new], [theta for _, theta in new])
        return pairs

    @property
    def averages(self) -> Structure:
        """The averages, moving ones or the optimizer's own, as ``params``, read-only; a ParameterBuffer's by name."""
        own = iter(self._averages())
        roster, views = self._now().roster, list[Structure]()
        for group in roster.groups:
            kept = group.states.get("average")
            arrays = group.parameters.split(kept) if kept else {name: next(own)[1] for name in group.parameters.names}
            named = {name: array.view() for name, array in arrays.items()}
            for view in named.values():
                view.flags.writeable = False
            views.append(group.parameters.like_structure(named))
        return views if roster.grouped else views[0]

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
        self._refuse_if_busy("averaged")
        with self._lock:
            restore = assignment((), ())
            try:
                pairs = self._averages()
                for parameters in self._now().roster.parameters:
                    parameters.check_same()
                    for leaf in parameters.leaves:
                        leaf.check_parameter(parameters.label(leaf))
                arrays = [theta for theta, _ in pairs]
                restore = assignment(arrays, [theta.copy() for theta in arrays])
                assign(arrays, [average for _, average in pairs])
                yield self.params
            finally:
                restore()  # one call: an interrupt, even on the way here, cannot come before it
