"""The worked example of schedules of backups gives what its document shows."""

from __future__ import annotations

from pathlib import Path

from tests.acceptance.test_cli_reference import ROOT, tool

DOCUMENT = ROOT / "docs" / "backup-schedules.md"


def test_the_worked_example_gives_what_it_shows(tmp_path: Path) -> None:
    examples = tool("run_examples")
    assert [] == list(examples.differences(DOCUMENT, examples.shell(tmp_path)))
