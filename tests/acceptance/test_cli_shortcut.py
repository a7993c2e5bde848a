"""The short way of `get` answers as the long one does, and loads nothing that it does not need."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from typing import Any

import pytest

from backstory.cli import shortcut

PLAIN = [
    "get agent:a1 k",
    "--json get agent:a1 k",
    "get agent:a1 k --json",
    "get --as-of 1 agent:a1 k",
    "get agent:a1 k --as-of 7",
    "get agent:a1 k --as-of -1",
    "get agent:a1 k --raw",
    "get --raw agent:a1 k --json",
    "get agent:a1 absent",
    "--json get agent:a1 absent",
    "get nobody:x k",
    "--no-color get agent:a1 k",
    "--branch main get agent:a1 k",
    "--branch absent get agent:a1 k",
    "--store sqlite:///absent.db get agent:a1 k",
    "--actor me get agent:a1 k",
]
OTHERS = [
    "get agent:a1",
    "get agent:a1 k more",
    "keys agent:a1",
    "--raw get agent:a1 k",
    "--as-of 1 get agent:a1 k",
    "get agent:a1 k --as-of",
    "get agent:a1 k --as-of 1 --as-of 2",
    "get agent:a1 k --as-of=1",
    "get agent:a1 k --default 1",
    "get agent:a1 -- k",
    "get --help",
    "get agent:a1 -k",
    "--json --json get agent:a1 k",
    "",
]


@pytest.mark.parametrize("line", PLAIN)
def test_a_plain_get_gives_the_same_both_ways(cli: Any, monkeypatch: pytest.MonkeyPatch, line: str) -> None:
    cli.ok("set", "agent:a1", "k", '"first"')
    cli.ok("set", "agent:a1", "k", '"second"')
    expected = cli(*line.split())

    out, error = io.BytesIO(), io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(out, encoding="utf-8", write_through=True))
    monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(error, encoding="utf-8", write_through=True))
    code = shortcut.run_get(line.split())

    assert tuple(expected) == (code, out.getvalue(), error.getvalue().decode())


@pytest.mark.parametrize("line", OTHERS)
def test_anything_else_goes_the_long_way(cli: Any, line: str) -> None:
    cli.ok("set", "agent:a1", "k", "1")
    assert shortcut.run_get(line.split()) is None


def test_a_plain_get_loads_no_heavy_library(cli: Any, process: Any) -> None:
    cli.ok("set", "agent:a1", "k", "1")
    script = (
        "import sys, json, backstory.cli as c\n"
        "sys.argv[1:] = ['get', 'agent:a1', 'k']\n"
        "try: c.main()\n"
        "except SystemExit: print(json.dumps(sorted(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=process.folder, capture_output=True, text=True, check=True
    )
    value, loaded = done.stdout.splitlines()
    assert "1" == value
    names = {name.partition(".")[0] for name in json.loads(loaded)}
    assert names.isdisjoint({"eventsourcing", "networkx", "psycopg", "pydantic", "rich", "structlog", "typer"})
