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


cdef inline floating maximum(floating a, floating b) noexcept nogil:
    cdef floating larger = a if a > b else b
    return larger if a == a else a  # a NaN on either side comes through, as in numpy.maximum


cdef inline floating minimum(floating a, floating b) noexcept nogil:
    cdef floating smaller = a if a < b else b
    return smaller if a == a else a  # a NaN on either side comes through, as in numpy.minimum


cdef inline floating sign_of(floating x) noexcept nogil:
    cdef floating zero = 0, one = 1
    return one if x > zero else (-one if x < zero else (zero if x == zero else x))  # the last: a NaN stays one
