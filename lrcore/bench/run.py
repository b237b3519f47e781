"""A run of the benchmarks from beginning to end."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from lrcore.bench import cases, implementations, report
from lrcore.bench.race import race

ROUNDS = 21
QUICK_ROUNDS = 7


def run(
    chosen: Sequence[cases.Case],
    threads: int,
    rounds: int,
    peers: bool,
    say: Callable[[str], None],
    save: Path | None = None,
    tiny: bool = False,
) -> dict[str, Any]:
    """Measure the cases and tell of each as soon as it is done, line by line; ``save`` is written after each.

    Without ``peers``, of other libraries only torch takes part, by its best implementation.
    """
    results: dict[str, Any] = {"machine": report.machine(threads), "rounds": rounds, "cases": []}
    results["method"] = " ".join(report.METHOD)
    _say_lines(say, report.opening(results["machine"], rounds))
    groups = {case.name: group for group, members in cases.GROUPS.items() for case in members}
    for k, case in enumerate(chosen, 1):
        if sys.stderr.isatty():
            print(f"\r\033[K{k} of {len(chosen)}: {case.name}", end="\r", file=sys.stderr, flush=True)
        rows = race(case, contenders(case, peers), threads, rounds, tiny)
        told = report.record(case.tiny() if tiny else case, rows)
        told["group"] = groups[case.name]
        results["cases"].append(told)
        if sys.stderr.isatty():
            print("\r\033[K", end="", file=sys.stderr, flush=True)
        _say_lines(say, "\n" + report.table(told))
        if save:
            save.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    return results


def _say_lines(say: Callable[[str], None], text: str) -> None:
    for line in text.split("\n"):
        say(line)


def contenders(case: cases.Case, peers: bool) -> list[str]:
    """Who takes part in a case."""
    if peers:
        return list(case.contenders)
    torch = [name for name in case.peers if name.startswith("torch")]
    here = [name for name in torch if not implementations.missing(name, case)]
    fused = [name for name in here if name.startswith("torch fused")]
    return [*case.anchors, *case.measures, *(fused or here or torch[:1])]
