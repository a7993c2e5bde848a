"""Commands that read and write the state."""

from __future__ import annotations

from typing import Annotated, Any, Final

from typer import Argument, Option, Typer

from backstory.cli import reading, values
from backstory.cli.commands import command
from backstory.cli.failures import Exit, UsageError
from backstory.cli.options import (
    AsOf,
    ExpectKeyVersion,
    ExpectVersion,
    Given,
    KeyArgument,
    Prefix,
    ScopeArgument,
    Text,
)
from backstory.cli.render import counted, field, short
from backstory.cli.session import Session, shown_url
from backstory.domain.events import RecordedEvent

app: Final = Typer()


@command(app, "init")
def init(session: Session) -> None:
    """Make the store, if it is not there yet."""
    with session.open(write=True, create=True) as store:
        position = store.position()
        url = shown_url(session.url())
        if session.out.json:
            session.out.value({"store": url, "branch": store.branch_name, "position": position})
        else:
            session.out.line(f"{field(url)} is ready; its log is at position {position}")


@command(app, "get")
def get(
    session: Session,
    scope: ScopeArgument,
    key: KeyArgument,
    *,
    as_of: AsOf = None,
    default: Annotated[
        str | None, Option("--default", metavar="VALUE", help="JSON to print where the key is absent.")
    ] = None,
    schema_version: Annotated[
        str | None,
        Option("--schema-version", metavar="VERSION", help="The value as this version of its schema has it."),
    ] = None,
    raw: Annotated[bool, Option("--raw", help="Print a text or bytes as they are, without quotes.")] = False,
) -> None:
    """Print a value, now or at a point. Exit code 1: the key is absent, or no way leads to the version."""
    reading.get(session, scope, key=key, as_of=as_of, default=default, schema_version=schema_version, raw=raw)


@command(app, "exists")
def exists(session: Session, scope: ScopeArgument, key: KeyArgument, *, as_of: AsOf = None) -> int:
    """Print whether a key has a value. Exit code 1: it has none."""
    with session.open() as store:
        found = store.exists(scope, key, as_of=values.optional_point(as_of))
    session.out.raw(b"true\n" if found else b"false\n")
    return Exit.DONE if found else Exit.NO


# Without it, a negative number as VALUE would be taken for an option.
@command(app, "set", context_settings={"ignore_unknown_options": True})
def set_(
    session: Session,
    scope: ScopeArgument,
    key: KeyArgument,
    value: Annotated[str, Argument(metavar="VALUE", help="JSON; `@file` reads a file, `-` standard input.")],
    given: Given,
    *,
    text: Text = False,
    ttl: Annotated[float | None, Option("--ttl", metavar="SECONDS", help="Seconds until the value ends.")] = None,
    expect_version: ExpectVersion = None,
    expect_key_version: ExpectKeyVersion = None,
) -> None:
    """Write a value. Exit code 3: the scope or the key is not at the expected version."""
    _refuse_option(value)
    content = values.value(value, text=text)
    with session.open(write=True, create=True) as store:
        event = store.set(
            scope,
            key,
            content,
            expected_version=values.expected(expect_version),
            expected_key_version=values.expected(expect_key_version),
            ttl=ttl,
            **given.context,
        )
        _print_event(session, event, f"set {field(key)} in {field(event.stream)}")


def _refuse_option(value: str) -> None:
    if value.startswith("--"):
        raise UsageError(f"no such option: {value}", hint="Put `--` before the arguments if it is the value.")


def _print_event(session: Session, event: RecordedEvent, done: str) -> None:
    if session.out.json:
        session.out.value(event.as_dict())
    else:
        session.out.line(f"{done} (position {event.position}, version {event.version})")


@command(app, "delete")
def delete(
    session: Session,
    scope: ScopeArgument,
    key: KeyArgument,
    given: Given,
    *,
    expect_version: ExpectVersion = None,
    expect_key_version: ExpectKeyVersion = None,
) -> int:
    """Remove a value. Exit code 1: nothing was there; 3: not at the expected version."""
    with session.open(write=True) as store:
        deleted = store.delete(
            scope,
            key,
            expected_version=values.expected(expect_version),
            expected_key_version=values.expected(expect_key_version),
            **given.context,
        )
    if session.out.json:
        session.out.value({"deleted": deleted})
    else:
        session.out.line(f"deleted {field(key)} from {field(scope)}" if deleted else "nothing was there")
    return Exit.DONE if deleted else Exit.NO


@command(app, "increment")
def increment(
    session: Session,
    scope: ScopeArgument,
    key: KeyArgument,
    given: Given,
    *,
    by: Annotated[str, Option("--by", metavar="NUMBER", help="How much; may be negative.")] = "1",
) -> None:
    """Add to a number, and print it. Atomic; an absent key counts as 0."""
    amount = values.value(by)
    with session.open(write=True, create=True) as store:
        session.out.value(store.increment(scope, key, amount, **given.context))


@command(app, "keys")
def keys(session: Session, scope: ScopeArgument, *, prefix: Prefix = "", as_of: AsOf = None) -> None:
    """List the keys of a scope, sorted."""
    with session.open() as store:
        _print_list(session, store.keys(scope, prefix=prefix, as_of=values.optional_point(as_of)))


@command(app, "items")
def items(session: Session, scope: ScopeArgument, *, prefix: Prefix = "", as_of: AsOf = None) -> None:
    """Print the keys and values of a scope."""
    with session.open() as store:
        found = store.items(scope, prefix=prefix, as_of=values.optional_point(as_of))
    if session.out.json:
        session.out.value(found)
    else:
        _print_items(session, found)


def _print_items(session: Session, found: dict[str, Any], indent: str = "") -> None:
    width = max(map(len, found), default=0)
    for key, value in found.items():
        session.out.line(f"{indent}{session.out.paint(field(key.ljust(width)), 'cyan')}  {short(value, limit=None)}")


def _print_list(session: Session, found: list[str]) -> None:
    if session.out.json:
        session.out.value(found)
    else:
        for each in found:
            session.out.line(field(each))


@command(app, "scopes")
def scopes(
    session: Session,
    *,
    as_of: AsOf = None,
    everything: Annotated[bool, Option("--all", help="Those without a key too, if they have any event.")] = False,
) -> None:
    """List the scopes that hold a key."""
    with session.open() as store:
        found = store.scopes(as_of=values.optional_point(as_of), all=everything)
    _print_list(session, [str(scope) for scope in found])


@command(app, "snapshot")
def snapshot(session: Session, *, as_of: AsOf = None) -> None:
    """Print the whole state: the keys and values of every scope."""
    with session.open() as store:
        state = store.snapshot(as_of=values.optional_point(as_of))
    if session.out.json:
        session.out.value({str(scope): found for scope, found in state.items()})
        return
    for scope, found in state.items():
        session.out.line(session.out.paint(field(str(scope)), "bold"))
        _print_items(session, found, "  ")


@command(app, "clear")
def clear(session: Session, scope: ScopeArgument, given: Given) -> None:
    """Remove every key of a scope, with one event."""
    with session.open(write=True) as store:
        _print_count(session, "cleared", store.clear(scope, **given.context))


def _print_count(session: Session, done: str, count: int) -> None:
    if session.out.json:
        session.out.value({done: count})
    else:
        session.out.line(f"{done} {counted(count, 'key')}")


Source = Annotated[str, Argument(metavar="SOURCE", help="The scope to take from.")]
Target = Annotated[str, Argument(metavar="TARGET", help="The scope to write to.")]
Pattern = Annotated[str, Option("--keys", metavar="PATTERN", help="Which keys: `*` is any text, `?` one character.")]


@command(app, "copy")
def copy(session: Session, source: Source, target: Target, given: Given, *, keys: Pattern = "*") -> None:
    """Copy keys into another scope, in one transaction."""
    with session.open(write=True) as store:
        _print_count(session, "copied", store.copy(source, target, keys=keys, **given.context))


@command(app, "move")
def move(session: Session, source: Source, target: Target, given: Given, *, keys: Pattern = "*") -> None:
    """Move keys into another scope, in one transaction."""
    with session.open(write=True) as store:
        _print_count(session, "moved", store.move(source, target, keys=keys, **given.context))


@command(app, "sweep")
def sweep(session: Session) -> None:
    """Record which values have expired; no answer changes."""
    with session.open(write=True) as store:
        _print_count(session, "swept", store.sweep())
