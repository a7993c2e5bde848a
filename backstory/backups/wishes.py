"""Wishes: a backup as it was asked for, checked."""

from __future__ import annotations

from dataclasses import dataclass

from backstory.backups.target import Target
from backstory.domain.backup_manifests import BackupKind
from backstory.domain.scopes import Scope
from backstory.infrastructure.archives.encryption import Encryption

__all__ = ["Wish"]


@dataclass(frozen=True, slots=True)
class Wish:
    """What is wanted of a backup; `product` is who makes it."""

    kind: BackupKind
    target: Target
    parent_id: str | None
    scopes: tuple[Scope, ...] | None
    compression: str
    level: int | None
    encryption: Encryption | None
    importance: int
    product: str
