"""What stands behind an optimizer between its steps: groups that may come and go, state that is saved and copied."""

from __future__ import annotations

from _thread import allocate_lock
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from functools import partial
from itertools import compress, starmap
from typing import Any, Self

from lrcore import checks, hyperparameters, kernels, structure
from lrcore.arrays import Array, Change, assign, assignment, change
from lrcore.groups import Counts, Now, ParameterGroup, Roster
from lrcore.hyperparameters import Number
from lrcore.state import Clocks
from lrcore.structure import Parameters, Structure

_BUSY = "{} must not be called while a thread is in a step of the same optimizer, nor in averaged()"
_NOT_COPIED = ("_allocator", "_lock", "_guard", "_scratch")


class Stateful:
    """Groups, their state and counts; a subclass says how groups, and their state, are made."""

    _like: str
    _cell: tuple[list[Counts], list[Roster]]
    """Where it stands: an only entry each, so that they can be assigned with arrays as one."""
    _groups: list[ParameterGroup]
    """The list that callers have; compared with the groups in ``_cell`` wherever these matter."""

    @classmethod
    def range_of(cls, name: str) -> hyperparameters.Interval:
        """The valid range of a hyperparameter."""
        raise NotImplementedError

    def _new_group(self, parameters: Parameters, own: Mapping[str, Any]) -> ParameterGroup:
        """A group of these parameters, with new state."""
        raise NotImplementedError

    def _allocate(self, group: ParameterGroup) -> None:
        """Give a group its state, new."""
        raise NotImplementedError

    def _first_clocks(self) -> Clocks:
        """The clocks of a group that has taken no step."""
        raise NotImplementedError

    def _ranges_of_numbers(self) -> Mapping[str, str]:
        """The ranges of the numbers that clocks have."""
        raise NotImplementedError

    def _refresh(self) -> None:
        """Bring up to date what follows parameters until their first step."""

    @staticmethod
    def _average(theta: Array, state: Mapping[str, Array], numbers: Mapping[str, float]) -> Array:
        """The average that the rule keeps of a parameter, formed of what is remembered of it."""
        raise NotImplementedError

    def _own_averages(self) -> list[tuple[Array, Array]]:
        """Parameters and the averages that their rules keep, array by array; raises if they keep none."""
        if type(self)._average is Stateful._average:
            raise ValueError("averages must be asked for when the optimizer is made: ema=0.999")
        return [pair for group, clocks in self._current().every for pair in group.averages(clocks, self._average)]

    def _begin(self, now: Now) -> None:
        """Stand there, and make what is made from the rest and is not saved."""
        self._cell = [now.counts], [now.roster]
        self._lock = allocate_lock()
        self._guard = kernels.guard(self._lock, _BUSY.format("step"))

    def _refuse_if_busy(self, method: str) -> None:
        # Asked first and taken after, so that an interrupt between the two leaves no lock held.
        if self._lock.locked():
            raise RuntimeError(_BUSY.format(method))

    def _current(self) -> Now:
        """What holds now, the caller's changes to ``param_groups`` taken in."""
        now = self._now()
        return now if self._groups == now.roster.groups else self._take_in(self._groups, now)

    def _now(self) -> Now:
        """What held at the last step."""
        (counts,), (roster,) = self._cell
        return Now(*counts, roster)

    def _stand(self, now: Now) -> tuple[tuple[Any, int, Any], ...]:
        """What to assign so that it stands there."""
        return (self._cell[0], 0, now.counts), (self._cell[1], 0, now.roster)

    def _take_in(self, entries: Sequence[Any], now: Now) -> Now:
        """Have these groups from now on; a mapping becomes one. Raises, having changed nothing, if it cannot be."""
        if not entries:
            raise ValueError("param_groups must hold at least one group, got none")
        remembered = now.remembered()
        groups: list[ParameterGroup] = []
        for k, entry in enumerate(entries):
            if not isinstance(entry, ParameterGroup):
                entry = self._new_group(*structure.split_group(entry, k))
            elif entry not in remembered or entry in groups:
                raise ValueError(
                    f"param_groups[{k}] must be another group of this optimizer, or a mapping to make one of"
                )
            groups.append(entry)
        places = structure.places([group.parameters for group in groups])
        clocks = [remembered.pop(group) if group in remembered else self._first_clocks() for group in groups]
        now = Now.of(groups, True, remembered, now.step, clocks)
        assign((), (), (self._groups, slice(None), groups), *places, *self._stand(now))
        return now

    def add_param_group(self, param_group: Mapping[str, Any]) -> None:
        """Step more parameters from now on, as torch's method: ``{"params": …}``, with hyperparameters of their own
        or those that the optimizer was made with. Their first step is t = 1; schedules go on.

        The gradients of a step are then a list with one entry per group.

        Raises
        ------
        TypeError, ValueError
            It is no such group, or shares memory or a name with another. Nothing has changed.
        """
        self._refuse_if_busy("add_param_group")
        with self._guard:
            now = self._current()
            self._take_in([*self._groups, param_group], now)

    @property
    def param_groups(self) -> list[ParameterGroup]:
        """The groups. As in torch, the list may be changed: a group that is taken out is no longer stepped, a mapping
        that is put in becomes a group, see :meth:`add_param_group`."""
        return self._groups

    @param_groups.setter
    def param_groups(self, groups: Sequence[Any]) -> None:
        self._refuse_if_busy("an assignment to param_groups")
        with self._guard:
            self._take_in(list(groups), self._now())

    @property
    def params(self) -> Structure:
        """The parameters, as they were given."""
        roster = self._current().roster
        if roster.grouped:
            return [{"params": group["params"]} for group in roster.groups]
        return roster.groups[0]["params"]

    @property
    def step_count(self) -> int:
        """Steps taken so far; the step that a schedule is asked for next."""
        return self._cell[0][0][0]

    @property
    def like(self) -> str:
        """Whose formula and defaults."""
        return self._like

    @property
    def lr(self) -> float:
        """The hyperparameter ``lr`` of the first group at the next step. Assigning sets that of every group."""
        now = self._current()
        rate: float = hyperparameters.at("lr", now.roster.groups[0]["lr"], now.step, self.range_of("lr"))
        return rate

    @lr.setter
    def lr(self, value: Number) -> None:
        groups = self._current().roster.groups
        assign((), (), *[(group.cell, 0, group.with_changes({"lr": group.checked("lr", value)})) for group in groups])

    @property
    def next_rate(self) -> float:
        """The rate that the next step will report: ``lr``, after the inverse-time decay that some have built in."""
        now = self._current()
        with kernels.guard(allocate_lock()):
            return now.roster.groups[0].at(now.step)[1]

    def __repr__(self) -> str:
        now = self._current()
        hyper = ", ".join(
            f"{name}={value!r}" for name, value in self._groups[0].items() if name not in ("params", "maximize")
        )
        leaves = [leaf for parameters in now.roster.parameters for leaf in parameters.leaves]
        size = sum(leaf.array.size for leaf in leaves)
        groups = f" in {len(self._groups)} groups" if now.roster.grouped else ""
        return (
            f"{type(self).__name__}({hyper}, like={self._like!r}): {len(leaves)} parameter"
            f"{'s' if len(leaves) != 1 else ''}{groups}, {size:,} elements, step {now.step}"
        )

    def state_dict(self) -> dict[str, Any]:
        """Everything a run needs to go on with the same bits, in plain arrays and numbers, copied.

        ``{"optimizer", "like", "step", "groups": [{hyperparameters, "params": names}], "state": {name: {…}}}``.
        Where parameters have rested, their group has a ``"step"`` of its own, or a list with one for each.
        Schedules are code and are not saved: give them again.
        """
        self._refuse_if_busy("state_dict")
        with self._lock:
            saved = self._saved()
            arrays = saved["state"]
            copies = {name: {key: a.copy() for key, a in states.items()} for name, states in arrays.items()}
            return {**saved, "state": copies}

    def _saved(self) -> dict[str, Any]:
        """What :meth:`state_dict` gives, not copied."""
        self._refresh()
        return {"optimizer": type(self).__name__, "like": self._like, **self._current().save()}

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Go on where :meth:`state_dict` left off. Hyperparameters that are schedules here stay as they are.

        Raises
        ------
        TypeError, ValueError
            ``saved`` belongs to another optimizer or model. Nothing has changed.
        """
        self._refuse_if_busy("load_state_dict")
        with self._lock:
            change(self._loading(saved))

    def _loading(self, saved: Mapping[str, Any]) -> Change:
        """What :meth:`load_state_dict` changes."""
        mine = self._saved()
        checks.state(saved, mine)
        for key in ("optimizer", "like"):
            word = checks.plain(saved[key])
            if not isinstance(word, str) or word != mine[key]:
                raise ValueError(f"state[{key!r}] must be {mine[key]!r}, got {checks.shown(saved[key])}")
        arrays, values, counts, items = self._now().read(saved, self._ranges_of_numbers())
        return Change(arrays, values, [(self._cell[0], 0, counts), *items])

    def _snapshot(self, arrays: Sequence[Array]) -> Callable[[], object]:
        """A function that gives these arrays, and the optimizer, the values that they have now, as one and once.

        An interrupt cannot come between the call and its beginning, as it can with a function written in Python.
        """
        now = self._current()
        items = [*self._stand(now), *((group.cell, 0, group.cell[0]) for group in now.roster.groups)]
        remembered = [a for group in now.roster.groups for states in group.arrays().values() for a in states.values()]
        changed = [*arrays, *remembered]
        return assignment(changed, [array.copy() for array in changed], *items)

    def __getstate__(self) -> dict[str, Any]:
        self._refuse_if_busy("a copy")
        held = _Held(self._lock)
        try:
            held.take()
            return {**self._state(held), "_held": held}
        except BaseException:
            held.release()  # the traceback would keep it
            raise

    def _state(self, hold: _Hold) -> dict[str, Any]:
        """What a copy is made of, while the lock is held."""
        if not hold.taken:
            raise RuntimeError("a copy must not be made while a thread is in a step of the same optimizer")
        kept = {key: value for key, value in vars(self).items() if key not in _NOT_COPIED}
        return {**kept, "_groups": None, "_cell": self._current().without_sweeps()}

    def __copy__(self) -> Self:
        return self._copied({}, lambda state, memo: state)

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self._copied(memo, deepcopy)

    def _copied(self, memo: dict[int, Any], copied: Callable[[dict[str, Any], dict[int, Any]], dict[str, Any]]) -> Self:
        """A copy made of copied parts; no step is taken until it is done."""
        self._refuse_if_busy("a copy")
        hold = _Hold(self._lock)
        try:
            hold.take()
            state = self._state(hold)
            other = memo[id(self)] = type(self).__new__(type(self))
            other.__setstate__({**copied(state, memo), "_held": _Released()})
            return other
        finally:
            hold.release()

    def __setstate__(self, saved: dict[str, Any]) -> None:
        saved.pop("_held").release()
        vars(self).update(saved, _allocator=None)
        now: Now = saved["_cell"]
        twins = {group: group.twin() for group in now.remembered()}
        for group, twin in twins.items():
            self._allocate(twin)
            theirs, mine = group.arrays(), twin.arrays()
            for name, states in mine.items():
                for key, array in states.items():
                    array[...] = theirs[name][key]
        left = {twins[group]: clocks for group, clocks in now.roster.left.items()}
        self._groups = [twins[group] for group in now.roster.groups]
        self._begin(Now.of(self._groups, now.roster.grouped, left, now.step, (clocks for _, clocks in now.every)))


class _Hold:
    """To take a lock, if it is free, and to give it back once if it was taken; each in one call that no interrupt can
    cut in half, as of :func:`lrcore.arrays.assign`."""

    def __init__(self, lock: Any) -> None:
        self.taken: list[tuple[()]] = []  # has an entry from the call on that takes the lock
        self.take = partial(self.taken.extend, compress([()], map(lock.acquire, [False])))
        self.release: Callable[[], deque[None]] = partial(deque, starmap(lock.release, self.taken), maxlen=0)


class _Held(_Hold):
    """A lock held while the parts of a pickle are made: its last part, which gives the lock back once it is reached."""

    def __reduce__(self) -> tuple[Any, ...]:
        self.release()
        return _Released, ()

    def __del__(self) -> None:
        if "release" in vars(self):
            self.release()


class _Released:
    """What is left of a lock in a copy."""

    def release(self) -> None:
        pass
