"""Schedules read: from text, and from the dicts that JSON carries."""

import re
from collections.abc import Callable, Mapping
from operator import add, sub
from typing import Any, NoReturn

from lrcore import checks
from lrcore.schedules.base import (
    DEEPEST,
    NAMES,
    NOT_DATA,
    REGISTRY,
    Custom,
    Product,
    Scaled,
    Schedule,
    evaluated,
    is_data,
    spelled,
)

TOKEN = re.compile(
    r"""\s*(?: (?P<number> (?: \d[\d_]*\.?[\d_]* | \.\d[\d_]* ) (?: [eE][+-]?\d+ )? )
           | (?P<name> [A-Za-z_]\w* )
           | (?P<text> '[^']*' | "[^"]*" )
           | (?P<sign> [-+*.,=()\[\]] )
           | (?P<end> \Z ) )""",
    re.VERBOSE | re.ASCII,
)
METHODS: dict[str, Callable[..., Schedule]] = {
    "with_warmup": Schedule.with_warmup,
    "then": Schedule.then,
    "clip": Schedule.clip,
    "repeat": Schedule.repeat,
    "shift": Schedule.shift,
    "every": Schedule.every,
}
CONVERSIONS = {f"like_{name}" for name in ("torch", "keras", "optax", "transformers", "timm", "deepspeed")}
WORDS = {"none": None, "true": True, "false": False}
DEEPEST_TEXT = 2 * DEEPEST  # a level of schedules is one of parentheses, or two: Join((..., ...), ...)
LONGEST_NUMBER = 100  # characters


class Parser:
    """Recursive descent, one method per line of the grammar."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.depth = 0
        self.next = 0
        self.advance()

    def advance(self) -> str:
        """Read the next token; give the one before it."""
        before = getattr(self, "token", "")
        found = TOKEN.match(self.text, self.next)
        if found is None:
            rest = self.text[self.next :]
            position = len(self.text) - len(rest.lstrip())
            self.fail(f"{self.text[position]!r} cannot stand in a schedule", position)
        self.kind = found.lastgroup or ""
        self.token = found.group(self.kind)
        self.position = found.start(self.kind)
        self.next = found.end()
        return before

    def fail(self, reason: str, position: int | None = None) -> NoReturn:
        where = self.position if position is None else position
        first = max(0, min(where - checks.LONGEST // 2, len(self.text) - checks.LONGEST))
        line = re.sub(r"\s", " ", self.text[first : first + checks.LONGEST])
        left, right = "…" if first else "", "…" if first + checks.LONGEST < len(self.text) else ""
        caret = " " * (len(left) + where - first) + "^"
        raise ValueError(f"schedule, position {where}: {reason}\n  {left}{line}{right}\n  {caret}")

    def got(self) -> str:
        return "the end" if self.kind == "end" else checks.shown(self.token)

    def accept(self, sign: str) -> bool:
        if self.kind == "sign" and self.token == sign:
            self.advance()
            return True
        return False

    def expect(self, sign: str) -> None:
        if not self.accept(sign):
            self.fail(f"expected {sign!r}, got {self.got()}")

    def schedule(self) -> Schedule:
        position = self.position
        result = self.sum()
        if not isinstance(result, Schedule):
            self.fail(f"expected a schedule, got {checks.shown(result)}", position)
        if self.kind != "end":
            self.fail(f"expected the end, got {self.got()}")
        return result

    def sum(self) -> object:
        self.depth += 1
        if self.depth > DEEPEST_TEXT:
            self.fail(f"nested deeper than {DEEPEST_TEXT}")
        result = self.product()
        while self.kind == "sign" and self.token in "+-":
            position, sign = self.position, self.advance()
            result = self.plus(result, sign, self.product(), position)
        self.depth -= 1
        return result

    def plus(self, a: object, sign: str, b: object, position: int) -> object:
        numbers = [x for x in (a, b) if isinstance(x, (int, float)) and not isinstance(x, bool)]
        if len(numbers) == 2 or not all(isinstance(x, Schedule) or x in numbers for x in (a, b)):
            got = f"{checks.shown(a)} and {checks.shown(b)}"
            self.fail(f"{sign!r} needs a schedule and a number, or two schedules, got {got}", position)
        return self.made(add if sign == "+" else sub, position, a, b)

    def product(self) -> object:
        result = self.chain()
        while self.kind == "sign" and self.token == "*":
            position = self.position
            self.advance()
            result = self.times(result, self.chain(), position)
        return result

    def times(self, a: object, b: object, position: int) -> object:
        if isinstance(a, Schedule) and isinstance(b, Schedule):
            return self.made(Product, position, a, b)
        factor, schedule = (a, b) if isinstance(b, Schedule) else (b, a)
        if not isinstance(schedule, Schedule) or isinstance(factor, bool) or not isinstance(factor, (int, float)):
            got = f"{checks.shown(a)} and {checks.shown(b)}"
            self.fail(f"'*' needs a schedule and a number, or two schedules, got {got}", position)
        return self.made(Scaled, position, factor, schedule)

    def chain(self) -> object:
        result = self.value()
        links = 0
        while self.accept("."):
            position, kind, name = self.position, self.kind, self.advance()
            if kind != "name" or name not in METHODS:
                self.fail(f"expected one of {', '.join(METHODS)} after '.', got {checks.shown(name)}", position)
            if not isinstance(result, Schedule):
                self.fail(f"{name} needs a schedule before it, got {checks.shown(result)}", position)
            links += 1
            if links > DEEPEST:
                self.fail(f"more than {DEEPEST} calls in a row", position)
            args, kwargs = self.arguments()
            result = self.made(METHODS[name], position, result, *args, **kwargs)
        return result

    def value(self) -> object:
        position, kind, token = self.position, self.kind, self.token
        if kind == "number" or (kind == "sign" and token in "+-"):
            sign = -1 if self.accept("-") else (self.accept("+") or 1)
            if self.kind != "number":
                self.fail(f"expected a number, got {self.got()}")
            digits = self.advance()
            if len(digits) > LONGEST_NUMBER:
                self.fail(f"a number must have at most {LONGEST_NUMBER} characters, got {len(digits)}", position)
            try:
                return sign * (int(digits) if digits.replace("_", "").isdigit() else float(digits))
            except ValueError:
                self.fail(f"{digits!r} is not a number", position)
        if kind == "text":
            return self.advance()[1:-1]
        if kind == "name":
            self.advance()
            if token.lower() in WORDS and self.token != "(":
                return WORDS[token.lower()]
            cls = self.named(token, position)
            made = self.conversion(cls) if self.accept(".") else cls
            args, kwargs = self.arguments()
            return self.made(made, position, *args, **kwargs)
        if self.accept("["):
            return self.sequence("]")
        if not self.accept("("):
            self.fail(f"expected a schedule or a value, got {self.got()}")
        if self.accept(")"):
            return ()
        first = self.sum()
        if self.accept(")"):
            return first
        self.expect(",")
        return (first, *self.sequence(")"))

    def sequence(self, end: str) -> tuple[object, ...]:
        entries: list[object] = []
        while not self.accept(end):
            if entries:
                self.expect(",")
                if self.accept(end):
                    break
            entries.append(self.sum())
        return tuple(entries)

    def arguments(self) -> tuple[list[object], dict[str, object]]:
        args: list[object] = []
        kwargs: dict[str, object] = {}
        self.expect("(")
        while not self.accept(")"):
            if args or kwargs:
                self.expect(",")
                if self.accept(")"):
                    break
            position, kind, token, after = self.position, self.kind, self.token, self.next
            if kind == "name" and (ahead := TOKEN.match(self.text, after)) and ahead.group("sign") == "=":
                self.advance()
                self.advance()
                if token in kwargs:
                    self.fail(f"{brief(token)} is given twice", position)
                kwargs[token] = self.sum()
            elif kwargs:
                self.fail("an argument without a name follows one with a name", position)
            else:
                args.append(self.sum())
        return args, kwargs

    def conversion(self, cls: type[Schedule]) -> Callable[..., object]:
        position, name = self.position, self.advance()
        known = sorted(key for key in dir(cls) if key in CONVERSIONS)
        if name not in known:
            reason = f"expected one of {', '.join(known)}" if known else f"{cls.__name__} has no conversions"
            self.fail(f"{reason} after '.', got {checks.shown(name)}", position)
        made: Callable[..., object] = getattr(cls, name)
        return made

    def named(self, name: str, position: int) -> type[Schedule]:
        found = NAMES.get(spelled(name))
        if found is Custom:
            self.fail("Custom holds a Python function, which text cannot carry", position)
        if found is not None and not is_data(found):
            self.fail(f"{found.__name__} {NOT_DATA}", position)
        if found is None:
            from difflib import get_close_matches

            names = sorted(cls.text_name or cls.__name__ for cls in REGISTRY.values() if cls is not Custom)
            near = get_close_matches(name[: checks.LONGEST].lower(), names, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(names)}"
            self.fail(f"no schedule is named {checks.shown(name)}; {hint}", position)
        return found

    def made(self, function: Callable[..., object], position: int, *args: object, **kwargs: object) -> object:
        """What ``function`` returns; its complaint, if it has one, with the position."""
        try:
            bind(function, args, kwargs)
            return function(*args, **kwargs)
        except (TypeError, ValueError) as error:
            self.fail(brief(str(error)), position)


def parse(text: str) -> Schedule:
    """The schedule that a text describes: what ``repr`` prints, or shorter.

    >>> parse("cosine(3e-4, 10_000).with_warmup(500)")
    CosineDecay(initial=0.0003, steps=10000, final=0.0, exponent=1.0).with_warmup(500)

    The text is read by a parser of its own; nothing in it is run::

        sum       = product { ("+" | "-") product }
        product   = chain { "*" chain }
        chain     = value { "." method arguments }
        value     = ["-" | "+"] number | text in quotes | None | True | False
                  | name ["." conversion] arguments | "(" sum ")" | "(" values ")" | "[" values "]"
        arguments = "(" [ [name "="] sum { "," [name "="] sum } [","] ] ")"
        conversion = "like_torch" | "like_keras" | "like_optax" | "like_transformers" | "like_timm" | "like_deepspeed"
        method    = "with_warmup" | "then" | "clip" | "repeat" | "shift" | "every"

    A name is that of a class, in any case and with or without underscores (``CosineDecay``, ``cosine_decay``), or
    its short form: ``constant``, ``linear``, ``polynomial``, ``exponential``, ``inverse_time``, ``step``,
    ``piecewise``, ``cosine``, ``cosine_restarts``, ``one_cycle``, ``cyclic``, ``inverse_sqrt``, ``wsd``, ``rex``,
    ``cosine_cycles``, ``power``, ``tanh``, ``table``, ``join``.

    Raises
    ------
    TypeError
        If ``text`` is not a string.
    ValueError
        If the text cannot be read, an argument is wrong or schedules are nested more than 50 deep, with the position
        (from 0), the reason, and up to 200 characters of the text around it.
    """
    if not isinstance(text, str):
        raise TypeError(f"text must be a string, got {checks.shown(text)}")
    return evaluated(_parse, text)  # type: ignore[no-any-return]  # a number's text is rounded as the environment says


def _parse(text: str) -> Schedule:
    return Parser(text).schedule()


def from_dict(data: Mapping[str, Any]) -> Schedule:
    """The schedule that :meth:`Schedule.to_dict` wrote.

    Raises
    ------
    TypeError
        If ``data`` is not a mapping, or an argument has the wrong type.
    ValueError
        If the name or an argument is unknown, missing or out of range, or schedules are nested more than 50 deep.
    """
    if not isinstance(data, Mapping):
        raise TypeError(f"a schedule must be a mapping, got {checks.shown(data)}")
    return _read(data, 1)


def _read(data: Mapping[str, Any], depth: int) -> Schedule:
    if depth > DEEPEST:
        raise ValueError(f"a schedule must be nested at most {DEEPEST} deep, got more")
    arguments = dict(data)
    name = arguments.pop("type", None)
    if not isinstance(name, str) or name not in REGISTRY:
        raise ValueError(f'"type" must be one of {", ".join(sorted(REGISTRY))}, got {checks.shown(name)}')
    cls = REGISTRY[name]
    if not is_data(cls):
        raise ValueError(f"{name} {NOT_DATA}")
    given = brief(", ".join(map(str, arguments))) or "no arguments"
    if not all(isinstance(key, str) for key in arguments):
        raise ValueError(f"{name}: names of arguments must be text, got {given}")
    try:
        bind(cls, (), arguments)
    except TypeError as error:
        raise ValueError(f"{name}: {brief(str(error))}, got {given}") from None
    return cls(**{key: _schedules_in(value, depth) for key, value in arguments.items()})


def _schedules_in(value: object, depth: int, lists: int = 0) -> object:
    if isinstance(value, Mapping):
        return _read(value, depth + 1)
    if not isinstance(value, (list, tuple)):
        return value
    if lists == DEEPEST:
        raise ValueError(f"lists must be nested at most {DEEPEST} deep, got more")
    return tuple(_schedules_in(entry, depth, lists + 1) for entry in value)


def bind(function: Callable[..., object], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Raises TypeError, in words about the arguments, if ``function`` cannot be called with these."""
    import inspect

    inspect.signature(function).bind(*args, **kwargs)


def brief(text: str) -> str:
    """A text as an error quotes it."""
    longest = checks.LONGEST
    return text if len(text) <= longest else f"{text[:longest]}… ({len(text)} characters)"
