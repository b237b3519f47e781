"""Tables for ``lrcore train``: CSV files and scikit-learn's bundled data sets, split and standardised."""

from __future__ import annotations

import csv
import errno
import math
import os
import re
import stat
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from itertools import count
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from lrcore.checks import LONGEST, shown

Array = NDArray[Any]

BUNDLED = ("digits", "breast_cancer", "wine", "diabetes")

HELD_OUT = 0.2  # share of the rows
FEWEST_ROWS = 10
ROWS_PER_CLASS = 5  # on average, at least
FEW_NUMBERS = 20  # whole numbers that differ, at most, are taken for classes

_LONGEST_LINE = 1 << 26  # characters
_LONGEST_NAME = 1000  # characters of a column or a class
_SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "bars", " ": "spaces"}
_UNNAMED = "unnamed: "  # and a number: what pandas calls a column without a name
_ROW_NUMBERS = ("index", "level_0", "id", "row", "rowid", "rownames", "row.names")
_MISSING = ("na", "n/a", "#n/a", "#na", "<na>", "nan", "-nan", "null", "?")
_TRUTHS = {"true": 1.0, "false": 0.0}


class DataError(ValueError):
    """The data cannot be read, or not used in this way. The message is one line."""


@dataclass(frozen=True)
class Table:
    """Rows of numeric features, and one target for each: numbers (float64) or texts (object).

    Where all features have ``one_unit``, as pixels do, one deviation serves to standardise them all: a pixel
    that is rarely set then does not weigh more than the others. ``left_out`` is the
    name of a column that numbers the rows, and is no feature.
    """

    name: str
    features: Array
    feature_names: tuple[str, ...]
    target: Array
    target_name: str
    one_unit: bool = False
    left_out: str | None = None

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

    A first column without a name that numbers the rows, as pandas and R write it, is left out, and so is one that
    is named ``index``, ``id`` or the like and counts them exactly.

    Raises
    ------
    DataError
        There is no such file or column, or a field is not acceptable; with its row, line and column.
    """
    try:
        with _opened(path) as file:
            return _parse(path, csv.reader(_lines(path, file), strict=True), target)
    except OSError as error:
        raise DataError(f"{shown(path)} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{shown(path)} must be UTF-8 text, got byte {error.object[error.start]:#04x}") from error
    except csv.Error as error:
        raise DataError(
            f"{shown(path)} is not a CSV file: {error}; a quotation mark may be missing, or one too many"
        ) from error


def _opened(path: str) -> TextIO:
    """The file, open for reading; never waits for a pipe that nobody writes to."""
    if "\0" in path:
        raise DataError(f"{shown(path)} cannot be read: no file has a NUL in its name")
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    try:
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if not stat.S_ISREG(mode) and not stat.S_ISFIFO(mode):
            raise DataError(f"{shown(path)} must be a file or a pipe, got a device")
        if hasattr(os, "set_blocking"):
            os.set_blocking(descriptor, True)
        return open(descriptor, encoding="utf-8-sig", newline="")
    except BaseException:
        os.close(descriptor)
        raise


def _lines(path: str, file: TextIO) -> Iterator[str]:
    """The lines of a file, none of them longer than memory bears."""
    for number in count(1):
        line = file.readline(_LONGEST_LINE)
        if not line:
            return
        if "\0" in line:
            raise DataError(f"{shown(path)} must be text, got a NUL byte in line {number}")
        if len(line) == _LONGEST_LINE:
            raise DataError(f"{shown(path)} must have lines shorter than {_LONGEST_LINE:,} characters")
        yield line


def _parse(path: str, reader: Any, target: str) -> Table:
    header = [name.strip() for name in next(filter(None, reader), ())]
    if not header:
        raise DataError(f"{shown(path)} must have a line of column names and rows of numbers, but is empty")
    _check_header(path, header, target)
    at = header.index(target)
    names = (*header[:at], *header[at + 1 :])
    values = array("d")
    targets: list[str] = []
    for row in reader:
        if not row:
            continue
        where = f"{shown(path)}, row {len(targets) + 1} (line {reader.line_num})"
        if len(row) != len(header):
            hint = _separator(row, "") if len(row) == 1 else ""
            raise DataError(f"{where} must have {len(header)} fields as the header has, got {len(row)}{hint}")
        targets.append(row.pop(at).strip())
        _check_target(targets[-1], f"{where}, column {shown(target)}")
        values.extend(_numbers_of(row, names, where))
    features = np.array(values).reshape(len(targets), len(names))
    column = f"{shown(path)}, column {shown(target)}"
    read = Table(path, features, names, _target(targets, column), target)
    return _without_row_numbers(read) if header[0] != target else read


def _check_header(path: str, header: list[str], target: str) -> None:
    times = Counter(header)
    for name in header:
        if len(name) > _LONGEST_NAME:
            raise DataError(
                f"{shown(path)}: a column's name must have at most {_LONGEST_NAME:,} characters, got {len(name):,}"
            )
        if times[name] > 1:
            raise DataError(f"{shown(path)}: column names must differ, got {shown(name)} {times[name]} times")
    if target not in times:
        raise DataError(
            f"{shown(path)} has no column {shown(target)}; its columns are {_listed(header)}"
            + _separator(header, target)
        )
    if len(header) < 2:
        raise DataError(f"{shown(path)} must have a feature column beside the target {shown(target)}, got none")


def _separator(fields: Sequence[str], target: str) -> str:
    """A hint, if these fields look as if something else than commas stood between them."""
    for sign, name in _SEPARATORS.items():
        parts = [part.strip().strip("\"'") for field in fields for part in field.split(sign)]
        if len(parts) > len(fields) and (len(fields) == 1 or target in parts):
            return f"; fields must be separated by commas, but {name} stand between them"
    return ""


def _check_target(text: str, where: str) -> None:
    if not text:
        raise DataError(f"{where} must not be empty")
    if len(text) > _LONGEST_NAME:
        raise DataError(f"{where} must have at most {_LONGEST_NAME:,} characters, got {len(text):,}")
    if "\n" in text or "\r" in text:
        raise DataError(f"{where} must be a single line, got {shown(text)}: a quotation mark may be missing")


def _without_row_numbers(table: Table) -> Table:
    """The table without its first column, if that numbers the rows instead of saying something of them."""
    name, column = table.feature_names[0], table.features[:, 0]
    if not len(column) or not _numbers_rows(name.lower(), column):
        return table
    if len(table.feature_names) == 1:
        raise DataError(
            f"{shown(table.name)} must have a feature column beside the target {shown(table.target_name)} "
            f"and the row numbers in column {shown(name)}, got none"
        )
    return replace(table, features=table.features[:, 1:], feature_names=table.feature_names[1:], left_out=name)


def _numbers_rows(name: str, column: Array) -> bool:
    steps = np.diff(column)
    if bool(np.all(steps == 1)) and column[0] in (0, 1):
        return not name or name.startswith(_UNNAMED) or name in _ROW_NUMBERS
    if name and not name.startswith(_UNNAMED):
        return False
    # Rows that were shuffled or filtered, or of a few tables put one under the other.
    if not (np.all(_is_whole(column)) and np.all(column >= 0)):
        return False
    restarts = column[1:] == column[0]
    counted = bool(np.all((steps == 1) | restarts)) and np.count_nonzero(restarts) < len(column) / 10
    return bool(counted) or len(np.unique(column)) == len(column)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return "_" not in text  # which Python allows between digits


def _first_text(texts: Iterable[str]) -> str:
    return next(text for text in texts if not _is_number(text))


def _numbers_of(texts: Sequence[str], names: Sequence[str], where: str) -> list[float]:
    try:
        numbers = list(map(float, texts))
        if all(map(math.isfinite, numbers)) and not any("_" in text for text in texts):
            return numbers
    except ValueError:
        pass
    return [_number(text, f"{where}, column {shown(name)}") for name, text in zip(names, texts, strict=True)]


def _number(text: str, where: str) -> float:
    if not _is_number(text):
        hint = "; decimals stand after a point" if re.fullmatch(r"\s*[-+]?[\d.]*,\d+\s*", text) else ""
        raise DataError(f"{where} must be a number, got {shown(text)}{hint}")
    value = float(text)
    if not math.isfinite(value):
        raise DataError(f"{where} must be finite, got {shown(text)}")
    return value


def _target(texts: Sequence[str], where: str) -> Array:
    """Numbers if all texts are, otherwise the texts."""
    numeric = all(map(_is_number, texts))
    _check_labels(texts, where, numeric)
    if not numeric:
        return np.array(texts, dtype=object)
    return np.array([_number(text, f"{where}, row {row}") for row, text in enumerate(texts, start=1)])


def _check_labels(texts: Sequence[str], where: str, numeric: bool) -> None:
    """Raise where a class would be made of a missing value, or two of what is one, or one of what are two."""
    first = {text: row for row, text in reversed(list(enumerate(texts, start=1)))}
    if numeric:
        codes = [text for text in first if re.match(r"[-+]?0\d", text)]
        if not codes:
            return
    written: dict[object, str] = {}
    some_numbers = any(map(_is_number, first))
    for text in sorted(first, key=first.__getitem__):
        word = text.lower()
        if not numeric and (word in _MISSING or (word == "none" and some_numbers)):
            raise DataError(
                f"{where}, row {first[text]} must be a class, got {shown(text)}, which reads as a missing value"
            )
        value: object = float(text) if _is_number(text) else _TRUTHS.get(word, text)
        other = written.setdefault(value, text)
        if other != text:
            raise DataError(
                f"{where} must write each value in one way, got {shown(other)} in row {first[other]} "
                f"and {shown(text)} in row {first[text]}"
            )


def _listed(names: Sequence[str], most: int = 12) -> str:
    listed = [shown(name) for name in names[:most]]
    while len(listed) > 1 and sum(map(len, listed)) > 2 * LONGEST:
        listed.pop()
    more = f" and {len(names) - len(listed)} more" if len(names) > len(listed) else ""
    return ", ".join(listed) + more


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
        raise DataError(f"{shown(table.name)} must have at least {FEWEST_ROWS} rows, got {rows}")
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
    where = f"target {shown(table.target_name)}"
    is_text = table.target.dtype == object
    if not is_text:
        for value in table.target[~_is_whole(table.target)][:1]:
            raise DataError(f"{where} must be text or whole numbers to be a class, got {value:g}")
    values, indices = np.unique(table.target, return_inverse=True)
    if len(values) < 2:
        raise DataError(f"{where} must have two classes or more, got {shown(values.tolist()[0])} alone")
    rows = len(indices)
    if len(values) * ROWS_PER_CLASS > rows:
        raise DataError(
            f"{where} must have {ROWS_PER_CLASS} rows a class or more on average, "
            f"got {len(values)} different values in {rows} rows"
            + (f", {shown(_first_text(table.target))} not being a number" if is_text else "")
        )
    return values.astype(str if is_text else np.int64), indices


def _is_whole(numbers: Array) -> Array:
    """Which of them are whole numbers that float64 tells apart."""
    whole: Array = (numbers == np.round(numbers)) & (np.abs(numbers) < 2**53)
    return whole


def _numbers(table: Table) -> Array:
    """The target, if it is numeric and not the same everywhere."""
    where = f"target {shown(table.target_name)}"
    if table.target.dtype == object:
        raise DataError(f"{where} must be numeric for regression, got {shown(_first_text(table.target))}")
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
        raise DataError(f"column {shown(names[k])} must stay finite when standardised in float32, got {worst:g}")
    return scaled, mean, std
