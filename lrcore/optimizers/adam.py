"""Adam and its kin: momentum over a size of past gradients."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar, Unpack

from lrcore.base import Optimizer
from lrcore.groups import Values
from lrcore.hyperparameters import Number
from lrcore.kernels import power
from lrcore.optimizers.conventions import (
    KERAS,
    REQUIRED,
    Betas,
    corrected,
    eps_pair,
    given,
    rectification,
    shares,
    uses,
)
from lrcore.options import Options
from lrcore.structure import Params

__all__ = ["Adam", "AdamW", "Adamax", "AdamaxW", "RAdam"]


class Adam(Optimizer):
    r"""Adam: momentum over root mean square, both corrected for their start at zero.

    .. math::

        m &\leftarrow \beta_1 m + (1 - \beta_1)\, g \qquad v \leftarrow \beta_2 v + (1 - \beta_2)\, g^2 \\
        \theta &\leftarrow \theta - \eta\; \frac{m / (1 - \beta_1^t)}{\sqrt{v / (1 - \beta_2^t)} + \epsilon}

    with :math:`\eta` = ``lr``; AMSGrad has the largest v so far in place of v. Computed as
    :math:`\eta_t\, m / (\sqrt{v} + \hat\epsilon)` with :math:`\eta_t = \eta \sqrt{1 - \beta_2^t} / (1 - \beta_1^t)`.

    =======  ==========================================  ======================================================
    like     formula                                     defaults
    =======  ==========================================  ======================================================
    torch    eps-hat = eps sqrt(1 - beta2^t), as above   lr 1e-3, betas (0.9, 0.999), eps 1e-8, weight_decay 0
    keras    eps-hat = eps: at first, a larger eps       lr 1e-3, betas (0.9, 0.999), eps 1e-7, weight_decay 0
    keras2   as keras, lr / (1 + decay (t - 1))          lr 1e-3, betas (0.9, 0.999), eps 1e-8, decay 0
    optax    as torch, sqrt(v / (1 - beta2^t) +          lr required, betas (0.9, 0.999), eps 1e-8, eps_root 0
             eps_root); AMSGrad compares v / (1 -
             beta2^t), and has eps_root beside that
    =======  ==========================================  ======================================================

    keras2: from Keras 2.1.3 to 2.3.1, eps is 1e-7; earlier ones have no AMSGrad.

    Parameters
    ----------
    params : array, sequence, mapping, ParameterBuffer or groups
        See :class:`Optimizer`, also for what is raised.
    lr, eps, weight_decay : float >= 0, or schedule
        Weight decay is an L2 penalty; decoupled with keras.
    betas : pair of float in [0, 1), or schedules
    amsgrad : bool
    decoupled_weight_decay : bool
        torch alone: decay as in :class:`AdamW`.
    decay : float >= 0, or schedule
        Inverse-time decay of the rate, keras2 alone.
    eps_root : float >= 0, or schedule
        optax alone, added to v under its root.
    nesterov : bool
        optax alone: the momentum of :class:`NAdam` there. Not together with ``amsgrad``.
    bias_correction_mu, bias_correction_nu : bool
        optax's AMSGrad alone: False leaves m, or v, as it is.

    Sources: Kingma & Ba 2015, algorithm 1 and the end of section 2; Reddi, Kale & Kumar 2018, algorithm 2;
    ``torch/optim/adam.py``; ``keras/src/optimizers/adam.py``; ``optax/_src/transform.py``.
    """

    defaults: ClassVar = {
        "torch": {"lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.0, "amsgrad": False,
                  "decoupled_weight_decay": False},
        "keras": {"lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-7, "weight_decay": 0.0, "amsgrad": False},
        "keras2": {"lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-8, "amsgrad": False, "decay": 0.0},
        "optax": {"lr": REQUIRED, "betas": (0.9, 0.999), "eps": 1e-8, "eps_root": 0.0, "nesterov": False,
                  "amsgrad": False, "bias_correction_mu": True, "bias_correction_nu": True},
    }  # fmt: skip
    rules: ClassVar = {"adam": {}, "amsgrad": {"amsgrad": True}, "nadam": {"nesterov": True}}
    maskable = ("adam", "amsgrad", "nadam")

    def __init__(
        self, params: Params, lr: Number | None = None, betas: Betas | None = None, eps: Number | None = None,
        weight_decay: Number | None = None, amsgrad: bool | None = None,
        *, decoupled_weight_decay: bool | None = None, decay: Number | None = None, eps_root: Number | None = None,
        nesterov: bool | None = None, bias_correction_mu: bool | None = None, bias_correction_nu: bool | None = None,
        **options: Unpack[Options],
    ) -> None:  # fmt: skip
        super().__init__(params, given(locals()), **options)

    @staticmethod
    def _rule(h: Values) -> str:
        if h.get("amsgrad"):
            return "amsgrad"
        return "nadam" if h.get("nesterov") or uses(h, "eps_root") else "adam"

    @staticmethod
    def _check_together(h: Values, like: str) -> None:
        if h.get("amsgrad") and h.get("nesterov"):
            raise ValueError("nesterov must be False with amsgrad, got True")
        for name in ("bias_correction_mu", "bias_correction_nu"):
            if not h.get("amsgrad") and not h.get(name, True):
                raise ValueError(f"{name} must be True without amsgrad, got False")

    def _coefficients(self, rule: str, h: Values, lr: float, t: int, numbers: Mapping[str, float]) -> tuple[float, ...]:
        if rule == "nadam":
            return corrected(h, lr, t, *shares(h["betas"][0], t, h["nesterov"]))
        beta1, beta2 = h["betas"]
        correction1 = 1.0 - power(beta1, t)
        correction2 = 1.0 - power(beta2, t)
        root_correction2 = math.sqrt(correction2)
        rate = lr * root_correction2 / correction1
        eps = h["eps"] if self._like in KERAS else h["eps"] * root_correction2
        if rule == "adam":
            return beta1, 1.0 - beta1, beta2, 1.0 - beta2, rate, eps
        if self._like == "optax":
            correction = 1.0 / correction2 if h["bias_correction_nu"] else 1.0
            rate = lr / correction1 if h["bias_correction_mu"] else lr
            return beta1, 1.0 - beta1, beta2, 1.0 - beta2, correction, rate, h["eps_root"], h["eps"]
        return beta1, 1.0 - beta1, beta2, 1.0 - beta2, 1.0, rate, 0.0, eps


class AdamW(Adam):
    r"""Adam with decoupled weight decay.

    .. math::

        \theta \leftarrow (1 - \eta \lambda)\, \theta
        - \eta\; \frac{m / (1 - \beta_1^t)}{\sqrt{v / (1 - \beta_2^t)} + \epsilon}

    with :math:`\eta` = ``lr`` at this step, :math:`\lambda` = ``weight_decay``, and m, v as in :class:`Adam`.

    =======  =============================  =================================================================
    like     formula                        defaults
    =======  =============================  =================================================================
    torch    as above                       lr 1e-3, betas (0.9, 0.999), eps 1e-8, weight_decay 1e-2
    keras    eps-hat as in :class:`Adam`    lr 1e-3, betas (0.9, 0.999), eps 1e-7, weight_decay 4e-3
    optax    as above                       lr required, betas (0.9, 0.999), eps 1e-8, eps_root 0,
                                            weight_decay 1e-4
    =======  =============================  =================================================================

    Keras 1 and 2 have no AdamW. Parameters are those of :class:`Adam`; optax has no ``amsgrad`` here, but ``eps_root``
    and ``nesterov``, with which it is its :class:`NAdamW`.

    Sources: Loshchilov & Hutter 2019, algorithm 2; ``torch/optim/adamw.py``; ``keras/src/optimizers/adamw.py``.
    """

    defaults: ClassVar = {
        "torch": {"lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 1e-2, "amsgrad": False},
        "keras": {"lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-7, "weight_decay": 4e-3, "amsgrad": False},
        "optax": {"lr": REQUIRED, "betas": (0.9, 0.999), "eps": 1e-8, "eps_root": 0.0, "weight_decay": 1e-4,
                  "nesterov": False},
    }  # fmt: skip
    decoupled = ("torch", "keras", "optax")

    def __init__(
        self, params: Params, lr: Number | None = None, betas: Betas | None = None, eps: Number | None = None,
        weight_decay: Number | None = None, amsgrad: bool | None = None,
        *, eps_root: Number | None = None, nesterov: bool | None = None, **options: Unpack[Options],
    ) -> None:  # fmt: skip
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad, eps_root=eps_root, nesterov=nesterov, **options)


class Adamax(Optimizer):
    r"""Adamax: Adam with the largest recent gradient in place of the root mean square.

    .. math::

        m \leftarrow \beta_1 m + (1 - \beta_1)\, g \qquad u \leftarrow \max(\beta_2 u,\; |g| + \epsilon) \qquad
        \theta \leftarrow \theta - \frac{\eta}{1 - \beta_1^t}\, \frac{m}{u}

    with :math:`\eta` = ``lr``.

    =======  ===================================  ===========================================================
    like     formula                              defaults
    =======  ===================================  ===========================================================
    torch    as above                             lr 2e-3, betas (0.9, 0.999), eps 1e-8, weight_decay 0
    keras    u = max(beta2 u, |g|); m / (u+eps)   lr 1e-3, betas (0.9, 0.999), eps 1e-7, weight_decay 0
    keras2   as keras, lr / (1 + decay (t - 1))   lr 2e-3, betas (0.9, 0.999), eps 1e-8, decay 0
    optax    as torch                             lr required, betas (0.9, 0.999), eps 1e-8
    =======  ===================================  ===========================================================

    keras2: from Keras 2.1.3 to 2.3.1, eps is 1e-7.

    Parameters
    ----------
    params : array, sequence, mapping, ParameterBuffer or groups
        See :class:`Optimizer`, also for what is raised.
    lr, eps, weight_decay : float >= 0, or schedule
        Weight decay is an L2 penalty; decoupled with keras.
    betas : pair of float in [0, 1), or schedules
    decay : float >= 0, or schedule
        Inverse-time decay of the rate, keras2 alone.

    Sources: Kingma & Ba 2015, algorithm 2; ``torch/optim/adamax.py``; ``keras/src/optimizers/adamax.py``.
    """

    defaults: ClassVar = {
        "torch": {"lr": 2e-3, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.0},
        "keras": {"lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-7, "weight_decay": 0.0},
        "keras2": {"lr": 2e-3, "betas": (0.9, 0.999), "eps": 1e-8, "decay": 0.0},
        "optax": {"lr": REQUIRED, "betas": (0.9, 0.999), "eps": 1e-8},
    }
    rules: ClassVar = {"adamax": {}}

    def __init__(
        self, params: Params, lr: Number | None = None, betas: Betas | None = None, eps: Number | None = None,
        weight_decay: Number | None = None, *, decay: Number | None = None, **options: Unpack[Options],
    ) -> None:  # fmt: skip
        super().__init__(params, given(locals()), **options)

    @staticmethod
    def _rule(h: Values) -> str:
        return "adamax"

    def _coefficients(self, rule: str, h: Values, lr: float, t: int, numbers: Mapping[str, float]) -> tuple[float, ...]:
        beta1, beta2 = h["betas"]
        return (
            beta1,
            1.0 - beta1,
            beta2,
            lr / (1.0 - power(beta1, t)),
            *eps_pair(h["eps"], inside=self._like not in KERAS),
        )


class AdamaxW(Adamax):
    r"""Adamax with decoupled weight decay.

    .. math::

        \theta \leftarrow (1 - \eta \lambda)\, \theta - \frac{\eta}{1 - \beta_1^t}\, \frac{m}{u}

    with :math:`\eta` = ``lr`` at this step, :math:`\lambda` = ``weight_decay``, and m, u as in :class:`Adamax`.

    =======  =========  ===============================================================
    like     formula    defaults
    =======  =========  ===============================================================
    optax    as above   lr required, betas (0.9, 0.999), eps 1e-8, weight_decay 1e-4
    =======  =========  ===============================================================

    In Keras every Adamax decays so. Parameters are those of :class:`Adamax`.

    Sources: Kingma & Ba 2015, algorithm 2; Loshchilov & Hutter 2019; ``adamaxw`` in ``optax/_src/alias.py``.
    """

    defaults: ClassVar = {"optax": {"lr": REQUIRED, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 1e-4}}
    decoupled = ("optax",)

    def __init__(
        self, params: Params, lr: Number | None = None, betas: Betas | None = None, eps: Number | None = None,
        weight_decay: Number | None = None, **options: Unpack[Options],
    ) -> None:  # fmt: skip
        super().__init__(params, lr, betas, eps, weight_decay, **options)


class RAdam(Optimizer):
    r"""RAdam: Adam that leaves v out of its first steps, until enough gradients tell of it, and then begins slowly.

    .. math::

        \rho_\infty &= \frac{2}{1 - \beta_2} - 1 \qquad
        \rho = \rho_\infty - \frac{2\, t\, \beta_2^t}{1 - \beta_2^t} \qquad
        r = \sqrt{\frac{(\rho - 4)(\rho - 2)\, \rho_\infty}{(\rho_\infty - 4)(\rho_\infty - 2)\, \rho}} \\
        \theta &\leftarrow \theta - \eta\, \frac{m}{1 - \beta_1^t} \begin{cases}
        r\, \sqrt{1 - \beta_2^t}\, /\, (\sqrt{v} + \epsilon) & \text{where } \rho > 5 \\
        1 & \text{else} \end{cases}

    with :math:`\eta` = ``lr``, and m, v as in :class:`Adam`.

    =======  ==========================================  ========================================================
    like     formula                                     defaults
    =======  ==========================================  ========================================================
    torch    as above                                    lr 1e-3, betas (0.9, 0.999), eps 1e-8, weight_decay 0
    optax    r / (sqrt(v / (1 - beta2^t) + eps_root) +   lr required, betas (0.9, 0.999), eps 1e-8, eps_root 0,
             eps) where rho >= threshold                 threshold 5
    timm     where rho >= 5                              lr 1e-3, betas (0.9, 0.999), eps 1e-8, weight_decay 0
    =======  ==========================================  ========================================================

    With the default betas :math:`\rho > 5` from step 6 on; with :math:`\beta_2 \le 2/3` at no step.

    Parameters
    ----------
    params : array, sequence, mapping, ParameterBuffer or groups
        See :class:`Optimizer`, also for what is raised.
    lr, eps, weight_decay : float >= 0, or schedule
        Weight decay is an L2 penalty; decoupled with timm.
    betas : pair of float in [0, 1), or schedules
    decoupled_weight_decay : bool
        torch alone: decay as in :class:`AdamW`.
    eps_root : float >= 0, or schedule
        optax alone, added to v under its root.
    threshold : float >= 4, or schedule
        optax alone. Below 4, which optax lets through, r may be the root of a negative number.
    nesterov : bool
        optax alone: the momentum of :class:`NAdam` there.

    Sources: Liu et al. 2020, algorithm 2; ``torch/optim/radam.py``; ``scale_by_radam`` in ``optax/_src/transform.py``;
    ``RAdamLegacy`` in ``timm/optim/radam.py``.
    """

    defaults: ClassVar = {
        "torch": {"lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.0,
                  "decoupled_weight_decay": False},
        "optax": {"lr": REQUIRED, "betas": (0.9, 0.999), "eps": 1e-8, "eps_root": 0.0, "threshold": 5.0,
                  "nesterov": False},
        "timm": {"lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.0},
    }  # fmt: skip
    rules: ClassVar = {"nadam": {}}
    ranges: ClassVar = {"threshold": "[4, inf)"}
    decoupled = ("timm",)

    def __init__(
        self, params: Params, lr: Number | None = None, betas: Betas | None = None, eps: Number | None = None,
        weight_decay: Number | None = None, decoupled_weight_decay: bool | None = None,
        *, eps_root: Number | None = None, threshold: Number | None = None, nesterov: bool | None = None,
        **options: Unpack[Options],
    ) -> None:  # fmt: skip
        super().__init__(params, given(locals()), **options)

    @staticmethod
    def _rule(h: Values) -> str:
        return "nadam"

    def _coefficients(self, rule: str, h: Values, lr: float, t: int, numbers: Mapping[str, float]) -> tuple[float, ...]:
        beta1, beta2 = h["betas"]
        share_g, share_m = shares(beta1, t, h.get("nesterov", False))
        rho, r = rectification(beta2, t)
        if r is not None and (rho > 5.0 if self._like == "torch" else rho >= h.get("threshold", 5.0)):
            coefficients = corrected(h, lr * r, t, share_g, share_m)
            return coefficients if self._like == "optax" else (*coefficients[:-1], h["eps"])
        return beta1, 1.0 - beta1, beta2, 1.0 - beta2, lr * share_g, lr * share_m, 0.0, 0.0, 1.0
