"""Due times: when something that is scheduled comes due, and how that is written down."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any, Final

from backstory.domain.durations import FINITE_S, seconds
from backstory.domain.errors import InvalidValueError
from backstory.infrastructure.cron import check_cron, next_due

__all__ = ["At", "Cron", "Every", "Once", "When", "when_data", "when_of"]


@dataclass(frozen=True, slots=True)
class Once:
    """Once, so many seconds after it was scheduled."""

    delay_s: float

    def __post_init__(self) -> None:
        """Check the delay."""
        seconds("delay_s", self.delay_s, most=FINITE_S)

    def due(self, made: datetime, last: datetime | None, runs: int) -> datetime | None:  # noqa: ARG002 - as all have it
        """Return when it comes due next, None where it does no more."""
        return None if runs else _later(made, self.delay_s)


@dataclass(frozen=True, slots=True)
class At:
    """Once, at an instant; one that is past comes due at once."""

    instant: datetime

    def __post_init__(self) -> None:
        """Check the instant."""
        if not isinstance(self.instant, datetime) or self.instant.utcoffset() is None:
            raise InvalidValueError("instant", rule=f"is no aware datetime: {self.instant!r}", hint="Give a time zone.")

    def due(self, made: datetime, last: datetime | None, runs: int) -> datetime | None:  # noqa: ARG002 - as all have it
        """Return when it comes due next, None where it does no more."""
        return None if runs else self.instant


@dataclass(frozen=True, slots=True)
class Every:
    """Again and again, so many seconds apart, the first after as many; up to `max_runs`."""

    interval_s: float
    max_runs: int | None = None

    def __post_init__(self) -> None:
        """Check interval and bound."""
        seconds("interval_s", self.interval_s, most=FINITE_S, above=True)
        if self.max_runs is not None and (
            isinstance(self.max_runs, bool) or not isinstance(self.max_runs, int) or self.max_runs < 1
        ):
            raise InvalidValueError("max_runs", rule=f"is {self.max_runs!r}", hint="Give 1 or more, or None.")

    def due(self, made: datetime, last: datetime | None, runs: int) -> datetime | None:
        """Return when it comes due next, None where it does no more."""
        if self.max_runs is not None and runs >= self.max_runs:
            return None
        return _later(made if last is None else last, self.interval_s)


@dataclass(frozen=True, slots=True)
class Cron:
    """As cron says, in UTC: minute, hour, day of month, month, day of week."""

    text: str

    def __post_init__(self) -> None:
        """Check the expression."""
        check_cron(self.text)

    def due(self, made: datetime, last: datetime | None, runs: int) -> datetime | None:  # noqa: ARG002 - as all have it
        """Return when it comes due next, None where it does no more."""
        return next_due(self.text, made if last is None else last)


def _later(at: datetime, span_s: float) -> datetime | None:
    """Return an instant so many seconds after another, None where the calendar has ended by then."""
    try:
        return at + timedelta(seconds=span_s)
    except OverflowError:
        return None


When = Once | At | Every | Cron
_KINDS: Final[dict[str, Any]] = {"once": Once, "at": At, "every": Every, "cron": Cron}


def when_data(when: When) -> dict[str, Any]:
    """Return when a schedule comes due as plain data: its `kind`, and what that takes."""
    kind = next(kind for kind, cls in _KINDS.items() if isinstance(when, cls))
    return {"kind": kind, **{field.name: getattr(when, field.name) for field in fields(when)}}


def when_of(data: Mapping[str, Any]) -> When:
    """Return when a schedule comes due, from the data that `when_data` gave."""
    when: When = _KINDS[data["kind"]](**{name: part for name, part in data.items() if name != "kind"})
    return when
