"""Rates from sums over each array: trust ratios and normalized gradients."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar, Unpack

from lrcore.base import Optimizer
from lrcore.groups import Values
from lrcore.hyperparameters import Number
from lrcore.optimizers.conventions import REQUIRED, Betas, check_nesterov, given, momentum_rule
from lrcore.options import Options
from lrcore.structure import Params

__all__ = ["LARC", "LARS", "Fromage", "NormalizedSGD", "NovoGrad"]

_LEAST = 1e-30  # that a norm is taken for where it divides, so that no rate overflows float32


class LARS(Optimizer):
    r"""LARS: momentum whose rate is, in each array, in proportion to parameters over gradients.

    .. math::

        u &= g + \lambda\, \theta \qquad
        r = \tau\, \frac{\lVert \theta \rVert}{\lVert u \rVert + \epsilon}
        \qquad (r = 1 \text{ where a norm is } 0) \\
        b &\leftarrow \mu\, b + \eta\, r\, u \qquad \theta \leftarrow \theta - b \qquad \text{Nesterov: }
        \theta \leftarrow \theta - (\eta\, r\, u + \mu\, b)

    with norms over each array by itself, :math:`\eta` = ``lr``, :math:`\lambda` = ``weight_decay``, :math:`\tau` =
    ``trust_coefficient``, :math:`\mu` = ``momentum``.

    =======  ===========================================  ========================================================
    like     formula                                      defaults
    =======  ===========================================  ========================================================
    optax    as above                                     lr required, momentum 0.9, weight_decay 0,
                                                          trust_coefficient 1e-3, eps 0
    timm     r = tau |theta| / (|g| + lambda |theta| +    lr 1, momentum 0, dampening 0, weight_decay 0,
             eps), 1 without weight decay;                trust_coefficient 1e-3, eps 1e-8
             b = mu b + (1 - d) r u (b = r u at t = 1);
             theta -= lr b; Nesterov: lr (r u + mu b)
    =======  ===========================================  ========================================================

    Biases and the scales of normalization layers are usually not adapted nor decayed: give them a group of their own,
    with ``"weight_decay": 0`` and, in optax's convention, ``"trust_ratio_mask": False``. A ParameterBuffer is swept
    by name.

    Parameters
    ----------
    params : array, sequence, mapping, ParameterBuffer or groups
        See :class:`Optimizer`, also for what is raised.
    lr, momentum, weight_decay, eps : float >= 0, or schedule
        Weight decay is an L2 penalty.
    trust_coefficient : float >= 0, or schedule
    nesterov : bool
        With timm it needs momentum > 0 and no dampening.
    trust_ratio_mask : bool
        Whether rates are adapted; optax alone, which has it for each array.
    dampening : float, or schedule
        Share of the gradient kept out of the velocity, from the second step on; timm alone.
    always_adapt : bool
        Whether rates are adapted also without weight decay; timm alone.

    Sources: You, Gitman & Ginsburg 2017, `arXiv 1708.03888 <https://arxiv.org/abs/1708.03888>`_, algorithm 1;
    ``lars`` in ``optax/_src/alias.py``; ``timm/optim/lars.py``.
    """

    defaults: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "optax": {"lr": REQUIRED, "momentum": 0.9, "nesterov": False, "weight_decay": 0.0, "trust_coefficient": 1e-3,
                  "eps": 0.0, "trust_ratio_mask": True},
        "timm": {"lr": 1.0, "momentum": 0.0, "dampening": 0.0, "nesterov": False, "weight_decay": 0.0,
                 "trust_coefficient": 1e-3, "eps": 1e-8, "always_adapt": False},
    }  # fmt: skip
    rules: ClassVar = {
        "sgd": {"momentum": 0.0}, "momentum": {"momentum": 0.9}, "nesterov": {"momentum": 0.9, "nesterov": True},
    }  # fmt: skip
    ranges: ClassVar = {"trust_coefficient": "[0, inf)", "dampening": "(-inf, inf)"}
    sums = ("gg", "gt", "tt")

    def __init__(
        self, params: Params, lr: Number | None = None, momentum: Number | None = None, nesterov: bool | None = None,
        weight_decay: Number | None = None, trust_coefficient: Number | None = None, eps: Number | None = None,
        *, trust_ratio_mask: bool | None = None, dampening: Number | None = None, always_adapt: bool | None = None,
        **options: Unpack[Options],
    ) -> None:  # fmt: skip
        super().__init__(params, given(locals()), **options)

    @staticmethod
    def _rule(h: Values) -> str:
        return momentum_rule(h)

    @staticmethod
    def _check_together(h: Values, like: str) -> None:
        if like == "timm":
            check_nesterov(h)

    def _ratio(self, h: Values, lr: float, numbers: Mapping[str, float]) -> float:
        """What the rate is multiplied by in an array of these sums."""
        decay, parameters, gradients = h["weight_decay"], math.sqrt(numbers["tt"]), math.sqrt(numbers["gg"])
        if self._like == "timm":
            if not (decay or h["always_adapt"]):
                return 1.0
            size = gradients + decay * parameters
        else:
            if not h["trust_ratio_mask"]:
                return 1.0
            gradients = size = math.sqrt(
                max(numbers["gg"] + decay * (2.0 * numbers["gt"] + decay * numbers["tt"]), 0.0)
            )
        return _trust(h["trust_coefficient"], parameters, gradients, size + h["eps"])

    def _coefficients(self, rule: str, h: Values, lr: float, t: int, numbers: Mapping[str, float]) -> tuple[float, ...]:
        mu, ratio = h["momentum"], self._ratio(h, lr, numbers)
        if rule == "sgd":
            return (lr * ratio,)
        if self._like == "optax":
            return (mu, lr * ratio, 1.0) if rule == "momentum" else (mu, lr * ratio, lr * ratio, mu)
        gain = ratio if t == 1 else (1.0 - h["dampening"]) * ratio
        return (mu, gain, lr) if rule == "momentum" else (mu, gain, lr * ratio, lr * mu)


class LARC(LARS):
    r"""LARC: LARS whose rate in an array is never larger than the rate itself.

    .. math::

        u = g + \lambda\, \theta \qquad
        r = \min\!\left(1,\; \frac{\tau}{\eta}\, \frac{\lVert \theta \rVert}
        {\lVert g \rVert + \lambda \lVert \theta \rVert + \epsilon}\right) \qquad
        b \leftarrow \mu\, b + (1 - d)\, r\, u \qquad \theta \leftarrow \theta - \eta\, b

    with the letters of :class:`LARS`, whose timm convention this is with ``trust_clip``. Where a norm is 0,
    :math:`r = \min(1, 1 / \eta)`.

    =======  ===========================================  ========================================================
    like     formula                                      defaults
    =======  ===========================================  ========================================================
    timm     as above; r = 1 without weight decay         lr 1, momentum 0, dampening 0, weight_decay 0,
                                                          trust_coefficient 1e-3, eps 1e-8
    =======  ===========================================  ========================================================

    Parameters are those of :class:`LARS` in timm's convention; ``always_adapt`` has rates adapted without weight
    decay too.

    Sources: ``apex/parallel/LARC.py`` by NVIDIA; ``timm/optim/lars.py``.
    """

    defaults: ClassVar = {"timm": LARS.defaults["timm"]}

    def _ratio(self, h: Values, lr: float, numbers: Mapping[str, float]) -> float:
        if not (h["weight_decay"] or h["always_adapt"]):
            return 1.0
        return min(super()._ratio(h, lr, numbers) / lr, 1.0) if lr else 1.0


class NovoGrad(Optimizer):
    r"""NovoGrad: Adam with one second moment for each array, that of its gradient's norm.

    .. math::

        n &\leftarrow \beta_2\, n + (1 - \beta_2) \lVert g \rVert^2 \qquad (n = \lVert g \rVert^2 \text{ at } t = 1) \\
        m &\leftarrow \beta_1 m + \frac{g}{\sqrt{n} + \epsilon} + \lambda\, \theta \qquad
        \theta \leftarrow \theta - \eta\, m

    with the norm of each array by itself, :math:`\eta` = ``lr``, :math:`\lambda` = ``weight_decay``.

    =======  ===========================================  ========================================================
    like     formula                                      defaults
    =======  ===========================================  ========================================================
    optax    as above, sqrt(n + eps_root)                 lr required, betas (0.9, 0.25), eps 1e-6, eps_root 0,
                                                          weight_decay 0
    timm     n = norm(g)^2 wherever n is 0                lr 1e-3, betas (0.95, 0.98), eps 1e-8, weight_decay 0
    =======  ===========================================  ========================================================

    A ParameterBuffer is swept by name. timm's ``amsgrad`` is left out.

    Parameters
    ----------
    params : array, sequence, mapping, ParameterBuffer or groups
        See :class:`Optimizer`, also for what is raised.
    lr, eps, weight_decay : float >= 0, or schedule
        Weight decay is added to the normalized gradient.
    betas : pair of float in [0, 1), or schedules
    eps_root : float >= 0, or schedule
        optax alone.
    grad_averaging : bool
        timm alone: multiply what is added to m by :math:`1 - \beta_1`.
    decoupled_weight_decay : bool
        timm alone, there ``decoupled_decay``: :math:`\theta (1 - \eta \lambda)` in place of the term in m.

    Sources: Ginsburg et al. 2019, `arXiv 1905.11286 <https://arxiv.org/abs/1905.11286>`_, algorithm 1;
    ``scale_by_novograd`` in ``optax/_src/transform.py``; ``timm/optim/nvnovograd.py``.
    """

    defaults: ClassVar = {
        "optax": {"lr": REQUIRED, "betas": (0.9, 0.25), "eps": 1e-6, "eps_root": 0.0, "weight_decay": 0.0},
        "timm": {"lr": 1e-3, "betas": (0.95, 0.98), "eps": 1e-8, "weight_decay": 0.0, "grad_averaging": False,
                 "decoupled_weight_decay": False},
    }  # fmt: skip
    rules: ClassVar = {"novograd": {}}
    ranges: ClassVar = {"eps_root": "[0, inf)"}
    numbers: ClassVar = {"second_moment": "[0, inf)"}
    sums = ("gg",)

    def __init__(
        self, params: Params, lr: Number | None = None, betas: Betas | None = None, eps: Number | None = None,
        eps_root: Number | None = None, weight_decay: Number | None = None,
        *, grad_averaging: bool | None = None, decoupled_weight_decay: bool | None = None, **options: Unpack[Options],
    ) -> None:  # fmt: skip
        super().__init__(params, given(locals()), **options)

    @staticmethod
    def _rule(h: Values) -> str:
        return "novograd"

    @classmethod
    def _decay(cls, h: Values, lr: float, like: str) -> tuple[float, float]:
        # No penalty: the gradient is normalized before anything is added.
        return 0.0, 1.0 - lr * h["weight_decay"] if h.get("decoupled_weight_decay") else 1.0

    @staticmethod
    def _initial_numbers(like: str) -> Mapping[str, float]:
        return {"second_moment": 0.0}

    def _coefficients(self, rule: str, h: Values, lr: float, t: int, numbers: Mapping[str, float]) -> tuple[float, ...]:
        beta1 = h["betas"][0]
        share = 1.0 - beta1 if h.get("grad_averaging") else 1.0
        second = self._advance(h, t, numbers)["second_moment"]
        norm = max(math.sqrt(second + h.get("eps_root", 0.0)) + h["eps"], _LEAST)
        decay = 0.0 if h.get("decoupled_weight_decay") else h["weight_decay"]
        return beta1, share, norm, decay, lr

    def _advance(self, h: Values, t: int, numbers: Mapping[str, float]) -> Mapping[str, float]:
        beta2, second = h["betas"][1], numbers["second_moment"]
        begins = second == 0.0 if self._like == "timm" else t == 1
        return {"second_moment": numbers["gg"] if begins else beta2 * second + (1.0 - beta2) * numbers["gg"]}


class Fromage(Optimizer):
    r"""Fromage: a step of each array in proportion to its norm, and back to the norm it had.

    .. math::

        \theta \leftarrow \frac{1}{\sqrt{1 + \eta^2}}
        \left(\theta - \eta\, \frac{\lVert \theta \rVert}{\lVert g \rVert}\, g\right)

    with norms over each array by itself, :math:`\eta` = ``lr``.

    =======  =============================================  ========================================
    like     formula                                        defaults
    =======  =============================================  ========================================
    optax    as above, norms at least min_norm              lr required, min_norm 1e-6
    paper    as above, without the ratio where one is 0     lr 1e-2
    =======  =============================================  ========================================

    The bound of the paper's own package, ``p_bound``, is left out. A ParameterBuffer is swept by name.

    Parameters
    ----------
    params : array, sequence, mapping, ParameterBuffer or groups
        See :class:`Optimizer`, also for what is raised.
    lr : float >= 0, or schedule
    min_norm : float >= 0, or schedule
        optax alone.

    Sources: Bernstein, Vahdat, Yue & Liu 2020, `arXiv 2002.03432 <https://arxiv.org/abs/2002.03432>`_, algorithm 1;
    ``fromage`` in ``optax/_src/alias.py``.
    """

    defaults: ClassVar = {"optax": {"lr": REQUIRED, "min_norm": 1e-6}, "paper": {"lr": 1e-2}}
    rules: ClassVar = {"sgd": {}}
    ranges: ClassVar = {"min_norm": "[0, inf)"}
    sums = ("gg", "tt")

    def __init__(
        self, params: Params, lr: Number | None = None, min_norm: Number | None = None, **options: Unpack[Options]
    ) -> None:
        super().__init__(params, given(locals()), **options)

    @staticmethod
    def _rule(h: Values) -> str:
        return "sgd"

    @classmethod
    def _decay(cls, h: Values, lr: float, like: str) -> tuple[float, float]:
        return 0.0, 1.0 / math.sqrt(1.0 + lr * lr)

    def _coefficients(self, rule: str, h: Values, lr: float, t: int, numbers: Mapping[str, float]) -> tuple[float, ...]:
        least = h.get("min_norm", 0.0)
        parameters, gradients = max(math.sqrt(numbers["tt"]), least), max(math.sqrt(numbers["gg"]), least)
        return (lr * _trust(1.0, parameters, gradients, gradients) / math.sqrt(1.0 + lr * lr),)


class NormalizedSGD(Optimizer):
    r"""Gradient descent by the direction of each array's gradient, whatever its size.

    .. math::

        u = \frac{g}{\lVert g \rVert + \epsilon} \qquad b \leftarrow \mu\, b + u \qquad
        \theta \leftarrow \theta - \eta\, b \qquad
        \text{Nesterov: } \theta \leftarrow \theta - \eta\, (u + \mu\, b)

    with the norm of each array by itself, :math:`\eta` = ``lr``, :math:`\mu` = ``momentum``.

    =======  =============================================  ========================================
    like     formula                                        defaults
    =======  =============================================  ========================================
    paper    as above                                       lr required, momentum 0, eps 1e-6
    =======  =============================================  ========================================

    An array without any gradient is moved by its momentum alone. A ParameterBuffer is swept by name. optax's
    ``normalize_by_update_norm`` divides by the norm over all arrays: it is this where there is one array; else,
    ``SGD(params, lr=rate / c, clip_norm=c)`` has that for gradients of a norm above c.

    Parameters
    ----------
    params : array, sequence, mapping, ParameterBuffer or groups
        See :class:`Optimizer`, also for what is raised.
    lr, momentum, eps : float >= 0, or schedule
        momentum 0 keeps no velocity.
    nesterov : bool

    Sources: Yu et al. 2017, `arXiv 1707.04822 <https://arxiv.org/abs/1707.04822>`_, algorithm 1, with blocks that are
    arrays; over one array Hazan, Levy & Shalev-Shwartz 2015, `arXiv 1507.02030 <https://arxiv.org/abs/1507.02030>`_,
    algorithm 1.
    """

    defaults: ClassVar = {"paper": {"lr": REQUIRED, "momentum": 0.0, "nesterov": False, "eps": 1e-6}}
    rules: ClassVar = {"sgd": {}, "momentum": {"momentum": 0.9}, "nesterov": {"momentum": 0.9, "nesterov": True}}
    sums = ("gg",)

    def __init__(
        self, params: Params, lr: Number | None = None, momentum: Number | None = None, nesterov: bool | None = None,
        eps: Number | None = None, **options: Unpack[Options],
    ) -> None:  # fmt: skip
        super().__init__(params, given(locals()), **options)

    @staticmethod
    def _rule(h: Values) -> str:
        return LARS._rule(h)

    def _coefficients(self, rule: str, h: Values, lr: float, t: int, numbers: Mapping[str, float]) -> tuple[float, ...]:
        mu, gain = h["momentum"], 1.0 / max(math.sqrt(numbers["gg"]) + h["eps"], _LEAST)
        if rule == "sgd":
            return (lr * gain,)
        return (mu, gain, lr) if rule == "momentum" else (mu, gain, lr * gain, lr * mu)


def _trust(coefficient: float, parameters: float, gradients: float, size: float) -> float:
    """``coefficient * parameters / size``; 1 where the norm of the parameters or of the gradients is 0."""
    if parameters == 0.0 or gradients == 0.0:
        return 1.0
    return coefficient * parameters / max(size, _LEAST)
