"""How many threads share a step. No result depends on it.

At import the number is ``LRCORE_NUM_THREADS``, else ``OMP_NUM_THREADS``, else what the process may use: its
processor affinity and its cgroup's quota. Threads are started by the first step that needs them, watch for
the next step for some microseconds, and then sleep. Where threadpoolctl is installed, its ``threadpool_limits``
and ``threadpool_info`` know lrcore, as ``user_api="lrcore"``.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from typing import Any

_pool: Any = import_module("lrcore._lrcore_pool") if find_spec("lrcore._lrcore_pool") is not None else None


def set_num_threads(n: int) -> None:
    """Let ``n`` threads share a step from now on, the calling one among them.

    Raises
    ------
    TypeError, ValueError
        ``n`` is not an integer >= 1.
    """
    if not hasattr(n, "__index__") or isinstance(n, bool):
        raise TypeError(f"n must be an integer, got {n!r}")
    if n < 1:
        raise ValueError(f"n must be >= 1, got {n}")
    if _pool is not None:
        _pool.set_threads(min(int(n), 256))


def get_num_threads() -> int:
    """Threads that may share a step; 1 without compiled kernels."""
    n: int = _pool.get_threads() if _pool is not None else 1
    return n


@contextmanager
def threads(n: int) -> Iterator[None]:
    """``with lr.threads(n):`` lets n threads share a step inside, in every Python thread; then as before."""
    before = get_num_threads()
    set_num_threads(n)
    try:
        yield
    finally:
        set_num_threads(before)


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
    return max(1, math.ceil(int(limit) / int(period))) if limit.isdecimal() else 1 << 16


def _from_environment() -> int:
    for name in ("LRCORE_NUM_THREADS", "OMP_NUM_THREADS"):
        value = os.environ.get(name, "").split(",")[0].strip()  # OMP_NUM_THREADS may list nesting levels
        if value.isdecimal() and int(value) >= 1:
            return int(value)
        if value and name == "LRCORE_NUM_THREADS":
            raise ImportError(f"LRCORE_NUM_THREADS must be an integer >= 1, got {value!r}")
    return _allowed()


set_num_threads(_from_environment())


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
            return get_num_threads()

        def set_num_threads(self, num_threads: int) -> None:
            set_num_threads(num_threads)

        def get_version(self) -> str | None:
            return None

    threadpoolctl.register(Controller)


if _pool is not None:
    _register_with_threadpoolctl()
