"""The runbook of backups gives what it shows, and has a section for each thing that can go wrong."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from tests.acceptance.test_cli_reference import ROOT, tool

if TYPE_CHECKING:
    from pathlib import Path

DOCUMENT: Final = ROOT / "docs" / "backup-runbook.md"
#: Of each disaster a word of the title, and one of what is done about it.
DISASTERS: Final = {
    "A byte is not what was written": "another copy",
    "The end of a file is missing": "copy it again",
    "A backup was interrupted: a file ends in `.partial`": "make the backup again",
    "A file is gone": "put the file back",
    "A link of a chain is missing, or another file stands in its place": "find the parent",
    "The disk is full": "make room",
    "The key is wrong": "the other keys",
    "The key is lost": "a new key",
    "A newer release wrote it, or the store is of another version": "install that release",
    "Files in the folder that are no backups": "move them",
    "The index is lost or damaged": "made anew",
    "The folder of backups is gone": "mount it",
    "The disk cannot read the file": "copy the file",
    "The store itself is lost": "bring the newest backup back",
    "The wrong thing was restored, or a later backup is of another log": "`rollback`",
}


def test_the_runbook_gives_what_it_shows(tmp_path: Path) -> None:
    examples = tool("run_examples")
    assert [] == list(examples.differences(DOCUMENT, examples.shell(tmp_path)))


def test_each_disaster_has_a_section_that_says_what_to_do() -> None:
    _, *sections = re.split(r"^## ", DOCUMENT.read_text(encoding="utf-8"), flags=re.MULTILINE)
    found = {title: text for title, _, text in (each.partition("\n") for each in sections)}
    assert list(DISASTERS) == list(found)
    for title, advice in DISASTERS.items():
        what_to_do = re.findall(r"\*\*do\*\*(.*?)(?=\n\n|\Z)", found[title], flags=re.DOTALL | re.IGNORECASE)
        assert advice in " ".join(" ".join(what_to_do).split()), title
        assert "**Lost**" in found[title], title
