"""Gradient descent and its momenta."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Unpack

from lrcore.base import Optimizer
from lrcore.groups import Values
from lrcore.hyperparameters import Number
from lrcore.optimizers.conventions import KERAS, REQUIRED, check_nesterov, given, momentum_rule
from lrcore.options import Options
from lrcore.structure import Params

__all__ = ["QHM", "SGD", "SGDW"]


class SGD(Optimizer):
    r"""Gradient descent: plain, with momentum, or with Nesterov's momentum.

    .. math::

        b &\leftarrow \mu\, b + (1 - d)\, g \qquad (b = g \text{ at } t = 1) \\
        \theta &\leftarrow \theta - \eta\, b \qquad \text{Nesterov: }
        \theta \leftarrow \theta - \eta\, (g + \mu\, b)

    with :math:`\eta` = ``lr``, :math:`\mu` = ``momentum``, :math:`d` = ``dampening``.

    =======  =====================================  ==================================================
    like     formula                                defaults
    =======  =====================================  ==================================================
    torch    as above                               lr 1e-3, momentum 0, dampening 0, weight_decay 0
    keras    b = mu b + lr g; theta -= b;           lr 1e-2, momentum 0, weight_decay 0
             Nesterov: theta -= lr g + mu b
    keras2   as keras, lr / (1 + decay (t - 1))     lr 1e-2, momentum 0, decay 0
    optax    as torch without dampening             lr required, momentum 0
    =======  =====================================  ==================================================

    With the rate inside the velocity (Keras), what was gathered at an old rate keeps it when the rate changes.

    Parameters
    ----------
    params : array, sequence, mapping, ParameterBuffer or groups
        See :class:`Optimizer`, also for what is raised.
    lr : float >= 0, or schedule
    momentum : float >= 0, or schedule
        0 keeps no velocity.
    dampening : float, or schedule
        Share of the gradient kept out of the velocity, from the second step on.
    nesterov : bool
        With torch it needs momentum > 0 and no dampening.
    weight_decay : float >= 0, or schedule
        L2 penalty; decoupled with keras.
    decay : float >= 0, or schedule
        Inverse-time decay of the rate, keras2 alone.

    Sources: Polyak 1964; Sutskever et al. 2013, eq. 1-4; ``torch/optim/sgd.py``; ``keras/src/optimizers/sgd.py``.
    """

    defaults: ClassVar = {
        "torch": {"lr": 1e-3, "momentum": 0.0, "dampening": 0.0, "nesterov": False, "weight_decay": 0.0},
        "keras": {"lr": 1e-2, "momentum": 0.0, "nesterov": False, "weight_decay": 0.0},
        "keras2": {"lr": 1e-2, "momentum": 0.0, "nesterov": False, "decay": 0.0},
        "optax": {"lr": REQUIRED, "momentum": 0.0, "nesterov": False},
    }
    rules: ClassVar = {"sgd": {}, "momentum": {"momentum": 0.9}, "nesterov": {"momentum": 0.9, "nesterov": True}}
    maskable = ("momentum", "nesterov")
    ranges: ClassVar = {"dampening": "(-inf, inf)"}

    def __init__(
        self, params: Params, lr: Number | None = None, momentum: Number | None = None,
        dampening: Number | None = None, nesterov: bool | None = None, weight_decay: Number | None = None,
        *, decay: Number | None = None, **options: Unpack[Options],
    ) -> None:  # fmt: skip
        super().__init__(params, given(locals()), **options)

    @staticmethod
    def _rule(h: Values) -> str:
        return momentum_rule(h)

    @staticmethod
    def _check_together(h: Values, like: str) -> None:
        if like in ("torch", "timm"):
            check_nesterov(h)

    def _coefficients(self, rule: str, h: Values, lr: float, t: int, numbers: Mapping[str, float]) -> tuple[float, ...]:
        if rule == "sgd":
            return (lr,)
        mu = h["momentum"]
        if self._like in KERAS:
            return (mu, lr, 1.0) if rule == "momentum" else (mu, lr, lr, mu)
        gain = 1.0 if t == 1 else 1.0 - h.get("dampening", 0.0)
        return (mu, gain, lr) if rule == "momentum" else (mu, gain, lr, lr * mu)


class SGDW(SGD):
    r"""Gradient descent with decoupled weight decay.

    .. math::

        \theta \leftarrow (1 - \eta \lambda)\, \theta - \eta\, b

    with :math:`\eta` = ``lr`` at this step, :math:`\lambda` = ``weight_decay``, and b as in :class:`SGD` of torch.

    =======  =========  ==================================================
    like     formula    defaults
    =======  =========  ==================================================
    timm     as above   lr 1e-3, momentum 0, dampening 0, weight_decay 0
    =======  =========  ==================================================

    In Keras every SGD decays so. Parameters are those of :class:`SGD` of torch. Decay that falls with the square of the
    rate, timm's ``corrected_weight_decay``, is ``weight_decay=lambda step: decay * rate(step) / peak``.

    Sources: Loshchilov & Hutter 2019, algorithm 1; ``timm/optim/sgdw.py``.
    """

    defaults: ClassVar = {
        "timm": {"lr": 1e-3, "momentum": 0.0, "dampening": 0.0, "weight_decay": 0.0, "nesterov": False}
    }
    decoupled = ("timm",)

    def __init__(
        self, params: Params, lr: Number | None = None, momentum: Number | None = None,
        dampening: Number | None = None, weight_decay: Number | None = None, nesterov: bool | None = None,
        **options: Unpack[Options],
    ) -> None:  # fmt: skip
        super().__init__(params, lr, momentum, dampening, nesterov, weight_decay, **options)


class QHM(Optimizer):
    r"""QHM, quasi-hyperbolic momentum: a step between that of the gradient and that of its average.

    .. math::

        b \leftarrow \mu\, b + (1 - \mu)\, g \qquad
        \theta \leftarrow \theta - \eta\, \left((1 - \nu)\, g + \nu\, b\right)

    with :math:`\eta` = ``lr``, :math:`\mu` = ``momentum``, :math:`\nu` = ``nu``.

    =======  =========  =============================================================
    like     formula    defaults
    =======  =========  =============================================================
    paper    as above   lr required, momentum 0.999, nu 0.7, weight_decay 0
    =======  =========  =============================================================

    paper: momentum and nu are its rule of thumb; qhoptim, the package of its authors, has no defaults for them.

    b is an average, that of :class:`SGD` a sum: with :math:`\nu = 1` it is SGD at :math:`1 - \mu` times the rate, with
    :math:`\nu = \mu` so is Nesterov's.

    Parameters
    ----------
    params : array, sequence, mapping, ParameterBuffer or groups
        See :class:`Optimizer`, also for what is raised.
    lr, weight_decay : float >= 0, or schedule
        Weight decay is an L2 penalty.
    momentum : float in [0, 1), or schedule
    nu : float, or schedule
        Share of the average in the step. Beyond [0, 1] too, as where QHM stands for other methods.
    decoupled_weight_decay : bool
        Decay as in :class:`AdamW`.

    Sources: Ma & Yarats 2019, arXiv 1810.06801; ``qhoptim/pyt/qhm.py``.
    """

    defaults: ClassVar = {
        "paper": {"lr": REQUIRED, "momentum": 0.999, "nu": 0.7, "weight_decay": 0.0, "decoupled_weight_decay": False}
    }
    rules: ClassVar = {"nesterov": {}}
    ranges: ClassVar = {"momentum": "[0, 1)", "nu": "(-inf, inf)"}

    def __init__(
        self, params: Params, lr: Number | None = None, momentum: Number | None = None, nu: Number | None = None,
        weight_decay: Number | None = None, decoupled_weight_decay: bool | None = None, **options: Unpack[Options],
    ) -> None:  # fmt: skip
        super().__init__(params, given(locals()), **options)

    @staticmethod
    def _rule(h: Values) -> str:
        return "nesterov"

    def _coefficients(self, rule: str, h: Values, lr: float, t: int, numbers: Mapping[str, float]) -> tuple[float, ...]:
        mu, nu = h["momentum"], h["nu"]
        return mu, 1.0 - mu, lr * (1.0 - nu), lr * nu
