# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# cython: freethreading_compatible=True
"""The sweep: one optimizer step over all tensors of a model, in one call, with the GIL released.

The tensors are cut into chunks that stay in the first-level cache, and on each chunk runs a short list of
spans: scale, clip and penalize the gradient; the rule; moving average; zero the gradient. Each is a plain
loop. Compiled once per instruction-set level. Which spans have state of their own is known when a sweep is made;
what they take comes after the coefficients of the rule.
"""

cimport cython
cimport numpy as cnp
from cpython.mem cimport PyMem_Calloc, PyMem_Free
from cpython.object cimport PyObject
from libc.math cimport INFINITY
from libc.stdlib cimport qsort
from libc.string cimport memcpy, memset

import numpy as np

from lrcore import reference

cnp.import_array()

include "streams.pxi"

cdef extern from "Python.h":
    object PySequence_Fast(object sequence, const char* message)
    PyObject** PySequence_Fast_ITEMS(object sequence)

cdef extern from "environment.h":
    ctypedef struct environment_t:
        pass
    environment_t environment_enter() nogil
    void environment_leave(environment_t) nogil

cdef extern from *:
    const char* LRCORE_COMPILER
    const char* LRCORE_FLAGS

ctypedef void (*SingleRule)(float*, const float*, float**, const float*, Py_ssize_t) noexcept nogil
ctypedef void (*DoubleRule)(double*, const double*, double**, const double*, Py_ssize_t) noexcept nogil

cdef enum:
    MAX_STATES = 6
    MAX_COEFFICIENTS = 24
    HEAD = 5  # terms before the coefficients of the rule, as in lrcore/reference/sweep.py
    TAIL = 8  # and after them, where spans have state besides averages, as in lrcore/reference/spans.py


@cython.final
cdef class Rule:
    """A compiled rule, and how many states and coefficients its twin in the reference takes."""

    cdef SingleRule single
    cdef DoubleRule double
    cdef Py_ssize_t n_states
    cdef Py_ssize_t n_coefficients


cdef dict rules = {}


cdef add_rule(str name, SingleRule single, DoubleRule double):
    if name in rules or name not in reference.RULES:
        raise ImportError(f"rule {name} must be compiled once and have a twin in lrcore.reference")
    cdef Rule rule = Rule()
    rule.single, rule.double = single, double
    rule.n_states, rule.n_coefficients = len(reference.state_names(name)), len(reference.coefficient_names(name))
    if rule.n_states > MAX_STATES:
        raise ImportError(f"rule {name} must have at most {MAX_STATES} states, got {rule.n_states}")
    if rule.n_coefficients > MAX_COEFFICIENTS:
        raise ImportError(f"rule {name} must have at most {MAX_COEFFICIENTS} coefficients, got {rule.n_coefficients}")
    rules[name] = rule


include "rules/functions.pxi"
include "rules/sgd.pxi"
include "rules/adaptive.pxi"
include "rules/adam.pxi"
include "rules/nesterov.pxi"
include "rules/sign.pxi"
include "rules/moments.pxi"
include "rules/averaging.pxi"
include "rules/layerwise.pxi"
include "rules/trust.pxi"
include "rules/distance.pxi"
include "rules/factored.pxi"
include "spans.pxi"
include "sums.pxi"
include "directions.pxi"

RULES = tuple(rules)
COMPILER = LRCORE_COMPILER.decode()
FLAGS = LRCORE_FLAGS.decode()

cdef tuple NOT_PLAIN = (np.ma.MaskedArray, np.matrix)  # arrays in which an operation means something else

cdef enum Products:
    GG  # squares of the gradient
    GT  # gradient times parameter
    TT  # squares of the parameter
    DD  # squares of the direction

cdef tuple PRODUCTS = ("gg", "gt", "tt")

cdef struct Terms:
    Py_ssize_t n  # that were given
    double factor  # multiplies the gradient
    double l2
    double ema
    double one_minus_ema
    bint begins  # whether average and slow parameters are first made the parameters before the rule
    double mask  # see move_against; 0 where a step is not masked
    double keep  # the first coefficient, where it is masked
    double alpha  # of Grokfast
    double one_minus_alpha
    double lamb
    bint corrects  # whether the gradient is corrected by the one before
    double correction
    double size  # what the corrected gradient is divided by
    bint synchronizes  # whether slow parameters and parameters meet
    double pull
    double[MAX_COEFFICIENTS] double
    float[MAX_COEFFICIENTS] single

cdef struct Tensor:
    char* theta
    const char* g  # NULL while it rests
    char* states[MAX_STATES]
    char* average  # NULL without moving average
    char* slow     # these three: NULL without such a span
    char* grokfast
    char* previous
    SingleRule single
    DoubleRule double
    Py_ssize_t n_states
    Py_ssize_t n_terms
    Py_ssize_t size
    Py_ssize_t nbytes
    Py_ssize_t first_chunk  # its chunks, numbered through all tensors
    Py_ssize_t last_chunk   # one past
    Py_ssize_t group
    Py_ssize_t terms  # which
    Py_ssize_t looks
    int type_num
    Direction* direction  # NULL where the rule steps along the gradient
    Py_ssize_t last_tile  # one past those that are looked at for it, numbered through all tensors

cdef struct Extent:
    char* start
    char* stop

cdef struct Plan:
    Tensor* tensors
    Terms* terms
    Direction* directions
    double* sums  # one per chunk
    Products products  # that are summed
    bint filters  # whether they are of gradients as rules see them
    double clip_value  # bounds the elements of gradients; inf for none
    bint zero_grad
    Py_ssize_t n_groups
    Py_ssize_t n_tensors
    Py_ssize_t n_chunks
    Py_ssize_t n_tiles
    Py_ssize_t nbytes  # that a step reads and writes
    Py_ssize_t look_nbytes  # that looking at tiles reads
    int streams        # arrays that it does this with, for the tensor that has most
    Py_ssize_t meeting  # bytes that it reads and writes besides where slow parameters and parameters meet


cdef inline void filter_gradient(floating* prepared, floating* grokfast, floating* previous, Terms* terms,
                                 Py_ssize_t n) noexcept nogil:
    """The gradient that the rule sees, of the one that is scaled and clipped."""
    if grokfast:
        amplify(prepared, grokfast, <floating> terms.alpha, <floating> terms.one_minus_alpha, <floating> terms.lamb, n)
    if previous and terms.corrects:
        correct(prepared, previous, <floating> terms.correction, <floating> terms.size, n)


cdef inline floating* at(char* array, Py_ssize_t start, const floating* like) noexcept nogil:
    """Where element ``start`` of an array lies; NULL if there is none."""
    return <floating*> array + start if array else NULL


cdef void step_against(Tensor* tensor, Terms* terms, floating* theta, const floating* g, floating** states,
                       const floating* coefficients, Py_ssize_t n) noexcept nogil:
    """Run the rule on a parameter of zeros, which makes the step of it, and take that where it is against the gradient.

    The first coefficient is 0.
    """
    cdef floating[CHUNK] d
    memset(d, 0, n * sizeof(floating))
    if floating is float:
        tensor.single(d, g, states, coefficients, n)
    else:
        tensor.double(d, g, states, coefficients, n)
    move_against(theta, g, d, <floating> terms.keep, <floating> terms.mask, n)


cdef inline void step_stretch(Tensor* tensor, Terms* terms, double clip_value, bint zero_grad, Py_ssize_t start,
                              Py_ssize_t n, const Way* way, floating* prepared,
                              const floating* coefficients) noexcept nogil:
    """Run the spans on elements ``start`` to ``start + n`` of a tensor, fetching those to come if the way says so."""
    cdef floating* theta = <floating*> tensor.theta + start
    cdef const floating* g = <const floating*> tensor.g + start
    cdef floating* states[MAX_STATES]
    cdef floating* average = NULL
    cdef floating* slow = at(tensor.slow, start, theta)
    cdef floating* grokfast = at(tensor.grokfast, start, theta)
    cdef floating* previous = at(tensor.previous, start, theta)
    cdef Py_ssize_t i
    for i in range(tensor.n_states):
        states[i] = <floating*> tensor.states[i] + start
    if tensor.average:
        average = <floating*> tensor.average + start
    if way.near:
        fetch(theta, n * sizeof(floating), way.near, way.far)
        fetch(g, n * sizeof(floating), way.near, way.far)
        for i in range(tensor.n_states):
            fetch(states[i], n * sizeof(floating), way.near, way.far)
        if average:
            fetch(average, n * sizeof(floating), way.near, way.far)
        if grokfast:
            fetch(grokfast, n * sizeof(floating), way.near, way.far)
        if previous:
            fetch(previous, n * sizeof(floating), way.near, way.far)
        if slow and terms.synchronizes:
            fetch(slow, n * sizeof(floating), way.near, way.far)
    if average and terms.begins:
        memcpy(average, theta, n * sizeof(floating))
    if slow and terms.begins:
        memcpy(slow, theta, n * sizeof(floating))
    if grokfast or previous:
        scale(prepared, g, <floating> terms.factor, <floating> clip_value, n)
        filter_gradient(prepared, grokfast, previous, terms, n)
        if terms.l2 != 0:
            add_penalty(prepared, theta, <floating> terms.l2, n)
        g = prepared
    elif terms.l2 != 0:
        penalize(prepared, g, theta, <floating> terms.factor, <floating> clip_value, <floating> terms.l2, n)
        g = prepared
    elif terms.factor != 1 or clip_value != INFINITY:
        scale(prepared, g, <floating> terms.factor, <floating> clip_value, n)
        g = prepared
    if tensor.direction:
        along(prepared, g, tensor.direction, direction_settings(tensor.direction, g), start, True, n)
        g = prepared
    if terms.mask != 0:
        step_against(tensor, terms, theta, g, states, coefficients, n)
    elif floating is float:
        tensor.single(theta, g, states, coefficients, n)
    else:
        tensor.double(theta, g, states, coefficients, n)
    if slow and terms.synchronizes:
        synchronize(theta, slow, <floating> terms.pull, n)
    if average and terms.ema == 1:
        approach(average, theta, <floating> terms.one_minus_ema, n)
    elif average:
        move(average, theta, <floating> terms.ema, <floating> terms.one_minus_ema, n)
    if zero_grad:
        memset(<floating*> tensor.g + start, 0, n * sizeof(floating))


cdef Tensor* tensor_of(Plan* plan, Py_ssize_t chunk) noexcept nogil:
    """The tensor that a chunk belongs to, by bisection."""
    cdef Py_ssize_t low = 0, high = plan.n_tensors, middle
    while low < high:
        middle = (low + high) // 2
        if plan.tensors[middle].last_chunk <= chunk:
            low = middle + 1
        else:
            high = middle
    return &plan.tensors[low]


cdef inline double sum_of(Tensor* tensor, Products products, Py_ssize_t start, Py_ssize_t n,
                          const floating* theta, const floating* g) noexcept nogil:
    return dot((theta if products == TT else g) + start, (g if products == GG else theta) + start, n)


cdef inline double filtered_sum_of(Tensor* tensor, Plan* plan, Terms* terms, Py_ssize_t start, Py_ssize_t n,
                                   floating* scratch) noexcept nogil:
    """The same of a gradient as the rule would see it; what spans remember is filtered in copies."""
    cdef floating* grokfast = NULL
    cdef floating* previous = NULL
    if tensor.grokfast:
        grokfast = scratch + CHUNK
        memcpy(grokfast, <floating*> tensor.grokfast + start, n * sizeof(floating))
    if tensor.previous:
        previous = scratch + 2 * CHUNK
        memcpy(previous, <floating*> tensor.previous + start, n * sizeof(floating))
    scale(scratch, <const floating*> tensor.g + start, <floating> terms.factor, <floating> plan.clip_value, n)
    filter_gradient(scratch, grokfast, previous, terms, n)
    return sum_of(tensor, plan.products, 0, n, <const floating*> tensor.theta + start, scratch)


cdef double square_of(Tensor* tensor, double clip_value, Py_ssize_t start, Py_ssize_t n,
                      const floating* g) noexcept nogil:
    """Sum of the squares of the direction."""
    cdef floating[CHUNK] prepared
    if not tensor.direction:
        return 0
    g += start
    if tensor.direction.factor != 1 or clip_value != INFINITY:
        scale(prepared, g, <floating> tensor.direction.factor, <floating> clip_value, n)
        g = prepared
    along(prepared, g, tensor.direction, direction_settings(tensor.direction, g), start, False, n)
    return dot(<const floating*> prepared, <const floating*> prepared, n)


cdef void look_tiles(void* context, Py_ssize_t begin, Py_ssize_t end, const Way* way) noexcept nogil:
    """Look at tiles ``begin`` to ``end``."""
    cdef Plan* plan = <Plan*> context
    cdef Tensor* tensor = plan.tensors
    cdef float[CHUNK] single
    cdef double[CHUNK] double
    cdef Py_ssize_t tile, first = 0
    for tile in range(begin, end):
        while tile >= tensor.last_tile:
            first = tensor.last_tile
            tensor += 1
        if not tensor.g:
            continue
        if tensor.type_num == cnp.NPY_DOUBLE:
            look_tile(tensor.direction, <const double*> tensor.g, plan.clip_value, tile - first, double)
        else:
            look_tile(tensor.direction, <const float*> tensor.g, plan.clip_value, tile - first, single)


cdef void sum_chunks(void* context, Py_ssize_t begin, Py_ssize_t end, const Way* way) noexcept nogil:
    """Sum the products of chunks ``begin`` to ``end``."""
    cdef Plan* plan = <Plan*> context
    cdef Tensor* tensor = tensor_of(plan, begin)
    cdef Py_ssize_t chunk, start, n
    cdef double[3 * CHUNK] scratch
    for chunk in range(begin, end):
        while chunk >= tensor.last_chunk:
            tensor += 1
        start = (chunk - tensor.first_chunk) * CHUNK
        n = min(<Py_ssize_t> CHUNK, tensor.size - start)
        if not tensor.g:
            plan.sums[chunk] = 0
        elif plan.products == DD:
            if tensor.type_num == cnp.NPY_DOUBLE:
                plan.sums[chunk] = square_of[double](tensor, plan.clip_value, start, n, <const double*> tensor.g)
            else:
                plan.sums[chunk] = square_of[float](tensor, plan.clip_value, start, n, <const float*> tensor.g)
        elif plan.filters and tensor.type_num == cnp.NPY_DOUBLE:
            plan.sums[chunk] = filtered_sum_of[double](
                tensor, plan, &plan.terms[tensor.terms], start, n, scratch)
        elif plan.filters:
            plan.sums[chunk] = filtered_sum_of[float](
                tensor, plan, &plan.terms[tensor.terms], start, n, <float*> scratch)
        elif tensor.type_num == cnp.NPY_DOUBLE:
            plan.sums[chunk] = sum_of[double](
                tensor, plan.products, start, n, <const double*> tensor.theta, <const double*> tensor.g)
        else:
            plan.sums[chunk] = sum_of[float](
                tensor, plan.products, start, n, <const float*> tensor.theta, <const float*> tensor.g)


cdef void step_chunks(void* context, Py_ssize_t begin, Py_ssize_t end, const Way* way) noexcept nogil:
    """Step chunks ``begin`` to ``end``."""
    cdef Plan* plan = <Plan*> context
    cdef Tensor* tensor = tensor_of(plan, begin)
    cdef Terms* terms
    cdef Py_ssize_t chunk, start, stop, n
    cdef float[CHUNK] single
    cdef double[CHUNK] double
    for chunk in range(begin, end):
        while chunk >= tensor.last_chunk:
            tensor += 1
        if not tensor.g:
            continue
        terms = &plan.terms[tensor.terms]
        start = (chunk - tensor.first_chunk) * CHUNK
        stop = min(start + CHUNK, tensor.size)
        while start < stop:
            n = min(way.stretch, stop - start)
            if tensor.type_num == cnp.NPY_DOUBLE:
                step_stretch[double](
                    tensor, terms, plan.clip_value, plan.zero_grad, start, n, way, double, terms.double)
            else:
                step_stretch[float](
                    tensor, terms, plan.clip_value, plan.zero_grad, start, n, way, single, terms.single)
            start += n


include "looks.pxi"


cdef int by_start(const void* one, const void* other) noexcept nogil:
    cdef char* a = (<const Extent*> one).start
    cdef char* b = (<const Extent*> other).start
    return (a > b) - (a < b)


cdef void* allocate(Py_ssize_t n, size_t size) except NULL:
    cdef void* memory = PyMem_Calloc(n, size)
    if not memory:
        raise MemoryError
    return memory


cdef char* address(item, Tensor* tensor) except? NULL:
    """Address of a plain writable array of the tensor's size and type; raises if it is not one."""
    cdef cnp.ndarray array
    if not isinstance(item, cnp.ndarray):
        raise TypeError(f"arrays of a sweep must be NumPy arrays, got {type(item).__name__}")
    array = item
    if tensor.type_num not in (cnp.NPY_FLOAT, cnp.NPY_DOUBLE) or cnp.PyArray_TYPE(array) != tensor.type_num:
        raise ValueError(f"arrays of a sweep must be float32 or float64, as their parameter, got {array.dtype}")
    if not cnp.PyArray_ISCARRAY(array):
        raise ValueError("arrays of a sweep must be C-contiguous, aligned, writable and of native byte order")
    if cnp.PyArray_SIZE(array) != tensor.size:
        raise ValueError(f"state must have the size of its parameter, {tensor.size}, got {cnp.PyArray_SIZE(array)}")
    return <char*> cnp.PyArray_DATA(array)


cdef bint aim_at(Direction* direction, Tensor* tensor, aim) except False:
    """Make ready for the direction of a tensor; raises if the aim is not one for it."""
    cdef Py_ssize_t i, n_rows, counts[2]
    cdef Tensor probe = tensor[0]
    kind, dims, states = aim
    if kind not in kinds:
        raise ValueError(f"kind must be one of {', '.join(kinds)}, got {kind!r}")
    if len(states) != reference.STATES[kind]:
        raise ValueError(f"{kind} must have {reference.STATES[kind]} states, got {len(states)}")
    direction.kind = kinds[kind]
    direction.n_settings = reference.SETTINGS[kind]
    if not 0 < direction.n_settings <= MAX_SETTINGS:
        raise ValueError(f"{kind} must have at most {MAX_SETTINGS} settings, got {direction.n_settings}")
    direction.inner = 1
    counts[0] = counts[1] = tensor.size
    n_rows = 1
    for n in dims:
        n_rows *= n
    if n_rows != tensor.size or min(dims, default=0) < 0:
        raise ValueError(f"dims must have a product of {tensor.size}, got {dims}")
    if direction.kind == FACTORED:
        direction.outer, direction.rows, direction.middle, direction.width, direction.inner = dims
        direction.width *= direction.inner
        counts[0] = direction.outer * direction.rows * direction.middle * direction.inner
        counts[1] = direction.outer * direction.middle * direction.width
    elif direction.kind == COVERED:
        if len(dims) < 2:
            raise ValueError(f"dims must be two or more, got {dims}")
        direction.n_axes = len(dims)
        direction.shape = <Py_ssize_t*> allocate(direction.n_axes, sizeof(Py_ssize_t))
        direction.outer = direction.middle = direction.rows = 1
        for i in range(direction.n_axes):
            direction.shape[i] = dims[i]
            direction.rows *= 1 if i == direction.n_axes - 1 else direction.shape[i]
        direction.width = dims[direction.n_axes - 1]  # wraparound is off
        counts[0] = sum(dims)
    for i, state in enumerate(states):
        probe.size = counts[i]
        direction.states[i] = address(state, &probe)
        direction.counts[i] = counts[i]
    if tensor.size and direction.kind in (FACTORED, COVERED):
        direction.n_bands = (direction.rows + BAND - 1) // BAND
        direction.n_stripes = (direction.width + CHUNK - 1) // CHUNK
        n_rows = direction.outer * direction.rows * direction.middle
        direction.row_parts = <double*> allocate(n_rows * direction.inner * direction.n_stripes, sizeof(double))
        direction.column_parts = <double*> allocate(
            direction.outer * direction.middle * direction.width * direction.n_bands, sizeof(double))
        for i in range(len(states)):
            direction.fresh[i] = <char*> allocate(counts[i], sizeof(double))
            direction.factors[i] = <char*> allocate(counts[i], sizeof(double))
    return True


cdef void fold(Tensor* tensor) noexcept nogil:
    """What becomes of that which is kept by row and column."""
    cdef Direction* direction = tensor.direction
    if not tensor.g or not direction or not direction.row_parts:
        return
    if direction.kind == FACTORED and tensor.type_num == cnp.NPY_DOUBLE:
        fold_factored(direction, <const double*> direction.states[0])
    elif direction.kind == FACTORED:
        fold_factored(direction, <const float*> direction.states[0])
    elif tensor.type_num == cnp.NPY_DOUBLE:
        fold_covered(direction, <double*> direction.fresh[0])
    else:
        fold_covered(direction, <float*> direction.fresh[0])


cdef void commit_all(Plan* plan) noexcept nogil:
    """Keep what was looked at."""
    cdef Py_ssize_t k
    cdef Tensor* tensor
    for k in range(plan.n_tensors):
        tensor = &plan.tensors[k]
        if tensor.g and tensor.direction:
            commit(tensor.direction, sizeof(double) if tensor.type_num == cnp.NPY_DOUBLE else sizeof(float))


cdef inline PyObject** items_of(sequence) noexcept:
    """The objects of a list or tuple, borrowed."""
    return PySequence_Fast_ITEMS(sequence)


def same_objects(one, other):
    """Whether two sequences hold the same objects in the same order."""
    cdef Py_ssize_t k, n = len(one)
    cdef PyObject** mine
    cdef PyObject** theirs
    if n != len(other):
        return False
    one, other = PySequence_Fast(one, "one must be a sequence"), PySequence_Fast(other, "other must be a sequence")
    mine, theirs = items_of(one), items_of(other)
    for k in range(n):
        if mine[k] != theirs[k]:
            return False
    return True


def any_none(items):
    """Whether None is among them."""
    cdef Py_ssize_t k
    cdef PyObject** each
    items = PySequence_Fast(items, "items must be a sequence")
    each = items_of(items)
    for k in range(len(items)):
        if each[k] == <PyObject*> None:
            return True
    return False


cdef bint take_filter(Terms* into, terms) except False:
    """Note what the spans of the gradient take, the first of a tail."""
    alpha, one_minus_alpha, lamb, corrects, correction = terms
    into.alpha, into.one_minus_alpha, into.lamb = alpha, one_minus_alpha, lamb
    into.corrects, into.correction = corrects, correction
    return True


cdef class Sweep:
    """One step over all tensors of a model; same methods as :class:`lrcore.reference.Sweep`.

    ``groups`` is a sequence of ``(rule, tensors)``, a tensor being ``(theta, states, average or None)``. After the
    states of the rule may come others, for looks alone: their names are then a third entry of the group.
    ``around`` has state of spans besides averages: for each name of ``reference.AROUND`` that there is, an array for
    each tensor.
    """

    cdef Plan plan
    cdef LookPlan look_plan
    cdef list state_names  # of each group
    cdef Extent* extents  # of the parameters that are not empty, by address
    cdef Extent* gradient_extents
    cdef Py_ssize_t n_extents
    cdef Py_ssize_t n_sets  # of terms, at most
    cdef Py_ssize_t* n_terms  # of each group
    cdef Py_ssize_t n_tail  # of these, how many follow the coefficients of the rule
    cdef bint by_group  # whether every tensor has the terms of its group
    cdef readonly list chunks
    cdef list parameters
    cdef object owned  # keeps every array alive
    cdef readonly list aims  # of each tensor that is directed, else None
    cdef object owned_around

    def __cinit__(self, groups, around=None):
        cdef Py_ssize_t k = 0, j, i, moved
        cdef Tensor* tensor
        cdef Rule rule
        self.plan.n_groups = len(groups)
        self.plan.n_tensors = sum([len(group[1]) for group in groups])
        self.n_sets = max(self.plan.n_groups, self.plan.n_tensors)
        self.plan.tensors = <Tensor*> allocate(self.plan.n_tensors, sizeof(Tensor))
        self.plan.terms = <Terms*> allocate(self.n_sets, sizeof(Terms))
        self.n_terms = <Py_ssize_t*> allocate(self.plan.n_groups, sizeof(Py_ssize_t))
        self.by_group = True
        self.owned_around = {name: list(arrays) for name, arrays in (around or {}).items()}
        self.n_tail = TAIL if self.owned_around else 0
        self.extents = <Extent*> allocate(self.plan.n_tensors, sizeof(Extent))
        self.gradient_extents = <Extent*> allocate(self.plan.n_tensors, sizeof(Extent))
        self.parameters = []
        self.chunks = [0]
        self.aims = [None] * self.plan.n_tensors
        self.state_names = []
        self.owned = [(rule_name, [(theta, list(states), average) for theta, states, average in tensors],
                       tuple(names[0] if names else ())) for rule_name, tensors, *names in groups]
        for j, (rule_name, tensors, names) in enumerate(self.owned):
            if rule_name not in rules:
                raise ValueError(f"rule must be one of {', '.join(RULES)}, got {rule_name!r}")
            rule = rules[rule_name]
            self.n_terms[j] = HEAD + rule.n_coefficients + self.n_tail
            self.state_names.append((*reference.state_names(rule_name), *names))
            if len(self.state_names[j]) > MAX_STATES:
                raise ValueError(f"states of a tensor must be at most {MAX_STATES}, got {self.state_names[j]}")
            for theta, states, average in tensors:
                if len(states) != len(self.state_names[j]):
                    raise ValueError(
                        f"rule {rule_name} must have {len(self.state_names[j])} states, got {len(states)}")
                tensor = &self.plan.tensors[k]
                tensor.group = tensor.terms = j
                tensor.single, tensor.double = rule.single, rule.double
                tensor.n_states, tensor.n_terms = rule.n_states, self.n_terms[j]
                if not isinstance(theta, cnp.ndarray):
                    raise TypeError(f"arrays of a sweep must be NumPy arrays, got {type(theta).__name__}")
                tensor.type_num = cnp.PyArray_TYPE(theta)
                tensor.size = cnp.PyArray_SIZE(theta)
                tensor.nbytes = cnp.PyArray_NBYTES(theta)
                tensor.theta = address(theta, tensor)
                tensor.first_chunk = self.plan.n_chunks
                self.plan.n_chunks += (tensor.size + CHUNK - 1) // CHUNK
                tensor.last_chunk = self.plan.n_chunks
                for i, state in enumerate(states):
                    tensor.states[i] = address(state, tensor)
                if average is not None:
                    tensor.average = address(average, tensor)
                moved = rule.n_states + (average is not None)
                self.plan.nbytes += step_traffic(tensor.nbytes, moved)
                self.plan.streams = max(self.plan.streams, <int> (2 + moved))
                self.parameters.append(theta)
                self.chunks.append(self.plan.n_chunks)
                if tensor.nbytes:
                    self.extents[self.n_extents] = Extent(tensor.theta, tensor.theta + tensor.nbytes)
                    self.n_extents += 1
                k += 1
        self.take_around(self.owned_around)
        self.plan.sums = <double*> allocate(self.plan.n_chunks, sizeof(double))
        qsort(self.extents, self.n_extents, sizeof(Extent), by_start)

    cdef bint take_around(self, dict around) except False:
        """Note where the state of spans lies; raises if it is not what the tensors ask for."""
        cdef Py_ssize_t k
        cdef Tensor* tensor
        if not around.keys() <= set(reference.AROUND) or any([len(a) != self.plan.n_tensors for a in around.values()]):
            raise ValueError(
                f"around must hold arrays of {', '.join(reference.AROUND)}, one a tensor, got {list(around)}")
        for name, arrays in around.items():
            for k in range(self.plan.n_tensors):
                tensor = &self.plan.tensors[k]
                if name == "lookahead":
                    tensor.slow = address(arrays[k], tensor)
                    self.plan.meeting += 2 * tensor.nbytes
                    continue
                if name == "grokfast":
                    tensor.grokfast = address(arrays[k], tensor)
                else:
                    tensor.previous = address(arrays[k], tensor)
                self.plan.nbytes += 2 * tensor.nbytes
            self.plan.streams += name != "lookahead"
        return True

    def __dealloc__(self):
        cdef Py_ssize_t k
        if self.plan.directions:
            for k in range(self.plan.n_tensors):
                free_direction(&self.plan.directions[k])
        PyMem_Free(self.plan.directions)
        PyMem_Free(self.plan.tensors)
        PyMem_Free(self.plan.terms)
        PyMem_Free(self.n_terms)
        PyMem_Free(self.extents)
        PyMem_Free(self.gradient_extents)
        PyMem_Free(self.plan.sums)
        PyMem_Free(self.look_plan.looks)
        PyMem_Free(self.look_plan.sums)

    cdef bint overlaps_parameters(self, char* start, char* stop) noexcept:
        """Whether a range of addresses meets a parameter: bisection for the first that ends after ``start``."""
        cdef Py_ssize_t low = 0, high = self.n_extents, middle
        while low < high:
            middle = (low + high) // 2
            if self.extents[middle].stop <= start:
                low = middle + 1
            else:
                high = middle
        return low < self.n_extents and self.extents[low].start < stop

    cdef bint take_gradients(self, grads, bint writable):
        """Note where the gradients lie; False if one is not what its parameter, or writing to it, asks for."""
        cdef Py_ssize_t k, size, n = 0
        cdef int axis, ndim
        cdef Tensor* tensor
        cdef cnp.ndarray g, theta
        cdef char* start
        if len(grads) != self.plan.n_tensors:
            return False
        for k in range(self.plan.n_tensors):
            item = grads[k]
            tensor = &self.plan.tensors[k]
            if item is None:
                tensor.g = NULL
                continue
            if not cnp.PyArray_CheckExact(item) and (
                    not isinstance(item, cnp.ndarray) or isinstance(item, NOT_PLAIN)):
                return False
            g = <cnp.ndarray> item
            theta = <cnp.ndarray> self.parameters[k]
            ndim = cnp.PyArray_NDIM(theta)
            if (cnp.PyArray_TYPE(g) != tensor.type_num or cnp.PyArray_NDIM(g) != ndim
                    or not cnp.PyArray_ISCARRAY_RO(g) or not cnp.PyArray_ISWRITEABLE(theta)
                    or cnp.PyArray_DATA(theta) != <void*> tensor.theta
                    or writable and not cnp.PyArray_ISWRITEABLE(g)):
                return False
            size = 1
            for axis in range(ndim):
                if cnp.PyArray_DIMS(g)[axis] != cnp.PyArray_DIMS(theta)[axis]:
                    return False
                size *= cnp.PyArray_DIMS(theta)[axis]
            if size != tensor.size:
                return False
            start = <char*> cnp.PyArray_DATA(g)
            if tensor.g != start:  # a write would take the line from the thread that reads it
                tensor.g = start
            if tensor.nbytes:
                if self.overlaps_parameters(start, start + tensor.nbytes):
                    return False
                self.gradient_extents[n] = Extent(start, start + tensor.nbytes)
                n += 1
        if writable:
            qsort(self.gradient_extents, n, sizeof(Extent), by_start)
            for k in range(1, n):
                if self.gradient_extents[k].start < self.gradient_extents[k - 1].stop:
                    return False
        return True

    cdef bint take_terms(self, terms, which, masks) except False:
        """Note the terms of every tensor; raises, before any is in use, if there are not those that rules ask for."""
        cdef Py_ssize_t k, j, i, n = len(terms), taken, stop, least = HEAD + self.n_tail
        cdef tuple values
        cdef Terms* into
        cdef environment_t environment
        if n > self.n_sets or which is None and n != self.plan.n_groups:
            raise ValueError(f"terms must be {self.plan.n_groups} tuples, one a group, got {n}")
        if which is not None and len(which) != self.plan.n_tensors:
            raise ValueError(f"which must have {self.plan.n_tensors} entries, got {len(which)}")
        if masks is not None and len(masks) != n:
            raise ValueError(f"masks must have {n} entries, got {len(masks)}")
        for j in range(n):
            values = terms[j]
            if not least <= len(values) <= least + MAX_COEFFICIENTS:
                raise ValueError(
                    f"terms[{j}] must have {least} to {least + MAX_COEFFICIENTS} entries, got {len(values)}")
            into = &self.plan.terms[j]
            into.n = len(values)
            into.factor, into.l2, into.ema, into.one_minus_ema = values[0], values[1], values[2], values[3]
            into.begins = values[4]
            stop = into.n - self.n_tail
            for i in range(HEAD, stop):
                into.double[i - HEAD] = values[i]
            into.mask = 0
            if masks is not None:
                into.mask = masks[j]
                if into.mask != 0:
                    into.keep, into.double[0] = into.double[0], 0
            if self.n_tail:
                take_filter(into, values[stop:stop + 5])
                into.size, into.synchronizes, into.pull = values[stop + 5], values[stop + 6], values[stop + 7]
            if which is None and into.n != self.n_terms[j]:
                raise ValueError(f"terms[{j}] must have {self.n_terms[j]} entries, got {into.n}")
        environment = environment_enter()
        for j in range(n):
            into = &self.plan.terms[j]
            for i in range(into.n - least):
                into.single[i] = <float> into.double[i]
        environment_leave(environment)
        if which is None and self.by_group:
            return True
        self.by_group = which is None
        for k in range(self.plan.n_tensors):
            if which is not None and not self.plan.tensors[k].g:
                continue
            taken = self.plan.tensors[k].group if which is None else which[k]
            if not 0 <= taken < n:
                raise ValueError(f"which[{k}] must be in 0 to {n - 1}, got {taken}")
            if self.plan.terms[taken].n != self.plan.tensors[k].n_terms:
                raise ValueError(
                    f"terms[{taken}] must have {self.plan.tensors[k].n_terms} entries, got {self.plan.terms[taken].n}")
            self.plan.tensors[k].terms = taken
        return True

    cdef bint take_filters(self, filters, double clip_value) except False:
        """Note, for each tensor that does not rest, what its gradient goes through before the rule sees it."""
        cdef Py_ssize_t k
        cdef Terms* into
        if len(filters) != self.plan.n_tensors:
            raise ValueError(f"filters must have {self.plan.n_tensors} entries, got {len(filters)}")
        self.by_group = False
        self.plan.clip_value = clip_value
        for k in range(self.plan.n_tensors):
            if self.plan.tensors[k].g:
                into = &self.plan.terms[k]
                factor, terms = filters[k]
                into.factor, into.size = factor, 1
                take_filter(into, terms)
                self.plan.tensors[k].terms = k
        return True

    cdef bint form_sums(self, grads, str of, filters=None, double clip_value=INFINITY) except -1:
        """Form the sums of every chunk; False if a gradient is not what its parameter asks for."""
        if of not in PRODUCTS:
            raise ValueError(f"of must be 'gg', 'gt' or 'tt', got {of!r}")
        cdef int which = PRODUCTS.index(of)
        if not self.take_gradients(grads, False):
            return False
        self.plan.products = <Products> which
        self.plan.filters = filters is not None
        if filters is not None:
            self.take_filters(filters, clip_value)
        share(sum_chunks, &self.plan, self.plan.n_chunks, self.plan.nbytes // 4, 0)
        return True

    cdef double added(self, Py_ssize_t first, Py_ssize_t last) noexcept nogil:
        """The sums of some chunks, added in order."""
        cdef double total = 0
        cdef Py_ssize_t chunk
        for chunk in range(first, last):
            total += self.plan.sums[chunk]
        return total

    def direct(self, aims):
        """From now on the rule of a tensor with an aim steps along its direction, see :meth:`form_directions`."""
        cdef Py_ssize_t k
        cdef Tensor* tensor
        cdef Direction* direction
        if self.plan.directions:
            raise ValueError("a sweep must be directed once")
        aims = [None if aim is None else type(aim)(aim[0], tuple(aim[1]), tuple(aim[2])) for aim in aims]
        if len(aims) != self.plan.n_tensors:
            raise ValueError(f"aims must have {self.plan.n_tensors} entries, got {len(aims)}")
        self.plan.directions = <Direction*> allocate(self.plan.n_tensors, sizeof(Direction))
        for k in range(self.plan.n_tensors):
            if aims[k] is not None:
                aim_at(&self.plan.directions[k], &self.plan.tensors[k], aims[k])
        self.aims = aims
        self.owned = (self.owned, list(aims))
        for k in range(self.plan.n_tensors):
            tensor, direction = &self.plan.tensors[k], &self.plan.directions[k]
            if aims[k] is not None:
                tensor.direction = direction
                if direction.row_parts:
                    self.plan.n_tiles += direction.outer * direction.middle * direction.n_bands * direction.n_stripes
                    self.plan.look_nbytes += tensor.nbytes
                else:
                    self.plan.nbytes += 2 * len(aims[k][2]) * tensor.nbytes
            tensor.last_tile = self.plan.n_tiles

    def form_directions(self, grads, settings, double clip_value, bint squares):
        """As :meth:`lrcore.reference.Sweep.form_directions`; None if a gradient is not what its parameter asks for."""
        cdef Py_ssize_t k, i
        cdef Tensor* tensor
        cdef Direction* direction
        cdef environment_t environment
        cdef tuple values
        if not self.plan.directions:
            raise ValueError("a sweep must be directed before it looks")
        if len(settings) != self.plan.n_tensors:
            raise ValueError(f"settings must have {self.plan.n_tensors} entries, got {len(settings)}")
        if not self.take_gradients(grads, False):
            return None
        for k in range(self.plan.n_tensors):
            tensor = &self.plan.tensors[k]
            direction = tensor.direction
            if not tensor.g or not direction:
                continue
            values = settings[k]
            if len(values) != 1 + direction.n_settings:
                raise ValueError(f"settings[{k}] must have {1 + direction.n_settings} entries, got {len(values)}")
            direction.factor = values[0]
            for i in range(direction.n_settings):
                direction.double[i] = values[1 + i]
        self.plan.clip_value = clip_value
        environment = environment_enter()
        for k in range(self.plan.n_tensors):
            if self.plan.tensors[k].g and self.plan.tensors[k].direction:
                direction = self.plan.tensors[k].direction
                for i in range(direction.n_settings):
                    direction.single[i] = <float> direction.double[i]
        environment_leave(environment)
        if self.plan.n_tiles:
            share(look_tiles, &self.plan, self.plan.n_tiles, self.plan.look_nbytes, 0)
        environment = environment_enter()
        for k in range(self.plan.n_tensors):
            fold(&self.plan.tensors[k])
        environment_leave(environment)
        if not squares:
            return [0.0] * self.plan.n_tensors
        self.plan.products = DD
        share(sum_chunks, &self.plan, self.plan.n_chunks, self.plan.nbytes // 4, 0)
        return self.each_total()

    def block_sums(self, grads, of="gg", filters=None, double clip_value=INFINITY):
        """The sums of each chunk, in a new array; None if a gradient is not what its parameter asks for."""
        if not self.form_sums(grads, of, filters, clip_value):
            return None
        sums = np.empty(self.plan.n_chunks)
        if self.plan.n_chunks:
            memcpy(cnp.PyArray_DATA(sums), self.plan.sums, self.plan.n_chunks * sizeof(double))
        return sums

    def total(self, grads, of="gg"):
        """The sum over all chunks, the same on every build; None if a gradient is not what its parameter asks for."""
        cdef environment_t environment
        if not self.form_sums(grads, of):
            return None
        environment = environment_enter()
        cdef double total = self.added(0, self.plan.n_chunks)
        environment_leave(environment)
        return total

    def totals(self, grads, of="gg", filters=None, double clip_value=INFINITY):
        """The sum of each tensor, with ``filters`` as in :meth:`lrcore.reference.Sweep.block_sums`; None if a gradient
        is not what its parameter asks for."""
        return self.each_total() if self.form_sums(grads, of, filters, clip_value) else None

    cdef list each_total(self):
        """The sum of each tensor's chunks, added in order."""
        cdef environment_t environment
        cdef Py_ssize_t k
        found = []
        environment = environment_enter()
        for k in range(self.plan.n_tensors):
            found.append(self.added(self.plan.tensors[k].first_chunk, self.plan.tensors[k].last_chunk))
        environment_leave(environment)
        return found

    cdef void share_step(self, Py_ssize_t n):
        """Step every tensor by the first ``n`` terms."""
        cdef Py_ssize_t j
        cdef bint meet = False
        if self.plan.meeting:
            for j in range(n):
                meet = meet or self.plan.terms[j].synchronizes
        share(step_chunks, &self.plan, self.plan.n_chunks, self.plan.nbytes + meet * self.plan.meeting,
              self.plan.streams + meet)

    def look(self, grads, entries, which, double clip_value, plain=()):
        """Sums over each tensor, as :meth:`lrcore.reference.Sweep.look` forms them; None if a gradient is not what its
        parameter asks for."""
        cdef environment_t environment
        cdef Py_ssize_t n = len(entries), j, i, k, chunk
        cdef int of
        cdef Looks* looks
        cdef Tensor* tensor
        cdef double[MAX_SUMS] totals
        cdef LookPlan* plan = &self.look_plan
        if not self.take_gradients(grads, False):
            return None
        if n > self.n_sets:
            raise ValueError(f"entries must be at most {self.n_sets}, got {n}")
        if len(which) != self.plan.n_tensors:
            raise ValueError(f"which must have {self.plan.n_tensors} entries, got {len(which)}")
        if len(plain) > MAX_SUMS:
            raise ValueError(f"plain sums must be at most {MAX_SUMS}, got {len(plain)}")
        if not plan.looks:
            plan.looks = <Looks*> allocate(self.n_sets, sizeof(Looks))
            plan.sums = <double*> allocate(self.plan.n_chunks, MAX_SUMS * sizeof(double))
        plan.plan, plan.clip_value, plan.n_plain = &self.plan, clip_value, len(plain)
        for k in range(plan.n_plain):
            of = PRODUCTS.index(plain[k])
            plan.plain[k] = <Products> of
        for j in range(n):
            looks = &plan.looks[j]
            take_looks(looks, entries[j])
            if n_sums(plan, looks) > MAX_SUMS:
                raise ValueError(f"sums of a tensor must be at most {MAX_SUMS}, got {n_sums(plan, looks)}")
        for k in range(self.plan.n_tensors):
            tensor = &self.plan.tensors[k]
            if not tensor.g:
                continue
            j = which[k]
            if not 0 <= j < n:
                raise ValueError(f"which[{k}] must be in 0 to {n - 1}, got {j}")
            tensor.looks, looks = j, &plan.looks[j]
            if looks.group < 0:
                take_states(looks, entries[j], self.state_names[tensor.group])
                looks.group = tensor.group
            elif looks.group != tensor.group:
                raise ValueError(f"which[{k}] must be of one group with all that are {j}")
        environment = environment_enter()
        for j in range(n):
            for i in range(plan.looks[j].n):
                for k in range(plan.looks[j].each[i].n_coefficients):
                    plan.looks[j].each[i].singles[k] = <float> plan.looks[j].each[i].doubles[k]
        environment_leave(environment)
        share(look_chunks, plan, self.plan.n_chunks, self.plan.nbytes // 2, 0)
        found = []
        for k in range(self.plan.n_tensors):
            tensor = &self.plan.tensors[k]
            if not tensor.g:
                found.append(None)
                continue
            memset(totals, 0, sizeof(totals))
            n = n_sums(plan, &plan.looks[tensor.looks])
            environment = environment_enter()
            for chunk in range(tensor.first_chunk, tensor.last_chunk):
                for i in range(n):
                    totals[i] += plan.sums[chunk * MAX_SUMS + i]
            environment_leave(environment)
            found.append(tuple([totals[i] for i in range(n)]))
        return found

    def step(self, grads, terms, which, double clip_value, bint zero_grad, list counts, after, masks=None):
        """Apply each tensor's rule and the spans around it, as :meth:`lrcore.reference.Sweep.step` does.

        Returns False, having changed nothing, if a gradient is not what its parameter asks for; the caller
        finds out why.
        """
        if not counts:
            raise ValueError("counts must have an entry, got an empty list")
        if not self.take_gradients(grads, zero_grad):
            return False
        self.take_terms(terms, which, masks)
        self.plan.clip_value, self.plan.zero_grad = clip_value, zero_grad
        self.share_step(len(terms))
        if self.plan.directions:
            commit_all(&self.plan)
        counts[0] = after
        return True
