"""Bindings: which schema new values must meet where, folded from the events that say so.

A binding holds a schema's version for a selection of keys; of several that fit a key, the last one made counts. A
migration that is under way puts its target before the bindings it moves: what is written meanwhile is carried over.
One that has ended well has moved them, within its own selection.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, NamedTuple

from backstory.domain.selection import Selection

#: The one stream of all that changes what writes must meet: its version says whether what is known still holds.
RULES_STREAM: Final = "custom:schemas"
SCHEMA_BOUND: Final = "schema.bound"
SCHEMA_UNBOUND: Final = "schema.unbound"
SCHEMA_MOVING: Final = "schema.moving"
SCHEMA_MOVED: Final = "schema.moved"
SCHEMA_KEPT: Final = "schema.kept"
SCHEMA_RESTORED: Final = "schema.restored"

Mode = Literal["enforce", "mark"]
MODES: Final = ("enforce", "mark")


@dataclass(frozen=True, slots=True)
class Binding:
    """A schema's version, where new values must meet it, and what becomes of those that do not.

    With `enforce` they are refused, with `mark` they are written without carrying the schema.
    """

    schema: str
    version: str
    selection: Selection
    mode: Mode = "enforce"


@dataclass(frozen=True, slots=True)
class Move:
    """A migration from where it began: its target, its selection, and the version of values that carry none.

    `routes` are the transforms' documents by the version that they lead from.
    """

    migration_id: str
    schema: str
    to: str
    selection: Selection
    unmarked: str | None
    routes: Mapping[str, list[dict[str, Any]]]

    def moves(self, schema: str, version: str) -> bool:
        """Return whether it is about what is bound at a version: others, newer ones perhaps, stay where they are."""
        return schema == self.schema and (version in self.routes or version == self.to)


class Rule(NamedTuple):
    """What holds for a key. `binding` None: a migration carries over what carries no schema there."""

    schema: str
    version: str
    mode: Mode
    move: Move | None


class Bindings:
    """All bindings of a branch, as its events have it."""

    def __init__(self) -> None:
        #: Bindings and ended moves, in the order in which they were made.
        self._made: list[Binding | Move] = []
        self._moving: dict[str, Move] = {}
        self._returning: dict[str, str] = {}

    def __bool__(self) -> bool:
        return bool(self._made or self._moving)

    def apply(self, kind: str, data: Mapping[str, Any]) -> None:
        """Take one more event."""
        if kind in {SCHEMA_BOUND, SCHEMA_UNBOUND}:
            selection = Selection(data["scope"], data["keys"])
            self._made = [
                each
                for each in self._made
                if not (isinstance(each, Binding) and (each.schema, each.selection) == (data["name"], selection))
            ]
            if kind == SCHEMA_BOUND:
                self._made.append(Binding(data["name"], data["version"], selection, data["mode"]))
        elif kind == SCHEMA_MOVING:
            self._moving[data["migration_id"]] = Move(
                data["migration_id"],
                data["name"],
                data["to"],
                Selection(data["scope"], data["keys"]),
                data["unmarked"],
                data["routes"],
            )
        elif kind == SCHEMA_MOVED:
            move = self._moving.pop(data["migration_id"], None)
            if move is not None:
                self._made.append(move)
        elif kind == SCHEMA_KEPT:
            self._moving.pop(data["migration_id"], None)
            self._returning[data["migration_id"]] = data["name"]
            self._made = [
                each
                for each in self._made
                if not (isinstance(each, Move) and each.migration_id == data["migration_id"])
            ]
        elif kind == SCHEMA_RESTORED:
            self._returning.pop(data["migration_id"], None)

    @property
    def moving(self) -> tuple[Move, ...]:
        """The migrations under way."""
        return tuple(self._moving.values())

    def under_way(self, schema: str) -> set[str]:
        """Return the ids of the migrations of a schema that are under way, or on their way back."""
        moving = {each.migration_id for each in self._moving.values() if each.schema == schema}
        return moving | {each for each, name in self._returning.items() if name == schema}

    def may_write(self, migration_id: str, op: str) -> bool:
        """Return whether a migration is where it writes this: `migrate` on its way, `restore` on its way back."""
        return migration_id in (self._moving if op == "migrate" else self._returning)

    def all(self) -> list[Binding]:
        """Return the bindings in the order in which they were made, at the versions that migrations moved them to.

        One that a migration moved only in part is told at the version that it has elsewhere.
        """
        return [
            replace(each, version=self._moved(each, self._made[index + 1 :]))
            for index, each in enumerate(self._made)
            if isinstance(each, Binding)
        ]

    def current(self) -> set[tuple[str, str]]:
        """Return names and versions that bindings are at, where migrations of all that they select have moved them."""
        return {(each.schema, each.version) for each in self.all()}

    @staticmethod
    def _moved(binding: Binding, later: Sequence[Binding | Move]) -> str:
        version = binding.version
        for each in later:
            if isinstance(each, Move) and each.moves(binding.schema, version):
                version = each.to if each.selection.covers(binding.selection) else version
        return version

    def versions(self) -> set[tuple[str, str]]:
        """Return names and versions of all schemas that writes may have to meet."""
        found = set()
        for each in (*self._made, *self._moving.values()):
            if isinstance(each, Binding):
                found.add((each.schema, each.version))
            else:
                found.add((each.schema, each.to))
                if each.unmarked is not None:
                    found.add((each.schema, each.unmarked))
        return found

    def at(self, stream: str, key: str) -> Rule | None:
        """Return what holds for a key, None where any value may be written."""
        binding: Binding | None = None
        version = ""
        for each in self._made:
            if isinstance(each, Binding):
                if each.selection.fits(stream, key):
                    binding, version = each, each.version
            elif binding is not None and each.moves(binding.schema, version) and each.selection.fits(stream, key):
                version = each.to
        for move in self._moving.values():
            if not move.selection.fits(stream, key):
                continue
            if binding is not None and move.moves(binding.schema, version):
                return Rule(move.schema, version, binding.mode, move)
            if binding is None and move.unmarked is not None:
                return Rule(move.schema, move.unmarked, "enforce", move)
        return None if binding is None else Rule(binding.schema, version, binding.mode, None)


__all__ = [
    "MODES",
    "RULES_STREAM",
    "SCHEMA_BOUND",
    "SCHEMA_KEPT",
    "SCHEMA_MOVED",
    "SCHEMA_MOVING",
    "SCHEMA_RESTORED",
    "SCHEMA_UNBOUND",
    "Binding",
    "Bindings",
    "Mode",
    "Move",
    "Rule",
]
