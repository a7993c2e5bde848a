"""Cron: when an expression of five fields comes due next, in UTC."""

from __future__ import annotations

from datetime import UTC, datetime

from cronsim import CronSim, CronSimError

from backstory.domain.errors import InvalidValueError

_FIELDS = 5


def check_cron(text: object) -> str:
    """Return an expression such as `*/5 9-17 * * MON-FRI`; raises `InvalidValueError` for one that is none."""
    if not isinstance(text, str) or len(text.split()) != _FIELDS:
        raise InvalidValueError(
            "cron", rule=f"has not five fields: {text!r}", hint="Give minute, hour, day of month, month, day of week."
        )
    try:
        next(CronSim(text, datetime(2000, 1, 1, tzinfo=UTC)))
    except CronSimError as error:
        raise InvalidValueError(
            "cron", rule=f"{text!r}: {error}", hint="Give five fields as cron knows them."
        ) from error
    except StopIteration:
        raise InvalidValueError("cron", rule=f"{text!r} never comes due", hint="Name a day that exists.") from None
    return text


def next_due(text: str, after: datetime) -> datetime | None:
    """Return the first instant after another at which an expression comes due; None where it never does again."""
    return next(CronSim(text, after), None)
