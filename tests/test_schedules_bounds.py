"""Schedules of any depth, size and text: read, or refused in few words, in time proportional to the input."""

from __future__ import annotations

import copy
import dataclasses
import json
import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from fractions import Fraction
from itertools import count
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lrcore import kernels, schedules
from lrcore.schedules import (
    Clipped,
    Constant,
    CosineDecay,
    Custom,
    Join,
    Linear,
    PiecewiseConstant,
    Product,
    Repeated,
    Rex,
    Scaled,
    Schedule,
    Shifted,
    StepDecay,
    Stepped,
    Sum,
    Warmup,
    from_dict,
    parse,
)

DEEPEST = 50
WRAPS: dict[str, Callable[[Schedule], Schedule]] = {
    "warmup": lambda s: s.with_warmup(3, start=0.1),
    "scaled": lambda s: 1.01 * s,
    "product": lambda s: s * Constant(0.5),
    "product on the right": lambda s: Constant(0.5) * s,
    "sum": lambda s: s + Constant(0.5),
    "sum on the right": lambda s: Constant(0.5) + s,
    "sum with a number": lambda s: s + 0.01,
    "shift": lambda s: s.shift(1),
    "every": lambda s: s.every(1),
    "clip": lambda s: s.clip(0.0, 0.5),
    "repeat": lambda s: s.repeat(1),
    "join": lambda s: Constant(0.1).then(s, at=3),
}


def nested(wrap: Callable[[Schedule], Schedule], depth: int) -> Schedule:
    s: Schedule = Rex(0.1, 9)
    for _ in range(depth - 1):
        s = wrap(s)
    return s


# ---- nesting
@pytest.mark.parametrize("wrap", WRAPS.values(), ids=WRAPS)
def test_the_deepest_schedule_does_all_that_any_schedule_does(wrap: Callable[[Schedule], Schedule]) -> None:
    s = nested(wrap, DEEPEST)
    again = nested(wrap, DEEPEST)
    assert s == again
    assert hash(s) == hash(again)
    assert parse(repr(s)) == s
    assert from_dict(json.loads(json.dumps(s.to_dict()))) == s
    assert pickle.loads(pickle.dumps(s)) == copy.deepcopy(s) == s
    np.testing.assert_array_equal(s(np.arange(200)), [s(t) for t in range(200)])


@pytest.mark.parametrize("wrap", WRAPS.values(), ids=WRAPS)
def test_one_level_more_is_refused_when_it_is_made(wrap: Callable[[Schedule], Schedule]) -> None:
    s = nested(wrap, DEEPEST)
    with pytest.raises(ValueError, match=r"^a schedule must be nested at most 50 deep, got 51 in [A-Z][a-z]+$"):
        wrap(s)


def test_a_chain_of_then_is_no_nesting() -> None:
    s: Schedule = Constant(0.0)
    for k in range(1, 300):
        s = s.then(Constant(k), at=k)
    assert isinstance(s, Join)
    assert [s(k) for k in range(300)] == list(range(300))
    assert parse(repr(s)) == s
    assert from_dict(s.to_dict()) == s


def test_doubling_is_bounded_by_the_number_of_parts() -> None:
    s: Schedule = Constant(1.0)
    for _ in range(13):
        s = s * s
    with pytest.raises(ValueError, match=r"^a schedule must have at most 16384 parts, got 32767 in Product$"):
        s * s


def test_a_schedule_of_ones_own_that_holds_others_counts_like_any_composition() -> None:
    s: Schedule = Rex(0.1, 9)
    for _ in range(DEEPEST - 1):
        s = Mean((s, Rex(0.2, 9)))
    with pytest.raises(ValueError, match=r"^a schedule must be nested at most 50 deep, got 51 in Mean$"):
        Mean((s,))


@dataclasses.dataclass(frozen=True)
class Mean(Schedule):
    """The mean of some schedules."""

    schedules: tuple[Schedule, ...]

    def _over(self, steps: np.ndarray) -> np.ndarray:
        return np.mean([s(steps) for s in self.schedules], axis=0)


def test_dicts_that_nest_without_end() -> None:
    message = r"^(a schedule|lists) must be nested at most 50 deep, got more$"
    endless: dict[str, Any] = {"type": "Scaled", "factor": 2.0}
    endless["schedule"] = endless
    both: dict[str, Any] = {"type": "Product"}
    both["first"] = both["second"] = both
    entries: list[Any] = []
    entries += [entries, entries]
    deep: dict[str, Any] = {"type": "Rex", "initial": 1, "steps": 9}
    for _ in range(100_000):
        deep = {"type": "Scaled", "factor": 2.0, "schedule": deep}
    shared: dict[str, Any] = {"type": "Rex", "initial": 1, "steps": 9}
    for _ in range(60):
        shared = {"type": "Product", "first": shared, "second": shared}
    for data in (endless, both, {"type": "Join", "schedules": entries, "boundaries": [1]}, deep, shared):
        with pytest.raises(ValueError, match=message):
            from_dict(data)
    lists: list[Any] = []
    for _ in range(100_000):
        lists = [lists]
    with pytest.raises(ValueError, match=message):
        from_dict({"type": "Join", "schedules": lists, "boundaries": []})
    while deep.get("schedule"):  # taken apart by hand: the interpreter's own way recurses
        deep = deep["schedule"]
    while lists:
        lists = lists[0]


# ---- long texts
LONG = 120_000
TEXTS = {
    "product": "constant(0.1)" + "*1" * LONG,
    "sum": "constant(0.1)" + "+1" * LONG,
    "sum of schedules": "constant(0.1)" + "-rex(1,9)" * LONG,
    "product of schedules": "constant(0.1)" + "*rex(1,9)" * LONG,
    "warmups": "constant(0.1)" + ".with_warmup(3)" * LONG,
    "parentheses": "(" * LONG,
    "brackets": "piecewise(" + "[" * LONG,
    "arguments": "constant(" * LONG,
    "signs": "-" * LONG,
    "name": "x" * LONG,
    "name of an argument": "constant(" + "x" * LONG + "=1)",
    "name of an argument, twice": "constant(" + ("x" * LONG + "=1,") * 2 + ")",
    "method": "constant(1)." + "x" * LONG,
    "number": "constant(" + "1" * LONG + ")",
    "digits": "rex(1, " + "9" * 5000 + ")",
    "fraction": "constant(0." + "1" * LONG + ")",
    "text": "constant('" + "x" * LONG + "')",
    "text without an end": "constant('" + "x" * LONG,
    "text in place of a schedule": "'" + "x" * LONG + "'",
    "text times text": "'" + "x" * LONG + "' * '" + "y" * LONG + "'",
    "spaces": " " * LONG + "$",
    "values": "[" + "1," * LONG + "]",
    "values in place of a number": "constant([" + "1," * LONG + "])",
    "decreasing boundaries": "piecewise([" + "1," * LONG + "], [1, 2])",
    "too many values": "piecewise([1, 2], [" + "1," * LONG + "])",
    "two schedules": "rex(1, 9) " * LONG,
    "strange sign": "rex(1, 9)" + "\u00e9" * LONG,
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_a_long_text_is_refused_in_few_words(text: str) -> None:
    with pytest.raises(ValueError, match=r"^schedule, position ") as caught:
        parse(text)
    assert len(str(caught.value)) < 1500


def test_long_values_are_quoted_in_part() -> None:
    word = "x" * LONG
    digits = 10**5000
    cases: list[Callable[[], object]] = [
        lambda: parse(digits),  # type: ignore[arg-type]
        lambda: parse([word]),  # type: ignore[arg-type]
        lambda: from_dict([word]),  # type: ignore[arg-type]
        lambda: from_dict({"type": word}),
        lambda: from_dict({"type": "Rex", word: 1}),
        lambda: from_dict({"type": "Rex", "initial": word, "steps": 1}),
        lambda: from_dict({"type": "Rex", "initial": 1, "steps": digits}),
        lambda: from_dict({"type": "Rex", 3: 1}),
        lambda: from_dict({"type": "Rex", **{f"k{k}": 1 for k in range(LONG)}}),
        lambda: Constant(digits),
        lambda: Constant(word),  # type: ignore[arg-type]
        lambda: Constant([word]),  # type: ignore[arg-type]
        lambda: Rex(1, digits),
        lambda: Rex(1, -digits),
        lambda: Rex(1, word),  # type: ignore[arg-type]
        lambda: CosineDecay(1, 9, exponent=-digits),
        lambda: PiecewiseConstant(word, [1]),  # type: ignore[arg-type]
        lambda: PiecewiseConstant([3] * 1000, [1]),
        lambda: PiecewiseConstant(count(1), [1]),  # type: ignore[arg-type]
        lambda: StepDecay(1, 0.5, word),  # type: ignore[arg-type]
        lambda: Linear(1, 0, 5, word),  # type: ignore[call-arg]
        lambda: schedules.OneCycle(1, 9, anneal=word),
        lambda: Join([word], []),  # type: ignore[list-item]
        lambda: PiecewiseConstant([], [1] * 10_000),
        lambda: PiecewiseConstant(range(1, 10_001), range(10_001)).repeat(digits),  # type: ignore[arg-type]
        lambda: Constant(1).then(PiecewiseConstant(range(1, 10_001), range(10_001)), at=digits),  # type: ignore[arg-type]
        lambda: (PiecewiseConstant(range(1, 10_001), range(10_001)) * StepDecay(1, 0.5, 1)).repeat(3),  # type: ignore[arg-type]
        lambda: (PiecewiseConstant(range(1, 10_001), range(10_001)) * StepDecay(1, 0.5, 1)).then(Rex(1, 9)),  # type: ignore[arg-type]
        lambda: PiecewiseConstant(range(1, 10_001), range(10_001)).with_warmup(3, inside=True),  # type: ignore[arg-type]
        lambda: Rex(1, 9).with_warmup(3, start=digits),
        lambda: Rex(1, 9)(digits),
        lambda: Rex(1, 9)(word),  # type: ignore[call-overload]
        lambda: Rex(1, 9)([word]),  # type: ignore[call-overload]
        lambda: Custom(lambda t: word)(3),  # type: ignore[arg-type, return-value]
        lambda: Custom(Verbose()).to_dict(),  # type: ignore[arg-type]
    ]
    for case in cases:
        with pytest.raises((ValueError, TypeError)) as caught:
            case()
        assert len(str(caught.value)) < 1000


class Verbose:
    def __call__(self, step: int) -> float:
        return 0.0

    def __repr__(self) -> str:
        return "x" * LONG


def events(function: Callable[[], object]) -> int:
    """How many lines of Python run."""
    n = 0

    def trace(frame: Any, event: str, arg: Any) -> Any:
        nonlocal n
        n += 1
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        function()
    finally:
        sys.settrace(before)
    return n


def test_reading_takes_time_in_proportion_to_the_text() -> None:
    def values(n: int) -> str:
        return f"piecewise([{', '.join(map(str, range(1, n)))}], [{', '.join(['0.5'] * n)}])"

    def joined(n: int) -> str:
        return f"join([{', '.join(['rex(1, steps=9)'] * n)}], [{', '.join(map(str, range(1, n)))}])"

    for text in (values, joined):
        short, long = (events(lambda n=n: parse(text(n))) for n in (50, 400))  # type: ignore[misc]  # noqa: B023
        assert long < 9 * short


@settings(max_examples=200, deadline=None)
@given(st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.sampled_from(
        [{"type": "Rex", "initial": 1.0, "steps": 5}, "Rex", "Scaled", "Join", 10**400, b"", 1j, Fraction(1, 3)]
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["type", "schedule", "schedules", "first", "second", "factor", "value", "steps", 3]), inner
    ) | st.builds(lambda t, d: {**d, "type": t}, st.sampled_from(list(schedules.REGISTRY)),
                  st.dictionaries(st.sampled_from(["schedule", "factor", "value", "initial", "steps"]), inner)),
    max_leaves=12,
))  # fmt: skip
def test_no_data_does_anything_but_read_or_raise(data: Any) -> None:
    try:
        result = from_dict(data)
    except (ValueError, TypeError):
        return
    assert isinstance(result, Schedule)


# ---- numbers in any clothes
class Scalar:
    """As the scalar tensors of other libraries: a shape without axes, and ``item``."""

    shape = ()

    def __init__(self, value: Any) -> None:
        self.value = value

    def item(self) -> Any:
        return self.value


CLOTHES: list[Callable[[Any], Any]] = [
    np.array,
    Scalar,
    lambda x: np.int64(x) if isinstance(x, int) else np.float64(x),
    lambda x: Fraction(x) if isinstance(x, float) else x,
]


@pytest.mark.parametrize("dressed", CLOTHES, ids=["0-d array", "scalar tensor", "NumPy scalar", "Fraction"])
def test_a_number_may_be_held_by_any_type(dressed: Callable[[Any], Any]) -> None:
    d: Any = dressed
    assert CosineDecay(d(0.25), d(100), d(0.125), exponent=d(1.5)) == CosineDecay(0.25, 100, 0.125, exponent=1.5)
    assert PiecewiseConstant([d(3), d(7)], [d(0.5), d(0.25), d(0.125)]) == PiecewiseConstant([3, 7], [0.5, 0.25, 0.125])
    assert PiecewiseConstant(np.array([3, 7]), np.array([1.0, 2, 3])) == PiecewiseConstant([3, 7], [1, 2, 3])  # type: ignore[arg-type]
    s = Rex(1, 9)
    for got, expected in (
        (s.with_warmup(d(3), d(0.5)), s.with_warmup(3, 0.5)),
        (s.then(s, d(4)), s.then(s, 4)),
        (s.clip(d(0.25), d(0.5)), s.clip(0.25, 0.5)),
        (s.repeat(d(2)), s.repeat(2)),
        (s.shift(d(-2)), s.shift(-2)),
        (s.every(d(2)), s.every(2)),
        (s + d(0.5), s + 0.5),
        (s - d(0.5), s - 0.5),
        (d(0.5) + s, 0.5 + s),
        (d(0.5) - s, 0.5 - s),
        (d(0.5) * s, 0.5 * s),
        (s * d(0.5), 0.5 * s),
    ):
        assert got == expected
        assert repr(got) == repr(expected)
    assert s(d(4)) == s(4)
    assert Custom(lambda t: d(0.5))(3) == 0.5
    assert from_dict({"type": "Rex", "initial": d(1.0), "steps": d(9)}) == s
    flag = Scalar(True) if dressed is Scalar else np.array(True)
    assert StepDecay(1, 0.5, 9) == StepDecay(d(1.0), d(0.5), d(9))
    assert schedules.ExponentialDecay(1, 0.5, 9, flag) == schedules.ExponentialDecay(1, 0.5, 9, True)  # type: ignore[arg-type]
    for wrong in (d(2.5), flag):
        with pytest.raises(TypeError, match="must be an integer"):
            Rex(1, wrong)
    with pytest.raises(TypeError, match="step must be an integer or an array of integers"):
        s(d(2.5))


@pytest.mark.parametrize("schedule", [Rex(1, 9), 2 * Rex(1, 9).with_warmup(3), Custom(float)], ids=repr)
def test_no_steps_have_no_values(schedule: Schedule) -> None:
    nothing: list[Any] = [[], (), [[]], np.arange(0), np.empty((0, 3), np.int32), np.empty((2, 0), np.uint8)]
    for steps in nothing:
        values = schedule(steps)
        assert values.shape == np.shape(steps)
        assert values.dtype == np.float64
    np.testing.assert_array_equal(schedule([1, 2]), [schedule(1), schedule(2)])  # type: ignore[call-overload]
    np.testing.assert_array_equal(schedule((1, 2)), [schedule(1), schedule(2)])  # type: ignore[call-overload]


# ---- classes of one's own
@pytest.fixture
def registry() -> Iterator[dict[str, type[Schedule]]]:
    """What a test adds to the known classes goes again."""
    from lrcore.schedules import base

    before = dict(base.REGISTRY), dict(base.NAMES)
    yield base.REGISTRY
    for known, kept in zip((base.REGISTRY, base.NAMES), before, strict=True):
        known.clear()
        known.update(kept)


def define(name: str, base: type = Schedule, **members: Any) -> Any:
    members = {"_over": lambda self, steps: np.full(steps.shape, 0.5), "__module__": __name__, **members}
    return type(name, (base,), members)


def test_a_name_that_another_schedule_has_is_refused(registry: dict[str, type[Schedule]]) -> None:
    for name, short, taken in (
        ("Rex", "", "Rex"),
        ("REX", "", "REX"),
        ("Cosine", "", "Cosine"),
        ("Step_Decay", "", "Step_Decay"),
        ("Mine", "cosine", "cosine"),
        ("Mine", "One_Cycle", "One_Cycle"),
        ("Mine", "cosine_decay", "cosine_decay"),
    ):
        with pytest.raises(TypeError, match=rf"^a schedule named {taken} exists already: lrcore\.schedules\."):
            define(name, text_name=short)
    assert "Mine" not in registry
    assert type(parse("cosine(1, 9)")) is CosineDecay


def test_a_subclass_does_not_take_the_short_name_of_its_base(registry: dict[str, type[Schedule]]) -> None:
    made = dataclasses.dataclass(frozen=True)(define("Lower", CosineDecay, __annotations__={}))
    assert type(parse("cosine(1, 9)")) is CosineDecay
    assert type(parse("lower(1, 9)")) is made
    assert from_dict(made(1, 9).to_dict()) == made(1, 9) != CosineDecay(1, 9)


def test_a_class_with_its_own_constructor_is_evaluated_and_not_written(registry: dict[str, type[Schedule]]) -> None:
    def init(self: Any, slope: float) -> None:
        self.slope = slope

    ramp = define("Ramp", __init__=init, _over=lambda self, steps: self.slope * steps)
    globals()["Ramp"] = ramp  # where pickle looks for it
    ramp.__qualname__ = "Ramp"
    a, b = ramp(0.5), ramp(0.7)
    assert a(3) == 1.5
    assert (2 * a).clip(high=2.5)(3) == 2.5
    assert a == a
    assert a != b
    assert len({a, b}) == 2
    assert 2 * a == 2 * a != 2 * b
    assert pickle.loads(pickle.dumps(a)).slope == 0.5
    assert "Ramp object" in repr(a)
    for write in (a.to_dict, (2 * a).to_dict):
        with pytest.raises(
            TypeError, match=r"^Ramp has an __init__ of its own: only a dataclass can be written and read"
        ):
            write()
    with pytest.raises(ValueError, match="Ramp has an __init__ of its own"):
        parse("ramp(0.5)")
    with pytest.raises(ValueError, match=r"^Ramp has an __init__ of its own"):
        from_dict({"type": "Ramp", "slope": 0.5})


def test_a_private_class_is_evaluated_and_not_written() -> None:
    private = dataclasses.dataclass(frozen=True)(define("_Private", CosineDecay, __annotations__={}))
    assert private(1, 9)(0) == 0.5
    assert private(1, 9) == private(1, 9)
    with pytest.raises(TypeError, match=r"^_Private is not known to from_dict, since its name begins with an"):
        (2 * private(1, 9)).to_dict()
    with pytest.raises(ValueError, match="no schedule is named '_Private'"):
        parse("_Private(1, 9)")


@pytest.mark.parametrize("build", [*kernels.compiled(), "reference"])
def test_a_subclass_of_a_compiled_schedule_may_change_its_values(build: str) -> None:
    class _Half(CosineDecay):
        def _over(self, steps: np.ndarray) -> np.ndarray:
            return super()._over(steps) / 2

    with kernels.using(build):
        half, whole = _Half(1, 9), CosineDecay(1, 9)
    np.testing.assert_array_equal(half(np.arange(12)), whole(np.arange(12)) / 2)
    assert [half(t) for t in range(12)] == [whole(t) / 2 for t in range(12)]


def test_a_class_whose_fields_can_be_assigned_is_refused(registry: dict[str, type[Schedule]]) -> None:
    loose = dataclasses.dataclass(define("Loose", __annotations__={"initial": "schedules.Real"}))
    with pytest.raises(TypeError, match=r"^Loose must be a frozen dataclass"):
        loose(1.0)


def test_a_class_defined_again_takes_its_own_place(registry: dict[str, type[Schedule]]) -> None:
    define("Again", text_name="first")
    second = define("Again", text_name="second")
    assert registry["Again"] is second
    assert type(parse("second()")) is second
    assert parse("again()") == second()
    with pytest.raises(ValueError, match="no schedule is named 'first'"):
        parse("first()")


def test_keyword_only_fields_pickle(registry: dict[str, type[Schedule]]) -> None:
    made = dataclasses.dataclass(frozen=True, kw_only=True)(define("Keyed", __annotations__={"initial": float}))
    globals()["Keyed"] = made
    assert pickle.loads(pickle.dumps(made(initial=2.0))) == made(initial=2.0) == copy.deepcopy(made(initial=2.0))


def test_compositions_are_all_bounded() -> None:
    compositions = {Clipped, Join, Product, Repeated, Scaled, Shifted, Stepped, Sum, Warmup}
    assert {type(nested(wrap, 2)) for wrap in WRAPS.values()} == compositions


@pytest.mark.parametrize("build", ["", "reference"])
def test_schedules_are_loaded_when_they_are_asked_for_and_then_all_of_them(build: str) -> None:
    code = (
        "import sys, lrcore; assert not [m for m in sys.modules if m.startswith('lrcore.schedules')]; "
        "assert lrcore.kernels.power(0.5, 2.0) == 0.25; lrcore.schedules; from lrcore.schedules.base import REGISTRY; "
        "print(*sorted(REGISTRY))"
    )
    env = {key: value for key, value in os.environ.items() if key != "LRCORE_ISA"}
    if build:
        env["LRCORE_ISA"] = build
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env)
    assert done.stdout.split() == sorted(set(schedules.__all__) - {"Schedule", "from_dict", "parse"})
