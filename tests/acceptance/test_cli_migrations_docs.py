"""The worked example of migrations gives what its document shows."""

from __future__ import annotations

from pathlib import Path

from tests.acceptance.test_cli_reference import ROOT, tool

DOCUMENT = ROOT / "docs" / "migrations.md"


def test_the_worked_example_gives_what_it_shows(tmp_path: Path) -> None:
    examples = tool("run_examples")
    assert [] == list(examples.differences(DOCUMENT, examples.shell(tmp_path)))


def test_it_goes_through_all_that_a_migration_can_do() -> None:
    commands = " ".join(example.command for example in tool("run_examples").examples(DOCUMENT.read_text()))
    for command in ("schema register", "schema bind", "migrate plan", "--dry-run", "--as-of", "migrate rollback"):
        assert command in commands


def test_a_text_that_a_command_is_given_is_part_of_the_command() -> None:
    [given, after] = tool("run_examples").examples("```console\n$ cat > f <<'END'\n\na\nEND\nshown\n$ b\n```\n")
    assert ("cat > f <<'END'\n\na\nEND", "shown") == given
    assert ("b", "") == after
