"""The pinned versions: uv.lock and what pip is given agree, cover what is declared, and come from the public index."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
AGAIN = "run tools/lock.sh"


def toml(name: str) -> dict[str, Any]:
    return tomllib.loads((ROOT / name).read_text(encoding="utf-8"))


def locked() -> dict[str, set[str]]:
    """Return the versions of each package in uv.lock, but for our own; several where they depend on the Python."""
    found: dict[str, set[str]] = {}
    for package in toml("uv.lock")["package"]:
        if package["name"] != "backstory":
            found.setdefault(package["name"], set()).add(package["version"])
    return found


def constrained() -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for line in (ROOT / "tools" / "constraints.txt").read_text(encoding="utf-8").splitlines():
        name, _, version = line.partition(" ;")[0].partition("==")
        found.setdefault(name, set()).add(version)
    return found


def declared() -> set[str]:
    project = toml("pyproject.toml")["project"]
    wanted = [
        *project["dependencies"],
        *(name for extra in project["optional-dependencies"].values() for name in extra),
    ]
    return {re.split(r"[\[<>=!~ ;]", requirement, maxsplit=1)[0] for requirement in wanted} - {"backstory"}


def test_pip_is_given_the_versions_of_the_lock_file() -> None:
    assert locked() == constrained(), AGAIN


def test_every_declared_dependency_is_pinned() -> None:
    assert declared() <= locked().keys(), AGAIN


def test_the_lock_file_names_the_public_index_and_no_other() -> None:
    sources = {package["source"].get("registry") for package in toml("uv.lock")["package"]} - {None}
    assert sources == {"https://pypi.org/simple"}, "run tools/lock.sh without an index of your own configured"
