"""Families: kinds of events that are drawn alike."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from backstory.domain.events import RecordedEvent


class Colours(NamedTuple):
    """How a family is drawn on white."""

    fill: str
    line: str


COLOURS: Final[Mapping[str, Colours]] = MappingProxyType(
    {
        "state": Colours("#dbeafe", "#2563eb"),
        "hook": Colours("#ede9fe", "#7c3aed"),
        "message": Colours("#dcfce7", "#16a34a"),
        "tool": Colours("#ffedd5", "#ea580c"),
        "agent": Colours("#ccfbf1", "#0d9488"),
        "other": Colours("#f3f4f6", "#6b7280"),
    }
)
_ALIKE: Final = {"scope": "state", "circuit": "hook", "session": "agent", "workflow": "agent", "artifact": "agent"}


def family(event: RecordedEvent) -> str:
    """Return the family of an event, a key of `COLOURS`, by the first word of its type."""
    first = event.type.partition(".")[0]
    first = _ALIKE.get(first, first)
    return first if first in COLOURS else "other"
