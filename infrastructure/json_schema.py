"""JSON Schema, draft 2020-12: documents checked, and values validated by `jsonschema-rs` without a network."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from functools import cache
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from backstory.domain.canonical import canonical_text
from backstory.domain.errors import ConfigError, InvalidValueError, SchemaError, shown
from backstory.domain.paths import render_path
from backstory.domain.validation import Validator, Violation, shown_safely

if TYPE_CHECKING:
    import jsonschema_rs

__all__ = ["check_document", "json_view", "validator"]

DRAFT: Final = "https://json-schema.org/draft/2020-12/schema"
_MOST: Final = 100
_LONGEST_INT: Final = 10**300
_REPEATING: Final = frozenset(
    ("additionalProperties", "anyOf", "not", "oneOf", "propertyNames", "unevaluatedItems", "unevaluatedProperties")
)
_REFERENCES: Final = ("$ref", "$dynamicRef")
_HINT: Final = "Correct the JSON Schema document; it is read as draft 2020-12."


def check_document(document: Any, *, name: str | None = None, version: str | None = None) -> None:
    """Raise `SchemaError` unless a document is JSON Schema, draft 2020-12, that refers to nothing outside itself.

    Raises `ConfigError` where the extra `schemas` is not installed.
    """
    if not isinstance(document, Mapping):
        raise _refusal("", f"must be an object, not {shown(document)}", name, version)
    try:
        canonical_text(document)
    except InvalidValueError as error:
        raise _refusal(error.path, f"cannot be stored: {error.rule}", name, version) from error
    draft = document.get("$schema", DRAFT)
    if draft not in (DRAFT, DRAFT + "#"):
        raise _refusal("$schema", f"must be {DRAFT}, not {shown(draft)}", name, version)
    for steps, reference in _outside(document, ()):
        rule = f"must begin with #, for nothing is fetched; it is {shown(reference)}"
        raise _refusal(render_path(steps), rule, name, version)
    library = _library()
    try:
        _compiled(document)
    except (library.ValidationError, library.ReferencingError, ValueError) as error:
        path = render_path(getattr(error, "instance_path", ()))
        words = getattr(error, "message", str(error))
        raise _refusal(path, f"is no JSON Schema: {words}", name, version) from error


def validator(document: Mapping[str, Any]) -> Validator:
    """Return a function that tells what is wrong with a value, compiled once; the document has been checked.

    It sees a value as `json_view` shows it. Formats are demanded, not only noted.
    """
    known = _compiled(document)

    def told(value: Any) -> tuple[Violation, ...]:
        view = json_view(value)
        if (large := _too_large(view, ())) is not None:
            return (Violation(_safe_path(large), "must be an integer of at most 300 digits", "one of more"),)
        try:
            return () if known.is_valid(view) else _violations(known, view)
        except ValueError:
            return (Violation("", "must be a value that can be stored", shown_safely((), value)),)

    return told


def _violations(known: jsonschema_rs.Validator, view: Any) -> tuple[Violation, ...]:
    found = []
    for error in known.iter_errors(view):
        found.append(_violation(error))
        if len(found) == _MOST:
            break
    # The library goes by hash order of some parts; the answer must not.
    return tuple(sorted(found, key=lambda violation: (violation.path, violation.rule)))


def _violation(error: jsonschema_rs.ValidationError) -> Violation:
    steps = tuple(error.instance_path)
    word = error.kind.name
    if word == "required":
        missing: str = error.kind.value
        return Violation(_safe_path((*steps, missing)), "is required")
    # The words left out repeat the value, or what is wrong in it, and might tell a secret.
    demand = "" if word in _REPEATING or error.kind.value is None else f": {shown(error.kind.value)}"
    return Violation(_safe_path(steps), f"must meet `{word}`{demand}", shown_safely(steps, error.instance))


def _safe_path(steps: tuple[str | int, ...]) -> str:
    """Return a path whose names, which may be the value's own, tell no secrets."""
    return render_path([step if isinstance(step, int) else _plain_name(step) for step in steps])


def _plain_name(name: str) -> str:
    shown_name = shown_safely((), name)
    return name if shown_name == repr(name) else shown_name.strip("'\"")


def json_view(value: Any) -> Any:
    """Return a value as JSON Schema is to see it: what JSON lacks as text, numbers exact.

    A datetime is RFC 3339 text, a UUID text, bytes Base64 text; a Decimal is a number, exactly; a tuple an array.
    """
    if type(value) in _AS_IT_IS:
        return value
    if isinstance(value, dict):
        return {name: json_view(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [json_view(item) for item in value]
    for kind, view in _VIEWS.items():
        if isinstance(value, kind):
            return view(value)
    return value


def _rfc3339(value: datetime) -> str:
    text = value.isoformat()
    return f"{text[:-6]}Z" if text.endswith("+00:00") else text


_AS_IT_IS: Final = frozenset({str, int, float, bool, type(None), Decimal})
_VIEWS: Final[dict[type, Callable[[Any], Any]]] = {
    bytes: lambda value: b64encode(value).decode(),
    datetime: _rfc3339,
    UUID: str,
    # Subclasses, which the library does not know.
    str: str,
    int: int,
    float: float,
    Decimal: Decimal,
}


def _too_large(view: Any, path: tuple[str | int, ...]) -> tuple[str | int, ...] | None:
    """Return where an integer is that the library takes for infinite."""
    if isinstance(view, int):
        return path if abs(view) >= _LONGEST_INT else None
    items: Any = view.items() if isinstance(view, dict) else enumerate(view) if isinstance(view, list) else ()
    for step, item in items:
        if (found := _too_large(item, (*path, step))) is not None:
            return found
    return None


def _outside(part: Any, path: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    """Yield references that lead out of the document: those that do not begin with `#`."""
    if isinstance(part, Mapping):
        for name, item in part.items():
            if name in _REFERENCES and isinstance(item, str) and not item.startswith("#"):
                yield (*path, name), item
            elif name not in {"const", "enum", "default", "examples"}:
                yield from _outside(item, (*path, name))
    elif isinstance(part, (list, tuple)):
        for index, item in enumerate(part):
            yield from _outside(item, (*path, index))


def _compiled(document: Mapping[str, Any]) -> jsonschema_rs.Validator:
    made: jsonschema_rs.Validator = _library().Draft202012Validator(dict(document), validate_formats=True, offline=True)
    return made


@cache
def _library() -> Any:
    try:
        import jsonschema_rs  # noqa: PLC0415 - an extra, which few processes need
    except ImportError:
        raise ConfigError(
            "JSON Schema needs the package jsonschema-rs", hint="Install it: pip install backstory[schemas]."
        ) from None
    return jsonschema_rs


def _refusal(path: str, rule: str, name: str | None, version: str | None) -> SchemaError:
    what = "JSON Schema" if name is None else f"JSON Schema {shown(name)}"
    where = path or "the document"
    return SchemaError(
        f"invalid {what}: {where} {rule}", schema=name, version=version, path=path, rule=rule, hint=_HINT
    )
