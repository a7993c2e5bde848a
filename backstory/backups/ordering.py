"""Ordering: a backup as a caller asks for it, checked before anything is written, and made."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import version
from os import PathLike
from typing import Final

from backstory.backups.aside import Progress, aside
from backstory.backups.finding import default_target, shelf
from backstory.backups.making import create
from backstory.backups.shelf import Shelf
from backstory.backups.targets import target_of
from backstory.backups.wishes import Wish
from backstory.core import Core
from backstory.domain.backup_manifests import Backup
from backstory.domain.errors import EncryptionError, InvalidValueError, ReadOnlyError, shown
from backstory.domain.ports import Program
from backstory.domain.scopes import Scope, as_scope
from backstory.firing import fired
from backstory.infrastructure.archives.compression import codec as codec_of
from backstory.infrastructure.archives.encryption import Encryption
from backstory.infrastructure.clock import new_id

__all__ = ["check_encryption", "check_writable", "make"]

_KINDS: Final = ("full", "incremental")


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
    check_writable(core, "create a backup")
    if kind not in _KINDS:
        raise InvalidValueError("kind", rule=f"is no kind: {shown(kind)}", hint="Use full or incremental.")
    if kind == "full" and parent is not None:
        raise InvalidValueError(
            "parent", rule="is given for a full backup", hint="Only incremental ones build on another."
        )
    if isinstance(importance, bool) or not isinstance(importance, int) or importance < 0:
        raise InvalidValueError("importance", rule=f"is no count: {shown(importance)}", hint="Give 0 or more.")
    check_encryption(encryption)
    codec_of(compression, level)
    chosen = None if scopes is None else _scopes(scopes)
    wish = Wish(
        "full" if kind == "full" else "incremental",
        default_target(core) if target is None else target_of(target),
        parent.id if isinstance(parent, Backup) else parent,
        chosen,
        compression,
        level,
        encryption,
        importance,
        version("backstory"),
    )
    backup_id = new_id().hex()
    told = {"backup_id": backup_id, "kind": kind, "target": wish.target.place}
    yield from fired(core, "before_backup_create", told)
    found = Shelf() if kind == "full" else (yield from shelf(core, wish.target))
    made = yield from create(core, wish, found, backup_id, progress)
    yield from aside(lambda: wish.target.sweep(made.created_at))
    yield from fired(core, "after_backup_create", {**told, "path": made.path, "position": made.position})
    return made


def _scopes(given: object) -> tuple[Scope, ...]:
    if isinstance(given, (str, Scope)) or not isinstance(given, Iterable):
        raise InvalidValueError("scopes", rule=f"is no list of scopes: {shown(given)}", hint="Give a list of them.")
    found = tuple(sorted({as_scope(each) for each in given}, key=str))
    if not found:
        raise InvalidValueError("scopes", rule="selects nothing", hint="Leave it out for the whole store.")
    return found


def check_encryption(encryption: object) -> None:
    """Raise `EncryptionError` for what is no `Encryption`."""
    if encryption is not None and not isinstance(encryption, Encryption):
        raise EncryptionError(
            f"{type(encryption).__name__} says not how to encrypt",
            hint="Give `Encryption(passphrase=..., or key=...)`.",
        )


def check_writable(core: Core, what: str) -> None:
    """Raise `ReadOnlyError` for a store that is open for reading only."""
    if core.engine.read_only:
        raise ReadOnlyError(what)
