# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# cython: freethreading_compatible=True
"""The sweep: one optimizer step over all tensors of a model, in one call, with the GIL released.

The tensors are cut into chunks that stay in the first-level cache, and on each chunk runs a short list of
spans: add the L2 penalty to the gradient, then the rule. Compiled once per instruction-set level.
"""

cimport numpy as cnp
from cpython.mem cimport PyMem_Calloc, PyMem_Free
from libc.stdint cimport uintptr_t

cnp.import_array()

cdef extern from *:
    """
    #include <fenv.h>
    """
    ctypedef struct fenv_t:
        pass
    int fegetenv(fenv_t*) nogil
    int fesetenv(const fenv_t*) nogil
    const fenv_t* FE_DFL_ENV
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

cdef enum:
    CHUNK = 2048  # elements; with the four arrays of Adam in float32, 32 KiB
    MAX_STATES = 4
    MAX_COEFFICIENTS = 16

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
    Py_ssize_t size
    Py_ssize_t nbytes
    Py_ssize_t first_chunk  # its chunks, numbered through all tensors
    Py_ssize_t last_chunk   # one past
    Py_ssize_t group
    int type_num

cdef struct Extent:
    char* start
    char* stop


cdef inline void step_chunk(Group* group, Tensor* tensor, Py_ssize_t start, Py_ssize_t n, floating* penalized,
                            const floating* coefficients) noexcept nogil:
    """Run the spans on elements ``start`` to ``start + n`` of a tensor."""
    cdef floating* theta = <floating*> tensor.theta + start
    cdef const floating* g = <const floating*> tensor.g + start
    cdef floating* states[MAX_STATES]
    cdef floating l2 = <floating> group.l2
    cdef Py_ssize_t i
    for i in range(group.n_states):
        states[i] = <floating*> tensor.states[i] + start
    if group.l2 != 0:
        for i in range(n):
            penalized[i] = g[i] + l2 * theta[i]
        g = penalized
    if floating is float:
        group.rule.single(theta, g, states, coefficients, n)
    else:
        group.rule.double(theta, g, states, coefficients, n)


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


cdef class Sweep:
    """One step over all tensors of a model; same methods as :class:`lrcore.reference.Sweep`.

    ``groups`` is a sequence of ``(rule, tensors)``, a tensor being ``(theta, states)``.
    """

    cdef Group* groups
    cdef Tensor* tensors
    cdef Extent* extents  # of the parameters, by address
    cdef Py_ssize_t n_groups, n_tensors, n_chunks
    cdef list parameters
    cdef object owned  # keeps every array alive

    def __cinit__(self, groups):
        cdef Py_ssize_t k = 0, j, i
        cdef Tensor* tensor
        cdef Group* group
        self.n_groups = len(groups)
        self.n_tensors = sum(len(tensors) for _, tensors in groups)
        self.groups = <Group*> allocate(self.n_groups, sizeof(Group))
        self.tensors = <Tensor*> allocate(self.n_tensors, sizeof(Tensor))
        self.extents = <Extent*> allocate(self.n_tensors, sizeof(Extent))
        self.parameters = []
        self.owned = groups
        for j, (rule, tensors) in enumerate(groups):
            group = &self.groups[j]
            group.rule = rules[rule_names.index(rule)]
            for theta, states in tensors:
                tensor = &self.tensors[k]
                tensor.group = j
                tensor.type_num = cnp.PyArray_TYPE(theta)
                tensor.theta = address(theta, tensor.type_num == cnp.NPY_DOUBLE)
                tensor.size = theta.size
                tensor.nbytes = theta.nbytes
                tensor.first_chunk = self.n_chunks
                self.n_chunks += (tensor.size + CHUNK - 1) // CHUNK
                tensor.last_chunk = self.n_chunks
                group.n_states = len(states)
                for i, state in enumerate(states):
                    tensor.states[i] = address(state, tensor.type_num == cnp.NPY_DOUBLE)
                self.parameters.append(theta)
                k += 1
        for j, k in enumerate(sorted(range(self.n_tensors), key=self._start)):
            self.extents[j] = Extent(self.tensors[k].theta, self.tensors[k].theta + self.tensors[k].nbytes)

    def __dealloc__(self):
        PyMem_Free(self.groups)
        PyMem_Free(self.tensors)
        PyMem_Free(self.extents)

    def _start(self, Py_ssize_t k):
        return <uintptr_t> self.tensors[k].theta

    cdef bint overlaps_parameters(self, char* start, char* stop) noexcept:
        """Whether a range of addresses meets a parameter: bisection for the first that ends after ``start``."""
        cdef Py_ssize_t low = 0, high = self.n_tensors, middle
        while low < high:
            middle = (low + high) // 2
            if self.extents[middle].stop <= start:
                low = middle + 1
            else:
                high = middle
        return low < self.n_tensors and self.extents[low].start < stop

    cdef bint take_gradients(self, grads):
        """Note where the gradients lie; False if one is not what its parameter asks for."""
        cdef Py_ssize_t k
        cdef int axis, ndim
        cdef Tensor* tensor
        cdef cnp.ndarray g, theta
        cdef char* start
        if len(grads) != self.n_tensors:
            return False
        for k in range(self.n_tensors):
            item = grads[k]
            if not isinstance(item, cnp.ndarray):
                return False
            g = <cnp.ndarray> item
            theta = <cnp.ndarray> self.parameters[k]
            tensor = &self.tensors[k]
            ndim = cnp.PyArray_NDIM(theta)
            if (cnp.PyArray_TYPE(g) != tensor.type_num or cnp.PyArray_NDIM(g) != ndim
                    or not cnp.PyArray_ISCARRAY_RO(g) or not cnp.PyArray_ISWRITEABLE(theta)):
                return False
            for axis in range(ndim):
                if cnp.PyArray_DIMS(g)[axis] != cnp.PyArray_DIMS(theta)[axis]:
                    return False
            start = <char*> cnp.PyArray_DATA(g)
            if tensor.nbytes and self.overlaps_parameters(start, start + tensor.nbytes):
                return False
            tensor.g = start
        return True

    def step(self, grads, coefficients):
        """Apply each group's rule; its coefficients are the L2 penalty, then those of the rule.

        Returns False, having changed nothing, if a gradient is not what its parameter asks for; the caller
        finds out why.
        """
        cdef Py_ssize_t j, i
        cdef Group* group
        cdef tuple values
        if not self.take_gradients(grads):
            return False
        for j in range(self.n_groups):
            values = coefficients[j]
            group = &self.groups[j]
            group.l2 = values[0]
            for i in range(1, len(values)):
                group.double[i - 1] = values[i]
                group.single[i - 1] = <float> group.double[i - 1]
        with nogil:
            self.run(0, self.n_chunks)
        return True

    cdef void run(self, Py_ssize_t begin, Py_ssize_t end) noexcept nogil:
        """Step chunks ``begin`` to ``end`` in the default floating-point environment, then restore the caller's."""
        cdef fenv_t environment
        cdef Tensor* tensor = self.tensors
        cdef Group* group
        cdef Py_ssize_t chunk, start, n
        cdef float[CHUNK] single
        cdef double[CHUNK] double
        fegetenv(&environment)
        fesetenv(FE_DFL_ENV)
        for chunk in range(begin, end):
            while chunk >= tensor.last_chunk:
                tensor += 1
            group = &self.groups[tensor.group]
            start = (chunk - tensor.first_chunk) * CHUNK
            n = min(<Py_ssize_t> CHUNK, tensor.size - start)
            if tensor.type_num == cnp.NPY_DOUBLE:
                step_chunk[double](group, tensor, start, n, double, group.double)
            else:
                step_chunk[float](group, tensor, start, n, single, group.single)
        fesetenv(&environment)
