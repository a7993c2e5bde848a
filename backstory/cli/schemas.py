"""Commands on schemas: schema list, register, show, check, bind, unbind."""

from __future__ import annotations

from typing import Annotated, Any, Final

from typer import Argument, Option, Typer

from backstory.cli import documents, schema_lines, values
from backstory.cli.commands import command, runner
from backstory.cli.failures import Exit, UsageError
from backstory.cli.options import KeyPattern, ScopePattern
from backstory.cli.render import field
from backstory.cli.session import Session
from backstory.domain.compatibility import Compatibility
from backstory.domain.errors import NotFoundError
from backstory.domain.schemas import SchemaVersion, parse_reference
from backstory.domain.selection import selection_of

schemas: Final = Typer(help="Schemas: register and compare them, and bind them to keys.")
_FORMS: Final = (
    "TOML or JSON of a declaration, JSON Schema, `-` (JSON), or `file.py:Name` or `module:Name` of a Schema or a "
    "pydantic model"
)
SchemaName = Annotated[str, Argument(metavar="NAME", help="The schema's name.")]


@command(schemas, "list")
def list_(session: Session) -> None:
    """List the schemas, their versions, and where they are bound."""
    with session.open() as store:
        found = {name: store.schemas.versions(name) for name in store.schemas.names()}
        bound = store.schemas.bindings()
    if session.out.json:
        session.out.value([schema_lines.listed_data(name, found[name], bound) for name in found])
        return
    for line in schema_lines.list_lines(session.out, found, bound):
        session.out.line(line)


schemas.callback(invoke_without_command=True)(runner(list_))


@command(schemas, "register")
def register(
    session: Session,
    file: Annotated[str, Argument(metavar="FILE", help=f"{_FORMS}. Python is run, for you name it.")],
    *,
    name: Annotated[
        str | None, Option("--name", metavar="NAME", help="Its name; JSON Schema has none of its own.")
    ] = None,
    version: Annotated[
        str | None, Option("--version", metavar="VERSION", help="Its version; JSON Schema and models: 1.0.0.")
    ] = None,
) -> None:
    """Register a version of a schema. Once more, it changes nothing."""
    source = _source(file)
    with session.open(write=True, create=True) as store:
        made = store.schemas.register(source, name=name, version=version)
    if session.out.json:
        session.out.value(schema_lines.version_data(made))
    else:
        session.out.line(f"registered {field(made.reference)} ({made.hash[:12]})")


def _source(given: str) -> Any:
    """Return what a user names as a schema, as `store.schemas.register` takes it."""
    if documents.is_python(given):
        return documents.named_object(given)
    found = documents.document(given)
    return values.decoded(found) if isinstance(found, dict) and {"name", "fields"} <= found.keys() else found


@command(schemas, "show")
def show(
    session: Session,
    which: Annotated[str, Argument(metavar="NAME[@VERSION]", help="The schema; without a version, the latest.")],
) -> None:
    """Show a version of a schema. Exit code 1: there is none."""
    name, wanted = parse_reference(which)
    with session.open() as store:
        versions = store.schemas.versions(name)
        found = _chosen(versions, wanted)
        bound = [each for each in store.schemas.bindings() if each.schema == name]
        ways = store.migrations.registered(name)
    if session.out.json:
        session.out.value(schema_lines.shown_data(found, versions, bound, ways))
        return
    for line in schema_lines.show_lines(session.out, found, versions, bound, ways):
        session.out.line(line)


def _chosen(versions: list[SchemaVersion], wanted: str | None) -> SchemaVersion:
    if wanted is None:
        return versions[-1]
    for each in versions:
        if each.version == wanted:
            return each
    there = ", ".join(each.version for each in versions)
    raise NotFoundError(f"version of {versions[0].name}", wanted, hint=f"Registered are: {there}.")


_SIDE: Final = "NAME[@VERSION], or a file as `register` takes it."


@command(schemas, "check")
def check(
    session: Session,
    old: Annotated[str, Argument(metavar="OLD", help=_SIDE)],
    new: Annotated[str, Argument(metavar="NEW", help=_SIDE)],
) -> int:
    """Tell what changes from one schema to another, and at what risk. Exit code 1: something breaks."""
    found = _compared(session, old, new)
    if session.out.json:
        session.out.value({"old": old, "new": new, **schema_lines.compatibility_data(found)})
    else:
        for line in schema_lines.check_lines(session.out, found):
            session.out.line(line)
    return Exit.DONE if found.compatible else Exit.NO


def _compared(session: Session, old: str, new: str) -> Compatibility:
    sides = [_side(old), _side(new)]
    if any(isinstance(each, str) for each in sides):
        with session.open() as store:
            return store.schemas.check(*sides)
    from backstory.domain.compatibility import check as compared

    return compared(*sides)


def _side(given: str) -> Any:
    """Return a version that a file declares, or the text that names a registered one."""
    if not documents.is_python(given) and not documents.is_document(given):
        parse_reference(given)
        return given
    from backstory.schemas.sources import version_from

    source = _source(given)
    # JSON Schema has no name, and none is compared.
    nameless = isinstance(source, dict) and not {"name", "fields"} <= source.keys()
    return version_from(source, name="schema" if nameless else None)


@command(schemas, "bind")
def bind(
    session: Session,
    name: SchemaName,
    *,
    scope: ScopePattern = None,
    keys: KeyPattern = "*",
    version: Annotated[
        str | None, Option("--version", metavar="VERSION", help="Which one; without it, the latest.")
    ] = None,
    mode: Annotated[
        str,
        Option("--mode", metavar="MODE", help="enforce: other values are refused; mark: they carry no schema."),
    ] = "enforce",
) -> None:
    """Have new values meet a schema where scope and keys fit."""
    if "@" in name:
        if version is not None:
            raise UsageError("the version stands there twice", hint="Leave out --version, or what follows the `@`.")
        name, version = parse_reference(name)
    with session.open(write=True) as store:
        made = store.schemas.bind(name, scope=scope, keys=keys, version=version, mode=mode)
    if session.out.json:
        session.out.value({"name": made.schema, **schema_lines.binding_data(made)})
    else:
        session.out.line(f"bound {field(f'{made.schema}@{made.version}')} to {field(str(made.selection))}")


@command(schemas, "unbind")
def unbind(session: Session, name: SchemaName, *, scope: ScopePattern = None, keys: KeyPattern = "*") -> int:
    """Take back what `bind` said of this scope and these keys. Exit code 1: it was not bound so."""
    selection = selection_of(scope, keys)
    with session.open(write=True) as store:
        found = store.schemas.unbind(name, scope=scope, keys=keys)
    if session.out.json:
        session.out.value({"unbound": found})
    else:
        here = field(f"{name} to {selection}")
        session.out.line(
            f"{field(name)} is no longer bound to {field(str(selection))}" if found else f"nothing binds {here}"
        )
    return Exit.DONE if found else Exit.NO
