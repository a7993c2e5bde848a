"""The tour: imports the recorded run into a store, and shows each step with the command that a user would type."""

from __future__ import annotations

import contextlib
import io
import json
import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from backstory.cli.failures import UsageError
from backstory.cli.program import run
from backstory.cli.session import Session, shown_url
from backstory.demo.script import Step, opening, steps
from backstory.opening import open as open_store

KEPT: Final = "backstory-demo.db"


def tour(session: Session, *, keep: bool) -> int:
    """Give the tour, up to the first step that fails; return its exit code."""
    guide = _Guide(session, _store(session.options.store, keep=keep))
    if not guide.show(opening()):
        return guide.end()
    with open_store(guide.url, create=False, read_only=True) as store:
        script = list(steps(store))
    all(guide.show(step) for step in script)
    return guide.end()


def _store(given: str | None, *, keep: bool) -> str:
    """Return the URL of the store to use: the one given, or a new one here or among the temporary files."""
    if given == "memory://":
        raise UsageError(
            "the demo needs a store that outlives a command", hint="Leave --store out, or name a SQLite file."
        )
    if given is not None:
        return given
    if keep:
        return f"sqlite:///{_unused(Path.cwd() / KEPT)}"
    return f"sqlite:///{Path(tempfile.mkdtemp(prefix='backstory-demo-'), 'demo.db')}"


def _unused(path: Path) -> Path:
    """Return a path at which nothing is yet: the demo never writes into what it finds."""
    number = 1
    found = path
    while found.exists():
        number += 1
        found = path.with_stem(f"{path.stem}-{number}")
    return found


class _Guide:
    """Shows one step after the other, for people or for programs."""

    def __init__(self, session: Session, url: str) -> None:
        self.url: Final = url
        self._out: Final = session.out
        self._globals: Final = ["--store", url, *(["--no-color"] if session.options.no_color else [])]
        self._shown: Final[list[dict[str, Any]]] = []
        self._code = 0
        if not self._out.json:
            self._say("Every command below can be typed as it stands, after this:")
            for line in preparations(url):
                self._out.line(f"$ {line}")

    def _say(self, text: str) -> None:
        self._out.line(self._out.paint(f"# {text}", "bold"))

    def show(self, step: Step) -> bool:
        """Run a step's command and show what it says; return whether it succeeded."""
        if self._out.json:
            self._record(step)
        else:
            self._out.line()
            self._say(step.title)
            self._out.line(f"$ {step.command}")
            self._out.flush()
            self._code = run([*self._globals, *step.arguments])
        return not self._code

    def _record(self, step: Step) -> None:
        caught = io.BytesIO()
        stream = io.TextIOWrapper(caught, encoding="utf-8")
        with contextlib.redirect_stdout(stream):
            self._code = run([*self._globals, "--json", *step.arguments])
        output = [json.loads(line) for line in caught.getvalue().splitlines()]
        self._shown.append({"title": step.title, "command": step.command, "exit_code": self._code, "output": output})

    def end(self) -> int:
        """Say where the store is, and return the exit code of the last step."""
        if self._out.json:
            self._out.value({"store": shown_url(self.url), "steps": self._shown})
        else:
            self._out.line()
            self._say(f"The store stays where it is: {shown_url(self.url)}")
        return self._code


def preparations(url: str) -> Iterator[str]:
    """Yield what a shell must be told before the commands of the tour mean this program and this store."""
    here = Path(sys.executable).parent
    if (here / "backstory").exists() and shutil.which("backstory") != str(here / "backstory"):
        yield f"export PATH={shlex.quote(str(here))}:$PATH"
    yield f"export BACKSTORY_STORE={shlex.quote(shown_url(url))}"
