"""Schemas as values: a name, a semantic version and fields; their documents, and the hash of their content."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar, Final, Literal, NamedTuple, NoReturn, get_args

from backstory.domain.canonical import content_digest
from backstory.domain.errors import InvalidValueError, SchemaError, shown
from backstory.domain.fields import Field, FieldType, checked_fields, fields_from_document
from backstory.domain.versions import version_of

__all__ = [
    "CompatibilityLevel",
    "Dependency",
    "Field",
    "FieldType",
    "Schema",
    "SchemaKind",
    "SchemaVersion",
    "checked_name",
    "content_hash",
    "parse_reference",
]

CompatibilityLevel = Literal["backward", "forward", "full", "none"]
"""What a later version of the same major must keep: new reads old data, old reads new data, both, or nothing."""

SchemaKind = Literal["fields", "json_schema"]
"""Where a version's document is from: fields declared here, or JSON Schema (pydantic models too)."""

_LONGEST: Final = 200
_WORDS: Final = frozenset({"name", "version", "compatibility", "depends_on", "fields"})
_HINT: Final = "Correct the declaration of the schema."


class Dependency(NamedTuple):
    """A schema that another one rests on, and the version it needs at least, of the same major; None: any."""

    name: str
    version: str | None = None

    def is_met_by(self, name: str, version: str) -> bool:
        """Return whether that version of that schema is what is needed."""
        if name != self.name or self.version is None:
            return name == self.name
        needed, given = version_of(self.version), version_of(version)
        return given.major == needed.major and given >= needed


@dataclass(frozen=True, eq=False)
class Schema:
    """What values under a name look like, in one semantic version: objects with these fields.

    `fields` are those that are known; others may be there too. `compatibility` is what a later version of the same
    major must keep. `depends_on` names other schemas, `address` or `address@1.2.0` (that version at least, of that
    major). Raises `SchemaError` for a declaration that is wrong. Schemas are equal if name, version and content are.
    """

    name: str
    version: str
    fields: Mapping[str, Field]
    _: KW_ONLY
    compatibility: CompatibilityLevel = "backward"
    depends_on: Iterable[str] = ()

    # A schema is an object to validation, which asks it what it asks a field.
    type: ClassVar[FieldType] = "object"
    required: ClassVar[bool] = True
    nullable: ClassVar[bool] = False
    items: ClassVar[None] = None
    enum: ClassVar[None] = None
    pattern: ClassVar[None] = None
    min: ClassVar[None] = None
    max: ClassVar[None] = None
    max_length: ClassVar[None] = None
    format: ClassVar[None] = None

    def __post_init__(self) -> None:
        """Check the declaration, and make what it holds unchangeable from outside."""
        checked_name(self.name)
        version_of(self.version)
        object.__setattr__(self, "fields", checked_fields(self.fields))
        if self.compatibility not in get_args(CompatibilityLevel):
            levels = ", ".join(get_args(CompatibilityLevel))
            _refuse(self.name, "compatibility", f"must be one of {levels}, not {shown(self.compatibility)}")
        object.__setattr__(self, "depends_on", _checked_dependencies(self.name, self.depends_on))

    @property
    def dependencies(self) -> tuple[Dependency, ...]:
        """`depends_on`, taken apart."""
        return tuple(Dependency(*_parts(text)) for text in self.depends_on)

    @property
    def content_hash(self) -> str:
        """SHA-256, in hexadecimal, of all that is declared but the name and the version."""
        return content_hash("fields", self.to_document())

    def to_document(self) -> dict[str, Any]:
        """Return the declaration as data that `from_document` takes; it is the caller's own."""
        return {
            "name": self.name,
            "version": self.version,
            "compatibility": self.compatibility,
            "depends_on": list(self.depends_on),
            "fields": {name: field.to_document() for name, field in self.fields.items()},
        }

    @classmethod
    def from_document(cls, document: Any) -> Schema:
        """Return the schema of a document; `compatibility` and `depends_on` may be left out.

        Raises `SchemaError` for anything else, with the path to what is wrong; unknown words are refused.
        """
        if not isinstance(document, Mapping):
            _refuse(None, "", f"must be an object, not {shown(document)}")
        name: Any = document.get("name")
        for word in ("name", "version", "fields"):
            if word not in document:
                _refuse(name, word, "is missing")
        if unknown := sorted(str(word) for word in document.keys() - _WORDS):
            _refuse(name, unknown[0], f"is no word of a schema; those are {', '.join(sorted(_WORDS))}")
        rest = {word: document[word] for word in ("compatibility", "depends_on") if word in document}
        return cls(name, document["version"], fields_from_document(document["fields"]), **rest)

    def to_version(self) -> SchemaVersion:
        """Return what is kept of this schema: its document and its hash."""
        return SchemaVersion(self.name, self.version, self.content_hash, self.to_document(), kind="fields")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Schema):
            return NotImplemented
        return (self.name, self.version, self.content_hash) == (other.name, other.version, other.content_hash)

    def __hash__(self) -> int:
        return hash((self.name, self.version))

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle and copy by the document."""
        return Schema.from_document, (self.to_document(),)


@dataclass(frozen=True)
class SchemaVersion:
    """One version of a schema as it is kept. `document` is the declaration: `Schema.to_document`, or JSON Schema.

    It is equal to another of the same name, version and hash. The document is not to be changed.
    """

    name: str
    version: str
    hash: str
    document: Mapping[str, Any]
    _: KW_ONLY
    kind: SchemaKind = "fields"

    def __post_init__(self) -> None:
        """Check the name, the version and the kind."""
        checked_name(self.name)
        version_of(self.version)
        if self.kind not in get_args(SchemaKind):
            _refuse(self.name, "kind", f"must be one of {', '.join(get_args(SchemaKind))}, not {shown(self.kind)}")

    @property
    def reference(self) -> str:
        """Name and version in one text, such as `user@2.1.0`."""
        return f"{self.name}@{self.version}"

    @property
    def compatibility(self) -> CompatibilityLevel:
        """What a later version of the same major must keep; of JSON Schema, `backward`."""
        level: CompatibilityLevel = self.document["compatibility"] if self.kind == "fields" else "backward"
        return level

    def schema(self) -> Schema:
        """Return the schema that was declared. Raises `SchemaError` where it is JSON Schema."""
        if self.kind != "fields":
            _refuse(self.name, "kind", "is JSON Schema, which has no fields of ours")
        return Schema.from_document(self.document)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SchemaVersion):
            return NotImplemented
        return (self.name, self.version, self.hash) == (other.name, other.version, other.hash)

    def __hash__(self) -> int:
        return hash((self.name, self.version, self.hash))


def content_hash(kind: SchemaKind, document: Mapping[str, Any]) -> str:
    """Return the hash that identifies the content of a document, in hexadecimal: of all but its name and version.

    Neither the order of keys, nor that of the values of an enum in declared fields, counts.
    Raises `SchemaError` for a document that cannot be stored.
    """
    content: Any = document
    if kind == "fields":
        fields = fields_from_document(document.get("fields"))
        content = {
            "compatibility": document.get("compatibility", "backward"),
            "depends_on": sorted(document.get("depends_on", ())),
            "fields": {name: field.content for name, field in fields.items()},
        }
    try:
        return content_digest({"kind": kind, "content": content})
    except InvalidValueError as error:
        _refuse(None, error.path, error.rule)


def checked_name(name: Any) -> str:
    """Return a schema's name: 1 to 200 printable characters without `@`. Raises `SchemaError` for anything else."""
    if not isinstance(name, str) or not 0 < len(name) <= _LONGEST or "@" in name or not name.isprintable():
        _refuse(None, "name", f"must be text of 1 to {_LONGEST} printable characters without `@`, not {shown(name)}")
    if name != name.strip():
        _refuse(None, "name", f"must not begin or end with a blank: {shown(name)}")
    return name


def parse_reference(text: str) -> tuple[str, str | None]:
    """Return the name and the version that `user@2.1.0` says, the version None for a bare name.

    Raises `SchemaError` for a wrong name or version.
    """
    name, version = _parts(text)
    checked_name(name)
    if version is not None:
        version_of(version)
    return name, version


def _parts(text: str) -> tuple[str, str | None]:
    name, at, version = text.partition("@")
    return name, version if at else None


def _checked_dependencies(name: str, depends_on: Any) -> tuple[str, ...]:
    if isinstance(depends_on, (str, bytes, Mapping)) or not isinstance(depends_on, Iterable):
        _refuse(name, "depends_on", f"must list names of schemas, not {shown(depends_on)}")
    texts = tuple(depends_on)
    if not all(isinstance(text, str) for text in texts):
        _refuse(name, "depends_on", f"must list names of schemas, not {shown(list(texts))}")
    names = [parse_reference(text)[0] for text in texts]
    if name in names:
        _refuse(name, "depends_on", "must not name the schema itself")
    if len(set(names)) < len(names):
        _refuse(name, "depends_on", "must not name a schema twice")
    return texts


def _refuse(name: Any, path: str, rule: str) -> NoReturn:
    known = name if isinstance(name, str) and name else None
    what = "schema" if known is None else f"schema {shown(known)}"
    raise SchemaError(f"invalid {what}: {path} {rule}", schema=known, path=path, rule=rule, hint=_HINT)
