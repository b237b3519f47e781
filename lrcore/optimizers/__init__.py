r"""The optimizers: what each remembers, and the coefficients that its rule takes at step t.

In the equations, theta is a parameter, g its gradient, t = 1, 2, … the step being taken; operations on arrays
are elementwise. Schedules are asked for step t - 1, so that the first step has the rate ``schedule(0)``. The
two counts meet in :meth:`Optimizer.step` and nowhere else.

``like`` chooses whose formula and whose defaults an optimizer has; by default those of the first row of its table:

``"torch"``
    PyTorch 2 (``torch/optim``). Weight decay is an L2 penalty, ``g + weight_decay * theta``, except in AdamW.
``"keras"``
    Keras 3 (``keras/src/optimizers``). Weight decay is decoupled, ``theta * (1 - lr * weight_decay)``, in every
    optimizer.
``"keras2"``
    Keras 1 and 2 (``keras/optimizers.py``), with ``decay``: the rate is ``lr / (1 + decay * (t - 1))``.
    No weight decay. The defaults are those up to Keras 2.1.2. From 2.1.3 to 2.3.1, the last, eps is 1e-7 in place of
    1e-8, and only there Adam has ``amsgrad``. (The commit after 2.3.1 has Adagrad begin at 0.1, with lr 1e-3.)
``"optax"``
    optax 0.2 (``optax/_src/alias.py``). The rate has no default.
``"timm"``
    timm 1 (``timm/optim``).
``"transformers"``
    transformers 5 (``transformers/optimization.py``).
``"paper"``
    The paper itself, or the package of its authors.

A hyperparameter that a library does not have under that name raises. Any that is a number may also be a callable
``step -> float``; its value is checked at each step, before anything has changed.
"""

from __future__ import annotations

from lrcore.base import register
from lrcore.optimizers import (
    adam,
    adaptive,
    averaging,
    distance,
    factored,
    layerwise,
    moments,
    muon,
    nesterov,
    sgd,
    sign,
    trust,
    variance,
)
from lrcore.optimizers.adam import *  # noqa: F403
from lrcore.optimizers.adaptive import *  # noqa: F403
from lrcore.optimizers.averaging import *  # noqa: F403
from lrcore.optimizers.distance import *  # noqa: F403
from lrcore.optimizers.factored import *  # noqa: F403
from lrcore.optimizers.layerwise import *  # noqa: F403
from lrcore.optimizers.moments import *  # noqa: F403
from lrcore.optimizers.muon import *  # noqa: F403
from lrcore.optimizers.nesterov import *  # noqa: F403
from lrcore.optimizers.sgd import *  # noqa: F403
from lrcore.optimizers.sign import *  # noqa: F403
from lrcore.optimizers.trust import *  # noqa: F403
from lrcore.optimizers.variance import *  # noqa: F403

__all__ = []
__all__ += sgd.__all__
__all__ += adaptive.__all__
__all__ += adam.__all__
__all__ += nesterov.__all__
__all__ += sign.__all__
__all__ += moments.__all__
__all__ += averaging.__all__
__all__ += layerwise.__all__
__all__ += trust.__all__
__all__ += distance.__all__
__all__ += factored.__all__
__all__ += muon.__all__
__all__ += variance.__all__

for _name in __all__:
    register(globals()[_name])
