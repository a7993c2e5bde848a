"""Applications and projections of eventsourcing run on the log."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar
from uuid import UUID

import pytest
from eventsourcing.application import Application
from eventsourcing.domain import Aggregate
from eventsourcing.persistence import IntegrityError, ProgrammingError, Tracking
from eventsourcing.projection import ProjectionRunner
from eventsourcing.tests import application as application_suites
from eventsourcing.tests import projection as projection_suites
from eventsourcing.utils import get_topic

import backstory
from backstory.infrastructure.memory.factory import MemoryFactory
from backstory.infrastructure.postgres.factory import PostgresFactory
from backstory.infrastructure.recording.recorders import LogTrackingRecorder
from backstory.infrastructure.sqlite.factory import SqliteFactory
from tests.support.dogs import DogSchool, TrickCounting, TrickCounts

if TYPE_CHECKING:
    from pathlib import Path

ENGINES = ("sqlite", pytest.param("postgres", marks=pytest.mark.postgres))


@pytest.fixture(params=ENGINES)
def env(request: pytest.FixtureRequest) -> dict[str, str]:
    """The environment of an application on an empty log that another process could open too."""
    return {
        "PERSISTENCE_MODULE": f"backstory.infrastructure.{request.param}",
        "BACKSTORY_STORE": request.getfixturevalue(f"{request.param}_url"),
    }


def names_of_threads() -> set[str]:
    return {thread.name for thread in threading.enumerate()}


class TestAnApplication:
    def test_keeps_its_aggregates_in_the_log(self, env: dict[str, str]) -> None:
        with DogSchool(env) as school:
            ids = [school.register_dog("fido"), school.add_trick("fido", "roll over"), school.add_trick("fido", "dead")]
        with DogSchool(env) as school:
            assert ["roll over", "dead"] == school.get_tricks("fido")
            assert ["roll over"] == school.get_tricks("fido", version=2)
        assert [1, 2, 3] == ids

    def test_reads_on_from_its_snapshots(self, env: dict[str, str]) -> None:
        with DogSchool(env) as school:
            school.register_dog("fido")
            for trick in "abcd":
                school.add_trick("fido", trick)
            for version in (4, 2):
                school.take_snapshot("dog-fido", version=version)
            assert school.snapshots is not None
            assert [2, 4] == [taken.originator_version for taken in school.snapshots.get("dog-fido")]
            assert ["a", "b"] == school.get_tricks("fido", version=3)
            assert list("abcd") == school.get_tricks("fido")
            with pytest.raises(IntegrityError):
                school.take_snapshot("dog-fido", version=2)

    def test_sees_no_snapshots_in_its_sequence(self, env: dict[str, str]) -> None:
        with DogSchool(env) as school:
            school.register_dog("fido")
            school.take_snapshot("dog-fido")
            school.add_trick("fido", "roll over")
            assert [1, 3] == [found.id for found in school.notification_log.select(None, 10)]

    def test_is_told_of_a_conflict(self, env: dict[str, str]) -> None:
        with DogSchool(env) as school:
            school.register_dog("fido")
            with pytest.raises(IntegrityError):
                school.register_dog("fido")

    def test_refuses_to_work_when_it_is_closed(self, env: dict[str, str]) -> None:
        with DogSchool(env) as school:
            pass
        with pytest.raises(ProgrammingError, match="closed"):
            school.register_dog("fido")


class TestAProjection:
    def test_follows_an_application_and_goes_on_where_it_stopped(self, env: dict[str, str]) -> None:
        counting: dict[str, Any] = {
            "application_class": DogSchool,
            "projection_class": TrickCounting,
            "view_class": TrickCounts,
            "env": env,
        }
        before = names_of_threads()
        for round_ in (1, 2):
            runner: ProjectionRunner[DogSchool, TrickCounts]
            with ProjectionRunner(**counting) as runner:
                name = f"dog {round_}"
                runner.app.register_dog(name)
                runner.app.add_trick(name, "roll over")
                last = runner.app.add_trick(name, "dead")
                runner.wait(last, timeout=30)
                assert round_ == runner.view.count("roll over")
                assert round_ == runner.view.count("dead")
            del runner
        # psycopg's and the engine's own end with them; a subscription's would be here still.
        assert {name for name in names_of_threads() - before if "_loop_on_pull" in name} == set()

    def test_keeps_its_view_where_every_reader_sees_it(self, env: dict[str, str]) -> None:
        with ProjectionRunner(
            application_class=DogSchool, projection_class=TrickCounting, view_class=TrickCounts, env=env
        ) as runner:
            runner.app.register_dog("fido")
            runner.wait(runner.app.add_trick("fido", "roll over"), timeout=30)
        with backstory.open(env["BACKSTORY_STORE"]) as store:
            assert {"roll over": 1} == store.items(TrickCounts.SCOPE)
            assert "TrickCounting" == store.blame(TrickCounts.SCOPE, "roll over").actor
            assert store.verify().ok

    def test_is_woken_by_another_process_s_commit(self, env: dict[str, str]) -> None:
        with (
            DogSchool(env) as elsewhere,
            ProjectionRunner(
                application_class=DogSchool, projection_class=TrickCounting, view_class=TrickCounts, env=env
            ) as runner,
        ):
            elsewhere.register_dog("fido")
            runner.wait(elsewhere.add_trick("fido", "roll over"), timeout=30)
            assert 1 == runner.view.count("roll over")


class CountersInTheLog(LogTrackingRecorder, projection_suites.EventCountersView):
    """The view of the published suite, as state."""

    def get_created_event_counter(self) -> int:
        found: int = self.get_state("custom:counters", "created", 0)
        return found

    def get_subsequent_event_counter(self) -> int:
        found: int = self.get_state("custom:counters", "subsequent", 0)
        return found

    def incr_created_event_counter(self, tracking: Tracking) -> None:
        self.set_state("custom:counters", {"created": self.get_created_event_counter() + 1}, tracking=tracking)

    def incr_subsequent_event_counter(self, tracking: Tracking) -> None:
        self.set_state("custom:counters", {"subsequent": self.get_subsequent_event_counter() + 1}, tracking=tracking)


class OnMemory:
    factory_class: type = MemoryFactory
    env: ClassVar[dict[str, str]] = {"PERSISTENCE_MODULE": "backstory.infrastructure.memory"}


class OnSqlite:
    factory_class: type = SqliteFactory
    env: dict[str, str]

    @pytest.fixture(autouse=True)
    def _engine(self, sqlite_url: str) -> None:
        self.env = {"PERSISTENCE_MODULE": "backstory.infrastructure.sqlite", "BACKSTORY_STORE": sqlite_url}


class OnPostgres:
    factory_class: type = PostgresFactory
    env: dict[str, str]

    @pytest.fixture(autouse=True)
    def _engine(self, postgres_url: str) -> None:
        self.env = {"PERSISTENCE_MODULE": "backstory.infrastructure.postgres", "BACKSTORY_STORE": postgres_url}


class ProjectionSuite(projection_suites.AggregateEventCountersProjectionTestCase):
    __test__ = False
    view_class = CountersInTheLog


class TestPublishedProjectionInMemory(OnMemory, ProjectionSuite):
    __test__ = True


class TestPublishedProjectionInSqlite(OnSqlite, ProjectionSuite):
    __test__ = True


class TestPublishedProjectionInPostgres(OnPostgres, ProjectionSuite):
    __test__ = True


class EventSourcedSuite(projection_suites.EventSourcedProjectionTestCase):
    """The projection's own events go into the log that it follows: it must not see them there."""

    __test__ = False


class TestPublishedEventSourcedProjectionInMemory(OnMemory, EventSourcedSuite):
    __test__ = True


class TestPublishedEventSourcedProjectionInSqlite(OnSqlite, EventSourcedSuite):
    __test__ = True


class TestPublishedEventSourcedProjectionInPostgres(OnPostgres, EventSourcedSuite):
    __test__ = True


class ViewSuite(projection_suites.EventCountersViewTestCase):
    __test__ = False
    env: dict[str, str]
    factory_class: type

    def construct_event_counters_view(self) -> CountersInTheLog:
        factory = self.factory_class(self.env)
        self.addCleanup(factory.close)
        view: CountersInTheLog = factory.tracking_recorder(CountersInTheLog)
        return view


class TestPublishedViewInMemory(OnMemory, ViewSuite):
    __test__ = True


class TestPublishedViewInSqlite(OnSqlite, ViewSuite):
    __test__ = True


class TestPublishedViewInPostgres(OnPostgres, ViewSuite):
    __test__ = True


class ExampleSuite(application_suites.ExampleApplicationTestCase):
    __test__ = False
    env: dict[str, str]
    factory_class: type

    @pytest.fixture(autouse=True)
    def _environment(self, _engine: None, monkeypatch: pytest.MonkeyPatch) -> None:
        for name, value in self.env.items():
            monkeypatch.setenv(name, value)
        self.expected_factory_topic = get_topic(self.factory_class)


class TestPublishedExampleInSqlite(OnSqlite, ExampleSuite):
    __test__ = True


class TestPublishedExampleInPostgres(OnPostgres, ExampleSuite):
    __test__ = True


@pytest.mark.filterwarnings("default:'log' is deprecated:DeprecationWarning")  # which the suite looks for
class TestPublishedApplicationInSqlite(OnSqlite, application_suites.ApplicationTestCase):
    """The suite of Application itself, with ours in the place of the module that it would use."""

    @pytest.fixture(autouse=True)
    def _environment(self, _engine: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("PERSISTENCE_MODULE", "backstory.infrastructure.sqlite")
        monkeypatch.setenv("SQLITE_DBNAME", str(tmp_path / "application.db"))


@pytest.fixture
def uuid_school(env: dict[str, str]) -> Iterator[Application[UUID]]:
    with Application[UUID](env) as school:
        yield school


def test_stock_aggregates_come_back_with_their_uuids(uuid_school: Application[UUID]) -> None:
    aggregate = Aggregate()
    uuid_school.save(aggregate)

    found: Aggregate = uuid_school.repository.get(aggregate.id)

    assert aggregate == found
    assert isinstance(found.id, UUID)


def test_a_process_s_environment_is_enough(env: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in env.items():
        monkeypatch.setitem(os.environ, name, value)
    with DogSchool() as school:
        assert 1 == school.register_dog("fido")
