"""Renewing: a new store from backups, all of it with its positions, ids and hashes, or values of it alone.

The functions here block, and need no store that is open: the one that was backed up may be lost.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from backstory.backups.contents import consumers_in, lineage_in, log_pages
from backstory.backups.places import Place, place_in
from backstory.backups.reports import RestoreReport
from backstory.backups.restoring import Wanted, planned, restored
from backstory.backups.shelf import Placed
from backstory.backups.states import At, Held
from backstory.domain.errors import BackupError, ConfigError
from backstory.domain.events import StoredEvent
from backstory.domain.packed_events import packed_page
from backstory.domain.selection import Selection
from backstory.infrastructure.archives.atomic_file import PARTIAL_SUFFIX, sync_folder
from backstory.infrastructure.archives.encryption import Encryption
from backstory.infrastructure.configuration import Settings
from backstory.infrastructure.sqlite.adopting import adopt
from backstory.infrastructure.sqlite.folded_state import FoldedState
from backstory.opening import kind_of, sqlite_path
from backstory.opening import open as open_store

__all__ = ["check_into", "counted", "renewed", "sown"]

Told = Callable[[int], None]


def check_into(into: str) -> str:
    """Return the kind of a new store's URL; raises `ConfigError` for one that is none, or would not last."""
    kind = kind_of(into)
    if kind == "memory":
        raise ConfigError(
            "what is restored into memory:// is gone at once",
            key="into",
            hint="Give a sqlite:/// or postgresql:// URL.",
        )
    return kind


def renewed(
    chain: Sequence[Placed],
    place: Place,
    into: str,
    encryption: Encryption | None,
    *,
    settings: Settings,
    told: Told,
) -> RestoreReport:
    """Make a new store that holds the whole log up to a point.

    Raises `BackupError` where there is a store already, `IntegrityError` for backups that are not what was written;
    then there is no new store.
    """
    kind = check_into(into)
    watched = _Watched(chain, place, encryption)
    try:
        arguments: dict[str, Any] = {
            "consumers": lambda: consumers_in(chain[-1], encryption, place.position),
            "settings": settings,
            "progress": told,
        }
        log_id = chain[-1].entry.log_id
        if kind == "sqlite":
            events = adopt(Path(sqlite_path(into)), log_id, watched.pages(), **arguments)
        else:
            # Its driver is an extra.
            from backstory.infrastructure.postgres.adopting import adopt as adopt_into_postgres  # noqa: PLC0415

            events = adopt_into_postgres(into, log_id, watched.pages(), **arguments)
        return _report(chain, place, watched.entries(), events, into)
    finally:
        watched.close()


def counted(
    chain: Sequence[Placed], place: Place, into: str, encryption: Encryption | None, *, told: Told
) -> RestoreReport:
    """Return what `renewed` would do, having read and checked all that it would read."""
    check_into(into)
    watched, events = _Watched(chain, place, encryption), 0
    try:
        for page in watched.pages():
            events += len(page)
            told(events)
        return _report(chain, place, watched.entries(), events, into, dry_run=True)
    finally:
        watched.close()


def _report(
    chain: Sequence[Placed], place: Place, entries: int, events: int, into: str, *, dry_run: bool = False
) -> RestoreReport:
    backup_id = chain[-1].entry.backup.id
    return RestoreReport(backup_id, place.position, entries, events=events, into=into, dry_run=dry_run)


class _Watched:
    """The log of a chain up to a point, and how many values its branch holds there."""

    def __init__(self, chain: Sequence[Placed], place: Place, encryption: Encryption | None) -> None:
        self._chain = chain
        self._place = place
        self._encryption = encryption
        # How many values there are at a backup's own position is known.
        known = place == place_in(chain, None, encryption)[1]
        self._folded = None if known else FoldedState(lineage_in(chain[-1], encryption))

    def pages(self) -> Iterator[list[StoredEvent]]:
        until = self._place.position
        for page in log_pages(self._chain, self._encryption):
            # What lies behind the point is read to its end all the same: only then is it known to be whole.
            kept = page if page[-1].position <= until else [row for row in page if row.position <= until]
            if kept:
                if self._folded is not None:
                    packed = packed_page(kept)
                    self._folded.take(packed.touches, packed.record)
                yield kept

    def entries(self) -> int:
        if self._folded is None:
            return self._chain[-1].entry.backup.entries
        return sum(stand.present(self._place.instant_us) for stand in self._folded.stands())

    def close(self) -> None:
        if self._folded is not None:
            self._folded.close()


def sown(
    into: str,
    target: Mapping[At, Held],
    selection: Selection,
    *,
    backup_id: str,
    position: int,
    settings: Mapping[str, Any],
) -> RestoreReport:
    """Make a new store, with a log of its own, of some values; or write them into one that is empty.

    Raises `BackupError` where there is something already.
    """
    kind = check_into(into)
    said = _Said(target, selection, backup_id, position)
    if kind != "sqlite":
        return _sown(into, said, settings)
    path = Path(sqlite_path(into)).absolute()
    if path.exists():
        raise BackupError(f"{path} exists already", path=str(path), hint="Choose another file, or remove it first.")
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}{PARTIAL_SUFFIX}")
    try:
        report = _sown(f"sqlite:///{partial}", said, settings)
        os.link(partial, path)
        sync_folder(path.parent)
    except OSError as error:
        raise BackupError(f"{path} cannot be written: {error.strerror or error}", path=str(path)) from error
    finally:
        for leftover in path.parent.glob(f"{partial.name}*"):
            with suppress(OSError):
                leftover.unlink()
    return replace(report, into=into)


class _Said(NamedTuple):
    """Values, and where they are from."""

    values: Mapping[At, Held]
    selection: Selection
    backup_id: str
    position: int


def _sown(into: str, said: _Said, settings: Mapping[str, Any]) -> RestoreReport:
    with open_store(into, **settings) as store:
        if store.position():
            raise BackupError(f"the store at {into} is not empty", hint="Choose another place for the new store.")
        core, runner = store._core, store._runner  # noqa: SLF001 - it is ours, and new
        change = runner.run(planned(core, said.values, Wanted(said.selection)))
        return replace(runner.run(restored(core, change, said.backup_id, said.position)), into=into)
