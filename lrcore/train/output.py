"""What ``lrcore train --out`` writes: the history of a run, and the parameters with what prediction needs."""

from __future__ import annotations

import csv
import os
import tempfile
from dataclasses import astuple, fields
from pathlib import Path
from typing import Any

import numpy as np

from lrcore.train.arguments import UsageError
from lrcore.train.tables import Table
from lrcore.train.trainer import Epoch, Trainer


def check(out: Path) -> None:
    """Raise if files could not be written under ``out``, before training has begun. Creates nothing."""
    nearest = next(path for path in (out, *out.absolute().parents) if os.path.lexists(path))
    if not nearest.is_dir():
        raise UsageError(f"--out must be a directory, but '{nearest}' is none")
    try:
        with tempfile.TemporaryFile(dir=nearest):
            pass
    except OSError as error:
        raise UsageError(f"--out must be writable, but '{nearest}' is not: {error.strerror}") from error


def save(out: Path, trainer: Trainer, table: Table) -> list[Path]:
    """Write history and parameters, each whole or not at all; where they are."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out, prefix=".lrcore-") as staging:
            _write_history(Path(staging, "history.csv"), trainer)
            np.savez(Path(staging, "parameters.npz"), **_what_prediction_needs(trainer, table))
            for path in sorted(Path(staging).iterdir()):
                path.replace(out / path.name)
    except OSError as error:
        raise UsageError(f"--out '{out}' cannot be written: {error.strerror}") from error
    return [out / "history.csv", out / "parameters.npz"]


def _write_history(path: Path, trainer: Trainer) -> None:
    *names, _ = (field.name for field in fields(Epoch))
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*names, f"held_out_{trainer.network.loss.score_name}"])
        writer.writerows(map(astuple, trainer.history))


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
