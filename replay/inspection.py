"""Inspection: where hooks are slow, failures led to failures, things turn in loops, and how much happened when."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

from backstory.domain.errors import InvalidValueError, shown
from backstory.domain.events import RecordedEvent
from backstory.projections.rates import Rate

PARTS: Final = ("slowest", "cascades", "loops", "rates")
FORMS: Final = ("text", "json")


@dataclass(frozen=True, slots=True)
class SlowHook:
    """The runs of a hook at a point. Durations are in seconds; `p50_s` and `p95_s` are known to 6 percent.

    `slowest` is the event of the longest run, of several the first.
    """

    hook: str
    point: str
    runs: int
    failed: int
    p50_s: float
    p95_s: float
    longest_s: float
    slowest: RecordedEvent


@dataclass(frozen=True, slots=True)
class Cascade:
    """A failure that led to further ones, by causes.

    `failures` are these, in log order; `depth` is how many of them lie on the longest way; `events` counts all that the
    first one led to, failures and others.
    """

    root: RecordedEvent
    failures: tuple[RecordedEvent, ...]
    depth: int
    events: int


@dataclass(frozen=True, slots=True)
class Loop:
    """Events that say the same of the same, each led to by the one before: one for each turn, in that order."""

    events: tuple[RecordedEvent, ...]

    @property
    def turns(self) -> int:
        """How often it went round."""
        return len(self.events)


@dataclass(frozen=True, slots=True)
class Inspection:
    """What an inspection found, `parts` being what it looked at; what it did not look at is empty.

    `slowest` comes by the duration that 95 of 100 runs did not exceed, the longest first; `cascades` by depth, the
    deepest first, then by how many failed; `loops` by turns, the most first. They are cut to the limit asked for, and
    `totals` says by part how many there are. `by_hour` and `by_day` (UTC) go from the first event to the last, hours
    and days without an event included.
    """

    title: str
    parts: tuple[str, ...] = PARTS
    slowest: tuple[SlowHook, ...] = ()
    cascades: tuple[Cascade, ...] = ()
    loops: tuple[Loop, ...] = ()
    by_hour: tuple[Rate, ...] = ()
    by_day: tuple[Rate, ...] = ()
    totals: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON has it: of the parts only those that were looked at."""
        parts: dict[str, Callable[[], Any]] = {
            "slowest": lambda: [_slow_data(each) for each in self.slowest],
            "cascades": lambda: [_cascade_data(each) for each in self.cascades],
            "loops": lambda: [_loop_data(each) for each in self.loops],
            "rates": lambda: {
                "hours": [_rate_data(each) for each in self.by_hour],
                "days": [_rate_data(each) for each in self.by_day],
            },
        }
        found: dict[str, Any] = {part: parts[part]() for part in PARTS if part in self.parts}
        return {"title": self.title, "totals": dict(self.totals), **found}

    def render(self, form: str = "text") -> str:
        """Return it as text, no wider than 100 columns, or json; raises `InvalidValueError` for another form."""
        if form not in FORMS:
            raise InvalidValueError("form", rule=f"is no form: {shown(form)}", hint=f"Use one of {', '.join(FORMS)}.")
        from backstory.replay.rendering import findings, plain  # noqa: PLC0415 - drawing is seldom wanted

        said = findings.text(self) if form == "text" else plain.json_of(self.as_dict()) + "\n"
        return said.encode("utf-8", "backslashreplace").decode("utf-8")

    def __repr__(self) -> str:
        told = ", ".join(f"{count} {part}" for part, count in self.totals.items())
        return f"<{self.title}: {told}>"


def _slow_data(slow: SlowHook) -> dict[str, Any]:
    return {
        "hook": slow.hook,
        "point": slow.point,
        "runs": slow.runs,
        "failed": slow.failed,
        "p50_s": slow.p50_s,
        "p95_s": slow.p95_s,
        "longest_s": slow.longest_s,
        "slowest": slow.slowest.as_dict(),
    }


def _cascade_data(cascade: Cascade) -> dict[str, Any]:
    return {
        "depth": cascade.depth,
        "events": cascade.events,
        "root": cascade.root.as_dict(),
        "failures": [event.as_dict() for event in cascade.failures],
    }


def _loop_data(loop: Loop) -> dict[str, Any]:
    return {"turns": loop.turns, "events": [event.as_dict() for event in loop.events]}


def _rate_data(rate: Rate) -> dict[str, Any]:
    return {"since": rate.since.isoformat(), "events": rate.events, "errors": rate.errors, "types": rate.types}


__all__ = ["PARTS", "Cascade", "Inspection", "Loop", "Rate", "SlowHook"]
