"""The shortcut: `backstory get` in its plain forms, without the machinery of the command line.

Agents and scripts call `get` in loops, and building all commands takes longer than reading a value. What is not one of
the plain forms goes the long way, which gives the same answer.
"""

from __future__ import annotations

from typing import Any, Final

from backstory.cli import reading
from backstory.cli.running import guarded
from backstory.cli.session import Options, Session

_SWITCHES: Final = {"--json": "json", "--no-color": "no_color", "--raw": "raw"}
_NAMED: Final = {"--store": "store", "--branch": "branch", "--actor": "actor", "--as-of": "as_of"}
_OF_GET: Final = frozenset({"as_of", "raw"})


def run_get(arguments: list[str]) -> int | None:
    """Run a plain `get` and return its exit code; None where the arguments are anything else."""
    found = _plain(arguments)
    if found is None:
        return None
    scope, key, given = found
    own = {name: given.pop(name) for name in _OF_GET & given.keys()}
    session = Session(Options(**given))
    return guarded(session, lambda: reading.get(session, scope, key=key, **own))


def _plain(arguments: list[str]) -> tuple[str, str, dict[str, Any]] | None:
    """Return scope, key and options of a plain `get`, or None."""
    words: list[str] = []
    given: dict[str, Any] = {}
    rest = iter(arguments)
    for argument in rest:
        if not argument.startswith("-"):
            words.append(argument)
            continue
        name = _SWITCHES.get(argument) or _NAMED.get(argument)
        # An option of `get` before its name is a mistake, and twice the same is rare: the long way judges.
        if name is None or name in given or (name in _OF_GET and not words):
            return None
        given[name] = True if argument in _SWITCHES else next(rest, None)
        if given[name] is None:
            return None
    if len(words) != 3 or words[0] != "get":  # noqa: PLR2004 - the command, the scope and the key
        return None
    return words[1], words[2], given
