"""README's examples give what they show: those of the shell in a shell, those of Python in Python."""

from __future__ import annotations

import contextlib
import doctest
import importlib.util
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"


def test_the_commands_of_the_readme_give_what_they_show(tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("run_examples", ROOT / "tools" / "run_examples.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    assert [] == list(module.differences(README, module.shell(tmp_path)))
    assert module.examples(README.read_text())


def test_the_python_of_the_readme_gives_what_it_shows(tmp_path: Path) -> None:
    with contextlib.chdir(tmp_path):
        failed, attempted = doctest.testfile(str(README), module_relative=False)
    assert 0 == failed
    assert attempted > 5
