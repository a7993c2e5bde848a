"""A clock for tests: it stands still until it is told to move, and can be set back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from backstory.domain.events import from_micros, to_micros

__all__ = ["ManualClock"]

_START: Final = datetime(2026, 1, 1, tzinfo=UTC)


class ManualClock:
    """A clock that moves only by hand: `backstory.open(url, clock=ManualClock())`.

    A log's recorded times never go back, even when this clock is set back; as with a real clock.
    """

    def __init__(self, start: datetime = _START) -> None:
        """Start at an aware datetime."""
        self._now_us = to_micros(start)

    def now_us(self) -> int:
        """Return microseconds since 1970 UTC."""
        return self._now_us

    def now(self) -> datetime:
        """Return the same instant as an aware UTC datetime."""
        return from_micros(self._now_us)

    def advance(self, span: float | timedelta) -> datetime:
        """Move on by a timedelta or by seconds, and return the new time."""
        self._now_us += _micros(span)
        return self.now()

    def set_back(self, span: float | timedelta) -> datetime:
        """Move back by a timedelta or by seconds, as a machine's clock does when it is corrected."""
        self._now_us -= _micros(span)
        return self.now()


def _micros(span: float | timedelta) -> int:
    exact = span if isinstance(span, timedelta) else timedelta(seconds=span)
    return exact // timedelta(microseconds=1)
