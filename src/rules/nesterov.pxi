# Adam's step from the gradient and its momentum together; twins of lrcore/reference/nesterov.py.


cdef void nadam(floating* theta, const floating* g, floating** state, const floating* c,
                Py_ssize_t n) noexcept nogil:
    cdef floating* m = state[0]
    cdef floating* v = state[1]
    cdef floating keep = c[0], beta1 = c[1], one_minus_beta1 = c[2], beta2 = c[3], one_minus_beta2 = c[4]
    cdef floating rate_g = c[5], rate_m = c[6], adaptive = c[7], eps_in = c[8], eps = c[9]
    cdef floating zero = 0, size
    cdef Py_ssize_t i
    for i in range(n):
        m[i] = beta1 * m[i] + one_minus_beta1 * g[i]
        v[i] = beta2 * v[i] + one_minus_beta2 * (g[i] * g[i])
        size = adaptive * root(v[i] + eps_in) if adaptive != zero else zero  # v may have overflowed
        theta[i] = keep * theta[i] - (rate_g * g[i] + rate_m * m[i]) / (size + eps)


cdef void qhadam(floating* theta, const floating* g, floating** state, const floating* c,
                 Py_ssize_t n) noexcept nogil:
    cdef floating* m = state[0]
    cdef floating* v = state[1]
    cdef floating keep = c[0], beta1 = c[1], one_minus_beta1 = c[2], beta2 = c[3], one_minus_beta2 = c[4]
    cdef floating rate_g = c[5], rate_m = c[6], share_g = c[7], share_v = c[8], eps = c[9]
    cdef Py_ssize_t i
    for i in range(n):
        m[i] = beta1 * m[i] + one_minus_beta1 * g[i]
        v[i] = beta2 * v[i] + one_minus_beta2 * (g[i] * g[i])
        theta[i] = keep * theta[i] - (rate_g * g[i] + rate_m * m[i]) / (
            root(share_g * (g[i] * g[i]) + share_v * v[i]) + eps)


add_rule("nadam", nadam[float], nadam[double])
add_rule("qhadam", qhadam[float], qhadam[double])
