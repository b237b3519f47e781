# Of every build, _schedules_v2 and so on: a copy is installed beside each.

from collections.abc import Sequence
from typing import final

import numpy as np
from numpy.typing import NDArray

def scalar_power(x: float, y: float) -> float: ...

@final
class Formula:
    def __init__(self, name: str, arguments: Sequence[float]) -> None: ...
    def value(self, step: int) -> float: ...
    def values(self, steps: NDArray[np.int64]) -> NDArray[np.float64]: ...
