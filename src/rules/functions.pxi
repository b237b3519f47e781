# What rules are made of besides + - * /: each exact or correctly rounded, and the same for a NaN as its NumPy twin.

from libc.math cimport fabs, fabsf, sqrt, sqrtf

ctypedef fused floating:
    float
    double


cdef inline floating root(floating x) noexcept nogil:
    if floating is float:
        return sqrtf(x)
    else:
        return sqrt(x)


cdef inline floating magnitude(floating x) noexcept nogil:
    if floating is float:
        return fabsf(x)
    else:
        return fabs(x)


cdef union Word:
    double value
    unsigned long long bits


cdef inline floating cube_root(floating x) noexcept nogil:
    """The cube root, within a unit in the last place: from a guess in the bits, Halley's steps in double precision."""
    cdef double a = magnitude(x), scale = 1, unscale = 1, y, c
    cdef Word word
    cdef int k
    if floating is double:  # so that a cube neither overflows nor vanishes; float32 is far from either
        scale = 4.909093465297727e-91 if a > 1e200 else (2.037035976334486e90 if a < 1e-200 else scale)  # 2^-300, 2^300
        unscale = 1.2676506002282294e30 if a > 1e200 else (7.888609052210118e-31 if a < 1e-200 else unscale)
    a = a * scale
    word.value = a
    word.bits = ((word.bits >> 32) * 0x55555556 >> 32) + 715094163 << 32  # a third of the exponent
    y = word.value
    for k in range(2 if floating is float else 3):
        c = y * y * y
        y = y + y * ((a - c) / (c + c + a))
    y = y * unscale
    return <floating> (-y if x < 0 else y) if x != 0 and magnitude(x) < INFINITY else x


cdef inline floating maximum(floating a, floating b) noexcept nogil:
    cdef floating larger = a if a > b else b
    return larger if a == a else a  # a NaN on either side comes through, as in numpy.maximum


cdef inline floating minimum(floating a, floating b) noexcept nogil:
    cdef floating smaller = a if a < b else b
    return smaller if a == a else a  # a NaN on either side comes through, as in numpy.minimum


cdef inline floating sign_of(floating x) noexcept nogil:
    cdef floating zero = 0, one = 1
    return one if x > zero else (-one if x < zero else (zero if x == zero else x))  # the last: a NaN stays one
