"""Planning: from registered migrations to the steps that lead there, with what is at stake."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from backstory.core import Core
from backstory.domain.compatibility import check
from backstory.domain.errors import MigrationError, SchemaError, shown
from backstory.domain.migrations import Migration, Step, steps_between
from backstory.domain.ports import Program
from backstory.domain.schemas import SchemaVersion
from backstory.domain.selection import Selection
from backstory.domain.versions import version_of
from backstory.infrastructure.aggregates.schema_history import SchemaHistory
from backstory.migrations.items import Wanted, counted
from backstory.migrations.reports import PlanFacts, PlanStep
from backstory.schemas.histories import history_of
from backstory.schemas.registering import all_bindings

_RISKS: Final = ("low", "medium", "high", "critical")


def plan(core: Core, schema: str, to: str, from_: str | None) -> Program[PlanFacts]:
    """Return the shortest safe way to a version, from one that is named or from all that lead there.

    Raises `SchemaError` for versions that are not registered, `MigrationError` where no way leads.
    """
    history = yield from history_of(core.engine, core.lineage, schema)
    for version in (to, from_):
        _check_registered(history, schema, version)
    ways = [Migration.from_document(document) for document in history.migrations.values()]
    routes = _routes(ways, history, to, from_)
    if not routes or (from_ is not None and from_ not in routes):
        raise MigrationError(
            f"no way leads from {schema} {from_ or 'any older version'} to {to}",
            hint=f"Register a Migration; there are: {_told(ways)}.",
        )
    steps = _united(routes, from_)
    wanted = Wanted(schema, frozenset(_candidates(history, to, from_)), Selection(), from_)
    counts = yield from counted(core, wanted)
    waiting = yield from _waiting(core, history.versions[to])
    told = tuple(_step_told(step, history.versions) for step in steps)
    stuck = sorted(version for version in counts if version not in routes)
    return PlanFacts(
        schema,
        to,
        from_,
        told,
        max((step.risk for step in told), key=_RISKS.index),
        tuple(_warnings(told, counts, stuck, waiting)),
        sum(count for version, count in counts.items() if version in routes),
        steps,
        {version: tuple(steps.index(step) for step in route) for version, route in routes.items()},
        waiting,
    )


def _check_registered(history: SchemaHistory, schema: str, version: str | None) -> None:
    if version is not None:
        version_of(version)
        if version not in history.versions:
            raise SchemaError(
                f"schema {shown(schema)} {version} is not registered",
                schema=schema,
                version=version,
                hint=f"Register it first; registered are: {', '.join(sorted(history.versions)) or 'none'}.",
            )


def _candidates(history: SchemaHistory, to: str, from_: str | None) -> list[str]:
    """Return the versions that values are taken from: all older ones, or, downwards, those up to `from_`."""
    end = version_of(to)
    if from_ is not None and version_of(from_) > end:
        return [each for each in history.versions if end < version_of(each) <= version_of(from_)]
    return [each for each in history.versions if version_of(each) < end]


def _routes(
    ways: Sequence[Migration], history: SchemaHistory, to: str, from_: str | None
) -> dict[str, tuple[Step, ...]]:
    found = {}
    for version in sorted(_candidates(history, to, from_), key=version_of):
        steps = steps_between(ways, version, to)
        if steps is not None:
            found[version] = steps
    return found


def _united(routes: Mapping[str, tuple[Step, ...]], from_: str | None) -> tuple[Step, ...]:
    """Return all steps of all routes, each once: first the main route's."""
    main = routes[from_] if from_ is not None else max(routes.values(), key=len)
    steps = list(main)
    for route in routes.values():
        steps += [step for step in route if step not in steps]
    return tuple(steps)


def _step_told(step: Step, versions: Mapping[str, SchemaVersion]) -> PlanStep:
    before, after = versions.get(step.from_), versions.get(step.to)
    found = None if before is None or after is None else check(before, after)
    return PlanStep(
        step.schema,
        step.from_,
        step.to,
        tuple(each.describe() for each in step.transforms),
        step.reversible,
        "medium" if found is None else found.risk,
        () if found is None else found.breaking,
        () if found is None else found.warnings,
        step.description,
    )


def _waiting(core: Core, target: SchemaVersion) -> Program[tuple[str, ...]]:
    """Return what the target depends on, and is still bound at a version that does not do."""
    if target.kind != "fields":
        return ()
    bound = yield from all_bindings(core)
    found = []
    for needed in target.schema().dependencies:
        for name, version in sorted(bound.current()):
            if name == needed.name and not needed.is_met_by(name, version):
                found.append(f"{needed.name}@{needed.version}")
    return tuple(dict.fromkeys(found))


def _warnings(
    steps: Sequence[PlanStep], counts: Mapping[str, int], stuck: Sequence[str], waiting: Sequence[str]
) -> list[str]:
    found = []
    for step in steps:
        name = f"{step.from_} to {step.to}"
        found += [f"{name}: {words}" for words in (*step.breaking, *step.warnings)]
        if not step.reversible:
            found.append(f"{name}: nothing leads back; a rollback still brings back what was")
    found += [f"{counts[version]} values of {version} have no way there and stay" for version in stuck]
    found += [f"{name} is to be migrated first" for name in waiting]
    return found


def _told(ways: Sequence[Migration]) -> str:
    return ", ".join(f"{each.from_} to {each.to}" for each in ways) or "none"
