"""Commands on the log itself: log, tail, event, append, export."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Final
from uuid import UUID

from typer import Argument, Option, Typer

from backstory.cli import values
from backstory.cli.commands import command
from backstory.cli.failures import UsageError, unicode
from backstory.cli.files import write_whole
from backstory.cli.options import ExpectVersion, Given, ScopeArgument, Wanted
from backstory.cli.output import to_json
from backstory.cli.render import SHORT, counted, event_line, event_lines, field
from backstory.cli.session import Session
from backstory.domain.errors import InvalidPointError, shown
from backstory.domain.events import Event, RecordedEvent

app: Final = Typer()
Full = Annotated[bool, Option("--full", help="Do not cut long data.")]


@command(app, "log")
def log(
    session: Session,
    wanted: Wanted,
    *,
    limit: Annotated[int | None, Option("--limit", "-n", min=0, metavar="N", help="At most so many.")] = None,
    reverse: Annotated[bool, Option("--reverse", help="Newest first.")] = False,
    full: Full = False,
) -> None:
    """List events in the order of the log."""
    with session.open() as store:
        for event in store.log(**wanted._asdict(), limit=limit, reverse=reverse):
            _print(session, event, full=full)


def _print(session: Session, event: RecordedEvent, *, full: bool) -> None:
    if session.out.json:
        session.out.value(event.as_dict())
    else:
        session.out.line(event_line(session.out, event, limit=None if full else SHORT))


@command(app, "tail")
def tail(
    session: Session,
    *,
    number: Annotated[int, Option("--lines", "-n", min=0, metavar="N", help="How many to begin with.")] = 10,
    follow: Annotated[bool, Option("--follow", "-f", help="Go on with what is recorded from now on.")] = False,
    since: Annotated[
        str | None, Option("--since", metavar="POINT", help="Begin after this point instead of with the last N.")
    ] = None,
    scope: Annotated[str | None, Option("--scope", metavar="SCOPE", help="Only events of this scope.")] = None,
    type_: Annotated[
        list[str] | None,
        Option("--type", metavar="TYPE", help="Only events of this type; `tool.*` is a pattern; may be repeated."),
    ] = None,
    correlation_id: Annotated[
        str | None, Option("--correlation-id", metavar="ID", help="Only events that belong to this.")
    ] = None,
    full: Full = False,
) -> None:
    """Show the last events of the log. With --follow also those that come, until Ctrl-C."""
    filters: dict[str, Any] = {"scope": scope, "types": type_ or None, "correlation_id": correlation_id}
    start = values.optional_point(since)
    with session.open() as store:
        head = store.position()
        if start is None:
            last: Iterable[RecordedEvent] = [*store.log(**filters, until=head, limit=number, reverse=True)][::-1]
        else:
            last = store.log(**filters, since=start, until=head)
        for event in last:
            _print(session, event, full=full)
        if not follow:
            return
        session.out.flush()
        with store.subscribe(since=head, **filters) as events:
            for event in events:
                _print(session, event, full=full)
                session.out.flush()


@command(app, "event")
def event(
    session: Session,
    which: Annotated[str, Argument(metavar="EVENT", help="Its id, or its position in the log.")],
) -> None:
    """Show one event with all its parts. Exit code 1: there is none of this id."""
    point = values.point(which)
    with session.open() as store:
        if isinstance(point, UUID):
            found = store.event(point)
        elif isinstance(point, int) and point > 0:
            found = next(iter(store.log(since=point - 1, until=point)), None) or _not_here(which)
        else:
            raise InvalidPointError(which, rule="is no event's id or position")
    if session.out.json:
        session.out.value(found.as_dict())
    else:
        for line in event_lines(session.out, found):
            session.out.line(line)


def _not_here(which: str) -> RecordedEvent:
    raise InvalidPointError(which, rule="is on another branch", hint="Name that branch with --branch.")


@command(app, "append")
def append(
    session: Session,
    scope: ScopeArgument,
    type_: Annotated[str, Argument(metavar="TYPE", help="Dotted, in the past tense: `order.placed`.")],
    data: Annotated[
        str, Argument(metavar="DATA", help="JSON; `@file` reads a file, `-` standard input; null if left out.")
    ] = "null",
    *,
    given: Given,
    key: Annotated[str | None, Option("--key", metavar="KEY", help="The key the event is about.")] = None,
    event_id: Annotated[
        str | None, Option("--event-id", metavar="UUID", help="Its id: appended twice, it is stored once.")
    ] = None,
    expect_version: ExpectVersion = None,
) -> None:
    """Append an event of your own to the log."""
    wish = Event(type_, values.value(data), key=key, event_id=_uuid(event_id))
    with session.open(write=True, create=True) as store:
        (recorded,) = store.append(scope, wish, expected_version=values.expected(expect_version), **given.context)
        if session.out.json:
            session.out.value(recorded.as_dict())
        else:
            session.out.line(
                f"appended {field(type_)} to {field(recorded.stream)} "
                f"(position {recorded.position}, version {recorded.version})"
            )


def _uuid(text: str | None) -> UUID | None:
    try:
        return None if text is None else UUID(text)
    except ValueError:
        raise UsageError(f"{shown(text)} is no UUID", hint="Leave --event-id out, or give a UUID.") from None


@command(app, "export")
def export(
    session: Session,
    wanted: Wanted,
    *,
    output: Annotated[
        str, Option("--output", "-o", metavar="FILE", help="Where to, whole or not at all; `-` is standard output.")
    ] = "-",
) -> None:
    """Write events as JSON, one a line."""
    with session.open() as store:
        events = store.log(**wanted._asdict())
        if output == "-":
            for each in events:
                session.out.value(each.as_dict())
            return
        count = write_whole(output, (to_json(each.as_dict()) + b"\n" for each in events))
    if session.out.json:
        session.out.value({"file": unicode(output), "events": count})
    else:
        session.out.line(f"wrote {counted(count, 'event')} to {field(output)}")
