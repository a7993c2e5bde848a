"""A chain: the hooks at a point, one after the other, by the one rule of `domain.hooks.RULES`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from backstory.context import Place
from backstory.domain.breaker import Admission, Transition
from backstory.domain.context import Author
from backstory.domain.errors import BackstoryError, InvalidValueError
from backstory.domain.events import MISSING
from backstory.domain.hooks import HookResult, Operation, Stage, effect_of
from backstory.domain.ports import CallOut, Clock, Program
from backstory.hooks.calling import Answer, Finder, Invocation
from backstory.hooks.registry import Registration
from backstory.hooks.run_context import Subject
from backstory.hooks.telling import described, told
from backstory.infrastructure import codec
from backstory.infrastructure.clock import new_id

Before = Callable[[str, str | None], Program[bytes | None]]
Kept = Callable[[str], bytes | None]
Rebase = Callable[[bytes | None], bytes]


@dataclass(slots=True)
class Execution:
    """One run of one hook, or that it was left out: an event to be."""

    event_id: bytes
    registration: Registration
    subject: Subject
    result: HookResult | None
    value: bytes | None = None
    error: str | None = None
    duration_us: int = 0
    steps: Sequence[dict[str, Any]] = ()
    transitions: list[Transition] = field(default_factory=list)
    hit: bool | None = None
    written: frozenset[Place] = frozenset()

    @property
    def failed(self) -> bool:
        """Whether there is no answer to go by."""
        return self.result is None


@dataclass(slots=True)
class Ended:
    """What a chain came to. `stop` says what refused the operation, `by` which run did."""

    subject: Subject
    executions: list[Execution] = field(default_factory=list)
    changed: list[bytes] = field(default_factory=list)
    forks: list[tuple[Execution, tuple[Operation, ...]]] = field(default_factory=list)
    stop: Literal["cancel", "again", "required"] | None = None
    by: Execution | None = None
    answered: bool = False
    moved: bool = False
    revalued: bool = False
    cache: tuple[str, float] | None = None


@dataclass(frozen=True, slots=True)
class Chain:
    """The hooks of a point, and where they take things from.

    `before` reads a value, or for key None the keys of a scope; `kept` a cached answer. `rebase` says what an
    operation that goes by the value before writes where that is another.
    """

    clock: Clock
    max_bytes: int
    find: Finder
    author: Author
    before: Before | None = None
    kept: Kept | None = None
    rebase: Rebase | None = None

    def run(self, registrations: Sequence[Registration], stage: Stage, subject: Subject) -> Program[Ended]:
        """Run the hooks in their order: each once at most, where the operation goes by then."""
        ended = Ended(subject)
        for registration in registrations:
            if not registration.fits(ended.subject.stream, ended.subject.key):
                continue
            execution = yield from self.execute(registration, stage, ended.subject)
            ended.executions.append(execution)
            if execution.result is HookResult.CONTINUE:  # most do not want anything
                continue
            if execution.failed:
                if registration.required:
                    ended.stop, ended.by = "required", execution
                    break
            elif (yield from self._heeded(execution, stage, ended)):
                break
        return ended

    def _heeded(self, execution: Execution, stage: Stage, ended: Ended) -> Program[bool]:
        """Do what an answer wants; where that cannot be done the answer is a failure."""
        try:
            return (yield from self._heed(execution, stage, ended))
        except InvalidValueError as error:
            execution.result, execution.error = None, told(error)
        if execution.registration.required:
            ended.stop, ended.by = "required", execution
        return execution.registration.required

    def execute(self, registration: Registration, stage: Stage, subject: Subject) -> Program[Execution]:
        """Run one hook, unless its circuit is open; return what came of it."""
        execution = Execution(new_id(), registration, subject, None)
        admission = self._admitted(execution)
        if admission is not None and not admission.allowed:
            if registration.required:
                execution.error = "its circuit is open"
            else:
                execution.result = HookResult.skipped("its circuit is open")
            return execution
        invocation = Invocation(
            registration.hook,
            subject,
            name=registration.name,
            asynchronous=registration.asynchronous,
            timeout_s=registration.timeout_s,
            author=self.author,
            clock=self.clock,
            find=self.find,
        )
        answer: Answer = yield CallOut(invocation.blocking, invocation.awaiting)
        execution.steps = invocation.steps
        execution.duration_us = answer.duration_us
        if invocation.written:
            execution.written = frozenset(invocation.written)
        self._judge(execution, answer, stage)
        self._report(execution, admission)
        return execution

    def _admitted(self, execution: Execution) -> Admission | None:
        circuit = execution.registration.circuit
        if circuit is None:
            return None
        with execution.registration.lock:
            admission = circuit.admit(self.clock.now_us())
        if admission.transition is not None:
            execution.transitions.append(admission.transition)
        return admission

    def _report(self, execution: Execution, admission: Admission | None) -> None:
        circuit = execution.registration.circuit
        if circuit is None or admission is None:
            return
        with execution.registration.lock:
            transition = circuit.record(
                self.clock.now_us(), admission, ok=not execution.failed, duration_us=execution.duration_us
            )
        if transition is not None:
            execution.transitions.append(transition)

    def _judge(self, execution: Execution, answer: Answer, stage: Stage) -> None:
        """Take an answer that the table knows at this stage, and that can be stored; anything else is a failure."""
        if answer.error is not None:
            execution.error = told(answer.error)
            return
        if answer.value is None:  # allowed at every stage
            execution.result = HookResult.CONTINUE
            return
        result = answer.value
        try:
            if not isinstance(result, HookResult):
                raise InvalidValueError(
                    "result", rule=f"is nonsense: {described(result)}", hint="Return a HookResult, or None."
                )
            effect_of(result, stage)
            if result.value is not MISSING:
                execution.value = codec.encode_value(result.value, max_bytes=self.max_bytes)
            for each in result.operations:
                if each[0] == "set":
                    codec.encode_value(each[3], max_bytes=self.max_bytes)
        except BackstoryError as error:
            execution.error = told(error)
        else:
            execution.result = result

    def _heed(self, execution: Execution, stage: Stage, ended: Ended) -> Program[bool]:
        """Do what the table says of an answer; return whether the chain ends there."""
        result = execution.result
        assert result is not None
        effect = effect_of(result, stage)
        if effect in {"cancel", "again"}:
            ended.stop, ended.by = ("cancel" if effect == "cancel" else "again"), execution
            return True
        if effect in {"value", "final"}:
            self._take_value(execution, ended)
        elif effect == "target":
            yield from self._take_target(execution, result, ended)
        elif effect == "join":
            ended.forks.append((execution, result.operations))
        elif effect == "cache":
            return self._take_cache(execution, result, ended)
        return effect == "final"

    def _take_value(self, execution: Execution, ended: Ended) -> None:
        old = ended.subject.after
        if old is None or _unequal(old, execution.value or b""):
            ended.changed.append(execution.event_id)
            ended.revalued = True
        ended.subject = ended.subject._replace(after=execution.value)
        ended.answered = True

    def _take_target(self, execution: Execution, result: HookResult, ended: Ended) -> Program[None]:
        subject = ended.subject
        stream = str(result.scope)
        key = subject.key if result.key is None else result.key
        if (stream, key) == (subject.stream, subject.key):
            return
        before = None
        if self.before is not None:
            before = yield from self.before(stream, key)
        after = subject.after
        if self.rebase is not None and not ended.revalued:
            after = self.rebase(before)
        ended.subject = subject._replace(stream=stream, key=key, before=before, after=after)
        ended.changed.append(execution.event_id)
        ended.moved = True

    def _take_cache(self, execution: Execution, result: HookResult, ended: Ended) -> bool:
        assert result.key is not None
        assert result.ttl_s is not None
        kept = None if self.kept is None else self.kept(result.key)
        execution.hit = kept is not None
        if kept is None:
            ended.cache = (result.key, result.ttl_s)
            return False
        ended.subject = ended.subject._replace(after=kept)
        ended.answered = True
        return True


def _unequal(old: bytes, new: bytes) -> bool:
    return old != new and codec.canonical(codec.decode_value(old)) != codec.canonical(codec.decode_value(new))
