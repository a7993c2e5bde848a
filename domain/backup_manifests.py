"""Backups as facts: what the manifest of one says, and which of several can be restored.

A full backup stands alone. An incremental one holds what came since its parent, so that it can be restored only with
every backup before it, back to a full one. Pure: nothing here opens a file, so a backup that is called restorable is
so as far as the manifests tell.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Final, Literal, NamedTuple, NoReturn, get_args

from backstory.domain.errors import BackupError, shown
from backstory.domain.scopes import Scope

__all__ = ["Backup", "BackupKind", "Circumstances", "Standing", "is_copy", "newest_first", "standings"]

BackupKind = Literal["full", "incremental"]
_KINDS: Final = get_args(BackupKind)
_NOTHING: Final[Mapping[str, str]] = MappingProxyType({})
_COUNTS: Final = (
    "position",
    "since_position",
    "size_bytes",
    "raw_bytes",
    "events",
    "entries",
    "branch_id",
    "importance",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Backup:
    """What the manifest of a backup says. Raises `BackupError` for facts that contradict each other.

    It holds the events after `since_position` (of a full one: 0) up to `position`, of `branch`, and `entries` values.
    `branch_id` numbers the branch in its log: one that is dropped and made again has the old name and a new number.
    `scopes` are those selected, sorted; None means all there are. `created_at` is UTC. `size_bytes` is what the file
    takes, `raw_bytes` what it holds uncompressed. `importance` counts from 0 for the ordinary. `key_id` names the key
    that it needs, None where it is not encrypted; `log_id` the log that it was made of, in hexadecimal digits.
    """

    id: str
    kind: BackupKind
    parent_id: str | None = None
    position: int
    since_position: int = 0
    created_at: datetime
    size_bytes: int
    raw_bytes: int
    events: int
    entries: int
    scopes: tuple[Scope, ...] | None = None
    branch: str
    branch_id: int = 0
    compression: str
    encrypted: bool
    checksum: str
    path: str
    importance: int = 0
    key_id: str | None = None
    log_id: str = ""

    def __post_init__(self) -> None:
        """Check the facts, and bring time and scopes to their one form."""
        if self.kind not in _KINDS:
            self._refuse(f"its kind is {shown(self.kind)}, neither full nor incremental")
        for name in _COUNTS:
            self._check_count(name)
        if not self.id:
            self._refuse("it has no id")
        if (self.kind == "incremental") != (self.parent_id is not None) or self.parent_id == self.id:
            self._refuse("an incremental backup has another one as its parent, a full one has none")
        if self.since_position > (self.position if self.parent_id is not None else 0):
            self._refuse(f"a {self.kind} backup up to {self.position} cannot begin after {self.since_position}")
        if self.created_at.utcoffset() is None:
            self._refuse("the time it was made at has no zone")
        object.__setattr__(self, "created_at", self.created_at.astimezone(UTC))
        if self.scopes is not None:
            object.__setattr__(self, "scopes", tuple(sorted(set(self.scopes), key=str)))
        if self.scopes == ():
            self._refuse("it selects no scope at all")

    def covers(self, other: Backup) -> bool:
        """Return whether whatever the other holds a part of, this one does too: same branch, no scope left out."""
        if (self.branch, self.branch_id) != (other.branch, other.branch_id):
            return False
        return self.scopes is None or (other.scopes is not None and set(other.scopes) <= set(self.scopes))

    def _check_count(self, name: str) -> None:
        given = getattr(self, name)
        if not isinstance(given, int) or isinstance(given, bool) or given < 0:
            self._refuse(f"its {name} is no whole number from 0: {shown(given)}")

    def _refuse(self, rule: str) -> NoReturn:
        raise BackupError(
            f"the manifest of backup {shown(self.id)} cannot be right: {rule}",
            backup_id=self.id,
            path=self.path,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Circumstances:
    """What is known of backups besides their manifests.

    `damage` says, by path, why a file cannot be restored; `needed`, by id, who needs a backup that is not among those
    to decide on. Of copies rather one of the paths `at_home` stays.
    """

    damage: Mapping[str, str] = field(default_factory=dict)
    needed: Mapping[str, str] = field(default_factory=dict)
    at_home: Collection[str] = frozenset()


class Standing(NamedTuple):
    """How a backup stands among others: why it cannot be restored, if so, and which must stay while it does.

    `needs` are indices, of its parent only: what the parent needs in turn is told there.
    """

    fault: str | None
    needs: tuple[int, ...] = ()


def newest_first(backups: Iterable[Backup], *, at_home: Collection[str] = ()) -> list[Backup]:
    """Return the backups by the time they were made, newest first, then by position; ties by id, then by path.

    Of one id, paths `at_home` come first. One that is given twice, path and all, comes back once.
    """
    by_id = sorted(dict.fromkeys(backups), key=lambda each: (each.id, each.path not in at_home, each.path))
    return sorted(by_id, key=lambda each: (each.created_at, each.position), reverse=True)


def is_copy(one: Backup, other: Backup) -> bool:
    """Return whether two files hold one backup: their manifests tell the same.

    Of encrypted ones the key that is needed may be another, and with it the size and the hash of the file.
    """
    same = replace(other, path=one.path)
    if one.encrypted and other.encrypted:
        same = replace(same, checksum=one.checksum, size_bytes=one.size_bytes, key_id=one.key_id)
    return same == one


def standings(backups: Sequence[Backup], *, damage: Mapping[str, str] = _NOTHING) -> list[Standing]:
    """Return how each of the backups stands, in their order, among all of them.

    `damage` says, by path, why a file cannot be restored that tells nothing amiss itself. Of several with one id, the
    first that is not damaged counts if they tell the same and are only kept at several paths; the others are its
    copies. If they differ, nobody knows which one a chain means: none counts, and they stay or go together. A file
    needs the copy of its parent that it is restored with.
    """
    found: dict[int, Standing] = {}
    bearing = {
        each: sorted(bearers, key=lambda index: backups[index].path in damage)
        for each, bearers in _bearers(backups).items()
    }
    for best in bearing.values():
        found |= _repeated(backups, best)
        if backups[best[0]].path in damage:
            found.setdefault(best[0], Standing(damage[backups[best[0]].path]))
    for start in range(len(backups)):
        # Up the chain as far as it is new, then down again: a chain may be longer than calls can nest.
        climbed: dict[int, int | None] = {}
        at: int | None = start
        while at is not None and at not in found and at not in climbed:
            parent = next(iter(bearing.get(backups[at].parent_id or "", ())), None)
            climbed[at] = parent
            at = parent
        for index, parent in reversed(climbed.items()):
            found[index] = Standing(_link_fault(backups, index, parent, found))
    for best in bearing.values():
        if found[best[0]].fault is None and backups[best[0]].parent_id is not None:
            for index in best:
                closest = _closest(backups, index, bearing[backups[index].parent_id or ""], damage)
                found[index] = found[index]._replace(needs=(closest,))
    return [found[index] for index in range(len(backups))]


def _closest(backups: Sequence[Backup], index: int, parents: Sequence[int], damage: Mapping[str, str]) -> int:
    """Return which copy of its parent a backup is restored with: of one key, and, where it can be, in one place."""
    backup = backups[index]

    def distance(parent: int) -> tuple[bool, bool, bool]:
        other = backups[parent]
        return other.path in damage, other.key_id != backup.key_id, _folder(other.path) != _folder(backup.path)

    return min(parents, key=distance)


def _folder(path: str) -> str:
    return path.rpartition("/")[0]


def _bearers(backups: Sequence[Backup]) -> dict[str, list[int]]:
    """Return which backups bear each id."""
    found: dict[str, list[int]] = defaultdict(list)
    for index, backup in enumerate(backups):
        found[backup.id].append(index)
    return found


def _repeated(backups: Sequence[Backup], bearers: Sequence[int]) -> dict[int, Standing]:
    """Return the standing of those that share an id, but for the first where the others are copies of it."""
    first, *others = bearers
    if all(is_copy(backups[first], backups[each]) for each in others):
        return dict.fromkeys(others, Standing(f"it is a copy of the backup at {backups[first].path}"))
    fault = f"{len(bearers)} different backups bear its id"
    return {each: Standing(fault, tuple(other for other in bearers if other != each)) for each in bearers}


def _link_fault(
    backups: Sequence[Backup], index: int, at_parent: int | None, found: Mapping[int, Standing]
) -> str | None:
    """Return why a backup does not carry on from a parent that can be restored; None if it does, or is a full one."""
    backup = backups[index]
    if backup.parent_id is None:
        return None
    if at_parent is None:
        return f"its parent {backup.parent_id} is missing"
    # A chain that runs in a circle comes back to a backup of which nothing is found yet.
    if at_parent not in found or found[at_parent].fault is not None:
        return f"its parent {backup.parent_id} cannot be restored"
    parent = backups[at_parent]
    if not parent.covers(backup):
        return f"its parent {parent.id} leaves out some of its scopes, or is of another branch"
    if parent.position != backup.since_position:
        return f"it begins after position {backup.since_position}, its parent {parent.id} ends at {parent.position}"
    return None
