"""`PERSISTENCE_MODULE` finds the factories, and the environment says what they open."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from eventsourcing.persistence import InfrastructureFactory, StoredEvent
from eventsourcing.utils import Environment

import backstory
from backstory.domain.errors import ConfigError
from backstory.infrastructure import memory
from backstory.infrastructure.clock import SystemClock
from backstory.infrastructure.memory.engine import MemoryEngine
from backstory.infrastructure.postgres.engine import PostgresEngine
from backstory.infrastructure.postgres.factory import PostgresFactory
from backstory.infrastructure.recording.factory import LogFactory
from backstory.infrastructure.recording.recorders import LogTrackingRecorder
from backstory.infrastructure.sqlite.factory import SqliteFactory

OPENED = """
import json, sys, backstory
import backstory.infrastructure.postgres.engine
with backstory.open("memory://") as memory, backstory.open(sys.argv[1]) as store:
    memory.set("agent:a", "k", 1)
    store.set("agent:a", "k", 1)
before = sorted(name for name in sys.modules if name.partition(".")[0] == "eventsourcing")
from eventsourcing.persistence import InfrastructureFactory
found = []
for engine in ("memory", "sqlite"):
    env = {"PERSISTENCE_MODULE": "backstory.infrastructure." + engine, "BACKSTORY_STORE": sys.argv[1]}
    factory = InfrastructureFactory.construct(env)
    found.append(type(factory).__name__)
    factory.close()
print(json.dumps([before, found]))
"""


def construct(name: str = "", **env: str) -> LogFactory:
    factory = InfrastructureFactory[LogTrackingRecorder].construct(Environment(name, env))
    assert isinstance(factory, LogFactory)
    return factory


def test_opening_a_store_loads_nothing_of_eventsourcing_and_factories_are_found_after_it(sqlite_url: str) -> None:
    done = subprocess.run([sys.executable, "-c", OPENED, sqlite_url], capture_output=True, text=True, check=True)
    assert [[], ["MemoryFactory", "SqliteFactory"]] == json.loads(done.stdout)


@pytest.mark.parametrize("topic", ["backstory.infrastructure.memory", "backstory.infrastructure.memory:Factory"])
def test_a_factory_is_found_by_its_module_and_by_its_name(topic: str) -> None:
    factory = construct(PERSISTENCE_MODULE=topic)
    assert "MemoryFactory" == type(factory).__name__
    factory.close()


def test_an_engine_s_package_has_no_other_attributes_than_it_had() -> None:
    with pytest.raises(AttributeError, match=r"backstory\.infrastructure\.memory.*nothing"):
        _ = memory.nothing  # type: ignore[attr-defined]


class TestTheSqliteFactory:
    @pytest.mark.parametrize("form", ["{}", "file:{}"])
    def test_takes_the_stock_name_before_the_store_s(self, tmp_path: Path, form: str) -> None:
        stock, ours = tmp_path / "stock.db", tmp_path / "ours.db"
        factory = SqliteFactory({"SQLITE_DBNAME": form.format(stock), "BACKSTORY_STORE": f"sqlite:///{ours}"})
        factory.close()
        assert (True, False) == (stock.exists(), ours.exists())

    def test_takes_a_variable_with_the_application_s_name_first(self, tmp_path: Path) -> None:
        env = {"DOGS_SQLITE_DBNAME": str(tmp_path / "dogs.db"), "SQLITE_DBNAME": str(tmp_path / "all.db")}
        SqliteFactory(Environment("Dogs", env)).close()
        assert ["dogs.db"] == [path.name for path in tmp_path.iterdir()]

    @pytest.mark.parametrize("name", [":memory:", "file::memory:?cache=shared", "file:dogs?mode=memory"])
    def test_keeps_a_log_in_memory_for_sqlite_s_names_of_that(self, name: str) -> None:
        factory = SqliteFactory({"SQLITE_DBNAME": name})
        assert isinstance(factory.log.engine, MemoryEngine)
        factory.close()

    @pytest.mark.parametrize("env", [{}, {"BACKSTORY_STORE": "memory://"}, {"BACKSTORY_STORE": "sqlite:///"}])
    def test_says_what_to_set_where_no_file_is_named(self, env: dict[str, str]) -> None:
        with pytest.raises(OSError, match="APP_SQLITE_DBNAME, SQLITE_DBNAME, APP_BACKSTORY_STORE, BACKSTORY_STORE"):
            SqliteFactory(Environment("App", env))

    def test_makes_no_file_that_it_may_not_make(self, tmp_path: Path) -> None:
        with pytest.raises(Exception, match="cannot open"):
            SqliteFactory({"SQLITE_DBNAME": str(tmp_path / "none.db"), "CREATE_TABLE": "no"})
        assert [] == list(tmp_path.iterdir())

    def test_reads_settings_from_the_application_s_environment(self, tmp_path: Path) -> None:
        env = {"SQLITE_DBNAME": str(tmp_path / "a.db"), "SQLITE_LOCK_TIMEOUT": "7", "BACKSTORY_MAX_VALUE_BYTES": "99"}
        factory = SqliteFactory(env)
        assert 99 == factory.log.max_value_bytes
        assert 7.0 == factory.log.engine._settings.busy_timeout_s  # type: ignore[attr-defined]
        factory.close()

    @pytest.mark.parametrize(("name", "value"), [("SQLITE_LOCK_TIMEOUT", "soon"), ("ORIGINATOR_ID_TYPE", "number")])
    def test_refuses_values_that_are_none(self, tmp_path: Path, name: str, value: str) -> None:
        with pytest.raises(OSError, match=f"{name} is '{value}'"):
            SqliteFactory({"SQLITE_DBNAME": str(tmp_path / "a.db"), name: value})

    def test_names_the_setting_of_ours_that_is_wrong(self, tmp_path: Path) -> None:
        with pytest.raises(Exception, match="durability") as caught:
            SqliteFactory({"SQLITE_DBNAME": str(tmp_path / "a.db"), "BACKSTORY_DURABILITY": "none"})
        assert isinstance(caught.value.__cause__, ConfigError)

    def test_hands_out_the_recorders_that_the_environment_names(self, tmp_path: Path) -> None:
        topic = "tests.support.dogs:TrickCounts"
        factory = SqliteFactory({"SQLITE_DBNAME": str(tmp_path / "a.db"), "TRACKING_RECORDER_TOPIC": topic})
        assert "TrickCounts" == type(factory.tracking_recorder()).__name__
        factory.close()


class TestThePostgresFactory:
    def test_takes_the_stock_variables(self, postgres_url: str) -> None:
        parts = urlsplit(postgres_url)
        query = parse_qs(parts.query)
        env = {
            "PERSISTENCE_MODULE": "backstory.infrastructure.postgres",
            "POSTGRES_DBNAME": parts.path.strip("/"),
            "POSTGRES_HOST": query["host"][0] if "host" in query else parts.hostname or "",
            "POSTGRES_PORT": query["port"][0] if "port" in query else str(parts.port or ""),
            "POSTGRES_USER": parts.username or "",
            "POSTGRES_PASSWORD": parts.password or "",
            "POSTGRES_SCHEMA": "kennel",
            "POSTGRES_POOL_SIZE": "2",
        }
        factory = construct(**env)
        factory.application_recorder().insert_events([StoredEvent("dog", 1, "topic", b"state")])
        factory.close()
        with backstory.open(postgres_url, namespace="kennel") as store:
            assert ["dog"] == [event.stream for event in store.log()]

    def test_quotes_what_it_puts_into_a_url(self, monkeypatch: pytest.MonkeyPatch) -> None:
        urls: list[str] = []

        def opened(url: str, *_: object, **__: object) -> MemoryEngine:
            urls.append(url)
            return MemoryEngine(SystemClock())

        monkeypatch.setattr(PostgresEngine, "open", opened)
        PostgresFactory({"POSTGRES_DBNAME": "a b&c", "POSTGRES_PASSWORD": "p+/=?", "POSTGRES_HOST": "/run/pg"}).close()
        assert ["postgresql:///?dbname=a%20b%26c&host=%2Frun%2Fpg&password=p%2B%2F%3D%3F"] == urls

    def test_says_what_to_set_where_no_database_is_named(self) -> None:
        with pytest.raises(OSError, match="POSTGRES_DBNAME, BACKSTORY_STORE"):
            PostgresFactory({"BACKSTORY_STORE": "sqlite:///a.db"})
