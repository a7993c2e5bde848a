"""The ambient context: what a write is part of and caused by, carried by contextvars."""

from __future__ import annotations

import asyncio
import inspect
import sys
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from functools import lru_cache, wraps
from typing import Any, Final, NamedTuple, ParamSpec, TypedDict, TypeVar, Unpack, cast
from uuid import UUID

from backstory.domain.commits import Draft
from backstory.domain.context import NOBODY, Author
from backstory.domain.errors import InvalidValueError
from backstory.domain.events import Event, RecordedEvent, pack_correlation
from backstory.infrastructure import codec, traceparent

Cause = RecordedEvent | Event | UUID | str
P = ParamSpec("P")
T = TypeVar("T")
_MOST_CHARACTERS: Final = 128
_EXTRA: Final = ("tags", "metadata", "artifacts")


class WriteContext(TypedDict, total=False):
    """What every write takes by keyword; what is left out comes from the ambient context."""

    cause: Cause | Sequence[Cause] | None
    correlation_id: str | None
    actor: str | None
    tags: Iterable[str] | None
    metadata: Mapping[str, Any] | None
    artifacts: Iterable[str] | None
    traceparent: str | None


Place = tuple[int, str, str | None]


class Inside(NamedTuple):
    """The hooks inside whose run we are, outermost first, and what their writes are part of and caused by.

    `written` are the places (branch, stream, key) that were written inside these runs, a set for each.
    """

    hooks: tuple[str, ...]
    author: Author
    written: tuple[set[Place], ...] = ()


_ambient: ContextVar[WriteContext | None] = ContextVar("backstory_context", default=None)
_inside: ContextVar[Inside | None] = ContextVar("backstory_inside", default=None)
_NAMES: Final = frozenset(WriteContext.__annotations__)


@contextmanager
def context(**given: Unpack[WriteContext]) -> Iterator[None]:
    """Give every write inside the block this context; inner blocks and arguments win.

    Follows the task and the thread it is entered in. Raises `InvalidValueError` for values
    that no event can carry.
    """
    author_of(given, None)
    token = _ambient.set({**(_ambient.get() or {}), **given})
    try:
        yield
    finally:
        _ambient.reset(token)


def carried(fn: Callable[P, T]) -> Callable[P, T]:
    """Return a function that runs as if called here: with this context, whatever thread or executor calls it.

    Tasks and `asyncio.to_thread` carry the context by themselves; `threading.Thread`, `Executor.submit` and
    `run_in_executor` do not. All context variables are carried, OpenTelemetry's current span too; what the function
    changes of them stays inside. It may run many times, also at once. A coroutine function runs as a task of its own.
    """
    origin = copy_context()
    if inspect.iscoroutinefunction(fn):
        task = cast("Callable[..., Coroutine[Any, Any, Any]]", fn)

        @wraps(fn)
        async def run_task(*args: P.args, **named: P.kwargs) -> Any:
            return await asyncio.create_task(task(*args, **named), context=origin.copy())

        return cast("Callable[P, T]", run_task)

    @wraps(fn)
    def run(*args: P.args, **named: P.kwargs) -> T:
        # Nobody can enter one context twice at a time, so that each run has its own copy.
        return origin.copy().run(fn, *args, **named)

    return run


@contextmanager
def inside_hook(hook: str, author: Author, written: set[Place]) -> Iterator[None]:
    """Give what a hook writes inside the block its operation's context; the caller's ambient one does not reach it.

    The places that it writes come into `written`.
    """
    outer = _inside.get()
    places = (written, *(() if outer is None else outer.written))
    inside = _inside.set(Inside((*hooks_in(author.extra), hook), author, places))
    ambient = _ambient.set(None)
    try:
        yield
    finally:
        _ambient.reset(ambient)
        _inside.reset(inside)


@contextmanager
def elsewhere() -> Iterator[None]:
    """Give what is written to another store inside the block this context, without what only this store's log knows.

    That log has none of the events that are named as causes here, and no hook runs for it.
    """
    inside = _inside.set(None)
    ambient = _ambient.set({**(_ambient.get() or {}), "cause": None})
    try:
        yield
    finally:
        _ambient.reset(ambient)
        _inside.reset(inside)


def with_reads(draft: Draft, positions: Iterable[int], *, shared: bytes | None = None) -> Draft:
    """Return a draft that says what it rests on: the positions of the events that wrote what was read.

    `shared` is the id of an earlier write of the same commit that rests on the same, and says so.
    """
    reads = tuple(sorted({*draft.reads, *positions}))
    shared = shared or draft.shared
    if reads == draft.reads and shared == draft.shared:
        return draft
    said: dict[str, Any] = {"reads": reads} if reads else {}
    if shared is not None:
        said["reads_with"] = shared.hex()
    encoded = codec.encode_value(said)
    if draft.extra is not None and (draft.reads or draft.shared):
        encoded = codec.encode_value({**codec.decode_value(draft.extra), **said})
    elif draft.extra is not None:
        encoded = draft.extra[:-1] + b"," + encoded[1:]
    return draft._replace(extra=encoded, reads=reads, shared=shared)


def note_written(places: Iterable[Place]) -> None:
    """Tell the hooks inside whose run we are what was written."""
    inside = _inside.get()
    if inside is not None:
        found = set(places)
        for written in inside.written:
            written.update(found)


@lru_cache(maxsize=1024)
def hooks_in(extra: bytes | None) -> tuple[str, ...]:
    """Return the hooks inside whose run a write was made, or which asked for it: they are not run for it."""
    return () if extra is None else tuple(codec.decode_value(extra).get("hooks") or ())


def running_hooks() -> tuple[str, ...]:
    """Return the names of the hooks inside whose run the caller is, outermost first."""
    inside = _inside.get()
    return () if inside is None else inside.hooks


def author_of(given: WriteContext, actor: str | None) -> Author:
    """Return the packed context of one write: arguments first, then the ambient context, then the hook's."""
    ambient = _ambient.get()
    inside = _inside.get()
    span = traceparent.current() if traceparent.API in sys.modules else None
    if not given and ambient is None and inside is None and span is None:
        return _nobody_but(actor)
    if inside is None:
        return _merged(given, ambient, actor, span)
    base = inside.author
    author = _merged(given, ambient, None, span)
    return Author(
        author.correlation or base.correlation,
        author.causes or base.causes,
        author.actor or base.actor or _nobody_but(actor).actor,
        _with_hooks(author.extra, inside.hooks),
    )


def _with_hooks(extra: bytes | None, hooks: tuple[str, ...]) -> bytes:
    """Return the extra parts of a write, which says inside which hooks' run it was made."""
    said = codec.encode_value({"hooks": hooks})
    return said if extra is None else extra[:-1] + b"," + said[1:]


def _merged(given: WriteContext, ambient: WriteContext | None, actor: str | None, span: str | None) -> Author:
    merged = {**(ambient or {}), **{name: value for name, value in given.items() if value is not None}}
    unknown = merged.keys() - _NAMES
    if unknown:
        raise TypeError(f"unexpected context: {', '.join(sorted(unknown))}; known are {', '.join(sorted(_NAMES))}")
    correlation = merged.get("correlation_id")
    who = merged.get("actor", actor)
    who = actor if who is None else who
    return Author(
        None if correlation is None else packed_correlation(correlation),
        _causes(merged.get("cause")),
        None if who is None else packed_actor(who),
        _extra(merged, span),
    )


@lru_cache(maxsize=256)
def _nobody_but(actor: str | None) -> Author:
    return NOBODY if actor is None else Author(actor=packed_actor(actor))


def packed_actor(given: object) -> bytes:
    """Return an actor as engines keep it; raises `InvalidValueError`."""
    return _text("actor", given)


def packed_correlation(given: object) -> bytes:
    """Return a correlation id as engines keep it; raises `InvalidValueError`."""
    return pack_correlation(_correlation(given))


def _correlation(given: object) -> str:
    if not isinstance(given, str) or not 1 <= len(given) <= _MOST_CHARACTERS:
        raise InvalidValueError(
            "correlation_id",
            rule=f"is no text of 1 to {_MOST_CHARACTERS} characters",
            hint="Choose a short name for what belongs together.",
        )
    _text("correlation_id", given)
    return given


def _text(name: str, given: object) -> bytes:
    if not isinstance(given, str) or not given:
        raise InvalidValueError(name, rule="is no text", hint="Give a non-empty str.")
    try:
        return given.encode()
    except UnicodeEncodeError as error:
        raise InvalidValueError(name, rule="holds a lone surrogate", hint="Give valid Unicode text.") from error


def _causes(given: object) -> bytes | None:
    if given is None:
        return None
    many = given if isinstance(given, (list, tuple, set, frozenset)) else (given,)
    packed = dict.fromkeys(_cause(one) for one in many)
    return b"".join(packed) or None


def _cause(given: object) -> bytes:
    if isinstance(given, RecordedEvent):
        return given.stored.event_id
    if isinstance(given, UUID):
        return given.bytes
    if isinstance(given, Event) and given.event_id is not None:
        return given.event_id.bytes
    if isinstance(given, str):
        try:
            return UUID(given).bytes
        except ValueError:
            pass
    raise InvalidValueError(
        "cause", rule=f"names no event: {given!r}", hint="Give a recorded event, or an event id, or several."
    )


def _extra(merged: Mapping[str, Any], span: str | None) -> bytes | None:
    extra = {name: merged[name] for name in _EXTRA if merged.get(name)}
    given = merged.get("traceparent")
    if given is not None or span is not None:
        extra["traceparent"] = span if given is None else traceparent.checked(given)
    if not extra:
        return None
    if "metadata" in extra and not isinstance(extra["metadata"], Mapping):
        raise InvalidValueError("metadata", rule="is no mapping", hint="Give a dict.")
    for name in ("tags", "artifacts"):
        if name in extra:
            extra[name] = _texts(name, extra[name])
    if "artifacts" in extra:
        extra["metadata"] = {**extra.get("metadata", {}), "artifacts": extra.pop("artifacts")}
    return codec.encode_value(extra)


def _texts(name: str, given: object) -> list[str]:
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise InvalidValueError(name, rule="is no list of texts", hint=f"Give {name} as a list of str.")
    found = list(given)
    for one in found:
        _text(name, one)
    return found
