# Rates that the sign of a gradient, or of its momentum, decides; twins of
# lrcore/reference/sign.py.


cdef void sign(floating* theta, const floating* g, floating** state, const floating* c,
               Py_ssize_t n) noexcept nogil:
    cdef floating keep = c[0], rate = c[1]
    cdef Py_ssize_t i
    for i in range(n):
        theta[i] = keep * theta[i] - rate * sign_of(g[i])


cdef void lion(floating* theta, const floating* g, floating** state, const floating* c,
               Py_ssize_t n) noexcept nogil:
    cdef floating* m = state[0]
    cdef floating keep = c[0], beta1 = c[1], one_minus_beta1 = c[2], beta2 = c[3], one_minus_beta2 = c[4]
    cdef floating rate = c[5]
    cdef floating d
    cdef Py_ssize_t i
    for i in range(n):
        d = beta1 * m[i] + one_minus_beta1 * g[i]
        m[i] = beta2 * m[i] + one_minus_beta2 * g[i]
        theta[i] = keep * theta[i] - rate * sign_of(d)


cdef void rprop(floating* theta, const floating* g, floating** state, const floating* c,
                Py_ssize_t n) noexcept nogil:
    cdef floating* previous = state[0]
    cdef floating* s = state[1]
    cdef floating keep = c[0], start = c[1], eta_minus = c[2], eta_plus = c[3], low = c[4], high = c[5]
    cdef floating zero = 0, one = 1, now, agree, turned, factor
    cdef Py_ssize_t i
    for i in range(n):  # by products of signs: a compiler makes no vectors of conditions that depend on each other
        now = sign_of(g[i])
        agree = now * previous[i]
        turned = maximum(-agree, zero)
        factor = maximum(agree, zero) * eta_plus + turned * eta_minus + (one - magnitude(agree))
        s[i] = minimum(maximum((s[i] + start) * factor, low), high)
        previous[i] = now * (one - turned)
        theta[i] = keep * theta[i] - s[i] * previous[i]


add_rule("sign", sign[float], sign[double])
add_rule("lion", lion[float], lion[double])
add_rule("rprop", rprop[float], rprop[double])
