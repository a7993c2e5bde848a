"""Giving up: backups that a policy does not keep are deleted."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Final

from backstory.backups.announcing import unsaid
from backstory.backups.aside import aside
from backstory.backups.finding import default_target, survey
from backstory.backups.knowing import known_backups
from backstory.backups.ordering import check_writable
from backstory.backups.owning import Owned, needed_elsewhere, needed_since, owned
from backstory.backups.shelf import FileName, Placed
from backstory.committing import append
from backstory.context import author_of
from backstory.core import Core
from backstory.domain.backup_manifests import Circumstances, newest_first
from backstory.domain.commits import Commit, Draft
from backstory.domain.errors import BackupError, InvalidValueError, shown
from backstory.domain.events import from_micros
from backstory.domain.ports import Program
from backstory.domain.retention import Decision, RetentionPolicy, RetentionReport, decide
from backstory.firing import fired

__all__ = ["prune"]

_OTHER: Final = "kept: left alone, of another history of this log"


def prune(core: Core, policy: RetentionPolicy, *, dry_run: bool) -> Program[RetentionReport]:
    """Delete what a policy does not keep, children before what they build on."""
    if not isinstance(policy, RetentionPolicy):
        raise InvalidValueError("policy", rule=f"is no policy: {shown(policy)}", hint="Give `RetentionPolicy(...)`.")
    policy.check_bounded()
    if not dry_run:
        check_writable(core, "prune backups")
    surveyed = yield from survey(core)
    found = yield from owned(core, surveyed.shelf.placed)
    at_home = _at_home(core, found.own)
    needed = needed_elsewhere(surveyed, found.other)
    known = Circumstances(damage=surveyed.shelf.damage(), needed=needed, at_home=at_home)
    head = yield from core.engine.head()
    now = from_micros(max(core.clock.now_us(), head.recorded_us))
    report = decide(policy, [each.entry.backup for each in found.own], now=now, known=known)
    report = _with_others(report, found, at_home)
    if dry_run or not report.deleted:
        return report
    ids = [backup.id for backup in report.deleted]
    yield from fired(core, "before_backup_prune", {"backup_ids": ids})
    yield from _told(core, report)
    # Who makes a backup looks, once it is said, whether what it builds on was given up: one of us sees the other.
    report = _sparing(report, needed_since(surveyed.known, (yield from known_backups(core))))
    paths = {backup.path for backup in report.deleted}
    going = [each for each in found.own if each.entry.backup.path in paths]
    yield from aside(lambda: _delete(sorted(going, key=lambda each: -each.entry.backup.position)))
    yield from fired(core, "after_backup_prune", {"backup_ids": ids})
    return report


def _at_home(core: Core, own: Sequence[Placed]) -> Collection[str]:
    """Return the paths of those in the first place that was looked at: the store's own, if it has one."""
    if not core.settings.backups:
        return ()
    home = default_target(core).identity
    return frozenset(each.entry.backup.path for each in own if each.target.identity == home)


def _with_others(report: RetentionReport, found: Owned, at_home: Collection[str]) -> RetentionReport:
    """Return the report with those that are none of ours, each at its place by age."""
    own = newest_first([each.entry.backup for each in found.own], at_home=at_home)
    decided = dict(zip(own, report.decisions, strict=True))
    others = {each.entry.backup for each in found.other}
    kept = {*report.kept, *others}
    ordered = newest_first([*own, *others], at_home=at_home)
    return replace(
        report,
        decisions=tuple(Decision(each.id, True, _OTHER) if each in others else decided[each] for each in ordered),
        kept=tuple(each for each in ordered if each in kept),
    )


def _sparing(report: RetentionReport, needed: Mapping[str, str]) -> RetentionReport:
    """Return the report with what is needed by now kept after all."""
    deleted = tuple(each for each in report.deleted if each.id not in needed)
    if len(deleted) == len(report.deleted):
        return report
    return RetentionReport(
        decisions=tuple(
            Decision(each.backup_id, True, f"kept: {needed[each.backup_id]}")
            if each.backup_id in needed and not each.keep
            else each
            for each in report.decisions
        ),
        kept=tuple(newest_first({*report.kept, *report.deleted} - {*deleted})),
        deleted=deleted,
        freed_bytes=sum(each.size_bytes for each in deleted),
    )


def _told(core: Core, report: RetentionReport) -> Program[None]:
    """Put into the log which backups are given up of which no file stays, each once."""
    kept = {backup.id for backup in report.kept}
    known = yield from known_backups(core)
    author = author_of({}, core.actor)
    drafts: list[Draft] = []
    for backup_id, reason in {each.backup_id: each.reason for each in report.decisions if not each.keep}.items():
        before = known.get(backup_id)
        if backup_id in kept or (before is not None and before.is_pruned):
            continue
        snapshot = unsaid(backup_id)
        snapshot.say("Pruned", reason=reason)
        drafts += snapshot.drafts(author)
    if drafts:
        yield from append(Commit(core.branch.id, drafts))


def _delete(going: Sequence[Placed]) -> None:
    for placed in going:
        for name in placed.names:
            _delete_one(name)


def _delete_one(name: FileName) -> None:
    """Delete a file; one that is gone already, by another name or by somebody else, is as good as deleted."""
    try:
        name.target.delete(name.name)
    except BackupError:
        if name.name in name.target.names():
            raise
