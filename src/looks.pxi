# Looks: a rule run on copies of a tensor's chunk, so that what it would make of the parameter can be summed before
# anything is written. All sums of a tensor are formed while its chunk is in the cache, each in the order of `dot`.

cdef enum:
    MAX_LOOKS = 2  # at a tensor
    MAX_SUMS = 8   # of a tensor
    LOOK = 256     # elements that are copied at a time: a divisor of CHUNK and a multiple of LANES

cdef enum Seen:
    U      # the elements of what a rule makes of the parameter
    UU     # their squares
    UG     # their products with the gradient as the rule takes it
    PP     # squares of that
    AGREE  # how many of them go against it

cdef tuple SEEN = ("u", "uu", "ug", "gg", "agree")

cdef struct Look:
    SingleRule single
    DoubleRule double
    Py_ssize_t n_states
    Py_ssize_t[MAX_STATES] states  # which of its tensor
    Py_ssize_t n_sums
    Seen[MAX_SUMS] sums
    Py_ssize_t n_coefficients
    double[MAX_COEFFICIENTS] doubles
    float[MAX_COEFFICIENTS] singles

cdef struct Looks:  # at a tensor
    double factor  # as of Terms
    double l2
    Py_ssize_t group  # whose tensors take them; -1: not known yet
    Py_ssize_t n
    Look[MAX_LOOKS] each

cdef struct LookPlan:
    Plan* plan
    Looks* looks  # one for each set, as of terms
    double clip_value
    Py_ssize_t n_plain
    Products[MAX_SUMS] plain
    double* sums  # MAX_SUMS for each chunk


cdef Py_ssize_t n_sums(LookPlan* plan, Looks* looks) noexcept nogil:
    """How many sums a tensor with these looks has."""
    cdef Py_ssize_t i, n = plan.n_plain
    for i in range(looks.n):
        n += looks.each[i].n_sums
    return n


cdef void gather(double* lanes, const floating* a, const floating* b, Py_ssize_t n) noexcept nogil:
    """Add a_i b_i, of some rows of a chunk, to its partial sums."""
    cdef Py_ssize_t j
    for _ in range(n // LANES):
        for j in range(LANES):
            lanes[j] += <double> a[j] * <double> b[j]
        a += LANES
        b += LANES
    for j in range(n % LANES):
        lanes[j] += <double> a[j] * <double> b[j]


cdef void gather_plain(double* lanes, const floating* a, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t j
    for _ in range(n // LANES):
        for j in range(LANES):
            lanes[j] += <double> a[j]
        a += LANES
    for j in range(n % LANES):
        lanes[j] += <double> a[j]


cdef void count(double* lanes, const floating* u, const floating* g, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i, found = 0
    for i in range(n):
        found += against(u[i], g[i])
    lanes[0] += <double> found


cdef void look_stretch(LookPlan* plan, Tensor* tensor, double* lanes, const floating* theta, const floating* g,
                       Py_ssize_t start, Py_ssize_t n) noexcept nogil:
    """Add to the partial sums of a chunk those of elements ``start`` to ``start + n``, at most LOOK.

    ``theta`` and ``g`` begin there.
    """
    cdef Looks* looks = &plan.looks[tensor.looks]
    cdef Look* look
    cdef const floating* state
    cdef const floating* one
    cdef const floating* other
    cdef floating[LOOK] u
    cdef floating[LOOK] prepared
    cdef floating[MAX_STATES * LOOK] copies
    cdef floating* states[MAX_STATES]
    cdef Py_ssize_t i, j, k, nbytes = n * sizeof(floating)
    fetch(theta, nbytes, NEAR, AHEAD)
    fetch(g, nbytes, NEAR, AHEAD)
    for k in range(plan.n_plain):
        gather[floating](lanes, theta if plan.plain[k] == TT else g, g if plan.plain[k] == GG else theta, n)
        lanes += LANES
    if looks.l2 != 0:
        penalize(prepared, g, theta, <floating> looks.factor, <floating> plan.clip_value, <floating> looks.l2, n)
        g = prepared
    elif looks.factor != 1 or plan.clip_value != INFINITY:
        scale(prepared, g, <floating> looks.factor, <floating> plan.clip_value, n)
        g = prepared
    for i in range(looks.n):
        look = &looks.each[i]
        memcpy(u, theta, nbytes)
        for j in range(look.n_states):
            state = <const floating*> tensor.states[look.states[j]] + start
            fetch(state, nbytes, NEAR, AHEAD)
            states[j] = copies + j * LOOK
            memcpy(states[j], state, nbytes)
        if floating is float:
            look.single(u, g, states, look.singles, n)
        else:
            look.double(u, g, states, look.doubles, n)
        for k in range(look.n_sums):
            if look.sums[k] == U:
                gather_plain(lanes, u, n)
            elif look.sums[k] == AGREE:
                count(lanes, u, g, n)
            else:
                one = other = g
                if look.sums[k] != PP:
                    one = u
                if look.sums[k] == UU:
                    other = u
                gather[floating](lanes, one, other, n)
            lanes += LANES


cdef void look_chunks(void* context, Py_ssize_t begin, Py_ssize_t end, const Way* way) noexcept nogil:
    """Form the sums of chunks ``begin`` to ``end``."""
    cdef LookPlan* plan = <LookPlan*> context
    cdef Tensor* tensor = tensor_of(plan.plan, begin)
    cdef Py_ssize_t chunk, start, stop, n, k, j
    cdef double* sums
    cdef double[MAX_SUMS * LANES] lanes
    for chunk in range(begin, end):
        while chunk >= tensor.last_chunk:
            tensor += 1
        if not tensor.g:
            continue
        memset(lanes, 0, sizeof(lanes))
        start = (chunk - tensor.first_chunk) * CHUNK
        stop = min(start + CHUNK, tensor.size)
        while start < stop:
            n = min(<Py_ssize_t> LOOK, stop - start)
            if tensor.type_num == cnp.NPY_DOUBLE:
                look_stretch[double](
                    plan, tensor, lanes, <const double*> tensor.theta + start, <const double*> tensor.g + start,
                    start, n)
            else:
                look_stretch[float](
                    plan, tensor, lanes, <const float*> tensor.theta + start, <const float*> tensor.g + start,
                    start, n)
            start += n
        sums = plan.sums + chunk * MAX_SUMS
        for k in range(n_sums(plan, &plan.looks[tensor.looks])):
            sums[k] = 0
            for j in range(LANES):
                sums[k] += lanes[k * LANES + j]


cdef bint take_looks(Looks* into, entry) except False:
    """Note an entry, all but whose states it takes; raises if it is none."""
    cdef Look* look
    cdef Rule rule
    cdef Py_ssize_t i, k
    cdef int of
    factor, l2, looks = entry
    into.factor, into.l2, into.group, into.n = factor, l2, -1, len(looks)
    if into.n > MAX_LOOKS:
        raise ValueError(f"looks at a tensor must be at most {MAX_LOOKS}, got {into.n}")
    for i in range(into.n):
        name, coefficients, products = looks[i]
        if name not in rules:
            raise ValueError(f"a look must be one of {', '.join(RULES)}, got {name!r}")
        look, rule = &into.each[i], rules[name]
        look.single, look.double = rule.single, rule.double
        look.n_states, look.n_coefficients, look.n_sums = rule.n_states, rule.n_coefficients, len(products)
        if len(coefficients) != rule.n_coefficients:
            raise ValueError(f"look {name} must have {rule.n_coefficients} coefficients, got {len(coefficients)}")
        if look.n_sums > MAX_SUMS:
            raise ValueError(f"sums of a look must be at most {MAX_SUMS}, got {look.n_sums}")
        for k in range(rule.n_coefficients):
            look.doubles[k] = coefficients[k]
        for k in range(look.n_sums):
            of = SEEN.index(products[k])
            look.sums[k] = <Seen> of
    return True


cdef bint take_states(Looks* into, entry, tuple names) except False:
    """Note which of a tensor's states its looks take, by name."""
    cdef Py_ssize_t i, k
    for i in range(into.n):
        wanted = reference.state_names(entry[2][i][0])
        for k in range(into.each[i].n_states):
            if wanted[k] not in names:
                raise ValueError(f"look {entry[2][i][0]} must have a state {wanted[k]}, got {names}")
            into.each[i].states[k] = names.index(wanted[k])
    return True
