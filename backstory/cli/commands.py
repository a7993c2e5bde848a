"""Commands: how a plain function becomes one, with the global options, groups of options and exit codes.

A command's first parameter is the `Session`. A parameter of a type in `GROUPS` stands for the options of that group.
All others are typer's. It returns None, or its exit code.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, get_type_hints

import typer

from backstory.cli import backup_keys, backup_options, due_times, options, policies
from backstory.cli.failures import Exit
from backstory.cli.running import guarded
from backstory.cli.session import Options, Session

Command = Callable[..., int | None]
_CONTEXT: Final = "typer_context"

#: The types that stand for several options, and the function whose parameters those are.
GROUPS: Final[Mapping[type, Callable[..., Any]]] = {
    options.Given: options.given,
    options.Wanted: options.wanted,
    options.Runs: options.runs,
    backup_keys.Keys: backup_keys.keys,
    backup_keys.MakingKeys: backup_keys.making_keys,
    backup_keys.NewKeys: backup_keys.new_keys,
    backup_options.Making: backup_options.making,
    due_times.Due: due_times.due,
    policies.Policy: policies.policy,
}


def command(app: typer.Typer, name: str, **settings: Any) -> Callable[[Command], Command]:
    """Register a function as a command of an app; it stays callable as it is."""

    def register(function: Command) -> Command:
        app.command(name, **settings)(runner(function))
        return function

    return register


def runner(function: Command) -> Callable[..., int]:
    """Return what typer calls: with the options of the command, its groups and the whole program."""
    hints = get_type_hints(function, include_extras=True)
    own = list(inspect.signature(function).parameters.values())[1:]
    groups = {parameter.name: GROUPS[hints[parameter.name]] for parameter in own if hints[parameter.name] in GROUPS}
    plain = [_resolved(parameter, hints) for parameter in own if parameter.name not in groups]
    grouped = {name: _parameters(group) for name, group in groups.items()}
    taken = {parameter.name for parameter in plain} | {each.name for many in grouped.values() for each in many}
    common = [parameter for parameter in _parameters(options.common) if parameter.name not in taken]

    def run(**arguments: Any) -> int:
        context: typer.Context = arguments.pop(_CONTEXT)
        late = Options(**{each.name: arguments.pop(each.name) for each in common})
        options = late.over(context.obj or Options())
        if context.invoked_subcommand is not None:
            _refuse_lost(context, arguments)
            context.obj = options
            return Exit.DONE
        parts = {name: {each.name: arguments.pop(each.name) for each in many} for name, many in grouped.items()}
        session = Session(options)

        def call() -> int | None:
            made = {name: group(**parts[name]) for name, group in groups.items()}
            return function(session, **arguments, **made)

        return guarded(session, call)

    parameters = [*plain, *(each for many in grouped.values() for each in many), *common]
    context = inspect.Parameter(_CONTEXT, inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)
    run.__signature__ = inspect.Signature([context, *parameters])  # type: ignore[attr-defined]
    run.__annotations__ = {each.name: each.annotation for each in (context, *parameters)}
    run.__doc__ = function.__doc__
    run.__name__ = function.__name__
    return run


def _refuse_lost(context: typer.Context, arguments: Iterable[str]) -> None:
    """Refuse options that stand before a subcommand and would mean nothing to it."""
    for name in arguments:
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            option = next(each.opts[0] for each in context.command.params if each.name == name)
            raise typer.BadParameter(f"{option} belongs behind `{context.invoked_subcommand}`, if anywhere")


def _parameters(function: Callable[..., Any]) -> list[inspect.Parameter]:
    hints = get_type_hints(function, include_extras=True)
    return [_resolved(parameter, hints) for parameter in inspect.signature(function).parameters.values()]


def _resolved(parameter: inspect.Parameter, hints: Mapping[str, Any]) -> inspect.Parameter:
    return parameter.replace(annotation=hints[parameter.name], kind=inspect.Parameter.KEYWORD_ONLY)
