"""Stored text never decides what a process imports."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from eventsourcing import utils
from eventsourcing.domain import Aggregate, datetime_now_with_tzinfo
from eventsourcing.persistence import DatetimeAsISO, JSONTranscoder, Mapper, StoredEvent
from eventsourcing.tests.domain import BankAccount

from backstory.infrastructure.memory.factory import MemoryFactory
from backstory.infrastructure.recording.aggregates import TextAggregate, TextCreated, TextSnapshot
from backstory.infrastructure.recording.mapper import LoadedMapper, RegisteredMapper
from backstory.infrastructure.recording.topics import OWN, Registry, UnregisteredTopicError
from tests.support.dogs import Dog


def transcoder() -> JSONTranscoder:
    made = JSONTranscoder()
    made.register(DatetimeAsISO())
    return made


def mapper() -> LoadedMapper[str]:
    return LoadedMapper[str](transcoder())


@pytest.fixture
def lurking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a module that could be imported, and must not be."""
    (tmp_path / "lurking.py").write_text("raise SystemExit('imported')\n", encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    return "lurking"


@pytest.fixture
def forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that has imported its classes, and not used one yet."""
    monkeypatch.setattr(utils, "_topic_cache", {})


def created(**state: str) -> StoredEvent:
    data = transcoder().encode({"timestamp": datetime_now_with_tzinfo(), "name": "fido", **state})
    return StoredEvent("dog-fido", 1, "tests.support.dogs:Dog.Registered", data)


@pytest.mark.usefixtures("forgotten")
class TestTheMapperOfApplications:
    def test_makes_events_of_imported_classes(self) -> None:
        found = mapper().to_domain_event(created(originator_topic="tests.support.dogs:Dog"))
        assert isinstance(found, TextCreated)
        assert isinstance(found.mutate(None), Dog)

    def test_does_not_import_the_module_of_a_topic(self, lurking: str) -> None:
        with pytest.raises(UnregisteredTopicError, match="Import the module"):
            mapper().to_domain_event(StoredEvent("a", 1, f"{lurking}:Dog.Registered", b"{}"))
        assert lurking not in sys.modules

    def test_does_not_import_the_module_of_an_aggregate_that_an_event_names(self, lurking: str) -> None:
        with pytest.raises(UnregisteredTopicError):
            mapper().to_domain_event(created(originator_topic=f"{lurking}:Dog"))
        assert lurking not in sys.modules

    def test_does_not_import_the_module_of_an_aggregate_that_a_snapshot_names(self, lurking: str) -> None:
        data = transcoder().encode({"timestamp": datetime_now_with_tzinfo(), "topic": f"{lurking}:Dog", "state": {}})
        topic = f"{TextSnapshot.__module__}:TextSnapshot"
        with pytest.raises(UnregisteredTopicError):
            mapper().to_domain_event(StoredEvent("a", 1, topic, data))
        assert lurking not in sys.modules

    @pytest.mark.parametrize(
        "topic", ["subprocess:Popen", "os:system", "os", "os:", "", ":", "os:path.join", "sys:nothing.at.all"]
    )
    def test_makes_nothing_that_is_no_domain_event(self, topic: str) -> None:
        with pytest.raises(UnregisteredTopicError):
            mapper().to_domain_event(StoredEvent("a", 1, topic, b"{}"))

    @pytest.mark.parametrize("topic", ["subprocess:Popen", "tests.support.dogs:Dog.Registered"])
    def test_begins_nothing_that_is_no_aggregate(self, topic: str) -> None:
        with pytest.raises(UnregisteredTopicError):
            mapper().to_domain_event(created(originator_topic=topic))

    def test_knows_classes_that_moved_if_they_were_registered(self) -> None:
        utils.register_topic("old_kennel:Dog", Dog)
        utils.register_topic("old_dogs", sys.modules["tests.support.dogs"])
        for topic in ("old_kennel:Dog.Registered", "old_dogs:Dog.Registered"):
            stored = created(originator_topic="old_kennel:Dog")
            found = mapper().to_domain_event(StoredEvent(stored.originator_id, 1, topic, stored.state))
            assert type(found) is vars(Dog)["Registered"]

    def test_is_what_factories_give_unless_told_otherwise(self) -> None:
        for env, expected in (
            ({}, LoadedMapper),
            ({"MAPPER_TOPIC": "eventsourcing.persistence:Mapper"}, Mapper),
            ({"MAPPER_TOPIC": f"{RegisteredMapper.__module__}:RegisteredMapper"}, RegisteredMapper),
        ):
            factory = MemoryFactory(env)
            assert expected is type(factory.mapper())
            factory.close()

    def test_takes_stock_aggregates_too(self) -> None:
        account = BankAccount.open(full_name="Alice", email_address="alice@example.com")
        topic = utils.get_topic(type(account.pending_events[0]))
        utils.clear_topic_cache()
        mapper().topics.check_event(topic)
        mapper().topics.check_aggregate("eventsourcing.domain:Aggregate")
        assert issubclass(BankAccount, Aggregate)


class TestTheMapperOfRegisteredClasses:
    def test_refuses_an_imported_class_that_was_not_registered(self) -> None:
        with pytest.raises(UnregisteredTopicError, match="Register the class"):
            RegisteredMapper[str](transcoder()).to_domain_event(created(originator_topic="tests.support.dogs:Dog"))

    def test_takes_a_registered_aggregate_and_all_its_events(self, monkeypatch: pytest.MonkeyPatch) -> None:
        registry = Registry()
        registry.register(Dog)
        monkeypatch.setattr(RegisteredMapper, "topics", registry)
        found = RegisteredMapper[str](transcoder()).to_domain_event(created(originator_topic="tests.support.dogs:Dog"))
        assert isinstance(found, TextCreated)
        with pytest.raises(UnregisteredTopicError):
            registry.check_aggregate(utils.get_topic(TextAggregate))

    def test_asks_the_registry_of_backstory_s_own(self) -> None:
        assert OWN is RegisteredMapper.topics
