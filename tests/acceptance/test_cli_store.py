"""Which store the program works on, and what the global options and settings do."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import apsw
import pytest

from backstory.cli.session import shown_url

READERS = [
    *("get global k", "exists global k", "keys global", "items global", "scopes", "snapshot", "history global k"),
    *("diff 0", "blame global k", "log", "tail", "event 1", "export", "branches", "verify", "stats"),
]
WRITERS_OF_WHAT_IS_THERE = [
    *("delete global k", "clear global", "copy global agent:a", "move global agent:a", "sweep", "fork x"),
    *("branches drop x", "rebuild"),
]


def test_option_variable_file_and_default_name_the_store_in_this_order(
    cli: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def made() -> str:
        url: str = cli.json("init").value["store"]
        assert (folder / url.removeprefix("sqlite:///")).exists()
        return url

    assert "sqlite:///backstory.db" == made()
    (folder / "backstory.toml").write_text('store = "sqlite:///from-file.db"\n')
    assert "sqlite:///from-file.db" == made()
    monkeypatch.setenv("BACKSTORY_STORE", "sqlite:///from-variable.db")
    assert "sqlite:///from-variable.db" == made()
    answer = cli.json("--store", "sqlite:///deep/down/from-option.db", "init")
    assert "sqlite:///deep/down/from-option.db" == answer.value["store"]
    monkeypatch.setenv("BACKSTORY_STORE", "")
    assert "sqlite:///from-file.db" == made()


def test_the_actor_comes_from_option_variable_and_file_in_this_order(
    cli: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def actor(*options: str) -> Any:
        return cli.json(*options, "set", "global", "k", "1").value["actor"]

    assert actor() is None
    (folder / "backstory.toml").write_text('actor = "file"\n')
    assert "file" == actor()
    monkeypatch.setenv("BACKSTORY_ACTOR", "variable")
    assert "variable" == actor()
    assert "option" == actor("--actor", "option")


def test_the_file_holds_settings_too(cli: Any, folder: Path) -> None:
    (folder / "backstory.toml").write_text("max_value_bytes = 10\n")
    answer = cli.json("set", "global", "k", '"0123456789"')
    assert (2, "ValueTooLargeError", 10) == (answer.code, answer.problem["error"], answer.problem["limit"])


@pytest.mark.parametrize(
    ("content", "key"),
    [
        ("max_value_bites = 10", "max_value_bites"),
        ("pool_size = 0", "pool_size"),
        ("store = 5", "store"),
        ("actor = [1]", "actor"),
        ("store = ", "config"),
        ('store = "mysql://x"', "url"),
    ],
)
def test_a_setting_that_is_none_is_refused_by_its_name(cli: Any, folder: Path, content: str, key: str) -> None:
    (folder / "backstory.toml").write_text(content)
    answer = cli.json("init")
    assert (2, "ConfigError", key) == (answer.code, answer.problem["error"], answer.problem["key"])


@pytest.mark.parametrize("url", ["backstory.db", "mysql://x", "sqlite:///", "sqlite:///\udcff\0"])
def test_a_url_that_names_no_store_is_refused(cli: Any, url: str) -> None:
    answer = cli.json("--store", url, "init")
    assert (2, "ConfigError") == (answer.code, answer.problem["error"])


@pytest.mark.parametrize("command", READERS + WRITERS_OF_WHAT_IS_THERE)
def test_what_needs_a_store_that_is_there_makes_none(cli: Any, folder: Path, command: str) -> None:
    answer = cli.json(*command.split())

    assert (6, "StoreUnavailableError") == (answer.code, answer.problem["error"])
    assert "backstory init" in answer.problem["hint"]
    assert [] == list(folder.iterdir())


@pytest.mark.parametrize("command", ["init", "set global k 1", "increment global k", "append global x.y"])
def test_what_puts_something_into_a_store_makes_it(cli: Any, folder: Path, command: str) -> None:
    cli.ok(*command.split())
    assert (folder / "backstory.db").exists()


def test_readers_change_nothing_in_the_store(cli: Any, folder: Path) -> None:
    cli.ok("set", "global", "k", "1")
    before = (folder / "backstory.db").read_bytes()
    for command in READERS:
        cli.ok(*command.split())
    assert before == (folder / "backstory.db").read_bytes()


def test_global_options_stand_before_or_behind_the_command(cli: Any) -> None:
    where = ["--store", "sqlite:///other.db"]
    cli.ok(*where, "set", "global", "k", "1")
    assert "1\n" == cli.ok(*where, "get", "global", "k").out == cli.ok("get", *where, "global", "k").out
    assert 1 == cli.ok("get", "global", "k", *where, "--json").value
    # The nearer one wins.
    assert 0 == cli("--store", "sqlite:///absent.db", "get", "global", "k", *where).code
    # `--actor` of the log selects; it does not say who reads.
    assert [] == cli.ok("log", "--actor", "nobody", *where).lines


def test_a_store_held_by_another_is_unavailable(cli: Any, folder: Path) -> None:
    cli.ok("init")
    holder = apsw.Connection(str(folder / "backstory.db"))
    holder.execute("BEGIN IMMEDIATE")
    (folder / "backstory.toml").write_text("busy_timeout_s = 0.01\n")
    answer = cli.json("set", "global", "k", "1")
    holder.close(True)
    assert (6, "StoreUnavailableError", "not_written") == (
        answer.code,
        answer.problem["error"],
        answer.problem["outcome"],
    )


def test_a_server_that_is_not_there_is_unavailable_and_no_password_is_told(cli: Any) -> None:
    answer = cli.json("--store", "postgresql://me:secret@127.0.0.1:1/x", "get", "global", "k")
    assert 6 == answer.code
    assert "secret" not in answer.error


def test_a_url_is_shown_without_its_password() -> None:
    assert "postgresql://me:***@h/x" == shown_url("postgresql://me:secret@h/x")
    assert "postgresql://me@h/x" == shown_url("postgresql://me@h/x")
    assert "postgresql://..." == shown_url("postgresql://[me:secret@h/x")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_store_that_may_not_be_written_is_denied(cli: Any, folder: Path) -> None:
    cli.ok("init")
    (folder / "backstory.db").chmod(0o444)
    assert 4 == cli("set", "global", "k", "1").code


def test_postgresql_works_the_same(cli: Any, postgres_url: str) -> None:
    where = ["--store", postgres_url]
    cli.ok(*where, "init")
    cli.ok(*where, "set", "agent:a1", "k", '{"a": 1}')
    cli.ok(*where, "set", "agent:a1", "k", '{"a": 2}')

    assert '{"a":1}\n' == cli.ok(*where, "--json", "get", "agent:a1", "k", "--as-of", "1").out
    assert ["~ agent:a1  k", "  - a: 1", "  + a: 2"] == cli.ok(*where, "diff", "1").lines
    assert 2 == len(cli.ok(*where, "log").lines)
    assert 3 == cli(*where, "set", "agent:a1", "k", "1", "--expect-version", "1").code
    assert 1 == cli(*where, "get", "agent:a1", "absent").code
    cli.ok(*where, "verify")
    cli.ok(*where, "fork", "x")
    assert ["main", "x"] == [line.split()[0] for line in cli.ok(*where, "branches").lines]
