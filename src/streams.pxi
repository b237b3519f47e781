# How arrays that are too long for a cache go through it: cut into chunks, shared among threads, fetched ahead. For
# the kernels, and for the floor that they are measured against.

from cpython.pycapsule cimport PyCapsule_GetPointer

from lrcore._lrcore_pool import POOL

ctypedef void (*PoolWork)(void* context, Py_ssize_t begin, Py_ssize_t end) noexcept nogil

cdef struct PoolApi:  # as in pool.h
    int (*threads)() noexcept
    void (*share)(PoolWork work, void* context, Py_ssize_t end, Py_ssize_t nbytes, int threads) noexcept nogil

cdef PoolApi* pool = <PoolApi*> PyCapsule_GetPointer(POOL, "lrcore.pool")


cdef inline void share(PoolWork work, void* context, Py_ssize_t end, Py_ssize_t nbytes) noexcept:
    """Call ``work`` on items 0 to ``end``, which move ``nbytes`` together, on the threads that the caller may use."""
    cdef int threads = pool.threads()
    with nogil:
        pool.share(work, context, end, nbytes, threads)


cdef extern from *:
    """
    #if defined(__GNUC__) || defined(__clang__)
    #define FETCH_NEAR(address) __builtin_prefetch(address, 0, 3)
    #define FETCH_FAR(address) __builtin_prefetch(address, 0, 2)
    #else
    #define FETCH_NEAR(address) ((void)(address))
    #define FETCH_FAR(address) ((void)(address))
    #endif
    """
    void FETCH_NEAR(const void* address) noexcept nogil  # into the first-level cache
    void FETCH_FAR(const void* address) noexcept nogil   # into the second-level cache

cdef enum:
    CHUNK = 2048  # elements, as BLOCK in lrcore/reference.py; with the four arrays of Adam in float32, 32 KiB
    BLOCK = 64    # elements between two fetches: as many lines as a processor has under way
    LINE = 64
    NEAR = 1024   # bytes from what is computed to what is fetched; the processor's own fetching ends at each page
    AHEAD = 4096
    LARGE = 40 << 20  # bytes that a step moves, from which on they come from beyond the caches of the cores


cdef inline void fetch(const void* stream, Py_ssize_t nbytes) noexcept nogil:
    """Have the bytes of a stream on their way that come after a block of ``nbytes``."""
    cdef const char* line = <const char*> stream
    cdef const char* stop = line + nbytes
    while line < stop:
        FETCH_NEAR(line + NEAR)
        FETCH_FAR(line + AHEAD)
        line += LINE
