"""Blame: which event set this key, or this path inside its value."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, Final

from backstory.domain.errors import InvalidValueError, NotFoundError
from backstory.domain.events import MISSING, StoredEvent
from backstory.domain.ports import Program
from backstory.projections.history import differs, steps
from backstory.projections.points import At
from backstory.projections.state import StateReader

_HINT: Final = 'Write paths as `items[0].price` or `a["odd key"]`.'
_STEP: Final = re.compile(r"""\[(\d+)\]|\["((?:[^"\\]|\\.)*)"\]|([^.\[\]]+)""")


def parse_path(path: str) -> tuple[str | int, ...]:
    """Return the steps of a path such as `items[0].price` or `a["odd key"]`; raises `InvalidValueError`."""
    if not isinstance(path, str):
        raise InvalidValueError("path", rule=f"is {type(path).__name__}, no text", hint=_HINT)
    found: list[str | int] = []
    at = 0
    while at < len(path):
        if path[at] == "." and found and at + 1 < len(path) and path[at + 1] != "[":
            at += 1
        match = _STEP.match(path, at)
        if match is None:
            raise InvalidValueError(path, rule="is no path", hint=_HINT)
        index, quoted, name = match.groups()
        found.append(int(index) if index else name or _unquoted(quoted, path))
        at = match.end()
    return tuple(found)


def _unquoted(quoted: str, path: str) -> str:
    """Return a quoted key without its escapes, which are those of JSON."""
    try:
        key: str = json.loads(f'"{quoted}"', strict=False)
    except ValueError:
        raise InvalidValueError(path, rule="holds an escape that JSON does not know", hint=_HINT) from None
    return key


def inside(value: Any, path: tuple[str | int, ...]) -> Any:
    """Return what lies at a path inside a value, or `MISSING`; in `MISSING` lies nothing."""
    for step in path:
        if isinstance(value, dict) and str(step) in value:
            value = value[str(step)]
        elif isinstance(value, list) and isinstance(step, int) and step < len(value):
            value = value[step]
        else:
            return MISSING
    return value


def blame(
    state: StateReader, stream: str, key: str, *, path: str | None, at: At, decode: Callable[[bytes], Any]
) -> Program[StoredEvent]:
    """Return the event that gave a key (or a path inside it) the value it has at a point.

    Of what is absent: the event that removed it, for an expired value the one that set its
    end. Raises `NotFoundError` where nothing was ever there.
    """
    steps_inside = parse_path(path) if path else ()
    events = yield from state.reader.key_events(state.lineage, stream, key, at.position)
    guilty: StoredEvent | None = None
    for event, before, after in steps(events, decode):
        was, is_ = inside(before, steps_inside), inside(after, steps_inside)
        if was is MISSING and is_ is MISSING:
            continue
        if not steps_inside or differs(was, is_):
            guilty = event
    if guilty is None:
        raise NotFoundError("value", f"{key} in {stream}" + (f" at {path}" if path else ""))
    return guilty
