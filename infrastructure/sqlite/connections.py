"""Connections to a SQLite file: opened one way, errors named in our words.

Pragmas are set one at a time and read back: apsw runs several statements in one text lazily,
so a second one may never run.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import apsw

from backstory.domain.errors import (
    BackstoryError,
    ConfigError,
    IntegrityError,
    ReadOnlyError,
    StoreUnavailableError,
    StoreVersionError,
)
from backstory.infrastructure.configuration import Settings

#: The first SQLite in which a WAL reset cannot lose commits.
OLDEST_SQLITE: Final = (3, 51, 3)
_DURABILITY: Final = {"full": 2, "relaxed": 1}
#: What SQLite's calls raise; the last where damage left a text that is none.
FAULTS: Final = (apsw.Error, UnicodeDecodeError)
_NOT_OUR_FILE: Final = ("no such table", "no such column", "unsupported file format")


def check_library() -> None:
    """Raise `StoreVersionError` if the linked SQLite can corrupt a WAL."""
    found = tuple(int(part) for part in apsw.sqlite_lib_version().split("."))
    if found < OLDEST_SQLITE:
        wanted = ".".join(map(str, OLDEST_SQLITE))
        raise StoreVersionError(found=f"SQLite {apsw.sqlite_lib_version()}", supported=f"SQLite {wanted} or later")


def connect(path: str, settings: Settings, *, create: bool, read_only: bool) -> apsw.Connection:
    """Return a connection to a store's file. Raises `StoreUnavailableError`."""
    if read_only:
        flags = apsw.SQLITE_OPEN_READONLY
    else:
        flags = apsw.SQLITE_OPEN_READWRITE | (apsw.SQLITE_OPEN_CREATE if create else 0)
    if settings.vfs and settings.vfs not in apsw.vfs_names():
        known = ", ".join(sorted(apsw.vfs_names()))
        raise ConfigError(f"vfs is {settings.vfs!r}, which is not registered", key="vfs", hint=f"Known: {known}.")
    if create and not read_only:
        _make_folder(path)
    with translated("open", path):
        connection = apsw.Connection(path, flags=flags, vfs=settings.vfs or None)
        connection.set_busy_handler(_patient(settings.busy_timeout_s))
    return connection


def _make_folder(path: str) -> None:
    """Make the folders that are missing, and keep them through a power cut; SQLite does the same for its files."""
    folder = Path(path).parent
    missing = [one for one in (folder, *folder.parents) if not one.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for made in missing:
            _sync_folder(made.parent)
    except OSError as error:
        raise StoreUnavailableError(
            f"cannot make the folder of {path}: {error.strerror}", hint="Choose a folder that can be written to."
        ) from error


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def configure(connection: apsw.Connection, path: str, settings: Settings, *, read_only: bool) -> None:
    """Set what a store's connection needs, and make sure that it is so."""
    with translated("open", path):
        if not read_only:
            pragma(connection, "journal_mode", "wal", patience_s=settings.busy_timeout_s)
            pragma(connection, "synchronous", _DURABILITY[settings.durability])
        pragma(connection, "foreign_keys", 1)


def shut(connection: apsw.Connection) -> None:
    """Close a connection; a disk that fails now loses nothing, as what was acknowledged is in the write-ahead log."""
    with suppress(apsw.Error):
        connection.close(force=True)


def pragma(connection: apsw.Connection, name: str, value: str | int, *, patience_s: float = 0.0) -> None:
    """Set one pragma and read it back; raises `ConfigError` if it did not take."""
    deadline = time.monotonic() + patience_s
    while True:
        try:
            connection.pragma(name, value)
            found = connection.pragma(name)
        except apsw.BusyError:
            # SQLite does not ask the busy handler when the journal mode changes.
            if time.monotonic() > deadline:
                raise
            time.sleep(random.uniform(0.001, 0.01))  # noqa: S311 - spreads contenders, guards nothing
            continue
        if found != value:
            raise ConfigError(
                f"SQLite keeps {name} at {found!r}, not {value!r}",
                key=name,
                hint="Put the store on a file system that supports write-ahead logging.",
            )
        return


def _patient(timeout_s: float) -> Callable[[int], bool]:
    """Return a busy handler that waits in short random steps: SQLite's own sleeps up to 100 ms."""
    started = [0.0]

    def wait(tries: int) -> bool:
        if tries == 0:
            started[0] = time.monotonic()
        elif time.monotonic() - started[0] > timeout_s:
            return False
        time.sleep(random.uniform(0.00005, min(0.0002 * (tries + 1), 0.005)))  # noqa: S311
        return True

    return wait


def named(
    error: apsw.Error | UnicodeDecodeError, action: str, path: str, *, outcome: Any = "unavailable"
) -> BackstoryError:
    """Return our error for one of SQLite's."""
    if isinstance(error, (apsw.CorruptError, apsw.NotADBError, UnicodeDecodeError)) or _does_not_fit(error):
        return IntegrityError(
            f"{path} is damaged: {error}", kind="file", hint="Restore a backup; do not write to this file."
        )
    if isinstance(error, apsw.ReadOnlyError):
        return ReadOnlyError(action, store=path)
    if isinstance(error, apsw.CantOpenError):
        message, hint = f"cannot open {path}", "Check the path and its permissions, or let it be created."
    elif isinstance(error, apsw.FullError):
        message, hint = f"the disk of {path} is full", "Free some space and try again; what was acknowledged is safe."
    elif isinstance(error, (apsw.BusyError, apsw.LockedError)):
        message, hint = f"{path} is busy: another process holds its lock", "Try again, or raise `busy_timeout_s`."
    else:
        message, hint = f"cannot {action} {path}: {error}", "Check the disk; what was acknowledged is safe."
    return StoreUnavailableError(message, outcome=outcome, hint=hint)


def _does_not_fit(error: apsw.Error | UnicodeDecodeError) -> bool:
    """Return whether the file is not what our statements are about any more: parts have been removed or changed."""
    return isinstance(error, apsw.SQLError) and str(error).startswith(_NOT_OUR_FILE)


@contextmanager
def translated(action: str, path: str) -> Iterator[None]:
    """Raise SQLite's errors as ours."""
    try:
        yield
    except FAULTS as error:
        raise named(error, action, path) from error
