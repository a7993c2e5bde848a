"""Commits of an imported run: one for each message, which writes what the message brings or, done before, nothing.

Each is decided under the log's lock, in one of two ways.

A hopeful one expects that the stream holds what this import has written to it and nothing else, so that nothing needs
to be looked up. If that is wrong it writes nothing, and the run is done again with care.

A careful one looks its message up:
- It is recorded with the same content: nothing to do.
- It is recorded otherwise, or more or fewer messages are recorded than come before it: this is another run under the
  same id. Nothing of it is written from there on.
- It is new: its events are written. If the run had been completed, it is running again.

The last message completes the run, unless a longer version of it is recorded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import Enum
from typing import Final, NamedTuple

from backstory.domain.commits import Commit, Decision, Draft, Needs, View
from backstory.domain.errors import BackstoryError
from backstory.domain.events import StoredEvent
from backstory.domain.run_drafts import COMPLETED, RunDrafts, RunTarget, count_of, message_of, twin
from backstory.domain.transcripts import Planner, Run

__all__ = ["MessageCommit", "Verdict", "commits_of"]


class Verdict(Enum):
    """What became of a message: recorded now, recorded before, or not recorded.

    That is because the run is another one, or because the hope that its stream is this import's was in vain.
    """

    NEW = "new"
    KNOWN = "known"
    DIFFERENT = "different"
    IN_VAIN = "in vain"


class MessageCommit(NamedTuple):
    """The commit of one message: its result is a `Verdict`. `last` ends the run; `size` counts bytes of data."""

    commit: Commit
    message: int
    last: bool
    size: int


def commits_of(
    run: Run, stream: str, target: RunTarget, *, hopeful: bool, batch: Callable[[], int]
) -> Iterator[MessageCommit | str]:
    """Return the commits of a run's messages, in order, and what is wrong with those that have none.

    They are to be put into the log in this order. `batch` tells which group the next one goes into.
    """
    drafts = RunDrafts(stream, target)
    commit = (_Hopeful(drafts, batch) if hopeful else _Careful(drafts)).commit
    try:
        drafts.describe(run.extra)
    except BackstoryError as error:
        yield f"its other fields: {error}"
    planner = Planner()
    held: tuple[int, list[Draft]] | None = None
    for index, message in enumerate(run.messages):
        try:
            step = planner.plan(index, message)
            made = drafts.drafts(step)
        except BackstoryError as error:
            yield str(error)
            continue
        planner.accept(step)
        yield from step.problems
        if held is not None:
            yield commit(*held, last=False)
        held = index, made
    if held is not None:
        yield commit(*held, last=True)


class _Hopeful:
    """Makes the commits of a run that is thought to be new.

    Each expects the version that those before it leave. That proves something only as long as none was in vain:
    somebody else's events may be as many.
    """

    def __init__(self, drafts: RunDrafts, batch: Callable[[], int]) -> None:
        self._drafts = drafts
        self._batch = batch
        self._group = -1
        self._since = 0
        self._version = 0
        self._in_vain = False

    def commit(self, index: int, drafts: list[Draft], *, last: bool) -> MessageCommit:
        """Return the commit of the next message."""
        if self._batch() != self._group:
            self._group, self._since = self._batch(), index
        message, version, stream = drafts[0], self._version, self._drafts.stream
        written = list(drafts)
        if version == 0:
            written += self._drafts.description(message)
        if last:
            written.append(self._drafts.completion(message))
        self._version += len(written)

        def decide(view: View) -> Decision:
            self._in_vain = self._in_vain or view.version(stream) != version
            return Decision((), Verdict.IN_VAIN) if self._in_vain else Decision(written, Verdict.NEW)

        needs = Needs(streams=(stream,), event_ids=self._causes(message, first=version == 0))
        return MessageCommit(Commit(self._drafts.target.branch, (), decide, needs), index, last, _size(written))

    def _causes(self, message: Draft, *, first: bool) -> tuple[bytes, ...]:
        """Return the causes to look up; what stands in the same group is known by itself."""
        if first:
            return _split(message.causes)
        assert message.causes is not None
        return (message.causes,) if message_of(message.causes) < self._since else ()


class _Careful:
    """Makes the commits of a run that may be recorded, and remembers whether it turned out to be another one."""

    def __init__(self, drafts: RunDrafts) -> None:
        self._drafts: Final = drafts
        self._counted: bytes | None = None
        self._different = False

    def commit(self, index: int, drafts: list[Draft], *, last: bool) -> MessageCommit:
        """Return the commit of the next message."""
        before, self._counted = self._counted, count_of(drafts)

        def decide(view: View) -> Decision:
            return self._decide(_Facts(view, self._drafts), drafts, before, last=last)

        needs = self._needs(drafts[0], first=before is None, last=last)
        return MessageCommit(Commit(self._drafts.target.branch, (), decide, needs), index, last, _size(drafts))

    def _needs(self, message: Draft, *, first: bool, last: bool) -> Needs:
        homes, stream = self._drafts.homes, self._drafts.stream
        asked = [message.event_id]
        if last:
            asked.append(_completed(message))
        if not first:
            assert message.causes is not None
            asked.append(message.causes)
        ids = [twin(event_id, home) for event_id in asked for home in homes]
        if first:
            ids.extend(_split(message.causes))
        if first or last:
            ids.extend(home.extra_id for home in homes)
        return Needs(keys=((stream, "messages"), (stream, "status")), event_ids=tuple(ids))

    def _decide(self, facts: _Facts, drafts: list[Draft], before: bytes | None, *, last: bool) -> Decision:
        message = drafts[0]
        known = facts.find(message.event_id)
        self._different = self._different or not (
            facts.counted(before) if known is None else self._same(known, message)
        )
        if self._different:
            return Decision((), Verdict.DIFFERENT)
        if known is not None:
            return Decision(self._ending(facts, drafts, known) if last else (), Verdict.KNOWN)
        written = list(drafts)
        if before is not None:
            written[0] = facts.resolved(message)
            if facts.status == self._drafts.status("completed"):
                written.insert(1, self._drafts.resumption(message))
        if (before is None or last) and not facts.is_described():
            written += self._drafts.description(message)
        if last:
            written.append(self._drafts.completion(message))
        return Decision(written, Verdict.NEW)

    def _same(self, known: StoredEvent, message: Draft) -> bool:
        """Return whether a message is recorded as this run has it; the order of an object's keys does not count."""
        if (known.stream, known.type) != (message.stream, message.type):
            return False
        if known.data == message.data:
            return True
        codec = self._drafts.target.codec
        one, other = codec.decode_value(known.data), codec.decode_value(message.data)
        return codec.canonical(one) == codec.canonical(other)

    def _ending(self, facts: _Facts, drafts: list[Draft], known: StoredEvent) -> list[Draft]:
        """Return what a run whose messages are all recorded still lacks; nothing where it went on."""
        if facts.messages != count_of(drafts):
            return []
        message, ending = drafts[0], []
        if not facts.is_described():
            ending += self._drafts.description(message, cause=known.event_id)
        if facts.status == self._drafts.status("running") and facts.find(_completed(message)) is None:
            ending.append(self._drafts.completion(message, cause=known.event_id))
        return ending


class _Facts:
    """What is known of one run under the lock. `messages` and `status` are the data of the keys' writes, if any."""

    def __init__(self, view: View, drafts: RunDrafts) -> None:
        self._view = view
        self._homes = drafts.homes
        self.messages = view.key(drafts.stream, "messages").data
        self.status = view.key(drafts.stream, "status").data

    def find(self, event_id: bytes) -> StoredEvent | None:
        """Return the recording of an event of this run that this branch shows, whichever branch it was written on."""
        for home in self._homes:
            event = self._view.event(twin(event_id, home))
            if event is not None and event.position <= home.limit:
                return event
        return None

    def resolved(self, message: Draft) -> Draft:
        """Return a draft whose one cause is named as it is recorded: on a fork, it may be the parent's."""
        if len(self._homes) == 1 or message.causes is None:
            return message
        cause = self.find(message.causes)
        return message if cause is None else message._replace(causes=cause.event_id)

    def counted(self, count: bytes | None) -> bool:
        """Return whether as many messages are recorded as somebody counted; a scope that was cleared says nothing."""
        return self.messages is None or self.messages == count

    def is_described(self) -> bool:
        """Return whether the run's other fields have been recorded as they are."""
        events = ((home, self._view.event(home.extra_id)) for home in self._homes)
        return any(event is not None and event.position <= home.limit for home, event in events)


def _completed(message: Draft) -> bytes:
    return message.event_id[:-3] + COMPLETED


def _split(causes: bytes | None) -> tuple[bytes, ...]:
    return tuple((causes or b"")[at : at + 16] for at in range(0, len(causes or b""), 16))


def _size(drafts: list[Draft]) -> int:
    return sum(len(draft.data) for draft in drafts)
