"""Tables for ``lrcore train``: CSV files and scikit-learn's bundled data sets, split and standardised."""

from __future__ import annotations

import csv
import math
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

BUNDLED = ("digits", "breast_cancer", "wine", "diabetes")

HELD_OUT = 0.2  # share of the rows
FEWEST_ROWS = 10
ROWS_PER_CLASS = 5  # on average, at least
FEW_NUMBERS = 20  # whole numbers that differ, at most, are taken for classes


class DataError(ValueError):
    """The data cannot be read, or not used in this way. The message is one line."""


@dataclass(frozen=True)
class Table:
    """Rows of numeric features, and one target for each: numbers (float64) or texts (object).

    Where all features have ``one_unit``, as pixels do, one deviation serves to standardise them all: a pixel
    that is rarely set then does not weigh more than the others.
    """

    name: str
    features: Array
    feature_names: tuple[str, ...]
    target: Array
    target_name: str
    one_unit: bool = False

    @property
    def has_classes(self) -> bool:
        """Whether the target reads as classes: texts, or a few different whole numbers."""
        if self.target.dtype == object:
            return True
        return bool(np.all(_is_whole(self.target)) and len(np.unique(self.target)) <= FEW_NUMBERS)


@dataclass(frozen=True)
class Split:
    """A table in two parts, float32, each column standardised with mean and deviation of the training part.

    ``classes`` are the values that the class indices in ``y`` stand for; None in regression, where ``y`` is
    ``(target - target_mean) / target_std``.
    """

    x: Array
    y: Array
    x_held: Array
    y_held: Array
    mean: Array
    std: Array
    classes: Array | None
    target_mean: float = 0.0
    target_std: float = 1.0


def read_csv(path: str, target: str) -> Table:
    """Read a table from a CSV file: a line of column names, then rows of numbers; the target may be text.

    Raises
    ------
    DataError
        There is no such file or column, or a field is not acceptable; with its row, line and column.
    """
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            return _parse(path, csv.reader(file), target)
    except OSError as error:
        raise DataError(f"{path!r} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path!r} must be UTF-8 text, got byte {error.object[error.start]:#04x}") from error
    except csv.Error as error:
        raise DataError(f"{path!r} is not a CSV file: {error}") from error


def _parse(path: str, reader: Any, target: str) -> Table:
    header = [name.strip() for name in next(filter(None, reader), ())]
    if not header:
        raise DataError(f"{path!r} must have a line of column names and rows of numbers, but is empty")
    for name in header:
        if header.count(name) > 1:
            raise DataError(f"{path!r}: column names must differ, got {name!r} {header.count(name)} times")
    if target not in header:
        raise DataError(f"{path!r} has no column {target!r}; its columns are {_listed(header)}")
    if len(header) < 2:
        raise DataError(f"{path!r} must have a feature column beside the target {target!r}, got none")
    at = header.index(target)
    names = (*header[:at], *header[at + 1 :])
    values = array("d")
    targets: list[str] = []
    for row in reader:
        if not row:
            continue
        where = f"{path!r}, row {len(targets) + 1} (line {reader.line_num})"
        if len(row) != len(header):
            raise DataError(f"{where} must have {len(header)} fields as the header has, got {len(row)}")
        targets.append(row.pop(at).strip())
        if not targets[-1]:
            raise DataError(f"{where}, column {target!r} must not be empty")
        for name, text in zip(names, row, strict=True):
            values.append(_number(text, f"{where}, column {name!r}"))
    features = np.array(values).reshape(len(targets), len(names))
    return Table(path, features, names, _target(targets, f"{path!r}, column {target!r}"), target)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return "_" not in text  # which Python allows between digits


def _first_text(texts: Iterable[str]) -> str:
    return next(text for text in texts if not _is_number(text))


def _number(text: str, where: str) -> float:
    if not _is_number(text):
        raise DataError(f"{where} must be a number, got {text!r}")
    value = float(text)
    if not math.isfinite(value):
        raise DataError(f"{where} must be finite, got {text!r}")
    return value


def _target(texts: Sequence[str], where: str) -> Array:
    """Numbers if all texts are, otherwise the texts."""
    if not all(map(_is_number, texts)):
        return np.array(texts, dtype=object)
    return np.array([_number(text, f"{where}, row {row}") for row, text in enumerate(texts, start=1)])


def _listed(names: Iterable[str], most: int = 12) -> str:
    names = list(names)
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(map(repr, names[:most])) + more


def bundled(name: str) -> Table:
    """One of the data sets that come with scikit-learn, see ``BUNDLED``.

    Raises
    ------
    DataError
        There is no such data set, or scikit-learn is not installed.
    """
    if name not in BUNDLED:
        raise DataError(f"data set must be one of {', '.join(BUNDLED)}, got {name!r}")
    try:
        datasets = import_module("sklearn.datasets")
    except ImportError as error:
        raise DataError(
            f'the data set {name} comes with scikit-learn, which is missing here: pip install "lrcore[train]"'
        ) from error
    bunch = getattr(datasets, f"load_{name}")()
    target = np.asarray(bunch.target, dtype=np.float64)
    labels = getattr(bunch, "target_names", None)
    if labels is not None and isinstance(labels[0], str):
        target = np.array([str(labels[k]) for k in bunch.target], dtype=object)
    features = np.asarray(bunch.data, dtype=np.float64)
    names = tuple(map(str, bunch.feature_names))
    return Table(name, features, names, target, "target", one_unit=name == "digits")


def split(table: Table, classify: bool, seed: int | np.random.Generator = 0) -> Split:
    """Hold out a fifth of the rows, of each class where there are classes, and standardise.

    Parameters
    ----------
    table : Table
    classify : bool
        Whether the target is a class or a number.
    seed : int or numpy.random.Generator
        Of the choice of rows.

    Raises
    ------
    DataError
        There are too few rows, or too many classes, or the target is not of that kind.
    """
    rows = len(table.target)
    if rows < FEWEST_ROWS:
        raise DataError(f"{table.name!r} must have at least {FEWEST_ROWS} rows, got {rows}")
    rng = np.random.default_rng(seed)
    if classify:
        classes, indices = _classes(table)
        strata = [np.flatnonzero(indices == k) for k in range(len(classes))]
    else:
        strata = [np.arange(rows)]
    is_held = np.zeros(rows, dtype=bool)
    for stratum in strata:
        is_held[rng.permutation(stratum)[: round(HELD_OUT * len(stratum))]] = True
    x, mean, std = _standardise(table.features, ~is_held, table.feature_names, table.one_unit)
    if classify:
        return Split(x[~is_held], indices[~is_held], x[is_held], indices[is_held], mean, std, classes)
    y, target_mean, target_std = _standardise(_numbers(table)[:, None], ~is_held, (table.target_name,))
    return Split(
        x[~is_held], y[~is_held, 0], x[is_held], y[is_held, 0], mean, std, None,
        float(target_mean[0]), float(target_std[0]),
    )  # fmt: skip


def _classes(table: Table) -> tuple[Array, Array]:
    """The different values of the target in order, and for each row the index of its own."""
    where = f"target {table.target_name!r}"
    is_text = table.target.dtype == object
    if not is_text:
        for value in table.target[~_is_whole(table.target)][:1]:
            raise DataError(f"{where} must be text or whole numbers to be a class, got {value:g}")
    values, indices = np.unique(table.target, return_inverse=True)
    if len(values) < 2:
        raise DataError(f"{where} must have two classes or more, got {values.tolist()[0]!r} alone")
    rows = len(indices)
    if len(values) * ROWS_PER_CLASS > rows:
        raise DataError(
            f"{where} must have {ROWS_PER_CLASS} rows a class or more on average, "
            f"got {len(values)} different values in {rows} rows"
            + (f", {_first_text(table.target)!r} not being a number" if is_text else "")
        )
    return values.astype(str if is_text else np.int64), indices


def _is_whole(numbers: Array) -> Array:
    """Which of them are whole numbers that float64 tells apart."""
    whole: Array = (numbers == np.round(numbers)) & (np.abs(numbers) < 2**53)
    return whole


def _numbers(table: Table) -> Array:
    """The target, if it is numeric and not the same everywhere."""
    where = f"target {table.target_name!r}"
    if table.target.dtype == object:
        raise DataError(f"{where} must be numeric for regression, got {_first_text(table.target)!r}")
    if np.ptp(table.target) == 0:
        raise DataError(f"{where} must vary, got {table.target[0]:g} in every row")
    return table.target


def _standardise(
    columns: Array, rows: Array, names: Sequence[str], one_unit: bool = False
) -> tuple[Array, Array, Array]:
    """Columns as float32 with mean 0 and deviation 1 over ``rows``; what was subtracted, what divided by."""
    part = columns[rows]
    with np.errstate(all="ignore"):
        mean = part.mean(axis=0)
        std = part.std(axis=0)
        if one_unit:
            std[:] = np.sqrt(np.mean(std**2))
        else:
            std[part.min(axis=0) == part.max(axis=0)] = 1.0
        scaled = ((columns - mean) / std).astype(np.float32)
    for k in np.flatnonzero(~(np.isfinite(scaled).all(axis=0) & np.isfinite(std)))[:1]:
        worst = columns[np.argmax(np.abs(columns[:, k])), k]
        raise DataError(f"column {names[k]!r} must stay finite when standardised in float32, got {worst:g}")
    return scaled, mean, std
