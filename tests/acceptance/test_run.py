"""`./run` installs once, installs anew what is stale, and says what to do when it cannot."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[2]

# Stands in for python3: notes every call, and makes environments whose python is itself.
PYTHON = """#!/bin/sh
echo "$*" >>"$CALLS"
case "$1 ${2-}" in
"-V ") echo "Python $PRETEND" ;;
"-c "*) [ "$PRETEND" != 3.10.0 ] ;;
"-m venv") mkdir -p "$3/bin" && cp "$0" "$3/bin/python" && printf '#!/bin/sh\\necho "$@"\\n' >"$3/bin/backstory" &&
    chmod +x "$3/bin/backstory" ;;
"-m pip") [ -z "${NO_NETWORK-}" ] ;;
esac
"""


class Checkout(NamedTuple):
    """A copy of the script and what it reads, with a stand-in for Python that installs nothing."""

    folder: Path

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        variables = {"PYTHON": str(self.folder / "python"), "CALLS": str(self.calls), "PRETEND": "3.11.2"} | environment
        return subprocess.run(
            [self.folder / "run", *arguments], env=variables, cwd="/", capture_output=True, text=True, check=False
        )

    @property
    def calls(self) -> Path:
        return self.folder / "calls"

    def take_calls(self) -> list[str]:
        """Return how Python was called since the last time, without the questions for its version."""
        lines = self.calls.read_text().splitlines() if self.calls.exists() else []
        self.calls.unlink(missing_ok=True)
        return [" ".join(line.split()[1:]) for line in lines if line.startswith("-m")]


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    folder = tmp_path / "a checkout"
    (folder / "tools").mkdir(parents=True)
    for name in ("run", "pyproject.toml", "tools/constraints.txt"):
        shutil.copy(ROOT / name, folder / name)
    (folder / "python").write_text(PYTHON)
    (folder / "python").chmod(0o755)
    return Checkout(folder)


def install(wanted: str) -> str:
    return f"pip install -qq --disable-pip-version-check -c tools/constraints.txt -e {wanted}"


def test_the_first_command_installs_and_the_second_does_not(checkout: Checkout) -> None:
    assert checkout.run("demo", "--fast").stdout == "demo --fast\n"
    assert ["venv .venv", install(".")] == checkout.take_calls()

    assert checkout.run("demo").stdout == "demo\n"
    assert checkout.take_calls() == []


def test_a_command_that_needs_more_adds_it(checkout: Checkout) -> None:
    checkout.run("demo")
    checkout.take_calls()

    checkout.run("test", "-k", "x")
    assert [install(".[test]"), "pytest -k x"] == checkout.take_calls()


def test_a_command_that_needs_less_installs_nothing(checkout: Checkout) -> None:
    checkout.run("setup")
    assert ["venv .venv", install(".[dev]")] == checkout.take_calls()

    checkout.run("test")
    checkout.run("demo")
    assert ["pytest"] == checkout.take_calls()


@pytest.mark.parametrize("file", ["pyproject.toml", "tools/constraints.txt"])
def test_a_change_of_what_is_needed_makes_the_environment_anew(checkout: Checkout, file: str) -> None:
    checkout.run("demo")
    checkout.take_calls()
    with (checkout.folder / file).open("a") as text:
        text.write("# changed\n")

    checkout.run("demo")
    assert ["venv .venv", install(".")] == checkout.take_calls()


def test_another_interpreter_or_place_makes_the_environment_anew(checkout: Checkout, tmp_path: Path) -> None:
    checkout.run("demo")
    checkout.run("demo", PRETEND="3.12.1")
    assert ["venv .venv", install(".")] * 2 == checkout.take_calls()

    moved = Checkout(checkout.folder.rename(tmp_path / "elsewhere"))
    moved.run("demo", PRETEND="3.12.1")
    assert ["venv .venv", install(".")] == moved.take_calls()


def test_an_installation_that_failed_is_tried_again(checkout: Checkout) -> None:
    failed = checkout.run("demo", NO_NETWORK="1")
    assert failed.returncode == 1
    assert "pip could not install it" in failed.stderr

    assert checkout.run("demo").stdout == "demo\n"


def test_an_environment_that_is_not_ours_is_left_alone(checkout: Checkout) -> None:
    (checkout.folder / ".venv").mkdir()

    refused = checkout.run("demo")

    assert refused.returncode == 1
    assert "BACKSTORY_VENV=" in refused.stderr
    assert list((checkout.folder / ".venv").iterdir()) == []
    assert checkout.run("demo", BACKSTORY_VENV=".other").stdout == "demo\n"


def test_a_python_that_is_too_old_or_missing_is_named(checkout: Checkout) -> None:
    assert "needs Python 3.11 or later" in checkout.run("demo", PRETEND="3.10.0").stderr
    assert "needs Python 3.11 or later; 'nothing'" in checkout.run("demo", PYTHON="nothing").stderr
    assert not (checkout.folder / ".venv").exists()


def test_an_unknown_command_is_refused_and_help_names_them_all(checkout: Checkout) -> None:
    refused = checkout.run("dance")
    assert refused.returncode == 1
    assert "no command 'dance'" in refused.stderr
    for name in ("demo", "test", "check", "setup"):
        assert f"./run {name} " in checkout.run().stdout
