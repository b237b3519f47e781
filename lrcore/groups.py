"""Parameter groups: the hyperparameters of some of the parameters, at any step, and what is remembered of them."""

from __future__ import annotations

from _thread import allocate_lock
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from lrcore import checks, hyperparameters, kernels, reference, state
from lrcore.arrays import Array
from lrcore.kernels import Sweep
from lrcore.reference import AROUND
from lrcore.state import Clocks
from lrcore.structure import Parameters

Values = Mapping[str, Any]  # of the hyperparameters at one step

Settled = tuple[Values, float, float, float, float]
"""Values at one step, and from them: the learning rate, the L2 penalty, what decoupled decay leaves of a parameter, and
the sign of the gradient, -1 where it is ascended."""


class Kind(Protocol):
    """What a group asks of the class of its optimizer."""

    decoupled: tuple[str, ...]

    def range_of(self, name: str) -> hyperparameters.Interval: ...
    def _rule(self, h: Values, /) -> str: ...
    def _check_together(self, h: Values, like: str, /) -> None: ...
    def _decay(self, h: Values, lr: float, like: str, /) -> tuple[float, float]: ...


def decay(kind: Any, h: Values, lr: float, like: str, /) -> tuple[float, float]:
    """The L2 penalty, and what decoupled weight decay leaves of a parameter."""
    weight_decay = h.get("weight_decay", 0.0)
    if like in kind.decoupled or h.get("decoupled_weight_decay"):
        return 0.0, 1.0 - lr * weight_decay
    return weight_decay, 1.0


class Hyper(NamedTuple):
    """The hyperparameters of a group as they are, and what follows from them: replaced whole, never in part."""

    settled: Settled | None
    """What :meth:`ParameterGroup.at` gives, where it is the same at every step; first, where a step looks for it."""
    values: dict[str, Any]
    scheduled: tuple[str, ...]
    inverse_time: str | None
    """Which of them is an inverse-time decay of the rate, as torch's Adagrad and Keras 1 and 2 have it built in."""


class ParameterGroup(MutableMapping[str, Any]):
    """The hyperparameters of some of the parameters. ``group["lr"] = 0.1`` is checked and holds from the next step."""

    __slots__ = ("_kind", "_like", "apart", "cell", "parameters", "rule", "states")

    parameters: Parameters
    rule: str
    cell: list[Hyper]
    """What holds now, its only entry, so that it can be assigned with other things as one."""
    states: dict[str, list[Array]]
    """State arrays of the rule, and the averages, by name; one per array that is swept, a buffer being one."""
    apart: dict[str, list[Array | None]]
    """State arrays that the rule does not see and that may have shapes of their own, by name; one per parameter, None
    where it has none of this name."""

    def __init__(self, parameters: Parameters, hyper: dict[str, Any], kind: Kind, like: str) -> None:
        kind._check_together(hyper, like)
        self.parameters = parameters
        self.rule = kind._rule(hyper)
        self.states = {}
        self.apart = {}
        self._kind = kind
        self._like = like
        self.cell = [self.settle(hyper)]

    def settle(self, values: dict[str, Any]) -> Hyper:
        """These hyperparameters, ready for steps."""
        scheduled = tuple(name for name, value in values.items() if hyperparameters.is_scheduled(value))
        inverse_time = next((name for name in ("lr_decay", "decay") if name in values), None)
        varies = scheduled or (inverse_time and values[inverse_time])
        hyper = Hyper(None, values, scheduled, inverse_time)
        if varies:
            return hyper
        with kernels.guard(allocate_lock()):
            return hyper._replace(settled=self._at(hyper, 0, 1))

    def at(self, step: int, t: int | None = None) -> Settled:
        """The hyperparameters at a step, counted from 0, and what every rule makes of them.

        ``t`` = 1, 2, … is the step that the parameters take, by default ``step + 1``, as of those that have never
        rested: torch's ``lr_decay`` goes by it, all else by ``step``.
        """
        hyper = self.cell[0]
        return hyper.settled or self._at(hyper, step, step + 1 if t is None else t)

    def _at(self, hyper: Hyper, step: int, t: int) -> Settled:
        h: Values = hyper.values
        if hyper.scheduled:
            h = hyper.values | {
                name: hyperparameters.at(name, h[name], step, self._kind.range_of(name)) for name in hyper.scheduled
            }
        lr = h["lr"]
        if hyper.inverse_time is not None and h[hyper.inverse_time]:
            lr /= 1.0 + (step if hyper.inverse_time == "decay" else t - 1) * h[hyper.inverse_time]
        sign = -1.0 if h["maximize"] else 1.0
        l2, keep = self._kind._decay(h, lr, self._like)
        return h, lr, l2, keep, sign

    def __getitem__(self, name: str) -> Any:
        return self.parameters.structure if name == "params" else self.cell[0].values[name]

    def __setitem__(self, name: str, value: Any) -> None:
        if name == "params":
            raise ValueError("params of a group must stay those it was made with")
        if name not in self.cell[0].values:
            raise KeyError(
                f"no hyperparameter {checks.shown(name)}; this optimizer has {', '.join(self.cell[0].values)}"
            )
        if name in hyperparameters.FIXED:
            raise ValueError(f"{name} must be given when the optimizer is made, where it is used")
        self.cell[0] = self.with_changes({name: self.checked(name, value)})

    def checked(self, name: str, value: Any) -> Any:
        """A value as it is kept, if it may be one of this hyperparameter."""
        return hyperparameters.check(name, value, self._kind.range_of(name))

    def with_changes(self, changes: dict[str, Any]) -> Hyper:
        """All hyperparameters, some of them changed; raises if they do not go together, or with the state."""
        before = self.cell[0].values
        changed = before | changes
        self._kind._check_together(changed, self._like)
        if self._kind._rule(changed) != self.rule:
            differ = [name for name, value in changes.items() if value != before[name]]
            raise ValueError(
                f"{' and '.join(differ)} must not change what the optimizer remembers once it is made: "
                f"{', '.join(f'{before[name]!r} to {changes[name]!r}' for name in differ)} would"
            )
        return self.settle(changed)

    def tensors(self, by_name: bool) -> tuple[str, list[tuple[Array, list[Array], Array | None]], list[str]]:
        """What a sweep takes of this group: its rule; parameter, states and average of each tensor; and the names of
        states that only looks see."""
        rows = [self.swept(name, by_name) for name in self.states if name not in ("average", *AROUND)]
        averages = self.swept("average", by_name) if "average" in self.states else None
        tensors = [
            (theta, [arrays[k] for arrays in rows], averages[k] if averages else None)
            for k, theta in enumerate(self.parameters.tensors(by_name))
        ]
        known = (*reference.state_names(self.rule), "average", *AROUND)
        return self.rule, tensors, [name for name in self.states if name not in known]

    def swept(self, name: str, by_name: bool) -> list[Array]:
        """The state arrays of a name, as they are swept."""
        return list(self.parameters.split(self.states[name]).values()) if by_name else self.states[name]

    def arrays(self) -> dict[str, dict[str, Array]]:
        """All that is remembered in arrays, by parameter and name."""
        named: dict[str, dict[str, Array]] = {name: {} for name in self.parameters.names}
        for key, arrays in self.states.items():
            for name, array in self.parameters.split(arrays).items():
                named[name][key] = array
        for key, apart in self.apart.items():
            for name, own in zip(self.parameters.names, apart, strict=True):
                if own is not None:
                    named[name][key] = own
        return named

    def averages(
        self, clocks: Clocks, form: Callable[[Array, Mapping[str, Array], Mapping[str, float]], Array]
    ) -> list[tuple[Array, Array]]:
        """Each parameter with what is formed of it, its state and its numbers; before its first step, with itself."""
        thetas = self.parameters.tensors(by_name=True)
        each = zip(thetas, self.arrays().values(), clocks if len(clocks) > 1 else clocks * len(thetas), strict=True)
        with kernels.guard(allocate_lock()), np.errstate(all="ignore"):
            return [(theta, form(theta, state, known) if t else theta.copy()) for theta, state, (t, known) in each]

    def twin(self) -> ParameterGroup:
        """A group of the same parameters that changes by itself. Its state is still that of this one."""
        other = ParameterGroup.__new__(ParameterGroup)
        for name in self.__slots__:
            setattr(other, name, list(self.cell) if name == "cell" else getattr(self, name))
        return other

    def remember(self, states: dict[str, list[Array]], apart: dict[str, list[Array | None]]) -> None:
        """Have these state arrays."""
        super().__setattr__("states", states)
        super().__setattr__("apart", apart)

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in self.__slots__:
            raise AttributeError(f'a parameter group has no attribute {name!r}; set group["{name}"]')
        if hasattr(self, name):
            raise AttributeError(f"{name} of a parameter group must stay as it was made; set group[…]")
        super().__setattr__(name, value)

    def __delitem__(self, name: str) -> None:
        raise TypeError("a parameter group keeps its hyperparameters")

    def __iter__(self) -> Iterator[str]:
        return iter(("params", *self.cell[0].values))

    def __len__(self) -> int:
        return 1 + len(self.cell[0].values)

    def __eq__(self, other: object) -> bool:
        return self is other

    __hash__ = object.__hash__

    def __repr__(self) -> str:
        return f"ParameterGroup({', '.join(f'{k}={v!r}' for k, v in self.cell[0].values.items())})"


class Roster(NamedTuple):
    """The groups that a step changes, and whether gradients come group by group."""

    groups: list[ParameterGroup]
    parameters: tuple[Parameters, ...]
    grouped: bool
    left: Mapping[ParameterGroup, Clocks]
    """Groups that were taken out, which go on where they were if they are put in again."""
    sweeps: dict[bool, Sweep]
    """Over these groups, by whether buffers are swept by name; each is made when it is first asked for."""


Every = tuple[tuple[ParameterGroup, Clocks], ...]

Counts = tuple[int, Every, bool]
"""Steps taken, every group with its clocks, whether parameters of one group differ in them; replaced whole."""


class Now(NamedTuple):
    """Where an optimizer stands: its counts and its groups."""

    step: int
    every: Every
    uneven: bool
    roster: Roster

    @classmethod
    def of(
        cls, groups: Sequence[ParameterGroup], grouped: bool, left: Mapping[ParameterGroup, Clocks], step: int,
        clocks: Iterable[Clocks],
    ) -> Now:  # fmt: skip
        """These groups at this step."""
        roster = Roster(list(groups), tuple(group.parameters for group in groups), grouped, left, {})
        return cls(*_counts(step, zip(groups, clocks, strict=True)), roster)

    @property
    def counts(self) -> Counts:
        """What a step changes."""
        return self[:3]

    def without_sweeps(self) -> Now:
        """The same, with sweeps still to be made."""
        return self._replace(roster=self.roster._replace(sweeps={}))

    def remembered(self) -> dict[ParameterGroup, Clocks]:
        """The clocks of every group that was ever in."""
        return {**self.roster.left, **dict(self.every)}

    def moving(
        self, grads: Sequence[Array | None], by_name: bool, apart: bool
    ) -> tuple[list[tuple[ParameterGroup, Clocks]], list[int]]:
        """Whom a step with these gradients moves, and for each tensor which of them it is, -1 if it rests.

        Tensors of a group whose clocks agree are one, unless each is to be ``apart``.
        """
        moving: list[tuple[ParameterGroup, Clocks]] = []
        which: list[int] = []
        for group, clocks in self.every:
            known: dict[int, int] = {}
            for k in range(len(group.parameters.tensors(by_name))):
                if grads[len(which)] is None:
                    which.append(-1)
                    continue
                clock = clocks[k if len(clocks) > 1 else 0]
                if apart or id(clock) not in known:
                    known[id(clock)] = len(moving)
                    moving.append((group, (clock,)))
                which.append(known[id(clock)])
        return moving, which

    def latest(self) -> Mapping[str, float]:
        """What is remembered of all together: the numbers of who has taken most steps, since others may be new."""
        return max((clock for _, clocks in self.every for clock in clocks), key=lambda clock: clock[0])[1]

    def after(
        self, moved: Sequence[tuple[ParameterGroup, Clocks]], which: Sequence[int], by_name: bool, together: bool
    ) -> Counts:
        """Where it stands after a step that has brought those who moved to these clocks, see :meth:`moving`.

        The numbers of what is ``together`` are those of who rests, too.
        """
        every: list[tuple[ParameterGroup, Clocks]] = []
        start = 0
        for group, before in self.every:
            mine = which[start : start + len(group.parameters.tensors(by_name))]
            each = [moved[n][1][0] if n >= 0 else before[k if len(before) > 1 else 0] for k, n in enumerate(mine)]
            if together and moved:
                each = [(t, moved[0][1][0][1]) for t, _ in each]
            every.append((group, state.together(each) if each else before))
            start += len(mine)
        return _counts(self.step + 1, every)

    def save(self) -> dict[str, Any]:
        """All of it but schedules, in plain numbers and the arrays themselves."""
        groups = []
        arrays: dict[str, dict[str, Array]] = {}
        for group, clocks in self.every:
            numbers = {
                key: value
                for key, value in group.items()
                if key != "params" and not hyperparameters.is_scheduled(value)
            }
            groups.append({"params": list(group.parameters.names), **numbers, **state.save_clocks(clocks, self.step)})
            arrays.update(group.arrays())
        return {"step": self.step, "groups": groups, "state": arrays}

    def read(
        self, saved: Mapping[str, Any], ranges: Mapping[str, str]
    ) -> tuple[list[Array], list[Array], Counts, list[tuple[Any, Any, Any]]]:
        """What to assign so that it stands where ``saved`` says; raises if that belongs to another model.

        ``ranges`` are those of the numbers that are remembered of each parameter.
        """
        mine = self.save()
        step = checks.whole("state['step']", saved["step"], 0)
        theirs = saved["groups"]
        if not isinstance(theirs, (list, tuple)):
            raise TypeError(f"state['groups'] must be a list, got {type(theirs).__name__}")
        if len(theirs) != len(mine["groups"]):
            raise ValueError(f"state['groups'] must have {len(mine['groups'])} groups, got {len(theirs)}")
        clocks = []
        items: list[tuple[Any, Any, Any]] = []
        for k, (given, ours, group) in enumerate(zip(theirs, mine["groups"], self.roster.groups, strict=True)):
            hyper, read = _read_group(f"state['groups'][{k}]", given, ours, group, ranges, step)
            items.append((group.cell, 0, hyper))
            clocks.append(read)
        state.check_arrays(saved["state"], mine["state"])
        arrays = [array for states in mine["state"].values() for array in states.values()]
        values = [saved["state"][name][key] for name, states in mine["state"].items() for key in states]
        return arrays, values, _counts(step, zip(self.roster.groups, clocks, strict=True)), items


def _counts(step: int, every: Iterable[tuple[ParameterGroup, Clocks]]) -> Counts:
    every = tuple(every)
    return step, every, any(len(clocks) > 1 for _, clocks in every)


def _read_group(
    label: str, given: Any, ours: Mapping[str, Any], group: ParameterGroup, ranges: Mapping[str, str], step: int
) -> tuple[Hyper, Clocks]:
    """The hyperparameters and the clocks to load into a group; raises if they do not belong to it."""
    if not isinstance(given, Mapping):
        raise TypeError(f"{label} must be a mapping, got {type(given).__name__}")
    names = given.get("params")
    names = names.tolist() if isinstance(names, np.ndarray) else names
    if not isinstance(names, (list, tuple)) or list(names) != ours["params"]:
        raise ValueError(f"{label}['params'] must be {checks.shown(ours['params'])}, got {checks.shown(names)}")
    changes = {}
    for key in group:
        if key == "params" or key not in ours:
            continue
        if key not in given:
            if key == "maximize":
                continue
            raise ValueError(f"{label} must have {key!r}; if that followed a schedule, make the optimizer with it")
        if hyperparameters.is_scheduled(given[key]):
            raise TypeError(f"{label}[{key!r}] must be a number, got {checks.shown(given[key])}")
        changes[key] = group.checked(key, given[key])
    for key in ranges:
        if key not in given:
            raise ValueError(f"{label} must have {key!r}")
    for key in given:
        if key not in group and key not in ranges and key != "step":
            raise ValueError(f"{label} must have no {checks.shown(key)}: there is no such hyperparameter here")
    clocks = state.read_clocks(label, given, ranges, len(group.parameters.leaves), step)
    return group.with_changes(changes), clocks
