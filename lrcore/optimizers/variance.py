"""MARS: gradients corrected by those before, against their noise."""

from __future__ import annotations

from typing import ClassVar, Unpack

from lrcore.arrays import Array
from lrcore.base import Optimizer
from lrcore.groups import Values
from lrcore.hyperparameters import Number
from lrcore.optimizers.adam import Adam
from lrcore.optimizers.conventions import Betas, given
from lrcore.options import Options
from lrcore.structure import Params

__all__ = ["MARS"]


class MARS(Adam):
    r"""MARS: AdamW on gradients whose change since the step before is amplified, which reduces their variance.

    .. math::

        c_t &= g_t + \gamma \frac{\beta_1}{1 - \beta_1}\, (g_t - g_{t-1}) \qquad
        c_t \leftarrow \frac{c_t}{\max(1, \lVert c_t \rVert)} \\
        m &\leftarrow \beta_1 m + (1 - \beta_1)\, c_t \qquad v \leftarrow \beta_2 v + (1 - \beta_2)\, c_t^2 \\
        \theta &\leftarrow (1 - \eta \lambda)\, \theta
        - \eta\; \frac{m / (1 - \beta_1^t)}{\sqrt{v / (1 - \beta_2^t)} + \epsilon}

    with :math:`\eta` = ``lr``, :math:`\lambda` = ``weight_decay``, :math:`\gamma` = ``gamma``; :math:`g_0 = g_1`. The
    norm is that of each parameter by itself; a ParameterBuffer is swept by name. Other optimizers with ``betas`` take
    :math:`\gamma` as the option ``mars``: ``NAdam(params, mars=0.025)``.

    =======  =============================  ==================================================================
    like     formula                        defaults
    =======  =============================  ==================================================================
    timm     as above                       lr 3e-3, betas (0.9, 0.99), eps 1e-8, weight_decay 0, gamma 0.025,
                                            optimize_1d False
    =======  =============================  ==================================================================

    The authors' package has :math:`g_0 = 0`, betas (0.95, 0.99), and for parameters of less than two axes a rate, betas
    and a decay of their own, as a group has here.

    Parameters
    ----------
    params : array, sequence, mapping, ParameterBuffer or groups
        See :class:`Optimizer`, also for what is raised.
    lr, eps, weight_decay, gamma : float >= 0, or schedule
    betas : pair of float in [0, 1), or schedules
    optimize_1d : bool
        Correct the gradients of parameters of less than two axes too; they take AdamW's step otherwise.

    Sources: Yuan et al. 2024 (arXiv 2411.10438), algorithm 2 with the last gradient in place of one on the same data;
    ``timm/optim/mars.py``.
    """

    defaults: ClassVar = {
        "timm": {"lr": 3e-3, "betas": (0.9, 0.99), "eps": 1e-8, "weight_decay": 0.0, "gamma": 0.025,
                 "optimize_1d": False},
    }  # fmt: skip
    rules: ClassVar = {"adam": {}}
    ranges: ClassVar = {"gamma": "[0, inf)"}
    decoupled = ("timm",)
    corrects = True

    def __init__(
        self, params: Params, lr: Number | None = None, betas: Betas | None = None, eps: Number | None = None,
        weight_decay: Number | None = None, gamma: Number | None = None, optimize_1d: bool | None = None,
        **options: Unpack[Options],
    ) -> None:  # fmt: skip
        Optimizer.__init__(self, params, given(locals()), **options)

    def _gamma(self, h: Values, theta: Array) -> float | None:
        return h["gamma"] if h["optimize_1d"] or theta.ndim >= 2 else None
