"""Entries: backups as their manifests tell them; the `info` of a manifest written, read back, and doubted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from os import PathLike
from typing import Any, BinaryIO, Final

from backstory.domain.backup_manifests import Backup, BackupKind
from backstory.domain.errors import BackstoryError, BackupError, shown
from backstory.domain.scopes import Scope
from backstory.infrastructure.archives.reader import Ends, read_ends

__all__ = ["Entry", "Facts", "entry_at", "entry_of", "facts_at", "facts_of", "info_of"]

_LOG_ID_BYTES: Final = 16
_HASH_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class Entry:
    """A backup, and what else its manifest says of the log that it was made of.

    `head_hash` is the chain's hash at the backup's position, `since_hash` that at its `since_position`; `recorded_at`
    the instant of the position; `state_hash` that of the branch's state there. `schemas` are the versions of each
    schema; `key_id` names the key that is needed, None where it is not encrypted; `product` is who wrote it.
    """

    backup: Backup
    name: str
    log_id: bytes
    head_hash: bytes
    since_hash: bytes
    recorded_at: datetime
    state_hash: str
    schemas: Mapping[str, tuple[str, ...]]
    key_id: str | None
    product: str


@dataclass(frozen=True, slots=True)
class Facts:
    """What an archive says at its ends, wherever it lies; JSON all through."""

    backup_id: str
    compression: str
    encrypted: bool
    key_id: str | None
    raw_bytes: int
    size_bytes: int
    checksum: str
    info: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Return them as JSON."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @staticmethod
    def from_json(document: object) -> Facts:
        """Return the facts that `to_json` spelled; raises ValueError for anything else."""
        kinds = {"encrypted": bool, "raw_bytes": int, "size_bytes": int, "info": dict, "key_id": str | None}
        names = [field.name for field in fields(Facts)]
        if not isinstance(document, dict) or document.keys() != set(names):
            raise ValueError("no facts of an archive")
        for name in names:
            if not isinstance(document[name], kinds.get(name, str)):
                raise ValueError(f"{name} is of another type")  # noqa: TRY004 - a wrong value of the document
        return Facts(**document)


def info_of(
    *,
    kind: BackupKind,
    parent_id: str | None,
    position: int,
    since_position: int,
    created_at: datetime,
    events: int,
    entries: int,
    scopes: Iterable[Scope] | None,
    branch: str,
    branch_id: int,
    importance: int = 0,
    log_id: bytes,
    head_hash: bytes,
    since_hash: bytes,
    recorded_at: datetime,
    state_hash: str,
    schemas: Mapping[str, Iterable[str]],
    product: str,
) -> dict[str, Any]:
    """Return the `info` of a manifest, from which `entry_at` makes the same entry again. Times are aware."""
    return {
        "backup": {
            "kind": kind,
            "parent_id": parent_id,
            "position": position,
            "since_position": since_position,
            "created_at": created_at.astimezone(UTC).isoformat(),
            "events": events,
            "entries": entries,
            "scopes": None if scopes is None else sorted({str(scope) for scope in scopes}),
            "branch": branch,
            "branch_id": branch_id,
            "importance": importance,
        },
        "log": {
            "id": log_id.hex(),
            "head_hash": head_hash.hex(),
            "since_hash": since_hash.hex(),
            "recorded_at": recorded_at.astimezone(UTC).isoformat(),
        },
        "state_hash": state_hash,
        "schemas": {name: list(versions) for name, versions in schemas.items()},
        "product": product,
    }


def entry_at(source: str | PathLike[str] | BinaryIO, *, path: str, name: str) -> Entry:
    """Return the entry that one archive makes, read from its ends, without a key.

    `path` is where it is said to lie. Raises `BackupError` for what is no archive, or one of something else than a
    backup, `IntegrityError` for one whose ends are damaged.
    """
    return entry_of(facts_at(source, path=path), path=path, name=name)


def facts_at(source: str | PathLike[str] | BinaryIO, *, path: str) -> Facts:
    """Return what an archive says at its ends; raises as `entry_at` does."""
    return facts_of(read_ends(source, name=path))


def entry_of(facts: Facts, *, path: str, name: str) -> Entry:
    """Return the entry that an archive's facts make; raises `BackupError` where they make no sense."""
    try:
        return _entry(facts, path, name)
    except BackupError:
        raise
    except (_SenselessError, BackstoryError) as error:
        raise BackupError(
            f"{path} is an archive, though its manifest is not that of a backup: {error}",
            backup_id=facts.backup_id,
            path=path,
            hint="Take another copy of the file, or another backup; a later release may read it.",
        ) from error


class _SenselessError(Exception):
    """Something in `info` is not what belongs there."""


def facts_of(ends: Ends) -> Facts:
    """Return what the ends of an archive that was read say."""
    manifest, header = ends.manifest, ends.manifest.header
    return Facts(
        backup_id=header.backup_id,
        compression=header.compression,
        encrypted=header.encryption is not None,
        key_id=ends.key_id,
        raw_bytes=manifest.raw_bytes,
        size_bytes=ends.size_bytes,
        checksum=ends.checksum,
        info=manifest.info,
    )


def _entry(facts: Facts, path: str, name: str) -> Entry:
    told, log = _given(facts.info, "backup", dict), _given(facts.info, "log", dict)
    return Entry(
        backup=_backup(facts, told, log, path),
        name=name,
        log_id=_bytes(log, "id", _LOG_ID_BYTES),
        head_hash=_bytes(log, "head_hash", _HASH_BYTES),
        since_hash=_bytes(log, "since_hash", _HASH_BYTES),
        recorded_at=_instant(log, "recorded_at"),
        state_hash=_text(facts.info, "state_hash"),
        schemas=_schemas(_given(facts.info, "schemas", dict)),
        key_id=facts.key_id,
        product=_text(facts.info, "product"),
    )


def _backup(facts: Facts, told: Mapping[str, Any], log: Mapping[str, Any], path: str) -> Backup:
    parent_id, scopes = _given(told, "parent_id", str | None), _given(told, "scopes", list | None)
    return Backup(
        id=facts.backup_id,
        kind=_given(told, "kind", str),
        parent_id=parent_id,
        position=_given(told, "position", int),
        since_position=_given(told, "since_position", int),
        created_at=_instant(told, "created_at"),
        size_bytes=facts.size_bytes,
        raw_bytes=facts.raw_bytes,
        events=_given(told, "events", int),
        entries=_given(told, "entries", int),
        scopes=None if scopes is None else tuple(Scope.parse(_each(scope, "scopes")) for scope in scopes),
        branch=_text(told, "branch"),
        branch_id=_given(told, "branch_id", int),
        compression=facts.compression,
        encrypted=facts.encrypted,
        checksum=facts.checksum,
        path=path,
        importance=_given(told, "importance", int),
        key_id=facts.key_id,
        log_id=_bytes(log, "id", _LOG_ID_BYTES).hex(),
    )


def _given(document: Mapping[str, Any], name: str, kind: Any) -> Any:
    if name not in document:
        raise _SenselessError(f"{name} is missing")
    if not isinstance(document[name], kind):
        raise _SenselessError(f"{name} is {shown(document[name])}")
    return document[name]


def _text(document: Mapping[str, Any], name: str) -> str:
    found: str = _given(document, name, str)
    if not found:
        raise _SenselessError(f"{name} is empty")
    return found


def _each(found: object, name: str) -> str:
    if not isinstance(found, str):
        raise _SenselessError(f"{shown(found)} stands among {name}")
    return found


def _bytes(document: Mapping[str, Any], name: str, size: int) -> bytes:
    text = _text(document, name)
    try:
        found = bytes.fromhex(text)
    except ValueError:
        found = b""
    if len(found) != size:
        raise _SenselessError(f"{name} is {shown(text)}, not {size} bytes as hexadecimal digits")
    return found


def _instant(document: Mapping[str, Any], name: str) -> datetime:
    text = _text(document, name)
    try:
        found = datetime.fromisoformat(text)
        if found.utcoffset() is not None:
            return found.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise _SenselessError(f"{name} is {shown(text)}, no time with a zone")


def _schemas(document: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    return {name: tuple(_each(each, "schemas") for each in _given(document, name, list)) for name in document}
