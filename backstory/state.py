"""The asyncio face of scoped state: what `StateStore` and `Transaction` have in common.

Made from `async_state.py` by `tools/unasync.py`: change that one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from types import TracebackType
from typing import Any, Self, Unpack

from backstory.context import WriteContext, context
from backstory.core import Core
from backstory.domain.decisions import Expected
from backstory.domain.events import ANY, Event, RecordedEvent
from backstory.domain.scopes import Scope
from backstory.operations import Operations
from backstory.projections.points import Point
from backstory.runners import Runner
from backstory.transactions import TransactionSession

Scoped = Scope | str


class StateOperations:
    """Reading and writing scoped state: what stores and transactions have in common.

    Scopes are `Scope`s or their text; a wrong one is an `InvalidScopeError`, a wrong key an
    `InvalidKeyError`, a value that JSON cannot hold an `InvalidValueError`, one that is too
    long a `ValueTooLargeError`, a point that does not exist an `InvalidPointError`: all raised
    before anything is written. `**context` is described at `WriteContext`.
    """

    _operations: Operations
    _runner: Runner

    def get(
        self,
        scope: Scoped,
        key: str,
        default: Any = None,
        *,
        as_of: Point | None = None,
        schema_version: str | None = None,
    ) -> Any:
        """Return a key's value now or at a point, or the default; the value is the caller's own copy."""
        return self._runner.run(self._operations.get(scope, key, default, as_of, schema_version))

    def exists(self, scope: Scoped, key: str, *, as_of: Point | None = None) -> bool:
        """Return whether a key has a value (None is one)."""
        return self._runner.run(self._operations.exists(scope, key, as_of))

    def keys(self, scope: Scoped, *, prefix: str = "", as_of: Point | None = None) -> list[str]:
        """Return the scope's keys that begin with a prefix, sorted."""
        return self._runner.run(self._operations.keys(scope, prefix, as_of))

    def items(self, scope: Scoped, *, prefix: str = "", as_of: Point | None = None) -> dict[str, Any]:
        """Return the scope's values by key, for keys that begin with a prefix, sorted."""
        return self._runner.run(self._operations.items(scope, prefix, as_of))

    def get_many(self, scope: Scoped, keys: Iterable[str], *, as_of: Point | None = None) -> dict[str, Any]:
        """Return the values of these keys; absent ones are left out."""
        return self._runner.run(self._operations.get_many(scope, keys, as_of))

    def set(
        self,
        scope: Scoped,
        key: str,
        value: Any,
        *,
        expected_version: Expected = ANY,
        expected_key_version: Expected = ANY,
        ttl: float | timedelta | None = None,
        state_class: str | None = None,
        **context: Unpack[WriteContext],
    ) -> RecordedEvent:
        """Write a value and return the event; `ttl` is in seconds.

        Raises `ConflictError` where the stream or the key is not at the expected version.
        """
        return self._runner.run(
            self._operations.set(scope, key, value, expected_version, expected_key_version, ttl, state_class, context)
        )

    def delete(
        self,
        scope: Scoped,
        key: str,
        *,
        expected_version: Expected = ANY,
        expected_key_version: Expected = ANY,
        **context: Unpack[WriteContext],
    ) -> bool:
        """Remove a value; False where nothing was there and nothing is written. Raises `ConflictError`."""
        return self._runner.run(self._operations.delete(scope, key, expected_version, expected_key_version, context))

    def clear(self, scope: Scoped, **context: Unpack[WriteContext]) -> int:
        """Remove every key of a scope with one event; return how many there were."""
        return self._runner.run(self._operations.clear(scope, context))

    def copy(self, source: Scoped, target: Scoped, *, keys: str = "*", **context: Unpack[WriteContext]) -> int:
        """Copy the keys that fit a pattern into another scope, in one transaction; return how many."""
        return self._runner.run(self._operations.copy(source, target, keys, context, move=False))

    def move(self, source: Scoped, target: Scoped, *, keys: str = "*", **context: Unpack[WriteContext]) -> int:
        """Move the keys that fit a pattern into another scope, in one transaction; return how many."""
        return self._runner.run(self._operations.copy(source, target, keys, context, move=True))

    def update(
        self,
        scope: Scoped,
        key: str,
        change: Callable[[Any], Any],
        *,
        default: Any = None,
        **context: Unpack[WriteContext],
    ) -> Any:
        """Write what `change` makes of the value (or the default), again if somebody was faster; return it."""
        return self._runner.run(self._operations.update(scope, key, change, default, context))

    def increment(self, scope: Scoped, key: str, by: Any = 1, **context: Unpack[WriteContext]) -> Any:
        """Add to a number, atomically; absent counts as 0. Return the new number.

        Raises `InvalidValueError` where there is something that is no number, or a bool.
        """
        return self._runner.run(self._operations.increment(scope, key, by, context))

    def set_if_absent(self, scope: Scoped, key: str, value: Any, **context: Unpack[WriteContext]) -> bool:
        """Write where nothing is, atomically; return whether it was written."""
        return self._runner.run(self._operations.set_if_absent(scope, key, value, context))

    def compare_and_swap(
        self, scope: Scoped, key: str, expected: Any, value: Any, **context: Unpack[WriteContext]
    ) -> bool:
        """Write where the value equals `expected` (`MISSING`: is absent), atomically; return whether.

        Values are compared as JSON: the order of an object's keys does not count, `1` is not `True`.
        """
        return self._runner.run(self._operations.compare_and_swap(scope, key, expected, value, context))

    def set_many(
        self, scope: Scoped, mapping: Mapping[str, Any], **context: Unpack[WriteContext]
    ) -> list[RecordedEvent]:
        """Write several keys of a scope in one commit; return their events."""
        return self._runner.run(self._operations.set_many(scope, mapping, context))

    def delete_many(self, scope: Scoped, keys: Iterable[str], **context: Unpack[WriteContext]) -> int:
        """Remove several keys of a scope in one commit; return how many were there."""
        return self._runner.run(self._operations.delete_many(scope, keys, context))

    def append(
        self,
        scope: Scoped,
        events: Event | Sequence[Event],
        *,
        expected_version: Expected = ANY,
        **context: Unpack[WriteContext],
    ) -> list[RecordedEvent]:
        """Append events of the caller's own types in one commit; return their recordings.

        An event id that is already recorded is answered with its first recording. Raises
        `ConflictError`, and `InvalidValueError` for types that only the store writes.
        """
        return self._runner.run(self._operations.append(scope, events, expected_version, context))


class Transaction(StateOperations):
    """All or nothing: what is written in the block becomes one commit when it ends.

    Reads see the log as it was at the first question, and the transaction's own writes over
    it. Everything read is checked at the end: `ConflictError` if it has changed. An exception
    gives everything up. Events returned inside get their positions when the block ends.
    """

    def __init__(self, core: Core, runner: Runner, given: WriteContext) -> None:
        self._runner = runner
        self._session: TransactionSession = core.transaction()
        self._operations = core.transaction_operations(self._session, given)
        self._context = context(**given)

    def __enter__(self) -> Self:
        self._context.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._context.__exit__(kind, error, trace)
        if kind is None:
            self._runner.run(self._session.commit())
        else:
            self._session.abandon()
