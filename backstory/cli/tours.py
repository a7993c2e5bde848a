"""Commands that show what the product does: demo, bench."""

from __future__ import annotations

from importlib import import_module
from typing import Annotated, Final

from typer import Option, Typer

from backstory.cli.commands import command
from backstory.cli.session import Session
from backstory.domain.errors import NotFoundError

app: Final = Typer()


@command(app, "demo")
def demo(
    session: Session,
    *,
    keep: Annotated[bool, Option("--keep", help="Put the new store here, not among the temporary files.")] = False,
) -> int | None:
    """Tour a recorded run in a minute. A mistake, where it came from, what it changed."""
    from backstory.demo.tour import tour

    return tour(session, keep=keep)


@command(app, "bench")
def bench(session: Session) -> int | None:
    """Measure this store on this machine, beside the raw engine."""
    try:
        benchmark = import_module("backstory.bench")
    except ModuleNotFoundError as error:
        raise NotFoundError("benchmark", "backstory.bench", hint="Install a release that brings it.") from error
    return int(benchmark.main(json=session.out.json) or 0)
