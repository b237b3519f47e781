"""One implementation in a process of its own: proves its result, then times its step whenever it is given a turn.

    python -P -m lrcore.bench.worker CASE IMPLEMENTATION THREADS [tiny]

Talks in lines of JSON: one when it is ready, then one for each line that it reads: ``turn`` or ``learned``.
"""

from __future__ import annotations

import gc
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

from lrcore import pool
from lrcore.bench import implementations, work
from lrcore.bench.cases import CASES, Case

TURN = 0.06  # seconds of timed steps in a turn, about; at least one step
LONGEST = 100  # timed steps in a turn, at most
BATCH = 50e-6  # seconds that one timing lasts, at least: shorter steps are timed several together
FIRST = 10  # steps of a fresh process, of which what learning costs is told
LEARN = 30.0  # seconds of untimed steps until it has learned how to walk memory, at most
STEPS = 500  # and steps
QUIET = 0.005  # seconds without a busy thread that end a turn


class Turns:
    """Times an implementation of a case.

    Attributes
    ----------
    first : list of float
        Seconds of the first steps of this process, of an implementation that learns.
    """

    def __init__(self, name: str, case: Case, threads: int) -> None:
        made = implementations.make(name, case, threads)
        self._prepare = made.prepare
        whats: dict[str, Callable[[], object]] = {"step": made.step}
        if case.kind == "turn":
            before = work.make(case, made.params, made.grads)
            before()

            def both() -> None:
                before()
                made.step()

            whats = {"work": before, "step": made.step, "both": both}
        self.first: list[float] = []
        step = made.step
        if implementations.kind(name).learns:
            made.step = self._telling(step)
        implementations.prove(name, made, case)
        if implementations.kind(name).learns:
            self._learn(made.step)
        made.step = step
        gc.collect()
        gc.freeze()
        gc.disable()
        self._plan = {key: (what, *self._how_often(what)) for key, what in whats.items()}

    def _telling(self, step: Callable[[], object]) -> Callable[[], None]:
        """The step, and how long the first ones took."""

        def told() -> None:
            begin = time.perf_counter()
            step()
            if len(self.first) < FIRST:
                self.first.append(time.perf_counter() - begin)

        return told

    def _learn(self, step: Callable[[], object]) -> None:
        """Take steps until it is found how this process walks memory best: what is timed is a long run."""
        until = time.perf_counter() + LEARN
        for k in range(STEPS):
            settled = all(entry["settled"] for entry in pool.learned())
            if k >= FIRST and (settled or time.perf_counter() > until):
                return
            if self._prepare:
                self._prepare()
            step()

    def _how_often(self, what: Callable[[], object]) -> tuple[int, int]:
        """How many are timed together, and how many such timings make a turn."""
        seconds = min(self._time(what, 1) for _ in range(3))
        batch = 1 if self._prepare else max(1, round(BATCH / seconds))
        return batch, max(1, min(LONGEST, round(TURN / (seconds * batch))))

    def take(self) -> dict[str, float]:
        """Median seconds of a step; in turn with work also of the work alone and of both."""
        medians = {}
        for key, (what, batch, count) in self._plan.items():
            self._time(what, batch)
            until = time.perf_counter() + 4 * TURN  # should each take much longer than it did at first
            timings = [self._time(what, batch)]
            while len(timings) < count and time.perf_counter() < until:
                timings.append(self._time(what, batch))
            medians[key] = statistics.median(timings)
            rest()
        return medians

    def _time(self, what: Callable[[], object], batch: int) -> float:
        """Seconds that one takes, of ``batch`` one after another."""
        if self._prepare:
            self._prepare()
        begin = time.perf_counter()
        for _ in range(batch):
            what()
        return (time.perf_counter() - begin) / batch


def rest(longest: float = 0.5) -> None:
    """Return when no thread of this process is busy: those of some libraries spin for a while after a step."""
    until = time.perf_counter() + longest
    while time.perf_counter() < until:
        begin, used = time.perf_counter(), time.process_time()
        time.sleep(QUIET)
        if time.process_time() - used < 0.1 * (time.perf_counter() - begin):
            return


def _prepare(name: str, case: Case, threads: int) -> tuple[Turns | None, dict[str, Any]]:
    """The implementation, if it is here and right, and what to tell of it."""
    reason = implementations.missing(name, case)
    if reason:
        return None, {"skipped": reason}
    try:
        turns = Turns(name, case, threads)
    except ArithmeticError as error:
        return None, {"wrong" if implementations.kind(name).exact else "skipped": str(error)}
    except Exception as error:
        return None, {"skipped": f"{type(error).__name__}: {error}"}
    return turns, {"first": turns.first}


def main() -> None:
    """Serve until standard input ends."""
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no reply

    def reply(message: object) -> None:
        print(json.dumps(message), file=replies, flush=True)

    name, label, threads, *tiny = sys.argv[1:]
    case = CASES[name].tiny() if tiny else CASES[name]
    turns, told = _prepare(label, case, int(threads))
    rest()
    reply(told)
    if turns is not None:
        for line in sys.stdin:
            reply({"learned": pool.learned()} if line == "learned\n" else turns.take())


if __name__ == "__main__":
    main()
