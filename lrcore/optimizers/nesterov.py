"""Adam's step from the gradient and its momentum together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Unpack

from lrcore.base import Optimizer
from lrcore.groups import Values
from lrcore.hyperparameters import Number
from lrcore.kernels import power
from lrcore.optimizers.conventions import REQUIRED, Betas, corrected, given, shares
from lrcore.options import Options
from lrcore.structure import Params

__all__ = ["NAdam", "NAdamW", "QHAdam", "SimplifiedAdEMAMix"]


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
    optax    (1 - beta1) g / (1 - beta1^t) +             lr required, betas (0.9, 0.999), eps 1e-8, eps_root 0
             beta1 m / (1 - beta1^(t+1)) above
             sqrt(v / (1 - beta2^t) + eps_root) + eps
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
    eps_root : float >= 0, or schedule
        optax alone, added to v under its root.

    Sources: Dozat 2016, algorithm 2; ``torch/optim/nadam.py``; ``keras/src/optimizers/nadam.py``; ``scale_by_adam``
    in ``optax/_src/transform.py``.
    """

    defaults: ClassVar = {
        "torch": {"lr": 2e-3, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.0, "momentum_decay": 4e-3,
                  "decoupled_weight_decay": False},
        "keras": {"lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-7, "weight_decay": 0.0},
        "keras2": {"lr": 2e-3, "betas": (0.9, 0.999), "eps": 1e-8, "schedule_decay": 4e-3},
        "optax": {"lr": REQUIRED, "betas": (0.9, 0.999), "eps": 1e-8, "eps_root": 0.0},
    }  # fmt: skip
    rules: ClassVar = {"nadam": {}}
    maskable = ("nadam",)
    ranges: ClassVar = {"momentum_decay": "[0, inf)", "schedule_decay": "[0, inf)"}
    numbers: ClassVar = {"mu_product": "[0, 1]"}

    def __init__(
        self, params: Params, lr: Number | None = None, betas: Betas | None = None, eps: Number | None = None,
        weight_decay: Number | None = None, momentum_decay: Number | None = None,
        *, decoupled_weight_decay: bool | None = None, schedule_decay: Number | None = None,
        eps_root: Number | None = None, **options: Unpack[Options],
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
        if self._like == "optax":
            return corrected(h, lr, t, *shares(h["betas"][0], t, nesterov=True))
        mu, mu_next = self._mu(h, t), self._mu(h, t + 1)
        product = numbers["mu_product"] * mu
        return corrected(h, lr, t, (1.0 - mu) / (1.0 - product), mu_next / (1.0 - product * mu_next))

    def _advance(self, h: Values, t: int, numbers: Mapping[str, float]) -> Mapping[str, float]:
        return {"mu_product": numbers["mu_product"] * self._mu(h, t)}


class NAdamW(Optimizer):
    r"""Adam with Nesterov's momentum and decoupled weight decay.

    .. math::

        \theta \leftarrow (1 - \eta \lambda)\, \theta - \eta\;
        \frac{\frac{1 - \beta_1}{1 - \beta_1^t}\, g + \frac{\beta_1}{1 - \beta_1^{t+1}}\, m}
        {\sqrt{v / (1 - \beta_2^t) + \epsilon_r} + \epsilon}

    with :math:`\eta` = ``lr`` at this step, :math:`\lambda` = ``weight_decay``, :math:`\epsilon_r` = ``eps_root``, and
    m, v as in :class:`Adam`.

    =======  =============================================  ==================================================
    like     formula                                        defaults
    =======  =============================================  ==================================================
    optax    as above                                       lr required, betas (0.9, 0.999), eps 1e-8,
                                                            eps_root 0, weight_decay 1e-4
    timm     ((1 - beta1) g + beta1 m) / (1 - beta1^t)      lr 1e-3, betas (0.9, 0.999), eps 1e-8,
             above sqrt(v / (1 - beta2^t)) + eps            weight_decay 1e-2
    =======  =============================================  ==================================================

    torch's is :class:`NAdam` with ``decoupled_weight_decay=True``, Keras's NAdam with ``weight_decay``.

    Parameters
    ----------
    params : array, sequence, mapping, ParameterBuffer or groups
        See :class:`Optimizer`, also for what is raised.
    lr, eps, weight_decay : float >= 0, or schedule
    betas : pair of float in [0, 1), or schedules
    eps_root : float >= 0, or schedule
        optax alone, added to v under its root.

    Sources: Dozat 2016, algorithm 2; Choi et al. 2019, table 1; ``nadamw`` in ``optax/_src/alias.py``;
    ``timm/optim/nadamw.py``.
    """

    defaults: ClassVar = {
        "optax": {"lr": REQUIRED, "betas": (0.9, 0.999), "eps": 1e-8, "eps_root": 0.0, "weight_decay": 1e-4},
        "timm": {"lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 1e-2},
    }
    rules: ClassVar = {"nadam": {}}
    maskable = ("nadam",)
    decoupled = ("optax", "timm")

    def __init__(
        self, params: Params, lr: Number | None = None, betas: Betas | None = None, eps: Number | None = None,
        weight_decay: Number | None = None, *, eps_root: Number | None = None, **options: Unpack[Options],
    ) -> None:  # fmt: skip
        super().__init__(params, given(locals()), **options)

    @staticmethod
    def _rule(h: Values) -> str:
        return "nadam"

    def _coefficients(self, rule: str, h: Values, lr: float, t: int, numbers: Mapping[str, float]) -> tuple[float, ...]:
        beta1, _ = h["betas"]
        if self._like == "optax":
            return corrected(h, lr, t, *shares(beta1, t, nesterov=True))
        correction1 = 1.0 - power(beta1, t)
        return corrected(h, lr, t, (1.0 - beta1) / correction1, beta1 / correction1)


class QHAdam(Optimizer):
    r"""QHAdam: Adam whose step also has the gradient, and its square, as they are.

    .. math::

        \theta \leftarrow \theta - \eta\;
        \frac{(1 - \nu_1)\, g + \nu_1\, m / (1 - \beta_1^t)}
        {\sqrt{(1 - \nu_2)\, g^2 + \nu_2\, v / (1 - \beta_2^t)} + \epsilon}

    with :math:`\eta` = ``lr``, :math:`\nu_1, \nu_2` = ``nus``, and m, v as in :class:`Adam`.

    =======  =========  ==================================================================================
    like     formula    defaults
    =======  =========  ==================================================================================
    paper    as above   lr 1e-3, betas (0.9, 0.999), nus (1, 1), eps 1e-8, weight_decay 0
    =======  =========  ==================================================================================

    paper: the defaults are those of its authors' package qhoptim, with which it is :class:`Adam`; with
    :math:`\nu_1 = \beta_1`, :math:`\nu_2 = 1` it is nearly :class:`NAdam`.

    Parameters
    ----------
    params : array, sequence, mapping, ParameterBuffer or groups
        See :class:`Optimizer`, also for what is raised.
    lr, eps, weight_decay : float >= 0, or schedule
        Weight decay is an L2 penalty.
    betas : pair of float in [0, 1), or schedules
    nus : pair of float in [0, 1], or schedules
    decoupled_weight_decay : bool
        Decay as in :class:`AdamW`.

    Sources: Ma & Yarats 2019, arXiv 1810.06801; ``qhoptim/pyt/qhadam.py``.
    """

    defaults: ClassVar = {
        "paper": {"lr": 1e-3, "betas": (0.9, 0.999), "nus": (1.0, 1.0), "eps": 1e-8, "weight_decay": 0.0,
                  "decoupled_weight_decay": False},
    }  # fmt: skip
    rules: ClassVar = {"qhadam": {"nus": (0.7, 0.9)}}
    ranges: ClassVar = {"nus": "[0, 1]"}

    def __init__(
        self, params: Params, lr: Number | None = None, betas: Betas | None = None, nus: Betas | None = None,
        weight_decay: Number | None = None, decoupled_weight_decay: bool | None = None, eps: Number | None = None,
        **options: Unpack[Options],
    ) -> None:  # fmt: skip
        super().__init__(params, given(locals()), **options)

    @staticmethod
    def _rule(h: Values) -> str:
        return "qhadam"

    def _coefficients(self, rule: str, h: Values, lr: float, t: int, numbers: Mapping[str, float]) -> tuple[float, ...]:
        (beta1, beta2), (nu1, nu2) = h["betas"], h["nus"]
        return (beta1, 1.0 - beta1, beta2, 1.0 - beta2, lr * (1.0 - nu1), lr * nu1 / (1.0 - power(beta1, t)),
                1.0 - nu2, nu2 / (1.0 - power(beta2, t)), h["eps"])  # fmt: skip


class SimplifiedAdEMAMix(Optimizer):
    r"""Simplified AdEMAMix: a sum of past gradients, and the newest again, over Adam's root mean square.

    .. math::

        m \leftarrow \beta_1 m + g \qquad
        \theta \leftarrow (1 - \eta \lambda)\, \theta - \eta\;
        \frac{m + \alpha\, g}{\sqrt{v / (1 - \beta_2^t) + \epsilon_r} + \epsilon}

    with :math:`\eta` = ``lr`` at this step, :math:`\alpha` = ``alpha``, :math:`\lambda` = ``weight_decay``,
    :math:`\epsilon_r` = ``eps_root``, and v as in :class:`Adam`.

    =======  =========  ==================================================================================
    like     formula    defaults
    =======  =========  ==================================================================================
    optax    as above   lr required, betas (0.99, 0.95), alpha 0, eps 1e-8, eps_root 0, weight_decay 0
    =======  =========  ==================================================================================

    m is not an average: its step is :math:`1 / (1 - \beta_1)` times that of Adam, and so is the rate to be chosen.

    Parameters
    ----------
    params : array, sequence, mapping, ParameterBuffer or groups
        See :class:`Optimizer`, also for what is raised.
    lr, alpha, eps, eps_root, weight_decay : float >= 0, or schedule
    betas : pair of float in [0, 1), or schedules

    Sources: Morwani et al. 2025, arXiv 2502.02431; ``simplified_ademamix`` in ``optax/contrib/_ademamix.py``.
    """

    defaults: ClassVar = {
        "optax": {"lr": REQUIRED, "betas": (0.99, 0.95), "alpha": 0.0, "eps": 1e-8, "eps_root": 0.0,
                  "weight_decay": 0.0},
    }  # fmt: skip
    rules: ClassVar = {"nadam": {}}
    ranges: ClassVar = {"alpha": "[0, inf)"}
    decoupled = ("optax",)

    def __init__(
        self, params: Params, lr: Number | None = None, betas: Betas | None = None, alpha: Number | None = None,
        eps: Number | None = None, eps_root: Number | None = None, weight_decay: Number | None = None,
        **options: Unpack[Options],
    ) -> None:  # fmt: skip
        super().__init__(params, given(locals()), **options)

    @staticmethod
    def _rule(h: Values) -> str:
        return "nadam"

    def _coefficients(self, rule: str, h: Values, lr: float, t: int, numbers: Mapping[str, float]) -> tuple[float, ...]:
        beta1, _, *rest = corrected(h, lr, t, h["alpha"], 1.0)
        return beta1, 1.0, *rest
