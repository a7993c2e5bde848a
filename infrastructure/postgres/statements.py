"""Statements for psycopg: its parameter style, and rows as array literals.

Lists of Python values cost psycopg a microsecond an element; every column of ours is a number
or bytes, and a literal of those is one join.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any, Final

from backstory.infrastructure.sql.statements import Ask, load

_PARAMETER: Final = re.compile(r"(?<!:):([a-z]\w*)")


@lru_cache(maxsize=512)
def placeholders(sql: str) -> str:
    """Return a statement with `%(name)s` for `:name`."""
    return _PARAMETER.sub(r"%(\1)s", sql)


def queries() -> dict[str, str]:
    """Return the statements by name; parameters are still `:name`."""
    shared = load("backstory.infrastructure.sql", "queries.sql")
    return shared | load("backstory.infrastructure.postgres", "queries.sql")


def many(sql: str, rows: Sequence[tuple[Any, ...]]) -> Ask:
    """Return one request that hands all rows to a statement, a column an array."""
    columns = zip(*rows, strict=True)
    return Ask(sql, {f"c{index}": literal(column) for index, column in enumerate(columns)})


def literal(column: Iterable[Any]) -> str:
    """Return the text of an array of numbers, or of bytes, with None for NULL."""
    return "{" + ",".join(_element(value) for value in column) + "}"


def _element(value: Any) -> str:
    if value is None:
        return "NULL"
    if type(value) is int:
        return str(value)
    text: str = value.hex()
    return '"\\\\x' + text + '"'
