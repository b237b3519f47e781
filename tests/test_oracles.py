"""lrcore's optimizers against torch, Keras 3 and optax: numbers they made once, and the libraries themselves."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import conventions
import numpy as np
import pytest

import lrcore as lr
from lrcore import base

ORACLES = Path(__file__).parent / "oracles"
NEEDS = {"torch": ["torch"], "keras": ["keras", "torch"], "optax": ["optax"]}

every_case = pytest.mark.parametrize(
    "case", [case for like in NEEDS for case in conventions.CASES[like]], ids=lambda case: f"{case.like}-{case}"
)
every_class = pytest.mark.parametrize(
    ("like", "optimizer"),
    [(like, name) for like in NEEDS for name, kind in base.registered().items() if like in kind.defaults],
)


def read(path):
    with np.load(path) as file:
        return json.loads(str(file["about"])), {name: file[name] for name in file if name != "about"}


@pytest.fixture(scope="module")
def recorded():
    """What each library made once."""
    return {library: read(ORACLES / f"{library}.npz") for library in NEEDS}


@pytest.fixture(scope="module")
def live(tmp_path_factory):
    """What a library makes now: the same script, in a process of its own, so that its settings stay there."""
    made = {}

    def get(library):
        missing = [name for name in NEEDS[library] if find_spec(name) is None]
        if missing:
            pytest.skip(f"{', '.join(missing)} not installed")
        if library not in made:
            folder = tmp_path_factory.mktemp(library)
            subprocess.run(
                [sys.executable, ORACLES / "make.py", library, "--out", folder / "live.npz"],
                env=os.environ | {"KERAS_HOME": str(folder), "KERAS_BACKEND": "torch", "JAX_PLATFORMS": "cpu"},
                check=True, stdout=subprocess.DEVNULL, timeout=300,
            )  # fmt: skip
            made[library] = read(folder / "live.npz")
        return made[library]

    return get


def has_defaults(like, optimizer, signature):
    """Every hyperparameter of ours has the library's default."""
    ours = dict(getattr(lr, optimizer).defaults[like])
    if like == "optax":
        ours.pop("amsgrad", None)  # another function there, not an argument
        if optimizer == "SignSGD":
            ours.pop("momentum")  # likewise
    theirs = dict(signature)
    for name in ("momentum", "weight_decay"):
        if name in theirs and theirs[name] is None:
            theirs[name] = 0.0
    expected = {name: theirs.get(name, "no such argument") for name in conventions.translated(like, optimizer, ours)}
    for name, value in expected.items():
        if isinstance(value, list):
            expected[name] = tuple(value)
    assert conventions.translated(like, optimizer, ours) == expected


@every_case
def test_recorded(case, recorded):
    conventions.assert_same(conventions.trajectory(conventions.lrcore, case), recorded[case.like][1][str(case)])


@every_case
def test_live(case, live):
    conventions.assert_same(conventions.trajectory(conventions.lrcore, case), live(case.like)[1][str(case)])


@every_class
def test_recorded_defaults(like, optimizer, recorded):
    has_defaults(like, optimizer, recorded[like][0]["defaults"][f"{optimizer}-defaults"])


@every_class
def test_live_defaults(like, optimizer, live):
    has_defaults(like, optimizer, live(like)[0]["defaults"][f"{optimizer}-defaults"])


def test_every_class_has_cases_for_every_library():
    """A new optimizer, or hyperparameter, in the convention of a library without a case fails here."""
    for name, kind in base.registered().items():
        for like, hyper in kind.defaults.items():
            if like not in conventions.CASES:  # a convention of its own, as of a paper, has nobody to be compared with
                continue
            mine = [case for case in conventions.CASES[like] if case.optimizer == name]
            assert mine[0].hyper == {}
            varied = {key for case in mine for key in case.hyper}
            assert varied >= set(hyper) - {"lr", "betas", "eps"}, (name, like)


@every_case
def test_variants_differ(case, recorded):
    """A case that computed what another did would test nothing."""
    rows = recorded[case.like][1]
    mine = rows[str(case)]
    assert np.isfinite(mine).all()
    for name, other in rows.items():
        same_optimizer = name.startswith(case.optimizer + "-")
        if same_optimizer and name != str(case):
            assert np.max(np.abs(mine - other)) > 1e-9


def test_a_schedule_gives_what_assigning_the_rate_gives():
    case = conventions.Case("keras", "SGD", "momentum", {"momentum": 0.9})

    def scheduled(case, params):
        opt = lr.SGD(params, lr=conventions.rate, like=case.like, **case.hyper)
        return lambda grads, rate: opt.step(grads), lambda: params

    np.testing.assert_array_equal(
        conventions.trajectory(scheduled, case), conventions.trajectory(conventions.lrcore, case)
    )
