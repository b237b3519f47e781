# Descendants of Adam: other moments of past gradients; twins of
# lrcore/reference/moments.py.


cdef void adabelief(floating* theta, const floating* g, floating** state, const floating* c,
                    Py_ssize_t n) noexcept nogil:
    cdef floating* m = state[0]
    cdef floating* s = state[1]
    cdef floating keep = c[0], beta1 = c[1], one_minus_beta1 = c[2], beta2 = c[3], one_minus_beta2 = c[4]
    cdef floating eps_in = c[5], rate_g = c[6], rate_m = c[7], root_of_s = c[8], eps = c[9]
    cdef Py_ssize_t i
    for i in range(n):
        m[i] = beta1 * m[i] + one_minus_beta1 * g[i]
        s[i] = beta2 * s[i] + one_minus_beta2 * ((g[i] - m[i]) * (g[i] - m[i])) + eps_in
        theta[i] = keep * theta[i] - (rate_g * g[i] + rate_m * m[i]) / (root_of_s * root(s[i]) + eps)


cdef void yogi(floating* theta, const floating* g, floating** state, const floating* c,
               Py_ssize_t n) noexcept nogil:
    cdef floating* m = state[0]
    cdef floating* v = state[1]
    cdef floating keep = c[0], beta1 = c[1], one_minus_beta1 = c[2], one_minus_beta2 = c[3], rate = c[4], eps = c[5]
    cdef Py_ssize_t i
    for i in range(n):
        m[i] = beta1 * m[i] + one_minus_beta1 * g[i]
        v[i] = v[i] - one_minus_beta2 * (sign_of(v[i] - g[i] * g[i]) * (g[i] * g[i]))
        theta[i] = keep * theta[i] - rate * m[i] / (root(v[i]) + eps)


cdef void adan(floating* theta, const floating* g, floating** state, const floating* c,
               Py_ssize_t n_elements) noexcept nogil:
    cdef floating* m = state[0]
    cdef floating* d = state[1]
    cdef floating* n = state[2]
    cdef floating* previous = state[3]
    cdef floating keep = c[0], differs = c[1], beta1 = c[2], one_minus_beta1 = c[3], beta2 = c[4]
    cdef floating one_minus_beta2 = c[5], gamma = c[6], beta3 = c[7], one_minus_beta3 = c[8], rate_m = c[9]
    cdef floating rate_d = c[10], eps_in = c[11], eps = c[12]
    cdef floating delta, w
    cdef Py_ssize_t i
    for i in range(n_elements):  # in two loops: a compiler makes no vectors where it must tell so many arrays apart
        delta = differs * (g[i] - previous[i])
        m[i] = beta1 * m[i] + one_minus_beta1 * g[i]
        d[i] = beta2 * d[i] + one_minus_beta2 * delta
        w = g[i] + gamma * delta
        n[i] = beta3 * n[i] + one_minus_beta3 * (w * w)
    for i in range(n_elements):
        previous[i] = g[i]
        theta[i] = keep * theta[i] - (rate_m * m[i] + rate_d * d[i]) / (root(n[i] + eps_in) + eps)


cdef void ademamix(floating* theta, const floating* g, floating** state, const floating* c,
                   Py_ssize_t n) noexcept nogil:
    cdef floating* m = state[0]
    cdef floating* slow = state[1]
    cdef floating* v = state[2]
    cdef floating keep = c[0], beta1 = c[1], one_minus_beta1 = c[2], beta2 = c[3], one_minus_beta2 = c[4]
    cdef floating beta3 = c[5], one_minus_beta3 = c[6], rate_m = c[7], rate_slow = c[8], eps_in = c[9], eps = c[10]
    cdef Py_ssize_t i
    for i in range(n):
        m[i] = beta1 * m[i] + one_minus_beta1 * g[i]
        slow[i] = beta3 * slow[i] + one_minus_beta3 * g[i]
        v[i] = beta2 * v[i] + one_minus_beta2 * (g[i] * g[i])
        theta[i] = keep * theta[i] - (rate_m * m[i] + rate_slow * slow[i]) / (root(v[i] + eps_in) + eps)


cdef void adopt(floating* theta, const floating* g, floating** state, const floating* c,
                Py_ssize_t n) noexcept nogil:
    cdef floating* m = state[0]
    cdef floating* v = state[1]
    cdef floating keep = c[0], left = c[1], beta1 = c[2], one_minus_beta1 = c[3], beta2 = c[4]
    cdef floating one_minus_beta2 = c[5], clip = c[6], rate_u = c[7], rate_m = c[8], eps = c[9]
    cdef floating u
    cdef Py_ssize_t i
    for i in range(n):
        u = minimum(maximum(g[i] / maximum(root(v[i]), eps), -clip), clip)
        m[i] = beta1 * m[i] + one_minus_beta1 * u
        v[i] = beta2 * v[i] + one_minus_beta2 * (g[i] * g[i])
        theta[i] = keep * (left * theta[i]) - (rate_u * u + rate_m * m[i])


cdef void acprop(floating* theta, const floating* g, floating** state, const floating* c,
                 Py_ssize_t n) noexcept nogil:
    cdef floating* m = state[0]
    cdef floating* s = state[1]
    cdef floating keep = c[0], beta1 = c[1], one_minus_beta1 = c[2], beta2 = c[3], gain = c[4]
    cdef floating eps_in = c[5], rate = c[6], root_of_s = c[7], eps = c[8]
    cdef Py_ssize_t i
    for i in range(n):
        theta[i] = keep * theta[i] - rate * g[i] / (root_of_s * root(s[i]) + eps)
        s[i] = beta2 * s[i] + gain * ((g[i] - m[i]) * (g[i] - m[i])) + eps_in
        m[i] = beta1 * m[i] + one_minus_beta1 * g[i]


add_rule("adabelief", adabelief[float], adabelief[double])
add_rule("yogi", yogi[float], yogi[double])
add_rule("adan", adan[float], adan[double])
add_rule("ademamix", ademamix[float], ademamix[double])
add_rule("adopt", adopt[float], adopt[double])
add_rule("acprop", acprop[float], acprop[double])
