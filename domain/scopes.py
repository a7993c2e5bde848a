"""Scopes: whose state it is. A scope's text is its stream in the log, so no two scopes may share a text."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import ClassVar, NoReturn, final

from backstory.domain.errors import InvalidScopeError

__all__ = ["KINDS", "MAX_ID_CHARACTERS", "Scope", "as_scope"]

KINDS = ("global", "agent", "workflow", "step", "session", "tool", "user", "hook", "custom")
MAX_ID_CHARACTERS = 256

_CACHED_TEXTS = 4096
_ID_COUNTS = {"global": 0, "step": 2}
_MUST_ESCAPE = re.compile(r"[%/\x00-\x1f\x7f-\x9f]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_ESCAPES = re.compile(r"(?:%[0-9A-Fa-f]{2})+")
_BROKEN_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_BARE_WORD = re.compile(r"[\w.-]+")


@final
class Scope:
    """Whose state it is: a kind and its ids. Frozen, hashable, equal by kind and ids.

    `Scope.agent("a1")` or `Scope.parse("agent:a1")`; `str()` gives the text back. Ids are NFC-normalised, and
    have 1 to 256 characters; anything else raises `InvalidScopeError`.
    """

    __slots__ = ("_hash", "_ids", "_kind", "_parent", "_text")

    GLOBAL: ClassVar[Scope]

    _kind: str
    _ids: tuple[str, ...]
    _parent: Scope | None
    _text: str
    _hash: int

    def __init__(self, kind: str, *ids: str, parent: Scope | None = None) -> None:
        """Make a scope of `kind`; the named constructors read better.

        `parent` is for sessions only: the user the session belongs to. It is no part of the scope's identity.
        """
        if kind not in KINDS:
            raise InvalidScopeError(kind, rule=f"unknown kind; the kinds are {', '.join(KINDS)}")
        if len(ids) != (count := _ID_COUNTS.get(kind, 1)):
            raise InvalidScopeError(kind, rule=f"a scope of kind {kind} has {count} ids, not {len(ids)}")
        if parent is not None and (kind != "session" or parent.kind != "user"):
            raise InvalidScopeError(kind, rule="only a session may name a parent, and only a user")
        normal = tuple([_normal_id(each) for each in ids])
        put = object.__setattr__
        put(self, "_kind", kind)
        put(self, "_ids", normal)
        put(self, "_parent", parent)
        put(self, "_text", f"{kind}:{'/'.join(map(_escaped, normal))}" if normal else kind)
        put(self, "_hash", hash(self._text))

    @classmethod
    def agent(cls, agent_id: str) -> Scope:
        """Return the scope of an agent."""
        return cls("agent", agent_id)

    @classmethod
    def workflow(cls, workflow_id: str) -> Scope:
        """Return the scope of a workflow, the parent of its steps."""
        return cls("workflow", workflow_id)

    @classmethod
    def step(cls, workflow_id: str, name: str) -> Scope:
        """Return the scope of a step in a workflow."""
        return cls("step", workflow_id, name)

    @classmethod
    def session(cls, session_id: str, *, user: Scope | str | None = None) -> Scope:
        """Return the scope of a session; with `user` (an id, or a user's scope) that user is its parent.

        The user is no part of the identity: the session is the same scope with and without.
        """
        owner = user if user is None or isinstance(user, Scope) else cls.user(user)
        return cls("session", session_id, parent=owner)

    @classmethod
    def tool(cls, tool_id: str) -> Scope:
        """Return the scope of a tool."""
        return cls("tool", tool_id)

    @classmethod
    def user(cls, user_id: str) -> Scope:
        """Return the scope of a user, the parent of sessions that name it."""
        return cls("user", user_id)

    @classmethod
    def hook(cls, hook_id: str) -> Scope:
        """Return the scope of a hook."""
        return cls("hook", hook_id)

    @classmethod
    def custom(cls, custom_id: str) -> Scope:
        """Return a scope of the caller's own."""
        return cls("custom", custom_id)

    @classmethod
    def parse(cls, text: str) -> Scope:
        """Return the scope that `text` names: `global`, `kind:id`, `step:workflow/name`, or a bare word (custom).

        Escapes (`%2F`) are decoded, canonical or not. Raises `InvalidScopeError` for an unknown kind, an empty or
        too long id, a broken escape, and a raw `/` outside `step`.
        """
        if not isinstance(text, str):
            raise _type_error(text)
        kind, colon, rest = text.partition(":")
        if not colon:
            return _parsed_word(text)
        if kind not in KINDS or kind == "global":
            kinds = ", ".join(KINDS[1:])
            raise InvalidScopeError(text, rule=f"before the colon stands one of {kinds}; `global` stands alone")
        parts = rest.split("/")
        if len(parts) != _ID_COUNTS.get(kind, 1):
            raise InvalidScopeError(
                text,
                rule="a step is `step:workflow/name`" if kind == "step" else "a raw `/` stands only in a step",
                hint="Write a slash inside an id as %2F, or build the scope with Scope.step, Scope.agent and so on.",
            )
        return cls(kind, *[_unescaped(part, text) for part in parts])

    @property
    def kind(self) -> str:
        """The kind: one of `KINDS`."""
        return self._kind

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids, not escaped: none for `global`, workflow and name for a step, else one."""
        return self._ids

    @property
    def parent(self) -> Scope | None:
        """The scope around this one: a step's workflow, a session's user where given, else `GLOBAL`, which has none."""
        if self._kind == "step":
            return Scope("workflow", self._ids[0])
        return None if self._kind == "global" else self._parent or Scope.GLOBAL

    def contains(self, other: Scope | str) -> bool:
        """Return whether `other` is this scope or lies under it."""
        inner: Scope | None = as_scope(other)
        while inner is not None and inner != self:
            inner = inner.parent
        return inner is not None

    def __str__(self) -> str:
        """Return the canonical text, from which `parse` makes an equal scope."""
        return self._text

    def __repr__(self) -> str:
        """Return the text as a call that makes an equal scope."""
        return f"Scope.parse({self._text!r})"

    def __eq__(self, other: object) -> bool:
        """Compare kind and ids; the text holds both, one to one."""
        return self._text == other._text if isinstance(other, Scope) else NotImplemented

    def __lt__(self, other: Scope) -> bool:
        """Order by text."""
        return self._text < other._text if isinstance(other, Scope) else NotImplemented

    def __hash__(self) -> int:
        """Return the hash of the text, computed once."""
        return self._hash

    def __setattr__(self, name: str, value: object) -> NoReturn:
        """Refuse: a scope is frozen."""
        msg = f"a Scope is frozen: {name} cannot be set; make another scope"
        raise AttributeError(msg)

    def __delattr__(self, name: str) -> NoReturn:
        """Refuse: a scope is frozen."""
        msg = f"a Scope is frozen: {name} cannot be deleted"
        raise AttributeError(msg)

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle kind, ids and parent."""
        return _rebuilt, (self._kind, self._ids, self._parent)


Scope.GLOBAL = Scope("global")


def as_scope(scope: Scope | str) -> Scope:
    """Return `scope` itself, or the scope that its text names; texts are remembered. Raises `InvalidScopeError`."""
    if type(scope) is str:
        return _remembered(scope)
    if isinstance(scope, Scope):
        return scope
    if isinstance(scope, str):
        # A subclass may hash in its own way (an Enum does): the cache must see plain text.
        return _remembered(str.__str__(scope))
    raise _type_error(scope)


@lru_cache(maxsize=_CACHED_TEXTS)
def _remembered(text: str) -> Scope:
    return Scope.parse(text)


def _rebuilt(kind: str, ids: tuple[str, ...], parent: Scope | None) -> Scope:
    return Scope(kind, *ids, parent=parent) if ids else Scope.GLOBAL


def _type_error(value: object) -> InvalidScopeError:
    return InvalidScopeError(value, rule=f"a scope is a Scope or its text, not {type(value).__name__}")


def _parsed_word(text: str) -> Scope:
    """Read a text without a colon: `global`, or a bare word."""
    if text == "global":
        return Scope.GLOBAL
    if not _BARE_WORD.fullmatch(unicodedata.normalize("NFC", text)):
        raise InvalidScopeError(text, rule="without a kind only letters, digits, `_`, `-` and `.` may stand")
    return Scope("custom", text)


def _normal_id(value: object) -> str:
    """Return an id in NFC, or refuse it."""
    if not isinstance(value, str):
        raise InvalidScopeError(
            value, rule=f"an id is text, not {type(value).__name__}", hint="Give the id as text, with str()."
        )
    text = unicodedata.normalize("NFC", str.__str__(value))
    if not 1 <= len(text) <= MAX_ID_CHARACTERS:
        raise InvalidScopeError(
            value,
            rule=f"an id has 1 to {MAX_ID_CHARACTERS} characters, not {len(text)}",
            hint="Choose a shorter id, such as a hash of this one." if text else "Give the id.",
        )
    if _SURROGATE.search(text):
        raise InvalidScopeError(
            value, rule="a lone surrogate is no text", hint="Decode the id with the encoding it was written in."
        )
    return text


def _escaped(text: str) -> str:
    return _MUST_ESCAPE.sub(lambda match: "".join(f"%{byte:02X}" for byte in match[0].encode()), text)


def _unescaped(part: str, text: str) -> str:
    """Decode the escapes of one id of `text`."""
    if "%" not in part:
        return part
    if _BROKEN_ESCAPE.search(part):
        _refuse_escape(text)
    try:
        return _ESCAPES.sub(lambda match: bytes.fromhex(match[0].replace("%", "")).decode(), part)
    except UnicodeDecodeError:
        _refuse_escape(text)


def _refuse_escape(text: str) -> NoReturn:
    raise InvalidScopeError(
        text,
        rule="broken escape: `%` is followed by two hexadecimal digits, and escapes are UTF-8",
        hint="Write a percent sign as %25.",
    ) from None
