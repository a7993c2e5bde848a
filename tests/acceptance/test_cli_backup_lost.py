"""Backups on the command line where the store is there, and where it is lost: the same answers, and no bad advice."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Any

import apsw
import pytest
from typer.main import get_command

from backstory.cli.program import app
from tests.acceptance.test_cli_backup import made, prepared

if TYPE_CHECKING:
    from collections.abc import Callable

    from backstory.testing.postgres import PostgresServer

KEPT = "backstory.db.backups"
NEW = "sqlite:///new.db"
GUARD = """
from backstory import HookResult
def guard(context): return HookResult.cancel("not today")
"""


@pytest.fixture
def plain(cli: Any) -> Any:
    """The program on an SQLite store with two values, backups beside the file."""
    return prepared(cli)


def lose(folder: Path) -> None:
    """Delete the store's files."""
    for each in folder.glob("backstory.db*"):
        if each.is_file():
            each.unlink()


# with the store


def test_a_path_and_an_id_get_the_same_answer(plain: Any) -> None:
    backup = made(plain)
    plain.ok("set", "agent:a", "plan", "9")
    head = plain.json("log").values[-1]["position"]
    answers = []
    for number, name in enumerate((backup["id"], backup["path"])):
        into = ("--into", f"sqlite:///new{number}.db", "--as-of", str(head))
        dry = plain.json("backup", "restore", name, *into, "--dry-run")
        done = plain.json("backup", "restore", name, *into)
        assert (0, 0) == (dry.code, done.code), (dry, done)
        assert dry.value | {"dry_run": False} == done.value
        answers.append({**done.value, "into": None})
        assert 9 == plain.json("--store", f"sqlite:///new{number}.db", "get", "agent:a", "plan").value
    assert answers[0] == answers[1]
    assert head == answers[0]["position"]


def test_hooks_may_forbid_a_restore_by_path_into_a_new_store(plain: Any, folder: Path) -> None:
    backup = made(plain)
    (folder / "guarding.py").write_text(GUARD)
    (folder / "backstory.toml").write_text(
        '[hooks]\nallow = ["guarding"]\n[[hooks.load]]\nhook = "guarding:guard"\npoint = "before_backup_restore"\n'
    )
    for name in (backup["id"], backup["path"]):
        answer = plain("backup", "restore", name, "--into", NEW)
        assert (1, True) == (answer.code, "not today" in answer.error), answer
    assert not Path("new.db").exists()


@pytest.mark.parametrize("lost", [False, True])
def test_a_new_store_is_made_with_the_settings_of_the_file(
    cli: Any, folder: Path, postgres_server: PostgresServer, lost: bool
) -> None:
    with postgres_server.database() as old, postgres_server.database() as new:
        settings = f'namespace = "agents"\nbackups = "{folder / "kept"}"\n'
        (folder / "backstory.toml").write_text(f'store = "{old}"\n{settings}')
        backup = made(prepared(cli))
        (folder / "backstory.toml").write_text(f'store = "{new if lost else old}"\n{settings}')
        assert 0 == cli("backup", "restore", backup["path"], "--into", new).code
        (folder / "backstory.toml").write_text(f'store = "{new}"\n{settings}')
        assert "win" == cli.json("get", "agent:a", "goal").value


# without the store


def test_what_lies_in_the_folder_of_a_lost_store_is_listed_and_told_of(plain: Any, folder: Path) -> None:
    backups = [made(plain), made(plain, "--incremental")]
    lose(folder)
    answer = plain.json("backup", "list")
    assert (0, "") == (answer.code, answer.error)
    assert [each | {"other_log": None} for each in reversed(backups)] == answer.value
    told = plain("backup", "list")
    assert (0, 3, True) == (told.code, len(told.lines), "its backups" in told.error.lower())
    for name in ("path", "id"):
        assert backups[0] == plain.json("backup", "info", backups[0][name]).value
        assert 0 == plain("backup", "validate", backups[1][name]).code
    assert not Path("backstory.db").exists()


def test_a_place_is_listed_without_any_store(plain: Any, folder: Path) -> None:
    backup = made(plain, "--target", "elsewhere")
    assert [backup | {"other_log": False}] == plain.json("backup", "list", "--target", "elsewhere").value
    assert [] == plain.json("backup", "list", "--target", KEPT).value
    lose(folder)
    found = plain.json("backup", "list", "--target", str(folder / "elsewhere"))
    assert [backup | {"other_log": None}] == found.value


def test_a_new_store_is_made_by_id_or_path_of_all_or_a_part(plain: Any, folder: Path) -> None:
    plain.ok("set", "agent:b", "plan", "2")
    backup = made(plain)
    lose(folder)
    for number, name in enumerate((backup["id"], backup["id"][:12], backup["path"])):
        into = f"sqlite:///new{number}.db"
        dry = plain.json("backup", "restore", name, "--into", into, "--dry-run").value
        assert (3, True, False) == (dry["restored"], dry["dry_run"], Path(f"new{number}.db").exists())
        assert dry | {"dry_run": False} == plain.json("backup", "restore", name, "--into", into).value
    part = ("--into", "sqlite:///part.db", "--scope", "agent:a", "--keys", "g*")
    would = plain.ok("backup", "restore", backup["path"], *part, "--dry-run").lines
    assert ["would restore 1 value into sqlite:///part.db, as of position 3; nothing was written"] == would
    did = plain.ok("backup", "restore", backup["path"], *part).lines
    assert ["restored 1 value into sqlite:///part.db, as of position 3"] == did
    assert {"goal": "win"} == plain.json("--store", "sqlite:///part.db", "items", "agent:a").value
    assert not Path("backstory.db").exists()


def test_a_backup_of_a_lost_store_gets_another_key(plain: Any, folder: Path) -> None:
    for name in ("old", "new"):
        (folder / name).write_text(secrets.token_hex(32))
    backup = made(plain, "--key-file", "old")
    lose(folder)
    told = plain.json("backup", "rewrap", backup["path"], "--key-file", "old", "--new-key-file", "new").value
    assert (backup["id"], True) == (told["id"], told["key_id"] != backup["key_id"])
    assert 0 == plain("backup", "validate", backup["path"], "--key-file", "new").code


def something_else(store: Path) -> None:
    for each in store.parent.glob(f"{store.name}-*"):
        each.unlink()
    store.write_bytes(b"something else" * 1000)


def of_a_newer_release(store: Path) -> None:
    connection = apsw.Connection(str(store))
    connection.pragma("user_version", 99)
    connection.close()


def damaged_in_its_middle(store: Path) -> None:
    """Have the store open, and its log not be read."""
    page = 4096
    data = bytearray(store.read_bytes())
    for at in range(3 * page, len(data), 2 * page):
        data[at : at + page] = secrets.token_bytes(len(data[at : at + page]))
    store.write_bytes(data)


@pytest.mark.parametrize("harm", [something_else, of_a_newer_release, damaged_in_its_middle])
def test_a_store_that_cannot_be_read_does_not_stand_in_the_way(plain: Any, harm: Callable[[Path], None]) -> None:
    for number in range(3):
        plain.ok("set", "agent:a", f"large{number}", f'"{secrets.token_hex(20_000)}"')
    backup = made(plain)
    store = Path("backstory.db")
    harm(store)
    before = store.read_bytes()
    assert [backup | {"other_log": None}] == plain.json("backup", "list").value
    for number, name in enumerate((backup["path"], backup["id"])):
        answer = plain.json("backup", "restore", name, "--into", f"sqlite:///new{number}.db")
        assert (0, 5) == (answer.code, answer.value["restored"])
    assert before == store.read_bytes()


@pytest.mark.parametrize(
    "arguments",
    [
        ("create",),
        ("usage",),
        ("prune", "--max-count", "1"),
        ("restore", "ID"),
        ("restore", "PATH"),
        ("schedules",),
        ("due",),
    ],
)
def test_nobody_who_lost_a_store_is_told_to_make_an_empty_one(
    plain: Any, folder: Path, arguments: tuple[str, ...]
) -> None:
    backup = made(plain)
    lose(folder)
    named = [{"ID": backup["id"], "PATH": backup["path"]}.get(each, each) for each in arguments]
    problem = plain.json("backup", *named)
    assert 6 == problem.code
    wanted = f"Its backups are in {folder / KEPT}: `backstory backup restore FILE --into URL` brings it back."
    assert wanted == problem.problem["hint"]
    assert not Path("backstory.db").exists()


def test_backups_of_another_log_are_marked(plain: Any, folder: Path) -> None:
    old = made(plain)
    lose(folder)
    plain.ok("init")
    new = made(plain)
    listed = plain.json("backup", "list").value
    assert [(new["id"], False), (old["id"], True)] == [(each["id"], each["other_log"]) for each in listed]
    assert old["log_id"] != new["log_id"]
    rows = plain.ok("backup", "list").lines[1:]
    assert [False, True] == ["full, another log" in row for row in rows]
    lose(folder)
    rows = plain("backup", "list").lines[1:]
    assert [f"log {each['log_id'][:12]}" in row for each, row in zip((new, old), rows, strict=True)] == [True, True]


# what a list and an info tell


def test_a_list_fits_a_terminal_and_tells_what_is_in_each(plain: Any, folder: Path) -> None:
    (folder / "key").write_text(secrets.token_hex(32))
    made(plain)
    made(plain, "--incremental")
    made(plain, "--scope", "agent:a")
    assert max(map(len, plain.ok("backup", "list").lines)) <= 80
    made(plain, "--scope", "agent:a", "--scope", "agent:b", "--key-file", "key")
    made(plain, "--key-file", "key")
    lines = plain.ok("backup", "list").lines
    kinds = [line.split("  ")[1] for line in lines[1:]]
    assert ["full, encrypted", "full, 2 scopes, encrypted", "full, 1 scope", "incremental", "full"] == kinds
    ids = [line.split()[0] for line in lines[1:]]
    whole = [each["id"] for each in plain.json("backup", "list").value]
    assert whole == [plain.json("backup", "info", each).value["id"] for each in ids]


def test_the_key_that_is_wanted_is_named(plain: Any, folder: Path) -> None:
    for name in ("key", "other"):
        (folder / name).write_text(secrets.token_hex(32))
    (folder / "words").write_text("correct horse")
    assert None is made(plain)["key_id"]
    by_key = made(plain, "--key-file", "key")
    by_words = made(plain, "--passphrase-file", "words", "--kdf", "pbkdf2")
    for backup in (by_key, by_words):
        key_id = backup["key_id"]
        assert f"key             {key_id}" in plain.ok("backup", "info", backup["id"]).lines
        for wrong in ((), ("--key-file", "other")):
            problem = plain.json("backup", "restore", backup["id"], *wrong).problem
            assert (key_id, True) == (problem["key_id"], key_id in problem["message"]), problem
            (error, *_) = plain.json("backup", "validate", backup["id"], *wrong).value["errors"]
            assert key_id in error
    (folder / "words").write_text("wrong horse")
    problem = plain.json("backup", "restore", by_words["id"], "--passphrase-file", "words").problem
    assert by_words["key_id"] in problem["message"]
    assert 1 == problem["message"].count(by_words["path"])


def test_a_path_stands_once_in_what_is_said_of_it(plain: Any, folder: Path) -> None:
    path = Path(made(plain)["path"])
    (folder / "bad.bsa").write_bytes(path.read_bytes()[:-100])
    (folder / "worse.bsa").write_bytes(b"no archive at all")
    for name in ("bad.bsa", "worse.bsa"):
        (error,) = plain.json("backup", "validate", name).value["errors"]
        assert 1 == error.count(name), error
        assert 1 == plain("backup", "restore", name).error.count(name)


def test_an_option_is_the_same_wherever_it_stands() -> None:
    group = get_command(app).commands["backup"]  # type: ignore[attr-defined]
    helps: dict[str, set[str]] = {}
    for name in ("create", "schedule", "prune"):
        for each in group.commands[name].params:
            helps.setdefault(each.name, set()).add(each.help)
    shared = ("target", "scope", "compression", "level", "importance", "max_count", "max_age", "max_bytes", "keep_last",
              "keep_full", "keep_daily", "keep_weekly", "keep_monthly")  # fmt: skip
    assert dict.fromkeys(shared, 1) == {name: len(helps[name]) for name in shared}
