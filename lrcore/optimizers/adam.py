"""Adam and its kin: momentum over a size of past gradients."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar, Unpack

from lrcore.base import Optimizer
from lrcore.groups import Values
from lrcore.hyperparameters import Number
from lrcore.kernels import power
from lrcore.optimizers.conventions import KERAS, REQUIRED, Betas, eps_pair, given
from lrcore.options import Options
from lrcore.structure import Params

__all__ = ["Adam", "AdamW", "Adamax", "NAdam"]


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
    optax    as torch; AMSGrad compares                  lr required, betas (0.9, 0.999), eps 1e-8
             v / (1 - beta2^t)
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

    Sources: Kingma & Ba 2015, algorithm 1 and the end of section 2; Reddi, Kale & Kumar 2018, algorithm 2;
    ``torch/optim/adam.py``; ``keras/src/optimizers/adam.py``; ``optax/_src/transform.py``.
    """

    defaults: ClassVar = {
        "torch": {"lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.0, "amsgrad": False,
                  "decoupled_weight_decay": False},
        "keras": {"lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-7, "weight_decay": 0.0, "amsgrad": False},
        "keras2": {"lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-8, "amsgrad": False, "decay": 0.0},
        "optax": {"lr": REQUIRED, "betas": (0.9, 0.999), "eps": 1e-8, "amsgrad": False},
    }  # fmt: skip
    rules: ClassVar = {"adam": {}, "amsgrad": {"amsgrad": True}}
    maskable = ("adam", "amsgrad")

    def __init__(
        self, params: Params, lr: Number | None = None, betas: Betas | None = None, eps: Number | None = None,
        weight_decay: Number | None = None, amsgrad: bool | None = None,
        *, decoupled_weight_decay: bool | None = None, decay: Number | None = None, **options: Unpack[Options],
    ) -> None:  # fmt: skip
        super().__init__(params, given(locals()), **options)

    @staticmethod
    def _rule(h: Values) -> str:
        return "amsgrad" if h.get("amsgrad") else "adam"

    def _coefficients(self, rule: str, h: Values, lr: float, t: int, numbers: Mapping[str, float]) -> tuple[float, ...]:
        beta1, beta2 = h["betas"]
        correction1 = 1.0 - power(beta1, t)
        correction2 = 1.0 - power(beta2, t)
        root_correction2 = math.sqrt(correction2)
        rate = lr * root_correction2 / correction1
        eps = h["eps"] if self._like in KERAS else h["eps"] * root_correction2
        if rule == "adam":
            return beta1, 1.0 - beta1, beta2, 1.0 - beta2, rate, eps
        if self._like == "optax":
            return beta1, 1.0 - beta1, beta2, 1.0 - beta2, 1.0 / correction2, lr / correction1, h["eps"]
        return beta1, 1.0 - beta1, beta2, 1.0 - beta2, 1.0, rate, eps


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
    optax    as above                       lr required, betas (0.9, 0.999), eps 1e-8, weight_decay 1e-4
    =======  =============================  =================================================================

    Keras 1 and 2 have no AdamW. Parameters are those of :class:`Adam`; optax has no ``amsgrad`` here.

    Sources: Loshchilov & Hutter 2019, algorithm 2; ``torch/optim/adamw.py``; ``keras/src/optimizers/adamw.py``.
    """

    defaults: ClassVar = {
        "torch": {"lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 1e-2, "amsgrad": False},
        "keras": {"lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-7, "weight_decay": 4e-3, "amsgrad": False},
        "optax": {"lr": REQUIRED, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 1e-4},
    }
    rules: ClassVar = {"adam": {}, "amsgrad": {"amsgrad": True}}
    decoupled = ("torch", "keras", "optax")

    def __init__(
        self, params: Params, lr: Number | None = None, betas: Betas | None = None, eps: Number | None = None,
        weight_decay: Number | None = None, amsgrad: bool | None = None, **options: Unpack[Options],
    ) -> None:  # fmt: skip
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad, **options)


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


class NAdam(Optimizer):
    r"""NAdam: Adam with Nesterov's momentum.

    .. math::

        \mu_t &= \beta_1 \left(1 - \tfrac12\, 0.96^{\,t \psi}\right) \qquad \Pi_t = \mu_1 \mu_2 \cdots \mu_t \\
        \theta &\leftarrow \theta - \eta\;
        \frac{\frac{1 - \mu_t}{1 - \Pi_t}\, g + \frac{\mu_{t+1}}{1 - \Pi_{t+1}}\, m}
        {\sqrt{v / (1 - \beta_2^t)} + \epsilon}

    with :math:`\eta` = ``lr``, :math:`\psi` = ``momentum_decay``, and m, v as in :class:`Adam`.

    =======  ==========================================  =====================================================
    like     formula                                     defaults
    =======  ==========================================  =====================================================
    torch    as above                                    lr 2e-3, betas (0.9, 0.999), eps 1e-8,
                                                         momentum_decay 4e-3, weight_decay 0
    keras    psi = 1                                     lr 1e-3, betas (0.9, 0.999), eps 1e-7, weight_decay 0
    keras2   psi = schedule_decay                        lr 2e-3, betas (0.9, 0.999), eps 1e-8,
                                                         schedule_decay 4e-3
    optax    (1 - beta1) g / (1 - beta1^t) +             lr required, betas (0.9, 0.999), eps 1e-8
             beta1 m / (1 - beta1^(t+1)) above
    =======  ==========================================  =====================================================

    keras2: from Keras 2.1.3 to 2.3.1, eps is 1e-7.

    Parameters
    ----------
    params : array, sequence, mapping, ParameterBuffer or groups
        See :class:`Optimizer`, also for what is raised.
    lr, eps, weight_decay : float >= 0, or schedule
        Weight decay is an L2 penalty; decoupled with keras.
    betas : pair of float in [0, 1), or schedules
    momentum_decay : float >= 0, or schedule
        torch alone.
    decoupled_weight_decay : bool
        torch alone: decay as in :class:`AdamW`.
    schedule_decay : float >= 0, or schedule
        What torch calls ``momentum_decay``, keras2 alone.

    Sources: Dozat 2016, algorithm 2; ``torch/optim/nadam.py``; ``keras/src/optimizers/nadam.py``; ``scale_by_adam``
    in ``optax/_src/transform.py``.
    """

    defaults: ClassVar = {
        "torch": {"lr": 2e-3, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.0, "momentum_decay": 4e-3,
                  "decoupled_weight_decay": False},
        "keras": {"lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-7, "weight_decay": 0.0},
        "keras2": {"lr": 2e-3, "betas": (0.9, 0.999), "eps": 1e-8, "schedule_decay": 4e-3},
        "optax": {"lr": REQUIRED, "betas": (0.9, 0.999), "eps": 1e-8},
    }  # fmt: skip
    rules: ClassVar = {"nadam": {}}
    maskable = ("nadam",)
    ranges: ClassVar = {"momentum_decay": "[0, inf)", "schedule_decay": "[0, inf)"}
    numbers: ClassVar = {"mu_product": "[0, 1]"}

    def __init__(
        self, params: Params, lr: Number | None = None, betas: Betas | None = None, eps: Number | None = None,
        weight_decay: Number | None = None, momentum_decay: Number | None = None,
        *, decoupled_weight_decay: bool | None = None, schedule_decay: Number | None = None, **options: Unpack[Options],
    ) -> None:  # fmt: skip
        super().__init__(params, given(locals()), **options)

    @staticmethod
    def _rule(h: Values) -> str:
        return "nadam"

    @staticmethod
    def _initial_numbers(like: str) -> Mapping[str, float]:
        return {} if like == "optax" else {"mu_product": 1.0}

    @staticmethod
    def _mu(h: Values, t: int) -> float:
        psi = h.get("momentum_decay", h.get("schedule_decay", 1.0))
        mu: float = h["betas"][0] * (1.0 - 0.5 * power(0.96, t * psi))
        return mu

    def _coefficients(self, rule: str, h: Values, lr: float, t: int, numbers: Mapping[str, float]) -> tuple[float, ...]:
        beta1, beta2 = h["betas"]
        root_correction2 = math.sqrt(1.0 - power(beta2, t))
        if self._like == "optax":
            share_g = (1.0 - beta1) / (1.0 - power(beta1, t))
            share_m = beta1 / (1.0 - power(beta1, t + 1))
        else:
            mu, mu_next = self._mu(h, t), self._mu(h, t + 1)
            product = numbers["mu_product"] * mu
            share_g = (1.0 - mu) / (1.0 - product)
            share_m = mu_next / (1.0 - product * mu_next)
        rate = lr * root_correction2
        return (beta1, 1.0 - beta1, beta2, 1.0 - beta2, rate * share_g, rate * share_m,
                h["eps"] * root_correction2)  # fmt: skip

    def _advance(self, h: Values, t: int, numbers: Mapping[str, float]) -> Mapping[str, float]:
        return {"mu_product": numbers["mu_product"] * self._mu(h, t)}
