/* A pool of threads that share one loop with the caller.

   The caller opens a job, wakes the workers and takes batches of items itself until none is left; a worker that
   wakes too late finds the job closed and costs nothing. Workers watch for the next job for a short while, then
   sleep. Which thread takes which batch changes no result: items do not depend on each other.

   On a system without POSIX threads the caller does all the work. */

#ifndef LRCORE_POOL_H
#define LRCORE_POOL_H

#include <stddef.h>

#include "environment.h"
#include "ways.h"

typedef void (*pool_work)(void *context, ptrdiff_t begin, ptrdiff_t end, const pool_way *way);

#define POOL_ALONE (256 << 10)  /* bytes that one thread moves sooner than two do */
#define POOL_WAKE (6 << 20)     /* bytes that are worth waking a thread for */
#define POOL_BATCH 16           /* most items that a thread takes at once */

/* What the kernels call, through a capsule. */
typedef struct {
    int (*threads)(void); /* that share a step of the calling Python thread; needs the GIL */
    void (*share)(pool_work work, void *context, ptrdiff_t end, ptrdiff_t bytes, int streams, int threads);
} pool_api;

#if defined(__unix__) || defined(__APPLE__)

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <time.h>

#if defined(__x86_64__) || defined(__i386__)
#define POOL_PAUSE() __builtin_ia32_pause()
#elif defined(__aarch64__)
#define POOL_PAUSE() __asm__ __volatile__("yield")
#else
#define POOL_PAUSE() ((void)0)
#endif

#define POOL_MOST 256
#define POOL_BRIEF_NS 20000 /* how long a worker watches for the next job */
#define POOL_TIGHT_NS 80000 /* how long in a loop of jobs that follow each other sooner than that */
#define POOL_LOOK_NS 50000  /* how long what is known of the caller's processors holds: asking takes 0.4 us */

static _Atomic int pool_eager = 0;   /* share every job, however small: for tests */
static _Atomic int pool_threads = 1; /* that share a job, the caller among them, unless it says otherwise */

static struct {
    pthread_mutex_t busy; /* held by the caller whose job it is */
    pool_work work;
    void *context;
    const pool_way *way;
    ptrdiff_t end, batch, share; /* in items; a share is a whole number of batches */
    int backwards;               /* whether batches are taken from the ends of shares */
    int threads;                 /* in this job, the caller among them */
    _Atomic int workers;         /* that exist */
    pthread_t threads_made[POOL_MOST];
    _Atomic unsigned generation; /* of jobs */
    _Atomic int open;            /* whether workers may still join */
    _Atomic int active;          /* workers that have joined, or are about to find the job closed */
    pthread_mutex_t lock;        /* for sleeping alone */
    pthread_cond_t opened, finished;
    _Atomic int sleeping; /* workers */
    _Atomic int waiting;  /* the caller */
    _Atomic int watch;    /* how long workers watch, in ns */
    long long ended;      /* when the last job did */
} pool = {.busy = PTHREAD_MUTEX_INITIALIZER,
          .lock = PTHREAD_MUTEX_INITIALIZER,
          .opened = PTHREAD_COND_INITIALIZER,
          .finished = PTHREAD_COND_INITIALIZER};

static pthread_mutex_t pool_learning = PTHREAD_MUTEX_INITIALIZER; /* held while what is known of ways is read or changed */

/* How much of each share is taken, on cache lines of their own. */
static struct {
    _Alignas(128) _Atomic ptrdiff_t next;
} pool_shares[POOL_MOST];

static long long pool_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

/* Look again and again, for so long, whether the condition holds. */
#define POOL_WATCH(condition, ns)                                    \
    do {                                                             \
        long long until = pool_now() + (ns);                         \
        while (!(condition) && pool_now() < until)                   \
            for (int i = 0; i < 8 && !(condition); i++)              \
                POOL_PAUSE();                                        \
    } while (0)

/* Thread `self` takes the batches of its own share, the same in every job so that it stays in its cache, and
   then what is left of the others'. Every other job begins at the ends, where the cache holds what the last one left. */
static void pool_take_batches(int self)
{
    for (int k = 0; k < pool.threads; k++) {
        int owner = (self + k) % pool.threads;
        ptrdiff_t first = owner * pool.share;
        ptrdiff_t size = first + pool.share < pool.end ? pool.share : pool.end - first;
        for (;;) {
            ptrdiff_t taken = atomic_fetch_add(&pool_shares[owner].next, pool.batch);
            if (taken >= size)
                break;
            ptrdiff_t n = size - taken < pool.batch ? size - taken : pool.batch;
            ptrdiff_t begin = pool.backwards ? first + size - taken - n : first + taken;
            pool.work(pool.context, begin, begin + n, pool.way);
        }
    }
}

static void *pool_worker(void *argument)
{
    int self = (int)(ptrdiff_t)argument;
    unsigned seen = 0;
    environment_enter();
    for (;;) {
        POOL_WATCH(atomic_load(&pool.generation) != seen, atomic_load(&pool.watch));
        if (atomic_load(&pool.generation) == seen) {
            pthread_mutex_lock(&pool.lock);
            atomic_fetch_add(&pool.sleeping, 1);
            while (atomic_load(&pool.generation) == seen)
                pthread_cond_wait(&pool.opened, &pool.lock);
            atomic_fetch_sub(&pool.sleeping, 1);
            pthread_mutex_unlock(&pool.lock);
        }
        /* Join before looking whether the job is open; the caller closes it before looking who joined. */
        atomic_fetch_add(&pool.active, 1);
        seen = atomic_load(&pool.generation);
        if (atomic_load(&pool.open) && self < pool.threads)
            pool_take_batches(self);
        if (atomic_fetch_sub(&pool.active, 1) == 1 && atomic_load(&pool.waiting)) {
            pthread_mutex_lock(&pool.lock);
            pthread_cond_signal(&pool.finished);
            pthread_mutex_unlock(&pool.lock);
        }
    }
    return NULL;
}

#ifdef __linux__
static struct {
    cpu_set_t allowed; /* to the caller */
    int count;         /* of them; 0 if not known */
    int avoided;       /* the caller's own, where workers may not run; -1 before any is told */
    int placed;        /* workers that have been told */
    pthread_t caller;
    long long looked;
} pool_place = {.avoided = -1};

/* How many processors the calling thread may use now, or 0: not asked of the system again within POOL_LOOK_NS, unless
   the caller is another thread or on another processor than at the last job. */
static int pool_processors(long long now)
{
    cpu_set_t allowed;
    if (now - pool_place.looked < POOL_LOOK_NS && pthread_equal(pool_place.caller, pthread_self()) &&
        sched_getcpu() == pool_place.avoided)
        return pool_place.count;
    CPU_ZERO(&allowed);
    if (pthread_getaffinity_np(pthread_self(), sizeof allowed, &allowed) != 0)
        return pool_place.count = 0;
    if (!CPU_EQUAL(&allowed, &pool_place.allowed))
        pool_place.avoided = -1;
    pool_place.allowed = allowed;
    pool_place.caller = pthread_self();
    pool_place.looked = now;
    return pool_place.count = CPU_COUNT(&allowed);
}

/* Let the workers run where the caller may, but keep them off its own processor: woken beside another library's spinning
   threads, a worker may be queued there, behind the caller, and come too late. */
static void pool_make_way(void)
{
    int mine = sched_getcpu(), workers = atomic_load(&pool.workers);
    cpu_set_t others = pool_place.allowed;
    if (pool_place.count == 0 || mine < 0 || mine >= CPU_SETSIZE ||
        (mine == pool_place.avoided && pool_place.placed == workers))
        return;
    if (pool_place.count > 1)
        CPU_CLR(mine, &others);
    for (int k = 0; k < workers; k++)
        pthread_setaffinity_np(pool.threads_made[k], sizeof others, &others);
    pool_place.avoided = mine;
    pool_place.placed = workers;
}

static void pool_forget_place(void)
{
    pool_place.avoided = -1;
    pool_place.placed = 0;
    pool_place.looked = 0;
}
#else
static int pool_processors(long long now) { return (void)now, 0; }
static void pool_make_way(void) {}
static void pool_forget_place(void) {}
#endif

/* After fork the child has the thread that forked alone, whatever the others were at. */
static void pool_forget(void)
{
    pthread_mutex_init(&pool.busy, NULL);
    pthread_mutex_init(&pool.lock, NULL);
    pthread_cond_init(&pool.opened, NULL);
    pthread_cond_init(&pool.finished, NULL);
    pthread_mutex_init(&pool_learning, NULL);
    pool.workers = 0;
    pool.active = pool.open = pool.sleeping = pool.waiting = 0;
    pool_forget_place();
}

/* Once, before any job: a child forked from then on has a pool of its own. 0 if there is no memory for that. */
static int pool_register(void) { return pthread_atfork(NULL, NULL, pool_forget) == 0; }

/* Start workers until there are n. Signals that are sent are blocked in them, so that handlers run in the program's threads;
   those that a thread's own fault raises are not: blocked, they would end the process without a word. */
static void pool_grow(int n)
{
    static const int faults[] = {SIGBUS, SIGSEGV, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGSYS};
    sigset_t sent, before;
    int workers = atomic_load(&pool.workers);
    sigfillset(&sent);
    for (size_t k = 0; k < sizeof faults / sizeof *faults; k++)
        sigdelset(&sent, faults[k]);
    pthread_sigmask(SIG_SETMASK, &sent, &before);
    while (workers < n) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, pool_worker, (void *)(ptrdiff_t)(workers + 1)) != 0)
            break;
        pthread_detach(thread);
        pool.threads_made[workers++] = thread;
    }
    atomic_store(&pool.workers, workers);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

/* Call work on batches of items that cover 0 to end, on several threads; return when all is done, whether it was shared.

   Waking a worker takes some tens of microseconds. Where the job is not worth that, sleeping workers are woken only
   in a loop that does little else, so that they are awake for the jobs to come. Where the caller has one processor,
   a worker could only take it away. */
static int pool_run(pool_work work, void *context, const pool_way *way, ptrdiff_t end, ptrdiff_t batch, int threads,
                    int worth_waking, int eager)
{
    ptrdiff_t batches = (end + batch - 1) / batch;
    if (threads > batches)
        threads = (int)batches;
    if (threads > POOL_MOST)
        threads = POOL_MOST;
    if (threads <= 1 || pthread_mutex_trylock(&pool.busy) != 0) { /* another Python thread has the workers */
        work(context, 0, end, way);
        return 0;
    }
    long long now = pool_now();
    int tight = now - pool.ended < POOL_TIGHT_NS;
    int alone = pool_processors(now) == 1 && !eager;
    if (alone)
        pool_make_way();
    if (alone || (!worth_waking && !tight &&
                  (atomic_load(&pool.sleeping) || atomic_load(&pool.workers) < threads - 1))) {
        work(context, 0, end, way);
        pool.ended = pool_now();
        pthread_mutex_unlock(&pool.busy);
        return 0;
    }
    atomic_store(&pool.watch, tight ? POOL_TIGHT_NS : POOL_BRIEF_NS);
    pool.work = work;
    pool.context = context;
    pool.way = way;
    pool.end = end;
    pool.batch = batch;
    pool.threads = threads;
    pool.share = (batches + threads - 1) / threads * batch;
    for (int k = 0; k < threads; k++)
        atomic_store(&pool_shares[k].next, 0);
    pool.backwards = !pool.backwards;
    if (atomic_load(&pool.workers) < threads - 1)
        pool_grow(threads - 1);
    pool_make_way();
    atomic_store(&pool.open, 1);
    atomic_fetch_add(&pool.generation, 1);
    if (atomic_load(&pool.sleeping)) {
        pthread_mutex_lock(&pool.lock);
        pthread_cond_broadcast(&pool.opened);
        pthread_mutex_unlock(&pool.lock);
    }
    pool_take_batches(0);
    atomic_store(&pool.open, 0);
    POOL_WATCH(atomic_load(&pool.active) == 0, POOL_TIGHT_NS);
    if (atomic_load(&pool.active) != 0) {
        pthread_mutex_lock(&pool.lock);
        atomic_store(&pool.waiting, 1);
        while (atomic_load(&pool.active) != 0)
            pthread_cond_wait(&pool.finished, &pool.lock);
        atomic_store(&pool.waiting, 0);
        pthread_mutex_unlock(&pool.lock);
    }
    pool.ended = pool_now();
    pthread_mutex_unlock(&pool.busy);
    return 1;
}

static int pool_started(void) { return atomic_load(&pool.workers); }

/* As pool_run, by the quickest way that is known, or by another that is on trial. */
static void pool_stream(pool_work work, void *context, ptrdiff_t end, ptrdiff_t batch, int threads, ptrdiff_t bytes,
                        int streams)
{
    ways_class *known = ways_class_of(bytes, streams, threads > 1);
    int way = 0, noted = 0;
    if (pthread_mutex_trylock(&pool_learning) == 0) { /* else another Python thread is just learning */
        way = ways_choose(known, context, bytes, &noted);
        pthread_mutex_unlock(&pool_learning);
    }
    long long began = noted ? pool_now() : 0;
    int shared = pool_run(work, context, &ways[way], end, batch, threads, 1, 0);
    if (noted && shared == (threads > 1)) {
        long long ns = pool_now() - began;
        pthread_mutex_lock(&pool_learning);
        ways_note(known, context, bytes, ns);
        pthread_mutex_unlock(&pool_learning);
    }
}

/* A copy of what is known of a class; 0 if it has had no job. */
static int pool_learned(int size, int streams, int shared, ways_class *copy)
{
    pthread_mutex_lock(&pool_learning);
    *copy = ways_known[size][streams][shared];
    pthread_mutex_unlock(&pool_learning);
    return copy->jobs != 0;
}

#else

static int pool_eager = 0, pool_threads = 1;

static int pool_run(pool_work work, void *context, const pool_way *way, ptrdiff_t end, ptrdiff_t batch, int threads,
                    int worth_waking, int eager)
{
    (void)batch, (void)threads, (void)worth_waking, (void)eager;
    work(context, 0, end, way);
    return 0;
}

static void pool_stream(pool_work work, void *context, ptrdiff_t end, ptrdiff_t batch, int threads, ptrdiff_t bytes,
                        int streams)
{
    (void)batch, (void)threads, (void)bytes, (void)streams;
    work(context, 0, end, &ways[0]);
}

static int pool_learned(int size, int streams, int shared, ways_class *copy)
{
    return (void)size, (void)streams, (void)shared, (void)copy, 0;
}

static int pool_register(void) { return 1; }
static int pool_started(void) { return 0; }

#endif

static void pool_set_threads(int n) { pool_threads = n; }
static int pool_get_threads(void) { return pool_threads; }
static void pool_set_eager(int eager) { pool_eager = eager; }

/* Call work on items 0 to end, which move so many bytes of so many arrays together, on so many threads where that pays;
   in the default floating-point environment, which the workers have, and restore the caller's. Without arrays nothing is
   learned of how to walk them. */
static void pool_share(pool_work work, void *context, ptrdiff_t end, ptrdiff_t bytes, int streams, int threads)
{
    ptrdiff_t batch = end / 16 < POOL_BATCH ? end / 16 : POOL_BATCH;
    int eager = pool_eager, forced = ways_forced;
    const pool_way *way = &ways[forced < 0 ? 0 : forced];
    batch = batch > 1 ? batch : 1;
    environment_t environment = environment_enter();
    if (bytes <= POOL_ALONE && !eager)
        work(context, 0, end, way);
    else if (bytes >= WAYS_FROM && streams > 0 && forced < 0 && !eager)
        pool_stream(work, context, end, batch, threads, bytes, streams);
    else
        pool_run(work, context, way, end, batch, threads, bytes >= POOL_WAKE || eager, eager);
    environment_leave(environment);
}

#endif
