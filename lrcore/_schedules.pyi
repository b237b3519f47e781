# Of every build, _schedules_v2 and so on: a copy is installed beside each.

from collections.abc import Callable, Sequence
from typing import TypeVar, final

import numpy as np
from numpy.typing import NDArray

_A = TypeVar("_A")
_R = TypeVar("_R")

def in_default_environment(function: Callable[[_A], _R], argument: _A) -> _R: ...
def scalar_power(x: float, y: float) -> float: ...

@final
class Formula:
    def __new__(cls, name: str, arguments: Sequence[float]) -> Formula: ...
    def value(self, step: int) -> float: ...
    def values(self, steps: NDArray[np.int64]) -> NDArray[np.float64]: ...
