"""The machine's clock, and ids made from it."""

from __future__ import annotations

import time

from uuid_utils import uuid7


class SystemClock:
    """Wall-clock time."""

    def now_us(self) -> int:
        """Return microseconds since 1970 UTC."""
        return time.time_ns() // 1000


def new_id() -> bytes:
    """Return the 16 bytes of a fresh UUIDv7 (RFC 9562, 5.7)."""
    return uuid7().bytes
