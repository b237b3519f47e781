# Rates from sums over each array: trust ratios and normalized gradients; twins of
# lrcore/reference/layerwise.py.


cdef void novograd(floating* theta, const floating* g, floating** state, const floating* c,
                   Py_ssize_t n) noexcept nogil:
    cdef floating* m = state[0]
    cdef floating keep = c[0], beta1 = c[1], share = c[2], norm = c[3], decay = c[4], rate = c[5]
    cdef Py_ssize_t i
    for i in range(n):
        m[i] = beta1 * m[i] + share * (g[i] / norm + decay * theta[i])
        theta[i] = keep * theta[i] - rate * m[i]


add_rule("novograd", novograd[float], novograd[double])
