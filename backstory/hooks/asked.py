"""Operations that ask hooks and write nothing themselves: reads, and points that are fired."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from typing import Any, Final, NoReturn
from uuid import UUID

from backstory.committing import append
from backstory.context import hooks_in
from backstory.domain.commits import Commit, Draft, split_causes
from backstory.domain.context import Author
from backstory.domain.decisions import Intent
from backstory.domain.errors import (
    ConflictError,
    HookCancelledError,
    HookError,
    MigrationError,
    NotFoundError,
    SchemaError,
)
from backstory.domain.events import MISSING, StoredEvent
from backstory.domain.hooks import HookPoint
from backstory.domain.ports import Clock, Here, Program
from backstory.gate import Session
from backstory.hooks.after import After, Item
from backstory.hooks.calling import pause
from backstory.hooks.chain import Chain, Ended
from backstory.hooks.plan import Plan, Planner, Stopped, Target, outside, subject_of
from backstory.hooks.recording import Recorder
from backstory.hooks.registry import Registry
from backstory.hooks.run_context import Subject
from backstory.infrastructure import codec
from backstory.infrastructure.clock import new_id
from backstory.projections.points import At
from backstory.sessions import DirectSession
from backstory.transactions import TransactionSession

_MOST_KEPT: Final = 1024


class Answers:
    """Answers of reads that a hook wants kept for a while, in this process; the oldest give way."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[int, str], tuple[int, bytes]] = OrderedDict()

    def get(self, branch: int, key: str) -> bytes | None:
        """Return what is kept of a branch and still good, or None."""
        with self._lock:
            found = self._kept.get((branch, key))
            if found is None or found[0] <= self._clock.now_us():
                return None
            return found[1]

    def keep(self, branch: int, key: str, answer: bytes, ttl_s: float) -> None:
        """Keep an answer for so many seconds."""
        with self._lock:
            self._kept[branch, key] = (self._clock.now_us() + int(ttl_s * 1_000_000), answer)
            self._kept.move_to_end((branch, key))
            if len(self._kept) > _MOST_KEPT:
                self._kept.popitem(last=False)


def refuse(ended: Ended, attempt: int) -> NoReturn:
    """Raise what a stopped operation's caller gets."""
    execution = ended.by
    assert execution is not None
    name, point = execution.registration.name, execution.subject.point
    if ended.stop == "cancel":
        assert execution.result is not None
        raise HookCancelledError(execution.result.reason or "", hook=name)
    if ended.stop == "again":
        raise HookError(
            f"the operation was given up after {attempt} attempts, as hook {name!r} asked for",
            hook=name,
            point=point,
            hint="Try again later; the hook's runs say what it waited for.",
        )
    raise HookError(f"the required hook {name!r} failed: {execution.error}", hook=name, point=point)


class Asked:
    """Runs the hooks of reads and of fired points; what they did is one commit."""

    def __init__(
        self,
        registry: Registry,
        recorder: Recorder,
        planner: Planner,
        after: After,
        *,
        clock: Clock,
        max_bytes: int,
        author: Callable[[], Author],
    ) -> None:
        self._registry = registry
        self._recorder = recorder
        self._planner = planner
        self._after = after
        self._clock = clock
        self._max_bytes = max_bytes
        self._author = author
        self._answers = Answers(clock)

    # Reads

    def read(self, session: Session, stream: str, key: str, as_of: object, operation: str) -> Program[Any]:
        """Return a key's value or `MISSING`, as its hooks have it."""
        assert isinstance(session, (DirectSession, TransactionSession))
        yield Here()
        given = self._author()
        inside = hooks_in(given.extra)
        before = self._registry.at("before_state_read", inside)
        behind = self._registry.at("after_state_read", inside)
        if not any(each.fits(stream, key) for each in (*before, *behind)):
            return (yield from session.get_plain(stream, key, as_of))
        subject, author = yield from self._subject(session, "before_state_read", operation, given)
        subject = subject._replace(stream=stream, key=key, as_of=_text_of(as_of))
        work = _Work(self, session, author)
        answered, cache = subject, None
        while True:
            ended = yield from work.run(before, "read", subject)
            if ended.stop is None:
                encoded = ended.subject.after
                if not ended.answered:
                    value = yield from session.get_plain(ended.subject.stream or "", ended.subject.key or "", as_of)
                    encoded = None if value is MISSING else codec.encode_value(value)
                cache = ended.cache
                answered = ended.subject._replace(point="after_state_read", after=encoded)
                ended = yield from work.run([each for each in behind if not each.background], "answer", answered)
            if ended.stop is None:
                break
            subject = yield from work.again(ended, subject)
        answer = ended.subject.after
        if cache is not None and answered.after is not None and work.own:
            # What was found, not what the hooks behind it made of it: they run for a kept answer too.
            self._answers.keep(work.home.branch, cache[0], answered.after, cache[1])
        yield from work.record()
        later = [each for each in behind if each.background and each.fits(answered.stream, answered.key)]
        if later:
            yield from self._after.put([Item(work.home, tuple(later), None, answered._replace(attempt=1), author)])
        return MISSING if answer is None else codec.decode_value(answer)

    # Fired points

    def fire(self, session: DirectSession, point: HookPoint, data: bytes, author: Author) -> Program[bytes]:
        """Run the hooks of a point; return the data as they left it."""
        there = self._registry.at(point.name, hooks_in(author.extra))
        subject, author = yield from self._subject(session, point.name, point.name, author)
        subject = subject._replace(after=data)
        work = _Work(self, session, author)
        while True:
            ended = yield from work.run([each for each in there if not each.background], "fired", subject)
            if ended.stop is None:
                break
            subject = yield from work.again(ended, subject)
        yield from work.record()
        later = tuple(each for each in there if each.background and each.fits(None, None))
        if later:
            yield from self._after.put([Item(session, later, None, ended.subject._replace(attempt=1), author)])
        assert ended.subject.after is not None
        return ended.subject.after

    def _subject(
        self, session: DirectSession | TransactionSession, point: str, operation: str, author: Author
    ) -> Program[tuple[Subject, Author]]:
        """Return what the chain is about, and the context that its runs are recorded in."""
        own = new_id()
        correlation = author.correlation
        find = session.event if isinstance(session, TransactionSession) else session.state.reader.event
        root = yield from known(find, author.causes)
        if correlation is None and root is not None:
            correlation = root.correlation or b"u" + root.event_id
        author = author._replace(correlation=correlation or b"u" + own)
        subject = subject_of(point, operation, own, None, None, before=None, after=None, author=author)
        return subject, author

    def chain(self, plan: Plan, author: Author, branch: int | None) -> Chain:
        """Return the chain of an asking operation; a redirected read has no value before it.

        Answers are kept for a branch. A transaction, of none, neither takes nor leaves any: it reads its own writes,
        which nobody else may ever see.
        """
        kept = None if branch is None else partial(self._answers.get, branch)
        return Chain(self._clock, self._max_bytes, plan.find, author, kept=kept)

    def drafts(self, ended: Ended, author: Author) -> list[Draft]:
        """Return the events of a chain's runs."""
        return self._recorder.drafts(ended.executions, author)

    def join(self, plan: Plan, ended: Ended, author: Author) -> Program[None]:
        """Plan what hooks want to have done beside."""
        for execution, operations in ended.forks:
            yield from self._planner.join(plan, execution, operations, author)


class _Work:
    """One asking operation: the runs of its hooks, and what they want done beside."""

    def __init__(self, asked: Asked, session: DirectSession | TransactionSession, author: Author) -> None:
        self._asked = asked
        self._session = session
        self._author = author
        self.home = session if isinstance(session, DirectSession) else session.home
        self.own = isinstance(session, DirectSession)
        self._tx = session.transaction() if isinstance(session, DirectSession) else session
        self._ids: dict[Target, bytes] = {}
        self._plan = Plan(self._tx, author, self._ids)
        self._forks: list[Ended] = []
        self._attempt = 1

    def run(self, registrations: Sequence[Any], stage: Any, subject: Subject) -> Program[Ended]:
        """Run a chain and plan its events."""
        chain = self._asked.chain(self._plan, self._author, self.home.branch if self.own else None)
        ended = yield from chain.run(registrations, stage, subject)
        self._plan.record(self._asked.drafts(ended, self._author))
        if ended.stop is None and ended.forks:
            self._forks.append(ended)
            try:
                yield from self._asked.join(self._plan, ended, self._author)
            except Stopped as stopped:
                return stopped.ended
        return ended

    def again(self, ended: Ended, subject: Subject) -> Program[Subject]:
        """Wait for another attempt, or record what ran and refuse."""
        result = None if ended.by is None else ended.by.result
        if ended.stop == "again" and result is not None and self._attempt < (result.max_attempts or 1):
            yield pause(result.delay_s or 0.0)
            self._attempt += 1
            self._forks = []
            self._anew()
            return subject._replace(attempt=self._attempt)
        yield from self._refused(ended)
        return subject

    def _anew(self) -> None:
        """Plan from the beginning, with what has run so far."""
        runs = self._plan.runs
        if self.own:
            self._tx = self.home.transaction()
        self._plan = Plan(self._tx, self._author, self._ids, self._attempt)
        self._plan.record(runs)

    def _refused(self, ended: Ended) -> Program[None]:
        runs = [outside(draft, self._tx) for draft in self._plan.runs]
        yield from append(Commit(self.home.branch, runs))
        refuse(ended, self._attempt)

    def record(self) -> Program[None]:
        """Write what ran, and what was wanted beside, as one commit or as a part of the transaction."""
        if not self._plan.drafts:
            return
        if not self.own:
            yield from self._tx.perform_plain(Intent(tuple(self._plan.drafts)), self._author)
            return
        if len(self._plan.drafts) == len(self._plan.runs):
            yield from append(Commit(self.home.branch, self._plan.drafts))
            return
        while True:
            try:
                yield from self._tx.conclude(self._plan.drafts)
            except ConflictError:
                yield from self._replan()
            except (SchemaError, MigrationError):
                yield from append(Commit(self.home.branch, self._plan.left()))
                raise
            else:
                return

    def _replan(self) -> Program[None]:
        """Plan what is wanted beside once more, on what has changed meanwhile; the hooks that want it have run."""
        self._anew()
        try:
            for ended in self._forks:
                yield from self._asked.join(self._plan, ended, self._author)
        except Stopped as stopped:
            yield from self._refused(stopped.ended)


def known(find: Callable[[bytes], Program[StoredEvent | None]], causes: bytes | None) -> Program[StoredEvent | None]:
    """Return the first of some causes; raises `NotFoundError` where one is unknown, before any hook runs for it."""
    first = None
    for cause in split_causes(causes):
        event = yield from find(cause)
        if event is None:
            raise NotFoundError("event", UUID(bytes=cause), hint="A cause must be an event of this log.")
        first = first or event
    return first


def _text_of(as_of: object) -> str | None:
    if as_of is None:
        return None
    if isinstance(as_of, At):
        return str(as_of.position)
    return as_of.isoformat() if isinstance(as_of, datetime) else str(as_of)
