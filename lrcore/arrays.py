"""Arrays: their type, where they lie in memory, and how they are assigned as one."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from itertools import chain, repeat, starmap
from operator import setitem
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

LINE = 64
_PAGE = 4096
_STAGGER = 3 * _PAGE + 5 * LINE


def staggered(count: int, size: int, dtype: np.dtype[Any], first: int = 0) -> list[Array]:
    """``count`` zeroed arrays of ``size`` elements in one allocation, each beginning on a cache line.

    The k-th begins, within a page, ``first + k`` times five lines after the page: arrays that are read and
    written together then do not compete for the same cache sets.
    """
    nbytes = size * dtype.itemsize
    stride = math.ceil(nbytes / _PAGE) * _PAGE + _STAGGER
    block = np.zeros(count * stride + first * _STAGGER + _PAGE, dtype=np.uint8)
    shift = -block.ctypes.data % _PAGE + first * _STAGGER
    return [block[shift + k * stride : shift + k * stride + nbytes].view(dtype) for k in range(count)]


class Change(NamedTuple):
    """What to assign as one: values to copy into arrays, ``container[key] = value``, and ``object.name = value``."""

    arrays: Sequence[Array] = ()
    values: Sequence[Any] = ()
    items: Sequence[tuple[Any, Any, Any]] = ()
    attributes: Sequence[tuple[Any, str, Any]] = ()


def change(*changes: Change) -> None:
    """Make these changes as one, as :func:`assign` does."""
    arrays, values, items, attributes = (list(chain(*each)) for each in zip(Change(), *changes, strict=True))
    deque(chain(_copying(arrays, values), starmap(setitem, items), starmap(object.__setattr__, attributes)), maxlen=0)


def assign(arrays: Sequence[Array], values: Sequence[Any], *items: tuple[Any, Any, Any]) -> None:
    """Copy values into arrays and set ``container[key] = value`` for each of ``items``, as one.

    Python handles signals between its own instructions and not within a function written in C. All of this is one
    such call, so that an interrupt comes before it or after it, on every build. Nothing is checked here.
    """
    assignment(arrays, values, *items)()


def assignment(
    arrays: Sequence[Array], values: Sequence[Any], *items: tuple[Any, Any, Any]
) -> Callable[[], deque[None]]:
    """What :func:`assign` calls, to be called once and later, where an interrupt must not come before it."""
    return partial(deque, chain(_copying(arrays, values), starmap(setitem, items)), maxlen=0)


def _copying(arrays: Sequence[Array], values: Sequence[Any]) -> map[None]:
    return map(np.ndarray.__setitem__, arrays, repeat(...), values)
