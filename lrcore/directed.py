"""Optimizers whose rule steps along a direction that depends on the shape of an array."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import ClassVar

from lrcore import kernels
from lrcore.arrays import Array
from lrcore.base import Optimizer
from lrcore.groups import Now, ParameterGroup, Roster, Values
from lrcore.reference import Aim, Settings
from lrcore.sums import Formed, Moving

__all__ = ["Directed"]


class Directed(Optimizer):
    """An optimizer whose rule steps along a direction in place of the gradient.

    Each array has a direction of its own, formed by the sweep of its gradient and of state whose shape follows that of
    the array, see :class:`lrcore.reference.Sweep`. A subclass says which (:meth:`_aim`, :meth:`_shapes`), what it is
    formed with at a step (:meth:`_settings`), and how far to go along it (:meth:`_along`).
    """

    filters = False

    squares: ClassVar[bool] = False
    """Whether :meth:`_along` needs the mean square of the direction, for which each gradient is read once more."""

    reads: ClassVar[int] = 0
    """How often a gradient or a parameter is read before it is stepped."""

    def _aim(self, h: Values, theta: Array, states: Mapping[str, Array]) -> Aim:
        """How the direction of an array is formed, given its state."""
        raise NotImplementedError

    def _settings(self, h: Values, aim: Aim, theta: Array, t: int) -> Settings:
        """The settings of the kind at the t-th step of a parameter."""
        raise NotImplementedError

    def _form_outside(self, h: Values, aim: Aim, g: Array, settings: Settings, t: int) -> None:
        """Form what of a direction is formed outside the sweep; all other state stays as it is."""

    def _along(self, h: Values, aim: Aim, theta: Array, known: Mapping[str, float]) -> Mapping[str, float]:
        """``rate`` along the direction, and ``keep``, what weight decay leaves of the parameter.

        ``known`` are these two as the hyperparameters alone have them, the step ``t`` of the parameter, and mean
        squares: ``tt`` of the parameter, ``uu`` of the direction, where they are asked for.
        """
        return {}

    def _options_changed(self) -> None:
        super()._options_changed()
        self._by_array = True

    def _direct(self, sweep: kernels.Sweep, roster: Roster) -> None:
        sweep.direct([self._aim(group, *array) for group in roster.groups for array in _arrays(group)])

    def _form(
        self, sweep: kernels.Sweep, grads: Sequence[Array | None], now: Now, moving: Moving, which: Sequence[int],
        factor: float,
    ) -> list[Formed]:  # fmt: skip
        formed = super()._form(sweep, grads, now, moving, which, factor)
        thetas = [theta for parameters in now.roster.parameters for theta in parameters.tensors(by_name=True)]
        settings: list[Settings | None] = [None] * len(which)
        looked: list[tuple[int, Aim, Values, int]] = []
        for k, n in enumerate(which):
            aim = sweep.aims[k]
            if n < 0 or aim is None:
                continue
            t, h = moving[n][1][0][0] + 1, formed[n].h
            settings[k] = (formed[n].scale, *self._settings(h, aim, thetas[k], t))
            looked.append((k, aim, h, t))
        seen = sweep.form_directions(grads, settings, self._clip_value or math.inf, self.squares)
        squares = self._summed(seen, grads, True)
        for k, aim, h, t in looked:
            g, given, mine = grads[k], settings[k], formed[which[k]]
            assert g is not None
            assert given is not None
            self._form_outside(h, aim, g, given, t)
            size = max(thetas[k].size, 1)
            known: dict[str, float] = {"rate": mine.rate, "keep": mine.keep, "t": t, "uu": squares[k] / size}
            for of in self.sums:
                known[of] = mine.numbers[of] / size
            known |= self._along(h, aim, thetas[k], known)
            formed[which[k]] = mine._replace(numbers={**mine.numbers, **known}, keep=known["keep"])
        return formed


def _arrays(group: ParameterGroup) -> list[tuple[Array, dict[str, Array]]]:
    """Each parameter with its state of a shape of its own."""
    found = []
    for k, theta in enumerate(group.parameters.tensors(by_name=True)):
        states = {name: arrays[k] for name, arrays in group.apart.items()}
        found.append((theta, {name: state for name, state in states.items() if state is not None}))
    return found
