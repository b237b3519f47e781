# cython: language_level=3, freethreading_compatible=True
"""Which instruction-set levels of x86-64 this processor, and its operating system, can run."""

cdef extern from *:
    """
    #if defined(__x86_64__) && defined(__GNUC__)
    #define HAS(feature) (__builtin_cpu_supports(feature) != 0)
    static int x86_64_level(void)
    {
        __builtin_cpu_init();
        if (!(HAS("sse3") && HAS("ssse3") && HAS("sse4.1") && HAS("sse4.2") && HAS("popcnt")))
            return 1;
        if (!(HAS("avx") && HAS("avx2") && HAS("bmi") && HAS("bmi2") && HAS("fma")))
            return 2;
        if (!(HAS("avx512f") && HAS("avx512bw") && HAS("avx512cd") && HAS("avx512dq") && HAS("avx512vl")))
            return 3;
        return 4;
    }
    #else
    static int x86_64_level(void) { return 0; }
    #endif
    """
    int x86_64_level()


def levels() -> tuple:
    """Names of the x86-64 levels that can run here, lowest first; empty on another processor.

    The levels are those of the x86-64 psABI. LZCNT, MOVBE, F16C and the rest of a level come with the
    features asked for on every processor made; the compiler's run-time support checks that the operating
    system saves the wide registers.
    """
    return tuple(f"v{level}" for level in range(1, x86_64_level() + 1))
