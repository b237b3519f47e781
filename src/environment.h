/* The floating-point environment of this thread: rounding, flushing of subnormal numbers, traps, exception flags.

   Results must not depend on what the caller has set, so compiled code computes between

       environment_t caller = environment_enter();    from here on the default environment
       environment_leave(caller);                     from here on the caller's, its exception flags as they were

   Reading the environment costs about a nanosecond, writing it several; it is written only where it differs. On x86-64
   it is the register MXCSR; the control word of the x87, which code for x86-64 does not compute with, is left alone.

   Compilers do not know that arithmetic depends on the environment and may move it across both calls. What is read
   from and written to memory that others can reach (arrays), or is done in a function called by pointer, stays where
   it is; environment_pin(x) keeps a number held in a variable from being used before it, or computed after it. */

#ifndef LRCORE_ENVIRONMENT_H
#define LRCORE_ENVIRONMENT_H

#if defined(__GNUC__) || defined(__clang__)
#define ENVIRONMENT_BARRIER() __asm__ __volatile__("" ::: "memory")
#else
#define ENVIRONMENT_BARRIER() ((void)0)
#endif

#if defined(__x86_64__) || defined(_M_X64)

#include <xmmintrin.h>

#define ENVIRONMENT_FLAGS 0x3fu     /* of MXCSR: the exceptions seen */
#define ENVIRONMENT_DEFAULT 0x1f80u /* nearest, no flushing, no traps */

typedef unsigned int environment_t;

static inline environment_t environment_enter(void)
{
    environment_t caller;
    ENVIRONMENT_BARRIER();
    caller = _mm_getcsr();
    if ((caller & ~ENVIRONMENT_FLAGS) != ENVIRONMENT_DEFAULT)
        _mm_setcsr(ENVIRONMENT_DEFAULT);
    ENVIRONMENT_BARRIER();
    return caller;
}

static inline void environment_leave(environment_t caller)
{
    ENVIRONMENT_BARRIER();
    if (_mm_getcsr() != caller)
        _mm_setcsr(caller);
    ENVIRONMENT_BARRIER();
}

#else

#include <fenv.h>

typedef fenv_t environment_t;

static inline environment_t environment_enter(void)
{
    environment_t caller;
    ENVIRONMENT_BARRIER();
    fegetenv(&caller);
    fesetenv(FE_DFL_ENV);
    ENVIRONMENT_BARRIER();
    return caller;
}

static inline void environment_leave(environment_t caller)
{
    ENVIRONMENT_BARRIER();
    fesetenv(&caller);
    ENVIRONMENT_BARRIER();
}

#endif

static inline double environment_pin(double x)
{
#if defined(__GNUC__) || defined(__clang__)
    __asm__ __volatile__("" : "+m"(x));
    return x;
#else
    volatile double held = x;
    return held;
#endif
}

#endif
