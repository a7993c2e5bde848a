"""Giving up: backups that a policy does not keep are deleted; others get another key."""

from __future__ import annotations

from collections.abc import Sequence

from backstory.backups.announcing import snapshot_of
from backstory.backups.aside import aside
from backstory.backups.entries import entry_at
from backstory.backups.finding import find, shelf
from backstory.backups.ordering import check_encryption, check_writable
from backstory.backups.shelf import Placed
from backstory.committing import append
from backstory.context import author_of
from backstory.core import Core
from backstory.domain.backup_manifests import Backup
from backstory.domain.commits import Commit, Draft
from backstory.domain.errors import BackupError, InvalidValueError, shown
from backstory.domain.events import from_micros
from backstory.domain.ports import Program
from backstory.domain.retention import RetentionPolicy, RetentionReport, decide
from backstory.firing import fired
from backstory.infrastructure.archives.encryption import Encryption
from backstory.infrastructure.archives.rewrapping import rewrap

__all__ = ["prune", "rewrapped", "with_new_key"]


def prune(core: Core, policy: RetentionPolicy, *, dry_run: bool) -> Program[RetentionReport]:
    """Delete what a policy does not keep, children before what they build on."""
    if not isinstance(policy, RetentionPolicy):
        raise InvalidValueError("policy", rule=f"is no policy: {shown(policy)}", hint="Give `RetentionPolicy(...)`.")
    policy.check_bounded()
    if not dry_run:
        check_writable(core, "prune backups")
    found = yield from shelf(core)
    own = [each for each in found.placed if each.entry.log_id == core.engine.log_id]
    head = yield from core.engine.head()
    now = from_micros(max(core.clock.now_us(), head.recorded_us))
    report = decide(policy, [each.entry.backup for each in own], now=now)
    if dry_run or not report.deleted:
        return report
    yield from fired(core, "before_backup_prune", {"backup_ids": [backup.id for backup in report.deleted]})
    reasons = {each.backup_id: each.reason for each in report.decisions if not each.keep}
    author = author_of({}, core.actor)
    drafts: list[Draft] = []
    for backup_id, reason in reasons.items():
        snapshot = yield from snapshot_of(core, backup_id)
        snapshot.say("Pruned", reason=reason)
        drafts += snapshot.drafts(author)
    yield from append(Commit(core.branch.id, drafts))
    paths = {backup.path for backup in report.deleted}
    going = [each for each in own if each.entry.backup.path in paths]
    yield from aside(lambda: _delete(sorted(going, key=lambda each: -each.entry.backup.position)))
    yield from fired(core, "after_backup_prune", {"backup_ids": [backup.id for backup in report.deleted]})
    return report


def _delete(going: Sequence[Placed]) -> None:
    for placed in going:
        placed.target.delete(placed.entry.name)


def rewrapped(core: Core, wanted: object, old: Encryption, new: Encryption) -> Program[Backup]:
    """Have a backup need another key."""
    check_encryption(old, needed=True)
    check_encryption(new, needed=True)
    _, placed = yield from find(core, wanted)
    return (yield from aside(lambda: with_new_key(placed, old, new)))


def with_new_key(placed: Placed, old: Encryption, new: Encryption) -> Backup:
    """Have a backup that was found need another key, and return it as it is then. It blocks."""
    backup = placed.entry.backup
    if "://" in backup.path:
        raise BackupError(
            f"{backup.path} cannot be replaced in one step",
            backup_id=backup.id,
            path=backup.path,
            hint="Copy it to a folder, change its key there, and put it back.",
        )
    rewrap(backup.path, old, new)
    return entry_at(backup.path, path=backup.path, name=placed.entry.name).backup
