"""Selections: which keys of which scopes something holds for, by two patterns.

A pattern is text with `*` or `?`. A scope whose own id has one of these is written with it escaped, as any scope's text
may be: `custom:a%2A` is that scope alone. So a selection is text all through, and is read from the log as it was made.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from backstory.domain.errors import InvalidValueError, shown
from backstory.domain.keys import match_keys, normalise_key
from backstory.domain.scopes import Scope, as_scope

_WILD: Final = frozenset("*?")
_ESCAPED: Final = {"*": "%2A", "?": "%3F"}


class Selection(NamedTuple):
    """Patterns of scopes (None: all of them) and of keys. Make one with `selection_of`."""

    scope: str | None = None
    keys: str = "*"

    def fits(self, stream: str, key: str) -> bool:
        """Return whether a key is among those selected."""
        return self.fits_scope(stream) and (self.keys == "*" or match_keys(self.keys, key))

    def covers(self, other: Selection) -> bool:
        """Return whether all that another one selects is surely selected by this one too."""
        one = other.one_scope
        scopes = self.scope in {None, other.scope} or (one is not None and self.fits_scope(one))
        return scopes and self.keys in {"*", other.keys}

    def fits_scope(self, stream: str | None) -> bool:
        """Return whether a scope is among those selected."""
        return self.scope is None or (stream is not None and fits_scope(self.scope, stream))

    @property
    def one_scope(self) -> str | None:
        """The only scope that it can be about, None where it may be several."""
        return None if self.scope is None or is_wild(self.scope) else _plain(self.scope)

    def __str__(self) -> str:
        """Return what people read: `agent:*, keys doc/*`."""
        where = "all scopes" if self.scope is None else self.scope
        return where if self.keys == "*" else f"{where}, keys {self.keys}"


def selection_of(scope: Scope | str | None, keys: Any = "*") -> Selection:
    """Return a selection; raises `InvalidScopeError`, `InvalidKeyError` or `InvalidValueError`."""
    return Selection(None if scope is None else scope_pattern(scope), key_pattern(keys))


def is_wild(pattern: str) -> bool:
    """Return whether a text is a pattern, which may fit many."""
    return not _WILD.isdisjoint(pattern)


def fits_scope(pattern: str, stream: str) -> bool:
    """Return whether a scope's text fits a pattern of scopes."""
    return pattern == stream or (match_keys(pattern, stream) if is_wild(pattern) else _plain(pattern) == stream)


def scope_pattern(given: Scope | str) -> str:
    """Return a scope's text, or a pattern of such; raises `InvalidScopeError` or `InvalidValueError`.

    A `Scope` is itself, whatever its id holds.
    """
    if isinstance(given, str) and is_wild(given):
        if not given.isprintable():
            raise InvalidValueError("scope", rule=f"is no pattern: {shown(given)}", hint="Give one like `agent:*`.")
        return given
    text = str(as_scope(given))
    for sign, escaped in _ESCAPED.items():
        text = text.replace(sign, escaped)
    return text


def _plain(text: str) -> str:
    """Return the text that a scope has as a stream."""
    if "%" in text:
        for sign, escaped in _ESCAPED.items():
            text = text.replace(escaped, sign)
    return text


def key_pattern(given: object) -> str:
    """Return a key, or a pattern of keys; raises `InvalidKeyError` or `InvalidValueError`."""
    if isinstance(given, str) and given == "*":
        return given
    return normalise_key(given)


__all__ = ["Selection", "fits_scope", "is_wild", "key_pattern", "scope_pattern", "selection_of"]
