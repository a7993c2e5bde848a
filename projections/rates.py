"""Rates: how many events, and how many errors among them, in each hour and each day of UTC."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from backstory.domain.events import from_micros

HOUR_US: Final = 3_600_000_000
DAY_US: Final = 24 * HOUR_US


@dataclass(frozen=True, slots=True)
class Rate:
    """An hour or a day from `since` on: how many events it has, how many of them are errors, and how many by type."""

    since: datetime
    events: int
    errors: int
    types: dict[str, int]


@dataclass(slots=True)
class Tally:
    """Counts by hour, from which those by day follow."""

    types: dict[int, Counter[str]] = field(default_factory=dict)
    errors: Counter[int] = field(default_factory=Counter)

    def add(self, recorded_us: int, kind: str, *, failed: bool) -> None:
        """Count an event."""
        hour = recorded_us // HOUR_US
        self.types.setdefault(hour, Counter())[kind] += 1
        self.errors[hour] += failed

    def rates(self, step_us: int) -> tuple[Rate, ...]:
        """Return the counts in steps of whole hours, those without an event between the first and the last too."""
        types: dict[int, Counter[str]] = {}
        errors: Counter[int] = Counter()
        for hour, counts in self.types.items():
            at = hour * HOUR_US // step_us
            types.setdefault(at, Counter()).update(counts)
            errors[at] += self.errors[hour]
        steps = range(min(types), max(types) + 1) if types else range(0)
        return tuple(_rate(at * step_us, types.get(at, Counter()), errors[at]) for at in steps)


def _rate(since_us: int, types: Counter[str], errors: int) -> Rate:
    return Rate(from_micros(since_us), types.total(), errors, dict(sorted(types.items())))


__all__ = ["DAY_US", "HOUR_US", "Rate", "Tally"]
