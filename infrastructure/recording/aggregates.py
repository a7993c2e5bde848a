"""Aggregates whose ids are text, as a log's streams are: the stock classes want UUIDs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from eventsourcing.domain import (
    BaseAggregate,
    CanInitAggregate,
    CanMutateAggregate,
    CanSnapshotAggregate,
    MetaDomainEvent,
)


@dataclass(frozen=True)
class TextEvent(CanMutateAggregate[str], metaclass=MetaDomainEvent):
    """Something that happened to an aggregate."""

    originator_id: str
    originator_version: int
    timestamp: datetime


@dataclass(frozen=True)
class TextCreated(CanInitAggregate[str], TextEvent):
    """The event that begins an aggregate."""

    originator_topic: str


@dataclass(frozen=True)
class TextSnapshot(CanSnapshotAggregate[str], metaclass=MetaDomainEvent):
    """The state of an aggregate at a version."""

    originator_id: str
    originator_version: int
    timestamp: datetime
    topic: str
    state: dict[str, Any]


class TextAggregate(BaseAggregate[str]):
    """An aggregate whose id is text: say which in `create_id`, or give an `id` to the constructor."""

    class Event(TextEvent):
        """An event of an aggregate of this class."""

    class Created(Event, TextCreated):
        """The event that begins an aggregate of this class."""

    Snapshot = TextSnapshot
