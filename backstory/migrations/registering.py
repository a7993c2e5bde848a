"""Registering ways between versions: kept by the schema's aggregate, so that every process knows them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from backstory import transforms
from backstory.core import Core
from backstory.domain.errors import InvalidValueError, NotFoundError, SchemaError, shown
from backstory.domain.migrations import Migration
from backstory.domain.ports import Program
from backstory.domain.versions import version_of
from backstory.infrastructure.aggregates.schema_history import SchemaHistory
from backstory.schemas.histories import history_of
from backstory.schemas.registering import change


def checked(given: Migration | Mapping[str, Any]) -> Migration:
    """Return a migration whose transformers are known; raises what is wrong with it."""
    made = Migration.from_document(given) if isinstance(given, Mapping) else given
    if not isinstance(made, Migration):
        raise InvalidValueError("migration", rule=f"is none: {shown(given)}", hint="Give a Migration, or its document.")
    transforms.compile(made.up)
    if made.down is not None:
        transforms.compile(made.down)
    return made


def register(core: Core, migration: Migration) -> Program[None]:
    """Write a migration, if it says anything new; raises `SchemaError` for versions that are not registered."""

    def registered(history: SchemaHistory) -> None:
        for version in (migration.from_, migration.to):
            if version not in history.versions:
                there = ", ".join(sorted(history.versions, key=version_of)) or "none"
                raise SchemaError(
                    f"schema {shown(migration.schema)} {version} is not registered",
                    schema=migration.schema,
                    version=version,
                    hint=f"Register it first; registered are: {there}.",
                )
        history.register_migration(migration.to_document())

    yield from change(core, migration.schema, registered)


def migrations(core: Core, schema: str) -> Program[list[Migration]]:
    """Return the ways that are registered for a schema, by their versions; raises `NotFoundError`."""
    history = yield from history_of(core.engine, core.lineage, schema)
    if not history.versions:
        raise NotFoundError("schema", schema, hint="Register it first.")
    found = [Migration.from_document(document) for document in history.migrations.values()]
    return sorted(found, key=lambda each: (version_of(each.from_), version_of(each.to)))
