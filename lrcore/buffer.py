"""ParameterBuffer: all parameters of a model in one aligned array, their gradients in another."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from lrcore import checks
from lrcore.arrays import Array, staggered


class Views(Mapping[str, Array]):
    """Named views of one flat array. Assigning to a name, or to ``flat``, copies into the array."""

    __slots__ = ("_flat", "_label", "_views")

    def __init__(self, flat: Array, shapes: Mapping[str, tuple[int, ...]], label: str) -> None:
        self._flat = flat
        self._label = label
        self._views: dict[str, Array] = {}
        start = 0
        for name, shape in shapes.items():
            stop = start + math.prod(shape)
            self._views[name] = flat[start:stop].reshape(shape)
            start = stop

    @property
    def flat(self) -> Array:
        """Everything as one vector. Assigning copies numbers in: one for all, or as many as there are."""
        return self._flat

    @flat.setter
    def flat(self, values: Any) -> None:
        if np.shape(values) not in ((), self._flat.shape):
            raise ValueError(f"{self._label}.flat must have shape {self._flat.shape}, got {np.shape(values)}")
        self._flat[...] = values

    def __getitem__(self, name: str) -> Array:
        return self._views[name]

    def __setitem__(self, name: str, value: Any) -> None:
        if name not in self._views:
            raise KeyError(f"{self._label} has no {checks.shown(name)}; its names are {checks.listed(self)}")
        view = self._views[name]
        if np.shape(value) != view.shape:
            raise ValueError(f"{self._label}[{name!r}] must have shape {view.shape}, got {np.shape(value)}")
        view[...] = value

    __eq__ = object.__eq__  # equality of arrays has no single truth value
    __hash__ = object.__hash__

    def __iter__(self) -> Iterator[str]:
        return iter(self._views)

    def __len__(self) -> int:
        return len(self._views)


class ParameterBuffer(Views):
    r"""All parameters of a model in one aligned array, with their gradients beside it.

    .. code-block:: python

        params = ParameterBuffer({"w": W, "b": b})   # copies the values in
        params["w"]                                  # a view, of W's shape
        params.grads["w"][...] = dW                  # gradients likewise; or np.matmul(..., out=params.grads["w"])
        params.flat, params.grads.flat               # everything as one vector, in the order of the names

    An optimizer steps the whole buffer as a single tensor, so many small parameters cost as little as one
    large one.

    Parameters
    ----------
    params : mapping of str to array, sequence of arrays, or array
        Initial values, any shapes, all float32 or all float64. A sequence is named ``"0"``, ``"1"``, ….
    memory : writable buffer, optional
        Where the parameters shall lie, from its first byte on: a memory map, shared memory, a bytearray; at least as
        long as they are. The initial values are copied into it. The gradients have memory of their own.

    Attributes
    ----------
    flat : array of shape (n,)
        The parameters end to end in C order; begins on a cache line, but for ``memory``. Assigning copies in.
    grads : mapping of str to array
        Views of the gradients, with ``.flat`` likewise. Zero at first.

    Raises
    ------
    TypeError
        A value is not a float32 or float64 NumPy array, or dtypes differ.
    ValueError
        There are no parameters, or ``memory`` is too short, read-only or not aligned.
    """

    __slots__ = ("_grads",)

    def __init__(self, params: Mapping[str, Array] | Sequence[Array] | Array, *, memory: Any = None) -> None:
        if isinstance(params, np.ndarray):
            params = [params]
        if not isinstance(params, Mapping):
            if isinstance(params, str) or not isinstance(params, Sequence):
                raise TypeError(
                    f"params must be an array, a sequence or a mapping of arrays, got {type(params).__name__}"
                )
            params = {str(k): array for k, array in enumerate(params)}
        if not params:
            raise ValueError("params must not be empty")
        first = next(iter(params))
        for name, array in params.items():
            if not isinstance(name, str):
                raise TypeError(f"names of params must be str, got {checks.shown(name)}")
            if not isinstance(array, np.ndarray):
                raise TypeError(f"params[{checks.shown(name)}] must be a NumPy array, got {type(array).__name__}")
            if array.dtype not in (np.float32, np.float64):
                raise TypeError(f"params[{checks.shown(name)}] must be float32 or float64, got {array.dtype}")
            if array.dtype != params[first].dtype:
                raise TypeError(
                    f"params[{checks.shown(name)}] must have the dtype of params[{checks.shown(first)}], "
                    f"{params[first].dtype}, got {array.dtype}"
                )
        shapes = {name: array.shape for name, array in params.items()}
        size = sum(array.size for array in params.values())
        flat, gradients = staggered(2, size, params[first].dtype)
        if memory is not None:
            flat = _given(memory, size, params[first].dtype)
        super().__init__(flat, shapes, "params")
        self._grads = Views(gradients, shapes, "params.grads")
        for name, array in params.items():
            self[name] = array

    @property
    def grads(self) -> Views:
        """Views of the gradients."""
        return self._grads

    @property
    def dtype(self) -> np.dtype[Any]:
        """float32 or float64."""
        return self.flat.dtype

    def zero_grad(self) -> None:
        """Set every gradient to zero."""
        self.grads.flat.fill(0)

    def __reduce__(self) -> tuple[Any, ...]:
        # The views must lie in the new buffer, so a copy is built anew from names and values.
        return _rebuild, (dict(self), dict(self.grads))

    def __repr__(self) -> str:
        shapes = ", ".join(f"{name!r}: {array.shape}" for name, array in self.items())
        return f"ParameterBuffer({{{shapes}}}, {self.dtype}, {self.flat.size:,} elements)"


def _given(memory: Any, size: int, dtype: np.dtype[Any]) -> Array:
    """The beginning of the caller's memory as an array."""
    try:
        raw = np.frombuffer(memory, np.uint8)
    except (TypeError, ValueError, BufferError) as error:
        raise TypeError(f"memory must be a contiguous buffer, got {type(memory).__name__}: {error}") from error
    if not raw.flags.writeable:
        raise ValueError("memory must be writable, but is read-only")
    if raw.size < size * dtype.itemsize:
        raise ValueError(f"memory must have at least {size * dtype.itemsize} bytes, got {raw.size}")
    if raw.ctypes.data % dtype.itemsize:
        raise ValueError(f"memory must be aligned to {dtype.itemsize} bytes, got {raw.ctypes.data:#x}")
    return raw[: size * dtype.itemsize].view(dtype)


def _rebuild(params: dict[str, Array], grads: dict[str, Array]) -> ParameterBuffer:
    buffer = ParameterBuffer(params)
    for name, grad in grads.items():
        buffer.grads[name] = grad
    return buffer
