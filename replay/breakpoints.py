"""Breakpoints: where a replay session stops."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal, Self
from uuid import UUID

from backstory.domain.errors import InvalidValueError
from backstory.domain.events import RecordedEvent
from backstory.domain.hooks import HOOK_EXECUTED, HOOK_FAILED, hook_point
from backstory.domain.keys import match_keys, normalise_key
from backstory.domain.scopes import Scope, as_scope
from backstory.projections.history import differs

Kind = Literal["hook", "point", "event", "time", "error", "state", "count"]
_RUNS: Final = frozenset({HOOK_EXECUTED, HOOK_FAILED})


@dataclass(slots=True, eq=False)
class Breakpoint:
    """A condition on the event that a session has just stepped over. Make one with a constructor.

    `enabled` can be switched; one that is `once` switches itself off when it is hit. `hits` counts.
    """

    kind: Kind
    what: Any
    once: bool = False
    enabled: bool = True
    hits: int = 0

    @classmethod
    def hook(cls, name: str, *, once: bool = False) -> Self:
        """Stop after a run of this hook; `*` stands for any text."""
        return cls("hook", _text("name", name), once)

    @classmethod
    def point(cls, name: str, *, once: bool = False) -> Self:
        """Stop after a run of any hook at this point."""
        return cls("point", hook_point(name).name, once)

    @classmethod
    def event(cls, which: str | UUID | int, *, once: bool = False) -> Self:
        """Stop after an event: an id, a position, or a type such as `tool.*`."""
        if isinstance(which, bool) or not isinstance(which, (str, UUID, int)):
            raise InvalidValueError("event", rule=f"is {which!r}", hint="Give an id, a position, or a type.")
        return cls("event", which, once)

    @classmethod
    def time(cls, instant: datetime, *, once: bool = True) -> Self:
        """Stop after the first event recorded at or after an instant."""
        if not isinstance(instant, datetime) or instant.utcoffset() is None:
            raise InvalidValueError("time", rule=f"is no aware datetime: {instant!r}", hint="Give it a time zone.")
        return cls("time", instant, once)

    @classmethod
    def error(cls, *, once: bool = False) -> Self:
        """Stop after a hook that failed, or a tool that returned an error."""
        return cls("error", None, once)

    @classmethod
    def state(
        cls, scope: Scope | str, key: str, condition: Callable[[Any], object] | Any, *, once: bool = False
    ) -> Self:
        """Stop where a key's value equals `condition`, or makes it true; `MISSING` is the value of an absent key."""
        return cls("state", (str(as_scope(scope)), normalise_key(key), condition), once)

    @classmethod
    def count(cls, number: int, *, once: bool = False) -> Self:
        """Stop after every so many events."""
        if isinstance(number, bool) or not isinstance(number, int) or number < 1:
            raise InvalidValueError("count", rule=f"is {number!r}", hint="Give 1 or more.")
        return cls("count", number, once)

    def hit(self, event: RecordedEvent, number: int, value: Any) -> bool:
        """Return whether the session stops here; `number` counts its events, `value` is that of a state's key."""
        if not self.enabled or not self._holds(event, number, value):
            return False
        self.hits += 1
        self.enabled = not self.once
        return True

    def _holds(self, event: RecordedEvent, number: int, value: Any) -> bool:
        what = self.what
        if self.kind in {"hook", "point"}:
            return event.type in _RUNS and match_keys(what, event.data[self.kind])
        if self.kind == "state":
            condition = what[2]
            return bool(condition(value)) if callable(condition) else not differs(value, condition)
        if self.kind == "event":
            return self._is(event)
        holds: dict[str, Callable[[], Any]] = {
            "time": lambda: event.recorded_at >= what,
            "error": lambda: event.type == HOOK_FAILED or (event.type == "tool.returned" and event.data.get("error")),
            "count": lambda: number % what == 0,
        }
        return bool(holds[self.kind]())

    def _is(self, event: RecordedEvent) -> bool:
        if isinstance(self.what, UUID):
            return event.event_id == self.what
        if isinstance(self.what, int):
            return event.position == self.what
        return str(event.event_id) == self.what or match_keys(self.what, event.type)

    def __str__(self) -> str:
        what = "" if self.what is None else f" {self.what!r}"
        return f"{self.kind}{what}{'' if self.enabled else ' (off)'}"


def _text(path: str, given: object) -> str:
    if not isinstance(given, str) or not given:
        raise InvalidValueError(path, rule=f"is no text: {given!r}", hint="Give a non-empty str.")
    return given
