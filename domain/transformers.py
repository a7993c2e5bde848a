"""Transformers: functions that plans name, kept by name; what a plan computes goes through them."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from types import FunctionType
from typing import Any, Final, Protocol, TypeVar
from uuid import UUID

from backstory.domain.errors import InvalidValueError, NotFoundError, shown

__all__ = ["TransformContext", "Transformer", "Transformers"]

_NAME: Final = re.compile(r"[A-Za-z][\w.-]{0,127}", re.ASCII)


class TransformContext(Protocol):
    """Where a transformer gets what is not in the value. The caller records what it gave, and may give it again."""

    def now(self) -> datetime:
        """Return the time, aware; the same all through a run, or not, as the caller likes."""
        ...

    def uuid(self) -> UUID:
        """Return an id that nobody else was given."""
        ...


Transformer = Callable[..., Any]
"""`fn(values, context, **config) -> value(s)`: values are a tuple, absent ones `MISSING`; `MISSING` writes nothing."""

_T = TypeVar("_T", bound=Transformer)


class Transformers:
    """Transformers by name. One name stands for one function, for plans in the log will go by it."""

    def __init__(
        self,
        built_in: Mapping[str, Transformer] | None = None,
        *,
        find: Callable[[str], Transformer | None] | None = None,
    ) -> None:
        """Take those there are, and what looks elsewhere for one that is not among them."""
        self._named: dict[str, Transformer] = dict(built_in or {})
        self._find = find

    def register(self, name: str, transformer: _T) -> _T:
        """Keep a transformer under a name, and return it; the same one may be registered again.

        Raises `InvalidValueError` for a name that is none or stands for another function.
        """
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            hint = "Begin with a letter; letters, digits, `_`, `.` and `-` may follow, up to 128."
            raise InvalidValueError("transformer", rule=f"{shown(name)} is no name", hint=hint)
        if not callable(transformer):
            raise InvalidValueError("transformer", rule=f"{shown(transformer)} is no function", hint="Give a function.")
        known = self._named.get(name)
        if known is not None and not _is_same(known, transformer):
            rule = f"the name {shown(name)} stands for {_whereabouts(known)} already"
            raise InvalidValueError("transformer", rule=rule, hint="Choose another name; plans go by it.")
        self._named[name] = transformer
        return transformer

    def get(self, name: str, config: Mapping[str, Any] | None = None) -> Transformer:
        """Return the transformer of a name; raises `NotFoundError` if there is none.

        Raises `InvalidValueError` if it does not take the options of `config`.
        """
        if name not in self._named:
            found = self._find(name) if self._find else None
            if found is None:
                hint = f"Register it before the plan is made; there are: {', '.join(self.names())}."
                raise NotFoundError("transformer", name, hint=hint)
            self.register(name, found)
        transformer = self._named[name]
        _check_config(name, transformer, config or {})
        return transformer

    def names(self) -> list[str]:
        """Return the names that are known by now, sorted."""
        return sorted(self._named)


def _is_same(one: Any, other: Any) -> bool:
    """Return whether two are one function, as when its module is loaded again."""
    if one is other:
        return True
    if not isinstance(one, FunctionType) or not isinstance(other, FunctionType):
        return False
    return _identity(one) == _identity(other) and not one.__closure__ and not other.__closure__


def _identity(function: FunctionType) -> tuple[Any, ...]:
    defaults = (function.__defaults__, function.__kwdefaults__)
    return function.__module__, function.__qualname__, function.__code__, defaults


def _whereabouts(transformer: Any) -> str:
    return (
        f"{getattr(transformer, '__module__', '?')}.{getattr(transformer, '__qualname__', type(transformer).__name__)}"
    )


def _check_config(name: str, transformer: Transformer, config: Mapping[str, Any]) -> None:
    try:
        signature = inspect.signature(transformer)
    except (TypeError, ValueError):  # Some callables written in C do not say what they take.
        return
    try:
        signature.bind((), None, **config)
    except TypeError as error:
        takes = ", ".join(list(signature.parameters)[2:]) or "none"
        hint = f"A transformer takes (values, context, **config); the options of this one: {takes}."
        raise InvalidValueError("config", rule=f"{name} does not fit its options: {error}", hint=hint) from None
