"""Columns: text that is safe to print, how wide a terminal shows it, and how it is cut or broken to fit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final
from unicodedata import category, east_asian_width

_MOST_MARKS: Final = 4
_EMOJI_STYLE: Final = "\ufe0f"
_DOTS: Final = "..."


def safe(text: str) -> str:
    """Return text with everything escaped that moves the cursor, turns the direction, or is no character.

    Of many marks that are stacked on one character, those beyond the fourth are escaped too.
    """
    return text if text.isascii() and text.isprintable() else "".join(_safe(text))


def _safe(text: str) -> Iterator[str]:
    marks = 0
    for char in text:
        marks = marks + 1 if _is_mark(char) else 0
        if char.isprintable() and marks <= _MOST_MARKS:
            yield char
        else:
            yield char.encode("unicode_escape", "surrogatepass").decode()


def width(text: str) -> int:
    """Return how many columns a terminal takes for text; rather one too many than one too few."""
    return len(text) if text.isascii() else sum(map(_columns, text))


def _columns(char: str) -> int:
    if char.isascii() or char == _EMOJI_STYLE:
        return 1  # the emoji style makes the character before it wide
    if _is_mark(char):
        return 0
    return 2 if east_asian_width(char) in "WF" else 1


def _is_mark(char: str) -> bool:
    return not char.isascii() and category(char) in {"Mn", "Me"}


def cut(text: str, columns: int) -> str:
    """Return text that takes at most so many columns (3 or more); where something is left out it ends in dots."""
    if width(text) <= columns:
        return text
    end, room = 0, columns - len(_DOTS)
    while (room := room - _columns(text[end])) >= 0:
        end += 1
    return text[:end].rstrip() + _DOTS


def filled(text: str, columns: int) -> str:
    """Return text cut to so many columns, and filled up with spaces."""
    short = cut(text, columns)
    return short + " " * (columns - width(short))


def wrapped(text: str, columns: int) -> list[str]:
    """Return text as lines of at most so many columns, broken between words; a longer word is cut."""
    lines: list[str] = []
    line = ""
    for word in text.split(" "):
        longer = f"{line} {word}" if line else word
        if width(longer) > columns and line:
            lines.append(line)
            longer = word
        line = cut(longer, columns)
    return [*lines, line]
