"""The state's hash: one number for which write each key's value comes from, kept up as single keys change.

It is the sum, modulo 2^256, of the SHA-256 of the record of each present value (`stands`): AdHash, of Bellare and
Micciancio, A New Paradigm for Collision-free Hashing, EUROCRYPT 1997. What a value says is bound by the hash chain.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from typing import Final

__all__ = ["StateHash"]

_MODULUS: Final = 1 << 256
_BYTES: Final = 32
_sha256 = hashlib.sha256


class StateHash:
    """A sum over values, and how many there are."""

    def __init__(self, text: str | None = None, entries: int = 0) -> None:
        """Begin with nothing, or where another one stands (hexadecimal)."""
        self._sum = 0 if text is None else int(text, 16)
        self.entries = entries

    def add(self, record: bytes) -> None:
        """Take a value in, by its record."""
        self._sum += int.from_bytes(_sha256(record).digest(), "big")
        self.entries += 1

    def add_all(self, records: Collection[bytes]) -> None:
        """Take many values in."""
        read = int.from_bytes
        self._sum += sum([read(_sha256(record).digest(), "big") for record in records])
        self.entries += len(records)

    def remove(self, record: bytes) -> None:
        """Take a value out that was taken in."""
        self._sum -= int.from_bytes(_sha256(record).digest(), "big")
        self.entries -= 1

    def hex(self) -> str:
        """Return it as 64 hexadecimal digits."""
        self._sum %= _MODULUS
        return self._sum.to_bytes(_BYTES, "big").hex()
