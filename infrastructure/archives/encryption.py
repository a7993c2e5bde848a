"""What archives are encrypted with: one source of the key, checked when made, never shown."""

from __future__ import annotations

import hmac
import unicodedata
from collections.abc import Callable, Sequence
from os import PathLike
from pathlib import Path
from typing import Final, NoReturn

from backstory.domain.errors import ConfigError, EncryptionError, shown
from backstory.infrastructure.archives.derivation import Kdf, kdf_of
from backstory.infrastructure.archives.key_sources import command_of, key_from_command, key_from_file, key_of

__all__ = ["ALGORITHMS", "KEY_COMMAND_TIMEOUT_S", "Encryption", "key_id_of"]

ALGORITHMS: Final = ("AES-256-GCM", "ChaCha20-Poly1305")
KEY_COMMAND_TIMEOUT_S: Final = 30.0
_SOURCES: Final = ("passphrase", "key", "key_file", "key_command")


class Encryption:
    """How to encrypt, and what with: exactly one of `passphrase`, `key`, `key_file` and `key_command`.

    A key is 32 bytes, raw, as hexadecimal digits or as Base64; a key file holds one; a key command (words, or text
    split as a shell would, run without one) prints one within 30 seconds. File and command are asked once in each
    operation, and no key is kept beyond it. `kdf`, for a passphrase, is `argon2id` (64 MiB, 3 passes, 4 lanes),
    `pbkdf2` (HMAC-SHA-256, 600,000 iterations), or `Argon2id(...)` or `Pbkdf2(...)` with costs of one's own.

    Raises `ConfigError` for what does not go together, `EncryptionError` for a key that is none. Its `repr` shows no
    secret, and it cannot be pickled.
    """

    __slots__ = ("_known", "_secret", "algorithm", "kdf", "source")

    def __init__(
        self,
        *,
        passphrase: str | None = None,
        key: bytes | str | None = None,
        key_file: str | PathLike[str] | None = None,
        key_command: str | Sequence[str] | None = None,
        algorithm: str = "AES-256-GCM",
        kdf: str | Kdf = "argon2id",
    ) -> None:
        given = {
            name: value
            for name, value in zip(_SOURCES, (passphrase, key, key_file, key_command), strict=True)
            if value is not None
        }
        if len(given) != 1:
            raise ConfigError(
                f"an encryption has one source of its key, and was given {len(given)}",
                key="encryption",
                hint=f"Give exactly one of {', '.join(_SOURCES)}.",
            )
        if algorithm not in ALGORITHMS:
            raise ConfigError(
                f"unknown algorithm: {shown(algorithm)}", key="algorithm", hint=f"Known: {', '.join(ALGORITHMS)}."
            )
        self.algorithm: Final = algorithm
        self.kdf: Final = kdf_of(kdf)
        (self.source,) = given
        self._secret: Final[bytes | Path | tuple[str, ...]] = _checked(self.source, given[self.source])
        #: What was asked for and derived, or why it was not to be had; None where nothing is to be remembered.
        self._known: dict[tuple[Kdf, bytes] | None, bytes | EncryptionError] | None = None

    @property
    def by_passphrase(self) -> bool:
        """Whether a key has to be derived."""
        return self.source == "passphrase"

    def secret(self) -> bytes:
        """Return the passphrase as bytes, or the key; raises `EncryptionError` where file or command yield none."""
        return self._once(None, self._asked)

    def outer_key(self, kdf: Kdf | None, salt: bytes) -> bytes:
        """Return the key, derived where it is from a passphrase; raises `EncryptionError` and `ConfigError`."""
        if kdf is None:
            return self.secret()
        return self._once((kdf, salt), lambda: kdf.derive(self.secret(), salt))

    def for_one_operation(self) -> Encryption:
        """Return the same, which asks file or command once and derives each key once; it goes with the operation."""
        same = object.__new__(Encryption)
        for name in self.__slots__:
            setattr(same, name, getattr(self, name))
        same._known = {}
        return same

    def _once(self, what: tuple[Kdf, bytes] | None, ask: Callable[[], bytes]) -> bytes:
        if self._known is None:
            return ask()
        if what not in self._known:
            try:
                self._known[what] = ask()
            except EncryptionError as error:
                self._known[what] = error
        found = self._known[what]
        if isinstance(found, EncryptionError):
            raise found
        return found

    def _asked(self) -> bytes:
        if isinstance(self._secret, Path):
            return key_from_file(self._secret)
        if isinstance(self._secret, tuple):
            return key_from_command(self._secret, timeout_s=KEY_COMMAND_TIMEOUT_S)
        return self._secret

    def key_id(self) -> str | None:
        """Return the id that archives name this key by; None for a passphrase, whose id is another in each archive.

        Raises `EncryptionError` where file or command yield no key.
        """
        return None if self.by_passphrase else key_id_of(self.secret())

    def __repr__(self) -> str:
        return f"Encryption({self.source}=..., algorithm={self.algorithm!r}, kdf={self.kdf!r})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("an Encryption holds a secret and is not pickled; make it anew where it is needed")


def key_id_of(key: bytes) -> str:
    """Return the public name of a key: 32 hexadecimal digits from which nothing about it can be learned."""
    return hmac.digest(key, b"backstory key id", "sha256")[:16].hex()


def _checked(source: str, given: object) -> bytes | Path | tuple[str, ...]:
    if source == "passphrase" and isinstance(given, str) and given:
        # The same letters come as different bytes from different keyboards.
        return _encoded(unicodedata.normalize("NFC", given))
    if source == "key" and isinstance(given, bytes | str):
        return key_of(given)
    if source == "key_file" and isinstance(given, str | PathLike):
        return Path(given)
    if source == "key_command" and isinstance(given, Sequence) and not isinstance(given, bytes):
        return command_of(given)
    raise ConfigError(f"{source} is empty, or of the wrong type: {type(given).__name__}", key=source)


def _encoded(passphrase: str) -> bytes:
    try:
        return passphrase.encode()
    except UnicodeEncodeError:
        # Without its cause, which holds the passphrase.
        raise ConfigError(
            "the passphrase is no text: it holds half a character, as bytes do that are not UTF-8",
            key="passphrase",
            hint="Give it as UTF-8, or use a key file.",
        ) from None
