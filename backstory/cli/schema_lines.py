"""Schemas as they are printed: versions, bindings, fields and changes, as lines for people and as data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from backstory.cli.output import Output
from backstory.cli.render import field, pretty, short, table
from backstory.domain.bindings import Binding
from backstory.domain.compatibility import Compatibility, SchemaChange
from backstory.domain.migrations import Migration
from backstory.domain.schemas import SchemaVersion

_RISK_COLOURS: Final = {"low": "green", "medium": "yellow", "high": "red", "critical": "red"}
_HASH: Final = 12
_Versions = Sequence[SchemaVersion]


def version_data(version: SchemaVersion) -> dict[str, Any]:
    """Return a version as `--json` prints it, without its document."""
    return {"name": version.name, "version": version.version, "hash": version.hash, "kind": version.kind}


def binding_data(binding: Binding) -> dict[str, Any]:
    """Return a binding as `--json` prints it."""
    scope, keys = binding.selection
    return {"version": binding.version, "scope": scope, "keys": keys, "mode": binding.mode}


def listed_data(name: str, versions: _Versions, bound: Sequence[Binding]) -> dict[str, Any]:
    """Return a schema of a list as `--json` prints it."""
    return {
        "name": name,
        "versions": [version_data(each) for each in versions],
        "bindings": [binding_data(each) for each in bound if each.schema == name],
    }


def list_lines(out: Output, found: Mapping[str, _Versions], bound: Sequence[Binding]) -> list[str]:
    """Return schemas as a table; nothing where there are none."""
    rows = [
        (
            field(name),
            ", ".join(each.version for each in versions),
            "; ".join(_bound(each) for each in bound if each.schema == name) or "nowhere",
        )
        for name, versions in found.items()
    ]
    return table(out, ("schema", "versions", "bound"), rows) if rows else []


def _bound(binding: Binding) -> str:
    mode = "" if binding.mode == "enforce" else f" ({binding.mode})"
    return f"{binding.version} to {field(str(binding.selection))}{mode}"


def shown_data(
    version: SchemaVersion, versions: _Versions, bound: Sequence[Binding], ways: Sequence[Migration]
) -> dict[str, Any]:
    """Return all that is known of a schema as `--json` prints it."""
    return {
        **version_data(version),
        "document": dict(version.document),
        "versions": [each.version for each in versions],
        "bindings": [binding_data(each) for each in bound],
        "migrations": [each.to_document() for each in ways],
    }


def show_lines(
    out: Output, version: SchemaVersion, versions: _Versions, bound: Sequence[Binding], ways: Sequence[Migration]
) -> Iterator[str]:
    """Yield a schema's version: its facts, a line each, then its fields as a table, or its JSON Schema."""
    facts = [
        ("schema", field(version.reference)),
        ("hash", version.hash[:_HASH]),
        ("compatibility", version.compatibility),
        *[("depends on", field(each)) for each in version.document.get("depends_on", ()) if version.kind == "fields"],
        ("versions", ", ".join(each.version for each in versions)),
        *[("bound", _bound(each)) for each in bound],
        *[("migration", f"{each.from_} to {each.to}") for each in ways],
    ]
    for name, fact in facts:
        yield f"{out.paint(name.ljust(14), 'cyan')}  {fact}"
    yield ""
    if version.kind == "fields":
        yield from table(out, ("field", "type", "rules"), _fields(version.document["fields"], ""))
    else:
        yield from pretty(dict(version.document))


def _fields(fields: Mapping[str, Any], before: str) -> Iterator[tuple[str, str, str]]:
    """Yield a row for each field, those inside it after it."""
    for name, declared in fields.items():
        yield from _field(before + field(name), declared)


def _field(path: str, declared: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    rules = [
        word if said is True else f"{word} {short(said)}"
        for word, said in declared.items()
        if word not in {"type", "fields", "items"}
    ]
    yield path, declared["type"], ", ".join(rules)
    yield from _fields(declared.get("fields", {}), f"{path}.")
    if "items" in declared:
        yield from _field(f"{path}[*]", declared["items"])


def compatibility_data(found: Compatibility) -> dict[str, Any]:
    """Return a comparison as `--json` prints it."""
    return {
        "compatible": found.compatible,
        "risk": found.risk,
        "breaking": list(found.breaking),
        "warnings": list(found.warnings),
        "changes": [_change_data(each) for each in found.changes],
    }


def _change_data(change: SchemaChange) -> dict[str, Any]:
    names = ("path", "kind", "words", "before", "after", "breaking", "critical")
    return {name: getattr(change, name) for name in names}


def check_lines(out: Output, found: Compatibility) -> Iterator[str]:
    """Yield the verdict, and the changes as a table, those that break first."""
    verdict = "compatible" if found.compatible else "breaking"
    yield out.paint(f"{verdict}, risk {found.risk}", _RISK_COLOURS[found.risk])
    if found.changes:
        ordered = sorted(found.changes, key=lambda each: (not each.critical, not each.breaking))
        rows = [(_risk(each), field(each.path) or "-", field(each.words)) for each in ordered]
        yield from table(out, ("risk", "where", "what"), rows)


def _risk(change: SchemaChange) -> str:
    if change.critical:
        return "critical"
    return "high" if change.breaking else "medium"


def risk(out: Output, name: str) -> str:
    """Return a risk in its colour."""
    return out.paint(name, _RISK_COLOURS[name])
