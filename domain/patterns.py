"""Patterns of event types: exact names, and `*` for any text."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache


@lru_cache(maxsize=512)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(".*".join(re.escape(part) for part in pattern.split("*")), re.DOTALL)


def any_match(patterns: Iterable[str], name: str) -> bool:
    """Return whether a name is one of the patterns, or fits one that has `*` in it."""
    return any(
        pattern == name or ("*" in pattern and _compiled(pattern).fullmatch(name) is not None) for pattern in patterns
    )
