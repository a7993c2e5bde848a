"""The options that say which backups stay, where pruning is not asked for by itself."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any, Final, NamedTuple

from typer import Option

from backstory.cli import values
from backstory.cli.failures import UsageError
from backstory.domain.errors import shown

if TYPE_CHECKING:
    from backstory.domain.retention import RetentionPolicy

__all__ = ["Policy", "bytes_of", "policy", "unbounded"]

_SIZE: Final = re.compile(r"(\d{1,18})\s*(B|[KMGT]i?B)?", re.ASCII | re.IGNORECASE)
_POWERS: Final = "BKMGT"


class Policy(NamedTuple):
    """Which backups stay; None where nothing was said of it, and all do."""

    policy: RetentionPolicy | None


def policy(
    *,
    max_count: Annotated[
        int | None, Option("--max-count", min=0, metavar="N", help="Prune after each: no more than so many.")
    ] = None,
    max_age: Annotated[
        str | None, Option("--max-age", metavar="SPAN", help="Prune what is older than `12h`, `30d` or `4w`.")
    ] = None,
    max_bytes: Annotated[
        str | None, Option("--max-bytes", metavar="SIZE", help="Prune: no more together than `500MB`, `5GB`, `2GiB`.")
    ] = None,
    keep_last: Annotated[
        int | None, Option("--keep-last", min=0, metavar="N", help="Keep the newest ones; by itself 1.")
    ] = None,
    keep_full: Annotated[
        int | None, Option("--keep-full", min=0, metavar="N", help="Keep the newest full ones; by itself 1.")
    ] = None,
    keep_daily: Annotated[
        int | None, Option("--keep-daily", min=0, metavar="N", help="Keep the newest of each of so many days.")
    ] = None,
    keep_weekly: Annotated[
        int | None, Option("--keep-weekly", min=0, metavar="N", help="Keep the newest of each of so many weeks.")
    ] = None,
    keep_monthly: Annotated[
        int | None, Option("--keep-monthly", min=0, metavar="N", help="Keep the newest of each of so many months.")
    ] = None,
) -> Policy:
    """Return which backups stay; raises `UsageError` for rules to keep some where none would go."""
    bounds: dict[str, Any] = {
        "max_count": max_count,
        "max_age": None if max_age is None else values.span(max_age),
        "max_bytes": None if max_bytes is None else bytes_of(max_bytes),
    }
    rules = {
        "keep_last": keep_last,
        "keep_full": keep_full,
        "keep_daily": keep_daily,
        "keep_weekly": keep_weekly,
        "keep_monthly": keep_monthly,
    }
    given = {name: each for name, each in (bounds | rules).items() if each is not None}
    if not given:
        return Policy(None)
    if not given.keys() & bounds.keys():
        raise unbounded(f"--{next(iter(given)).replace('_', '-')}")
    from backstory.domain.retention import RetentionPolicy

    return Policy(RetentionPolicy(**given))


def unbounded(what: str) -> UsageError:
    """Return the error for rules to keep some where none would go."""
    return UsageError(
        f"{what} keeps what nothing would take away",
        hint="Give --max-count (0: keep nothing else), --max-age or --max-bytes with it.",
    )


def bytes_of(text: str) -> int:
    """Return the number of bytes that a text names: `kB` is 1000 of them, `KiB` is 1024; raises `UsageError`."""
    found = _SIZE.fullmatch(text.strip())
    if found is None:
        raise UsageError(
            f"{shown(text)} is no size", hint="Write a number and B, kB, MB, GB, TB, KiB, MiB, GiB or TiB."
        )
    unit = (found[2] or "B").upper()
    factor: int = (1024 if "I" in unit else 1000) ** _POWERS.index(unit[0])
    return int(found[1]) * factor
