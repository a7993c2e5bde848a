"""Commands on branches: fork, branches, branches diff, branches drop."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Final

from typer import Argument, Typer

from backstory.cli import values
from backstory.cli.commands import command, runner
from backstory.cli.options import AsOf
from backstory.cli.past import sides
from backstory.cli.render import difference_lines, field, instant
from backstory.cli.session import Session
from backstory.domain.branches import Branch
from backstory.domain.events import MISSING, Difference
from backstory.domain.scopes import Scope
from backstory.infrastructure.codec import canonical

app: Final = Typer()
branches: Final = Typer(help="List the branches, compare two, or drop one.")
State = dict[Scope, dict[str, Any]]
Name = Annotated[str, Argument(metavar="NAME", help="The branch.")]


@command(app, "fork")
def fork(
    session: Session,
    name: Annotated[str | None, Argument(metavar="NAME", help="What to call it; one is made up if left out.")] = None,
    *,
    as_of: AsOf = None,
) -> None:
    """Make a branch that leaves this one now or at a point. Exit code 3: there is one of this name."""
    with session.open(write=True) as store:
        made = store.fork(name, as_of=values.optional_point(as_of)).branch_name
        branch = next(each for each in store.branches() if each.name == made)
    if session.out.json:
        session.out.value(_branch(branch))
    else:
        session.out.line(f"forked {field(made)} from {field(branch.parent or '')} at position {branch.position}")


def _branch(branch: Branch) -> dict[str, Any]:
    created_at = None if branch.created_at is None else branch.created_at.isoformat()
    return {"name": branch.name, "parent": branch.parent, "position": branch.position, "created_at": created_at}


@command(branches, "list")
def list_(session: Session) -> None:
    """List the branches, `main` first."""
    with session.open() as store:
        found = store.branches()
    if session.out.json:
        session.out.value([_branch(branch) for branch in found])
        return
    width = max(len(field(branch.name)) for branch in found)
    for branch in found:
        name = session.out.paint(field(branch.name).ljust(width), "cyan")
        if branch.parent is None or branch.created_at is None:
            session.out.line(name.rstrip())
        else:
            where = f"from {field(branch.parent)} at {branch.position}"
            session.out.line(f"{name}  {instant(branch.created_at)}  {where}")


branches.callback(invoke_without_command=True)(runner(list_))


@command(branches, "diff")
def diff(
    session: Session,
    name: Name,
    other: Annotated[
        str | None, Argument(metavar="OTHER", help="Another branch; by default the one of --branch, or main.")
    ] = None,
) -> None:
    """Show which keys differ between two branches now. Exit code 1: there is none of this name."""
    with session.open() as store:
        before = store.branch(name).snapshot()
        after = (store if other is None else store.branch(other)).snapshot()
    found = list(_differences(before, after))
    if session.out.json:
        session.out.value([{"scope": str(each.scope), "key": each.key, **sides(each)} for each in found])
        return
    for each in found:
        for line in difference_lines(session.out, each):
            session.out.line(line)


def _differences(before: State, after: State) -> Iterator[Difference]:
    """Yield what differs between two states, by scope and key."""
    for scope in sorted(before.keys() | after.keys(), key=str):
        was, is_ = before.get(scope, {}), after.get(scope, {})
        for key in sorted(was.keys() | is_.keys()):
            one, other = was.get(key, MISSING), is_.get(key, MISSING)
            if one is MISSING or other is MISSING or canonical(one) != canonical(other):
                yield Difference(scope, key, one, other)


@command(branches, "drop")
def drop(session: Session, name: Name) -> None:
    """End a branch; its events stay in the log. Exit code 1: there is none of this name."""
    with session.open(write=True) as store:
        store.drop_branch(name)
    if session.out.json:
        session.out.value({"dropped": name})
    else:
        session.out.line(f"dropped {field(name)}")
