/* A pool of threads that share one loop with the caller.

   The caller opens a job, wakes the workers and takes blocks itself until none is left; a worker that wakes
   too late finds the job closed and costs nothing. Workers watch for the next job for a short while, then
   sleep. Which thread takes which block changes no result: blocks do not depend on each other.

   On a system without POSIX threads the caller does all the work. */

#ifndef LRCORE_POOL_H
#define LRCORE_POOL_H

#include <stddef.h>

#include "environment.h"

typedef void (*pool_work)(void *context, ptrdiff_t begin, ptrdiff_t end);

#define POOL_ALONE (256 << 10)  /* bytes that one thread moves sooner than two do */
#define POOL_WAKE (6 << 20)     /* bytes that are worth waking a thread for */
#define POOL_GRAIN 16           /* most items that a thread takes at once */

static int pool_eager = 0; /* share every job, however small: for tests */
static int pool_threads = 1; /* that share a job, the caller among them */

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

static struct {
    pthread_mutex_t busy; /* held by the caller whose job it is */
    pool_work work;
    void *context;
    ptrdiff_t end, grain, share; /* in items; a share is a whole number of blocks */
    int backwards;               /* whether blocks are taken from the ends of shares */
    int threads;                 /* in this job, the caller among them */
    int workers;                 /* that exist */
    int placed;                  /* of them, told which processor to keep off */
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

/* Thread `self` takes the blocks of its own share, the same in every job so that it stays in its cache, and
   then what is left of the others'. Every other job begins at the ends, where the cache holds what the last one left. */
static void pool_take_blocks(int self)
{
    for (int k = 0; k < pool.threads; k++) {
        int owner = (self + k) % pool.threads;
        ptrdiff_t first = owner * pool.share;
        ptrdiff_t size = first + pool.share < pool.end ? pool.share : pool.end - first;
        for (;;) {
            ptrdiff_t taken = atomic_fetch_add(&pool_shares[owner].next, pool.grain);
            if (taken >= size)
                break;
            ptrdiff_t n = size - taken < pool.grain ? size - taken : pool.grain;
            ptrdiff_t begin = pool.backwards ? first + size - taken - n : first + taken;
            pool.work(pool.context, begin, begin + n);
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
            pool_take_blocks(self);
        if (atomic_fetch_sub(&pool.active, 1) == 1 && atomic_load(&pool.waiting)) {
            pthread_mutex_lock(&pool.lock);
            pthread_cond_signal(&pool.finished);
            pthread_mutex_unlock(&pool.lock);
        }
    }
    return NULL;
}

#ifdef __linux__
/* Keep the workers off the caller's processor: woken beside another library's spinning threads, a worker may be
   queued there, behind the caller, and come too late. They may run on every other one that the caller may use. */
static void pool_make_way(void)
{
    static int avoided = -1;
    int mine = sched_getcpu();
    cpu_set_t allowed;
    if (mine < 0 || mine >= CPU_SETSIZE || (mine == avoided && pool.placed == pool.workers))
        return;
    if (pthread_getaffinity_np(pthread_self(), sizeof allowed, &allowed) != 0)
        return;
    CPU_CLR(mine, &allowed);
    if (CPU_COUNT(&allowed) == 0)
        return;
    for (int k = 0; k < pool.workers; k++)
        pthread_setaffinity_np(pool.threads_made[k], sizeof allowed, &allowed);
    avoided = mine;
    pool.placed = pool.workers;
}
#else
static void pool_make_way(void) {}
#endif

/* After fork the child has the caller's thread alone. */
static void pool_forget(void)
{
    pthread_mutex_init(&pool.busy, NULL);
    pthread_mutex_init(&pool.lock, NULL);
    pthread_cond_init(&pool.opened, NULL);
    pthread_cond_init(&pool.finished, NULL);
    pool.workers = pool.placed = 0;
    pool.active = pool.open = pool.sleeping = pool.waiting = 0;
}

/* Start workers until there are n, all signals blocked in them so that handlers run in the program's threads. */
static void pool_grow(int n)
{
    static int registered = 0;
    sigset_t all, before;
    if (!registered)
        registered = pthread_atfork(NULL, NULL, pool_forget) == 0;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    while (pool.workers < n) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, pool_worker, (void *)(ptrdiff_t)(pool.workers + 1)) != 0)
            break;
        pthread_detach(thread);
        pool.threads_made[pool.workers++] = thread;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

/* Call work on blocks of grain items that cover 0 to end, on several threads; return when all is done.

   Waking a worker takes some tens of microseconds. Where the job is not worth that, sleeping workers are woken only
   in a loop that does little else, so that they are awake for the jobs to come. */
static void pool_run(pool_work work, void *context, ptrdiff_t end, ptrdiff_t grain, int worth_waking)
{
    int threads = pool_threads;
    ptrdiff_t blocks = (end + grain - 1) / grain;
    if (threads > blocks)
        threads = (int)blocks;
    if (threads > POOL_MOST)
        threads = POOL_MOST;
    if (threads <= 1 || pthread_mutex_trylock(&pool.busy) != 0) { /* another Python thread has the workers */
        work(context, 0, end);
        return;
    }
    int tight = pool_now() - pool.ended < POOL_TIGHT_NS;
    if (!worth_waking && !tight && (atomic_load(&pool.sleeping) || pool.workers < threads - 1)) {
        work(context, 0, end);
        pool.ended = pool_now();
        pthread_mutex_unlock(&pool.busy);
        return;
    }
    atomic_store(&pool.watch, tight ? POOL_TIGHT_NS : POOL_BRIEF_NS);
    pool.work = work;
    pool.context = context;
    pool.end = end;
    pool.grain = grain;
    pool.threads = threads;
    pool.share = (blocks + threads - 1) / threads * grain;
    for (int k = 0; k < threads; k++)
        atomic_store(&pool_shares[k].next, 0);
    pool.backwards = !pool.backwards;
    atomic_store(&pool.open, 1);
    atomic_fetch_add(&pool.generation, 1);
    if (pool.workers < threads - 1)
        pool_grow(threads - 1);
    pool_make_way();
    if (atomic_load(&pool.sleeping)) {
        pthread_mutex_lock(&pool.lock);
        pthread_cond_broadcast(&pool.opened);
        pthread_mutex_unlock(&pool.lock);
    }
    pool_take_blocks(0);
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
}

static int pool_started(void) { return pool.workers; }

#else

static void pool_run(pool_work work, void *context, ptrdiff_t end, ptrdiff_t grain, int worth_waking)
{
    (void)grain;
    (void)worth_waking;
    work(context, 0, end);
}

static int pool_started(void) { return 0; }

#endif

/* Call work on items 0 to end, which move so many bytes together, on several threads where that pays; in the default
   floating-point environment, which the workers have, and restore the caller's. */
static void pool_share(pool_work work, void *context, ptrdiff_t end, ptrdiff_t bytes)
{
    ptrdiff_t grain = end / 16 < POOL_GRAIN ? end / 16 : POOL_GRAIN;
    environment_t environment = environment_enter();
    if (bytes <= POOL_ALONE && !pool_eager)
        work(context, 0, end);
    else
        pool_run(work, context, end, grain > 1 ? grain : 1, bytes >= POOL_WAKE || pool_eager);
    environment_leave(environment);
}

#endif
