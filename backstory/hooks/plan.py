"""A plan: what an operation writes once its before-hooks have had their say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from backstory.context import Place, hooks_in
from backstory.domain.commits import Draft, split_causes
from backstory.domain.context import Author
from backstory.domain.decisions import Decisions, add
from backstory.domain.events import MISSING
from backstory.domain.hooks import Operation, Stage
from backstory.domain.ports import Clock, Program
from backstory.domain.sequencer import SCOPE_CLEARED, STATE_DELETED, STATE_SET
from backstory.hooks.chain import Chain, Ended, Execution, Rebase
from backstory.hooks.recording import Recorder
from backstory.hooks.registry import Registry
from backstory.hooks.run_context import Subject
from backstory.infrastructure import codec
from backstory.revaluing import revalued
from backstory.transactions import TransactionSession

VERBS: Final[dict[str, Stage]] = {STATE_SET: "write", STATE_DELETED: "delete", SCOPE_CLEARED: "clear"}
_NOTHING: Final[dict[str, Any]] = {}


#: Type, stream and key of a write, and the how manieth of these in its plan.
Target = tuple[str, str, str | None, int]


class Stopped(Exception):  # noqa: N818 - no error of the store's: it becomes one, or another attempt
    """A hook stopped the operation that was being planned."""

    def __init__(self, ended: Ended) -> None:
        """Take how the chain ended."""
        self.ended = ended


@dataclass(slots=True)
class Plan:
    """Drafts in the order of their commit: each write behind the runs of its hooks, forked ones behind it."""

    tx: TransactionSession
    author: Author
    operation_ids: dict[Target, bytes]
    attempt: int = 1
    drafts: list[Draft] = field(default_factory=list)
    runs: list[Draft] = field(default_factory=list)
    primary: list[int] = field(default_factory=list)
    dropped: int = 0
    written: dict[Place, str] = field(default_factory=dict)
    _held: dict[tuple[str, str], bytes | None] = field(default_factory=dict)
    _seen: Counter[tuple[str, str, str | None]] = field(default_factory=Counter)

    def same(self, draft: Draft) -> Draft:
        """Give a write that is planned again the id that it had before: all its hooks' runs are about the same one."""
        at = (draft.type, draft.stream, draft.key)
        self._seen[at] += 1
        return draft._replace(event_id=self.operation_ids.setdefault((*at, self._seen[at]), draft.event_id))

    def put(self, draft: Draft) -> None:
        """Write this too."""
        self.drafts.append(draft)
        if draft.type == STATE_SET and draft.key is not None:
            self._held[draft.stream, draft.key] = codec.parts_of_set(draft.data)[0]
        elif draft.type == STATE_DELETED and draft.key is not None:
            self._held[draft.stream, draft.key] = None
        for key in draft.cleared or ():
            self._held[draft.stream, key] = None

    def record(self, runs: list[Draft]) -> None:
        """Write these runs of hooks too; they are kept apart as well, for they stay where the plan is given up."""
        self.drafts.extend(runs)
        self.runs.extend(runs)

    def left(self) -> list[Draft]:
        """Return the runs as they are recorded where the plan is given up: nothing that was planned is a cause."""
        ran = {draft.event_id for draft in self.runs}
        planned = {draft.event_id for draft in self.drafts} - ran
        return [without_causes(draft, planned.__contains__) for draft in self.runs]

    def correlation_of(self, draft: Draft) -> Program[bytes]:
        """Return what a draft belongs to: as it says, as its first cause does, or itself."""
        correlation = draft.correlation
        if correlation is None and draft.causes is not None:
            cause = draft.causes[:16]
            planned = next((each for each in self.drafts if each.event_id == cause), None)
            if planned is not None:
                return (yield from self.correlation_of(planned))
            root = yield from self.tx.event(cause)
            if root is not None:
                correlation = root.correlation or b"u" + root.event_id
        return correlation or b"u" + draft.event_id

    def before(self, stream: str, key: str | None) -> Program[bytes | None]:
        """Return the value that a key holds when what is planned so far is done; without a key, the scope's keys."""
        if key is None:
            return codec.encode_value((yield from self.tx.keys_of(stream)))
        if (stream, key) in self._held:
            return self._held[stream, key]
        head, now_us = yield from self.tx.head_of(stream, key)
        return codec.parts_of_set(head.data)[0] if head.data is not None and head.present(now_us) else None

    def find(self, stream: str, key: str) -> Program[tuple[Any, int | None]]:
        """Return what a hook reads: the value as the operation sees it, and where it was written, if anywhere."""
        head, now_us = yield from self.tx.head_of(stream, key)
        return (self.tx.state.value(head) if head.present(now_us) else MISSING), self.tx.place_of(head) or None


class Planner:
    """Makes plans. `mark` adds to a draft what becomes due when it is committed."""

    def __init__(
        self,
        registry: Registry,
        recorder: Recorder,
        decisions: Decisions,
        *,
        clock: Clock,
        max_bytes: int,
        mark: Callable[[Draft], Draft],
    ) -> None:
        self._registry = registry
        self._recorder = recorder
        self._decisions = decisions
        self._clock = clock
        self._max_bytes = max_bytes
        self._mark = mark

    def add(self, plan: Plan, draft: Draft, *, primary: bool) -> Program[None]:
        """Plan one write; raises `Stopped` where a hook refuses it."""
        verb = VERBS.get(draft.type)
        registrations = self._registry.at(f"before_state_{verb}", hooks_in(draft.extra)) if verb else ()
        if verb is None or not any(each.fits(draft.stream, draft.key) for each in registrations):
            self._keep(plan, draft, primary=primary)
            return
        draft = plan.same(draft)
        author = yield from self._author(plan, draft)
        subject = yield from self._subject(plan, draft, author)
        rebase = self._rebase(draft) if subject.operation == "increment" else None
        chain = Chain(self._clock, self._max_bytes, plan.find, author, before=plan.before, rebase=rebase)
        ended = yield from chain.run(registrations, verb, subject)
        plan.record(self._recorder.drafts(ended.executions, author))
        for execution in ended.executions:
            plan.written.update(dict.fromkeys(execution.written, execution.registration.name))
        if ended.stop is not None:
            raise Stopped(ended)
        changed = yield from self._changed(plan, draft, ended, author)
        if changed is None:
            plan.dropped += 1
        else:
            self._keep(plan, changed, primary=primary)
        for execution, operations in ended.forks:
            yield from self.join(plan, execution, operations, author._replace(extra=draft.extra))

    def _keep(self, plan: Plan, draft: Draft, *, primary: bool) -> None:
        if primary:
            plan.primary.append(len(plan.drafts))
        plan.put(self._mark(draft))

    def join(
        self, plan: Plan, execution: Execution, operations: tuple[Operation, ...], author: Author
    ) -> Program[None]:
        """Plan a fork's operations: caused by the run that asked for them, and past that hook."""
        names = (*hooks_in(author.extra), execution.registration.name)
        extra = codec.encode_value({"hooks": names})
        own = Author(author.correlation, execution.event_id, author.actor, extra)
        for verb, scope, key, *rest in operations:
            at = (str(scope), key)
            if verb == "set":
                value = self._decisions.encode(rest[0], scope=at[0], key=key)
                draft = self._decisions.set_draft(at, value, author=own)
            elif (yield from plan.before(*at)) is None:
                continue
            else:
                draft = self._decisions.delete_draft(at, own)
            yield from self.add(plan, draft, primary=False)

    def _author(self, plan: Plan, draft: Draft) -> Program[Author]:
        """Return what a write's hooks share with it: its correlation, also where that is its own id."""
        correlation = yield from plan.correlation_of(draft)
        return Author(correlation, draft.causes, draft.actor, draft.extra)

    def _subject(self, plan: Plan, draft: Draft, author: Author) -> Program[Subject]:
        operation, before, after = "clear", None, None
        if draft.type == SCOPE_CLEARED:
            before = codec.encode_value(codec.decode_value(draft.data)["keys"])
        else:
            assert draft.key is not None
            before = yield from plan.before(draft.stream, draft.key)
            if draft.type == STATE_SET:
                after, operation = codec.parts_of_set(draft.data)
            else:
                operation = codec.decode_value(draft.data)["op"]
        return subject_of(
            f"before_state_{VERBS[draft.type]}",
            operation,
            draft.event_id,
            draft.stream,
            draft.key,
            before=before,
            after=after,
            author=Author(author.correlation, None, author.actor, draft.extra),
            attempt=plan.attempt,
        )

    def _rebase(self, draft: Draft) -> Rebase:
        """Return what an increment comes to, by the value that it adds to."""
        by = codec.decode_value(draft.data)["by"]

        def rebased(before: bytes | None) -> bytes:
            total = add(0 if before is None else codec.decode_value(before), by, "redirect")
            return codec.encode_value(total, max_bytes=self._max_bytes)

        return rebased

    def _changed(self, plan: Plan, draft: Draft, ended: Ended, author: Author) -> Program[Draft | None]:
        """Return the write as the hooks have it; None where there is nothing left to do."""
        if not ended.changed:
            return draft
        subject = ended.subject
        assert subject.stream is not None
        causes = (draft.causes or b"") + b"".join(ended.changed)
        draft = draft._replace(correlation=author.correlation, causes=causes, stream=subject.stream, key=subject.key)
        if draft.type == STATE_SET:
            assert subject.after is not None
            return revalued(draft, subject.after, another=ended.revalued)
        if draft.type == STATE_DELETED:
            return draft if subject.before is not None else None
        keys = yield from plan.tx.keys_of(subject.stream)
        return draft._replace(data=codec.encode_value({"keys": keys}), cleared=tuple(keys)) if keys else None


def subject_of(
    point: str,
    operation: str,
    operation_id: bytes,
    stream: str | None,
    key: str | None,
    *,
    before: bytes | None,
    after: bytes | None,
    author: Author,
    attempt: int = 1,
    redelivered: bool = False,
    as_of: str | None = None,
) -> Subject:
    """Return what a chain is about; actor, correlation, metadata and tags are the author's."""
    extra = _NOTHING if author.extra is None else codec.decode_value(author.extra)
    metadata = extra.get("metadata")
    return Subject(
        point,
        operation,
        operation_id,
        stream,
        key,
        before,
        after,
        author.actor,
        author.correlation,
        None if metadata is None else codec.encode_value(metadata),
        tuple(extra.get("tags", ())),
        as_of,
        attempt,
        redelivered,
    )


def outside(draft: Draft, tx: TransactionSession) -> Draft:
    """Return the draft of a run without the causes that only an unfinished transaction holds."""
    return without_causes(draft, tx.owns)


def without_causes(draft: Draft, left_out: Callable[[bytes], bool]) -> Draft:
    """Return a draft without some of its causes."""
    if draft.causes is None:
        return draft
    causes = [cause for cause in split_causes(draft.causes) if not left_out(cause)]
    return draft._replace(causes=b"".join(causes) or None)


__all__ = ["VERBS", "Plan", "Planner", "Stopped", "Target", "outside", "subject_of"]
