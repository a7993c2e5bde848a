"""Renewing: a new store from backups, all of it, with its positions, ids and hashes.

The functions here block, and need no store that is open: the one that was backed up may be lost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backstory.backups.contents import consumers_in, lineage_in, log_pages
from backstory.backups.places import Place, place_in
from backstory.backups.reports import RestoreReport
from backstory.backups.shelf import Placed
from backstory.domain.errors import BackupError, ConfigError, StoreUnavailableError
from backstory.domain.events import StoredEvent
from backstory.domain.packed_events import packed_page
from backstory.infrastructure.archives.encryption import Encryption
from backstory.infrastructure.codec import tracking_of
from backstory.infrastructure.configuration import Settings
from backstory.infrastructure.sqlite.adopting import adopt, check_place
from backstory.infrastructure.sqlite.folded_state import FoldedState
from backstory.opening import kind_of, sqlite_path

if TYPE_CHECKING:
    from backstory.hooks.undone import Debts

__all__ = ["check_into", "counted", "public_place", "renewed", "writing_into"]

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


def public_place(into: str) -> str:
    """Return the URL of a new store as hooks and the log may have it, without a password; raises `ConfigError`."""
    if check_into(into) == "sqlite":
        return into
    # Its driver is an extra.
    from backstory.infrastructure.postgres.connections import public_url  # noqa: PLC0415

    return public_url(into)


@contextmanager
def writing_into(path: Path) -> Iterator[None]:
    """Raise what fails of a new file's disk as what it means for the one who restores: there is no new store."""
    try:
        yield
    except StoreUnavailableError as error:
        raise BackupError(
            f"cannot write {path}: {error.message}",
            path=str(path),
            hint="Nothing was left behind; make room, or choose another folder, and try again.",
        ) from error


def renewed(
    chain: Sequence[Placed],
    place: Place,
    into: str,
    encryption: Encryption | None,
    *,
    settings: Settings,
    told: Told,
    live: bool = False,
) -> RestoreReport:
    """Make a new store that holds the whole log up to a point; `live`: the last archive is of what the live log added.

    Raises `BackupError` where there is a store already, `IntegrityError` for backups that are not what was written;
    then there is no new store.
    """
    kind = check_into(into)
    watched = _Watched(chain, place, encryption, live=live)
    try:
        arguments: dict[str, Any] = {
            "consumers": watched.consumers,
            "settings": settings,
            "progress": told,
        }
        log_id = chain[-1].entry.log_id
        if kind == "sqlite":
            path = Path(sqlite_path(into))
            with writing_into(path):
                events = adopt(path, log_id, watched.pages(), **arguments)
        else:
            # Its driver is an extra.
            from backstory.infrastructure.postgres.adopting import adopt as adopt_into_postgres  # noqa: PLC0415

            events = adopt_into_postgres(into, log_id, watched.pages(), **arguments)
        return _report(chain, place, watched.entries(), events, into)
    finally:
        watched.close()


def counted(
    chain: Sequence[Placed],
    place: Place,
    into: str,
    encryption: Encryption | None,
    *,
    settings: Settings,
    told: Told,
) -> RestoreReport:
    """Return what `renewed` would do, having read and checked all that it would read; raises as it does."""
    if check_into(into) == "sqlite":
        check_place(Path(sqlite_path(into)))
    else:
        # Its driver is an extra.
        from backstory.infrastructure.postgres.adopting import check_place as check_schema  # noqa: PLC0415

        check_schema(into, settings)
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
    """The log of a chain up to a point, and what its branch and its consumers have come to there."""

    def __init__(
        self, chain: Sequence[Placed], place: Place, encryption: Encryption | None, *, live: bool = False
    ) -> None:
        self._chain = chain
        self._place = place
        self._encryption = encryption
        # How many values there are at a backup's own position is known.
        known = place == place_in(chain, None, encryption)[1]
        self._folded = None if known else FoldedState(lineage_in(chain[-1], encryption))
        # So is how far consumers had come then. At other points those are asked who told it with what they made of it,
        # and background hooks by what they were due for.
        asks = live or place.position != chain[-1].entry.backup.position
        self._told: dict[str, int | None] = {}
        self._debts = _nobodys() if asks else None

    def pages(self) -> Iterator[list[StoredEvent]]:
        until = self._place.position
        for page in log_pages(self._chain, self._encryption):
            if self._debts is not None:
                self._ask(page, self._debts)
            # What lies behind the point is read to its end all the same: only then is it known to be whole.
            kept = page if page[-1].position <= until else [row for row in page if row.position <= until]
            if kept:
                if self._folded is not None:
                    packed = packed_page(kept)
                    self._folded.take(packed.touches(), packed.record)
                yield kept

    def _ask(self, page: Sequence[StoredEvent], debts: Debts) -> None:
        """Note how far consumers had come by the point, None of those that tell it later alone; and what hooks owed."""
        for row in page:
            tracking, later = tracking_of(row.extra), row.position > self._place.position
            if not later:
                debts.take(row)
            if tracking is not None and later:
                self._told.setdefault(tracking[0], None)
            elif tracking is not None:
                self._told[tracking[0]] = tracking[1]

    def consumers(self) -> dict[str, int]:
        """Return how far consumers had come, once all pages were read."""
        found = {**consumers_in(self._chain[-1], self._encryption, self._place.position), **self._told}
        found.update({} if self._debts is None else self._debts.marks())
        return {name: position for name, position in found.items() if position is not None}

    def entries(self) -> int:
        if self._folded is None:
            return self._chain[-1].entry.backup.entries
        return sum(stand.present(self._place.instant_us) for stand in self._folded.stands())

    def close(self) -> None:
        if self._folded is not None:
            self._folded.close()


def _nobodys() -> Debts:
    # Whoever has no hooks does not load what runs them.
    from backstory.hooks.undone import Debts  # noqa: PLC0415

    return Debts()
