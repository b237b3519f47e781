"""The inputs on which the conventions of the libraries differ; one home for all who compare with them.

Fifty steps in float64 over three tensors. The gradients do not depend on the parameters, so that any library
can repeat a trajectory: 1e-6 in the first steps, where eps is felt; then of order 1; with signs that alternate
in the second tensor, steps without a gradient and an element that never has one. The rate changes half-way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

SHAPES = ((7,), (3, 4), (1,))
STEPS = 50
KEPT = (1, 2, 3, 5, 6, 7, 10, 20, 25, 26, 27, 35, 50)
"""Steps after which parameters are compared; an error in between shows in those that follow."""
RATES = (0.05, 0.013)

Arrays = list[np.ndarray]
Step = Callable[[Arrays, float], None]
Start = Callable[["Case", Arrays], tuple[Step, Callable[[], Sequence[Any]]]]


@dataclass(frozen=True)
class Case:
    """An optimizer of a library with these hyperparameters, under lrcore's names; the rest are defaults."""

    like: str
    optimizer: str
    variant: str
    hyper: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.optimizer}-{self.variant}"


def _cases(like: str, table: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> list[Case]:
    return [
        Case(like, optimizer, variant, hyper)
        for optimizer, variants in table.items()
        for variant, hyper in ({"defaults": {}} | dict(variants)).items()
    ]


_BETAS = {"betas": (0.8, 0.95)}

CASES: dict[str, list[Case]] = {
    "torch": _cases("torch", {
        "SGD": {
            "decay": {"weight_decay": 0.1},
            "momentum": {"momentum": 0.9},
            "dampening": {"momentum": 0.8, "dampening": 0.3, "weight_decay": 0.1},
            "nesterov": {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1},
        },
        "Adagrad": {
            "eps": {"eps": 1e-5},
            "all": {"lr_decay": 0.1, "weight_decay": 0.1, "initial_accumulator_value": 0.5, "eps": 1e-6},
        },
        "Adadelta": {"all": {"rho": 0.8, "eps": 1e-4, "weight_decay": 0.1}},
        "RMSprop": {
            "decay": {"alpha": 0.9, "eps": 1e-6, "weight_decay": 0.1},
            "momentum": {"momentum": 0.9},
            "centered": {"centered": True, "alpha": 0.95},
            "all": {"momentum": 0.8, "centered": True, "weight_decay": 0.2, "eps": 1e-6},
        },
        "Adam": {
            "decay": {**_BETAS, "eps": 1e-6, "weight_decay": 0.1},
            "amsgrad": {"amsgrad": True, "weight_decay": 0.1},
            "decoupled": {"decoupled_weight_decay": True, "weight_decay": 0.1},
        },
        "AdamW": {"amsgrad": {**_BETAS, "eps": 1e-6, "weight_decay": 0.2, "amsgrad": True}},
        "Adamax": {"all": {**_BETAS, "eps": 1e-6, "weight_decay": 0.1}},
        "NAdam": {
            "all": {**_BETAS, "eps": 1e-6, "weight_decay": 0.1, "momentum_decay": 0.1},
            "decoupled": {"decoupled_weight_decay": True, "weight_decay": 0.1},
        },
        "Rprop": {"all": {"etas": (0.3, 1.5), "step_sizes": (0.06, 0.2)}},
    }),
    "keras": _cases("keras", {
        "SGD": {
            "decay": {"weight_decay": 0.1},
            "momentum": {"momentum": 0.9, "weight_decay": 0.1},
            "nesterov": {"momentum": 0.9, "nesterov": True},
        },
        "Adagrad": {"all": {"weight_decay": 0.1, "initial_accumulator_value": 0.01, "eps": 1e-4}},
        "Adadelta": {"all": {"rho": 0.8, "eps": 1e-4, "weight_decay": 0.1}},
        "RMSprop": {
            "momentum": {"alpha": 0.95, "momentum": 0.9, "weight_decay": 0.1},
            "centered": {"centered": True, "eps": 1e-6},
            "all": {"momentum": 0.8, "centered": True, "weight_decay": 0.1, "eps": 1e-6},
        },
        "Adam": {
            "decay": {**_BETAS, "eps": 1e-6, "weight_decay": 0.1},
            "amsgrad": {"amsgrad": True},
        },
        "AdamW": {"amsgrad": {**_BETAS, "eps": 1e-6, "weight_decay": 0.2, "amsgrad": True}},
        "Adamax": {"all": {**_BETAS, "eps": 1e-6, "weight_decay": 0.1}},
        "NAdam": {"all": {**_BETAS, "eps": 1e-6, "weight_decay": 0.1}},
        "Lion": {"all": {**_BETAS, "weight_decay": 0.1}},
    }),
    "keras2": _cases("keras2", {
        "SGD": {
            "decay": {"decay": 0.1},
            "momentum": {"momentum": 0.9, "decay": 0.1},
            "nesterov": {"momentum": 0.9, "nesterov": True, "decay": 1e-6},
        },
        "Adagrad": {"all": {"eps": 1e-5, "decay": 0.1}},
        "Adadelta": {"all": {"rho": 0.8, "eps": 1e-4, "decay": 0.1}},
        "RMSprop": {"all": {"alpha": 0.95, "eps": 1e-6, "decay": 0.1}},
        "Adam": {
            "decay": {**_BETAS, "eps": 1e-6, "decay": 0.1},
            "amsgrad": {"amsgrad": True},
        },
        "Adamax": {"all": {**_BETAS, "eps": 1e-6, "decay": 0.1}},
        "NAdam": {"all": {**_BETAS, "eps": 1e-6, "schedule_decay": 0.1}},
    }),
    "optax": _cases("optax", {
        "SGD": {
            "momentum": {"momentum": 0.9},
            "nesterov": {"momentum": 0.9, "nesterov": True},
        },
        "Adagrad": {
            "all": {"initial_accumulator_value": 0.01, "eps": 1e-4},
            "from zero": {"initial_accumulator_value": 0.0},
        },
        "Adadelta": {"all": {"rho": 0.8, "eps": 1e-4, "weight_decay": 0.1}},
        "RMSprop": {
            "momentum": {"alpha": 0.95, "momentum": 0.9},
            "centered": {"centered": True, "eps": 1e-6},
            "all": {"momentum": 0.8, "centered": True, "eps": 1e-6},
        },
        "Adam": {
            "betas": {**_BETAS, "eps": 1e-6},
            "amsgrad": {**_BETAS, "amsgrad": True},
        },
        "AdamW": {"all": {**_BETAS, "eps": 1e-6, "weight_decay": 0.2}},
        "Adamax": {"all": {**_BETAS, "eps": 1e-6}},
        "NAdam": {"all": {**_BETAS, "eps": 1e-6}},
        "Lion": {"all": {**_BETAS, "weight_decay": 0.1}},
        "SignSGD": {"momentum": {"momentum": 0.8}},
        "Signum": {"beta": {"beta": 0.7}},
        "AdaBelief": {
            "all": {**_BETAS, "eps": 1e-6, "eps_root": 1e-5},
            "nesterov": {"nesterov": True, "eps_root": 1e-12},
        },
        "Yogi": {"all": {**_BETAS, "eps": 1e-5}},
        "Adan": {"all": {"betas": (0.9, 0.7, 0.95), "eps": 1e-5, "eps_root": 1e-6, "weight_decay": 0.1}},
        "AdEMAMix": {
            "all": {"betas": (0.8, 0.95, 0.99), "alpha": 3.0, "eps": 1e-6, "eps_root": 1e-9, "weight_decay": 0.1},
        },
        "ADOPT": {
            "nesterov": {**_BETAS, "eps": 1e-3, "nesterov": True},
            "no clipping": {"eps": 0.1, "use_clipping": False},
        },
        "ACProp": {"all": {**_BETAS, "eps": 1e-6, "eps_root": 1e-5, "weight_decay": 0.1}},
    }),
}  # fmt: skip


_NAMES = {
    "torch": {},
    "keras": {"lr": "learning_rate", "alpha": "rho", "eps": "epsilon"},
    "optax": {"lr": "learning_rate", "alpha": "decay"},
}
_NAMES_OF = {("optax", "AdEMAMix"): {"alpha": "alpha"}, ("optax", "SignSGD"): {"momentum": "beta"}}
_BETA_NAMES = {"keras": ("beta_1", "beta_2"), "optax": ("b1", "b2", "b3")}


def translated(library: str, optimizer: str, hyper: Mapping[str, Any]) -> dict[str, Any]:
    """Hyperparameters of an optimizer under the names that the library has for them."""
    names = _NAMES[library] | _NAMES_OF.get((library, optimizer), {})
    result = {}
    for name, value in hyper.items():
        if name == "betas" and library in _BETA_NAMES:
            result.update(zip(_BETA_NAMES[library], value, strict=False))
        else:
            result[names.get(name, name)] = value
    return result


def _uniform(count: int, seed: int) -> np.ndarray:
    """Numbers in [-1, 1), the same with every version of NumPy: the bits of a bit generator are promised."""
    return (np.random.PCG64(seed).random_raw(count) >> np.uint64(11)) * 2.0**-52 - 1.0


def _split(flat: np.ndarray) -> Arrays:
    ends = np.cumsum([np.prod(shape) for shape in SHAPES])[:-1]
    return [part.reshape(shape).copy() for part, shape in zip(np.split(flat, ends), SHAPES, strict=True)]


def initial_parameters() -> Arrays:
    """Parameters before the first step. The last is 0, so that all of it is what the steps have made."""
    first, second, last = _split(_uniform(20, seed=1))
    return [first, second, 0.0 * last]


def _all_gradients() -> list[Arrays]:
    every = []
    for step, flat in enumerate(_uniform(STEPS * 20, seed=2).reshape(STEPS, 20)):
        first, second, last = _split(flat * (1e-6 if step < 5 else 2.0))
        first[0] = 0.0
        if step in (3, 12, 13):
            first[:] = 0.0
        checkerboard = (-1.0) ** (step + np.add.outer(np.arange(3), np.arange(4)))
        every.append([first, np.abs(second) * checkerboard, last])
    return every


GRADIENTS = _all_gradients()


def rate(step: int) -> float:
    """The learning rate at a step, counted from 0."""
    return RATES[step >= STEPS // 2]


def trajectory(start: Start, case: Case) -> np.ndarray:
    """Parameters, end to end, after each of the steps KEPT: one row each."""
    step, read = start(case, initial_parameters())
    rows = []
    for k, gradients in enumerate(GRADIENTS):
        step([g.copy() for g in gradients], rate(k))
        if k + 1 in KEPT:
            rows.append(np.concatenate([np.array(array, dtype=np.float64).ravel() for array in read()]))
    return np.array(rows)


def lrcore(case: Case, params: Arrays) -> tuple[Step, Callable[[], Arrays]]:
    """lrcore on a case."""
    import lrcore as lr

    opt = getattr(lr, case.optimizer)(params, lr=rate(0), like=case.like, **case.hyper)

    def step(grads: Arrays, lr: float) -> None:
        if opt.lr != lr:
            opt.lr = lr
        opt.step(grads)

    return step, lambda: params


def assert_same(actual: np.ndarray, expected: np.ndarray) -> None:
    """Two trajectories agree: every parameter after every step in KEPT, to 1e-12 of itself.

    A parameter that passes through zero keeps the rounding of the values it came from: 1e-15 is let through.
    """
    np.testing.assert_allclose(actual, expected, rtol=1e-12, atol=1e-15, equal_nan=False)
