"""Rates that the sign of a gradient, or of its momentum, decides."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Unpack

from lrcore.base import Optimizer
from lrcore.groups import Values
from lrcore.hyperparameters import Number
from lrcore.optimizers.conventions import REQUIRED, Betas, given, has_momentum
from lrcore.options import Options
from lrcore.structure import Params

__all__ = ["Lion", "Rprop", "SignSGD", "Signum", "Tiger"]

Pair = tuple[Number, Number]


class Lion(Optimizer):
    r"""Lion: the sign of momentum, which weighs this gradient more in the step than in what is remembered.

    .. math::

        c = \beta_1 m + (1 - \beta_1)\, g \qquad
        \theta \leftarrow (1 - \eta \lambda)\, \theta - \eta\, \operatorname{sign}(c) \qquad
        m \leftarrow \beta_2 m + (1 - \beta_2)\, g

    with :math:`\eta` = ``lr``, :math:`\lambda` = ``weight_decay``. The sign of 0 is 0; that of a NaN is a NaN, where
    torch's is 0.

    =======  =============  ==============================================
    like     formula        defaults
    =======  =============  ==============================================
    optax    as above       lr required, betas (0.9, 0.99),
                            weight_decay 1e-3
    keras    as above       lr 1e-3, betas (0.9, 0.99), weight_decay 0
    timm     as above       lr 1e-4, betas (0.9, 0.99), weight_decay 0
    =======  =============  ==============================================

    The authors' own code has timm's defaults.

    Parameters
    ----------
    params : array, sequence, mapping, ParameterBuffer or groups
        See :class:`Optimizer`, also for what is raised.
    lr : float >= 0, or schedule
        Every element that moves, moves by this: 3 to 10 times less than AdamW's.
    betas : pair of float in [0, 1), or schedules
    weight_decay : float >= 0, or schedule
        Decoupled.

    Sources: Chen et al. 2023, arXiv 2302.06675, algorithm 2; ``scale_by_lion`` in ``optax/_src/transform.py``;
    ``keras/src/optimizers/lion.py``; ``timm/optim/lion.py``.
    """

    defaults: ClassVar = {
        "optax": {"lr": REQUIRED, "betas": (0.9, 0.99), "weight_decay": 1e-3},
        "keras": {"lr": 1e-3, "betas": (0.9, 0.99), "weight_decay": 0.0},
        "timm": {"lr": 1e-4, "betas": (0.9, 0.99), "weight_decay": 0.0},
    }
    rules: ClassVar = {"lion": {}}
    decoupled = ("optax", "keras", "timm")

    def __init__(
        self, params: Params, lr: Number | None = None, betas: Betas | None = None,
        weight_decay: Number | None = None, **options: Unpack[Options],
    ) -> None:  # fmt: skip
        super().__init__(params, given(locals()), **options)

    @staticmethod
    def _rule(h: Values) -> str:
        return "lion"

    def _coefficients(self, rule: str, h: Values, lr: float, t: int, numbers: Mapping[str, float]) -> tuple[float, ...]:
        beta1, beta2 = h["betas"]
        return beta1, 1.0 - beta1, beta2, 1.0 - beta2, lr


class SignSGD(Optimizer):
    r"""Sign descent: every element moves by the rate, against its gradient or against the momentum of it.

    .. math::

        m \leftarrow \mu\, m + (1 - \mu)\, g \qquad \theta \leftarrow \theta - \eta\, \operatorname{sign}(m)

    with :math:`\eta` = ``lr``, :math:`\mu` = ``momentum``: where that is 0, m is g and nothing is remembered. The
    sign of 0 is 0; that of a NaN is a NaN, where torch's is 0.

    =================  ==================================  =============================================
    like               formula                             defaults
    =================  ==================================  =============================================
    optax              as above: ``sign_sgd``, with        lr required, momentum 0
                       momentum ``signum``
    pytorch_optimizer  as above, with weight decay         lr 1e-3, momentum 0.9, weight_decay 0,
                                                           decoupled_weight_decay True
    =================  ==================================  =============================================

    Parameters
    ----------
    params : array, sequence, mapping, ParameterBuffer or groups
        See :class:`Optimizer`, also for what is raised.
    lr : float >= 0, or schedule
    momentum : float in [0, 1), or schedule
    weight_decay : float >= 0, or schedule
        pytorch_optimizer alone.
    decoupled_weight_decay : bool
        pytorch_optimizer alone, where it is called ``weight_decouple``; if False, an L2 penalty.

    Sources: Bernstein et al. 2018, arXiv 1802.04434, algorithms 1 and 2; ``optax/_src/alias.py``;
    ``pytorch_optimizer/optimizer/sgd.py``.
    """

    defaults: ClassVar = {
        "optax": {"lr": REQUIRED, "momentum": 0.0},
        "pytorch_optimizer": {"lr": 1e-3, "momentum": 0.9, "weight_decay": 0.0, "decoupled_weight_decay": True},
    }
    rules: ClassVar = {"sign": {}, "lion": {"momentum": 0.9}}
    ranges: ClassVar = {"momentum": "[0, 1)"}

    def __init__(
        self, params: Params, lr: Number | None = None, momentum: Number | None = None,
        weight_decay: Number | None = None, *, decoupled_weight_decay: bool | None = None,
        **options: Unpack[Options],
    ) -> None:  # fmt: skip
        super().__init__(params, given(locals()), **options)

    @staticmethod
    def _rule(h: Values) -> str:
        return "lion" if has_momentum(h) else "sign"

    def _coefficients(self, rule: str, h: Values, lr: float, t: int, numbers: Mapping[str, float]) -> tuple[float, ...]:
        mu = h["momentum"]
        return (lr,) if rule == "sign" else (mu, 1.0 - mu, mu, 1.0 - mu, lr)


class Signum(Optimizer):
    r"""Signum: the sign of momentum.

    .. math::

        m \leftarrow \beta\, m + (1 - \beta)\, g \qquad \theta \leftarrow \theta - \eta\, \operatorname{sign}(m)

    with :math:`\eta` = ``lr``, :math:`\beta` = ``beta``: :class:`Lion` with two equal betas, and :class:`SignSGD`
    with momentum, to the bit. The sign of 0 is 0; that of a NaN is a NaN.

    =======  =============  ========================================
    like     formula        defaults
    =======  =============  ========================================
    optax    as above       lr required, beta 0.9
    =======  =============  ========================================

    Parameters
    ----------
    params : array, sequence, mapping, ParameterBuffer or groups
        See :class:`Optimizer`, also for what is raised.
    lr : float >= 0, or schedule
    beta : float in [0, 1), or schedule

    Sources: Bernstein et al. 2018, arXiv 1802.04434, algorithm 2; ``optax/_src/alias.py``.
    """

    defaults: ClassVar = {"optax": {"lr": REQUIRED, "beta": 0.9}}
    rules: ClassVar = {"lion": {}}
    ranges: ClassVar = {"beta": "[0, 1)"}

    def __init__(
        self, params: Params, lr: Number | None = None, beta: Number | None = None, **options: Unpack[Options]
    ) -> None:
        super().__init__(params, given(locals()), **options)

    @staticmethod
    def _rule(h: Values) -> str:
        return "lion"

    def _coefficients(self, rule: str, h: Values, lr: float, t: int, numbers: Mapping[str, float]) -> tuple[float, ...]:
        beta = h["beta"]
        return beta, 1.0 - beta, beta, 1.0 - beta, lr


class Tiger(Optimizer):
    r"""Tiger: the sign of momentum, with decoupled weight decay.

    .. math::

        m \leftarrow \beta\, m + (1 - \beta)\, g \qquad
        \theta \leftarrow (1 - \eta \lambda)\, \theta - \eta\, \operatorname{sign}(m)

    with :math:`\eta` = ``lr``, :math:`\beta` = ``beta``, :math:`\lambda` = ``weight_decay``. The sign of 0 is 0; that
    of a NaN is a NaN, where torch's is 0.

    =======  =============  ================================================================
    like     formula        defaults
    =======  =============  ================================================================
    paper    as above       lr 1e-3, beta 0.965, weight_decay 0.01
    =======  =============  ================================================================

    The defaults are those of its author, and of pytorch_optimizer.

    Parameters
    ----------
    params : array, sequence, mapping, ParameterBuffer or groups
        See :class:`Optimizer`, also for what is raised.
    lr, weight_decay : float >= 0, or schedule
    beta : float in [0, 1), or schedule

    Sources: Su 2023, ``tiger.py`` of github.com/bojone/tiger; ``pytorch_optimizer/optimizer/tiger.py``.
    """

    defaults: ClassVar = {"paper": {"lr": 1e-3, "beta": 0.965, "weight_decay": 0.01}}
    rules: ClassVar = {"lion": {}}
    ranges: ClassVar = {"beta": "[0, 1)"}
    decoupled = ("paper",)

    def __init__(
        self, params: Params, lr: Number | None = None, beta: Number | None = None,
        weight_decay: Number | None = None, **options: Unpack[Options],
    ) -> None:  # fmt: skip
        super().__init__(params, given(locals()), **options)

    @staticmethod
    def _rule(h: Values) -> str:
        return "lion"

    def _coefficients(self, rule: str, h: Values, lr: float, t: int, numbers: Mapping[str, float]) -> tuple[float, ...]:
        beta = h["beta"]
        return beta, 1.0 - beta, beta, 1.0 - beta, lr


class Rprop(Optimizer):
    r"""Resilient propagation: a step size for each element, that grows while the gradient keeps its sign.

    .. math::

        s &\leftarrow \operatorname{clamp}\!\left(s \cdot \begin{cases}
        \eta^+ & g\, g_- > 0 \\ \eta^- & g\, g_- < 0 \\ 1 & \text{else} \end{cases},\; s_{min},\; s_{max}\right) \\
        g_- &\leftarrow 0 \text{ where } g\, g_- < 0, \text{ else } g \qquad
        \theta \leftarrow \theta - s\, \operatorname{sign}(g_-)

    with :math:`(\eta^-, \eta^+)` = ``etas``, :math:`(s_{min}, s_{max})` = ``step_sizes``; :math:`s` begins at ``lr``.
    Where the sign has turned, an element stays for one step. It needs gradients of the whole data: those of
    mini-batches turn by chance.

    =======  =============  ================================================================
    like     formula        defaults
    =======  =============  ================================================================
    torch    as above       lr 1e-2, etas (0.5, 1.2), step_sizes (1e-6, 50)
    =======  =============  ================================================================

    The signs of the two gradients are compared, and not that of their product, which in torch is 0 where both are
    smaller than 1e-23 (float32; 1e-162 in float64). optax's ``rprop`` is no convention of its own: its updates are
    those of the step before (``optax/_src/transform.py`` of 0.2.8 returns ``state.prev_updates``), so that nothing
    moves in the first step and every sign change is answered one step late.

    Parameters
    ----------
    params : array, sequence, mapping, ParameterBuffer or groups
        See :class:`Optimizer`, also for what is raised.
    lr : float >= 0, or schedule
        The step size before the first step of a parameter. Its later values change nothing, as with torch.
    etas : pair of float in (0, 1) and (1, inf), or schedules
        What a step size is multiplied by where the sign turns, and where it stays.
    step_sizes : pair of float >= 0, or schedules
        The smallest and the largest.

    Sources: Riedmiller & Braun 1993; in this form iRprop- of Igel & Huesken 2000; ``torch/optim/rprop.py``.
    """

    defaults: ClassVar = {"torch": {"lr": 1e-2, "etas": (0.5, 1.2), "step_sizes": (1e-6, 50.0)}}
    rules: ClassVar = {"rprop": {}}
    ranges: ClassVar = {"etas": ("(0, 1)", "(1, inf)"), "step_sizes": ("[0, inf)", "[0, inf)")}

    def __init__(
        self, params: Params, lr: Number | None = None, etas: Pair | None = None, step_sizes: Pair | None = None,
        **options: Unpack[Options],
    ) -> None:  # fmt: skip
        super().__init__(params, given(locals()), **options)

    @staticmethod
    def _rule(h: Values) -> str:
        return "rprop"

    @staticmethod
    def _check_together(h: Values, like: str) -> None:
        low, high = h["step_sizes"]
        if not callable(low) and not callable(high) and low > high:
            raise ValueError(f"step_sizes must be the smallest and the largest, got {h['step_sizes']}")

    def _coefficients(self, rule: str, h: Values, lr: float, t: int, numbers: Mapping[str, float]) -> tuple[float, ...]:
        return lr if t == 1 else 0.0, *h["etas"], *h["step_sizes"]
