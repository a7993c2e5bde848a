"""Rotating: backups that get another key, in every place that is known."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from typing import NamedTuple

from backstory.backups.announcing import said
from backstory.backups.aside import aside
from backstory.backups.entries import Entry, entry_at
from backstory.backups.finding import Survey, survey
from backstory.backups.fitting import opens
from backstory.backups.ordering import check_encryption, check_writable
from backstory.backups.paths import is_path, target_holding
from backstory.backups.shelf import FileName, Placed
from backstory.core import Core
from backstory.domain.backup_manifests import Backup
from backstory.domain.errors import BackupError
from backstory.domain.ports import Program
from backstory.infrastructure.archives.encryption import Encryption
from backstory.infrastructure.archives.rewrapping import Rewrapping

__all__ = ["rewrapped", "with_new_key"]


def rewrapped(core: Core, wanted: object, old: Encryption, new: Encryption) -> Program[Backup]:
    """Have a backup need another key: of an id every copy that is known, of a path that file alone."""
    check_encryption(old, needed=True)
    check_encryption(new, needed=True)
    old, new = old.for_one_operation(), new.for_one_operation()
    check_writable(core, "change the key of a backup")
    named = target_holding(wanted) if is_path(wanted) else None
    surveyed = yield from survey(core, named=named)
    placed = yield from aside(lambda: surveyed.shelf.get(wanted))
    copies = [placed] if named is not None else surveyed.shelf.copies_of(placed)
    sorting = yield from aside(lambda: _sorted_out(copies, old, new))
    for each in sorting.done:
        yield from _told_late(core, surveyed, each)
    if sorting.closed or not sorting.ours or (named is None and surveyed.hidden(placed.entry.backup.id)):
        yield from aside(lambda: _refuse(surveyed, placed, sorting, old, new))
    renewed = {each.entry.backup.path: each.entry for each in sorting.done}
    for entry in (yield from _changed(core, sorting.ours, old, new)):
        renewed[entry.backup.path] = entry
    return renewed[placed.entry.backup.path].backup


def _changed(core: Core, files: Sequence[Placed], old: Encryption, new: Encryption) -> Program[list[Entry]]:
    """Give files another key, each told as it gets it; none does unless all of them are written beside the old ones."""
    found = []
    written = yield from aside(lambda: _written(files, old, new))
    try:
        for each in written:
            entry = yield from aside(each.publish)
            yield from _told(core, entry)
            found.append(entry)
    finally:
        _abandon(written)
    return found


class _Written(NamedTuple):
    """A file with another key that is to take the place of one that has this name."""

    name: FileName
    made: Rewrapping

    def publish(self) -> Entry:
        self.made.publish()
        return entry_at(self.name.path, path=self.name.path, name=self.name.name)


def _written(files: Iterable[Placed], old: Encryption, new: Encryption) -> list[_Written]:
    """Write files with another key, one for each name: where a name is a second link, replacing the first leaves it.

    Raises what is wrong with any of them, and nothing is left then.
    """
    found: list[_Written] = []
    with ExitStack() as stack:
        for placed in files:
            for name in {os.path.realpath(each.path): each for each in reversed(placed.names)}.values():
                made = Rewrapping(name.path, old, new)
                stack.callback(made.abandon)
                found.append(_Written(name, made))
        stack.pop_all()
    return found


def _abandon(written: Iterable[_Written]) -> None:
    for each in written:
        each.made.abandon()


class _Sorting(NamedTuple):
    """Files by what opens them: the old key, the new one already, or neither that we could use."""

    ours: list[Placed]
    done: list[Placed]
    closed: list[Placed]


def _sorted_out(copies: Sequence[Placed], old: Encryption, new: Encryption) -> _Sorting:
    found = _Sorting([], [], [])
    for each in copies:
        if opens(each, old):
            (found.closed if "://" in each.entry.backup.path else found.ours).append(each)
        else:
            (found.done if opens(each, new) else found.closed).append(each)
    return found


def _refuse(surveyed: Survey, placed: Placed, sorting: _Sorting, old: Encryption, new: Encryption) -> None:
    """Raise why a backup cannot get another key everywhere; nothing was changed. Of one file that is its own error."""
    backup = placed.entry.backup
    paths = [each.entry.backup.path for each in sorting.closed]
    if not sorting.ours and len(paths) <= 1 and "://" not in backup.path:
        Rewrapping(paths[0] if paths else backup.path, old, new).abandon()
    if paths == [backup.path]:
        raise _in_no_folder(backup)
    hidden = surveyed.hidden(backup.id)
    left = ", ".join(paths if hidden is None else [*paths, f"{hidden.place} (which cannot be looked at)"])
    raise BackupError(
        f"backup {backup.id} would need different keys in different places, as this cannot be done to: {left}. "
        "Nothing was changed",
        backup_id=backup.id,
        path=backup.path,
        hint="Name one file after the other by its path, and see to those.",
    )


def with_new_key(placed: Placed, old: Encryption, new: Encryption) -> Backup:
    """Have a backup that was found need another key, and return it as it is then. It blocks."""
    if "://" in placed.entry.backup.path:
        raise _in_no_folder(placed.entry.backup)
    written = _written([placed], old, new)
    try:
        entries = [each.publish() for each in written]
    finally:
        _abandon(written)
    return next(each.backup for each in entries if each.backup.path == placed.entry.backup.path)


def _in_no_folder(backup: Backup) -> BackupError:
    return BackupError(
        f"{backup.path} cannot be replaced in one step",
        backup_id=backup.id,
        path=backup.path,
        hint="Copy it to a folder, change its key there, and put it back.",
    )


def _told(core: Core, entry: Entry) -> Program[None]:
    """Put into the log what key a file needs now, and its checksum, which is another."""
    backup = entry.backup
    yield from said(
        core,
        backup.id,
        "Rewrapped",
        path=backup.path,
        key_id=entry.key_id,
        checksum=backup.checksum,
        size_bytes=backup.size_bytes,
    )


def _told_late(core: Core, surveyed: Survey, placed: Placed) -> Program[None]:
    """Put into the log what somebody was killed before telling."""
    backup = placed.entry.backup
    known = surveyed.known.get(backup.id)
    if known and known.backup and backup.checksum not in {known.backup["checksum"], known.checksums.get(backup.path)}:
        yield from _told(core, placed.entry)
