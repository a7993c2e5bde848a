"""The published suites of eventsourcing pass on every engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar
from uuid import UUID, uuid4

import pytest
from eventsourcing.persistence import InfrastructureFactory, StoredEvent
from eventsourcing.tests import persistence as suites
from eventsourcing.utils import Environment

import backstory
from backstory.infrastructure.memory.factory import MemoryFactory
from backstory.infrastructure.postgres.factory import PostgresFactory
from backstory.infrastructure.recording.factory import LogFactory
from backstory.infrastructure.recording.recorders import (
    LogAggregateRecorder,
    LogApplicationRecorder,
    LogProcessRecorder,
    LogTrackingRecorder,
)
from backstory.infrastructure.sqlite.factory import SqliteFactory

if TYPE_CHECKING:
    from pathlib import Path


class OnMemory:
    factory_class: type[LogFactory] = MemoryFactory
    env: Environment

    @pytest.fixture(autouse=True)
    def _engine(self) -> None:
        self.env = Environment(env={"PERSISTENCE_MODULE": "backstory.infrastructure.memory"})


class OnSqlite:
    factory_class: type[LogFactory] = SqliteFactory
    env: Environment

    @pytest.fixture(autouse=True)
    def _engine(self, tmp_path: Path) -> None:
        name = str(tmp_path / "log.db")
        self.env = Environment(env={"PERSISTENCE_MODULE": "backstory.infrastructure.sqlite", "SQLITE_DBNAME": name})


class OnPostgres:
    factory_class: type[LogFactory] = PostgresFactory
    env: Environment

    @pytest.fixture(autouse=True)
    def _engine(self, postgres_url: str) -> None:
        self.env = Environment(
            env={"PERSISTENCE_MODULE": "backstory.infrastructure.postgres", "BACKSTORY_STORE": postgres_url}
        )


class Recorders(suites.RecorderTestCase):
    """Text ids, and a factory that closes after the test."""

    env: Environment
    id_type: ClassVar[str] = "text"

    def new_originator_id(self) -> UUID | str:
        return f"dog-{uuid4()}"

    def construct(self) -> LogFactory:
        self.env["ORIGINATOR_ID_TYPE"] = self.id_type
        factory = InfrastructureFactory[LogTrackingRecorder].construct(self.env)
        assert isinstance(factory, LogFactory)
        self.addCleanup(factory.close)
        return factory


class AggregateSuite(Recorders, suites.AggregateRecorderTestCase):
    __test__ = False

    def create_recorder(self) -> LogAggregateRecorder:
        return self.construct().aggregate_recorder()


class TestAggregatesInMemory(OnMemory, AggregateSuite):
    __test__ = True


class TestAggregatesInSqlite(OnSqlite, AggregateSuite):
    __test__ = True


class TestAggregatesInPostgres(OnPostgres, AggregateSuite):
    __test__ = True


class SnapshotSuite(Recorders, suites.AggregateRecorderTestCase):
    __test__ = False

    def create_recorder(self) -> LogAggregateRecorder:
        return self.construct().aggregate_recorder(purpose="snapshots")


class TestSnapshotsInMemory(OnMemory, SnapshotSuite):
    __test__ = True


class TestSnapshotsInSqlite(OnSqlite, SnapshotSuite):
    __test__ = True


class TestSnapshotsInPostgres(OnPostgres, SnapshotSuite):
    __test__ = True


class ApplicationSuite(Recorders, suites.ApplicationRecorderTestCase[LogApplicationRecorder]):
    __test__ = False
    EXPECT_CONTIGUOUS_NOTIFICATION_IDS = True

    def create_recorder(self) -> LogApplicationRecorder:
        return self.construct().application_recorder()

    def test_insert_subscribe(self) -> None:
        self.optional_test_insert_subscribe()


class TestApplicationsInMemory(OnMemory, ApplicationSuite):
    __test__ = True


class TestApplicationsInSqlite(OnSqlite, ApplicationSuite):
    __test__ = True


class TestApplicationsInPostgres(OnPostgres, ApplicationSuite):
    __test__ = True


class TestApplicationsWithUuidsInSqlite(OnSqlite, ApplicationSuite):
    __test__ = True
    id_type: ClassVar[str] = "uuid"

    def new_originator_id(self) -> UUID | str:
        return uuid4()


class StateFirst(Recorders):
    """The log holds three events of Backstory's own, and gets more behind everything that is recorded."""

    __test__ = False
    url: str

    def create_recorder(self) -> LogApplicationRecorder:
        with backstory.open(self.url) as store:
            for number in range(3):
                store.set("agent:a", "k", number)
        return self.construct().application_recorder()


class TestApplicationsBehindStateInSqlite(OnSqlite, StateFirst, suites.ApplicationRecorderTestCase[Any]):
    __test__ = True

    def test_insert_select(self) -> None:
        recorder = self.create_recorder()
        stored = StoredEvent("dog", 1, "topic", b"state")

        assert [4] == recorder.insert_events([stored])
        assert [4] == [notification.id for notification in recorder.select_notifications(None, 10)]
        assert 4 == recorder.max_notification_id()

    def test_insert_subscribe(self) -> None:
        self.optional_test_insert_subscribe(initial_position=3)

    @pytest.fixture(autouse=True)
    def _url(self, _engine: None) -> None:
        self.url = f"sqlite:///{self.env['SQLITE_DBNAME']}"


class TestApplicationsBehindStateInPostgres(OnPostgres, StateFirst, suites.ApplicationRecorderTestCase[Any]):
    __test__ = True

    def test_insert_select(self) -> None:
        recorder = self.create_recorder()

        assert [4] == recorder.insert_events([StoredEvent("dog", 1, "topic", b"state")])
        assert [4] == [notification.id for notification in recorder.select_notifications(None, 10)]

    def test_insert_subscribe(self) -> None:
        self.optional_test_insert_subscribe(initial_position=3)

    @pytest.fixture(autouse=True)
    def _url(self, _engine: None) -> None:
        self.url = self.env["BACKSTORY_STORE"]


class TrackingSuite(Recorders, suites.TrackingRecorderTestCase):
    __test__ = False

    def create_recorder(self) -> LogTrackingRecorder:
        return self.construct().tracking_recorder()


class TestTrackingInMemory(OnMemory, TrackingSuite):
    __test__ = True


class TestTrackingInSqlite(OnSqlite, TrackingSuite):
    __test__ = True


class TestTrackingInPostgres(OnPostgres, TrackingSuite):
    __test__ = True


class ProcessSuite(Recorders, suites.ProcessRecorderTestCase):
    __test__ = False

    def create_recorder(self) -> LogProcessRecorder:
        return self.construct().process_recorder()


class TestProcessesInMemory(OnMemory, ProcessSuite):
    __test__ = True


class TestProcessesInSqlite(OnSqlite, ProcessSuite):
    __test__ = True


class TestProcessesInPostgres(OnPostgres, ProcessSuite):
    __test__ = True


class NonInterleavingSuite(Recorders, suites.NonInterleavingNotificationIDsBaseCase):
    __test__ = False

    def create_recorder(self) -> LogApplicationRecorder:
        return self.construct().application_recorder()


class TestNonInterleavingInMemory(OnMemory, NonInterleavingSuite):
    __test__ = True


class TestNonInterleavingInSqlite(OnSqlite, NonInterleavingSuite):
    __test__ = True


class TestNonInterleavingInPostgres(OnPostgres, NonInterleavingSuite):
    __test__ = True


class OtherTracking(LogTrackingRecorder):
    """A view of a user's own."""


class FactorySuite(suites.InfrastructureFactoryTestCase[LogFactory]):
    __test__ = False
    factory_class: type[LogFactory]

    def expected_factory_class(self) -> type[LogFactory]:
        return self.factory_class

    def expected_aggregate_recorder_class(self) -> type[LogAggregateRecorder]:
        return LogAggregateRecorder

    def expected_application_recorder_class(self) -> type[LogApplicationRecorder]:
        return LogApplicationRecorder

    def expected_tracking_recorder_class(self) -> type[LogTrackingRecorder]:
        return LogTrackingRecorder

    def tracking_recorder_subclass(self) -> type[LogTrackingRecorder]:
        return OtherTracking

    def expected_process_recorder_class(self) -> type[LogProcessRecorder]:
        return LogProcessRecorder


class TestFactoryInMemory(OnMemory, FactorySuite):
    __test__ = True


class TestFactoryInSqlite(OnSqlite, FactorySuite):
    __test__ = True


class TestFactoryInPostgres(OnPostgres, FactorySuite):
    __test__ = True
