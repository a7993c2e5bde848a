"""Bringing back: how a restore goes, into the live store or a new one, from backups and what carries on from them."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import NamedTuple
from uuid import UUID

from backstory.backups.announcing import failed, verified
from backstory.backups.aside import Progress, aside, aside_telling
from backstory.backups.contents import check_chain
from backstory.backups.finding import find
from backstory.backups.making import written_since
from backstory.backups.ordering import check_writable, for_one_operation
from backstory.backups.parents import hash_at
from backstory.backups.places import beyond, chain_to, check_point, place_in, refuse_beyond
from backstory.backups.renewing import Told, check_into, counted, renewed, sown
from backstory.backups.reports import BackupValidation, RestoreReport
from backstory.backups.restoring import Wanted, live_state, planned, restored
from backstory.backups.shelf import Placed, Shelf
from backstory.backups.states import state_of
from backstory.backups.targets import target_of
from backstory.backups.validating import validated
from backstory.core import Core
from backstory.domain.errors import BackstoryError, BackupError, IntegrityError
from backstory.domain.ports import Clock, Program
from backstory.domain.scopes import Scope
from backstory.domain.selection import Selection, selection_of
from backstory.firing import fired
from backstory.infrastructure.archives.encryption import Encryption
from backstory.infrastructure.configuration import Settings
from backstory.projections.points import At

__all__ = ["Asked", "checked_point", "into_new", "restore", "validate"]


def _refuse_nothing(placed: Placed, selection: Selection) -> None:
    """Raise `BackupError` where a selection selects nothing at all: it may be misspelled."""
    backup = placed.entry.backup
    if selection != Selection():
        raise BackupError(
            f"nothing is selected by {selection}: no such key is there, neither in backup {backup.id} nor in the store",
            backup_id=backup.id,
            path=backup.path,
            hint="Check scope and keys: `scopes(as_of=...)` and `keys(scope, as_of=...)` list what there was.",
        )


class Asked(NamedTuple):
    """What is wanted of a restore; `into` is empty for the live store."""

    selection: Selection
    encryption: Encryption | None
    into: str
    settings: Settings
    clock: Clock | None
    dry_run: bool


def validate(
    core: Core, wanted: object, encryption: Encryption | None, *, trial_restore: bool, progress: Progress | None
) -> Program[BackupValidation]:
    """Look at a backup; what is wrong is in the report."""
    encryption = for_one_operation(encryption)
    try:
        found, placed = yield from find(core, wanted, encryption)
    except (BackupError, IntegrityError) as error:
        return BackupValidation(str(getattr(error, "backup_id", None) or wanted), errors=(error.message,))
    total = placed.entry.backup.position
    report = yield from aside_telling(
        lambda told: validated(found, placed, encryption, trial_restore=trial_restore, told=told), progress, total
    )
    if not core.engine.read_only:
        looked_at = found.chain_of(placed) if len(report.checked) > 1 else [placed]
        yield from verified(core, report, looked_at, trial_restore=trial_restore)
    return report


def restore(
    core: Core,
    wanted: object,
    *,
    as_of: object,
    scope: Scope | str | None,
    keys: str | None,
    into: str | None,
    dry_run: bool,
    encryption: Encryption | None,
    progress: Progress | None,
) -> Program[RestoreReport]:
    """Restore a backup; see the face."""
    point = checked_point(as_of)
    selection = selection_of(scope, "*" if keys is None else keys)
    encryption = for_one_operation(encryption)
    if into is None and not dry_run:
        check_writable(core, "restore a backup")
    if into is not None:
        check_into(into)
    found, placed = yield from find(core, wanted, encryption)
    backup_id = placed.entry.backup.id
    point = yield from _known_event(core, placed, point)
    told = {"backup_id": backup_id, "as_of": str(as_of), **selection._asdict(), "into": into}
    if not dry_run:
        yield from fired(core, "before_backup_restore", told)
    try:
        if into is None:
            ask = Asked(selection, encryption, "", core.settings, core.clock, dry_run)
            report = yield from _live(core, found, placed, point, ask)
        else:
            ask = Asked(selection, encryption, into, core.settings, core.clock, dry_run)
            report = yield from _new(core, found, placed, point, ask, progress=progress)
    except (BackstoryError, OSError) as error:
        if not dry_run:
            yield from failed(core, backup_id, "restore", error)
        raise
    if not dry_run:
        yield from fired(core, "after_backup_restore", {**told, "restored": report.restored, "removed": report.removed})
    return report


def _known_event(core: Core, placed: Placed, point: object) -> Program[object]:
    """Return the position of an event of the live log, where the backup is of that log; else the point as given."""
    if isinstance(point, UUID) and core.engine.log_id == placed.entry.log_id:
        row = yield from core.engine.event(point.bytes)
        if row is not None:
            return row.position
    return point


def checked_point(as_of: object) -> object:
    """Return a point, an event id given as text as one; raises `InvalidPointError`."""
    if isinstance(as_of, str):
        with suppress(ValueError):
            as_of = UUID(as_of)
    check_point(as_of)
    return as_of


def _live(core: Core, found: Shelf, placed: Placed, point: object, ask: Asked) -> Program[RestoreReport]:
    backup_id = placed.entry.backup.id
    chain = _chain(found, placed, point)
    if chain is None:
        at = yield from _live_point(core, placed, point)
        position = at.position
        target = yield from live_state(core, Wanted(ask.selection), at)
    else:
        yield from aside(lambda: check_chain(chain, ask.encryption))
        part, place = yield from aside(lambda: place_in(chain, point, ask.encryption))
        position = place.position
        target = yield from aside(
            lambda: state_of(part, place, ask.selection, placed.entry.backup.scopes, encryption=ask.encryption)
        )
    scopes = placed.entry.backup.scopes
    wanted = Wanted(ask.selection, None if scopes is None else frozenset(map(str, scopes)))
    change = yield from planned(core, target, wanted)
    if not change.target and not change.live:
        _refuse_nothing(placed, ask.selection)
    differences = change.differences()
    if not ask.dry_run:
        report = yield from restored(core, change, backup_id, position)
        return replace(report, diff=differences)
    head = yield from core.engine.head()
    return replace(change.report(backup_id, position, head.position), diff=differences)


def _chain(found: Shelf, placed: Placed, point: object) -> list[Placed] | None:
    """Return the backups that hold a point; None where the live log must carry on from the last of them."""
    chain = found.chain_of(placed)
    if not beyond(placed, point):
        return chain
    return chain_to(found, placed, point)


def _live_point(core: Core, placed: Placed, point: object) -> Program[At]:
    """Return where a point lies in the live log, which must carry on from a backup; raises `BackupError`."""
    backup = placed.entry.backup
    same = core.engine.log_id == placed.entry.log_id and placed.entry.backup.scopes is None
    digest = yield from hash_at(core, backup.position)
    if backup.branch_id != core.branch.id or not same or digest != placed.entry.head_hash:
        raise refuse_beyond(placed, point)
    return (yield from core.state.at(point))


def _new(
    core: Core, found: Shelf, placed: Placed, point: object, ask: Asked, *, progress: Progress | None
) -> Program[RestoreReport]:
    chain = _chain(found, placed, point)
    if chain is not None:
        return (yield from _from_chain(chain, point, ask, progress))
    at = yield from _live_point(core, placed, point)
    if at.position == placed.entry.backup.position:
        return (yield from _from_chain(found.chain_of(placed), at.position, ask, progress))
    with tempfile.TemporaryDirectory(prefix="backstory-log-") as folder:
        # What the live log has added since goes through an archive too, so that there is one way to restore.
        added = yield from written_since(core, placed, target_of(folder), ask.encryption, until=at.position)
        longer = [*found.chain_of(placed), added]
        report = yield from _from_chain(longer, point, ask, progress)
    return replace(report, backup_id=placed.entry.backup.id)


def _from_chain(
    chain: Sequence[Placed], point: object, ask: Asked, progress: Progress | None
) -> Program[RestoreReport]:
    def work(told: Told) -> RestoreReport:
        return into_new(
            chain,
            point,
            ask.into,
            selection=ask.selection,
            encryption=ask.encryption,
            settings=ask.settings,
            clock=ask.clock,
            told=told,
            dry_run=ask.dry_run,
        )

    return (yield from aside_telling(work, progress, chain[-1].entry.backup.position))


def into_new(
    chain: Sequence[Placed],
    point: object,
    into: str,
    *,
    selection: Selection,
    encryption: Encryption | None,
    settings: Settings,
    clock: Clock | None = None,
    told: Told,
    dry_run: bool = False,
) -> RestoreReport:
    """Make a new store of what a chain holds up to a point: the log itself, or the selected values. It blocks."""
    check_chain(chain, encryption)
    part, place = place_in(chain, point, encryption)
    backup_id, scopes = chain[-1].entry.backup.id, chain[-1].entry.backup.scopes
    if selection == Selection() and scopes is None:
        if dry_run:
            report = counted(part, place, into, encryption, told=told)
        else:
            report = renewed(part, place, into, encryption, settings=settings, told=told)
        return replace(report, backup_id=backup_id)
    values = state_of(part, place, selection, scopes, encryption=encryption)
    if not values:
        _refuse_nothing(chain[-1], selection)
    if dry_run:
        return RestoreReport(backup_id, place.position, len(values), into=into, dry_run=True)
    made = {"namespace": settings.namespace, "durability": settings.durability, "clock": clock}
    return sown(into, values, selection, backup_id=backup_id, position=place.position, settings=made)
