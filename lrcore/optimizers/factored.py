"""Second moments kept by row and column."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import ClassVar, Unpack

import numpy as np

from lrcore.arrays import Array
from lrcore.directed import Directed
from lrcore.groups import Values
from lrcore.hyperparameters import Number
from lrcore.kernels import power
from lrcore.optimizers.conventions import REQUIRED, given, has_momentum
from lrcore.options import Options
from lrcore.reference import Aim, Settings
from lrcore.state import Shape
from lrcore.structure import Params

__all__ = ["SM3", "Adafactor"]


class Adafactor(Directed):
    r"""Adafactor: of the second moment, means by row and by column alone.

    .. math::

        R &\leftarrow \hat\beta R + (1 - \hat\beta)\, \operatorname{mean}_j (g_{ij}^2 + \epsilon_1) \qquad
        C \leftarrow \hat\beta C + (1 - \hat\beta)\, \operatorname{mean}_i (g_{ij}^2 + \epsilon_1) \\
        u_{ij} &= g_{ij} \Big/ \sqrt{R_i C_j / \operatorname{mean}(R)} \qquad
        \hat\beta = 1 - t^{\,\gamma} \\
        \theta &\leftarrow \theta - \alpha\; \frac{u}{\max(1,\, \operatorname{RMS}(u) / d)} \qquad
        \alpha = \max(\epsilon_2,\, \operatorname{RMS}(\theta))\, \rho

    with :math:`\gamma` = ``beta2_decay``, :math:`(\epsilon_1, \epsilon_2)` = ``eps``. An array of more axes is stepped
    as many matrices, with one RMS; one that is not factored has :math:`V \leftarrow \hat\beta V + (1 - \hat\beta)
    (g^2 + \epsilon_1)` and :math:`u = g / \sqrt V`. A matrix of n rows and m columns has
    state of n + m elements.

    ============  =========================================  ====================================================
    like          formula                                    defaults
    ============  =========================================  ====================================================
    torch         rho = min(lr, 1 / sqrt(t)); means of g^2   lr 1e-2, beta2_decay -0.8, eps (0, 1e-3), d 1,
                  alone, mean(R) at least eps1, the root     weight_decay 0
                  under g at least eps1
    keras         rho as torch; RMS(theta) after decay       lr 1e-3, beta2_decay -0.8, eps (1e-30, 1e-3), d 1,
                                                             weight_decay 0
    optax         rho = lr; decay by weight_decay theta,     lr 1, beta2_decay -0.8, eps (1e-30, 1e-3), d 1,
                  whatever lr; the two longest axes, from    weight_decay 0, momentum 0,
                  min_dim_size_to_factor on                  min_dim_size_to_factor 128, factored True,
                                                             multiply_by_parameter_scale True
    transformers  rho = lr min(1e-2, 1 / sqrt(t));           lr 1, beta2_decay -0.8, eps (1e-30, 1e-3), d 1,
                  decay by alpha weight_decay theta          weight_decay 0, momentum 0, relative_step True,
                                                             multiply_by_parameter_scale True, warmup_init False
    ============  =========================================  ====================================================

    Keras and torch factor the last two axes, as transformers does. optax's and transformers' ``lr=None`` is lr 1 here.
    Keras forms its means in float32 whatever the dtype, optax its decay of the moments; here both are formed in double
    precision. Keras's ``relative_step`` changes nothing there, and transformers' ``beta1`` is ``momentum``.

    Parameters
    ----------
    params : array, sequence, mapping, ParameterBuffer or groups
        See :class:`Optimizer`, also for what is raised. A ParameterBuffer is swept by name.
    lr : float >= 0, or schedule
        With ``relative_step``, what the relative step is multiplied by.
    beta2_decay : float <= 0, or schedule
        torch's name of what optax calls ``decay_rate``, with the other sign.
    eps : pair of float >= 0, or schedules
        Added to squares, with torch a least value; and the least scale of a parameter. With torch, 0 for the first is
        the machine epsilon of the parameter's dtype, as None is there.
    d : float > 0, or schedule
        The largest RMS of the direction; optax's ``clipping_threshold``, transformers' ``clip_threshold``. A number
        that is never reached, like 1e300, for none.
    weight_decay : float >= 0, or schedule
        Decoupled.
    momentum : float in [0, 1), or schedule
        An average of past changes with this weight; 0 for none.
    min_dim_size_to_factor : float >= 0
        An array whose second longest axis is shorter is not factored, optax alone.
    factored : bool
        optax alone; False factors nothing.
    multiply_by_parameter_scale : bool
        False leaves :math:`\max(\epsilon_2, \operatorname{RMS}(\theta))` out; transformers calls it
        ``scale_parameter``.
    relative_step, warmup_init : bool
        transformers alone. ``relative_step=False`` has rho = lr; ``warmup_init`` has 1e-6 t in place of 1e-2.

    Sources: Shazeer & Stern 2018, algorithms 4 to 6; ``torch/optim/_adafactor.py``;
    ``keras/src/optimizers/adafactor.py``; ``optax/_src/factorized.py`` and ``alias.py``;
    ``transformers/optimization.py``.
    """

    defaults: ClassVar = {
        "torch": {"lr": 1e-2, "beta2_decay": -0.8, "eps": (0.0, 1e-3), "d": 1.0, "weight_decay": 0.0},
        "keras": {"lr": 1e-3, "beta2_decay": -0.8, "eps": (1e-30, 1e-3), "d": 1.0, "weight_decay": 0.0},
        "optax": {"lr": 1.0, "beta2_decay": -0.8, "eps": (1e-30, 1e-3), "d": 1.0, "weight_decay": 0.0, "momentum": 0.0,
                  "min_dim_size_to_factor": 128.0, "factored": True, "multiply_by_parameter_scale": True},
        "transformers": {"lr": 1.0, "beta2_decay": -0.8, "eps": (1e-30, 1e-3), "d": 1.0, "weight_decay": 0.0,
                         "momentum": 0.0, "relative_step": True, "multiply_by_parameter_scale": True,
                         "warmup_init": False},
    }  # fmt: skip
    rules: ClassVar = {"sgd": {}, "momentum": {"momentum": 0.9}}
    ranges: ClassVar = {
        "beta2_decay": "(-inf, 0]", "eps": "[0, inf)", "d": "(0, inf)", "momentum": "[0, 1)",
        "min_dim_size_to_factor": "[0, inf)",
    }  # fmt: skip
    decoupled = ("torch", "keras", "optax", "transformers")
    sums = ("tt",)
    squares = True
    reads = 3

    def __init__(
        self, params: Params, lr: Number | None = None, beta2_decay: Number | None = None,
        eps: tuple[Number, Number] | None = None, d: Number | None = None, weight_decay: Number | None = None,
        *, momentum: Number | None = None, min_dim_size_to_factor: float | None = None, factored: bool | None = None,
        multiply_by_parameter_scale: bool | None = None, relative_step: bool | None = None,
        warmup_init: bool | None = None, **options: Unpack[Options],
    ) -> None:  # fmt: skip
        super().__init__(params, given(locals()), **options)

    @staticmethod
    def _rule(h: Values) -> str:
        return "momentum" if "momentum" in h and has_momentum(h) else "sgd"

    def _coefficients(self, rule: str, h: Values, lr: float, t: int, numbers: Mapping[str, float]) -> tuple[float, ...]:
        rate = numbers.get("rate", lr)
        return (rate,) if rule == "sgd" else (h["momentum"], (1.0 - h["momentum"]) * rate, 1.0)

    def _axes(self, h: Values, shape: Shape) -> tuple[int, int] | None:
        """The axes of rows and of columns, None where the array is not factored."""
        if len(shape) < 2:
            return None
        if self._like != "optax":
            return len(shape) - 2, len(shape) - 1
        *_, second, longest = map(int, np.argsort(shape))
        if not h["factored"] or shape[second] < h["min_dim_size_to_factor"]:
            return None
        return min(second, longest), max(second, longest)

    def _shapes(self, h: Values) -> Mapping[str, Callable[[Shape], Shape | None]]:
        def without(which: int) -> Callable[[Shape], Shape | None]:
            def shape_of(shape: Shape) -> Shape | None:
                axes = self._axes(h, shape)
                return axes and (*shape[: axes[which]], *shape[axes[which] + 1 :])

            return shape_of

        return {"row": without(1), "column": without(0), "v": lambda shape: None if self._axes(h, shape) else shape}

    def _aim(self, h: Values, theta: Array, states: Mapping[str, Array]) -> Aim:
        axes = self._axes(h, theta.shape)
        if axes is None:
            return Aim("moment", theta.shape, (states["v"],))
        a, b = axes
        parts = (theta.shape[:a], theta.shape[a : a + 1], theta.shape[a + 1 : b], theta.shape[b : b + 1])
        dims = (*map(math.prod, parts), math.prod(theta.shape[b + 1 :]))
        return Aim("factored", dims, (states["row"], states["column"]))

    def _settings(self, h: Values, aim: Aim, theta: Array, t: int) -> Settings:
        one_minus_beta = power(float(t), h["beta2_decay"])
        limits = np.finfo(theta.dtype)
        eps = h["eps"][0]
        if self._like == "torch":
            least = eps or float(limits.eps)
            return 1.0 - one_minus_beta, one_minus_beta, 0.0, least, 0.0, 1.0 / least
        return 1.0 - one_minus_beta, one_minus_beta, eps, 0.0, 0.0, float(limits.max)

    def _along(self, h: Values, aim: Aim, theta: Array, known: Mapping[str, float]) -> Mapping[str, float]:
        rho, keep, t = known["rate"], known["keep"], known["t"]
        if self._like in ("torch", "keras"):
            rho = min(rho, 1.0 / math.sqrt(t))
        elif h.get("relative_step"):
            rho *= min(1e-6 * t if h["warmup_init"] else 1e-2, 1.0 / math.sqrt(t))
        if h.get("multiply_by_parameter_scale", True):
            scale = math.sqrt(known["tt"]) * (keep if self._like == "keras" else 1.0)
            rho *= scale if scale > h["eps"][1] or scale != scale else h["eps"][1]
        if self._like == "optax":
            keep = 1.0 - h["weight_decay"]
        elif self._like == "transformers":
            keep = 1.0 - rho * h["weight_decay"]
        clipped = math.sqrt(known["uu"]) / h["d"]
        return {"rate": rho / clipped if clipped > 1.0 or clipped != clipped else rho, "keep": keep}


class SM3(Directed):
    r"""SM3: of the sum of squares, the largest along each axis alone.

    .. math::

        \nu_{ij} = \min(\mu^{(1)}_i, \mu^{(2)}_j) + g_{ij}^2 \qquad
        \mu^{(1)}_i \leftarrow \max_j \nu_{ij} \qquad \mu^{(2)}_j \leftarrow \max_i \nu_{ij} \qquad
        \theta \leftarrow \theta - \eta\, m \qquad
        m \leftarrow \beta m + (1 - \beta)\, \frac{g}{\sqrt{\nu + \epsilon}}

    with :math:`\eta` = ``lr``, :math:`\beta` = ``momentum``, m before the parameter; one :math:`\mu` for each axis. An
    array of one axis, or none, has the sum of squares itself: :class:`Adagrad`.

    =======  ===========  ====================================
    like     formula      defaults
    =======  ===========  ====================================
    optax    as above     lr required, momentum 0.9
    paper    as above     lr 0.1, momentum 0, eps 1e-30
    =======  ===========  ====================================

    optax's eps is 1e-8, and is no argument of its ``sm3``. The paper leaves eps out where :math:`\nu` is not 0: the
    defaults are those of pytorch_optimizer, whose ``beta`` is left out here.

    Parameters
    ----------
    params : array, sequence, mapping, ParameterBuffer or groups
        See :class:`Optimizer`, also for what is raised. A ParameterBuffer is swept by name.
    lr : float >= 0, or schedule
    momentum : float in [0, 1), or schedule
        0 keeps no m.
    eps : float >= 0, or schedule

    Sources: Anil et al. 2019, algorithm SM3-II; ``scale_by_sm3`` in ``optax/_src/transform.py``;
    ``pytorch_optimizer/optimizer/sm3.py``.
    """

    defaults: ClassVar = {
        "optax": {"lr": REQUIRED, "momentum": 0.9},
        "paper": {"lr": 0.1, "momentum": 0.0, "eps": 1e-30},
    }
    rules: ClassVar = {"momentum": {"lr": 0.1}, "sgd": {"lr": 0.1, "momentum": 0.0}}
    ranges: ClassVar = {"momentum": "[0, 1)"}
    reads = 1

    def __init__(
        self, params: Params, lr: Number | None = None, momentum: Number | None = None, eps: Number | None = None,
        **options: Unpack[Options],
    ) -> None:  # fmt: skip
        super().__init__(params, given(locals()), **options)

    @staticmethod
    def _rule(h: Values) -> str:
        return "momentum" if has_momentum(h) else "sgd"

    def _coefficients(self, rule: str, h: Values, lr: float, t: int, numbers: Mapping[str, float]) -> tuple[float, ...]:
        return (lr,) if rule == "sgd" else (h["momentum"], 1.0 - h["momentum"], lr)

    def _shapes(self, h: Values) -> Mapping[str, Callable[[Shape], Shape | None]]:
        return {"mu": lambda shape: (sum(shape),) if len(shape) > 1 else shape}

    def _aim(self, h: Values, theta: Array, states: Mapping[str, Array]) -> Aim:
        return Aim("covered" if theta.ndim > 1 else "moment", theta.shape, (states["mu"],))

    def _settings(self, h: Values, aim: Aim, theta: Array, t: int) -> Settings:
        return 1.0, 1.0, 0.0, 0.0, h.get("eps", 1e-8), float(np.finfo(theta.dtype).max)
