"""Which classes are optimizers, by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lrcore.base import Optimizer

_OPTIMIZERS: dict[str, type[Optimizer]] = {}


def registered() -> Mapping[str, type[Optimizer]]:
    """Every optimizer that tests, benchmarks, documentation and the command line know, by name."""
    return dict(_OPTIMIZERS)


def register(cls: type[Optimizer]) -> type[Optimizer]:
    """Make an optimizer known by its name; a subclass of one's own is not, unless it is registered.

    Raises
    ------
    ValueError
        Another class has this name.
    """
    if _OPTIMIZERS.setdefault(cls.__name__, cls) is not cls:
        raise ValueError(f"an optimizer named {cls.__name__} is registered already")
    return cls
