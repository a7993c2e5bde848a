"""The program and its streams: pipes that break, streams that are closed, terminals, other encodings, Ctrl-C."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def on_terminal(process: Any, *arguments: str, **variables: str) -> tuple[int, str]:
    """Run the program with a terminal as its standard output and error; return exit code and output."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", **variables}
    running = process.start(*arguments, stdout=theirs, stderr=theirs, stdin=theirs, env=environment)
    os.close(theirs)
    output = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:
            break
        if not part:
            break
        output += part
    os.close(ours)
    return running.wait(60), output.decode().replace("\r\n", "\n")


def test_a_reader_that_goes_away_ends_the_program_quietly(process: Any, cli: Any) -> None:
    cli.ok("set", "global", "k", f'"{"x" * 100_000}"')
    for command in (["log", "--full"], ["export"], ["get", "global", "k"], ["--json", "get", "global", "k"]):
        running = process.start(*command)
        running.stdout.close()
        assert b"" == running.stderr.read()
        assert 141 == running.wait(60)


def test_a_write_is_made_though_nobody_reads_the_answer(process: Any, cli: Any) -> None:
    for number, redirect in enumerate([">&-", "2>&-", ">&- 2>&- <&-"], start=1):
        script = f'"$0" -m backstory set global k {number} {redirect}'
        done = subprocess.run(["/bin/sh", "-c", script, sys.executable], cwd=process.folder, check=False)
        assert 0 == done.returncode
        assert f"{number}\n" == cli.ok("get", "global", "k").out


def test_a_closed_standard_input_is_told(process: Any) -> None:
    answer = process("--json", "set", "global", "k", "-", stdin=None, preexec_fn=lambda: os.close(0))
    assert 2 == answer.code


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no full device")
def test_an_output_that_cannot_be_written_is_an_error_and_no_traceback(process: Any, cli: Any) -> None:
    cli.ok("set", "global", "k", "1")
    with Path("/dev/full").open("wb") as full:
        for command in (["get", "global", "k"], ["log"], ["export"], ["keys", "global"]):
            answer = process("--json", *command, stdout=full)
            assert (2, "OutputError") == (answer.code, answer.problem["error"])


def test_an_interrupt_ends_the_program_quietly(process: Any) -> None:
    reader, writer = os.pipe()
    # Whoever started the tests may have told them to ignore interrupts, as shells do in the background.
    heed = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.default_int_handler)}
    running = process.start("set", "global", "k", "-", stdin=reader, **heed)
    os.close(reader)
    os.write(writer, b"1" * 100_000)  # More than a pipe holds: the program is reading.
    while running.poll() is None:  # A signal just before the system call does not end it; the next one does.
        running.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            running.wait(1)
    os.close(writer)
    assert (130, b"", b"") == (running.returncode, *running.communicate())


def test_arguments_that_are_no_utf_8_are_refused_in_one_line(process: Any, cli: Any) -> None:
    cli.ok("init")
    for arguments in (["get", b"agent:\xff", "k"], ["get", "global", b"\xff"], ["set", "global", "k", b'"\xff"']):
        for json in ([], ["--json"]):
            answer = process(*json, *arguments)
            assert (2, b"", 1) == (answer.code, answer.raw, len(answer.error.splitlines()))


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_json_is_utf_8_and_text_is_what_the_terminal_can_show(process: Any, cli: Any, encoding: str) -> None:
    cli.ok("set", "global", "k", '"ä€"')
    variables = {**os.environ, "PYTHONIOENCODING": encoding}
    assert '"ä€"\n'.encode() == process("--json", "get", "global", "k", env=variables).raw
    shown = '"ä€"\n'.encode(encoding, "backslashreplace")
    assert shown == process("get", "global", "k", env=variables).raw


@pytest.mark.parametrize("command", [["diff", "0"], ["log"], ["history", "global", "k"], ["items", "global"]])
def test_colours_appear_on_a_terminal_only(process: Any, cli: Any, command: list[str]) -> None:
    cli.ok("set", "global", "k", "1")
    plain = cli.ok(*command).out
    assert COLOUR.search(plain) is None

    code, coloured = on_terminal(process, *command)
    assert 0 == code
    assert COLOUR.search(coloured) is not None
    assert plain == COLOUR.sub("", coloured)
    assert (0, plain) == on_terminal(process, "--no-color", *command)


def test_colours_can_be_switched_off(process: Any, cli: Any) -> None:
    cli.ok("set", "global", "k", "1")
    command = ["items", "global"]
    plain = cli.ok(*command).out
    assert (0, plain) == on_terminal(process, *command, "--no-color")
    assert (0, plain) == on_terminal(process, *command, NO_COLOR="1")
    assert (0, plain) == on_terminal(process, *command, TERM="dumb")
    assert "\x1b" not in on_terminal(process, "--json", *command)[1]


def test_an_import_shows_its_progress_on_a_terminal_only(process: Any, cli: Any) -> None:
    (process.folder / "runs.jsonl").write_text('[{"role": "user", "content": "Hello"}]\n')
    code, output = on_terminal(process, "import", "runs.jsonl")
    assert 0 == code
    assert "import" in output
    assert "\x1b" in output
    assert "imported 1 run" in output

    answer = cli.ok("import", "runs.jsonl")
    assert 1 == len(answer.lines)
    assert "\x1b" not in on_terminal(process, "--json", "import", "runs.jsonl")[1]
