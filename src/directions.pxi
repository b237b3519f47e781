# What a rule steps along in place of the gradient, where it depends on the shape of an array; twin of
# lrcore/reference/directions.py, which says how an array is seen.

cdef enum:
    BAND = 256  # rows, as there
    MAX_SETTINGS = 8

cdef enum Kind:
    FACTORED
    MOMENT
    COVERED
    ORTHOGONAL
    ADAPTIVE

cdef dict kinds = {
    "factored": FACTORED, "moment": MOMENT, "covered": COVERED, "orthogonal": ORTHOGONAL, "adaptive": ADAPTIVE}

cdef struct Direction:
    Kind kind
    Py_ssize_t n_settings
    Py_ssize_t outer, rows, middle, width, inner  # width: columns times inner; of what is covered, the last axis
    Py_ssize_t n_bands
    Py_ssize_t n_stripes
    Py_ssize_t n_axes  # of what is covered
    Py_ssize_t* shape
    char* states[2]
    char* fresh[2]  # what two of them become; NULL where the step itself changes them
    char* factors[2]  # inverse roots by row and by column
    Py_ssize_t counts[2]  # elements of each
    double* row_parts  # sums or maxima of rows, stripe by stripe
    double* column_parts  # of columns, band by band
    double factor  # multiplies the gradient
    double[MAX_SETTINGS] double
    float[MAX_SETTINGS] single


cdef inline const floating* direction_settings(const Direction* direction, const floating* g) noexcept nogil:
    """In the type of the gradient."""
    if floating is float:
        return direction.single
    else:
        return direction.double


cdef inline floating least(const floating* last, const Direction* direction, Py_ssize_t line) noexcept nogil:
    """The least of what is kept along all axes but the last, before which they lie, end to end."""
    cdef Py_ssize_t axis = direction.n_axes - 2
    cdef floating found
    last -= direction.shape[axis]
    found = last[line % direction.shape[axis]]
    while axis > 0:
        line //= direction.shape[axis]
        axis -= 1
        last -= direction.shape[axis]
        found = minimum(found, last[line % direction.shape[axis]])
    return found


cdef void along(floating* u, const floating* g, Direction* direction, const floating* c, Py_ssize_t start, bint write,
                Py_ssize_t n) noexcept nogil:
    """The direction of elements ``start`` to ``start + n``, whose prepared gradients are ``g``; u may be g."""
    cdef const floating* last
    cdef Py_ssize_t line, at, m, block, length
    if direction.kind == MOMENT:
        moment_normalized(u, g, <floating*> direction.states[0] + start, c[0], c[1], c[2], c[4], c[5], write, n)
        return
    if direction.kind == ORTHOGONAL:
        orthogonal(u, g, <floating*> direction.states[0] + start, <const floating*> direction.states[1] + start,
                   c[0], c[1], n)
        return
    if direction.kind == ADAPTIVE:
        adaptive(u, g, <floating*> direction.states[0] + start, <floating*> direction.states[1] + start, c, n)
        return
    length = direction.width if direction.inner == 1 else direction.inner
    last = <const floating*> direction.states[0] + (direction.counts[0] - direction.width)
    while n > 0:
        line = start // length
        at = start - line * length
        m = min(n, length - at)
        if direction.kind == COVERED:
            covered_normalized(u, g, least(last, direction, line), last + at, c[4], c[5], m)
        elif direction.inner == 1:
            block = line // (direction.rows * direction.middle) * direction.middle + line % direction.middle
            scaled_row(u, g, (<const floating*> direction.factors[0])[line],
                       <const floating*> direction.factors[1] + block * direction.width + at, c[5], m)
        else:
            block = line // (direction.width // length)  # of the row
            scaled(u, g, <const floating*> direction.factors[0] + block * length + at,
                   <const floating*> direction.factors[1]
                   + (block // (direction.rows * direction.middle) * direction.middle + block % direction.middle)
                   * direction.width + line % (direction.width // length) * length + at, c[5], m)
        u += m
        g += m
        start += m
        n -= m


cdef inline double largest(const floating* x, Py_ssize_t n) noexcept nogil:
    """Of numbers >= 0; a NaN wins."""
    cdef floating[LANES] lanes
    cdef floating found = 0
    cdef Py_ssize_t j
    for j in range(LANES):
        lanes[j] = 0
    for _ in range(n // LANES):
        for j in range(LANES):
            lanes[j] = maximum(lanes[j], x[j])
        x += LANES
    for j in range(n % LANES):
        lanes[j] = maximum(lanes[j], x[j])
    for j in range(LANES):
        found = maximum(found, lanes[j])
    return found


cdef inline void look_tile(Direction* direction, const floating* g, double clip_value, Py_ssize_t tile,
                           floating* prepared) noexcept nogil:
    """Sums, or maxima, by row and by column of one tile: a stretch of CHUNK columns in a band of rows."""
    cdef Py_ssize_t stripe = tile % direction.n_stripes, band = tile // direction.n_stripes % direction.n_bands
    cdef Py_ssize_t block = tile // (direction.n_stripes * direction.n_bands)
    cdef Py_ssize_t n_blocks = direction.outer * direction.middle
    cdef Py_ssize_t n_lines = n_blocks * direction.rows
    cdef Py_ssize_t first = stripe * CHUNK
    cdef Py_ssize_t n = min(<Py_ssize_t> CHUNK, direction.width - first), i, j, line
    cdef double* columns = direction.column_parts + (band * n_blocks + block) * direction.width + first
    cdef double* row
    cdef const floating* x
    cdef const floating* last = <const floating*> direction.states[0] + (direction.counts[0] - direction.width)
    memset(columns, 0, n * sizeof(double))
    for i in range(band * BAND, min(band * BAND + BAND, direction.rows)):
        line = (block // direction.middle * direction.rows + i) * direction.middle + block % direction.middle
        x = g + line * direction.width + first
        if direction.factor != 1 or clip_value != INFINITY:
            scale(prepared, x, <floating> direction.factor, <floating> clip_value, n)
            x = prepared
        row = direction.row_parts + (stripe * n_lines + line) * direction.inner
        if direction.kind == COVERED:
            covered(prepared, x, least(last, direction, line), last + first, n)
            for j in range(n):
                columns[j] = maximum(columns[j], <double> prepared[j])
            row[0] = largest(prepared, n)
            continue
        for j in range(n):
            columns[j] += <double> x[j] * <double> x[j]
        if direction.inner == 1:
            row[0] = dot(x, x, n)
        else:
            memset(row, 0, direction.inner * sizeof(double))
            for j in range(n):
                row[(first + j) % direction.inner] += <double> x[j] * <double> x[j]


cdef void fold_factored(Direction* direction, const floating* row) noexcept nogil:
    """What is kept by row and by column, and the inverse roots, of what the tiles have summed."""
    cdef Py_ssize_t n_blocks = direction.outer * direction.middle
    cdef Py_ssize_t n_rows = n_blocks * direction.rows * direction.inner, n_columns = n_blocks * direction.width
    cdef Py_ssize_t block, i, j, k, place, step = direction.middle * direction.inner
    cdef const floating* column = <const floating*> direction.states[1]
    cdef floating* fresh_row = <floating*> direction.fresh[0]
    cdef floating* fresh_column = <floating*> direction.fresh[1]
    cdef floating* r = <floating*> direction.factors[0]
    cdef floating* c = <floating*> direction.factors[1]
    cdef const double* settings = direction.double
    cdef double beta = settings[0], one_minus_beta = settings[1], eps_in = settings[2], floor = settings[3]
    cdef double total, mean
    for i in range(n_rows):
        total = 0
        for k in range(direction.n_stripes):
            total += direction.row_parts[k * n_rows + i]
        total = total / <double> (direction.width // direction.inner) + eps_in
        fresh_row[i] = <floating> (beta * <double> row[i] + one_minus_beta * total)
    for j in range(n_columns):
        total = 0
        for k in range(direction.n_bands):
            total += direction.column_parts[k * n_columns + j]
        total = total / <double> direction.rows + eps_in
        fresh_column[j] = <floating> (beta * <double> column[j] + one_minus_beta * total)
        c[j] = <floating> root(1.0 / <double> fresh_column[j])
    for block in range(direction.outer):
        for j in range(step):
            place = block * direction.rows * step + j
            mean = 0
            for i in range(direction.rows):
                mean += <double> fresh_row[place + i * step]
            mean = maximum(mean / <double> direction.rows, floor)
            if mean == 0:
                mean = 1  # there is no gradient yet
            for i in range(direction.rows):
                r[place + i * step] = <floating> root(mean / <double> fresh_row[place + i * step])


cdef void fold_covered(Direction* direction, floating* mu) noexcept nogil:
    """The maxima along each axis, of those of the tiles."""
    cdef Py_ssize_t line, axis, i, j, k, start, place
    cdef double found
    memset(mu, 0, direction.counts[0] * sizeof(floating))
    for line in range(direction.rows):
        found = 0
        for k in range(direction.n_stripes):
            found = maximum(found, direction.row_parts[k * direction.rows + line])
        start = direction.counts[0] - direction.width
        i = line
        axis = direction.n_axes - 1
        while axis > 0:
            axis -= 1
            start -= direction.shape[axis]
            place = start + i % direction.shape[axis]
            i //= direction.shape[axis]
            mu[place] = maximum(mu[place], <floating> found)
    mu += direction.counts[0] - direction.width
    for j in range(direction.width):
        found = 0
        for k in range(direction.n_bands):
            found = maximum(found, direction.column_parts[k * direction.width + j])
        mu[j] = <floating> found


cdef inline void commit(Direction* direction, size_t itemsize) noexcept nogil:
    """Keep what was looked at."""
    cdef int k
    for k in range(2):
        if direction.fresh[k]:
            memcpy(direction.states[k], direction.fresh[k], direction.counts[k] * itemsize)


cdef void free_direction(Direction* direction) noexcept:
    PyMem_Free(direction.shape)
    PyMem_Free(direction.row_parts)
    PyMem_Free(direction.column_parts)
    for k in range(2):
        PyMem_Free(direction.fresh[k])
        PyMem_Free(direction.factors[k])
