"""The aggregate of a schema: its versions, and the migrations that lead from one to another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final

from backstory.domain.errors import SchemaError
from backstory.domain.schemas import SchemaVersion
from backstory.domain.scopes import Scope
from backstory.infrastructure.aggregates.kept import KeptAggregate
from backstory.infrastructure.recording.aggregates import TextEvent

SCHEMA_REGISTERED: Final = "schema.registered"
MIGRATION_REGISTERED: Final = "migration.registered"
_STREAM: Final = "custom:schema:"


class SchemaHistory(KeptAggregate):
    """A schema's life, in the stream that its name makes."""

    class Registered(TextEvent):
        """A version was registered."""

        name: str
        version: str
        hash: str
        kind: str
        document: dict[str, Any]

        def apply(self, aggregate: SchemaHistory) -> None:
            """Know the version from here on."""
            made = SchemaVersion(self.name, self.version, self.hash, self.document, kind=self.kind)  # type: ignore[arg-type]
            aggregate.versions[self.version] = made

    class MigrationRegistered(TextEvent):
        """A way from one version to another was registered."""

        schema: str
        from_: str
        to: str
        up: list[dict[str, Any]]
        down: list[dict[str, Any]] | None
        description: str

        def apply(self, aggregate: SchemaHistory) -> None:
            """Know the way from here on, instead of an earlier one between these versions."""
            aggregate.migrations[self.from_, self.to] = {
                "schema": self.schema,
                "from": self.from_,
                "to": self.to,
                "up": self.up,
                "down": self.down,
                "description": self.description,
            }

    KINDS: ClassVar[Mapping[str, str]] = {
        SCHEMA_REGISTERED: "Registered",
        MIGRATION_REGISTERED: "MigrationRegistered",
    }

    def begin(self) -> None:
        """Begin without versions."""
        self.versions: dict[str, SchemaVersion] = {}
        self.migrations: dict[tuple[str, str], dict[str, Any]] = {}

    def register(self, version: SchemaVersion) -> bool:
        """Register a version, and return whether it is new; raises `SchemaError` where it stands for something else."""
        known = self.versions.get(version.version)
        if known is not None:
            if known.hash == version.hash:
                return False
            raise SchemaError(
                f"{version.reference} is registered already, with other content",
                schema=version.name,
                version=version.version,
                hint="Give the changed schema a higher version.",
            )
        self.trigger_event(
            self.Registered,
            name=version.name,
            version=version.version,
            hash=version.hash,
            kind=version.kind,
            document=dict(version.document),
        )
        return True

    def register_migration(self, document: dict[str, Any]) -> bool:
        """Register a migration's document, and return whether it says anything new."""
        if self.migrations.get((document["from"], document["to"])) == document:
            return False
        said = {("from_" if name == "from" else name): value for name, value in document.items()}
        self.trigger_event(self.MigrationRegistered, **said)
        return True


def stream_of_schema(name: str) -> str:
    """Return the stream of a schema's aggregate."""
    return str(Scope.custom(f"schema:{name}"))
