r"""Exponentially weighted averages of a sequence: all at once, :func:`ewma`, and as it comes, :class:`MovingAverage`.

.. math::

    v_t = \beta\, v_{t-1} + (1 - \beta)\, x_t, \qquad v_0 = 0, \qquad
    \hat v_t = \frac{v_t}{1 - \beta^t} \qquad t = 1, 2, \ldots

:math:`\hat v_t` is the mean of :math:`x_1 \ldots x_t` with weights :math:`\beta^{t-1} \ldots \beta, 1`: about
:math:`1 / (1 - \beta)` values count. Without the correction the first averages lie too near zero.

Both compute in double precision and round each result once, to the precision of ``x``. :math:`\beta^t` is the
running product ``power = beta * power``, and 0 from the step on at which 1 minus it is 1: a C library's ``pow``
differs between machines. So the compiled code, its NumPy twin and the running form give the same bits, everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lrcore import checks, kernels
from lrcore.arrays import Array
from lrcore.settings import Closed, Setting

Doubles = NDArray[np.float64]


def ewma(x: ArrayLike, beta: float, bias_correction: bool = True) -> Array:
    r"""Exponentially weighted averages of a sequence, of its first value, its first two, and so on.

    .. math::

        v_t = \beta\, v_{t-1} + (1 - \beta)\, x_t, \qquad \hat v_t = v_t / (1 - \beta^t)

    Parameters
    ----------
    x : array of shape (n, ...), or sequence
        Averaged along the first axis: rows of an array each count as one value.
    beta : float in [0, 1)
        About 1 / (1 - beta) values count.
    bias_correction : bool
        Divide by :math:`1 - \beta^t`. False starts from zero, as the moments of Adam do before their correction.

    Returns
    -------
    array of x's shape
        float32 where ``x`` is, else float64.

    Raises
    ------
    TypeError, ValueError
        An argument is not as described.

    Notes
    -----
    ``pandas.Series.ewm(alpha=1 - beta, adjust=True).mean()`` has the corrected values, to rounding;
    ``adjust=False`` starts from :math:`v_1 = x_1` instead of zero. optax's ``ema(debias=True)`` is the same
    average, in the precision of ``x`` throughout.

    Examples
    --------
    >>> ewma([1.0, 2.0, 3.0], beta=0.5, bias_correction=False)
    array([0.5  , 1.25 , 2.125])
    """
    beta = checks.number("beta", beta, "[0, 1)")
    bias_correction = checks.flag("bias_correction", bias_correction)
    values = _values(x)
    if values.ndim == 0:
        raise ValueError(f"x must have at least one axis, got the number {values}")
    flat = values.reshape(len(values), -1) if values.size else np.empty((0, 0), values.dtype)
    out = np.empty_like(flat)
    _rows()(flat, beta, bias_correction, np.zeros(flat.shape[1]), 1.0, out)
    return out.reshape(values.shape)


class _Memory(NamedTuple):
    """What an average remembers; exchanged whole, so that an interrupt comes before a value or after it."""

    taken: int = 0
    power: float = 1.0
    v: Any = 0.0  # a float, or float64 array; never changed in place
    dtype: np.dtype[Any] | None = None  # of the arrays averaged; None for numbers


class MovingAverage(Closed):
    r"""The average of :func:`ewma`, one value at a time, with the same bits.

    .. code-block:: python

        average = lr.MovingAverage(0.98)
        for batch in batches:
            ...
            print(average.update(loss))

    Parameters
    ----------
    beta : float in [0, 1)
        About 1 / (1 - beta) values count.
    bias_correction : bool
        Divide by :math:`1 - \beta^t`.

    Attributes
    ----------
    beta, bias_correction
        May be assigned: values taken from then on are weighted so.
    count : int
        Values taken so far.
    value : float, or array of the shape and dtype of those averaged
        Numbers are averaged as float64. NaN before the first value.

    Raises
    ------
    TypeError, ValueError
        An argument is not as described.
    AttributeError
        Something else is assigned.
    """

    __slots__ = ("__weakref__", "_beta", "_bias_correction", "_memory")

    beta = Setting(lambda name, value: checks.number(name, value, "[0, 1)"))
    bias_correction = Setting(checks.flag)

    def __init__(self, beta: float, bias_correction: bool = True) -> None:
        self.beta = beta
        self.bias_correction = bias_correction
        self._memory = _Memory()

    @property
    def count(self) -> int:
        """Values taken so far."""
        return self._memory.taken

    def update(self, x: ArrayLike) -> Any:
        """Take one more value, a number or an array, and return the average.

        Raises
        ------
        TypeError, ValueError
            ``x`` is no number and no array of numbers, or its shape or dtype is not that of the values before.
            Nothing has changed.
        """
        memory = self._memory
        plain = checks.plain(x)
        if isinstance(plain, (float, int)) and not isinstance(plain, bool) and not isinstance(memory.v, np.ndarray):
            number = self.beta * memory.v + (1.0 - self.beta) * checks.number("x", plain)
            self._memory = _Memory(memory.taken + 1, _next_power(self.beta, memory.power), number)
            return self.value
        values = _values(x)
        dtype = values.dtype if values.ndim else None
        if memory.taken and (dtype, values.shape) != (memory.dtype, np.shape(memory.v)):
            before = _kind(memory.dtype, np.shape(memory.v))
            raise ValueError(f"x must be {before} like those before, got {_kind(dtype, values.shape)}")
        if dtype is None:
            return self.update(float(values))
        v = memory.v.copy() if isinstance(memory.v, np.ndarray) else np.zeros(values.shape)
        out = np.empty(values.shape, values.dtype)
        power = _rows()(
            values.reshape(1, -1), self.beta, self.bias_correction, v.reshape(-1), memory.power, out.reshape(1, -1)
        )
        self._memory = _Memory(memory.taken + 1, power, v, dtype)
        return out

    @property
    def value(self) -> Any:
        """The average: a float, or a new array if arrays are averaged. NaN before the first value."""
        memory = self._memory
        if not memory.taken:
            return float("nan")
        correction = 1.0 - memory.power if self.bias_correction else 1.0
        if memory.dtype is None:
            return memory.v / correction
        with np.errstate(all="ignore"):
            return np.asarray(memory.v / correction).astype(memory.dtype)

    def __repr__(self) -> str:
        correction = "" if self.bias_correction else ", bias_correction=False"
        return f"MovingAverage({self.beta!r}{correction}): {self.count} values"

    def state_dict(self) -> dict[str, Any]:
        """Everything needed to go on with the same bits, in plain numbers and an array, copied."""
        memory = self._memory
        return {
            "beta": self.beta,
            "bias_correction": self.bias_correction,
            "count": memory.taken,
            "power": memory.power,
            "average": memory.v.copy() if isinstance(memory.v, np.ndarray) else memory.v,
            "dtype": "" if memory.dtype is None else memory.dtype.name,
        }

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Go on where :meth:`state_dict` left off.

        Raises
        ------
        TypeError, ValueError
            ``saved`` is not the state of an average with this beta and bias correction. Nothing has changed.
        """
        checks.state(saved, self.state_dict())
        beta = checks.number("state['beta']", saved["beta"])
        if beta != self.beta:
            raise ValueError(f"state['beta'] must be {self.beta!r}, got {beta!r}")
        bias_correction = checks.flag("state['bias_correction']", saved["bias_correction"])
        if bias_correction != self.bias_correction:
            raise ValueError(f"state['bias_correction'] must be {self.bias_correction!r}, got {bias_correction!r}")
        count = checks.whole("state['count']", saved["count"], 0)
        power = checks.number("state['power']", saved["power"])
        if not 0 <= power <= 1 or (power == 1) != (count == 0):
            raise ValueError(f"state['power'] must be beta to the power of count, {self.beta}^{count}, got {power!r}")
        dtype = checks.one_of("state['dtype']", saved["dtype"], "", "float32", "float64")
        average = saved["average"]
        if not dtype:
            self._memory = _Memory(count, power, checks.number("state['average']", average))
        elif isinstance(average, np.ndarray) and average.dtype == np.float64:
            self._memory = _Memory(count, power, average.copy(), np.dtype(dtype))
        else:
            raise TypeError(f"state['average'] must be a float64 array, got {checks.shown(average)}")


@np.errstate(all="ignore")
def rows_in_numpy(x: Array, beta: float, bias_correction: bool, v: Doubles, power: float, out: Array) -> float:
    """What ``rows`` of ``src/averages.pyx`` computes: the same operations in the same order."""
    for row, result in zip(x, out, strict=True):
        v[...] = beta * v + (1.0 - beta) * row.astype(np.float64)
        power = _next_power(beta, power)
        result[...] = v / (1.0 - power if bias_correction else 1.0)
    return power


def _next_power(beta: float, power: float) -> float:
    power = beta * power
    return 0.0 if 1.0 - power == 1.0 else power


def _rows() -> Any:
    return rows_in_numpy if kernels.selected == "reference" else import_module("lrcore._averages").rows


def _values(x: Any) -> Array:
    """``x`` as a C-contiguous array of float32 or float64, copied only if it is not one."""
    try:
        values = np.asarray(x)
    except ValueError as error:
        raise TypeError(f"x must be numbers or arrays of one shape, got {type(x).__name__}: {error}") from error
    if values.dtype.kind not in "iuf" or values.dtype.itemsize > 8:
        raise TypeError(f"x must be real numbers within float64, got {values.dtype}")
    kept = values.dtype.kind == "f" and values.dtype.itemsize == 4
    return np.require(values, np.float32 if kept else np.float64, ["C_CONTIGUOUS", "ALIGNED"])


def _kind(dtype: np.dtype[Any] | None, shape: tuple[int, ...]) -> str:
    return "a number" if dtype is None else f"a {dtype} array of shape {shape}"
