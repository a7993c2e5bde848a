"""Commands that show what the product does: demo, bench."""

from __future__ import annotations

from typing import Annotated, Final

from typer import Option, Typer

from backstory.cli.commands import command
from backstory.cli.session import Session

app: Final = Typer()


@command(app, "demo")
def demo(
    session: Session,
    *,
    keep: Annotated[bool, Option("--keep", help="Put the new store here, not among the temporary files.")] = False,
) -> int:
    """Tour a recorded run in a minute. A mistake, where it came from, what it changed."""
    from backstory.demo.tour import tour

    return tour(session, keep=keep)


@command(app, "bench")
def bench(session: Session) -> int:
    """Measure how fast stores are on this machine. Takes about half a minute."""
    from backstory.bench import main

    return main(json=session.out.json)
