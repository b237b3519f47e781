# cython: language_level=3, freethreading_compatible=True
"""A lock that brings the default floating-point environment with it."""

cdef extern from "environment.h":
    ctypedef struct environment_t:
        pass
    environment_t environment_enter()
    void environment_leave(environment_t)


cdef class Guard:
    """A lock of ``_thread``, for ``with``: raises RuntimeError, for this reason, where another call holds it.

    Inside, floating-point arithmetic of this thread rounds to nearest and keeps subnormal numbers, whatever the
    caller has set; afterwards it is as the caller had it. Being compiled, neither entering nor leaving can be
    interrupted.
    """

    cdef object acquire
    cdef object release
    cdef str reason
    cdef environment_t environment

    def __init__(self, lock, reason="a guard must not be entered twice"):
        self.acquire, self.release, self.reason = lock.acquire, lock.release, reason

    def __enter__(self):
        if not self.acquire(False):
            raise RuntimeError(self.reason)
        self.environment = environment_enter()

    def __exit__(self, kind, error, trace):
        environment_leave(self.environment)
        self.release()
