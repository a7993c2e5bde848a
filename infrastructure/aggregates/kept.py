"""Aggregates of `eventsourcing` whose events are the log's own: their data is JSON, their types are ours.

An aggregate lives in a stream of its own and begins empty; all that it is follows from its events. Its versions count
its own events, whatever else stands in the stream.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Final, Self

from backstory.domain.commits import Draft
from backstory.domain.context import NOBODY, Author
from backstory.domain.events import EPOCH, StoredEvent, from_micros
from backstory.infrastructure import codec
from backstory.infrastructure.clock import new_id
from backstory.infrastructure.recording.aggregates import TextAggregate

_PLACE: Final = frozenset({"originator_id", "originator_version", "timestamp"})


class KeptAggregate(TextAggregate):
    """An aggregate that the store keeps. `KINDS` are the names of its events' classes by their types in the log."""

    KINDS: ClassVar[Mapping[str, str]] = {}

    @classmethod
    def empty(cls, stream: str) -> Self:
        """Return the aggregate that nothing has happened to yet."""
        made = cls.__new__(cls)
        made.__base_init__(stream, 0, EPOCH)
        made.begin()
        return made

    def begin(self) -> None:
        """Set the attributes that events will change."""

    @classmethod
    def of_events(cls, stream: str, rows: Iterable[StoredEvent]) -> Self:
        """Return what an aggregate's events make of it; events of other kinds are none of its own."""
        made = cls.empty(stream)
        made.take(rows)
        return made

    def take(self, rows: Iterable[StoredEvent]) -> None:
        """Let what was recorded later happen to it too."""
        for row in rows:
            name = self.KINDS.get(row.type)
            if name is not None:
                kind: Any = getattr(type(self), name)
                said = {_attribute(word): value for word, value in codec.decode_value(row.data).items()}
                place = (self.id, self.version + 1, from_micros(row.recorded_us))
                kind(*place, **said).mutate(self)

    def drafts(self, author: Author = NOBODY) -> list[Draft]:
        """Return what happened to it since it was read, to be committed; it is told once."""
        types = {name: kind for kind, name in self.KINDS.items()}
        drafts = []
        for event in self.collect_events():
            said = {_word(name): value for name, value in vars(event).items() if name not in _PLACE}
            drafts.append(
                Draft(
                    new_id(),
                    self.id,
                    types[type(event).__name__],
                    codec.encode_value(said),
                    correlation=author.correlation,
                    causes=author.causes,
                    actor=author.actor,
                    extra=author.extra,
                )
            )
        return drafts


def _attribute(word: str) -> str:
    return "from_" if word == "from" else word


def _word(attribute: str) -> Any:
    return "from" if attribute == "from_" else attribute
