"""The runbook of backups gives what it shows, and has a section for each thing that can go wrong."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from tests.acceptance.test_cli_reference import ROOT, tool

if TYPE_CHECKING:
    from pathlib import Path

DOCUMENT: Final = ROOT / "docs" / "backup-runbook.md"
DISASTERS: Final = ("byte", "end", "interrupted", "gone", "link", "full", "wrong", "lost", "newer", "index", "folder")


def test_the_runbook_gives_what_it_shows(tmp_path: Path) -> None:
    examples = tool("run_examples")
    assert [] == list(examples.differences(DOCUMENT, examples.shell(tmp_path)))


def test_each_disaster_has_a_section_that_says_what_to_do() -> None:
    _, *sections = re.split(r"^## ", DOCUMENT.read_text(encoding="utf-8"), flags=re.MULTILINE)
    titles = " ".join(section.partition("\n")[0] for section in sections)
    for word in DISASTERS:
        assert word in titles
    without = [each.partition("\n")[0] for each in sections if "**Do**" not in each and "**Lost**" not in each]
    assert ["Files in the folder that are no backups"] == without
