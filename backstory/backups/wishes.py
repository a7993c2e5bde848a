"""Wishes: a backup as it was asked for, checked."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, get_args

from backstory.backups.target import Target
from backstory.domain.backup_manifests import BackupKind
from backstory.domain.errors import InvalidScopeError, InvalidValueError, shown
from backstory.domain.scopes import Scope, as_scope
from backstory.domain.selection import is_wild
from backstory.infrastructure.archives.encryption import Encryption

__all__ = ["Wish", "count_of", "kind_of", "scopes_of"]

#: The largest number that every reader of JSON has exactly.
_MOST: Final = 2**53 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What is wanted of a backup; `product` is who makes it. What fails when `scheduled`, a schedule's run tells."""

    kind: BackupKind
    target: Target
    parent_id: str | None = None
    scopes: tuple[Scope, ...] | None = None
    compression: str = "zstd"
    level: int | None = None
    encryption: Encryption | None = None
    importance: int = 0
    product: str
    scheduled: bool = False


def kind_of(given: object) -> BackupKind:
    """Return a kind of backups; raises `InvalidValueError`."""
    found = next((kind for kind in get_args(BackupKind) if kind == given), None)
    if found is None:
        raise InvalidValueError("kind", rule=f"is no kind: {shown(given)}", hint="Use full or incremental.")
    kind: BackupKind = found
    return kind


def count_of(name: str, given: object, *, least: int) -> int:
    """Return a count, from `least` on; raises `InvalidValueError`."""
    if isinstance(given, bool) or not isinstance(given, int) or not least <= given <= _MOST:
        hint = f"Give a whole number from {least} to {_MOST}."
        raise InvalidValueError(name, rule=f"is no count: {shown(given)}", hint=hint)
    return given


def scopes_of(given: object) -> tuple[Scope, ...]:
    """Return scopes, sorted, each once; raises `InvalidValueError`, and `InvalidScopeError` for a pattern of scopes."""
    if isinstance(given, (str, Scope)) or not isinstance(given, Iterable):
        raise InvalidValueError("scopes", rule=f"is no list of scopes: {shown(given)}", hint="Give a list of them.")
    found = tuple(sorted({_scope(each) for each in given}, key=str))
    if not found:
        raise InvalidValueError("scopes", rule="selects nothing", hint="Leave it out for the whole store.")
    return found


def _scope(given: Scope | str) -> Scope:
    if isinstance(given, str) and is_wild(given):
        raise InvalidScopeError(
            given,
            rule="a backup is of scopes, none of a pattern",
            hint="Name each scope; `scopes()` lists them.",
        )
    return as_scope(given)
