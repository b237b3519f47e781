# The update rules, compiled: one loop each, in the words and the order of lrcore/reference.py, where each
# names its source. The arrays of one call never overlap.

from libc.math cimport fabs, fabsf, sqrt, sqrtf

ctypedef fused floating:
    float
    double


cdef inline floating root(floating x) noexcept nogil:
    if floating is float:
        return sqrtf(x)
    else:
        return sqrt(x)


cdef inline floating magnitude(floating x) noexcept nogil:
    if floating is float:
        return fabsf(x)
    else:
        return fabs(x)


cdef inline floating maximum(floating a, floating b) noexcept nogil:
    cdef floating larger = a if a > b else b
    return larger if a == a else a  # a NaN on either side comes through, as in numpy.maximum


cdef void sgd(floating* theta, const floating* g, floating** state, const floating* c,
              Py_ssize_t n) noexcept nogil:
    cdef floating keep = c[0], rate = c[1]
    cdef Py_ssize_t i
    for i in range(n):
        theta[i] = keep * theta[i] - rate * g[i]


cdef void momentum(floating* theta, const floating* g, floating** state, const floating* c,
                   Py_ssize_t n) noexcept nogil:
    cdef floating* b = state[0]
    cdef floating keep = c[0], mu = c[1], gain = c[2], rate = c[3]
    cdef Py_ssize_t i
    for i in range(n):
        b[i] = mu * b[i] + gain * g[i]
        theta[i] = keep * theta[i] - rate * b[i]


cdef void nesterov(floating* theta, const floating* g, floating** state, const floating* c,
                   Py_ssize_t n) noexcept nogil:
    cdef floating* b = state[0]
    cdef floating keep = c[0], mu = c[1], gain = c[2], rate_g = c[3], rate_b = c[4]
    cdef Py_ssize_t i
    for i in range(n):
        b[i] = mu * b[i] + gain * g[i]
        theta[i] = keep * theta[i] - (rate_g * g[i] + rate_b * b[i])


cdef void adagrad(floating* theta, const floating* g, floating** state, const floating* c,
                  Py_ssize_t n) noexcept nogil:
    cdef floating* s = state[0]
    cdef floating keep = c[0], rate = c[1], eps_in = c[2], eps = c[3]
    cdef Py_ssize_t i
    for i in range(n):
        s[i] = s[i] + g[i] * g[i]
        theta[i] = keep * theta[i] - rate * g[i] / (root(s[i] + eps_in) + eps)


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
    cdef floating gain = c[6], rate = c[7]
    cdef Py_ssize_t i
    for i in range(n):
        v[i] = alpha * v[i] + one_minus_alpha * (g[i] * g[i])
        b[i] = mu * b[i] + gain * g[i] / (root(v[i] + eps_in) + eps)
        theta[i] = keep * theta[i] - rate * b[i]


cdef void rmsprop_centered(floating* theta, const floating* g, floating** state, const floating* c,
                           Py_ssize_t n) noexcept nogil:
    cdef floating* v = state[0]
    cdef floating* m = state[1]
    cdef floating keep = c[0], alpha = c[1], one_minus_alpha = c[2], rate = c[3], eps_in = c[4], eps = c[5]
    cdef floating zero = 0
    cdef Py_ssize_t i
    for i in range(n):
        v[i] = alpha * v[i] + one_minus_alpha * (g[i] * g[i])
        m[i] = alpha * m[i] + one_minus_alpha * g[i]
        theta[i] = keep * theta[i] - rate * g[i] / (root(maximum(v[i] - m[i] * m[i] + eps_in, zero)) + eps)


cdef void rmsprop_centered_momentum(floating* theta, const floating* g, floating** state, const floating* c,
                                    Py_ssize_t n) noexcept nogil:
    cdef floating* v = state[0]
    cdef floating* m = state[1]
    cdef floating* b = state[2]
    cdef floating keep = c[0], alpha = c[1], one_minus_alpha = c[2], eps_in = c[3], eps = c[4], mu = c[5]
    cdef floating gain = c[6], rate = c[7]
    cdef floating zero = 0
    cdef Py_ssize_t i
    for i in range(n):
        v[i] = alpha * v[i] + one_minus_alpha * (g[i] * g[i])
        m[i] = alpha * m[i] + one_minus_alpha * g[i]
        b[i] = mu * b[i] + gain * g[i] / (root(maximum(v[i] - m[i] * m[i] + eps_in, zero)) + eps)
        theta[i] = keep * theta[i] - rate * b[i]


cdef void adam(floating* theta, const floating* g, floating** state, const floating* c,
               Py_ssize_t n) noexcept nogil:
    cdef floating* m = state[0]
    cdef floating* v = state[1]
    cdef floating keep = c[0], beta1 = c[1], one_minus_beta1 = c[2], beta2 = c[3], one_minus_beta2 = c[4]
    cdef floating rate = c[5], eps = c[6]
    cdef Py_ssize_t i
    for i in range(n):
        m[i] = beta1 * m[i] + one_minus_beta1 * g[i]
        v[i] = beta2 * v[i] + one_minus_beta2 * (g[i] * g[i])
        theta[i] = keep * theta[i] - rate * m[i] / (root(v[i]) + eps)


cdef void amsgrad(floating* theta, const floating* g, floating** state, const floating* c,
                  Py_ssize_t n) noexcept nogil:
    cdef floating* m = state[0]
    cdef floating* v = state[1]
    cdef floating* v_max = state[2]
    cdef floating keep = c[0], beta1 = c[1], one_minus_beta1 = c[2], beta2 = c[3], one_minus_beta2 = c[4]
    cdef floating correction = c[5], rate = c[6], eps = c[7]
    cdef Py_ssize_t i
    for i in range(n):
        m[i] = beta1 * m[i] + one_minus_beta1 * g[i]
        v[i] = beta2 * v[i] + one_minus_beta2 * (g[i] * g[i])
        v_max[i] = maximum(v_max[i], correction * v[i])
        theta[i] = keep * theta[i] - rate * m[i] / (root(v_max[i]) + eps)


cdef void adamax(floating* theta, const floating* g, floating** state, const floating* c,
                 Py_ssize_t n) noexcept nogil:
    cdef floating* m = state[0]
    cdef floating* u = state[1]
    cdef floating keep = c[0], beta1 = c[1], one_minus_beta1 = c[2], beta2 = c[3], rate = c[4]
    cdef floating eps_in = c[5], eps = c[6]
    cdef Py_ssize_t i
    for i in range(n):
        m[i] = beta1 * m[i] + one_minus_beta1 * g[i]
        u[i] = maximum(beta2 * u[i], magnitude(g[i]) + eps_in)
        theta[i] = keep * theta[i] - rate * m[i] / (u[i] + eps)


cdef void nadam(floating* theta, const floating* g, floating** state, const floating* c,
                Py_ssize_t n) noexcept nogil:
    cdef floating* m = state[0]
    cdef floating* v = state[1]
    cdef floating keep = c[0], beta1 = c[1], one_minus_beta1 = c[2], beta2 = c[3], one_minus_beta2 = c[4]
    cdef floating rate_g = c[5], rate_m = c[6], eps = c[7]
    cdef Py_ssize_t i
    for i in range(n):
        m[i] = beta1 * m[i] + one_minus_beta1 * g[i]
        v[i] = beta2 * v[i] + one_minus_beta2 * (g[i] * g[i])
        theta[i] = keep * theta[i] - (rate_g * g[i] + rate_m * m[i]) / (root(v[i]) + eps)


add_rule("sgd", sgd[float], sgd[double])
add_rule("momentum", momentum[float], momentum[double])
add_rule("nesterov", nesterov[float], nesterov[double])
add_rule("adagrad", adagrad[float], adagrad[double])
add_rule("adadelta", adadelta[float], adadelta[double])
add_rule("rmsprop", rmsprop[float], rmsprop[double])
add_rule("rmsprop_momentum", rmsprop_momentum[float], rmsprop_momentum[double])
add_rule("rmsprop_centered", rmsprop_centered[float], rmsprop_centered[double])
add_rule("rmsprop_centered_momentum", rmsprop_centered_momentum[float], rmsprop_centered_momentum[double])
add_rule("adam", adam[float], adam[double])
add_rule("amsgrad", amsgrad[float], amsgrad[double])
add_rule("adamax", adamax[float], adamax[double])
add_rule("nadam", nadam[float], nadam[double])
