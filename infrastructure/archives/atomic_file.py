"""Files that appear whole or not at all: written beside their place, on disk before they get their name."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from backstory.domain.errors import BackupError
from backstory.infrastructure.archives.failures import not_written

__all__ = ["PARTIAL_SUFFIX", "atomic_file"]

PARTIAL_SUFFIX = ".partial"


@contextmanager
def atomic_file(path: Path, *, replace: bool = False) -> Iterator[BinaryIO]:
    """Give a file to write, which stands at `path` once the block has ended, synced with its folder.

    If the block or the disk fails nothing is left behind, and what stood at `path` still does. Only a process that is
    killed leaves a hidden file whose name ends in `.partial`. Readable by its owner only. Raises `BackupError`.
    """
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}{PARTIAL_SUFFIX}")
    try:
        if path.exists() and not replace:
            raise BackupError(f"{path} exists already", path=str(path), hint="Choose another name, or remove it first.")
        file = _created(partial)
    except OSError as error:
        raise not_written(str(path), error) from error
    try:
        yield file
        _published(file, partial, path)
    except BaseException:
        # Closing flushes, and fails again where the disk is full; the file is closed all the same.
        with suppress(OSError):
            file.close()
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        raise


def _created(partial: Path) -> BinaryIO:
    return os.fdopen(os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600), "wb")


def _published(file: BinaryIO, partial: Path, path: Path) -> None:
    try:
        file.flush()
        os.fsync(file.fileno())
        file.close()
        partial.replace(path)
    except OSError as error:
        raise not_written(str(path), error) from error
    try:
        sync_folder(path.parent)
    except OSError as error:
        raise BackupError(
            f"{path} is written, but its folder cannot be brought to disk: {error.strerror or error}",
            path=str(path),
            hint="The file is whole; a power cut now may take it back. Check the disk.",
        ) from error


def sync_folder(folder: Path) -> None:
    """Bring the names of a folder to disk; raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
