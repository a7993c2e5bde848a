"""Parents: the backup that an incremental one is made on."""

from __future__ import annotations

from collections.abc import Iterable

from backstory.backups.aside import aside
from backstory.backups.contents import opened
from backstory.backups.shelf import Placed, Shelf
from backstory.backups.wishes import Wish
from backstory.core import Core
from backstory.domain.chain import genesis
from backstory.domain.errors import BackupError, EncryptionError, IntegrityError
from backstory.domain.ports import Program
from backstory.infrastructure.archives.encryption import Encryption

__all__ = ["farthest_fitting", "hash_at", "parent_for"]


def parent_for(core: Core, wish: Wish, shelf: Shelf) -> Program[Placed | None]:
    """Return the backup that an incremental one is made on; raises `BackupError` where there is none that fits."""
    if wish.kind == "full":
        return None
    if wish.parent_id is not None:
        parent = shelf.get(wish.parent_id)
        problem = _damage(shelf.chain_of(parent)) or (yield from _problem(core, wish, parent))
        if problem is not None:
            raise BackupError(
                f"backup {parent.entry.backup.id} cannot be the parent: it {problem}", backup_id=parent.entry.backup.id
            )
        return parent
    beside = [each for each in shelf.restorable() if each.target.identity == wish.target.identity]
    found = yield from farthest_fitting(core, wish, beside)
    if found is None:
        raise BackupError(
            f"there is no backup to build on in {wish.target.place}: none of this log, branch, scopes and key",
            hint="Make a full one first, or name a parent.",
        )
    return found


def farthest_fitting(core: Core, wish: Wish, candidates: Iterable[Placed]) -> Program[Placed | None]:
    """Return which of some restorable backups is built on: of those that fit the one farthest along, or None."""
    for each in sorted(candidates, key=lambda each: -each.entry.backup.position):
        if (yield from _problem(core, wish, each)) is None:
            return each
    return None


def _damage(chain: Iterable[Placed]) -> str | None:
    """Return which backup of a chain is known to be damaged, or None; those that can be restored have none."""
    told = (f"is damaged: {each.entry.backup.path}: {each.damage}" for each in chain if each.is_damaged)
    return next(told, None)


def _problem(core: Core, wish: Wish, parent: Placed) -> Program[str | None]:
    """Return why a backup cannot be built on, or None: the one rule for what is."""
    backup = parent.entry.backup
    if parent.entry.log_id != core.engine.log_id:
        return "is of another log"
    if backup.branch != core.branch.name:
        return f"is of branch {backup.branch}"
    if backup.branch_id != core.branch.id:
        return f"is of an earlier branch {backup.branch}, which was dropped"
    if backup.scopes is not None and (wish.scopes is None or not set(wish.scopes) <= set(backup.scopes)):
        return "leaves out some of the scopes"
    digest = yield from hash_at(core, backup.position)
    if digest != parent.entry.head_hash:
        return "holds a log that went on otherwise: this store was restored since"
    return (yield from aside(lambda: _key_problem(parent, wish.encryption)))


def _key_problem(parent: Placed, encryption: Encryption | None) -> str | None:
    """Return why a key does not open a backup, or None: a chain is restored with one key."""
    if parent.entry.backup.encrypted != (encryption is not None):
        return "is encrypted, and no key was given" if parent.entry.backup.encrypted else "is not encrypted"
    try:
        with opened(parent, encryption):
            return None
    except EncryptionError as error:
        return f"needs another key: {error.message}"
    except BackupError as error:
        return f"cannot be read: {error.message}"
    except IntegrityError as error:
        return f"is damaged: {error.message}"


def hash_at(core: Core, position: int) -> Program[bytes | None]:
    """Return the log's hash at a position, None where it does not reach so far."""
    if position == 0:
        return genesis(core.engine.log_id)
    rows = yield from core.engine.events_at([position])
    return rows[0].hash if rows else None
