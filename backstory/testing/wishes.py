"""What each operation should write and answer, said once more and as plainly as can be, on the model.

An operation is decided at an `Eye`: a branch, an instant, and a note of all that the decision looked at.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from decimal import Decimal
from fnmatch import fnmatchcase
from typing import Any

from backstory.domain.errors import ConflictError, InvalidValueError
from backstory.domain.events import ANY, EMPTY, EXISTS, MISSING, Event, from_micros
from backstory.testing.model import Cell, Fact, Model, same

__all__ = ["Answer", "Eye", "Op", "addable", "answer", "deleted", "written"]

NEVER = Cell(0, 0, MISSING)
Answer = tuple[list[Fact], Any]


@dataclass(frozen=True)
class Op:
    """A call of a store's method."""

    name: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any] = field(default_factory=dict)


@dataclass
class Eye:
    """Whose eyes an operation is decided with.

    In a transaction `reads` has the version, before its own writes, of each key and stream that was looked at: its
    own writes are the facts after position `begin`. `expires` has what it saw that will be gone, and when.
    """

    model: Model
    branch: int
    now_us: int
    begin: int = 0
    reads: dict[tuple[str, str | None], int] = field(default_factory=dict)
    expires: set[tuple[int, str, str]] = field(default_factory=set)

    def version(self, stream: str) -> int:
        """Look at a stream's version."""
        facts = self.model.log(self.branch, len(self.model.facts))
        before = sum(fact.stream == stream and fact.position <= self.begin for fact in facts)
        self.reads.setdefault((stream, None), before)
        return sum(fact.stream == stream for fact in facts)

    def cell(self, stream: str, key: str) -> Cell:
        """Look at a key."""
        cell = self.model.cells(self.branch, len(self.model.facts)).get((stream, key), NEVER)
        if cell.position <= self.begin:
            self.reads.setdefault((stream, key), cell.version)
        self._expect(stream, key, cell)
        return cell

    def _expect(self, stream: str, key: str, cell: Cell) -> None:
        if cell.expires_us is not None and cell.seen(self.now_us) is not MISSING:
            self.expires.add((cell.expires_us, stream, key))

    def value(self, stream: str, key: str) -> Any:
        """Look at a key's value."""
        return self.cell(stream, key).seen(self.now_us)

    def items(self, stream: str) -> dict[str, Any]:
        """Look at a whole scope."""
        self.version(stream)
        for (home, key), cell in self.model.cells(self.branch, len(self.model.facts)).items():
            if home == stream:
                self._expect(stream, key, cell)
        return self.model.state(self.branch, (len(self.model.facts), self.now_us)).get(stream, {})


def answer(eye: Eye, op: Op) -> Answer:
    """Return the facts that an operation should write and what it should answer; raises what it should raise."""
    kwargs = dict(op.kwargs)
    author = {name: kwargs.pop(given, None) for name, given in _AUTHOR.items()}
    facts, result = _RULES[op.name](eye, *op.args, **kwargs)
    return [replace(fact, **author) for fact in facts], result


_AUTHOR = {"cause": "cause", "correlation": "correlation_id", "actor": "actor"}


def _check(expected: Any, actual: int, *, there: bool, at: tuple[str, str | None]) -> None:
    if not {ANY: True, EMPTY: not there, EXISTS: there}.get(expected, actual == expected):
        raise ConflictError(expected=expected, actual=actual, stream=at[0], key=at[1])


def _expect(eye: Eye, stream: str, key: str, stream_version: Any, key_version: Any) -> None:
    version = 0 if stream_version is ANY else eye.version(stream)
    cell = NEVER if key_version is ANY else eye.cell(stream, key)
    _check(stream_version, version, there=version > 0, at=(stream, None))
    _check(key_version, cell.version, there=cell.seen(eye.now_us) is not MISSING, at=(stream, key))


def written(stream: str, key: str, value: Any, op: str, **more: Any) -> Fact:
    """Return the wish for a `state.set`."""
    expires_us = more.pop("expires_us", None)
    if expires_us is not None:
        more["expires_at"] = from_micros(expires_us)
    return Fact(stream, "state.set", {"value": value, "op": op, **more}, key, expires_us)


def deleted(stream: str, key: str, op: str = "delete") -> Fact:
    """Return the wish for a `state.deleted`."""
    return Fact(stream, "state.deleted", {"op": op}, key)


def _set(
    eye: Eye,
    stream: str,
    key: str,
    value: Any,
    *,
    ttl: Any = None,
    expected_version: Any = ANY,
    expected_key_version: Any = ANY,
) -> Answer:
    _expect(eye, stream, key, expected_version, expected_key_version)
    span = ttl if ttl is None or isinstance(ttl, timedelta) else timedelta(seconds=ttl)
    expires_us = None if span is None else eye.now_us + span // timedelta(microseconds=1)
    return [written(stream, key, value, "set", expires_us=expires_us)], ...


def _delete(eye: Eye, stream: str, key: str, *, expected_version: Any = ANY, expected_key_version: Any = ANY) -> Answer:
    there = eye.value(stream, key) is not MISSING
    _expect(eye, stream, key, expected_version, expected_key_version)
    return [deleted(stream, key)] * there, there


def _clear(eye: Eye, stream: str) -> Answer:
    keys = sorted(eye.items(stream))
    return [Fact(stream, "scope.cleared", {"keys": keys})] * bool(keys), len(keys)


def _copied(eye: Eye, source: str, target: str, pattern: str, op: str) -> Answer:
    facts: list[Fact] = []
    for key, value in sorted(eye.items(source).items()):
        if fnmatchcase(key, pattern):
            cell = eye.model.cells(eye.branch, len(eye.model.facts))[source, key]
            origin = {"scope": source, "key": key, "position": cell.position}
            facts.append(written(target, key, value, op, source=origin, expires_us=cell.expires_us))
            facts += [deleted(source, key, op)] * (op == "move")
    return facts, sum(fact.type == "state.set" for fact in facts)


def _update(eye: Eye, stream: str, key: str, change: Callable[[Any], Any], *, default: Any = None) -> Answer:
    value = eye.value(stream, key)
    value = change(default if value is MISSING else value)
    return [written(stream, key, value, "update")], value


def addable(value: Any, by: Any) -> bool:
    """Return whether a value can be incremented by that."""
    return type(value) in {int, float, Decimal} and {type(value), type(by)} != {Decimal, float}


def _increment(eye: Eye, stream: str, key: str, by: Any = 1) -> Answer:
    value = eye.value(stream, key)
    value = 0 if value is MISSING else value
    if not addable(value, by):
        raise InvalidValueError(key, rule="is no number")
    return [written(stream, key, value + by, "increment", by=by)], value + by


def _set_if_absent(eye: Eye, stream: str, key: str, value: Any) -> Answer:
    absent = eye.value(stream, key) is MISSING
    return [written(stream, key, value, "set")] * absent, absent


def _compare_and_swap(eye: Eye, stream: str, key: str, expected: Any, value: Any) -> Answer:
    equal = same(eye.value(stream, key), expected)
    return [written(stream, key, value, "set")] * equal, equal


def _set_many(eye: Eye, stream: str, mapping: dict[str, Any]) -> Answer:
    del eye
    return [written(stream, key, value, "set") for key, value in mapping.items()], ...


def _delete_many(eye: Eye, stream: str, keys: list[str]) -> Answer:
    there = [key for key in dict.fromkeys(keys) if eye.value(stream, key) is not MISSING]
    return [deleted(stream, key) for key in there], len(there)


def _append(eye: Eye, stream: str, events: list[Event], *, expected_version: Any = ANY) -> Answer:
    ids = [None if event.event_id is None else event.event_id.bytes for event in events]
    known = {fact.event_id for fact in eye.model.facts if fact.event_id is not None}
    if expected_version is not ANY:
        version = eye.version(stream)
        if not all(event_id in known for event_id in ids):
            _check(expected_version, version, there=version > 0, at=(stream, None))
    wishes = zip(events, ids, strict=True)
    return [Fact(stream, event.type, event.data, event.key, event_id=event_id) for event, event_id in wishes], ...


def _get(eye: Eye, stream: str, key: str, default: Any = None) -> Answer:
    value = eye.value(stream, key)
    return [], default if value is MISSING else value


def _get_many(eye: Eye, stream: str, keys: list[str]) -> Answer:
    found = {key: eye.value(stream, key) for key in keys}
    return [], {key: value for key, value in found.items() if value is not MISSING}


def _items(eye: Eye, stream: str, *, prefix: str = "") -> Answer:
    return [], {key: value for key, value in eye.items(stream).items() if key.startswith(prefix)}


_RULES: dict[str, Callable[..., Answer]] = {
    "set": _set,
    "delete": _delete,
    "clear": _clear,
    "copy": lambda eye, source, target, *, keys="*": _copied(eye, source, target, keys, "copy"),
    "move": lambda eye, source, target, *, keys="*": _copied(eye, source, target, keys, "move"),
    "update": _update,
    "increment": _increment,
    "set_if_absent": _set_if_absent,
    "compare_and_swap": _compare_and_swap,
    "set_many": _set_many,
    "delete_many": _delete_many,
    "append": _append,
    "get": _get,
    "exists": lambda eye, stream, key: ([], eye.value(stream, key) is not MISSING),
    "get_many": _get_many,
    "items": _items,
    "keys": lambda eye, stream, *, prefix="": ([], list(_items(eye, stream, prefix=prefix)[1])),
}
