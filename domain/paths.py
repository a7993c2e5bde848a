"""Paths: the steps that lead to a part of a value, as text."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

__all__ = ["render_path"]

_IDENTIFIER = re.compile(r"[^\W\d][\w-]*")


def render_path(steps: Iterable[str | int]) -> str:
    """Return steps into a value as text, such as `items[0].price` or `a["odd key"]`; of no steps, the empty text."""
    text = ""
    for step in steps:
        if isinstance(step, int):
            text += f"[{step}]"
        elif _IDENTIFIER.fullmatch(step):
            text += f".{step}" if text else step
        else:
            text += f"[{_quoted(step)}]"
    return text


def _quoted(text: str) -> str:
    """Return a key in double quotes, escaped as in JSON; a lone surrogate too, so that the path can be printed."""
    return json.dumps(text, ensure_ascii=not text.isprintable())
