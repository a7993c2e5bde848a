"""What a hook gets: the operation it stands before or after, and the ways to take something from outside.

Everything that a hook takes through its context is recorded, in order, so that its run can be repeated exactly.
"""

from __future__ import annotations

import asyncio
import inspect
import random
from collections.abc import Awaitable, Callable, Coroutine
from datetime import datetime
from typing import Any, Final, NamedTuple, Protocol
from uuid import UUID

from backstory.domain.errors import HookError, InvalidValueError
from backstory.domain.events import MISSING, from_micros, unpack_correlation
from backstory.domain.keys import normalise_key
from backstory.domain.ports import Clock
from backstory.domain.scopes import Scope, as_scope
from backstory.hooks.telling import storable, told
from backstory.infrastructure import codec
from backstory.infrastructure.clock import new_id


class Subject(NamedTuple):
    """What a chain of hooks is about, encoded: nobody who changes a value in their hands changes it for others."""

    point: str
    operation: str
    operation_id: bytes
    stream: str | None
    key: str | None
    before: bytes | None
    after: bytes | None
    actor: bytes | None
    correlation: bytes | None
    metadata: bytes | None = None
    tags: tuple[str, ...] = ()
    as_of: str | None = None
    attempt: int = 1
    redelivered: bool = False


class Outside(Protocol):
    """Where a context takes things from: the world, or in a replay the recording of it."""

    def now(self) -> datetime:
        """Return the instant."""
        ...

    def random(self) -> float:
        """Return a number from 0 to below 1."""
        ...

    def uuid(self) -> UUID:
        """Return a fresh id."""
        ...

    def call(self, name: str, fn: Callable[..., Any], args: tuple[Any, ...], named: dict[str, Any]) -> Any:
        """Return what a function returns; perhaps an awaitable."""
        ...

    def read(self, scope: Scope, key: str) -> Any:
        """Return (value or `MISSING`, position of the event that wrote it or None); perhaps an awaitable of that."""
        ...


class World:
    """Takes from the world. `find` answers reads, in the way of the face that runs the hook."""

    def __init__(self, clock: Clock, find: Callable[[str, str], Any]) -> None:
        self._clock = clock
        self._find = find

    def now(self) -> datetime:
        """Return the instant of the store's clock."""
        return from_micros(self._clock.now_us())

    def random(self) -> float:
        """Return a number of Python's generator."""
        return random.random()  # noqa: S311 - for hooks that take samples, no secret

    def uuid(self) -> UUID:
        """Return a fresh UUIDv7."""
        return UUID(bytes=new_id())

    def call(self, name: str, fn: Callable[..., Any], args: tuple[Any, ...], named: dict[str, Any]) -> Any:  # noqa: ARG002
        """Call the function."""
        return fn(*args, **named)

    def read(self, scope: Scope, key: str) -> Any:
        """Read from the store."""
        return self._find(str(scope), key)


_NOTHING: Final[Any] = object()


class HookContext:
    """The operation that a hook stands before or after.

    `before` and `after` are values (`MISSING` where there is none), the hook's own copies: changing them changes
    nothing. At `clear` points `before` is the list of keys; at fired points `after` is the data.
    `operation` names what is done (`set`, `increment`, `copy`, ...), `operation_id` the event that it will be.
    `attempt` counts from 1 where the operation is tried again; `redelivered` says that this run makes up for one that
    a crash prevented or hid: the hook may have run for this operation before.
    """

    __slots__ = (
        "_after",
        "_before",
        "_metadata",
        "_open",
        "_outside",
        "_subject",
        "_wait",
        "asynchronous",
        "hook",
        "steps",
    )

    def __init__(
        self,
        hook: str,
        subject: Subject,
        outside: Outside,
        *,
        asynchronous: bool = False,
        wait: Callable[[Coroutine[Any, Any, Any]], Any] = asyncio.run,
    ) -> None:
        self.hook: Final = hook
        self.asynchronous: Final = asynchronous
        self.steps: Final[list[dict[str, Any]]] = []
        self._subject = subject
        self._outside = outside
        self._before: Any = _NOTHING
        self._after: Any = _NOTHING
        self._metadata: Any = _NOTHING
        self._open = True
        #: How a sync hook gets what an async function returns.
        self._wait = wait

    # The operation

    @property
    def point(self) -> str:
        """The point that the hook is run at."""
        return self._subject.point

    @property
    def operation(self) -> str:
        """What is done: the `op` of the event, `delete`, `clear`, `get`, or the name of a fired point."""
        return self._subject.operation

    @property
    def operation_id(self) -> UUID:
        """The id of the event that the operation writes, or would have written; a read's own id."""
        return UUID(bytes=self._subject.operation_id)

    @property
    def scope(self) -> Scope | None:
        """Where; None at fired points."""
        return None if self._subject.stream is None else Scope.parse(self._subject.stream)

    @property
    def key(self) -> str | None:
        """The key; None at `clear` and at fired points."""
        return self._subject.key

    @property
    def before(self) -> Any:
        """The value before, or `MISSING`."""
        if self._before is _NOTHING:
            before = self._subject.before
            self._before = MISSING if before is None else codec.decode_value(before)
        return self._before

    @property
    def after(self) -> Any:
        """The value that is written, that a read found, or that was fired; or `MISSING`."""
        if self._after is _NOTHING:
            after = self._subject.after
            self._after = MISSING if after is None else codec.decode_value(after)
        return self._after

    @property
    def actor(self) -> str | None:
        """Who does it."""
        actor = self._subject.actor
        return None if actor is None else actor.decode()

    @property
    def correlation_id(self) -> str | None:
        """What it belongs to."""
        correlation = self._subject.correlation
        return None if correlation is None else unpack_correlation(correlation)

    @property
    def metadata(self) -> dict[str, Any]:
        """The metadata of the write, the hook's own copy."""
        if self._metadata is _NOTHING:
            given = self._subject.metadata
            self._metadata = {} if given is None else codec.decode_value(given)
        found: dict[str, Any] = self._metadata
        return found

    @property
    def tags(self) -> tuple[str, ...]:
        """The tags of the write."""
        return self._subject.tags

    @property
    def as_of(self) -> str | None:
        """The point that a read asks for, as text; None for now."""
        return self._subject.as_of

    @property
    def attempt(self) -> int:
        """How often the operation has been begun, this time included."""
        return self._subject.attempt

    @property
    def redelivered(self) -> bool:
        """Whether the hook may have run for this operation before, in a process that died."""
        return self._subject.redelivered

    # What it takes from outside, each a recorded step

    def now(self) -> datetime:
        """Return the instant, aware UTC."""
        self._check()
        found = self._outside.now()
        self.steps.append({"kind": "now", "value": found})
        return found

    def random(self) -> float:
        """Return a random number from 0 to below 1."""
        self._check()
        found = self._outside.random()
        self.steps.append({"kind": "random", "value": found})
        return found

    def uuid(self) -> UUID:
        """Return a fresh id."""
        self._check()
        found = self._outside.uuid()
        self.steps.append({"kind": "uuid", "value": found})
        return found

    def call(self, fn: Callable[..., Any], *args: Any, **named: Any) -> Any:
        """Return what `fn(*args, **named)` returns: an outside call, whose answer is recorded.

        The answer is as the record holds it, so that a replay gives the same: a tuple is a list. What the call raises
        is recorded and raised. Where `fn` is async the answer is to be awaited in an async hook; a sync hook gets it
        at once. Raises `InvalidValueError` for arguments or answers that no event can hold.
        """
        self._check()
        name = storable(f"{getattr(fn, '__module__', None)}.{getattr(fn, '__qualname__', type(fn).__qualname__)}")
        step: dict[str, Any] = {"kind": "call", "fn": name, "args": _storable(list(args), name)}
        if named:
            step["named"] = _storable(named, name)
        self.steps.append(step)
        try:
            answer = self._outside.call(name, fn, args, named)
            if not inspect.isawaitable(answer):
                return _kept(answer, step, name)
        except (Exception, SystemExit) as error:
            step["error"] = told(error)
            raise
        later = _noted(answer, step, name)
        if not self.asynchronous:
            return self._wait(later)
        step["awaitable"] = True
        return later

    def read(self, scope: Scope | str, key: str, default: Any = None) -> Any:
        """Return a key's value as the operation sees it, or the default; in an async hook it is to be awaited."""
        self._check()
        home, name = as_scope(scope), normalise_key(key)
        step: dict[str, Any] = {"kind": "read", "scope": str(home), "key": name}
        self.steps.append(step)
        if self.asynchronous:
            return _found_later(self._outside.read(home, name), step, default)
        try:
            return _found(self._outside.read(home, name), step, default)
        except (Exception, SystemExit) as error:
            step["error"] = told(error)
            raise

    # For those who run it

    def end(self) -> None:
        """Close the context: what a hook does with it after its run is over is in no record, and refused."""
        self._open = False

    def _check(self) -> None:
        if not self._open:
            raise HookError(
                "the hook's run is over",
                hook=self.hook,
                point=self.point,
                hint="Use the context only until the hook returns, or its time is up.",
            )


def _storable(value: Any, name: str) -> Any:
    """Return a copy of what goes into a step; raises `InvalidValueError` for what no event can hold."""
    try:
        return codec.decode_value(codec.encode_value(value))
    except InvalidValueError as error:
        raise InvalidValueError(
            f"call {name}", rule=f"cannot be recorded: {error}", hint="Have it take and return what JSON can hold."
        ) from error


def _kept(answer: Any, step: dict[str, Any], name: str) -> Any:
    """Put an answer into its step, and return the hook's own copy of what is there."""
    step["value"] = _storable(answer, name)
    return _storable(step["value"], name)


async def _noted(answer: Awaitable[Any], step: dict[str, Any], name: str) -> Any:
    try:
        return _kept(await answer, step, name)
    except (Exception, SystemExit) as error:
        step["error"] = told(error)
        raise


def _found(answer: tuple[Any, int | None], step: dict[str, Any], default: Any) -> Any:
    value, position = answer
    if position is not None:
        step["position"] = position
    if value is MISSING:
        return default
    step["value"] = _storable(value, "read")
    return value


async def _found_later(answer: Awaitable[tuple[Any, int | None]], step: dict[str, Any], default: Any) -> Any:
    try:
        return _found(await answer, step, default)
    except (Exception, SystemExit) as error:
        step["error"] = told(error)
        raise
