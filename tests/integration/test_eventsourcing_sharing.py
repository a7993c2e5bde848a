"""Events of eventsourcing's applications share one log with Backstory's state, and with each other."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from eventsourcing.application import Application
from eventsourcing.persistence import IntegrityError, OperationalError, ProgrammingError, StoredEvent, Tracking

import backstory
from backstory.domain.errors import StoreUnavailableError
from backstory.infrastructure.clock import SystemClock
from backstory.infrastructure.memory.engine import MemoryEngine
from backstory.infrastructure.recording.log import Log
from backstory.infrastructure.recording.recorders import LogApplicationRecorder, LogProcessRecorder
from tests.support.dogs import Dog, DogSchool

ENGINES = ("sqlite", pytest.param("postgres", marks=pytest.mark.postgres))


class CatSchool(Application[str]):
    """Another application, which knows nothing of dogs."""


@pytest.fixture(params=ENGINES)
def env(request: pytest.FixtureRequest) -> dict[str, str]:
    return {
        "PERSISTENCE_MODULE": f"backstory.infrastructure.{request.param}",
        "BACKSTORY_STORE": request.getfixturevalue(f"{request.param}_url"),
    }


@pytest.fixture
def log() -> Iterator[Log]:
    opened = Log(MemoryEngine(SystemClock()), max_value_bytes=1000)
    yield opened
    opened.close()


def event(stream: str, version: int) -> StoredEvent:
    return StoredEvent(stream, version, "topic", b"state")


def test_state_events_and_snapshots_lie_in_one_dense_chain(env: dict[str, str]) -> None:
    with DogSchool(env) as school, backstory.open(env["BACKSTORY_STORE"]) as store:
        store.set("agent:a", "mood", "good")
        first = school.register_dog("fido")
        store.append("agent:a", backstory.Event("walk.taken", {"with": "fido"}))
        school.take_snapshot("dog-fido")
        second = school.add_trick("fido", "roll over")
        store.delete("agent:a", "mood")
        found = list(store.log())

        assert [1, 2, 3, 4, 5, 6] == [row.position for row in found]
        assert (2, 5) == (first, second)
        assert [2, 5] == [item.id for item in school.notification_log.select(None, 10)]
        assert ["roll over"] == school.get_tricks("fido")
        report = store.verify()
        assert (True, 6) == (report.ok, report.events)


def test_a_recorded_event_shows_what_the_application_stored(env: dict[str, str]) -> None:
    with DogSchool(env) as school, backstory.open(env["BACKSTORY_STORE"]) as store:
        school.register_dog("fido")
        (found,) = store.log(actor="DogSchool")
        stored = school.recorder.select_events("dog-fido")[0]

        assert "dog-fido" == found.stream
        assert 1 == found.version
        assert "tests.support.dogs:Dog.Registered" == found.type
        assert stored.state == found.data
        assert [] == store.scopes(all=True)


def test_an_application_sees_its_own_sequence_and_one_without_a_name_sees_all(env: dict[str, str]) -> None:
    with DogSchool(env) as dogs, CatSchool(env) as cats:
        dogs.register_dog("fido")
        cats.save(Dog("a cat, in truth"))
        dogs.register_dog("rex")

        assert [1, 3] == [item.id for item in dogs.notification_log.select(None, 10)]
        assert [2] == [item.id for item in cats.notification_log.select(None, 10)]
        assert (3, 2) == (dogs.recorder.max_notification_id(), cats.recorder.max_notification_id())
        assert isinstance(dogs.recorder, LogApplicationRecorder)
        everybody = LogApplicationRecorder(dogs.recorder.log)
        assert [1, 2, 3] == [item.id for item in everybody.select_notifications(None, 10)]


def test_consumers_of_the_same_application_are_tracked_one_by_one(log: Log) -> None:
    one, other, nameless = (LogProcessRecorder(log, name=name) for name in ("One", "Other", ""))
    one.insert_tracking(Tracking("Upstream", 5))
    other.insert_events([event("a", 1)], tracking=Tracking("Upstream", 2))

    assert [5, 2, None] == [recorder.max_tracking_id("Upstream") for recorder in (one, other, nameless)]


def test_events_and_their_tracking_are_stored_together_or_not_at_all(log: Log) -> None:
    recorder = LogProcessRecorder(log, name="One")
    recorder.insert_events([event("a", 1)], tracking=Tracking("Upstream", 1))
    for events, tracking in (([event("a", 1)], 2), ([event("a", 2)], 1)):
        with pytest.raises(IntegrityError):
            recorder.insert_events(events, tracking=Tracking("Upstream", tracking))
        with pytest.raises(IntegrityError):
            recorder.set_state("custom:view", {"k": tracking}, tracking=Tracking("Upstream", 1))

    assert 1 == recorder.max_tracking_id("Upstream")
    assert [1] == [stored.originator_version for stored in recorder.select_events("a")]
    assert "nothing" == recorder.get_state("custom:view", "k", "nothing")


class TestASubscription:
    def test_ends_its_thread_whenever_it_is_left(self, log: Log) -> None:
        recorder = LogApplicationRecorder(log)
        before = threading.active_count()
        for _ in range(200):
            with recorder.subscribe():
                pass
        assert before == threading.active_count()

    def test_ends_with_its_log_and_says_so(self, log: Log) -> None:
        recorder = LogApplicationRecorder(log)
        with recorder.subscribe() as subscription:
            recorder.insert_events([event("a", 1)])
            assert 1 == next(subscription).id
            log.close()
            with pytest.raises(ProgrammingError, match="closed"):
                next(subscription)

    def test_sleeps_through_nothing_that_comes_while_it_pulls(self, log: Log) -> None:
        recorder = LogApplicationRecorder(log)
        with recorder.subscribe() as subscription:
            for version in range(300):
                recorder.insert_events([event("a", version)])
            assert list(range(1, 301)) == [next(subscription).id for _ in range(300)]


def test_a_log_that_nobody_holds_is_closed() -> None:
    engine = MemoryEngine(SystemClock())
    recorder = LogApplicationRecorder(Log(engine, max_value_bytes=1))
    del recorder

    assert engine._closed


def test_a_store_that_cannot_be_reached_is_an_operational_error(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(_: object) -> None:
        raise StoreUnavailableError("the disk is full", outcome="not_written")

    monkeypatch.setattr(log.engine, "commit", unreachable)
    with pytest.raises(OperationalError, match="the disk is full"):
        LogApplicationRecorder(log).insert_events([event("a", 1)])
