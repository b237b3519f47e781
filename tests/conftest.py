"""What tests of the kernels share: the builds that run here, and every optimizer in every convention."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest
from hypothesis import settings

import lrcore as lr
from lrcore import base, kernels

# Hyperparameters beside those that lead to a rule, see ``Optimizer.rules``.
VARIANTS: dict[str, list[dict[str, Any]]] = {
    "SGD": [{"momentum": 0.8, "dampening": 0.3}],
    "Adagrad": [{"initial_accumulator_value": 0.5}],
    "RMSprop": [
        {"momentum": 0.7},
        {"centered": True, "momentum": 0.7},
        {"centered": True, "momentum": 0.7, "nesterov": True, "bias_correction": True, "initial_scale": 0.5},
    ],
    "Adam": [
        {"decoupled_weight_decay": True, "weight_decay": 0.1},
        {"eps_root": 0.01, "amsgrad": True},
    ],
    "RAdam": [{"threshold": 4.0, "betas": (0.9, 0.99)}],
    "Adafactor": [{"momentum": 0.9, "min_dim_size_to_factor": 2.0}],
    "AdamW": [{"cautious": True}],
    "MARS": [{"optimize_1d": True, "gamma": 0.3}],
}

# So that the first of few steps at a small rate move float32 too: what is estimated begins larger than by default.
BEGINS: dict[str, dict[str, Any]] = {
    "DAdaptAdam": {"estim_lr0": 0.1},
    "DAdaptSGD": {"d0": 0.1},
    "DoG": {"init_step": ("distance", 0.1)},
    "DoWG": {"init_estim_sq_dist": 0.01},
    "Prodigy": {"estim_lr0": 0.1},
}


def every_optimizer(apart: bool = False) -> list[Any]:
    """Every optimizer x library x variant that the library has, with weight decay where it has that.

    Only those, if asked for, that step each array as if it were alone.
    """
    return [case for case in _every_optimizer() if not (apart and case.values[0].together)]


def each_rule() -> list[Any]:
    """Of these, one for each rule and each way of stepping it: what compiled code does differently."""
    found: dict[Any, Any] = {}
    for case in every_optimizer():
        cls, hyper = case.values
        rule = cls(np.zeros(1), **hyper).param_groups[0].rule
        own = cls if cls.sums or cls.looks or cls.corrects or not cls.filters else None
        found.setdefault((rule, own, hyper.get("cautious")), case)
    return list(found.values())


def _every_optimizer() -> Iterator[Any]:
    for name, cls in base.registered().items():
        for like, defaults in cls.defaults.items():
            for variant in (*cls.rules.values(), *VARIANTS.get(name, ())):
                if not variant.keys() - {"cautious"} <= defaults.keys():
                    continue
                hyper = {"lr": 0.05, **BEGINS.get(name, {}), **variant, "like": like}
                if "weight_decay" in defaults:
                    hyper.setdefault("weight_decay", 0.03)
                label = "-".join([name, like, *(f"{k}={v}" for k, v in variant.items())])
                yield pytest.param(cls, hyper, id=label)


BUILDS = (*kernels.compiled(), "reference")


@pytest.fixture
def eager_pool() -> Iterator[None]:
    """Every step, however small, is shared among the threads, where there are any; the number of them comes back."""
    if find_spec("lrcore._lrcore_pool") is None:
        yield
        return
    pool = import_module("lrcore._lrcore_pool")
    before = lr.get_num_threads()
    pool.set_eager(True)
    yield
    pool.set_eager(False)
    lr.set_num_threads(before)


def gradients(shape: tuple[int, ...], dtype: Any, steps: int, seed: int = 0) -> list[np.ndarray]:
    """Gradients of very different sizes, zeros and repeated values among them."""
    rng = np.random.default_rng(seed)
    out = []
    for _ in range(steps):
        g = rng.standard_normal(shape) * 10.0 ** rng.integers(-6, 2, shape)
        g = np.where(rng.random(shape) < 0.1, 0.0, g)
        out.append(g.astype(dtype))
    return out


if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # As in a background job: programs that the tests start and interrupt would inherit it, and never end.
    signal.signal(signal.SIGINT, signal.default_int_handler)

# An example may take what it takes: how long says how busy the machine is, not what the code does.
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")
