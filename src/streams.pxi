# How arrays that are too long for a cache go through it: cut into chunks, shared among threads, fetched ahead. For
# the kernels, and for the floor that they are measured against.

from cpython.pycapsule cimport PyCapsule_GetPointer

from lrcore._lrcore_pool import POOL

cdef struct Way:  # of walking memory, as in ways.h
    const char* name
    Py_ssize_t stretch  # elements between two fetches
    Py_ssize_t near     # bytes ahead, into the first-level cache; 0: nothing is fetched
    Py_ssize_t far      # and into the second; 0: none

ctypedef void (*PoolWork)(void* context, Py_ssize_t begin, Py_ssize_t end, const Way* way) noexcept nogil

cdef struct PoolApi:  # as in pool.h
    int (*threads)() noexcept
    void (*share)(PoolWork work, void* context, Py_ssize_t end, Py_ssize_t nbytes, int streams,
                  int threads) noexcept nogil

cdef PoolApi* pool = <PoolApi*> PyCapsule_GetPointer(POOL, "lrcore.pool")


cdef inline void share(PoolWork work, void* context, Py_ssize_t end, Py_ssize_t nbytes, int streams) noexcept:
    """Call ``work`` on items 0 to ``end``, which move ``nbytes`` together, on the threads that the caller may use.

    ``streams`` is of how many arrays; from them the pool learns how to walk memory. 0: it learns nothing.
    """
    cdef int threads = pool.threads()
    with nogil:
        pool.share(work, context, end, nbytes, streams, threads)


cdef inline Py_ssize_t step_traffic(Py_ssize_t nbytes, Py_ssize_t n_states) noexcept nogil:
    """As ``traffic`` of lrcore/kernels.py."""
    return nbytes * (3 + 2 * n_states)


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
    CHUNK = 2048  # elements, as in lrcore/reference/sums.py; with the four arrays of Adam in float32, 32 KiB
    LINE = 64
    NEAR = 1024   # bytes from what is summed to what is fetched; the processor's own fetching ends at each page
    AHEAD = 4096


cdef inline void fetch(const void* stream, Py_ssize_t nbytes, Py_ssize_t near, Py_ssize_t far) noexcept nogil:
    """Have bytes of a stream on their way that come ``near`` and, unless that is 0, ``far`` bytes after these."""
    cdef const char* line = <const char*> stream
    cdef const char* stop = line + nbytes
    if far:
        while line < stop:
            FETCH_NEAR(line + near)
            FETCH_FAR(line + far)
            line += LINE
    else:
        while line < stop:
            FETCH_NEAR(line + near)
            line += LINE
