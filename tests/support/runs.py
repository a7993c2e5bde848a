"""Recorded runs for tests: made ones, the real ones, and a plain replay of what a run's state must be."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterable

    from backstory import RecordedEvent, StateStore

REAL_RUNS = Path(__file__).resolve().parents[3] / "shared" / "data" / "agent_runs.jsonl"

Message = dict[str, Any]


def real_runs() -> list[dict[str, Any]]:
    """Return the runs of the shared data; skips the test where they are not there."""
    if not REAL_RUNS.exists():
        pytest.skip(f"{REAL_RUNS} is not there")
    return [json.loads(line) for line in REAL_RUNS.read_text(encoding="utf-8").splitlines()]


def user(content: object = "hello") -> Message:
    return {"role": "user", "content": content}


def assistant(content: object = None, *calls: Message) -> Message:
    asked = {"tool_calls": list(calls)} if calls else {}
    return {"role": "assistant", "content": content, **asked}


def call(call_id: str, name: str = "look", arguments: object = "{}") -> Message:
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def result(call_id: str, content: object = "done") -> Message:
    return {"role": "tool", "tool_call_id": call_id, "content": content}


def lines(path: Path, *values: object) -> Path:
    """Write JSON lines; what is text or bytes stands as it is."""
    raw = [v if isinstance(v, bytes) else v.encode() if isinstance(v, str) else json.dumps(v).encode() for v in values]
    path.write_bytes(b"".join(line + b"\n" for line in raw))
    return path


def replayed(messages: Iterable[Message], extra: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    """Return the state after each message of a sound run whose names need no escape."""
    state: dict[str, Any] = {"status": "running", "turns": 0, "messages": 0}
    if extra:
        state["run"] = extra
    called: dict[str, tuple[str, Any]] = {}
    states = []
    for message in messages:
        state["messages"] += 1
        state["last_role"] = message["role"]
        state["turns"] += message["role"] == "user"
        for each in message.get("tool_calls") or ():
            name = each["function"]["name"]
            called[each["id"]] = (name, _decoded(each["function"]["arguments"])[1])
            state.setdefault(f"tools/{name}", {"calls": 0, "errors": 0})["calls"] += 1
        if message["role"] == "tool":
            _replay_result(state, message, *called[message["tool_call_id"]])
        states.append(deepcopy(state))
    if states:
        states[-1]["status"] = "completed"
    return states


def _replay_result(state: dict[str, Any], message: Message, name: str, arguments: object) -> None:
    state[f"tools/{name}"]["errors"] += str(message["content"]).startswith("Error")
    is_json, content = _decoded(message["content"])
    if not is_json:
        return
    found = _named(content, name) or _named(arguments, name) if isinstance(content, dict) else None
    state[found or f"result/{name}"] = content


def _named(fields: object, tool: str) -> str | None:
    for name, value in fields.items() if isinstance(fields, dict) else ():
        if name == "id":
            return f"{tool}/{value}"
        if name.endswith("_id"):
            return f"{name[:-3]}/{value}"
    return None


def _decoded(text: object) -> tuple[bool, Any]:
    if not isinstance(text, str):
        return False, text
    try:
        return True, json.loads(text)
    except ValueError:
        return False, text


OWN = ("message.system", "message.user", "message.assistant", "tool.returned")


def steps_of(store: StateStore, scope: str) -> list[list[RecordedEvent]]:
    """Return a session's events, message by message: each begins with the message's own."""
    steps: list[list[RecordedEvent]] = []
    for event in store.log(scope=scope):
        if event.type in OWN:
            steps.append([])
        steps[-1].append(event)
    return steps
