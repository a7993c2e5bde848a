"""Statistics: how often a hook ran, what came of it, and how long it took."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Self

from backstory.domain.events import StoredEvent, from_micros
from backstory.domain.hooks import HOOK_FAILED
from backstory.infrastructure import codec

_SECOND_US: Final = 1_000_000
#: Durations are counted in classes, eight for each power of two: the middle of one is off by a sixteenth at most.
_BITS: Final = 4


@dataclass(frozen=True, slots=True)
class HookStats:
    """Counts and durations of a hook's runs.

    `results` counts those that did not fail by kind. Durations are in seconds; `p50_s` and `p95_s` (half of the runs,
    and 95 of 100, took no longer) are known to 6 percent. `last_at` is when the last run was recorded.
    """

    hook: str
    runs: int
    failed: int
    total_s: float
    longest_s: float
    p50_s: float
    p95_s: float
    results: dict[str, int]
    last_at: datetime

    @property
    def mean_s(self) -> float:
        """How long a run took on average."""
        return self.total_s / self.runs


@dataclass(slots=True)
class Tally:
    """Counts that go on: of runs one by one, and of those that were summed up before."""

    runs: int = 0
    failed: int = 0
    total_us: int = 0
    longest_us: int = 0
    last_us: int = 0
    results: Counter[str] = field(default_factory=Counter)
    durations: Counter[int] = field(default_factory=Counter)

    @classmethod
    def of(cls, summary: Mapping[str, Any]) -> Self:
        """Return the counts that `summary` described."""
        return cls(
            summary["runs"],
            summary["failed"],
            summary["total_us"],
            summary["longest_us"],
            summary["last_us"],
            Counter(summary["results"]),
            Counter({int(number): count for number, count in summary["durations"].items()}),
        )

    def add(self, row: StoredEvent) -> None:
        """Count one more run, by its event."""
        self.count(row, codec.decode_value(row.data))

    def count(self, row: StoredEvent, data: Mapping[str, Any]) -> None:
        """Count one more run, by its event and what its data says."""
        lasted = data["duration_us"]
        self.runs += 1
        self.total_us += lasted
        self.longest_us = max(self.longest_us, lasted)
        self.last_us = max(self.last_us, row.recorded_us)
        self.durations[_class_of(lasted)] += 1
        if row.type == HOOK_FAILED:
            self.failed += 1
        else:
            self.results[data["result"]["kind"]] += 1

    def summary(self) -> dict[str, Any]:
        """Return the counts as JSON."""
        return {
            "runs": self.runs,
            "failed": self.failed,
            "total_us": self.total_us,
            "longest_us": self.longest_us,
            "last_us": self.last_us,
            "results": dict(sorted(self.results.items())),
            "durations": {str(number): count for number, count in sorted(self.durations.items())},
        }

    def stats(self, hook: str) -> HookStats:
        """Return the counts as users see them; there is a run."""
        return HookStats(
            hook,
            self.runs,
            self.failed,
            self.total_us / _SECOND_US,
            self.longest_us / _SECOND_US,
            self._quantile_us(50) / _SECOND_US,
            self._quantile_us(95) / _SECOND_US,
            dict(sorted(self.results.items())),
            from_micros(self.last_us),
        )

    def _quantile_us(self, percent: int) -> float:
        """Return the duration that so many of a hundred runs do not exceed (nearest rank), as its class knows it."""
        rank = -(-self.runs * percent // 100)
        for number, count in sorted(self.durations.items()):
            rank -= count
            if rank <= 0:
                return min(_middle_of(number), self.longest_us)
        raise AssertionError("every run is in a class")


def _class_of(duration_us: int) -> int:
    """Return the class of a duration: itself where it is short, else its leading bits and how many follow them."""
    shift = max(0, duration_us.bit_length() - _BITS)
    return (shift << (_BITS - 1)) + (duration_us >> shift)


def _middle_of(number: int) -> float:
    if number < 1 << _BITS:
        return number
    shift = (number >> (_BITS - 1)) - 1
    lowest = (number - (shift << (_BITS - 1))) << shift
    return lowest + ((1 << shift) - 1) / 2


__all__ = ["HookStats", "Tally"]
