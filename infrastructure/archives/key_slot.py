"""The key slot: an archive's data key, wrapped by a key from outside, replaceable without touching a chunk."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Any, Final

from backstory.domain.errors import EncryptionError
from backstory.infrastructure.archives.derivation import Kdf, kdf_from_json
from backstory.infrastructure.archives.encryption import Encryption, key_id_of
from backstory.infrastructure.archives.sealing import SealError, aead, subkey

__all__ = ["KeySlot", "new_data_key", "unwrap", "wrap"]

_SALT_BYTES: Final = 16
_WRAPPED_BYTES: Final = 32 + 16
#: Each slot's wrapping key is made with a salt of its own and encrypts once.
_NONCE: Final = bytes(12)


@dataclass(frozen=True, slots=True)
class KeySlot:
    """How to come by the data key. Public: nothing in it helps without the passphrase or key."""

    key_id: str
    salt: bytes
    #: How the passphrase becomes a key; None where a key is given.
    kdf: Kdf | None
    wrapped: bytes

    def to_json(self) -> dict[str, Any]:
        """Return it as the archive spells it."""
        return {
            "kdf": None if self.kdf is None else self.kdf.to_json(),
            "key_id": self.key_id,
            "salt": self.salt.hex(),
            "wrapped": self.wrapped.hex(),
        }

    @staticmethod
    def from_json(document: Any) -> KeySlot:
        """Return the slot that an archive spells; raises KeyError, TypeError, ValueError or `ConfigError`."""
        slot = KeySlot(
            key_id=str(document["key_id"]),
            salt=bytes.fromhex(document["salt"]),
            kdf=None if document["kdf"] is None else kdf_from_json(document["kdf"]),
            wrapped=bytes.fromhex(document["wrapped"]),
        )
        if len(slot.salt) != _SALT_BYTES or len(slot.wrapped) != _WRAPPED_BYTES:
            raise ValueError("the salt or the wrapped key has another length")
        return slot


def new_data_key() -> bytes:
    """Return a key for one archive."""
    return secrets.token_bytes(32)


def wrap(data_key: bytes, encryption: Encryption, *, algorithm: str, header_hash: bytes) -> KeySlot:
    """Return a slot from which `encryption` gets the data key back; raises `EncryptionError` without a key."""
    salt = secrets.token_bytes(_SALT_BYTES)
    kdf = encryption.kdf if encryption.by_passphrase else None
    outer = encryption.outer_key(kdf, salt)
    wrapped = aead(algorithm, _wrapping_key(outer, salt)).encrypt(_NONCE, data_key, header_hash)
    return KeySlot(key_id_of(outer), salt, kdf, wrapped)


def unwrap(slot: KeySlot, encryption: Encryption, *, algorithm: str, header_hash: bytes, name: str) -> bytes:
    """Return the data key; raises `EncryptionError`, which names the key that is needed."""
    if encryption.by_passphrase != (slot.kdf is not None):
        needed, given = ("a key", "a passphrase") if slot.kdf is None else ("a passphrase", "a key")
        raise EncryptionError(
            f"{name} is encrypted with {needed} (id {slot.key_id}), and was given {given}", key_id=slot.key_id
        )
    outer = encryption.outer_key(slot.kdf, slot.salt)
    if key_id_of(outer) != slot.key_id:
        raise _wrong(name, slot, key_id_of(outer))
    try:
        return _unwrapped(slot, _wrapping_key(outer, slot.salt), algorithm, header_hash)
    except SealError:
        raise EncryptionError(
            f"the wrapped key of {name} has been changed",
            key_id=slot.key_id,
            hint="Take another copy of the file, or another backup.",
        ) from None


def _wrapping_key(outer: bytes, salt: bytes) -> bytes:
    return subkey(outer, salt=salt, purpose=b"backstory wrapping")


def _unwrapped(slot: KeySlot, wrapping_key: bytes, algorithm: str, header_hash: bytes) -> bytes:
    cipher = aead(algorithm, wrapping_key)
    from cryptography.exceptions import InvalidTag

    try:
        return cipher.decrypt(_NONCE, slot.wrapped, header_hash)
    except InvalidTag:
        raise SealError from None


def _wrong(name: str, slot: KeySlot, given: str) -> EncryptionError:
    if slot.kdf is not None:
        return EncryptionError(
            f"{name}: this is not the passphrase that it is encrypted with (id {slot.key_id})",
            key_id=slot.key_id,
        )
    return EncryptionError(
        f"{name} is encrypted with the key {slot.key_id}, and was given the key {given}", key_id=slot.key_id
    )
