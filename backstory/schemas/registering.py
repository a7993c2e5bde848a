"""Registering schemas and binding them: what is written of it, and what is refused."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from backstory.committing import append
from backstory.context import author_of
from backstory.core import Core
from backstory.domain.bindings import MODES, RULES_STREAM, SCHEMA_BOUND, SCHEMA_UNBOUND, Binding, Bindings
from backstory.domain.commits import Commit, Draft, Read
from backstory.domain.compatibility import Compatibility, check, refused_by_level
from backstory.domain.context import Author
from backstory.domain.errors import ConflictError, InvalidValueError, NotFoundError, SchemaError, shown
from backstory.domain.ports import LAST_POSITION, Program
from backstory.domain.schemas import SchemaVersion, parse_reference
from backstory.domain.selection import Selection
from backstory.domain.versions import version_of
from backstory.infrastructure import codec
from backstory.infrastructure.aggregates.schema_history import SchemaHistory, stream_of_schema
from backstory.infrastructure.clock import new_id
from backstory.schemas.histories import history_of, rows_of
from backstory.schemas.sources import version_from

_STREAMS: Final = "custom:schema:"


def change(core: Core, name: str, changed: Callable[[SchemaHistory], object]) -> Program[None]:
    """Have something happen to a schema's aggregate and write it; again where somebody else was faster."""
    stream = stream_of_schema(name)
    author = author_of({}, core.actor)
    while True:
        version = yield from core.engine.stream_version(core.lineage, stream, LAST_POSITION)
        history = yield from history_of(core.engine, core.lineage, name)
        changed(history)
        drafts = history.drafts(author)
        if not drafts:
            return
        try:
            yield from append(Commit(core.branch.id, drafts, reads=[Read(stream, None, version)]))
        except ConflictError:
            continue
        return


def register(core: Core, version: SchemaVersion) -> Program[None]:
    """Write a version of a schema, if it is new.

    Raises `SchemaError` where that version is other content already, where what it depends on is not there, and where
    the version before it wants to stay readable and would not.
    """
    yield from _check_dependencies(core, version)

    def registered(history: SchemaHistory) -> None:
        if version.version not in history.versions:
            _check_level(history, version)
        history.register(version)

    yield from change(core, version.name, registered)


def _check_dependencies(core: Core, version: SchemaVersion) -> Program[None]:
    if version.kind != "fields":
        return
    for needed in version.schema().dependencies:
        history = yield from history_of(core.engine, core.lineage, needed.name)
        if not any(needed.is_met_by(needed.name, known) for known in history.versions):
            wanted = needed.name if needed.version is None else f"{needed.name}@{needed.version}"
            raise SchemaError(
                f"{version.reference} depends on {wanted}, which is not registered",
                schema=version.name,
                version=version.version,
                hint=f"Register {wanted} first.",
            )


def _check_level(history: SchemaHistory, version: SchemaVersion) -> None:
    """Refuse a version that breaks what the one before it, of the same major, promised."""
    new = version_of(version.version)
    before = [known for known in history.versions.values() if version_of(known.version) < new]
    if not before:
        return
    last = max(before, key=lambda known: version_of(known.version))
    reasons = refused_by_level(last, version)
    if reasons:
        raise SchemaError(
            f"{version.reference} breaks {last.reference}, which wants {last.compatibility} compatibility: "
            f"{reasons[0]}",
            schema=version.name,
            version=version.version,
            hint="Give it a higher major version, or declare what is added optional or with a default.",
        )


def known_version(core: Core, name: str, version: str | None) -> Program[SchemaVersion]:
    """Return a version of a schema, the latest for None; raises `SchemaError` for one that is not registered."""
    history = yield from history_of(core.engine, core.lineage, name)
    if version is None and history.versions:
        return latest(history)
    found = None if version is None else history.versions.get(version)
    if found is None:
        there = ", ".join(each.version for each in sorted_versions(history)) or "none"
        raise SchemaError(
            f"schema {shown(name)} {'' if version is None else version + ' '}is not registered",
            schema=name,
            version=version,
            hint=f"Register it first; registered are: {there}.",
        )
    return found


def latest(history: SchemaHistory) -> SchemaVersion:
    """Return the version of the highest precedence."""
    return sorted_versions(history)[-1]


def sorted_versions(history: SchemaHistory) -> list[SchemaVersion]:
    """Return the registered versions by precedence, lowest first."""
    return sorted(history.versions.values(), key=lambda each: version_of(each.version))


def versions(core: Core, name: str) -> Program[list[SchemaVersion]]:
    """Return a schema's versions, lowest first; raises `NotFoundError` for a name that nothing is registered under."""
    history = yield from history_of(core.engine, core.lineage, name)
    if not history.versions:
        raise NotFoundError("schema", name, hint="Register it first.")
    return sorted_versions(history)


def names(core: Core) -> Program[list[str]]:
    """Return the names of all registered schemas, sorted."""
    streams = yield from core.engine.streams(core.lineage, LAST_POSITION)
    found = []
    for stream in streams:
        if stream.startswith(_STREAMS):
            rows = yield from rows_of(core.engine, core.lineage, stream)
            history = SchemaHistory.of_events(stream, rows)
            found += [next(iter(history.versions.values())).name] if history.versions else []
    return sorted(found)


def compared(core: Core, given: object) -> Program[SchemaVersion]:
    """Return what a comparison is asked about: a schema as it is, or what `name@version` names."""
    if isinstance(given, str):
        name, version = parse_reference(given)
        return (yield from known_version(core, name, version))
    return version_from(given, name=None, version=None)


def compatibility(core: Core, old: object, new: object) -> Program[Compatibility]:
    """Return what changes from one schema to another; raises `SchemaError`."""
    before = yield from compared(core, old)
    after = yield from compared(core, new)
    return check(before, after)


def check_mode(mode: object) -> None:
    """Raise `InvalidValueError` for what is no mode of a binding."""
    if mode not in MODES:
        raise InvalidValueError("mode", rule=f"is no mode: {shown(mode)}", hint=f"Use one of {', '.join(MODES)}.")


def bind(core: Core, name: str, selection: Selection, version: str | None, mode: str) -> Program[Binding]:
    """Have new values meet a schema; again of the same selection replaces what was said before."""
    check_mode(mode)
    found = yield from known_version(core, name, version)
    data = {
        "name": name,
        "version": found.version,
        "scope": selection.scope,
        "keys": selection.keys,
        "mode": mode,
    }
    yield from append(Commit(core.branch.id, [control(core, SCHEMA_BOUND, data)]))
    return Binding(name, found.version, selection, mode)  # type: ignore[arg-type]


def unbind(core: Core, name: str, selection: Selection) -> Program[bool]:
    """Take a binding away; return whether there was one."""
    while True:
        version = yield from core.engine.stream_version(core.lineage, RULES_STREAM, LAST_POSITION)
        bound = yield from bindings(core)
        if not any((each.schema, each.selection) == (name, selection) for each in bound):
            return False
        draft = control(core, SCHEMA_UNBOUND, {"name": name, "scope": selection.scope, "keys": selection.keys})
        try:
            yield from append(Commit(core.branch.id, [draft], reads=[Read(RULES_STREAM, None, version)]))
        except ConflictError:
            continue
        return True


def bindings(core: Core) -> Program[list[Binding]]:
    """Return the bindings that hold, as they were made, in order."""
    return (yield from all_bindings(core)).all()


def all_bindings(core: Core) -> Program[Bindings]:
    """Return all bindings and moves of the branch."""
    found = Bindings()
    for row in (yield from rows_of(core.engine, core.lineage, RULES_STREAM)):
        found.apply(row.type, codec.decode_value(row.data))
    return found


def control(core: Core, kind: str, data: Mapping[str, Any], author: Author | None = None) -> Draft:
    """Return the draft of an event of the rules' stream."""
    by = author_of({}, core.actor) if author is None else author
    return Draft(
        new_id(),
        RULES_STREAM,
        kind,
        codec.encode_value(dict(data)),
        correlation=by.correlation,
        causes=by.causes,
        actor=by.actor,
        extra=by.extra,
    )
