"""The options that say which backups stay, of `backup prune` and of schedules that prune."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any, Final, NamedTuple

from typer import Option

from backstory.cli import values
from backstory.cli.failures import UsageError
from backstory.domain.errors import shown

if TYPE_CHECKING:
    from backstory.domain.retention import RetentionPolicy

__all__ = ["Policy", "bytes_of", "policy"]

_SIZE: Final = re.compile(r"(\d{1,18})\s*(B|[KMGT]i?B)?", re.ASCII | re.IGNORECASE)
_POWERS: Final = "BKMGT"
_BOUNDS: Final = frozenset({"max_count", "max_age", "max_bytes"})


class Policy(NamedTuple):
    """Which backups stay: the bounds and the rules that were given."""

    given: dict[str, Any]

    def pruning(self) -> RetentionPolicy:
        """Return the policy that pruning is asked for by; raises `UsageError` where nothing would go."""
        return self._policy("`backup prune`")

    def standing(self) -> RetentionPolicy | None:
        """Return the policy of a schedule, None where nothing was said of it, and all backups stay.

        Raises `UsageError` for rules to keep some where none would go.
        """
        return self._policy(f"--{next(iter(self.given)).replace('_', '-')}") if self.given else None

    def _policy(self, what: str) -> RetentionPolicy:
        if not self.given.keys() & _BOUNDS:
            raise UsageError(
                f"{what} keeps what nothing would take away",
                hint="Give --max-count (0: keep nothing else), --max-age or --max-bytes with it.",
            )
        from backstory.domain.retention import RetentionPolicy

        return RetentionPolicy(**self.given)


def policy(
    *,
    max_count: Annotated[
        int | None, Option("--max-count", min=0, metavar="N", help="Prune to no more than so many.")
    ] = None,
    max_age: Annotated[
        str | None, Option("--max-age", metavar="SPAN", help="Prune what is older than `12h`, `30d` or `4w`.")
    ] = None,
    max_bytes: Annotated[
        str | None, Option("--max-bytes", metavar="SIZE", help="Prune to no more together than `500MB`, `5GB`, `2GiB`.")
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
    """Return which backups stay; raises `UsageError`."""
    found = {
        "max_count": max_count,
        "max_age": None if max_age is None else values.span(max_age),
        "max_bytes": None if max_bytes is None else bytes_of(max_bytes),
        "keep_last": keep_last,
        "keep_full": keep_full,
        "keep_daily": keep_daily,
        "keep_weekly": keep_weekly,
        "keep_monthly": keep_monthly,
    }
    return Policy({name: each for name, each in found.items() if each is not None})


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
