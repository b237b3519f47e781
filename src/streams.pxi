# How arrays that are too long for a cache go through it: cut into chunks, shared among threads, fetched ahead. For
# the kernels, and for the floor that they are measured against.

from cpython.pycapsule cimport PyCapsule_GetPointer

from lrcore._lrcore_pool import POOL_SHARE

ctypedef void (*PoolWork)(void* context, Py_ssize_t begin, Py_ssize_t end) noexcept nogil
ctypedef void (*PoolShare)(PoolWork work, void* context, Py_ssize_t end, Py_ssize_t nbytes) noexcept nogil

cdef PoolShare pool_share = <PoolShare> PyCapsule_GetPointer(POOL_SHARE, "lrcore.pool_share")

cdef extern from *:
    """
    #if defined(__GNUC__) || defined(__clang__)
    #define PREFETCH(address) __builtin_prefetch(address)
    #else
    #define PREFETCH(address) ((void)(address))
    #endif
    """
    void PREFETCH(const void* address) noexcept nogil

cdef enum:
    CHUNK = 2048  # elements, as BLOCK in lrcore/reference.py; with the four arrays of Adam in float32, 32 KiB
    BLOCK = 64    # elements between two fetches: as many lines as a processor has under way
    AHEAD = 2048  # bytes from what is computed to what is fetched; the processor's own prefetching ends at each page
    LINE = 64
    FAR = 16 << 20  # bytes moved in a step, from which on they come from beyond the caches of the cores


cdef inline void fetch(const void* stream, Py_ssize_t nbytes) noexcept nogil:
    """Have the bytes of a stream on their way that are ``AHEAD`` of a block of ``nbytes``."""
    cdef Py_ssize_t offset = 0
    while offset < nbytes:
        PREFETCH(<const char*> stream + AHEAD + offset)
        offset += LINE
