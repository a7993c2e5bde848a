"""Formats of text: what `Field(format=...)` can ask for, each told by a function of the standard library's means."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import date, datetime, time
from types import MappingProxyType
from typing import Final

__all__ = ["FORMATS", "is_date_time"]

_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_DATE_TIME: Final = re.compile(
    r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(?:\.\d+)?(?:[Zz]|[+-](?:[01]\d|2[0-3]):[0-5]\d)", re.ASCII
)
_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", re.ASCII)
_OCTET: Final = r"(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)"
_IPV4: Final = re.compile(rf"{_OCTET}(?:\.{_OCTET}){{3}}", re.ASCII)
_LABEL: Final = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_HOSTNAME: Final = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})*", re.ASCII)
_ATOM: Final = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_MAILBOX: Final = re.compile(rf"(?=.{{1,64}}\Z){_ATOM}(?:\.{_ATOM})*", re.ASCII)
_URI: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:(?:[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=-]|%[0-9A-Fa-f]{2})+", re.ASCII)
_WEEK_OR_DAY: Final = re.compile(r"\d{4}-?W\d\d(?:-?\d)?|\d{4}-?\d\d-?\d\d", re.ASCII)


def is_date_time(text: str) -> bool:
    """Return whether a text is an RFC 3339 time, such as `2026-03-01T12:00:00Z`; leap seconds are not taken."""
    return _DATE_TIME.fullmatch(text) is not None and _parses(datetime.fromisoformat, text.upper())


def _is_date(text: str) -> bool:
    return _DATE.fullmatch(text) is not None and _parses(date.fromisoformat, text)


def _is_iso8601(text: str) -> bool:
    """Return whether a text is a date, a time, or both around a `T`, in ISO 8601; an offset may be left out."""
    if not text.isascii() or not text.isprintable():
        return False
    day, separator, clock = text.partition("T")
    if not separator:
        return _parses(date.fromisoformat, text) or (":" in text and _parses(time.fromisoformat, text))
    if not day:
        return _parses(time.fromisoformat, clock)
    return _WEEK_OR_DAY.fullmatch(day) is not None and _parses(datetime.fromisoformat, text)


def _is_email(text: str) -> bool:
    mailbox, _, host = text.rpartition("@")
    return _MAILBOX.fullmatch(mailbox) is not None and _HOSTNAME.fullmatch(host) is not None


def _parses(parse: Callable[[str], object], text: str) -> bool:
    try:
        parse(text)
    except ValueError:
        return False
    return True


def _fits(pattern: re.Pattern[str]) -> Callable[[str], bool]:
    def fits(text: str) -> bool:
        return pattern.fullmatch(text) is not None

    return fits


FORMATS: Final[Mapping[str, Callable[[str], bool]]] = MappingProxyType(
    {
        "date": _is_date,
        "date-time": is_date_time,
        "email": _is_email,
        "hostname": _fits(_HOSTNAME),
        "ipv4": _fits(_IPV4),
        "iso8601": _is_iso8601,
        "uri": _fits(_URI),
        "uuid": _fits(_UUID),
    }
)
"""Each format by its name: a function that tells whether a text has it."""
