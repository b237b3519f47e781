# Adam and its kin: momentum over a size of past gradients; twins of lrcore/reference/adam.py.


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
    cdef floating correction = c[5], rate = c[6], eps_in = c[7], eps = c[8]
    cdef Py_ssize_t i
    for i in range(n):
        m[i] = beta1 * m[i] + one_minus_beta1 * g[i]
        v[i] = beta2 * v[i] + one_minus_beta2 * (g[i] * g[i])
        v_max[i] = maximum(v_max[i], correction * v[i])
        theta[i] = keep * theta[i] - rate * m[i] / (root(v_max[i] + eps_in) + eps)


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


add_rule("adam", adam[float], adam[double])
add_rule("amsgrad", amsgrad[float], amsgrad[double])
add_rule("adamax", adamax[float], adamax[double])
