"""Samples: figures of several rounds, percentiles and medians of them."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

MICROSECOND: Final = 1_000.0
"""Nanoseconds in a microsecond."""


def percentile(ordered: Sequence[float], percent: float) -> float:
    """Return the nearest-rank percentile of sorted numbers; raises `IndexError` where there are none."""
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def latencies(nanoseconds: Iterable[int]) -> dict[str, float]:
    """Return the median and the 99th percentile of single calls, microseconds."""
    ordered = sorted(nanoseconds)
    return {
        "p50 us": percentile(ordered, 50) / MICROSECOND,
        "p99 us": percentile(ordered, 99) / MICROSECOND,
    }


@dataclass(frozen=True, slots=True)
class Burst:
    """What one measurement saw: how many events or calls, in how long, and each call's own time."""

    count: int
    seconds: float
    calls_ns: Sequence[int] = ()

    def figures(self, unit: str = "events/s") -> dict[str, float]:
        """Return the rate, and the calls' percentiles where they were taken."""
        rate = {unit: self.count / self.seconds}
        return {**rate, **latencies(self.calls_ns)} if self.calls_ns else rate


@dataclass(frozen=True, slots=True)
class Figure:
    """One number of one contender, once a round. The metric's name is its unit too: `events/s`, `p50 us`."""

    who: str
    metric: str
    samples: tuple[float, ...]

    @property
    def median(self) -> float:
        """The median of the rounds."""
        return statistics.median(self.samples)


def shown(number: float) -> str:
    """Return a number as people read it: three significant digits, thousands apart."""
    if abs(number) >= 1_000:  # noqa: PLR2004 - from here on, digits after the point say nothing
        return f"{number:,.0f}"
    return f"{number:.3g}"
