"""Every row of the tables in docs/schedules.md against the library it names."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lrcore import schedules

DOCUMENT = Path(__file__).parents[1] / "docs" / "schedules.md"
ROW = re.compile(r"^\| `(?P<there>[^`]+)` \| `(?P<here>[^`]+)` \| (?P<steps>all|0-\d+) \| (?P<note>.*)\|$", re.M)
LIBRARIES = {"lr_scheduler": "torch", "optax": "optax", "schedules": "keras", "transformers": "transformers"}
STEPS = 150


def _rows() -> Iterator[Any]:
    for row in ROW.finditer(DOCUMENT.read_text(encoding="utf-8")):
        library = LIBRARIES[row["there"].split(".")[0]]
        steps = None if row["steps"] == "all" else int(row["steps"][2:])
        yield pytest.param(library, row["there"], row["here"], steps, row["note"], id=f"{library}-{row['there'][:90]}")


ROWS = list(_rows())


@contextmanager
def quiet() -> Iterator[None]:
    """What the other libraries warn of is not in question here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def stepped(there: str, names: dict[str, Any], steps: int) -> list[float]:
    """Rates of a torch optimizer whose scheduler takes one step after another."""
    import torch

    opt = torch.optim.SGD([torch.zeros(1, dtype=torch.float64)], lr=0.1, momentum=0.9)
    scheduler = eval(there, names | {"opt": opt})
    rates = [opt.param_groups[0]["lr"]]
    for _ in range(steps - 1):
        opt.step()
        scheduler.step()
        rates.append(opt.param_groups[0]["lr"])
    return [float(rate) for rate in rates]


def theirs(library: str, there: str, steps: int) -> tuple[list[float], float]:
    """Values of a library at the first steps, and the relative precision it computes with."""
    with quiet():
        if library == "torch":
            torch = pytest.importorskip("torch")
            return stepped(there, {"lr_scheduler": torch.optim.lr_scheduler}, steps), 1e-12
        if library == "transformers":
            pytest.importorskip("torch")
            transformers = pytest.importorskip("transformers")
            return stepped(there, {"transformers": transformers}, steps), 1e-12
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
        "torch": 17, "optax": 15, "keras": 8, "transformers": 8,
    }  # fmt: skip


@pytest.mark.parametrize(("library", "there", "here", "last", "note"), ROWS)
def test_same_values_as_the_library(library: str, there: str, here: str, last: int | None, note: str) -> None:
    ours = eval(here, {name: getattr(schedules, name) for name in schedules.__all__})
    expected, rtol = theirs(library, there, STEPS if last is None else last + 1)
    np.testing.assert_allclose(ours(np.arange(len(expected))), expected, rtol=rtol, atol=rtol * 0.1)


@pytest.mark.parametrize(
    ("library", "there", "here", "last", "note"), [row for row in ROWS if row.values[3] is not None]
)
def test_where_the_table_says_that_the_library_leaves_the_curve_it_does(
    library: str, there: str, here: str, last: int, note: str
) -> None:
    ours = eval(here, {name: getattr(schedules, name) for name in schedules.__all__})
    steps = last + 2 if "OneCycleLR" in there else last + 20
    value = theirs(library, there, steps)[0][-1]
    assert ours(steps - 1) == ours(last)
    if "negative" in note:
        assert value < 0
    else:
        assert value > ours(last) + 1e-7
        assert "rises" in note or "the same" in note


def test_keras_1_and_2_decay_argument() -> None:
    ours = schedules.InverseTimeDecay(0.01, 1e-6)
    steps = np.arange(0, 3_000_000, 997)
    np.testing.assert_allclose(ours(steps), 0.01 * (1.0 / (1.0 + 1e-6 * steps)), rtol=4e-16)
    assert ours(1_000_000) == 0.005
