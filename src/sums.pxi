# Sums in double precision, in an order that no vector width and no number of threads changes; twin of
# lrcore/reference/sums.py.

cdef enum:
    LANES = 32  # partial sums of a chunk, as there: enough to hide the latency of adding


cdef inline double dot(const floating* a, const floating* b, Py_ssize_t n) noexcept nogil:
    """Sum of a_i b_i over a chunk: element i goes to partial sum i mod LANES, and these are added in order."""
    cdef double[LANES] sums
    cdef double total = 0
    cdef Py_ssize_t j
    for j in range(LANES):
        sums[j] = 0
    for _ in range(n // LANES):
        fetch(a, LANES * sizeof(floating), NEAR, AHEAD)
        if b != a:
            fetch(b, LANES * sizeof(floating), NEAR, AHEAD)
        for j in range(LANES):
            sums[j] += <double> a[j] * <double> b[j]
        a += LANES
        b += LANES
    for j in range(n % LANES):
        sums[j] += <double> a[j] * <double> b[j]
    for j in range(LANES):
        total += sums[j]
    return total
