"""The documents of the command line say what the program does."""

from __future__ import annotations

import importlib.util
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from typer.main import get_command

from backstory.cli.program import app

ROOT = Path(__file__).resolve().parents[2]


def tool(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "tools" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def commands(group: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        yield f"{path}{name}", command
        if hasattr(command, "commands"):
            yield from commands(command, f"{path}{name} ")


def test_the_reference_is_what_the_program_says() -> None:
    assert tool("make_cli_reference").document() == (ROOT / "docs" / "cli.md").read_text()


def test_every_command_says_what_it_does_and_every_parameter_what_it_is() -> None:
    for name, command in commands(get_command(app)):
        assert command.help, name
        assert command.help.split(".")[0] + "." in command.get_short_help_str(limit=80), name
        for parameter in command.params:
            assert parameter.help or parameter.hidden, (name, parameter.name)


def test_every_command_takes_the_global_options() -> None:
    for name, command in commands(get_command(app)):
        options = {option for parameter in command.params for option in parameter.opts}
        assert {"--store", "--json", "--branch", "--actor", "--no-color"} <= options, name


def test_every_command_has_its_json_documented() -> None:
    text = (ROOT / "docs" / "json.md").read_text()
    for name, _ in commands(get_command(app)):
        assert re.search(rf"`{name}`|^## .*\b{name}\b|^\$ backstory .*\b{name}\b", text, re.MULTILINE), name


def shell(command: str) -> bytes:
    return subprocess.run(["/bin/sh", "-c", command], capture_output=True, check=True).stdout


def test_the_examples_of_the_json_contract_give_what_they_show(cli: Any) -> None:
    def run(command: str) -> str:
        said, pipe, typed = command.rpartition(" | backstory ")
        stdin = shell(said) if pipe else b""
        if not pipe and not command.startswith("backstory "):
            return shell(command).decode()
        answer = cli(*shlex.split(typed if pipe else command.removeprefix("backstory ")), stdin=stdin)
        printed: str = answer.out + answer.error
        return printed.rstrip("\n")

    assert [] == list(tool("run_examples").differences(ROOT / "docs" / "json.md", run))


def test_help_names_every_argument(cli: Any) -> None:
    for name, command in commands(get_command(app)):
        shown = cli.ok(*name.split(), "--help").out
        for parameter in command.params:
            if parameter.param_type_name == "argument":
                assert parameter.metavar in shown, name
