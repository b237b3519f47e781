"""Descendants of Adam: other moments of past gradients."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar, Unpack

from lrcore.base import Optimizer
from lrcore.groups import Values, decay
from lrcore.hyperparameters import Number
from lrcore.kernels import logarithm, power
from lrcore.optimizers.conventions import REQUIRED, Betas, given, rectification
from lrcore.options import Options
from lrcore.state import Initial
from lrcore.structure import Params

__all__ = ["ADOPT", "ACProp", "AdEMAMix", "AdaBelief", "Adan", "Yogi"]

Triple = tuple[Number, Number, Number]


class AdaBelief(Optimizer):
    r"""AdaBelief: Adam that divides by how far gradients are from their average, and not by how large they are.

    .. math::

        m &\leftarrow \beta_1 m + (1 - \beta_1)\, g \qquad
        s \leftarrow \beta_2 s + (1 - \beta_2)\, (g - m)^2 + \epsilon' \\
        \theta &\leftarrow \theta - \eta\; \frac{m / (1 - \beta_1^t)}{\sqrt{s / (1 - \beta_2^t)} + \epsilon}

    with :math:`\eta` = ``lr``, :math:`\epsilon'` = ``eps_root``, added to what is remembered at every step.
    Rectified, as in RAdam: with :math:`\rho_\infty = 2 / (1 - \beta_2) - 1` and
    :math:`\rho = \rho_\infty - 2 t \beta_2^t / (1 - \beta_2^t)`,

    .. math::

        \theta \leftarrow \theta - \frac{\eta}{1 - \beta_1^t} \cdot \begin{cases}
        r\, \sqrt{1 - \beta_2^t}\; m / (\sqrt{s} + \epsilon) & \rho \ge 5 \\ m & \text{else} \end{cases} \qquad
        r = \sqrt{\frac{(\rho - 4) (\rho - 2)\, \rho_\infty}{(\rho_\infty - 4) (\rho_\infty - 2)\, \rho}}

    =======  ===================================  ==========================================================
    like     formula                              defaults
    =======  ===================================  ==========================================================
    optax    as above, not rectified              lr required, betas (0.9, 0.999), eps 1e-16, eps_root 1e-16
    timm     eps-prime = eps                      lr 1e-3, betas (0.9, 0.999), eps 1e-16, weight_decay 0,
                                                  rectify True, degenerated_to_sgd True,
                                                  decoupled_weight_decay True
    =======  ===================================  ==========================================================

    Parameters
    ----------
    params : array, sequence, mapping, ParameterBuffer or groups
        See :class:`Optimizer`, also for what is raised.
    lr, eps, eps_root, weight_decay : float >= 0, or schedule
        ``eps_root`` with optax alone, ``weight_decay`` with timm alone.
    betas : pair of float in [0, 1), or schedules
    nesterov : bool
        optax alone: :math:`\beta_1 m / (1 - \beta_1^{t+1}) + (1 - \beta_1)\, g / (1 - \beta_1^t)` above.
    rectify, degenerated_to_sgd : bool
        timm alone. Without the second, nothing but decay happens while :math:`\rho < 5`.
    decoupled_weight_decay : bool
        timm alone, where it is called ``decoupled_decay``; if False, an L2 penalty.

    Sources: Zhuang et al. 2020, arXiv 2010.07468, algorithm 2; ``scale_by_belief`` in ``optax/_src/transform.py``;
    ``timm/optim/adabelief.py``.
    """

    defaults: ClassVar = {
        "optax": {"lr": REQUIRED, "betas": (0.9, 0.999), "eps": 1e-16, "eps_root": 1e-16, "nesterov": False},
        "timm": {"lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-16, "weight_decay": 0.0, "rectify": True,
                 "degenerated_to_sgd": True, "decoupled_weight_decay": True},
    }  # fmt: skip
    rules: ClassVar = {"adabelief": {}}
    ranges: ClassVar = {"eps_root": "[0, inf)"}

    def __init__(
        self, params: Params, lr: Number | None = None, betas: Betas | None = None, eps: Number | None = None,
        eps_root: Number | None = None, *, nesterov: bool | None = None, weight_decay: Number | None = None,
        rectify: bool | None = None, degenerated_to_sgd: bool | None = None,
        decoupled_weight_decay: bool | None = None, **options: Unpack[Options],
    ) -> None:  # fmt: skip
        super().__init__(params, given(locals()), **options)

    @staticmethod
    def _rule(h: Values) -> str:
        return "adabelief"

    def _coefficients(self, rule: str, h: Values, lr: float, t: int, numbers: Mapping[str, float]) -> tuple[float, ...]:
        beta1, beta2 = h["betas"]
        moments = beta1, 1.0 - beta1, beta2, 1.0 - beta2, h.get("eps_root", h["eps"])
        correction1 = 1.0 - power(beta1, t)
        root_correction2 = math.sqrt(1.0 - power(beta2, t))
        if h.get("rectify"):
            rho, rectified = rectification(beta2, t)
            if rectified and rho >= 5.0:
                return *moments, 0.0, lr * rectified * root_correction2 / correction1, 1.0, h["eps"]
            return *moments, 0.0, lr / correction1 if h["degenerated_to_sgd"] else 0.0, 0.0, 1.0
        rate = lr * root_correction2
        if h.get("nesterov"):
            rates = rate * (1.0 - beta1) / correction1, rate * beta1 / (1.0 - power(beta1, t + 1))
        else:
            rates = 0.0, rate / correction1
        return *moments, *rates, 1.0, h["eps"] * root_correction2


class Yogi(Optimizer):
    r"""Yogi: Adam whose second moment moves by steps of the size of the gradient's square, whichever way.

    .. math::

        m &\leftarrow \beta_1 m + (1 - \beta_1)\, g \qquad
        v \leftarrow v - (1 - \beta_2)\, \operatorname{sign}(v - g^2)\, g^2 \\
        \theta &\leftarrow \theta - \eta\; \frac{m / (1 - \beta_1^t)}{\sqrt{v / (1 - \beta_2^t)} + \epsilon}

    with :math:`\eta` = ``lr``.

    =======  ======================================  ==============================================================
    like     formula                                 defaults
    =======  ======================================  ==============================================================
    optax    as above; m and v begin at 1e-6         lr required, betas (0.9, 0.999), eps 1e-3
    paper    no bias correction: m / (sqrt(v) +      lr 1e-2, betas (0.9, 0.999), eps 1e-3,
             eps); m begins at 0                     initial_accumulator_value 1e-6
    =======  ======================================  ==============================================================

    optax corrects the biases as if m and v had begun at 0.

    Parameters
    ----------
    params : array, sequence, mapping, ParameterBuffer or groups
        See :class:`Optimizer`, also for what is raised.
    lr, eps : float >= 0, or schedule
    betas : pair of float in [0, 1), or schedules
    initial_accumulator_value : float >= 0
        What v begins with, paper alone.

    Sources: Zaheer et al. 2018, "Adaptive methods for nonconvex optimization", algorithm 2; ``scale_by_yogi`` in
    ``optax/_src/transform.py``.
    """

    defaults: ClassVar = {
        "optax": {"lr": REQUIRED, "betas": (0.9, 0.999), "eps": 1e-3},
        "paper": {"lr": 1e-2, "betas": (0.9, 0.999), "eps": 1e-3, "initial_accumulator_value": 1e-6},
    }
    rules: ClassVar = {"yogi": {}}

    def __init__(
        self, params: Params, lr: Number | None = None, betas: Betas | None = None, eps: Number | None = None,
        *, initial_accumulator_value: float | None = None, **options: Unpack[Options],
    ) -> None:  # fmt: skip
        super().__init__(params, given(locals()), **options)

    @staticmethod
    def _rule(h: Values) -> str:
        return "yogi"

    @staticmethod
    def _initial(h: Values) -> Mapping[str, Initial]:
        value = h.get("initial_accumulator_value")
        return {"m": 1e-6, "v": 1e-6} if value is None else {"v": value}

    def _coefficients(self, rule: str, h: Values, lr: float, t: int, numbers: Mapping[str, float]) -> tuple[float, ...]:
        beta1, beta2 = h["betas"]
        moments = beta1, 1.0 - beta1, 1.0 - beta2
        if self._like == "paper":
            return *moments, lr, h["eps"]
        root_correction2 = math.sqrt(1.0 - power(beta2, t))
        return *moments, lr * root_correction2 / (1.0 - power(beta1, t)), h["eps"] * root_correction2


class Adan(Optimizer):
    r"""Adan: momentum of gradients and of their differences, over the size of Nesterov's gradient.

    .. math::

        \delta &= g - g_- \quad (0 \text{ at } t = 1) \qquad
        m \leftarrow \beta_1 m + (1 - \beta_1)\, g \qquad d \leftarrow \beta_2 d + (1 - \beta_2)\, \delta \\
        n &\leftarrow \beta_3 n + (1 - \beta_3)\, (g + \gamma\, \delta)^2 \\
        \theta &\leftarrow (1 - \eta \lambda)\, \theta - \eta\;
        \frac{m / (1 - \beta_1^t) + \gamma\, d / (1 - \beta_2^t)}
        {\sqrt{n / (1 - \beta_3^t) + \epsilon'} + \epsilon}

    with :math:`\eta` = ``lr``, :math:`\lambda` = ``weight_decay``, :math:`\epsilon'` = ``eps_root``, and g- the
    gradient of the parameter's step before. The two libraries have different optimizers under this name: the paper's
    betas are 1 minus these, and its :math:`\gamma`, 1 minus its own second beta, is timm's.

    =======  ==========================================  =========================================================
    like     formula                                     defaults
    =======  ==========================================  =========================================================
    optax    gamma = 1 - beta2, 0.08                     lr required, betas (0.98, 0.92, 0.99), eps 1e-8,
                                                         eps_root 1e-8, weight_decay 0
    timm     gamma = beta2, 0.92; no eps-prime; decay    lr 1e-3, betas (0.98, 0.92, 0.99), eps 1e-8,
             after the step: theta / (1 + lr             weight_decay 0, no_prox False
             weight_decay), unless ``no_prox``
    =======  ==========================================  =========================================================

    Parameters
    ----------
    params : array, sequence, mapping, ParameterBuffer or groups
        See :class:`Optimizer`, also for what is raised.
    lr, eps, eps_root, weight_decay : float >= 0, or schedule
        ``eps_root`` with optax alone. Weight decay is decoupled.
    betas : triple of float in [0, 1), or schedules
    no_prox : bool
        timm alone: decay as written above.

    Sources: Xie et al. 2022, arXiv 2208.06677v4, algorithm 1; ``scale_by_adan`` in ``optax/_src/transform.py``;
    ``timm/optim/adan.py``, after ``adan.py`` of github.com/sail-sg/Adan.
    """

    defaults: ClassVar = {
        "optax": {"lr": REQUIRED, "betas": (0.98, 0.92, 0.99), "eps": 1e-8, "eps_root": 1e-8, "weight_decay": 0.0},
        "timm": {"lr": 1e-3, "betas": (0.98, 0.92, 0.99), "eps": 1e-8, "weight_decay": 0.0, "no_prox": False},
    }
    rules: ClassVar = {"adan": {}}
    maskable = ("adan",)
    ranges: ClassVar = {"eps_root": "[0, inf)"}
    decoupled = ("optax", "timm")

    def __init__(
        self, params: Params, lr: Number | None = None, betas: Triple | None = None, eps: Number | None = None,
        eps_root: Number | None = None, weight_decay: Number | None = None, *, no_prox: bool | None = None,
        **options: Unpack[Options],
    ) -> None:  # fmt: skip
        super().__init__(params, given(locals()), **options)

    @staticmethod
    def _rule(h: Values) -> str:
        return "adan"

    @classmethod
    def _decay(cls, h: Values, lr: float, like: str) -> tuple[float, float]:
        return decay(cls, h, lr, like) if h.get("no_prox", True) else (0.0, 1.0 / (1.0 + lr * h["weight_decay"]))

    def _coefficients(self, rule: str, h: Values, lr: float, t: int, numbers: Mapping[str, float]) -> tuple[float, ...]:
        beta1, beta2, beta3 = h["betas"]
        gamma = beta2 if self._like == "timm" else 1.0 - beta2
        correction3 = 1.0 - power(beta3, t)
        root_correction3 = math.sqrt(correction3)
        rate = lr * root_correction3
        if not h.get("no_prox", True):
            rate /= 1.0 + lr * h["weight_decay"]
        return (
            0.0 if t == 1 else 1.0, beta1, 1.0 - beta1, beta2, 1.0 - beta2, gamma, beta3, 1.0 - beta3,
            rate / (1.0 - power(beta1, t)), rate * gamma / (1.0 - power(beta2, t)),
            h.get("eps_root", 0.0) * correction3, h["eps"] * root_correction3,
        )  # fmt: skip


class AdEMAMix(Optimizer):
    r"""AdEMAMix: Adam with a second, slow momentum beside the first.

    .. math::

        m &\leftarrow \beta_1 m + (1 - \beta_1)\, g \qquad
        m_2 \leftarrow \beta_3 m_2 + (1 - \beta_3)\, g \qquad v \leftarrow \beta_2 v + (1 - \beta_2)\, g^2 \\
        \theta &\leftarrow (1 - \eta \lambda)\, \theta - \eta\;
        \frac{m / (1 - \beta_1^t) + \alpha\, m_2}{\sqrt{v / (1 - \beta_2^t) + \epsilon'} + \epsilon}

    with :math:`\eta` = ``lr``, :math:`\lambda` = ``weight_decay``, :math:`\alpha` = ``alpha``, :math:`\epsilon'` =
    ``eps_root``. In the first :math:`T` = ``t_alpha_beta3`` steps of a parameter

    .. math::

        \alpha_t = \frac{t}{T}\, \alpha \qquad \ln \beta_{3,t} =
        \frac{\ln \beta_1 \ln \beta_3}{(1 - t/T) \ln \beta_3 + (t/T) \ln \beta_1}

    =======  ===========================  ==========================================================================
    like     formula                      defaults
    =======  ===========================  ==========================================================================
    optax    as above; alpha and beta3    lr required, betas (0.9, 0.999, 0.9999), alpha 5, eps 1e-8, eps_root 0,
             may be schedules             weight_decay 0
    paper    no eps-prime                 lr 1e-3, betas (0.9, 0.999, 0.9999), alpha 5, eps 1e-8, weight_decay 0,
                                          t_alpha_beta3 0: none
    =======  ===========================  ==========================================================================

    The paper's form, with its defaults, is that of pytorch_optimizer 4, where ``weight_decouple=True``; its versions
    before 4 divide the slow momentum too by :math:`1 - \beta_1^t`. The authors' code begins with alpha 2 and takes
    logarithms of :math:`\beta + 10^{-8}`.

    Parameters
    ----------
    params : array, sequence, mapping, ParameterBuffer or groups
        See :class:`Optimizer`, also for what is raised.
    lr, alpha, eps, eps_root, weight_decay : float >= 0, or schedule
        ``eps_root`` with optax alone. Weight decay is decoupled.
    betas : triple of float in [0, 1), or schedules
    t_alpha_beta3 : float >= 0, or schedule
        Steps of the warmup of alpha and beta3, paper alone. Where beta1 is 0, beta3 is its power T / t.

    Sources: Pagliardini, Ablin & Grangier 2024, arXiv 2409.03137, algorithm 1 and section 3;
    ``optax/contrib/_ademamix.py``; ``pytorch_optimizer/optimizer/ademamix.py``.
    """

    defaults: ClassVar = {
        "optax": {"lr": REQUIRED, "betas": (0.9, 0.999, 0.9999), "alpha": 5.0, "eps": 1e-8, "eps_root": 0.0,
                  "weight_decay": 0.0},
        "paper": {"lr": 1e-3, "betas": (0.9, 0.999, 0.9999), "alpha": 5.0, "eps": 1e-8, "weight_decay": 0.0,
                  "t_alpha_beta3": 0.0},
    }  # fmt: skip
    rules: ClassVar = {"ademamix": {}}
    ranges: ClassVar = {"alpha": "[0, inf)", "eps_root": "[0, inf)", "t_alpha_beta3": "[0, inf)"}
    decoupled = ("optax", "paper")

    def __init__(
        self, params: Params, lr: Number | None = None, betas: Triple | None = None, alpha: Number | None = None,
        eps: Number | None = None, eps_root: Number | None = None, weight_decay: Number | None = None,
        *, t_alpha_beta3: Number | None = None, **options: Unpack[Options],
    ) -> None:  # fmt: skip
        super().__init__(params, given(locals()), **options)

    @staticmethod
    def _rule(h: Values) -> str:
        return "ademamix"

    def _coefficients(self, rule: str, h: Values, lr: float, t: int, numbers: Mapping[str, float]) -> tuple[float, ...]:
        beta1, beta2, beta3 = h["betas"]
        alpha, warmup = h["alpha"], h.get("t_alpha_beta3", 0.0)
        if t < warmup:
            alpha *= t / warmup
            logarithms = logarithm(beta3) / logarithm(beta1) if beta1 and beta3 else 0.0
            beta3 = power(beta3, 1.0 / ((1.0 - t / warmup) * logarithms + t / warmup))
        correction2 = 1.0 - power(beta2, t)
        rate = lr * math.sqrt(correction2)
        return (
            beta1, 1.0 - beta1, beta2, 1.0 - beta2, beta3, 1.0 - beta3, rate / (1.0 - power(beta1, t)), rate * alpha,
            h.get("eps_root", 0.0) * correction2, h["eps"] * math.sqrt(correction2),
        )  # fmt: skip


class ADOPT(Optimizer):
    r"""ADOPT: each gradient is divided by the size of those before it, and then averaged.

    .. math::

        u = \operatorname{clamp}\!\left(\frac{g}{\max(\sqrt{v}, \epsilon)},\; \pm c_t\right) \qquad
        m \leftarrow \beta_1 m + (1 - \beta_1)\, u \qquad \theta \leftarrow \theta - \eta\, m \qquad
        v \leftarrow \beta_2 v + (1 - \beta_2)\, g^2

    with :math:`\eta` = ``lr``; at t = 1 only :math:`v \leftarrow g^2`.

    =================  ===================================  ==========================================================
    like               formula                              defaults
    =================  ===================================  ==========================================================
    optax              c = (t - 1)^(1/4)                    lr required, betas (0.9, 0.9999), eps 1e-6,
                                                            use_clipping True
    timm               c = (t - 1)^clip_exp; decoupled      lr 1e-3, betas (0.9, 0.9999), eps 1e-6, clip_exp 0.333,
                       decay from t = 2                     weight_decay 0
    pytorch_optimizer  c = t^(1/4); decoupled decay from    lr 1e-3, betas (0.9, 0.9999), eps 1e-6, weight_decay 0
                       t = 1
    =================  ===================================  ==========================================================

    optax's clipping is that of the paper.

    Parameters
    ----------
    params : array, sequence, mapping, ParameterBuffer or groups
        See :class:`Optimizer`, also for what is raised.
    lr, eps, weight_decay : float >= 0, or schedule
        Weight decay is an L2 penalty; optax has none.
    betas : pair of float in [0, 1), or schedules
    nesterov : bool
        optax alone: the step is :math:`\beta_1 m + (1 - \beta_1)\, u`, with the new m.
    use_clipping : bool
        optax alone.
    clip_exp : float >= 0, or schedule
        timm alone; ``math.inf``, there None, does not clip.
    decoupled_weight_decay : bool
        timm, where it is called ``decoupled``, and pytorch_optimizer, ``weight_decouple``: decay as in AdamW.

    Sources: Taniguchi et al. 2024, arXiv 2411.02853, algorithm 2; ``optax/contrib/_adopt.py``;
    ``timm/optim/adopt.py``; ``pytorch_optimizer/optimizer/adopt.py``.
    """

    defaults: ClassVar = {
        "optax": {"lr": REQUIRED, "betas": (0.9, 0.9999), "eps": 1e-6, "nesterov": False, "use_clipping": True},
        "timm": {"lr": 1e-3, "betas": (0.9, 0.9999), "eps": 1e-6, "weight_decay": 0.0, "clip_exp": 0.333,
                 "decoupled_weight_decay": False},
        "pytorch_optimizer": {"lr": 1e-3, "betas": (0.9, 0.9999), "eps": 1e-6, "weight_decay": 0.0,
                              "decoupled_weight_decay": False},
    }  # fmt: skip
    rules: ClassVar = {"adopt": {}}
    ranges: ClassVar = {"clip_exp": "[0, inf]"}

    def __init__(
        self, params: Params, lr: Number | None = None, betas: Betas | None = None, eps: Number | None = None,
        weight_decay: Number | None = None, *, nesterov: bool | None = None, use_clipping: bool | None = None,
        clip_exp: Number | None = None, decoupled_weight_decay: bool | None = None, **options: Unpack[Options],
    ) -> None:  # fmt: skip
        super().__init__(params, given(locals()), **options)

    @staticmethod
    def _rule(h: Values) -> str:
        return "adopt"

    @classmethod
    def _decay(cls, h: Values, lr: float, like: str) -> tuple[float, float]:
        l2, keep = decay(cls, h, lr, like)
        return l2, keep if like == "pytorch_optimizer" else 1.0  # with timm see the coefficient ``left``

    def _coefficients(self, rule: str, h: Values, lr: float, t: int, numbers: Mapping[str, float]) -> tuple[float, ...]:
        beta1, beta2 = h["betas"]
        if t == 1:
            return 1.0, beta1, 1.0 - beta1, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0
        exponent = h.get("clip_exp", 0.25) if h.get("use_clipping", True) else math.inf
        base = t if self._like == "pytorch_optimizer" else t - 1
        clip = math.inf if exponent == math.inf else power(base, exponent)
        rates = (lr * (1.0 - beta1), lr * beta1) if h.get("nesterov") else (0.0, lr)
        late = self._like == "timm" and h["decoupled_weight_decay"]
        left = 1.0 - lr * h["weight_decay"] if late else 1.0
        return left, beta1, 1.0 - beta1, beta2, 1.0 - beta2, clip, *rates, h["eps"]


class ACProp(Optimizer):
    r"""ACProp: each gradient is divided by how far those before it were from their average.

    .. math::

        \theta &\leftarrow (1 - \eta \lambda)\, \theta - \eta\;
        \frac{g}{\sqrt{s / (1 - \beta_2^{t-1})} + \epsilon} \qquad (\eta\, g / (1 + \epsilon) \text{ at } t = 1) \\
        s &\leftarrow \beta_2 s + (1 - \beta_2)\, (g - m)^2 + \epsilon' \qquad
        m \leftarrow \beta_1 m + (1 - \beta_1)\, g

    with :math:`\eta` = ``lr``, :math:`\lambda` = ``weight_decay``, :math:`\epsilon'` = ``eps_root``.

    =======  ==================================  ================================================================
    like     formula                             defaults
    =======  ==================================  ================================================================
    optax    as above: optax up to 0.2.8         lr required, betas (0.9, 0.999), eps 1e-16, eps_root 1e-16,
                                                 weight_decay 0
    paper    m first, so that s takes in the     lr 1e-3, betas (0.9, 0.999), eps 1e-16, eps_root 1e-16,
             new one, as in :class:`AdaBelief`   weight_decay 0
    =======  ==================================  ================================================================

    From m to the new m, :math:`g - m` is multiplied by :math:`\beta_1`. The paper's form is that of the authors' code,
    not rectified, and of optax's sources after 0.2.8.

    Parameters
    ----------
    params : array, sequence, mapping, ParameterBuffer or groups
        See :class:`Optimizer`, also for what is raised.
    lr, eps, eps_root, weight_decay : float >= 0, or schedule
        Weight decay is decoupled.
    betas : pair of float in [0, 1), or schedules

    Sources: Zhuang et al. 2021, arXiv 2110.05454, algorithm 2; ``optax/contrib/_acprop.py``.
    """

    defaults: ClassVar = {
        "optax": {"lr": REQUIRED, "betas": (0.9, 0.999), "eps": 1e-16, "eps_root": 1e-16, "weight_decay": 0.0},
        "paper": {"lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-16, "eps_root": 1e-16, "weight_decay": 0.0},
    }
    rules: ClassVar = {"acprop": {}}
    ranges: ClassVar = {"eps_root": "[0, inf)"}
    decoupled = ("optax", "paper")

    def __init__(
        self, params: Params, lr: Number | None = None, betas: Betas | None = None, eps: Number | None = None,
        eps_root: Number | None = None, weight_decay: Number | None = None, **options: Unpack[Options],
    ) -> None:  # fmt: skip
        super().__init__(params, given(locals()), **options)

    @staticmethod
    def _rule(h: Values) -> str:
        return "acprop"

    def _coefficients(self, rule: str, h: Values, lr: float, t: int, numbers: Mapping[str, float]) -> tuple[float, ...]:
        beta1, beta2 = h["betas"]
        of_new = beta1 * beta1 if self._like == "paper" else 1.0
        moments = beta1, 1.0 - beta1, beta2, (1.0 - beta2) * of_new, h["eps_root"]
        if t == 1:
            return *moments, lr, 0.0, 1.0 + h["eps"]
        root_correction2 = math.sqrt(1.0 - power(beta2, t - 1))
        return *moments, lr * root_correction2, 1.0, h["eps"] * root_correction2
