"""Schedules as text."""

import re
from collections.abc import Callable
from typing import NoReturn

from lrcore.schedules.base import REGISTRY, Custom, Product, Scaled, Schedule, bind

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
}
WORDS = {"none": None, "true": True, "false": False}
DEEPEST = 50


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
            position = self.next + len(self.text[self.next :]) - len(self.text[self.next :].lstrip())
            self.fail(f"{self.text[position]!r} cannot stand in a schedule", position)
        self.kind = found.lastgroup or ""
        self.token = found.group(self.kind)
        self.position = found.start(self.kind)
        self.next = found.end()
        return before

    def fail(self, reason: str, position: int | None = None) -> NoReturn:
        where = self.position if position is None else position
        line = re.sub(r"\s", " ", self.text)
        raise ValueError(f"schedule, position {where}: {reason}\n  {line}\n  {' ' * where}^")

    def got(self) -> str:
        return "the end" if self.kind == "end" else repr(self.token)

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
        result = self.product()
        if not isinstance(result, Schedule):
            self.fail(f"expected a schedule, got {result!r}", position)
        if self.kind != "end":
            self.fail(f"expected the end, got {self.got()}")
        return result

    def product(self) -> object:
        self.depth += 1
        if self.depth > DEEPEST:
            self.fail(f"nested deeper than {DEEPEST}")
        result = self.chain()
        while self.kind == "sign" and self.token == "*":
            position = self.position
            self.advance()
            result = self.times(result, self.chain(), position)
        self.depth -= 1
        return result

    def times(self, a: object, b: object, position: int) -> object:
        if isinstance(a, Schedule) and isinstance(b, Schedule):
            return Product(a, b)
        factor, schedule = (a, b) if isinstance(b, Schedule) else (b, a)
        if not isinstance(schedule, Schedule) or isinstance(factor, bool) or not isinstance(factor, (int, float)):
            self.fail(f"'*' needs a schedule and a number, or two schedules, got {a!r} and {b!r}", position)
        return self.made(Scaled, position, factor, schedule)

    def chain(self) -> object:
        result = self.value()
        links = 0
        while self.accept("."):
            position, kind, name = self.position, self.kind, self.advance()
            if kind != "name" or name not in METHODS:
                self.fail(f"expected one of {', '.join(METHODS)} after '.', got {name!r}", position)
            if not isinstance(result, Schedule):
                self.fail(f"{name} needs a schedule before it, got {result!r}", position)
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
            made = self.named(token, position)
            args, kwargs = self.arguments()
            return self.made(made, position, *args, **kwargs)
        if self.accept("["):
            return self.sequence("]")
        if not self.accept("("):
            self.fail(f"expected a schedule or a value, got {self.got()}")
        if self.accept(")"):
            return ()
        first = self.product()
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
            entries.append(self.product())
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
                    self.fail(f"{token} is given twice", position)
                kwargs[token] = self.product()
            elif kwargs:
                self.fail("an argument without a name follows one with a name", position)
            else:
                args.append(self.product())
        return args, kwargs

    def named(self, name: str, position: int) -> Callable[..., object]:
        known: dict[str, type[Schedule]] = {}
        for cls in REGISTRY.values():
            known[cls.__name__.lower()] = cls
            if cls.text_name:
                known[cls.text_name.replace("_", "")] = cls
        found = known.get(name.lower().replace("_", ""))
        if found is Custom:
            self.fail("Custom holds a Python function, which text cannot carry", position)
        if found is None:
            from difflib import get_close_matches

            names = sorted(cls.text_name or cls.__name__ for cls in REGISTRY.values() if cls is not Custom)
            near = get_close_matches(name.lower(), names, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(names)}"
            self.fail(f"no schedule is named {name!r}; {hint}", position)
        return found

    def made(self, function: Callable[..., object], position: int, *args: object, **kwargs: object) -> object:
        """What ``function`` returns; its complaint, if it has one, with the position."""
        try:
            bind(function, args, kwargs)
            return function(*args, **kwargs)
        except (TypeError, ValueError) as error:
            self.fail(str(error), position)


def parse(text: str) -> Schedule:
    """The schedule that a text describes: what ``repr`` prints, or shorter.

    >>> parse("cosine(3e-4, 10_000).with_warmup(500)")
    CosineDecay(initial=0.0003, steps=10000, final=0.0, exponent=1.0).with_warmup(500)

    The text is read by a parser of its own; nothing in it is run::

        product   = chain { "*" chain }
        chain     = value { "." method arguments }
        value     = ["-" | "+"] number | text in quotes | None | True | False
                  | name arguments | "(" product ")" | "(" values ")" | "[" values "]"
        arguments = "(" [ [name "="] product { "," [name "="] product } [","] ] ")"
        method    = "with_warmup" | "then" | "clip" | "repeat"

    A name is that of a class, in any case and with or without underscores (``CosineDecay``, ``cosine_decay``), or
    its short form: ``constant``, ``linear``, ``polynomial``, ``exponential``, ``inverse_time``, ``step``,
    ``piecewise``, ``cosine``, ``cosine_restarts``, ``one_cycle``, ``cyclic``, ``inverse_sqrt``, ``wsd``, ``rex``,
    ``join``.

    Raises
    ------
    TypeError
        If ``text`` is not a string.
    ValueError
        If the text cannot be read or an argument is wrong, with the position (from 0) and the reason.
    """
    if not isinstance(text, str):
        raise TypeError(f"text must be a string, got {text!r}")
    return Parser(text).schedule()
