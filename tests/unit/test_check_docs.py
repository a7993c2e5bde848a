"""The check of the documents finds what it is there to find."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "tools" / "check_docs.py"


@pytest.fixture
def check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script, looking at an empty repository with a README in order."""
    spec = importlib.util.spec_from_file_location("check_docs", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "ROOT", tmp_path)
    write(tmp_path / "README.md", "# Title\n\n    ./run demo\n    ./run test\n")
    return module


def write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def test_documents_in_order_have_no_problems(check: ModuleType, tmp_path: Path) -> None:
    write(
        tmp_path / "guide.md",
        "# A `name`, and more\n\n[here](#a-name-and-more) [there](README.md#title) [far](https://example.org/x)\n\n"
        "```\n[no](link.md)\n```\n`[no](link.md)`\n\n>>> 1 + 1\n2\n",
    )
    assert list(check.problems()) == []
    assert check.main() == 0


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[gone](gone.md)", "gone.md: there is no such file"),
        ("[gone]: gone.md", "gone.md: there is no such file"),
        ("![gone](gone.png)", "gone.png: there is no such file"),
        ("[gone](README.md#gone)", "README.md#gone: there is no such heading"),
        ("[gone](#gone)", "#gone: there is no such heading"),
        ("[out](../)", "../: leads out of the repository"),
        (">>> 1 + 1\n3\n", "1 of 1 examples do not give what they show"),
    ],
)
def test_a_broken_document_is_found(check: ModuleType, tmp_path: Path, text: str, problem: str) -> None:
    write(tmp_path / "guide.md", text)
    assert list(check.problems()) == [f"guide.md: {problem}"]
    assert check.main() == 1


@pytest.mark.parametrize(
    "commands", ["./run demo\n", "./run test\n./run demo\n", "./run demo\n./run test\n./run setup\n"]
)
def test_readme_names_the_two_commands(check: ModuleType, tmp_path: Path, commands: str) -> None:
    write(tmp_path / "README.md", commands)
    assert ["README.md: the commands" in line for line in check.problems()] == [True]
