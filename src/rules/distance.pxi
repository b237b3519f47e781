# Rates from the distance that parameters have come: DoG, D-Adaptation, Prodigy; twins of lrcore/reference/distance.py.


cdef void away(floating* theta, const floating* g, floating** state, const floating* c,
               Py_ssize_t n) noexcept nogil:
    cdef floating* start = state[0]
    cdef Py_ssize_t i
    for i in range(n):
        theta[i] = theta[i] - start[i]


cdef void gathered(floating* theta, const floating* g, floating** state, const floating* c,
                   Py_ssize_t n) noexcept nogil:
    cdef floating* s = state[0]
    cdef Py_ssize_t i
    for i in range(n):
        theta[i] = s[i]


cdef void gathered_size(floating* theta, const floating* g, floating** state, const floating* c,
                        Py_ssize_t n) noexcept nogil:
    cdef floating* s = state[0]
    cdef floating beta3 = c[0], gain_s = c[1]
    cdef Py_ssize_t i
    for i in range(n):
        theta[i] = magnitude(beta3 * s[i] + gain_s * g[i])


cdef void gathered_direction(floating* theta, const floating* g, floating** state, const floating* c,
                             Py_ssize_t n) noexcept nogil:
    cdef floating* v = state[0]
    cdef floating* s = state[1]
    cdef floating eps = c[0]
    cdef Py_ssize_t i
    for i in range(n):
        theta[i] = s[i] / (root(v[i]) + eps)


cdef void dadapt_sgd(floating* theta, const floating* g, floating** state, const floating* c,
                     Py_ssize_t n) noexcept nogil:
    cdef floating* s = state[0]
    cdef floating* start = state[1]
    cdef floating keep = c[0], mu = c[1], one_minus_mu = c[2], gain = c[3]
    cdef Py_ssize_t i
    for i in range(n):
        s[i] = s[i] + gain * g[i]
        theta[i] = keep * (mu * theta[i] + one_minus_mu * (start[i] - s[i]))


cdef void prodigy(floating* theta, const floating* g, floating** state, const floating* c,
                  Py_ssize_t n) noexcept nogil:
    cdef floating* m = state[0]
    cdef floating* v = state[1]
    cdef floating* s = state[2]
    cdef floating keep = c[0], beta1 = c[1], gain_m = c[2], beta2 = c[3], gain_v = c[4]
    cdef floating beta3 = c[5], gain_s = c[6], rate = c[7], eps = c[8]
    cdef Py_ssize_t i
    for i in range(n):
        m[i] = beta1 * m[i] + gain_m * g[i]
        v[i] = beta2 * v[i] + gain_v * (g[i] * g[i])
        s[i] = beta3 * s[i] + gain_s * g[i]
        theta[i] = keep * theta[i] - rate * m[i] / (root(v[i]) + eps)


add_rule("away", away[float], away[double])
add_rule("gathered", gathered[float], gathered[double])
add_rule("gathered_size", gathered_size[float], gathered_size[double])
add_rule("gathered_direction", gathered_direction[float], gathered_direction[double])
add_rule("dadapt_sgd", dadapt_sgd[float], dadapt_sgd[double])
add_rule("prodigy", prodigy[float], prodigy[double])
