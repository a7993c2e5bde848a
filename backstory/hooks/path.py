"""The path of operations through their hooks: what stands before a write, and what comes of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import partial
from random import random
from typing import Any, Final

from backstory.committing import Performed, append, commit_of
from backstory.context import hooks_in, note_written
from backstory.domain.commits import Commit, Decision, Draft, Needs, Outcome, View
from backstory.domain.context import Author
from backstory.domain.decisions import Decisions, Intent
from backstory.domain.errors import (
    BackstoryError,
    ConflictError,
    HookError,
    InvalidValueError,
    MigrationError,
    NotFoundError,
    SchemaError,
)
from backstory.domain.events import RecordedEvent, StoredEvent
from backstory.domain.hooks import HookPoint
from backstory.domain.ports import Clock, Program
from backstory.gate import Session
from backstory.hooks.after import After
from backstory.hooks.announcing import Announcer
from backstory.hooks.asked import Asked, known, refuse
from backstory.hooks.calling import pause
from backstory.hooks.chain import Ended
from backstory.hooks.due import marked
from backstory.hooks.plan import VERBS, Plan, Planner, Stopped, Target, outside
from backstory.hooks.recording import Recorder
from backstory.hooks.registry import Registry
from backstory.infrastructure import codec
from backstory.sessions import DirectSession
from backstory.transactions import TransactionSession
from backstory.turns import Turns

_TRIES: Final = 8
_MOST_TRIES: Final = 100
_PAUSE_S: Final = 0.001
_LONGEST_PAUSE_S: Final = 0.1


class Path:
    """All that an open store's operations meet of hooks. One for all its branches."""

    def __init__(
        self,
        registry: Registry,
        recorder: Recorder,
        decisions: Decisions,
        *,
        after: After,
        announcer: Announcer,
        clock: Clock,
        max_bytes: int,
        author: Callable[[], Author],
    ) -> None:
        self.registry: Final = registry
        self.after: Final = after
        self.announcer: Final = announcer
        self._recorder = recorder
        self._author = author
        self._turns = Turns()
        self._planner = Planner(registry, recorder, decisions, clock=clock, max_bytes=max_bytes, mark=self.mark)
        after.planner = self._planner
        self._reads = Asked(registry, recorder, self._planner, after, clock=clock, max_bytes=max_bytes, author=author)

    @property
    def reads(self) -> bool:
        """Whether any hook stands in the path of reads."""
        return self.registry.reads

    def end(self) -> Any:
        """Let what runs in the background end; on the asyncio face the answer is to be awaited."""
        return self.after.queue.close()

    def leave(self) -> Program[None]:
        """Say that nothing is left to do."""
        return self.announcer.leave()

    @property
    def writes(self) -> bool:
        """Whether any hook stands in the path of writes, or behind them."""
        return self.registry.before_writes or self.registry.after_writes

    # Writing

    def commit(self, session: DirectSession, commit: Commit) -> Program[Outcome]:
        """Put a commit that is no operation's into the log, as its hooks have it."""
        intent = Intent(commit.drafts, commit.needs, commit.decide)
        try:
            events, result = yield from self.write(session, intent, self._author())
        except BackstoryError as error:
            return Outcome(error=error)
        return Outcome([event.stored for event in events], result)

    def write(self, session: DirectSession, intent: Intent, author: Author) -> Program[Performed]:
        """Perform an operation of its own: as one transaction, where anything stands in its path."""
        if self.announcer.waiting:
            yield from self.announcer.announce()
        if self.registry.before_writes:
            return (yield from self._in_turn(session, intent, author))
        if self.registry.after_writes:
            return (yield from self.behind(session, intent, author))
        return (yield from session.perform_plain(intent, author))

    def write_in(self, tx: TransactionSession, intent: Intent, author: Author) -> Program[Performed]:
        """Perform an operation inside a transaction."""
        if self.announcer.waiting:
            yield from self.announcer.announce()
        if not (self.registry.before_writes or self.registry.after_writes):
            return (yield from tx.perform_plain(intent, author))
        return (yield from self._attempts(tx, intent, author, again=None))

    def _in_turn(self, session: DirectSession, intent: Intent, author: Author) -> Program[Performed]:
        """Perform an operation as one transaction; those of this process on the same key one after the other.

        They would be refused and planned again otherwise, and their hooks run for nothing. One inside a hook's run
        waits for nobody, who might wait for that hook.
        """
        # What is decided is decided at an instant of the log's; a plain write needs to know none.
        fresh = partial(session.transaction, brief=intent.decide is None)
        place = _place(intent)
        if place is None or hooks_in(author.extra):
            return (yield from self._attempts(fresh(), intent, author, again=fresh))
        at = (session.branch, *place)
        yield from self._turns.take(at)
        try:
            return (yield from self._attempts(fresh(), intent, author, again=fresh))
        finally:
            self._turns.give(at)

    def _attempts(
        self,
        tx: TransactionSession,
        intent: Intent,
        author: Author,
        *,
        again: Callable[[], TransactionSession] | None,
    ) -> Program[Performed]:
        """Plan and write, anew where a hook wants it, or where what was planned on has changed meanwhile.

        What hooks did in earlier attempts is recorded too. With `again` the transaction is this operation's own.
        """
        ids: dict[Target, bytes] = {}
        past: list[Draft] = []
        attempt, tries = 1, 0
        while True:
            plan = Plan(tx, author, ids, attempt)
            try:
                decision = yield from self._plan(plan, intent)
            except Stopped as stopped:
                past.extend(plan.left())
                yield from self._stopped(stopped.ended, past, tx, attempt)
                attempt += 1
            except (ConflictError, HookError, InvalidValueError, NotFoundError):
                yield from _leave(past + plan.left(), tx)
                raise
            else:
                # A write that expects nothing is never refused: in the end whatever its hooks have seen.
                checked = tries < _TRIES or intent.decide is not None
                put = _noted if again is None else partial(_concluded, checked=checked)
                try:
                    events = yield from put(tx, (*past, *plan.drafts), author)
                except (SchemaError, MigrationError):
                    yield from _leave(past + plan.left(), tx)
                    raise
                except ConflictError:
                    tries += 1
                    past.extend(plan.left())
                    if again is None or tries >= _MOST_TRIES:
                        yield from _leave(past, tx)
                        raise
                    # Other processes want the same key: whoever comes after them meets nobody there.
                    yield pause(random() * min(_LONGEST_PAUSE_S, _PAUSE_S * 2**tries))  # noqa: S311
                else:
                    return _answered(events, plan, decision, len(past))
            if again is not None:
                tx = again()

    def _plan(self, plan: Plan, intent: Intent) -> Program[Decision]:
        relied = plan.tx.read_places()
        decision = yield from plan.tx.decide(intent, plan.author)
        if decision.drafts:
            yield from known(plan.tx.event, plan.author.causes)
        for draft in decision.drafts:
            yield from self._planner.add(plan, draft, primary=True)
        if plan.written:
            _reckon_with_own(plan, intent, relied)
        return decision

    def _stopped(self, ended: Ended, runs: list[Draft], tx: TransactionSession, attempt: int) -> Program[None]:
        """Wait for another attempt, or record what ran and refuse."""
        execution = ended.by
        assert execution is not None
        result = execution.result
        if ended.stop == "again" and result is not None and attempt < (result.max_attempts or 1):
            yield pause(result.delay_s or 0.0)
            return
        yield from _leave(runs, tx)
        refuse(ended, attempt)

    def mark(self, draft: Draft) -> Draft:
        """Have a write say which background hooks it is due for."""
        verb = VERBS.get(draft.type)
        if verb is None or f"after_state_{verb}" not in self.registry.background:
            return draft
        names = tuple(
            each.name
            for each in self.registry.at(f"after_state_{verb}", hooks_in(draft.extra))
            if each.background and each.announced and each.fits(draft.stream, draft.key)
        )
        return draft._replace(extra=marked(draft.extra, self.after.writer, names)) if names else draft

    def behind(self, session: DirectSession, intent: Intent, author: Author) -> Program[Performed]:
        """Perform an operation with the hooks behind it alone: decided under the lock, as if there were none."""
        if intent.decide is None:
            intent = Intent(tuple(map(self.mark, intent.drafts)))
        else:
            decide = intent.decide

            def wish(view: View) -> Decision:
                decision = decide(view)
                return Decision(tuple(map(self.mark, decision.drafts)), decision.result)

            intent = Intent(needs=intent.needs, decide=wish)
        with self.underway():
            outcome = yield from session.append(commit_of(intent, author, session.branch))
            yield from self.committed(session, outcome.events)
        return [RecordedEvent(row, codec.decode_value) for row in outcome.events], outcome.result

    def underway(self) -> AbstractContextManager[None]:
        """Return the block in which a commit and what is due behind it belong together."""
        return self.after.outstanding.underway()

    def committed(self, session: DirectSession, rows: Sequence[StoredEvent]) -> Program[None]:
        """See to the hooks behind what was committed, and tell those inside whose run it was."""
        note_written((row.branch, row.stream, row.key) for row in rows)
        if self.registry.after_writes:
            yield from self.after.see_to(session, rows)

    # Reading and firing

    def read(self, session: Session, stream: str, key: str, as_of: object, operation: str) -> Program[Any]:
        """Return a key's value or `MISSING`, as its hooks have it."""
        if self.announcer.waiting:
            yield from self.announcer.announce()
        return (yield from self._reads.read(session, stream, key, as_of, operation))

    def fire(self, session: DirectSession, point: HookPoint, data: bytes, author: Author) -> Program[bytes]:
        """Run the hooks of a point that the store does not fire itself; return the data as they left it."""
        if self.announcer.waiting:
            yield from self.announcer.announce()
        return (yield from self._reads.fire(session, point, data, author))


def _noted(tx: TransactionSession, drafts: Sequence[Draft], author: Author) -> Program[Sequence[RecordedEvent]]:
    """Note an operation in a transaction that goes on."""
    events, _ = yield from tx.perform_plain(Intent(drafts), author)
    return events


def _concluded(
    tx: TransactionSession, drafts: Sequence[Draft], _: Author, *, checked: bool
) -> Program[Sequence[RecordedEvent]]:
    """Write an operation as a transaction of its own."""
    return (yield from tx.conclude(drafts, checked=checked))


def _reckon_with_own(plan: Plan, intent: Intent, relied: set[tuple[str, str | None]]) -> None:
    """Rely no longer on what hooks wrote themselves after they had seen it; refuse what was decided on that."""
    needs = intent.needs or Needs()
    whole = {*needs.streams, *needs.listings, *(draft.stream for draft in plan.drafts if draft.cleared)}
    for (branch, stream, key), hook in plan.written.items():
        if branch != plan.tx.home.branch:
            continue
        if stream in whole or (stream, key) in needs.keys:
            raise HookError(
                f"hook {hook!r} wrote to {stream} what the operation was decided on",
                hook=hook,
                hint="Have it answer `modified` or `fork`, or write elsewhere.",
            )
        if (stream, key) not in relied:
            plan.tx.forgive(stream, key)


def _leave(runs: Sequence[Draft], tx: TransactionSession) -> Program[None]:
    """Record what hooks did for an operation that is not done.

    By itself: what a transaction around it becomes does not matter, so it cannot name what is only in there.
    """
    if runs:
        yield from append(Commit(tx.home.branch, [outside(draft, tx) for draft in runs]))


def _place(intent: Intent) -> tuple[str, str] | None:
    """Return the one key that an operation is about, or None."""
    if len(intent.drafts) == 1 and intent.drafts[0].key is not None:
        return intent.drafts[0].stream, intent.drafts[0].key
    if intent.needs is not None and len(intent.needs.keys) == 1:
        return intent.needs.keys[0]
    return None


def _answered(events: Sequence[RecordedEvent], plan: Plan, decision: Decision, offset: int) -> Performed:
    """Return the events of the operation itself, and its result without what hooks left nothing of."""
    result = decision.result
    if any(draft.cleared for draft in decision.drafts):
        result = sum(len(plan.drafts[index].cleared or ()) for index in plan.primary)
    elif plan.dropped:
        result = False if isinstance(result, bool) else result - plan.dropped if isinstance(result, int) else result
    return [events[offset + index] for index in plan.primary], result
