"""Check the documents: links lead somewhere, examples give what they show, README names the commands that CI runs."""

from __future__ import annotations

import contextlib
import doctest
import os
import re
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[1]
COMMANDS = ["./run demo", "./run test"]
"""What a fresh machine is told to type, in this order. CI types the same."""

_LINK = re.compile(r"!?\[[^\]]*\]\(<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\)")
_REFERENCE = re.compile(r"^ {0,3}\[[^\]]+\]:\s+(\S+)", re.MULTILINE)
_FENCE = re.compile(r"^(```|~~~).*?^\1\s*$", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"`[^`\n]*`")
_HEADING = re.compile(r"^#{1,6}\s+(.+?)\s*#*$", re.MULTILINE)
_ELSEWHERE = re.compile(r"^[a-z][a-z0-9+.-]*:", re.IGNORECASE)


def documents() -> Iterator[Path]:
    """Yield every Markdown file of the repository, hidden folders and environments left out."""
    for path in sorted(ROOT.rglob("*.md")):
        parts = path.relative_to(ROOT).parts
        if not any(part.startswith(".") or part in {"build", "dist", "node_modules"} for part in parts):
            yield path


def broken_links(path: Path) -> Iterator[str]:
    """Yield what is wrong with each link of a document to a file, or to a heading, of this repository."""
    prose = _CODE.sub("", _FENCE.sub("", path.read_text(encoding="utf-8")))
    for target in (*_LINK.findall(prose), *_REFERENCE.findall(prose)):
        if _ELSEWHERE.match(target):
            continue
        name, _, anchor = target.partition("#")
        file = (path.parent / name).resolve() if name else path
        if not file.exists():
            yield f"{target}: there is no such file"
        elif not file.is_relative_to(ROOT):
            yield f"{target}: leads out of the repository"
        elif anchor and file.suffix == ".md" and anchor not in anchors(file):
            yield f"{target}: there is no such heading"


def anchors(path: Path) -> set[str]:
    """Return the names by which a document's headings can be linked to, made as code hosts make them."""
    prose = _FENCE.sub("", path.read_text(encoding="utf-8"))
    seen: dict[str, int] = {}
    found = set()
    for heading in _HEADING.findall(prose):
        words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "")
        slug = re.sub(r"[^\w\- ]", "", words.lower()).replace(" ", "-")
        count = seen[slug] = seen.get(slug, -1) + 1
        found.add(f"{slug}-{count}" if count else slug)
    return found


def failed_examples(path: Path) -> Iterator[str]:
    """Run the `>>>` examples of a document, in a folder of their own, and say how many fail."""
    if ">>>" not in path.read_text(encoding="utf-8"):
        return
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        options = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
        result = doctest.testfile(os.fspath(path), module_relative=False, optionflags=options)
    if result.failed:
        yield f"{result.failed} of {result.attempted} examples do not give what they show"


def wrong_commands() -> Iterator[str]:
    """Say so unless README's commands for a fresh machine are those two, each of them named once."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    named = re.findall(r"^\s*(?:\$ )?(\./run\b.*?)\s*(?:#.*)?$", readme, re.MULTILINE)
    if named != COMMANDS:
        yield f"the commands for a fresh machine are {named}, and should be {COMMANDS}"


def problems() -> Iterator[str]:
    """Yield a line for everything that is wrong."""
    for path in documents():
        for problem in (*broken_links(path), *failed_examples(path)):
            yield f"{path.relative_to(ROOT)}: {problem}"
    for problem in wrong_commands():
        yield f"README.md: {problem}"


def main() -> int:
    """Print what is wrong; return 1 if anything is."""
    found = list(problems())
    for line in found:
        print(line)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
