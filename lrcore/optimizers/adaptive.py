"""Rates adapted to the size of past gradients, element by element."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar, Unpack

from lrcore.base import Optimizer
from lrcore.groups import Values
from lrcore.hyperparameters import Number
from lrcore.kernels import power
from lrcore.optimizers.conventions import REQUIRED, Betas, eps_pair, given, has_momentum
from lrcore.options import Options
from lrcore.structure import Params

__all__ = ["Adadelta", "Adagrad", "LaProp", "RMSprop"]


class Adagrad(Optimizer):
    r"""Adagrad: each element's rate falls with the gradients it has seen.

    .. math::

        s \leftarrow s + g^2 \qquad
        \theta \leftarrow \theta - \frac{\eta}{1 + (t - 1)\, d}\; \frac{g}{\sqrt{s} + \epsilon}

    with :math:`\eta` = ``lr``, :math:`d` = ``lr_decay``, and s at first ``initial_accumulator_value``.

    =======  ======================  ==============================================================
    like     formula                 defaults
    =======  ======================  ==============================================================
    torch    as above                lr 1e-2, lr_decay 0, eps 1e-10, s 0, weight_decay 0
    keras    g / sqrt(s + eps)       lr 1e-3, eps 1e-7, s 0.1, weight_decay 0
    keras2   as above, d = decay     lr 1e-2, eps 1e-8, decay 0
    optax    g / sqrt(s + eps)       lr required, eps 1e-7, s 0.1
    =======  ======================  ==============================================================

    keras2: from Keras 2.1.3 to 2.3.1, eps is 1e-7. Where an element has had no gradient yet, and eps is 0, it rests, as
    with optax; torch and Keras give NaN there.

    Parameters
    ----------
    params : array, sequence, mapping, ParameterBuffer or groups
        See :class:`Optimizer`, also for what is raised.
    lr, lr_decay, eps, weight_decay : float >= 0, or schedule
        Weight decay is an L2 penalty; decoupled with keras.
    initial_accumulator_value : float >= 0
    decay : float >= 0, or schedule
        What torch calls ``lr_decay``, keras2 alone.

    Sources: Duchi, Hazan & Singer 2011, figure 1; ``torch/optim/adagrad.py``; ``keras/src/optimizers/adagrad.py``;
    ``scale_by_rss`` in ``optax/_src/transform.py``.
    """

    defaults: ClassVar = {
        "torch": {"lr": 1e-2, "lr_decay": 0.0, "weight_decay": 0.0, "initial_accumulator_value": 0.0, "eps": 1e-10},
        "keras": {"lr": 1e-3, "weight_decay": 0.0, "initial_accumulator_value": 0.1, "eps": 1e-7},
        "keras2": {"lr": 1e-2, "eps": 1e-8, "decay": 0.0},
        "optax": {"lr": REQUIRED, "initial_accumulator_value": 0.1, "eps": 1e-7},
    }
    rules: ClassVar = {"adagrad": {}}
    ranges: ClassVar = {"lr_decay": "[0, inf)"}

    def __init__(
        self, params: Params, lr: Number | None = None, lr_decay: Number | None = None,
        weight_decay: Number | None = None, initial_accumulator_value: float | None = None,
        eps: Number | None = None, *, decay: Number | None = None, **options: Unpack[Options],
    ) -> None:  # fmt: skip
        super().__init__(params, given(locals()), **options)

    @staticmethod
    def _rule(h: Values) -> str:
        return "adagrad"

    @staticmethod
    def _initial(h: Values) -> Mapping[str, float]:
        return {"s": h.get("initial_accumulator_value", 0.0)}

    def _coefficients(self, rule: str, h: Values, lr: float, t: int, numbers: Mapping[str, float]) -> tuple[float, ...]:
        return (lr, *eps_pair(h["eps"], inside=self._like in ("keras", "optax")))


class Adadelta(Optimizer):
    r"""Adadelta: steps in units of the parameter, from the ratio of two running averages.

    .. math::

        v \leftarrow \rho v + (1 - \rho)\, g^2 \qquad
        d = \frac{\sqrt{u + \epsilon}}{\sqrt{v + \epsilon}}\; g \qquad
        u \leftarrow \rho u + (1 - \rho)\, d^2 \qquad
        \theta \leftarrow \theta - \eta\, d

    with :math:`\eta` = ``lr``.

    =======  ===========================================  ==================================================
    like     formula                                      defaults
    =======  ===========================================  ==================================================
    torch    as above                                     lr 1, rho 0.9, eps 1e-6, weight_decay 0
    keras    as above                                     lr 1e-3, rho 0.95, eps 1e-7, weight_decay 0
    keras2   as above, eta = lr / (1 + decay (t - 1))     lr 1, rho 0.95, eps 1e-8, decay 0
    optax    as above                                     lr required, rho 0.9, eps 1e-6, weight_decay 0
    =======  ===========================================  ==================================================

    keras2: from Keras 2.1.3 to 2.3.1, eps is 1e-7.

    Parameters
    ----------
    params : array, sequence, mapping, ParameterBuffer or groups
        See :class:`Optimizer`, also for what is raised.
    lr, eps, weight_decay : float >= 0, or schedule
        Weight decay is an L2 penalty; decoupled with keras.
    rho : float in [0, 1], or schedule
    decay : float >= 0, or schedule
        Inverse-time decay of the rate, keras2 alone.

    Sources: Zeiler 2012, algorithm 1; ``torch/optim/adadelta.py``; ``keras/src/optimizers/adadelta.py``.
    """

    defaults: ClassVar = {
        "torch": {"lr": 1.0, "rho": 0.9, "eps": 1e-6, "weight_decay": 0.0},
        "keras": {"lr": 1e-3, "rho": 0.95, "eps": 1e-7, "weight_decay": 0.0},
        "keras2": {"lr": 1.0, "rho": 0.95, "eps": 1e-8, "decay": 0.0},
        "optax": {"lr": REQUIRED, "rho": 0.9, "eps": 1e-6, "weight_decay": 0.0},
    }
    rules: ClassVar = {"adadelta": {}}

    def __init__(
        self, params: Params, lr: Number | None = None, rho: Number | None = None, eps: Number | None = None,
        weight_decay: Number | None = None, *, decay: Number | None = None, **options: Unpack[Options],
    ) -> None:  # fmt: skip
        super().__init__(params, given(locals()), **options)

    @staticmethod
    def _rule(h: Values) -> str:
        return "adadelta"

    def _coefficients(self, rule: str, h: Values, lr: float, t: int, numbers: Mapping[str, float]) -> tuple[float, ...]:
        rho = h["rho"]
        return rho, 1.0 - rho, lr, h["eps"]


class RMSprop(Optimizer):
    r"""RMSprop: the gradient over its running root mean square; centered, over its running deviation.

    .. math::

        v &\leftarrow \alpha v + (1 - \alpha)\, g^2 \qquad
        \theta \leftarrow \theta - \eta\, \frac{g}{\sqrt{v} + \epsilon} \\
        \text{centered: } m &\leftarrow \alpha m + (1 - \alpha)\, g, \qquad
        \sqrt{v - m^2} \text{ for } \sqrt{v} \\
        \text{momentum: } b &\leftarrow \mu b + \frac{g}{\sqrt{v} + \epsilon} \qquad
        \theta \leftarrow \theta - \eta\, b

    with :math:`\eta` = ``lr``, :math:`\mu` = ``momentum``.

    =======  =============================================  ================================================
    like     formula                                        defaults
    =======  =============================================  ================================================
    torch    as above                                       lr 1e-2, alpha 0.99, eps 1e-8, momentum 0,
                                                            weight_decay 0
    keras    sqrt(v + eps); momentum: b = mu b + lr g / …   lr 1e-3, alpha 0.9, eps 1e-7, momentum 0,
                                                            weight_decay 0
    keras2   as torch, lr / (1 + decay (t - 1));            lr 1e-3, alpha 0.9, eps 1e-8, decay 0
             neither centered nor momentum
    optax    as keras; with ``eps_in_sqrt=False``           lr required, alpha 0.9, eps 1e-8, momentum 0,
             sqrt(v) + eps                                  v 0
    timm     as keras; with ``lr_in_momentum=False``        lr 1e-2, alpha 0.9, eps 1e-10, momentum 0,
             b as torch                                     v 1, weight_decay 0
    =======  =============================================  ================================================

    Where rounding makes v - m² negative, zero is taken for it, before eps is added; the libraries give NaN where
    their square root is of a negative number. keras2: from Keras 2.1.3 to 2.3.1, eps is 1e-7.

    Parameters
    ----------
    params : array, sequence, mapping, ParameterBuffer or groups
        See :class:`Optimizer`, also for what is raised.
    lr, eps, weight_decay : float >= 0, or schedule
        Weight decay is an L2 penalty; decoupled with keras.
    decoupled_weight_decay : bool
        timm alone, which calls it ``decoupled_decay``: decay as in :class:`AdamW`.
    alpha : float in [0, 1], or schedule
        Smoothing constant; ``rho`` in Keras, ``decay`` in optax.
    momentum : float >= 0, or schedule
        0 keeps no velocity.
    centered : bool
    initial_scale : float >= 0
        optax, and timm, which has no name for it: what v begins with.
    lr_in_momentum : bool
        timm alone: whether what was gathered at an old rate keeps it.
    eps_in_sqrt : bool
        optax alone: whether eps is under the root, or beside it.
    nesterov : bool
        optax alone, with momentum > 0: the step is :math:`\mu b + \eta\, g / \dots` in place of b.
    bias_correction : bool
        optax alone: v and m are divided by :math:`1 - \alpha^t`; then alpha must be < 1.
    decay : float >= 0, or schedule
        Inverse-time decay of the rate, keras2 alone.

    Sources: Tieleman & Hinton 2012, lecture 6.5; Graves 2013, eq. 38-41; ``torch/optim/rmsprop.py``;
    ``keras/src/optimizers/rmsprop.py``; ``scale_by_rms`` in ``optax/_src/transform.py``; ``timm/optim/rmsprop_tf.py``.
    """

    defaults: ClassVar = {
        "torch": {"lr": 1e-2, "alpha": 0.99, "eps": 1e-8, "weight_decay": 0.0, "momentum": 0.0, "centered": False},
        "keras": {"lr": 1e-3, "alpha": 0.9, "eps": 1e-7, "weight_decay": 0.0, "momentum": 0.0, "centered": False},
        "keras2": {"lr": 1e-3, "alpha": 0.9, "eps": 1e-8, "decay": 0.0},
        "optax": {"lr": REQUIRED, "alpha": 0.9, "eps": 1e-8, "initial_scale": 0.0, "eps_in_sqrt": True,
                  "centered": False, "momentum": 0.0, "nesterov": False, "bias_correction": False},
        "timm": {"lr": 1e-2, "alpha": 0.9, "eps": 1e-10, "weight_decay": 0.0, "momentum": 0.0, "centered": False,
                 "initial_scale": 1.0, "decoupled_weight_decay": False, "lr_in_momentum": True},
    }  # fmt: skip
    rules: ClassVar = {
        "rmsprop": {},
        "rmsprop_momentum": {"momentum": 0.9},
        "rmsprop_centered": {"centered": True},
        "rmsprop_centered_momentum": {"centered": True, "momentum": 0.9},
    }

    def __init__(
        self, params: Params, lr: Number | None = None, alpha: Number | None = None, eps: Number | None = None,
        weight_decay: Number | None = None, momentum: Number | None = None, centered: bool | None = None,
        *, decay: Number | None = None, initial_scale: float | None = None, eps_in_sqrt: bool | None = None,
        nesterov: bool | None = None, bias_correction: bool | None = None,
        decoupled_weight_decay: bool | None = None, lr_in_momentum: bool | None = None, **options: Unpack[Options],
    ) -> None:  # fmt: skip
        super().__init__(params, given(locals()), **options)

    @staticmethod
    def _rule(h: Values) -> str:
        centered = "_centered" if h.get("centered") else ""
        momentum = "_momentum" if has_momentum(h) else ""
        return f"rmsprop{centered}{momentum}"

    @staticmethod
    def _initial(h: Values) -> Mapping[str, float]:
        return {"v": h.get("initial_scale", 0.0)}

    def _coefficients(self, rule: str, h: Values, lr: float, t: int, numbers: Mapping[str, float]) -> tuple[float, ...]:
        alpha, correction = h["alpha"], 1.0
        if h.get("bias_correction"):
            correction = 1.0 - power(alpha, t)
            if correction <= 0.0:
                raise ValueError(f"alpha must be < 1 with bias_correction, got {alpha}")
        root = math.sqrt(correction)
        inside = self._like in ("keras", "optax", "timm")
        eps_in, eps = eps_pair(h["eps"], inside and h.get("eps_in_sqrt", True))
        ends = eps_in * correction, eps * root
        center = (1.0 / correction,) if "_centered" in rule else ()
        if not rule.endswith("_momentum"):
            return alpha, 1.0 - alpha, *center, lr * root, *ends
        mu = h["momentum"]
        gain, rate = (lr * root, 1.0) if inside and h.get("lr_in_momentum", True) else (root, lr)
        rates = (rate, rate * mu) if h.get("nesterov") else (0.0, rate)
        return alpha, 1.0 - alpha, *center, *ends, mu, gain, *rates


class LaProp(Optimizer):
    r"""LaProp: momentum of gradients that were scaled before, by the root mean square that each of them met.

    .. math::

        v &\leftarrow \beta_2 v + (1 - \beta_2)\, g^2 \qquad
        b \leftarrow \beta_1 b + (1 - \beta_1)\, \eta\, \frac{g}{\sqrt{v / (1 - \beta_2^t)} + \epsilon} \\
        \bar\eta &\leftarrow \beta_1 \bar\eta + (1 - \beta_1)\, \eta \qquad
        \theta \leftarrow (1 - \eta \lambda) \left(\theta - \frac{\eta}{\bar\eta}\, b\right)

    with :math:`\eta` = ``lr`` at this step, :math:`\lambda` = ``weight_decay``. Where the rate stays as it is,
    :math:`\bar\eta / \eta = 1 - \beta_1^t`.

    =======  =========  ====================================================================
    like     formula    defaults
    =======  =========  ====================================================================
    timm     as above   lr 4e-4, betas (0.9, 0.999), eps 1e-15, weight_decay 0
    =======  =========  ====================================================================

    The decay, decoupled, comes after the step, and holds of it too.

    Parameters
    ----------
    params : array, sequence, mapping, ParameterBuffer or groups
        See :class:`Optimizer`, also for what is raised.
    lr, eps, weight_decay : float >= 0, or schedule
    betas : pair of float in [0, 1), or schedules

    Sources: Ziyin, Wang & Ueda 2020, algorithm 1; ``timm/optim/laprop.py``.
    """

    defaults: ClassVar = {"timm": {"lr": 4e-4, "betas": (0.9, 0.999), "eps": 1e-15, "weight_decay": 0.0}}
    rules: ClassVar = {"rmsprop_momentum": {}}
    decoupled = ("timm",)
    numbers: ClassVar = {"average_rate": "[0, inf)"}

    def __init__(
        self, params: Params, lr: Number | None = None, betas: Betas | None = None, eps: Number | None = None,
        weight_decay: Number | None = None, **options: Unpack[Options],
    ) -> None:  # fmt: skip
        super().__init__(params, given(locals()), **options)

    @staticmethod
    def _rule(h: Values) -> str:
        return "rmsprop_momentum"

    @staticmethod
    def _initial_numbers(like: str) -> Mapping[str, float]:
        return {"average_rate": 0.0}

    def _coefficients(self, rule: str, h: Values, lr: float, t: int, numbers: Mapping[str, float]) -> tuple[float, ...]:
        beta1, beta2 = h["betas"]
        root_correction2 = math.sqrt(1.0 - power(beta2, t))
        average = self._averaged_rate(h, lr, numbers)
        rate = lr / average * (1.0 - lr * h["weight_decay"]) if average else 0.0
        return (beta2, 1.0 - beta2, 0.0, h["eps"] * root_correction2, beta1, lr * (1.0 - beta1) * root_correction2,
                0.0, rate)  # fmt: skip

    @staticmethod
    def _averaged_rate(h: Values, lr: float, numbers: Mapping[str, float]) -> float:
        beta1: float = h["betas"][0]
        return beta1 * numbers["average_rate"] + (1.0 - beta1) * lr

    def _advance(self, h: Values, t: int, numbers: Mapping[str, float]) -> Mapping[str, float]:
        return {"average_rate": self._averaged_rate(h, h["lr"], numbers)}
