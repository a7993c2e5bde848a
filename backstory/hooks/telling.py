"""Telling: what hooks raise and answer, in words that can be recorded whatever their own methods do."""

from __future__ import annotations

from typing import Final

_LONGEST_ERROR: Final = 2000
_LONGEST_VALUE: Final = 200


def told(error: BaseException) -> str:
    """Return the type of an error and what it says, as text that every event can hold."""
    name = type(error).__name__
    try:
        text = f"{name}: {error}"
    except (Exception, SystemExit):  # noqa: BLE001 - a hook's error may do anything when it is asked for its text
        text = f"{name}, and what it says cannot be told"
    return storable(text[:_LONGEST_ERROR])


def described(value: object) -> str:
    """Return the type of a value and how it shows itself, cut to 200 characters."""
    name = type(value).__name__
    try:
        text = f"{name} {value!r}"
    except (Exception, SystemExit):  # noqa: BLE001 - as above
        text = name
    return storable(text[:_LONGEST_VALUE])


def storable(text: str) -> str:
    """Return a text without what UTF-8 cannot hold."""
    return text.encode("utf-8", "replace").decode()
