"""Ordering: a backup as a caller asks for it, checked before anything is written, and made."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from importlib.metadata import version
from os import PathLike

from backstory.backups.aside import Progress, aside
from backstory.backups.finding import default_target, shelf
from backstory.backups.making import create
from backstory.backups.paths import is_path, target_holding
from backstory.backups.shelf import Shelf
from backstory.backups.target import Target
from backstory.backups.targets import target_of
from backstory.backups.wishes import Wish, count_of, kind_of, scopes_of
from backstory.core import Core
from backstory.domain.backup_manifests import Backup
from backstory.domain.errors import BackupError, EncryptionError, InvalidValueError, ReadOnlyError
from backstory.domain.events import from_micros
from backstory.domain.ports import LAST_POSITION, Program
from backstory.domain.scopes import Scope
from backstory.firing import fired
from backstory.infrastructure.archives.compression import codec as codec_of
from backstory.infrastructure.archives.encryption import Encryption
from backstory.infrastructure.clock import new_id

__all__ = ["check_encryption", "check_writable", "for_one_operation", "made", "make", "wish_of"]


def make(
    core: Core,
    kind: str,
    *,
    target: str | PathLike[str] | None,
    parent: str | Backup | None,
    scopes: Iterable[Scope | str] | None,
    compression: str,
    level: int | None,
    encryption: Encryption | None,
    importance: int,
    progress: Progress | None,
) -> Program[Backup]:
    """Make a backup; see the face."""
    wish = wish_of(
        core,
        kind,
        target=target,
        parent=parent,
        scopes=scopes,
        compression=compression,
        level=level,
        encryption=encryption,
        importance=importance,
    )
    named = parent.path if isinstance(parent, Backup) else parent
    lies_in = [target_holding(named)] if named is not None and is_path(named) else []
    found = Shelf() if wish.kind == "full" else (yield from shelf(core, wish.target, *lies_in))
    return (yield from made(core, wish, found, progress))


def wish_of(
    core: Core,
    kind: object,
    *,
    target: str | PathLike[str] | None,
    parent: str | Backup | None = None,
    scopes: Iterable[Scope | str] | None,
    compression: str,
    level: int | None,
    encryption: Encryption | None,
    importance: int,
) -> Wish:
    """Return what is wanted, checked; raises whatever is said of it before anything is written."""
    check_writable(core, "create a backup")
    wanted = kind_of(kind)
    if wanted == "full" and parent is not None:
        raise InvalidValueError(
            "parent", rule="is given for a full backup", hint="Only incremental ones build on another."
        )
    encryption = for_one_operation(encryption)
    codec_of(compression, level)
    return Wish(
        kind=wanted,
        target=default_target(core) if target is None else target_of(target),
        parent_id=parent.id if isinstance(parent, Backup) else parent,
        scopes=None if scopes is None else scopes_of(scopes),
        compression=compression,
        level=level,
        encryption=encryption,
        importance=count_of("importance", importance, least=0),
        product=version("backstory"),
    )


def made(core: Core, wish: Wish, found: Shelf, progress: Progress | None) -> Program[Backup]:
    """Make what is wanted, on one of the backups that were found."""
    yield from _check_scopes(core, wish)
    backup_id = new_id().hex()
    told = {"backup_id": backup_id, "kind": wish.kind, "target": wish.target.place}
    yield from fired(core, "before_backup_create", told)
    done = yield from create(core, wish, found, backup_id, progress)
    yield from aside(lambda: _swept(wish.target, core))
    yield from fired(core, "after_backup_create", {**told, "path": done.path, "position": done.position})
    return done


def _swept(target: Target, core: Core) -> None:
    """Delete what killed writers left; the backup is there whether or not that can be done."""
    # By the clock that files go by: the log's own time stays ahead where that was ahead once.
    with suppress(BackupError):
        target.sweep(from_micros(core.clock.now_us()))


def _check_scopes(core: Core, wish: Wish) -> Program[None]:
    """Raise `BackupError` where nothing at all is known of the scopes: they may be misspelled."""
    if wish.scopes is None:
        return
    for scope in wish.scopes:
        if (yield from core.engine.stream_version(core.lineage, str(scope), LAST_POSITION)):
            return
    raise BackupError(
        f"there is nothing to back up: branch {core.branch.name} has no event of {', '.join(map(str, wish.scopes))}",
        hint="Check how they are spelled: `scopes()` lists those that hold values.",
    )


def check_encryption(encryption: object, *, needed: bool = False) -> None:
    """Raise `EncryptionError` for what is no `Encryption`; None is none where it is `needed`."""
    if isinstance(encryption, Encryption) or (encryption is None and not needed):
        return
    raise EncryptionError(
        f"{'None' if encryption is None else type(encryption).__name__} does not say how to encrypt",
        hint="Give `Encryption(passphrase=..., or key=...)`.",
    )


def for_one_operation(encryption: Encryption | None) -> Encryption | None:
    """Return what to encrypt with, checked; keys are asked for and derived once, however many archives there are."""
    check_encryption(encryption)
    return None if encryption is None else encryption.for_one_operation()


def check_writable(core: Core, what: str) -> None:
    """Raise `ReadOnlyError` for a store that is open for reading only."""
    if core.engine.read_only:
        raise ReadOnlyError(what)
