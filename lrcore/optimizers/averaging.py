"""Averages of iterates, and sums of gradients: dual averaging, schedule-free and follow-the-leader methods."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar, Unpack

from lrcore.arrays import Array
from lrcore.base import Optimizer
from lrcore.groups import Values, decay
from lrcore.hyperparameters import Number
from lrcore.kernels import power
from lrcore.optimizers.conventions import REQUIRED, Betas, given, has_momentum, rectification
from lrcore.options import Options
from lrcore.structure import Params

__all__ = ["ASGD", "MADGRAD", "Ftrl", "ScheduleFreeAdamW", "ScheduleFreeRAdam", "ScheduleFreeSGD"]


class ASGD(Optimizer):
    r"""ASGD: gradient descent at a falling rate, and the average of where it has been.

    .. math::

        \theta &\leftarrow (1 - \lambda \eta_t)\, \theta - \eta_t\, g \qquad
        a \leftarrow a + \mu_t\, (\theta - a) \\
        \eta_1 &= \eta \qquad \eta_{t+1} = \frac{\eta}{(1 + \lambda \eta t)^{\alpha}} \qquad
        \mu_1 = 1 \qquad \mu_{t+1} = \frac{1}{\max(1,\; t - t_0)}

    with :math:`\eta` = ``lr``, :math:`\lambda` = ``lambd``, :math:`t_0` = ``t0``. The average a, ``ax`` in
    ``state_dict``, is what :attr:`averages` and :meth:`averaged` give: until step t0 + 2 the parameters themselves.

    =======  ============================================  ==========================================================
    like     formula                                       defaults
    =======  ============================================  ==========================================================
    torch    as above                                      lr 1e-2, lambd 1e-4, alpha 0.75, t0 1e6, weight_decay 0
    =======  ============================================  ==========================================================

    The rate of a step is formed at the end of the step before, so that a change of ``lr`` acts one step later; the
    report of a step tells ``lr``. torch rounds rate and weight to its default dtype, float32 unless that is changed.

    Parameters
    ----------
    params : array, sequence, mapping, ParameterBuffer or groups
        See :class:`Optimizer`, also for what is raised. With ``ema``, :attr:`averages` are the moving ones.
    lr, lambd, weight_decay : float >= 0, or schedule
        Weight decay is an L2 penalty, ``lambd`` a decay by the rate of the step.
    alpha : float >= 0, or schedule
        Power by which the rate falls.
    t0 : float >= 0, or schedule
        Step from which on it is averaged.

    Sources: Polyak & Juditsky 1992; L. Bottou's ``sgd`` 2.0; ``torch/optim/asgd.py``.
    """

    defaults: ClassVar = {"torch": {"lr": 1e-2, "lambd": 1e-4, "alpha": 0.75, "t0": 1e6, "weight_decay": 0.0}}
    rules: ClassVar = {"asgd": {}}
    ranges: ClassVar = {"lambd": "[0, inf)", "alpha": "[0, inf)", "t0": "[0, inf)"}
    numbers: ClassVar = {"eta": "[0, inf)", "mu": "[0, 1]"}

    def __init__(
        self, params: Params, lr: Number | None = None, lambd: Number | None = None, alpha: Number | None = None,
        t0: Number | None = None, weight_decay: Number | None = None, **options: Unpack[Options],
    ) -> None:  # fmt: skip
        super().__init__(params, given(locals()), **options)

    @staticmethod
    def _rule(h: Values) -> str:
        return "asgd"

    @staticmethod
    def _initial_numbers(like: str) -> Mapping[str, float]:
        return {"eta": 0.0, "mu": 1.0}

    @staticmethod
    def _average(theta: Array, state: Mapping[str, Array], numbers: Mapping[str, float]) -> Array:
        return state["ax"]

    def _coefficients(self, rule: str, h: Values, lr: float, t: int, numbers: Mapping[str, float]) -> tuple[float, ...]:
        eta = lr if t == 1 else numbers["eta"]
        return 1.0 - h["lambd"] * eta, eta, numbers["mu"]

    def _advance(self, h: Values, t: int, numbers: Mapping[str, float]) -> Mapping[str, float]:
        lr = h["lr"]
        return {"eta": lr / power(1.0 + h["lambd"] * lr * t, h["alpha"]), "mu": 1.0 / max(1.0, t - h["t0"])}


class Ftrl(Optimizer):
    r"""Ftrl: follow the regularized leader, for weights of which many are to be exactly zero.

    .. math::

        n' &= n + g^2 \qquad \sigma = \frac{n'^{\,p} - n^p}{\eta} \qquad
        z \leftarrow z + g + 2 s\, \theta - \sigma\, \theta \qquad n \leftarrow n' \\
        \theta &\leftarrow \frac{\max(-\lambda_1, \min(\lambda_1, z)) - z}{(n^p + \beta) / \eta + 2 \lambda_2}

    with :math:`\eta` = ``lr``, :math:`p` = ``-learning_rate_power``, :math:`\lambda_1` = ``l1``,
    :math:`\lambda_2` = ``l2``, :math:`s` = ``l2_shrinkage``, and n at first ``initial_accumulator_value``. The
    parameters are not moved but replaced; where they began matters through :math:`\sigma\, \theta` alone.

    =======  ============================  ===========================================================================
    like     formula                       defaults
    =======  ============================  ===========================================================================
    keras    as above                      lr 1e-3, learning_rate_power -0.5, n 0.1, l1 0, l2 0, l2_shrinkage 0, beta 0,
                                           weight_decay 0
    =======  ============================  ===========================================================================

    Where an element has had no gradient yet, and n begins at 0, it rests; Keras gives NaN there.

    Parameters
    ----------
    params : array, sequence, mapping, ParameterBuffer or groups
        See :class:`Optimizer`, also for what is raised.
    lr : float > 0, or schedule
    learning_rate_power : {-0.5, 0, -1}, or schedule
        The powers whose results are the same on every machine; 0 has a rate that does not fall.
    initial_accumulator_value : float >= 0
    l1, l2, l2_shrinkage, beta : float >= 0, or schedule
        Keras's ``l1_regularization_strength``, ``l2_regularization_strength`` and
        ``l2_shrinkage_regularization_strength``; the last is a penalty of the loss, which n does not see.
    weight_decay : float >= 0, or schedule
        Decoupled.

    Sources: McMahan et al. 2013, algorithm 1; ``keras/src/optimizers/ftrl.py``.
    """

    defaults: ClassVar = {
        "keras": {"lr": 1e-3, "learning_rate_power": -0.5, "initial_accumulator_value": 0.1, "l1": 0.0, "l2": 0.0,
                  "l2_shrinkage": 0.0, "beta": 0.0, "weight_decay": 0.0},
    }  # fmt: skip
    rules: ClassVar = {"ftrl": {}}
    ranges: ClassVar = {
        "lr": "(0, inf)", "learning_rate_power": "[-1, 0]", "l1": "[0, inf)", "l2": "[0, inf)",
        "l2_shrinkage": "[0, inf)", "beta": "[0, inf)",
    }  # fmt: skip

    def __init__(
        self, params: Params, lr: Number | None = None, learning_rate_power: Number | None = None,
        initial_accumulator_value: float | None = None, l1: Number | None = None, l2: Number | None = None,
        l2_shrinkage: Number | None = None, beta: Number | None = None, weight_decay: Number | None = None,
        **options: Unpack[Options],
    ) -> None:  # fmt: skip
        super().__init__(params, given(locals()), **options)

    @staticmethod
    def _rule(h: Values) -> str:
        return "ftrl"

    @staticmethod
    def _check_together(h: Values, like: str) -> None:
        p = h["learning_rate_power"]
        if not callable(p) and p not in _POWERS:
            raise ValueError(f"learning_rate_power must be -0.5, 0 or -1, got {p}")

    @staticmethod
    def _initial(h: Values) -> Mapping[str, float]:
        return {"n": h["initial_accumulator_value"]}

    def _coefficients(self, rule: str, h: Values, lr: float, t: int, numbers: Mapping[str, float]) -> tuple[float, ...]:
        self._check_together(h, self._like)
        l2 = 2.0 * (h["l2"] + h["beta"] / (2.0 * lr))
        return (*_POWERS[h["learning_rate_power"]], 1.0 / lr, 2.0 * h["l2_shrinkage"], h["l1"], l2)


_POWERS = {-0.5: (1.0, 0.0, 0.0), -1.0: (0.0, 1.0, 0.0), 0.0: (0.0, 0.0, 1.0)}
"""By Keras's power of the rate: how much of the power of n is its root, n itself, and 1."""


_AVERAGING = {"warmup_steps": "[0, inf)", "r": "[0, inf)", "weight_lr_power": "[0, inf)"}


class _ScheduleFree(Optimizer):
    """What schedule-free methods share: the weights of their average, and how it is formed."""

    numbers: ClassVar = {"weight_sum": "[0, inf)", "lr_max": "[0, inf)", "share_x": "(0, 1]"}

    @staticmethod
    def _initial_numbers(like: str) -> Mapping[str, float]:
        return {"weight_sum": 0.0, "lr_max": 0.0, "share_x": 1.0}

    @staticmethod
    def _average(theta: Array, state: Mapping[str, Array], numbers: Mapping[str, float]) -> Array:
        x: Array = (theta - (1.0 - numbers["share_x"]) * state["z"]) / numbers["share_x"]
        return x

    @staticmethod
    def _beta(h: Values) -> float:
        """Share of x in y."""
        beta: float = h["betas"][0]
        return beta

    def _rate(self, h: Values, t: int) -> tuple[float, float]:
        """The rate of the t-th step, and the rate by which its point is weighed."""
        warmup = h.get("warmup_steps", 0.0)

        def warmed(steps: int) -> float:
            rate: float = h["lr"] * min(1.0, steps / warmup) if warmup else h["lr"]
            return rate

        return warmed(t - 1 if self._like == "optax" else t), warmed(t)

    def _weighed(self, h: Values, t: int, numbers: Mapping[str, float]) -> tuple[float, float, float]:
        """The weight of the point of the t-th step, their sum, and the largest rate."""
        lr_max = max(self._rate(h, t)[1], numbers["lr_max"])
        p = h.get("weight_lr_power", 0.0)
        weight = power(float(t), h.get("r", 0.0)) * (power(lr_max, p) if p else 1.0)  # 0 to the 0 is 1
        return weight, numbers["weight_sum"] + weight, lr_max

    def _mixing(self, h: Values, t: int, numbers: Mapping[str, float]) -> tuple[float, ...]:
        """What is left of y, what comes of z, and the rates of y and z. A change of beta leaves x as it is."""
        beta = self._beta(h)
        weight, weight_sum, _ = self._weighed(h, t, numbers)
        c = weight / weight_sum if weight_sum else 0.0
        ratio = 1.0 if t == 1 else beta / numbers["share_x"]
        rate, _ = self._rate(h, t)
        stay, pull = (1.0 - c) * ratio, c + (1.0 - c) * (1.0 - ratio)
        return float(t == 1), stay, pull, rate * (1.0 - beta * (1.0 - c)), rate

    def _advance(self, h: Values, t: int, numbers: Mapping[str, float]) -> Mapping[str, float]:
        _, weight_sum, lr_max = self._weighed(h, t, numbers)
        return {"weight_sum": weight_sum, "lr_max": lr_max, "share_x": self._beta(h)}


class ScheduleFreeSGD(_ScheduleFree):
    r"""ScheduleFreeSGD: gradients are taken between a fast sequence and its average, which needs no schedule.

    .. math::

        z &\leftarrow z - \eta_t\, g(y) \qquad
        x \leftarrow (1 - c_t)\, x + c_t\, z \qquad y = (1 - \beta)\, z + \beta\, x \\
        c_t &= w_t \Big/ \sum_{i \le t} w_i \qquad w_t = t^r \max_{i \le t} \eta_i^{\,p} \qquad
        \eta_t = \eta\, \min(1,\; t / \mathtt{warmup\_steps})

    with :math:`\eta` = ``lr``, :math:`\beta` = ``momentum``, p = ``weight_lr_power``. The parameters are y, at which
    gradients are taken; x is to be used: it is what :attr:`averages` and :meth:`averaged` give, formed when asked for,
    :math:`(y - (1 - \beta)\, z) / \beta`. Before the first step all three are the parameters.

    =======  ==========================================  ==============================================================
    like     formula                                     defaults
    =======  ==========================================  ==============================================================
    optax    as above without r; z moves with            lr 1, warmup_steps 0, momentum 0.9, weight_decay 0,
             min(1, (t - 1) / warmup_steps): at first    weight_lr_power 2
             not at all
    paper    as above                                    lr 1, momentum 0.9, weight_decay 0, warmup_steps 0, r 0,
                                                         weight_lr_power 2
    =======  ==========================================  ==============================================================

    paper is the package ``schedulefree`` of its authors. Where ``lr`` is a schedule, the weight of a step goes by the
    rates so far, as in the package; optax asks its schedule one step ahead for it. ``momentum`` may change: x stays
    what has been averaged. The report of a step tells ``lr`` without warmup.

    Parameters
    ----------
    params : array, sequence, mapping, ParameterBuffer or groups
        See :class:`Optimizer`, also for what is raised. With ``ema``, :attr:`averages` are moving ones, of y.
    lr, weight_decay : float >= 0, or schedule
        Weight decay is an L2 penalty, at y.
    momentum : float in (0, 1), or schedule
        Share of x in y.
    warmup_steps : float >= 0
        Steps in which the rate rises; 0 for none.
    r, weight_lr_power : float >= 0, or schedule
        Powers of the step and of the largest rate so far in the weight of a point; r paper alone.

    Sources: Defazio et al. 2024, arXiv 2405.15682, algorithm 1; ``schedulefree/sgd_schedulefree.py``;
    ``optax/contrib/_schedule_free.py``.
    """

    defaults: ClassVar = {
        "optax": {"lr": 1.0, "warmup_steps": 0.0, "momentum": 0.9, "weight_decay": 0.0, "weight_lr_power": 2.0},
        "paper": {"lr": 1.0, "momentum": 0.9, "weight_decay": 0.0, "warmup_steps": 0.0, "r": 0.0,
                  "weight_lr_power": 2.0},
    }  # fmt: skip
    rules: ClassVar = {"schedule_free": {}}
    ranges: ClassVar = {**_AVERAGING, "momentum": "(0, 1)"}

    def __init__(
        self, params: Params, lr: Number | None = None, momentum: Number | None = None,
        weight_decay: Number | None = None, warmup_steps: float | None = None, weight_lr_power: Number | None = None,
        *, r: Number | None = None, **options: Unpack[Options],
    ) -> None:  # fmt: skip
        super().__init__(params, given(locals()), **options)

    @staticmethod
    def _rule(h: Values) -> str:
        return "schedule_free"

    @staticmethod
    def _beta(h: Values) -> float:
        beta: float = h["momentum"]
        return beta

    def _coefficients(self, rule: str, h: Values, lr: float, t: int, numbers: Mapping[str, float]) -> tuple[float, ...]:
        return self._mixing(h, t, numbers)


class ScheduleFreeAdamW(_ScheduleFree):
    r"""ScheduleFreeAdamW: :class:`ScheduleFreeSGD` on gradients over their root mean square.

    .. math::

        v \leftarrow \beta_2 v + (1 - \beta_2)\, g^2 \qquad
        u = \frac{g}{\sqrt{v / (1 - \beta_2^t)} + \epsilon} + \lambda\, y \qquad
        z \leftarrow z - \eta_t\, u

    with :math:`\lambda` = ``weight_decay``, and x, y, :math:`\beta` = :math:`\beta_1`, weights and rates as there.
    The parameters are y; :attr:`averages` and :meth:`averaged` give x.

    =======  ===========================================  =============================================================
    like     formula                                      defaults
    =======  ===========================================  =============================================================
    optax    as above without r; z moves with             lr 2.5e-3, betas (0.9, 0.999), eps 1e-8, weight_decay 0,
             min(1, (t - 1) / warmup_steps): at first     warmup_steps 0, weight_lr_power 2
             not at all
    keras    w = 1: c = 1 / t; y is decayed before,       lr 2.5e-3, betas (0.9, 0.999), eps 1e-8, warmup_steps 0,
             by 1 - lr weight_decay                       weight_decay 0
    paper    as above                                     lr 2.5e-3, betas (0.9, 0.999), eps 1e-8, weight_decay 0,
                                                          warmup_steps 0, r 0, weight_lr_power 2
    =======  ===========================================  =============================================================

    keras is what Keras computes on JAX: on torch its old z is the new one, and x another.

    Parameters
    ----------
    params : array, sequence, mapping, ParameterBuffer or groups
        See :class:`Optimizer`, also for what is raised. With ``ema``, :attr:`averages` are moving ones, of y.
    lr, eps, weight_decay : float >= 0, or schedule
    betas : pair of float in (0, 1), or schedules
        The first is the share of x in y.
    warmup_steps, r, weight_lr_power
        As in :class:`ScheduleFreeSGD`; keras has no powers.

    Sources: Defazio et al. 2024, arXiv 2405.15682, algorithm 1; ``schedulefree/adamw_schedulefree.py``;
    ``optax/contrib/_schedule_free.py``; ``keras/src/optimizers/schedule_free_adamw.py``.
    """

    defaults: ClassVar = {
        "optax": {"lr": 2.5e-3, "warmup_steps": 0.0, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.0,
                  "weight_lr_power": 2.0},
        "keras": {"lr": 2.5e-3, "betas": (0.9, 0.999), "eps": 1e-8, "warmup_steps": 0.0, "weight_decay": 0.0},
        "paper": {"lr": 2.5e-3, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.0, "warmup_steps": 0.0,
                  "r": 0.0, "weight_lr_power": 2.0},
    }  # fmt: skip
    rules: ClassVar = {"schedule_free_adam": {}}
    ranges: ClassVar = {**_AVERAGING, "betas": "(0, 1)"}

    def __init__(
        self, params: Params, lr: Number | None = None, betas: Betas | None = None, eps: Number | None = None,
        weight_decay: Number | None = None, warmup_steps: float | None = None, weight_lr_power: Number | None = None,
        *, r: Number | None = None, **options: Unpack[Options],
    ) -> None:  # fmt: skip
        super().__init__(params, given(locals()), **options)

    @staticmethod
    def _rule(h: Values) -> str:
        return "schedule_free_adam"

    @classmethod
    def _decay(cls, h: Values, lr: float, like: str, /) -> tuple[float, float]:
        return 0.0, decay(cls, h, lr, like)[1]  # what would be a penalty is part of u

    def _scaling(self, h: Values, t: int) -> tuple[float, float]:
        """What multiplies the root of v, and what is added to it, below the gradient."""
        return 1.0 / math.sqrt(1.0 - power(h["betas"][1], t)), h["eps"]

    def _coefficients(self, rule: str, h: Values, lr: float, t: int, numbers: Mapping[str, float]) -> tuple[float, ...]:
        beta2 = h["betas"][1]
        decay = 0.0 if self._like == "keras" else h["weight_decay"]
        return (*self._mixing(h, t, numbers), beta2, 1.0 - beta2, *self._scaling(h, t), decay)


class ScheduleFreeRAdam(ScheduleFreeAdamW):
    r"""ScheduleFreeRAdam: :class:`ScheduleFreeAdamW` whose first steps wait until v can be trusted.

    .. math::

        \rho_\infty = \frac{2}{1 - \beta_2} - 1 \qquad
        \rho_t = \rho_\infty - \frac{2 t \beta_2^t}{1 - \beta_2^t} \qquad
        \eta_t = \eta\, \sqrt{\frac{(\rho_t - 4)(\rho_t - 2)\, \rho_\infty}
        {(\rho_\infty - 4)(\rho_\infty - 2)\, \rho_t}}

    and u, x, y, z as in :class:`ScheduleFreeAdamW`, while :math:`\rho_t > 4`. Before, :math:`\eta_t` = 0, or, without
    ``silent_sgd_phase``, :math:`\eta_t = \eta` and :math:`u = g + \lambda\, y`. The parameters are y;
    :attr:`averages` and :meth:`averaged` give x.

    =======  ===========================================  =============================================================
    like     formula                                      defaults
    =======  ===========================================  =============================================================
    paper    as above                                     lr 2.5e-3, betas (0.9, 0.999), eps 1e-8, weight_decay 0,
                                                          r 0, weight_lr_power 2, silent_sgd_phase True
    =======  ===========================================  =============================================================

    paper is the package ``schedulefree``. Its rates warm up by themselves.

    Parameters
    ----------
    params : array, sequence, mapping, ParameterBuffer or groups
        See :class:`Optimizer`, also for what is raised. With ``ema``, :attr:`averages` are moving ones, of y.
    lr, eps, weight_decay : float >= 0, or schedule
    betas : pair of float in (0, 1), or schedules
        The first is the share of x in y.
    r, weight_lr_power : float >= 0, or schedule
        As in :class:`ScheduleFreeSGD`.
    silent_sgd_phase : bool
        Whether the first steps only gather v.

    Sources: Defazio et al. 2024, arXiv 2405.15682; Liu et al. 2020, arXiv 1908.03265, algorithm 2; ``schedulefree``.
    """

    defaults: ClassVar = {
        "paper": {"lr": 2.5e-3, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.0, "r": 0.0,
                  "weight_lr_power": 2.0, "silent_sgd_phase": True},
    }  # fmt: skip

    def __init__(
        self, params: Params, lr: Number | None = None, betas: Betas | None = None, eps: Number | None = None,
        weight_decay: Number | None = None, weight_lr_power: Number | None = None, *, r: Number | None = None,
        silent_sgd_phase: bool | None = None, **options: Unpack[Options],
    ) -> None:  # fmt: skip
        Optimizer.__init__(self, params, given(locals()), **options)

    @staticmethod
    def _rectification(h: Values, t: int) -> float:
        """What the rate is multiplied by; 0 where v cannot be trusted yet."""
        return rectification(h["betas"][1], t)[1] or 0.0

    def _rate(self, h: Values, t: int) -> tuple[float, float]:
        rectified = self._rectification(h, t) or float(not h["silent_sgd_phase"])
        return h["lr"] * rectified, h["lr"] * rectified

    def _scaling(self, h: Values, t: int) -> tuple[float, float]:
        return super()._scaling(h, t) if self._rectification(h, t) else (0.0, 1.0)


class MADGRAD(Optimizer):
    r"""MADGRAD: dual averaging, scaled by the cube root of the squares of all gradients, with momentum.

    .. math::

        w_t &= (\eta + \epsilon) \sqrt{t} \qquad q \leftarrow q + w_t\, g^2 \qquad s \leftarrow s + w_t\, g \\
        \theta &\leftarrow \mu\, \theta
        + (1 - \mu) \left(\theta_0 - \frac{s}{\sqrt[3]{q} + \epsilon}\right)

    with :math:`\eta` = ``lr``, :math:`\mu` = ``momentum``, and :math:`\theta_0` the parameters before their first
    step.

    =======  ===========================================  ==========================================================
    like     formula                                      defaults
    =======  ===========================================  ==========================================================
    optax    as above                                     lr required, momentum 0.9, weight_decay 0, eps 1e-6
    timm     as above                                     lr 1e-2, momentum 0.9, weight_decay 0, eps 1e-6
    =======  ===========================================  ==========================================================

    timm's is the authors' package ``madgrad``, whose decoupled decay goes by ``lr + eps`` and comes after. optax rounds
    the root of t to float32. Where an element has had no gradient yet, and eps is 0, s over nothing is nothing, as in
    that package; optax and timm give NaN there.

    Parameters
    ----------
    params : array, sequence, mapping, ParameterBuffer or groups
        See :class:`Optimizer`, also for what is raised.
    lr, eps, weight_decay : float >= 0, or schedule
        Weight decay is an L2 penalty.
    momentum : float in [0, 1), or schedule
        0 keeps no :math:`\theta_0`, which is then what the parameters are without the steps so far.
    decoupled_weight_decay : bool
        timm alone, its ``decoupled_decay``: decay as in :class:`AdamW`.

    Sources: Defazio & Jelassi 2021, arXiv 2101.11075, algorithm 1; ``optax/contrib/_madgrad.py``; ``timm``.
    """

    defaults: ClassVar = {
        "optax": {"lr": REQUIRED, "momentum": 0.9, "weight_decay": 0.0, "eps": 1e-6},
        "timm": {"lr": 1e-2, "momentum": 0.9, "weight_decay": 0.0, "eps": 1e-6, "decoupled_weight_decay": False},
    }
    rules: ClassVar = {"madgrad": {}, "madgrad_plain": {"momentum": 0.0}}
    ranges: ClassVar = {"momentum": "[0, 1)"}

    def __init__(
        self, params: Params, lr: Number | None = None, momentum: Number | None = None,
        weight_decay: Number | None = None, eps: Number | None = None,
        *, decoupled_weight_decay: bool | None = None, **options: Unpack[Options],
    ) -> None:  # fmt: skip
        super().__init__(params, given(locals()), **options)

    @staticmethod
    def _rule(h: Values) -> str:
        return "madgrad" if has_momentum(h) else "madgrad_plain"

    def _coefficients(self, rule: str, h: Values, lr: float, t: int, numbers: Mapping[str, float]) -> tuple[float, ...]:
        weight, eps, mu = (lr + h["eps"]) * math.sqrt(t), h["eps"], h["momentum"]
        return (weight, eps) if rule == "madgrad_plain" else (float(t == 1), weight, eps, mu, 1.0 - mu)
