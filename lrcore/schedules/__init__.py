r"""Learning-rate schedules: immutable values that map a step to a number.

>>> s = CosineDecay(3e-4, 10_000).with_warmup(500)
>>> s(0), s(500)
(6e-07, 0.0003)
>>> s(np.arange(10_500)).shape
(10500,)

A schedule is a pure function of the step. It keeps no counter and knows no optimizer, so a run resumes from one
integer, and any hyperparameter can follow one: learning rate, momentum, betas, weight decay. Steps count from 0.

**Evaluation.** ``s(step)`` takes an integer and gives a float; ``s(steps)`` takes an array of integers of any shape
and gives float64 values of that shape. Both give the same bits, on every machine and in every build (see
:mod:`lrcore.schedules.elementary`). A step must lie in [0, 2^53); a negative one raises ValueError, a float or a bool
TypeError. Compiled code computes in the default floating-point environment, whatever the caller has set, and gives
the caller's back; where there is none, NumPy computes in the environment that it finds.

**Past the end.** Every schedule with an end holds its last value for ever. ``s.length`` is the step at which that
value is reached, or None for a schedule that never ends (exponential decay, cycles, restarts).

**Composition.** ``a.then(b, at=1000)``, ``s.with_warmup(500)``, ``2 * s``, ``a * b``, ``a + b``, ``s + 0.1``,
``s.clip(low, high)``, ``s.repeat(3)``, ``s.shift(100)``, ``s.every(500)``: each gives another schedule. At most 50
may lie within one another; ValueError for more.

**Conversions.** ``OneCycle.like_torch(0.1, total_steps=1000)`` takes the arguments of another library's schedule where
its conventions are not those here: ``like_torch``, ``like_keras``, ``like_optax``, ``like_transformers``,
``like_timm``, ``like_deepspeed``.

**Text.** ``repr(s)`` is read back by :func:`parse`, ``s.to_dict()`` (JSON) by :func:`from_dict`.

**A new schedule is one class**: a frozen dataclass with :class:`Schedule` as its base that defines ``_over``. Text,
JSON, pickling, composition and the checks of annotated fields come with the base, which says which classes text and
JSON leave out.
"""

from lrcore.schedules.base import REGISTRY as REGISTRY
from lrcore.schedules.base import (
    Clipped,
    Constant,
    Custom,
    Join,
    Product,
    Repeated,
    Scaled,
    Schedule,
    Shifted,
    Stepped,
    Sum,
    Warmup,
)
from lrcore.schedules.decays import (
    CosineCycles,
    CosineDecay,
    CosineRestarts,
    Cyclic,
    ExponentialDecay,
    InverseSqrt,
    InverseTimeDecay,
    Linear,
    OneCycle,
    PiecewiseConstant,
    PolynomialDecay,
    PowerDecay,
    Rex,
    StepDecay,
    Table,
    Tanh,
    WarmupStableDecay,
)
from lrcore.schedules.fields import LAST_STEP as LAST_STEP
from lrcore.schedules.fields import AtLeastOne as AtLeastOne
from lrcore.schedules.fields import Boundaries as Boundaries
from lrcore.schedules.fields import Count as Count
from lrcore.schedules.fields import CountOrZero as CountOrZero
from lrcore.schedules.fields import Flag as Flag
from lrcore.schedules.fields import Fraction as Fraction
from lrcore.schedules.fields import Integer as Integer
from lrcore.schedules.fields import NotNegative as NotNegative
from lrcore.schedules.fields import OptionalCount as OptionalCount
from lrcore.schedules.fields import OptionalReal as OptionalReal
from lrcore.schedules.fields import Points as Points
from lrcore.schedules.fields import Positive as Positive
from lrcore.schedules.fields import Real as Real
from lrcore.schedules.fields import Reals as Reals
from lrcore.schedules.parser import from_dict, parse

__all__ = [
    "Clipped",
    "Constant",
    "CosineCycles",
    "CosineDecay",
    "CosineRestarts",
    "Custom",
    "Cyclic",
    "ExponentialDecay",
    "InverseSqrt",
    "InverseTimeDecay",
    "Join",
    "Linear",
    "OneCycle",
    "PiecewiseConstant",
    "PolynomialDecay",
    "PowerDecay",
    "Product",
    "Repeated",
    "Rex",
    "Scaled",
    "Schedule",
    "Shifted",
    "StepDecay",
    "Stepped",
    "Sum",
    "Table",
    "Tanh",
    "Warmup",
    "WarmupStableDecay",
    "from_dict",
    "parse",
]
