"""Make `docs/cli.md` from the program itself; with `--check`, say whether it is up to date."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from typer.main import get_command

from backstory.cli.program import app

DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "cli.md"

HEAD = """# Command line

<!-- Made by tools/make_cli_reference.py from the program itself: change the program. -->

    backstory [--store URL] [--json] COMMAND ...

The store comes from `--store`, the variable `BACKSTORY_STORE`, or `store` in a `backstory.toml` in the current folder
([all settings](configuration.md)); without any, it is `sqlite:///backstory.db`. Commands that only read never make a
store. SCOPE is `global` or `kind:id`. VALUE is JSON; `@file` reads it from a file and `-` from standard input; bytes,
times, UUIDs and exact decimals are written as [tags](json.md#values). A POINT is a position in the log, an ISO 8601
time with a zone, or an event id.

`--json` prints JSON, whose form is [a contract](json.md). Errors are one line on standard error. Colours and progress
bars appear on a terminal only, and not with `--no-color` or `NO_COLOR`. `--install-completion` teaches your shell the
commands. Commands that write run the [hooks of `backstory.toml`](configuration.md#hooks), and end when those in the
background have run.

| exit code | meaning |
| --- | --- |
| 0 | done |
| 1 | the answer is no: an absent key, an unknown name, a write that a hook refuses, a failing import or migration, \
a backup that is not valid |
| 2 | usage: also an invalid scope, key, value, point, schema or setting, and a file that cannot be read or written |
| 3 | conflict: not at the expected version, or the name is taken |
| 4 | denied, or the store may only be read |
| 5 | damaged store or backup: it holds what was not written, or a format that this release cannot read |
| 6 | store unavailable: absent, locked, full, or out of reach |
| 70 | a fault of the program itself |
| 130, 141, 143 | interrupted, the reader of a pipe went away, terminated |
"""


def document() -> str:
    """Return the whole text of the reference."""
    return "\n".join([HEAD, *_program(), *_commands(get_command(app), "backstory")])


def _program() -> Iterator[str]:
    yield "## Options of every command\n"
    yield "They stand before the command; the first five may stand behind it too.\n"
    yield from _table(get_command(app))


def _commands(group: Any, path: str) -> Iterator[str]:
    for name, command in group.commands.items():
        here = f"{path} {name}"
        yield f"## `{here}`\n"
        yield f"{_prose(command.help)}\n"
        yield f"    {_usage(command, here)}\n"
        yield from _table(command)
        if hasattr(command, "commands"):
            yield from _commands(command, here)


def _prose(text: str | None) -> str:
    return " ".join((text or "").split())


def _usage(command: Any, path: str) -> str:
    words = [path]
    if any(_is_option(each) for each in _shown(command)):
        words.append("[OPTIONS]")
    arguments = [each for each in _shown(command) if not _is_option(each)]
    words.extend(_name(each) if each.required else f"[{_name(each)}]" for each in arguments)
    return " ".join([*words, "[COMMAND]"] if hasattr(command, "commands") else words)


def _shown(command: Any) -> list[Any]:
    return [each for each in command.params if not getattr(each, "hidden", False)]


def _is_option(parameter: Any) -> bool:
    return bool(parameter.param_type_name == "option")


def _name(parameter: Any) -> str:
    return str(parameter.metavar or parameter.name.upper())


def _table(command: Any) -> Iterator[str]:
    rows = [(_label(each), _meaning(each)) for each in _shown(command)]
    if rows:
        yield "| | |\n| --- | --- |"
        yield from (f"| {label} | {meaning} |" for label, meaning in rows)
        yield ""


def _label(parameter: Any) -> str:
    if not _is_option(parameter):
        return f"`{_name(parameter)}`"
    value = "" if parameter.is_flag or not parameter.metavar else f" {parameter.metavar}"
    return ", ".join(f"`{name}{value}`" for name in sorted(parameter.opts, key=len, reverse=True))


def _meaning(parameter: Any) -> str:
    text = _prose(parameter.help).replace("|", "\\|")
    default = parameter.default
    if _is_option(parameter) and not parameter.is_flag and isinstance(default, (str, int)) and default != "":
        text += f" Default: `{default}`."
    return text


def main() -> int:
    """Write the reference, or check it; return 1 if it is not up to date."""
    text = document()
    if "--check" not in sys.argv[1:]:
        DOCUMENT.write_text(text, encoding="utf-8")
    elif not DOCUMENT.exists() or DOCUMENT.read_text(encoding="utf-8") != text:
        print("docs/cli.md is not what the program says: run tools/make_cli_reference.py")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
