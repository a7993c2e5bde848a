"""The program: all commands, the global options, and what happens before and after a command runs."""

from __future__ import annotations

import os
from functools import cache
from typing import Annotated, Any, Final

import typer
from typer.main import get_command

from backstory.cli import (
    backup_schedules,
    branches,
    care,
    causes,
    hooks,
    imports,
    inspections,
    logs,
    migrations,
    past,
    schedules,
    schemas,
    serving,
    state,
    tours,
    what_if,
)
from backstory.cli.failures import Exit, FaultError, UsageError
from backstory.cli.running import tell
from backstory.cli.session import Options

# What typer raises for a command line that it does not take; the class has had several homes.
_MISUSE: Final[type[Exception]] = typer.BadParameter.__mro__[1]

app: Final = typer.Typer(
    name="backstory",
    help=(
        "The event-sourced state store for agents: every value has a backstory.\n\n"
        "Options that stand here may stand behind a command too."
    ),
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    invoke_without_command=True,
)
for part in (state, past, logs, causes, inspections, what_if, imports, branches, care, serving, tours):
    app.add_typer(part.app)
app.add_typer(branches.branches, name="branches")
app.add_typer(hooks.hooks, name="hooks")
app.add_typer(schedules.app, name="replay")
app.add_typer(schemas.schemas, name="schema")
app.add_typer(migrations.migrations, name="migrate")
app.add_typer(backup_schedules.app, name="backup")


def _print_version(wanted: bool) -> None:  # noqa: FBT001 - typer's callback
    if wanted:
        from importlib.metadata import version

        typer.echo(f"backstory {version('backstory')}")
        raise typer.Exit


@app.callback()
def options(
    context: typer.Context,
    *,
    store: Annotated[
        str | None,
        typer.Option(
            "--store",
            metavar="URL",
            help="The store: sqlite:///file.db or postgresql://user@host/database. "
            "Without it: BACKSTORY_STORE, `store` in backstory.toml, or sqlite:///backstory.db.",
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON, and errors as JSON.")] = False,
    branch: Annotated[str | None, typer.Option("--branch", metavar="NAME", help="The branch, instead of main.")] = None,
    actor: Annotated[
        str | None,
        typer.Option(
            "--actor", metavar="NAME", help="Who writes. Without it: BACKSTORY_ACTOR, or `actor` in the file."
        ),
    ] = None,
    no_color: Annotated[bool, typer.Option("--no-color", help="No colours; NO_COLOR does the same.")] = False,
    _version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Take the global options."""
    context.obj = Options(store, json or None, branch, actor, no_color or None)
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit(Exit.USAGE)


def run(arguments: list[str]) -> int:
    """Run the program and return its exit code."""
    json = "--json" in arguments
    try:
        return int(_commands().main(arguments, prog_name="backstory", standalone_mode=False) or Exit.DONE)
    except _MISUSE as error:
        tell(UsageError(str(_words(error))), json=json)
        return Exit.USAGE
    except BrokenPipeError:
        return Exit.BROKEN_PIPE
    except (KeyboardInterrupt, typer.Abort):
        return Exit.INTERRUPTED
    except Exception as error:
        if os.environ.get("BACKSTORY_TRACEBACK"):
            raise
        tell(FaultError(error), json=json)
        return Exit.FAULT


@cache
def _commands() -> Any:
    return get_command(app)


def _words(error: Exception) -> str:
    """Return what a misuse's message says, without line breaks."""
    message = error.format_message() if hasattr(error, "format_message") else error
    return " ".join(str(message).split())
