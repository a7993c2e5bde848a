"""Inspecting: the programs that find slow hooks, failures that led to failures, loops, and rates.

Slow hooks and failures are looked up by type; loops and rates need all events of the span, in one pass together, and
loops a second one over what the first could not rule out. What is remembered is the answer, what a few dozen
failures led to, and a few bytes for each event of the span where loops are looked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

from backstory.core import Core, check_limit, filter_of
from backstory.domain.errors import InvalidValueError, shown
from backstory.domain.events import RecordedEvent, StoredEvent
from backstory.domain.hooks import HOOK_EXECUTED, HOOK_FAILED
from backstory.domain.ports import LAST_POSITION, LogQuery, Program
from backstory.domain.scopes import Scope
from backstory.hooks.statistics import Tally as Runs
from backstory.infrastructure import codec
from backstory.projections import rates
from backstory.projections.causes import CAUSED_BY, LINK_ADDED, LINKS, Walker
from backstory.projections.failures import FAILURES, Spread, failing, most_below, spread
from backstory.projections.repeats import Sketch, loops, signature
from backstory.replay.inspection import PARTS, Cascade, Inspection, Loop, SlowHook
from backstory.tracing import walker

_PAGE: Final = 1000
#: So many failures are followed at once: each round of questions costs the same for one as for many.
_TOGETHER: Final = 64
_RUNS: Final = (HOOK_EXECUTED, HOOK_FAILED)
_CAUSES: Final = frozenset({CAUSED_BY})
_FEWEST: Final = 2


class Span(NamedTuple):
    """What is looked at: events between positions, of a scope and a correlation, or of all."""

    core: Core
    after: int
    until: int
    stream: str | None
    correlation: bytes | None

    def walker(self, *, since: int | None = None) -> Program[Walker]:
        """Return a walker along causes alone; what lies outside of the span is as if it was not there."""
        after = self.after if since is None else since
        return walker(self.core, since=after, until=self.until, correlation=self.correlation, kinds=_CAUSES)


class Pages:
    """The events of a span, of some types or all, page by page; those of a scope with the runs of hooks for it."""

    def __init__(self, span: Span, types: tuple[str, ...] | None, runs: tuple[str, ...] = _RUNS) -> None:
        self._span = span
        query = LogQuery(
            span.core.lineage, span.after, span.until, span.stream, types, correlation=span.correlation, limit=_PAGE
        )
        self._queries = [query] if span.stream is None else [query, query._replace(stream=None, types=runs)]

    def next(self) -> Program[list[StoredEvent] | None]:
        """Return the next events, perhaps none although there are more; None at the end."""
        if not self._queries:
            return None
        query = self._queries[0]
        rows = yield from self._span.core.engine.page(query)
        if len(rows) < query.limit:
            self._queries.pop(0)
        else:
            self._queries[0] = query._replace(after=rows[-1].position)
        stream = self._span.stream
        return [row for row in rows if query.stream == stream or (row.stream != stream and _ran_for(row, stream))]


def _ran_for(row: StoredEvent, stream: str | None) -> bool:
    """Return whether a hook's run was for what happened in a scope."""
    return bool(codec.decode_value(row.data)["input"].get("scope") == stream)


def _fails(row: StoredEvent) -> bool:
    return failing(row, codec.decode_value)


def inspect(
    core: Core,
    *,
    since: object,
    until: object,
    scope: Scope | str | None,
    correlation_id: str | None,
    what: str | Iterable[str] | None,
    threshold: int,
    limit: int | None,
) -> Program[Inspection]:
    """Return what an inspection of a part of the log finds; raises `InvalidValueError`."""
    parts = _parts(what)
    check_limit(limit)
    if isinstance(threshold, bool) or not isinstance(threshold, int) or threshold < _FEWEST:
        raise InvalidValueError(
            "threshold", rule=f"is {shown(threshold)}", hint=f"Give a whole number from {_FEWEST}: once is no loop."
        )
    wanted = filter_of(scope=scope, correlation_id=correlation_id)
    after, last = yield from core.bounds(since, until)
    span = Span(core, after, last, wanted.stream, wanted.correlation)
    found: dict[str, Any] = {"totals": {}}
    if "slowest" in parts:
        slow = yield from _slowest(span)
        found["slowest"], found["totals"]["slowest"] = tuple(slow[:limit]), len(slow)
    if "cascades" in parts:
        spreads = yield from _cascades(span)
        found["cascades"] = yield from _as_cascades(core, spreads[:limit])
        found["totals"]["cascades"] = len(spreads)
    if "loops" in parts or "rates" in parts:
        seen = yield from _pass(span, parts)
        found["by_hour"], found["by_day"] = seen.rates.rates(rates.HOUR_US), seen.rates.rates(rates.DAY_US)
        if seen.repeats is not None:
            turns = yield from _loops(span, seen.repeats, threshold)
            found["loops"] = yield from _as_loops(core, turns[:limit])
            found["totals"]["loops"] = len(turns)
    return Inspection(_title(correlation_id, wanted.stream), parts, **found)


def _parts(what: object) -> tuple[str, ...]:
    if what is None:
        return PARTS
    many = (what,) if isinstance(what, str) else tuple(what) if isinstance(what, Iterable) else (what,)
    for part in many:
        if part not in PARTS:
            raise InvalidValueError("what", rule=f"is no part: {shown(part)}", hint=f"Use {', '.join(PARTS)}.")
    return tuple(part for part in PARTS if part in many)


def _title(correlation_id: str | None, stream: str | None) -> str:
    told = [*([] if correlation_id is None else [f"correlation {correlation_id}"]), *([stream] if stream else [])]
    return "Inspection of " + (", ".join(told) or "the log")


# Slow hooks


def _slowest(span: Span) -> Program[list[SlowHook]]:
    """Return the runs of each hook at each point; the longest p95 first."""
    counts: dict[tuple[str, str], Runs] = {}
    longest: dict[tuple[str, str], tuple[int, StoredEvent]] = {}
    pages = Pages(span, _RUNS)
    while (rows := (yield from pages.next())) is not None:
        for row in rows:
            data = codec.decode_value(row.data)
            place = (data["hook"], data["point"])
            counts.setdefault(place, Runs()).count(row, data)
            known = longest.get(place)
            if known is None or (-data["duration_us"], row.position) < (-known[0], known[1].position):
                longest[place] = (data["duration_us"], row)
    found = [_slow(place, counts[place], longest[place][1]) for place in counts]
    return sorted(found, key=lambda each: (-each.p95_s, -each.longest_s, each.hook, each.point))


def _slow(place: tuple[str, str], runs: Runs, row: StoredEvent) -> SlowHook:
    hook, point = place
    stats = runs.stats(hook)
    event = RecordedEvent(row, codec.decode_value)
    return SlowHook(hook, point, stats.runs, stats.failed, stats.p50_s, stats.p95_s, stats.longest_s, event)


# Failures that led to failures


def _cascades(span: Span) -> Program[list[Spread]]:
    """Return the failures that no other one of the span led to, and that led to others; the longest first."""
    found: dict[int, Spread] = {}
    below: set[int] = set()
    pages = Pages(span, tuple(FAILURES), (HOOK_FAILED,))
    while (rows := (yield from pages.next())) is not None:
        failures = [row for row in rows if _fails(row)]
        for start in range(0, len(failures), _TOGETHER):
            roots = [row for row in failures[start : start + _TOGETHER] if row.position not in below]
            for each in (yield from _followed(span, roots)):
                below.update(each.failures)
                if each.failures:
                    found[each.root] = each
    # A link may lead back in the log: then what was followed first may lie below what came later.
    roots_only = [each for each in found.values() if each.root not in below]
    return sorted(roots_only, key=lambda each: (-each.depth, -len(each.failures), each.root))


def _followed(span: Span, roots: Sequence[StoredEvent]) -> Program[list[Spread]]:
    """Return what each of these failures led to, but for those that one of them led to."""
    walking = yield from span.walker()
    web = yield from walking.walk([row for row in roots if walking.shows(row)], "effects")
    failed = {at for at, row in web.events.items() if _fails(row)}
    marks = most_below(web, failed)
    found: list[Spread] = []
    reached: set[int] = set()
    for row in roots:
        if row.position in marks and row.position not in reached:
            found.append(spread(web, row.position, failed=failed, below=marks))
            reached.update(found[-1].failures)
    return found


def _as_cascades(core: Core, spreads: Sequence[Spread]) -> Program[tuple[Cascade, ...]]:
    found = []
    for each in spreads:
        root, *failures = yield from _events(core, (each.root, *each.failures))
        found.append(Cascade(root, tuple(failures), each.depth, each.events))
    return tuple(found)


def _events(core: Core, positions: Sequence[int]) -> Program[list[RecordedEvent]]:
    """Return events by their positions, in the order given."""
    rows: dict[int, StoredEvent] = {}
    for start in range(0, len(positions), _PAGE):
        page = yield from core.engine.events_at(sorted(positions[start : start + _PAGE]))
        rows.update({row.position: row for row in page})
    return [RecordedEvent(rows[at], codec.decode_value) for at in positions]


# Loops and rates


class _Repeats(NamedTuple):
    """Counts of what is said: by all events, and by those that are the cause of another."""

    all: Sketch
    causes: Sketch


class _Seen(NamedTuple):
    """What one pass over a span gives; no counts of repeats where no loops are looked for."""

    rates: rates.Tally
    repeats: _Repeats | None


def _pass(span: Span, parts: Sequence[str]) -> Program[_Seen]:
    size = span.until - span.after
    seen = _Seen(rates.Tally(), _Repeats(Sketch(size), Sketch(size)) if "loops" in parts else None)
    pages = Pages(span, None)
    while (rows := (yield from pages.next())) is not None:
        if "rates" in parts:
            for row in rows:
                seen.rates.add(row.recorded_us, row.type, failed=_fails(row))
        if seen.repeats is not None:
            for _, mark, leads in (yield from _marked(span.core, rows)):
                seen.repeats.all.add(mark)
                if leads:
                    seen.repeats.causes.add(mark)
    return seen


def _marked(core: Core, rows: Sequence[StoredEvent]) -> Program[list[tuple[StoredEvent, bytes, bool]]]:
    """Return events, without links, with their signatures and whether they are the cause of another."""
    rows = [row for row in rows if row.type != LINK_ADDED]
    leading = yield from core.engine.named_as_cause([row.position for row in rows])
    return [(row, signature(row, codec.decode_value, codec.canonical), row.position in leading) for row in rows]


def _loops(span: Span, repeats: _Repeats, threshold: int) -> Program[list[tuple[int, ...]]]:
    """Return the positions of each loop's turns; the most turns first.

    All but a loop's last turn are the cause of something, so most of what is written often is ruled out at once.
    """
    groups: dict[bytes, list[tuple[int, bool]]] = {}
    pages = Pages(span, None)
    while (rows := (yield from pages.next())) is not None:
        for row, mark, leads in (yield from _marked(span.core, rows)):
            if repeats.causes.may_have(mark, threshold - 1) and repeats.all.may_have(mark, threshold):
                groups.setdefault(mark, []).append((row.position, leads))
    linked = yield from span.core.engine.stream_version(span.core.lineage, LINKS, LAST_POSITION)
    found: list[tuple[int, ...]] = []
    for group in groups.values():
        if len(group) >= threshold and sum(leads for _, leads in group) >= threshold - 1:
            places = sorted(at for at, _ in group)
            # Causes come before their effects, but for what links say.
            walking = yield from span.walker(since=span.after if linked else max(span.after, places[0] - 1))
            rows = list((yield from walking.at(places)).values())
            yield from walking.foresee(max(rows, key=lambda row: row.position), "causes")
            web = yield from walking.walk(rows, "causes")
            found += loops(web, places, threshold)
    return sorted(found, key=lambda turns: (-len(turns), turns))


def _as_loops(core: Core, found: Sequence[tuple[int, ...]]) -> Program[tuple[Loop, ...]]:
    made: tuple[Loop, ...] = ()
    for positions in found:
        events = yield from _events(core, positions)
        made += (Loop(tuple(events)),)
    return made


__all__ = ["inspect"]
