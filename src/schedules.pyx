# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, freethreading_compatible=True
"""The schedules' formulas, compiled. ``lrcore/schedules/formulas.py`` says what each computes, with the same names.

Only ``+ - * /`` and square root on doubles, beside frexp and multiplication by powers of two, which are exact: the
values do not depend on the machine. A formula works on a chunk of steps with its arguments ``a``; one step is a
chunk of length one.

All is computed in the default floating-point environment, whatever the caller has set. No argument, however absurd,
leads to an operation that C leaves undefined: a double becomes an integer only where it is one of a few thousand.
"""

import numpy as np

from lrcore import checks

from libc.math cimport INFINITY, NAN, fabs, floor, frexp, sqrt
from libc.stdint cimport int64_t

cdef extern from "environment.h" nogil:
    ctypedef struct environment_t:
        pass
    environment_t environment_enter()
    void environment_leave(environment_t caller)
    double environment_pin(double x)

cdef extern from *:
    """
    static const double G[8] = {
        -0x1.e0f840dad61d9p-6, 0x1.55d3c7e3cbff6p-1, -0x1.e1f506891b0c8p-4, 0x1.a6d1f2a1656cfp-7,
        -0x1.f9d3899ae421ep-11, 0x1.b6e1fbb4dced2p-15, -0x1.20ad6f13d6527p-19, 0x1.22678e9c47cf7p-24,
    };
    #define C1 0x1.3bd3cc9be45dep+1
    #define C1_HIGH 0x1.3bd3cc8p+1
    #define C1_LOW 0x1.be45de5a4adc5p-27
    #define SPLIT_13 1099511627777.0
    #define SPLIT_26 134217729.0
    #define ROUND 6755399441055744.0
    #define LARGE_EXPONENT 18446744073709551616.0
    #define LARGEST 0x1.fffffffffffffp+1023
    #define FAR 708.0
    #define SQRT_HALF 0x1.6a09e667f3bcdp-1
    #define LN2_HIGH 0x1.62e42fefa38p-1
    #define LN2_LOW 0x1.ef35793c7673p-45
    #define STEP_HIGH 0x1.62e42fefap-6
    #define STEP_LOW 0x1.cf79abc9e3b3ap-45
    #define STEPS_PER_UNIT 0x1.71547652b82fep+5
    #define THIRD_HIGH (1.0 / 3.0)
    #define THIRD_LOW 0x1.5555555555555p-56
    #define FIFTH_HIGH (1.0 / 5.0)
    #define FIFTH_LOW -0x1.999999999999ap-57
    static const double EXP2_HIGH[32] = {
        0x1.0000000000000p+0, 0x1.059b0d3158574p+0, 0x1.0b5586cf9890fp+0, 0x1.11301d0125b51p+0,
        0x1.172b83c7d517bp+0, 0x1.1d4873168b9aap+0, 0x1.2387a6e756238p+0, 0x1.29e9df51fdee1p+0,
        0x1.306fe0a31b715p+0, 0x1.371a7373aa9cbp+0, 0x1.3dea64c123422p+0, 0x1.44e086061892dp+0,
        0x1.4bfdad5362a27p+0, 0x1.5342b569d4f82p+0, 0x1.5ab07dd485429p+0, 0x1.6247eb03a5585p+0,
        0x1.6a09e667f3bcdp+0, 0x1.71f75e8ec5f74p+0, 0x1.7a11473eb0187p+0, 0x1.82589994cce13p+0,
        0x1.8ace5422aa0dbp+0, 0x1.93737b0cdc5e5p+0, 0x1.9c49182a3f090p+0, 0x1.a5503b23e255dp+0,
        0x1.ae89f995ad3adp+0, 0x1.b7f76f2fb5e47p+0, 0x1.c199bdd85529cp+0, 0x1.cb720dcef9069p+0,
        0x1.d5818dcfba487p+0, 0x1.dfc97337b9b5fp+0, 0x1.ea4afa2a490dap+0, 0x1.f50765b6e4540p+0,
    };
    static const double EXP2_LOW[32] = {
        0x0.0p+0, 0x1.d73e2a475b465p-55, 0x1.8a62e4adc610bp-54, -0x1.6c51039449b3ap-54,
        -0x1.19041b9d78a76p-55, 0x1.e016e00a2643cp-54, 0x1.9b07eb6c70573p-54, 0x1.612e8afad1255p-55,
        0x1.6f46ad23182e4p-55, -0x1.63aeabf42eae2p-54, 0x1.ada0911f09ebcp-55, 0x1.89b7a04ef80d0p-59,
        0x1.d4397afec42e2p-56, -0x1.07abe1db13cadp-55, 0x1.6324c054647adp-54, -0x1.383c17e40b497p-54,
        -0x1.bdd3413b26456p-54, -0x1.16e4786887a99p-55, -0x1.41577ee04992fp-55, -0x1.d4c1dd41532d8p-54,
        0x1.6e9f156864b27p-54, -0x1.75fc781b57ebcp-57, 0x1.c7c46b071f2bep-56, -0x1.d2f6edb8d41e1p-54,
        0x1.7a1cd345dcc81p-54, -0x1.5584f7e54ac3bp-56, 0x1.11065895048ddp-55, 0x1.503cbd1e949dbp-56,
        0x1.2ed02d75b3707p-55, -0x1.1a5cd4f184b5cp-54, -0x1.e9c23179c2893p-54, 0x1.9d3e12dd8a18bp-54,
    };

    #include <stdint.h>
    #include <string.h>

    static inline double power_of_two(int exponent)
    {
        uint64_t bits = (uint64_t) (exponent + 1023) << 52;
        double x;
        memcpy(&x, &bits, sizeof x);
        return x;
    }

    /* x times a power of two, as ldexp gives it, for 1 <= x < 4 and |exponent| < 2000; a loop can be vectorised. */
    static inline double scaled(double x, int exponent)
    {
        int half = exponent >> 1;
        return x * power_of_two(half) * power_of_two(exponent - half);
    }
    """
    double scaled(double x, int exponent) noexcept nogil
    double power_of_two(int exponent) noexcept nogil
    const double[8] G
    const double[32] EXP2_HIGH
    const double[32] EXP2_LOW
    const double C1, C1_HIGH, C1_LOW, SPLIT_13, SPLIT_26, ROUND, LARGE_EXPONENT, SQRT_HALF, LN2_HIGH, LN2_LOW
    const double LARGEST, FAR, STEP_HIGH, STEP_LOW, STEPS_PER_UNIT, THIRD_HIGH, THIRD_LOW, FIFTH_HIGH, FIFTH_LOW

cdef enum:
    CHUNK = 512

ctypedef (double, double) Pair
ctypedef void (*Rule)(const double* t, double* y, Py_ssize_t n, const double* a, Py_ssize_t n_a) noexcept nogil


# ---- elementary functions -----------------------------------------------------------------------------------
cdef inline double smaller(double a, double b) noexcept nogil:
    return b if a > b else a


cdef inline double half_cosine(double left) noexcept nogil:
    """(1 - cos(pi left)) / 2 for left in [0, 1]."""
    cdef double y = left if left <= 0.5 else 1.0 - left
    cdef double c = y * SPLIT_13
    cdef double high = c - (c - y)
    cdef double rest = (y - high) * (y + high)
    high = high * high
    cdef double u = high + rest
    cdef double g = G[7]
    g = g * u + G[6]
    g = g * u + G[5]
    g = g * u + G[4]
    g = g * u + G[3]
    g = g * u + G[2]
    g = g * u + G[1]
    g = g * u + G[0]
    cdef double a = high * C1_HIGH
    cdef double b = -2.0 * (high * high)
    cdef double s = a + b
    s = s + ((b - (s - a)) + (rest * (C1 - 2.0 * (u + high)) + (high * C1_LOW + u * u * g)))
    return s if left <= 0.5 else 1.0 - s


cdef inline Pair two_product(double a, double b) noexcept nogil:
    """a * b exactly."""
    cdef double p = a * b
    cdef double c = a * SPLIT_26
    cdef double a_high = c - (c - a)
    cdef double a_low = a - a_high
    c = b * SPLIT_26
    cdef double b_high = c - (c - b)
    cdef double b_low = b - b_high
    return p, ((a_high * b_high - p) + a_high * b_low + a_low * b_high) + a_low * b_low


cdef inline Pair fast_two_sum(double a, double b) noexcept nogil:
    """a + b exactly, for |a| >= |b| or a = 0."""
    cdef double s = a + b
    return s, b - (s - a)


cdef inline Pair times(Pair a, Pair b) noexcept nogil:
    cdef Pair p = two_product(a[0], b[0])
    return fast_two_sum(p[0], p[1] + (a[0] * b[1] + a[1] * b[0]))


cdef inline Pair logarithm(double x) noexcept nogil:
    """The natural logarithm of x > 0; NaN for what is not positive and finite."""
    if not 0.0 < x < INFINITY:
        return NAN, NAN
    cdef int exponent
    cdef double m = frexp(x, &exponent)
    if m < SQRT_HALF:
        m = m + m
        exponent -= 1
    cdef double k = <double> exponent
    cdef double a = m - 1.0
    cdef double b = m + 1.0
    cdef double b_low = m - (b - 1.0)
    cdef Pair s, z, q, t, w, p
    cdef double ratio = a / b
    p = two_product(ratio, b)
    s = ratio, (((a - p[0]) - p[1]) - ratio * b_low) / b
    p = two_product(s[0], s[0])
    z = fast_two_sum(p[0], p[1] + 2.0 * (s[0] * s[1]))
    cdef double series = z[0] * (1.0 / 27.0)
    series = z[0] * (1.0 / 25.0 + series)
    series = z[0] * (1.0 / 23.0 + series)
    series = z[0] * (1.0 / 21.0 + series)
    series = z[0] * (1.0 / 19.0 + series)
    series = z[0] * (1.0 / 17.0 + series)
    series = z[0] * (1.0 / 15.0 + series)
    series = z[0] * (1.0 / 13.0 + series)
    series = z[0] * (1.0 / 11.0 + series)
    series = z[0] * (1.0 / 9.0 + series)
    series = z[0] * (1.0 / 7.0 + series)
    q = fast_two_sum(FIFTH_HIGH, series)
    q[1] = q[1] + FIFTH_LOW
    q = times(z, q)
    t = fast_two_sum(THIRD_HIGH, q[0])
    t[1] = t[1] + (q[1] + THIRD_LOW)
    w = times(z, t)
    w = times(s, w)
    t = fast_two_sum(s[0], w[0])
    p = fast_two_sum(k * LN2_HIGH, 2.0 * t[0])
    return fast_two_sum(p[0], p[1] + (2.0 * (t[1] + (s[1] + w[1])) + k * LN2_LOW))


cdef inline Pair reduced(double high, double low) noexcept nogil:
    """n and e^r - 1 for e^h = 2^(n/32) e^r, with n the nearest integer; h a double-double."""
    cdef double n = (high * STEPS_PER_UNIT + ROUND) - ROUND
    cdef double r = (high - n * STEP_HIGH) + (low - n * STEP_LOW)
    return n, r + r * r * (0.5 + r * (1.0 / 6.0 + r * (
        1.0 / 24.0 + r * (1.0 / 120.0 + r * (1.0 / 720.0 + r / 5040.0)))))


cdef inline double exponential_of(double high, double low) noexcept nogil:
    """e to the power of a double-double."""
    low = low if fabs(high) <= 800.0 else 0.0
    high = 800.0 if high > 800.0 else (-800.0 if high < -800.0 else high)
    cdef Pair parts = reduced(high, low)
    cdef double n = parts[0], p = parts[1]
    cdef int integer = <int> (n if n == n else 0.0)
    cdef int j = integer & 31
    return scaled(EXP2_HIGH[j] + (EXP2_LOW[j] + EXP2_HIGH[j] * p), (integer - j) >> 5)


cdef inline double power_of_log(double log, double log_low, double y) noexcept nogil:
    """x to the power y from the logarithm of x."""
    y = LARGE_EXPONENT if y > LARGE_EXPONENT else (-LARGE_EXPONENT if y < -LARGE_EXPONENT else y)
    cdef Pair h = two_product(log, y)
    return exponential_of(h[0], h[1] + log_low * y)


cdef inline double times_power(double a, double log, double log_low, double y) noexcept nogil:
    """a x^y from the logarithm of x, where x^y may leave the range of doubles and a x^y does not."""
    cdef double root = power_of_log(log, log_low, 0.5 * y)
    return a if a == 0.0 else (a * root) * root


cdef inline double power(double x, double y) noexcept nogil:
    """x to the power y, for x >= 0 (and y > 0 where x = 0)."""
    if x == 0.0:
        return 0.0
    cdef Pair log = logarithm(x)
    return power_of_log(log[0], log[1], y)


cdef inline double less_power(double x, double y) noexcept nogil:
    """1 - x^y for x in [0, 1] and y > 0."""
    if x == 0.0:
        return 1.0
    y = smaller(y, LARGE_EXPONENT)
    cdef Pair log = logarithm(x)
    cdef Pair h = two_product(log[0], y)
    cdef double low = h[1] + log[1] * y if fabs(h[0]) <= 40.0 else 0.0
    cdef double high = 40.0 if h[0] > 40.0 else (-40.0 if h[0] < -40.0 else h[0])
    cdef Pair parts = reduced(high, low)
    cdef double n = parts[0], p = parts[1]
    cdef int integer = <int> (n if n == n else 0.0)
    cdef int j = integer & 31
    cdef double scale = power_of_two((integer - j) >> 5)
    return (1.0 - scale * EXP2_HIGH[j]) - scale * (EXP2_LOW[j] + EXP2_HIGH[j] * p)


cdef inline double blend(double initial, double final, double s) noexcept nogil:
    """final + (initial - final) s, exact at both ends, also where the difference or s overflows."""
    cdef double difference = initial - final
    cdef double between = final * (1.0 - s) + initial * s if fabs(difference) == INFINITY else final + difference * s
    return initial if s == 1.0 else (final if s == 0.0 or difference == 0.0 else between)


# ---- the formulas -------------------------------------------------------------------------------------------
cdef void polynomial(const double* t, double* y, Py_ssize_t n, const double* a, Py_ssize_t n_a) noexcept nogil:
    cdef double initial = a[0], final = a[1], steps = a[2], exponent = a[3], cycle = a[4], k_decay = a[5]
    cdef double cycles, length
    if cycle:
        for i in range(n):
            cycles = floor(t[i] / steps)
            if cycles * steps < t[i]:
                cycles += 1.0
            length = steps * (1.0 if cycles < 1.0 else cycles)
            y[i] = (length - t[i]) / length if k_decay == 1.0 else less_power(t[i] / length, k_decay)
    elif k_decay == 1.0:
        for i in range(n):
            y[i] = (steps - smaller(t[i], steps)) / steps
    else:
        for i in range(n):
            y[i] = less_power(smaller(t[i], steps) / steps, k_decay)
    if exponent != 1.0:
        for i in range(n):
            y[i] = power(y[i], exponent)
    for i in range(n):
        y[i] = blend(initial, final, y[i])


cdef void exponential(const double* t, double* y, Py_ssize_t n, const double* a, Py_ssize_t n_a) noexcept nogil:
    cdef double initial = a[0], rate = a[1], decay_steps = a[2], staircase = a[3], final = a[4]
    cdef Pair pair = logarithm(rate)
    cdef double log = pair[0], log_low = pair[1], k
    for i in range(n):
        y[i] = t[i] / decay_steps
    if staircase:
        for i in range(n):
            y[i] = floor(y[i])
    for i in range(n):
        y[i] = initial * power_of_log(log, log_low, y[i])
    for i in range(n):
        k = t[i] / decay_steps
        if fabs(k * log) > FAR or initial == 0.0:
            y[i] = times_power(initial, log, log_low, floor(k) if staircase else k)
    if (initial > 0.0 and rate < 1.0) or (initial < 0.0 and rate > 1.0):
        for i in range(n):
            y[i] = final if y[i] < final else y[i]
    elif (initial > 0.0 and rate > 1.0) or (initial < 0.0 and rate < 1.0):
        for i in range(n):
            y[i] = final if y[i] > final else y[i]


cdef void inverse_time(const double* t, double* y, Py_ssize_t n, const double* a, Py_ssize_t n_a) noexcept nogil:
    cdef double initial = a[0], rate = a[1], decay_steps = a[2], staircase = a[3]
    cdef double k, divisor
    for i in range(n):
        k = t[i] / decay_steps
        if staircase:
            k = floor(k)
        divisor = 1.0 + rate * k
        y[i] = initial / k / rate if divisor == INFINITY else initial / divisor


cdef Py_ssize_t reached(const double* points, Py_ssize_t n, double t) noexcept nogil:
    """How many of the points, which increase, are at or before t."""
    cdef Py_ssize_t first = 0, last = n, middle
    while first < last:
        middle = (first + last) // 2
        if points[middle] <= t:
            first = middle + 1
        else:
            last = middle
    return first


cdef void piecewise_constant(
    const double* t, double* y, Py_ssize_t n, const double* a, Py_ssize_t n_a
) noexcept nogil:
    cdef Py_ssize_t n_boundaries = n_a // 2
    for i in range(n):
        y[i] = a[n_boundaries + reached(a, n_boundaries, t[i])]


cdef void cosine(const double* t, double* y, Py_ssize_t n, const double* a, Py_ssize_t n_a) noexcept nogil:
    cdef double initial = a[0], final = a[1], steps = a[2], exponent = a[3], k_decay = a[4]
    if k_decay == 1.0:
        for i in range(n):
            y[i] = half_cosine((steps - smaller(t[i], steps)) / steps)
    else:
        for i in range(n):
            y[i] = half_cosine(less_power(smaller(t[i], steps) / steps, k_decay))
    if exponent != 1.0:
        for i in range(n):
            y[i] = power(y[i], exponent)
    for i in range(n):
        y[i] = blend(initial, final, y[i])


cdef inline double restart(double scale, double steps, double growth) noexcept nogil:
    """The step at which a period begins that is ``scale`` times as long as the first."""
    cdef double start = steps * (scale - 1.0) / growth
    return steps * ((scale - 1.0) / growth) if start == INFINITY else start


cdef void cosine_restarts(
    const double* t, double* y, Py_ssize_t n, const double* a, Py_ssize_t n_a
) noexcept nogil:
    cdef double initial = a[0], final = a[1], steps = a[2], t_mul = a[3], m_mul = a[4]
    cdef double growth = t_mul - 1.0, k, start, length, scale, left, height
    cdef Pair log_t = logarithm(t_mul), log_m = logarithm(m_mul)
    for i in range(n):
        if t_mul == 1.0:
            k = floor(t[i] / steps)
            start = k * steps
            length = steps
        else:
            k = floor(logarithm(smaller(1.0 + t[i] * growth / steps, LARGEST))[0] / log_t[0])
            if restart(power_of_log(log_t[0], log_t[1], k), steps, growth) > t[i]:
                k -= 1.0
            if restart(power_of_log(log_t[0], log_t[1], k + 1.0), steps, growth) <= t[i]:
                k += 1.0
            scale = power_of_log(log_t[0], log_t[1], k)
            start = restart(scale, steps, growth)
            length = steps * scale
        left = ((start + length) - t[i]) / length
        left = 1.0 if length == INFINITY else smaller(0.0 if left < 0.0 else left, 1.0)
        height = power_of_log(log_m[0], log_m[1], k)
        if fabs(initial - final) <= LARGEST and initial != final:
            y[i] = final + (initial - final) * height * half_cosine(left)
        else:
            y[i] = blend(initial, final, height * half_cosine(left))


cdef void one_cycle(const double* t, double* y, Py_ssize_t n, const double* a, Py_ssize_t n_a) noexcept nogil:
    cdef double initial = a[0], peak = a[1], final = a[2], steps = a[3], warmup = a[4], down = a[5], linear = a[6]
    cdef double x, s, start, end, first, last
    for i in range(n):
        x = smaller(t[i], steps)
        if x < warmup:
            start, end, first, last = 0.0, warmup, initial, peak
        elif x < down:
            start, end, first, last = warmup, down, peak, initial
        else:
            start, end, first, last = down, steps, (initial if down > warmup else peak), final
        s = (end - x) / (end - start)
        if not linear:
            s = half_cosine(s)
        y[i] = blend(first, last, s)


cdef void cyclic(const double* t, double* y, Py_ssize_t n, const double* a, Py_ssize_t n_a) noexcept nogil:
    cdef double low = a[0], high = a[1], up = a[2], down = a[3], mode = a[4], gamma = a[5]
    cdef double total = up + down, cycle, p, s
    cdef Pair log_half = logarithm(0.5), log_gamma = logarithm(gamma)
    for i in range(n):
        cycle = floor(t[i] / total)
        p = t[i] - cycle * total
        s = p / up if p <= up else (total - p) / down
        if s == 0.0:
            y[i] = low
            continue
        if mode == 1.0:
            s = s * power_of_log(log_half[0], log_half[1], cycle)
        elif mode == 2.0:
            s = s * power_of_log(log_gamma[0], log_gamma[1], t[i])
        y[i] = blend(high, low, s)


cdef void inverse_sqrt(const double* t, double* y, Py_ssize_t n, const double* a, Py_ssize_t n_a) noexcept nogil:
    cdef double peak = a[0], warmup = a[1], timescale = a[2], x
    for i in range(n):
        x = t[i] + 1.0
        y[i] = peak * (x / warmup if x < warmup else sqrt(timescale / ((x - warmup) + timescale)))


cdef void warmup_stable_decay(
    const double* t, double* y, Py_ssize_t n, const double* a, Py_ssize_t n_a
) noexcept nogil:
    cdef double peak = a[0], final = a[1], warmup = a[2], stable = a[3], decay = a[4], shape = a[5]
    cdef double gone, x, left, s
    for i in range(n):
        if t[i] < warmup:
            y[i] = peak * ((t[i] + 1.0) / warmup)
            continue
        gone = (t[i] - warmup) - stable
        gone = smaller(0.0 if gone < 0.0 else gone, decay)
        x = gone / decay
        left = (decay - gone) / decay
        if shape == 0.0:
            s = left / (1.0 + sqrt(x))
        elif shape == 1.0:
            s = left
        elif shape == 2.0:
            s = half_cosine(left)
        else:
            s = left * (1.0 + x)
        y[i] = blend(peak, final, s)


cdef void rex(const double* t, double* y, Py_ssize_t n, const double* a, Py_ssize_t n_a) noexcept nogil:
    cdef double initial = a[0], final = a[1], steps = a[2], left
    for i in range(n):
        left = steps - smaller(t[i], steps)
        y[i] = blend(initial, final, 2.0 * left / (steps + left))


cdef void cosine_cycles(const double* t, double* y, Py_ssize_t n, const double* a, Py_ssize_t n_a) noexcept nogil:
    cdef double initial = a[0], final = a[1], steps = a[2], cycles = a[3], restart = a[4]
    cdef double gone, left
    cdef Pair done, whole
    for i in range(n):
        done = two_product(t[i], cycles)
        whole = two_product(floor(done[0] / steps), steps)
        gone = (done[0] - whole[0]) + (done[1] - whole[1])
        if gone < 0.0:
            gone = gone + steps
        if gone >= steps:
            gone = gone - steps
        left = (steps - gone) / steps if restart else fabs(steps - 2.0 * gone) / steps
        y[i] = blend(initial, final, half_cosine(left))


cdef void power_decay(const double* t, double* y, Py_ssize_t n, const double* a, Py_ssize_t n_a) noexcept nogil:
    cdef double initial = a[0], exponent = a[1], steps = a[2]
    cdef Pair log
    for i in range(n):
        log = logarithm((steps + t[i]) / steps)
        if fabs(-exponent * log[0]) > FAR:
            y[i] = times_power(initial, log[0], log[1], -exponent)
        else:
            y[i] = initial * power_of_log(log[0], log[1], -exponent)


cdef void tanh(const double* t, double* y, Py_ssize_t n, const double* a, Py_ssize_t n_a) noexcept nogil:
    cdef double peak = a[0], final = a[1], steps = a[2], lower = a[3], upper = a[4], x
    for i in range(n):
        x = smaller(t[i], steps)
        y[i] = 2.0 * (lower * ((steps - x) / steps) + upper * (x / steps))
        y[i] = blend(peak, final, 1.0 / (1.0 + exponential_of(y[i], 0.0))) if x < steps else final


cdef void table(const double* t, double* y, Py_ssize_t n, const double* a, Py_ssize_t n_a) noexcept nogil:
    cdef double interpolate = a[0], left
    cdef Py_ssize_t n_points = n_a // 2, after
    cdef const double* steps = a + 1
    cdef const double* values = steps + n_points
    for i in range(n):
        after = reached(steps, n_points, t[i])
        if after == 0 or after == n_points or not interpolate:
            y[i] = values[max(after - 1, 0)]
            continue
        left = (steps[after] - t[i]) / (steps[after] - steps[after - 1])
        y[i] = blend(values[after - 1], values[after], half_cosine(left) if interpolate == 2.0 else left)


cdef void warmup(const double* t, double* y, Py_ssize_t n, const double* a, Py_ssize_t n_a) noexcept nogil:
    cdef double peak = a[0], start = a[1], steps = a[2], shape = a[3], offset = a[4]
    cdef double done, x, left, s
    for i in range(n):
        done = smaller(t[i] + offset, steps)
        x = done / steps
        left = (steps - done) / steps
        if shape == 4.0:
            s = power(fabs(start), left) * power(fabs(peak), x)
            y[i] = peak if x == 1.0 else (-s if peak < 0.0 else s)
            continue
        if shape == 0.0:
            s = x
        elif shape == 1.0:
            s = half_cosine(x)
        elif shape == 2.0:
            s = x / (1.0 + sqrt(left))
        else:
            s = smaller(logarithm(1.0 + done)[0] / logarithm(1.0 + steps)[0], 1.0)
        y[i] = blend(peak, start, s)


cdef enum:
    BOUNDARIES_AND_VALUES = 0  # as a number of arguments: any odd one
    MODE_STEPS_AND_VALUES = -1  # any odd one from 3


cdef Rule rule_named(str name, Py_ssize_t* n_arguments) except NULL:
    """A formula and the number of arguments that it reads."""
    if name == "polynomial":
        n_arguments[0] = 6
        return polynomial
    if name == "exponential":
        n_arguments[0] = 5
        return exponential
    if name == "inverse_time":
        n_arguments[0] = 4
        return inverse_time
    if name == "piecewise_constant":
        n_arguments[0] = BOUNDARIES_AND_VALUES
        return piecewise_constant
    if name == "cosine":
        n_arguments[0] = 5
        return cosine
    if name == "cosine_restarts":
        n_arguments[0] = 5
        return cosine_restarts
    if name == "one_cycle":
        n_arguments[0] = 7
        return one_cycle
    if name == "cyclic":
        n_arguments[0] = 6
        return cyclic
    if name == "inverse_sqrt":
        n_arguments[0] = 3
        return inverse_sqrt
    if name == "warmup_stable_decay":
        n_arguments[0] = 6
        return warmup_stable_decay
    if name == "rex":
        n_arguments[0] = 3
        return rex
    if name == "cosine_cycles":
        n_arguments[0] = 5
        return cosine_cycles
    if name == "power_decay":
        n_arguments[0] = 3
        return power_decay
    if name == "tanh":
        n_arguments[0] = 5
        return tanh
    if name == "table":
        n_arguments[0] = MODE_STEPS_AND_VALUES
        return table
    if name == "warmup":
        n_arguments[0] = 5
        return warmup
    raise KeyError(name)


def scalar_power(double x, double y):
    """x to the power y, for finite x >= 0 (and y > 0 where x = 0)."""
    cdef environment_t caller = environment_enter()
    cdef double result = environment_pin(power(environment_pin(x), environment_pin(y)))
    environment_leave(caller)
    return result


def in_default_environment(function, argument):
    """``function(argument)``, computed in the default floating-point environment; the caller's comes back after it."""
    cdef environment_t caller = environment_enter()
    try:
        return function(argument)
    finally:
        environment_leave(caller)


cdef class Formula:
    """A formula by name with its arguments, evaluated at one step or at many."""

    cdef Rule rule
    cdef double[::1] arguments

    def __cinit__(self, str name not None, arguments):
        cdef Py_ssize_t expected, got, i
        cdef Rule rule = rule_named(name, &expected)
        values = np.array([checks.number(f"{name}[{i}]", x) for i, x in enumerate(arguments)], np.float64)
        got = len(values)
        if expected > 0 and got != expected:
            raise ValueError(f"{name} must have {expected} arguments, got {got}")
        if expected <= 0:
            first = 1 if expected == MODE_STEPS_AND_VALUES else 0
            if got % 2 == 0 or got <= 2 * first:
                raise ValueError(f"{name} must have an odd number of arguments{', 3 or more' * first}, got {got}")
            if not (np.diff(values[first : first + got // 2]) > 0.0).all():
                raise ValueError(f"{name} must have steps that increase, got {checks.shown(values.tolist())}")
        self.rule = rule
        self.arguments = values

    def value(self, long long step):
        """The value at one step."""
        cdef const double* a = &self.arguments[0]
        cdef Py_ssize_t n_a = self.arguments.shape[0]
        cdef double t, y
        cdef environment_t caller = environment_enter()
        t = <double> step
        self.rule(&t, &y, 1, a, n_a)
        environment_leave(caller)
        return y

    def values(self, const int64_t[::1] steps not None):
        """The values at a one-dimensional array of steps."""
        out = np.empty(steps.shape[0], np.float64)
        cdef double[::1] y = out
        cdef const double* a = &self.arguments[0]
        cdef Py_ssize_t n_a = self.arguments.shape[0], start = 0, size, i, n = steps.shape[0]
        cdef double[CHUNK] t
        cdef environment_t caller
        with nogil:
            caller = environment_enter()
            while start < n:
                size = min(n - start, <Py_ssize_t> CHUNK)
                for i in range(size):
                    t[i] = <double> steps[start + i]
                self.rule(t, &y[start], size, a, n_a)
                start += size
            environment_leave(caller)
        return out
