"""Rates from the distance that parameters have come: DoG, D-Adaptation, Prodigy."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import ClassVar, Unpack

from lrcore.base import Optimizer
from lrcore.groups import Values
from lrcore.hyperparameters import Number
from lrcore.kernels import power
from lrcore.optimizers.conventions import Betas, given
from lrcore.options import Options
from lrcore.state import Initial
from lrcore.structure import Params

__all__ = ["DAdaptAdam", "DAdaptSGD", "DoG", "DoWG", "Prodigy"]

Each = Sequence[tuple[Values, float, Mapping[str, float]]]


def total(each: Each, name: str) -> float:
    """A sum over all arrays, added in their order."""
    added = 0.0
    for _, _, sums in each:
        added += sums[name]
    return added


def correction(h: Values, t: int) -> float:
    """What the rate of Adam is multiplied by for its start at zero; 1 where it is not corrected."""
    if not h.get("use_bias_correction", True):
        return 1.0
    beta1, beta2 = h["betas"]
    return math.sqrt(1.0 - power(beta2, t)) / (1.0 - power(beta1, t))


class _FromStart(Optimizer):
    """Steps by gradients, with a rate that follows from how far all parameters have come from where they started."""

    rules: ClassVar = {"sgd": {}}
    looks: ClassVar = {"away": ("uu", "gg")}
    together = True

    @staticmethod
    def _rule(h: Values) -> str:
        return "sgd"

    @staticmethod
    def _initial(h: Values) -> Mapping[str, Initial]:
        return {"start": "parameter"}

    def _look(self, look: str, h: Values, lr: float, t: int, numbers: Mapping[str, float]) -> tuple[float, ...]:
        return ()

    def _coefficients(self, rule: str, h: Values, lr: float, t: int, numbers: Mapping[str, float]) -> tuple[float, ...]:
        return (lr * numbers["pace"],)


class DoG(_FromStart):
    r"""DoG: gradient descent whose rate is the distance come over the root of the sum of squared gradients.

    .. math::

        \bar r \leftarrow \max(\bar r, \lVert\theta - \theta_0\rVert) \qquad G \leftarrow G + \lVert g\rVert^2 \qquad
        \theta \leftarrow \theta - \eta\, \frac{\bar r}{\sqrt{G + \epsilon}}\, g

    with :math:`\eta` = ``lr``, :math:`\theta_0` the parameters at first, and norms over all parameters together.

    =======  ===========  ==============================================================================
    like     formula      defaults
    =======  ===========  ==============================================================================
    optax    as above     lr 1, init_step ("heuristic", 1e-6), eps 1e-8, weight_decay 0
    =======  ===========  ==============================================================================

    Its authors recommend a moving average of the parameters: ``ema``. Where groups differ, ``init_step`` and ``eps``
    are those of the first that moves.

    Parameters
    ----------
    params : array, sequence, mapping, ParameterBuffer or groups
        See :class:`Optimizer`, also for what is raised.
    lr, eps, weight_decay : float >= 0, or schedule
        Weight decay is an L2 penalty.
    init_step : ("heuristic" or "distance" or "learning_rate", float >= 0)
        What :math:`\bar r` is at first: the number times :math:`1 + \lVert\theta_0\rVert`, or the number; or 0, and the
        number is the rate of the first step in place of :math:`\bar r / \sqrt{G + \epsilon}`.

    Sources: Ivgi, Hinder & Carmon 2023 (arXiv 2302.12022), eq. 1-3; ``optax/contrib/_dog.py``.
    """

    defaults: ClassVar = {
        "optax": {"lr": 1.0, "init_step": ("heuristic", 1e-6), "eps": 1e-8, "weight_decay": 0.0},
    }
    ranges: ClassVar = {"init_step": "heuristic|distance|learning_rate"}
    numbers: ClassVar = {"distance": "[0, inf]", "squares": "[0, inf]"}
    sums = ("tt",)

    def __init__(
        self, params: Params, lr: Number | None = None, init_step: tuple[str, float] | None = None,
        eps: Number | None = None, weight_decay: Number | None = None, **options: Unpack[Options],
    ) -> None:  # fmt: skip
        super().__init__(params, given(locals()), **options)

    @staticmethod
    def _initial_numbers(like: str) -> Mapping[str, float]:
        return {"distance": 0.0, "squares": 0.0}

    def _together(self, each: Each, t: int, numbers: Mapping[str, float]) -> Mapping[str, float]:
        h = each[0][0]
        kind, value = h["init_step"]
        distance = max(numbers["distance"], math.sqrt(total(each, "away.uu")))
        squares = numbers["squares"] + total(each, "away.gg")
        first = numbers["squares"] == 0.0
        if first and kind != "learning_rate":
            distance = max(distance, value * (1.0 + math.sqrt(total(each, "tt"))) if kind == "heuristic" else value)
        beside = math.sqrt(squares + h["eps"])
        pace = distance / beside if beside else 0.0
        if first and kind == "learning_rate":
            pace = value
        return {"distance": distance, "squares": squares, "pace": pace}


class DoWG(_FromStart):
    r"""DoWG: as :class:`DoG`, each squared gradient weighted by the distance come until then.

    .. math::

        \bar r^2 \leftarrow \max(\bar r^2, \lVert\theta - \theta_0\rVert^2) \qquad
        G \leftarrow G + \bar r^2 \lVert g\rVert^2 \qquad
        \theta \leftarrow \theta - \eta\, \frac{\bar r^2}{\sqrt{G} + \epsilon}\, g

    with :math:`\eta` = ``lr``, :math:`\theta_0` the parameters at first, and norms over all parameters together.

    =======  ===========  ==============================================================================
    like     formula      defaults
    =======  ===========  ==============================================================================
    optax    as above     lr 1, init_estim_sq_dist 0, eps 1e-4, weight_decay 0
    =======  ===========  ==============================================================================

    Parameters
    ----------
    params : array, sequence, mapping, ParameterBuffer or groups
        See :class:`Optimizer`, also for what is raised.
    lr, eps, weight_decay : float >= 0, or schedule
        Weight decay is an L2 penalty.
    init_estim_sq_dist : float >= 0
        :math:`\bar r^2` at first; 0 takes eps, optax's None.

    Sources: Khaled, Mishchenko & Jin 2023 (arXiv 2305.16284), algorithm 1; ``optax/contrib/_dog.py``.
    """

    defaults: ClassVar = {"optax": {"lr": 1.0, "init_estim_sq_dist": 0.0, "eps": 1e-4, "weight_decay": 0.0}}
    ranges: ClassVar = {"init_estim_sq_dist": "[0, inf)"}
    numbers: ClassVar = {"sq_distance": "[0, inf]", "squares": "[0, inf]"}

    def __init__(
        self, params: Params, lr: Number | None = None, init_estim_sq_dist: Number | None = None,
        eps: Number | None = None, weight_decay: Number | None = None, **options: Unpack[Options],
    ) -> None:  # fmt: skip
        super().__init__(params, given(locals()), **options)

    @staticmethod
    def _initial_numbers(like: str) -> Mapping[str, float]:
        return {"sq_distance": 0.0, "squares": 0.0}

    def _together(self, each: Each, t: int, numbers: Mapping[str, float]) -> Mapping[str, float]:
        h = each[0][0]
        known = numbers["sq_distance"] or h["init_estim_sq_dist"] or h["eps"]
        distance = max(known, total(each, "away.uu"))
        squares = numbers["squares"] + distance * total(each, "away.gg")
        beside = math.sqrt(squares) + h["eps"]
        return {"sq_distance": distance, "squares": squares, "pace": distance / beside if beside else 0.0}


class Prodigy(Optimizer):
    r"""Prodigy: AdamW that estimates how far the solution is, and steps accordingly.

    .. math::

        m &\leftarrow \beta_1 m + (1 - \beta_1)\, d g \qquad v \leftarrow \beta_2 v + (1 - \beta_2)\, (d g)^2 \qquad
        s \leftarrow \beta_3 s + \tfrac{d}{d_0}\, \eta_t\, g \\
        n &\leftarrow \beta_3 n + \tfrac{d}{d_0}\, \eta_t\, \langle g, \theta_0 - \theta\rangle \qquad
        d' = \max\left(d, c\; n / \lVert s\rVert_1\right) \qquad
        \theta \leftarrow (1 - \eta_t \lambda)\, \theta - \eta_t\; \frac{m}{\sqrt{v} + d' \epsilon}

    with :math:`\eta_t = d\, \eta \sqrt{1 - \beta_2^t} / (1 - \beta_1^t)`, :math:`\eta` = ``lr``, :math:`\lambda` =
    ``weight_decay``, :math:`c` = ``estim_lr_coef``, d from :math:`d_0` = ``estim_lr0`` on, and :math:`\theta_0` the
    parameters at first. d and n are of all parameters together, and where groups differ formed with the hyperparameters
    of the first that moves, each with its own rate. While every gradient has been 0, d stays.

    =======  =======================================  ========================================================
    like     formula                                  defaults
    =======  =======================================  ========================================================
    optax    as above                                 lr 1, betas (0.9, 0.999), beta3 0, eps 1e-8,
                                                      estim_lr0 1e-6, estim_lr_coef 1, weight_decay 0,
                                                      safeguard_warmup False
    paper    no correction for the start at zero,     lr 1, betas (0.9, 0.999), beta3 0, eps 1e-8,
             unless ``use_bias_correction``; d grows  estim_lr0 1e-6, estim_lr_coef 1, weight_decay 0,
             at most by ``growth_rate`` a step        safeguard_warmup False, use_bias_correction False,
                                                      growth_rate inf, decoupled_weight_decay True
    =======  =======================================  ========================================================

    paper: the package prodigyopt, which calls ``estim_lr0`` d0, ``estim_lr_coef`` d_coef, ``decoupled_weight_decay``
    decouple.

    Parameters
    ----------
    params : array, sequence, mapping, ParameterBuffer or groups
        See :class:`Optimizer`, also for what is raised.
    lr, eps, weight_decay : float >= 0, or schedule
    betas : pair of float in [0, 1), or schedules
    beta3 : float in [0, 1), or schedule
        0 takes the root of the second of ``betas``, both libraries' None.
    estim_lr0, estim_lr_coef : float > 0, or schedule
    safeguard_warmup : bool
        d in place of :math:`\eta_t` in s.
    use_bias_correction : bool
        paper alone.
    growth_rate : float > 0, or schedule
        paper alone.
    decoupled_weight_decay : bool
        paper alone: False makes decay an L2 penalty.

    Sources: Mishchenko & Defazio 2023 (arXiv 2306.06101), algorithm 4; ``optax/contrib/_prodigy.py``;
    ``prodigyopt/prodigy.py``.
    """

    defaults: ClassVar = {
        "optax": {"lr": 1.0, "betas": (0.9, 0.999), "beta3": 0.0, "eps": 1e-8, "estim_lr0": 1e-6,
                  "estim_lr_coef": 1.0, "weight_decay": 0.0, "safeguard_warmup": False},
        "paper": {"lr": 1.0, "betas": (0.9, 0.999), "beta3": 0.0, "eps": 1e-8, "estim_lr0": 1e-6,
                  "estim_lr_coef": 1.0, "weight_decay": 0.0, "safeguard_warmup": False, "use_bias_correction": False,
                  "growth_rate": math.inf, "decoupled_weight_decay": True},
    }  # fmt: skip
    rules: ClassVar = {"prodigy": {}}
    ranges: ClassVar = {
        "beta3": "[0, 1)", "estim_lr0": "(0, inf)", "estim_lr_coef": "(0, inf)", "growth_rate": "(0, inf]",
    }  # fmt: skip
    numbers: ClassVar = {"estim_lr": "[0, inf]", "estim_lr_max": "[0, inf]", "numerator": "[-inf, inf]"}
    decoupled = ("optax",)
    looks: ClassVar = {"away": ("ug",), "gathered_size": ("u",)}
    together = True

    def __init__(
        self, params: Params, lr: Number | None = None, betas: Betas | None = None, beta3: Number | None = None,
        eps: Number | None = None, estim_lr0: Number | None = None, estim_lr_coef: Number | None = None,
        weight_decay: Number | None = None, safeguard_warmup: bool | None = None, *,
        use_bias_correction: bool | None = None, growth_rate: Number | None = None,
        decoupled_weight_decay: bool | None = None, **options: Unpack[Options],
    ) -> None:  # fmt: skip
        super().__init__(params, given(locals()), **options)

    @staticmethod
    def _rule(h: Values) -> str:
        return "prodigy"

    @staticmethod
    def _initial(h: Values) -> Mapping[str, Initial]:
        return {"start": "parameter"}

    @staticmethod
    def _initial_numbers(like: str) -> Mapping[str, float]:
        return {"estim_lr": 0.0, "estim_lr_max": 0.0, "numerator": 0.0}

    @staticmethod
    def _gathering(h: Values, rate: float, d: float) -> tuple[float, float]:
        """How much of s stays, and how much of the gradient is added to it."""
        gain = d / h["estim_lr0"] * (d if h["safeguard_warmup"] else rate)
        return h["beta3"] or math.sqrt(h["betas"][1]), gain

    def _look(self, look: str, h: Values, lr: float, t: int, numbers: Mapping[str, float]) -> tuple[float, ...]:
        d = numbers["estim_lr"] or h["estim_lr0"]
        return () if look == "away" else self._gathering(h, d * lr * correction(h, t), d)

    def _together(self, each: Each, t: int, numbers: Mapping[str, float]) -> Mapping[str, float]:
        h = each[0][0]
        d0, corrected = h["estim_lr0"], correction(h, t)
        d = numbers["estim_lr"] or d0
        numerator = self._gathering(h, 0.0, d)[0] * numbers["numerator"]
        for _, lr, sums in each:
            numerator -= d / d0 * (d * lr * corrected) * sums["away.ug"]
        size = total(each, "gathered_size.u")
        largest = numbers["estim_lr_max"] or d0
        following = d
        if size != 0.0:
            estimate = h["estim_lr_coef"] * numerator / size
            if d == d0:
                following = max(d, estimate)
            largest = max(largest, estimate)
            following = min(largest, following * h.get("growth_rate", math.inf))
        return {"d": d, "correction": corrected, "estim_lr": following, "estim_lr_max": largest, "numerator": numerator}

    def _rates(self, h: Values, lr: float, t: int, numbers: Mapping[str, float]) -> tuple[float, float]:
        rate = numbers["d"] * lr * numbers["correction"]
        return rate, rate

    def _coefficients(self, rule: str, h: Values, lr: float, t: int, numbers: Mapping[str, float]) -> tuple[float, ...]:
        beta1, beta2 = h["betas"]
        d, following = numbers["d"], numbers["estim_lr"]
        rate = lr * (following / d) if self._like == "paper" and beta1 == 0.0 else lr  # it keeps no momentum then
        return (beta1, (1.0 - beta1) * d, beta2, (1.0 - beta2) * (d * d), *self._gathering(h, lr, d), rate,
                h["eps"] * following)  # fmt: skip


class DAdaptSGD(Optimizer):
    r"""Gradient descent by D-Adaptation: the rate follows an estimate of how far the solution is.

    .. math::

        \gamma = d\, \eta / \lVert g_1\rVert \qquad n \leftarrow n + \gamma\, \langle g, s\rangle \qquad
        s \leftarrow s + \gamma g \qquad d' = \max(d,\; 2 n / \lVert s\rVert) \qquad
        \theta \leftarrow \mu\, \theta + (1 - \mu)\, (\theta_0 - s)

    with :math:`\eta` = ``lr``, :math:`\mu` = ``momentum``, :math:`g_1` the first gradient that is not 0,
    :math:`\theta_0` the parameters at first, d from ``d0`` on; :math:`d'` is d in the next step. Norms, d and n are of
    all parameters together, as in :class:`Prodigy`.

    =======  ===========  ==============================================================================
    like     formula      defaults
    =======  ===========  ==============================================================================
    paper    as above     lr 1, momentum 0, weight_decay 0, d0 1e-6, growth_rate inf
    =======  ===========  ==============================================================================

    paper: the package dadaptation, whose norm of the first gradient leaves out the penalty.

    Parameters
    ----------
    params : array, sequence, mapping, ParameterBuffer or groups
        See :class:`Optimizer`, also for what is raised.
    lr, weight_decay : float >= 0, or schedule
        Weight decay is an L2 penalty.
    momentum : float in [0, 1), or schedule
    d0, growth_rate : float > 0, or schedule
        d grows at most by ``growth_rate`` a step.

    Sources: Defazio & Mishchenko 2023 (arXiv 2301.07733), algorithm 4; ``dadaptation/dadapt_sgd.py``.
    """

    defaults: ClassVar = {
        "paper": {"lr": 1.0, "momentum": 0.0, "weight_decay": 0.0, "d0": 1e-6, "growth_rate": math.inf},
    }
    rules: ClassVar = {"dadapt_sgd": {}}
    ranges: ClassVar = {"momentum": "[0, 1)", "d0": "(0, inf)", "growth_rate": "(0, inf]"}
    numbers: ClassVar = {"d": "[0, inf]", "numerator": "[-inf, inf]", "g0_norm": "[0, inf]"}
    sums = ("gg",)
    looks: ClassVar = {"gathered": ("uu", "ug", "gg")}
    together = True

    def __init__(
        self, params: Params, lr: Number | None = None, momentum: Number | None = None,
        weight_decay: Number | None = None, d0: Number | None = None, growth_rate: Number | None = None,
        **options: Unpack[Options],
    ) -> None:  # fmt: skip
        super().__init__(params, given(locals()), **options)

    @staticmethod
    def _rule(h: Values) -> str:
        return "dadapt_sgd"

    @staticmethod
    def _initial(h: Values) -> Mapping[str, Initial]:
        return {"start": "parameter"}

    @staticmethod
    def _initial_numbers(like: str) -> Mapping[str, float]:
        return {"d": 0.0, "numerator": 0.0, "g0_norm": 0.0}

    def _look(self, look: str, h: Values, lr: float, t: int, numbers: Mapping[str, float]) -> tuple[float, ...]:
        return ()

    def _together(self, each: Each, t: int, numbers: Mapping[str, float]) -> Mapping[str, float]:
        h = each[0][0]
        d = numbers["d"] or h["d0"]
        norm = numbers["g0_norm"] or math.sqrt(total(each, "gg"))
        pace = d / norm if norm else 0.0
        numerator, squares = numbers["numerator"], 0.0
        for _, lr, sums in each:
            gain = pace * lr
            numerator += gain * sums["gathered.ug"]
            squares += sums["gathered.uu"] + 2.0 * gain * sums["gathered.ug"] + gain * gain * sums["gathered.gg"]
        following = d
        if squares > 0.0:
            following = max(d, min(2.0 * numerator / math.sqrt(squares), d * h["growth_rate"]))
        return {"d": following, "numerator": numerator, "g0_norm": norm, "pace": pace}

    def _coefficients(self, rule: str, h: Values, lr: float, t: int, numbers: Mapping[str, float]) -> tuple[float, ...]:
        return h["momentum"], 1.0 - h["momentum"], lr * numbers["pace"]


class DAdaptAdam(Optimizer):
    r"""Adam by D-Adaptation: the rate follows an estimate of how far the solution is.

    .. math::

        n &\leftarrow \beta_3 n + (1 - \beta_3)\, \eta_t\, \langle g, s / (\sqrt v + \epsilon)\rangle \qquad
        m \leftarrow \beta_1 m + (1 - \beta_1)\, \eta_t\, g \qquad v \leftarrow \beta_2 v + (1 - \beta_2)\, g^2 \\
        s &\leftarrow \beta_3 s + (1 - \beta_3)\, \eta_t\, g \qquad
        d' = \max\left(d, \frac{n}{(1 - \beta_3) \lVert s\rVert_1}\right) \qquad
        \theta \leftarrow (1 - \eta_t \lambda)\, \theta - \frac{m}{\sqrt v + \epsilon}

    with :math:`\eta_t = d\, \eta \sqrt{1 - \beta_2^t} / (1 - \beta_1^t)`, :math:`\eta` = ``lr``,
    :math:`\beta_3 = \sqrt{\beta_2}`, :math:`\lambda` = ``weight_decay``, d from ``estim_lr0`` on; :math:`d'` is d in
    the next step. d and n are of all parameters together, as in :class:`Prodigy`. While every gradient has been 0, d
    stays.

    =======  =======================================  ========================================================
    like     formula                                  defaults
    =======  =======================================  ========================================================
    optax    as above                                 lr 1, betas (0.9, 0.999), eps 1e-8, estim_lr0 1e-6,
                                                      weight_decay 0
    paper    no correction for the start at zero,     lr 1, betas (0.9, 0.999), eps 1e-8, estim_lr0 1e-6,
             unless ``use_bias_correction``; d grows  weight_decay 0, use_bias_correction False,
             at most by ``growth_rate`` a step        growth_rate inf, decoupled_weight_decay False
    =======  =======================================  ========================================================

    optax: its ``dadapt_adamw``. paper: the package dadaptation, which calls ``estim_lr0`` d0,
    ``decoupled_weight_decay`` decouple.

    Parameters
    ----------
    params : array, sequence, mapping, ParameterBuffer or groups
        See :class:`Optimizer`, also for what is raised.
    lr, eps, weight_decay : float >= 0, or schedule
    betas : pair of float in [0, 1), or schedules
    estim_lr0 : float > 0, or schedule
    use_bias_correction : bool
        paper alone.
    growth_rate : float > 0, or schedule
        paper alone.
    decoupled_weight_decay : bool
        paper alone: False makes decay an L2 penalty.

    Sources: Defazio & Mishchenko 2023 (arXiv 2301.07733), algorithm 5; ``optax/contrib/_dadapt_adamw.py``;
    ``dadaptation/dadapt_adam.py``.
    """

    defaults: ClassVar = {
        "optax": {"lr": 1.0, "betas": (0.9, 0.999), "eps": 1e-8, "estim_lr0": 1e-6, "weight_decay": 0.0},
        "paper": {"lr": 1.0, "betas": (0.9, 0.999), "eps": 1e-8, "estim_lr0": 1e-6, "weight_decay": 0.0,
                  "use_bias_correction": False, "growth_rate": math.inf, "decoupled_weight_decay": False},
    }  # fmt: skip
    rules: ClassVar = {"prodigy": {}}
    ranges: ClassVar = {"estim_lr0": "(0, inf)", "growth_rate": "(0, inf]"}
    numbers: ClassVar = {"estim_lr": "[0, inf]", "numerator": "[-inf, inf]"}
    decoupled = ("optax",)
    looks: ClassVar = {"gathered_direction": ("ug",), "gathered_size": ("u",)}
    together = True

    def __init__(
        self, params: Params, lr: Number | None = None, betas: Betas | None = None, eps: Number | None = None,
        estim_lr0: Number | None = None, weight_decay: Number | None = None, *,
        use_bias_correction: bool | None = None, growth_rate: Number | None = None,
        decoupled_weight_decay: bool | None = None, **options: Unpack[Options],
    ) -> None:  # fmt: skip
        super().__init__(params, given(locals()), **options)

    @staticmethod
    def _rule(h: Values) -> str:
        return "prodigy"

    @staticmethod
    def _initial_numbers(like: str) -> Mapping[str, float]:
        return {"estim_lr": 0.0, "numerator": 0.0}

    @staticmethod
    def _gathering(h: Values, rate: float) -> tuple[float, float]:
        """How much of s stays, and how much of the gradient is added to it."""
        beta3 = math.sqrt(h["betas"][1])
        return beta3, (1.0 - beta3) * rate

    def _look(self, look: str, h: Values, lr: float, t: int, numbers: Mapping[str, float]) -> tuple[float, ...]:
        if look == "gathered_direction":
            return (h["eps"],)
        return self._gathering(h, (numbers["estim_lr"] or h["estim_lr0"]) * lr * correction(h, t))

    def _together(self, each: Each, t: int, numbers: Mapping[str, float]) -> Mapping[str, float]:
        h = each[0][0]
        d = numbers["estim_lr"] or h["estim_lr0"]
        pace = d * correction(h, t)
        beta3 = math.sqrt(h["betas"][1])
        numerator = beta3 * numbers["numerator"]
        for _, lr, sums in each:
            numerator += (1.0 - beta3) * (pace * lr) * sums["gathered_direction.ug"]
        size = (1.0 - beta3) * total(each, "gathered_size.u")
        following = max(d, min(numerator / size, d * h.get("growth_rate", math.inf))) if size != 0.0 else d
        return {"estim_lr": following, "numerator": numerator, "d": d, "correction": correction(h, t)}

    def _rates(self, h: Values, lr: float, t: int, numbers: Mapping[str, float]) -> tuple[float, float]:
        rate = numbers["d"] * lr * numbers["correction"]
        return rate, rate

    def _coefficients(self, rule: str, h: Values, lr: float, t: int, numbers: Mapping[str, float]) -> tuple[float, ...]:
        beta1, beta2 = h["betas"]
        return beta1, (1.0 - beta1) * lr, beta2, 1.0 - beta2, *self._gathering(h, lr), 1.0, h["eps"]
