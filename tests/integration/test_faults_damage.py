"""Files that are not, or no longer, what a store wrote: each has its error, and nothing wrong is served as right."""

from __future__ import annotations

import os
import random
import resource
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import apsw
import pytest

import backstory
from backstory import (
    BackstoryError,
    ConfigError,
    IntegrityError,
    NotFoundError,
    ReadOnlyError,
    StoreUnavailableError,
    StoreVersionError,
)
from tests.support.fault_ledger import PLAIN, WRITES, FaultLedger, write_value
from tests.support.folding import as_text, current

if TYPE_CHECKING:
    from collections.abc import Iterator

    from backstory import StateStore

NOBODY = 65534
HEADER_BYTES = 100
SQLITE_PAGE = 4096
NOISE = random.Random(1).randbytes(3 * SQLITE_PAGE)  # noqa: S311 - a repeatable noise, no secret


def url_of(path: Path) -> str:
    return f"sqlite:///{path}"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file that holds a store with a little of everything, closed."""
    path = tmp_path / "store.db"
    with backstory.open(url_of(path)) as store:
        first = store.set("global", "first", 1)
        store.set("global", "second", 2, cause=first)
        ledger = FaultLedger()
        for _ in range(3):
            for write in WRITES:
                ledger.write(store, write)
        store.clear(PLAIN)
        ledger.write(store, write_value)
        store.fork("fork").set("agent:fork", "key", 1)
    return path


def altered(path: Path, statement: str) -> None:
    """Change a file behind the store's back."""
    connection = apsw.Connection(str(path))
    try:
        connection.execute(statement)
    finally:
        connection.close()


# Not a store


@pytest.mark.parametrize("content", [b"hello", NOISE], ids=["text", "noise"])
@pytest.mark.parametrize("read_only", [False, True])
def test_a_file_that_is_no_database_is_refused_and_left_as_it_is(
    tmp_path: Path, content: bytes, read_only: bool
) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(IntegrityError) as caught:
        backstory.open(url_of(path), read_only=read_only)
    assert caught.value.kind == "file"
    assert content == path.read_bytes()
    assert [path] == list(tmp_path.iterdir())


@pytest.mark.parametrize("journal", ["delete", "wal"])
@pytest.mark.parametrize("read_only", [False, True])
def test_another_programs_database_is_refused_and_left_as_it_is(tmp_path: Path, journal: str, read_only: bool) -> None:
    path = tmp_path / "other.db"
    altered(path, f"PRAGMA journal_mode = {journal}")
    altered(path, "CREATE TABLE theirs (x)")
    before = path.read_bytes()
    with pytest.raises(ConfigError, match="another program's database"):
        backstory.open(url_of(path), read_only=read_only)
    assert before == path.read_bytes()
    assert read_only or [path] == list(tmp_path.iterdir())


@pytest.mark.parametrize("version", [1, 99])
def test_a_store_of_another_version_is_refused(path: Path, version: int) -> None:
    altered(path, f"PRAGMA user_version = {version}")
    with pytest.raises(StoreVersionError) as caught:
        backstory.open(url_of(path))
    assert caught.value.found == version


@pytest.mark.parametrize("settings", [{"create": False}, {"read_only": True}], ids=["not to be made", "read-only"])
def test_an_empty_file_is_no_store_unless_it_may_become_one(tmp_path: Path, settings: dict[str, Any]) -> None:
    path = tmp_path / "empty.db"
    path.touch()
    with pytest.raises(StoreUnavailableError, match="holds no store yet"):
        backstory.open(url_of(path), **settings)
    assert path.stat().st_size == 0
    with backstory.open(url_of(path)) as store:
        assert store.position() == 0


@pytest.mark.parametrize("settings", [{"create": False}, {"read_only": True}], ids=["not to be made", "read-only"])
def test_a_missing_file_is_an_error_and_nothing_is_made(tmp_path: Path, settings: dict[str, Any]) -> None:
    with pytest.raises(StoreUnavailableError, match="cannot open"):
        backstory.open(url_of(tmp_path / "folder" / "store.db"), **settings)
    with pytest.raises(StoreUnavailableError, match="cannot open"):
        backstory.open(url_of(tmp_path / "store.db"), **settings)
    assert [] == list(tmp_path.iterdir())


def test_missing_folders_are_made(tmp_path: Path) -> None:
    with backstory.open(url_of(tmp_path / "a" / "b" / "store.db")) as store:
        assert store.set("agent:a", "key", 1).position == 1


def test_a_folder_is_no_store(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailableError, match="cannot open"):
        backstory.open(url_of(tmp_path))


def test_a_store_cannot_lie_below_a_file(path: Path) -> None:
    with pytest.raises(StoreUnavailableError, match="cannot make the folder"):
        backstory.open(url_of(path / "store.db"))


def test_a_file_system_that_is_not_registered_is_a_wrong_setting(path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        backstory.open(url_of(path), vfs="nonsense")
    assert caught.value.key == "vfs"


# Not ours to read or write


@contextmanager
def as_nobody() -> Iterator[None]:
    """Do something without root's rights."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that everybody can enter: pytest's own are closed to others than their owner."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def test_a_folder_that_cannot_be_written_to_is_an_error(open_folder: Path, path: Path) -> None:
    closed = open_folder / "closed"
    closed.mkdir()
    shutil.copy(path, closed / "store.db")
    (closed / "store.db").chmod(0o644)
    closed.chmod(0o555)
    with as_nobody():
        for name in ("new.db", "deeper/new.db"):
            with pytest.raises(StoreUnavailableError):
                backstory.open(url_of(closed / name))
        with pytest.raises((ReadOnlyError, StoreUnavailableError)):
            backstory.open(url_of(closed / "store.db"))
    closed.chmod(0o755)


def test_a_file_that_cannot_be_read_is_an_error(open_folder: Path, path: Path) -> None:
    shutil.copy(path, open_folder / "store.db")
    (open_folder / "store.db").chmod(0o000)
    with as_nobody(), pytest.raises(StoreUnavailableError, match="cannot open"):
        backstory.open(url_of(open_folder / "store.db"), read_only=True)


def test_a_store_held_by_another_program_is_busy_and_then_free(path: Path) -> None:
    with backstory.open(url_of(path), busy_timeout_s=0.05) as store:
        other = apsw.Connection(str(path))
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailableError, match="busy") as caught:
            store.set(PLAIN, "value", 1)
        assert caught.value.outcome == "not_written"
        other.execute("ROLLBACK")
        other.close()
        store.set(PLAIN, "value", 2)
        assert store.verify().ok


def test_a_store_that_another_program_holds_alone_cannot_be_opened_meanwhile(path: Path) -> None:
    other = apsw.Connection(str(path))
    other.execute("PRAGMA locking_mode = exclusive")
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(StoreUnavailableError, match="busy"):
        backstory.open(url_of(path), busy_timeout_s=0.05)
    other.close()
    with backstory.open(url_of(path)) as store:
        assert store.verify().ok


def test_a_file_that_may_not_grow_is_an_error_and_then_works_again(path: Path) -> None:
    ledger = FaultLedger()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with backstory.open(url_of(path)) as store:
        resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + SQLITE_PAGE, hard))
        try:
            while ledger.write(store, write_value) is None:
                pass
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert ledger.write(store, write_value) is None
        assert store.verify().ok
        kept = {event.event_id.hex for event in store.log()}
        assert all(kept.issuperset(ids) for ids in ledger.acknowledged.values())


# Damage


def everything(store: StateStore) -> tuple[object, ...]:
    """Return what a store says, by every way of reading."""
    log = list(store.log())
    return (
        [event.as_dict() for event in log],
        as_text(store.snapshot()),
        current(store),
        [as_text(store.snapshot(as_of=point)) for point in range(1, len(log), 5)],
        {(str(scope), key): store.history(scope, key) for scope in store.scopes() for key in store.keys(scope)},
        [store.event(event.event_id).position for event in log],
        [[event.position for event in store.log(scope=scope)] for scope in store.scopes(all=True)],
        store.branch("fork").items("agent:fork"),
    )


def test_a_flipped_bit_is_reported_or_changes_nothing(path: Path, pytestconfig: pytest.Config) -> None:
    lots = random.Random(5)  # noqa: S311 - a repeatable choice, no secret
    good = path.read_bytes()
    with backstory.open(url_of(path)) as store:
        expected = everything(store)
    places = [*range(HEADER_BYTES + 8)]
    places += [lots.randrange(len(good)) for _ in range(10_000 if pytestconfig.getoption("--long") else 400)]
    reported = 0
    for number, place in enumerate(places):
        damaged = bytearray(good)
        damaged[place] ^= 1 << lots.randrange(8)
        copy = path.with_name(f"damaged-{number}.db")
        copy.write_bytes(damaged)
        reported += reports_or_agrees(copy, expected)
        for file in path.parent.glob(f"{copy.name}*"):
            file.unlink()
    assert reported


def reports_or_agrees(path: Path, expected: tuple[object, ...]) -> bool:
    """Return whether a damaged file is reported; assert that nothing else is read from it, and no foreign error."""
    try:
        with backstory.open(url_of(path), create=False) as store:
            report = store.verify()
            try:
                assert not report.ok or expected == everything(store)
            except BackstoryError:
                assert not report.ok
            return not report.ok
    except (IntegrityError, ConfigError, StoreVersionError):
        return True


def test_a_file_cut_short_is_reported(path: Path) -> None:
    good = path.read_bytes()
    for size in range(2, len(good), 1531):
        path.write_bytes(good[:size])
        with pytest.raises(IntegrityError):
            whole(path)


def whole(path: Path) -> None:
    """Raise what opening raises, or what verify reports."""
    with backstory.open(url_of(path), create=False) as store:
        report = store.verify()
        if not report.ok:
            raise IntegrityError(report.problems[0].message, kind=report.problems[0].kind)


@pytest.mark.parametrize(
    "table", ["store", "events", "streams", "keys", "types", "state", "clears", "causes", "writers"]
)
def test_a_file_that_lost_a_table_is_reported(path: Path, table: str) -> None:
    altered(path, f"DROP TABLE {table}")
    with pytest.raises(IntegrityError):
        whole(path)


def test_a_file_that_lost_its_id_is_reported(path: Path) -> None:
    altered(path, "DELETE FROM store")
    with pytest.raises(IntegrityError, match="id"):
        backstory.open(url_of(path))


@pytest.mark.parametrize(
    ("statement", "kind"),
    [
        ("UPDATE events SET data = x'7b7d' WHERE position = 3", "hash"),
        ("UPDATE events SET actor = x'61' WHERE position = 3", "hash"),
        ("DELETE FROM events WHERE position = 3", "gap"),
        ("DELETE FROM state", "projection"),
        ("UPDATE state SET position = position - 1", "projection"),
        ("DELETE FROM state WHERE stream = (SELECT id FROM streams WHERE branch = 1)", "projection"),
        (
            "INSERT INTO state SELECT stream, id, 1, NULL FROM keys WHERE id NOT IN (SELECT key FROM state)",
            "projection",
        ),
        ("DELETE FROM causes", "projection"),
        ("UPDATE causes SET cause = 2", "projection"),
        ("INSERT INTO causes VALUES (3, 4)", "projection"),
        ("DELETE FROM clears", "file"),
        ("UPDATE clears SET position = position - 1", "file"),
        ("UPDATE branches SET position = 1 WHERE id = 1", "branch"),
        ("UPDATE streams SET name = 'agent:other' WHERE name = 'agent:left'", "hash"),
        ("UPDATE keys SET name = 'other' WHERE name = 'pair'", "hash"),
        ("UPDATE keys SET name = CAST(x'61ff' AS TEXT) WHERE name = 'pair'", "file"),
    ],
)
def test_an_edit_behind_the_stores_back_is_reported(path: Path, statement: str, kind: str) -> None:
    altered(path, statement)
    with backstory.open(url_of(path)) as store:
        problems = store.verify().problems
    assert problems
    assert kind == problems[0].kind


def test_a_log_cut_short_behind_a_writer_that_died_is_refused(path: Path) -> None:
    altered(path, "INSERT INTO writers VALUES ('somebody', 1, 'another boot', '1', 100)")
    with pytest.raises(IntegrityError, match="the log ends at position"):
        backstory.open(url_of(path))


def test_a_log_edited_behind_a_writer_that_died_is_refused(path: Path) -> None:
    altered(path, "INSERT INTO writers VALUES ('somebody', 1, 'another boot', '1', 1)")
    altered(path, "UPDATE events SET data = x'7b7d' WHERE position = 3")
    with pytest.raises(IntegrityError) as caught:
        backstory.open(url_of(path))
    assert caught.value.position == 3


# The files beside the file


@pytest.fixture
def left_open(path: Path, tmp_path: Path) -> Path:
    """A copy of a store's files as a writer that died leaves them: the last writes are in the write-ahead log."""
    folder = tmp_path / "died"
    folder.mkdir()
    with backstory.open(url_of(path)) as store:
        for number in range(20):
            store.set("agent:late", "key", number)
        for file in path.parent.glob("store.db*"):
            shutil.copy(file, folder)
    return folder / "store.db"


def test_the_last_writes_of_a_writer_that_died_are_in_the_write_ahead_log(left_open: Path) -> None:
    with backstory.open(url_of(left_open)) as store:
        assert store.get("agent:late", "key") == 19
        assert_whole_with_fork(store)


def test_a_lost_write_ahead_log_loses_what_it_held_and_tears_nothing(left_open: Path) -> None:
    left_open.with_name("store.db-wal").unlink()
    with backstory.open(url_of(left_open)) as store:
        assert not store.exists("agent:late", "key")
        assert_whole_with_fork(store)


def test_a_damaged_write_ahead_log_counts_up_to_the_damage(left_open: Path) -> None:
    log = left_open.with_name("store.db-wal")
    good, main = log.read_bytes(), left_open.read_bytes()
    seen = set()
    for place in range(0, len(good), 2999):
        damaged = bytearray(good)
        damaged[place] ^= 0xFF
        left_open.write_bytes(main)
        log.write_bytes(damaged)
        left_open.with_name("store.db-shm").unlink(missing_ok=True)
        with backstory.open(url_of(left_open)) as store:
            seen.add(store.get("agent:late", "key"))
            assert_whole_with_fork(store)
    assert len(seen) > 5


@pytest.mark.parametrize("content", [None, b"", b"\xff" * 32768], ids=["lost", "empty", "noise"])
def test_the_shared_memory_file_is_made_anew(left_open: Path, content: bytes | None) -> None:
    shared = left_open.with_name("store.db-shm")
    if content is None:
        shared.unlink()
    else:
        shared.write_bytes(content)
    with backstory.open(url_of(left_open)) as store:
        assert store.get("agent:late", "key") == 19
        assert_whole_with_fork(store)


def assert_whole_with_fork(store: StateStore) -> None:
    """Assert what can be asserted of a log with a fork in it."""
    assert store.verify().ok
    assert store.branch("fork").get("agent:fork", "key") == 1
    with pytest.raises(NotFoundError):
        store.branch("another")
