"""Recording: a hook's run as an event, without what is sensitive."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final

from backstory.domain.commits import Draft
from backstory.domain.context import Author
from backstory.domain.hooks import HOOK_EXECUTED, HOOK_FAILED, HookResult
from backstory.domain.redaction import Redaction
from backstory.domain.scopes import Scope
from backstory.hooks.chain import Execution
from backstory.infrastructure import codec
from backstory.infrastructure.clock import new_id

_MOST_KNOWN: Final = 2048
_LONGEST_KNOWN: Final = 4096
_CONTINUE: Final = b'{"kind":"continue"}'


class Recorder:
    """Makes the events of hooks' runs."""

    def __init__(self, redaction: Redaction) -> None:
        self._redaction = redaction
        self._known_clean: set[tuple[str, bytes]] = set()

    def drafts(self, executions: Sequence[Execution], author: Author) -> list[Draft]:
        """Return the events of these runs, each followed by what it did to its circuit."""
        made: list[Draft] = []
        for execution in executions:
            stream = stream_of(execution.registration.name)
            kind = HOOK_FAILED if execution.failed else HOOK_EXECUTED
            correlation, causes, actor, _ = author
            data = self._data(execution)
            made.append(Draft(execution.event_id, stream, kind, data, None, None, correlation, causes, actor, None))
            for transition in execution.transitions:
                said = {"hook": execution.registration.name, "point": execution.subject.point, **transition.data}
                made.append(
                    Draft(
                        new_id(),
                        stream,
                        f"circuit.{transition.name}",
                        codec.encode_value(said),
                        correlation=correlation,
                        causes=execution.event_id,
                        actor=actor,
                    )
                )
        return made

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
        return self._cleaned(data, subject.key) if self._suspects(execution) else data

    def _suspects(self, execution: Execution) -> bool:
        """Return whether anything that is recorded may be sensitive; what was looked at lately is not again."""
        subject, result = execution.subject, execution.result
        field = "" if subject.key is None else subject.key.rpartition("/")[2]
        if execution.steps or execution.error is not None or subject.metadata is not None or subject.tags:
            return True
        texts = (subject.stream, subject.key, subject.as_of, None if result is None else result.reason)
        parts = ((field, subject.before), (field, subject.after), (field, execution.value))
        return (
            (result is not None and bool(result.operations or result.key or result.scope))
            or any(text is not None and not self._is_clean("", _text(text)) for text in texts)
            or any(part is not None and not self._is_clean(name, part) for name, part in parts)
        )

    def _is_clean(self, field: str, encoded: bytes) -> bool:
        """Return whether a value under a name holds nothing sensitive."""
        if (field, encoded) in self._known_clean:
            return True
        value = {field: codec.decode_value(encoded)}
        clean = self._redaction.redact(value) is value
        if clean and len(encoded) <= _LONGEST_KNOWN:
            if len(self._known_clean) >= _MOST_KNOWN:
                self._known_clean.clear()
            self._known_clean.add((field, encoded))
        return clean

    def _cleaned(self, data: bytes, key: str | None) -> bytes:
        value = codec.decode_value(data)
        clean = self._redaction.redact(value)
        if key is not None:
            # The key of the state is a field's name as much as any inside its value.
            field = key.rpartition("/")[2]
            clean = {**clean, "input": self._hidden(clean["input"], ("before", "after"), field)}
            clean = {**clean, "result": self._hidden(clean["result"], ("value",), field)}
        return codec.encode_value(clean)

    def _hidden(self, parts: Any, names: Sequence[str], field: str) -> Any:
        """Return parts of which some are values under a field's name, without what that makes sensitive."""
        hidden = {name: self._redaction.redact({field: parts[name]})[field] for name in names if name in (parts or ())}
        return {**parts, **hidden} if hidden else parts


@lru_cache(maxsize=1024)
def stream_of(hook: str) -> str:
    """Return the stream of a hook's runs."""
    return str(Scope.hook(hook))


@lru_cache(maxsize=4096)
def _text(text: str) -> bytes:
    return codec.encode_value(text)


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
