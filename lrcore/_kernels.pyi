# Of every build, _kernels_v2 and so on: a copy is installed beside each.

from collections.abc import Mapping, Sequence
from typing import Any, final

from numpy.typing import NDArray

RULES: tuple[str, ...]
COMPILER: str
FLAGS: str

def same_objects(one: Sequence[object], other: Sequence[object]) -> bool: ...
def any_none(items: Sequence[object]) -> bool: ...

@final
class Rule: ...

@final
class Sweep:
    def __new__(
        cls, groups: Sequence[tuple[Any, ...]], around: Mapping[str, Sequence[NDArray[Any]]] | None = None
    ) -> Sweep: ...
    @property
    def chunks(self) -> list[int]: ...
    @property
    def aims(self) -> list[Any]: ...
    def direct(self, aims: Sequence[Any]) -> None: ...
    def form_directions(
        self,
        grads: Sequence[Any],
        settings: Sequence[tuple[float, ...] | None],
        clip_value: float,
        squares: bool,
    ) -> list[float] | None: ...
    def block_sums(
        self, grads: Sequence[Any], of: str = "gg", filters: Sequence[Any] | None = None, clip_value: float = ...
    ) -> NDArray[Any] | None: ...
    def total(self, grads: Sequence[Any], of: str = "gg") -> float | None: ...
    def totals(
        self, grads: Sequence[Any], of: str = "gg", filters: Sequence[Any] | None = None, clip_value: float = ...
    ) -> list[float] | None: ...
    def look(
        self,
        grads: Sequence[Any],
        entries: Sequence[tuple[float, float, Sequence[tuple[str, Sequence[float], Sequence[str]]]]],
        which: Sequence[int],
        clip_value: float,
        plain: Sequence[str] = (),
    ) -> list[tuple[float, ...] | None] | None: ...
    def step(
        self,
        grads: Sequence[Any],
        terms: Sequence[tuple[float, ...]],
        which: Sequence[int] | None,
        clip_value: float,
        zero_grad: bool,
        counts: list[Any],
        after: object,
        masks: Sequence[float] | None = None,
    ) -> bool: ...
