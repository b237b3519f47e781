# What surrounds a rule on a chunk that is in the cache: plain loops, one after another, so that features add.


cdef inline floating clamp(floating x, floating bound) noexcept nogil:
    x = bound if x > bound else x
    return -bound if x < -bound else x


cdef inline void scale(floating* prepared, const floating* g, floating factor, floating bound,
                       Py_ssize_t n) noexcept nogil:
    """The gradient scaled and clipped."""
    cdef Py_ssize_t i
    for i in range(n):
        prepared[i] = clamp(factor * g[i], bound)


cdef inline void penalize(floating* prepared, const floating* g, const floating* theta, floating factor,
                          floating bound, floating l2, Py_ssize_t n) noexcept nogil:
    """The gradient scaled and clipped, and the gradient of the L2 penalty."""
    cdef Py_ssize_t i
    for i in range(n):
        prepared[i] = clamp(factor * g[i], bound) + l2 * theta[i]


cdef inline void move(floating* average, const floating* theta, floating ema, floating one_minus_ema,
                      Py_ssize_t n) noexcept nogil:
    """The average moved towards the parameters."""
    cdef Py_ssize_t i
    for i in range(n):
        average[i] = ema * average[i] + one_minus_ema * theta[i]
