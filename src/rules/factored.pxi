# Directions of steps that the shape of an array decides, line by line; twins of lrcore/reference/factored.py.


cdef inline floating at_most(floating x, floating bound) noexcept nogil:
    return bound if x > bound else x


cdef inline void scaled(floating* u, const floating* g, const floating* r, const floating* c, floating bound,
                        Py_ssize_t n) noexcept nogil:
    """Along a line on which both change."""
    cdef Py_ssize_t i
    for i in range(n):
        u[i] = g[i] * at_most(r[i] * c[i], bound)


cdef inline void scaled_row(floating* u, const floating* g, floating r, const floating* c, floating bound,
                            Py_ssize_t n) noexcept nogil:
    """Along a row."""
    cdef Py_ssize_t i
    for i in range(n):
        u[i] = g[i] * at_most(r * c[i], bound)


cdef inline void covered(floating* v, const floating* g, floating row, const floating* column,
                         Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        v[i] = minimum(row, column[i]) + g[i] * g[i]


cdef inline void covered_normalized(floating* u, const floating* g, floating row, const floating* column,
                                    floating eps, floating bound, Py_ssize_t n) noexcept nogil:
    cdef floating one = 1
    cdef Py_ssize_t i
    for i in range(n):
        u[i] = g[i] * at_most(one / root(minimum(row, column[i]) + g[i] * g[i] + eps), bound)


cdef inline void moment_normalized(floating* u, const floating* g, floating* v, floating beta, floating one_minus_beta,
                                   floating eps_in, floating eps, floating bound, bint write,
                                   Py_ssize_t n) noexcept nogil:
    cdef floating one = 1
    cdef Py_ssize_t i
    if write:
        for i in range(n):
            v[i] = beta * v[i] + one_minus_beta * (g[i] * g[i] + eps_in)
            u[i] = g[i] * at_most(one / root(v[i] + eps), bound)
    else:
        for i in range(n):
            u[i] = g[i] * at_most(one / root(beta * v[i] + one_minus_beta * (g[i] * g[i] + eps_in) + eps), bound)


cdef inline void orthogonal(floating* u, const floating* g, floating* b, const floating* o, floating mu, floating gain,
                            Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        b[i] = mu * b[i] + gain * g[i]
        u[i] = o[i]


cdef inline void adaptive(floating* u, const floating* g, floating* m, floating* v, const floating* c,
                          Py_ssize_t n) noexcept nogil:
    cdef floating beta1 = c[0], one_minus_beta1 = c[1], beta2 = c[2], one_minus_beta2 = c[3]
    cdef floating share_g = c[4], share_m = c[5], eps_in = c[6], eps = c[7]
    cdef Py_ssize_t i
    for i in range(n):
        m[i] = beta1 * m[i] + one_minus_beta1 * g[i]
        v[i] = beta2 * v[i] + one_minus_beta2 * (g[i] * g[i])
        u[i] = (share_g * g[i] + share_m * m[i]) / (root(v[i] + eps_in) + eps)
