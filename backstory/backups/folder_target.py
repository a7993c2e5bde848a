"""Backups in a folder: files that are on disk, whole, before they have their names."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

from backstory.backups.target import LEFTOVER_AGE, Stamp, checked_name, is_archive, is_leftover
from backstory.domain.errors import BackupError
from backstory.infrastructure.archives.atomic_file import atomic_file, sync_folder
from backstory.infrastructure.archives.failures import not_written, unreadable

__all__ = ["FolderTarget"]


class FolderTarget:
    """A folder of the file system, for its owner only where we make it; a `Target`."""

    def __init__(self, folder: Path) -> None:
        """Take the absolute path; the folder is made when something is first written there."""
        self._folder = folder

    @property
    def place(self) -> str:
        """The absolute path of the folder."""
        return str(self._folder)

    @property
    def identity(self) -> str:
        """The folder itself, whatever links and mounts lead there; of one that is not there the path without links."""
        try:
            status = self._folder.stat()
        except OSError:
            return os.path.realpath(self._folder)
        return f"{status.st_dev}:{status.st_ino}"

    def names(self) -> dict[str, Stamp]:
        """Return what is named `*.bsa` there: whatever it is, since what cannot be read must be seen."""
        return {name: _stamp(status) for name, status in self._listed() if is_archive(name)}

    def path_of(self, name: str) -> str:
        """Return the absolute path that a file of this name has."""
        return str(self._at(name))

    @contextmanager
    def writing(self, name: str) -> Iterator[BinaryIO]:
        """Give a file to write, which is there, on disk, once the block has ended."""
        path = self._at(name)
        self._make()
        with atomic_file(path) as file:
            yield file

    @contextmanager
    def reading(self, name: str) -> Iterator[BinaryIO]:
        """Give a file that can seek."""
        path = self._at(name)
        try:
            file = _opened(path)
        except OSError as error:
            raise unreadable(str(path), error) from error
        with file:
            yield file

    def delete(self, name: str) -> None:
        """Delete a file, and bring that to disk."""
        path = self._at(name)
        try:
            path.unlink()
            sync_folder(self._folder)
        except OSError as error:
            raise _not_deleted(path, error) from error

    def sweep(self, now: datetime) -> list[str]:
        """Delete what killed writers left behind more than a day before `now`."""
        until = (now - LEFTOVER_AGE).timestamp()
        swept = []
        for name, status in self._listed():
            if not is_leftover(name) or not stat.S_ISREG(status.st_mode) or status.st_mtime >= until:
                continue
            path = self._folder / name
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                raise _not_deleted(path, error) from error
            swept.append(name)
        return sorted(swept)

    def read_text(self, name: str) -> bytes | None:
        """Return a small file; None if there is none."""
        path = self._at(name)
        try:
            with _opened(path) as file:
                return file.read()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise unreadable(str(path), error) from error

    def write_text(self, name: str, data: bytes) -> None:
        """Write a small file, in place of one that is there."""
        path = self._at(name)
        self._make()
        with atomic_file(path, replace=True) as file:
            try:
                file.write(data)
            except OSError as error:
                raise not_written(str(path), error) from error

    def _at(self, name: str) -> Path:
        return self._folder / checked_name(name, place=self.place)

    def _make(self) -> None:
        try:
            _made(self._folder, mode=0o700)
        except OSError as error:
            raise BackupError(
                f"cannot make the folder {self.place}: {error.strerror or error}",
                path=self.place,
                hint="Make it yourself, or choose another folder for backups.",
            ) from error

    def _listed(self) -> list[tuple[str, os.stat_result]]:
        """Return what there is; of a link, the status of what it leads to, or its own if it leads nowhere."""
        found = []
        try:
            with os.scandir(self._folder) as entries:
                for entry in entries:
                    with suppress(FileNotFoundError):  # deleted meanwhile
                        found.append((entry.name, _status(entry)))
        except FileNotFoundError:
            return []
        except OSError as error:
            raise unreadable(self.place, error) from error
        return found


def _status(entry: os.DirEntry[str]) -> os.stat_result:
    try:
        return entry.stat()
    except OSError:
        return entry.stat(follow_symlinks=False)


def _stamp(status: os.stat_result) -> Stamp:
    # Replacing a file gives another inode, changing it in place another time of change, whatever its times are set to.
    # Only a change in place within one tick of the file system's clock is not seen, and we never change one in place.
    return Stamp(status.st_size, f"{status.st_mtime_ns}-{status.st_ctime_ns}-{status.st_ino}")


def _opened(path: Path) -> BinaryIO:
    """Open a file for reading; a pipe of that name, which would have us wait for ever, is refused as a folder is."""
    file = open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK))  # noqa: SIM115 - the caller closes it
    if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        return file
    file.close()
    raise OSError(errno.EINVAL, "it is no file")


def _made(folder: Path, *, mode: int = 0o777) -> None:
    """Make a folder, and those above it, all on disk; one that is there stays as it is. Raises OSError."""
    if folder.is_dir():
        return
    if folder.parent != folder:
        _made(folder.parent)
    folder.mkdir(mode, exist_ok=True)
    sync_folder(folder.parent)


def _not_deleted(path: Path, error: OSError) -> BackupError:
    return BackupError(
        f"cannot delete {path}: {error.strerror or error}",
        path=str(path),
        hint="Check that it is there, and that its folder may be written to.",
    )
