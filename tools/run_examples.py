"""Run the `console` examples of documents, and say where the program answers otherwise; with `--update`, write it down.

What differs from run to run (ids, times, hashes, durations, sizes) is not compared, and is written down with `--anew`
alone: then all of a document is from one run. The examples of one document are run in order, in one empty folder, which
is shown as one that somebody may have; standard error follows standard output.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# A command that is given a text, up to the line that ends it.
_HERE = re.compile(r"\$ [^\n]*<<'(\w+)'\n.*?^\1$", re.MULTILINE | re.DOTALL)
_VARYING = [
    (re.compile(r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b"), "<id>"),
    (re.compile(r"\b[0-9a-f]{64}\b"), "<hash>"),
    # An archive's folder, time and id; its size, which hangs on how well those compress.
    (re.compile(r"[^\s\"]*/\d{8}T\d{12}Z-(full|incremental)-[0-9a-f]{32}\.bsa"), r"<\1 archive>"),
    (re.compile(r'[^\s"]*/(?=[^\s"/]+\.bsa\b)'), "<folder>/"),
    (re.compile(r'(?<!"code":")\b[0-9a-f]{32}\b'), "<backup>"),
    (re.compile(r"\b[0-9a-f]{12}\b"), "<short id>"),
    (re.compile(r'("(?:size|raw|freed)_bytes":)\d+'), r"\1<number>"),
    (re.compile(r"\b[\d.]+ (?:B|[KMG]iB)\b"), "<size>"),
    (re.compile(r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)"), "<time>"),
    (re.compile(r"\b\d{4}-\d\d-\d\d\s+\d\d:\d\d:\d\d\s+UTC"), "<time>"),
    (re.compile(r"^\d{4}-\d\d-\d\d$", re.MULTILINE), "<day>"),
    (re.compile(r"\b\d\d:\d\d:\d\d\.\d{3}\b"), "<clock>"),
    (
        re.compile(r'("(?:bytes|seconds|events_per_second|(?:duration|total|mean|p50|p95|longest)_s)":)[\d.e-]+'),
        r"\1<number>",
    ),
    (re.compile(r'("code":)"[0-9a-f]{32}"'), r"\1<digest>"),
    (re.compile(r"\bin [\d.]+ s \(\d+ events/s\)"), "<rate>"),
    (re.compile(r"\b(bytes +)\d+"), r"\1<number>"),
    (re.compile(r" \([\d.]+ (?:us|ms|s)\)"), " <duration>"),
    (re.compile(r"\b(damaged at byte )\d+"), r"\1<number>"),
]


#: What the folder in which examples are run is shown as.
_SHOWN: Final = "/srv/agent"


class Example(NamedTuple):
    """A command of a document, and what the document says it prints."""

    command: str
    shown: str


def examples(text: str) -> list[Example]:
    """Return the examples of a document, in order."""
    return [example for block in BLOCK.findall(text) for example in _split(block)]


def _split(block: str) -> Iterator[Example]:
    for part in re.split(r"^(?=\$ )", block, flags=re.MULTILINE):
        if part.startswith("$ "):
            found = _HERE.match(part)
            command = found[0] if found else part.partition("\n")[0]
            yield Example(command[2:], part[len(command) :].strip("\n"))


def steady(text: str) -> str:
    """Return a text without what differs from run to run."""
    for pattern, name in _VARYING:
        text = pattern.sub(name, text)
    return text


def shell(folder: Path) -> Callable[[str], str]:
    """Return a function that runs a command line as a user would, and returns what it prints."""
    tools = folder / "bin"
    tools.mkdir()
    program = tools / "backstory"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m backstory "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    home = folder / "home"
    home.mkdir()
    kept = {name: value for name, value in os.environ.items() if not name.startswith("BACKSTORY_")}
    variables = kept | {"PATH": f"{tools}:/usr/bin:/bin", "HOME": str(home)}

    def run(command: str) -> str:
        done = subprocess.run(["/bin/sh", "-c", command], cwd=home, env=variables, capture_output=True, check=False)
        return (done.stdout + done.stderr).decode().replace(str(home), _SHOWN).rstrip("\n")

    return run


def differences(path: Path, run: Callable[[str], str]) -> Iterator[str]:
    """Yield a text for each example of a document that gives something else than it shows."""
    for example in examples(path.read_text(encoding="utf-8")):
        printed = run(example.command)
        if steady(printed) != steady(example.shown):
            yield f"{path.name}: $ {example.command}\nshows\n{example.shown}\nand gives\n{printed}"


def update(path: Path, run: Callable[[str], str], *, anew: bool = False) -> None:
    """Write what the examples give into their document; what differs only by its nature stays, unless all is anew."""

    def renewed(match: re.Match[str]) -> str:
        parts = []
        for example in _split(match[1]):
            printed = run(example.command)
            stays = not anew and steady(printed) == steady(example.shown)
            shown = example.shown if stays else printed
            parts.append("\n".join(filter(None, (f"$ {example.command}", shown))))
        return "```console\n" + "\n".join(parts) + "\n```"

    path.write_text(BLOCK.sub(renewed, path.read_text(encoding="utf-8")), encoding="utf-8")


def main() -> int:
    """Run the examples of the documents named; return 1 if one gives something else than it shows."""
    wrong = 0
    for name in (each for each in sys.argv[1:] if not each.startswith("--")):
        with contextlib.ExitStack() as stack:
            run = shell(Path(stack.enter_context(tempfile.TemporaryDirectory())))
            if "--update" in sys.argv[1:] or "--anew" in sys.argv[1:]:
                update(Path(name), run, anew="--anew" in sys.argv[1:])
                continue
            for difference in differences(Path(name), run):
                print(difference)
                wrong = 1
    return wrong


if __name__ == "__main__":
    sys.exit(main())
