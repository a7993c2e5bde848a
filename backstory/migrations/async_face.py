"""The asyncio face: `store.migrations`, where ways between versions are registered, planned, run and taken back.

`face.py` is made from this file by `tools/unasync.py`: change this one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from backstory.core import Core
from backstory.domain.errors import (
    BackstoryError,
    HookCancelledError,
    HookError,
    InvalidValueError,
    MigrationError,
    ReadOnlyError,
    SchemaError,
    ValueTooLargeError,
    shown,
)
from backstory.domain.migrations import Migration
from backstory.domain.ports import Program
from backstory.domain.scopes import Scope
from backstory.domain.selection import Selection, selection_of
from backstory.firing import fired
from backstory.migrations import registering, runs
from backstory.migrations.items import Item, items_in, scopes_in
from backstory.migrations.planning import plan as planned
from backstory.migrations.reports import ItemError, MigrationReport, PlanFacts, Preview, RollbackConflict
from backstory.migrations.restoring import left_behind, restore_page, written_by
from backstory.migrations.runs import Run
from backstory.migrations.work import LEVELS, ItemFailedError, Seen, Workshop, batch_of, seen_now
from backstory.runners import AsyncRunner

Progress = Callable[[int, int], None]
#: So many values are not looked for twice, in the survey and again.
_MOST_KEPT: Final = 50_000
_REFUSALS: Final = (SchemaError, MigrationError, HookCancelledError, HookError, InvalidValueError, ValueTooLargeError)


class AsyncMigrationPlan(PlanFacts):
    """A plan of a migration: `steps`, `risk`, `warnings`, `estimated_items`, and what it would make of some values."""

    _core: Core
    _runner: AsyncRunner

    async def preview(self, n: int = 5, *, scope: Scope | str | None = None, keys: str = "*") -> list[Preview]:
        """Return what would become of the first `n` values that the plan is about; nothing is written.

        Raises `InvalidValueError`, `InvalidScopeError` and `InvalidKeyError`.
        """
        _check_count("n", n)
        selection = selection_of(scope, keys)
        shop = await self._runner.run(runs.prepared(self._core, self, selection, validation="strict"))
        found: list[Preview] = []
        for stream in await self._runner.run(scopes_in(self._core, selection)):
            items = await self._runner.run(items_in(self._core, shop.wanted, stream))
            found += [shop.preview(item) for item in items[: n - len(found)]]
            if len(found) >= n:
                break
        return found


class AsyncMigrations:
    """The migrations of a store, on one branch. `docs/migrations.md` tells what they can do."""

    def __init__(self, core: Core, runner: AsyncRunner) -> None:
        self._core = core
        self._runner = runner

    def register(self, migration: Migration | Mapping[str, Any]) -> Migration:
        """Register a way from one version of a schema to a higher one, instead of an earlier one between the two.

        On the asyncio face it is written with whatever touches the store next, which then raises what only the log
        can tell. Raises `InvalidValueError` for a declaration that is wrong, `SchemaError` for versions that are not
        registered, `NotFoundError` for a transformer that there is not.
        """
        if self._core.engine.read_only:
            raise ReadOnlyError("register a migration")
        made = registering.checked(migration)
        # <async>
        self._core.session.guard.pending.append(lambda: registering.register(self._core, made))
        self._runner.due = self._core.session.guard.settle
        # </async>
        # <sync>
        # self._runner.run(registering.register(self._core, made))
        # </sync>
        return made

    async def registered(self, schema: str) -> list[Migration]:
        """Return the ways that are registered for a schema, by their versions."""
        found: list[Migration] = await self._ask(registering.migrations(self._core, schema))
        return found

    async def plan(self, schema: str, to: str, *, from_: str | None = None) -> AsyncMigrationPlan:
        """Return the shortest safe way to a version of a schema.

        It is about all values that carry an older version; with a `from_` above `to`, about those that carry a newer
        one, up to it. With `from_` a run also takes what carries no schema under its scope and keys for values of that
        version. Of all ways the one with the fewest steps that nothing leads back from counts, of those the shortest.
        Raises `SchemaError` for versions that are not registered, `MigrationError` where no way leads.
        """
        facts = await self._ask(planned(self._core, schema, to, from_))
        found = AsyncMigrationPlan(**{name: getattr(facts, name) for name in facts.__dataclass_fields__})
        object.__setattr__(found, "_core", self._core)
        object.__setattr__(found, "_runner", self._runner)
        return found

    async def run(
        self,
        plan: PlanFacts,
        *,
        scope: Scope | str | None = None,
        keys: str = "*",
        dry_run: bool = False,
        validation: str = "strict",
        batch_size: int = 100,
        concurrency: int = 1,
        progress: Progress | None = None,
    ) -> MigrationReport:
        """Carry values to the plan's version, each with one write, in batches that are each one commit.

        What others write meanwhile where the schema is bound is carried over too, or refused. `validation` is `none`,
        `basic` (new values meet the new version), `strict` (old ones theirs, too, before anything is written) or
        `paranoid` (also that exact inverses bring back what was, and what was written is read again). Up to
        `concurrency` batches are under way at once. `progress` gets how many are done, and how many there are.

        A value that cannot be migrated ends the run: what was is brought back, by appending, and `MigrationError` is
        raised, with the value's `scope`, `key` and `path`, and the `report`. `dry_run` writes nothing, and reports all
        such values, up to a hundred. Raises `HookCancelledError` where a hook at `before_migration_run` cancels.
        """
        if not isinstance(plan, PlanFacts):
            raise InvalidValueError("plan", rule=f"is no plan: {shown(plan)}", hint="Give what `plan(...)` returned.")
        selection = selection_of(scope, keys)
        if validation not in LEVELS:
            hint = f"Use one of {', '.join(LEVELS)}."
            raise InvalidValueError("validation", rule=f"is no level: {shown(validation)}", hint=hint)
        _check_count("batch_size", batch_size)
        _check_count("concurrency", concurrency)
        await self._settle()
        if dry_run:
            return await self._tried(plan, selection, validation, progress)
        if plan.waiting:
            raise MigrationError(
                f"{plan.schema} {plan.to} depends on {', '.join(plan.waiting)}, which values are still behind",
                hint="Migrate what it depends on first, and plan again.",
            )
        said = {**plan.as_dict(), "scope": selection.scope, "keys": selection.keys}
        await self._runner.run(fired(self._core, "before_migration_run", said))
        migration_id = runs.new_run()

        async def go() -> MigrationReport:
            begin = runs.begin(self._core, plan, selection, migration_id, validation=validation, batch_size=batch_size)
            run = await self._runner.run(begin)
            return await self._go(run, batch_size, concurrency, progress)

        return await self._claimed(migration_id, go)

    async def rollback(
        self, migration_id: str, *, force: bool = False, progress: Progress | None = None
    ) -> MigrationReport:
        """Bring back, by appending, exactly what a run has replaced; bindings are at the older version again.

        What was written since it was migrated is left alone and reported in `.conflicts`; with `force` it is replaced
        as well. A run whose process died is taken back as far as it came. Raises `NotFoundError`, and `MigrationError`
        for a run that is under way, or has nothing to take back.
        """
        await self._settle()

        async def go() -> MigrationReport:
            run = await self._runner.run(runs.taken_up(self._core, migration_id, forward=False))
            if run.record.status not in runs.TAKEN_BACK:
                raise MigrationError(
                    f"migration {migration_id} is {run.record.status}: there is nothing to take back",
                    hint="`migrations.status()` tells what became of each run.",
                )
            await self._runner.run(fired(self._core, "before_migration_rollback", {"migration_id": run.migration_id}))
            return await self._back(run, force=force, reason="asked", progress=progress)

        return await self._claimed(str(migration_id), go)

    async def resume(
        self, migration_id: str, *, concurrency: int = 1, progress: Progress | None = None
    ) -> MigrationReport:
        """Go on with a run, or a rollback, whose process died; no value is migrated twice.

        Raises `NotFoundError`, and `MigrationError` for one that is under way elsewhere or over.
        """
        _check_count("concurrency", concurrency)
        await self._settle()
        return await self._claimed(str(migration_id), lambda: self._resumed(migration_id, concurrency, progress))

    async def _resumed(self, migration_id: str, concurrency: int, progress: Progress | None) -> MigrationReport:
        run = await self._runner.run(runs.taken_up(self._core, migration_id, forward=True))
        record = run.record
        if record.status in runs.HALF_BACK:
            return await self._back(run, force=record.force, reason=record.reason, progress=progress)
        if record.status not in runs.UNFINISHED:
            raise MigrationError(
                f"migration {migration_id} is {record.status}: there is nothing to go on with",
                hint="`migrations.status()` tells what became of each run.",
            )
        await self._runner.run(runs.begin_again(run))
        run.migrated = await self._count(run)
        return await self._go(run, record.plan["batch_size"], concurrency, progress)

    async def status(self, migration_id: str | None = None) -> MigrationReport | list[MigrationReport]:
        """Return what became of a run, or of all of them, the oldest first.

        A run whose process died has the status `dead`: resume it, or roll it back. Raises `NotFoundError`.
        """
        asked = runs.statuses(self._core, migration_id, tuple(self._core.gate.runs))
        found: list[MigrationReport] = await self._ask(asked)
        return found if migration_id is None else found[0]

    # How a run goes

    async def _claimed(self, migration_id: str, go: Callable[[], Any]) -> MigrationReport:
        runs.claim(self._core, migration_id)
        try:
            report: MigrationReport = await go()
        finally:
            self._core.gate.runs.pop(migration_id)
        return report

    async def _go(self, run: Run, batch_size: int, concurrency: int, progress: Progress | None) -> MigrationReport:
        try:
            if not run.record.surveyed:
                await self._survey(run)
            await self._migrate(run, batch_size, concurrency, progress)
            if run.shop.level == "paranoid":
                await self._read_again(run)
        except ItemFailedError as failed:
            await self._give_up(run, failed.error)
        except _REFUSALS as error:
            where = (getattr(error, "scope", None) or "", getattr(error, "key", None) or "")
            await self._give_up(run, ItemError(*where, error.message, getattr(error, "path", None)))
        await self._runner.run(runs.finish(run))
        report = run.report("completed")
        await self._runner.run(fired(self._core, "after_migration_run", report.as_dict()))
        return report

    async def _survey(self, run: Run) -> None:
        """Count what is to be migrated, and hold it against its own version before anything is written."""
        total = 0
        for stream in await self._runner.run(scopes_in(self._core, run.selection)):
            seen = await self._runner.run(seen_now(self._core, stream))
            items = await self._runner.run(items_in(self._core, run.shop.wanted, stream))
            for item in items:
                run.shop.inspect(item)
                if run.shop.level == "paranoid":
                    run.shop.ready(item)
            total += len(items)
            if total <= _MOST_KEPT:
                run.found[stream] = (seen, items)
        run.total = total
        await self._runner.run(runs.surveyed(run))

    async def _migrate(self, run: Run, batch_size: int, concurrency: int, progress: Progress | None) -> None:
        if progress is not None:
            progress(run.migrated, run.total)
        for stream in await self._runner.run(scopes_in(self._core, run.selection)):
            found = run.found.pop(stream, None)
            if found is None:
                seen = await self._runner.run(seen_now(self._core, stream))
                found = (seen, await self._runner.run(items_in(self._core, run.shop.wanted, stream)))
            seen, items = found
            if concurrency > 1:
                seen = Seen()  # batches side by side would find each other's writes in the scope's version
            batches = [items[at : at + batch_size] for at in range(0, len(items), batch_size)]
            for at in range(0, len(batches), concurrency):
                run.migrated += await self._together(run, batches[at : at + concurrency], seen)
                run.total = max(run.total, run.migrated)
                if progress is not None:
                    progress(run.migrated, run.total)

    async def _together(self, run: Run, batches: Sequence[Sequence[Item]], seen: Seen) -> int:
        """Migrate some batches at once; return how many values."""
        programs = [batch_of(run.shop, batch, run.author, seen) for batch in batches]
        if len(programs) == 1:
            return await self._runner.run(programs[0])
        # <async>
        done = await asyncio.gather(*map(self._runner.run, programs), return_exceptions=True)
        # </async>
        # <sync>
        # with ThreadPoolExecutor(len(programs)) as pool:
        #     waiting = [pool.submit(self._runner.run, program) for program in programs]
        # done = [each.exception() or each.result() for each in waiting]
        # </sync>
        for found in done:
            if isinstance(found, BaseException):
                raise found
        return sum(found for found in done if isinstance(found, int))

    async def _count(self, run: Run) -> int:
        count, after = 0, run.record.rollback_point or 0
        while True:
            page = written_by(self._core, run.migration_id, run.author.correlation or b"", after)
            rows, after = await self._runner.run(page)
            count += len(rows)
            if not after:
                return count

    async def _read_again(self, run: Run) -> None:
        """Hold what was written against the new version, as the log has it."""
        after = run.record.rollback_point or 0
        while True:
            page = written_by(self._core, run.migration_id, run.author.correlation or b"", after)
            rows, after = await self._runner.run(page)
            for row in rows:
                run.shop.check_row(row)
            if not after:
                return

    async def _give_up(self, run: Run, error: ItemError) -> None:
        """Say what failed, bring back what was, and raise."""
        run.errors.append(error)
        await self._runner.run(runs.stumbled(run, error))
        report = await self._back(run, force=False, reason="failed", progress=None)
        raise MigrationError(
            f"migration {run.migration_id} failed, and what was is back: {error}",
            scope=error.scope or None,
            key=error.key or None,
            path=error.path,
            report=report,
        )

    async def _back(self, run: Run, *, force: bool, reason: str, progress: Progress | None) -> MigrationReport:
        """Bring back what was."""
        await self._runner.run(runs.turn_back(run, force=force, reason=reason))
        try:
            await self._restore(run, force=force, progress=progress)
        except BackstoryError as error:
            await self._runner.run(runs.stuck(run, error.message))
            raise
        await self._runner.run(runs.is_back(run))
        report = run.report(run.record.status)
        after = "after_migration_rollback" if reason == "asked" else "after_migration_run"
        await self._runner.run(fired(self._core, after, report.as_dict()))
        return report

    async def _restore(self, run: Run, *, force: bool, progress: Progress | None) -> None:
        total = run.record.migrated or await self._count(run)
        after = run.record.rollback_point or 0
        run.restored, run.conflicts = 0, []
        while True:
            page = written_by(self._core, run.migration_id, run.author.correlation or b"", after)
            rows, after = await self._runner.run(page)
            restored, conflicts = await self._runner.run(
                restore_page(self._core, run.migration_id, rows, run.author, force=force)
            )
            run.restored += restored
            run.conflicts += conflicts
            if progress is not None:
                progress(run.restored + len(run.conflicts), total)
            if not after:
                break
        told = {(each.scope, each.key) for each in run.conflicts}
        for stream in await self._runner.run(scopes_in(self._core, run.selection)):
            left = await self._runner.run(left_behind(self._core, run.shop, stream, run.record.rollback_point or 0))
            run.conflicts += [each for each in left if (each.scope, each.key) not in told]

    async def _tried(
        self, plan: PlanFacts, selection: Selection, validation: str, progress: Progress | None
    ) -> MigrationReport:
        """Do all but write; return what would fail."""
        prepared = runs.prepared(self._core, plan, selection, validation=validation)
        shop: Workshop = await self._runner.run(prepared)
        tried = runs.Trial(plan, selection)
        for stream in await self._runner.run(scopes_in(self._core, selection)):
            for item in await self._runner.run(items_in(self._core, shop.wanted, stream)):
                tried.take(shop, item)
            if progress is not None:
                progress(tried.total, max(plan.estimated_items, tried.total))
        return tried.report()

    async def _settle(self) -> None:
        await self._runner.run(self._core.session.guard.settle())

    async def _ask(self, program: Program[Any]) -> Any:
        await self._settle()
        return await self._runner.run(program)


def _check_count(name: str, given: object) -> None:
    if isinstance(given, bool) or not isinstance(given, int) or given < 1:
        raise InvalidValueError(name, rule=f"is no count: {shown(given)}", hint="Give 1 or more.")


__all__ = ["AsyncMigrationPlan", "AsyncMigrations", "RollbackConflict"]
