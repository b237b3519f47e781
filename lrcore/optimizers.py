r"""The optimizers: what each remembers, and the coefficients that its rule takes at step t.

In the equations, theta is a parameter, g its gradient, t = 1, 2, … the step being taken; operations on arrays
are elementwise. Schedules are asked for step t - 1, so that the first step has the rate ``schedule(0)``. The
two counts meet in :meth:`Optimizer.step` and nowhere else.

``like`` chooses whose formula and whose defaults an optimizer has:

``"torch"``
    PyTorch 2 (``torch/optim``). Weight decay is an L2 penalty, ``g + weight_decay * theta``, except in AdamW.
``"keras"``
    Keras 3 (``keras/src/optimizers``). Weight decay is decoupled, ``theta * (1 - lr * weight_decay)``, in every
    optimizer.
``"keras2"``
    Keras 1 and 2 (``keras/optimizers.py``), with ``decay``: the rate is ``lr / (1 + decay * (t - 1))``.
    No weight decay.
``"optax"``
    optax 0.2 (``optax/_src/alias.py``). The rate has no default.

A hyperparameter that a library does not have under that name raises. Any that is a number may also be a callable
``step -> float``; its value is checked at each step, before anything has changed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar, Unpack

from lrcore.base import Optimizer, Options, ParameterGroup, Values
from lrcore.hyperparameters import Number
from lrcore.kernels import power
from lrcore.structure import Params

Betas = tuple[Number, Number]

_KERAS = ("keras", "keras2")
_REQUIRED: Any = None


def _has_momentum(h: Values) -> bool:
    return callable(h["momentum"]) or h["momentum"] != 0


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
        "optax": {"lr": _REQUIRED, "momentum": 0.0, "nesterov": False},
    }

    def __init__(
        self, params: Params, lr: Number | None = None, momentum: Number | None = None,
        dampening: Number | None = None, nesterov: bool | None = None, weight_decay: Number | None = None,
        *, decay: Number | None = None, **options: Unpack[Options],
    ) -> None:  # fmt: skip
        given = {"lr": lr, "momentum": momentum, "dampening": dampening, "nesterov": nesterov,
                 "weight_decay": weight_decay, "decay": decay}  # fmt: skip
        super().__init__(params, given, **options)

    @staticmethod
    def _rule(h: Values) -> str:
        if not _has_momentum(h):
            return "sgd"
        return "nesterov" if h["nesterov"] else "momentum"

    @staticmethod
    def _check_together(h: Values, like: str) -> None:
        if like == "torch" and h["nesterov"] and (not _has_momentum(h) or h["dampening"] != 0):
            raise ValueError(
                "nesterov must come with momentum > 0 and dampening 0, "
                f"got momentum {h['momentum']}, dampening {h['dampening']}"
            )

    def _coefficients(self, group: ParameterGroup, h: Values, t: int, lr: float) -> tuple[float, ...]:
        if group.rule == "sgd":
            return (lr,)
        mu = h["momentum"]
        if self.like in _KERAS:
            return (mu, lr, 1.0) if group.rule == "momentum" else (mu, lr, lr, mu)
        gain = 1.0 if t == 1 else 1.0 - h.get("dampening", 0.0)
        return (mu, gain, lr) if group.rule == "momentum" else (mu, gain, lr, lr * mu)


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
        "optax": {"lr": _REQUIRED, "initial_accumulator_value": 0.1, "eps": 1e-7},
    }

    def __init__(
        self, params: Params, lr: Number | None = None, lr_decay: Number | None = None,
        weight_decay: Number | None = None, initial_accumulator_value: float | None = None,
        eps: Number | None = None, *, decay: Number | None = None, **options: Unpack[Options],
    ) -> None:  # fmt: skip
        given = {"lr": lr, "lr_decay": lr_decay, "weight_decay": weight_decay,
                 "initial_accumulator_value": initial_accumulator_value, "eps": eps, "decay": decay}  # fmt: skip
        super().__init__(params, given, **options)

    @staticmethod
    def _rule(h: Values) -> str:
        return "adagrad"

    @staticmethod
    def _initial(h: Values) -> Mapping[str, float]:
        return {"s": h.get("initial_accumulator_value", 0.0)}

    def _coefficients(self, group: ParameterGroup, h: Values, t: int, lr: float) -> tuple[float, ...]:
        return (lr, *_eps(h["eps"], inside=self.like in ("keras", "optax")))


def _eps(eps: float, inside: bool) -> tuple[float, float]:
    """The eps under the square root and the one beside it."""
    return (eps, 0.0) if inside else (0.0, eps)


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
        "optax": {"lr": _REQUIRED, "rho": 0.9, "eps": 1e-6, "weight_decay": 0.0},
    }

    def __init__(
        self, params: Params, lr: Number | None = None, rho: Number | None = None, eps: Number | None = None,
        weight_decay: Number | None = None, *, decay: Number | None = None, **options: Unpack[Options],
    ) -> None:  # fmt: skip
        given = {"lr": lr, "rho": rho, "eps": eps, "weight_decay": weight_decay, "decay": decay}
        super().__init__(params, given, **options)

    @staticmethod
    def _rule(h: Values) -> str:
        return "adadelta"

    def _coefficients(self, group: ParameterGroup, h: Values, t: int, lr: float) -> tuple[float, ...]:
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
    optax    as keras                                       lr required, alpha 0.9, eps 1e-8, momentum 0
    =======  =============================================  ================================================

    Where rounding makes v - m² (with keras and optax, v - m² + eps) negative, zero is taken for it; the
    libraries give NaN there.

    Parameters
    ----------
    params : array, sequence, mapping, ParameterBuffer or groups
        See :class:`Optimizer`, also for what is raised.
    lr, eps, weight_decay : float >= 0, or schedule
        Weight decay is an L2 penalty; decoupled with keras.
    alpha : float in [0, 1], or schedule
        Smoothing constant; ``rho`` in Keras, ``decay`` in optax.
    momentum : float >= 0, or schedule
        0 keeps no velocity.
    centered : bool
    decay : float >= 0, or schedule
        Inverse-time decay of the rate, keras2 alone.

    Sources: Tieleman & Hinton 2012, lecture 6.5; Graves 2013, eq. 38-41; ``torch/optim/rmsprop.py``;
    ``keras/src/optimizers/rmsprop.py``; ``scale_by_rms`` in ``optax/_src/transform.py``.
    """

    defaults: ClassVar = {
        "torch": {"lr": 1e-2, "alpha": 0.99, "eps": 1e-8, "weight_decay": 0.0, "momentum": 0.0, "centered": False},
        "keras": {"lr": 1e-3, "alpha": 0.9, "eps": 1e-7, "weight_decay": 0.0, "momentum": 0.0, "centered": False},
        "keras2": {"lr": 1e-3, "alpha": 0.9, "eps": 1e-8, "decay": 0.0},
        "optax": {"lr": _REQUIRED, "alpha": 0.9, "eps": 1e-8, "momentum": 0.0, "centered": False},
    }

    def __init__(
        self, params: Params, lr: Number | None = None, alpha: Number | None = None, eps: Number | None = None,
        weight_decay: Number | None = None, momentum: Number | None = None, centered: bool | None = None,
        *, decay: Number | None = None, **options: Unpack[Options],
    ) -> None:  # fmt: skip
        given = {"lr": lr, "alpha": alpha, "eps": eps, "weight_decay": weight_decay, "momentum": momentum,
                 "centered": centered, "decay": decay}  # fmt: skip
        super().__init__(params, given, **options)

    @staticmethod
    def _rule(h: Values) -> str:
        centered = "_centered" if h.get("centered") else ""
        momentum = "_momentum" if "momentum" in h and _has_momentum(h) else ""
        return f"rmsprop{centered}{momentum}"

    def _coefficients(self, group: ParameterGroup, h: Values, t: int, lr: float) -> tuple[float, ...]:
        alpha = h["alpha"]
        inside = self.like in ("keras", "optax")
        eps_in, eps = _eps(h["eps"], inside)
        if group.rule.endswith("_momentum"):
            gain, rate = (lr, 1.0) if inside else (1.0, lr)
            return alpha, 1.0 - alpha, eps_in, eps, h["momentum"], gain, rate
        return alpha, 1.0 - alpha, lr, eps_in, eps


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
        "optax": {"lr": _REQUIRED, "betas": (0.9, 0.999), "eps": 1e-8, "amsgrad": False},
    }  # fmt: skip

    def __init__(
        self, params: Params, lr: Number | None = None, betas: Betas | None = None, eps: Number | None = None,
        weight_decay: Number | None = None, amsgrad: bool | None = None,
        *, decoupled_weight_decay: bool | None = None, decay: Number | None = None, **options: Unpack[Options],
    ) -> None:  # fmt: skip
        given = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "amsgrad": amsgrad,
                 "decoupled_weight_decay": decoupled_weight_decay, "decay": decay}  # fmt: skip
        super().__init__(params, given, **options)

    @staticmethod
    def _rule(h: Values) -> str:
        return "amsgrad" if h.get("amsgrad") else "adam"

    def _coefficients(self, group: ParameterGroup, h: Values, t: int, lr: float) -> tuple[float, ...]:
        beta1, beta2 = h["betas"]
        correction1 = 1.0 - power(beta1, t)
        correction2 = 1.0 - power(beta2, t)
        root_correction2 = math.sqrt(correction2)
        rate = lr * root_correction2 / correction1
        eps = h["eps"] if self.like in _KERAS else h["eps"] * root_correction2
        if group.rule == "adam":
            return beta1, 1.0 - beta1, beta2, 1.0 - beta2, rate, eps
        if self.like == "optax":
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
        "optax": {"lr": _REQUIRED, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 1e-4},
    }
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
        "optax": {"lr": _REQUIRED, "betas": (0.9, 0.999), "eps": 1e-8},
    }

    def __init__(
        self, params: Params, lr: Number | None = None, betas: Betas | None = None, eps: Number | None = None,
        weight_decay: Number | None = None, *, decay: Number | None = None, **options: Unpack[Options],
    ) -> None:  # fmt: skip
        given = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "decay": decay}
        super().__init__(params, given, **options)

    @staticmethod
    def _rule(h: Values) -> str:
        return "adamax"

    def _coefficients(self, group: ParameterGroup, h: Values, t: int, lr: float) -> tuple[float, ...]:
        beta1, beta2 = h["betas"]
        return (
            beta1,
            1.0 - beta1,
            beta2,
            lr / (1.0 - power(beta1, t)),
            *_eps(h["eps"], inside=self.like not in _KERAS),
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
        "optax": {"lr": _REQUIRED, "betas": (0.9, 0.999), "eps": 1e-8},
    }  # fmt: skip

    def __init__(
        self, params: Params, lr: Number | None = None, betas: Betas | None = None, eps: Number | None = None,
        weight_decay: Number | None = None, momentum_decay: Number | None = None,
        *, decoupled_weight_decay: bool | None = None, schedule_decay: Number | None = None, **options: Unpack[Options],
    ) -> None:  # fmt: skip
        given = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay,
                 "momentum_decay": momentum_decay, "decoupled_weight_decay": decoupled_weight_decay,
                 "schedule_decay": schedule_decay}  # fmt: skip
        super().__init__(params, given, **options)

    @staticmethod
    def _rule(h: Values) -> str:
        return "nadam"

    @staticmethod
    def _initial_scalars(like: str) -> Mapping[str, float]:
        return {} if like == "optax" else {"mu_product": 1.0}

    @staticmethod
    def _mu(h: Values, t: int) -> float:
        psi = h.get("momentum_decay", h.get("schedule_decay", 1.0))
        mu: float = h["betas"][0] * (1.0 - 0.5 * power(0.96, t * psi))
        return mu

    def _coefficients(self, group: ParameterGroup, h: Values, t: int, lr: float) -> tuple[float, ...]:
        beta1, beta2 = h["betas"]
        root_correction2 = math.sqrt(1.0 - power(beta2, t))
        if self.like == "optax":
            share_g = (1.0 - beta1) / (1.0 - power(beta1, t))
            share_m = beta1 / (1.0 - power(beta1, t + 1))
        else:
            mu, mu_next = self._mu(h, t), self._mu(h, t + 1)
            product = group.scalars["mu_product"] * mu
            share_g = (1.0 - mu) / (1.0 - product)
            share_m = mu_next / (1.0 - product * mu_next)
        rate = lr * root_correction2
        return (beta1, 1.0 - beta1, beta2, 1.0 - beta2, rate * share_g, rate * share_m,
                h["eps"] * root_correction2)  # fmt: skip

    def _advance(self, group: ParameterGroup, h: Values, t: int) -> Mapping[str, float]:
        return {"mu_product": group.scalars["mu_product"] * self._mu(h, t)}
