"""What is known of a branch's rules: bindings and migrations under way, compiled, and what they make of a write."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Final

from backstory.domain.bindings import RULES_STREAM, Bindings, Move, Rule
from backstory.domain.branches import Lineage
from backstory.domain.commits import Draft
from backstory.domain.errors import MigrationError, SchemaError
from backstory.domain.ports import Program, Reader
from backstory.domain.schemas import SchemaVersion
from backstory.domain.sequencer import STATE_SET
from backstory.domain.validation import Validator, refusal
from backstory.infrastructure import codec
from backstory.revaluing import revalued
from backstory.schemas.carrying import Carrier, CarryingError, Generated
from backstory.schemas.histories import histories_of, rows_of
from backstory.schemas.validators import validator_of

_MOST_KEYS: Final = 10_000
#: How values come about that say themselves which schema they carry.
_OWN_OPS: Final = frozenset({"migrate", "restore"})


class Known:
    """Bindings and the schemas they name. Nothing in it changes but what it remembers."""

    def __init__(
        self, bindings: Bindings, schemas: Mapping[tuple[str, str], SchemaVersion], now_us: Callable[[], int]
    ) -> None:
        self.bindings: Final = bindings
        self._schemas = schemas
        self._rules: dict[tuple[str, str], Rule | None] = {}
        self._validators: dict[tuple[str, str], Validator] = {}
        self._now_us = now_us
        self._carriers: dict[tuple[str, str], Carrier] = {}

    def rule_at(self, stream: str, key: str) -> Rule | None:
        """Return what holds for a key, None where any value may be written."""
        at = (stream, key)
        if at in self._rules:
            return self._rules[at]
        if len(self._rules) >= _MOST_KEYS:
            self._rules = {}
        rule = self._rules[at] = self.bindings.at(stream, key)
        return rule

    def validator(self, name: str, version: str) -> Validator:
        """Return what tells whether a value meets a schema; raises `SchemaError` for one that is not there."""
        known = self._validators.get((name, version))
        if known is not None:
            return known
        found = self._schemas.get((name, version))
        if found is None:
            raise SchemaError(
                f"schema {name} {version} is bound but not registered on this branch",
                schema=name,
                version=version,
                hint="Register it, or bind another version.",
            )
        made = self._validators[name, version] = validator_of(found)
        return made

    def checked(self, draft: Draft) -> Draft:
        """Return a write as it may be written: carrying the schema that it meets.

        What a migration, a rollback or a restore writes carries what it is to carry. Raises `SchemaError`, or
        `MigrationError` for a value that a migration under way cannot carry over.
        """
        if draft.type != STATE_SET or draft.key is None:
            return draft
        op = codec.op_of_set(draft.data)
        if op in _OWN_OPS:
            return self._own(draft, op)
        rule = self.rule_at(draft.stream, draft.key)
        if rule is None:
            return draft
        return self._met(draft, draft.key, rule)

    def _own(self, draft: Draft, op: str) -> Draft:
        """Return what a migration writes, if it still may: whoever was taken for dead may have lost it to another."""
        said = codec.part_of(draft.extra, "carried" if op == "migrate" else "restored") or {}
        migration_id = said.get("migration")
        if migration_id is not None and not self.bindings.may_write(migration_id, op):
            raise MigrationError(
                f"migration {migration_id} was taken up by somebody else, and is over",
                scope=draft.stream,
                key=draft.key,
                hint="Look at its status; only one process may run it.",
            )
        return draft

    def _met(self, draft: Draft, key: str, rule: Rule) -> Draft:
        value = codec.decode_value(codec.parts_of_set(draft.data)[0])
        move = rule.move
        if move is not None and not self.validator(rule.schema, move.to)(value):
            return _carrying(draft, rule.schema, move.to)
        found = self.validator(rule.schema, rule.version)(value)
        if found:
            if rule.mode == "mark":
                return draft
            raise refusal(found, schema=rule.schema, version=rule.version, scope=draft.stream, key=key)
        if move is None or rule.version == move.to:
            return _carrying(draft, rule.schema, rule.version)
        return self._carried(draft, key, rule, move)

    def _carried(self, draft: Draft, key: str, rule: Rule, move: Move) -> Draft:
        """Return a write that meets the older version as the migration under way would have it."""
        carrier = self._carriers.get((move.migration_id, rule.version))
        if carrier is None:
            route = move.routes.get(rule.version)
            if route is None:
                raise MigrationError(
                    f"migration {move.migration_id} is under way, and leads nowhere from {rule.schema} {rule.version}",
                    scope=draft.stream,
                    key=key,
                    hint=f"Write values of {move.to}, or wait until the migration is over.",
                )
            carrier = self._carriers[move.migration_id, rule.version] = Carrier.of_documents(route)
        context = Generated(self._now_us)
        try:
            value = carrier.carry(codec.decode_value(codec.parts_of_set(draft.data)[0]), context)
        except CarryingError as error:
            raise MigrationError(
                f"migration {move.migration_id} is under way, and cannot carry over what is written to "
                f"{draft.stream} {key}: {error.reason}",
                scope=draft.stream,
                key=key,
                path=error.path,
                hint=f"Write values of {rule.schema} {move.to}.",
            ) from error
        found = self.validator(rule.schema, move.to)(value)
        if found:
            raise refusal(found, schema=rule.schema, version=move.to, scope=draft.stream, key=key)
        carried = {"migration": move.migration_id, "from": rule.version, "generated": context.given, "write": True}
        said: dict[str, Any] = {"schema": [rule.schema, move.to], "carried": carried}
        return revalued(draft, codec.encode_value(value))._replace(extra=codec.extra_with(draft.extra, said))


def _carrying(draft: Draft, name: str, version: str) -> Draft:
    return draft._replace(extra=codec.extra_joined(draft.extra, _said(name, version)))


@lru_cache(maxsize=1024)
def _said(name: str, version: str) -> bytes:
    return codec.encode_value({"schema": [name, version]})


def known_rules(reader: Reader, lineage: Lineage, now_us: Callable[[], int]) -> Program[Known]:
    """Return what holds on a branch now."""
    bindings = Bindings()
    rows = yield from rows_of(reader, lineage, RULES_STREAM)
    for row in rows:
        bindings.apply(row.type, codec.decode_value(row.data))
    wanted = bindings.versions()
    histories = yield from histories_of(reader, lineage, {name for name, _ in wanted})
    schemas = {
        (name, version): histories[name].versions[version]
        for name, version in wanted
        if version in histories[name].versions
    }
    return Known(bindings, schemas, now_us)
