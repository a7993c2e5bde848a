"""The command that inspects: slow hooks, failures that led to failures, loops, rates."""

from __future__ import annotations

from typing import Annotated, Final

from typer import Option, Typer

from backstory.cli import values
from backstory.cli.commands import command
from backstory.cli.drawing import Drawing
from backstory.cli.session import Session

app: Final = Typer()


@command(app, "inspect")
def inspect(
    session: Session,
    *,
    what: Annotated[
        list[str] | None,
        Option("--what", metavar="PART", help="slowest, cascades, loops or rates; may be repeated. Default: all."),
    ] = None,
    since: Annotated[
        str, Option("--since", metavar="POINT", help="Only events after this position, time or event id.")
    ] = "0",
    until: Annotated[
        str | None, Option("--until", metavar="POINT", help="Only events up to this point, itself included.")
    ] = None,
    scope: Annotated[
        str | None, Option("--scope", metavar="SCOPE", help="Only events of this scope, and runs of hooks for it.")
    ] = None,
    correlation_id: Annotated[
        str | None, Option("--correlation-id", "--correlation", metavar="ID", help="Only events that belong to this.")
    ] = None,
    threshold: Annotated[
        int, Option("--threshold", min=2, metavar="N", help="How many turns make a loop, at least.")
    ] = 3,
    limit: Annotated[
        int, Option("--limit", "-n", min=0, metavar="N", help="At most so many hooks, cascades and loops.")
    ] = 10,
) -> None:
    """Tell which hooks are slow, what fails in a row, what loops, what happens when."""
    with session.open() as store:
        found = store.inspect(
            since=values.point(since),
            until=values.optional_point(until),
            scope=scope,
            correlation_id=correlation_id,
            what=what or None,
            threshold=threshold,
            limit=limit,
        )
    Drawing.of(session, None, "-", forms=("text", "json"), usual="text").show(session, found.render, {})
