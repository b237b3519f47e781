"""What an optimizer remembers, and what is put back: assigned whole, or not at all."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from itertools import chain, repeat, starmap
from operator import setitem
from typing import Any

import numpy as np

from lrcore.structure import Array


def assign(arrays: Sequence[Array], values: Sequence[Any], *items: tuple[Any, Any, Any]) -> None:
    """Copy values into arrays and set ``container[key] = value`` for each of ``items``, as one.

    Python handles signals between its own instructions and not within a function written in C. All of this is one
    such call, so that an interrupt comes before it or after it, on every build. Nothing is checked here.
    """
    each = map(np.ndarray.__setitem__, arrays, repeat(...), values)
    deque(chain(each, starmap(setitem, items)), maxlen=0)
