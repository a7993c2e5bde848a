"""Durations that callers give: numbers of seconds, checked."""

from __future__ import annotations

import sys
from typing import Final

from backstory.domain.errors import InvalidValueError, shown

YEAR_S: Final = 365 * 86_400
#: Some 30 years: what is waited for longer than that is waited for without a bound.
LONGEST_S: Final = 1_000_000_000
#: Any finite number.
FINITE_S: Final = sys.float_info.max


def seconds(
    path: str, given: object, *, least: float = 0, most: float = LONGEST_S, above: bool = False, hint: str = ""
) -> float:
    """Return a number of seconds from `least`, or `above` it, to `most`; raises `InvalidValueError`.

    `hint` ends the sentence that says what may be given.
    """
    if isinstance(given, int | float) and not isinstance(given, bool) and least <= given <= most:  # noqa: SIM102
        if not above or given != least:
            return float(given)
    first = f"{least:.6f}".rstrip("0").rstrip(".")
    last = "" if most == FINITE_S else f", up to {most}"
    raise InvalidValueError(
        path,
        rule=f"is no number of seconds: {shown(given)}",
        hint=f"Give a number {'above' if above else 'from'} {first}{last}{hint}.",
    )
