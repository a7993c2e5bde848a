"""Options that many commands share, each written once."""

from __future__ import annotations

from typing import Annotated, Any, Final, NamedTuple

from typer import Argument, Option

from backstory.cli import values
from backstory.cli.failures import UsageError
from backstory.context import WriteContext
from backstory.domain.errors import shown
from backstory.projections.points import Point

_VERSIONS: Final = "a number, any, empty or exists"
_REPLAY_TIMEOUT_S: Final = 30.0

ScopeArgument = Annotated[str, Argument(metavar="SCOPE", help="Whose state: `global`, or `kind:id` as in `agent:a1`.")]
KeyArgument = Annotated[str, Argument(metavar="KEY", help="The key in the scope.")]
AsOf = Annotated[
    str | None,
    Option("--as-of", metavar="POINT", help="The state at a position, an ISO time with a zone, or an event id."),
]
Prefix = Annotated[str, Option("--prefix", metavar="TEXT", help="Only keys that begin so.")]
ExpectVersion = Annotated[
    str | None,
    Option("--expect-version", metavar="VERSION", help=f"The version the scope must be at: {_VERSIONS}."),
]
ExpectKeyVersion = Annotated[
    str | None,
    Option("--expect-key-version", metavar="VERSION", help=f"The version the key must be at: {_VERSIONS}."),
]
ScopePattern = Annotated[
    str | None, Option("--scope", metavar="SCOPE", help="Only there; may hold `*`. Without it: all scopes.")
]
KeyPattern = Annotated[str, Option("--keys", metavar="PATTERN", help="Only these keys.")]
Text = Annotated[bool, Option("--text", help="Take VALUE as text, not as JSON.")]


class Given(NamedTuple):
    """Who writes, and why: what stands beside a write."""

    context: WriteContext


def given(
    cause: Annotated[
        list[str] | None, Option("--cause", metavar="EVENT", help="Id of an event that caused this; may be repeated.")
    ] = None,
    correlation_id: Annotated[
        str | None, Option("--correlation-id", metavar="ID", help="What this belongs to.")
    ] = None,
    tag: Annotated[list[str] | None, Option("--tag", metavar="TEXT", help="A tag; may be repeated.")] = None,
    metadata: Annotated[
        str | None, Option("--metadata", metavar="JSON", help="An object to stand beside the event.")
    ] = None,
) -> Given:
    """Return the context of a write."""
    context: WriteContext = {}
    if cause:
        context["cause"] = list(cause)
    if correlation_id is not None:
        context["correlation_id"] = correlation_id
    if tag:
        context["tags"] = list(tag)
    if metadata is not None:
        context["metadata"] = _object(metadata)
    return Given(context)


def _object(text: str) -> dict[str, Any]:
    found = values.value(text)
    if not isinstance(found, dict):
        raise UsageError("--metadata is no JSON object", hint="""Write an object, such as '{"ticket": 7}'.""")
    return found


class Wanted(NamedTuple):
    """Which events are wanted."""

    since: Point
    until: Point | None
    scope: str | None
    types: list[str] | None
    key: str | None
    correlation_id: str | None
    actor: str | None


def wanted(  # noqa: PLR0917 - one for each option
    since: Annotated[
        str, Option("--since", metavar="POINT", help="Only events after this position, time or event id.")
    ] = "0",
    until: Annotated[
        str | None, Option("--until", metavar="POINT", help="Only events up to this point, itself included.")
    ] = None,
    scope: Annotated[str | None, Option("--scope", metavar="SCOPE", help="Only events of this scope.")] = None,
    type_: Annotated[
        list[str] | None,
        Option("--type", metavar="TYPE", help="Only events of this type; `tool.*` is a pattern; may be repeated."),
    ] = None,
    key: Annotated[str | None, Option("--key", metavar="KEY", help="Only events about this key.")] = None,
    correlation_id: Annotated[
        str | None, Option("--correlation-id", "--correlation", metavar="ID", help="Only events that belong to this.")
    ] = None,
    actor: Annotated[str | None, Option("--actor", metavar="NAME", help="Only events written by this actor.")] = None,
) -> Wanted:
    """Return which events are wanted."""
    return Wanted(values.point(since), values.optional_point(until), scope, type_ or None, key, correlation_id, actor)


class Runs(NamedTuple):
    """Which recorded runs of hooks are to be replayed, and how."""

    hook: str | None
    point: str | None
    correlation_id: str | None
    home: str | None
    since: Point
    until: Point | None
    mode: str
    changes: dict[str, Any]
    timeout_s: float
    keep_going: bool
    concurrency: int

    @property
    def arguments(self) -> dict[str, Any]:
        """What `store.replay.hooks` is given: all that is not as it is by itself."""
        plain = {"since": 0, "mode": "exact", "timeout_s": _REPLAY_TIMEOUT_S, "concurrency": 1}
        found = {
            "name": self.hook,
            "session": self.home,
            "changes": self.changes or None,
            "stop_on_error": False if self.keep_going else None,
            **{name: getattr(self, name) for name in ("point", "correlation_id", "until", *plain)},
        }
        return {name: given for name, given in found.items() if given is not None and given != plain.get(name)}


def runs(
    *,
    hook: Annotated[str | None, Option("--hook", metavar="HOOK", help="Only runs of this hook.")] = None,
    point: Annotated[
        str | None, Option("--point", metavar="POINT", help="Only runs there, such as `before_state_write`.")
    ] = None,
    correlation_id: Annotated[
        str | None, Option("--correlation-id", "--correlation", metavar="ID", help="Only what belongs to this.")
    ] = None,
    home: Annotated[str | None, Option("--session", metavar="ID", help="Only what is about this session.")] = None,
    since: Annotated[
        str, Option("--since", metavar="POINT", help="Only what comes after this position, time or event id.")
    ] = "0",
    until: Annotated[
        str | None, Option("--until", metavar="POINT", help="Only what comes up to this point, itself included.")
    ] = None,
    mode: Annotated[
        str,
        Option(
            "--mode",
            metavar="MODE",
            help="exact; modified, with --change; simulate: the recorded answers, nothing is run; or debug: as exact, "
            "all of them, whatever fails.",
        ),
    ] = "exact",
    change: Annotated[
        list[str] | None,
        Option(
            "--change",
            metavar="PATH=VALUE",
            help="Another value in the hook's context, such as `after.price=3`; may be repeated.",
        ),
    ] = None,
    timeout: Annotated[
        float, Option("--timeout", metavar="SECONDS", help="How long one run may take.")
    ] = _REPLAY_TIMEOUT_S,
    keep_going: Annotated[bool, Option("--keep-going", help="Go on after a run that failed.")] = False,
    concurrency: Annotated[int, Option("--concurrency", min=1, metavar="N", help="So many at once.")] = 1,
) -> Runs:
    """Return which runs are to be replayed, and how."""
    bounds = (values.point(since), values.optional_point(until))
    changes = dict(_change(each) for each in change or ())
    return Runs(hook, point, correlation_id, home, *bounds, mode, changes, timeout, keep_going, concurrency)


def _change(text: str) -> tuple[str, Any]:
    path, equals, value = text.partition("=")
    if not equals:
        raise UsageError(f"{shown(text)} changes nothing", hint="Write a path, `=` and the value: `after.price=3`.")
    return path, values.value(value)


def common(
    store: Annotated[str | None, Option("--store", metavar="URL", hidden=True)] = None,
    json: Annotated[bool | None, Option("--json", hidden=True)] = None,
    branch: Annotated[str | None, Option("--branch", metavar="NAME", hidden=True)] = None,
    actor: Annotated[str | None, Option("--actor", metavar="NAME", hidden=True)] = None,
    no_color: Annotated[bool | None, Option("--no-color", hidden=True)] = None,
) -> None:
    """Take the global options behind the command too."""
