"""Where archives are read from: paths and open files, whose reads are whole and whose errors name the file."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import BinaryIO

from backstory.domain.errors import BackupError
from backstory.infrastructure.archives.failures import unreadable

__all__ = ["InputFile", "Source", "opened"]

Source = str | PathLike[str] | BinaryIO
"""Where an archive is read from: a path, or a file that is open for reading and can seek."""


class InputFile:
    """A file that can seek, with its name. Raises `BackupError` where the system does not let us read."""

    def __init__(self, file: BinaryIO, name: str) -> None:
        self._file = file
        self.name = name

    def read(self, size: int) -> bytes:
        """Return so many bytes, fewer only at the end of the file."""
        try:
            found = self._file.read(size)
            while len(found) < size and (more := self._file.read(size - len(found))):
                found += more
        except OSError as error:
            raise unreadable(self.name, error) from error
        return found

    def seek(self, offset: int) -> None:
        """Go to a place, counted from the beginning."""
        self._sought(offset, os.SEEK_SET)

    def size(self) -> int:
        """Return the bytes of the file; reading goes on from its end."""
        return self._sought(0, os.SEEK_END)

    def _sought(self, offset: int, whence: int) -> int:
        try:
            return self._file.seek(offset, whence)
        except OSError as error:
            raise unreadable(self.name, error) from error


@contextmanager
def opened(source: Source, *, name: str | None = None) -> Iterator[InputFile]:
    """Give a file at its beginning; one that was opened for this is closed. Raises `BackupError`.

    A file that is open already is called `name` in errors, or what it calls itself.
    """
    if not isinstance(source, str | PathLike):
        file = InputFile(source, name or str(getattr(source, "name", "the archive")))
        file.seek(0)
        yield file
        return
    path = Path(source)
    if path.is_dir():
        raise BackupError(f"{path} is a folder", path=str(path), hint="Name the file of a backup.")
    try:
        ours = path.open("rb")
    except OSError as error:
        raise unreadable(str(path), error) from error
    with ours:
        yield InputFile(ours, str(path))
