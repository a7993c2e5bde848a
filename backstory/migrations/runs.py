"""Runs: how one begins, what it says of itself in the log, and how it ends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, Final
from uuid import UUID

from backstory.committing import append
from backstory.context import author_of
from backstory.core import Core
from backstory.domain.bindings import RULES_STREAM, SCHEMA_KEPT, SCHEMA_MOVED, SCHEMA_MOVING, SCHEMA_RESTORED
from backstory.domain.commits import Commit, Draft, Read
from backstory.domain.context import Author
from backstory.domain.errors import ConflictError, MigrationError, NotFoundError
from backstory.domain.events import pack_correlation, unpack_correlation
from backstory.domain.migrations import Step
from backstory.domain.ports import LAST_POSITION, Program
from backstory.domain.selection import Selection
from backstory.domain.transform_documents import from_documents, to_documents
from backstory.domain.transform_inverses import inverse
from backstory.infrastructure.aggregates.migration_run import (
    COMPLETED,
    PLANNED,
    ROLLBACK_FAILED,
    ROLLING_BACK,
    RUNNING,
    RUNS,
    MigrationRun,
    stream_of_run,
)
from backstory.infrastructure.clock import new_id
from backstory.migrations.items import Item, Wanted
from backstory.migrations.reports import ItemError, MigrationReport, PlanFacts, RollbackConflict
from backstory.migrations.work import ItemFailedError, Seen, Workshop
from backstory.schemas.carrying import Carrier
from backstory.schemas.histories import history_of, rows_of
from backstory.schemas.registering import all_bindings, control

DEAD: Final = "dead"
_MOST_ERRORS: Final = 100


@dataclass
class Run:
    """A run in this process: its aggregate, and what it is about."""

    core: Core
    record: MigrationRun
    shop: Workshop
    selection: Selection
    author: Author
    begun_s: float
    total: int = 0
    migrated: int = 0
    restored: int = 0
    errors: list[ItemError] = field(default_factory=list)
    conflicts: list[RollbackConflict] = field(default_factory=list)
    warnings: Sequence[str] = ()
    #: What the survey found by scope, where it is not too much to keep: nothing that others write joins it.
    found: dict[str, tuple[Seen, list[Item]]] = field(default_factory=dict)

    @property
    def migration_id(self) -> str:
        """The id of the run."""
        return self.record.migration_id

    @property
    def duration_s(self) -> float:
        """Seconds since it began here."""
        return monotonic() - self.begun_s

    def say(
        self, *events: tuple[str, dict[str, Any]], beside: Sequence[Draft] = (), alone: bool = False
    ) -> Program[list[Draft]]:
        """Write what happens to the run, and what is to be in the same commit; return the run's drafts.

        With `alone` no other migration of the schema may be under way. Raises `MigrationError` for that, and where
        another process has said something meanwhile: the run is not ours any more.
        """
        for event, facts in events:
            self.record.say(event, **facts)
        drafts = self.record.drafts(self.author)
        before = self.record.version - len(drafts)
        while True:
            reads = [Read(self.record.id, None, before)]
            if alone:
                reads.append((yield from alone_at(self.core, self.record.plan["schema"], self.migration_id)))
            try:
                yield from append(Commit(self.core.branch.id, [*drafts, *beside], reads=reads))
            except ConflictError as error:
                if error.stream == RULES_STREAM:
                    continue
                raise MigrationError(
                    f"migration {self.migration_id} was taken up by somebody else",
                    hint="Look at its status; only one process may run it.",
                ) from error
            return drafts

    def report(self, status: str) -> MigrationReport:
        """Return what became of it so far."""
        plan = self.record.plan
        return MigrationReport(
            self.migration_id,
            plan["schema"],
            plan["from_"],
            plan["to"],
            status,
            self.total,
            self.migrated,
            self.duration_s,
            unpack_correlation(self.author.correlation or b"t"),
            tuple(self.errors),
            tuple(self.warnings),
            tuple(self.conflicts),
            self.restored,
            self.record.rollback_point,
            self.selection.scope,
            self.selection.keys,
        )


def prepared(
    core: Core,
    plan: PlanFacts,
    selection: Selection,
    *,
    validation: str,
    migration_id: str | None = None,
    forward: bool = True,
) -> Program[Workshop]:
    """Return what makes values ready by a plan; one that only goes back needs no transformers, and compiles none."""
    history = yield from history_of(core.engine, core.lineage, plan.schema)
    ways = plan.routes.items() if forward else ()
    routes = {version: [plan.work[number] for number in numbers] for version, numbers in ways}
    carriers = {version: Carrier([step.transforms for step in steps]) for version, steps in routes.items()}
    back = {version: _back(steps) for version, steps in routes.items()}
    return Workshop(
        core,
        migration_id or "",
        Wanted(plan.schema, frozenset(plan.routes), selection, plan.from_),
        history.versions[plan.to],
        old={version: history.versions[version] for version in routes},
        carriers=carriers,
        back=back,
        level=validation,
    )


def _back(steps: Sequence[Step]) -> Carrier | None:
    """Return what leads back through all steps, None where one has no exact inverse."""
    found = []
    for step in reversed(steps):
        undone = inverse(step.transforms)
        if undone is None:
            return None
        found.append(undone)
    return Carrier(found)


def new_run() -> str:
    """Return the id of a run to be."""
    return str(UUID(bytes=new_id()))


def claim(core: Core, migration_id: str) -> str:
    """Have a run for this caller alone, of all in this process; raises `MigrationError` where it is somebody else's.

    Whoever claims a run gives it back: `core.gate.runs.pop(migration_id)`.
    """
    mine = object()
    if core.gate.runs.setdefault(migration_id, mine) is not mine:
        raise _under_way(migration_id)
    return migration_id


def _under_way(migration_id: str) -> MigrationError:
    return MigrationError(
        f"migration {migration_id} is under way in a process that lives", hint="Wait for it, or end that process."
    )


def begin(
    core: Core, plan: PlanFacts, selection: Selection, migration_id: str, *, validation: str, batch_size: int
) -> Program[Run]:
    """Write that a run is planned and begins; from here on what others write is carried over.

    Raises `MigrationError` where another run of the same schema is under way on keys that this one may be about.
    """
    shop = yield from prepared(core, plan, selection, validation=validation, migration_id=migration_id)
    record = MigrationRun.empty(stream_of_run(migration_id))
    author = author_of({}, core.actor)
    author = author._replace(correlation=author.correlation or pack_correlation(migration_id))
    run = Run(core, record, shop, selection, author, monotonic(), warnings=plan.warnings)
    while True:
        rules = yield from alone_at(core, plan.schema, migration_id)
        try:
            yield from _begun(run, plan, validation, batch_size, rules=rules)
        except ConflictError:
            continue
        return run


def alone_at(core: Core, schema: str, migration_id: str) -> Program[Read]:
    """Return the version of the rules at which no other migration of a schema is under way; raises `MigrationError`."""
    rules = yield from core.engine.stream_version(core.lineage, RULES_STREAM, LAST_POSITION)
    bound = yield from all_bindings(core)
    others = bound.under_way(schema) - {migration_id}
    if others:
        raise MigrationError(
            f"migration {min(others)} of {schema} is under way",
            hint="Wait for it; if its process has died, resume it or roll it back.",
        )
    return Read(RULES_STREAM, None, rules)


def _begun(run: Run, plan: PlanFacts, validation: str, batch_size: int, *, rules: Read) -> Program[None]:
    core, record = run.core, run.record
    head = yield from core.position()
    record.say(
        "Planned",
        schema=plan.schema,
        from_=plan.from_,
        to=plan.to,
        scope=run.selection.scope,
        keys=run.selection.keys,
        validation=validation,
        batch_size=batch_size,
        steps=[_document(step) for step in plan.work],
        routes={version: list(numbers) for version, numbers in plan.routes.items()},
        risk=plan.risk,
        warnings=list(plan.warnings),
    )
    [planned] = record.drafts(run.author)
    run.author = run.author._replace(causes=planned.event_id)
    record.say("Started", writer=core.engine.writer_id, rollback_point=head)
    [started] = record.drafts(run.author)
    moving = {
        "migration_id": run.migration_id,
        "name": plan.schema,
        "to": plan.to,
        "scope": run.selection.scope,
        "keys": run.selection.keys,
        "unmarked": plan.from_,
        "routes": {
            version: [to_documents(plan.work[number].transforms) for number in numbers]
            for version, numbers in plan.routes.items()
        },
    }
    drafts = [planned, started, control(core, SCHEMA_MOVING, moving, run.author)]
    try:
        yield from append(Commit(core.branch.id, drafts, reads=[rules]))
    except ConflictError:
        run.record = MigrationRun.empty(record.id)
        run.author = run.author._replace(causes=None)
        raise
    run.author = run.author._replace(causes=started.event_id)


def _document(step: Step) -> dict[str, Any]:
    return {
        "schema": step.schema,
        "from": step.from_,
        "to": step.to,
        "transforms": to_documents(step.transforms),
        "reversible": step.reversible,
        "description": step.description,
    }


def surveyed(run: Run) -> Program[None]:
    """Say what there is to migrate, and that the log holds what it was."""
    level, steps = run.shop.level, run.record.plan["steps"]
    said: list[tuple[str, dict[str, Any]]] = []
    if level in {"strict", "paranoid"}:
        said.append(("Validated", {"phase": "before", "level": level, "items": run.total, "result": "passed"}))
    said.append(("Kept", {"position": run.record.rollback_point, "items": run.total}))
    for number, step in enumerate(steps):
        told = {"step": number, "from_": step["from"], "to": step["to"], "description": step["description"]}
        said.append(("StepStarted", told))
    yield from run.say(*said)


def begin_again(run: Run) -> Program[None]:
    """Say that another process goes on with a run."""
    [started] = yield from run.say(
        ("Started", {"writer": run.core.engine.writer_id, "rollback_point": run.record.rollback_point})
    )
    run.author = run.author._replace(causes=started.event_id)


def finish(run: Run) -> Program[None]:
    """Say that all is migrated; bindings are at the new version from here on."""
    said: list[tuple[str, dict[str, Any]]] = [
        ("StepCompleted", {"step": number, "items": run.migrated}) for number in range(len(run.record.plan["steps"]))
    ]
    if run.shop.level != "none":
        told = {"phase": "after", "level": run.shop.level, "items": run.migrated, "result": "passed"}
        said.append(("Validated", told))
    said.append(("Completed", {"items": run.migrated, "duration_s": run.duration_s}))
    yield from run.say(*said, beside=[control(run.core, SCHEMA_MOVED, {"migration_id": run.migration_id}, run.author)])


def stumbled(run: Run, error: ItemError) -> Program[None]:
    """Say which value could not be migrated."""
    said: list[tuple[str, dict[str, Any]]] = []
    if not run.record.surveyed:
        said.append(("Validated", {"phase": "before", "level": run.shop.level, "items": 0, "result": "failed"}))
    told = {"step": error.step, "scope": error.scope, "key": error.key, "path": error.path, "error": error.message}
    yield from run.say(*said, ("StepFailed", told))


def turn_back(run: Run, *, force: bool, reason: str) -> Program[None]:
    """Say that what was is being brought back; bindings are what they were from here on."""
    told = {"writer": run.core.engine.writer_id, "force": force, "reason": reason}
    data = {"migration_id": run.migration_id, "name": run.record.plan["schema"]}
    keeping = control(run.core, SCHEMA_KEPT, data, run.author)
    drafts = yield from run.say(("RollbackStarted", told), beside=[keeping], alone=True)
    run.author = run.author._replace(causes=drafts[0].event_id)


def is_back(run: Run) -> Program[None]:
    """Say that what was is back."""
    conflicts = [{"scope": each.scope, "key": each.key, "position": each.position} for each in run.conflicts]
    told = {"items": run.restored, "conflicts": conflicts, "duration_s": run.duration_s}
    said: list[tuple[str, dict[str, Any]]] = [("RollbackCompleted", told)]
    if run.record.reason == "failed":
        error = "" if run.record.failed is None else run.record.failed["message"]
        said.append(("Failed", {"error": error, "items": run.migrated, "duration_s": run.duration_s}))
        run.migrated = 0
    over = control(run.core, SCHEMA_RESTORED, {"migration_id": run.migration_id}, run.author)
    yield from run.say(*said, beside=[over])


def stuck(run: Run, error: str) -> Program[None]:
    """Say that not all of what was could be brought back."""
    yield from run.say(("RollbackFailed", {"error": error}))


class Trial:
    """A run that writes nothing."""

    def __init__(self, plan: PlanFacts, selection: Selection) -> None:
        self._plan = plan
        self._selection = selection
        self._begun_s = monotonic()
        self._errors: list[ItemError] = []
        self.total = 0

    def take(self, shop: Workshop, item: Item) -> None:
        """Try a value."""
        self.total += 1
        try:
            shop.inspect(item)
            shop.ready(item)
        except ItemFailedError as failed:
            if len(self._errors) < _MOST_ERRORS:
                self._errors.append(failed.error)

    def report(self) -> MigrationReport:
        """Return what would become of it all."""
        plan = self._plan
        return MigrationReport(
            "",
            plan.schema,
            plan.from_,
            plan.to,
            "dry_run",
            self.total,
            0,
            monotonic() - self._begun_s,
            "",
            tuple(self._errors),
            plan.warnings,
            scope=self._selection.scope,
            keys=self._selection.keys,
        )


# Runs of the log


def record_of(core: Core, migration_id: str) -> Program[MigrationRun]:
    """Return the aggregate of a run; raises `NotFoundError`."""
    stream = stream_of_run(str(migration_id))
    rows = yield from rows_of(core.engine, core.lineage, stream)
    record = MigrationRun.of_events(stream, rows)
    if not record.status:
        raise NotFoundError("migration", migration_id, hint="`migrations.status()` lists the runs there are.")
    return record


def _origin(core: Core, record: MigrationRun) -> Program[tuple[bytes, bytes]]:
    """Return the correlation of a run, packed, and the id of the event that began it last."""
    rows = yield from rows_of(core.engine, core.lineage, record.id)
    started = [row.event_id for row in rows if row.type == "migration.started"]
    if not started:
        raise MigrationError(
            f"migration {record.migration_id} was planned and never began: this log was cut amid its first commit",
            hint="There is nothing to go on with, nor to take back. Plan and run it anew.",
        )
    return rows[0].correlation or b"u" + rows[0].event_id, started[-1]


def taken_up(core: Core, migration_id: str, *, forward: bool) -> Program[Run]:
    """Return a run of the log, which is claimed, as one of this process, to go on with or back. Nothing is written."""
    record = yield from record_of(core, migration_id)
    living = yield from _alive(core, record, active=False)
    if living and record.status in {RUNNING, ROLLING_BACK}:
        raise _under_way(migration_id)
    facts = _facts_of(record)
    plan = record.plan
    selection = Selection(plan["scope"], plan["keys"])
    shop = yield from prepared(
        core,
        facts,
        selection,
        validation=plan["validation"],
        migration_id=migration_id,
        forward=forward and record.status in UNFINISHED,
    )
    correlation, started = yield from _origin(core, record)
    author = author_of({}, core.actor)._replace(correlation=correlation, causes=started)
    run = Run(core, record, shop, selection, author, monotonic(), total=record.items, warnings=tuple(plan["warnings"]))
    run.migrated = record.migrated
    return run


def _alive(core: Core, record: MigrationRun, *, active: bool) -> Program[bool]:
    if record.writer == core.engine.writer_id:
        return active
    living = yield from core.engine.living_writers()
    return record.writer in living


def _facts_of(record: MigrationRun) -> PlanFacts:
    plan = record.plan
    work = tuple(
        Step(
            step["schema"],
            step["from"],
            step["to"],
            from_documents(step["transforms"]),
            step["reversible"],
            step["description"],
        )
        for step in plan["steps"]
    )
    routes = {version: tuple(numbers) for version, numbers in plan["routes"].items()}
    return PlanFacts(
        plan["schema"],
        plan["to"],
        plan["from_"],
        (),
        plan["risk"],
        tuple(plan["warnings"]),
        record.items,
        work,
        routes,
    )


def statuses(core: Core, migration_id: str | None, active: Sequence[str]) -> Program[list[MigrationReport]]:
    """Return what became of runs, the oldest first."""
    if migration_id is not None:
        ids = [str(migration_id)]
    else:
        streams = yield from core.engine.streams(core.lineage, LAST_POSITION)
        ids = [stream.removeprefix(RUNS) for stream in streams if stream.startswith(RUNS)]
    found: list[tuple[int, MigrationReport]] = []
    for each in ids:
        stream = stream_of_run(each)
        rows = yield from rows_of(core.engine, core.lineage, stream)
        record = MigrationRun.of_events(stream, rows)
        if not record.status:
            if migration_id is not None:
                raise NotFoundError("migration", migration_id, hint="`migrations.status()` lists the runs there are.")
            continue
        living = yield from _alive(core, record, active=each in active)
        found.append((rows[0].position, _told(record, rows[0].correlation or b"u" + rows[0].event_id, living=living)))
    return [report for _, report in sorted(found, key=lambda each: each[0])]


def _told(record: MigrationRun, correlation: bytes, *, living: bool) -> MigrationReport:
    plan = record.plan
    status = record.status
    if status in {PLANNED, RUNNING, ROLLING_BACK} and not living:
        status = DEAD
    errors = () if record.failed is None else (ItemError(**record.failed),)
    conflicts = tuple(RollbackConflict(**each) for each in record.conflicts)
    return MigrationReport(
        record.migration_id,
        plan["schema"],
        plan["from_"],
        plan["to"],
        status,
        record.items,
        record.migrated,
        record.duration_s,
        unpack_correlation(correlation),
        errors,
        tuple(plan["warnings"]),
        conflicts,
        record.restored,
        record.rollback_point,
        plan["scope"],
        plan["keys"],
    )


UNFINISHED: Final = frozenset({RUNNING, PLANNED})
HALF_BACK: Final = frozenset({ROLLING_BACK, ROLLBACK_FAILED})
#: What can be taken back: what has ended well, and what has not ended.
TAKEN_BACK: Final = UNFINISHED | HALF_BACK | {COMPLETED}
