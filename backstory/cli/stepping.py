"""Stepping: a conversation about what happened, event by event. Commands are lines of standard input.

What somebody mistypes is told, and the conversation goes on; it ends with the exit code of the first such line.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

from backstory.cli import values
from backstory.cli.failures import Exit, UsageError, exit_code
from backstory.cli.output import is_terminal
from backstory.cli.render import event_line, field, short
from backstory.cli.running import tell
from backstory.cli.session import Session
from backstory.domain.errors import BackstoryError, shown
from backstory.domain.events import MISSING, RecordedEvent
from backstory.projections.points import Point
from backstory.replay.breakpoints import Breakpoint
from backstory.stepping import ReplaySession

_MOST_DIGITS: Final = 9


class Talk(NamedTuple):
    """The conversation: where answers go, and what it is about."""

    session: Session
    replay: ReplaySession


class Verb(NamedTuple):
    """What can be typed: the least and the most words behind it, how it is written, what it does."""

    least: int
    most: int
    usage: str
    meaning: str
    act: Callable[[Talk, list[str]], None]


def converse(
    session: Session, *, correlation_id: str | None, about: str | None, bounds: tuple[Point, Point | None]
) -> int:
    """Read commands until the end of standard input, or `quit`; return the exit code."""
    code: int = Exit.DONE
    since, until = bounds
    with session.open() as store:
        replay = store.replay.session(correlation_id=correlation_id, session=about, since=since, until=until)
        talk = Talk(session, replay)
        for line in _lines(talk):
            try:
                words = _words(line)
                if words[:1] == ["quit"]:
                    break
                if words:
                    _obey(talk, words)
            except BackstoryError as error:
                session.out.flush()
                tell(error, json=session.out.json)
                code = code or exit_code(error)
    return code


def _lines(talk: Talk) -> Iterator[bytes]:
    """Yield what is typed, with a prompt where somebody sits there."""
    if sys.stdin is None:
        raise UsageError("standard input is closed", hint="Type the commands, or give them as a file: `< commands`.")
    asked = is_terminal(sys.stdin)
    while True:
        talk.session.out.flush()
        if asked:
            sys.stderr.write(f"{talk.replay.position}> ")
            sys.stderr.flush()
        line = sys.stdin.buffer.readline()
        if not line:
            return
        yield line


def _words(line: bytes) -> list[str]:
    try:
        return shlex.split(line.decode(), comments=True)
    except ValueError as error:
        told = line.decode("utf-8", "backslashreplace").strip()
        raise UsageError(f"{shown(told)} cannot be read: {error}", hint="Write UTF-8, and close quotes.") from None


def _obey(talk: Talk, words: list[str]) -> None:
    name, *rest = words
    verb = _VERBS.get(name)
    if verb is None:
        raise UsageError(f"there is no command {shown(name)}", hint=f"Use one of {', '.join(_VERBS)}, quit.")
    if not verb.least <= len(rest) <= verb.most:
        raise UsageError(f"{name} is not written so", hint=f"Write `{verb.usage}`.")
    verb.act(talk, rest)


# What is answered


def _print(talk: Talk, value: dict[str, Any], *lines: str) -> None:
    """Print an answer: a line of JSON, or lines of text."""
    if talk.session.out.json:
        talk.session.out.value(value)
        return
    for line in lines:
        talk.session.out.line(line)


def _show(talk: Talk, event: RecordedEvent | None, hit: Breakpoint | None = None) -> None:
    """Print where the session stands; after the last event, that this is the end."""
    if event is None:
        _print(talk, {"position": talk.replay.position, "event": None, "breakpoint": None}, "the end")
        return
    stopped = [] if hit is None else [talk.session.out.paint(f"stopped: {field(str(hit))}", "yellow")]
    told = {"position": event.position, "event": event.as_dict(), "breakpoint": None if hit is None else str(hit)}
    _print(talk, told, event_line(talk.session.out, event), *stopped)


# What can be typed


def _step(talk: Talk, words: list[str]) -> None:
    _show(talk, talk.replay.step(_number(words[0]) if words else 1))


def _run(talk: Talk, _: list[str]) -> None:
    stop = talk.replay.run()
    _show(talk, *((None,) if stop is None else stop))


def _state(talk: Talk, words: list[str]) -> None:
    held = talk.replay.state(words[0])
    if talk.session.out.json:
        talk.session.out.value({"scope": words[0], "position": talk.replay.position, "state": held})
        return
    width = max(map(len, held), default=0)
    for key, value in held.items():
        name = talk.session.out.paint(field(key.ljust(width)), "cyan")
        talk.session.out.line(f"{name}  {short(value, limit=None)}")


def _set(talk: Talk, words: list[str]) -> None:
    scope, key, value = words
    content = values.parsed(value)
    talk.replay.modify(scope, key, content)
    told = f"{field(key)} is {short(content)} from here"
    _print(talk, {"scope": scope, "key": key, "value": content}, told)


def _unset(talk: Talk, words: list[str]) -> None:
    scope, key = words
    talk.replay.modify(scope, key, MISSING)
    _print(talk, {"scope": scope, "key": key}, f"{field(key)} is absent from here")


def _break(talk: Talk, words: list[str]) -> None:
    made = _breakpoint(*words)
    talk.replay.breakpoints.append(made)
    number = len(talk.replay.breakpoints)
    _print(talk, {"number": number, "breakpoint": str(made)}, f"{number}  {field(str(made))}")


def _breakpoint(kind: str, *rest: str) -> Breakpoint:
    wanted = {"error": 0, "state": 3}.get(kind, 1)
    make = _BREAKPOINTS.get(kind)
    if make is None:
        raise UsageError(f"nothing stops at {shown(kind)}", hint=f"Use one of {', '.join(_BREAKPOINTS)}.")
    if len(rest) != wanted:
        raise UsageError(f"break {kind} is not written so", hint=f"Give {wanted} words behind it.")
    return make(*rest)


def _list(talk: Talk, _: list[str]) -> None:
    for number, each in enumerate(talk.replay.breakpoints, 1):
        told = {"number": number, "breakpoint": str(each), "hits": each.hits}
        _print(talk, told, f"{number}  {field(str(each))}  hit {each.hits} times")


def _clear(talk: Talk, words: list[str]) -> None:
    number = _number(words[0])
    if number > len(talk.replay.breakpoints):
        raise UsageError(f"there is no breakpoint {number}", hint="`list` shows them.")
    gone = talk.replay.breakpoints.pop(number - 1)
    _print(talk, {"cleared": str(gone)}, f"cleared {field(str(gone))}")


def _help(talk: Talk, _: list[str]) -> None:
    for verb in _VERBS.values():
        told = {"usage": verb.usage, "meaning": verb.meaning}
        _print(talk, told, f"{verb.usage.ljust(_USAGE_WIDTH)}  {verb.meaning}")


def _number(text: str) -> int:
    if not (text.isdecimal() and text.isascii() and len(text) <= _MOST_DIGITS and int(text)):
        raise UsageError(f"{shown(text)} is no number", hint="Give 1 or more.")
    return int(text)


def _event(text: str) -> Breakpoint:
    """Return a breakpoint at a position, an id, or a type."""
    if text.isdecimal() and text.isascii():
        return Breakpoint.event(_number(text))
    try:
        return Breakpoint.event(UUID(text))
    except ValueError:
        return Breakpoint.event(text)


def _time(text: str) -> Breakpoint:
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{shown(text)} is no time", hint="Give an ISO time with a zone.") from None
    return Breakpoint.time(instant)


_BREAKPOINTS: Final[dict[str, Callable[..., Breakpoint]]] = {
    "event": _event,
    "hook": Breakpoint.hook,
    "point": Breakpoint.point,
    "time": _time,
    "error": Breakpoint.error,
    "state": lambda scope, key, value: Breakpoint.state(scope, key, values.parsed(value)),
    "count": lambda text: Breakpoint.count(_number(text)),
}
_STOPS: Final = "Stop at: event N|ID|TYPE, hook NAME, point NAME, time ISO, error, state SCOPE KEY VALUE, count N."
_VERBS: Final = {
    "step": Verb(0, 1, "step [N]", "Go on by one event, or by N.", _step),
    "run": Verb(0, 0, "run", "Go on to the next breakpoint, or to the end.", _run),
    "state": Verb(1, 1, "state SCOPE", "Show what a scope holds here.", _state),
    "set": Verb(3, 3, "set SCOPE KEY VALUE", "Have a key hold something else from here on, in this session.", _set),
    "unset": Verb(2, 2, "unset SCOPE KEY", "Have a key hold nothing from here on, in this session.", _unset),
    "break": Verb(1, 4, "break WHAT ...", _STOPS, _break),
    "list": Verb(0, 0, "list", "List the breakpoints.", _list),
    "clear": Verb(1, 1, "clear N", "Take a breakpoint away.", _clear),
    "help": Verb(0, 0, "help", "List what can be typed; `quit` ends.", _help),
}
_USAGE_WIDTH: Final = max(len(verb.usage) for verb in _VERBS.values())
