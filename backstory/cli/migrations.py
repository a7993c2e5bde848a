"""Commands on migrations: migrate status, register, plan, run, rollback, resume."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final

from typer import Argument, Option, Typer

from backstory.cli import documents, migration_lines, values
from backstory.cli.commands import command, runner
from backstory.cli.failures import Exit, UsageError
from backstory.cli.options import KeyPattern, ScopePattern
from backstory.cli.progress import progress_bar
from backstory.cli.render import counted, field
from backstory.cli.session import Session
from backstory.domain.errors import shown
from backstory.domain.migrations import Migration

if TYPE_CHECKING:
    from backstory.migrations.reports import MigrationReport

migrations: Final = Typer(help="Migrations: carry values from one version of their schema to another, and back.")
SchemaName = Annotated[str, Argument(metavar="SCHEMA", help="The schema's name.")]
Target = Annotated[str, Argument(metavar="TO", help="The version to get to.")]
RunId = Annotated[str, Argument(metavar="ID", help="The run, as `migrate status` lists it.")]
From = Annotated[
    str | None,
    Option("--from", metavar="VERSION", help="From here. A run also takes what carries no schema for this version."),
]
Transformers = Annotated[
    list[str] | None,
    Option("--file", metavar="FILE", help="Python with your transformers, run for you name it; may be repeated."),
]
Concurrency = Annotated[int, Option("--concurrency", min=1, metavar="N", help="So many batches at once.")]


@command(migrations, "status")
def status(
    session: Session,
    migration_id: Annotated[
        str | None, Argument(metavar="ID", help="One run, with all that is known of it; without it, all.")
    ] = None,
) -> None:
    """Tell what became of runs, the oldest first. Exit code 1: there is none of this id."""
    with session.open() as store:
        found = store.migrations.status(migration_id)
    if isinstance(found, list):
        _tell(session, [each.as_dict() for each in found], migration_lines.status_lines(session.out, found))
    else:
        _tell(session, found.as_dict(), migration_lines.report_lines(session.out, found))


def _list(session: Session) -> None:
    """Tell what became of runs, the oldest first."""
    status(session)


migrations.callback(invoke_without_command=True)(runner(_list))


@command(migrations, "register")
def register(
    session: Session,
    file: Annotated[
        str,
        Argument(
            metavar="FILE",
            help="TOML or JSON of one migration, or of several under `migrations`; `-` is JSON; or a Python file that "
            "holds Migration objects, and is run for you name it.",
        ),
    ],
    *,
    transformers: Transformers = None,
) -> None:
    """Register ways between versions of a schema. Another between the same two replaces the earlier one."""
    _learn(transformers)
    wanted = _migrations(file)
    with session.open(write=True) as store:
        made = [store.migrations.register(each) for each in wanted]
    if session.out.json:
        session.out.value([each.to_document() for each in made])
        return
    for each in made:
        session.out.line(f"registered {field(each.schema)} {each.from_} to {each.to}: {_steps(each)}")


def _steps(migration: Migration) -> str:
    back = "" if migration.way_down() is None else ", and back"
    return counted(len(tuple(migration.up)), "transform") + back


def _learn(files: list[str] | None) -> None:
    """Run the Python that a user names, so that its transformers are known."""
    for each in files or ():
        documents.python(each)


def _migrations(file: str) -> list[Migration]:
    """Return the migrations of a file; raises `UsageError` where there are none."""
    if documents.is_python(file):
        found = _of_python(file)
    else:
        found = [Migration.from_document(each) for each in _documents(file)]
    if not found:
        raise UsageError(f"{shown(file)} holds no migrations", hint="Write `Migration(...)` there, at the top level.")
    return found


def _documents(file: str) -> list[Any]:
    found = documents.document(file)
    toml = file.endswith(".toml")  # It has types of its own for what JSON needs tags for.
    return documents.tables(found if toml else values.decoded(found), "migrations")


def _of_python(file: str) -> list[Migration]:
    """Return the migrations that stand in a module by themselves, or in lists, each once."""
    held = documents.named_object(file) if not file.endswith(".py") else None
    parts = [held] if held is not None else list(vars(documents.python(file)).values())
    found = [each for part in parts for each in (part if isinstance(part, (list, tuple)) else [part])]
    return list({id(each): each for each in found if isinstance(each, Migration)}.values())


@command(migrations, "plan")
def plan(
    session: Session,
    schema: SchemaName,
    to: Target,
    *,
    from_: From = None,
    scope: ScopePattern = None,
    keys: KeyPattern = "*",
    preview: Annotated[int, Option("--preview", min=0, metavar="N", help="What becomes of so many values.")] = 3,
    transformers: Transformers = None,
) -> None:
    """Plan the way to a version: steps, risk, and what becomes of values. Nothing is written.

    Exit code 1: no way leads there.
    """
    _learn(transformers)
    with session.open() as store:
        made = store.migrations.plan(schema, to, from_=from_)
        some = made.preview(preview, scope=scope, keys=keys) if preview else []
    data = {**made.as_dict(), "preview": [each.as_dict() for each in some]}
    _tell(session, data, migration_lines.plan_lines(session.out, made, some))


@command(migrations, "run")
def run(
    session: Session,
    schema: SchemaName,
    to: Target,
    *,
    from_: From = None,
    scope: ScopePattern = None,
    keys: KeyPattern = "*",
    dry_run: Annotated[bool, Option("--dry-run", help="Write nothing; say what would fail.")] = False,
    validation: Annotated[
        str, Option("--validation", metavar="LEVEL", help="none, basic, strict or paranoid.")
    ] = "strict",
    batch_size: Annotated[int, Option("--batch-size", min=1, metavar="N", help="So many values a commit.")] = 100,
    concurrency: Concurrency = 1,
    transformers: Transformers = None,
) -> int:
    """Carry values to a version of their schema. One that cannot be carried brings back all.

    Exit code 1: some cannot; then, and with --dry-run, nothing has changed.
    """
    _learn(transformers)
    with session.open(write=not dry_run) as store, progress_bar(session.out, "migrate") as progress:
        report = store.migrations.run(
            store.migrations.plan(schema, to, from_=from_),
            scope=scope,
            keys=keys,
            dry_run=dry_run,
            validation=validation,
            batch_size=batch_size,
            concurrency=concurrency,
            progress=progress,
        )
    return _answer(session, report)


@command(migrations, "rollback")
def rollback(
    session: Session,
    migration_id: RunId,
    *,
    force: Annotated[bool, Option("--force", help="Replace also what was written since.")] = False,
) -> int:
    """Bring back what a run replaced, by appending. Exit code 1: what was written since was left alone."""
    with session.open(write=True) as store, progress_bar(session.out, "roll back") as progress:
        report = store.migrations.rollback(migration_id, force=force, progress=progress)
    return _answer(session, report, force=force)


@command(migrations, "resume")
def resume(
    session: Session, migration_id: RunId, *, concurrency: Concurrency = 1, transformers: Transformers = None
) -> int:
    """Go on with a run, or a rollback, whose process died. Exit code 1: it is not dead, or a value fails."""
    _learn(transformers)
    with session.open(write=True) as store, progress_bar(session.out, "resume") as progress:
        report = store.migrations.resume(migration_id, concurrency=concurrency, progress=progress)
    return _answer(session, report)


def _answer(session: Session, report: MigrationReport, *, force: bool = False) -> int:
    _tell(session, report.as_dict(), migration_lines.outcome_lines(session.out, report, force=force))
    return Exit.NO if report.errors or (report.conflicts and not force) else Exit.DONE


def _tell(session: Session, data: Any, lines: Any) -> None:
    if session.out.json:
        session.out.value(data)
        return
    for line in lines:
        session.out.line(line)
