"""Adam whose rate in each array follows from the step that it would take there."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar, Unpack

from lrcore.base import Optimizer
from lrcore.groups import Values
from lrcore.hyperparameters import Number
from lrcore.kernels import power
from lrcore.optimizers.conventions import REQUIRED, Betas, given
from lrcore.options import Options
from lrcore.structure import Params

__all__ = ["LAMB", "StableAdamW"]


class LAMB(Optimizer):
    r"""LAMB: Adam, each array moved by a share of its own size.

    .. math::

        u = \frac{m / (1 - \beta_1^t)}{\sqrt{v / (1 - \beta_2^t)} + \epsilon} + \lambda \theta \qquad
        \theta \leftarrow \theta - \eta\, \frac{\lVert\theta\rVert}{\lVert u\rVert}\, u

    with :math:`\eta` = ``lr``, :math:`\lambda` = ``weight_decay``, m and v as in :class:`Adam`. The norms are of each
    array by itself, also in a ParameterBuffer; where one of them is 0, their ratio is 1, also where the square of the
    second is no normal number of the parameter's dtype.

    =======  ==============================================  ===================================================
    like     formula                                         defaults
    =======  ==============================================  ===================================================
    optax    as above                                        lr required, betas (0.9, 0.999), eps 1e-6,
                                                             weight_decay 0
    keras    :math:`(1 - \eta\lambda)\,\theta` first,        lr 1e-3, betas (0.9, 0.999), eps 1e-7,
             and not in u                                    weight_decay 0
    timm     the ratio is 1 without decay                    lr 1e-3, betas (0.9, 0.999), eps 1e-6,
                                                             weight_decay 1e-2, bias_correction True,
                                                             grad_averaging True, trust_clip False,
                                                             always_adapt False, decoupled_weight_decay False
    paper    as above                                        lr required, betas (0.9, 0.999), eps 1e-6,
                                                             weight_decay 1e-2
    =======  ==============================================  ===================================================

    timm clips by the norm of all gradients unless told otherwise: ``clip_norm=1.0`` here.

    Parameters
    ----------
    params : array, sequence, mapping, ParameterBuffer or groups
        See :class:`Optimizer`, also for what is raised.
    lr, eps, weight_decay : float >= 0, or schedule
    betas : pair of float in [0, 1), or schedules
    bias_correction : bool
        timm alone: whether m and v are corrected for their start at zero.
    grad_averaging : bool
        timm alone: whether the gradient is multiplied by :math:`1 - \beta_1` in m.
    trust_clip : bool
        timm alone: the ratio is at most 1, "LAMBC".
    always_adapt : bool
        timm alone: the ratio without decay, too.
    decoupled_weight_decay : bool
        timm alone: decay as with keras.

    Sources: You et al. 2020, algorithm 2; ``lamb`` in ``optax/_src/alias.py``; ``keras/src/optimizers/lamb.py``;
    ``timm/optim/lamb.py``.
    """

    defaults: ClassVar = {
        "optax": {"lr": REQUIRED, "betas": (0.9, 0.999), "eps": 1e-6, "weight_decay": 0.0},
        "keras": {"lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-7, "weight_decay": 0.0},
        "timm": {"lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-6, "weight_decay": 1e-2, "bias_correction": True,
                 "grad_averaging": True, "trust_clip": False, "always_adapt": False, "decoupled_weight_decay": False},
        "paper": {"lr": REQUIRED, "betas": (0.9, 0.999), "eps": 1e-6, "weight_decay": 1e-2},
    }  # fmt: skip
    rules: ClassVar = {"adam": {}}
    decoupled = ("optax", "keras", "timm", "paper")
    sums = ("tt",)
    looks: ClassVar = {"adam": ("uu",)}

    def __init__(
        self, params: Params, lr: Number | None = None, betas: Betas | None = None, eps: Number | None = None,
        weight_decay: Number | None = None, *, bias_correction: bool | None = None, grad_averaging: bool | None = None,
        trust_clip: bool | None = None, always_adapt: bool | None = None, decoupled_weight_decay: bool | None = None,
        **options: Unpack[Options],
    ) -> None:  # fmt: skip
        super().__init__(params, given(locals()), **options)

    @staticmethod
    def _rule(h: Values) -> str:
        return "adam"

    def _decays_first(self, h: Values) -> bool:
        return self._like == "keras" or h.get("decoupled_weight_decay", False)

    def _look(self, look: str, h: Values, lr: float, t: int, numbers: Mapping[str, float]) -> tuple[float, ...]:
        decay = 0.0 if self._decays_first(h) else h["weight_decay"]
        return (-decay, *self._coefficients(look, h, 1.0, t, numbers))  # u = -decay theta - 1 m / (sqrt(v) + eps)

    def _rates(self, h: Values, lr: float, t: int, numbers: Mapping[str, float]) -> tuple[float, float]:
        first = self._decays_first(h)
        squares = numbers["adam.uu"]
        size, step = math.sqrt(numbers["tt"]), math.sqrt(squares) if not squares < numbers["tiny"] else 0.0
        if first:
            size *= abs(1.0 - lr * h["weight_decay"])
        ratio = (
            size / step if size > 0.0 and step > 0.0 and h.get("always_adapt", True) | (h["weight_decay"] != 0) else 1.0
        )
        ratio = min(ratio, 1.0) if h.get("trust_clip") else ratio
        return lr * ratio, lr if first else lr * ratio

    def _coefficients(self, rule: str, h: Values, lr: float, t: int, numbers: Mapping[str, float]) -> tuple[float, ...]:
        beta1, beta2 = h["betas"]
        correction1, correction2 = 1.0, 1.0
        if h.get("bias_correction", True):
            correction1, correction2 = 1.0 - power(beta1, t), math.sqrt(1.0 - power(beta2, t))
        gain = 1.0 - beta1 if h.get("grad_averaging", True) else 1.0
        return beta1, gain, beta2, 1.0 - beta2, lr * correction2 / correction1, h["eps"] * correction2


class StableAdamW(Optimizer):
    r"""AdamW that takes smaller steps where gradients are larger than their root mean square.

    .. math::

        \eta_t = \frac{\eta}{\max(1, r)} \qquad r^2 = \operatorname{mean} \frac{g^2}{\max(\hat v, \epsilon^2)} \qquad
        \theta \leftarrow (1 - \eta_t \lambda)\, \theta - \eta_t\, \frac{\hat m}{\sqrt{\hat v} + \epsilon}

    with :math:`\eta` = ``lr``, :math:`\lambda` = ``weight_decay``, and :math:`\hat m`, :math:`\hat v` the moments of
    :class:`Adam` corrected for their start at zero. The mean is over each array by itself, also in a ParameterBuffer.

    =======  =================================================  ===============================================
    like     formula                                            defaults
    =======  =================================================  ===============================================
    timm     decay with :math:`\eta`; the mean is of            lr 1e-3, betas (0.9, 0.999), eps 1e-8,
             :math:`(g / (\sqrt{\hat v} + \epsilon))^2`         weight_decay 1e-2, clipping_threshold 1
    paper    as above                                           lr 1e-3, betas (0.9, 0.99), eps 1e-8,
                                                                weight_decay 1e-2, decoupled_weight_decay True
    =======  =================================================  ===============================================

    timm: its AdamW with a ``clipping_threshold``, which divides r. paper: with the defaults of pytorch_optimizer.

    Parameters
    ----------
    params : array, sequence, mapping, ParameterBuffer or groups
        See :class:`Optimizer`, also for what is raised.
    lr, eps, weight_decay : float >= 0, or schedule
    betas : pair of float in [0, 1), or schedules
    clipping_threshold : float > 0, or schedule
        timm alone.
    decoupled_weight_decay : bool
        paper alone: False makes decay an L2 penalty.

    Sources: Wortsman et al. 2023 (arXiv 2304.13013), algorithm 2; ``timm/optim/adamw.py``;
    ``pytorch_optimizer/optimizer/adamw.py``.
    """

    defaults: ClassVar = {
        "timm": {"lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 1e-2, "clipping_threshold": 1.0},
        "paper": {"lr": 1e-3, "betas": (0.9, 0.99), "eps": 1e-8, "weight_decay": 1e-2, "decoupled_weight_decay": True},
    }
    rules: ClassVar = {"adam": {}}
    ranges: ClassVar = {"clipping_threshold": "(0, inf)"}
    decoupled = ("timm",)
    looks: ClassVar = {"update_rms": ("uu",)}

    def __init__(
        self, params: Params, lr: Number | None = None, betas: Betas | None = None, eps: Number | None = None,
        weight_decay: Number | None = None, *, clipping_threshold: Number | None = None,
        decoupled_weight_decay: bool | None = None, **options: Unpack[Options],
    ) -> None:  # fmt: skip
        super().__init__(params, given(locals()), **options)

    @staticmethod
    def _rule(h: Values) -> str:
        return "adam"

    def _look(self, look: str, h: Values, lr: float, t: int, numbers: Mapping[str, float]) -> tuple[float, ...]:
        _, beta2 = h["betas"]
        eps = h["eps"] * math.sqrt(1.0 - power(beta2, t))
        return beta2, 1.0 - beta2, *((0.0, eps) if self._like == "timm" else (eps, 0.0))

    def _rates(self, h: Values, lr: float, t: int, numbers: Mapping[str, float]) -> tuple[float, float]:
        correction = 1.0 - power(h["betas"][1], t)
        rms = math.sqrt(correction * numbers["update_rms.uu"] / max(numbers["n"], 1.0))
        rate = lr / max(rms / h.get("clipping_threshold", 1.0), 1.0)
        return rate, lr if self._like == "timm" else rate

    def _coefficients(self, rule: str, h: Values, lr: float, t: int, numbers: Mapping[str, float]) -> tuple[float, ...]:
        beta1, beta2 = h["betas"]
        correction2 = math.sqrt(1.0 - power(beta2, t))
        rate = lr * correction2 / (1.0 - power(beta1, t))
        return beta1, 1.0 - beta1, beta2, 1.0 - beta2, rate, h["eps"] * correction2
