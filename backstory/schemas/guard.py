"""The guard: what is written meets the schemas that are bound there, whoever bound them, in whatever process.

A commit is checked before it goes to the log, and says by which version of the rules. Where these have changed
meanwhile the log refuses it, and it is checked anew. A store without schemas pays for one comparison.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from backstory.domain.bindings import RULES_STREAM
from backstory.domain.commits import Commit, Decision, Draft, Outcome, Read, View
from backstory.domain.errors import BackstoryError, ConflictError, MigrationError, SchemaError
from backstory.domain.ports import LAST_POSITION, Append, AppendAll, Program
from backstory.domain.sequencer import STATE_SET
from backstory.projections.state import StateReader
from backstory.turns import Turns

if TYPE_CHECKING:
    from backstory.migrations.upcasting import Ways
    from backstory.schemas.known import Known

_REFUSALS: Final = (SchemaError, MigrationError)
Learnt: TypeAlias = "tuple[Read, Known | None]"


class Guard:
    """Stands before the log, on one branch."""

    __slots__ = ("_free", "_state", "_turns", "learnt", "pending", "ways")

    def __init__(self, state: StateReader) -> None:
        self._state: Final = state
        #: Which rules hold as far as is known, and what they are: one thing, for threads learn while others write.
        self.learnt: Learnt | None = None
        #: What commits rely on where there are no rules at all.
        self._free: tuple[Read, ...] = ()
        #: What was asked for by a plain call, to be done before anything else is.
        self.pending: deque[Callable[[], Program[Any]]] = deque()
        self._turns: Final = Turns()
        #: Ways between versions, kept for reads that ask for one; made when the first one does.
        self.ways: Ways | None = None

    def append(self, commit: Commit) -> Program[Outcome]:
        """Put a commit into the log; its outcome may be a `SchemaError`. Raises one, too."""
        if self.pending or self._turns.taken:
            yield from self.settle()
        if self._free and not commit.reads:
            commit.reads = self._free
            free: Outcome = yield Append(commit)
            if free.error is None or not self._outdated(free):
                return free
            commit.reads = ()
        original = _Original(commit)
        while True:
            learnt = self.learnt or (yield from self.look())
            try:
                original.guard(commit, *learnt)
            except _REFUSALS as error:
                outcome = Outcome(error=error)
            else:
                outcome = yield Append(commit)
            if not self._outdated(outcome) and not (yield from self.refused_too_soon(outcome.error, learnt)):
                return outcome

    def append_all(self, commits: Sequence[Commit]) -> Program[list[Outcome]]:
        """Put commits into the log, each with an outcome of its own."""
        yield from self.settle()
        originals = [_Original(commit) for commit in commits]
        outcomes: list[Outcome] = [Outcome()] * len(commits)
        left = list(range(len(commits)))
        while left:
            learnt = self.learnt or (yield from self.look())
            met, asked = [], left
            for index in asked:
                try:
                    originals[index].guard(commits[index], *learnt)
                except BackstoryError as error:
                    outcomes[index] = Outcome(error=error)
                else:
                    met.append(index)
            answers: Sequence[Outcome] = yield AppendAll([commits[index] for index in met])
            for index, outcome in zip(met, answers, strict=True):
                outcomes[index] = outcome
            left = [index for index in asked if self._outdated(outcomes[index])]
            for index in asked:
                if index not in left and (yield from self.refused_too_soon(outcomes[index].error, learnt)):
                    left.append(index)
        return outcomes

    @property
    def blind(self) -> bool:
        """Whether nothing was learnt yet, or something is waiting to be done."""
        return self.learnt is None or bool(self.pending)

    def check(self, drafts: Sequence[Draft]) -> None:
        """Raise `SchemaError` for drafts that would be refused by what is known: it may be outdated."""
        known = self.known
        if known is not None:
            for draft in drafts:
                known.checked(draft)

    def meets(self, drafts: Sequence[Draft]) -> Program[None]:
        """Raise `SchemaError` for drafts that would be refused by what holds now."""
        learnt = self.learnt
        try:
            self.check(drafts)
        except _REFUSALS as error:
            if not (yield from self.refused_too_soon(error, learnt)):
                raise
            self.check(drafts)

    def refused_too_soon(self, error: BaseException | None, learnt: Learnt | None) -> Program[bool]:
        """Return whether something was refused by rules that hold no more; those that do are learnt then."""
        if learnt is None or not isinstance(error, _REFUSALS):
            return False
        now = yield from self.look()
        return now[0] != learnt[0]

    def settle(self) -> Program[None]:
        """Do what was asked for by plain calls, in order; raises what refuses one of them, which is gone with that."""
        if not self.pending and not self._turns.taken:
            return
        yield from self._turns.take(None)
        try:
            while self.pending:
                yield from self.pending.popleft()()
        finally:
            self._turns.give(None)

    def look(self) -> Program[Learnt]:
        """Learn what holds now."""
        reader, lineage = self._state.reader, self._state.lineage
        version = yield from reader.stream_version(lineage, RULES_STREAM, LAST_POSITION)
        learnt = self.learnt
        if learnt is not None and learnt[0].version == version:
            return learnt
        known = None
        if version:
            # What is learnt now may be newer than the version says: then the log refuses, and it is learnt again.
            from backstory.schemas.known import known_rules

            known = yield from known_rules(reader, lineage, self._state.clock.now_us)
        read = Read(RULES_STREAM, None, version)
        self.learnt = (read, known)
        self._free = () if known else (read,)
        return read, known

    @property
    def known(self) -> Known | None:
        """What was learnt last, None where there are no rules."""
        learnt = self.learnt
        return None if learnt is None else learnt[1]

    def _outdated(self, outcome: Outcome) -> bool:
        error = outcome.error
        if isinstance(error, ConflictError) and error.stream == RULES_STREAM and error.key is None:
            self.learnt = None
            self._free = ()
            return True
        return False


class _Original:
    """A commit as it was asked for, whatever was made of it to be checked."""

    __slots__ = ("decide", "drafts", "reads")

    def __init__(self, commit: Commit) -> None:
        self.drafts = commit.drafts
        self.decide = commit.decide
        self.reads = commit.reads

    def guard(self, commit: Commit, read: Read, known: Known | None) -> None:
        """Have a commit hold only by these rules, and what it writes meet them."""
        decide = self.decide
        if decide is None and all(draft.type != STATE_SET for draft in self.drafts):
            return
        commit.reads = (*self.reads, read)
        if known is None:
            return
        if decide is None:
            commit.drafts = [known.checked(draft) for draft in self.drafts]
            return
        wish: Any = decide

        def decided(view: View) -> Decision:
            decision = wish(view)
            return Decision([known.checked(draft) for draft in decision.drafts], decision.result)

        commit.decide = decided


__all__ = ["Guard"]
