"""The specification: every update rule as plain NumPy, changing its arrays in place.

A rule takes its arrays by position (parameter ``theta``, gradient ``g``, then its state) and after the ``/``
its coefficients, Python floats formed once a step by :mod:`lrcore.optimizers`. NumPy casts them to the arrays'
dtype. ``src/rules`` holds the same rules compiled, family by family: same names, same argument order, same order of
operations, and so, each operation being correctly rounded, the same bits.

Throughout, ``keep`` is 1 minus the decoupled weight decay of this step (1.0 where there is none, which changes
no bit), and ``one_minus_x`` is ``1 - x`` formed in double precision. Bias corrections are folded into ``rate``
and ``eps`` as at the end of section 2 of Kingma & Ba, so that a convention is a choice of coefficients.

A rule is found here by being a function of a family's module whose first argument is ``theta``.
"""

from __future__ import annotations

from lrcore.reference.directions import SETTINGS, STATES, Aim, Settings
from lrcore.reference.rules import RULES, coefficient_names, state_names
from lrcore.reference.spans import AROUND, GradientTerms, Tail
from lrcore.reference.sums import CHUNK, LANES, chunk_sums
from lrcore.reference.sweep import Entry, Filters, Look, Products, Seen, Sweep, Terms, any_none, same_objects

__all__ = [
    "AROUND",
    "CHUNK",
    "LANES",
    "RULES",
    "SETTINGS",
    "STATES",
    "Aim",
    "Entry",
    "Filters",
    "GradientTerms",
    "Look",
    "Products",
    "Seen",
    "Settings",
    "Sweep",
    "Tail",
    "Terms",
    "any_none",
    "chunk_sums",
    "coefficient_names",
    "same_objects",
    "state_names",
]
