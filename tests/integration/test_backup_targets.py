"""Targets of backups: files that are there whole or not at all, in a folder as in any file system of fsspec's."""

from __future__ import annotations

import os
import resource
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import fsspec  # type: ignore[import-untyped] # has none
import pytest

from backstory.backups.fsspec_target import FsspecTarget, fsspec_target
from backstory.backups.target import partial_name
from backstory.backups.targets import Target, target_of
from backstory.domain.errors import BackstoryError, BackupError, ConfigError
from backstory.infrastructure.archives.reader import read_ends, reading
from backstory.infrastructure.archives.writer import ArchiveWriter
from tests.support.backup_archives import backup_archive

NAME = "20260301T120000000000Z-full-b1.bsa"
KINDS = ("folder", "memory", "local")
LATER = timedelta(days=2)


@pytest.fixture(params=KINDS)
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Target:
    """Give a place that does not exist yet."""
    if request.param == "folder":
        return target_of(tmp_path / "deep" / "backups")
    if request.param == "memory":
        return target_of(f"memory://{uuid4().hex}/backups/")
    return fsspec_target(f"local://{tmp_path}/deep/backups")


def put(target: Target, name: str = NAME, data: bytes = b"content") -> None:
    with target.writing(name) as file:
        file.write(data)


def got(target: Target, name: str = NAME) -> bytes:
    with target.reading(name) as file:
        return file.read()


def everything(target: Target) -> set[str]:
    """Return the names of all files there, hidden ones too."""
    if isinstance(target, FsspecTarget):
        return {name for name, _ in target._listed()}
    folder = Path(target.place)
    return {path.name for path in folder.iterdir()} if folder.exists() else set()


def test_a_place_that_does_not_exist_yet_holds_nothing(target: Target) -> None:
    assert target.names() == {}
    assert target.read_text("backstory-index.json") is None
    assert target.sweep(datetime.now(UTC)) == []
    with pytest.raises(BackupError) as caught, target.reading(NAME):
        pass
    assert target.path_of(NAME) == caught.value.path


def test_what_was_written_is_there_to_be_read_until_it_is_deleted(target: Target) -> None:
    put(target)
    put(target, "other.bsa", b"")
    assert b"content" == got(target)
    assert {NAME: 7, "other.bsa": 0} == {name: stamp.size for name, stamp in target.names().items()}
    assert target.names() == target.names()
    target.delete(NAME)
    assert ["other.bsa"] == list(target.names())
    with pytest.raises(BackupError, match="cannot delete") as caught:
        target.delete(NAME)
    assert target.path_of(NAME) == caught.value.path


def test_an_archive_is_read_where_it_lies(target: Target) -> None:
    put(target, data=backup_archive())
    with target.reading(NAME) as file:
        assert "b1" == read_ends(file).manifest.header.backup_id
        with reading(file) as archive:
            assert {"events": [b"an event"]} == {name: list(records) for name, records in archive.parts()}
        assert target.path_of(NAME) == file.name


def test_an_archive_is_written_as_it_is_made(target: Target) -> None:
    with target.writing(NAME) as file:
        writer = ArchiveWriter(file, backup_id="b", compression="zstd")
        writer.begin("events")
        for _ in range(100):
            writer.write(os.urandom(30_000))
        writer.finish({})
    assert writer.stored_bytes == target.names()[NAME].size
    with target.reading(NAME) as file, reading(file) as archive:
        assert [100] == [sum(1 for _ in records) for _, records in archive.parts()]


def test_an_error_in_an_archive_names_its_path(target: Target) -> None:
    put(target, data=backup_archive()[:-20])
    with pytest.raises(BackstoryError) as caught, target.reading(NAME) as file:
        read_ends(file)
    assert target.path_of(NAME) in str(caught.value)


@pytest.mark.parametrize("error", [ValueError("ours"), KeyboardInterrupt(), OSError("the caller's own")])
def test_nothing_is_left_of_a_file_whose_writer_fails(target: Target, error: BaseException) -> None:
    def fail() -> None:
        with target.writing(NAME) as file:
            file.write(b"half")
            assert target.names() == {}
            raise error

    with pytest.raises(type(error)) as caught:
        fail()
    assert error is caught.value
    assert set() == everything(target)


def test_a_name_that_exists_is_refused(target: Target) -> None:
    put(target)
    with pytest.raises(BackupError, match="exists already"):
        put(target, data=b"another")
    assert b"content" == got(target)
    assert {NAME} == everything(target)


@pytest.mark.parametrize("name", ["", "..", "../x.bsa", "a/b.bsa", ".hidden", "nul\0.bsa", "/etc/passwd"])
def test_a_name_leads_nowhere_else(target: Target, name: str) -> None:
    for use in (got, put, lambda at, of: at.delete(of), lambda at, of: at.read_text(of), lambda at, of: at.path_of(of)):
        with pytest.raises(BackupError, match="no name of a file"):
            use(target, name)


def test_a_small_file_is_replaced_in_one_step(target: Target) -> None:
    target.write_text("backstory-index.json", b"one")
    target.write_text("backstory-index.json", b"another")
    assert b"another" == target.read_text("backstory-index.json")
    assert {"backstory-index.json"} == everything(target)
    assert target.names() == {}


def test_what_is_replaced_bears_another_stamp(target: Target) -> None:
    put(target, data=b"one")
    before = target.names()[NAME]
    target.delete(NAME)
    put(target, data=b"two")
    assert before != target.names()[NAME]


def test_leftovers_of_killed_writers_are_swept_after_a_day_and_nothing_else_is(target: Target) -> None:
    put(target)
    left = sorted([partial_name(NAME), partial_name("backstory-index.json")])
    dear = {NAME, ".dear.partial", ".x.bsa.partial", "notes.partial"}
    for name in [*left, *(dear - {NAME})]:
        drop(target, name)
    assert [NAME] == list(target.names())
    assert target.sweep(datetime.now(UTC)) == []
    assert left == target.sweep(datetime.now(UTC) + LATER)
    assert dear == everything(target)


def drop(target: Target, name: str) -> None:
    if isinstance(target, FsspecTarget):
        target._system.pipe_file(target._at(name), b"x")
    else:
        (Path(target.place) / name).write_bytes(b"x")


def test_a_file_where_the_folder_should_be_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("x")
    for target in (target_of(file), fsspec_target(f"local://{file}")):
        for use in (lambda at: at.names(), put, got, lambda at: at.write_text("a.json", b"x")):
            with pytest.raises(BackupError) as caught:
                use(target)
            assert caught.value.path is not None
            assert caught.value.hint


@pytest.mark.parametrize("kind", ["folder", "local"])
def test_a_folder_where_a_file_should_be_is_listed_and_cannot_be_read(kind: str, tmp_path: Path) -> None:
    target = target_of(tmp_path) if kind == "folder" else fsspec_target(f"local://{tmp_path}")
    (tmp_path / NAME).mkdir()
    assert [NAME] == list(target.names())
    for use in (got, put, lambda at: at.delete(NAME), lambda at: at.read_text(NAME)):
        with pytest.raises(BackupError):
            use(target)


def test_a_pipe_or_a_link_to_nothing_is_listed_and_holds_nobody_up(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.bsa")
    (tmp_path / "link.bsa").symlink_to("nowhere")
    (tmp_path / "loop.bsa").symlink_to("loop.bsa")
    target = target_of(tmp_path)
    assert {"link.bsa", "loop.bsa", "pipe.bsa"} == set(target.names())
    for name in target.names():
        with pytest.raises(BackupError, match="cannot read"):
            got(target, name)


def test_a_folder_that_we_make_is_its_owners_only_and_one_that_is_there_stays_as_it_is(tmp_path: Path) -> None:
    put(target_of(tmp_path / "a" / "b"))
    assert stat.S_IMODE((tmp_path / "a" / "b").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "a" / "b" / NAME).stat().st_mode) == 0o600
    (tmp_path / "open").mkdir(0o755)
    put(target_of(tmp_path / "open"))
    assert stat.S_IMODE((tmp_path / "open").stat().st_mode) == 0o755


@contextmanager
def bounded_files(size: int) -> Iterator[None]:
    """Let no file grow beyond some bytes, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("kind", ["folder", "local"])
def test_a_full_disk_is_an_error_that_leaves_nothing(kind: str, tmp_path: Path) -> None:
    target = target_of(tmp_path) if kind == "folder" else fsspec_target(f"local://{tmp_path}")
    archive = backup_archive()
    with bounded_files(100):
        with pytest.raises(BackupError, match="too large"), target.writing(NAME) as file:
            ArchiveWriter(file, backup_id="b").begin("events")
        with pytest.raises(BackupError, match="too large"):
            target.write_text("backstory-index.json", archive)
    assert [] == list(tmp_path.iterdir())


class Refusing:
    """A file system that fails at one thing, as its own library would."""

    def __init__(self, system: Any, method: str, error: Exception) -> None:
        self._system = system
        self._method = method
        self._error = error

    def __getattr__(self, name: str) -> Any:
        if name == self._method:
            return self._fail
        return getattr(self._system, name)

    def _fail(self, *_: object, **__: object) -> Any:
        raise self._error


class StrangeError(Exception):
    """No OSError, as those of many a client library."""


@pytest.mark.parametrize("error", [PermissionError(13, "Permission denied"), StrangeError("no token"), StrangeError()])
@pytest.mark.parametrize("method", ["ls", "open", "exists", "mv", "makedirs", "rm_file", "size", "cat_file"])
def test_whatever_a_file_system_raises_is_an_error_of_ours_and_leaves_nothing(method: str, error: Exception) -> None:
    root = f"/{uuid4().hex}"
    system = fsspec.filesystem("memory")
    whole = FsspecTarget(system, root, place=f"memory:/{root}")
    put(whole, "there.bsa")
    target = FsspecTarget(Refusing(system, method, error), root, place=f"memory:/{root}")
    uses: list[Callable[[Target], object]] = [
        lambda at: at.names(),
        put,
        lambda at: got(at, "there.bsa"),
        lambda at: at.read_text("there.bsa"),
        lambda at: at.delete("there.bsa"),
    ]
    failures = [failure for use in uses if (failure := failure_of(use, target)) is not None]
    assert {error} == {failure.__cause__ for failure in failures}
    assert all(failure.path for failure in failures)
    if method != "rm_file":
        assert everything(whole) <= {NAME, "there.bsa"}


def failure_of(use: Callable[[Target], object], target: Target) -> BackupError | None:
    try:
        use(target)
    except BackupError as error:
        return error
    return None


def test_a_file_that_arrives_shorter_than_it_was_written_is_refused() -> None:
    system = fsspec.filesystem("memory")
    root = f"/{uuid4().hex}"
    target = FsspecTarget(system, root, place=f"memory:/{root}")

    def cut() -> None:
        with target.writing(NAME) as file:
            file.write(b"content")
            (partial,) = everything(target)
            system.pipe_file(f"{root}/{partial}", b"cont")

    with pytest.raises(BackupError, match="7 bytes were written, and 4 are there"):
        cut()
    assert set() == everything(target)


def test_a_folder_is_meant_by_its_path_or_its_url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    place = str(tmp_path / "my backups")
    given: list[str | Path] = [
        place, Path(place), "my backups", "x/../my backups/", f"file://{tmp_path}/my%20backups",
        f"file://localhost{tmp_path}/my%20backups/", f"local://{tmp_path}/my%20backups",
    ]  # fmt: skip
    assert {place} == {target_of(each).place for each in given}
    assert f"{place}/{NAME}" == target_of(place).path_of(NAME)


def test_a_url_names_the_same_place_with_a_slash_at_its_end_and_without() -> None:
    assert {"memory://a/b"} == {target_of(each).place for each in ("memory://a/b", "memory://a/b/", "memory://a/b//")}
    assert f"memory://a/b/{NAME}" == target_of("memory://a/b").path_of(NAME)
    assert f"memory:///{NAME}" == target_of("memory://").path_of(NAME)
    put(target_of("memory://"), f"{uuid4().hex}.bsa")


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ImportError("Install s3fs to access S3"), ConfigError),
        (ConnectionRefusedError(111, "Connection refused"), BackupError),
        (StrangeError("who are you?"), BackupError),
    ],
)
def test_a_file_system_that_cannot_be_had_says_why(
    error: Exception, told: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: str) -> None:
        raise error

    monkeypatch.setattr("backstory.backups.fsspec_target.url_to_fs", refuse)
    with pytest.raises(told, match=getattr(error, "strerror", None) or str(error).rstrip("?")):
        target_of("memory://bucket/folder")


def test_a_folder_that_cannot_be_made_is_an_error() -> None:
    with pytest.raises(BackupError, match="cannot make the folder") as caught:
        put(target_of("/proc/none/backups"))
    assert "/proc/none/backups" == caught.value.path


def test_a_leftover_that_cannot_be_deleted_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    left = partial_name(NAME)
    (tmp_path / left).touch()
    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(BackupError, match="Permission denied") as caught:
        target_of(tmp_path).sweep(datetime.now(UTC) + LATER)
    assert str(tmp_path / left) == caught.value.path


@pytest.mark.parametrize(
    "given",
    [
        "", "\0", b"/tmp", None, 7, "://", "nonsense://x", "sqlite:///x.db", "file://elsewhere/x", "file://relative",
        "file:///x?y", "file:///a%00b", "file://[", "memory://a*", "memory://a[1]", "sftp://me:secret@host/x",
        "sftp://me:se#cret@host/x", "sftp://",
    ],
)  # fmt: skip
def test_what_is_no_place_is_refused(given: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        target_of(given)
    assert caught.value.key == "target"
    assert "secret@" not in str(caught.value).replace("se#cret@", "secret@")


def test_without_fsspec_one_is_told_what_to_install(tmp_path: Path) -> None:
    script = (
        "import sys; sys.modules['fsspec'] = None\n"
        "from backstory.backups.targets import target_of\n"
        "from backstory.domain.errors import ConfigError\n"
        "print(target_of(sys.argv[1]).place)\n"
        "try: target_of('memory://x')\n"
        "except ConfigError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True)
    folder, told = done.stdout.splitlines()
    assert str(tmp_path) == folder
    assert "pip install backstory[fsspec]" in told
