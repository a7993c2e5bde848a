"""Saying: an event in a few words: where it happened, when, and what it says."""

from __future__ import annotations

from typing import Any, Final

from backstory.domain.events import JSON_FORMAT, RecordedEvent
from backstory.domain.sequencer import SCOPE_CLEARED, STATE_DELETED, STATE_EXPIRED, STATE_SET
from backstory.replay.rendering.columns import cut, safe, width
from backstory.replay.rendering.plain import brief

_SHORT: Final = 60
_LONGEST_OP: Final = 16
_PARTS: Final = {SCOPE_CLEARED: "keys", "tool.called": "arguments", "tool.returned": "content"}


def place(event: RecordedEvent) -> str:
    """Return the scope, and the key if there is one."""
    return safe(event.stream if event.key is None else f"{event.stream} {event.key}")


def moment(event: RecordedEvent) -> str:
    """Return the time of day in UTC, to the millisecond."""
    return event.recorded_at.strftime("%H:%M:%S.") + f"{event.recorded_at.microsecond // 1000:03}"


def says(event: RecordedEvent, *, columns: int = _SHORT) -> str:
    """Return what an event says, in so many columns: the value that it wrote, or its data; perhaps nothing."""
    return cut(safe(_says(event, columns)), columns)


def _says(event: RecordedEvent, longest: int) -> str:
    if event.stored.format != JSON_FORMAT:
        return f"({len(event.stored.data)} bytes)"
    if event.type in {STATE_DELETED, STATE_EXPIRED}:
        return ""
    data = event.data
    if data is None:
        return ""
    if isinstance(data, dict):
        told = _told(event.type, data, longest)
        if told is not None:
            return told
    return brief(data, longest)


def _told(kind: str, data: dict[str, Any], longest: int) -> str | None:
    """Return the part of some events' data that a reader looks for; None where it has another form."""
    if kind == STATE_SET and "value" in data:
        return _value(data, longest)
    if kind.startswith("hook.") and isinstance(data.get("hook"), str):
        return _hook(data, longest)
    part = "content" if kind.startswith("message.") else _PARTS.get(kind, "")
    if data.get(part) is None:
        return None
    tool = f"{data.get('name')} {'-> ' if part == 'content' else ''}" if kind.startswith("tool.") else ""
    return tool + brief(data[part], longest)


def _value(data: dict[str, Any], longest: int) -> str:
    """Return a written value, and how it came about where it was not just set."""
    op = data.get("op", "set")
    note = "" if op == "set" else f" ({cut(safe(str(op)), _LONGEST_OP)})"
    return cut(safe(brief(data["value"], longest)), longest - width(note)) + note


def _hook(data: dict[str, Any], longest: int) -> str:
    """Return which hook ran where, and what it answered."""
    result = data.get("result")
    words = [data["hook"], *([data["point"]] if isinstance(data.get("point"), str) else [])]
    if isinstance(result, dict) and isinstance(result.get("kind"), str):
        words += ["->", result["kind"]]
        words += [brief(result[name], longest) for name in ("value", "reason") if result.get(name) is not None]
    if data.get("error") is not None:
        words += ["->", brief(data["error"], longest)]
    return " ".join(words)
