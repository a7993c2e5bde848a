"""The port to where backups lie: archives by name, each whole or not there, and small files beside them."""

from __future__ import annotations

import re
import secrets
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from typing import BinaryIO, Final, NamedTuple, Protocol

from backstory.domain.errors import BackupError, shown
from backstory.infrastructure.archives.atomic_file import PARTIAL_SUFFIX

__all__ = ["LEFTOVER_AGE", "Stamp", "Target", "checked_name", "is_archive", "is_leftover", "partial_name"]

#: How old the leftover of a killed writer must be before it is swept: no archive is a day in the writing.
LEFTOVER_AGE: Final = timedelta(days=1)

_ARCHIVE_SUFFIX: Final = ".bsa"
_LEFTOVER: Final = re.compile(rf"\..+\.(?:bsa|json)\.[0-9a-f]{{8}}{re.escape(PARTIAL_SUFFIX)}")


class Stamp(NamedTuple):
    """What shows, without opening it, that a file is another than it was.

    `size` is in bytes, -1 where it is unknown. `changed` is to be compared only: it is made of whatever times and tags
    the place keeps. Empty, it keeps none, and nobody may conclude from equal stamps that the files are equal.
    """

    size: int
    changed: str


class Target(Protocol):
    """Where backups lie. Every method raises `BackupError`, with the path, for whatever the place refuses.

    Names are those of files right there: without a slash, and not hidden.
    """

    @property
    def place(self) -> str:
        """The absolute path of a folder, or a URL."""

    @property
    def identity(self) -> str:
        """What two names of one place have in common, and no other place has; it may look there."""

    def names(self) -> dict[str, Stamp]:
        """Return what is named `*.bsa` there, be it an archive or not; nothing if the place does not exist yet."""

    def path_of(self, name: str) -> str:
        """Return the path, or the URL, that a file of this name has, there or not."""

    def writing(self, name: str) -> AbstractContextManager[BinaryIO]:
        """Give a file to write, which is there, whole and durable, once the block has ended; else nothing is.

        The place is made if need be, a folder for its owner only. A name that exists is refused.
        """

    def reading(self, name: str) -> AbstractContextManager[BinaryIO]:
        """Give a file that can seek, at its beginning; its `name` is its path."""

    def delete(self, name: str) -> None:
        """Delete a file for good; what is not there is an error."""

    def sweep(self, now: datetime) -> list[str]:
        """Delete what killed writers left behind more than a day before `now`, and return its names, sorted."""

    def read_text(self, name: str) -> bytes | None:
        """Return a small file; None if there is none."""

    def write_text(self, name: str, data: bytes) -> None:
        """Write a small file, in place of one that is there; readers find the old or the new one, never a part."""


def is_archive(name: str) -> bool:
    """Return whether a file calls itself an archive; hidden ones do not."""
    return name.endswith(_ARCHIVE_SUFFIX) and not name.startswith(".")


def is_leftover(name: str) -> bool:
    """Return whether a file is one that a writer of ours has not finished."""
    return _LEFTOVER.fullmatch(name) is not None


def partial_name(name: str) -> str:
    """Return a new name for a file while it is being written."""
    return f".{name}.{secrets.token_hex(4)}{PARTIAL_SUFFIX}"


def checked_name(name: str, *, place: str) -> str:
    """Return a name that leads to nowhere but a file right there; raises `BackupError` for any other."""
    if name and not name.startswith(".") and "/" not in name and "\0" not in name:
        return name
    raise BackupError(
        f"{shown(name)} is no name of a file in {place}",
        path=place,
        hint="Give a name without a slash, which does not begin with a dot.",
    )
