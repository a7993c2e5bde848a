"""Findings: an inspection for a terminal, a part below the other, never wider than 100 columns."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from backstory.domain.events import RecordedEvent
from backstory.projections.rates import Rate
from backstory.replay.rendering.columns import cut, filled, safe, width, wrapped
from backstory.replay.rendering.saying import place, says
from backstory.replay.rendering.text import WIDEST

if TYPE_CHECKING:
    from backstory.replay.inspection import Inspection

_GAP: Final = "  "
_HEADINGS: Final = {
    "slowest": "Slowest hooks",
    "cascades": "Failures that led to failures",
    "loops": "Loops",
    "rates": "Events by day and hour (UTC)",
}
_HOOK: Final = 22
_POINT: Final = 21
_NUMBER: Final = 6
_SPAN: Final = 9
_EVENT: Final = 60
_PLACE: Final = 26
_TYPE: Final = 18
_BAR: Final = 20
_MOST_ROWS: Final = 48
_MOST_FAILURES: Final = 12
_MILLISECOND_S: Final = 0.001


def text(inspection: Inspection) -> str:
    """Return an inspection as lines: its title, then each part that it looked at."""
    return "".join(f"{cut(line, WIDEST).rstrip()}\n" for line in _lines(inspection))


def _lines(inspection: Inspection) -> Iterator[str]:
    yield safe(inspection.title)
    for part in inspection.parts:
        lines = list(_PARTS[part](inspection))
        yield ""
        yield _HEADINGS[part]
        yield from (_GAP + line for line in lines or ["none"])
        if part in inspection.totals and (more := inspection.totals[part] - len(getattr(inspection, part))):
            yield f"{_GAP}and {more} more"


def _slowest(inspection: Inspection) -> Iterator[str]:
    if not inspection.slowest:
        return
    numbers = ("runs", "failed")
    spans = ("p50", "p95", "longest")
    yield _row("hook", "point", numbers, spans, "event")
    for each in inspection.slowest:
        times = [_span(seconds) for seconds in (each.p50_s, each.p95_s, each.longest_s)]
        yield _row(each.hook, each.point, (str(each.runs), str(each.failed)), times, str(each.slowest.position))


def _row(hook: str, point: str, numbers: Sequence[str], spans: Sequence[str], event: str) -> str:
    cells = [filled(safe(hook), _HOOK), filled(safe(point), _POINT)]
    cells += [number.rjust(_NUMBER) for number in numbers]
    cells += [span.rjust(_SPAN) for span in spans]
    return _GAP.join([*cells, event])


def _span(seconds: float) -> str:
    """Return a duration in the unit that suits it."""
    if seconds < _MILLISECOND_S:
        return f"{seconds * 1_000_000:.0f} us"
    return f"{seconds * 1000:.1f} ms" if seconds < 1 else f"{seconds:.2f} s"


def _cascades(inspection: Inspection) -> Iterator[str]:
    for each in inspection.cascades:
        further = _counted(len(each.failures), "further failure")
        yield f"{further}, {each.depth} on one way; {_counted(each.events, 'event')} in all"
        for event in (each.root, *each.failures[:_MOST_FAILURES]):
            yield from (_GAP + line for line in _event(event, "" if event is each.root else _GAP))
        if (more := len(each.failures) - _MOST_FAILURES) > 0:
            yield f"{_GAP * 2}and {more} more"


def _event(event: RecordedEvent, indent: str) -> Iterator[str]:
    """Yield an event in a line: position, type, place, what it says; that stands below where it is long."""
    start = f"{indent}{event.position:>5}{_GAP}"
    line = _GAP.join((start + filled(safe(event.type), _TYPE), filled(place(event), _PLACE)))
    said = says(event, columns=_EVENT)
    if width(line) + len(_GAP) + width(said) <= WIDEST - 2 * len(_GAP):
        yield f"{line}{_GAP}{said}"
        return
    yield line
    yield " " * len(start) + says(event, columns=WIDEST - 2 * len(_GAP) - len(start))


def _loops(inspection: Inspection) -> Iterator[str]:
    for each in inspection.loops:
        yield f"{_counted(each.turns, 'turn')}"
        yield from (_GAP + line for line in _event(each.events[0], ""))
        positions = ", ".join(str(event.position) for event in each.events)
        first, *rest = wrapped(f"at {positions}", WIDEST - 4 * len(_GAP))
        yield _GAP * 2 + first
        yield from (_GAP * 2 + "   " + line for line in rest)


def _rates(inspection: Inspection) -> Iterator[str]:
    for rates, form in ((inspection.by_day, "%Y-%m-%d      "), (inspection.by_hour, "%Y-%m-%d %H:%M")):
        if not rates:
            return
        if rates is inspection.by_hour:
            yield ""
        if (more := len(rates) - _MOST_ROWS) > 0:
            yield f"{more} earlier"
        most = max(each.events for each in rates)
        yield from (_rate(each, form, most) for each in rates[-_MOST_ROWS:])


def _rate(rate: Rate, form: str, most: int) -> str:
    bar = "#" * -(-rate.events * _BAR // most)
    often = sorted(rate.types.items(), key=lambda item: (-item[1], item[0]))
    types = ", ".join(f"{safe(kind)} {count}" for kind, count in often)
    errors = "" if not rate.errors else _counted(rate.errors, "error")
    cells = (rate.since.strftime(form), f"{rate.events:>7}", f"{errors:<10}", f"{bar:<{_BAR}}", types)
    return cut(_GAP.join(cells), WIDEST - len(_GAP))


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


_PARTS: Final[Mapping[str, Callable[[Inspection], Iterator[str]]]] = {
    "slowest": _slowest,
    "cascades": _cascades,
    "loops": _loops,
    "rates": _rates,
}
