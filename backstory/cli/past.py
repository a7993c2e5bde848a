"""Commands that look at the past of the state: history, diff, blame."""

from __future__ import annotations

from typing import Annotated, Any, Final

from typer import Argument, Option, Typer

from backstory.cli import values
from backstory.cli.commands import command
from backstory.cli.options import AsOf, KeyArgument, ScopeArgument
from backstory.cli.render import SHORT, change_line, difference_lines, event_lines
from backstory.cli.session import Session
from backstory.domain.errors import NotFoundError
from backstory.domain.events import MISSING, Change, Difference

app: Final = Typer()
Full = Annotated[bool, Option("--full", help="Do not cut long values.")]


@command(app, "history")
def history(session: Session, scope: ScopeArgument, key: KeyArgument, *, full: Full = False) -> None:
    """List every change of a key, oldest first. Exit code 1: the key was never written."""
    with session.open() as store:
        changes = store.history(scope, key)
    if not changes:
        raise NotFoundError("history of key", key, hint=f"`backstory keys {scope}` lists what is there.")
    if session.out.json:
        session.out.value([_change(change) for change in changes])
        return
    for change in changes:
        session.out.line(change_line(session.out, change, limit=None if full else SHORT))


def _change(change: Change) -> dict[str, Any]:
    return {
        "position": change.position,
        "version": change.version,
        "event_id": str(change.event_id),
        "type": change.type,
        "recorded_at": change.recorded_at.isoformat(),
        "actor": change.actor,
        "schema": None if change.schema is None else list(change.schema),
        **sides(change),
    }


def sides(of: Change | Difference) -> dict[str, Any]:
    """Return both values; one that is absent is left out, for null is a value."""
    return {name: side for name, side in (("before", of.before), ("after", of.after)) if side is not MISSING}


@command(app, "diff")
def diff(
    session: Session,
    from_: Annotated[str, Argument(metavar="FROM", help="A position, an ISO time with a zone, or an event id.")],
    to: Annotated[str | None, Argument(metavar="TO", help="Another such point; by default the log's end.")] = None,
    *,
    scope: Annotated[str | None, Option("--scope", metavar="SCOPE", help="Only this scope.")] = None,
) -> None:
    """Show which keys differ between two points, in either order."""
    start, end = values.point(from_), values.optional_point(to)
    with session.open() as store:
        found = store.diff(start, store.position() if end is None else end, scope=scope)
    if session.out.json:
        session.out.value([{"scope": str(each.scope), "key": each.key, **sides(each)} for each in found])
        return
    for each in found:
        for line in difference_lines(session.out, each):
            session.out.line(line)


@command(app, "blame")
def blame(
    session: Session,
    scope: ScopeArgument,
    key: KeyArgument,
    *,
    path: Annotated[str | None, Option("--path", metavar="PATH", help="A path in the value: `items[0].price`.")] = None,
    as_of: AsOf = None,
) -> None:
    """Show the event that gave a key what it holds, or removed it. Exit code 1: nothing was ever there."""
    with session.open() as store:
        event = store.blame(scope, key, path=path, as_of=values.optional_point(as_of))
    if session.out.json:
        session.out.value(event.as_dict())
    else:
        for line in event_lines(session.out, event):
            session.out.line(line)
