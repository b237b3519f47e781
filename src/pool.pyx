# cython: language_level=3, freethreading_compatible=True
"""The thread pool, one for all builds of the kernels, which reach it through the capsule ``POOL_SHARE``."""

from cpython.pycapsule cimport PyCapsule_New

cdef extern from "pool.h":
    void pool_share()
    int pool_threads
    int pool_eager
    int pool_started()

POOL_SHARE = PyCapsule_New(<void*> &pool_share, "lrcore.pool_share", NULL)


def set_threads(int n):
    """Threads that share a step from now on, the caller's among them."""
    global pool_threads
    pool_threads = n


def get_threads():
    """As set."""
    return pool_threads


def started():
    """Worker threads that exist."""
    return pool_started()


def set_eager(bint eager):
    """Share every step, however small, from now on: for tests."""
    global pool_eager
    pool_eager = eager
