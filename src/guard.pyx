# cython: language_level=3, freethreading_compatible=True
"""A lock that brings the default floating-point environment with it."""

cdef extern from "environment.h":
    ctypedef struct environment_t:
        pass
    environment_t environment_enter()
    void environment_leave(environment_t)


cdef class Guard:
    """A lock of ``_thread``, for ``with``: raises RuntimeError where another call holds it.

    Inside, floating-point arithmetic of this thread rounds to nearest and keeps subnormal numbers, whatever the
    caller has set; afterwards it is as the caller had it. Being compiled, neither entering nor leaving can be
    interrupted.
    """

    cdef object lock
    cdef environment_t environment

    def __init__(self, lock):
        self.lock = lock

    def __enter__(self):
        if not self.lock.acquire(False):
            raise RuntimeError("an optimizer must not be used by two threads at once")
        self.environment = environment_enter()

    def __exit__(self, kind, error, trace):
        environment_leave(self.environment)
        self.lock.release()
