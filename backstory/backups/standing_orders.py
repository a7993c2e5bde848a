"""Standing orders: what a scheduled backup is to be, checked, written down without a secret, and read again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from os import PathLike, fspath
from pathlib import Path
from typing import Any, Final, Self

from backstory.backups.targets import check_target
from backstory.backups.wishes import count_of, kind_of, scopes_of
from backstory.domain.backup_manifests import BackupKind
from backstory.domain.errors import ConfigError, InvalidValueError, shown
from backstory.domain.retention import RetentionPolicy
from backstory.domain.scopes import Scope
from backstory.infrastructure.archives.compression import codec as codec_of
from backstory.infrastructure.archives.encryption import Encryption

__all__ = ["BackupOrder", "order_of"]

_SOURCES: Final = ("key_file", "key_command")
_KEYS_HINT: Final = (
    'Give {"key_file": path} or {"key_command": text}, and with it "algorithm" if you like: a schedule is kept in the '
    "log, so that it says where a key is to be had, and never a key or a passphrase."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupOrder:
    """What a scheduled backup is to be; `order_of` makes one that is checked. Paths are absolute, scopes sorted."""

    kind: BackupKind = "full"
    target: str | None = None
    scopes: tuple[str, ...] | None = None
    compression: str = "zstd"
    level: int | None = None
    encryption_from: Mapping[str, str] | None = None
    policy: RetentionPolicy | None = None
    importance: int = 0
    full_every: int | None = None

    def encryption(self) -> Encryption | None:
        """Return what to encrypt with; the key is asked for when it is needed."""
        return None if self.encryption_from is None else Encryption(**dict(self.encryption_from))

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain data: its kind, and what is not as it is by itself."""
        given = {each.name: getattr(self, each.name) for each in fields(self)}
        told = {each.name: given[each.name] for each in fields(self) if given[each.name] != each.default}
        if self.scopes is not None:
            told["scopes"] = list(self.scopes)
        if self.encryption_from is not None:
            told["encryption_from"] = dict(self.encryption_from)
        if self.policy is not None:
            told["policy"] = _policy_data(self.policy)
        return {"kind": self.kind, **told}

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Self:
        """Return the order that `as_dict` told."""
        scopes, policy = data.get("scopes"), data.get("policy")
        read = {
            "scopes": None if scopes is None else tuple(scopes),
            "policy": None if policy is None else RetentionPolicy(**policy),
        }
        return cls(**{**data, **read})


def order_of(
    *,
    kind: object,
    target: str | PathLike[str] | None,
    scopes: Iterable[Scope | str] | None,
    compression: str,
    level: int | None,
    encryption_from: Mapping[str, Any] | None,
    policy: RetentionPolicy | None,
    importance: int,
    full_every: int | None,
) -> BackupOrder:
    """Return a checked order; raises `InvalidValueError`, `InvalidScopeError` and `ConfigError`."""
    wanted = kind_of(kind)
    if full_every is not None:
        count_of("full_every", full_every, least=1)
        if wanted == "full":
            raise InvalidValueError(
                "full_every", rule="is given for backups that are all full", hint="Leave it out, or use incremental."
            )
    if policy is not None:
        if not isinstance(policy, RetentionPolicy):
            hint = "Give `RetentionPolicy(...)`."
            raise InvalidValueError("policy", rule=f"is no policy: {shown(policy)}", hint=hint)
        policy.check_bounded()
    codec_of(compression, level)
    return BackupOrder(
        kind=wanted,
        target=None if target is None else _place(target),
        scopes=None if scopes is None else tuple(map(str, scopes_of(scopes))),
        compression=compression,
        level=level,
        encryption_from=None if encryption_from is None else _keys(encryption_from),
        policy=policy,
        importance=count_of("importance", importance, least=0),
        full_every=full_every,
    )


def _place(given: object) -> str:
    """Return a folder or URL that means the same wherever the process that runs the schedule was started."""
    if not isinstance(given, (str, PathLike)) or not str(given):
        raise InvalidValueError("target", rule=f"is no place: {shown(given)}", hint="Give a folder or a URL.")
    return str(check_target(given))


def _keys(given: object) -> dict[str, str]:
    """Return where a key comes from; what is refused is not shown, as it may be one."""
    if not isinstance(given, Mapping):
        raise InvalidValueError("encryption_from", rule=f"is {type(given).__name__}", hint=_KEYS_HINT)
    found = {name: fspath(part) if isinstance(part, PathLike) else part for name, part in given.items()}
    sources = [name for name in _SOURCES if name in found]
    if len(sources) != 1 or set(found) - {*_SOURCES, "algorithm"}:
        raise InvalidValueError("encryption_from", rule="does not name one key file or key command", hint=_KEYS_HINT)
    if not all(isinstance(part, str) and part for part in found.values()):
        raise InvalidValueError("encryption_from", rule="has a part that is no text", hint=_KEYS_HINT)
    try:
        Encryption(**found)
    except ConfigError as error:
        raise InvalidValueError("encryption_from", rule=f"cannot be used: {error.message}", hint=error.hint) from None
    if "key_file" in found:
        found["key_file"] = _key_file(found["key_file"])
    return found


def _key_file(given: str) -> str:
    """Return the path of a key file, which must be there: a schedule that cannot run is better refused today."""
    path = Path(given).absolute()
    if "\0" in given or not path.exists() or path.is_dir():
        raise ConfigError(
            f"there is no key file {shown(str(path))}",
            key="encryption_from",
            hint="Make it first, on the machine that runs the schedule.",
        )
    return str(path)


def _policy_data(policy: RetentionPolicy) -> dict[str, Any]:
    given = {each.name: getattr(policy, each.name) for each in fields(policy)} | {"max_age": policy.max_age_s}
    return {each.name: given[each.name] for each in fields(policy) if given[each.name] != each.default}
