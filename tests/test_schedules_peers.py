"""Every row of the tables in docs/schedules.md against the library it names."""

from __future__ import annotations

import logging
import os
import re
import sys
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from lrcore import schedules

DOCUMENT = Path(__file__).parents[1] / "docs" / "schedules.md"
ROW = re.compile(r"^\| `(?P<there>[^`]+)` \| `(?P<here>[^`]+)` \| (?P<steps>all|0-\d+) \| (?P<note>.*)\|$", re.M)
LIBRARIES = {"lr_scheduler": "torch", "swa_utils": "torch", "schedules": "keras"}
"""The library that a row's first word stands for, where that is not its name."""
STEPS = 150


def _rows() -> Iterator[Any]:
    for row in ROW.finditer(DOCUMENT.read_text(encoding="utf-8")):
        library = row["there"].split(".")[0]
        library = LIBRARIES.get(library, library)
        steps = None if row["steps"] == "all" else int(row["steps"][2:])
        yield pytest.param(library, row["there"], row["here"], steps, row["note"], id=f"{library}-{row['there'][:90]}")


ROWS = list(_rows())


@contextmanager
def quiet() -> Iterator[None]:
    """What the other libraries warn of is not in question here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextmanager
def part_of(package: str, *modules: str, stand_ins: Iterable[ModuleType] = ()) -> Iterator[list[Any]]:
    """Modules of an installed package without what the package itself imports, which may not be installed."""
    spec = find_spec(package)
    if spec is None or spec.submodule_search_locations is None:
        pytest.skip(f"{package} is not installed")
    root = next(iter(spec.submodule_search_locations))
    kept = {name: sys.modules.pop(name) for name in list(sys.modules) if name.split(".")[0] == package}
    try:
        for stand_in in stand_ins:
            sys.modules[stand_in.__name__] = stand_in
        for name in modules:
            parts = name.split(".")[:-1]
            for k in range(len(parts) + 1):
                parent = ModuleType(".".join([package, *parts[:k]]))
                parent.__path__ = [str(Path(root, *parts[:k]))]
                sys.modules.setdefault(parent.__name__, parent)
        yield [import_module(f"{package}.{name}") for name in modules]
    finally:
        for name in [name for name in sys.modules if name.split(".")[0] == package]:
            del sys.modules[name]
        sys.modules.update(kept)


def stepped(there: str, names: dict[str, Any], steps: int, field: str = "lr") -> list[float]:
    """Rates of a torch optimizer whose scheduler takes one step after another; or momenta, or the scheduler's own."""
    import torch

    opt = torch.optim.SGD([torch.zeros(1, dtype=torch.float64)], lr=0.1, momentum=0.9)
    scheduler = eval(there, names | {"opt": opt, "lr_scheduler": torch.optim.lr_scheduler})
    rates = []
    for _ in range(steps):
        rates.append(scheduler.get_lr() if "Proportion" in there else opt.param_groups[0][field])
        if len(rates) < steps:
            opt.step()
            if "Proportion" in there:
                scheduler.lr_scheduler.step()
            scheduler.step()
    return [float(rate) for rate in rates]


def timm_values(there: str, steps: int) -> list[float]:
    torch = pytest.importorskip("torch")
    with part_of("timm", "scheduler") as (scheduler,):
        opt = torch.optim.SGD([torch.zeros(1, dtype=torch.float64)], lr=0.1)
        made = eval(there, {"timm": scheduler, "opt": opt})
        rates = []
        for t in range(steps):
            made.step_update(t)
            made.step(t)
            rates.append(opt.param_groups[0]["lr"])
    return rates


def deepspeed_values(there: str, steps: int) -> list[float]:
    pytest.importorskip("torch")
    utils = ModuleType("deepspeed.utils")
    utils.logger = logging.getLogger("deepspeed")  # type: ignore[attr-defined]
    utils.logger.setLevel(logging.ERROR)  # type: ignore[attr-defined]
    with part_of("deepspeed", "runtime.lr_schedules", stand_ins=[utils]) as (lr_schedules,):
        return stepped(there, {"deepspeed": lr_schedules}, steps)


class Sklearn:
    """Rates that estimators of scikit-learn step with, seen from outside: a step on x has gone rate times g x."""

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def SGDOptimizer(self, *args: Any, **kwargs: Any) -> list[float]:
        module = pytest.importorskip("sklearn.neural_network._stochastic_optimizers")
        optimizer = module.SGDOptimizer(*args, **kwargs)
        rates = []
        for t in range(self.steps):
            optimizer.iteration_ends(t)
            rates.append(optimizer.learning_rate)
        return rates

    def SGDRegressor(self, **kwargs: Any) -> list[float]:
        """The error is 1 at each sample, and so is x."""
        model = pytest.importorskip("sklearn.linear_model").SGDRegressor(penalty=None, fit_intercept=False, **kwargs)
        at, rates = 0.0, []
        for _ in range(self.steps):
            model.partial_fit(np.array([[1.0]]), [at + 1.0])
            rates.append(model.coef_[0] - at)
            at = model.coef_[0]
        return rates

    def SGDClassifier(self, **kwargs: Any) -> list[float]:
        """A sample so small that it never comes to the margin."""
        model = pytest.importorskip("sklearn.linear_model").SGDClassifier(penalty=None, fit_intercept=False, **kwargs)
        at, rates = 0.0, []
        for _ in range(self.steps):
            model.partial_fit(np.array([[2.0**-20]]), [1], classes=[0, 1])
            rates.append((model.coef_[0, 0] - at) * 2.0**20)
            at = model.coef_[0, 0]
        return rates


def theirs(library: str, there: str, steps: int, note: str = "") -> tuple[list[float], float]:
    """Values of a library at the first steps, and the relative precision it computes with."""
    with quiet():
        if library == "torch":
            torch = pytest.importorskip("torch")
            names = {"swa_utils": torch.optim.swa_utils}
            return stepped(there, names, steps, "momentum" if note.startswith("its momentum") else "lr"), 1e-12
        if library == "transformers":
            pytest.importorskip("torch")
            transformers = pytest.importorskip("transformers")
            pytest.importorskip("transformers.optimization")
            return stepped(there, {"transformers": transformers}, steps), 1e-12
        if library == "pytorch_optimizer":
            pytest.importorskip("torch")
            return stepped(there, {library: pytest.importorskip("pytorch_optimizer.lr_scheduler")}, steps), 1e-12
        if library == "timm":
            return timm_values(there, steps), 1e-12
        if library == "deepspeed":
            return deepspeed_values(there, steps), 1e-12
        if library == "thinc":
            schedule = eval(there, {"thinc": pytest.importorskip("thinc.schedules")})
            return [schedule(step=t) for t in range(steps)], 1e-12
        if library == "sklearn":
            values: list[float] = eval(there, {"sklearn": Sklearn(steps)})
            return values, 1e-11
        if library == "optax":
            optax, jax = pytest.importorskip("optax"), pytest.importorskip("jax")
            schedule = eval(there, {"optax": optax})
            with jax.enable_x64(True):
                values = (
                    jax.vmap(schedule)(jax.numpy.arange(steps))
                    if "constant_schedule" not in there
                    else [schedule(jax.numpy.asarray(t)) for t in range(steps)]
                )
                return [float(value) for value in values], 1e-12
        os.environ.setdefault("KERAS_BACKEND", "numpy")
        keras = pytest.importorskip("keras")
        schedule = eval(there, {"schedules": keras.optimizers.schedules})
        return [float(schedule(t)) for t in range(steps)], 1e-6  # it computes in float32


def test_the_tables_are_found() -> None:
    found = [row.values[0] for row in ROWS]
    assert {library: found.count(library) for library in set(found)} == {
        "torch": 22, "optax": 17, "keras": 10, "transformers": 17, "timm": 15, "deepspeed": 10, "sklearn": 4,
        "pytorch_optimizer": 7, "thinc": 8,
    }  # fmt: skip


@pytest.mark.parametrize(("library", "there", "here", "last", "note"), ROWS)
def test_same_values_as_the_library(library: str, there: str, here: str, last: int | None, note: str) -> None:
    ours = eval(here, {name: getattr(schedules, name) for name in schedules.__all__})
    expected, rtol = theirs(library, there, STEPS if last is None else last + 1, note)
    np.testing.assert_allclose(ours(np.arange(len(expected))), expected, rtol=rtol, atol=rtol * 0.1)


@pytest.mark.parametrize(
    ("library", "there", "here", "last", "note"), [row for row in ROWS if row.values[3] is not None]
)
def test_where_the_table_says_that_the_library_leaves_the_curve_it_does(
    library: str, there: str, here: str, last: int, note: str
) -> None:
    ours = eval(here, {name: getattr(schedules, name) for name in schedules.__all__})
    steps = last + 2 if "OneCycleLR" in there else last + 20
    value = theirs(library, there, steps, note)[0][-1]
    assert ours(steps - 1) == ours(last)
    if "negative" in note:
        assert value < 0
    elif "momentum" in note:
        assert value < ours(last) - 1e-7
    else:
        assert value > ours(last) + 1e-7
        assert "rises" in note or "the same" in note


# Conversions, with arguments that the tables do not have.
CONVERSIONS = [
    (
        "torch",
        "lr_scheduler.OneCycleLR(opt, 0.3, total_steps=80, pct_start=0.45, div_factor=7.0, final_div_factor=50.0)",
        "OneCycle.like_torch(0.3, 80, 0.45, div_factor=7.0, final_div_factor=50.0)",
        80,
    ),
    (
        "torch",
        "lr_scheduler.OneCycleLR(opt, 0.3, total_steps=77, pct_start=0.2, anneal_strategy='linear', three_phase=True)",
        "OneCycle.like_torch(0.3, 77, 0.2, 'linear', three_phase=True)",
        77,
    ),
    (
        "torch",
        "lr_scheduler.MultiStepLR(opt, milestones=[3, 8, 60], gamma=0.7)",
        "PiecewiseConstant.like_torch(0.1, (3, 8, 60), 0.7)",
        150,
    ),
    ("torch", "lr_scheduler.CosineAnnealingLR(opt, T_max=13, eta_min=0.02)", "CosineCycles(0.1, 26, final=0.02)", 150),
    (
        "optax",
        "optax.piecewise_constant_schedule(0.1, {70: 0.5, 30: 3.0})",
        "PiecewiseConstant.like_optax(0.1, {70: 0.5, 30: 3.0})",
        150,
    ),
    (
        "optax",
        "optax.piecewise_interpolate_schedule('cosine', 0.1, {60: 0.1, 40: 3.0})",
        "Table.like_optax('cosine', 0.1, {60: 0.1, 40: 3.0})",
        150,
    ),
    ("keras", "schedules.CosineDecay(0.1, 50, alpha=0.2)", "CosineDecay.like_keras(0.1, 50, 0.2)", 150),
    (
        "keras",
        "schedules.CosineDecay(0.1, 50, alpha=0.2, warmup_steps=9)",
        "CosineDecay.like_keras(0.1, 50, 0.2, None, 9)",
        150,
    ),
    (
        "keras",
        "schedules.CosineDecay(0.2, 50, warmup_target=0.1, warmup_steps=0)",
        "CosineDecay.like_keras(0.2, 50, 0.0, 0.1, 0)",
        150,
    ),
    (
        "keras",
        # Cycles that do not end at a whole step: Keras finds in float32 which one a step is in.
        "schedules.CosineDecayRestarts(0.1, 11, t_mul=1.5, m_mul=0.8, alpha=0.3)",
        "CosineRestarts.like_keras(0.1, 11, 1.5, 0.8, 0.3)",
        150,
    ),
    (
        "keras",
        "schedules.PiecewiseConstantDecay([1, 4, 90], [0.4, 0.3, 0.2, 0.1])",
        "PiecewiseConstant.like_keras([1, 4, 90], [0.4, 0.3, 0.2, 0.1])",
        150,
    ),
    (
        "transformers",
        "transformers.get_linear_schedule_with_warmup(opt, 0, 60)",
        "Linear.like_transformers(0.1, 0, 60)",
        150,
    ),
    (
        "transformers",
        "transformers.get_cosine_schedule_with_warmup(opt, 0, 60)",
        "CosineDecay.like_transformers(0.1, 0, 60)",
        61,
    ),
    (
        "transformers",
        "transformers.get_cosine_schedule_with_warmup(opt, 7, 61, num_cycles=3.7)",
        "CosineCycles.like_transformers(0.1, 7, 61, 3.7)",
        150,
    ),
    (
        "transformers",
        "transformers.get_cosine_with_hard_restarts_schedule_with_warmup(opt, 0, 61, num_cycles=4)",
        "CosineCycles.like_transformers(0.1, 0, 61, 4, True)",
        150,
    ),
    (
        "transformers",
        "transformers.get_polynomial_decay_schedule_with_warmup(opt, 5, 60)",
        "PolynomialDecay.like_transformers(0.1, 5, 60)",
        150,
    ),
    ("transformers", "transformers.get_inverse_sqrt_schedule(opt, 0)", "InverseSqrt.like_transformers(0.1, 0)", 150),
    (
        "transformers",
        "transformers.get_inverse_sqrt_schedule(opt, 0, timescale=9)",
        "InverseSqrt.like_transformers(0.1, 0, 9)",
        150,
    ),
    (
        "transformers",
        "transformers.get_inverse_sqrt_schedule(opt, 1, timescale=9)",
        "InverseSqrt.like_transformers(0.1, 1, 9)",
        150,
    ),
    (
        "transformers",
        "transformers.get_wsd_schedule(opt, 0, 30, num_stable_steps=20, decay_type='1-sqrt')",
        "WarmupStableDecay.like_transformers(0.1, 0, 30, 20, decay_type='1-sqrt')",
        150,
    ),
    (
        "timm",
        "timm.CosineLRScheduler(opt, 20, t_in_epochs=False, cycle_mul=1.5, cycle_limit=3, warmup_t=5)",
        "CosineDecay.like_timm(0.1, 20, cycle_mul=1.5, cycle_limit=3, warmup_t=5)",
        150,
    ),
    (
        "timm",
        "timm.CosineLRScheduler(opt, 25, lr_min=0.05, cycle_limit=4, cycle_decay=0.3, warmup_t=30, warmup_prefix=True)",
        "CosineDecay.like_timm(0.1, 25, 0.05, cycle_limit=4, cycle_decay=0.3, warmup_t=30, warmup_prefix=True)",
        150,
    ),
    (
        "timm",
        "timm.PolyLRScheduler(opt, 20, 1.7, 0.01, cycle_mul=2.0, cycle_limit=2, warmup_t=6, k_decay=2.0)",
        "PolynomialDecay.like_timm(0.1, 20, 1.7, 0.01, cycle_mul=2.0, cycle_limit=2, warmup_t=6, k_decay=2.0)",
        150,
    ),
    (
        "timm",
        "timm.TanhLRScheduler(opt, 20, -5.0, 2.0, 0.01, 1.0, 0.3, 3, warmup_t=6, warmup_prefix=True)",
        "Tanh.like_timm(0.1, 20, -5, 2, 0.01, cycle_decay=0.3, cycle_limit=3, warmup_t=6, warmup_prefix=True)",
        150,
    ),
    (
        "timm",
        "timm.StepLRScheduler(opt, 20, 0.3, warmup_t=6, warmup_lr_init=0.01, warmup_prefix=False)",
        "StepDecay.like_timm(0.1, 20, 0.3, warmup_t=6, warmup_lr_init=0.01, warmup_prefix=False)",
        150,
    ),
    ("deepspeed", "deepspeed.WarmupLR(opt, 0.01, 0.1, 1)", "Constant.like_deepspeed(0.01, 0.1, 1)", 20),
    ("deepspeed", "deepspeed.WarmupDecayLR(opt, 50, 0.01, 0.1, 1)", "Linear.like_deepspeed(50, 0.01, 0.1, 1)", 150),
    (
        "deepspeed",
        "deepspeed.WarmupCosineLR(opt, 50, 0.2, 30, 0.1)",
        "CosineDecay.like_deepspeed(0.1, 50, 0.2, 30, 0.1)",
        150,
    ),
]


@pytest.mark.parametrize(("library", "there", "here", "steps"), CONVERSIONS)
def test_conversions_take_the_arguments_of_the_library(library: str, there: str, here: str, steps: int) -> None:
    ours = eval(here, {name: getattr(schedules, name) for name in schedules.__all__})
    expected, rtol = theirs(library, there, steps)
    np.testing.assert_allclose(ours(np.arange(steps)), expected, rtol=rtol, atol=rtol * 0.1)
    assert schedules.parse(repr(ours)) == ours


def test_every_schedule_of_torch_has_a_row() -> None:
    module = pytest.importorskip("torch").optim.lr_scheduler
    document = DOCUMENT.read_text(encoding="utf-8")
    names = {name for name in module.__all__ if name not in {"LRScheduler"}}
    assert len(names) > 14
    assert {name for name in names if name not in document} == set()


def test_epochs_of_timm_are_so_many_updates() -> None:
    epochs = schedules.CosineDecay.like_timm(0.1, 20, warmup_t=3)
    updates = schedules.CosineDecay.like_timm(0.1, 20, warmup_t=3, updates=50)
    np.testing.assert_array_equal(updates(np.arange(1500)), np.repeat(epochs(np.arange(30)), 50))


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: schedules.OneCycle.like_torch(0.1, 10, 0.05), ValueError,
         "pct_start must be >= 1 / total_steps and < 1, got 0.05"),
        (lambda: schedules.OneCycle.like_torch(0.1, 10, 1.0), ValueError, "pct_start must be >= 1 / total_steps"),
        (lambda: schedules.OneCycle.like_torch(0.1, 1), ValueError, "total_steps must be >= 2, got 1"),
        (lambda: schedules.OneCycle.like_torch(0.1, 10, anneal_strategy="cosine"), ValueError,
         "anneal_strategy must be one of 'cos', 'linear', got 'cosine'"),
        (lambda: schedules.CosineDecay.like_timm(0.1, 5, cycle_mul=1.5, cycle_limit=2), ValueError,
         "cycle_mul must give cycles of whole lengths, got 1.5 with 5 steps"),
        (lambda: schedules.CosineDecay.like_timm(0.1, 5, cycle_limit=0), ValueError, "cycle_limit must be >= 1, got 0"),
        (lambda: schedules.Table.chebyshev(0.1, 12), ValueError, "steps must be a power of two, got 12"),
        (lambda: schedules.Table.chebyshev(0.1, 8, low=0.0), ValueError, "low must be finite and > 0, got 0.0"),
        (lambda: schedules.Table.chebyshev(0.1, 2**30), ValueError, "steps must be <= 1048576, got 1073741824"),
        (lambda: schedules.CosineDecay.like_transformers(0.1, 60, 60), ValueError,
         "num_warmup_steps must be < num_training_steps = 60, got 60"),
        (lambda: schedules.CosineDecay.like_keras("a", 60), TypeError,
         "initial_learning_rate must be a number, got 'a'"),
        (lambda: schedules.CosineDecay.like_keras(0.1, 60, alpha=None), TypeError, "alpha must be a number, got None"),
        (lambda: schedules.CosineDecay.like_timm(0.1, 60.0), TypeError, "t_initial must be an integer, got 60.0"),
        (lambda: schedules.Tanh.like_timm(0.1, 60, updates=0), ValueError, "updates must be >= 1, got 0"),
        (lambda: schedules.Tanh.like_timm(0.1, 60, warmup_prefix=1), TypeError,
         "warmup_prefix must be True or False, got 1"),
        (lambda: schedules.PiecewiseConstant.like_torch(0.1, count(1)), ValueError, "milestones must have at most"),
        (lambda: schedules.PiecewiseConstant.like_keras([2, 1], [1, 2, 3]), ValueError,
         "boundaries must increase strictly, got (2, 1)"),
        (lambda: schedules.PiecewiseConstant.like_optax(0.1, [3, 4]), TypeError,
         "boundaries_and_scales must be a mapping, got [3, 4]"),
        (lambda: schedules.PiecewiseConstant.like_optax(0.1, {0.5: 2}), TypeError,
         "a step of boundaries_and_scales must be an integer, got 0.5"),
        (lambda: schedules.Table.like_optax("linear", 0.1, {5: "2"}), TypeError,
         "boundaries_and_scales[5] must be a number, got '2'"),
        (lambda: schedules.Constant.like_deepspeed("1"), TypeError, "warmup_min_lr must be a number, got '1'"),
        (lambda: schedules.OneCycle.like_torch(0.1), TypeError, "missing a required argument: 'total_steps'"),
        (lambda: schedules.Linear.like_deepspeed(100, warmup_type="cos"), ValueError,
         "warmup_type must be one of 'log', 'linear', got 'cos'"),
    ],
)  # fmt: skip
def test_conversions_refuse_what_they_cannot_make(make: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=f"^{re.escape(message)}"):
        make()


def test_keras_1_and_2_decay_argument() -> None:
    ours = schedules.InverseTimeDecay(0.01, 1e-6)
    steps = np.arange(0, 3_000_000, 997)
    np.testing.assert_allclose(ours(steps), 0.01 * (1.0 / (1.0 + 1e-6 * steps)), rtol=4e-16)
    assert ours(1_000_000) == 0.005
