"""Muon: momentum whose matrices are made orthogonal."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Unpack

import numpy as np

from lrcore.arrays import Array
from lrcore.directed import Directed
from lrcore.groups import Now, Values
from lrcore.hyperparameters import Number
from lrcore.kernels import power
from lrcore.optimizers.conventions import REQUIRED, Betas, given
from lrcore.options import Options
from lrcore.reference import Aim, Settings
from lrcore.state import Shape
from lrcore.structure import Params

__all__ = ["Muon"]

Coefficients = tuple[Number, Number, Number]
_QUINTIC = (3.4445, -4.7750, 2.0315)
_KERAS_EPS = 1e-7
_Scratch = dict[tuple[str, np.dtype[Any]], Array]


class Muon(Directed):
    r"""Muon: momentum whose matrices are made orthogonal by a few steps of Newton and Schulz; AdamW for the rest.

    .. math::

        B &\leftarrow \mu B + (1 - \mu)\, g \qquad X = (1 - \mu)\, g + \mu B \qquad X \leftarrow X / \|X\|_F \\
        X &\leftarrow a X + (b A + c A^2) X, \quad A = X X^\top \quad\text{(ns\_steps times)} \qquad
        \theta \leftarrow (1 - \eta \lambda)\, \theta - \eta\, s\, X

    with :math:`\eta` = ``lr``, :math:`\mu` = ``momentum``, (a, b, c) = ``ns_coefficients``, and without ``nesterov``
    X = B. A matrix of n rows and m columns has s from the table; with ``rms_rate``, s = rms_rate sqrt(max(n, m)).

    =======  ==========================================  =======================================================
    like     formula                                     defaults
    =======  ==========================================  =======================================================
    torch    as above, s = sqrt(max(1, n / m)), the      lr 1e-3, weight_decay 0.1, momentum 0.95, nesterov True,
             norm at least eps                           ns_coefficients (3.4445, -4.775, 2.0315), eps 1e-7,
                                                         ns_steps 5, rms_rate 0, adam_betas (0.9, 0.999),
                                                         adam_eps 1e-8, adam_weight_decay 1e-2, use_muon True
    keras    B = mu B + g, X = g + mu B, s = 1, the      lr 1e-3, weight_decay 4e-3, momentum 0.95,
             norm + 1e-7; AdamW as Keras's, its rate     nesterov True,
             times adam_lr_ratio                         ns_coefficients (3.4445, -4.775, 2.0315), ns_steps 5,
                                                         rms_rate 0.2, adam_betas (0.9, 0.999), adam_eps 1e-7,
                                                         adam_weight_decay 4e-3, adam_lr_ratio 1, use_muon True
    optax    X = (1 - mu) g / (1 - mu^t) +               lr required, weight_decay 0, momentum 0.95,
             mu B / (1 - mu^(t+1)), or B / (1 - mu^t);   nesterov True,
             s = sqrt(max(1, m / n)), the norm + eps;    ns_coefficients (3.4445, -4.775, 2.0315), eps 1e-8,
             nesterov is AdamW's too                     ns_steps 5, rms_rate 0, adam_betas (0.9, 0.999),
                                                         adam_eps_root 0, adam_weight_decay 0, use_muon True
    =======  ==========================================  =======================================================

    **Its bits depend on the machine**: products of matrices are those of NumPy's BLAS, in the dtype of the parameter.
    torch has its matrices in bfloat16, and takes no other parameters. Arrays that are no matrices, and those of groups
    with ``use_muon=False``, as embeddings and the last layer are best stepped, go by AdamW with ``lr``; their bits are
    the same everywhere. The directions of all matrices are formed before the first is stepped, in memory of their size,
    which is kept.

    Parameters
    ----------
    params : array, sequence, mapping, ParameterBuffer or groups
        See :class:`Optimizer`, also for what is raised. A ParameterBuffer is swept by name.
    lr, weight_decay, eps : float >= 0, or schedule
        Weight decay is decoupled; ``eps`` is beside the norm, with optax also AdamW's.
    momentum : float in [0, 1), or schedule
        optax's ``beta``.
    nesterov : bool
    ns_coefficients : three finite floats, or schedules
        Keras's ``muon_a``, ``muon_b``, ``muon_c``.
    ns_steps : float in [1, 99], or schedule
        Rounded down to a whole number.
    rms_rate : float >= 0, or schedule
        0 has s of the table. torch's ``adjust_lr_fn="match_rms_adamw"`` is 0.2; optax's name is ``consistent_rms``.
    adam_betas : pair of float in [0, 1), or schedules
    adam_eps, adam_eps_root, adam_weight_decay, adam_lr_ratio : float >= 0, or schedule
        Of AdamW; decay is by ``lr``, whatever the ratio.
    use_muon : bool
        False steps the matrices of a group by AdamW.

    Sources: Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks"; Liu et al. 2025, arXiv
    2502.16982, section 2.2; ``torch/optim/_muon.py``; ``keras/src/optimizers/muon.py``; ``optax/contrib/_muon.py``.
    """

    defaults: ClassVar = {
        "torch": {"lr": 1e-3, "weight_decay": 0.1, "momentum": 0.95, "nesterov": True, "ns_coefficients": _QUINTIC,
                  "eps": 1e-7, "ns_steps": 5.0, "rms_rate": 0.0, "adam_betas": (0.9, 0.999), "adam_eps": 1e-8,
                  "adam_weight_decay": 1e-2, "use_muon": True},
        "keras": {"lr": 1e-3, "weight_decay": 4e-3, "momentum": 0.95, "nesterov": True, "ns_coefficients": _QUINTIC,
                  "ns_steps": 5.0, "rms_rate": 0.2, "adam_betas": (0.9, 0.999), "adam_eps": 1e-7,
                  "adam_weight_decay": 4e-3, "adam_lr_ratio": 1.0, "use_muon": True},
        "optax": {"lr": REQUIRED, "weight_decay": 0.0, "momentum": 0.95, "nesterov": True, "ns_coefficients": _QUINTIC,
                  "eps": 1e-8, "ns_steps": 5.0, "rms_rate": 0.0, "adam_betas": (0.9, 0.999), "adam_eps_root": 0.0,
                  "adam_weight_decay": 0.0, "use_muon": True},
    }  # fmt: skip
    rules: ClassVar = {"sgd": {}}
    ranges: ClassVar = {
        "momentum": "[0, 1)", "ns_coefficients": "(-inf, inf)", "ns_steps": "[1, 99]", "rms_rate": "[0, inf)",
        "adam_betas": "[0, 1)", "adam_eps": "[0, inf)", "adam_eps_root": "[0, inf)",
        "adam_weight_decay": "[0, inf)", "adam_lr_ratio": "[0, inf)",
    }  # fmt: skip
    decoupled = ("torch", "keras", "optax")

    def __init__(
        self, params: Params, lr: Number | None = None, weight_decay: Number | None = None,
        momentum: Number | None = None, nesterov: bool | None = None, ns_coefficients: Coefficients | None = None,
        eps: Number | None = None, ns_steps: Number | None = None, *, rms_rate: Number | None = None,
        adam_betas: Betas | None = None, adam_eps: Number | None = None, adam_eps_root: Number | None = None,
        adam_weight_decay: Number | None = None, adam_lr_ratio: Number | None = None, use_muon: bool | None = None,
        **options: Unpack[Options],
    ) -> None:  # fmt: skip
        super().__init__(params, given(locals()), **options)

    @staticmethod
    def _rule(h: Values) -> str:
        return "sgd"

    def _coefficients(self, rule: str, h: Values, lr: float, t: int, numbers: Mapping[str, float]) -> tuple[float, ...]:
        return (numbers.get("rate", lr),)

    def _shapes(self, h: Values) -> Mapping[str, Callable[[Shape], Shape | None]]:
        def only(matrices: bool) -> Callable[[Shape], Shape | None]:
            return lambda shape: shape if (h["use_muon"] and len(shape) == 2) is matrices else None

        return {"b": only(True), "m": only(False), "v": only(False)}

    def _aim(self, h: Values, theta: Array, states: Mapping[str, Array]) -> Aim:
        if "b" in states:
            return Aim("orthogonal", theta.shape, (states["b"], np.zeros_like(theta)))
        return Aim("adaptive", theta.shape, (states["m"], states["v"]))

    def _settings(self, h: Values, aim: Aim, theta: Array, t: int) -> Settings:
        if aim.kind == "orthogonal":
            return h["momentum"], 1.0 if self._like == "keras" else 1.0 - h["momentum"]
        beta1, beta2 = h["adam_betas"]
        share_g, share_m = 0.0, 1.0 / (1.0 - power(beta1, t))
        if self._like == "optax" and h["nesterov"]:
            share_g, share_m = (1.0 - beta1) / (1.0 - power(beta1, t)), beta1 / (1.0 - power(beta1, t + 1))
        root_correction2 = math.sqrt(1.0 - power(beta2, t))
        eps, eps_root = h.get("adam_eps", h.get("eps")), h.get("adam_eps_root", 0.0)
        if self._like != "keras":
            eps, eps_root = eps * root_correction2, eps_root * root_correction2 * root_correction2
        return (beta1, 1.0 - beta1, beta2, 1.0 - beta2, share_g * root_correction2, share_m * root_correction2,
                eps_root, eps)  # fmt: skip

    def _along(self, h: Values, aim: Aim, theta: Array, known: Mapping[str, float]) -> Mapping[str, float]:
        lr = known["rate"]
        if aim.kind != "orthogonal":
            return {"rate": lr * h.get("adam_lr_ratio", 1.0), "keep": 1.0 - lr * h["adam_weight_decay"]}
        n, m = theta.shape
        if h["rms_rate"]:
            return {"rate": lr * h["rms_rate"] * math.sqrt(max(n, m))}
        wide = {"torch": (n, m), "optax": (m, n), "keras": (1, 1)}[self._like]
        return {"rate": lr * math.sqrt(max(1.0, wide[0] / max(wide[1], 1)))}

    def _begin(self, now: Now) -> None:
        super()._begin(now)
        self._scratch: _Scratch = {}

    def _form_outside(self, h: Values, aim: Aim, g: Array, settings: Settings, t: int) -> None:
        if aim.kind != "orthogonal" or not g.size:
            return
        factor, mu, gain = settings
        b, x = aim.states
        eps = h.get("eps", _KERAS_EPS)
        prepared = _memory(self._scratch, "prepared", g.shape, g.dtype)
        with np.errstate(all="ignore"):
            np.multiply(g, factor, out=prepared)
            if self._clip_value is not None:
                np.clip(prepared, -self._clip_value, self._clip_value, out=prepared)
            share_g, share_b = (gain, mu) if h["nesterov"] else (0.0, 1.0)
            if self._like == "optax":
                share_g /= 1.0 - power(mu, t)
                share_b /= 1.0 - power(mu, t + 1 if h["nesterov"] else t)
            # share_g g + share_b (mu b + gain g), the sum of both shares of g formed first
            np.multiply(b, share_b * mu, out=x)
            prepared *= share_g + share_b * gain
            x += prepared
            norm = math.sqrt(float(np.vdot(x, x)))
            x /= max(norm, eps) if self._like == "torch" else norm + eps
            _orthogonalize(x, h["ns_coefficients"], int(h["ns_steps"]), self._scratch)


def _orthogonalize(x: Array, coefficients: tuple[float, float, float], steps: int, scratch: _Scratch) -> None:
    """Jordan et al. 2024: steps of Newton and Schulz, in place, with A the smaller of X X' and X' X."""
    a, b, c = coefficients
    tall = x.shape[0] > x.shape[1]
    short = min(x.shape)
    gram = _memory(scratch, "gram", (short, short), x.dtype)
    square = _memory(scratch, "square", (short, short), x.dtype)
    product = _memory(scratch, "prepared", x.shape, x.dtype)
    for _ in range(steps):
        np.matmul(x.T if tall else x, x if tall else x.T, out=gram)
        np.matmul(gram, gram, out=square)
        square *= c
        gram *= b
        square += gram
        np.matmul(x if tall else square, square if tall else x, out=product)
        x *= a
        x += product


def _memory(kept: _Scratch, name: str, shape: Shape, dtype: np.dtype[Any]) -> Array:
    """Memory for an array of this shape: that of the last one of this name, if it is large enough."""
    size = math.prod(shape)
    if (name, dtype) not in kept or kept[name, dtype].size < size:
        kept[name, dtype] = np.empty(size, dtype)
    return kept[name, dtype][:size].reshape(shape)
