"""Drawing: hypothesis strategies for operations on few scopes and keys, so that they meet."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

from hypothesis import strategies as st

from backstory.domain.events import ANY, EMPTY, EXISTS, MISSING, Event
from backstory.testing.wishes import Eye, Op

__all__ = ["KEYS", "SCOPES", "Call", "DrawnPoint", "calls", "points", "spans", "values"]

SCOPES = ("agent:a", "agent:ab", "global")
KEYS = ("a", "a/b", "é", "n")
_READS = frozenset(("get", "exists", "get_many", "items", "keys"))
_IDS = tuple(UUID(int=number) for number in range(1, 6))

scopes = st.sampled_from(SCOPES)
keys = st.sampled_from(KEYS)
values = st.sampled_from(
    (
        None, True, 0, 1, -7, 2**80, 0.5, 1e300, "", "text\0", "é", [], {}, [1, [2, 3]], [1, [2, 4]],
        {"x": 1, "y": {"z": [1, 2]}}, {"x": 1, "y": {"z": [1, 3]}}, {"x": True}, {"gone": 1}, {"$odd": {"": 0}},
        b"bytes", Decimal("1.50"), UUID(int=7),
    )
)  # fmt: skip
spans = st.sampled_from((0, 1, 1_000_000, 2_000_000, 5_000_000, -1, -3_000_000)).map(
    lambda micros: timedelta(microseconds=micros)
)


class DrawnPoint(NamedTuple):
    """A point as drawn: a share of the log's length, and for an instant how far it is off, in microseconds."""

    kind: str
    share: float
    off_us: int


points = st.builds(
    DrawnPoint, st.sampled_from(("position", "time", "event")), st.floats(0, 1), st.sampled_from((0, -1, 1, 10**12))
)

_EXPECTED = st.sampled_from(("any", "any", "empty", "exists", "right", "right", "stale", "ahead"))


@dataclass(frozen=True)
class Call:
    """An operation as drawn: the versions that it expects are looked up when it is done."""

    name: str
    args: tuple[Any, ...]
    kwargs: tuple[tuple[str, Any], ...] = ()
    stream_version: str = "any"
    key_version: str = "any"
    cause: int | None = None

    @property
    def scope(self) -> str:
        """The scope it is about."""
        scope: str = self.args[0]
        return scope

    def op(self, eye: Eye) -> Op:
        """Return the operation with versions and a cause that fit, or do not, what is there now."""
        kwargs = dict(self.kwargs)
        glance = replace(eye, reads={}, expires=set())
        if self.stream_version != "any":
            kwargs["expected_version"] = _version(self.stream_version, glance.version(self.scope))
        if self.key_version != "any":
            kwargs["expected_key_version"] = _version(self.key_version, glance.cell(self.scope, self.args[1]).version)
        causes = eye.model.facts[: eye.begin]
        if self.cause is not None and causes:
            kwargs["cause"] = causes[self.cause % len(causes)]
        return Op(self.name, self.args, kwargs)


def _version(kind: str, actual: int) -> Any:
    return {"empty": EMPTY, "exists": EXISTS, "right": actual, "stale": max(actual - 1, 0), "ahead": actual + 1}.get(
        kind, ANY
    )


_contexts = st.fixed_dictionaries(
    {},
    optional={
        "correlation_id": st.sampled_from(("run-1", str(UUID(int=99)))),
        "actor": st.sampled_from(("ann", "bob")),
    },
).map(lambda found: tuple(found.items()))
_causes = st.none() | st.integers(0, 99)


def _call(name: str, *args: st.SearchStrategy[Any], **kwargs: st.SearchStrategy[Any]) -> st.SearchStrategy[Call]:
    """Draw a call of `name` with these arguments; those by keyword may be left out."""
    optional = st.fixed_dictionaries({}, optional=kwargs).map(lambda found: tuple(found.items()))
    reads = name in _READS
    return st.builds(
        lambda given, some, context, cause: Call(name, given, some + context, cause=cause),
        st.tuples(*args), optional, st.just(()) if reads else _contexts, st.none() if reads else _causes,
    )  # fmt: skip


def _expecting(call: st.SearchStrategy[Call], *, key: bool = True) -> st.SearchStrategy[Call]:
    return st.builds(
        lambda drawn, stream, own: replace(drawn, stream_version=stream, key_version=own),
        call, _EXPECTED, _EXPECTED if key else st.just("any"),
    )  # fmt: skip


def _wrap(number: int) -> Callable[[Any], Any]:
    def change(value: Any) -> Any:
        return {"was": value if isinstance(value, int) else None, "n": number}

    return change


_pairs = st.sampled_from([(one, other) for one in SCOPES for other in SCOPES if one != other])
_ttls = st.sampled_from((1, 2.5, timedelta(seconds=4)))
_patterns = st.sampled_from(("*", "a*", "?", "none"))
_events = st.lists(
    st.builds(
        lambda data, key, event_id: Event("thing.happened", data, key=key, event_id=event_id),
        values, st.none() | keys, st.none() | st.sampled_from(_IDS),
    ),
    min_size=1, max_size=3,
)  # fmt: skip

_sets = _expecting(_call("set", scopes, keys, values, ttl=_ttls))
calls: st.SearchStrategy[Call] = st.one_of(
    _sets,
    _sets,
    _call("set", scopes, keys, values, ttl=_ttls),
    _expecting(_call("delete", scopes, keys)),
    _call("clear", scopes),
    _pairs.flatmap(lambda pair: _call("copy", st.just(pair[0]), st.just(pair[1]), keys=_patterns)),
    _pairs.flatmap(lambda pair: _call("move", st.just(pair[0]), st.just(pair[1]), keys=_patterns)),
    _call("update", scopes, keys, st.builds(_wrap, st.integers(0, 3)), default=values),
    _call("increment", scopes, st.just("n") | keys, st.sampled_from((1, -2, 2**70, 0.5))),
    _call("set_if_absent", scopes, keys, values),
    _call("compare_and_swap", scopes, keys, st.just(MISSING) | values, values),
    _call("set_many", scopes, st.dictionaries(keys, values, min_size=1)),
    _call("delete_many", scopes, st.lists(keys, min_size=1)),
    _expecting(_call("append", scopes, _events), key=False),
    _call("get", scopes, keys, st.just("absent")),
    _call("exists", scopes, keys),
    _call("get_many", scopes, st.lists(keys, min_size=1)),
    _call("items", scopes, prefix=st.sampled_from(("a", "é", "z"))),
    _call("keys", scopes, prefix=st.sampled_from(("a", "é", "z"))),
)
