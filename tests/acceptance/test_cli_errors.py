"""How the program fails: exit codes, one line on standard error, and the same as JSON."""

from __future__ import annotations

import inspect
import json
from importlib.metadata import version
from typing import Any

import pytest

import backstory
from backstory.cli import program
from backstory.cli.failures import Exit, described, exit_code
from backstory.domain import errors

CODES = {
    "AccessDeniedError": 4,
    "BackstoryError": 1,
    "BackupError": 1,
    "ConfigError": 2,
    "ConflictError": 3,
    "EncryptionError": 1,
    "ErasedError": 1,
    "HookCancelledError": 1,
    "HookError": 1,
    "IntegrityError": 5,
    "InvalidKeyError": 2,
    "InvalidPointError": 2,
    "InvalidScopeError": 2,
    "InvalidValueError": 2,
    "MigrationError": 1,
    "NotFoundError": 1,
    "ReadOnlyError": 4,
    "SchemaError": 2,
    "StoreClosedError": 6,
    "StoreUnavailableError": 6,
    "StoreVersionError": 5,
    "ValueTooLargeError": 2,
}


def test_every_error_has_its_exit_code() -> None:
    classes = {
        name: found
        for name, found in inspect.getmembers(errors, inspect.isclass)
        if found.__module__ == errors.__name__
    }
    assert CODES.keys() == classes.keys()
    for name, code in CODES.items():
        error = classes[name].__new__(classes[name])
        assert isinstance(error, backstory.BackstoryError)
        assert code == exit_code(error), name


def test_the_exit_codes_are_those_of_the_contract() -> None:
    expected = {"DONE": 0, "NO": 1, "USAGE": 2, "CONFLICT": 3, "DENIED": 4, "DAMAGED": 5, "UNAVAILABLE": 6}
    assert expected == {each.name: each.value for each in Exit if each.value < 10}


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["set", "global", "k", "2", "--expect-version", "1"], 0),
        (["get", "global", "absent"], 1),
        (["get", "global"], 2),
        (["get", "nobody:x", "k"], 2),
        (["set", "global", "k", "{"], 2),
        (["no-such-command"], 2),
        (["--no-such-option"], 2),
        (["set", "global", "k", "2", "--expect-version", "7"], 3),
        (["--store", "sqlite:///damaged.db", "get", "global", "k"], 5),
        (["--store", "sqlite:///absent.db", "get", "global", "k"], 6),
    ],
)
def test_the_process_ends_with_the_exit_code_and_tells_an_error_in_one_line(
    process: Any, arguments: list[str], code: int
) -> None:
    (process.folder / "damaged.db").write_bytes(b"no database" * 1000)
    with backstory.open(f"sqlite:///{process.folder}/backstory.db") as store:
        store.set("global", "k", 1)

    answer = process("--json", *arguments)

    assert code == answer.code
    if code:
        assert {"error", "message", "hint"} <= answer.problem.keys()
    else:
        assert "" == answer.error


@pytest.mark.parametrize(
    "arguments", [["get"], ["set", "global", "k"], ["nope"], ["log", "--nope"], ["log", "-n", "x"]]
)
def test_misuse_is_told_in_one_line_as_text_and_as_json(cli: Any, arguments: list[str]) -> None:
    answer = cli(*arguments)
    assert (2, b"") == (answer.code, answer.raw)
    assert answer.error.startswith("backstory: ")
    assert 1 == len(answer.error.splitlines())
    assert "UsageError" == cli.json(*arguments).problem["error"]
    assert "UsageError" == cli(*arguments, "--json").problem["error"]


def test_a_mistyped_command_is_answered_with_the_one_that_was_meant(cli: Any) -> None:
    assert "Did you mean 'history'" in cli("histroy").error


def test_without_a_command_the_help_is_shown_and_the_exit_code_is_2(cli: Any) -> None:
    answer = cli()
    assert 2 == answer.code
    assert "Commands:" in answer.out
    assert answer.out == cli.ok("--help").out == cli.ok("-h").out


def test_the_version_is_told(cli: Any) -> None:
    assert f"backstory {version('backstory')}\n" == cli.ok("--version").out


def test_a_conflict_carries_its_facts(cli: Any) -> None:
    cli.ok("set", "global", "k", "1")
    problem = cli.json("set", "global", "k", "2", "--expect-key-version", "7").problem
    facts = {name: problem[name] for name in ("error", "expected", "actual", "stream", "key")}
    assert {"error": "ConflictError", "expected": 7, "actual": 1, "stream": "global", "key": "k"} == facts


def test_an_error_of_any_text_can_be_printed() -> None:
    error = backstory.InvalidKeyError("\udcff\x1b\n", rule="\udcff\n", hint="\udcff.")
    assert json.dumps(described(error)).isascii()


def test_a_text_that_no_terminal_should_see_is_escaped(cli: Any) -> None:
    cli.ok("init")
    answer = cli("get", "global", "a\x1b[2J\n\udcffb")
    assert (2, 1) == (answer.code, len(answer.error.splitlines()))
    assert answer.error.removesuffix("\n").isprintable()
    assert "\x1b" not in cli("get", "nobody:\x1b", "k").error
    assert "\x1b" not in cli("--\x1b[2J").error


def test_a_fault_of_the_program_is_no_answer(cli: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("oh\nno")

    monkeypatch.setattr("backstory.cli.session.open_store", fail)
    answer = cli.json("init")
    assert (70, "FaultError") == (answer.code, answer.problem["error"])
    assert 1 == len(cli("init").error.splitlines())

    monkeypatch.setenv("BACKSTORY_TRACEBACK", "1")
    with pytest.raises(ZeroDivisionError):
        program.run(["init"])
