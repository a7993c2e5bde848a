"""Blame: which event set this key, or this path inside its value."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from backstory.domain.errors import NotFoundError
from backstory.domain.events import MISSING, StoredEvent
from backstory.domain.paths import parse_path
from backstory.domain.ports import Program
from backstory.projections.history import differs, steps
from backstory.projections.points import At
from backstory.projections.state import StateReader

__all__ = ["blame", "inside", "parse_path"]


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
