"""Commands on causes and effects: timeline, why, impact, graph, link."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any, Final

from typer import Argument, Option, Typer

from backstory.cli import values
from backstory.cli.commands import command
from backstory.cli.drawing import ALL, SOME, Drawing, Form, Output
from backstory.cli.failures import UsageError
from backstory.cli.options import AsOf, KeyArgument, ScopeArgument, Wanted
from backstory.cli.render import event_line
from backstory.cli.session import Session
from backstory.domain.events import MISSING

if TYPE_CHECKING:
    from uuid import UUID

    from networkx import DiGraph

    from backstory.domain.events import RecordedEvent

app: Final = Typer()
EventArgument = Annotated[str, Argument(metavar="EVENT", help="Its id, or its position in the log.")]


@command(app, "timeline")
def timeline(
    session: Session,
    scope_: Annotated[
        str | None,
        Argument(metavar="SCOPE", help="Only events of this scope, as in `session:s1`; --scope does the same."),
    ] = None,
    *,
    wanted: Wanted,
    home: Annotated[str | None, Option("--session", metavar="ID", help="Only events of this session.")] = None,
    artifact: Annotated[str | None, Option("--artifact", metavar="ID", help="Only events about this artifact.")] = None,
    tag: Annotated[
        list[str] | None, Option("--tag", metavar="TEXT", help="Only with this tag; may be repeated.")
    ] = None,
    max_depth: Annotated[
        int | None, Option("--max-depth", min=0, metavar="N", help="Only so many steps away from a root, at most.")
    ] = None,
    roots: Annotated[bool, Option("--roots", help="Only events without a cause.")] = False,
    leaves: Annotated[bool, Option("--leaves", help="Only events that led to nothing.")] = False,
    order: Annotated[
        str, Option("--order", metavar="ORDER", help="chronological, reverse, depth or type.")
    ] = "chronological",
    limit: Annotated[int | None, Option("--limit", "-n", min=0, metavar="N", help="At most so many.")] = None,
    form: Form = None,
    output: Output = "-",
) -> None:
    """Show events with their causes, indented by how far they lie from their root."""
    drawing = Drawing.of(session, form, output, forms=SOME, usual="text")
    if scope_ is not None and wanted.scope is not None:
        raise UsageError("the scope is given twice", hint="Give it as an argument, or with --scope.")
    chosen = wanted._replace(scope=wanted.scope if scope_ is None else scope_)
    with session.open() as store:
        found = store.timeline(
            **chosen._asdict(),
            session=home,
            artifact=artifact,
            tags=tag,
            max_depth=max_depth,
            roots_only=roots,
            leaves_only=leaves,
            order=order,
            limit=limit,
        )
    drawing.show(session, found.render, {"stats": found.stats._asdict()})


@command(app, "why")
def why(
    session: Session,
    scope: ScopeArgument,
    key: KeyArgument,
    *,
    as_of: AsOf = None,
    limit: Annotated[
        int | None,
        Option("--limit", "-n", min=1, metavar="N", help="In brief: the last N events that led there, newest first."),
    ] = None,
    form: Form = None,
    output: Output = "-",
) -> None:
    """Tell why a key holds what it does, with all that led there. Exit code 1: nothing was ever there."""
    drawing = Drawing.of(session, form, output, forms=ALL, usual="text")
    if limit is not None and (form is not None or output != "-"):
        raise UsageError("--limit is brief, a drawing is whole", hint="Leave --limit out, or --format and --output.")
    with session.open() as store:
        found = store.why(scope, key, as_of=values.optional_point(as_of))
    if limit is not None:
        _brief(session, [*found.causes, *found.events], limit)
        return
    facts = {"scope": found.scope, "key": found.key, **({} if found.value is MISSING else {"value": found.value})}
    drawing.show(session, found.render, facts)


def _brief(session: Session, events: Iterable[RecordedEvent], limit: int) -> None:
    for event in sorted(events, key=lambda event: -event.position)[:limit]:
        if session.out.json:
            session.out.value(event.as_dict())
        else:
            session.out.line(event_line(session.out, event))


@command(app, "impact")
def impact(session: Session, event: EventArgument, *, form: Form = None, output: Output = "-") -> None:
    """Tell what an event led to. Exit code 1: there is no such event."""
    drawing = Drawing.of(session, form, output, forms=ALL, usual="text")
    which = values.event(event)
    with session.open() as store:
        found = store.impact(which)
    keys = [{"scope": scope, "key": key} for scope, key in found.keys]
    drawing.show(session, found.render, {"event_id": str(found.event.event_id), "keys": keys})


@command(app, "graph")
def graph(
    session: Session,
    *,
    correlation_id: Annotated[
        str | None, Option("--correlation-id", "--correlation", metavar="ID", help="Only events that belong to this.")
    ] = None,
    event: Annotated[
        str | None, Option("--event", metavar="EVENT", help="Only what leads to this event, and what it leads to.")
    ] = None,
    depth: Annotated[
        int | None, Option("--depth", min=0, metavar="N", help="Only so many steps away from the event.")
    ] = None,
    direction: Annotated[
        str, Option("--direction", metavar="WAY", help="From the event on: both, causes or effects.")
    ] = "both",
    since: Annotated[str, Option("--since", metavar="POINT", help="Only events after this point.")] = "0",
    until: Annotated[
        str | None, Option("--until", metavar="POINT", help="Only events up to this point, itself included.")
    ] = None,
    form: Annotated[
        str | None,
        Option("--format", metavar="FORMAT", help="mermaid, dot, json, html, text or prov. Default: mermaid."),
    ] = None,
    output: Output = "-",
) -> None:
    """Draw which event led to which. Of a correlation, around an event, or of the log."""
    drawing = Drawing.of(session, form, output, forms=ALL, usual="mermaid")
    if event is None and (depth is not None or direction != "both"):
        raise UsageError("nothing says where to start from", hint="Give --event beside --depth and --direction.")
    which = None if event is None else values.event(event)
    with session.open() as store:
        found = store.causality(
            correlation_id=correlation_id,
            event=which,
            direction=direction,
            depth=depth,
            since=values.point(since),
            until=values.optional_point(until),
        )
    drawing.show(session, lambda name: _drawn(found, _title(correlation_id, event), name), {})


def _title(correlation_id: str | None, event: str | None) -> str:
    parts = [
        *([f"correlation {correlation_id}"] if correlation_id is not None else []),
        *([f"event {event}"] if event is not None else []),
    ]
    return "Causes and effects: " + (", ".join(parts) or "the log")


def _drawn(found: DiGraph[UUID], title: str, form: str) -> str:
    """Return a graph in a form."""
    from backstory.replay.picture import Picture, PictureEdge
    from backstory.replay.rendering import render

    nodes: list[RecordedEvent] = [found.nodes[each]["event"] for each in found]
    events = sorted(nodes, key=lambda event: event.position)
    edges = [
        PictureEdge(cause, effect, said["kind"], said["strength"]) for cause, effect, said in found.edges(data=True)
    ]
    return render(Picture(title, events, edges, _depths(found)), form)


def _depths(found: DiGraph[UUID]) -> dict[UUID, int]:
    """Return how far each event lies from a root, the longest way: one is told when all its causes are."""
    waiting = {each: len(list(found.predecessors(each))) for each in found}
    ready = [each for each, count in waiting.items() if not count]
    depths = dict.fromkeys(ready, 0)
    while ready:
        cause = ready.pop()
        for effect in found.successors(cause):
            depths[effect] = max(depths.get(effect, 0), depths[cause] + 1)
            waiting[effect] -= 1
            if not waiting[effect]:
                ready.append(effect)
    return depths


@command(app, "link")
def link(
    session: Session,
    cause: Annotated[str, Argument(metavar="CAUSE", help="The id of an event, or its position.")],
    effect: Annotated[str, Argument(metavar="EFFECT", help="The id of another, or its position.")],
    *,
    kind: Annotated[
        str,
        Option(
            "--kind",
            metavar="KIND",
            help="caused_by, part_of, related_to, response_to, follows_from, concurrent_with or read.",
        ),
    ] = "caused_by",
    strength: Annotated[
        float, Option("--strength", metavar="NUMBER", help="How sure that is: above 0, up to 1.")
    ] = 1.0,
) -> None:
    """Record that one event led to another, where the log does not know. Exit code 1: there is no such event."""
    first, second = values.event(cause), values.event(effect)
    with session.open(write=True) as store:
        event = store.link(first, second, kind, strength=strength)
    said: dict[str, Any] = event.as_dict()
    if session.out.json:
        session.out.value(said)
    else:
        session.out.line(f"linked {first} to {second} as {event.data['kind']} (position {event.position})")
