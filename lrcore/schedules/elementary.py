"""The functions that the formulas of schedules are built from, in NumPy; ``src/schedules.pyx`` has them compiled.

Only ``+ - * /`` and square root are used, which IEEE 754 rounds correctly. Sines and powers of a machine's C library
are not: they differ between libraries, and within one library between processors. So these are built here from the
four operations, within 1 ulp (unit in the last place) of the true value, the last within 2:

``half_cosine(left)``
    the cosine decay itself; it keeps its relative accuracy to the end, where ``1 + cos`` cancels.
``power(x, y)``
    by logarithm and exponential in double-double arithmetic: a number as an unevaluated sum ``high + low``, about
    106 bits (T. J. Dekker, "A floating-point technique for extending the available precision", 1971).
``less_power(x, y)``
    1 - x^y, from the same parts, without the cancellation.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Doubles: TypeAlias = npt.NDArray[np.float64]
Pair: TypeAlias = tuple[Doubles, Doubles]

# ---- half_cosine: sin(pi y / 2)^2 = C1 y^2 - 2 y^4 + y^4 G(y^2) for y in [0, 1/2] ---------------------------
SPLIT_13 = 2.0**40 + 1.0  # leaves 13 bits in the high part: its fourth power, and its square times C1_HIGH, are exact
C1 = float.fromhex("0x1.3bd3cc9be45dep+1")  # pi^2 / 4
C1_HIGH = float.fromhex("0x1.3bd3cc8p+1")  # 27 bits
C1_LOW = float.fromhex("0x1.be45de5a4adc5p-27")
G = tuple(  # interpolates (sin(pi y / 2)^2 / y^2 - C1) / y^2 + 2 in y^2 at the Chebyshev points of [0, 1/4]
    float.fromhex(c)
    for c in (
        "-0x1.e0f840dad61d9p-6",
        "0x1.55d3c7e3cbff6p-1",
        "-0x1.e1f506891b0c8p-4",
        "0x1.a6d1f2a1656cfp-7",
        "-0x1.f9d3899ae421ep-11",
        "0x1.b6e1fbb4dced2p-15",
        "-0x1.20ad6f13d6527p-19",
        "0x1.22678e9c47cf7p-24",
    )
)

# ---- power --------------------------------------------------------------------------------------------------
SPLIT_26 = 2.0**27 + 1.0
LARGEST = float.fromhex("0x1.fffffffffffffp+1023")
ROUND = 1.5 * 2.0**52  # adding and subtracting it rounds to the nearest integer
SQRT_HALF = float.fromhex("0x1.6a09e667f3bcdp-1")
LN2_HIGH = float.fromhex("0x1.62e42fefa38p-1")  # 42 bits: exact when multiplied by an exponent
LN2_LOW = float.fromhex("0x1.ef35793c7673p-45")
STEP_HIGH = float.fromhex("0x1.62e42fefap-6")  # ln(2) / 32, 36 bits
STEP_LOW = float.fromhex("0x1.cf79abc9e3b3ap-45")
STEPS_PER_UNIT = float.fromhex("0x1.71547652b82fep+5")  # 32 / ln(2)
THIRD_HIGH, THIRD_LOW = 1.0 / 3.0, float.fromhex("0x1.5555555555555p-56")
FIFTH_HIGH, FIFTH_LOW = 1.0 / 5.0, float.fromhex("-0x1.999999999999ap-57")
# 2^(j/32), j = 0 .. 31, as high + low
EXP2 = (
    ("0x1.0000000000000p+0", "0x0.0p+0"),
    ("0x1.059b0d3158574p+0", "0x1.d73e2a475b465p-55"),
    ("0x1.0b5586cf9890fp+0", "0x1.8a62e4adc610bp-54"),
    ("0x1.11301d0125b51p+0", "-0x1.6c51039449b3ap-54"),
    ("0x1.172b83c7d517bp+0", "-0x1.19041b9d78a76p-55"),
    ("0x1.1d4873168b9aap+0", "0x1.e016e00a2643cp-54"),
    ("0x1.2387a6e756238p+0", "0x1.9b07eb6c70573p-54"),
    ("0x1.29e9df51fdee1p+0", "0x1.612e8afad1255p-55"),
    ("0x1.306fe0a31b715p+0", "0x1.6f46ad23182e4p-55"),
    ("0x1.371a7373aa9cbp+0", "-0x1.63aeabf42eae2p-54"),
    ("0x1.3dea64c123422p+0", "0x1.ada0911f09ebcp-55"),
    ("0x1.44e086061892dp+0", "0x1.89b7a04ef80d0p-59"),
    ("0x1.4bfdad5362a27p+0", "0x1.d4397afec42e2p-56"),
    ("0x1.5342b569d4f82p+0", "-0x1.07abe1db13cadp-55"),
    ("0x1.5ab07dd485429p+0", "0x1.6324c054647adp-54"),
    ("0x1.6247eb03a5585p+0", "-0x1.383c17e40b497p-54"),
    ("0x1.6a09e667f3bcdp+0", "-0x1.bdd3413b26456p-54"),
    ("0x1.71f75e8ec5f74p+0", "-0x1.16e4786887a99p-55"),
    ("0x1.7a11473eb0187p+0", "-0x1.41577ee04992fp-55"),
    ("0x1.82589994cce13p+0", "-0x1.d4c1dd41532d8p-54"),
    ("0x1.8ace5422aa0dbp+0", "0x1.6e9f156864b27p-54"),
    ("0x1.93737b0cdc5e5p+0", "-0x1.75fc781b57ebcp-57"),
    ("0x1.9c49182a3f090p+0", "0x1.c7c46b071f2bep-56"),
    ("0x1.a5503b23e255dp+0", "-0x1.d2f6edb8d41e1p-54"),
    ("0x1.ae89f995ad3adp+0", "0x1.7a1cd345dcc81p-54"),
    ("0x1.b7f76f2fb5e47p+0", "-0x1.5584f7e54ac3bp-56"),
    ("0x1.c199bdd85529cp+0", "0x1.11065895048ddp-55"),
    ("0x1.cb720dcef9069p+0", "0x1.503cbd1e949dbp-56"),
    ("0x1.d5818dcfba487p+0", "0x1.2ed02d75b3707p-55"),
    ("0x1.dfc97337b9b5fp+0", "-0x1.1a5cd4f184b5cp-54"),
    ("0x1.ea4afa2a490dap+0", "-0x1.e9c23179c2893p-54"),
    ("0x1.f50765b6e4540p+0", "0x1.9d3e12dd8a18bp-54"),
)
EXP2_HIGH = np.array([float.fromhex(high) for high, _ in EXP2])
EXP2_LOW = np.array([float.fromhex(low) for _, low in EXP2])


def full(t: Doubles, value: float) -> Doubles:
    return np.full_like(t, value)


def half_cosine(left: Doubles) -> Doubles:
    r"""Half a period of the cosine as a function of what is left of it: 1 at left = 1, 0 at left = 0.

    .. math:: \tfrac12 (1 - \cos \pi x) = \sin^2(\pi x / 2), \quad x = \text{left}

    ``left`` must lie in [0, 1]. Exact at 0, 1/2 and 1; within 1 ulp elsewhere, also where the value is small.
    """
    second_half = left <= 0.5
    y = np.where(second_half, left, 1.0 - left)
    c = y * SPLIT_13
    high = c - (c - y)
    rest = (y - high) * (y + high)
    high = high * high  # y^2 = high + rest
    u = high + rest
    g = np.full_like(u, G[7])
    for coefficient in G[6::-1]:
        g = g * u + coefficient
    a = high * C1_HIGH
    b = -2.0 * (high * high)
    s = a + b
    s = s + ((b - (s - a)) + (rest * (C1 - 2.0 * (u + high)) + (high * C1_LOW + u * u * g)))
    return np.where(second_half, s, 1.0 - s)


def two_product(a: Doubles, b: Doubles) -> Pair:
    """a * b exactly, as a double-double."""
    p = a * b
    c = a * SPLIT_26
    a_high = c - (c - a)
    a_low = a - a_high
    c = b * SPLIT_26
    b_high = c - (c - b)
    b_low = b - b_high
    return p, ((a_high * b_high - p) + a_high * b_low + a_low * b_high) + a_low * b_low


def fast_two_sum(a: Doubles, b: Doubles) -> Pair:
    """a + b exactly, as a double-double, for \\|a\\| >= \\|b\\| or a = 0."""
    s = a + b
    return s, b - (s - a)


def times(a: Pair, b: Pair) -> Pair:
    """The product of two double-doubles."""
    p, e = two_product(a[0], b[0])
    return fast_two_sum(p, e + (a[0] * b[1] + a[1] * b[0]))


def logarithm(x: Doubles) -> Pair:
    r"""The natural logarithm of x > 0 as a double-double with a relative error below 2^-69; NaN elsewhere.

    .. math:: \ln(2^k m) = k \ln 2 + 2 s \left(1 + \frac{s^2}{3} + \frac{s^4}{5} + \dots\right),
        \quad s = \frac{m - 1}{m + 1}, \quad \sqrt{1/2} \le m < \sqrt 2
    """
    valid = (x > 0.0) & (x < np.inf)
    m, exponent = np.frexp(np.where(valid, x, np.nan))
    small = m < SQRT_HALF
    m = np.where(small, m + m, m)
    k = np.where(valid, np.where(small, exponent - 1, exponent), 0).astype(np.float64)
    a = m - 1.0
    b = m + 1.0
    b_low = m - (b - 1.0)
    s = a / b
    p, e = two_product(s, b)
    s_low = (((a - p) - e) - s * b_low) / b
    z, e = two_product(s, s)
    z, z_low = fast_two_sum(z, e + 2.0 * (s * s_low))
    series = z * (1.0 / 27.0)
    for n in (25.0, 23.0, 21.0, 19.0, 17.0, 15.0, 13.0, 11.0, 9.0, 7.0):
        series = z * (1.0 / n + series)
    q, e = fast_two_sum(np.full_like(z, FIFTH_HIGH), series)
    q, e = times((z, z_low), (q, e + FIFTH_LOW))
    t, t_low = fast_two_sum(np.full_like(z, THIRD_HIGH), q)
    w, w_low = times((z, z_low), (t, t_low + (e + THIRD_LOW)))
    w, w_low = times((s, s_low), (w, w_low))
    high, low = fast_two_sum(s, w)  # s + s w
    high, e = fast_two_sum(k * LN2_HIGH, 2.0 * high)
    return fast_two_sum(high, e + (2.0 * (low + (s_low + w_low)) + k * LN2_LOW))


def reduced(high: Doubles, low: Doubles) -> Pair:
    """n and :math:`e^r - 1` for :math:`e^h = 2^{n/32} e^r`, with n the nearest integer; h a double-double."""
    n = (high * STEPS_PER_UNIT + ROUND) - ROUND
    r = (high - n * STEP_HIGH) + (low - n * STEP_LOW)
    p = r + r * r * (0.5 + r * (1.0 / 6.0 + r * (1.0 / 24.0 + r * (1.0 / 120.0 + r * (1.0 / 720.0 + r / 5040.0)))))
    return n, p


def exponential_of(high: Doubles, low: Doubles) -> Doubles:
    r"""e to the power of a double-double: 0 below the smallest double, inf above the largest.

    .. math:: e^h = 2^k \, 2^{j/32} \, e^r, \quad |r| \le \frac{\ln 2}{64}
    """
    low = np.where(np.abs(high) <= 800.0, low, 0.0)
    high = np.where(high > 800.0, 800.0, np.where(high < -800.0, -800.0, high))
    n, p = reduced(high, low)
    whole = np.where(n == n, n, 0.0).astype(np.int64)
    j = whole & 31
    value = EXP2_HIGH[j] + (EXP2_LOW[j] + EXP2_HIGH[j] * p)
    result: Doubles = np.ldexp(value, ((whole - j) >> 5).astype(np.int32))
    return result


def power(x: Doubles, y: Doubles) -> Doubles:
    r"""x to the power y, for finite x >= 0 (and y > 0 where x = 0).

    .. math:: x^y = e^{y \ln x}

    Exact where the result is a double (``power(x, 1) = x``, ``power(2, n)``); 0 or inf outside the range of a
    double.
    """
    zero = x == 0.0
    return np.where(zero, 0.0, power_of_log(logarithm(np.where(zero, 1.0, x)), y))


def power_of_log(log: Pair, y: Doubles) -> Doubles:
    """x to the power y from the logarithm of x."""
    y = np.where(y > 2.0**64, 2.0**64, np.where(y < -(2.0**64), -(2.0**64), y))
    h, e = two_product(log[0], y)
    return exponential_of(h, e + log[1] * y)


def times_power(a: float, log: Pair, y: Doubles) -> Doubles:
    """a x^y from the logarithm of x, where x^y may leave the range of doubles and a x^y does not."""
    root = power_of_log(log, 0.5 * y)
    return full(y, a) if a == 0.0 else (a * root) * root


def less_power(x: Doubles, y: float) -> Doubles:
    r"""1 - x^y for x in [0, 1] and y > 0, with its relative accuracy also where x^y is near 1.

    .. math:: 1 - e^h = (1 - 2^{n/32}) - 2^{n/32} (e^r - 1), \quad h = y \ln x
    """
    zero = x == 0.0
    log, log_low = logarithm(np.where(zero, 1.0, x))
    y = min(y, 2.0**64)
    high, low = two_product(log, full(x, y))
    low = np.where(np.abs(high) <= 40.0, low + log_low * y, 0.0)
    high = np.where(high > 40.0, 40.0, np.where(high < -40.0, -40.0, high))
    n, p = reduced(high, low)
    whole = np.where(n == n, n, 0.0).astype(np.int64)
    j = whole & 31
    scale = np.ldexp(1.0, ((whole - j) >> 5).astype(np.int32))
    value = (1.0 - scale * EXP2_HIGH[j]) - scale * (EXP2_LOW[j] + EXP2_HIGH[j] * p)
    return np.where(zero, 1.0, value)


def scalar_power(x: float, y: float) -> float:
    """:func:`power` of two numbers."""
    with np.errstate(all="ignore"):
        return float(power(np.array([x], np.float64), np.array([y], np.float64))[0])
