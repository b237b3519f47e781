# Looks of Adam whose rate in each array follows from the step that it would take there; twins of
# lrcore/reference/trust.py.


cdef void update_rms(floating* theta, const floating* g, floating** state, const floating* c,
                     Py_ssize_t n) noexcept nogil:
    cdef floating* v = state[0]
    cdef floating beta2 = c[0], one_minus_beta2 = c[1], floor = c[2], eps = c[3]
    cdef Py_ssize_t i
    for i in range(n):
        v[i] = beta2 * v[i] + one_minus_beta2 * (g[i] * g[i])
        theta[i] = g[i] / (maximum(root(v[i]), floor) + eps)


add_rule("update_rms", update_rms[float], update_rms[double])
