"""The shelf: the backups that there are, in one target or several, by id or path, and what each builds on."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Final, NamedTuple

from backstory.backups.catalogue import Catalogue, Unreadable
from backstory.backups.entries import Entry, entry_at
from backstory.backups.target import Target
from backstory.backups.targets import target_of
from backstory.domain.backup_manifests import newest_first, standings
from backstory.domain.errors import BackstoryError, BackupError, IntegrityError, InvalidValueError, NotFoundError, shown

__all__ = ["Placed", "Shelf", "is_path", "names", "shelf_of", "target_holding"]

_SHORTEST_PREFIX: Final = 8
_ID_DIGITS: Final = 32
_DAMAGED: Final = "Bring the file back from another copy, or restore another backup."


class Placed(NamedTuple):
    """A backup, and the target that holds its file."""

    entry: Entry
    target: Target


@dataclass(frozen=True, slots=True)
class Shelf:
    """Backups, newest first, and the files that should be some and cannot be read."""

    placed: tuple[Placed, ...] = ()
    unreadable: tuple[Unreadable, ...] = field(default=())

    def get(self, wanted: object) -> Placed:
        """Return a backup by its id, the beginning of one, or its path.

        Raises `NotFoundError`, and `BackupError` or `IntegrityError` for a file that cannot be read.
        """
        text = _text(wanted)
        found = [each for each in self.placed if text in {each.entry.backup.id, each.entry.backup.path}]
        if not found and is_path(text):
            found = [each for each in self.placed if _same_file(each.entry.backup.path, text)]
        if not found and len(text) >= _SHORTEST_PREFIX:
            found = [each for each in self.placed if each.entry.backup.id.startswith(text)]
        if not found:
            self._refuse_unreadable(text)
            raise NotFoundError("backup", wanted, hint="`backups.list()` lists those there are; a path names one, too.")
        if len({each.entry.backup.checksum for each in found}) > 1:
            raise BackupError(
                f"several backups are called {text}", backup_id=text, hint="Give the whole id, or the path."
            )
        return found[0]

    def _refuse_unreadable(self, text: str) -> None:
        for each in self.unreadable:
            if (
                text in {each.path, each.name}
                or _same_file(each.path, text)
                or (text in each.name and len(text) >= _ID_DIGITS)
            ):
                reason = f"it{each.reason[len(each.path) :]}" if each.reason.startswith(each.path) else each.reason
                what = f"{each.path} cannot be read as a backup: {reason}"
                if _is_damaged(each):
                    raise IntegrityError(what, hint=_DAMAGED)
                raise BackupError(what, path=each.path, backup_id=text)

    def chain_of(self, placed: Placed) -> list[Placed]:
        """Return what a backup builds on, the full one first, itself last; raises `BackupError` for a missing link."""
        chain = [placed]
        while (parent_id := chain[-1].entry.backup.parent_id) is not None:
            child = chain[-1].entry
            parent = self._parent(child, parent_id)
            if parent in chain:
                raise _broken(placed, f"backup {parent_id} builds on itself")
            chain.append(parent)
        return chain[::-1]

    def _parent(self, child: Entry, parent_id: str) -> Placed:
        bearers = [each for each in self.placed if each.entry.backup.id == parent_id]
        fitting = [each for each in bearers if _carries_on(child, each.entry)]
        if not bearers:
            raise _broken_entry(
                child, f"its parent {parent_id} is missing", "Bring the file back, or restore an earlier one."
            )
        if not fitting:
            raise _broken_entry(child, f"its parent {parent_id} is not the one that it was made on")
        return fitting[0]

    def children_of(self, placed: Placed) -> list[Placed]:
        """Return the backups that were made on top of another one."""
        backup = placed.entry.backup
        return [
            each
            for each in self.placed
            if each.entry.backup.parent_id == backup.id and _carries_on(each.entry, placed.entry)
        ]

    def restorable(self) -> list[Placed]:
        """Return those that can be restored as far as manifests tell, newest first."""
        found = []
        told = standings([each.entry.backup for each in self.placed])
        for each, standing in zip(self.placed, told, strict=True):
            if standing.fault is None:
                try:
                    self.chain_of(each)
                except BackupError:
                    continue
                found.append(each)
        return found


def shelf_of(targets: Iterable[Target], *, perhaps: Iterable[Target] = ()) -> Shelf:
    """Return what lies in some targets, each looked at once; raises `BackupError` for one that cannot be read.

    Those that it may `perhaps` lie in are passed over where they cannot be read.
    """
    placed: list[Placed] = []
    unreadable: list[Unreadable] = []
    sure = {each.place: each for each in targets}
    for place, target in ({each.place: each for each in perhaps} | sure).items():
        try:
            listing = Catalogue(target).read()
        except BackupError:
            if place in sure:
                raise
            continue
        placed += [Placed(entry, target) for entry in listing.entries]
        unreadable += listing.unreadable
    order = {id(backup): at for at, backup in enumerate(newest_first([each.entry.backup for each in placed]))}
    by_path = {each.entry.backup.path: each for each in placed}
    ordered = sorted(by_path.values(), key=lambda each: order.get(id(each.entry.backup), len(order)))
    return Shelf(tuple(ordered), tuple(unreadable))


def target_holding(path: str | PathLike[str]) -> Target:
    """Return the target in which a file lies."""
    text = _text(path)
    if "://" in text:
        return target_of(text.rsplit("/", 1)[0])
    return target_of(Path(text).absolute().parent)


def _is_damaged(each: Unreadable) -> bool:
    """Return whether a file once was an archive, rather than something else."""
    try:
        with target_holding(each.path).reading(each.name) as file:
            entry_at(file, path=each.path, name=each.name)
    except IntegrityError:
        return True
    except BackstoryError:
        pass
    return False


def is_path(wanted: object) -> bool:
    """Return whether what names a backup is a path or URL, and no id."""
    return isinstance(wanted, PathLike) or (isinstance(wanted, str) and ("/" in wanted or wanted.endswith(".bsa")))


def names(wanted: object, backup_id: str, path: str) -> bool:
    """Return whether a backup of this id and path is meant: by its id, the beginning of it, or its path."""
    text = str(wanted)
    if is_path(wanted):
        return _same_file(path, text)
    return text == backup_id or (len(text) >= _SHORTEST_PREFIX and backup_id.startswith(text))


def _carries_on(child: Entry, parent: Entry) -> bool:
    return (
        child.log_id == parent.log_id
        and child.backup.since_position == parent.backup.position
        and child.since_hash == parent.head_hash
        and parent.backup.covers(child.backup)
    )


def _same_file(path: str, other: str) -> bool:
    if "://" in path or "://" in other:
        return path.removeprefix("file://") == other.removeprefix("file://")
    # As targets make places absolute: without the dots.
    return os.path.abspath(path) == os.path.abspath(other)  # noqa: PTH100 - Path.absolute keeps them


def _text(wanted: object) -> str:
    if not isinstance(wanted, (str, PathLike)) or not str(wanted):
        raise InvalidValueError("id_or_path", rule=f"names no backup: {shown(wanted)}", hint="Give an id, or a path.")
    return str(wanted)


def _broken(placed: Placed, what: str) -> BackupError:
    return _broken_entry(placed.entry, what)


def _broken_entry(entry: Entry, what: str, hint: str | None = None) -> BackupError:
    backup = entry.backup
    return BackupError(
        f"backup {backup.id} cannot be restored: {what}", backup_id=backup.id, path=backup.path, hint=hint
    )
