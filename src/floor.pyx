# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# cython: freethreading_compatible=True
"""What memory allows: the streams of an optimizer step with one addition an element, and nothing else.

Where a step needs sums first, reads what they are of, and sums its squares. Then reads the gradient, reads and writes
the parameters and each state, in the chunks and on the threads that the sweep of ``kernels.pyx`` uses, by the quickest
way of walking memory that the pool finds for it, on arrays laid out as well as we know how. A benchmark's measure, not
an optimizer.
Compiled once per instruction-set level, as the kernels are.
"""

cimport numpy as cnp
from cython cimport floating

import numpy as np

from lrcore.arrays import staggered

cnp.import_array()

include "streams.pxi"
include "sums.pxi"

cdef enum:
    MAX_STATES = 4

cdef struct Streams:
    char* theta
    const char* g
    char* states[MAX_STATES]
    double* sums  # one for each chunk
    Py_ssize_t n_states
    Py_ssize_t n_reads  # arrays that are read first
    Py_ssize_t size
    Py_ssize_t nbytes  # that a step reads and writes


cdef inline void touch_stretch(Streams* streams, Py_ssize_t start, Py_ssize_t n, floating* theta,
                               const floating* g) noexcept nogil:
    """One loop for each number of states, so that all streams advance together, as in a rule."""
    cdef floating* a = <floating*> streams.states[0] + start
    cdef floating* b = <floating*> streams.states[1] + start
    cdef floating* c = <floating*> streams.states[2] + start
    cdef floating* d = <floating*> streams.states[3] + start
    cdef Py_ssize_t i
    theta += start
    g += start
    if streams.n_states == 0:
        for i in range(n):
            theta[i] += g[i]
    elif streams.n_states == 1:
        for i in range(n):
            a[i] += g[i]
            theta[i] += g[i]
    elif streams.n_states == 2:
        for i in range(n):
            a[i] += g[i]
            b[i] += g[i]
            theta[i] += g[i]
    elif streams.n_states == 3:
        for i in range(n):
            a[i] += g[i]
            b[i] += g[i]
            c[i] += g[i]
            theta[i] += g[i]
    else:
        for i in range(n):
            a[i] += g[i]
            b[i] += g[i]
            c[i] += g[i]
            d[i] += g[i]
            theta[i] += g[i]


cdef inline void touch_chunks(Streams* streams, Py_ssize_t begin, Py_ssize_t end, floating* theta,
                              const floating* g, const Way* way) noexcept nogil:
    cdef Py_ssize_t start = begin * CHUNK, stop = min(end * CHUNK, streams.size), k, n
    while start < stop:
        n = min(way.stretch, stop - start)
        if way.near:
            fetch(theta + start, n * sizeof(floating), way.near, way.far)
            fetch(g + start, n * sizeof(floating), way.near, way.far)
            for k in range(streams.n_states):
                fetch(<floating*> streams.states[k] + start, n * sizeof(floating), way.near, way.far)
        touch_stretch(streams, start, n, theta, g)
        start += n


cdef inline void read_chunks(Streams* streams, Py_ssize_t begin, Py_ssize_t end, const floating* theta,
                             const floating* g) noexcept nogil:
    """Sums of squares of each chunk: of the gradient, the parameters, the states, as many as are to be read."""
    cdef const floating* read
    cdef Py_ssize_t chunk, start, n, k
    cdef double total
    for chunk in range(begin, end):
        start = chunk * CHUNK
        n = min(CHUNK, streams.size - start)
        total = 0
        for k in range(streams.n_reads):
            read = g if k == 0 else (theta if k == 1 else <const floating*> streams.states[k - 2])
            total += dot(read + start, read + start, n)
        streams.sums[chunk] = total


cdef void read_single(void* context, Py_ssize_t begin, Py_ssize_t end, const Way* way) noexcept nogil:
    cdef Streams* streams = <Streams*> context
    read_chunks[float](streams, begin, end, <const float*> streams.theta, <const float*> streams.g)


cdef void read_double(void* context, Py_ssize_t begin, Py_ssize_t end, const Way* way) noexcept nogil:
    cdef Streams* streams = <Streams*> context
    read_chunks[double](streams, begin, end, <const double*> streams.theta, <const double*> streams.g)


cdef void touch_single(void* context, Py_ssize_t begin, Py_ssize_t end, const Way* way) noexcept nogil:
    cdef Streams* streams = <Streams*> context
    touch_chunks[float](streams, begin, end, <float*> streams.theta, <const float*> streams.g, way)


cdef void touch_double(void* context, Py_ssize_t begin, Py_ssize_t end, const Way* way) noexcept nogil:
    cdef Streams* streams = <Streams*> context
    touch_chunks[double](streams, begin, end, <double*> streams.theta, <const double*> streams.g, way)


cdef class Floor:
    """Streams of ``size`` elements: parameters of 0, a gradient of 1 and ``n_states`` states of 0.

    The first ``n_reads`` of gradient, parameters, states and others are read once more, before a step, and their
    squares added.
    """

    cdef Streams streams
    cdef bint double
    cdef readonly list arrays  # theta, g, states
    cdef readonly object sums  # of the squares of what was read, one for each chunk

    def __cinit__(self, Py_ssize_t size, dtype, Py_ssize_t n_states, Py_ssize_t n_reads=0):
        cdef Py_ssize_t k
        dtype = np.dtype(dtype)
        if dtype not in (np.float32, np.float64):
            raise TypeError(f"dtype must be float32 or float64, got {dtype}")
        if not 0 <= n_states <= MAX_STATES:
            raise ValueError(f"n_states must be in 0 to {MAX_STATES}, got {n_states}")
        if not 0 <= n_reads <= 2 + MAX_STATES:
            raise ValueError(f"n_reads must be in 0 to {2 + MAX_STATES}, got {n_reads}")
        self.double = dtype == np.float64
        self.arrays = staggered(max(2 + n_states, n_reads), size, dtype)
        for array in self.arrays:
            array.fill(0)  # so that every page is there before the first step
        self.arrays[1].fill(1)
        self.streams.size = size
        self.streams.n_states = n_states
        self.streams.nbytes = step_traffic(size * dtype.itemsize, n_states)
        self.sums = np.zeros((size + CHUNK - 1) // CHUNK)
        self.streams.sums = <double*> cnp.PyArray_DATA(self.sums)
        self.streams.n_reads = n_reads
        self.streams.theta = <char*> cnp.PyArray_DATA(self.arrays[0])
        self.streams.g = <const char*> cnp.PyArray_DATA(self.arrays[1])
        for k in range(len(self.arrays) - 2):
            self.streams.states[k] = <char*> cnp.PyArray_DATA(self.arrays[2 + k])

    @property
    def traffic(self):
        """Bytes that a step moves."""
        return self.streams.nbytes + self.streams.n_reads * self.arrays[0].nbytes

    def step(self):
        """Add the gradient to the parameters and to each state."""
        cdef Py_ssize_t chunks = (self.streams.size + CHUNK - 1) // CHUNK
        cdef PoolWork read = read_double if self.double else read_single
        cdef PoolWork work = touch_double if self.double else touch_single
        if self.streams.n_reads:
            share(read, &self.streams, chunks, self.streams.n_reads * self.arrays[0].nbytes, 0)
        share(work, &self.streams, chunks, self.streams.nbytes, 2 + self.streams.n_states)
