"""The shelf: the backups that there are, in one target or several, by id or path, and what each builds on."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from string import hexdigits
from typing import Final, NamedTuple

from backstory.backups.catalogue import Catalogue, Unreadable
from backstory.backups.entries import Entry, entry_at
from backstory.backups.paths import (
    SHORTEST_PREFIX,
    canonical,
    is_path,
    same_file,
    target_holding,
    text_of,
)
from backstory.backups.target import Target, is_archive
from backstory.backups.targets import target_of
from backstory.domain.backup_manifests import is_copy, standings
from backstory.domain.errors import BackstoryError, BackupError, IntegrityError, NotFoundError

__all__ = ["FileName", "Placed", "Shelf", "Unreachable", "shelf_of"]

_ID_DIGITS: Final = 32
_DAMAGED: Final = "Bring the file back from another copy, or restore another backup."
_LISTED: Final = "See which backups are listed, or give the path of a file."
_LONGER: Final = f"Give {SHORTEST_PREFIX} digits of its id at least, or the path of its file."


class FileName(NamedTuple):
    """A name of a file, and the target where it has that."""

    target: Target
    name: str

    @property
    def path(self) -> str:
        """The path, or URL."""
        return self.target.path_of(self.name)


class Placed(NamedTuple):
    """A backup, and the target that holds its file.

    `also` are other names of the very same file, by links and mounts. `damage` says that the file was found damaged
    when it was last validated; None where nothing is known against it.
    """

    entry: Entry
    target: Target
    also: tuple[FileName, ...] = ()
    damage: str | None = None

    @property
    def is_damaged(self) -> bool:
        """Whether the file is known to be damaged."""
        return self.damage is not None

    @property
    def names(self) -> tuple[FileName, ...]:
        """All the names of the file."""
        return (FileName(self.target, self.entry.name), *self.also)

    @property
    def paths(self) -> tuple[str, ...]:
        """All the paths, or URLs, of the file."""
        return tuple(each.path for each in self.names)


class Unreachable(NamedTuple):
    """A place that backups were put into and that cannot be looked at now, and why."""

    place: str
    reason: str


@dataclass(frozen=True, slots=True)
class Shelf:
    """Backups, newest first, the best of copies first; files that should be some and cannot be read; places, too."""

    placed: tuple[Placed, ...] = ()
    unreadable: tuple[Unreadable, ...] = field(default=())
    unreachable: tuple[Unreachable, ...] = ()

    def marked(self, damage: Mapping[tuple[str, str], str]) -> Shelf:
        """Return the shelf with what is known of damage, by canonical path and checksum."""
        if not damage:
            return self
        marked = []
        for each in self.placed:
            found = [damage.get((canonical(path), each.entry.backup.checksum)) for path in each.paths]
            marked.append(each._replace(damage=next(filter(None, found), None)))
        return replace(self, placed=_ordered(marked))

    def damage(self) -> dict[str, str]:
        """Return what is known of damage, by path."""
        return {each.entry.backup.path: each.damage for each in self.placed if each.damage is not None}

    def get(self, wanted: object) -> Placed:
        """Return a backup by its id, the beginning of one, or its path, whatever the file is called.

        Raises `NotFoundError`, and `BackupError` or `IntegrityError` for a file that cannot be read.
        """
        text = text_of(wanted)
        found = [each for each in self.placed if text in {each.entry.backup.id, each.entry.backup.path}]
        if not found and is_path(text):
            found = [each for each in self.placed if any(same_file(path, text) for path in each.paths)] or _at(text)
        if not found and len(text) >= SHORTEST_PREFIX:
            found = [each for each in self.placed if each.entry.backup.id.startswith(text)]
        if not found:
            self._refuse_unreadable(text)
            raise NotFoundError("backup", wanted, hint=_LONGER if _is_short_id(text) else _LISTED)
        self._check_one(text, found)
        return found[0]

    def copies_of(self, placed: Placed) -> list[Placed]:
        """Return the files that hold the same backup, itself among them."""
        return [each for each in self.placed if is_copy(placed.entry.backup, each.entry.backup)]

    def _check_one(self, text: str, found: list[Placed]) -> None:
        """Raise `BackupError` where what is found is not one backup."""
        first = found[0].entry.backup
        if any(each.entry.backup.id != first.id for each in found):
            raise BackupError(
                f"several backups are called {text}", backup_id=text, hint="Give the whole id, or the path."
            )
        if not all(is_copy(first, each.entry.backup) for each in found):
            paths = ", ".join(each.entry.backup.path for each in found)
            raise BackupError(
                f"different backups bear the id {first.id}: {paths}",
                backup_id=first.id,
                hint="Name the one that you mean by its path.",
            )

    def _refuse_unreadable(self, text: str) -> None:
        for each in self.unreadable:
            if (
                text in {each.path, each.name}
                or same_file(each.path, text)
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
            parent = self._parent(chain[-1], parent_id)
            if parent in chain:
                raise _broken(placed, f"backup {parent_id} builds on itself")
            chain.append(parent)
        return chain[::-1]

    def _parent(self, placed: Placed, parent_id: str) -> Placed:
        child = placed.entry
        bearers = [each for each in self.placed if each.entry.backup.id == parent_id]
        fitting = [each for each in bearers if _carries_on(child, each.entry)]
        if not bearers:
            raise _broken_entry(
                child, f"its parent {parent_id} is missing", "Bring the file back, or restore an earlier one."
            )
        if not fitting:
            raise _broken_entry(child, f"its parent {parent_id} is not the one that it was made on")
        # A chain belongs in one place, and is opened by one key.
        place, key_id = placed.target.place, child.key_id
        return min(fitting, key=lambda each: (each.is_damaged, each.entry.key_id != key_id, each.target.place != place))

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
        told = standings([each.entry.backup for each in self.placed], damage=self.damage())
        for each, standing in zip(self.placed, told, strict=True):
            if standing.fault is None:
                try:
                    self.chain_of(each)
                except BackupError:
                    continue
                found.append(each)
        return found


@dataclass
class _Looking:
    """What was found so far, in the order of the places that were looked at."""

    found: dict[object, Placed] = field(default_factory=dict)
    unreadable: list[Unreadable] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)

    def look(self, target: Target) -> None:
        """Take in what lies in a target, once; raises `BackupError` for one that cannot be looked at."""
        if target.identity in self.seen:
            return
        listing, stamps = Catalogue(target).look()
        self.seen.add(target.identity)
        self.unreadable += listing.unreadable
        for entry in listing.entries:
            stamp = stamps[entry.name]
            # Links and mounts lead to one file by several names. Where no times are kept its own name must do.
            told = stamp if stamp.changed else entry.name
            first = self.found.setdefault((entry.backup.id, entry.backup.checksum, told), Placed(entry, target))
            if (first.target, first.entry.name) != (target, entry.name):
                same = first._replace(also=(*first.also, FileName(target, entry.name)))
                self.found[entry.backup.id, entry.backup.checksum, told] = same


def shelf_of(targets: Iterable[Target], *, perhaps: Iterable[str] = ()) -> Shelf:
    """Return what lies in some targets, each looked at once; raises `BackupError` for one that cannot be looked at.

    Places where others lie `perhaps` are passed over then, and named.
    """
    looking = _Looking()
    for target in targets:
        looking.look(target)
    unreachable = []
    for place in dict.fromkeys(perhaps):
        try:
            looking.look(target_of(place))
        except BackstoryError as error:
            unreachable.append(Unreachable(place, error.message))
    return Shelf(_ordered(looking.found.values()), tuple(looking.unreadable), tuple(unreachable))


def _ordered(placed: Iterable[Placed]) -> tuple[Placed, ...]:
    """Return backups newest first; of copies those that are not damaged come first, then as they come."""
    by_id = sorted(placed, key=lambda each: (each.entry.backup.id, each.is_damaged))
    newest = sorted(by_id, key=lambda each: (each.entry.backup.created_at, each.entry.backup.position), reverse=True)
    return tuple(newest)


def _at(path: str) -> list[Placed]:
    """Return the backup in a file that has not the name of one; none if it is not there, or should be listed."""
    name = path.rpartition("/")[2]
    if not name or is_archive(name) or ("://" not in path and not os.path.isfile(path)):  # noqa: PTH113 - any text
        return []
    target = target_holding(path)
    with target.reading(name) as file:
        return [Placed(entry_at(file, path=target.path_of(name), name=name), target)]


def _is_short_id(text: str) -> bool:
    return len(text) < SHORTEST_PREFIX and set(text) <= set(hexdigits)


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


def _carries_on(child: Entry, parent: Entry) -> bool:
    return (
        child.log_id == parent.log_id
        and child.backup.since_position == parent.backup.position
        and child.since_hash == parent.head_hash
        and parent.backup.covers(child.backup)
    )


def _broken(placed: Placed, what: str) -> BackupError:
    return _broken_entry(placed.entry, what)


def _broken_entry(entry: Entry, what: str, hint: str | None = None) -> BackupError:
    backup = entry.backup
    return BackupError(
        f"backup {backup.id} cannot be restored: {what}", backup_id=backup.id, path=backup.path, hint=hint
    )
