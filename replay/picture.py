"""A picture: events and what leads from one to another, ready to be drawn or told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from uuid import UUID

from backstory.domain.events import RecordedEvent


@dataclass(frozen=True, slots=True)
class PictureEdge:
    """A way from a cause to its effect. `kind` is `caused_by`, `read`, or what a link says."""

    cause: UUID
    effect: UUID
    kind: str
    strength: float = 1.0


@dataclass(frozen=True, slots=True)
class Picture:
    """What is drawn: events in the order in which they are to be told, edges between them, and words about them.

    `depths` says how far each lies from a root, the longest way; `marks` gives some events a role, such as
    `derivation`; `sentences` tell the whole to a person.
    """

    title: str
    events: Sequence[RecordedEvent]
    edges: Sequence[PictureEdge] = ()
    depths: Mapping[UUID, int] = field(default_factory=lambda: MappingProxyType({}))
    marks: Mapping[UUID, str] = field(default_factory=lambda: MappingProxyType({}))
    sentences: Sequence[str] = ()
