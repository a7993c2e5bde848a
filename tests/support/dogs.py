"""An application of eventsourcing with text ids, and a projection whose view is state in the log."""

from __future__ import annotations

from eventsourcing.application import Application
from eventsourcing.dispatch import singledispatchmethod
from eventsourcing.domain import event
from eventsourcing.persistence import Tracking
from eventsourcing.projection import Projection
from eventsourcing.utils import get_topic

from backstory.infrastructure.recording.aggregates import TextAggregate, TextEvent
from backstory.infrastructure.recording.recorders import LogTrackingRecorder


class Dog(TextAggregate):
    """A dog that learns tricks."""

    @event("Registered")
    def __init__(self, name: str) -> None:
        self.name = name
        self.tricks: list[str] = []

    @staticmethod
    def create_id(name: str) -> str:
        return f"dog-{name}"

    @event("TrickAdded")
    def add_trick(self, trick: str) -> None:
        self.tricks.append(trick)


class DogSchool(Application[str]):
    """Teaches dogs."""

    is_snapshotting_enabled = True

    def register_dog(self, name: str) -> int:
        return self.save(Dog(name))[-1].notification.id

    def add_trick(self, name: str, trick: str) -> int:
        dog: Dog = self.repository.get(Dog.create_id(name))
        dog.add_trick(trick)
        return self.save(dog)[-1].notification.id

    def get_tricks(self, name: str, *, version: int | None = None) -> list[str]:
        dog: Dog = self.repository.get(Dog.create_id(name), version=version)
        return dog.tricks


class TrickCounts(LogTrackingRecorder):
    """How often each trick was learnt: state of a scope, written together with the tracking."""

    SCOPE = "custom:trick-counts"

    def count(self, trick: str) -> int:
        found: int = self.get_state(self.SCOPE, trick, 0)
        return found

    def increment(self, trick: str, *, tracking: Tracking) -> None:
        self.set_state(self.SCOPE, {trick: self.count(trick) + 1}, tracking=tracking)


class TrickCounting(Projection[TrickCounts]):
    """Counts tricks."""

    topics = (get_topic(Dog.Registered), get_topic(Dog.TrickAdded))  # type: ignore[attr-defined]

    @singledispatchmethod
    def process_event(self, _: TextEvent, tracking: Tracking) -> None:
        self.view.insert_tracking(tracking)

    @process_event.register
    def trick_added(self, happened: Dog.TrickAdded, tracking: Tracking) -> None:  # type: ignore[name-defined]
        self.view.increment(happened.trick, tracking=tracking)
