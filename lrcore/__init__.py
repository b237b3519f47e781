"""lrcore: the optimizer step on a CPU.

Changes parameters in place by the rule and at the rate its user chose, in compiled code, with the same bits on
every machine. ``import lrcore as lr``; begin with :class:`lr.AdamW`, :class:`lr.ParameterBuffer` and
:func:`lr.minimize`.
"""

from typing import TYPE_CHECKING, Any

try:
    from lrcore.kernels import show_config  # raises where LRCORE_ISA or LRCORE_NUM_THREADS is not valid
except ImportError as error:
    from lrcore.startup import stop_command

    stop_command(error)
    raise

from lrcore.base import Optimizer
from lrcore.buffer import ParameterBuffer
from lrcore.groups import ParameterGroup
from lrcore.minimize import History, Iteration, minimize
from lrcore.optimizers import __all__ as _optimizers
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
from lrcore.options import StepReport
from lrcore.pool import get_num_threads, set_num_threads, threads

if TYPE_CHECKING:
    from lrcore import schedules
    from lrcore.averages import MovingAverage, ewma
    from lrcore.checkpoint import Checkpoint
    from lrcore.control import EarlyStopping, ReduceOnPlateau
    from lrcore.finder import CoarseLr, LrFinding, WeightDecayFinding, coarse_lr, find_lr, find_weight_decay
    from lrcore.saving import load, save

__version__ = "0.1.0"

__all__ = [
    "Checkpoint",
    "CoarseLr",
    "EarlyStopping",
    "History",
    "Iteration",
    "LrFinding",
    "MovingAverage",
    "Optimizer",
    "ParameterBuffer",
    "ParameterGroup",
    "ReduceOnPlateau",
    "StepReport",
    "WeightDecayFinding",
    "coarse_lr",
    "ewma",
    "find_lr",
    "find_weight_decay",
    "get_num_threads",
    "load",
    "minimize",
    "save",
    "schedules",
    "set_num_threads",
    "show_config",
    "threads",
]
__all__ += _optimizers


# Modules loaded when first asked for, so that importing lrcore stays quick.
_LATER = {
    "averages": ("MovingAverage", "ewma"),
    "checkpoint": ("Checkpoint",),
    "control": ("EarlyStopping", "ReduceOnPlateau"),
    "finder": ("CoarseLr", "LrFinding", "WeightDecayFinding", "coarse_lr", "find_lr", "find_weight_decay"),
    "saving": ("load", "save"),
    "schedules": (),
}


def __getattr__(name: str) -> Any:
    for module, names in _LATER.items():
        if name == module or name in names:
            from importlib import import_module

            loaded = import_module(f"lrcore.{module}")
            return loaded if name == module else getattr(loaded, name)
    folded = name.replace("_", "").lower()
    meant = next((f"; did you mean {known}?" for known in __all__ if known.replace("_", "").lower() == folded), "")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}{meant}")


def __dir__() -> list[str]:
    return sorted(__all__)
