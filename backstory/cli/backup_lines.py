"""Backups as they are printed: as JSON, and as lines for people, sizes in units that they can read."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any, Final

from backstory.cli.output import Output
from backstory.cli.past import sides
from backstory.cli.render import counted, difference_lines, field, instant, second, table
from backstory.cli.session import shown_url

if TYPE_CHECKING:
    from backstory.backups.reports import BackupUsage, BackupValidation, RestoreReport
    from backstory.domain.backup_manifests import Backup
    from backstory.domain.retention import RetentionReport

__all__ = [
    "backup_data",
    "backup_lines",
    "list_data",
    "list_lines",
    "made_lines",
    "prune_data",
    "prune_lines",
    "restore_data",
    "restore_lines",
    "size",
    "usage_data",
    "usage_lines",
    "validation_data",
    "validation_lines",
    "would_lines",
]

_UNITS: Final = ("KiB", "MiB", "GiB", "TiB", "PiB")
_STEP: Final = 1024
_PLAIN: Final = "none"
#: How many digits of an id a list shows at least. Those made in one millisecond begin alike.
_DIGITS: Final = 12


def size(count: int) -> str:
    """Return a number of bytes as people read it: `512 B`, `1.5 MiB`."""
    if count < _STEP:
        return f"{count} B"
    # What would be shown as 1024.0 is one of the next unit.
    power = next((each for each, _ in enumerate(_UNITS, 1) if round(count / _STEP**each, 1) < _STEP), len(_UNITS))
    return f"{count / _STEP**power:.1f} {_UNITS[power - 1]}"


def backup_data(backup: Backup) -> dict[str, Any]:
    """Return a backup as JSON has it."""
    data = {each.name: getattr(backup, each.name) for each in fields(backup)}
    scopes = None if backup.scopes is None else [str(scope) for scope in backup.scopes]
    return {**data, "created_at": backup.created_at.isoformat(), "scopes": scopes}


def made_lines(out: Output, backup: Backup) -> Iterator[str]:
    """Yield what was backed up, and where it lies."""
    since = "" if backup.parent_id is None else f" since position {backup.since_position}"
    held = f"{counted(backup.events, 'event')}{since}, {counted(backup.entries, 'value')}"
    yield f"{backup.kind} backup {out.paint(backup.id, 'cyan')} of position {backup.position}: {held}"
    yield f"{field(backup.path)} ({_packed(backup)})"


def _packed(backup: Backup) -> str:
    """Return what a file takes, and what was done to what it holds."""
    encrypted = ", encrypted" if backup.encrypted else ""
    if backup.compression == _PLAIN:
        return f"{size(backup.size_bytes)}, not compressed{encrypted}"
    return f"{size(backup.size_bytes)}, {size(backup.raw_bytes)} before {field(backup.compression)}{encrypted}"


def list_data(backups: Sequence[Backup], log_id: str | None) -> list[dict[str, Any]]:
    """Return backups as JSON lists them: with whether each is of another log than `log_id`, null where that is None."""
    return [{**backup_data(each), "other_log": None if log_id is None else each.log_id != log_id} for each in backups]


def list_lines(out: Output, backups: Sequence[Backup], log_id: str | None) -> list[str]:
    """Return backups as a table; nothing where there are none. Ids are as long as it takes to tell them apart.

    What is of another log than `log_id` says so; where that is None, as nobody knows, and there are several, which.
    """
    names = _short_names({each.id for each in backups} | {each.parent_id for each in backups if each.parent_id})
    logs = _short_names({each.log_id for each in backups})
    rows = [
        (
            names[each.id],
            _kind(each, _log_mark(each, log_id, logs)),
            second(each.created_at),
            str(each.position),
            size(each.size_bytes),
            names[each.parent_id] if each.parent_id else "",
        )
        for each in backups
    ]
    return table(out, ("id", "kind", "made", "up to", "size", "builds on"), rows) if rows else []


def _short_names(whole: Collection[str]) -> dict[str, str]:
    """Return the beginning of each name, so long that no two are alike."""
    longest = max(map(len, whole), default=0)
    digits = next(
        (many for many in range(_DIGITS, longest) if len({each[:many] for each in whole}) == len(whole)), longest
    )
    return {each: each[:digits] for each in whole}


def _log_mark(backup: Backup, log_id: str | None, logs: Mapping[str, str]) -> str:
    if log_id is None:
        return f"log {logs[backup.log_id]}" if len(logs) > 1 else ""
    return "" if backup.log_id == log_id else "another log"


def _kind(backup: Backup, mark: str) -> str:
    scopes = "" if backup.scopes is None else counted(len(backup.scopes), "scope")
    return ", ".join(filter(None, (backup.kind, scopes, "encrypted" if backup.encrypted else "", mark)))


def backup_lines(out: Output, backup: Backup) -> Iterator[str]:
    """Yield all that is known of a backup, a line each."""
    scopes = "all" if backup.scopes is None else ", ".join(field(str(scope)) for scope in backup.scopes)
    yield from _facts(
        out,
        [
            ("backup", backup.id),
            ("kind", backup.kind),
            ("builds on", backup.parent_id or "nothing"),
            ("made", instant(backup.created_at)),
            ("position", str(backup.position)),
            ("branch", field(backup.branch)),
            ("scopes", scopes),
            ("holds", f"{counted(backup.events, 'event')} after position {backup.since_position}"),
            ("state", counted(backup.entries, "value")),
            ("size", _packed(backup)),
            ("importance", str(backup.importance)),
            ("key", backup.key_id or "none"),
            ("log", backup.log_id),
            ("checksum", backup.checksum),
            ("path", field(backup.path)),
        ],
    )


def _facts(out: Output, facts: Sequence[tuple[str, str]]) -> Iterator[str]:
    for name, fact in facts:
        yield f"{out.paint(name.ljust(14), 'cyan')}  {fact}"


def usage_data(usage: BackupUsage) -> dict[str, Any]:
    """Return what backups take as JSON has it."""
    return {
        "count": usage.count,
        "full": usage.full,
        "incremental": usage.incremental,
        "size_bytes": usage.size_bytes,
        "raw_bytes": usage.raw_bytes,
        "oldest": None if usage.oldest is None else backup_data(usage.oldest),
        "newest": None if usage.newest is None else backup_data(usage.newest),
        "missing": list(usage.missing),
        "unreadable": list(usage.unreadable),
        "damaged": list(usage.damaged),
        "unreachable": [{"place": each.place, "reason": each.reason} for each in usage.unreachable],
    }


def usage_lines(out: Output, usage: BackupUsage) -> Iterator[str]:
    """Yield what backups take, and what is not as it should be."""
    yield from _facts(
        out,
        [
            ("backups", f"{usage.count} ({usage.full} full, {usage.incremental} incremental)"),
            ("size", f"{size(usage.size_bytes)}, {size(usage.raw_bytes)} uncompressed"),
            *(
                (name, f"{instant(each.created_at)}  {each.id}")
                for name, each in (("oldest", usage.oldest), ("newest", usage.newest))
                if each is not None
            ),
        ],
    )
    yield from (out.paint(f"the file is gone: backup {field(each)}", "yellow") for each in usage.missing)
    yield from (out.paint(f"cannot be read: {field(each)}", "red") for each in usage.unreadable)
    yield from (out.paint(f"not valid when it was last looked at: {field(each)}", "red") for each in usage.damaged)
    for place, reason in usage.unreachable:
        yield out.paint(f"cannot be looked at: {field(place)}: {field(reason)}", "red")


def validation_data(found: BackupValidation) -> dict[str, Any]:
    """Return what was found of a backup as JSON has it."""
    return {**found.as_dict(), "backup": None if found.backup is None else backup_data(found.backup)}


def validation_lines(out: Output, found: BackupValidation, *, trial_restore: bool) -> Iterator[str]:
    """Yield what is wrong, and a verdict with what it rests on."""
    yield from (out.paint(f"error: {field(each)}", "red") for each in found.errors)
    yield from (out.paint(f"warning: {field(each)}", "yellow") for each in found.warnings)
    verdict = out.paint("valid", "green") if found.is_valid else out.paint("not valid", "red")
    held = [
        counted(number, what)
        for number, what in ((found.events, "event"), (found.entries, "value"))
        if number is not None
    ]
    # Of selected scopes there is no log to bring back.
    tried = trial_restore and found.events is not None
    back = f", {' and '.join(held)} {'came back on trial' if tried else 'read'}" if held else ""
    yield f"{field(found.backup_id)} is {verdict}: {counted(len(found.checked), 'archive')} checked{back}"


def restore_data(report: RestoreReport) -> dict[str, Any]:
    """Return what a restore did as JSON has it."""
    return {
        "backup_id": report.backup_id,
        "position": report.position,
        "restored": report.restored,
        "removed": report.removed,
        "unchanged": report.unchanged,
        "rollback_point": report.rollback_point,
        "events": report.events,
        "into": None if report.into is None else shown_url(report.into),
        "dry_run": report.dry_run,
        "diff": [{"scope": str(each.scope), "key": each.key, **sides(each)} for each in report.diff or ()],
    }


def would_lines(out: Output, report: RestoreReport) -> Iterator[str]:
    """Yield what a restore would do."""
    for each in report.diff or ():
        yield from difference_lines(out, each)
    more = report.restored + report.removed - len(report.diff or ())
    if report.into is None and more > 0:
        yield f"... and {counted(more, 'more difference')}"
    yield f"would restore {_counts(report)}; nothing was written"


def restore_lines(report: RestoreReport) -> Iterator[str]:
    """Yield what a restore did, and how it is taken back."""
    yield f"restored {_counts(report)}"
    if report.into is None and report.restored + report.removed:
        before = report.rollback_point
        shows = f"what was before is the state at position {before}: `--as-of {before}` shows it"
        yield f"{shows}, `backstory backup rollback {before}` takes the restore back"


def _counts(report: RestoreReport) -> str:
    values = counted(report.restored, "value")
    if report.into is not None:
        # What was selected are values alone.
        held = f"{counted(report.events, 'event')} with {values}" if report.events or not report.restored else values
        return f"{held} into {field(shown_url(report.into))}, as of position {report.position}"
    rest = f"{report.removed} removed, {report.unchanged} as they should be"
    return f"{values} as of position {report.position}, {rest}"


def prune_data(report: RetentionReport, *, dry_run: bool) -> dict[str, Any]:
    """Return what a policy comes to as JSON has it."""
    return {
        "dry_run": dry_run,
        "freed_bytes": report.freed_bytes,
        "decisions": [
            {"backup_id": each.backup_id, "keep": each.keep, "reason": each.reason} for each in report.decisions
        ],
        "kept": [backup_data(each) for each in report.kept],
        "deleted": [backup_data(each) for each in report.deleted],
    }


def prune_lines(out: Output, report: RetentionReport, *, dry_run: bool) -> Iterator[str]:
    """Yield each decision with its reason, and what it comes to."""
    for each in report.decisions:
        reason = field(f"would be {each.reason}" if dry_run else each.reason)
        yield f"{out.paint(each.backup_id, 'cyan')}  {out.paint(reason, 'green' if each.keep else 'red')}"
    gone = f"{len(report.deleted)} of {counted(len(report.decisions), 'backup')}"
    freed = size(report.freed_bytes)
    yield f"would delete {gone} and free {freed}" if dry_run else f"deleted {gone}, which freed {freed}"
