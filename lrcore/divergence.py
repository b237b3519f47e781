r"""When a run has diverged: the one judge of it, for :func:`lrcore.minimize`, :func:`lrcore.find_lr` and
``lrcore train``.

A loss that is not finite has diverged. Of finite ones no size says so: a healthy loss may begin at zero, may be that of
a single row, now zero and now large, may have any unit and any offset. What tells divergence is growth that goes on. A
loss has diverged where it is above a thousand times the size of all losses before the growth, :math:`R`, and

* it has risen ``RISES`` times in a row or more (chance does that once in 5,040), or
* of the last three spans of k losses, for some k = 1, 2, 4, …, each reaches higher than the one before it, and the last
  lies above :math:`R` as a whole; before them there were 2k losses, and 8, or more. This sees growth through noise: the
  spans outgrow it.

Either way the growth must go on: its second half must have a share in it, in the logarithm. So a loss that jumps, from
rounding errors to its usual size, say, has not diverged. Zeros before the first other loss say nothing of its size.
"""

from __future__ import annotations

import math
from typing import NamedTuple

GROWTH = 1e3
RISES = 6
FEWEST = 8  # losses before the growth that tell what is usual, where there is noise

_SHARE_OF_RISES = 1 / 16
_SHARE_OF_SPANS = 1 / 4


class _Span(NamedTuple):
    """The lowest and the highest of some losses in a row, and the largest absolute value."""

    low: float
    high: float
    size: float

    def joined(self, other: _Span) -> _Span:
        return _Span(min(self.low, other.low), max(self.high, other.high), max(self.size, other.size))


class Divergence:
    """Is told of a run's losses, one by one, and says whether it has diverged.

    Remembers a number of spans that grows with the logarithm of the number of losses, and the losses of one rise.
    """

    def __init__(self) -> None:
        self._size = 0.0  # of the first loss that is not zero
        self._rise: list[float] = []  # the last losses, each above the one before it
        self._size_before = 0.0  # of all losses up to the first of these
        self._levels: list[_Level] = []  # spans of 1, 2, 4, … losses

    def update(self, loss: float) -> bool:
        """Take one more loss; whether the run has diverged."""
        if not math.isfinite(loss):
            return True
        if self._size:
            rises, spans_rise = self._take_rise(loss), self._take_span(loss)
            return rises or spans_rise
        self._size = self._size_before = abs(loss)
        self._rise = [loss]
        return False

    def _take_rise(self, loss: float) -> bool:
        rise = self._rise
        if not loss > rise[-1]:
            self._size_before = max(self._size_before, abs(rise[-1]), abs(loss))
            self._rise = [loss]
            return False
        rise.append(loss)
        return len(rise) > RISES and _grows(self._size_before, rise[len(rise) // 2], loss, _SHARE_OF_RISES)

    def _take_span(self, loss: float) -> bool:
        span = _Span(loss, loss, abs(loss))
        answer = False
        k = 0
        while True:
            if k == len(self._levels):
                self._levels.append(_Level(2**k, self._size))
            level = self._levels[k]
            answer = level.add(span) or answer
            if level.half is None:
                level.half = span
                return answer
            span, level.half = level.half.joined(span), None
            k += 1


class _Level:
    """Spans of one length: the last three, and the size of all losses before them."""

    def __init__(self, length: int, first: float) -> None:
        self.half: _Span | None = None  # of a span of the next level
        self._length = length
        self._last: list[_Span] = []
        self._size_before = first
        self._before = 1

    def add(self, span: _Span) -> bool:
        """Take the next span; whether the last three outgrow all before them."""
        last = self._last
        last.append(span)
        if len(last) > 3:
            self._size_before = max(self._size_before, last.pop(0).size)
            self._before += self._length
        if self._before < max(FEWEST, 2 * self._length):
            return False
        rising = self._size_before < last[0].high < last[1].high < last[2].high and self._size_before < last[2].low
        return rising and _grows(self._size_before, last[0].high, last[2].high, _SHARE_OF_SPANS)


def _grows(before: float, middle: float, now: float, share: float) -> bool:
    """Whether the loss is far above the size before, and got there not by one jump."""
    if not now / GROWTH > before:
        return False
    return middle <= 0 or math.log(now) - math.log(middle) >= share * (math.log(now) - math.log(before))
