"""The commands on migrations: register, plan, run, status, rollback, resume; and reading another version."""

from __future__ import annotations

import os
import pty
import signal
from pathlib import Path
from typing import Any

import pytest

SCHEMAS = {
    "1.0.0": 'name = { type = "string", required = true }\nage = { type = "string" }',
    "1.1.0": 'name = { type = "string", required = true }\nyears = { type = "string" }',
    "2.0.0": 'name = { type = "string", required = true }\nyears = { type = "integer" }',
}
MIGRATIONS = """
[[migrations]]
schema = "user"
from = "1.0.0"
to = "1.1.0"
up = [{ kind = "rename", from = "age", to = "years" }]

[[migrations]]
schema = "user"
from = "1.1.0"
to = "2.0.0"
up = [{ kind = "convert", path = "years", to_type = "integer" }]
down = [{ kind = "convert", path = "years", to_type = "string" }]
"""
PYTHON = """
from backstory import Migration, transforms

@transforms.transformer("cli_years")
def cli_years(values, context):
    return values[0].removesuffix(" years")

steps = [transforms.compute("years", "cli_years", "age"), transforms.remove("age")]
ways = [Migration("user", "1.0.0", "1.1.0", steps)]
same = ways[0]
"""


@pytest.fixture
def files(folder: Path) -> Path:
    """The current folder with versions of a schema, and ways between them."""
    for version, fields in SCHEMAS.items():
        (folder / f"{version}.toml").write_text(f'name = "user"\nversion = "{version}"\n[fields]\n{fields}\n')
    (folder / "ways.toml").write_text(MIGRATIONS)
    (folder / "ways.py").write_text(PYTHON)
    return folder


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def program(request: pytest.FixtureRequest, cli: Any, files: Path, monkeypatch: pytest.MonkeyPatch) -> Any:  # noqa: ARG001 - its folder
    """The program on a store of each engine with three values of the first version."""
    monkeypatch.setenv("BACKSTORY_STORE", request.getfixturevalue(f"{request.param}_url"))
    return prepared(cli)


@pytest.fixture
def plain(cli: Any, files: Path) -> Any:  # noqa: ARG001 - its folder
    """The same on SQLite alone."""
    return prepared(cli)


def prepared(cli: Any) -> Any:
    for version in SCHEMAS:
        cli.ok("schema", "register", f"{version}.toml")
    cli.ok("schema", "bind", "user", "--version", "1.0.0", "--keys", "user/*")
    cli.ok("migrate", "register", "ways.toml")
    for name, age in (("ada", "36"), ("bob", "41"), ("cyd", "7")):
        cli.ok("set", "agent:a", f"user/{name}", f'{{"name": "{name}", "age": "{age}"}}')
    return cli


def bad(cli: Any) -> None:
    cli.ok("set", "agent:a", "user/zoe", '{"name": "zoe", "age": "old"}')


def migrated(cli: Any, *more: str) -> str:
    report = cli.json("migrate", "run", "user", "2.0.0", *more).value
    assert "completed" == report["status"]
    found: str = report["migration_id"]
    return found


def test_what_is_registered_is_told_with_whether_it_leads_back(cli: Any, files: Path) -> None:  # noqa: ARG001 - its folder
    for version in SCHEMAS:
        cli.ok("schema", "register", f"{version}.toml")
    assert [
        "registered user 1.0.0 to 1.1.0: 1 transform, and back",
        "registered user 1.1.0 to 2.0.0: 1 transform, and back",
    ] == cli.ok("migrate", "register", "ways.toml").lines
    shown = cli.json("schema", "show", "user").value
    assert [("1.0.0", "1.1.0"), ("1.1.0", "2.0.0")] == [(each["from"], each["to"]) for each in shown["migrations"]]


def test_a_plan_tells_steps_risk_warnings_and_what_becomes_of_values(program: Any) -> None:
    lines = program.ok("migrate", "plan", "user", "2.0.0", "--preview", "1").lines
    assert "user to 2.0.0: 3 values in the store, risk critical" == lines[0]
    assert ["step 1  1.0.0 to 1.1.0, risk medium", "  rename age to years"] == lines[2:4]
    assert "warnings" in lines
    assert [
        "agent:a  user/ada  1.0.0",
        "  part   before  after",
        '  age    "36"    (none)',
        "  years  (none)  36",
    ] == lines[-4:]
    plan = program.json("migrate", "plan", "user", "2.0.0").value
    assert ("critical", 3, 2, 3) == (plan["risk"], plan["estimated_items"], len(plan["steps"]), len(plan["preview"]))
    assert {"name": "ada", "years": 36} == plan["preview"][0]["after"]
    assert [] == program.json("migrate", "plan", "user", "2.0.0", "--preview", "0").value["preview"]
    assert ["user/bob"] == [
        each["key"] for each in program.json("migrate", "plan", "user", "2.0.0", "--keys", "user/b*").value["preview"]
    ]


def test_a_run_writes_each_value_once_and_can_be_taken_back(program: Any) -> None:
    before = program.json("items", "agent:a").value
    run = migrated(program)
    assert {"name": "ada", "years": 36} == program.json("get", "agent:a", "user/ada").value
    assert {"name": "ada", "age": "36"} == program.json("get", "agent:a", "user/ada", "--schema-version", "1.0.0").value
    assert program.ok("history", "agent:a", "user/ada").lines[-1].endswith("(user 2.0.0)")
    assert "2.0.0 to all scopes, keys user/*" in program.ok("schema").out
    assert 2 == program("set", "agent:a", "user/ada", '{"name": "ada", "years": "36"}').code

    back = program.json("migrate", "rollback", run)
    assert (0, "rolled_back", 3, []) == (
        back.code,
        *(back.value[each] for each in ("status", "items_restored", "conflicts")),
    )
    assert before == program.json("items", "agent:a").value
    assert "1.0.0 to all scopes, keys user/*" in program.ok("schema").out
    assert ["rolled_back"] == [each["status"] for each in program.json("migrate").value]


def test_a_dry_run_writes_nothing_and_answers_no_where_values_fail(program: Any) -> None:
    head = program.json("stats").value["position"]
    assert ["would migrate 3 of 3 values of user to 2.0.0; nothing was written"] == program.ok(
        "migrate", "run", "user", "2.0.0", "--dry-run"
    ).lines
    assert head == program.json("stats").value["position"]

    bad(program)
    answer = program("migrate", "run", "user", "2.0.0", "--dry-run")
    assert (1, "would migrate 3 of 4 values of user to 2.0.0; nothing was written") == (answer.code, answer.lines[0])
    assert answer.lines[1].startswith("cannot be carried: agent:a user/zoe: ")
    report = program.json("migrate", "run", "user", "2.0.0", "--dry-run").value
    assert [("user/zoe", "years")] == [(each["key"], each["path"]) for each in report["errors"]]


def test_a_run_that_fails_brings_back_what_was_and_says_where(program: Any) -> None:
    bad(program)
    before = program.json("items", "agent:a").value
    answer = program("migrate", "run", "user", "2.0.0", "--batch-size", "1", "--validation", "none")
    assert (1, 1) == (answer.code, len(answer.error.splitlines()))
    assert "agent:a user/zoe" in answer.error
    assert before == program.json("items", "agent:a").value

    problem = program.json("migrate", "run", "user", "2.0.0").problem
    assert ("MigrationError", "user/zoe", "failed") == (
        problem["error"],
        problem["key"],
        problem["report"]["status"],
    )
    lines = program.ok("migrate", "status", problem["report"]["migration_id"]).lines
    assert "status          failed" in lines
    assert any(line.startswith("cannot be carried: agent:a user/zoe") for line in lines)


def test_what_was_written_since_stays_unless_it_is_forced(plain: Any) -> None:
    run = migrated(plain)
    plain.ok("set", "agent:a", "user/ada", '{"name": "ada", "years": 37}')
    answer = plain("migrate", "rollback", run)
    assert 1 == answer.code
    assert answer.lines[0].startswith("brought back 2 values of user")
    assert answer.lines[1].startswith("written since: agent:a user/ada (position ")
    assert "that stays; `--force` replaces what the run had written" == answer.lines[2]
    assert {"name": "ada", "years": 37} == plain.json("get", "agent:a", "user/ada").value


def test_a_forced_rollback_replaces_what_was_written_since_and_tells_it(plain: Any) -> None:
    run = migrated(plain)
    plain.ok("set", "agent:a", "user/ada", '{"name": "ada", "years": 37}')
    answer = plain.ok("migrate", "rollback", run, "--force")
    assert answer.lines[0].startswith("brought back 3 values of user")
    assert answer.lines[1].startswith("written since: agent:a user/ada (position ")
    assert "where the run had written, what was before is back" == answer.lines[2]
    assert {"name": "ada", "age": "36"} == plain.json("get", "agent:a", "user/ada").value


def test_a_run_may_be_of_some_scopes_and_keys(plain: Any) -> None:
    plain.ok("set", "agent:b", "user/eve", '{"name": "eve", "age": "9"}')
    migrated(plain, "--scope", "agent:a", "--keys", "user/b*", "--batch-size", "1", "--concurrency", "2")
    years = {key for key, value in plain.json("items", "agent:a").value.items() if "years" in value}
    assert {"user/bob"} == years
    assert {"name": "eve", "age": "9"} == plain.json("get", "agent:b", "user/eve").value


def test_the_table_of_runs_has_a_line_for_each(plain: Any) -> None:
    assert [] == plain.ok("migrate").lines
    run = migrated(plain)
    assert [
        "id                                    status     schema  versions        values",
        f"{run}  completed  user    older to 2.0.0  3/3",
    ] == plain.ok("migrate", "status").lines


def test_migrations_and_their_transformers_come_from_python_that_is_named(plain: Any, process: Any) -> None:
    plain.ok("set", "agent:a", "user/ada", '{"name": "ada", "age": "36 years"}')
    for name, age in (("bob", "41"), ("cyd", "7")):
        plain.ok("set", "agent:a", f"user/{name}", f'{{"name": "{name}", "age": "{age} years"}}')
    registered = process("migrate", "register", "ways.py")
    assert ["registered user 1.0.0 to 1.1.0: 2 transforms"] == registered.lines

    unknown = process("migrate", "run", "user", "2.0.0")
    assert (1, b"") == (unknown.code, unknown.raw)
    assert "there is no transformer 'cli_years'" in unknown.error
    done = process("migrate", "run", "user", "2.0.0", "--from", "1.0.0", "--keys", "user/*", "--file", "ways.py")
    assert (0, "") == (done.code, done.error)
    assert {"name": "ada", "years": 36} == plain.json("get", "agent:a", "user/ada").value


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("plan", "user", "9.0.0"), 2, "is not registered"),
        (("plan", "nobody", "1.0.0"), 2, "is not registered"),
        (("plan", "user", "1.0.0", "--from", "2.0.0", "--file", "absent.py"), 2, "cannot read"),
        (("plan", "user", "1.0.0"), 1, "no way leads"),
        (("run", "user", "2.0.0", "--validation", "much"), 2, "is no level"),
        (("run", "user", "2.0.0", "--batch-size", "0"), 2, "batch-size"),
        (("status", "nobody"), 1, "there is no migration"),
        (("rollback", "nobody"), 1, "there is no migration"),
        (("resume", "nobody"), 1, "there is no migration"),
        (("register", "1.0.0.toml"), 2, "is missing"),
        (("register", "absent.json"), 2, "cannot read"),
        (("register", "empty.py"), 2, "holds no migrations"),
    ],
)
def test_what_cannot_be_done_is_told_in_one_line(
    plain: Any, files: Path, arguments: tuple[str, ...], code: int, said: str
) -> None:
    (files / "empty.py").write_text("")
    answer = plain("migrate", *arguments)
    assert (code, b"", 1) == (answer.code, answer.raw, len(answer.error.splitlines())), answer
    assert said in answer.error


def test_a_run_that_is_over_cannot_be_resumed(plain: Any) -> None:
    answer = plain("migrate", "resume", migrated(plain))
    assert (1, True) == (answer.code, "nothing to go on with" in answer.error)


def test_values_are_carried_down_again(plain: Any) -> None:
    migrated(plain)
    down = plain.json("migrate", "run", "user", "1.0.0", "--from", "2.0.0", "--keys", "user/*")
    assert (0, 3) == (down.code, down.value["items_migrated"])
    assert {"name": "ada", "age": "36"} == plain.json("get", "agent:a", "user/ada").value


def test_reading_a_version_that_no_way_leads_to_is_an_answer(plain: Any) -> None:
    plain.ok("schema", "register", "2.0.0.toml", "--version", "3.0.0")
    assert 1 == plain("get", "agent:a", "user/ada", "--schema-version", "3.0.0").code
    assert 2 == plain("get", "agent:a", "user/ada", "--schema-version", "9.0.0").code


DYING = """
import os, signal
from backstory import Migration, transforms

@transforms.transformer("cli_dies")
def cli_dies(values, context):
    if values[0] == "41" and os.environ.get("DIES"):
        os.kill(os.getpid(), signal.SIGKILL)
    return values[0]

way = Migration("user", "1.0.0", "1.1.0", [transforms.compute("years", "cli_dies", "age"), transforms.remove("age")])
"""


def test_a_dead_run_is_told_and_taken_up_by_another_process(plain: Any, process: Any, files: Path) -> None:
    (files / "dying.py").write_text(DYING)
    process("migrate", "register", "dying.py")
    died = process(
        "migrate", "run", "user", "2.0.0", "--batch-size", "1", "--validation", "none", "--file", "dying.py",
        env=os.environ | {"DIES": "1"},
    )  # fmt: skip
    assert -signal.SIGKILL == died.code
    (dead,) = plain.json("migrate").value
    assert "dead" == dead["status"]
    assert "its process died" in plain.ok("migrate", "status", dead["migration_id"]).lines[-1]

    resumed = process("--json", "migrate", "resume", dead["migration_id"], "--file", "dying.py").value
    assert ("completed", 3) == (resumed["status"], resumed["items_migrated"])
    assert {"name": "bob", "years": 41} == plain.json("get", "agent:a", "user/bob").value


def test_a_run_shows_its_progress_on_a_terminal_only(plain: Any, process: Any) -> None:  # noqa: ARG001 - its store
    leader, follower = pty.openpty()
    running = process.start("migrate", "run", "user", "2.0.0", stderr=follower, env=os.environ | {"TERM": "xterm"})
    out, _ = running.communicate(timeout=60)
    os.close(follower)
    shown = b""
    try:
        while part := os.read(leader, 65536):
            shown += part
    except OSError:
        pass
    os.close(leader)
    assert 0 == running.returncode
    assert b"migrated 3 of 3 values" in out
    assert b"migrate" in shown
