from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

_Float = TypeVar("_Float", np.float32, np.float64)

def rows(
    x: NDArray[_Float],
    beta: float,
    bias_correction: bool,
    v: NDArray[np.float64],
    power: float,
    out: NDArray[_Float],
) -> float: ...
