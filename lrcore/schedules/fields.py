"""Valid arguments, as data: the annotation of a schedule's field checks and converts what it is given."""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from itertools import islice, pairwise
from typing import Annotated, Any, TypeAlias

from lrcore import checks

LAST_STEP = 2**53 - 1  # steps up to here, and their successors, are exact as doubles
MOST_ENTRIES = 2**20  # of a sequence

Check: TypeAlias = Callable[[str, Any], Any]


def optional(check: Check) -> Check:
    """None, or what ``check`` accepts."""
    return lambda name, value: None if value is None else check(name, value)


def one_of(*words: str) -> Check:
    """One of a few words."""
    return lambda name, value: checks.one_of(name, value, *words)


def each(check: Check, increasing: bool = False) -> Check:
    """A sequence, kept as a tuple, each entry of which ``check`` accepts; in strictly increasing order if asked."""

    def entries(name: str, value: Any) -> tuple[Any, ...]:
        if isinstance(value, (str, Mapping)) or not isinstance(value, Iterable):
            raise TypeError(f"{name} must be a sequence, got {checks.shown(value)}")
        found: tuple[Any, ...] = tuple(
            check(f"{name}[{i}]", entry) for i, entry in enumerate(islice(value, MOST_ENTRIES + 1))
        )
        if len(found) > MOST_ENTRIES:
            raise ValueError(f"{name} must have at most {MOST_ENTRIES} entries, got more")
        if increasing and any(b <= a for a, b in pairwise(found)):
            raise ValueError(f"{name} must increase strictly, got {checks.shown(found)}")
        return found

    return entries


def scales(name: str, value: Any) -> dict[int, float]:
    """A mapping from steps to factors, in the order of the steps."""
    if not isinstance(value, Mapping):
        raise TypeError(f"{name} must be a mapping, got {checks.shown(value)}")
    found = {count(f"a step of {name}", step): real(f"{name}[{step!r}]", factor) for step, factor in value.items()}
    return dict(sorted(found.items()))


real = partial(checks.number, interval="(-inf, inf)")
count = partial(checks.whole, low=1)
points = each(partial(checks.whole, low=0), increasing=True)
at_most_entries = partial(checks.whole, low=1, high=MOST_ENTRIES)

Real: TypeAlias = Annotated[float, real]
Positive: TypeAlias = Annotated[float, partial(checks.number, interval="(0, inf)")]
NotNegative: TypeAlias = Annotated[float, partial(checks.number, interval="[0, inf)")]
AtLeastOne: TypeAlias = Annotated[float, partial(checks.number, interval="[1, inf)")]
Fraction: TypeAlias = Annotated[float, partial(checks.number, interval="[0, 1)")]
OptionalReal: TypeAlias = Annotated[float | None, optional(real)]
Count: TypeAlias = Annotated[int, count]
CountOrZero: TypeAlias = Annotated[int, partial(checks.whole, low=0)]
Integer: TypeAlias = Annotated[int, partial(checks.whole, low=-LAST_STEP)]
OptionalCount: TypeAlias = Annotated[int | None, optional(count)]
Flag: TypeAlias = Annotated[bool, checks.flag]
Reals: TypeAlias = Annotated[tuple[float, ...], each(real)]
Points: TypeAlias = Annotated[tuple[int, ...], points]
Boundaries: TypeAlias = Annotated[tuple[int, ...], each(count, increasing=True)]
