"""Tracing: the questions to causes and effects that both faces ask, written once as programs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from backstory.committing import append
from backstory.context import author_of, packed_correlation
from backstory.core import Core, check_limit, filter_of
from backstory.domain.commits import Commit, Draft, Read
from backstory.domain.errors import ConflictError, InvalidValueError, NotFoundError
from backstory.domain.events import RecordedEvent, StoredEvent
from backstory.domain.keys import normalise_key
from backstory.domain.ports import LAST_POSITION, LogQuery, Program
from backstory.domain.scopes import Scope, as_scope
from backstory.infrastructure import codec
from backstory.infrastructure.clock import new_id
from backstory.operations import stream_of
from backstory.projections.causes import DIRECTIONS, KINDS, LINK_ADDED, LINKS, STRONG, Walker, Web
from backstory.replay.derivation import Derivations
from backstory.replay.derivation import derive as derived
from backstory.replay.explanation import Explanation, Impact, impact, why
from backstory.replay.timeline import ORDERS, Timeline, ordered

if TYPE_CHECKING:
    import networkx as nx

_BACKWARD: Final = "backward"
_PAGE: Final = 1000
EventLike = RecordedEvent | UUID | str | int


def derive(events: Iterable[RecordedEvent], scope: Scope | str, key: str) -> Any:
    """Return the value of a key that follows from these events alone: `MISSING` where they end in its removal.

    Raises `NotFoundError` where an event that the value needs is not among them.
    """
    return derived([event.stored for event in events], stream_of(scope), normalise_key(key), codec.decode_value)


def event_row(core: Core, event: object) -> Program[StoredEvent]:
    """Return the row of an event, an event id (also as text) or a position; raises `NotFoundError`."""
    row: StoredEvent | None = None
    if isinstance(event, RecordedEvent):
        row = yield from core.engine.event(event.event_id.bytes)
    elif isinstance(event, int) and not isinstance(event, bool):
        rows = yield from core.engine.events_at([event])
        row = rows[0] if rows else None
    elif isinstance(event, (UUID, str)):
        row = (yield from core.event(event)).stored
    else:
        raise InvalidValueError("event", rule=f"names no event: {event!r}", hint="Give an event, an id or a position.")
    if row is None or not core.shows(row):
        raise NotFoundError("event", event)
    return row


def walker(
    core: Core,
    *,
    since: int = 0,
    until: int = LAST_POSITION,
    correlation: bytes | None = None,
    kinds: frozenset[str] | None = None,
) -> Program[Walker]:
    """Return a walker on a branch, or on a part of it; where nothing was ever linked it looks for no links."""
    if kinds is None and not (yield from core.engine.stream_version(core.lineage, LINKS, LAST_POSITION)):
        kinds = STRONG
    return Walker(
        core.engine,
        core.lineage,
        until=until,
        decode=codec.decode_value,
        reads_of=codec.reads_of,
        shared_of=codec.shared_reads_of,
        kinds=kinds,
        since=since,
        correlation=correlation,
    )


# Links


def link(core: Core, cause: EventLike, effect: EventLike, kind: str, strength: float) -> Program[RecordedEvent]:
    """Write a link between two events; raises `InvalidValueError` for a kind that is none, and for a cycle."""
    if kind not in KINDS:
        raise InvalidValueError("kind", rule=f"is unknown: {kind!r}", hint=f"Use one of {', '.join(KINDS)}.")
    if isinstance(strength, bool) or not isinstance(strength, (int, float)) or not 0 < strength <= 1:
        raise InvalidValueError("strength", rule=f"is {strength!r}", hint="Give a number above 0, up to 1.")
    first = yield from event_row(core, cause)
    second = yield from event_row(core, effect)
    author = author_of({}, core.actor)
    data = {
        "cause": str(UUID(bytes=first.event_id)),
        "effect": str(UUID(bytes=second.event_id)),
        "kind": kind,
        "strength": float(strength),
    }
    draft = Draft(
        new_id(),
        LINKS,
        LINK_ADDED,
        codec.encode_value(data),
        key=_BACKWARD if first.position > second.position else None,
        correlation=author.correlation or second.correlation or b"u" + second.event_id,
        causes=first.event_id + second.event_id,
        actor=author.actor,
        extra=author.extra,
    )
    while True:
        version = yield from core.engine.stream_version(core.lineage, LINKS, LAST_POSITION)
        yield from _refuse_cycle(core, first, second)
        try:
            outcome = yield from append(Commit(core.branch.id, [draft], reads=[Read(LINKS, None, version)]))
        except ConflictError:
            continue  # another link came: together they might close a cycle
        return RecordedEvent(outcome.events[0], codec.decode_value)


def _refuse_cycle(core: Core, cause: StoredEvent, effect: StoredEvent) -> Program[None]:
    """Raise where the effect leads to its cause already. All ways but backward links lead on in the log."""
    closed = cause.position == effect.position
    if not closed:
        query = LogQuery(core.lineage, stream=LINKS, key=_BACKWARD, limit=1)
        if cause.position > effect.position or (yield from core.engine.page(query)):
            web = yield from (yield from walker(core)).walk([cause], "causes")
            closed = effect.position in web.events
    if closed:
        raise InvalidValueError(
            "effect",
            rule=f"event {effect.position} leads to event {cause.position} already, or is it",
            hint="An event cannot be among the causes of its own causes: link them the other way round.",
        )


# The graph


def web_of(
    core: Core,
    *,
    correlation_id: str | None,
    event: EventLike | None,
    direction: str,
    depth: int | None,
    since: object,
    until: object,
) -> Program[Web]:
    """Return the part of the web of causes and effects that a question is about.

    What is out of bounds, or of another correlation, is as if it was not there.
    """
    if direction not in DIRECTIONS:
        raise InvalidValueError("direction", rule=f"is {direction!r}", hint=f"Use one of {', '.join(DIRECTIONS)}.")
    check_limit(depth)
    after, last = yield from core.bounds(since, until)
    correlation = None if correlation_id is None else packed_correlation(correlation_id)
    walking = yield from walker(core, since=after, until=last, correlation=correlation)
    if event is None:
        rows = yield from _rows(core, LogQuery(core.lineage, after, last, correlation=correlation))
        return (yield from walking.among(rows))
    start = yield from event_row(core, event)
    if not walking.shows(start):
        return Web()
    for way in ("causes", "effects") if direction == "both" else (direction,):
        yield from walking.foresee(start, way)
    return (yield from walking.walk([start], direction, depth))


def causality(core: Core, **question: Any) -> Program[nx.DiGraph[UUID]]:
    """Return the same as a `networkx` graph."""
    web = yield from web_of(core, **question)
    from backstory.projections.causality_graph import digraph  # noqa: PLC0415 - networkx takes a while to import

    return digraph(web, codec.decode_value)


def _page(core: Core, query: LogQuery) -> Program[tuple[list[StoredEvent], LogQuery | None]]:
    """Return a page of what a query finds, without links, and the query of the next one; None at the end."""
    rows = yield from core.engine.page(query)
    found = [row for row in rows if row.type != LINK_ADDED]
    if len(rows) < query.limit:
        return found, None
    last = rows[-1].position
    return found, query._replace(until=last - 1) if query.reverse else query._replace(after=last)


def _rows(core: Core, query: LogQuery) -> Program[list[StoredEvent]]:
    """Return all events that a query finds, without links."""
    found: list[StoredEvent] = []
    more: LogQuery | None = query._replace(limit=_PAGE)
    while more is not None:
        rows, more = yield from _page(core, more)
        found += rows
    return found


# Timelines


def timeline(
    core: Core,
    *,
    correlation_id: str | None,
    scope: Scope | str | None,
    key: str | None,
    actor: str | None,
    session: Scope | str | None,
    artifact: str | None,
    tags: Iterable[str] | None,
    since: object,
    until: object,
    types: str | Sequence[str] | None,
    max_depth: int | None,
    roots_only: bool,
    leaves_only: bool,
    order: str,
    limit: int | None,
) -> Program[Timeline]:
    """Return the timeline of what fits all that is asked for."""
    if order not in ORDERS:
        raise InvalidValueError("order", rule=f"is {order!r}", hint=f"Use one of {', '.join(ORDERS)}.")
    check_limit(limit)
    check_limit(max_depth)
    if scope is not None and session is not None:
        raise InvalidValueError("session", rule="is given beside a scope", hint="Give one of them.")
    home = scope if session is None else _session(session)
    wanted = filter_of(scope=home, types=types, key=key, correlation_id=correlation_id, actor=actor)
    after, last = yield from core.bounds(since, until)
    marks = _texts("tags", tags)
    few = None if order in {"depth", "type"} else limit
    query = LogQuery(core.lineage, after, last, *wanted, _PAGE, reverse=order == "reverse")
    more: LogQuery | None = query if few is None else query._replace(limit=max(1, min(_PAGE, few)))
    walking = yield from walker(core)
    found: list[StoredEvent] = []
    whole = Web()
    while more is not None and (few is None or len(found) < few):
        rows, more = yield from _page(core, more)
        rows = [row for row in rows if _fits(row, marks, artifact)]
        yield from walking.go_on(whole, rows)
        if max_depth is not None:
            depths = whole.depths()
            rows = [row for row in rows if depths[row.position] <= max_depth]
            # Depths are counted anew each time: so that this happens seldom, pages grow.
            more = None if more is None else more._replace(limit=2 * more.limit)
        if roots_only:
            rows = [row for row in rows if not whole.causes(row.position)]
        if leaves_only:
            leading = {edge.cause for edge in (yield from walking.effects(rows))}
            rows = [row for row in rows if row.position not in leading]
        found += rows
    depths = whole.depths()
    places = ordered(found, order, depths)[:limit]
    shown = [whole.events[at] for at in places]
    web = yield from walking.among(shown)
    led = yield from walking.effects(shown)
    whole.events.update((yield from walking.at({edge.effect for edge in led})))
    for edge in led:
        whole.add(edge)
    title = _title(correlation_id, home, key, actor)
    return Timeline(web, codec.decode_value, title=title, order=places, whole=whole, depths=depths)


def _session(given: Scope | str) -> Scope:
    if isinstance(given, Scope):
        return as_scope(given)
    return Scope.parse(given) if given.startswith("session:") else Scope.session(given)


def _texts(path: str, given: Iterable[str] | None) -> frozenset[str]:
    many = () if given is None else (given,) if isinstance(given, str) else tuple(given)
    for each in many:
        if not isinstance(each, str):
            raise InvalidValueError(path, rule=f"{each!r} is no text", hint="Give texts.")
    return frozenset(many)


def _fits(row: StoredEvent, tags: frozenset[str], artifact: str | None) -> bool:
    if not tags and artifact is None:
        return True
    extra = {} if row.extra is None else codec.decode_value(row.extra)
    artifacts = extra.get("metadata", {}).get("artifacts", ())
    return tags <= set(extra.get("tags", ())) and (artifact is None or artifact in artifacts)


def _title(correlation_id: str | None, home: object, key: str | None, actor: str | None) -> str:
    parts = [
        *([f"correlation {correlation_id}"] if correlation_id is not None else []),
        *([f"key {key}"] if key is not None else []),
        *([str(home)] if home is not None else []),
        *([f"by {actor}"] if actor is not None else []),
    ]
    return "Timeline of " + (", ".join(parts) or "the log")


# Why, and what for


def explain(core: Core, scope: Scope | str, key: str, as_of: object) -> Program[Explanation]:
    """Return why a key holds what it does at a point."""
    at = yield from core.state.at(as_of)
    derivations = Derivations(core.engine, core.lineage, codec.decode_value, codec.canonical)
    walking = yield from walker(core, until=at.position, kinds=STRONG)
    place = (stream_of(scope), normalise_key(key))
    return (yield from why(core.state, derivations, walking, place, at=at, decode=codec.decode_value))


def led_to(core: Core, event: EventLike) -> Program[Impact]:
    """Return what an event led to."""
    start = yield from event_row(core, event)
    walking = yield from walker(core, kinds=STRONG)
    yield from walking.foresee(start, "effects")
    return (yield from impact(walking, start, codec.decode_value))
