"""Gradient descent and its momenta."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Unpack

from lrcore.base import Optimizer
from lrcore.groups import Values
from lrcore.hyperparameters import Number
from lrcore.optimizers.conventions import KERAS, REQUIRED, given, has_momentum
from lrcore.options import Options
from lrcore.structure import Params

__all__ = ["SGD"]


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
        if not has_momentum(h):
            return "sgd"
        return "nesterov" if h["nesterov"] else "momentum"

    @staticmethod
    def _check_together(h: Values, like: str) -> None:
        if like == "torch" and h["nesterov"] and (not has_momentum(h) or h["dampening"] != 0):
            raise ValueError(
                "nesterov must come with momentum > 0 and dampening 0, "
                f"got momentum {h['momentum']}, dampening {h['dampening']}"
            )

    def _coefficients(self, rule: str, h: Values, lr: float, t: int, numbers: Mapping[str, float]) -> tuple[float, ...]:
        if rule == "sgd":
            return (lr,)
        mu = h["momentum"]
        if self._like in KERAS:
            return (mu, lr, 1.0) if rule == "momentum" else (mu, lr, lr, mu)
        gain = 1.0 if t == 1 else 1.0 - h.get("dampening", 0.0)
        return (mu, gain, lr) if rule == "momentum" else (mu, gain, lr, lr * mu)
