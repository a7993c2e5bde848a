"""Recording: a hook's run as an event, without what is sensitive."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, Final

from backstory.context import with_reads
from backstory.domain.commits import Draft
from backstory.domain.context import Author
from backstory.domain.hooks import HOOK_EXECUTED, HOOK_FAILED, HookResult
from backstory.domain.redaction import Redaction
from backstory.domain.scopes import Scope
from backstory.hooks.chain import Execution
from backstory.infrastructure import codec
from backstory.infrastructure.clock import new_id

_MOST_KNOWN: Final = 2048
_MOST_KNOWN_BYTES: Final = 8 * 2**20
_CONTINUE: Final = b'{"kind":"continue"}'


class Recorder:
    """Makes the events of hooks' runs."""

    def __init__(self, redaction: Redaction, *, track_reads: bool) -> None:
        self._redaction = redaction
        self._track_reads = track_reads
        self._known_clean: set[tuple[str, bytes]] = set()
        self._known_bytes = 0

    def drafts(self, executions: Sequence[Execution], author: Author) -> list[Draft]:
        """Return the events of these runs, each followed by what it did to its circuit."""
        made: list[Draft] = []
        for execution in executions:
            made.append(self._run(execution, author))
            made.extend(_transitions(execution, author))
        return made

    def _run(self, execution: Execution, author: Author) -> Draft:
        correlation, causes, actor, _ = author
        stream = stream_of(execution.registration.name)
        kind = HOOK_FAILED if execution.failed else HOOK_EXECUTED
        data = self._data(execution)
        run = Draft(execution.event_id, stream, kind, data, None, None, correlation, causes, actor, None)
        if not (self._track_reads and execution.steps):
            return run
        reads = [step["position"] for step in execution.steps if step["kind"] == "read" and "position" in step]
        return with_reads(run, reads) if reads else run

    def _data(self, execution: Execution) -> bytes:
        """Return the data of a run's event: put together from parts that are encoded already."""
        registration, subject = execution.registration, execution.subject
        parts = [
            b'{"hook":',
            _text(registration.name),
            b',"point":',
            _text(subject.point),
            b',"priority":%d,"operation":"' % registration.priority,
            _uuid_text(subject.operation_id),
            b'","input":',
            _input(execution),
            b',"result":',
            _result(execution),
            b',"duration_us":%d,"error":' % execution.duration_us,
            b"null" if execution.error is None else _text(execution.error),
            b',"steps":',
            codec.encode_value(list(execution.steps)) if execution.steps else b"[]",
        ]
        if subject.attempt > 1:
            parts.append(b',"attempt":%d' % subject.attempt)
        if subject.redelivered:
            parts.append(b',"redelivered":true')
        parts.append(b"}")
        data = b"".join(parts)
        return self.cleaned(data, subject.key) if self._suspects(execution) else data

    def _suspects(self, execution: Execution) -> bool:
        """Return whether anything that is recorded may be sensitive; what was looked at lately is not again."""
        subject, result = execution.subject, execution.result
        if execution.steps or execution.error is not None or subject.metadata is not None or subject.tags:
            return True
        if result is not None and (result.operations or result.key or result.scope):
            return True
        field = _field(subject.key)
        reason = None if result is None else result.reason
        return not (
            self._is_clean(field, subject.after)
            and self._is_clean(field, subject.before)
            and self._is_clean(field, execution.value)
            and self._is_clean_text(subject.stream)
            and self._is_clean_text(subject.key)
            and self._is_clean_text(subject.as_of)
            and self._is_clean_text(reason)
        )

    def _is_clean_text(self, text: str | None) -> bool:
        return text is None or self._is_clean("", _text(text))

    def _is_clean(self, field: str, encoded: bytes | None) -> bool:
        """Return whether a value under a name holds nothing sensitive."""
        if encoded is None or (field, encoded) in self._known_clean:
            return True
        value = {field: codec.decode_value(encoded)}
        if self._redaction.redact(value) is not value:
            return False
        if len(self._known_clean) >= _MOST_KNOWN or self._known_bytes >= _MOST_KNOWN_BYTES:
            self._known_clean.clear()
            self._known_bytes = 0
        self._known_clean.add((field, encoded))
        self._known_bytes += len(encoded)
        return True

    def cleaned(self, data: bytes, key: str | None) -> bytes:
        """Return the data of a run's event without what is sensitive; `key` is that of the operation."""
        value = codec.decode_value(data)
        clean = self._redaction.redact(value)
        if key is not None:
            # The key of the state is a field's name as much as any inside its value.
            field = _field(key)
            clean = {**clean, "input": self._hidden(clean["input"], ("before", "after"), field)}
            clean = {**clean, "result": self._hidden(clean["result"], ("value",), field)}
        if (clean["result"] or {}).get("operations"):
            operations = [self._hidden_operation(each) for each in clean["result"]["operations"]]
            clean = {**clean, "result": {**clean["result"], "operations": operations}}
        steps = [self._hidden(step, ("value",), _field(step.get("key"))) for step in clean["steps"]]
        return codec.encode_value({**clean, "steps": steps})

    def _hidden_operation(self, operation: list[Any]) -> list[Any]:
        """Return a forked operation of which the value may be one of a field that is sensitive."""
        verb, scope, key, *rest = operation
        return [verb, scope, key, *(self._redaction.redact({_field(key): value})[_field(key)] for value in rest)]

    def _hidden(self, parts: Any, names: Sequence[str], field: str) -> Any:
        """Return parts of which some are values under a field's name, without what that makes sensitive."""
        hidden = {name: self._redaction.redact({field: parts[name]})[field] for name in names if name in (parts or ())}
        return {**parts, **hidden} if hidden else parts


def _transitions(execution: Execution, author: Author) -> Iterator[Draft]:
    """Return the events of what a run did to its hook's circuit: caused by it."""
    name = execution.registration.name
    for transition in execution.transitions:
        said = {"hook": name, "point": execution.subject.point, **transition.data}
        yield Draft(
            new_id(),
            stream_of(name),
            f"circuit.{transition.name}",
            codec.encode_value(said),
            correlation=author.correlation,
            causes=execution.event_id,
            actor=author.actor,
        )


@lru_cache(maxsize=1024)
def stream_of(hook: str) -> str:
    """Return the stream of a hook's runs."""
    return str(Scope.hook(hook))


@lru_cache(maxsize=4096)
def _text(text: str) -> bytes:
    return codec.encode_value(text)


def _field(key: str | None) -> str:
    """Return the name that a key gives to its value: its last part."""
    return "" if key is None else key.rpartition("/")[2]


def _uuid_text(event_id: bytes) -> bytes:
    """Return a UUID's text; a third of the time that `str(UUID(...))` takes."""
    text = event_id.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}".encode()


def _input(execution: Execution) -> bytes:
    subject = execution.subject
    parts = [b'{"operation":', _text(subject.operation)]
    if subject.stream is not None:
        parts += [b',"scope":', _text(subject.stream)]
    if subject.key is not None:
        parts += [b',"key":', _text(subject.key)]
    if subject.before is not None:
        parts += [b',"before":', subject.before]
    if subject.after is not None:
        parts += [b',"after":', subject.after]
    if subject.as_of is not None:
        parts += [b',"as_of":', _text(subject.as_of)]
    if subject.metadata is not None:
        parts += [b',"metadata":', subject.metadata]
    if subject.tags:
        parts += [b',"tags":', codec.encode_value(list(subject.tags))]
    parts.append(b"}")
    return b"".join(parts)


def _result(execution: Execution) -> bytes:
    result = execution.result
    if result is None:
        return b"null"
    if result is HookResult.CONTINUE:
        return _CONTINUE
    if execution.value is not None:
        return b'{"kind":"%s","value":%s}' % (result.kind.encode(), execution.value)
    data = result.as_data()
    if execution.hit is not None:
        data["hit"] = execution.hit
    return codec.encode_value(data)
