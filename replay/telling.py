"""Telling: what an event was, in words for people: who did what, where, when."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

from backstory.domain.events import RecordedEvent

_LONGEST: Final = 80


def shown(value: Any, longest: int = _LONGEST) -> str:
    """Return a value as short JSON text; what JSON lacks in Python's way."""
    try:
        text = json.dumps(value, ensure_ascii=False, default=str)
    except (TypeError, ValueError):
        text = repr(value)
    return text if len(text) <= longest else text[: longest - 1] + "…"


def when(event: RecordedEvent) -> str:
    """Return when it was recorded."""
    return event.recorded_at.strftime("%Y-%m-%d %H:%M:%S UTC")


def clause(event: RecordedEvent) -> str:
    """Return who did what, as a clause; in the passive voice where nobody says who it was."""
    tell = _TELLERS.get(event.type)
    if tell is not None:
        try:
            return tell(event)
        except (KeyError, TypeError, AttributeError):
            pass  # an event of this type that somebody else wrote, in another form
    return _said(event, f"recorded {event.type} in {event.stream}", f"{event.type} was recorded in {event.stream}")


def sentence(event: RecordedEvent) -> str:
    """Return who did what, and when; without a full stop, for more may follow."""
    return f"{clause(event)} (event {event.position}, {when(event)})"


def _said(event: RecordedEvent, active: str, passive: str) -> str:
    """Return a clause about somebody, or about nobody in particular."""
    if event.actor is not None:
        return f"{event.actor} {active}"
    return f"hook {event.hooks[-1]} {active}" if event.hooks else passive


def _place(event: RecordedEvent) -> str:
    return f"{event.key} in {event.stream}"


def _set(event: RecordedEvent) -> str:
    data = event.data
    place, value, op = _place(event), shown(data["value"]), data["op"]
    if op == "increment":
        by = shown(data["by"])
        return _said(event, f"added {by} to {place}, which made it {value}", f"key {place} grew by {by} to {value}")
    if op in {"copy", "move"}:
        verb = "copied" if op == "copy" else "moved"
        source = f"{data['source']['key']} of {data['source']['scope']}"
        return _said(event, f"{verb} {source} to {place}: {value}", f"key {source} was {verb} to {place}: {value}")
    verb = {"update": "updated", "migrate": "migrated", "restore": "restored"}.get(op, "set")
    return _said(event, f"{verb} {place} to {value}", f"key {place} was {verb} to {value}")


def _removed(event: RecordedEvent) -> str:
    place = _place(event)
    return _said(event, f"deleted {place}", f"key {place} was deleted")


def _cleared(event: RecordedEvent) -> str:
    count = len(event.data["keys"])
    return _said(event, f"cleared {event.stream} of {count} keys", f"scope {event.stream} was cleared of {count} keys")


def _assistant(event: RecordedEvent) -> str:
    content = event.data.get("content")
    return f"the assistant said {shown(content)}" if content else "the assistant asked for tools to be called"


def _returned(event: RecordedEvent) -> str:
    data = event.data
    verb = "failed with" if data.get("error") else "returned"
    return f"tool {data.get('name')} {verb} {shown(data.get('content'))}"


def _hook(event: RecordedEvent) -> str:
    data = event.data
    result = data["result"]
    made = f" with {shown(result['value'])}" if "value" in result else ""
    because = f": {result['reason']}" if result.get("reason") else ""
    return f"hook {data['hook']} answered {result['kind']}{made} at {data['point']}{because}"


def _run(verb: str, *, plan: bool = False) -> Callable[[RecordedEvent], str]:
    """Return what tells of a run of a migration."""

    def tell(event: RecordedEvent) -> str:
        data = event.data
        name = f"migration {data['migration_id']}"
        if plan:
            name = f"the migration of {data['schema']} to {data['to']}"
        return _said(event, f"{verb} {name}", f"{name} was {verb}")

    return tell


def _bound(event: RecordedEvent) -> str:
    data = event.data
    where = f"keys {data['keys']} of {data['scope'] or 'all scopes'}"
    return _said(
        event,
        f"bound schema {data['name']} {data['version']} to {where}",
        f"schema {data['name']} {data['version']} was bound to {where}",
    )


def _registered(event: RecordedEvent) -> str:
    name = f"schema {event.data['name']} {event.data['version']}"
    return _said(event, f"registered {name}", f"{name} was registered")


_TELLERS: Final[dict[str, Callable[[RecordedEvent], str]]] = {
    "state.set": _set,
    "state.deleted": _removed,
    "state.expired": lambda event: f"key {_place(event)} expired",
    "scope.cleared": _cleared,
    "message.system": lambda event: f"the system prompt said {shown(event.data.get('content'))}",
    "message.user": lambda event: f"the user said {shown(event.data.get('content'))}",
    "message.assistant": _assistant,
    "tool.called": lambda event: f"the assistant called {event.data['name']}({shown(event.data.get('arguments'))})",
    "tool.returned": _returned,
    "hook.executed": _hook,
    "hook.failed": lambda event: f"hook {event.data['hook']} failed at {event.data['point']}: {event.data['error']}",
    "schema.registered": _registered,
    "schema.bound": _bound,
    "migration.planned": _run("planned", plan=True),
    "migration.started": _run("started"),
    "migration.completed": _run("completed"),
    "migration.rollback_started": _run("rolled back"),
    "migration.step_failed": lambda event: (
        f"{event.data['key']} in {event.data['scope']} failed: {event.data['error']}"
    ),
    "link.added": lambda event: f"two events were linked as {event.data['kind']}",
}
