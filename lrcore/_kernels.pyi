# Of every build, _kernels_v2 and so on: a copy is installed beside each.

from collections.abc import Sequence
from typing import Any, final

from numpy.typing import NDArray

RULES: tuple[str, ...]
COMPILER: str
FLAGS: str

def same_objects(one: Sequence[object], other: Sequence[object]) -> bool: ...

@final
class Sweep:
    @property
    def steps(self) -> int: ...
    def __new__(
        cls,
        groups: Sequence[tuple[str, Sequence[tuple[NDArray[Any], Sequence[NDArray[Any]], NDArray[Any] | None]]]],
    ) -> Sweep: ...
    def sum_of_squares(self, grads: Sequence[Any]) -> float | None: ...
    def step(
        self,
        grads: Sequence[Any],
        coefficients: Sequence[tuple[float, ...]],
        factor: float,
        clip_value: float,
        ema: float,
        one_minus_ema: float,
        zero_grad: bool,
    ) -> bool: ...
