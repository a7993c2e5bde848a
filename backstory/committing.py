"""Committing: how an intent becomes a commit, and a commit part of the log."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from backstory.context import with_reads
from backstory.domain.commits import Commit, Decision, Needs, Outcome, View, split_causes
from backstory.domain.context import Author
from backstory.domain.decisions import Intent
from backstory.domain.events import RecordedEvent
from backstory.domain.ports import Append, Program

Performed = tuple[Sequence[RecordedEvent], Any]


def commit_of(intent: Intent, author: Author, branch: int) -> Commit:
    """Return the commit that carries out an intent under the log's lock."""
    if intent.decide is None:
        return Commit(branch, intent.drafts)
    needs = intent.needs or Needs()
    causes = author.causes
    if causes is not None:
        needs = replace(needs, event_ids=(*needs.event_ids, *split_causes(causes)))
    return Commit(branch, (), intent.decide, needs)


def append(commit: Commit) -> Program[Outcome]:
    """Put a commit into the log; raises what refused it."""
    outcome: Outcome = yield Append(commit)
    if outcome.error is not None:
        raise outcome.error
    return outcome


def reading(intent: Intent, positions: Sequence[int]) -> Intent:
    """Return an intent whose events say that they rest on what was read."""
    decide = intent.decide
    if not positions or decide is None:
        return intent

    def wish(view: View) -> Decision:
        decision = decide(view)
        return Decision(tuple(with_reads(draft, positions) for draft in decision.drafts), decision.result)

    return intent._replace(decide=wish)


def referring(intent: Intent, until: int) -> Intent:
    """Return the intent of a copy whose events refer to what they copy, as to something read up to a position."""
    decide = intent.decide
    assert decide is not None

    def wish(view: View) -> Decision:
        decision = decide(view)
        drafts = tuple(
            with_reads(draft, (draft.source,)) if 0 < draft.source <= until else draft for draft in decision.drafts
        )
        return Decision(drafts, decision.result)

    return intent._replace(decide=wish)
