"""How many threads share a step. No result depends on it.

The number is one for the process, see :func:`set_num_threads`; inside ``with lr.threads(n):`` another holds, for the
code inside alone. At import it is ``LRCORE_NUM_THREADS``, else ``OMP_NUM_THREADS``, else what the process may use: its
processor affinity and its cgroup's quota. Threads are started by the first step that needs them, watch for
the next step for some microseconds, and then sleep; they run where the thread that steps may run, and where that is
one processor, it steps alone. Where threadpoolctl is installed, its ``threadpool_limits`` and ``threadpool_info``
know the process's number, as ``user_api="lrcore"``.
"""

from __future__ import annotations

import math
import os
import re
from contextlib import ContextDecorator
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Protocol

from lrcore import checks

MOST = 256
"""Threads that share a step at most; a larger number counts as this one."""

_pool: Any = import_module("lrcore._lrcore_pool") if find_spec("lrcore._lrcore_pool") is not None else None


def _number(n: Any) -> int:
    return min(checks.whole("n", n, 1), MOST)


def set_num_threads(n: int) -> None:
    """Let ``n`` threads share a step from now on in the whole process, the calling one among them.

    Inside ``with lr.threads(m):`` m holds on.

    Raises
    ------
    TypeError, ValueError
        ``n`` is not an integer >= 1.
    """
    n = _number(n)
    if _pool is not None:
        _pool.set_threads(n)


def get_num_threads() -> int:
    """Threads that may share a step here: that of the innermost ``with lr.threads(n):``, else the process's number.

    1 without compiled kernels.
    """
    n: int = _pool.get_threads_here() if _pool is not None else 1
    return n


class _Nothing:
    """A hold where there is no pool."""

    def __init__(self, n: int) -> None:
        self.n = n

    def __enter__(self) -> None: ...

    def __exit__(self, *error: object) -> None: ...


class _Threads(ContextDecorator, _pool.Hold if _pool is not None else _Nothing):  # type: ignore[misc]
    n: int

    def _recreate_cm(self) -> _Threads:  # a function that is decorated enters one of its own at each call
        return _Threads(self.n)


class _Context(Protocol):
    """What :func:`threads` returns."""

    def __enter__(self) -> None: ...

    def __exit__(self, *error: object) -> None: ...

    def __call__(self, function: Any, /) -> Any: ...


def threads(n: int) -> _Context:
    """``with lr.threads(n):`` lets n threads share the steps inside; ``@lr.threads(n)`` those of a function.

    It holds for what the calling thread, or asyncio task, does inside, before the process's number; other Python
    threads keep theirs, also those that are started inside. So several may hold at once, and end in any order.

    Raises
    ------
    TypeError, ValueError
        ``n`` is not an integer >= 1.
    """
    return _Threads(_number(n))


def _allowed() -> int:
    """Processors that this process may use."""
    n = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(n, _quota())


def _quota(root: str = "/sys/fs/cgroup") -> int:
    """Processors' worth of time that the cgroup grants, at least 1; a large number without a quota."""

    def read(name: str) -> list[str]:
        with open(os.path.join(root, name), encoding="ascii") as file:
            return file.read().split()

    try:
        limit, period = read("cpu.max")
    except (OSError, ValueError):
        try:
            (limit,), (period,) = read("cpu/cpu.cfs_quota_us"), read("cpu/cpu.cfs_period_us")
        except (OSError, ValueError):
            return 1 << 16
    if not (limit.isdecimal() and period.isdecimal()) or int(period) == 0:
        return 1 << 16
    return max(1, math.ceil(int(limit) / int(period)))


def _from_environment() -> int:
    for name in ("LRCORE_NUM_THREADS", "OMP_NUM_THREADS"):
        value = os.environ.get(name, "").split(",")[0].strip()  # OMP_NUM_THREADS may list nesting levels
        if re.fullmatch("0*[1-9][0-9]*", value):
            digits = value.lstrip("0")
            return int(digits) if len(digits) <= len(str(MOST)) else MOST
        if value and name == "LRCORE_NUM_THREADS":
            raise ImportError(f"LRCORE_NUM_THREADS must be an integer >= 1, got {checks.shown(value)}")
    return _allowed()


def learned() -> list[dict[str, Any]]:
    """How large steps walk memory, as learned so far on this machine; no bit of a result depends on it.

    Steps are told apart by the bytes that they move, the arrays, and whether threads share them. One entry for each
    class that has stepped: ``bytes`` from which on (to four times as many), ``arrays``, ``shared``, ``way`` in use,
    ``settled`` (all ways have been tried), ``steps`` taken, and ``times``: those of other ways over the time of the way
    in use when they were last tried. Ways: ``none`` fetches nothing ahead; ``short``, ``near`` and ``far`` fetch 512,
    1,024, and 1,024 and 4,096 bytes ahead every 64 elements; ``wide`` as ``far``, every 256. ``LRCORE_STREAM`` forces
    one.
    """
    found: list[dict[str, Any]] = _pool.learned() if _pool is not None else []
    return found


def config() -> dict[str, str]:
    """Entries of ``lr.show_config()``."""
    if _pool is None:
        return {"threads": "1"}
    told = {"threads": str(get_num_threads())}
    forced = _pool.get_stream()
    lines = [
        f"{entry['way']} from {entry['bytes'] >> 20} MiB ({entry['arrays']} arrays, "
        f"{'shared' if entry['shared'] else 'one thread'}{'' if entry['settled'] else ', still trying'})"
        for entry in learned()
    ]
    told["stream"] = f"{forced} (LRCORE_STREAM)" if forced else "; ".join(lines) or "not learned yet, by large steps"
    return told


def _stream_from_environment() -> str | None:
    name = os.environ.get("LRCORE_STREAM")
    if not name or _pool is None:
        return None
    if name not in _pool.STREAMS:
        raise ImportError(f"LRCORE_STREAM must be one of {', '.join(_pool.STREAMS)}, got {checks.shown(name)}")
    return name


set_num_threads(_from_environment())
if _pool is not None:
    _pool.set_stream(_stream_from_environment())


def _register_with_threadpoolctl() -> None:
    """Let threadpoolctl find the pool, by the name of its file, which is why that name is so long."""
    try:
        import threadpoolctl
    except ImportError:
        return

    class Controller(threadpoolctl.LibController):  # type: ignore[misc]
        user_api = "lrcore"
        internal_api = "lrcore"
        filename_prefixes = ("_lrcore_pool",)

        def get_num_threads(self) -> int:
            n: int = _pool.get_threads()  # what it will restore
            return n

        def set_num_threads(self, num_threads: int) -> None:
            set_num_threads(num_threads)

        def get_version(self) -> str | None:
            return None

    threadpoolctl.register(Controller)


if _pool is not None:
    _register_with_threadpoolctl()
