# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# cython: freethreading_compatible=True
"""Exponentially weighted averages, compiled; ``rows_in_numpy`` of ``lrcore/averages.py`` says the same in NumPy.

Only + - * / on doubles in a fixed order, so the bits do not depend on the machine.
"""

cimport cython

cdef extern from *:
    """
    #include <fenv.h>
    """
    ctypedef struct fenv_t:
        pass
    int fegetenv(fenv_t*) nogil
    int fesetenv(const fenv_t*) nogil
    const fenv_t* FE_DFL_ENV


def rows(const cython.floating[:, ::1] x, double beta, bint bias_correction, double[::1] v, double power,
         cython.floating[:, ::1] out):
    """Average the rows of ``x`` into ``out``, going on from ``v`` and beta^t = ``power``; returns the new power."""
    cdef fenv_t environment
    cdef double one_minus_beta = 1.0 - beta
    cdef double correction
    cdef Py_ssize_t t, i
    with nogil:
        fegetenv(&environment)
        fesetenv(FE_DFL_ENV)
        for t in range(x.shape[0]):
            power = beta * power
            if 1.0 - power == 1.0:
                power = 0.0
            correction = 1.0 - power if bias_correction else 1.0
            for i in range(x.shape[1]):
                v[i] = beta * v[i] + one_minus_beta * x[t, i]
                out[t, i] = <cython.floating> (v[i] / correction)
        fesetenv(&environment)
    return power
