"""Seals of chunks: a plain archive's show damage, an encrypted one's hide the content and show any change."""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING, Final, Protocol

from backstory.domain.errors import ConfigError
from backstory.infrastructure.archives.layout import BOUND, HASH_BYTES, Kind

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

__all__ = ["KeyedSeal", "PlainSeal", "Seal", "SealError", "aead", "bound", "subkey"]

_NONCE_BYTES: Final = 12
_TAG_BYTES: Final = 16


class SealError(Exception):
    """A seal is broken: other bytes, another place, another archive, or another key."""


class Digest(Protocol):
    """A hash, keyed or not, that bytes are fed to."""

    def update(self, data: bytes, /) -> None:
        """Take more bytes."""

    def hexdigest(self) -> str:
        """Return the hash of all so far."""


class Seal(Protocol):
    """Closes and opens chunks; `bound` is what else the seal holds together with the content."""

    #: Bytes that closing adds.
    overhead: int

    def close(self, content: bytes, bound: bytes, *, number: int) -> bytes:
        """Return the content as it is stored; a number is used once in an archive."""

    def open(self, stored: bytes, bound: bytes, *, number: int) -> bytes:
        """Return the content; raises `SealError`, and returns not a byte, if anything differs."""

    def digest(self) -> Digest:
        """Return a new hash for the raw bytes of a part; without the key it tells nothing about what is encrypted."""


class PlainSeal:
    """A SHA-256 behind the content: finds damage; whoever edits on purpose can make it anew."""

    overhead = HASH_BYTES

    def close(self, content: bytes, bound: bytes, *, number: int) -> bytes:  # noqa: ARG002 - it is in `bound`
        """Return the content and its hash."""
        return content + _sha256(bound, content)

    def open(self, stored: bytes, bound: bytes, *, number: int) -> bytes:  # noqa: ARG002
        """Return the content."""
        content, hashed = stored[:-HASH_BYTES], stored[-HASH_BYTES:]
        if not hmac.compare_digest(_sha256(bound, content), hashed):
            raise SealError
        return content

    def digest(self) -> Digest:
        """Return a SHA-256."""
        return hashlib.sha256()


class KeyedSeal:
    """Authenticated encryption with an archive's own key, which never sees a number twice."""

    overhead = _TAG_BYTES

    def __init__(self, data_key: bytes, *, algorithm: str, header_hash: bytes) -> None:
        """Take the archive's data key, which no other archive has."""
        self._aead = aead(algorithm, subkey(data_key, salt=header_hash, purpose=b"backstory chunks"))
        self._digest_key = subkey(data_key, salt=header_hash, purpose=b"backstory digests")

    def close(self, content: bytes, bound: bytes, *, number: int) -> bytes:
        """Return the content encrypted, and its tag."""
        return self._aead.encrypt(_nonce(number), content, bound)

    def open(self, stored: bytes, bound: bytes, *, number: int) -> bytes:
        """Return the content decrypted."""
        from cryptography.exceptions import InvalidTag

        try:
            return self._aead.decrypt(_nonce(number), stored, bound)
        except InvalidTag:
            raise SealError from None

    def digest(self) -> Digest:
        """Return an HMAC-SHA-256: a plain hash would let anybody test guesses of a small part's content."""
        return hmac.new(self._digest_key, digestmod="sha256")


def bound(header_hash: bytes, *, kind: Kind, number: int, part: int, raw_bytes: int) -> bytes:
    """Return what the seal of a chunk binds to its content."""
    return BOUND.pack(header_hash, kind, number, part, raw_bytes)


def aead(algorithm: str, key: bytes) -> AESGCM | ChaCha20Poly1305:
    """Return a cipher; raises `ConfigError` where the library is not installed."""
    try:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
    except ImportError as error:
        raise ConfigError(
            "encryption needs the package cryptography",
            key="encryption",
            hint="Install it: pip install backstory[backups].",
        ) from error
    return AESGCM(key) if algorithm == "AES-256-GCM" else ChaCha20Poly1305(key)


def subkey(key: bytes, *, salt: bytes, purpose: bytes) -> bytes:
    """Return a key for one purpose: HKDF (RFC 5869) with SHA-256, of which 32 bytes take a single step."""
    return hmac.digest(hmac.digest(salt, key, "sha256"), purpose + b"\x01", "sha256")


def _nonce(number: int) -> bytes:
    return number.to_bytes(_NONCE_BYTES, "big")


def _sha256(bound: bytes, content: bytes) -> bytes:
    hashed = hashlib.sha256(bound)
    hashed.update(content)
    return hashed.digest()
