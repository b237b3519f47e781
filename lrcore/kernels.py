"""Picks the build of the kernels for this processor, once, at import.

The environment variable ``LRCORE_ISA`` forces one: ``v2``, ``v3``, ``v4`` (levels of x86-64), ``baseline``
(other processors) or ``reference`` (NumPy, no compiled code). All give the same bits.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Protocol

import numpy as np

from lrcore import pool, reference
from lrcore.arrays import Array
from lrcore.checks import shown

Tensors = Sequence[tuple[Array, Sequence[Array], Array | None]]
Group = tuple[str, Tensors, Sequence[str]]
"""What a sweep takes of a group: its rule, its tensors, and the names of states that they have besides the rule's."""


class Sweep(Protocol):
    """One step over all tensors of a model, see :class:`lrcore.reference.Sweep`.

    A compiled one checks the gradients and answers None or False where one is not acceptable, having changed
    nothing.
    """

    chunks: list[int]
    aims: list[reference.Aim | None]

    def direct(self, aims: Sequence[reference.Aim | None]) -> None: ...

    def form_directions(
        self,
        grads: Sequence[Array | None],
        settings: Sequence[reference.Settings | None],
        clip_value: float,
        squares: bool,
    ) -> list[float] | None: ...

    def block_sums(
        self, grads: Sequence[Array | None], of: reference.Products = "gg", filters: reference.Filters | None = None,
        clip_value: float = ...,
    ) -> Array | None: ...  # fmt: skip

    def total(self, grads: Sequence[Array | None], of: reference.Products = "gg") -> float | None: ...

    def totals(
        self, grads: Sequence[Array | None], of: reference.Products = "gg", filters: reference.Filters | None = None,
        clip_value: float = ...,
    ) -> list[float] | None: ...  # fmt: skip

    def look(
        self,
        grads: Sequence[Array | None],
        entries: Sequence[reference.Entry],
        which: Sequence[int],
        clip_value: float,
        plain: Sequence[reference.Products] = (),
    ) -> list[tuple[float, ...] | None] | None: ...

    def step(
        self,
        grads: Sequence[Array | None],
        terms: Sequence[reference.Terms],
        which: Sequence[int] | None,
        clip_value: float,
        zero_grad: bool,
        counts: list[Any],
        after: object,
        masks: Sequence[float] | None = None,
    ) -> bool: ...


def levels() -> tuple[str, ...]:
    """Instruction-set levels that this processor can run, lowest first; empty if that is not known."""
    if find_spec("lrcore._cpu") is None:
        return ()
    found: tuple[str, ...] = import_module("lrcore._cpu").levels()
    return found


def compiled() -> tuple[str, ...]:
    """Names of the compiled builds that are installed and can run here, best last."""
    return tuple(name for name in ("baseline", *levels()) if find_spec(f"lrcore._kernels_{name}") is not None)


def module(build: str) -> Any:
    """The module of a build: it has ``RULES`` and ``Sweep``."""
    return reference if build == "reference" else import_module(f"lrcore._kernels_{build}")


def formulas(build: str) -> Any:
    """The module with the formulas of the schedules, and ``scalar_power``, of a build."""
    return import_module("lrcore.schedules.formulas" if build == "reference" else f"lrcore._schedules_{build}")


def _choose() -> str:
    available = (*compiled(), "reference")
    forced = os.environ.get("LRCORE_ISA")
    if forced:
        if forced not in available:
            raise ImportError(
                f"LRCORE_ISA must be one of {', '.join(available)} on this machine, got {shown(forced)}"
                + (f" (the processor runs {', '.join(levels())})" if levels() else "")
            )
        return forced
    if len(available) == 1:
        where = os.path.dirname(__file__)
        warnings.warn(
            f"lrcore has no compiled kernels in {where} and runs on its NumPy reference: the same bits, several "
            "times slower. Install it again where a C compiler is found (pip install -v shows why the build "
            "failed), or set LRCORE_ISA=reference to choose this.",
            RuntimeWarning,
            stacklevel=2,
        )
        return "reference"
    return available[-2]


selected = _choose()

same_objects: Callable[[Sequence[object], Sequence[object]], bool] = module(selected).same_objects
"""Whether two sequences hold the same objects in the same order."""

any_none: Callable[[Sequence[object]], bool] = module(selected).any_none
"""Whether None is among them."""

GUARD_REFUSES = find_spec("lrcore._guard") is not None
"""Whether a guard raises where its lock is held; else whoever enters it asks first."""

guard: Callable[..., Any] = import_module("lrcore._guard").Guard if GUARD_REFUSES else lambda lock, reason="": lock
"""Of a lock, and why it may be held, one that has the default floating-point environment inside ``with`` too; without
compiled code the lock itself: the arithmetic is then that of the environment which the caller has set."""


def _power(x: float, y: float) -> float:
    power: float = formulas("reference").scalar_power(x, y)  # its package needs this module, and comes when called for
    return power


power: Callable[[float, float], float] = _power if selected == "reference" else formulas(selected).scalar_power
"""x to the power y with the same bits on every machine, which the C library's is not."""


@lru_cache(maxsize=64)
def logarithm(x: float) -> float:
    """The natural logarithm of x > 0, with the same bits on every machine; NaN elsewhere."""
    high, _ = formulas("reference").logarithm(np.array([x], np.float64))
    return float(high[0])


@contextmanager
def using(build: str) -> Iterator[None]:
    """Optimizers made inside this context run on ``build``; those that exist keep theirs."""
    global selected
    if build not in (*compiled(), "reference"):
        raise ValueError(f"build must be one of {', '.join((*compiled(), 'reference'))}, got {build!r}")
    before, selected = selected, build
    try:
        yield
    finally:
        selected = before


def sweep(groups: Sequence[Group], build: str, around: Mapping[str, Sequence[Array]] | None = None) -> Sweep:
    """A sweep of a build over these tensors, with the state that spans keep of each besides averages."""
    made: Sweep = module(build).Sweep(groups, around)
    return made


def traffic(nbytes: int, n_states: int) -> int:
    """Bytes that a step moves for parameters of ``nbytes``: it reads g; reads and writes theta and each state.

    What a span keeps counts as a state, slow parameters only at steps that draw to them. By it the pool tells steps
    apart.
    """
    return nbytes * (3 + 2 * n_states)


def config() -> dict[str, str]:
    """What :func:`show_config` prints."""
    from lrcore import __version__

    chosen = module(selected)
    return {
        "version": __version__,
        "build": selected,
        "builds available": ", ".join((*compiled(), "reference")),
        "instruction sets": ", ".join(levels()) or "not x86-64, or not known",
        **pool.config(),
        "compiler": getattr(chosen, "COMPILER", "none"),
        "flags": getattr(chosen, "FLAGS", "none"),
        "numpy": np.__version__,
    }


def show_config() -> None:
    """Print version, build chosen, builds available, instruction sets, threads, ways of memory, compiler, flags."""
    for key, value in config().items():
        print(f"{key + ':':18}{value}")
