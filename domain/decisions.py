"""What each operation writes, decided from facts alone. Pure; one rule for every engine and face.

An `Intent` names the facts that its decision needs. A direct call decides under the log's
lock; a transaction decides on its own view and has its reads checked at commit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Context, Decimal, Inexact, InvalidOperation, Overflow, localcontext
from typing import Any, Final, Literal, NamedTuple, Protocol

from backstory.domain.commits import Decision, Draft, KeyHead, Needs, StreamKey, View, split_causes
from backstory.domain.context import Author
from backstory.domain.errors import ConflictError, InvalidScopeError, InvalidValueError, ValueTooLargeError
from backstory.domain.events import ANY, EMPTY, EXISTS, FOREIGN_FORMAT, MISSING, ExpectedVersion, from_micros, value_in
from backstory.domain.keys import match_keys
from backstory.domain.sequencer import SCOPE_CLEARED, STATE_DELETED, STATE_EXPIRED, STATE_SET

Expected = int | ExpectedVersion
Op = Literal["set", "update", "increment", "copy", "move", "migrate", "restore"]
# A sum of decimals is exact or refused, whatever the caller's own decimal context would make of it.
_EXACT: Final = Context(prec=10_000, traps=[Inexact, InvalidOperation, Overflow])


class ValueCodec(Protocol):
    """How decisions turn values into stored bytes and back."""

    def encode_value(self, value: object, *, max_bytes: int | None = None) -> bytes:
        """Return the JSON text of a value; raises `InvalidValueError` or `ValueTooLargeError`."""
        ...

    def encode_set(self, value_bytes: bytes, op: Op, extra: Mapping[str, object] | None) -> bytes:
        """Return a set event's data around an encoded value."""
        ...

    def decode_value(self, data: bytes) -> Any:
        """Return the value of JSON text."""
        ...

    def canonical(self, value: object) -> bytes:
        """Return the one JSON text of equal values."""
        ...


class Intent(NamedTuple):
    """An operation before it is decided: the facts it needs and the decision, or plain drafts."""

    drafts: Sequence[Draft] = ()
    needs: Needs | None = None
    decide: Callable[[View], Decision] | None = None


class NewEvent(NamedTuple):
    """A caller's event, checked and encoded."""

    event_id: bytes
    type: str
    data: bytes
    key: str | None
    given_id: bool


def check_version(view: View, stream: str, expected: Expected) -> None:
    """Raise `ConflictError` unless a stream is where the writer thinks it is."""
    if expected is ANY:
        return
    actual = view.version(stream)
    if expected is EMPTY:
        fits = actual == 0
    elif expected is EXISTS:
        fits = actual > 0
    else:
        fits = actual == expected
    if not fits:
        raise ConflictError(expected=expected, actual=actual, stream=stream, key=None)


def check_key_version(view: View, at: StreamKey, expected: Expected) -> None:
    """Raise `ConflictError` unless a key is what the writer thinks it is."""
    if expected is ANY:
        return
    stream, key = at
    head = view.key(stream, key)
    if expected is EMPTY:
        fits = not head.present(view.now_us)
    elif expected is EXISTS:
        fits = head.present(view.now_us)
    else:
        fits = head.version == expected
    if not fits:
        raise ConflictError(expected=expected, actual=head.version, stream=stream, key=key)


class Decisions:
    """Makes intents. `mint` gives event ids; values larger than `max_bytes` are refused."""

    def __init__(self, codec: ValueCodec, mint: Callable[[], bytes], *, max_bytes: int) -> None:
        self._codec = codec
        self._mint = mint
        self._max_bytes = max_bytes

    # Encoding

    def encode(self, value: object, *, scope: str, key: str | None) -> bytes:
        """Return a value's JSON text; raises `InvalidValueError` or `ValueTooLargeError`."""
        try:
            return self._codec.encode_value(value, max_bytes=self._max_bytes)
        except ValueTooLargeError as error:
            raise ValueTooLargeError(size=error.size, limit=error.limit, scope=scope, key=key) from None

    def decoded(self, encoded: bytes) -> Any:
        """Return a fresh copy of an encoded value, as any reader would get it."""
        return self._codec.decode_value(encoded)

    def value_of(self, head: KeyHead, now_us: int) -> Any:
        """Return the value that a reader at this instant sees, or `MISSING`."""
        if head.data is None or not head.present(now_us):
            return MISSING
        return value_in(head.data, self._codec.decode_value)

    # Single keys

    def set(
        self,
        at: StreamKey,
        value: bytes,
        *,
        author: Author,
        op: Op = "set",
        extra: Mapping[str, object] | None = None,
        ttl_us: int | None = None,
        expected: Expected = ANY,
        expected_key: Expected = ANY,
    ) -> Intent:
        """Write a value, as long as the expectations hold."""
        if ttl_us is None and expected is ANY and expected_key is ANY:
            return Intent((self.set_draft(at, value, author=author, op=op, extra=extra),))
        needs = _expecting(at, expected, expected_key)

        def decide(view: View) -> Decision:
            check_version(view, at[0], expected)
            check_key_version(view, at, expected_key)
            expires = None if ttl_us is None else view.now_us + ttl_us
            return Decision((self.set_draft(at, value, author=author, op=op, extra=extra, expires_us=expires),))

        return Intent(needs=needs, decide=decide)

    def set_draft(
        self,
        at: StreamKey,
        value: bytes,
        *,
        author: Author,
        op: Op = "set",
        extra: Mapping[str, object] | None = None,
        expires_us: int | None = None,
    ) -> Draft:
        """Return the draft of one `state.set`."""
        if expires_us is not None:
            extra = {**(extra or {}), "expires_at": from_micros(expires_us)}
        data = self._codec.encode_set(value, op, extra)
        correlation, causes, actor, more = author
        return Draft(self._mint(), at[0], STATE_SET, data, at[1], expires_us, correlation, causes, actor, more)

    def delete(
        self, at: StreamKey, *, author: Author, expected: Expected = ANY, expected_key: Expected = ANY
    ) -> Intent:
        """Remove a value; the result is whether there was one."""
        needs = _expecting(at, expected, expected_key)
        needs.keys = (at,)

        def decide(view: View) -> Decision:
            check_version(view, at[0], expected)
            check_key_version(view, at, expected_key)
            if not view.key(*at).present(view.now_us):
                return Decision((), result=False)
            return Decision((self.delete_draft(at, author, "delete"),), result=True)

        return Intent(needs=needs, decide=decide)

    def delete_draft(self, at: StreamKey, author: Author, op: str = "delete") -> Draft:
        """Return the draft of one `state.deleted`."""
        return self._draft(at[0], STATE_DELETED, {"op": op}, author, key=at[1])

    def _draft(self, stream: str, kind: str, data: object, author: Author, *, key: str | None = None) -> Draft:
        correlation, causes, actor, extra = author
        return Draft(
            self._mint(), stream, kind, self._codec.encode_value(data), key, None, correlation, causes, actor, extra
        )

    def increment(self, at: StreamKey, by: Any, *, author: Author) -> Intent:
        """Add to a number; absent counts as 0. The result is the new number."""
        _check_number(by, "by")

        def decide(view: View) -> Decision:
            current = self.value_of(view.key(*at), view.now_us)
            total = add(0 if current is MISSING else current, by, at[1])
            encoded = self.encode(total, scope=at[0], key=at[1])
            draft = self.set_draft(at, encoded, author=author, op="increment", extra={"by": by})
            return Decision((draft,), result=total)

        return Intent(needs=Needs(keys=(at,)), decide=decide)

    def set_if_absent(self, at: StreamKey, value: bytes, *, author: Author) -> Intent:
        """Write where nothing is; the result is whether it was written."""

        def decide(view: View) -> Decision:
            if view.key(*at).present(view.now_us):
                return Decision((), result=False)
            return Decision((self.set_draft(at, value, author=author),), result=True)

        return Intent(needs=Needs(keys=(at,)), decide=decide)

    def compare_and_swap(self, at: StreamKey, expected: object, value: bytes, *, author: Author) -> Intent:
        """Write where the value equals `expected` (as JSON; `MISSING`: absent); the result says whether."""
        wanted = None if expected is MISSING else self._codec.canonical(expected)

        def decide(view: View) -> Decision:
            current = self.value_of(view.key(*at), view.now_us)
            found = None if current is MISSING else self._codec.canonical(current)
            if found != wanted:
                return Decision((), result=False)
            return Decision((self.set_draft(at, value, author=author),), result=True)

        return Intent(needs=Needs(keys=(at,)), decide=decide)

    def update(self, at: StreamKey, version: int, value: bytes, *, author: Author) -> Intent:
        """Write what a caller computed from the key's value at `version`."""
        return self.set(at, value, author=author, op="update", expected_key=version)

    # Many keys

    def set_many(self, stream: str, values: Mapping[str, bytes], *, author: Author) -> Intent:
        """Write several keys of one scope in one commit."""
        return Intent(tuple(self.set_draft((stream, key), value, author=author) for key, value in values.items()))

    def delete_many(self, stream: str, keys: Iterable[str], *, author: Author) -> Intent:
        """Remove several keys of one scope; the result is how many were there."""
        wanted = tuple(dict.fromkeys(keys))

        def decide(view: View) -> Decision:
            present = [key for key in wanted if view.key(stream, key).present(view.now_us)]
            drafts = tuple(self.delete_draft((stream, key), author, "delete") for key in present)
            return Decision(drafts, result=len(drafts))

        return Intent(needs=Needs(keys=tuple((stream, key) for key in wanted)), decide=decide)

    def clear(self, stream: str, *, author: Author) -> Intent:
        """Remove every key of a scope with one event; the result is how many there were."""

        def decide(view: View) -> Decision:
            keys = sorted(key for key, head in view.listing(stream).items() if head.present(view.now_us))
            if not keys:
                return Decision((), result=0)
            draft = self._draft(stream, SCOPE_CLEARED, {"keys": keys}, author)
            return Decision((draft._replace(cleared=tuple(keys)),), result=len(keys))

        return Intent(needs=Needs(listings=(stream,)), decide=decide)

    def copy(self, source: str, target: str, *, pattern: str, author: Author, move: bool = False) -> Intent:
        """Copy (or move) the keys that fit a pattern into another scope; the result is how many."""
        match_keys(pattern, "")
        if source == target:
            raise InvalidScopeError(target, rule="source and target are the same scope", hint="Name two scopes.")
        op: Op = "move" if move else "copy"

        def decide(view: View) -> Decision:
            drafts: list[Draft] = []
            count = 0
            for key, head in sorted(view.listing(source).items()):
                if not (head.present(view.now_us) and match_keys(pattern, key)):
                    continue
                count += 1
                drafts.append(self._copy_draft(target, key, head, author, op, source))
                if move:
                    drafts.append(self.delete_draft((source, key), author, op))
            return Decision(drafts, result=count)

        return Intent(needs=Needs(listings=(source,), targets=(target,)), decide=decide)

    def _copy_draft(self, target: str, key: str, head: KeyHead, author: Author, op: Op, source: str) -> Draft:  # noqa: PLR0917
        assert head.data is not None
        value = self._codec.encode_value(value_in(head.data, self._codec.decode_value))
        extra = {"source": {"scope": source, "key": key, "position": head.position}}
        draft = self.set_draft((target, key), value, author=author, op=op, extra=extra, expires_us=head.expires_us)
        return draft._replace(source=head.position)

    def sweep(self, expired: Sequence[StreamKey]) -> Intent:
        """Record what expired; the result is how many values did."""
        streams = tuple(dict.fromkeys(stream for stream, _ in expired))

        def decide(view: View) -> Decision:
            drafts: list[Draft] = []
            for stream, key in expired:
                head = view.listing(stream).get(key)
                if head is not None and head.expires_us is not None and not head.present(view.now_us):
                    data = {"expires_at": from_micros(head.expires_us)}
                    drafts.append(self._draft(stream, STATE_EXPIRED, data, Author(), key=key))
            return Decision(drafts, result=len(drafts))

        return Intent(needs=Needs(listings=streams), decide=decide)

    # Callers' events

    def append(self, stream: str, events: Sequence[NewEvent], *, author: Author, expected: Expected) -> Intent:
        """Append callers' events; a repeated append answers with the first recordings."""
        correlation, causes, actor, extra = author
        drafts = tuple(
            Draft(
                new.event_id,
                stream,
                new.type,
                new.data,
                new.key,
                None,
                correlation,
                causes,
                actor,
                extra,
                0,
                new.given_id,
            )
            for new in events
        )
        if expected is ANY:
            return Intent(drafts)
        ids = tuple(new.event_id for new in events if new.given_id)

        def decide(view: View) -> Decision:
            repeated = len(ids) == len(events) and all(view.event(event_id) is not None for event_id in ids)
            if not repeated:
                check_version(view, stream, expected)
            return Decision(drafts)

        return Intent(needs=Needs(streams=(stream,), event_ids=(*ids, *split_causes(causes))), decide=decide)

    def record(self, stream: str, kind: str, data: object, *, author: Author) -> Intent:
        """Append one event of the store's own."""
        return Intent((self._draft(stream, kind, data, author),))


def foreign_draft(stream: str, version: int, kind: str, state: bytes, *, event_id: bytes) -> Draft:
    """Return the draft of an event whose bytes another library encoded."""
    return Draft(event_id, stream, kind, state, format=FOREIGN_FORMAT, version=version)


def _expecting(at: StreamKey, expected: Expected, expected_key: Expected) -> Needs:
    return Needs(
        targets=(at[0],), streams=() if expected is ANY else (at[0],), keys=() if expected_key is ANY else (at,)
    )


def _check_number(value: object, path: str) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float, Decimal)):
        raise InvalidValueError(
            path,
            rule=f"is {type(value).__name__}, not a number",
            hint="Increment numbers only; `set` replaces a value.",
        )


def add(current: Any, by: Any, path: str) -> Any:
    """Return a sum, exact where it is of decimals; raises `InvalidValueError` for what is no number."""
    _check_number(current, path)
    try:
        if not isinstance(current, Decimal) and not isinstance(by, Decimal):
            return current + by
        with localcontext(_EXACT):
            return current + by
    except (TypeError, ArithmeticError) as error:
        raise InvalidValueError(path, rule=f"cannot be added to: {error}", hint="Add numbers of one kind.") from error


__all__ = ["Decisions", "Intent", "NewEvent", "add", "check_key_version", "check_version", "foreign_draft"]
