"""Taking back: what a restore into the live store changed is made what it was, as the restore itself told the log."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from backstory.backups.bringing_back import announced, into_live
from backstory.backups.ordering import check_writable
from backstory.backups.reports import RestoreReport
from backstory.backups.restoring import Origin, Wanted, live_state
from backstory.core import Core
from backstory.domain.errors import BackupError, InvalidPointError
from backstory.domain.ports import LogQuery, Program
from backstory.domain.selection import Selection
from backstory.infrastructure import codec
from backstory.infrastructure.aggregates.snapshot import BACKUP_RESTORED

__all__ = ["rollback"]

_PAGE: Final = 1000
#: So many restores are named to whoever asks for another.
_NAMED: Final = 5


class _Done(NamedTuple):
    """A restore that the log tells of: the backup, and which keys it was about."""

    backup_id: str
    wanted: Wanted


def rollback(core: Core, rollback_point: object, *, dry_run: bool) -> Program[RestoreReport]:
    """Take a restore back; see the face."""
    if isinstance(rollback_point, bool) or not isinstance(rollback_point, int):
        raise InvalidPointError(rollback_point, rule="is no position", hint="Give the `rollback_point` of a restore.")
    if not dry_run:
        check_writable(core, "take a restore back")
    done = yield from _done_at(core, rollback_point)
    told = {
        "backup_id": done.backup_id,
        "as_of": str(rollback_point),
        **done.wanted.selection._asdict(),
        "into": None,
    }
    return (yield from announced(core, told, _taken_back(core, rollback_point, done, dry_run=dry_run), dry_run=dry_run))


def _taken_back(core: Core, position: int, done: _Done, *, dry_run: bool) -> Program[RestoreReport]:
    at = yield from core.state.at(position)
    values = yield from live_state(core, done.wanted, at)
    origin = Origin(done.backup_id, position, "rollback")
    return (yield from into_live(core, values, done.wanted, origin, dry_run=dry_run))


def _done_at(core: Core, position: int) -> Program[_Done]:
    """Return the restore whose rollback point is a position; raises `BackupError` where this branch saw none."""
    points: list[int] = []
    after = 0
    while True:
        rows = yield from core.engine.page(LogQuery(core.lineage, after, types=(BACKUP_RESTORED,), limit=_PAGE))
        for row in rows:
            said = codec.decode_value(row.data)
            if said["rollback_point"] == position:
                return _Done(row.stream.rsplit(":", 1)[-1], _wanted(said))
            points.append(said["rollback_point"])
        if len(rows) < _PAGE:
            raise _unknown(core, position, points)
        after = rows[-1].position


def _wanted(said: dict[str, Any]) -> Wanted:
    selection = Selection(said["scope"], "*" if said["keys"] is None else said["keys"])
    scopes = said.get("scopes")
    return Wanted(selection, None if scopes is None else frozenset(scopes))


def _unknown(core: Core, position: int, points: list[int]) -> BackupError:
    if not points:
        there = "Nothing was restored here yet."
    else:
        more = "" if len(points) <= _NAMED else f", and {len(points) - _NAMED} earlier ones"
        there = f"Those that there are: {', '.join(map(str, points[: -_NAMED - 1 : -1]))}{more}."
    return BackupError(
        f"{position} is the rollback point of no restore on branch {core.branch.name}",
        hint=f"{there} A report has it, and the events `backup.restored`.",
    )
