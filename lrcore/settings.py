"""Attributes of an object that a caller may set, checked as where it is made; and those that only its methods set."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar, overload

T = TypeVar("T")


class Setting(Generic[T]):
    """An attribute whose value ``check(name, value)`` returns in its plain form, or refuses, whenever it is assigned.

    Kept under its name with an underscore before it, which must be among the ``__slots__`` of a class.
    """

    def __init__(self, check: Callable[[str, Any], T]) -> None:
        self._check = check

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, instance: None, owner: type) -> Setting[T]: ...
    @overload
    def __get__(self, instance: object, owner: type) -> T: ...
    def __get__(self, instance: object | None, owner: type) -> T | Setting[T]:
        if instance is None:
            return self
        value: T = getattr(instance, f"_{self._name}")
        return value

    def __set__(self, instance: Any, value: Any) -> None:
        setattr(instance, f"_{self._name}", self._check(self._name, value))


class Closed:
    """A class with ``__slots__`` whose errors, where an attribute cannot be assigned, say what can be."""

    __slots__ = ()

    def __setattr__(self, name: str, value: Any) -> None:
        try:
            object.__setattr__(self, name, value)
        except AttributeError:
            kind = type(self)
            can = ", ".join(key for base in kind.__mro__ for key, own in vars(base).items() if isinstance(own, Setting))
            problem = "is only read" if hasattr(kind, name) else "is no attribute of it"
            raise AttributeError(
                f"{name} of {kind.__name__} must not be assigned: it {problem}; {can} may be"
            ) from None
