"""The README's tables of speed, from what ``lrcore bench --peers --json FILE`` measured.

    python bench/tables.py FILE

Ratios are medians over the rounds, with quartiles.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from lrcore.bench.cases import ALONE, CASES, GROUPS, OWN
from lrcore.bench.race import spread
from lrcore.bench.report import duration, ratio

BUFFER, ARRAYS = OWN
PEERS = ("torch fused", "DeepSpeed", "optax", "numba", "NumPy reference")
GROWTH = (BUFFER, ARRAYS, "floor", "numba", "DeepSpeed", "torch fused", "torch default", "optax", "NumPy expression")
MAIN = (
    ("1000", BUFFER), ("200x64", BUFFER), ("200x64", ARRAYS), ("64Ki", BUFFER), ("mlp", BUFFER), ("1Mi", BUFFER),
    ("16Mi", BUFFER), ("16Mi", ARRAYS), ("16Mi-list", ARRAYS), ("64Mi", BUFFER), ("64Mi-list", ARRAYS),
    ("resnet50", BUFFER), ("resnet50", ARRAYS), ("gpt2", BUFFER), ("gpt2", ARRAYS),
    ("tail-1Mi", BUFFER), ("tail-16Mi", BUFFER),
)  # fmt: skip

Row = dict[str, Any]  # of an implementation, as lrcore/bench/report.py records it


class Results:
    """What was measured, by case and implementation."""

    def __init__(self, path: Path) -> None:
        told = json.loads(path.read_text(encoding="utf-8"))
        self.cases: dict[str, dict[str, Row]] = {
            case["case"]: {row["name"]: row for row in case["rows"] if "step" in row} for case in told["cases"]
        }

    def group(self, name: str) -> list[str]:
        """The cases of a group that were measured."""
        return [case.name for case in GROUPS[name] if case.name in self.cases]

    def row(self, case: str, name: str) -> Row | None:
        """None if it took no part."""
        return self.cases.get(case, {}).get(name)


def time(row: Row | None, key: str = "step", which: str = "median") -> str:
    return duration(row[key][which]).replace("us", "µs") if row else ""


def spread_time(row: Row | None) -> str:
    return f"{time(row)} ({time(row, which='q1')} to {time(row, which='q3')})" if row else ""


def summary(told: dict[str, float] | None) -> str:
    return ratio(told) if told else ""


def times(row: Row | None, anchor: str) -> str:
    return summary(row["times"].get(anchor)) if row else ""


def write(head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    rows = list(rows)
    if rows:
        for cells in (head, ["---"] * len(head), *rows):
            print("|", " | ".join(cells), "|")
        print()


def case_title(case: str) -> str:
    return CASES[case].title.removesuffix(", one array")


def main_table(results: Results) -> None:
    rows = [
        [
            case_title(case) + (", buffer" if mine == BUFFER else "" if case.endswith("-list") else ", arrays"),
            spread_time(results.row(case, mine)),
            summary((results.row(case, mine) or {}).get("of_floor")),
            *(times(results.row(case, peer), mine) for peer in PEERS),
        ]
        for case, mine in MAIN
        if case in results.cases
    ]
    write(["AdamW, float32", "lrcore", "of the floor", *PEERS], rows)


def growth(results: Results, group: str) -> None:
    names = [name for name in GROWTH if any(results.row(case, name) for case in results.group(group))]
    rows = [[case_title(case), *(time(results.row(case, name)) for name in names)] for case in results.group(group)]
    write(["", *names], rows)


def threads(results: Results) -> None:
    names = (BUFFER, "floor", "torch fused")
    rows = []
    for case in results.group("threads"):
        cells = []
        for name in names:
            alone, together = results.row(case, name + ALONE), results.row(case, name)
            if alone and together:
                pairs = zip(alone["step"]["rounds"], together["step"]["rounds"], strict=True)
                middle, low, high = spread([one / other for one, other in pairs])
                cells.append(ratio({"median": middle, "q1": low, "q3": high}))
            else:
                cells.append("")
        rows.append([case.removeprefix("threads-"), *cells])
    write(["elements", *names], rows)


def in_turn(results: Results) -> None:
    peers = ("torch fused", "numba", "DeepSpeed")
    rows = []
    for case in results.group("in-turn"):
        mine = results.row(case, BUFFER)
        rows.append(
            [
                CASES[case].title.replace(" forward and backward in turn with a step", ""),
                time(mine, "work"), time(mine), time(mine, "both"),
                summary(mine and mine["over_sum"]),
                *(times(results.row(case, name), BUFFER) for name in (BUFFER + ALONE, *peers)),
            ]
        )  # fmt: skip
    head = ["work", "work alone", "step alone", "in turn", "over the sum", "lrcore, 1 thread", *peers]
    write(head, rows)


def optimizers(results: Results) -> None:
    rows: dict[str, list[str]] = {}
    for case in results.group("optimizers"):
        rule, _ = case.rsplit("-", 1)
        mine = results.row(case, BUFFER)
        measured = [row for peer in CASES[case].peers if (row := results.row(case, peer))]
        best = min(measured, key=lambda row: float(row["step"]["median"]), default=None)
        rows.setdefault(rule, [CASES[case].title.partition(":")[0]]).extend(
            [time(mine), summary(mine and mine.get("of_floor")), times(best, BUFFER)]
        )
    head = [
        f"{what} {dtype}" for dtype in ("float32", "float64") for what in ("time,", "of the floor,", "torch or optax,")
    ]
    write(["16 Mi elements, ParameterBuffer", *head], rows.values())


def learned(results: Results) -> None:
    """The way of walking memory that each found for the steps of a case, and what its first steps took."""
    names = [name for name in (BUFFER, ARRAYS, "floor") if any(name in rows for rows in results.cases.values())]
    rows = [
        [case_title(case), *(cell for name in names for cell in (way(measured.get(name)), first(measured.get(name))))]
        for case, measured in results.cases.items()
        if any(measured.get(name, {}).get("learned") for name in names)
    ]
    write(["way (time of others)", *(cell for name in names for cell in (name, "first steps"))], rows)


def way(row: Row | None) -> str:
    """The way in use for the steps that this row took most of, and how much longer others took."""
    if not row or not row.get("learned"):
        return ""
    entry = max(row["learned"], key=lambda entry: int(entry["steps"]))
    others = ", ".join(f"{name} {times:.2f}" for name, times in entry["times"].items())
    return f"{entry['way']}{'' if entry['settled'] else ', still trying'} ({others})"


def first(row: Row | None) -> str:
    """Time of a step, of the first ones of a process, over that of later ones."""
    return f"{row['first']['over_median']:.2f}" if row and row.get("first") else ""


def main() -> None:
    results = Results(Path(sys.argv[1]))
    main_table(results)
    growth(results, "sizes")
    growth(results, "tensors")
    threads(results)
    in_turn(results)
    optimizers(results)
    learned(results)


if __name__ == "__main__":
    main()
