"""The script of the demo: what is shown, in which order, with which commands."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from typing import Final

from backstory.store import StateStore

SCOPE: Final = "session:invoices"
KEY: Final = "payment/p-77"
WRONG: Final = 1.48


@dataclass(frozen=True, slots=True)
class Step:
    """One stop of the tour: what it is about, and the command that shows it, without the program's name."""

    title: str
    arguments: tuple[str, ...]

    @property
    def command(self) -> str:
        """The command as a user types it."""
        return shlex.join(("backstory", *self.arguments))


def run_file() -> str:
    """Return the path of the recorded run, which comes with the package."""
    return str(files("backstory.demo").joinpath("run.json"))


def opening() -> Step:
    """Return the step that imports the run."""
    return Step("An agent was asked to pay two invoices. Its run was recorded; import it.", ("import", run_file()))


def steps(store: StateStore) -> Iterator[Step]:
    """Yield what there is to see in the imported run; the positions are looked up in its store."""
    changes = store.history(SCOPE, KEY)
    wrong = next(change.position for change in changes if change.after["amount"] == WRONG)
    right = next(change.position for change in changes if change.position > wrong)
    yield Step("The state now: two payments.", ("items", SCOPE, "--prefix", "payment/"))
    yield Step("How did p-77 come to its amount? Its history: it was wrong at first.", ("history", SCOPE, KEY))
    yield Step(
        "Who set the wrong amount? The event that did, and what caused it.",
        ("blame", SCOPE, KEY, "--path", "amount", "--as-of", str(right - 1)),
    )
    yield Step(
        "Why did it write that? What led there, the last step first: it misread 1.480,00.",
        ("why", SCOPE, KEY, "--as-of", str(right - 1), "--limit", "4"),
    )
    yield Step("The tools it used until then.", ("log", "--until", str(wrong), "--type", "tool.*"))
    yield Step(
        "The state just before the mistake.",
        ("items", SCOPE, "--prefix", "invoice/", "--as-of", str(wrong - 1)),
    )
    yield Step(
        "The state just before the correction: the budget was wrong as well.",
        ("get", SCOPE, "budget/2026-12", "--as-of", str(right - 1)),
    )
    yield Step("All that changed from there to now.", ("diff", str(right - 1), str(store.position()), "--scope", SCOPE))
    yield Step("Has anybody touched the log since? The chain of hashes says no.", ("verify",))
