"""Gives the implementations of a case their turns, each in a process of its own, and pairs their times."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from threading import Timer
from typing import Any

import numpy as np

from lrcore.bench import implementations
from lrcore.bench.cases import Case

PATIENCE = 600  # seconds that an implementation may take to get ready, or for a turn


class WrongResultError(Exception):
    """One of lrcore's own implementations differs from the reference."""


class _DiedError(Exception):
    """A worker has ended, or says that it cannot take part."""


@dataclass
class Row:
    """What was measured of one implementation: seconds of a step in every round, or why there are none.

    ``work`` and ``both`` are those of the work alone and of work and step in turn, where a case has them.
    ``against`` pairs, for each anchor that ran in the same rounds, its times and this implementation's. ``first`` are
    seconds of its first steps and ``learned`` what :func:`lrcore.pool.learned` told at the end, of those who learn.
    """

    name: str
    skipped: str = ""
    step: list[float] = field(default_factory=list)
    work: list[float] = field(default_factory=list)
    both: list[float] = field(default_factory=list)
    first: list[float] = field(default_factory=list)
    learned: list[dict[str, Any]] = field(default_factory=list)
    against: dict[str, list[tuple[float, float]]] = field(default_factory=dict)

    def ratios(self, anchor: str) -> list[float]:
        """This implementation's time over the anchor's, round by round."""
        return [mine / theirs for mine, theirs in self.against.get(anchor, ())]


def spread(values: Sequence[float]) -> tuple[float, float, float]:
    """Median, first and third quartile."""
    low, middle, high = np.percentile(values, (25, 50, 75))
    return float(middle), float(low), float(high)


def race(case: Case, names: Sequence[str], threads: int, rounds: int, tiny: bool = False) -> list[Row]:
    """Measure these implementations of a case.

    All take part at once where memory allows, else in several heats, each with the anchors again.

    Raises
    ------
    WrongResultError
        lrcore's own result is wrong.
    """
    rows = {name: Row(name) for name in names}
    for heat in _heats(case, rows, _free_memory()):
        with ExitStack() as stack:
            workers = {}
            for name in heat:
                try:
                    workers[name], told = stack.enter_context(_worker(case.name, name, threads, tiny))
                    rows[name].first = rows[name].first or told.get("first", [])
                except _DiedError as error:
                    rows[name].skipped = str(error)
            for k in range(rounds):
                _round(case, rows, workers, backwards=bool(k % 2))
            for name, worker in workers.items():
                if implementations.kind(name).learns:
                    with suppress(_DiedError):
                        rows[name].learned = worker.ask("learned")["learned"]
    for row in rows.values():
        if row.skipped:
            row.step, row.work, row.both, row.against = [], [], [], {}
    return list(rows.values())


def _round(case: Case, rows: dict[str, Row], workers: dict[str, _Worker], backwards: bool) -> None:
    """A turn for every worker, in either order, and what it took."""
    times: dict[str, dict[str, float]] = {}
    for name in reversed(list(workers)) if backwards else list(workers):
        try:
            times[name] = workers[name].ask("turn")
        except _DiedError as error:
            rows[name].skipped = str(error)
            del workers[name]
    compared = "both" if case.kind == "turn" else "step"
    for name, mine in times.items():
        for key, seconds in mine.items():
            getattr(rows[name], key).append(seconds)
        for anchor in case.anchors:
            if anchor in times and anchor != name:
                rows[name].against.setdefault(anchor, []).append((mine[compared], times[anchor][compared]))


def _heats(case: Case, rows: dict[str, Row], free: float) -> Iterator[list[str]]:
    """Who runs together: the anchors and as many others as memory holds. Says of a row why it cannot run."""

    def need(name: str) -> float:
        # Beside the arrays of the step, while they are made: the originals of parameters and gradients.
        return (
            case.nbytes * (max(2 + case.n_states, case.n_reads) + max(2, implementations.kind(name).scratch)) + 0.25e9
        )

    anchors = [name for name in rows if name in case.anchors]
    others = [name for name in rows if name not in case.anchors]
    rest = free - sum(map(need, anchors))
    heat: list[str] = []
    used = 0.0
    for name in others if rest >= 0 else ():
        if need(name) > rest:
            rows[name].skipped = f"needs {need(name) / 1e9:.1f} GB of memory, lrcore's leave {rest / 1e9:.1f} GB free"
            continue
        if used + need(name) > rest:
            yield [*anchors, *heat]
            heat, used = [], 0.0
        heat.append(name)
        used += need(name)
    if rest >= 0:
        yield [*anchors, *heat]
        return
    for row in rows.values():
        row.skipped = f"needs {(free - rest) / 1e9:.1f} GB of memory, {free / 1e9:.1f} GB are free"


def _free_memory() -> float:
    """Bytes that may be used; infinite where that is not known."""
    try:
        with open("/proc/meminfo") as file:
            kib = next(int(line.split()[1]) for line in file if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):
        return math.inf
    return 0.8 * 1024 * kib


class _Worker:
    """The parent's end of a :mod:`lrcore.bench.worker`."""

    def __init__(self, process: subprocess.Popen[str], errors: Any) -> None:
        self._process = process
        self._errors = errors

    def hear(self) -> dict[str, Any]:
        """Its next message."""
        assert self._process.stdout is not None
        timer = Timer(PATIENCE, self._process.kill)
        timer.start()
        try:
            line = self._process.stdout.readline()
        finally:
            timer.cancel()
        if not line:
            raise _DiedError(self._last_words())
        message: dict[str, Any] = json.loads(line)
        if "wrong" in message:
            raise WrongResultError(message["wrong"])
        if "skipped" in message:
            raise _DiedError(" ".join(message["skipped"].split())[:200])
        return message

    def ask(self, what: str) -> dict[str, Any]:
        """Give it a turn, or ask what it has learned."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(what + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise _DiedError(self._last_words()) from None
        return self.hear()

    def _last_words(self) -> str:
        status = self._process.wait()
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").split("\n")
        last = next((line.strip() for line in reversed(lines) if line.strip()), "said nothing")
        how = f"killed by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
        return f"{how}: {last[:200]}"


@contextmanager
def _worker(case: str, name: str, threads: int, tiny: bool) -> Iterator[tuple[_Worker, dict[str, Any]]]:
    """A worker that is ready, and what it told."""
    command = [sys.executable, "-P", "-m", "lrcore.bench.worker", case, name, str(threads), *(["tiny"] if tiny else [])]
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True, **_confined(threads)
        )
        try:
            worker = _Worker(process, errors)
            yield worker, worker.hear()
        finally:
            process.kill()
            process.communicate()


def _confined(threads: int) -> dict[str, Any]:
    """How a process is kept to so many threads; nothing is set where it may use as many processors anyway."""
    if not hasattr(os, "sched_getaffinity"):
        return {}
    allowed = sorted(os.sched_getaffinity(0))
    if threads >= len(allowed):
        return {}
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
    confine: Callable[[], None] = lambda: os.sched_setaffinity(0, allowed[:threads])  # noqa: E731
    return {"env": {**os.environ, **dict.fromkeys(names, str(threads))}, "preexec_fn": confine}
