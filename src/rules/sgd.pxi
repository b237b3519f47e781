# Gradient descent and its momenta; twins of lrcore/reference/sgd.py.


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


add_rule("sgd", sgd[float], sgd[double])
add_rule("momentum", momentum[float], momentum[double])
add_rule("nesterov", nesterov[float], nesterov[double])
