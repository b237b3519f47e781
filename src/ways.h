/* Ways of walking memory, and which is the quickest here.

   Arrays beyond the caches are read faster or slower by how far ahead they are fetched, and what is best differs from
   processor to processor, with the size of a step and with what else the machine does. So large steps try: of each class
   of steps (bytes moved, arrays, alone or shared) the first ones, and later one now and then. A trial is three
   steps of one model in a row, by the way in use, by another, by the way in use; what counts is the ratio of the one
   between to the quicker of the two around it, so that neither the model nor the load of the machine does; where these two
   differ much, nothing does. No bit of a result depends on a way. */

#ifndef LRCORE_WAYS_H
#define LRCORE_WAYS_H

#include <stddef.h>
#include <string.h>

#if defined(__unix__) || defined(__APPLE__)
#define WAYS_ATOMIC _Atomic
#else
#define WAYS_ATOMIC
#endif

typedef struct {
    const char *name;
    ptrdiff_t stretch; /* elements that are computed between two fetches */
    ptrdiff_t near;    /* bytes ahead that are fetched into the first-level cache; 0: nothing is fetched */
    ptrdiff_t far;     /* and into the second; 0: none */
} pool_way;

static const pool_way ways[] = {
    {"none", 2048, 0, 0},    {"short", 64, 512, 0},    {"near", 64, 1024, 0},
    {"far", 64, 1024, 4096}, {"wide", 256, 1024, 4096},
};

enum {
    WAYS = sizeof ways / sizeof *ways,
    WAYS_CLASSES = 5,  /* of bytes moved, each four times the one before */
    WAYS_STREAMS = 9,  /* arrays that a step moves; more count as so many */
    WAYS_TRIES = 3,    /* of a way before it is judged */
    WAYS_AGAIN = 128,  /* steps from one look to the next */
    WAYS_VOID = 16,    /* trials that may go uncounted at first, so that it ends on a busy machine too */
    WAYS_PATIENCE = 64 /* steps of other models, until they are those that try */
};

#define WAYS_FROM ((ptrdiff_t)8 << 20) /* bytes moved that are worth a trial */
#define WAYS_GAIN 0.985                /* ratio of times for which a way is changed */
#define WAYS_LOSS 1.15                 /* twice: not tried again at first */
#define WAYS_DISASTER 1.5              /* tried again but seldom */
#define WAYS_NOISE 1.25                /* between the two steps around a way: a trial that is not counted */

/* What is known of a class. Only its jobs of one model are compared, one after another. */
typedef struct {
    int best;
    const void *context; /* of the model whose jobs are compared */
    ptrdiff_t bytes;
    int strangers; /* jobs of other models since its last */
    int settled;   /* every way has been tried */
    int at;        /* in a trial: 0 before, 1 the way on trial, 2 after; -1 between trials */
    int trying;    /* which way */
    int since;     /* jobs since the last trial */
    int looks;     /* trials begun since settled */
    int voids;     /* trials not counted before */
    long long before, during;
    int tried[WAYS];
    double ratios[WAYS][WAYS_TRIES];
    double told[WAYS]; /* the last judgement: time over that of the way in use then; 0 before any */
    long long jobs;
} ways_class;

static ways_class ways_known[WAYS_CLASSES][WAYS_STREAMS][2];
static WAYS_ATOMIC int ways_forced = -1; /* a way for all jobs; -1: none */

static int ways_size(ptrdiff_t bytes)
{
    int size = 0;
    for (ptrdiff_t from = 4 * WAYS_FROM; size < WAYS_CLASSES - 1 && bytes >= from; from *= 4)
        size++;
    return size;
}

/* The class of a job, or NULL if it is too small to learn from. */
static ways_class *ways_class_of(ptrdiff_t bytes, int streams, int shared)
{
    if (bytes < WAYS_FROM || streams <= 0)
        return NULL;
    return &ways_known[ways_size(bytes)][streams < WAYS_STREAMS ? streams : WAYS_STREAMS - 1][shared != 0];
}

static double ways_median(const double *three)
{
    double a = three[0], b = three[1], c = three[2];
    return a < b ? (b < c ? b : a < c ? c : a) : (a < c ? a : b < c ? c : b);
}

/* Whether a way is out of the first round, having been much slower. */
static int ways_dropped(const ways_class *known, int way)
{
    const double *r = known->ratios[way];
    return known->tried[way] >= 2 && r[0] > WAYS_LOSS && r[1] > WAYS_LOSS;
}

/* Use another way from now on: what is known of the others is put in terms of it. */
static void ways_change(ways_class *known, int way)
{
    double ratio = known->told[way];
    for (int k = 0; k < WAYS; k++) {
        known->told[k] /= ratio;
        for (int n = 0; n < WAYS_TRIES; n++)
            known->ratios[k][n] /= ratio;
    }
    known->told[known->best] = 1 / ratio;
    known->told[way] = 0;
    known->best = way;
}

/* After every way has been tried: the quickest, if it is clearly quicker than that in use. */
static void ways_settle(ways_class *known)
{
    int quickest = known->best;
    double ratio = WAYS_GAIN;
    for (int k = 0; k < WAYS; k++)
        if (known->tried[k] == WAYS_TRIES && known->told[k] < ratio)
            ratio = known->told[quickest = k];
    if (quickest != known->best)
        ways_change(known, quickest);
    known->settled = 1;
    known->voids = 0;
    memset(known->tried, 0, sizeof known->tried);
}

/* The next to be tried in the first round, or -1. */
static int ways_untried(const ways_class *known)
{
    for (int k = 1; k <= WAYS; k++) {
        int way = (known->trying + k) % WAYS;
        if (way != known->best && known->tried[way] < WAYS_TRIES && !ways_dropped(known, way))
            return way;
    }
    return -1;
}

/* The next to be looked at again, or -1. */
static int ways_other(ways_class *known)
{
    int way = known->trying;
    known->looks++;
    for (int k = 0; k < WAYS; k++) {
        way = (way + 1) % WAYS;
        if (way != known->best && (known->told[way] < WAYS_DISASTER || known->looks % (8 * WAYS) < WAYS))
            return way;
    }
    return -1;
}

static void ways_judge(ways_class *known, double ratio)
{
    int way = known->trying, n = known->tried[way]++, changed = 0;
    double *ratios = known->ratios[way];
    ratios[n] = ratio;
    known->told[way] = n == WAYS_TRIES - 1 ? ways_median(ratios) : n == 1 && ratios[0] < ratio ? ratios[0] : ratio;
    if (!known->settled) {
        if (n == 0 && ratio * WAYS_LOSS < 1) { /* much quicker: at once again */
            known->at = 1;
            return;
        }
        if (n == 1 && ratios[0] * WAYS_LOSS < 1 && ratio * WAYS_LOSS < 1) { /* what is in use is not worth comparing with */
            int slow = known->best;
            ways_change(known, way);
            known->ratios[slow][0] = known->ratios[slow][1] = known->told[slow];
            known->tried[slow] = 2;
            changed = 1;
        }
        int next = ways_untried(known);
        if (next >= 0) {
            known->trying = next;
            known->at = !changed; /* what came after is what comes before */
            return;
        }
        ways_settle(known);
    } else if (ratio < WAYS_GAIN && n < WAYS_TRIES - 1) { /* as long as it is quicker each time */
        known->at = 1;
        return;
    } else {
        known->tried[way] = 0;
        if (ratio < WAYS_GAIN)
            ways_change(known, way);
    }
    known->at = -1;
    known->since = 0;
}

/* The way for a job; *noted tells whether its time is to be noted. */
static int ways_choose(ways_class *known, const void *context, ptrdiff_t bytes, int *noted)
{
    *noted = 0;
    if (known->jobs++ == 0)
        known->best = bytes < 4 * WAYS_FROM ? 0 : 2;
    if (known->context != context || known->bytes != bytes) {
        if (known->context != NULL && ++known->strangers <= WAYS_PATIENCE)
            return known->best;
        known->context = context;
        known->bytes = bytes;
        known->strangers = 0;
        if (!known->settled) {
            memset(known->tried, 0, sizeof known->tried);
            known->trying = known->best;
            known->trying = ways_untried(known);
            known->at = 0;
        } else
            known->at = -1;
        return known->best;
    }
    known->strangers = 0;
    if (known->at < 0) {
        if (++known->since < WAYS_AGAIN)
            return known->best;
        int other = ways_other(known);
        known->since = 0;
        if (other < 0)
            return known->best;
        known->trying = other;
        known->tried[other] = 0;
        known->at = 0;
    }
    *noted = 1;
    return known->at == 1 ? known->trying : known->best;
}

static void ways_note(ways_class *known, const void *context, ptrdiff_t bytes, long long ns)
{
    if (known->context != context || known->bytes != bytes || known->at < 0)
        return;
    if (ns < 1)
        ns = 1;
    if (known->at == 0)
        known->before = ns;
    else if (known->at == 1)
        known->during = ns;
    if (known->at++ < 2)
        return;
    double quicker = known->before < ns ? known->before : ns, slower = known->before < ns ? ns : known->before;
    known->before = ns;
    if (slower <= WAYS_NOISE * quicker || known->during > WAYS_DISASTER * slower || known->voids >= WAYS_VOID)
        ways_judge(known, known->during / quicker);
    else if (!known->settled) {
        known->voids++;
        known->at = 1;
    } else {
        known->at = -1;
        known->since = 0;
    }
}

#endif
