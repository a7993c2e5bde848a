"""The commands on backups: made, listed, looked into, validated, restored, given up, and opened with another key."""

from __future__ import annotations

import json
import os
import pty
import secrets
import shutil
from pathlib import Path
from typing import Any

import pytest

from backstory.cli.backup_lines import size

WORDS = "correct horse battery staple"


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def program(request: pytest.FixtureRequest, cli: Any, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The program on a store of each engine with two values, and a folder for backups."""
    monkeypatch.setenv("BACKSTORY_STORE", request.getfixturevalue(f"{request.param}_url"))
    monkeypatch.setenv("BACKSTORY_BACKUPS", str(folder / "kept"))
    return prepared(cli)


@pytest.fixture
def plain(cli: Any) -> Any:
    """The same on SQLite alone, backups beside the file."""
    return prepared(cli)


def prepared(cli: Any) -> Any:
    cli.ok("init")
    cli.ok("set", "agent:a", "plan", '{"step": 1}')
    cli.ok("set", "agent:a", "goal", '"win"')
    return cli


def made(cli: Any, *more: str) -> Any:
    answer = cli.json("backup", "create", *more)
    assert (0, "") == (answer.code, answer.error)
    return answer.value


def damage(path: str, copy: Path) -> None:
    """Make a copy of an archive with another byte in its middle."""
    data = bytearray(Path(path).read_bytes())
    data[len(data) // 2] ^= 1
    copy.write_bytes(data)


@pytest.fixture
def key(folder: Path) -> str:
    """A file that holds a key."""
    (folder / "key").write_text(secrets.token_hex(32) + "\n")
    return "key"


def test_a_backup_is_made_listed_and_told_of_in_one_form(program: Any) -> None:
    first = made(program)
    assert ("full", None, 2, 0, 2, 2, None, "main", "zstd", False, 0) == tuple(
        first[name]
        for name in ("kind", "parent_id", "position", "since_position", "events", "entries", "scopes", "branch",
                     "compression", "encrypted", "importance")
    )  # fmt: skip
    assert Path(first["path"]).stat().st_size == first["size_bytes"]

    program.ok("set", "agent:b", "plan", "2")
    second = made(program, "--incremental", "--importance", "3", "--compression", "gzip", "--level", "9")
    assert ("incremental", first["id"], 2, 3, "gzip") == tuple(
        second[name] for name in ("kind", "parent_id", "since_position", "importance", "compression")
    )
    own = {"other_log": False}
    assert [second | own, first | own] == program.json("backup").value == program.json("backup", "list").value
    assert first == program.json("backup", "info", first["id"]).value
    assert second == program.json("backup", "info", second["path"]).value


def test_people_are_told_what_was_backed_up_where_and_how_large_it_is(plain: Any) -> None:
    full, where = plain.ok("backup", "create").lines
    backup = plain.json("backup").value[0]
    assert f"full backup {backup['id']} of position 2: 2 events, 2 values" == full
    assert f"{backup['path']} ({size(backup['size_bytes'])}, {size(backup['raw_bytes'])} before zstd)" == where
    plain.ok("set", "agent:a", "plan", "2")
    later, where = plain.ok("backup", "create", "--parent", backup["id"], "--compression", "none").lines
    assert later.endswith("of position 4: 2 events since position 2, 2 values")
    assert where.endswith(", not compressed)")

    head, *rows = plain.ok("backup", "list").lines
    assert ["id", "kind", "made", "up", "to", "size", "builds", "on"] == head.split()
    assert rows[0].endswith(backup["id"][:12])
    told = plain.ok("backup", "info", backup["id"]).lines
    assert "state           2 values" in told
    assert "builds on       nothing" in told


@pytest.mark.parametrize(
    ("count", "told"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1536, "1.5 KiB"),
        (1024**2 - 1, "1.0 MiB"),
        (5 * 1024**3, "5.0 GiB"),
        (3 * 1024**6, "3072.0 PiB"),
    ],
)
def test_sizes_are_told_in_units_that_people_read(count: int, told: str) -> None:
    assert told == size(count)


def test_a_store_without_backups_has_an_empty_list(plain: Any) -> None:
    assert [] == plain.ok("backup").lines
    assert [] == plain.json("backup").value
    usage = plain.json("backup", "usage").value
    assert (0, None, None) == (usage["count"], usage["oldest"], usage["newest"])
    assert ["backups         0 (0 full, 0 incremental)", "size            0 B, 0 B uncompressed"] == plain.ok(
        "backup", "usage"
    ).lines


def test_usage_tells_what_is_gone_and_what_cannot_be_read(plain: Any) -> None:
    first, second = made(plain), made(plain)
    Path(first["path"]).unlink()
    Path(second["path"]).write_bytes(b"no archive")
    found = plain.json("backup", "usage").value
    assert ([first["id"]], [second["path"]], 0) == (found["missing"], found["unreadable"], found["count"])
    lines = plain.ok("backup", "usage").lines
    assert f"the file is gone: backup {first['id']}" in lines
    assert f"cannot be read: {second['path']}" in lines


def test_usage_tells_what_was_found_damaged_and_which_places_cannot_be_looked_at(plain: Any, folder: Path) -> None:
    damaged = made(plain)
    made(plain, "--target", str(folder / "usb"))
    stored = bytearray(Path(damaged["path"]).read_bytes())
    stored[len(stored) // 3] ^= 1  # amid a chunk: the ends of a small archive are most of it
    Path(damaged["path"]).write_bytes(stored)
    assert 1 == plain("backup", "validate", damaged["id"]).code
    shutil.rmtree(folder / "usb")
    (folder / "usb").write_text("no folder any more")
    found = plain.json("backup", "usage").value
    assert [damaged["path"]] == found["damaged"]
    assert [str(folder / "usb")] == [each["place"] for each in found["unreachable"]]
    lines = plain.ok("backup", "usage").lines
    assert f"not valid when it was last looked at: {damaged['path']}" in lines
    assert any(line.startswith(f"cannot be looked at: {folder / 'usb'}: ") for line in lines)


def test_a_backup_may_lie_elsewhere_and_be_of_some_scopes(plain: Any, folder: Path) -> None:
    plain.ok("set", "agent:b", "plan", "2")
    for target in ("other", (folder / "third").as_uri()):
        found = made(plain, "--target", target, "--scope", "agent:b", "--scope", "agent:c")
        assert (["agent:b", "agent:c"], 1) == (found["scopes"], found["entries"])
        assert "scopes          agent:b, agent:c" in plain.ok("backup", "info", found["path"]).lines
    assert {"other", "third"} == {Path(each["path"]).parent.name for each in plain.json("backup").value}


def test_what_was_before_comes_back_and_can_be_taken_back(program: Any) -> None:
    backup = made(program)
    program.ok("set", "agent:a", "plan", '{"step": 2}')
    program.ok("set", "agent:a", "later", "true")
    before = program.json("items", "agent:a").value

    dry = program.json("backup", "restore", backup["id"], "--dry-run").value
    assert (1, 1, 1, True) == tuple(dry[name] for name in ("restored", "removed", "unchanged", "dry_run"))
    assert [
        {"scope": "agent:a", "key": "later", "before": True},
        {"scope": "agent:a", "key": "plan", "before": {"step": 2}, "after": {"step": 1}},
    ] == dry["diff"]
    assert before == program.json("items", "agent:a").value

    done = program.json("backup", "restore", backup["id"]).value
    assert dry | {"dry_run": False} == done | {"rollback_point": dry["rollback_point"]}
    assert {"plan": {"step": 1}, "goal": "win"} == program.json("items", "agent:a").value
    back = program.json("backup", "restore", backup["id"], "--as-of", str(done["rollback_point"])).value
    assert (2, 0) == (back["restored"], back["removed"])
    assert before == program.json("items", "agent:a").value


def test_a_restore_is_taken_back_by_its_rollback_point(plain: Any) -> None:
    backup = made(plain, "--scope", "agent:a")["id"]
    plain.ok("set", "agent:a", "goal", '"other"')
    plain.ok("set", "agent:b", "theirs", "1")
    done = plain.json("backup", "restore", backup).value
    plain.ok("set", "agent:b", "theirs", "2")

    point = str(done["rollback_point"])
    dry = plain.ok("backup", "rollback", point, "--dry-run").lines
    assert (
        f"would restore 1 value as of position {point}, 0 removed, 1 as they should be; nothing was written" == dry[-1]
    )
    back = plain.json("backup", "rollback", point).value
    assert (backup, done["rollback_point"], 1, 0) == tuple(
        back[name] for name in ("backup_id", "position", "restored", "removed")
    )
    assert ("other", 2) == tuple(plain.json("get", *at).value for at in (("agent:a", "goal"), ("agent:b", "theirs")))
    did, how = plain.ok("backup", "rollback", str(back["rollback_point"])).lines
    assert did.startswith("restored 1 value")
    assert f"`backstory backup rollback {back['rollback_point'] + 2}` takes the restore back" in how
    refused = plain("backup", "rollback", "1")
    assert 1 == refused.code
    assert point in refused.error


def test_people_are_told_what_a_restore_would_do_and_did(plain: Any) -> None:
    backup = made(plain)["id"]
    plain.ok("set", "agent:a", "plan", '{"step": 2}')
    plain.ok("set", "agent:a", "later", f'"{"x" * 100}"')
    removed, *changed, last = plain.ok("backup", "restore", backup, "--dry-run").lines
    assert ("- agent:a  later", True) == (removed[:16], removed.endswith("..."))
    assert ["~ agent:a  plan", "  - step: 2", "  + step: 1"] == changed
    assert "would restore 1 value as of position 2, 1 removed, 1 as they should be; nothing was written" == last

    did, before = plain.ok("backup", "restore", backup).lines
    assert "restored 1 value as of position 2, 1 removed, 1 as they should be" == did
    assert before.startswith("what was before is the state at position ")
    (nothing,) = plain.ok("backup", "restore", backup).lines
    assert "restored 0 values as of position 2, 0 removed, 2 as they should be" == nothing


def test_a_part_of_a_backup_can_be_restored(plain: Any) -> None:
    plain.ok("set", "agent:b", "plan", "1")
    backup = made(plain)["path"]
    for scope in ("agent:a", "agent:b"):
        plain.ok("set", scope, "plan", "9")
    plain.ok("delete", "agent:a", "goal")
    plain.ok("backup", "restore", backup, "--scope", "agent:a", "--keys", "g*")
    assert {"plan": 9, "goal": "win"} == plain.json("items", "agent:a").value
    plain.ok("backup", "restore", backup, "--scope", "agent:*", "--as-of", "1")
    assert {"plan": {"step": 1}} == plain.json("items", "agent:a").value
    assert {} == plain.json("items", "agent:b").value


def test_a_new_store_is_made_of_a_backup_with_all_its_events(plain: Any) -> None:
    backup = made(plain)
    log = plain.json("log").lines[:2]
    told = plain.ok("backup", "restore", backup["id"], "--into", "sqlite:///new.db").lines
    assert ["restored 2 events with 2 values into sqlite:///new.db, as of position 2"] == told
    assert log == plain.json("--store", "sqlite:///new.db", "log").lines
    assert 0 == plain("--store", "sqlite:///new.db", "verify").code

    part = plain.json("backup", "restore", backup["path"], "--into", "sqlite:///part.db", "--keys", "goal").value
    assert ("sqlite:///part.db", 1) == (part["into"], part["restored"])
    assert {"goal": "win"} == plain.json("--store", "sqlite:///part.db", "items", "agent:a").value
    dry = plain.ok("backup", "restore", backup["path"], "--into", "sqlite:///dry.db", "--dry-run").lines
    assert ["would restore 2 events with 2 values into sqlite:///dry.db, as of position 2; nothing was written"] == dry
    assert not Path("dry.db").exists()


def test_a_lost_store_comes_back_from_the_path_of_an_archive(plain: Any, folder: Path) -> None:
    made(plain)
    plain.ok("set", "agent:a", "plan", '{"step": 2}')
    backup = made(plain, "--incremental")
    state = plain.json("items", "agent:a").value
    for lost in folder.glob("backstory.db*"):
        if lost.is_file():
            lost.unlink()
    found = plain.json("backup", "restore", backup["path"], "--into", "sqlite:///new.db")
    assert (0, 4, 2) == (found.code, found.value["position"], found.value["restored"])
    assert state == plain.json("--store", "sqlite:///new.db", "items", "agent:a").value
    early = plain("backup", "restore", backup["path"], "--into", "sqlite:///early.db", "--as-of", "1")
    assert ["restored 1 event with 1 value into sqlite:///early.db, as of position 1"] == early.lines
    again = plain("backup", "restore", backup["path"], "--into", "sqlite:///new.db")
    assert (1, 1) == (again.code, len(again.error.splitlines()))
    assert not Path("backstory.db").exists()


def test_validate_answers_yes_or_no(plain: Any, folder: Path) -> None:
    backup = made(plain)
    lines = plain.ok("backup", "validate", backup["id"]).lines
    assert [f"{backup['id']} is valid: 1 archive checked, 2 events and 2 values came back on trial"] == lines
    found = plain.json("backup", "validate", backup["path"], "--no-trial-restore").value
    assert (True, 2, [backup["id"]], backup) == (
        found["is_valid"],
        found["events"],
        found["checked"],
        found["backup"],
    )

    plain.ok("set", "agent:b", "plan", "2")
    some = made(plain, "--scope", "agent:b")["id"]
    assert [f"{some} is valid: 1 archive checked, 1 value read"] == plain.ok("backup", "validate", some).lines

    damage(backup["path"], folder / "bad.bsa")
    (folder / "worse.bsa").write_bytes(b"no archive at all")
    for name in ("bad.bsa", "worse.bsa"):
        answer = plain("backup", "validate", name)
        assert (1, "") == (answer.code, answer.error)
        assert answer.lines[0].startswith("error: ")
        assert " is not valid: " in answer.lines[-1]
        told = plain.json("backup", "validate", name)
        assert (1, False) == (told.code, told.value["is_valid"])


def test_a_damaged_archive_is_not_restored(plain: Any, folder: Path) -> None:
    plain.ok("set", "agent:a", "large", f'"{secrets.token_hex(20_000)}"')
    backup = made(plain)
    plain.ok("set", "agent:a", "plan", "3")
    state = plain.json("items", "agent:a").value
    damage(backup["path"], folder / "bad.bsa")
    for more in ((), ("--into", "sqlite:///new.db")):
        answer = plain("backup", "restore", "bad.bsa", *more)
        assert (5, b"", 1) == (answer.code, answer.raw, len(answer.error.splitlines())), answer
    assert state == plain.json("items", "agent:a").value
    assert not Path("new.db").exists()


def test_prune_tells_each_decision_and_deletes_what_is_beyond_the_bounds(program: Any) -> None:
    backups = [made(program) for _ in range(3)]
    old, middle, new = (each["id"] for each in backups)
    dry = program.json("backup", "prune", "--max-count", "1", "--dry-run").value
    assert (True, [(new, True), (middle, False), (old, False)]) == (
        dry["dry_run"],
        [(each["backup_id"], each["keep"]) for each in dry["decisions"]],
    )
    assert [backups[2]] == dry["kept"]
    assert sum(each["size_bytes"] for each in backups[:2]) == dry["freed_bytes"]
    assert 3 == len(program.json("backup").value)

    lines = program.ok("backup", "prune", "--max-count", "1").lines
    assert [new, middle, old] == [line.split("  ")[0] for line in lines[:-1]]
    assert lines[0].startswith(f"{new}  kept: ")
    assert lines[1].startswith(f"{middle}  deleted: ")
    assert f"deleted 2 of 3 backups, which freed {size(dry['freed_bytes'])}" == lines[-1]
    assert [backups[2] | {"other_log": False}] == program.json("backup").value
    assert "deleted 0 of 1 backup, which freed 0 B" == program.ok("backup", "prune", "--max-bytes", "0").lines[-1]


def test_bounds_are_written_as_people_write_them(plain: Any) -> None:
    made(plain)
    made(plain)
    for bound in (("--max-age", "30d"), ("--max-bytes", "5GB"), ("--max-bytes", "1 MiB"), ("--max-bytes", "999999")):
        assert plain.ok("backup", "prune", "--dry-run", *bound).lines[-1].startswith("would delete 0 of 2 backups")
    for bound in (("--max-age", "0s"), ("--max-bytes", "1b"), ("--max-bytes", "0")):
        assert plain.ok("backup", "prune", "--dry-run", *bound).lines[-1].startswith("would delete 1 of 2 backups")
    kept = ("--keep-last", "2", "--keep-full", "0", "--keep-daily", "1", "--keep-weekly", "1", "--keep-monthly", "1")
    assert plain.ok("backup", "prune", "--max-count", "0", *kept).lines[-1].startswith("deleted 0 of 2 backups")


def test_a_key_comes_from_a_file_or_a_command(plain: Any, key: str) -> None:
    backup = made(plain, "--key-file", key, "--algorithm", "ChaCha20-Poly1305")
    assert backup["encrypted"]
    assert plain.ok("backup", "list").lines[1].split("  ")[1] == "full, encrypted"
    for source in (("--key-file", key), ("--key-command", f"cat {key}")):
        assert 0 == plain("backup", "validate", backup["id"], *source).code
        assert 0 == plain("backup", "restore", backup["id"], *source).code
    assert backup == plain.json("backup", "info", backup["id"]).value

    assert 1 == plain("backup", "validate", backup["id"]).code
    assert 0 == plain("backup", "restore", backup["path"], "--into", "sqlite:///new.db", "--key-file", key).code
    problem = plain.json("backup", "restore", backup["id"]).problem
    assert "EncryptionError" == problem["error"]
    assert 1 == plain("backup", "restore", backup["path"], "--into", "sqlite:///no.db").code


def test_a_passphrase_comes_from_a_file_standard_input_or_the_environment(
    plain: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "passphrase").write_text(f"{WORDS}\r\n")
    given = WORDS.encode()
    backup = made(plain, "--passphrase-file", "passphrase", "--kdf", "pbkdf2")["id"]
    validate = ("backup", "validate", backup, "--no-trial-restore")
    assert 0 == plain(*validate, "--passphrase-file", "-", stdin=given).code
    assert 1 == plain(*validate, "--passphrase-file", "-", stdin=b"another").code
    monkeypatch.setenv("BACKSTORY_BACKUP_PASSPHRASE", WORDS)
    assert 0 == plain(*validate).code
    assert made(plain, "--kdf", "pbkdf2")["encrypted"]


def test_a_passphrase_of_the_environment_is_for_what_is_encrypted(
    plain: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backup = made(plain)
    (folder / "passphrase").write_text(WORDS)
    monkeypatch.setenv("BACKSTORY_BACKUP_PASSPHRASE", WORDS)
    assert 0 == plain("backup", "validate", backup["id"]).code
    assert 0 == plain("backup", "restore", backup["id"]).code
    assert 0 == plain("backup", "restore", backup["path"], "--into", "sqlite:///new.db").code
    # What is given for this very backup is not: it may have been put in the place of another one.
    answer = plain("backup", "restore", backup["id"], "--passphrase-file", "passphrase")
    assert (1, True) == (answer.code, "is not encrypted" in answer.error)


def test_a_new_key_that_nobody_gives_is_asked_for_by_its_own_name(plain: Any, key: str) -> None:
    backup = made(plain, "--key-file", key)["id"]
    old = plain("backup", "rewrap", backup, "--new-key-file", key)
    assert (2, True) == (old.code, "put it into BACKSTORY_BACKUP_PASSPHRASE." in old.error)
    new = plain("backup", "rewrap", backup, "--key-file", key)
    assert (2, True) == (new.code, "put it into BACKSTORY_BACKUP_NEW_PASSPHRASE." in new.error)


def test_a_backup_may_be_opened_with_another_key_from_now_on(plain: Any, folder: Path, key: str) -> None:
    backup = made(plain, "--key-file", key)
    (folder / "new").write_bytes(secrets.token_bytes(32))
    told = plain.json("backup", "rewrap", backup["id"], "--key-file", key, "--new-key-command", "cat new").value
    assert backup["id"] == told["id"]
    assert 1 == plain("backup", "validate", backup["id"], "--key-file", key).code
    assert 0 == plain("backup", "validate", backup["id"], "--key-file", "new").code
    wrong = plain("backup", "rewrap", backup["id"], "--key-file", key, "--new-key-file", "new")
    assert (1, b"", 1) == (wrong.code, wrong.raw, len(wrong.error.splitlines()))
    lines = plain.ok("backup", "rewrap", backup["id"], "--key-file", "new", "--new-key-file", key).lines
    assert [f"backup {backup['id']} needs the new key now", backup["path"]] == lines


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("info", "nobody"), 1, "there is no backup"),
        (("restore", "0123456789abcdef"), 1, "there is no backup"),
        (("restore", "absent.bsa", "--into", "sqlite:///new.db"), 1, "absent.bsa"),
        (("restore", "any", "--as-of", "yesterday"), 2, "is no position"),
        (("create", "--incremental"), 1, "Make a full one first"),
        (("create", "--compression", "rar"), 2, "rar"),
        (("create", "--scope", "no scope"), 2, "no scope"),
        (("create", "--encrypt"), 2, "no terminal"),
        (("create", "--kdf", "argon2id"), 2, "nothing is encrypted"),
        (("create", "--target", "/proc/no/such"), 2, "cannot make the folder"),
        (("create", "--key-file", "absent"), 2, "cannot read the key file absent"),
        (("create", "--key-file", "a", "--key-command", "b"), 2, "2 sources of one key"),
        (("create", "--passphrase-file", "absent"), 2, "cannot read"),
        (("create", "--passphrase-file", "empty"), 2, "is empty"),
        (("create", "--passphrase-file", "lines"), 2, "has several lines"),
        (("create", "--passphrase-file", "-"), 2, "standard input is empty"),
        (("create", "--passphrase", WORDS), 2, "No such option"),
        (("prune", "--max-bytes", "5XB"), 2, "is no size"),
        (("prune", "--max-age", "soon"), 2, "is no span of time"),
        (("prune", "--keep-last", "-1"), 2, "keep-last"),
        (("prune", "--keep-daily", "3"), 2, "nothing would take away"),
        (("create", "--importance", str(2**70)), 2, "importance"),
        (("create", "--scope", "agent:*"), 2, "pattern"),
        (("create", "--scope", "agent:nobody"), 1, "nothing to back up"),
        (("list", "--target", "lines"), 2, "cannot read"),
        (("rewrap", "nobody"), 1, "there is no backup"),
    ],
)
def test_what_cannot_be_done_is_told_in_one_line(
    plain: Any, folder: Path, arguments: tuple[str, ...], code: int, said: str
) -> None:
    (folder / "empty").write_text("\n")
    (folder / "lines").write_text("one\ntwo\n")
    answer = plain("backup", *arguments)
    assert (code, b"", 1) == (answer.code, answer.raw, len(answer.error.splitlines())), answer
    assert said in answer.error
    assert "\ntwo" not in answer.error
    assert [] == plain.json("backup").value


def test_an_absent_store_has_no_backups_to_list(cli: Any, folder: Path) -> None:
    for arguments in (("list",), ("create",), ("usage",), ("prune", "--max-count", "1"), ("validate", "nobody")):
        assert 6 == cli("backup", *arguments).code
    assert [] == list(folder.iterdir())


class Terminal:
    """Somebody at a terminal, who types what he is going to say before he is asked."""

    def __init__(self, process: Any) -> None:
        self._process = process

    def __call__(self, typed: str, *arguments: str) -> tuple[int, str, str]:
        """Return the exit code, what was printed, and what the terminal showed."""
        leader, follower = pty.openpty()
        running = self._process.start(
            *arguments, stdin=follower, stderr=follower, env=os.environ | {"TERM": "xterm"}, start_new_session=True
        )
        shown = b""
        for line in typed.splitlines():
            while b": " not in shown.rpartition(b"\n")[2]:
                shown += os.read(leader, 65536)
            os.write(leader, f"{line}\n".encode())
            shown += b"\n"
        os.close(follower)
        out, _ = running.communicate(timeout=60)
        try:
            while part := os.read(leader, 65536):
                shown += part
        except OSError:
            pass
        os.close(leader)
        return running.returncode, out.decode(), shown.decode()


@pytest.fixture
def terminal(process: Any) -> Terminal:
    return Terminal(process)


def test_a_restore_asks_somebody_who_sits_there(plain: Any, terminal: Terminal) -> None:
    backup = made(plain)["id"]
    plain.ok("set", "agent:a", "plan", "9")
    code, out, shown = terminal("n\n", "backup", "restore", backup)
    assert (1, "nothing was restored\n") == (code, out)
    assert "what it held at position 2: 1 value written, 0 removed. Go on? [y/N]: " in shown
    assert 9 == plain.json("get", "agent:a", "plan").value

    code, out, _ = terminal("y\n", "backup", "restore", backup)
    assert (0, True) == (code, out.startswith("restored 1 value"))
    plain.ok("set", "agent:a", "plan", "9")
    code, out, shown = terminal("", "backup", "restore", backup, "--yes")
    assert (0, True, False) == (code, out.startswith("restored 1 value"), "Go on" in shown)
    point = str(_rollback_point(plain))
    code, out, shown = terminal("n\n", "backup", "rollback", point)
    assert (1, "nothing was restored\n", True) == (code, out, "1 value written" in shown)
    code, out, _ = terminal("y\n", "backup", "rollback", point)
    assert (0, True) == (code, out.startswith("restored 1 value"))
    assert 9 == plain.json("get", "agent:a", "plan").value


def _rollback_point(plain: Any) -> int:
    last = plain.json("log", "--type", "backup.restored").lines[-1]
    return int(json.loads(last)["data"]["rollback_point"])


def test_a_passphrase_is_asked_for_unseen_and_twice_for_a_new_backup(plain: Any, terminal: Terminal) -> None:
    code, out, shown = terminal(f"{WORDS}\n{WORDS}\n", "--json", "backup", "create", "--encrypt", "--kdf", "pbkdf2")
    assert (0, False) == (code, WORDS in shown + out)
    assert ["Passphrase for the backup: ", "Once more: "] == shown.replace("\r", "").splitlines()[:4:2]
    backup = plain.json("backup").value[0]["id"]

    code, out, shown = terminal(f"{WORDS}\n", "backup", "validate", backup)
    assert (0, True, False) == (code, " is valid" in out, WORDS in shown)
    typed = f"{WORDS}\nnew one\nnew one\n"
    code, _, shown = terminal(typed, "backup", "rewrap", backup, "--new-kdf", "pbkdf2")
    assert (0, False) == (code, "new one" in shown)
    assert 0 == plain("backup", "validate", backup, "--passphrase-file", "-", stdin=b"new one").code


def test_progress_is_shown_on_a_terminal_only(plain: Any, terminal: Terminal) -> None:
    code, _, shown = terminal("", "backup", "create")
    assert (0, True) == (code, "back up" in shown)
    assert "" == plain.ok("backup", "create").error


def test_an_archive_that_was_carried_elsewhere_is_a_backup_by_its_path(plain: Any, folder: Path) -> None:
    backup = made(plain)
    (folder / "safe").mkdir()
    carried = shutil.move(backup["path"], folder / "safe" / "mine.bsa")
    assert {**backup, "path": str(carried)} == plain.json("backup", "info", "safe/mine.bsa").value
    assert 0 == plain("backup", "restore", "safe/mine.bsa").code


@pytest.mark.parametrize("place", ["memory://kept", "Memory://", "simplecache::memory://kept"])
def test_no_backup_is_made_where_it_would_be_gone_with_the_command(
    plain: Any, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    for arguments in (["create", "--target", place], ["schedule", "n", "--every", "1h", "--target", place], ["create"]):
        if arguments == ["create"]:
            monkeypatch.setenv("BACKSTORY_BACKUPS", place)
        answer = plain("backup", *arguments)
        assert (2, "") == (answer.code, answer.out)
        assert "is gone as soon as this command ends" in answer.error
    assert "backup." not in plain.ok("log")


def test_a_place_may_be_told_from_the_home_folder_on(plain: Any, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(folder / "home"))
    assert folder / "home" / "a" == Path(made(plain, "--target=~/a")["path"]).parent
    monkeypatch.setenv("BACKSTORY_BACKUPS", "~/b")
    assert folder / "home" / "b" == Path(made(plain)["path"]).parent
    assert 2 == len(plain.json("backup", "list").value)
    (folder / "backstory.db").rename(folder / "lost.db")
    (listed,) = plain.json("backup", "list").value
    assert folder / "home" / "b" == Path(listed["path"]).parent
    assert not (folder / "~").exists()
