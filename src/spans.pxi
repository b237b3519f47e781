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


cdef inline void approach(floating* average, const floating* theta, floating share, Py_ssize_t n) noexcept nogil:
    """The average moved towards the parameters by a share of the distance, as a mean is."""
    cdef Py_ssize_t i
    for i in range(n):
        average[i] = average[i] + share * (theta[i] - average[i])


cdef inline void amplify(floating* prepared, floating* grokfast, floating alpha, floating one_minus_alpha,
                         floating lamb, Py_ssize_t n) noexcept nogil:
    """The slow part of the gradients, once more."""
    cdef Py_ssize_t i
    for i in range(n):
        grokfast[i] = alpha * grokfast[i] + one_minus_alpha * prepared[i]
        prepared[i] = prepared[i] + lamb * grokfast[i]


cdef inline void correct(floating* prepared, floating* previous, floating correction, floating size,
                         Py_ssize_t n) noexcept nogil:
    """The gradient against its noise, at most of norm 1."""
    cdef floating g
    cdef Py_ssize_t i
    for i in range(n):
        g = prepared[i]
        prepared[i] = (g + correction * (g - previous[i])) / size
        previous[i] = g


cdef inline void add_penalty(floating* prepared, const floating* theta, floating l2, Py_ssize_t n) noexcept nogil:
    """The gradient of the L2 penalty, where spans came between."""
    cdef Py_ssize_t i
    for i in range(n):
        prepared[i] = prepared[i] + l2 * theta[i]


cdef inline void synchronize(floating* theta, floating* slow, floating pull, Py_ssize_t n) noexcept nogil:
    """The slow parameters drawn to the fast, which begin from them again."""
    cdef Py_ssize_t i
    for i in range(n):
        slow[i] = slow[i] + pull * (theta[i] - slow[i])
        theta[i] = slow[i]
