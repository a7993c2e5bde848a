"""Resting: the writes of a transaction say which events wrote what it had read; however much that was, once.

Up to `FEW` reads every write says all of them itself. Beyond that a write that says more becomes one that later
writes share: they name it, and say themselves only what was read since. So a thousand writes after a thousand reads
say some thousand positions, not a million.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from backstory.context import with_reads
from backstory.domain.commits import Decision, Draft, View
from backstory.domain.decisions import Intent

#: The most reads that a write repeats.
FEW: Final = 64
#: What hooks did says itself what it rests on.
_HOOKS: Final = ("hook.", "circuit.")


class Resting:
    """What one transaction has read so far, and what its writes have said of that."""

    __slots__ = ("_after", "_carrier", "_said", "_seen")

    def __init__(self) -> None:
        self._seen: dict[int, None] = {}
        #: The write whose reads the next one shares, and how many those are, its own chain's included.
        self._carrier: bytes | None = None
        self._said = 0
        self._after: tuple[bytes | None, int] = (None, 0)

    def saw(self, position: int) -> None:
        """Take in the position of an event that wrote what was read."""
        self._seen[position] = None

    def intent(self, intent: Intent) -> Intent:
        """Return an intent whose events say what has been read."""
        if not self._seen:
            return intent
        if intent.decide is None:
            return intent._replace(drafts=self._rest(intent.drafts))
        decide = intent.decide

        def wish(view: View) -> Decision:
            decision = decide(view)
            return Decision(self._rest(decision.drafts), decision.result)

        return intent._replace(decide=wish)

    def noted(self) -> None:
        """Let later writes share what the last intent's events said: they will be written."""
        if self._seen:
            self._carrier, self._said = self._after

    def _rest(self, drafts: Sequence[Draft]) -> tuple[Draft, ...]:
        carrier, said = self._carrier, self._said
        seen = list(self._seen)
        rested: list[Draft] = []
        for draft in drafts:
            if draft.type.startswith(_HOOKS):
                rested.append(draft)
                continue
            fresh = seen[said:]
            rested.append(with_reads(draft, fresh, shared=carrier))
            # One with a given id may have been recorded before, and would say nothing; a copy says its source as well.
            if len(fresh) > FEW and not (draft.given_id or draft.source or draft.reads):
                carrier, said = draft.event_id, len(seen)
        self._after = (carrier, said)
        return tuple(rested)
