"""Changes of what a recorded run was given: by path, checked before anything is replayed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from backstory.context import packed_actor, packed_correlation
from backstory.domain.errors import InvalidValueError
from backstory.domain.events import MISSING
from backstory.domain.keys import normalise_key
from backstory.domain.scopes import as_scope
from backstory.hooks.run_context import Subject
from backstory.infrastructure import codec
from backstory.replay.blame import parse_path

_VALUES: Final = ("before", "after", "metadata")


def _operation(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise InvalidValueError("changes", rule=f"`operation` is no text: {value!r}", hint="Give a str such as `set`.")
    return value


def _tags(value: object) -> tuple[str, ...]:
    if not isinstance(value, (list, tuple)) or not all(isinstance(tag, str) and tag for tag in value):
        raise InvalidValueError("changes", rule=f"`tags` is no list of texts: {value!r}", hint="Give a list of str.")
    return tuple(value)


#: What has no inside: the part of the subject that it is, and what makes that of what is given.
_WHOLES: Final[Mapping[str, tuple[str, Callable[[Any], Any]]]] = MappingProxyType(
    {
        "operation": ("operation", _operation),
        "scope": ("stream", lambda value: None if value is None else str(as_scope(value))),
        "key": ("key", lambda value: None if value is None else normalise_key(value)),
        "tags": ("tags", _tags),
        "actor": ("actor", lambda value: None if value is None else packed_actor(value)),
        "correlation_id": ("correlation", lambda value: None if value is None else packed_correlation(value)),
    }
)
_CHANGEABLE: Final = (*_WHOLES, *_VALUES)


def checked(changes: object) -> dict[str, Any]:
    """Return changes of which every path leads somewhere, as far as can be told without a run.

    Raises `InvalidValueError`, and for a scope or a key what they raise.
    """
    if changes is None:
        return {}
    if not isinstance(changes, Mapping):
        raise InvalidValueError("changes", rule="is no mapping of paths", hint='Give {"after.price": 3}.')
    for path, value in changes.items():
        steps = parse_path(path)
        if not steps or steps[0] not in _CHANGEABLE:
            raise InvalidValueError(
                "changes",
                rule=f"{path!r} is no path into a hook's context",
                hint=f"Begin paths with one of {', '.join(_CHANGEABLE)}.",
            )
        first, *inner = steps
        if first in _WHOLES:
            if inner:
                raise InvalidValueError("changes", rule=f"{path!r} has no inside", hint="Change the whole of it.")
            _WHOLES[str(first)][1](value)
            continue
        codec.encode_value(value)
        if first == "metadata" and not (isinstance(value, Mapping) if not inner else isinstance(inner[0], str)):
            raise InvalidValueError("changes", rule=f"{path!r}: metadata is an object", hint="Give a dict, or a name.")
    return dict(changes)


def changed(subject: Subject, changes: Mapping[str, Any]) -> Subject:
    """Return a subject in which what lies at some paths is something else.

    Raises `InvalidValueError` where a path leads into what has no such inside.
    """
    parts: dict[str, Any] = subject._asdict()
    for path, value in changes.items():
        first, *inner = parse_path(path)
        if first in _WHOLES:
            name, made = _WHOLES[str(first)]
            parts[name] = made(value)
            continue
        held = parts[str(first)]
        whole = _put(MISSING if held is None else codec.decode_value(held), inner, value, path)
        parts[str(first)] = codec.encode_value(whole)
    return Subject(**parts)


def _put(whole: Any, steps: Sequence[str | int], value: Any, path: str) -> Any:
    """Return a value with another one at a path inside it; objects on the way are made, elements of lists are not."""
    if not steps:
        return value
    first, *rest = steps
    if isinstance(whole, dict):
        return {**whole, str(first): _put(whole.get(str(first), MISSING), rest, value, path)}
    if isinstance(first, int):
        if not isinstance(whole, list):
            raise _misfit(path, "leads to an element of what is no list")
        if first >= len(whole):
            raise _misfit(path, "leads beyond a list's end")
        return [*whole[:first], _put(whole[first], rest, value, path), *whole[first + 1 :]]
    if whole is not MISSING and whole is not None:
        raise _misfit(path, f"leads into {type(whole).__name__}")
    return {first: _put(MISSING, rest, value, path)}


def _misfit(path: str, rule: str) -> InvalidValueError:
    return InvalidValueError("changes", rule=f"{path!r} {rule}", hint="Change what this run was given.")


__all__ = ["changed", "checked"]
