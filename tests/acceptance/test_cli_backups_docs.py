"""The worked disaster of backups gives what its document shows."""

from __future__ import annotations

import re
from dataclasses import fields
from inspect import signature
from pathlib import Path

from backstory import RetentionPolicy
from backstory.backups.face import Backups
from backstory.infrastructure.aggregates.snapshot import Snapshot
from tests.acceptance.test_cli_reference import ROOT, tool

DOCUMENT = ROOT / "docs" / "backups.md"


def test_the_worked_disaster_gives_what_it_shows(tmp_path: Path) -> None:
    examples = tool("run_examples")
    assert [] == list(examples.differences(DOCUMENT, examples.shell(tmp_path)))


def test_it_goes_through_loss_of_values_and_of_the_store() -> None:
    commands = " ".join(example.command for example in tool("run_examples").examples(DOCUMENT.read_text()))
    for command in ("--incremental", "diff", "why", "--dry-run", "--as-of", "validate", "rm ", "--into", "verify"):
        assert command in commands


def test_it_names_every_rule_of_a_policy_and_every_event() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    for name in (
        *(each.name for each in fields(RetentionPolicy)),
        *Snapshot.KINDS,
        *signature(Backups.restore).parameters,
    ):
        assert name == "self" or re.search(rf"\b{re.escape(name)}\b", text), name
