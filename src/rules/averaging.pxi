# Averages of iterates, and sums of gradients: dual averaging, schedule-free and follow-the-leader methods; twins of
# lrcore/reference/averaging.py.


cdef void asgd(floating* theta, const floating* g, floating** state, const floating* c,
               Py_ssize_t n) noexcept nogil:
    cdef floating* ax = state[0]
    cdef floating keep = c[0], shrink = c[1], rate = c[2], mu = c[3]
    cdef floating one = 1
    cdef Py_ssize_t i
    for i in range(n):
        theta[i] = keep * (shrink * theta[i]) - rate * g[i]
        ax[i] = theta[i] if mu == one else ax[i] + mu * (theta[i] - ax[i])


cdef void ftrl(floating* theta, const floating* g, floating** state, const floating* c,
               Py_ssize_t size) noexcept nogil:
    cdef floating* n = state[0]
    cdef floating* z = state[1]
    cdef floating keep = c[0], of_root = c[1], of_n = c[2], of_one = c[3], per_rate = c[4], shrinkage = c[5]
    cdef floating l1 = c[6], l2 = c[7]
    cdef floating zero = 0, before, after, w, clipped, quadratic
    cdef Py_ssize_t i
    for i in range(size):
        before = of_root * root(n[i]) + of_n * n[i] + of_one
        n[i] = n[i] + g[i] * g[i]
        after = of_root * root(n[i]) + of_n * n[i] + of_one
        w = keep * theta[i]
        z[i] = z[i] + ((g[i] + shrinkage * w) - (after - before) * per_rate * w)
        clipped = l1 if z[i] > l1 else (-l1 if z[i] < -l1 else z[i])
        quadratic = after * per_rate + l2
        theta[i] = (clipped - z[i]) / quadratic if quadratic != zero else w


cdef void schedule_free(floating* theta, const floating* g, floating** state, const floating* c,
                        Py_ssize_t n) noexcept nogil:
    cdef floating* z = state[0]
    cdef floating keep = c[0], first = c[1], stay = c[2], pull = c[3], rate = c[4], rate_z = c[5]
    cdef floating zero = 0, y, base
    cdef Py_ssize_t i
    for i in range(n):
        y = keep * theta[i]
        base = theta[i] if first != zero else z[i]
        theta[i] = stay * y + pull * base - rate * g[i]
        z[i] = base - rate_z * g[i]


cdef void schedule_free_adam(floating* theta, const floating* g, floating** state, const floating* c,
                             Py_ssize_t n) noexcept nogil:
    cdef floating* v = state[0]
    cdef floating* z = state[1]
    cdef floating keep = c[0], first = c[1], stay = c[2], pull = c[3], rate = c[4], rate_z = c[5]
    cdef floating beta2 = c[6], one_minus_beta2 = c[7], root_share = c[8], eps = c[9], decay = c[10]
    cdef floating zero = 0, y, base, u
    cdef Py_ssize_t i
    for i in range(n):
        y = keep * theta[i]
        base = theta[i] if first != zero else z[i]
        v[i] = beta2 * v[i] + one_minus_beta2 * (g[i] * g[i])
        u = g[i] / (root_share * root(v[i]) + eps) + decay * y
        theta[i] = stay * y + pull * base - rate * u
        z[i] = base - rate_z * u


cdef void madgrad(floating* theta, const floating* g, floating** state, const floating* c,
                  Py_ssize_t n) noexcept nogil:
    cdef floating* q = state[0]
    cdef floating* s = state[1]
    cdef floating* x0 = state[2]
    cdef floating keep = c[0], first = c[1], weight = c[2], eps = c[3], mu = c[4], one_minus_mu = c[5]
    cdef floating zero = 0, d, moved
    cdef Py_ssize_t i
    for i in range(n):
        x0[i] = theta[i] if first != zero else x0[i]
        q[i] = q[i] + weight * (g[i] * g[i])
        s[i] = s[i] + weight * g[i]
        d = cube_root(q[i]) + eps
        moved = s[i] / d
        theta[i] = mu * (keep * theta[i]) + one_minus_mu * (x0[i] - (moved if d != zero else zero))


cdef void madgrad_plain(floating* theta, const floating* g, floating** state, const floating* c,
                        Py_ssize_t n) noexcept nogil:
    cdef floating* q = state[0]
    cdef floating* s = state[1]
    cdef floating keep = c[0], weight = c[1], eps = c[2]
    cdef floating zero = 0, d, moved, x0
    cdef Py_ssize_t i
    for i in range(n):
        d = cube_root(q[i]) + eps
        moved = s[i] / d
        x0 = keep * theta[i] + (moved if d != zero else zero)
        q[i] = q[i] + weight * (g[i] * g[i])
        s[i] = s[i] + weight * g[i]
        d = cube_root(q[i]) + eps
        moved = s[i] / d
        theta[i] = x0 - (moved if d != zero else zero)


add_rule("asgd", asgd[float], asgd[double])
add_rule("ftrl", ftrl[float], ftrl[double])
add_rule("schedule_free", schedule_free[float], schedule_free[double])
add_rule("schedule_free_adam", schedule_free_adam[float], schedule_free_adam[double])
add_rule("madgrad", madgrad[float], madgrad[double])
add_rule("madgrad_plain", madgrad_plain[float], madgrad_plain[double])
