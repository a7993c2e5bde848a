"""Lost stores on the command line: where there is no store to ask, its backups are looked at without it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from backstory.cli.output import safe, to_stderr
from backstory.cli.session import Session
from backstory.domain.errors import BackstoryError, IntegrityError, StoreUnavailableError, StoreVersionError

if TYPE_CHECKING:
    from backstory.backups.face import Backups
    from backstory.backups.without_store import BackupsAlone
    from backstory.domain.backup_manifests import Backup
    from backstory.store import StateStore

__all__ = ["backups_of", "listed"]

#: What is raised for a store that is lost: not there, damaged, or of another release.
_LOST: Final = (StoreUnavailableError, IntegrityError, StoreVersionError)


@contextmanager
def backups_of(session: Session, wanted: str, *, write: bool = False) -> Iterator[Backups | BackupsAlone]:
    """Give what knows a backup: the store, or where that is lost, the folder that the backup lies in."""
    try:
        store = _opened(session, wanted, write=write)
    except _LOST as error:
        yield _alone(session, wanted, error)
        return
    with store:
        yield store.backups


def listed(session: Session, place: str | None) -> tuple[list[Backup], str | None]:
    """Return the backups of the store, or those in a place; and the id of the store's log, None where that is lost.

    Of a lost store they are those in its own place, and standard error says that it is lost.
    """
    try:
        with session.open() as store:
            return store.backups.list() if place is None else _kept(place), store.backups.log_id
    except _LOST as error:
        found = _kept(place or session.settings().backups)
        if place is None and not found:
            raise
        if not session.out.json:
            to_stderr(f"backstory: {safe(str(error))}")
        return found, None


def _opened(session: Session, wanted: str, *, write: bool) -> StateStore:
    """Open the store, and have it tell at once if what its log says of backups cannot be read."""
    store = session.open(write=write)
    try:
        store.backups.info(wanted)
    except _LOST:
        store.close()
        raise
    except BackstoryError:
        pass  # What is wrong with the backup is for the command to tell.
    return store


def _alone(session: Session, wanted: str, why: BackstoryError) -> BackupsAlone:
    """Return what knows a backup without the store; raises why there is none, if nothing is there in its place."""
    from backstory.backups.without_store import BackupsAlone

    settings = session.settings()
    if not _is_path(wanted) and not _kept(settings.backups):
        raise why
    return BackupsAlone(settings, why=why)


def _kept(place: str) -> list[Backup]:
    """Return the backups that lie in a place, newest first."""
    from backstory.backups.without_store import kept_in

    return kept_in(place) if place else []


def _is_path(wanted: str) -> bool:
    from backstory.backups.paths import is_path

    return is_path(wanted)
