"""Rendering: events, changes and differences as lines for people."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import islice
from typing import Any, Final

from backstory.cli.output import Output, safe, to_json
from backstory.domain.events import JSON_FORMAT, MISSING, Change, Difference, RecordedEvent
from backstory.domain.paths import render_path

SHORT: Final = 60
_MOST_PARTS: Final = 20
_TYPE_WIDTH: Final = 17
_SCOPE_WIDTH: Final = 16
_KEY_WIDTH: Final = 16


def field(text: str) -> str:
    """Return text as it may stand in a line."""
    return safe(text)


def counted(number: int, what: str) -> str:
    """Return a number with what it counts, such as `1 key` or `2 keys`."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def short(value: Any, *, limit: int | None = SHORT) -> str:
    """Return a value as one line of JSON, cut to `limit` characters."""
    text = "(none)" if value is MISSING else safe(to_json(value).decode())
    return text if limit is None or len(text) <= limit else f"{text[: limit - 3]}..."


def table(out: Output, head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return rows as lines in columns, the head in bold; cells are text as it may stand in a line."""
    whole = [tuple(head), *(tuple(row) for row in rows)]
    widths = [max(len(row[column]) for row in whole) for column in range(len(head))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in whole]
    return [out.paint(lines[0], "bold"), *lines[1:]]


def pretty(value: Any) -> Iterator[str]:
    """Yield a value as lines of JSON, containers indented."""
    encoded = to_json(value)
    if not isinstance(value, (dict, list)) or not value:
        yield safe(encoded.decode())
        return
    import json

    for line in json.dumps(json.loads(encoded), indent=2, ensure_ascii=False).splitlines():
        yield safe(line)


def instant(at: datetime) -> str:
    """Return a time as `--as-of` takes it: ISO 8601 in UTC, to the microsecond."""
    return at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def second(at: datetime) -> str:
    """Return a time for a table: ISO 8601 in UTC, to the second."""
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def event_line(out: Output, event: RecordedEvent, *, limit: int | None = SHORT) -> str:
    """Return an event as a line: position, time, scope, type, key, short data."""
    parts = (
        f"{event.position:>5}",
        out.paint(instant(event.recorded_at), "dim"),
        safe(event.stream).ljust(_SCOPE_WIDTH),
        out.paint(safe(event.type).ljust(_TYPE_WIDTH), _colour(event.type)),
        *([out.paint(safe(event.key).ljust(_KEY_WIDTH), "cyan")] if event.key else []),
        what(event, limit=limit) + _carried(out, event.schema),
    )
    return "  ".join(parts).rstrip()


def _carried(out: Output, schema: tuple[str, str] | None) -> str:
    """Return the schema that a value carries, as it stands behind the value."""
    return "" if schema is None else "  " + out.paint(safe(f"({schema[0]} {schema[1]})"), "dim")


def _colour(kind: str) -> str:
    if kind.endswith((".deleted", ".cleared", ".failed", ".expired")):
        return "red"
    return "green" if kind == "state.set" else "yellow"


def what(event: RecordedEvent, *, limit: int | None = SHORT) -> str:
    """Return what an event says: the value that was written, or its data."""
    if event.stored.format != JSON_FORMAT:
        return f"({len(event.stored.data)} bytes)"
    data = event.data
    if event.type == "state.set":
        op = data.get("op", "set")
        return short(data["value"], limit=limit) + ("" if op == "set" else f" ({op})")
    if event.type in {"state.deleted", "state.expired"}:
        return ""
    if event.type == "scope.cleared":
        return short(data.get("keys"), limit=limit)
    return "" if data is None else _told(event.type, data, limit)


def _told(kind: str, data: Any, limit: int | None) -> str:
    """Return data as one line; of what an imported run holds, the part that a reader looks for."""
    family = kind.partition(".")[0]
    if family in {"message", "tool"} and isinstance(data, dict):
        content = data.get("content")
        if family == "message" and content is not None:
            return short(content, limit=limit)
        if kind == "tool.called" and "name" in data and "arguments" in data:
            return f"{safe(str(data['name']))} {short(data['arguments'], limit=limit)}"
        if kind == "tool.returned" and "name" in data and "content" in data:
            return f"{safe(str(data['name']))} -> {short(content, limit=limit)}"
    return short(data, limit=limit)


def event_lines(out: Output, event: RecordedEvent) -> Iterator[str]:
    """Yield all parts of an event, a line each; those that are empty are left out."""
    for name, part in event.as_dict().items():
        if part in (None, [], {}) and name != "data":
            continue
        lines = [safe(part)] if isinstance(part, str) and name != "data" else list(pretty(part))
        yield f"{out.paint(name.ljust(14), 'cyan')}  {lines[0]}"
        yield from (" " * 16 + line for line in lines[1:])


def change_line(out: Output, change: Change, *, limit: int | None = SHORT) -> str:
    """Return one step of a key's history as a line: the whole values, or the parts of them that changed."""
    steps = [
        f"{path}{short(was, limit=limit)} -> {out.paint(short(is_, limit=limit), 'red' if is_ is MISSING else 'green')}"
        for path, was, is_ in changed(change.before, change.after)
    ]
    by = _carried(out, change.schema) + ("" if change.actor is None else f"  by {safe(change.actor)}")
    return (
        f"{change.position:>5}  {out.paint(instant(change.recorded_at), 'dim')}  "
        f"{out.paint(safe(change.type).ljust(_TYPE_WIDTH), _colour(change.type))}  {', '.join(steps)}{by}"
    )


def difference_lines(out: Output, difference: Difference) -> Iterator[str]:
    """Yield what differs in one key: the parts that do, where both values are containers."""
    name = f"{safe(str(difference.scope))}  {safe(difference.key)}"
    if difference.before is MISSING:
        yield out.paint(f"+ {name}  {short(difference.after)}", "green")
    elif difference.after is MISSING:
        yield out.paint(f"- {name}  {short(difference.before)}", "red")
    else:
        yield out.paint(f"~ {name}", "yellow")
        for path, was, is_ in changed(difference.before, difference.after):
            if was is not MISSING:
                yield out.paint(f"  - {path}{short(was)}", "red")
            if is_ is not MISSING:
                yield out.paint(f"  + {path}{short(is_)}", "green")


def changed(before: Any, after: Any) -> list[tuple[str, Any, Any]]:
    """Return the parts that differ, each with its path as a line shows it; of too many, the whole."""
    parts = list(islice(_parts(before, after, ()), _MOST_PARTS + 1))
    if not 1 <= len(parts) <= _MOST_PARTS:
        return [("", before, after)]
    return [(f"{safe(render_path(path))}: " if path else "", was, is_) for path, was, is_ in parts]


_Path = tuple[str | int, ...]


def _parts(before: Any, after: Any, path: _Path) -> Iterator[tuple[_Path, Any, Any]]:
    """Yield the innermost parts that differ: (path, before, after)."""
    if isinstance(before, dict) and isinstance(after, dict):
        keys: list[str | int] = list(dict.fromkeys([*before, *after]))
        was, is_ = before.get, after.get
    elif isinstance(before, list) and isinstance(after, list):
        keys = list(range(max(len(before), len(after))))
        was, is_ = dict(enumerate(before)).get, dict(enumerate(after)).get
    else:
        if _differs(before, after):
            yield path, before, after
        return
    for key in keys:
        yield from _parts(was(key, MISSING), is_(key, MISSING), (*path, key))


def _differs(one: Any, other: Any) -> bool:
    if one is MISSING or other is MISSING:
        return one is not other
    return to_json(one) != to_json(other)
