"""The commands on schemas: register, list, show, check, bind, unbind; and what values say of their schema."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

FIRST = """
name = "user"
version = "1.0.0"

[fields]
name = { type = "string", required = true }
tags = { type = "array", items = { type = "string" } }
"""
SECOND = FIRST.replace('"1.0.0"', '"1.1.0"') + 'email = { type = "string" }\n'
BREAKING = """
name = "user"
version = "2.0.0"

[fields.name]
type = "object"
required = true
fields = { first = { type = "string" } }
"""
NAME = {"type": "string", "required": True}
DECLARED = {"name": "user", "version": "1.0.0", "fields": {"name": NAME}}
JSON_SCHEMA = {"$defs": {"n": {"type": "integer"}}, "type": "object", "properties": {"age": {"$ref": "#/$defs/n"}}}
PYTHON = """
from pydantic import BaseModel
from backstory import Field, Schema

class Point(BaseModel):
    x: int
    next: "Point | None" = None

declared = Schema("user", "3.0.0", {"name": Field("string")})
number = 7
"""


@pytest.fixture
def files(folder: Path) -> Path:
    """The current folder with versions of a schema, in all forms that are read."""
    for name, text in (("first", FIRST), ("second", SECOND), ("breaking", BREAKING)):
        (folder / f"{name}.toml").write_text(text)
    (folder / "declared.json").write_text(json.dumps(DECLARED))
    (folder / "person.json").write_text(json.dumps(JSON_SCHEMA))
    (folder / "shapes.py").write_text(PYTHON)
    return folder


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def program(request: pytest.FixtureRequest, cli: Any, files: Path, monkeypatch: pytest.MonkeyPatch) -> Any:  # noqa: ARG001 - its folder
    """The program on a store of each engine that has two versions of a schema."""
    monkeypatch.setenv("BACKSTORY_STORE", request.getfixturevalue(f"{request.param}_url"))
    cli.ok("schema", "register", "first.toml")
    cli.ok("schema", "register", "second.toml")
    return cli


def test_what_is_registered_is_listed_with_where_it_is_bound(program: Any) -> None:
    program.ok("schema", "bind", "user@1.0.0", "--scope", "agent:*", "--keys", "user/*")
    assert [
        "schema  versions      bound",
        "user    1.0.0, 1.1.0  1.0.0 to agent:*, keys user/*",
    ] == program.ok("schema").lines
    (listed,) = program.json("schema", "list").value
    assert [{"version": "1.0.0", "scope": "agent:*", "keys": "user/*", "mode": "enforce"}] == listed["bindings"]
    assert ["1.0.0", "1.1.0"] == [each["version"] for each in listed["versions"]]


def test_a_bound_schema_refuses_other_values_and_is_told_of_the_rest(program: Any) -> None:
    bound = program.json("schema", "bind", "user", "--version", "1.0.0").value
    assert {"name": "user", "version": "1.0.0", "scope": None, "keys": "*", "mode": "enforce"} == bound
    refused = program.json("set", "agent:a", "ada", '{"name": 7, "tags": [1]}')
    assert (2, "SchemaError", "name") == (refused.code, refused.problem["error"], refused.problem["path"])
    assert {"path": "tags[0]", "rule": "must be text", "value": "1"} in refused.problem["violations"]
    assert 1 == len(program("set", "agent:a", "ada", '{"name": 7}').error.splitlines())

    program.ok("set", "agent:a", "ada", '{"name": "Ada"}')
    assert program.ok("log", "--scope", "agent:a").lines[0].endswith('{"name":"Ada"}  (user 1.0.0)')
    assert program.ok("history", "agent:a", "ada").lines[0].endswith('{"name":"Ada"}  (user 1.0.0)')
    assert ["user", "1.0.0"] == program.json("history", "agent:a", "ada").value[0]["schema"]

    assert {"unbound": True} == program.json("schema", "unbind", "user").value
    program.ok("set", "agent:a", "ada", '{"name": 7}')
    assert program.json("history", "agent:a", "ada").value[1]["schema"] is None


def test_a_binding_that_only_marks_refuses_nothing(program: Any) -> None:
    program.ok("schema", "bind", "user", "--mode", "mark", "--keys", "u/*")
    assert "1.1.0 to all scopes, keys u/* (mark)" in program.ok("schema").out
    assert program.json("set", "agent:a", "u/x", "7").value["schema"] is None


def test_what_is_not_bound_cannot_be_unbound(program: Any) -> None:
    answer = program("schema", "unbind", "user", "--keys", "user/*")
    assert (1, "nothing binds user to all scopes, keys user/*\n", "") == (answer.code, answer.out, answer.error)


def test_a_version_is_shown_with_all_its_fields(program: Any) -> None:
    program.ok("schema", "bind", "user")
    lines = program.ok("schema", "show", "user@1.0.0").lines
    assert "schema          user@1.0.0" == lines[0]
    assert "versions        1.0.0, 1.1.0" in lines
    assert "bound           1.1.0 to all scopes" in lines
    assert ["field    type    rules", "name     string  required", "tags     array", "tags[*]  string"] == lines[-4:]
    shown = program.json("schema", "show", "user").value
    assert ("1.1.0", ["1.0.0", "1.1.0"], []) == (shown["version"], shown["versions"], shown["migrations"])
    assert {"type": "string", "required": True} == shown["document"]["fields"]["name"]


def test_an_unknown_schema_or_version_is_an_answer(program: Any) -> None:
    assert (1, "NotFoundError") == _problem(program.json("schema", "show", "nobody"))
    assert (1, "NotFoundError") == _problem(program.json("schema", "show", "user@9.0.0"))
    assert (2, "SchemaError") == _problem(program.json("schema", "bind", "user", "--version", "9.0.0"))
    assert (2, "SchemaError") == _problem(program.json("schema", "check", "user", "nobody"))


def _problem(answer: Any) -> tuple[int, str]:
    return answer.code, answer.problem["error"]


def test_comparing_tells_what_breaks_first_and_answers_no(program: Any) -> None:
    answer = program("schema", "check", "user@1.0.0", "breaking.toml")
    assert 1 == answer.code
    assert "breaking, risk critical" == answer.lines[0]
    assert ["critical", "high", "medium"] == [line.split()[0] for line in answer.lines[2:5]]
    found = program.json("schema", "check", "user@1.0.0", "breaking.toml")
    assert (1, False, "critical") == (found.code, found.value["compatible"], found.value["risk"])
    assert {"path": "tags", "kind": "removed", "breaking": False} == {
        name: found.value["changes"][-1][name] for name in ("path", "kind", "breaking")
    }


def test_what_does_not_break_is_done(program: Any) -> None:
    answer = program.ok("schema", "check", "user@1.0.0", "user")
    assert ["compatible, risk medium", "risk    where  what"] == answer.lines[:2]
    assert ["compatible, risk low"] == program.ok("schema", "check", "user", "user@1.1.0").lines


def test_files_are_compared_without_a_store(cli: Any, files: Path) -> None:
    assert 1 == cli("schema", "check", "first.toml", "breaking.toml").code
    assert 0 == cli("schema", "check", "person.json", "person.json").code
    assert not (files / "backstory.db").exists()


def test_a_declaration_is_read_from_json_and_from_standard_input(cli: Any, files: Path) -> None:
    made = cli.json("schema", "register", "declared.json").value
    assert ("user", "1.0.0", "fields") == (made["name"], made["version"], made["kind"])
    again = cli.json("schema", "register", "-", stdin=(files / "declared.json").read_bytes()).value
    assert made == again
    assert ["1.0.0"] == cli.json("schema", "show", "user").value["versions"]


def test_json_schema_is_read_with_its_own_words(cli: Any, files: Path) -> None:  # noqa: ARG001 - its folder
    made = cli.json("schema", "register", "person.json", "--name", "person", "--version", "0.1.0").value
    assert ("person", "0.1.0", "json_schema") == (made["name"], made["version"], made["kind"])
    assert JSON_SCHEMA == _untagged(cli.json("schema", "show", "person").value["document"])
    assert '  "type": "object",' in cli.ok("schema", "show", "person").lines
    assert (2, "SchemaError") == _problem(cli.json("schema", "register", "person.json"))


def _untagged(document: Any) -> Any:
    return json.loads(json.dumps(document).replace("$$", "$"))


def test_a_model_and_a_schema_are_taken_from_python_that_is_named(cli: Any, files: Path) -> None:
    assert "registered Point@1.0.0" in cli.ok("schema", "register", "shapes.py:Point").out
    assert "registered user@3.0.0" in cli.ok("schema", "register", "shapes:declared").out
    assert (
        "registered user@4.0.0" in cli.ok("schema", "register", f"{files}/shapes.py:declared", "--version", "4.0.0").out
    )


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("shapes.py", "names no object"),
        ("shapes.py:Nobody", "holds no Nobody"),
        ("shapes.py:number", "is no schema"),
        ("absent.py:Point", "cannot read"),
        ("absent_module:Point", "cannot be run: ModuleNotFoundError"),
        ("broken.py:Point", "cannot be run: ZeroDivisionError"),
        ("absent.toml", "cannot read"),
        ("broken.toml", "is no TOML"),
        ("broken.json", "is no JSON"),
        ("list.json", "is no schema"),
        ("unknown.json", "is no word of a schema"),
    ],
)
def test_what_is_no_schema_is_told_in_one_line(cli: Any, files: Path, given: str, said: str) -> None:
    (files / "broken.py").write_text("1 / 0")
    (files / "broken.toml").write_text("name = ")
    (files / "broken.json").write_text("{")
    (files / "list.json").write_text("[]")
    (files / "unknown.json").write_text(json.dumps({**DECLARED, "feilds": {}}))
    answer = cli("schema", "register", given)
    assert (2, b"", 1) == (answer.code, answer.raw, len(answer.error.splitlines()))
    assert said in answer.error


def test_a_python_file_is_not_run_unless_it_is_named(cli: Any, files: Path) -> None:
    (files / "user.py").write_text("raise SystemExit(9)")
    cli.ok("schema", "register", "first.toml")
    assert 0 == cli("schema", "check", "user", "user").code
    assert 2 == cli("schema", "register", "user.py:Anything").code
