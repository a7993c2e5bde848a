"""Migrations: what leads values from one version of a schema to another, and the way through several of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import KW_ONLY, dataclass
from heapq import heappop, heappush
from typing import Any, Final, NoReturn

from backstory.domain.errors import InvalidValueError, shown
from backstory.domain.schemas import checked_name
from backstory.domain.transform_documents import from_documents, to_documents
from backstory.domain.transform_inverses import inverse
from backstory.domain.transforms import Transform
from backstory.domain.versions import version_of

_WORDS: Final = frozenset({"schema", "from", "to", "up", "down", "description"})
_HINT: Final = "Correct the declaration of the migration."


@dataclass(frozen=True)
class Migration:
    """The way from version `from_` of a schema to the higher version `to`, and perhaps back.

    `down` is the way back; without one it is the inverse of `up`, where there is one. Raises `SchemaError` for a name
    or a version that is none, `InvalidValueError` for anything else that is wrong.
    """

    schema: str
    from_: str
    to: str
    up: Iterable[Transform]
    _: KW_ONLY
    down: Iterable[Transform] | None = None
    description: str = ""

    def __post_init__(self) -> None:
        """Check the declaration, and keep the transforms."""
        checked_name(self.schema)
        if version_of(self.from_) >= version_of(self.to):
            _refuse("to", f"must be a higher version than {self.from_}, not {shown(self.to)}")
        if not isinstance(self.description, str):
            _refuse("description", f"must be text, not {shown(self.description)}")
        object.__setattr__(self, "up", _checked("up", self.up))
        if self.down is not None:
            object.__setattr__(self, "down", _checked("down", self.down))

    def way_down(self) -> tuple[Transform, ...] | None:
        """Return the transforms that lead back, None where nothing does."""
        if self.down is not None:
            return tuple(self.down)
        return inverse(tuple(self.up))

    def to_document(self) -> dict[str, Any]:
        """Return the migration as data that `from_document` takes."""
        return {
            "schema": self.schema,
            "from": self.from_,
            "to": self.to,
            "up": to_documents(self.up),
            "down": None if self.down is None else to_documents(self.down),
            "description": self.description,
        }

    @classmethod
    def from_document(cls, document: Any) -> Migration:
        """Return the migration of a document; `down` and `description` may be left out. Raises as the class does."""
        if not isinstance(document, Mapping):
            _refuse("", f"must be an object, not {shown(document)}")
        for word in ("schema", "from", "to", "up"):
            if word not in document:
                _refuse(word, "is missing")
        if unknown := sorted(str(word) for word in document.keys() - _WORDS):
            _refuse(unknown[0], f"is no word of a migration; those are {', '.join(sorted(_WORDS))}")
        down = document.get("down")
        return cls(
            document["schema"],
            document["from"],
            document["to"],
            from_documents(document["up"]),
            down=None if down is None else from_documents(down),
            description=document.get("description", ""),
        )


@dataclass(frozen=True)
class Step:
    """One step of a plan: the transforms from a version to the next, up or down."""

    schema: str
    from_: str
    to: str
    transforms: tuple[Transform, ...]
    reversible: bool
    description: str = ""


def steps_between(migrations: Iterable[Migration], start: str, end: str) -> tuple[Step, ...] | None:
    """Return the shortest safe way from one version to another, None where there is none.

    Of all ways that only go up, or only down, the one with the fewest steps that nothing leads back from; of those the
    one with the fewest steps; of those the one through the lowest versions. Dijkstra's algorithm.
    """
    if start == end:
        return ()
    upwards = version_of(start) < version_of(end)
    edges: dict[str, list[Step]] = {}
    for each in migrations:
        step = _step(each, upwards=upwards)
        if step is not None:
            edges.setdefault(step.from_, []).append(step)
    limit = version_of(end)
    queue: list[tuple[int, int, tuple[Any, ...], str, tuple[Step, ...]]] = [(0, 0, (), start, ())]
    done: set[str] = set()
    while queue:
        unsafe, count, trail, at, steps = heappop(queue)
        if at == end:
            return steps
        if at in done:
            continue
        done.add(at)
        for step in edges.get(at, ()):
            version = version_of(step.to)
            if (version > limit) if upwards else (version < limit):
                continue
            heappush(
                queue,
                (unsafe + (not step.reversible), count + 1, (*trail, (version, step.to)), step.to, (*steps, step)),
            )
    return None


def _step(migration: Migration, *, upwards: bool) -> Step | None:
    up, down = tuple(migration.up), migration.way_down()
    if upwards:
        return Step(migration.schema, migration.from_, migration.to, up, down is not None, migration.description)
    if down is None:
        return None
    back = migration.down is not None or inverse(down) is not None
    return Step(migration.schema, migration.to, migration.from_, down, back, migration.description)


def _checked(word: str, given: Any) -> tuple[Transform, ...]:
    if isinstance(given, (str, bytes, Mapping)) or not isinstance(given, Iterable):
        _refuse(word, f"must list transforms, not {shown(given)}")
    found = tuple(given)
    for each in found:
        if not isinstance(each, Transform):
            _refuse(word, f"must list transforms, not {shown(each)}")
    return found


def _refuse(path: str, rule: str) -> NoReturn:
    raise InvalidValueError(path, rule=rule, hint=_HINT)


__all__ = ["Migration", "Step", "steps_between"]
