"""Keys from passphrases: Argon2id and PBKDF2, with costs that an archive states, bounded when read from one."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import pbkdf2_hmac
from typing import Any, Final

from backstory.domain.errors import ConfigError, shown

__all__ = ["KDFS", "Argon2id", "Kdf", "Pbkdf2", "kdf_from_json", "kdf_of"]

KEY_BYTES: Final = 32


def _check(name: str, value: object, low: int, high: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ConfigError(f"{name} is {shown(value)}", key="kdf", hint=f"Give a whole number of {low} to {high}.")


@dataclass(frozen=True, slots=True)
class Argon2id:
    """Argon2id (RFC 9106); the defaults are its second recommended choice, for machines that have other work to do."""

    #: Memory, KiB.
    memory_kib: int = 64 * 1024
    #: Passes over the memory.
    iterations: int = 3
    lanes: int = 4

    def __post_init__(self) -> None:
        # The upper bounds hold what a hostile archive may make us spend.
        _check("lanes", self.lanes, 1, 64)
        _check("memory_kib", self.memory_kib, 8 * self.lanes, 1024 * 1024)
        _check("iterations", self.iterations, 1, 64)

    def derive(self, passphrase: bytes, salt: bytes) -> bytes:
        """Return the key, 32 bytes; raises `ConfigError` where the library or its OpenSSL cannot do it."""
        try:
            from cryptography.exceptions import UnsupportedAlgorithm
            from cryptography.hazmat.primitives.kdf.argon2 import Argon2id as Derivation
        except ImportError as error:
            raise ConfigError(
                "Argon2id needs the package cryptography", key="kdf", hint="Install it: pip install backstory[backups]."
            ) from error
        try:
            made = Derivation(
                salt=salt, length=KEY_BYTES, iterations=self.iterations, lanes=self.lanes, memory_cost=self.memory_kib
            )
        except UnsupportedAlgorithm as error:
            raise ConfigError(
                "this OpenSSL has no Argon2id", key="kdf", hint='Use kdf="pbkdf2", or OpenSSL 3.2 or later.'
            ) from error
        return made.derive(passphrase)

    def to_json(self) -> dict[str, Any]:
        """Return it as the archive spells it."""
        return {
            "name": "argon2id",
            "memory_kib": self.memory_kib,
            "iterations": self.iterations,
            "lanes": self.lanes,
        }


@dataclass(frozen=True, slots=True)
class Pbkdf2:
    """PBKDF2 with HMAC-SHA-256 (RFC 8018); the default is what OWASP asks for."""

    iterations: int = 600_000

    def __post_init__(self) -> None:
        _check("iterations", self.iterations, 1, 10_000_000)

    def derive(self, passphrase: bytes, salt: bytes) -> bytes:
        """Return the key, 32 bytes."""
        return pbkdf2_hmac("sha256", passphrase, salt, self.iterations, KEY_BYTES)

    def to_json(self) -> dict[str, Any]:
        """Return it as the archive spells it."""
        return {"name": "pbkdf2", "iterations": self.iterations}


Kdf = Argon2id | Pbkdf2

KDFS: Final[dict[str, type[Argon2id | Pbkdf2]]] = {"argon2id": Argon2id, "pbkdf2": Pbkdf2}


def kdf_of(given: str | Kdf) -> Kdf:
    """Return a way to derive keys, by name or as it is; raises `ConfigError`."""
    if isinstance(given, Argon2id | Pbkdf2):
        return given
    if isinstance(given, str) and given in KDFS:
        return KDFS[given]()
    raise ConfigError(
        f"unknown kdf: {shown(given)}",
        key="kdf",
        hint=f"Give one of {', '.join(KDFS)}, or Argon2id(...) or Pbkdf2(...).",
    )


def kdf_from_json(document: dict[str, Any]) -> Kdf:
    """Return what an archive spells; raises KeyError, TypeError or `ConfigError` for none, or one too dear."""
    costs = dict(document)
    return KDFS[costs.pop("name")](**costs)
