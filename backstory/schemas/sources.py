"""Sources of schemas: a declaration, a pydantic model class, or a JSON Schema document, as one schema version."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from backstory.domain.errors import SchemaError, shown
from backstory.domain.schemas import Schema, SchemaVersion, checked_name, content_hash
from backstory.domain.versions import version_of

__all__ = ["version_from"]


def version_from(source: object, *, name: str | None = None, version: str | None = None) -> SchemaVersion:
    """Return the version that a source declares.

    A `Schema` has its own name and version, and others may be given; a pydantic model's name is its class's unless one
    is given; JSON Schema needs a name. A model and JSON Schema are version 1.0.0 where none is given. A document as
    `Schema.to_document` makes it is taken for the declaration that it is.
    Raises `SchemaError` for anything else, and `ConfigError` for JSON Schema without the extra `schemas`.
    """
    if isinstance(source, SchemaVersion):
        return _renamed(source, name, version)
    if isinstance(source, Schema):
        return _renamed(source.to_version(), name, version)
    if isinstance(source, type) and callable(getattr(source, "model_json_schema", None)):
        return _of_document(_document_of_model(source), name or source.__name__, version)
    if isinstance(source, Mapping):
        if "fields" in source and "name" in source:
            return _renamed(Schema.from_document(source).to_version(), name, version)
        if name is None:
            raise SchemaError("JSON Schema has no name of its own", hint="Give name= beside it.")
        return _of_document(deepcopy(dict(source)), name, version)
    raise SchemaError(
        f"{shown(source)} is no schema", hint="Give a Schema, a pydantic model class, or a JSON Schema document."
    )


def _renamed(found: SchemaVersion, name: str | None, version: str | None) -> SchemaVersion:
    if name in {None, found.name} and version in {None, found.version}:
        return found
    name, version = name or found.name, version or found.version
    if found.kind == "fields":
        return Schema.from_document({**found.document, "name": name, "version": version}).to_version()
    return SchemaVersion(name, version, found.hash, found.document, kind=found.kind)


def _of_document(document: dict[str, Any], name: str, version: str | None) -> SchemaVersion:
    from backstory.infrastructure.json_schema import check_document

    version = "1.0.0" if version is None else version
    checked_name(name)
    version_of(version)
    check_document(document, name=name, version=version)
    return SchemaVersion(name, version, content_hash("json_schema", document), document, kind="json_schema")


def _document_of_model(model: Any) -> dict[str, Any]:
    """Return the JSON Schema of a pydantic model, by aliases, as its input is validated."""
    try:
        document: dict[str, Any] = model.model_json_schema()
    except Exception as error:  # pydantic has several, and a model's own code may run
        rule = f"has no JSON Schema: {error}"
        raise SchemaError(
            f"model {model.__name__} {rule}", schema=model.__name__, rule=rule, hint="Give the JSON Schema itself."
        ) from error
    return document
