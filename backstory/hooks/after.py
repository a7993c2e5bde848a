"""After-hooks: what runs behind a commit, at once or in the background, and what comes of that."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from backstory.context import hooks_in
from backstory.domain.commits import Commit, Draft, Tracking
from backstory.domain.context import Author
from backstory.domain.decisions import Intent
from backstory.domain.errors import ConflictError, StoreUnavailableError
from backstory.domain.events import MISSING, StoredEvent
from backstory.domain.hooks import effect_of
from backstory.domain.ports import CallOut, Clock, Here, Program
from backstory.domain.sequencer import SCOPE_CLEARED, STATE_SET
from backstory.hooks.calling import pause
from backstory.hooks.chain import Chain, Execution
from backstory.hooks.due import due_of
from backstory.hooks.outstanding import Outstanding
from backstory.hooks.plan import VERBS, Plan, Stopped, subject_of
from backstory.hooks.recording import Recorder
from backstory.hooks.registry import Registration, Registry
from backstory.hooks.run_context import Subject
from backstory.infrastructure import codec
from backstory.sessions import DirectSession, append

if TYPE_CHECKING:
    from backstory.hooks.plan import Planner


class Item(NamedTuple):
    """Something that background hooks are to run for: a write in the log, or a subject with no event of its own."""

    session: DirectSession
    registrations: tuple[Registration, ...]
    row: StoredEvent | None
    subject: Subject | None = None
    author: Author | None = None
    redelivered: bool = False

    @property
    def lane(self) -> tuple[int, str | None, str | None]:
        """What keeps its order: a key of a branch."""
        if self.row is not None:
            return self.session.branch, self.row.stream, self.row.key
        assert self.subject is not None
        return self.session.branch, self.subject.stream, self.subject.key


class Runs(NamedTuple):
    """What one item's hooks did: events to be, and what they want done beside."""

    item: Item
    drafts: list[Draft]
    forks: list[tuple[Execution, Any]]
    author: Author


class Queue(Protocol):
    """Where items wait for the background."""

    def full(self) -> bool:
        """Whether writers are to wait."""
        ...

    def room(self, runner: Any) -> Any:
        """Wait until there is room; a coroutine on the asyncio face."""
        ...

    def put(self, items: Sequence[Item]) -> None:
        """Take items, whatever the bound."""
        ...

    def keep(self, runs: Runs) -> None:
        """Record later what could not be recorded now."""
        ...

    @property
    def unfinished(self) -> int:
        """How many items wait or are being worked on."""
        ...

    def flush(self, timeout_s: float | None = None) -> Any:
        """Wait until all is done; a coroutine on the asyncio face."""
        ...

    def close(self) -> Any:
        """Finish and let the workers go; a coroutine on the asyncio face."""
        ...


class After:
    """Runs hooks behind commits."""

    planner: Planner
    queue: Queue

    def __init__(self, registry: Registry, recorder: Recorder, *, clock: Clock, max_bytes: int, writer: str) -> None:
        self.writer = writer
        self.outstanding = Outstanding()
        self._registry = registry
        self._recorder = recorder
        self._clock = clock
        self._max_bytes = max_bytes
        self._stored_mark = 0

    def see_to(self, session: DirectSession, rows: Sequence[StoredEvent]) -> Program[None]:
        """Put what is due in the background there, and run the rest now; a committed write never looks failed."""
        items: list[Item] = []
        now: list[tuple[StoredEvent, tuple[Registration, ...]]] = []
        for row in rows:
            verb = VERBS.get(row.type)
            if verb is None:
                continue
            point = f"after_state_{verb}"
            due = due_of(row.extra)
            if due is not None and due.writer == self.writer:
                there = tuple(each for each in self._registry.background.get(point, ()) if each.name in due.hooks)
                if there:
                    items.append(Item(session, there, row))
            here = tuple(
                each
                for each in self._registry.at(point, hooks_in(row.extra))
                if not each.background and each.fits(row.stream, row.key)
            )
            if here:
                now.append((row, here))
        if items:
            yield from self.put(items)
        for row, here in now:
            runs = yield from self.run(Item(session, here, row))
            runs = runs._replace(item=runs.item._replace(row=None))  # it is due nothing more
            try:
                yield from self.record([runs])
            except StoreUnavailableError:
                yield Here()
                self.queue.keep(runs)

    def put(self, items: Sequence[Item]) -> Program[None]:
        """Queue items; a writer waits while the queue is full, but for one that is itself a hook."""
        for item in items:
            if item.row is not None:
                self.outstanding.add(item.row.position)
        yield Here()
        if self.queue.full() and not any(map(_in_hook, items)):
            yield CallOut(self.queue.room, self.queue.room)
        self.queue.put(items)

    # Running

    def run(self, item: Item) -> Program[Runs]:
        """Run an item's hooks, in order; one that asks for it again, after its delay."""
        author, subject = yield from self._subject(item)
        chain = Chain(self._clock, self._max_bytes, _Finder(item.session).find, author)
        drafts: list[Draft] = []
        forks: list[tuple[Execution, Any]] = []
        for registration in item.registrations:
            about = subject._replace(point=registration.point.name)
            while True:
                execution = yield from chain.execute(registration, "after", about)
                drafts += self._recorder.drafts([execution], author)
                result = execution.result
                if result is None or effect_of(result, "after") != "again":
                    break
                if about.attempt >= (result.max_attempts or 1):
                    break
                yield pause(result.delay_s or 0.0)
                about = about._replace(attempt=about.attempt + 1)
            if result is not None and result.operations:
                forks.append((execution, result.operations))
        return Runs(item, drafts, forks, author)

    def _subject(self, item: Item) -> Program[tuple[Author, Subject]]:
        if item.row is None:
            assert item.author is not None
            assert item.subject is not None
            return item.author, item.subject
        row = item.row
        author = Author(row.correlation or b"u" + row.event_id, row.event_id, row.actor, row.extra)
        before, after, operation = None, None, "clear"
        if row.type == SCOPE_CLEARED:
            before = codec.encode_value(codec.decode_value(row.data)["keys"])
        else:
            assert row.key is not None
            state = item.session.state
            head = yield from state.reader.key_head(state.lineage, row.stream, row.key, row.position - 1)
            if head.data is not None and head.present(row.recorded_us):
                before = codec.parts_of_set(head.data)[0]
            if row.type == STATE_SET:
                after, operation = codec.parts_of_set(row.data)
            else:
                operation = codec.decode_value(row.data)["op"]
        subject = subject_of(
            "",
            operation,
            row.event_id,
            row.stream,
            row.key,
            before=before,
            after=after,
            author=author,
            redelivered=item.redelivered,
        )
        return author, subject

    # Recording

    def record(self, runs: Sequence[Runs]) -> Program[None]:
        """Write what ran: in one commit a branch, but for what hooks want done beside, which is one with its run."""
        plain: dict[int, list[Draft]] = {}
        for each in runs:
            if each.forks:
                yield from self._fork(each)
            elif each.drafts:
                plain.setdefault(each.item.session.branch, []).extend(each.drafts)
        commits = [Commit(branch, drafts) for branch, drafts in plain.items()]
        positions = [each.item.row.position for each in runs if each.item.row is not None]
        mark = self.outstanding.mark_without(positions)
        if commits and positions and mark > self._stored_mark:
            commits[-1].tracking = Tracking(place_of(self.writer), mark)
        for commit in commits:
            try:
                yield from append(commit)
            except ConflictError:  # another lane was faster, with a later mark
                commit.tracking = None
                yield from append(commit)
        self._stored_mark = max(mark, self._stored_mark)
        for position in positions:
            self.outstanding.settle(position)

    def _fork(self, runs: Runs) -> Program[None]:
        while True:
            tx = runs.item.session.transaction()
            plan = Plan(tx, runs.author, {})
            plan.record(runs.drafts)
            try:
                for execution, operations in runs.forks:
                    yield from self.planner.join(plan, execution, operations, runs.author)
            except Stopped:
                # Another hook refuses what this one wants done; both runs are recorded, and nothing is done.
                yield from append(Commit(runs.item.session.branch, plan.runs))
                return
            yield from tx.perform_plain(Intent(tuple(plan.drafts)), runs.author)
            try:
                yield from tx.commit()
            except ConflictError:
                continue
            return


def _in_hook(item: Item) -> bool:
    """Return whether a hook brought it about: it cannot wait for the worker that it may be running on."""
    extra = item.row.extra if item.row is not None else item.author.extra if item.author is not None else None
    return bool(hooks_in(extra))


def place_of(writer: str) -> str:
    """Return where a writer's mark is kept."""
    return f"{PLACES}{writer}"


PLACES = "hooks:"


class _Finder:
    """What hooks behind a commit read: the state as it is now."""

    def __init__(self, session: DirectSession) -> None:
        self._session = session

    def find(self, stream: str, key: str) -> Program[tuple[Any, int | None]]:
        """Return a key's value and the position that it was written at."""
        head, now_us = yield from self._session.head_of(stream, key)
        value = self._session.state.value(head) if head.present(now_us) else MISSING
        return value, head.position or None
