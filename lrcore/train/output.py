"""What ``lrcore train --out`` writes: the history of a run, and the parameters with what prediction needs."""

from __future__ import annotations

import csv
import io
from dataclasses import astuple, fields
from pathlib import Path
from typing import IO, Any

import numpy as np

from lrcore import files
from lrcore.checks import shown
from lrcore.train.arguments import UsageError
from lrcore.train.tables import Table
from lrcore.train.trainer import Epoch, Trainer

_HISTORY, _PARAMETERS = "history.csv", "parameters.npz"


def check(out: Path) -> None:
    """Raise if files could not be written under ``out``, before training has begun. Creates nothing."""
    try:
        files.check(out, (_HISTORY, _PARAMETERS))
    except NotADirectoryError as error:
        raise UsageError(f"--out must be a directory, but {_quoted(error.filename)} is none") from error
    except IsADirectoryError as error:
        raise UsageError(f"--out must have room for a file, but {_quoted(error.filename)} is a directory") from error
    except OSError as error:
        raise UsageError(f"--out must be writable, but {_quoted(error.filename)} is not: {error.strerror}") from error


def save(out: Path, trainer: Trainer, table: Table) -> tuple[Path, Path]:
    """Write history and parameters, both or neither; where they are."""

    def write_history(file: IO[bytes]) -> None:
        *names, _ = (field.name for field in fields(Epoch))
        text = io.StringIO(newline="")
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow([*names, f"held_out_{trainer.network.loss.score_name}"])
        writer.writerows(map(astuple, trainer.history))
        file.write(text.getvalue().encode())

    def write_parameters(file: IO[bytes]) -> None:
        np.savez(file, **_what_prediction_needs(trainer, table))

    try:
        files.write(out, {_HISTORY: write_history, _PARAMETERS: write_parameters})
    except OSError as error:
        raise UsageError(
            f"--out {_quoted(out)} cannot be written: {error.strerror or error}; what was trained is lost"
        ) from error
    return out / _HISTORY, out / _PARAMETERS


def _quoted(path: object) -> str:
    return shown(str(path))


def _what_prediction_needs(trainer: Trainer, table: Table) -> dict[str, Any]:
    split = trainer.data
    arrays = dict(trainer.network.params)
    arrays |= {
        "feature_names": np.array(table.feature_names),
        "feature_mean": split.mean,
        "feature_std": split.std,
    }
    if split.classes is not None:
        return arrays | {"classes": split.classes}
    return arrays | {"target_mean": np.array(split.target_mean), "target_std": np.array(split.target_std)}
