"""Redaction: a copy of a value in which sensitive parts are replaced by their kind, or by a keyed hash."""

from __future__ import annotations

import hmac
import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, Final, Literal, NamedTuple

from backstory.domain.errors import InvalidValueError, shown
from backstory.domain.paths import render_path
from backstory.domain.sensitive_fields import (
    DEFAULT_FIELDS,
    LONGEST_NAME,
    field_kind,
    kind_of_name,
    labelled,
    normal_name,
)
from backstory.domain.sensitive_patterns import DEFAULT_PATTERNS, SensitivePattern, prefilter

__all__ = ["DEFAULT_FIELDS", "DEFAULT_PATTERNS", "Finding", "Mode", "Redaction", "SensitivePattern"]

Mode = Literal["redact", "hash"]
"""What stands in the place of a secret: its kind alone, or its kind and a keyed hash that tells equal secrets."""

_MAX_DEPTH: Final = 200
_MANY_CONTAINERS: Final = 5_000
_SHORTEST_KEY: Final = 16
_LONG_INTS: Final = range(10**13, 10**19)  # As long as card numbers are.
_CONTAINERS: Final = frozenset({dict, list, tuple})
_HARMLESS: Final = frozenset({bool, float, type(None), bytes})
_KIND: Final = re.compile("[a-z0-9_]+")
_MARK: Final = re.compile(r"\[(?:redacted:[a-z0-9_]+|hashed:[a-z0-9_]+:[0-9a-f]{16})\]")

# The steps from the value to a part of it, innermost first.
_Path = tuple["_Path", str | int] | None


class Finding(NamedTuple):
    """A sensitive part of a value: the path to it, such as `items[0].price`, and its kind.

    Where a key of a dict holds a secret, the path has the key as it is replaced: a finding tells no secrets.
    """

    path: str
    kind: str


class _Span(NamedTuple):
    """A secret inside a text: where it begins and ends, its kind, and whether only its digits count."""

    start: int
    end: int
    kind: str
    digits: bool = False


@dataclass(frozen=True)
class Redaction:
    """What is sensitive, and what stands in its place.

    Sensitive is the whole value of a field whose name is one of `fields` (in any case, with any separators, never as a
    part of another name), unless it is None or a boolean; and whatever fits one of `patterns`, anywhere in a text. With
    `mode="hash"` equal secrets are replaced by equal texts, made with the secret `key` of 16 bytes or more.

    Raises `InvalidValueError` for an unknown mode, for a key that is missing, too short or not needed, and for a field
    or a kind without a usable name.
    """

    fields: Collection[str] = DEFAULT_FIELDS
    patterns: tuple[SensitivePattern, ...] = DEFAULT_PATTERNS
    _: KW_ONLY
    mode: Mode = "redact"
    key: bytes | None = field(default=None, repr=False)
    _kinds: dict[str, str] = field(init=False, repr=False, compare=False)
    _anywhere: re.Pattern[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Check the settings, and prepare the two tables that every text goes through."""
        self._check()
        object.__setattr__(self, "fields", frozenset(self.fields))
        object.__setattr__(self, "patterns", tuple(self.patterns))
        kinds = {normal_name(name): kind_of_name(name) for name in sorted(self.fields, reverse=True)}
        object.__setattr__(self, "_kinds", kinds)
        object.__setattr__(self, "_anywhere", prefilter(self.patterns))

    def _check(self) -> None:
        if self.mode not in {"redact", "hash"}:
            raise InvalidValueError("mode", rule=f"there is no mode {shown(self.mode)}", hint="Give redact or hash.")
        if self.mode == "hash" and (not isinstance(self.key, bytes) or len(self.key) < _SHORTEST_KEY):
            rule = f"hashes need a secret key of {_SHORTEST_KEY} bytes or more"
            raise InvalidValueError("key", rule=rule, hint="Give key=secrets.token_bytes(32), and keep it.")
        if self.mode == "redact" and self.key is not None:
            raise InvalidValueError("key", rule="only hashes need a key", hint='Give mode="hash" too, or no key.')
        names = [] if isinstance(self.fields, str) else [name for name in self.fields if normal_name(name)]
        if (
            isinstance(self.fields, str)
            or len(names) < len(self.fields)
            or max(map(len, names), default=0) > LONGEST_NAME
        ):
            rule = f"a field is a name of 1 to {LONGEST_NAME} characters with a letter or digit in it"
            raise InvalidValueError("fields", rule=rule, hint="Give a set of names.")
        for pattern in self.patterns:
            if _KIND.fullmatch(pattern.kind) is None:
                rule = f"{shown(pattern.kind)} is no kind"
                raise InvalidValueError("patterns", rule=rule, hint="Use lowercase letters, digits and `_`.")

    def redact(self, value: Any) -> Any:
        """Return a copy of `value` with its sensitive parts replaced, or `value` itself if it has none.

        What the codec takes is never refused. What lies deeper than it takes, or inside itself, is replaced whole.
        """
        return _Walk(self).copy(value, None) if self._suspects(value) else value

    def find(self, value: Any) -> list[Finding]:
        """Return what `redact` would replace, in the order of the value."""
        if not self._suspects(value):
            return []
        walk = _Walk(self)
        walk.copy(value, None)
        return walk.findings

    def text(self, text: str) -> str:
        """Return a text, such as a line of a log, with its sensitive parts replaced; the same one if it has none."""
        return self.scrubbed(text)[0] if self._suspects_text(text) else text

    def kind_of_field(self, name: str) -> str | None:
        """Return the kind of the sensitive field of this name, or None if the name is not sensitive."""
        return field_kind(self._kinds, name)

    def mark(self, kind: str, secret: Any) -> str:
        """Return what stands in the place of a secret."""
        if self.key is None:
            return f"[redacted:{kind}]"
        return f"[hashed:{kind}:{_digest(self.key, secret)}]"

    def scrubbed(self, text: str) -> tuple[str, list[str]]:
        """Return a text with its secrets replaced, and their kinds.

        It is searched again until nothing is found: what stood beside a secret may be one, once that is gone.
        """
        kinds: list[str] = []
        while spans := self._spans(text):
            pieces, end = [], 0
            for span in spans:
                secret = text[span.start : span.end]
                if span.digits:
                    secret = "".join(filter(str.isdecimal, secret))
                pieces += [text[end : span.start], self.mark(span.kind, secret)]
                end = span.end
            kinds += [span.kind for span in spans]
            text = "".join([*pieces, text[end:]])
        return text, kinds

    # -- Searching

    def _suspects(self, value: Any) -> bool:
        """Return whether a value may hold a secret: the hot path, which reads all its texts as one."""
        texts: list[str] = []
        todo: list[Any] = [(value,)]
        for container in todo:
            if type(container) is dict:
                if self._suspects_names(container):
                    return True
                texts += container
                container = container.values()  # noqa: PLW2901 - the values are what is left to read
            for item in container:
                kind = type(item)
                if kind is str:
                    texts.append(item)
                elif kind in _CONTAINERS:
                    todo.append(item)
                elif kind not in _HARMLESS and _is_suspicious(item):
                    return True
            if len(todo) > _MANY_CONTAINERS:  # It may contain itself.
                return True
        return self._suspects_text("\n".join(texts))

    def _suspects_names(self, names: Collection[Any]) -> bool:
        kinds = self._kinds
        for name in names:  # noqa: SIM110 - a generator would take twice the time
            if type(name) is not str or (len(name) <= LONGEST_NAME and normal_name(name) in kinds):
                return True
        return False

    def _suspects_text(self, text: str) -> bool:
        return self._anywhere.search(text) is not None or (
            ("=" in text or ":" in text) and next(labelled(text, self._kinds), None) is not None
        )

    def _spans(self, text: str) -> list[_Span]:
        """Return where a text holds secrets, in order and apart; what was replaced before is not looked into."""
        spans: list[_Span] = []
        start = 0
        if "[redacted:" in text or "[hashed:" in text:
            for mark in _MARK.finditer(text):
                spans += self._spans_of_piece(text[start : mark.start()], start)
                start = mark.end()
        return spans + self._spans_of_piece(text[start:] if start else text, start)

    def _spans_of_piece(self, piece: str, offset: int) -> list[_Span]:
        found: list[_Span] = []
        if self._anywhere.search(piece) is not None:
            found += [span for pattern in self.patterns for span in _matches(pattern, piece)]
        found += [_Span(*span) for span in labelled(piece, self._kinds)]
        return [span._replace(start=span.start + offset, end=span.end + offset) for span in _apart(found)]


# -- Spans


def _is_suspicious(item: object) -> bool:
    """Return whether something may be a card number as an int, or is of a subclass that only the slow walk knows."""
    return item in _LONG_INTS if type(item) is int else isinstance(item, (str, int, dict, list, tuple))


def _matches(pattern: SensitivePattern, text: str) -> Iterator[_Span]:
    if pattern.anchors and not pattern.hint and not any(anchor in text for anchor in pattern.anchors):
        return
    for match in pattern.regex.finditer(text):
        start, end = match.span(pattern.group)
        if start < end and (pattern.check is None or pattern.check(match[pattern.group])):
            yield _Span(start, end, pattern.kind, pattern.digits)


def _apart(found: list[_Span]) -> list[_Span]:
    """Return spans in order, those that overlap made one: of the kind of the first, or of the longest of these."""
    spans: list[_Span] = []
    for span in sorted(found, key=lambda span: (span.start, -span.end)):
        if spans and span.start < spans[-1].end:
            if span.end > spans[-1].end:
                spans[-1] = spans[-1]._replace(end=span.end, digits=False)
        else:
            spans.append(span)
    return spans


# -- Walking


class _Walk:
    """One walk over a value that may hold secrets: it makes the copy, and notes what it replaced."""

    def __init__(self, redaction: Redaction) -> None:
        self.findings: list[Finding] = []
        self._redaction = redaction
        self._open: set[int] = set()

    def copy(self, value: Any, path: _Path) -> Any:
        """Return the copy of the part at `path`; the part itself if it holds no secret."""
        if isinstance(value, str):
            return self._text(value, path)
        if isinstance(value, int):
            return self._int(value, path)
        if not isinstance(value, (dict, list, tuple)):
            return value
        if len(self._open) >= _MAX_DEPTH or id(value) in self._open:
            return self._whole("too_deep", None, path)
        self._open.add(id(value))
        if isinstance(value, dict):
            items: Iterable[Any] = self._members(value, path)
            copy: Any = dict(items)
            same = all(map(_same_member, copy.items(), value.items()))
        else:
            copy = [self.copy(item, (path, index)) for index, item in enumerate(value)]
            same = all(one is other for one, other in zip(copy, value, strict=True))
            copy = tuple(copy) if isinstance(value, tuple) else copy
        self._open.discard(id(value))
        return value if same else copy

    def _members(self, value: dict[Any, Any], path: _Path) -> Iterator[tuple[Any, Any]]:
        taken = set(value)
        for name, item in value.items():
            if not isinstance(name, str):
                yield name, self.copy(item, (path, shown(name)))
                continue
            text, kinds = self._redaction.scrubbed(name)
            if kinds:
                text = _free(text, taken)
            step = (path, text)
            self.findings += [Finding(_rendered(step), kind) for kind in kinds]
            kind = self._redaction.kind_of_field(name)
            whole = kind is not None and item is not None and not isinstance(item, bool)
            yield (text if kinds else name), (self._whole(kind, item, step) if whole else self.copy(item, step))

    def _whole(self, kind: Any, item: Any, path: _Path) -> Any:
        if isinstance(item, str) and _MARK.fullmatch(item):
            return item
        self.findings.append(Finding(_rendered(path), kind))
        return self._redaction.mark(kind, item)

    def _text(self, value: str, path: _Path) -> str:
        text, kinds = self._redaction.scrubbed(value)
        self.findings += [Finding(_rendered(path), kind) for kind in kinds]
        return text if kinds else value

    def _int(self, value: int, path: _Path) -> Any:
        number = int(value)  # Of a subclass, `in` would count through the whole range.
        if number not in _LONG_INTS:
            return value
        text = self._text(digits := str(number), path)
        return value if text == digits else text


def _same_member(one: tuple[Any, Any], other: tuple[Any, Any]) -> bool:
    return one[0] is other[0] and one[1] is other[1]


def _free(text: str, taken: set[Any]) -> str:
    """Return the text of a replaced key, numbered if another key reads the same; it is taken from now on."""
    free, number = text, 1
    while free in taken:
        number += 1
        free = f"{text} ({number})"
    taken.add(free)
    return free


def _rendered(path: _Path) -> str:
    steps: list[str | int] = []
    while path is not None:
        path, step = path
        steps.append(step)
    return render_path(reversed(steps))


# -- Hashing


def _digest(key: bytes, secret: Any) -> str:
    """Return 16 hexadecimal digits of the HMAC-SHA256 of a secret: of its text, or of all parts of a container."""
    mac = hmac.new(key, digestmod="sha256")
    if isinstance(secret, str):
        mac.update(_bytes(secret))
    else:
        for part in _parts(secret):
            mac.update(b"%d:" % len(part) + part)
    return mac.hexdigest()[:16]


def _parts(secret: Any) -> Iterator[bytes]:
    """Yield the parts of a value, each with its type; equal dicts yield the same whatever the order of their keys."""
    todo, budget = [secret], 1_000_000  # A value inside itself has no end.
    while todo and (budget := budget - 1):
        part = todo.pop()
        if isinstance(part, dict):
            yield b"{%d" % len(part)
            for name, item in sorted(part.items(), key=lambda member: str(member[0]), reverse=True):
                todo += [item, str(name)]
        elif isinstance(part, (list, tuple)):
            yield b"[%d" % len(part)
            todo += reversed(part)
        elif isinstance(part, int):
            yield b"int " + hex(part).encode()  # The decimal digits of a huge one are refused.
        else:
            yield b"%s %s" % (type(part).__name__.encode(), part if isinstance(part, bytes) else _bytes(str(part)))


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
