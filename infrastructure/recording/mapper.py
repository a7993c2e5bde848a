"""Mappers that resolve no topic before it is checked: the log's bytes never import a module."""

from __future__ import annotations

from typing import ClassVar

from eventsourcing.domain import CanInitAggregate, CanSnapshotAggregate, DomainEventProtocol, TAggregateID
from eventsourcing.persistence import Mapper, StoredEvent

from backstory.infrastructure.recording.topics import LOADED, OWN, Topics


class LoadedMapper(Mapper[TAggregateID]):
    """Resolves the topics of classes that this process has imported: the default for applications on the log."""

    topics: ClassVar[Topics] = LOADED

    def to_domain_event(self, stored_event: StoredEvent) -> DomainEventProtocol[TAggregateID]:
        """Return the domain event; raises `UnregisteredTopicError` for the topic of an unknown class.

        Events that begin an aggregate and snapshots name the aggregate's class inside their
        state, and it is resolved when they are applied: that topic is checked too.
        """
        self.topics.check_event(stored_event.topic)
        event = super().to_domain_event(stored_event)
        if isinstance(event, CanInitAggregate):
            self.topics.check_aggregate(event.originator_topic)
        elif isinstance(event, CanSnapshotAggregate):
            self.topics.check_aggregate(event.topic)
        return event


class RegisteredMapper(LoadedMapper[TAggregateID]):
    """Resolves the topics of registered classes only: for Backstory's own aggregates."""

    topics: ClassVar[Topics] = OWN


__all__ = ["LoadedMapper", "RegisteredMapper"]
