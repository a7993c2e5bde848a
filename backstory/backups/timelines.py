"""Timelines: which backups hold a point, where a store that was brought back has made its log go on otherwise."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from uuid import UUID

from backstory.backups.contents import check_chain
from backstory.backups.places import Place, last_event, place_in, place_of_event, within
from backstory.backups.shelf import Placed, Shelf
from backstory.domain.errors import BackupError, EncryptionError, IntegrityError, InvalidPointError
from backstory.infrastructure.archives.encryption import Encryption

__all__ = ["archived", "holding", "refuse_beyond"]


def archived(
    shelf: Shelf, placed: Placed, as_of: object, encryption: Encryption | None
) -> tuple[list[Placed], Place] | None:
    """Return the backups that hold a log up to a point, and where it lies in it; None where none of them do.

    A backup, or what it builds on, or later ones on top of it. Each is held against the hash of all its bytes. Raises
    `BackupError` where several hold the point, of logs that went on otherwise, `InvalidPointError`, and what reading
    archives raises. It blocks.
    """
    if isinstance(as_of, UUID):
        return _by_id(shelf, placed, as_of, encryption)
    chains = [shelf.chain_of(placed)] if as_of is None else holding(shelf, placed, as_of)
    if not chains:
        return None
    _check_agreement(placed, chains, as_of, encryption)
    chain = min(chains, key=len)
    check_chain(chain, encryption)
    return place_in(chain, as_of, encryption)


def holding(shelf: Shelf, placed: Placed, as_of: object) -> list[list[Placed]]:
    """Return the chains that hold a position or instant: of a backup, or of later ones on top of it, as far as needed.

    At an instant that lies after its last event a backup knows that nothing had come by when it was made; whoever is on
    top of it may know better.
    """
    found: list[list[Placed]] = []
    waiting = [shelf.chain_of(placed)]
    while waiting:
        chain = waiting.pop()
        longer = [] if within(chain[-1], as_of) else _longer(shelf, chain)
        waiting += longer
        if not longer and _reaches(chain, as_of):
            found.append(chain)
    return found


def _longer(shelf: Shelf, chain: Sequence[Placed]) -> list[list[Placed]]:
    """Return a chain with each backup that was made on top of it; copies of a file count once."""
    scopes = chain[-1].entry.backup.scopes
    on_top = [each for each in shelf.children_of(chain[-1]) if each.entry.backup.scopes == scopes]
    return [[*chain, each] for each in {each.entry.backup.id: each for each in reversed(on_top)}.values()]


def _reaches(chain: Sequence[Placed], as_of: object) -> bool:
    if isinstance(as_of, datetime):
        return as_of <= max(each.entry.backup.created_at for each in chain)
    return within(chain[-1], as_of)


def _check_agreement(
    placed: Placed, chains: Sequence[Sequence[Placed]], as_of: object, encryption: Encryption | None
) -> None:
    """Raise `BackupError` where several chains hold other events up to a point."""
    if len(chains) == 1:
        return
    after = placed.entry.backup.position
    lasts = {last_event(chain, as_of, encryption, after=after): chain[-1].entry.backup.id for chain in chains}
    if len(lasts) > 1:
        backup = placed.entry.backup
        raise BackupError(
            f"backups {' and '.join(sorted(lasts.values()))} are made on {backup.id} and hold {as_of}, of logs that "
            f"went on otherwise",
            backup_id=backup.id,
            path=backup.path,
            hint="Restore the one of them that is meant.",
        )


def _by_id(shelf: Shelf, placed: Placed, event_id: UUID, encryption: Encryption | None) -> tuple[list[Placed], Place]:
    chain = shelf.chain_of(placed)
    check_chain(chain, encryption)
    for at, each in enumerate(chain):
        place = place_of_event(each, event_id, encryption)
        if place is not None:
            return chain[: at + 1], place
    unreadable = None
    for longer in _on_top(shelf, chain):
        try:
            place = place_of_event(longer[-1], event_id, encryption)
        except (BackupError, EncryptionError, IntegrityError) as error:
            unreadable = unreadable or error
        else:
            if place is not None:
                check_chain(longer, encryption)
                return longer, place
    raise unreadable or InvalidPointError(
        event_id, rule="is the id of no event in this backup, nor in one on top of it"
    )


def _on_top(shelf: Shelf, chain: list[Placed]) -> Iterator[list[Placed]]:
    """Yield the longer chains that begin with one, the shorter ones first."""
    waiting = _longer(shelf, chain)
    while waiting:
        yield from waiting
        waiting = [longer for each in waiting for longer in _longer(shelf, each)]


def refuse_beyond(placed: Placed, as_of: object) -> BackupError:
    """Return the error for a point that no backup and no live log holds."""
    backup = placed.entry.backup
    return BackupError(
        f"backup {backup.id} ends at position {backup.position}, recorded {placed.entry.recorded_at.isoformat()}; "
        f"nothing that is here holds the log up to {as_of}",
        backup_id=backup.id,
        path=backup.path,
        hint="Restore it without `as_of`, or as of an earlier point.",
    )
