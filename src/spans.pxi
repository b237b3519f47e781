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


cdef inline bint against(floating u, floating g) noexcept nogil:
    """Whether a step u goes against the gradient: by their signs, whose product would be lost where it is too small."""
    cdef floating zero = 0
    return ((u < zero) & (g > zero)) | ((u > zero) & (g < zero))


cdef inline void move_against(floating* theta, const floating* g, const floating* d, floating keep, floating mask,
                              Py_ssize_t n) noexcept nogil:
    """The parameters moved by ``mask`` times d where that goes against the gradient."""
    cdef floating zero = 0
    cdef Py_ssize_t i
    for i in range(n):
        theta[i] = keep * theta[i] + (mask * d[i] if against(d[i], g[i]) else zero)
