# cython: language_level=3, freethreading_compatible=True
"""The thread pool, one for all builds of the kernels, which reach it through the capsule ``POOL``."""

from contextvars import ContextVar

cimport cython

from cpython.pycapsule cimport PyCapsule_New

cdef extern from "pool.h":
    enum:
        WAYS
        WAYS_CLASSES
        WAYS_STREAMS
    Py_ssize_t WAYS_FROM
    int ways_forced
    ctypedef struct pool_way:
        const char* name
    ctypedef struct ways_class:
        int best
        int settled
        double told[1]
        long long jobs
    const pool_way ways[1]
    int ways_choose(ways_class* known, const void* context, Py_ssize_t nbytes, int* noted)
    void ways_note(ways_class* known, const void* context, Py_ssize_t nbytes, long long ns)
    int pool_learned(int size, int streams, int shared, ways_class* copy)
    ctypedef struct pool_api:
        int (*threads)() noexcept
        void (*share)() noexcept nogil
    void pool_share() noexcept nogil
    int pool_register()
    int pool_started()
    int pool_get_threads() noexcept
    void pool_set_threads(int n)
    void pool_set_eager(int eager)

cdef extern from *:
    """
    #if defined(__GNUC__) || defined(__clang__)
    static int holds = 0;
    static void count_hold(int change) { __atomic_fetch_add(&holds, change, __ATOMIC_SEQ_CST); }
    static int holding(void) { return __atomic_load_n(&holds, __ATOMIC_RELAXED); }
    #else
    static void count_hold(int change) { (void)change; }
    static int holding(void) { return 1; }
    #endif
    """
    void count_hold(int change)  # numbers of threads that hold in some context
    int holding() noexcept

cdef object held = ContextVar("lrcore.threads", default=())


cdef class _Held:
    """A number of threads that holds in a context, from entering a :class:`Hold` to leaving it."""

    cdef object owner  # the Hold
    cdef int n  # 0 once left


cdef class Hold:
    """``with Hold(n):`` lets n threads share the steps of the context that enters; no signal is seen half way."""

    cdef readonly int n
    cdef list entered

    def __init__(self, int n):
        self.n = n
        self.entered = []

    def __enter__(self):
        cdef _Held one = _Held.__new__(_Held)
        one.owner = self
        one.n = self.n
        held.set((*held.get(), one))
        self.entered.append(one)
        count_hold(1)

    def __exit__(self, *_):
        cdef _Held one, found = None
        for one in held.get():
            if one.owner is self and one.n:
                found = one  # the last that this context entered
        if found is None:
            found = self.entered[-1]  # left in another context than entered
        self.entered.remove(found)
        found.n = 0
        held.set(tuple([one for one in held.get() if (<_Held> one).n]))
        count_hold(-1)


cdef int threads_here() noexcept:
    cdef _Held one
    cdef int n = 0
    if holding():
        for one in held.get():
            n = one.n or n
    return n or pool_get_threads()


cdef pool_api api
api.threads = threads_here
api.share = pool_share
POOL = PyCapsule_New(&api, "lrcore.pool", NULL)

if not pool_register():
    raise MemoryError


def set_threads(int n):
    """Threads that share a step from now on, the caller's among them, where no :class:`Hold` says otherwise."""
    pool_set_threads(n)


def get_threads():
    """As set."""
    return pool_get_threads()


def get_threads_here():
    """Threads that share a step in this context."""
    return threads_here()


def started():
    """Worker threads that exist."""
    return pool_started()


def set_eager(bint eager):
    """Share every step, however small, from now on: for tests."""
    pool_set_eager(eager)


STREAMS = tuple([ways[k].name.decode() for k in range(WAYS)])


def set_stream(name):
    """Walk memory in this way from now on, in steps of every size; None: in the quickest that is known."""
    global ways_forced
    ways_forced = -1 if name is None else STREAMS.index(name)


def get_stream():
    """As set."""
    return None if ways_forced < 0 else STREAMS[ways_forced]


def learned():
    """What is known of each class of large steps."""
    cdef ways_class known
    cdef int size, streams, shared, k
    found = []
    for size in range(WAYS_CLASSES):
        for streams in range(WAYS_STREAMS):
            for shared in range(2):
                if pool_learned(size, streams, shared, &known):
                    found.append({
                        "bytes": (<object> WAYS_FROM) << 2 * size,
                        "arrays": streams,
                        "shared": bool(shared),
                        "way": STREAMS[known.best],
                        "settled": bool(known.settled),
                        "steps": known.jobs,
                        "times": {STREAMS[k]: known.told[k] for k in range(WAYS) if known.told[k] > 0},
                    })
    return found


@cython.final
cdef class Learner:
    """What is learned of one class, from times that are made up: for tests."""

    cdef ways_class known

    def choose(self, size_t model, Py_ssize_t nbytes):
        """The way for a step of a model, and whether its time is to be noted."""
        cdef int noted = 0
        cdef int way = ways_choose(&self.known, <void*> model, nbytes, &noted)
        return STREAMS[way], bool(noted)

    def note(self, size_t model, Py_ssize_t nbytes, long long ns):
        """It took so long."""
        ways_note(&self.known, <void*> model, nbytes, ns)

    @property
    def best(self):
        return STREAMS[self.known.best]

    @property
    def settled(self):
        return bool(self.known.settled)
