"""Transcripts: what the messages of an agent's run, an OpenAI chat, become in the log. Pure.

A `Planner` takes a run's messages one by one and says which events and state writes each brings, and what caused
each of them. Everything is named by its place: message 3, part 0 is the message's own event. What breaks the form is
refused with its path, and the planner goes on with the next message as if the broken one were not there.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, Final, NamedTuple, NoReturn

from backstory.domain.errors import InvalidValueError, shown
from backstory.domain.sequencer import STATE_SET
from backstory.domain.transcript_keys import object_key, tool_key

__all__ = [
    "FORMATS",
    "Planned",
    "Planner",
    "Ref",
    "Run",
    "Step",
    "Unreadable",
    "end_of_json",
    "is_run",
    "read_json",
    "runs_in",
]

FORMATS: Final = ("openai-chat",)
"""The forms of transcripts that can be imported."""

_KINDS: Final = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant", "tool": "tool"}
_DEEPEST: Final = 190  # A stored value may hold 200 containers inside each other; an event puts some around a result.
_SURROGATE: Final = re.compile(r"\\u[dD][89a-fA-F]")


# -- Runs


class Run(NamedTuple):
    """A recorded run: its id (None: it has none), its messages as they stand, and its other fields."""

    id: str | None
    messages: list[Any]
    extra: dict[str, Any]


class Unreadable(NamedTuple):
    """What is no run, and why."""

    message: str


def runs_in(value: object) -> list[Run | Unreadable]:
    """Return the runs in a JSON value: one run, a list of runs, or a bare list of messages (a run without id)."""
    if isinstance(value, list) and any(is_run(item) for item in value):
        return [_run(item) for item in value]
    return [_run(value)]


def is_run(value: object) -> bool:
    """Return whether a value looks like a run: an object with messages, or a list of messages."""
    if isinstance(value, list):
        return any(isinstance(item, dict) and "messages" not in item for item in value)
    return isinstance(value, dict) and "messages" in value


def _run(value: object) -> Run | Unreadable:
    if isinstance(value, list) and is_run(value):
        return Run(None, value, {})
    if not isinstance(value, dict) or not isinstance(value.get("messages"), list):
        return Unreadable("this is no run. Give an object with a list of `messages`, or a bare list of messages.")
    if not value["messages"]:
        return Unreadable("this run has no messages. Leave it out.")
    name = next((name for name in ("run_id", "id") if value.get(name) is not None), None)
    run_id = None if name is None else value[name]
    if isinstance(run_id, bool) or not isinstance(run_id, str | int | None):
        return Unreadable(f"the id of this run is {shown(run_id)}. Give `run_id`, or `id`, as text.")
    extra = {field: item for field, item in value.items() if field not in {name, "messages"}}
    return Run(None if run_id is None else str(run_id), value["messages"], extra)


# -- JSON


def read_json(text: str) -> Any:
    """Return the value of strict JSON text; raises `ValueError` for all else, NaN and numbers beyond a float too."""
    try:
        return _DECODER.decode(text)
    except RecursionError:
        raise ValueError("it nests too deep") from None


def end_of_json(text: str, begin: int) -> int:
    """Return where the JSON value that begins at an index ends; raises `ValueError` where none begins."""
    return _DECODER.raw_decode(text, begin)[1]


def _refuse_constant(name: str) -> NoReturn:
    msg = f"{name} is no JSON"
    raise ValueError(msg)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        _refuse_constant(text)
    return number


_DECODER: Final = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_finite)


def _storable(text: str) -> Any:
    """Return the value of JSON text; raises `ValueError` also for what a store could not hold."""
    value = read_json(text)
    if _SURROGATE.search(text):
        json.dumps(value, ensure_ascii=False).encode()
    if text.count("[") + text.count("{") > _DEEPEST and _depth_of(value) > _DEEPEST:
        raise ValueError("it nests too deep")
    return value


def _depth_of(value: object) -> int:
    depth, level = 0, [value]
    while level := [item for item in level if isinstance(item, list | dict)]:
        depth += 1
        level = [inner for item in level for inner in (item.values() if isinstance(item, dict) else item)]
    return depth


# -- Planning


class Ref(NamedTuple):
    """The place of an event in its run: message 0, 1, ..., and in what that brings, part 0 (its own), 1, ..."""

    message: int
    part: int


class Planned(NamedTuple):
    """An event to record: where it stands and what caused it. The data of a state write is the value."""

    ref: Ref
    cause: Ref | None
    type: str
    data: Any
    key: str | None = None


class _Call(NamedTuple):
    """A tool call, with the id that results name."""

    call_id: str
    ref: Ref
    name: str
    arguments: Any


class _Tally(NamedTuple):
    """How often a tool was called, and how many of its results were errors."""

    calls: int = 0
    errors: int = 0


class Step(NamedTuple):
    """What one message brings: `events` begin with its own; `problems` are calls that could not be read."""

    events: list[Planned]
    problems: list[str]
    calls: list[_Call]
    tallies: dict[str, _Tally]
    turns: int


class Planner:
    """Plans one run, message by message. `plan` decides nothing for good: `accept` goes on from its step."""

    def __init__(self) -> None:
        self._last: Ref | None = None
        self._messages = 0
        self._turns = 0
        self._calls: dict[str, _Call] = {}
        self._tallies: dict[str, _Tally] = {}

    def plan(self, index: int, message: object) -> Step:
        """Return what the message at an index brings; raises `InvalidValueError` for one that breaks the form."""
        where = f"messages[{index}]"
        checked = _checked(message, where)
        sketch = _Sketch(index, self._tallies)
        if checked["role"] == "tool":
            self._sketch_result(sketch, checked, where)
        else:
            sketch.add(self._last, f"message.{_KINDS[checked['role']]}", checked)
            _sketch_calls(sketch, checked, where)
        turns = self._turns + (checked["role"] == "user")
        own = Ref(index, 0)
        if self._last is None:
            sketch.put(own, "status", "running")
        if self._last is None or turns != self._turns:
            sketch.put(own, "turns", turns)
        sketch.put(own, "messages", self._messages + 1)
        sketch.put(own, "last_role", checked["role"])
        return Step(sketch.events, sketch.problems, sketch.calls, sketch.tallies, turns)

    def accept(self, step: Step) -> None:
        """Go on from a step: the next message follows it."""
        self._last = step.events[0].ref
        self._messages += 1
        self._turns = step.turns
        self._calls.update((call.call_id, call) for call in step.calls)
        self._tallies.update(step.tallies)

    def _sketch_result(self, sketch: _Sketch, message: Mapping[str, Any], where: str) -> None:
        call_id = message.get("tool_call_id")
        if not isinstance(call_id, str):
            _refuse(f"{where}.tool_call_id", f"is {shown(call_id)}", "Give the id of the call as text.")
        call = self._calls.get(call_id)
        if call is None:
            _refuse(f"{where}.tool_call_id", f"names no earlier call: {shown(call_id)}", "Add the call it answers.")
        text = _text_of(message.get("content"))
        failed = text.startswith("Error")
        try:
            content, is_json = _storable(text), True
        except ValueError:
            content, is_json = message.get("content"), False
        name = message.get("name")
        data = {"id": call_id, "name": name if isinstance(name, str) and name else call.name}
        returned = sketch.add(call.ref, "tool.returned", {**data, "content": content, "error": failed})
        if failed:
            sketch.count(returned, call.name, errors=1)
        if is_json:
            sketch.put(returned, _place_of(content, call), content)


class _Sketch:
    """What a message brings, as far as it has been read."""

    def __init__(self, index: int, tallies: Mapping[str, _Tally]) -> None:
        self.events: list[Planned] = []
        self.problems: list[str] = []
        self.calls: list[_Call] = []
        self.tallies: dict[str, _Tally] = {}
        self._index = index
        self._before = tallies

    def add(self, cause: Ref | None, kind: str, data: object, key: str | None = None) -> Ref:
        """Add an event; return its place."""
        ref = Ref(self._index, len(self.events))
        self.events.append(Planned(ref, cause, kind, data, key))
        return ref

    def put(self, cause: Ref, key: str, value: object) -> None:
        """Add a state write."""
        self.add(cause, STATE_SET, value, key)

    def count(self, cause: Ref, tool: str, *, calls: int = 0, errors: int = 0) -> None:
        """Add the write of a tool's tally."""
        before = self.tallies.get(tool) or self._before.get(tool) or _Tally()
        tally = _Tally(before.calls + calls, before.errors + errors)
        self.tallies[tool] = tally
        self.put(cause, tool_key("tools", tool), tally._asdict())


def _sketch_calls(sketch: _Sketch, message: Mapping[str, Any], where: str) -> None:
    if message["role"] != "assistant":
        return
    for number, item in enumerate(message.get("tool_calls") or ()):
        try:
            call_id, name, arguments = _read_call(item, f"{where}.tool_calls[{number}]")
        except InvalidValueError as error:
            sketch.problems.append(str(error))
            continue
        data = {"id": call_id, "name": name, "arguments": arguments}
        called = sketch.add(Ref(sketch.events[0].ref.message, 0), "tool.called", data)
        sketch.calls.append(_Call(call_id, called, name, arguments))
    for call in sketch.calls:
        sketch.count(call.ref, call.name, calls=1)


def _read_call(item: object, where: str) -> tuple[str, str, Any]:
    """Return a call's id, name and arguments; arguments that are no JSON stay text."""
    function = item.get("function") if isinstance(item, dict) else None
    if not isinstance(item, dict) or not isinstance(function, dict):
        _refuse(where, f"is no call of a function: {shown(item)}", "Give an object with `id` and `function`.")
    call_id, name, arguments = item.get("id"), function.get("name"), function.get("arguments")
    if not isinstance(call_id, str):
        _refuse(f"{where}.id", f"is {shown(call_id)}", "Give the call's id as text.")
    if not isinstance(name, str):
        _refuse(f"{where}.function.name", f"is {shown(name)}", "Give the function's name as text.")
    if isinstance(arguments, str):
        with suppress(ValueError):
            arguments = _storable(arguments)
    elif not isinstance(arguments, dict | None):
        _refuse(f"{where}.function.arguments", f"is {shown(arguments)}", "Give the arguments as JSON text.")
    return call_id, name, arguments


def _checked(message: object, where: str) -> Mapping[str, Any]:
    """Return a message whose outer form is right; raises `InvalidValueError`."""
    if not isinstance(message, dict):
        _refuse(where, f"is no message: {shown(message)}", "Give an object with `role` and `content`.")
    role, content, calls = message.get("role"), message.get("content"), message.get("tool_calls")
    if not isinstance(role, str) or role not in _KINDS:
        _refuse(f"{where}.role", f"is {shown(role)}", f"Give one of {', '.join(_KINDS)}.")
    fits = content is None or isinstance(content, str)
    if not fits and not (isinstance(content, list) and all(isinstance(part, dict) for part in content)):
        _refuse(f"{where}.content", f"is {shown(content)}", "Give text, null, or a list of parts.")
    if role == "assistant" and not isinstance(calls, list | None):
        _refuse(f"{where}.tool_calls", f"is {shown(calls)}", "Give a list of calls, or none.")
    return message


def _text_of(content: object) -> str:
    """Return the text of a checked content: its own, or that of its parts."""
    if isinstance(content, list):
        return "".join(_texts_of(content))
    return content if isinstance(content, str) else ""


def _texts_of(parts: list[Any]) -> Iterator[str]:
    for part in parts:
        text = part.get("text")
        if isinstance(text, str):
            yield text


def _place_of(result: object, call: _Call) -> str:
    """Return where a JSON result goes: under its own id, else under its call's, else under the tool's name."""
    if isinstance(result, dict):
        for fields in (result, call.arguments):
            if isinstance(fields, dict) and (found := _named_id(fields, call.name)):
                return object_key(*found)
    return tool_key("result", call.name)


def _named_id(fields: Mapping[str, Any], tool: str) -> tuple[str, str] | None:
    """Return what and which: from the first field named `id` or `..._id` that holds text or a whole number."""
    for name, value in fields.items():
        if name != "id" and not name.endswith("_id"):
            continue
        if (isinstance(value, str) and value) or (isinstance(value, int) and not isinstance(value, bool)):
            return name[:-3] or tool, str(value)
    return None


def _refuse(path: str, rule: str, hint: str) -> NoReturn:
    raise InvalidValueError(path, rule=rule, hint=hint)
