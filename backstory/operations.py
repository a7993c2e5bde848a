"""Operations: what `StateStore`, its async twin and transactions do, each written once as a program."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from backstory.committing import reading
from backstory.context import WriteContext, author_of
from backstory.domain.decisions import Decisions, Expected, NewEvent
from backstory.domain.errors import ConflictError, InvalidValueError
from backstory.domain.events import ANY, MISSING, Event, ExpectedVersion, RecordedEvent, value_in
from backstory.domain.keys import normalise_key, validate_prefix
from backstory.domain.ports import Here, Program
from backstory.domain.scopes import Scope, as_scope
from backstory.gate import Session
from backstory.infrastructure.clock import new_id
from backstory.projections.state import StateReader

RESERVED: Final = (
    "state.",
    "scope.cleared",
    "hook.",
    "circuit.",
    "schema.",
    "migration.",
    "backup.",
    "access.",
    "replay.",
    "branch.",
    "key.rotated",
    "subject.shredded",
    "link.added",
)
_LONGEST_TYPE: Final = 256
_UPDATE_TRIES: Final = 1000


def stream_of(scope: Scope | str) -> str:
    """Return the stream that belongs to a scope; raises `InvalidScopeError`."""
    return str(as_scope(scope))


class Operations:
    """Operations in one session. Every method is a program; the faces say what each does."""

    def __init__(self, session: Session, state: StateReader, decisions: Decisions, actor: str | None) -> None:
        self._session = session
        self._state = state
        self._decisions = decisions
        self._actor = actor

    # Reading

    def get(
        self, scope: Scope | str, key: str, default: Any, as_of: object, schema_version: str | None
    ) -> Program[Any]:
        if schema_version is not None:
            return (yield from self._get_as(stream_of(scope), normalise_key(key), default, as_of, schema_version))
        value = yield from self._session.get(stream_of(scope), normalise_key(key), as_of)
        return default if value is MISSING else value

    def _get_as(self, stream: str, key: str, default: Any, as_of: object, version: str) -> Program[Any]:
        from backstory.migrations.upcasting import Ways, upcast  # noqa: PLC0415 - only where values carry schemas

        if self._session.guard.ways is None:
            self._session.guard.ways = Ways()
        at, head = yield from self._session.seen(stream, key, as_of)
        value = yield from self._session.get(stream, key, at)
        if value is MISSING:
            return default
        state, ways = self._state, self._session.guard.ways
        return (yield from upcast(state.reader, state.lineage, ways, value, position=head.position, version=version))

    def exists(self, scope: Scope | str, key: str, as_of: object) -> Program[bool]:
        value = yield from self._session.get(stream_of(scope), normalise_key(key), as_of, "exists")
        return value is not MISSING

    def keys(self, scope: Scope | str, prefix: str, as_of: object) -> Program[list[str]]:
        heads = yield from self._session.heads(stream_of(scope), validate_prefix(prefix), as_of)
        return [key for key, _ in heads]

    def items(self, scope: Scope | str, prefix: str, as_of: object) -> Program[dict[str, Any]]:
        return (yield from self._session.items(stream_of(scope), validate_prefix(prefix), as_of))

    def get_many(self, scope: Scope | str, keys: Iterable[str], as_of: object) -> Program[dict[str, Any]]:
        return (yield from self._session.get_many(stream_of(scope), _many(keys), as_of))

    # Writing

    def set(  # noqa: PLR0917 - the face's arguments, passed on
        self,
        scope: Scope | str,
        key: str,
        value: object,
        expected: Expected,
        expected_key: Expected,
        ttl: float | timedelta | None,
        state_class: str | None,
        given: WriteContext,
    ) -> Program[RecordedEvent]:
        at = (stream_of(scope), normalise_key(key))
        if expected is not ANY or expected_key is not ANY:
            _check_expected(expected)
            _check_expected(expected_key)
        if state_class is not None:
            _check_class(state_class)
        author = author_of(given, self._actor)
        encoded = self._decisions.encode(value, scope=at[0], key=at[1])
        intent = self._decisions.set(
            at, encoded, author=author, ttl_us=_ttl_us(ttl), expected=expected, expected_key=expected_key
        )
        events, _ = yield from self._session.perform(intent, author)
        return events[0]

    def delete(
        self, scope: Scope | str, key: str, expected: Expected, expected_key: Expected, given: WriteContext
    ) -> Program[bool]:
        at = (stream_of(scope), normalise_key(key))
        _check_expected(expected)
        _check_expected(expected_key)
        author = author_of(given, self._actor)
        intent = self._decisions.delete(at, author=author, expected=expected, expected_key=expected_key)
        _, deleted = yield from self._session.perform(intent, author)
        return bool(deleted)

    def clear(self, scope: Scope | str, given: WriteContext) -> Program[int]:
        author = author_of(given, self._actor)
        _, count = yield from self._session.perform(self._decisions.clear(stream_of(scope), author=author), author)
        return int(count)

    def copy(
        self, source: Scope | str, target: Scope | str, pattern: str, given: WriteContext, *, move: bool
    ) -> Program[int]:
        author = author_of(given, self._actor)
        intent = self._decisions.copy(stream_of(source), stream_of(target), pattern=pattern, author=author, move=move)
        _, count = yield from self._session.perform((yield from self._session.refer(intent)), author)
        return int(count)

    def update(
        self, scope: Scope | str, key: str, change: Callable[[Any], Any], default: object, given: WriteContext
    ) -> Program[Any]:
        at = (stream_of(scope), normalise_key(key))
        author = author_of(given, self._actor)
        if not callable(change):
            raise InvalidValueError("change", rule=f"is {type(change).__name__}, no function", hint="Give a function.")
        conflict: ConflictError | None = None
        for _ in range(_UPDATE_TRIES):
            head, now_us = yield from self._session.head_of(*at)
            seen = self._session.saw(head)
            yield Here()
            value = change(self._state.value(head) if head.present(now_us) else default)
            encoded = self._decisions.encode(value, scope=at[0], key=at[1])
            try:
                intent = reading(self._decisions.update(at, head.version, encoded, author=author), seen)
                events, _ = yield from self._session.perform(intent, author)
            except ConflictError as error:
                conflict = error
                continue
            return value_in(events[0].stored.data, self._decisions.decoded)
        assert conflict is not None
        raise conflict

    def increment(self, scope: Scope | str, key: str, by: Any, given: WriteContext) -> Program[Any]:
        at = (stream_of(scope), normalise_key(key))
        author = author_of(given, self._actor)
        events, _ = yield from self._session.perform(self._decisions.increment(at, by, author=author), author)
        return value_in(events[0].stored.data, self._decisions.decoded)

    def set_if_absent(self, scope: Scope | str, key: str, value: object, given: WriteContext) -> Program[bool]:
        at = (stream_of(scope), normalise_key(key))
        author = author_of(given, self._actor)
        encoded = self._decisions.encode(value, scope=at[0], key=at[1])
        _, written = yield from self._session.perform(self._decisions.set_if_absent(at, encoded, author=author), author)
        return bool(written)

    def compare_and_swap(
        self, scope: Scope | str, key: str, expected: object, value: object, given: WriteContext
    ) -> Program[bool]:
        at = (stream_of(scope), normalise_key(key))
        author = author_of(given, self._actor)
        encoded = self._decisions.encode(value, scope=at[0], key=at[1])
        intent = self._decisions.compare_and_swap(at, expected, encoded, author=author)
        _, swapped = yield from self._session.perform(intent, author)
        return bool(swapped)

    def set_many(
        self, scope: Scope | str, mapping: Mapping[str, object], given: WriteContext
    ) -> Program[list[RecordedEvent]]:
        stream = stream_of(scope)
        author = author_of(given, self._actor)
        if not isinstance(mapping, Mapping):
            raise InvalidValueError("mapping", rule=f"is {type(mapping).__name__}, no mapping", hint="Give a dict.")
        encoded: dict[str, bytes] = {}
        for name, value in mapping.items():
            key = normalise_key(name)
            if key in encoded:
                raise InvalidValueError(key, rule="stands twice in the mapping after normalisation", hint="Keep one.")
            encoded[key] = self._decisions.encode(value, scope=stream, key=key)
        if not encoded:
            return []
        events, _ = yield from self._session.perform(self._decisions.set_many(stream, encoded, author=author), author)
        return list(events)

    def delete_many(self, scope: Scope | str, keys: Iterable[str], given: WriteContext) -> Program[int]:
        author = author_of(given, self._actor)
        intent = self._decisions.delete_many(stream_of(scope), _many(keys), author=author)
        _, count = yield from self._session.perform(intent, author)
        return int(count)

    def append(
        self, scope: Scope | str, events: Event | Sequence[Event], expected: Expected, given: WriteContext
    ) -> Program[list[RecordedEvent]]:
        stream = stream_of(scope)
        _check_expected(expected)
        author = author_of(given, self._actor)
        wanted = tuple(events) if isinstance(events, Iterable) else (events,)
        checked = [self._checked(stream, event) for event in wanted]
        if not checked:
            return []
        intent = self._decisions.append(stream, checked, author=author, expected=expected)
        recorded, _ = yield from self._session.perform(intent, author)
        return list(recorded)

    def _checked(self, stream: str, event: object) -> NewEvent:
        if not isinstance(event, Event):
            raise InvalidValueError("events", rule=f"holds a {type(event).__name__}", hint="Append `Event`s.")
        _check_type(event.type)
        key = None if event.key is None else normalise_key(event.key)
        given = event.event_id
        if given is not None and not isinstance(given, UUID):
            raise InvalidValueError("event_id", rule="is no UUID", hint="Give a uuid.UUID, or none at all.")
        data = self._decisions.encode(event.data, scope=stream, key=key)
        return NewEvent(new_id() if given is None else given.bytes, event.type, data, key, given is not None)


def _many(keys: object) -> list[str]:
    if isinstance(keys, str) or not isinstance(keys, Iterable):
        raise InvalidValueError("keys", rule="is no list of keys", hint="Give several keys as a list.")
    return list(dict.fromkeys(normalise_key(key) for key in keys))


def _check_expected(expected: object) -> None:
    if isinstance(expected, ExpectedVersion):
        return
    if isinstance(expected, bool) or not isinstance(expected, int) or expected < 0:
        raise InvalidValueError(
            "expected_version", rule=f"is no version: {expected!r}", hint="Give a number from 0, ANY, EMPTY or EXISTS."
        )


def _check_class(state_class: str) -> None:
    if state_class != "standard":
        raise InvalidValueError(
            "state_class",
            rule=f"{state_class!r} is not a class of this version",
            hint="Leave it out, or use 'standard'.",
        )


def _check_type(name: object) -> None:
    if not isinstance(name, str) or not 1 <= len(name) <= _LONGEST_TYPE or not name.isprintable():
        raise InvalidValueError(
            "type",
            rule=f"is no text of 1 to {_LONGEST_TYPE} printable characters",
            hint="Name events like `order.placed`.",
        )
    if any(name == family or (family.endswith(".") and name.startswith(family)) for family in RESERVED):
        raise InvalidValueError(
            "type", rule=f"{name!r} is written by the store alone", hint="Choose a name of your own for your events."
        )


def _ttl_us(ttl: object) -> int | None:
    if ttl is None:
        return None
    try:
        span = ttl if isinstance(ttl, timedelta) else timedelta(seconds=ttl)  # type: ignore[arg-type]
        micros = span // timedelta(microseconds=1)
    except (TypeError, ValueError, OverflowError):
        micros = 0
    if isinstance(ttl, bool) or not 0 < micros <= 10**17:
        raise InvalidValueError(
            "ttl", rule=f"is no span of time: {ttl!r}", hint="Give seconds above 0, or a timedelta."
        )
    return micros


__all__ = ["ANY", "RESERVED", "Operations", "stream_of"]
