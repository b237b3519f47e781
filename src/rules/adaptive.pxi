# Rates adapted to the size of past gradients, element by element; twins of lrcore/reference/adaptive.py.


cdef void adagrad(floating* theta, const floating* g, floating** state, const floating* c,
                  Py_ssize_t n) noexcept nogil:
    cdef floating* s = state[0]
    cdef floating keep = c[0], rate = c[1], eps_in = c[2], eps = c[3]
    cdef floating zero = 0, d, change
    cdef Py_ssize_t i
    for i in range(n):
        s[i] = s[i] + g[i] * g[i]
        d = root(s[i] + eps_in) + eps
        change = rate * g[i] / d
        theta[i] = keep * theta[i] - (change if d != zero else zero)


cdef void adadelta(floating* theta, const floating* g, floating** state, const floating* c,
                   Py_ssize_t n) noexcept nogil:
    cdef floating* v = state[0]
    cdef floating* u = state[1]
    cdef floating keep = c[0], rho = c[1], one_minus_rho = c[2], rate = c[3], eps = c[4]
    cdef floating d
    cdef Py_ssize_t i
    for i in range(n):
        v[i] = rho * v[i] + one_minus_rho * (g[i] * g[i])
        d = root(u[i] + eps) / root(v[i] + eps) * g[i]
        u[i] = rho * u[i] + one_minus_rho * (d * d)
        theta[i] = keep * theta[i] - rate * d


cdef void rmsprop(floating* theta, const floating* g, floating** state, const floating* c,
                  Py_ssize_t n) noexcept nogil:
    cdef floating* v = state[0]
    cdef floating keep = c[0], alpha = c[1], one_minus_alpha = c[2], rate = c[3], eps_in = c[4], eps = c[5]
    cdef Py_ssize_t i
    for i in range(n):
        v[i] = alpha * v[i] + one_minus_alpha * (g[i] * g[i])
        theta[i] = keep * theta[i] - rate * g[i] / (root(v[i] + eps_in) + eps)


cdef void rmsprop_momentum(floating* theta, const floating* g, floating** state, const floating* c,
                           Py_ssize_t n) noexcept nogil:
    cdef floating* v = state[0]
    cdef floating* b = state[1]
    cdef floating keep = c[0], alpha = c[1], one_minus_alpha = c[2], eps_in = c[3], eps = c[4], mu = c[5]
    cdef floating gain = c[6], rate_d = c[7], rate_b = c[8]
    cdef floating d
    cdef Py_ssize_t i
    for i in range(n):
        v[i] = alpha * v[i] + one_minus_alpha * (g[i] * g[i])
        d = gain * g[i] / (root(v[i] + eps_in) + eps)
        b[i] = mu * b[i] + d
        theta[i] = keep * theta[i] - (rate_d * d + rate_b * b[i])


cdef void rmsprop_centered(floating* theta, const floating* g, floating** state, const floating* c,
                           Py_ssize_t n) noexcept nogil:
    cdef floating* v = state[0]
    cdef floating* m = state[1]
    cdef floating keep = c[0], alpha = c[1], one_minus_alpha = c[2], center = c[3], rate = c[4]
    cdef floating eps_in = c[5], eps = c[6]
    cdef floating zero = 0
    cdef Py_ssize_t i
    for i in range(n):
        v[i] = alpha * v[i] + one_minus_alpha * (g[i] * g[i])
        m[i] = alpha * m[i] + one_minus_alpha * g[i]
        theta[i] = keep * theta[i] - rate * g[i] / (
            root(maximum(v[i] - center * (m[i] * m[i]), zero) + eps_in) + eps)


cdef void rmsprop_centered_momentum(floating* theta, const floating* g, floating** state, const floating* c,
                                    Py_ssize_t n) noexcept nogil:
    cdef floating* v = state[0]
    cdef floating* m = state[1]
    cdef floating* b = state[2]
    cdef floating keep = c[0], alpha = c[1], one_minus_alpha = c[2], center = c[3], eps_in = c[4], eps = c[5]
    cdef floating mu = c[6], gain = c[7], rate_d = c[8], rate_b = c[9]
    cdef floating zero = 0, d
    cdef Py_ssize_t i
    for i in range(n):
        v[i] = alpha * v[i] + one_minus_alpha * (g[i] * g[i])
        m[i] = alpha * m[i] + one_minus_alpha * g[i]
        d = gain * g[i] / (root(maximum(v[i] - center * (m[i] * m[i]), zero) + eps_in) + eps)
        b[i] = mu * b[i] + d
        theta[i] = keep * theta[i] - (rate_d * d + rate_b * b[i])


add_rule("adagrad", adagrad[float], adagrad[double])
add_rule("adadelta", adadelta[float], adadelta[double])
add_rule("rmsprop", rmsprop[float], rmsprop[double])
add_rule("rmsprop_momentum", rmsprop_momentum[float], rmsprop_momentum[double])
add_rule("rmsprop_centered", rmsprop_centered[float], rmsprop_centered[double])
add_rule("rmsprop_centered_momentum", rmsprop_centered_momentum[float], rmsprop_centered_momentum[double])
