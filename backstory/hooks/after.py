"""After-hooks: what runs behind a commit, at once or in the background, and what comes of that."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from backstory.context import hooks_in
from backstory.domain.commits import Draft
from backstory.domain.context import Author
from backstory.domain.errors import BackstoryError
from backstory.domain.events import MISSING, StoredEvent
from backstory.domain.hooks import HookResult, effect_of
from backstory.domain.ports import CallOut, Clock, Here, Program
from backstory.domain.sequencer import SCOPE_CLEARED, STATE_SET
from backstory.hooks.chain import Chain, Execution
from backstory.hooks.due import due_of
from backstory.hooks.keeping import Keeper
from backstory.hooks.plan import VERBS, subject_of
from backstory.hooks.recording import Recorder
from backstory.hooks.registry import Registry
from backstory.hooks.run_context import Subject
from backstory.hooks.work import Item, Queue, Runs
from backstory.infrastructure import codec
from backstory.sessions import DirectSession


class After(Keeper):
    """Runs hooks behind commits, and keeps what they did. `clear_up` looks for commits that nobody knows of."""

    clear_up: Callable[[], Program[None]]

    def __init__(self, registry: Registry, recorder: Recorder, *, clock: Clock, max_bytes: int, writer: str) -> None:
        super().__init__(writer)
        self.writer = writer
        self._registry = registry
        self._recorder = recorder
        self._clock = clock
        self._max_bytes = max_bytes

    def see_to(self, session: DirectSession, rows: Sequence[StoredEvent]) -> Program[None]:
        """Put what is due in the background there, and run the rest now; a committed write never looks failed."""
        items: list[Item] = []
        now: list[Item] = []
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
                now.append(Item(session, here, row))
        if items:
            yield from self.put(items)
        for item in now:
            yield from self._run_now(item)

    def put(self, items: Sequence[Item]) -> Program[None]:
        """Queue items; a writer waits while the queue is full, but for one that is itself a hook."""
        self._owe(items)
        yield Here()
        try:
            if self.queue.full() and not any(item.in_hook for item in items):
                yield CallOut(self.queue.room, self.queue.room)
        finally:  # whoever loses patience has committed all the same
            self.queue.put(items)

    def _owe(self, items: Sequence[Item]) -> None:
        for item in items:
            if item.row is not None:
                self.outstanding.add(item.row.position)

    def redeliver(self, items: Sequence[Item]) -> Program[None]:
        """Queue what a crash left undone, whatever the bound."""
        self._owe(items)
        yield Here()
        self.queue.put(items)

    def _run_now(self, item: Item) -> Program[None]:
        """Run hooks while the writer waits; what the store cannot give or take now is left to the background."""
        runs: Runs | None = None
        try:
            runs = (yield from self.run(item))._replace(owed=False)
            yield from self.record([runs])
        except BackstoryError:
            pass
        else:
            return
        if runs is None:
            yield from self.redeliver([item])
            return
        yield Here()
        self.queue.keep(runs._replace(tried=True))

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
                if not wants_again(result, about.attempt):
                    break
                assert result is not None
                if not (yield self._pause(result.delay_s or 0.0)):
                    return Runs(item, drafts, forks, author, finished=False)
                about = about._replace(attempt=about.attempt + 1)
            if result is not None and result.operations:
                forks.append((execution, result.operations))
        return Runs(item, drafts, forks, author)

    def _pause(self, delay_s: float) -> CallOut:
        return CallOut(lambda _: self.queue.pause(delay_s), lambda _: self.queue.pause(delay_s))

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


class _Finder:
    """What hooks behind a commit read: the state as it is now."""

    def __init__(self, session: DirectSession) -> None:
        self._session = session

    def find(self, stream: str, key: str) -> Program[tuple[Any, int | None]]:
        """Return a key's value and the position that it was written at."""
        head, now_us = yield from self._session.head_of(stream, key)
        value = self._session.state.value(head) if head.present(now_us) else MISSING
        return value, head.position or None


def wants_again(result: HookResult | None, attempt: int) -> bool:
    """Return whether a hook behind a commit wants to be asked again: what it answered so far is not all."""
    if result is None or effect_of(result, "after") != "again":
        return False
    return attempt < (result.max_attempts or 1)


__all__ = ["After", "Item", "Queue", "Runs", "wants_again"]
