"""Every rule by name, and what it takes."""

from __future__ import annotations

from collections.abc import Callable
from inspect import isfunction

import lrcore.reference.adam as adam
import lrcore.reference.adaptive as adaptive
import lrcore.reference.averaging as averaging
import lrcore.reference.distance as distance
import lrcore.reference.factored as factored
import lrcore.reference.layerwise as layerwise
import lrcore.reference.moments as moments
import lrcore.reference.nesterov as nesterov
import lrcore.reference.sgd as sgd
import lrcore.reference.sign as sign
import lrcore.reference.trust as trust

RULES: dict[str, Callable[..., None]] = {
    name: rule
    for family in (sgd, adaptive, adam, nesterov, sign, moments, averaging, layerwise, trust, distance, factored)
    for name, rule in vars(family).items()
    if isfunction(rule) and rule.__code__.co_varnames[:1] == ("theta",)
}


def state_names(rule: str) -> tuple[str, ...]:
    """Names of the state arrays of a rule, in its argument order."""
    code = RULES[rule].__code__
    return code.co_varnames[2 : code.co_posonlyargcount]


def coefficient_names(rule: str) -> tuple[str, ...]:
    """Names of the coefficients of a rule, in its argument order."""
    code = RULES[rule].__code__
    return code.co_varnames[code.co_posonlyargcount : code.co_argcount]
