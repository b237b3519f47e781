# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# cython: freethreading_compatible=True
"""The sweep: one optimizer step over all tensors of a model, in one call, with the GIL released.

The tensors are cut into chunks that stay in the first-level cache, and on each chunk runs a short list of
spans: scale, clip and penalize the gradient; the rule; moving average; zero the gradient. Each is a plain
loop. Compiled once per instruction-set level.
"""

cimport numpy as cnp
from cpython.mem cimport PyMem_Calloc, PyMem_Free
from libc.math cimport INFINITY
from libc.stdlib cimport qsort
from libc.string cimport memset

import numpy as np

cnp.import_array()

include "streams.pxi"

cdef extern from *:
    const char* LRCORE_COMPILER
    const char* LRCORE_FLAGS

ctypedef void (*SingleRule)(float*, const float*, float**, const float*, Py_ssize_t) noexcept nogil
ctypedef void (*DoubleRule)(double*, const double*, double**, const double*, Py_ssize_t) noexcept nogil

cdef struct Rule:
    SingleRule single
    DoubleRule double

cdef Rule[32] rules
cdef list rule_names = []


cdef add_rule(str name, SingleRule single, DoubleRule double):
    rules[len(rule_names)] = Rule(single, double)
    rule_names.append(name)


include "rules.pxi"

RULES = tuple(rule_names)
COMPILER = LRCORE_COMPILER.decode()
FLAGS = LRCORE_FLAGS.decode()

cdef tuple NOT_PLAIN = (np.ma.MaskedArray, np.matrix)  # arrays in which an operation means something else

cdef enum:
    LANES = 32    # partial sums of a chunk's squares, as there: enough to hide the latency of adding
    MAX_STATES = 4
    MAX_COEFFICIENTS = 16

cdef struct Spans:
    double factor      # multiplies the gradient
    double clip_value  # bounds its elements; inf for none
    double ema
    double one_minus_ema
    bint zero_grad

cdef struct Group:
    Rule rule
    Py_ssize_t n_states
    double l2
    double[MAX_COEFFICIENTS] double
    float[MAX_COEFFICIENTS] single

cdef struct Tensor:
    char* theta
    const char* g
    char* states[MAX_STATES]
    char* average  # NULL without moving average
    Py_ssize_t size
    Py_ssize_t nbytes
    Py_ssize_t first_chunk  # its chunks, numbered through all tensors
    Py_ssize_t last_chunk   # one past
    Py_ssize_t group
    int type_num

cdef struct Extent:
    char* start
    char* stop

cdef struct Plan:
    Group* groups
    Tensor* tensors
    double* sums  # of squares, one per chunk
    Spans spans
    Py_ssize_t n_groups
    Py_ssize_t n_tensors
    Py_ssize_t n_chunks
    Py_ssize_t nbytes  # that a step reads and writes


cdef inline floating clamp(floating x, floating bound) noexcept nogil:
    x = bound if x > bound else x
    return -bound if x < -bound else x


cdef inline void step_block(Group* group, Tensor* tensor, Spans* spans, Py_ssize_t start, Py_ssize_t n, bint large,
                            floating* prepared, const floating* coefficients) noexcept nogil:
    """Run the spans on elements ``start`` to ``start + n`` of a tensor, fetching those to come if the step is large."""
    cdef floating* theta = <floating*> tensor.theta + start
    cdef const floating* g = <const floating*> tensor.g + start
    cdef floating* states[MAX_STATES]
    cdef floating* average
    cdef floating factor = <floating> spans.factor, bound = <floating> spans.clip_value, l2 = <floating> group.l2
    cdef floating ema = <floating> spans.ema, one_minus_ema = <floating> spans.one_minus_ema
    cdef Py_ssize_t i
    for i in range(group.n_states):
        states[i] = <floating*> tensor.states[i] + start
    if large:
        fetch(theta, n * sizeof(floating))
        fetch(g, n * sizeof(floating))
        for i in range(group.n_states):
            fetch(states[i], n * sizeof(floating))
        if tensor.average:
            fetch(<floating*> tensor.average + start, n * sizeof(floating))
    if group.l2 != 0:
        for i in range(n):
            prepared[i] = clamp(factor * g[i], bound) + l2 * theta[i]
        g = prepared
    elif spans.factor != 1 or spans.clip_value != INFINITY:
        for i in range(n):
            prepared[i] = clamp(factor * g[i], bound)
        g = prepared
    if floating is float:
        group.rule.single(theta, g, states, coefficients, n)
    else:
        group.rule.double(theta, g, states, coefficients, n)
    if tensor.average:
        average = <floating*> tensor.average + start
        for i in range(n):
            average[i] = ema * average[i] + one_minus_ema * theta[i]
    if spans.zero_grad:
        memset(<floating*> tensor.g + start, 0, n * sizeof(floating))


cdef inline double sum_of_squares(const floating* g, Py_ssize_t n) noexcept nogil:
    """Sum of squares of a chunk in double precision, in an order that no vector width changes."""
    cdef double[LANES] sums
    cdef double total = 0
    cdef Py_ssize_t j
    for j in range(LANES):
        sums[j] = 0
    for _ in range(n // LANES):
        fetch(g, LANES * sizeof(floating))
        for j in range(LANES):
            sums[j] += <double> g[j] * <double> g[j]
        g += LANES
    for j in range(n % LANES):
        sums[j] += <double> g[j] * <double> g[j]
    for j in range(LANES):
        total += sums[j]
    return total


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


cdef void sum_chunks(void* context, Py_ssize_t begin, Py_ssize_t end) noexcept nogil:
    """Sum the squares of chunks ``begin`` to ``end``."""
    cdef Plan* plan = <Plan*> context
    cdef Tensor* tensor = tensor_of(plan, begin)
    cdef Py_ssize_t chunk, start, n
    for chunk in range(begin, end):
        while chunk >= tensor.last_chunk:
            tensor += 1
        start = (chunk - tensor.first_chunk) * CHUNK
        n = min(<Py_ssize_t> CHUNK, tensor.size - start)
        if tensor.type_num == cnp.NPY_DOUBLE:
            plan.sums[chunk] = sum_of_squares(<const double*> tensor.g + start, n)
        else:
            plan.sums[chunk] = sum_of_squares(<const float*> tensor.g + start, n)


cdef void step_chunks(void* context, Py_ssize_t begin, Py_ssize_t end) noexcept nogil:
    """Step chunks ``begin`` to ``end``."""
    cdef Plan* plan = <Plan*> context
    cdef Tensor* tensor = tensor_of(plan, begin)
    cdef Group* group
    cdef Py_ssize_t chunk, start, stop, n
    cdef bint large = plan.nbytes >= LARGE
    cdef Py_ssize_t most = BLOCK if large else CHUNK
    cdef float[CHUNK] single
    cdef double[CHUNK] double
    for chunk in range(begin, end):
        while chunk >= tensor.last_chunk:
            tensor += 1
        group = &plan.groups[tensor.group]
        start = (chunk - tensor.first_chunk) * CHUNK
        stop = min(start + CHUNK, tensor.size)
        while start < stop:
            n = min(most, stop - start)
            if tensor.type_num == cnp.NPY_DOUBLE:
                step_block[double](group, tensor, &plan.spans, start, n, large, double, group.double)
            else:
                step_block[float](group, tensor, &plan.spans, start, n, large, single, group.single)
            start += n


cdef int by_start(const void* one, const void* other) noexcept nogil:
    cdef char* a = (<const Extent*> one).start
    cdef char* b = (<const Extent*> other).start
    return (a > b) - (a < b)


cdef void* allocate(Py_ssize_t n, size_t size) except NULL:
    cdef void* memory = PyMem_Calloc(n, size)
    if not memory:
        raise MemoryError
    return memory


cdef char* address(array, bint double) except? NULL:
    """Address of a writable C-contiguous array of the given precision, which the memoryview checks."""
    cdef float[::1] single_view
    cdef double[::1] double_view
    if array.size == 0:
        return <char*> cnp.PyArray_DATA(array)
    if double:
        double_view = array.reshape(-1)
        return <char*> &double_view[0]
    single_view = array.reshape(-1)
    return <char*> &single_view[0]


def same_objects(one, other):
    """Whether two sequences hold the same objects in the same order."""
    cdef Py_ssize_t k
    if len(one) != len(other):
        return False
    for k in range(len(one)):
        if one[k] is not other[k]:
            return False
    return True


cdef class Sweep:
    """One step over all tensors of a model; same methods as :class:`lrcore.reference.Sweep`.

    ``groups`` is a sequence of ``(rule, tensors)``, a tensor being ``(theta, states, average or None)``.
    """

    cdef Plan plan
    cdef Extent* extents  # of the parameters that are not empty, by address
    cdef Extent* gradient_extents
    cdef Py_ssize_t n_extents
    cdef readonly Py_ssize_t steps
    cdef list parameters
    cdef object owned  # keeps every array alive

    def __cinit__(self, groups):
        cdef Py_ssize_t k = 0, j, i
        cdef Tensor* tensor
        cdef Group* group
        self.plan.n_groups = len(groups)
        self.plan.n_tensors = sum(len(tensors) for _, tensors in groups)
        self.plan.groups = <Group*> allocate(self.plan.n_groups, sizeof(Group))
        self.plan.tensors = <Tensor*> allocate(self.plan.n_tensors, sizeof(Tensor))
        self.extents = <Extent*> allocate(self.plan.n_tensors, sizeof(Extent))
        self.gradient_extents = <Extent*> allocate(self.plan.n_tensors, sizeof(Extent))
        self.parameters = []
        self.owned = groups
        for j, (rule, tensors) in enumerate(groups):
            group = &self.plan.groups[j]
            group.rule = rules[rule_names.index(rule)]
            for theta, states, average in tensors:
                tensor = &self.plan.tensors[k]
                tensor.group = j
                tensor.type_num = cnp.PyArray_TYPE(theta)
                tensor.theta = address(theta, tensor.type_num == cnp.NPY_DOUBLE)
                tensor.size = theta.size
                tensor.nbytes = theta.nbytes
                tensor.first_chunk = self.plan.n_chunks
                self.plan.n_chunks += (tensor.size + CHUNK - 1) // CHUNK
                tensor.last_chunk = self.plan.n_chunks
                group.n_states = len(states)
                for i, state in enumerate(states):
                    tensor.states[i] = address(state, tensor.type_num == cnp.NPY_DOUBLE)
                if average is not None:
                    tensor.average = address(average, tensor.type_num == cnp.NPY_DOUBLE)
                self.plan.nbytes += tensor.nbytes * (3 + 2 * (len(states) + (average is not None)))
                self.parameters.append(theta)
                if tensor.nbytes:
                    self.extents[self.n_extents] = Extent(tensor.theta, tensor.theta + tensor.nbytes)
                    self.n_extents += 1
                k += 1
        self.plan.sums = <double*> allocate(self.plan.n_chunks, sizeof(double))
        qsort(self.extents, self.n_extents, sizeof(Extent), by_start)

    def __dealloc__(self):
        PyMem_Free(self.plan.groups)
        PyMem_Free(self.plan.tensors)
        PyMem_Free(self.extents)
        PyMem_Free(self.gradient_extents)
        PyMem_Free(self.plan.sums)

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
            if not cnp.PyArray_CheckExact(item) and (
                    not isinstance(item, cnp.ndarray) or isinstance(item, NOT_PLAIN)):
                return False
            g = <cnp.ndarray> item
            theta = <cnp.ndarray> self.parameters[k]
            tensor = &self.plan.tensors[k]
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

    def sum_of_squares(self, grads):
        """Sum of the squares of all gradients in double precision, the same on every build.

        Returns None if a gradient is not what its parameter asks for.
        """
        cdef double total = 0
        cdef Py_ssize_t chunk
        if not self.take_gradients(grads, False):
            return None
        share(sum_chunks, &self.plan, self.plan.n_chunks, self.plan.nbytes // 4)
        with nogil:
            for chunk in range(self.plan.n_chunks):
                total += self.plan.sums[chunk]
        return total

    def step(self, grads, coefficients, double factor, double clip_value, double ema, double one_minus_ema,
             bint zero_grad):
        """Apply each group's rule and the spans around it, as :meth:`lrcore.reference.Sweep.step` does.

        Returns False, having changed nothing, if a gradient is not what its parameter asks for; the caller
        finds out why.
        """
        cdef Py_ssize_t j, i
        cdef Group* group
        cdef tuple values
        if not self.take_gradients(grads, zero_grad):
            return False
        for j in range(self.plan.n_groups):
            values = coefficients[j]
            group = &self.plan.groups[j]
            group.l2 = values[0]
            for i in range(1, len(values)):
                group.double[i - 1] = values[i]
                group.single[i - 1] = <float> group.double[i - 1]
        self.plan.spans = Spans(factor, clip_value, ema, one_minus_ema, zero_grad)
        share(step_chunks, &self.plan, self.plan.n_chunks, self.plan.nbytes)
        self.steps += 1
        return True
