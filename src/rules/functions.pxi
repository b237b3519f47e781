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
