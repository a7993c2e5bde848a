"""The worked examples of causes and effects give what their document shows."""

from __future__ import annotations

from pathlib import Path

from tests.acceptance.test_cli_reference import ROOT, tool

DOCUMENT = ROOT / "docs" / "causality.md"


def test_the_worked_examples_give_what_they_show(tmp_path: Path) -> None:
    examples = tool("run_examples")
    assert [] == list(examples.differences(DOCUMENT, examples.shell(tmp_path)))


def test_there_is_one_for_each_of_the_three_questions() -> None:
    commands = " ".join(example.command for example in tool("run_examples").examples(DOCUMENT.read_text()))
    for command in ("backstory why", "backstory impact", "backstory what-if"):
        assert command in commands
