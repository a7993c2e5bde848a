"""Sowing: a new store, with a log of its own, of values that a backup holds. It blocks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from backstory.backups.renewing import check_into, writing_into
from backstory.backups.reports import RestoreReport
from backstory.backups.restoring import Change, Origin, Wanted, planned, restored
from backstory.backups.states import At, Held
from backstory.context import elsewhere
from backstory.domain.errors import BackupError
from backstory.domain.ports import Clock
from backstory.infrastructure.clock import SystemClock
from backstory.infrastructure.configuration import Settings
from backstory.infrastructure.sqlite.adopting import check_place, partial_of, publish
from backstory.opening import open as open_store
from backstory.opening import sqlite_path
from backstory.store import StateStore

__all__ = ["Seed", "sown"]


class Seed(NamedTuple):
    """Values, which they were meant to be, and where they are from."""

    values: Mapping[At, Held]
    wanted: Wanted
    origin: Origin


def sown(into: str, seed: Seed, *, settings: Settings, clock: Clock | None, dry_run: bool) -> RestoreReport:
    """Make a new store of some values; or write them into one that is empty.

    Raises `BackupError` where there is something already, or where it cannot be written.
    """
    kind = check_into(into)
    path = Path(sqlite_path(into)).absolute() if kind == "sqlite" else None
    if path is not None:
        check_place(path)
    clock = clock or SystemClock()
    if dry_run:
        if path is None:
            _check_empty(into, settings)
        would = Change(seed.values, seed.wanted, now_us=clock.now_us())
        return replace(would.report(seed.origin, 0), into=into)
    options = {"namespace": settings.namespace, "durability": settings.durability, "clock": clock}
    if path is None:
        return replace(_sown(into, seed, options), into=into)
    with writing_into(path), partial_of(path) as partial:
        report = _sown(f"sqlite:///{partial}", seed, options)
        _check_closed(partial, path)
        publish(partial, path)
    return replace(report, into=into)


def _sown(into: str, seed: Seed, options: Mapping[str, Any]) -> RestoreReport:
    with elsewhere(), open_store(into, **options) as store:
        _refuse_filled(store, options["namespace"])
        core, runner = store._core, store._runner  # noqa: SLF001 - it is ours, and new
        change = runner.run(planned(core, seed.values, seed.wanted))
        return runner.run(restored(core, change, seed.origin))


def _check_empty(into: str, settings: Settings) -> None:
    """Raise `BackupError` where a schema holds a store that is not empty; nothing is made."""
    # Its driver is an extra.
    from backstory.infrastructure.postgres.adopting import check_place as check_schema  # noqa: PLC0415

    try:
        check_schema(into, settings)
    except BackupError:
        with open_store(into, read_only=True, namespace=settings.namespace) as store:
            _refuse_filled(store, settings.namespace)


def _refuse_filled(store: StateStore, namespace: str) -> None:
    """Raise `BackupError` where a store is not empty; its URL may hold a password, and the log is told what is said."""
    if store.position():
        raise BackupError(
            f"the schema {namespace} holds a store already, which is not empty",
            hint="Name an empty database, or another `namespace`.",
        )


def _check_closed(partial: Path, path: Path) -> None:
    """Raise `BackupError` where SQLite could not bring all that was written into the one file."""
    if Path(f"{partial}-wal").exists():
        raise BackupError(
            f"cannot write {path}: its write-ahead log could not be brought into it",
            path=str(path),
            hint="Nothing was left behind; make room, or choose another folder, and try again.",
        )
