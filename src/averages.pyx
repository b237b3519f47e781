# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# cython: freethreading_compatible=True
"""Exponentially weighted averages, compiled; ``rows_in_numpy`` of ``lrcore/averages.py`` says the same in NumPy.

Only + - * / on doubles in a fixed order, so the bits do not depend on the machine.
"""

cimport cython

cdef extern from "environment.h" nogil:
    ctypedef struct environment_t:
        pass
    environment_t environment_enter()
    void environment_leave(environment_t caller)
    double environment_pin(double x)


def rows(const cython.floating[:, ::1] x, double beta, bint bias_correction, double[::1] v, double power,
         cython.floating[:, ::1] out):
    """Average the rows of ``x`` into ``out``, going on from ``v`` and beta^t = ``power``; returns the new power."""
    cdef environment_t caller
    cdef double one_minus_beta, correction
    cdef Py_ssize_t t, i
    with nogil:
        caller = environment_enter()
        beta = environment_pin(beta)
        power = environment_pin(power)
        one_minus_beta = 1.0 - beta
        for t in range(x.shape[0]):
            power = beta * power
            if 1.0 - power == 1.0:
                power = 0.0
            correction = 1.0 - power if bias_correction else 1.0
            for i in range(x.shape[1]):
                v[i] = beta * v[i] + one_minus_beta * x[t, i]
                out[t, i] = <cython.floating> (v[i] / correction)
        power = environment_pin(power)
        environment_leave(caller)
    return power
