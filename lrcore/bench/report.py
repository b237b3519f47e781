"""What a run of the benchmarks says: to a terminal, and as plain data for JSON."""

from __future__ import annotations

import math
import os
import platform
from collections.abc import Sequence
from importlib import metadata
from typing import Any

from lrcore import __version__, kernels
from lrcore.bench.cases import Case
from lrcore.bench.race import Row, spread

METHOD = (
    "Every implementation runs in a process of its own, on its own data of the same size, after its result has been",
    "compared with the NumPy reference (lrcore's builds bit for bit). Then lrcore and the floor step untimed until",
    "they have learned how large steps walk memory best here: the times are those of a long run. What the first ten",
    "steps of the process took, learning included, is recorded beside them. All take turns: one untimed step, then",
    "timed ones, of which the turn's median counts, then a rest until no thread of theirs is busy. A time is the",
    "median of the turns, with quartiles; a ratio is the median, with quartiles, of the ratios of turns of the same",
    "round.",
)
LEGEND = (
    "GB/s: bytes that the step must move, over its time. Of the floor: time of the same streams with one addition an",
    "element, over lrcore's. Times X: this implementation's time over X's; above 1, X is the faster one.",
)
PEERS = ("torch", "optax", "jax", "numba", "deepspeed", "thinc", "scikit-learn")


def machine(threads: int) -> dict[str, Any]:
    """Where the figures hold."""
    config = kernels.config()
    return {
        "processor": _processor(),
        "processors": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": threads,
        "system": platform.platform(),
        "build": config["build"],
        "compiler": config["compiler"],
        "flags": config["flags"],
        "versions": {
            "lrcore": __version__,
            "python": platform.python_version(),
            "numpy": config["numpy"],
            **{name: version for name in PEERS if (version := _version(name))},
        },
    }


def _processor() -> str:
    try:
        with open("/proc/cpuinfo") as file:
            return next(line.split(":", 1)[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def record(case: Case, rows: Sequence[Row]) -> dict[str, Any]:
    """A case as plain data. Times are in seconds."""
    by_name = {row.name: row for row in rows}
    return {
        "case": case.name,
        "title": case.title,
        "optimizer": case.optimizer,
        "hyper": dict(case.hyper),
        "dtype": case.dtype,
        "kind": case.kind,
        "tensors": len(case.shapes),
        "elements": case.elements,
        "traffic": case.traffic,
        "anchors": list(case.anchors),
        "rows": [_record_row(case, row, by_name.get("floor")) for row in rows],
    }


def _record_row(case: Case, row: Row, floor: Row | None) -> dict[str, Any]:
    if not row.step:
        return {"name": row.name, "skipped": row.skipped}
    told: dict[str, Any] = {"name": row.name, "step": _summary(row.step)}
    if case.kind == "turn":
        told["work"] = _summary(row.work)
        told["both"] = _summary(row.both)
        told["over_sum"] = _summary(
            [both / (work + step) for both, work, step in zip(row.both, row.work, row.step, strict=True)]
        )
    told["gb_per_s"] = case.traffic / told["step"]["median"] / 1e9
    if floor and floor is not row and row.name in floor.against:
        told["of_floor"] = _summary(floor.ratios(row.name))
    told["times"] = {anchor: _summary(row.ratios(anchor)) for anchor in case.anchors if row.ratios(anchor)}
    if row.first:
        mean = math.fsum(row.first) / len(row.first)
        told["first"] = {"steps": row.first, "over_median": mean / told["step"]["median"]}
    if row.learned:
        told["learned"] = row.learned
    return told


def _summary(values: Sequence[float]) -> dict[str, Any]:
    median, low, high = spread(values)
    return {"median": median, "q1": low, "q3": high, "rounds": list(values)}


def opening(told: dict[str, Any], rounds: int) -> str:
    """What a run begins with: machine and method."""
    versions = ", ".join(f"{name} {version}" for name, version in told["versions"].items())
    return "\n".join(
        (
            f"{told['processor']}, {told['processors']} processors, {told['threads']} threads each; {told['system']}",
            f"kernels {told['build']} ({told['compiler']}); {versions}",
            "",
            *METHOD,
            f"{rounds} rounds.",
            *LEGEND,
        )
    )


def table(told: dict[str, Any]) -> str:
    """A case of :func:`record` as a table."""
    turn = told["kind"] == "turn"
    head = ["work", "step", "in turn", "in turn over sum"] if turn else ["step", "quartiles", "GB/s"]
    if not turn and any("of_floor" in row for row in told["rows"]):
        head.append("of the floor")
    head += [f"times {anchor}" for anchor in told["anchors"]]
    lines: list[list[str]] = [["", *head]]
    skipped = []
    for row in told["rows"]:
        if "skipped" in row:
            skipped.append(f"  {row['name']}: skipped, {row['skipped']}")
            continue
        cells = {f"times {anchor}": ratio(summary) for anchor, summary in row["times"].items()}
        cells |= {"step": duration(row["step"]["median"]), "GB/s": f"{row['gb_per_s']:.1f}"}
        cells["quartiles"] = f"{duration(row['step']['q1'])} to {duration(row['step']['q3'])}"
        if "of_floor" in row:
            cells["of the floor"] = ratio(row["of_floor"])
        if turn:
            cells |= {"work": duration(row["work"]["median"]), "in turn": duration(row["both"]["median"])}
            cells["in turn over sum"] = ratio(row["over_sum"])
        lines.append([row["name"], *(cells.get(key, "") for key in head)])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    moved = f"a step moves {told['traffic'] / 1e6:,.1f} MB"
    return "\n".join(
        (
            f"{told['case']}: {told['title']} ({told['optimizer']}, {told['dtype']}; {moved})",
            *("  " + "  ".join(_align(cells, widths)).rstrip() for cells in lines),
            *skipped,
        )
    )


def _align(cells: Sequence[str], widths: Sequence[int]) -> list[str]:
    first, *others = zip(cells, widths, strict=True)
    return [first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)]


def duration(seconds: float) -> str:
    """With a unit, to three digits."""
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}" if seconds < 1000 * size else f"{seconds / size:.0f} {unit}"
    return f"{seconds / 1e-6:.3g} us"


def ratio(summary: dict[str, Any]) -> str:
    """Median and quartiles."""
    digits = 2 if summary["median"] < 10 else 1 if summary["median"] < 100 else 0
    low, high = (f"{summary[key]:.{digits}f}" for key in ("q1", "q3"))
    return f"{summary['median']:.{digits}f} ({low} to {high})"
