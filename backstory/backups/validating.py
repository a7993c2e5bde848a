"""Validating: whether a backup could be restored, found out by doing it elsewhere. These functions block."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from backstory.backups.contents import lineage_in, log_pages
from backstory.backups.places import Place, place_in
from backstory.backups.renewing import Told, renewed
from backstory.backups.reports import BackupValidation
from backstory.backups.scratch import scratch
from backstory.backups.shelf import Placed, Shelf
from backstory.backups.states import stands_of, state_of
from backstory.domain.branches import Lineage
from backstory.domain.errors import BackstoryError, BackupError, EncryptionError, IntegrityError, StoreUnavailableError
from backstory.domain.ports import Program, Reader
from backstory.domain.selection import Selection
from backstory.domain.stands import Stand, pack_stand
from backstory.domain.state_hash import StateHash
from backstory.infrastructure.archives.encryption import Encryption
from backstory.infrastructure.archives.verifying import verify_archive
from backstory.infrastructure.configuration import Settings
from backstory.opening import open as open_store

__all__ = ["validated"]

_EVERYTHING: Final = Selection()


def validated(
    shelf: Shelf, placed: Placed, encryption: Encryption | None, *, trial_restore: bool, told: Told
) -> BackupValidation:
    """Return what is wrong with a backup, or with what it builds on.

    Each archive's checksums first, then the chain of hashes along the whole log and the state that it must give; with
    `trial_restore` in a store that is made for that, verified as any store is, and thrown away.
    """
    backup = placed.entry.backup
    try:
        chain = shelf.chain_of(placed)
    except BackupError as error:
        return BackupValidation(backup.id, backup, (error.message,), checked=(backup.id,))
    checked = tuple(each.entry.backup.id for each in chain)
    looked = [(each.entry.backup.id, _archive_problems(each, encryption)) for each in chain]
    errors = [problem.words for _, problems in looked for problem in problems]
    damaged = [each for each, problems in looked if any(problem.is_damage for problem in problems)]
    warnings = _warnings(chain)
    events = entries = None
    if not errors:
        try:
            events, entries = _tried(chain, encryption, trial_restore=trial_restore, told=told)
        except (IntegrityError, EncryptionError, BackupError, StoreUnavailableError) as error:
            errors.append(error.message)
            damaged += [backup.id] * isinstance(error, IntegrityError)
    return BackupValidation(
        backup.id, backup, tuple(errors), tuple(warnings), checked, events, entries, damaged=tuple(damaged)
    )


class _Problem(NamedTuple):
    """What is wrong with an archive, in words; no damage is what a key or a package would mend."""

    words: str
    is_damage: bool


def _archive_problems(placed: Placed, encryption: Encryption | None) -> list[_Problem]:
    path = placed.entry.backup.path
    try:
        with placed.target.reading(placed.entry.name) as file:
            report = verify_archive(file, encryption=encryption)
    except BackstoryError as error:
        return [_Problem(error.message, is_damage=isinstance(error, BackupError | IntegrityError))]
    found = [
        _Problem(each.message if each.message.startswith(path) else f"{path}: {each.message}", each.kind != "key")
        for each in report.problems
    ]
    if not found and placed.entry.backup.encrypted and encryption is None:
        words = (
            f"{path} is encrypted (key id {placed.entry.key_id}): without its key nobody can tell whether it can be "
            "restored. Give the passphrase, key or key file that it was encrypted with"
        )
        found.append(_Problem(words, is_damage=False))
    return found


def _warnings(chain: Sequence[Placed]) -> list[str]:
    last = chain[-1].entry
    return [
        f"{each.entry.backup.path} was written by release {each.entry.product}, {last.backup.path} by {last.product}"
        for each in chain[:-1]
        if each.entry.product != last.product
    ]


def _tried(
    chain: Sequence[Placed], encryption: Encryption | None, *, trial_restore: bool, told: Told
) -> tuple[int | None, int]:
    """Return how many events and values came back; raises what is wrong."""
    part, place = place_in(chain, None, encryption)
    _check_state(
        chain[-1],
        _hash_of(stands_of(part, place, _EVERYTHING, chain[-1].entry.backup.scopes, encryption=encryption)),
        "the state in the backup",
    )
    if chain[-1].entry.backup.scopes is not None:
        values = state_of(part, place, _EVERYTHING, chain[-1].entry.backup.scopes, encryption=encryption, told=told)
        told(place.position)
        return None, len(values)
    if not trial_restore:
        count = 0
        for page in log_pages(chain, encryption):
            count += len(page)
            told(count)
        return count, chain[-1].entry.backup.entries
    return _restored_for_trial(chain, place, encryption, told)


def _restored_for_trial(
    chain: Sequence[Placed], place: Place, encryption: Encryption | None, told: Told
) -> tuple[int, int]:
    """Restore into a store of its own, verify that, and hold its state against what was backed up."""
    with scratch("trial") as folder:
        url = f"sqlite:///{Path(folder) / 'trial.db'}"
        report = renewed(chain, place, url, encryption, settings=Settings(durability="relaxed"), told=told)
        lineage = lineage_in(chain[-1], encryption)
        with open_store(url, read_only=True) as store:
            found = store.verify()
            if not found.ok:
                problem = found.problems[0]
                raise IntegrityError(f"the restored log is not whole: {problem.message}", position=problem.position)
            state = store._runner.run(_read_state(store._core.engine, lineage, place))  # noqa: SLF001 - made for this
            _check_state(chain[-1], state, "the restored state")
        return report.events, report.restored


def _read_state(reader: Reader, lineage: Lineage, place: Place) -> Program[StateHash]:
    found = StateHash()
    for stream in (yield from reader.streams(lineage, place.position)):
        for key, head in (yield from reader.listing(lineage, stream, place.position, "")):
            if head.present(place.instant_us):
                found.add(pack_stand(Stand(stream, key, head.position, head.expires_us)))
    return found


def _hash_of(state: Iterable[Stand]) -> StateHash:
    found = StateHash()
    for stand in state:
        found.add(pack_stand(stand))
    return found


def _check_state(placed: Placed, found: StateHash, what: str) -> None:
    entry = placed.entry
    if (found.hex(), found.entries) != (entry.state_hash, entry.backup.entries):
        raise IntegrityError(
            f"{what} is not that of the store at position {entry.backup.position}: {found.entries} values, not "
            f"{entry.backup.entries}, or others",
            position=entry.backup.position,
            kind="state",
        )
