"""The PostgreSQL that tests and benchmarks run on: it starts anywhere, answers, and leaves nothing behind."""

from __future__ import annotations

import os
import select
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, cast

import psycopg
import pytest

from backstory.domain.errors import ConfigError, StoreUnavailableError
from backstory.testing import _postgres_binaries as binaries
from backstory.testing.postgres import ENVIRONMENT, MINIMUM_VERSION, Cluster, PostgresServer, postgres

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.postgres


@pytest.fixture(scope="module")
def wheel_server() -> Iterator[PostgresServer]:
    with postgres(source="wheel") as server:
        yield server


def one(url: str, query: str = "SELECT 1") -> object:
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute(query).fetchone()
    assert row is not None
    return row[0]


def do(url: str, statement: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement)


def cluster_of(server: PostgresServer) -> Cluster:
    return cast("Cluster", server.cluster)


def alive(pid: int) -> bool:
    """Tell whether a process runs: one that has ended, and that nobody has waited for yet, does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state not in "ZX"


def test_a_server_answers_by_socket_and_by_loopback(wheel_server: PostgresServer) -> None:
    assert one(wheel_server.url) == 1
    assert one(wheel_server.url_of("postgres", loopback=True)) == 1


def test_loopback_asks_for_the_password(wheel_server: PostgresServer) -> None:
    url = wheel_server.url_of("postgres", loopback=True)
    with pytest.raises(psycopg.OperationalError, match="password"):
        one(url.replace(cluster_of(wheel_server).password, "wrong"))


def test_a_server_is_durable_unless_asked_otherwise(wheel_server: PostgresServer) -> None:
    assert one(wheel_server.url, "SHOW fsync") == "on"
    assert one(wheel_server.url, "SHOW synchronous_commit") == "on"
    assert one(wheel_server.url, "SHOW full_page_writes") == "on"


def test_a_server_takes_settings_and_may_be_hasty() -> None:
    with postgres(source="wheel", durable=False, settings={"work_mem": "7MB"}) as server:
        assert one(server.url, "SHOW fsync") == "off"
        assert one(server.url, "SHOW work_mem") == "7MB"


def test_a_server_never_runs_as_root(wheel_server: PostgresServer) -> None:
    assert Path(f"/proc/{cluster_of(wheel_server).pid}").stat().st_uid != 0


def test_a_server_is_a_child_that_is_gone_with_its_files_at_the_end() -> None:
    with postgres(source="wheel") as server:
        pid, folder = cluster_of(server).pid, cluster_of(server).folder
        assert pid is not None
        assert alive(pid)
    assert not alive(pid)
    assert not folder.exists()


def test_a_server_is_gone_also_when_the_work_fails() -> None:
    folder = Path()

    def work() -> None:
        nonlocal folder
        with postgres(source="wheel") as server:
            folder = cluster_of(server).folder
            raise RuntimeError("the work failed")

    with pytest.raises(RuntimeError, match="the work failed"):
        work()
    assert folder != Path()
    assert not folder.exists()


def test_a_server_is_gone_also_when_its_owner_is_killed() -> None:
    script = (
        "from backstory.testing.postgres import postgres\n"
        "import os, signal\n"
        "context = postgres(source='wheel')\n"
        "server = context.__enter__()\n"
        "print(server.cluster.folder, server.cluster.pid, server.cluster.guard_pid, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    owner = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    folder, pid, guard = owner.stdout.split()

    wait_for_end_of(int(guard))

    assert not alive(int(pid))
    assert not Path(folder).exists()


def wait_for_end_of(pid: int) -> None:
    """Wait for a process that is not our child: its descriptor becomes readable when it ends."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    select.select([descriptor], [], [], 60)
    os.close(descriptor)


def test_what_was_committed_survives_a_crash(wheel_server: PostgresServer) -> None:
    with wheel_server.database() as url:
        do(url, "CREATE TABLE t AS SELECT 7 AS a")
        cluster_of(wheel_server).crash()
        cluster_of(wheel_server).start()
        assert one(url, "SELECT a FROM t") == 7


def test_databases_open_at_once_are_apart(wheel_server: PostgresServer) -> None:
    with wheel_server.database() as a, wheel_server.database() as b:
        do(a, "CREATE TABLE t ()")
        assert one(b, "SELECT to_regclass('t')") is None


def test_a_database_comes_back_empty_and_its_connections_are_cut(wheel_server: PostgresServer) -> None:
    with wheel_server.database() as first:
        left_open = psycopg.connect(first, autocommit=True)
        left_open.execute("CREATE TABLE t (); CREATE SCHEMA s; CREATE TABLE s.t (); SELECT pg_advisory_lock(1)")
    with wheel_server.database() as second:
        assert second == first
        assert one(second, "SELECT to_regclass('t')") is None
        assert one(second, "SELECT to_regclass('s.t')") is None
        assert one(second, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == 0
        do(second, "CREATE TABLE t ()")
    with pytest.raises(psycopg.OperationalError):
        left_open.execute("SELECT 1")
    left_open.close()


def test_a_named_server_is_used_as_it_is_and_left_as_it_was(
    wheel_server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = wheel_server.url_of("postgres", loopback=True)
    databases = "SELECT count(*) FROM pg_database"
    before = one(url, databases)
    monkeypatch.setenv(ENVIRONMENT, url)

    with postgres() as server:
        assert server.cluster is None
        with server.database() as empty:
            assert one(empty) == 1
            assert one(url, databases) == cast("int", before) + 1

    assert one(url, databases) == before


def test_a_named_server_must_be_a_url(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENVIRONMENT, "host=localhost")
    with pytest.raises(ConfigError, match=ENVIRONMENT), postgres():
        pass


def test_a_server_that_does_not_start_says_why() -> None:
    with (
        pytest.raises(StoreUnavailableError, match="no_such_setting"),
        postgres(source="wheel", settings={"no_such_setting": "1"}),
    ):
        pass


def test_without_any_programs_the_error_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binaries, "_system", lambda: iter(()))
    monkeypatch.setattr(binaries, "_wheel", lambda: iter(()))
    with pytest.raises(StoreUnavailableError, match=ENVIRONMENT):
        binaries.find_binaries()


def test_the_system_comes_before_the_wheel_and_old_programs_do_not_count(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def programs(version: int) -> Path:
        folder = tmp_path / str(version)
        folder.mkdir()
        for name in ("initdb", "postgres"):
            (folder / name).write_text(f"#!/bin/sh\necho '{name} (PostgreSQL) {version}.1'\n")
            (folder / name).chmod(0o755)
        return folder

    old, new, newer = programs(MINIMUM_VERSION - 1), programs(MINIMUM_VERSION), programs(MINIMUM_VERSION + 1)
    monkeypatch.setattr(binaries, "_wheel", lambda: iter((newer,)))
    monkeypatch.setattr(binaries, "_system", lambda: iter((old, new)))
    assert binaries.find_binaries() == new

    monkeypatch.setattr(binaries, "_system", lambda: iter((old,)))
    assert binaries.find_binaries() == newer


@pytest.mark.skipif(os.geteuid() != 0, reason="only root hands the server to another user")
def test_root_runs_programs_that_only_root_can_reach(tmp_path: Path) -> None:
    found = binaries.find_binaries("wheel")
    package = found.parent.parent
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    for folder in (package, package.with_name(f"{package.name}.libs")):
        (closed / folder.name).symlink_to(folder)

    cluster = Cluster(closed / package.name / found.parent.name / "bin")

    try:
        cluster.start()
        assert one(PostgresServer(cluster).url) == 1
        assert (cluster.folder / "programs" / package.name).is_dir()
        assert closed.stat().st_mode & 0o777 == 0o700
    finally:
        cluster.remove()
