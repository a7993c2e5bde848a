"""Bringing back: how a restore goes, into the live store or a new one, from backups and what carries on from them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, NamedTuple
from uuid import UUID

from backstory.backups.announcing import failed, verified
from backstory.backups.aside import Progress, aside, aside_telling, tell
from backstory.backups.contents import check_chain
from backstory.backups.finding import find
from backstory.backups.locating import Located, located
from backstory.backups.making import written_since
from backstory.backups.ordering import check_writable, for_one_operation
from backstory.backups.places import Place, check_point
from backstory.backups.renewing import Told, counted, public_place, renewed
from backstory.backups.reports import BackupValidation, RestoreReport
from backstory.backups.restoring import Origin, Wanted, live_state, planned, restored
from backstory.backups.scratch import scratch
from backstory.backups.shelf import Placed, Shelf
from backstory.backups.sowing import Seed, sown
from backstory.backups.states import At, Held, state_of
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
from backstory.projections.points import At as Point

__all__ = ["Asked", "announced", "brought_into", "checked_point", "into_live", "restore", "validate"]


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
    """What is wanted of a restore; `into` is None for the live store."""

    selection: Selection
    encryption: Encryption | None
    into: str | None
    settings: Settings
    clock: Clock | None
    dry_run: bool
    progress: Progress | None = None


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
    place = None if into is None else public_place(into)
    found, placed = yield from find(core, wanted, encryption)
    told = {"backup_id": placed.entry.backup.id, "as_of": str(as_of), **selection._asdict(), "into": place}
    ask = Asked(selection, encryption, into, core.settings, core.clock, dry_run, progress)
    return (yield from announced(core, told, _restored(core, found, placed, point, ask), dry_run=dry_run))


def announced(
    core: Core, told: dict[str, Any], work: Program[RestoreReport], *, dry_run: bool
) -> Program[RestoreReport]:
    """Do what a restore does between its hooks; what fails is said by `backup.failed`."""
    if dry_run:
        return (yield from work)
    yield from fired(core, "before_backup_restore", told)
    try:
        report = yield from work
    except (BackstoryError, OSError) as error:
        yield from failed(core, told["backup_id"], "restore", error)
        raise
    yield from fired(core, "after_backup_restore", {**told, "restored": report.restored, "removed": report.removed})
    return report


def checked_point(as_of: object) -> object:
    """Return a point, an event id given as text as one; raises `InvalidPointError`."""
    if isinstance(as_of, str):
        with suppress(ValueError):
            as_of = UUID(as_of)
    check_point(as_of)
    return as_of


def _restored(core: Core, found: Shelf, placed: Placed, point: object, ask: Asked) -> Program[RestoreReport]:
    where = yield from located(core, found, placed, point, ask.encryption)
    wanted = _wanted(placed, ask)
    if ask.into is not None and wanted == Wanted(Selection()):
        return (yield from _whole(where, placed, ask))
    values = yield from _values(where, wanted, ask)
    yield from tell(ask.progress, where.place.position, where.place.position)
    origin = Origin(placed.entry.backup.id, where.place.position)
    if ask.into is None:
        return (yield from into_live(core, values, wanted, origin, dry_run=ask.dry_run, placed=placed))
    return (yield from aside(lambda: _sown(values, wanted, origin, placed, ask)))


def brought_into(where: Located, placed: Placed, ask: Asked, told: Told) -> RestoreReport:
    """Make a new store of what backups hold, where there is no live one. It blocks."""
    wanted = _wanted(placed, ask)
    if wanted == Wanted(Selection()):
        return replace(_renewed(where.chain, where.place, ask, told), backup_id=placed.entry.backup.id)
    values = state_of(where.chain, where.place, *wanted, encryption=ask.encryption, told=told)
    told(where.place.position)
    return _sown(values, wanted, Origin(placed.entry.backup.id, where.place.position), placed, ask)


def _wanted(placed: Placed, ask: Asked) -> Wanted:
    scopes = placed.entry.backup.scopes
    return Wanted(ask.selection, None if scopes is None else frozenset(map(str, scopes)))


def _sown(values: dict[At, Held], wanted: Wanted, origin: Origin, placed: Placed, ask: Asked) -> RestoreReport:
    assert ask.into is not None
    if not values:
        _refuse_nothing(placed, wanted.selection)
    seed = Seed(values, wanted, origin)
    return sown(ask.into, seed, settings=ask.settings, clock=ask.clock, dry_run=ask.dry_run)


def _values(where: Located, wanted: Wanted, ask: Asked) -> Program[dict[At, Held]]:
    """Return the values of a selection that were there at a point, from backups or from the live log."""
    place = where.place
    if where.live is not None:
        return (yield from live_state(where.live, wanted, Point(*place)))
    return (
        yield from aside_telling(
            lambda told: state_of(where.chain, place, *wanted, encryption=ask.encryption, told=told),
            ask.progress,
            place.position,
        )
    )


def into_live(
    core: Core, target: dict[At, Held], wanted: Wanted, origin: Origin, *, dry_run: bool, placed: Placed | None = None
) -> Program[RestoreReport]:
    """Make what is wanted of the live state what it is to be, or say what that would change."""
    change = yield from planned(core, target, wanted)
    if placed is not None and not change.target and not change.live:
        _refuse_nothing(placed, wanted.selection)
    differences = change.differences()
    if not dry_run:
        report = yield from restored(core, change, origin)
        return replace(report, diff=differences)
    head = yield from core.engine.head()
    return replace(change.report(origin, head.position), diff=differences)


def _whole(where: Located, placed: Placed, ask: Asked) -> Program[RestoreReport]:
    """Restore the log itself, which the live log may carry on."""
    if where.live is None:
        report = yield from _from_chain(where.chain, where.place, ask)
    else:
        with scratch("log") as folder:
            # What the live log has added since goes through an archive too, so that there is one way to restore.
            until = where.place.position
            added = yield from written_since(where.live, placed, target_of(folder), ask.encryption, until=until)
            chain = [*where.chain, added]
            yield from aside(lambda: check_chain(chain, ask.encryption))
            report = yield from _from_chain(chain, where.place, ask, live=True)
    return replace(report, backup_id=placed.entry.backup.id)


def _from_chain(chain: Sequence[Placed], place: Place, ask: Asked, *, live: bool = False) -> Program[RestoreReport]:
    return (
        yield from aside_telling(
            lambda told: _renewed(chain, place, ask, told, live=live), ask.progress, place.position
        )
    )


def _renewed(chain: Sequence[Placed], place: Place, ask: Asked, told: Told, *, live: bool = False) -> RestoreReport:
    assert ask.into is not None
    if ask.dry_run:
        return counted(chain, place, ask.into, ask.encryption, settings=ask.settings, told=told)
    return renewed(chain, place, ask.into, ask.encryption, settings=ask.settings, told=told, live=live)
