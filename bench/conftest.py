"""The table of ratios that ends a run of the benchmarks."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import pytest

import lrcore as lr
from lrcore import kernels

BUILDS = ("reference", *kernels.compiled())
TINY = bool(os.environ.get("LRCORE_BENCH_TINY"))  # once and small: whether the benchmarks work, not how fast


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Builds are compared on one thread; ``lrcore bench`` measures threads."""
    with lr.threads(1):
        yield


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: Any) -> None:
    """For each group, how many times faster than its row "reference" every other row is, by medians."""
    session = getattr(terminalreporter.config, "_benchmarksession", None)
    medians: dict[str, dict[str, float]] = defaultdict(dict)
    for bench in session.benchmarks if session else ():
        if bench.group and bench.stats.rounds and "build" in (bench.params or {}):
            medians[bench.group][bench.params["build"]] = bench.stats.median
    rows = {group: row for group, row in medians.items() if "reference" in row and len(row) > 1}
    if not rows:
        return
    builds = [build for build in BUILDS if build != "reference"]
    width = max(map(len, rows))
    terminalreporter.section("times faster than the NumPy reference (ratio of medians, one thread)")
    terminalreporter.write_line(f"{'':{width}}" + "".join(f"{build:>10}" for build in builds) + "   reference")
    for group, row in rows.items():
        cells = (f"{row['reference'] / row[build]:9.1f}x" if build in row else " " * 10 for build in builds)
        terminalreporter.write_line(f"{group:{width}}" + "".join(cells) + f"{row['reference'] * 1e6:10.0f} us")
