"""The command that asks what would have happened: what-if."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, Final

from typer import BadParameter, Option, Typer
from typer.core import TyperCommand

from backstory.cli import values
from backstory.cli.commands import command
from backstory.cli.failures import UsageError
from backstory.cli.past import sides
from backstory.cli.render import counted, difference_lines, event_line, field
from backstory.cli.session import Session
from backstory.domain.errors import shown
from backstory.store import EventLike

if TYPE_CHECKING:
    from backstory.counterfactuals import Counterfactual

app: Final = Typer()

#: The lists of events in an answer, and what a person is told of each.
_LISTS: Final = {
    "vanished": "would not have happened",
    "recomputed": "would have written another value",
    "stale": "kept, though what led to it would have been otherwise",
    "assumed": "kept as recorded, a hook whose input would have been another",
}
_MOST: Final = 10


#: Options that take several words, as many as are named here.
_WORDS: Final = {"--insert": "POINT SCOPE KEY VALUE", "--insert-delete": "POINT SCOPE KEY"}


class _Words(TyperCommand):
    """A command whose options of several words may be repeated: typer has no such options, and gets one word each."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put the words of such an option into one before they are parsed."""
        found: list[str] = []
        rest = list(args)
        while rest:
            word, equals, first = rest.pop(0).partition("=")
            if word not in _WORDS:
                word += equals + first
            elif equals:
                rest.insert(0, first)
            found.append(word)
            if word == "--":
                break
            if word in _WORDS:
                count = len(_WORDS[word].split())
                if len(rest) < count:
                    raise BadParameter(f"{word} takes {count} words: {_WORDS[word]}")
                found.append(json.dumps(rest[:count]))
                del rest[:count]
        parsed: list[str] = super().parse_args(ctx, [*found, *rest])
        return parsed


@command(app, "what-if", cls=_Words)
def what_if(
    session: Session,
    *,
    without: Annotated[
        list[str] | None, Option("--without", metavar="EVENT", help="Had this not happened; may be repeated.")
    ] = None,
    replace: Annotated[
        list[str] | None,
        Option("--replace", metavar="EVENT=VALUE", help="Had this event written that value; may be repeated."),
    ] = None,
    insert: Annotated[
        list[str] | None,
        Option(
            "--insert",
            metavar=_WORDS["--insert"],
            help="Had this key been set to that value then; may be repeated.",
        ),
    ] = None,
    insert_delete: Annotated[
        list[str] | None,
        Option(
            "--insert-delete",
            metavar=_WORDS["--insert-delete"],
            help="Had this key been deleted then; may be repeated.",
        ),
    ] = None,
    no_cascade: Annotated[
        bool, Option("--no-cascade", help="Keep what was caused by an event that vanishes, and say so.")
    ] = False,
    keep: Annotated[
        str | None, Option("--keep", metavar="NAME", help="Make a branch of this name that holds what would have been.")
    ] = None,
    full: Annotated[bool, Option("--full", help="List all events, however many.")] = False,
) -> None:
    """Show what would be otherwise, had events not happened. Exit code 1: no such event."""
    if not (without or replace or insert or insert_delete):
        raise UsageError("nothing is asked", hint="Give --without, --replace, --insert or --insert-delete.")
    left_out = [values.event(each) for each in without or ()]
    replaced = dict(_replacement(each) for each in replace or ())
    # At one point deletes come first, so that what is set there stays.
    inserted = [_insertion(each) for each in (*(insert_delete or ()), *(insert or ()))]
    # What is kept are the differences as they were found: no hook is asked again.
    with session.open(write=keep is not None, hooks=False) as store:
        found = store.what_if(without=left_out, replace=replaced, insert=inserted, cascade=not no_cascade)
        if keep is not None:
            found.keep(keep)
    if session.out.json:
        session.out.value(_data(found, keep))
        return
    for line in _lines(session, found, most=None if full else _MOST):
        session.out.line(line)
    if keep is not None:
        session.out.line(f"kept as branch {field(keep)}")


def _replacement(text: str) -> tuple[EventLike, Any]:
    event, equals, value = text.partition("=")
    if not equals:
        raise UsageError(f"{shown(text)} replaces nothing", hint="Write the event, `=` and the other value: `7=42`.")
    return values.event(event), values.value(value)


def _insertion(words: str) -> tuple[Any, ...]:
    point, scope, key, *value = json.loads(words)
    write = ("set", key, values.value(value[0])) if value else ("delete", key)
    return values.point(point), scope, write


def _data(found: Counterfactual, keep: str | None) -> dict[str, Any]:
    return {
        "diff": [{"scope": str(each.scope), "key": each.key, **sides(each)} for each in found.diff],
        **{name: [event.as_dict() for event in getattr(found, name)] for name in _LISTS},
        "branch": keep,
    }


def _lines(session: Session, found: Counterfactual, *, most: int | None) -> Iterator[str]:
    if not found.diff:
        yield "no key would hold anything else"
    for difference in found.diff:
        yield from difference_lines(session.out, difference)
    for name, told in _LISTS.items():
        events = getattr(found, name)
        if not events:
            continue
        yield ""
        yield session.out.paint(f"{counted(len(events), 'event')}: {told}", "bold")
        yield from (event_line(session.out, event) for event in events[:most])
        if most is not None and len(events) > most:
            yield f"  and {len(events) - most} more: --full lists all"
