"""What an optimizer remembers: arrays and numbers, how they are allocated, and how saved ones are checked."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np

from lrcore import checks
from lrcore.arrays import LINE, Array, staggered
from lrcore.structure import check_array, check_overlap

Shape = tuple[int, ...]

Initial = float | Literal["parameter"]
"""What a state array begins with: one number everywhere, or the values of its parameter."""

Allocator = Callable[[int, int, "np.dtype[Any]"], Sequence[Array]]
"""Makes so many arrays of so many elements of a dtype: one axis, zeroed or not, apart from each other."""


Clock = tuple[int, Mapping[str, float]]
"""How many steps parameters have taken, and the numbers remembered of them besides arrays."""

Clocks = tuple[Clock, ...]
"""Of a group: one for each parameter, or a single one while all have moved together."""


def together(clocks: Sequence[Clock]) -> Clocks:
    """The clocks of a group's parameters, as a single one if they agree."""
    return (clocks[0],) if clocks and all(clock == clocks[0] for clock in clocks) else tuple(clocks)


def allocate(
    tensors: Sequence[Array], initial: Mapping[str, Initial], allocator: Allocator | None = None
) -> dict[str, list[Array]]:
    """State arrays by name, one per tensor and of its shape, each name's end to end on cache lines."""
    names = list(initial)
    states: dict[str, list[Array]] = {name: [np.empty(0)] * len(tensors) for name in names}
    for dtype in dict.fromkeys(tensor.dtype for tensor in tensors):
        line = LINE // dtype.itemsize
        mine = [k for k, tensor in enumerate(tensors) if tensor.dtype == dtype]
        slots = [math.ceil(tensors[k].size / line) * line for k in mine]
        if allocator is None:
            rows: Sequence[Array] = staggered(len(names), sum(slots), dtype, first=2)
        else:
            rows = _allocated(allocator, len(names), sum(slots), dtype)
        for name, row in zip(names, rows, strict=True):
            start = 0
            for k, slot in zip(mine, slots, strict=True):
                begin = initial[name]
                states[name][k] = row[start : start + tensors[k].size].reshape(tensors[k].shape)
                states[name][k][...] = tensors[k] if begin == "parameter" else begin
                start += slot
    return states


def _allocated(allocator: Allocator, count: int, size: int, dtype: np.dtype[Any]) -> list[Array]:
    """What the caller's allocator gives, checked."""
    made = list(allocator(count, size, dtype))
    if len(made) != count:
        raise ValueError(f"allocator must give {count} arrays, got {len(made)}")
    for k, array in enumerate(made):
        label = f"array {k} of allocator"
        check_array(label, array)
        if array.dtype != dtype or array.shape != (size,) or not array.flags.writeable:
            raise ValueError(
                f"{label} must be writable, of shape ({size},) and {dtype}, got {array.shape} and {array.dtype}"
                f"{'' if array.flags.writeable else ', read-only'}"
            )
    check_overlap([(f"array {k} of allocator", array) for k, array in enumerate(made)])
    return made


def save_clocks(clocks: Clocks, step: int) -> dict[str, Any]:
    """Steps and numbers of a group as plain data: a value for all, or a list with one for each parameter."""
    saved: dict[str, Any] = {key: [numbers[key] for _, numbers in clocks] for key in clocks[0][1]}
    if len(clocks) > 1 or clocks[0][0] != step:
        saved["step"] = [t for t, _ in clocks]
    return {key: values if len(clocks) > 1 else values[0] for key, values in saved.items()}


def read_clocks(label: str, saved: Mapping[str, Any], ranges: Mapping[str, str], count: int, step: int) -> Clocks:
    """The clocks of a group of ``count`` parameters from plain data; raises where it cannot be theirs."""

    def column(key: str, read: Callable[[str, Any], Any]) -> list[Any]:
        value = saved.get(key, step)
        if isinstance(value, np.ndarray) and value.ndim:
            value = value.tolist()
        if not isinstance(value, (list, tuple)):
            return [read(f"{label}[{key!r}]", value)] * count
        if len(value) != count:
            raise ValueError(f"{label}[{key!r}] must be one number or {count}, one a parameter, got {len(value)}")
        return [read(f"{label}[{key!r}][{k}]", entry) for k, entry in enumerate(value)]

    steps = column("step", lambda name, value: checks.whole(name, value, 0, step))
    numbers = {
        key: column(key, lambda name, value, interval=interval: checks.number(name, value, interval))  # type: ignore[misc]
        for key, interval in ranges.items()
    }
    return together([(steps[k], {key: numbers[key][k] for key in numbers}) for k in range(count)])


def check_arrays(saved: Any, mine: Mapping[str, Mapping[str, Array]]) -> None:
    """Raise unless saved state arrays are those of this model."""
    if not isinstance(saved, Mapping):
        raise TypeError(f"state['state'] must be a mapping, got {type(saved).__name__}")
    if set(saved) != set(mine):
        raise ValueError(f"state['state'] must be for {checks.listed(mine)}, got {checks.listed(saved)}")
    for name, arrays in mine.items():
        if not isinstance(saved[name], Mapping) or set(saved[name]) != set(arrays):
            got = (
                checks.shown(sorted(saved[name], key=str))
                if isinstance(saved[name], Mapping)
                else type(saved[name]).__name__
            )
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
