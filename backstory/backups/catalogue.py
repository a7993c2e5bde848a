"""The catalogue: every archive of a target, those that cannot be read included, without reading them all each time."""

from __future__ import annotations

from typing import NamedTuple

from backstory.backups.entries import Entry, Facts, entry_at, entry_of, facts_at, info_of
from backstory.backups.index import INDEX_NAME, Remembered, read_index, write_index
from backstory.backups.target import Stamp, Target
from backstory.domain.backup_manifests import newest_first
from backstory.domain.errors import BackstoryError, BackupError

__all__ = ["INDEX_NAME", "Catalogue", "Entry", "Listing", "Unreadable", "entry_at", "info_of"]


class Unreadable(NamedTuple):
    """A file that calls itself an archive, and why nothing can be told of it."""

    name: str
    path: str
    reason: str


class Listing(NamedTuple):
    """What lies in a target: backups, newest first, and what cannot be read, by name."""

    entries: list[Entry]
    unreadable: list[Unreadable]


class Catalogue:
    """What lies in a target.

    An index beside the archives remembers what their manifests say. A file that is not as it was then is read again,
    and so is everything where the index is lost or damaged: it only saves time. It is written where it may be, and
    only if it would say something else.
    """

    def __init__(self, target: Target) -> None:
        """Take the target; nothing is read yet."""
        self._target = target

    def read(self) -> Listing:
        """Return what lies there now; raises `BackupError` only where the place itself cannot be read."""
        return self.look()[0]

    def look(self) -> tuple[Listing, dict[str, Stamp]]:
        """Return what `read` does, and the stamp of each file by name."""
        known = read_index(self._target)
        seen = _Seen(self._target, known)
        stamps = self._target.names()
        for name, stamp in sorted(stamps.items()):
            seen.look(name, stamp)
        if seen.unreadable:
            # What was deleted while we looked is not unreadable, but gone.
            left = self._target.names()
            seen.unreadable = [each for each in seen.unreadable if each.name in left]
        if seen.remembered != known:
            write_index(self._target, seen.remembered)
        by_backup = {entry.backup: entry for entry in seen.entries}
        return Listing([by_backup[backup] for backup in newest_first(by_backup)], seen.unreadable), stamps


class _Seen:
    """What has been seen of a target so far."""

    def __init__(self, target: Target, known: dict[str, Remembered]) -> None:
        self._target = target
        self._known = known
        self.remembered: dict[str, Remembered] = {}
        self.entries: list[Entry] = []
        self.unreadable: list[Unreadable] = []

    def look(self, name: str, stamp: Stamp) -> None:
        """Take a file in: as it is remembered, if it has not changed and makes sense, else as it is."""
        try:
            path = self._target.path_of(name)
            facts, entry = self._recalled(name, stamp, path) or self._read(name, path)
        except BackstoryError as error:
            self.unreadable.append(Unreadable(name, f"{self._target.place}/{name}", str(error)))
            return
        self.entries.append(entry)
        if stamp.changed:
            self.remembered[name] = Remembered(stamp, facts)

    def _recalled(self, name: str, stamp: Stamp, path: str) -> tuple[Facts, Entry] | None:
        known = self._known.get(name)
        if known is None or known.stamp != stamp:
            return None
        try:
            return known.facts, entry_of(known.facts, path=path, name=name)
        except BackupError:
            return None

    def _read(self, name: str, path: str) -> tuple[Facts, Entry]:
        with self._target.reading(name) as file:
            facts = facts_at(file, path=path)
        return facts, entry_of(facts, path=path, name=name)
