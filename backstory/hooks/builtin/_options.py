"""Options of the built-in hooks: checked when the hook is made, with an error that names the option."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from backstory.domain import durations
from backstory.domain.errors import InvalidScopeError, InvalidValueError, shown
from backstory.domain.scopes import Scope

_T = TypeVar("_T")


def name_of(given: object) -> str:
    """Return the name of a hook."""
    if not isinstance(given, str) or not given.isprintable():
        raise InvalidValueError("name", rule=f"is no name for a hook: {shown(given)}", hint="Give printable text.")
    try:
        Scope.hook(given)
    except InvalidScopeError as error:
        raise InvalidValueError("name", rule=error.rule, hint=error.hint) from error
    return given


def count(path: str, given: object) -> int:
    """Return a whole number from 1."""
    if isinstance(given, bool) or not isinstance(given, int) or given < 1:
        raise InvalidValueError(path, rule=f"is no count: {shown(given)}", hint="Give a whole number from 1.")
    return given


def seconds(path: str, given: object, *, least: float = 0.000_001) -> float:
    """Return a number of seconds, up to a year."""
    return durations.seconds(path, given, least=least, most=durations.YEAR_S)


def flag(path: str, given: object) -> bool:
    """Return True or False."""
    if not isinstance(given, bool):
        raise InvalidValueError(path, rule=f"is no bool: {shown(given)}", hint="Give True or False.")
    return given


def text(path: str, given: object) -> str:
    """Return text that is not empty."""
    if not isinstance(given, str) or not given:
        raise InvalidValueError(path, rule=f"is no text: {shown(given)}", hint="Give a non-empty str.")
    return given


def function(path: str, given: object) -> Callable[..., Any]:
    """Return something that can be called."""
    if not callable(given):
        raise InvalidValueError(path, rule=f"cannot be called: {shown(given)}", hint="Give a function.")
    return given


def texts(path: str, given: object) -> tuple[str, ...]:
    """Return one text, or several."""
    found = (given,) if isinstance(given, str) else tuple(given) if isinstance(given, Iterable) else ()
    if (not found and given != ()) or not all(isinstance(each, str) and each for each in found):
        raise InvalidValueError(path, rule=f"is no list of texts: {shown(given)}", hint="Give a list of str.")
    return found


def one_of(path: str, given: object, choices: tuple[_T, ...]) -> _T:
    """Return one of the choices."""
    for choice in choices:
        if given == choice:
            return choice
    listed = ", ".join(map(str, choices))
    raise InvalidValueError(path, rule=f"there is no {shown(given)}", hint=f"Choose one of {listed}.")


def instance(path: str, given: object, kind: type[_T]) -> _T:
    """Return an object of a class."""
    if not isinstance(given, kind):
        raise InvalidValueError(path, rule=f"is no {kind.__name__}: {shown(given)}", hint=f"Give a {kind.__name__}.")
    return given
