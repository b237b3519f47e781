# Of every build, _floor_v2 and so on: a copy is installed beside each.

from typing import Any, final

from numpy.typing import DTypeLike, NDArray

@final
class Floor:
    @property
    def arrays(self) -> list[NDArray[Any]]: ...
    @property
    def traffic(self) -> int: ...
    def __new__(cls, size: int, dtype: DTypeLike, n_states: int) -> Floor: ...
    def step(self) -> None: ...
