"""Values to bytes and back, exactly: JSON text in UTF-8, with tags for what JSON lacks (see `tags`)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final, Literal, get_args

import orjson

from backstory.domain.errors import IntegrityError, InvalidValueError, ValueTooLargeError
from backstory.infrastructure.tags import MAX_DEPTH, named, refuse_depth, tagged, untagged

__all__ = [
    "MAX_DEPTH",
    "Op",
    "canonical",
    "decode_value",
    "encode_object",
    "encode_set",
    "encode_value",
    "extra_joined",
    "extra_with",
    "op_of_set",
    "part_of",
    "parts_of_set",
    "reads_of",
    "schema_of",
    "shared_reads_of",
]

Op = Literal["set", "update", "increment", "copy", "move", "migrate", "restore"]
"""How a written value came about."""

# orjson would turn these into text, or look inside them, where the value would not come back.
_OPTIONS: Final = orjson.OPT_PASSTHROUGH_SUBCLASS | orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_DATACLASS
_CONTAINERS: Final = frozenset({dict, list, tuple})
_SURE: Final = frozenset({str, int, bool, type(None)})
_PLAIN: Final = _CONTAINERS | _SURE | {float}
_FEW_CONTAINERS: Final = 100
_MANY_PARTS: Final = 1_000_000
_DOLLAR: Final = b'"$'
_dumps: Final = orjson.dumps
_loads: Final = orjson.loads
_VALUE: Final = b'{"value":'
_READS: Final = b'"reads":['
_SHARED: Final = b'"reads_with":"'
_SCHEMA: Final = b'"schema":['
_OP: Final = b',"op":"'
_OP_ENDS: Final = {op: f',"op":"{op}"'.encode() for op in get_args(Op)}


def encode_value(value: object, *, max_depth: int = MAX_DEPTH, max_bytes: int | None = None) -> bytes:
    """Return `value` as JSON text in UTF-8; `decode_value` gives an equal value back (tuples as lists).

    Raises `InvalidValueError`, with the path to the culprit, for NaN, infinities, lone surrogates, keys that are no
    text, cycles, more than `max_depth` containers inside each other (no more than 200 can be), and types that have
    neither a form in JSON nor a tag.
    Raises `ValueTooLargeError` if the text is longer than `max_bytes`.
    """
    encoded = _encoded(value, max_depth, max_bytes, _OPTIONS)
    if max_bytes is not None and len(encoded) > max_bytes:
        raise ValueTooLargeError(size=len(encoded), limit=max_bytes)
    return encoded


def encode_object(data: Mapping[str, object], *, max_depth: int = MAX_DEPTH) -> bytes:
    """Return a mapping, such as an event's data, as `encode_value` does; refuse anything else likewise."""
    if not isinstance(data, Mapping):
        raise InvalidValueError("", rule=f"an object is a dict, not {named(data)}", hint="Give a dict.")
    return encode_value(data if isinstance(data, dict) else dict(data), max_depth=max_depth)


def canonical(value: object, *, max_depth: int = MAX_DEPTH) -> bytes:
    """Return the one text that all equal values share whatever the order of their keys, for hashing state."""
    return _encoded(value, max_depth, None, _OPTIONS | orjson.OPT_SORT_KEYS)


def encode_set(value_bytes: bytes, op: Op = "set", extra: Mapping[str, object] | None = None) -> bytes:
    """Return the data of a `state.set` event from an encoded value, which is not encoded again.

    `op` says how the value came about; `extra` holds what stands beside it (`by`, `source`, `expires_at`).
    """
    head = b'{"value":' + value_bytes + _OP_ENDS[op]
    if not extra:
        return head + b"}"
    if not extra.keys().isdisjoint(("value", "op")):
        raise InvalidValueError("", rule="`value` and `op` are given apart", hint="Leave them out of `extra`.")
    return head + b"," + encode_value(dict(extra))[1:]


def parts_of_set(data: bytes) -> tuple[bytes, Op]:
    """Return the encoded value and the op in a set event's data, without decoding either.

    The op's name stands behind the value, and nothing that follows it can hold an unescaped quote and its name.
    Raises `IntegrityError` where there is no such thing.
    """
    at = data.rfind(_OP)
    if at < 0 or not data.startswith(_VALUE):
        raise IntegrityError("the data of a set event holds no value", kind="encoding")
    start = at + len(_OP)
    op: Any = data[start : data.index(b'"', start)].decode()
    return data[len(_VALUE) : at], op


def op_of_set(data: bytes) -> str:
    """Return the op in a set event's data alone; raises as `parts_of_set`, which see."""
    at = data.rfind(_OP)
    if at < 0:
        raise IntegrityError("the data of a set event holds no value", kind="encoding")
    start = at + len(_OP)
    return data[start : data.index(b'"', start)].decode()


def schema_of(extra: bytes | None) -> tuple[str, str] | None:
    """Return name and version of the schema that an event says its value meets; most say nothing."""
    if extra is None or _SCHEMA not in extra:
        return None
    found = _loads(extra).get("schema")
    return None if found is None else (found[0], found[1])


def extra_with(extra: bytes | None, said: Mapping[str, object]) -> bytes:
    """Return an event's extra parts with more of them, none of which it has already."""
    return extra_joined(extra, encode_value(dict(said)))


def extra_joined(extra: bytes | None, said: bytes) -> bytes:
    """Return the same of parts that are encoded, neither of which is empty."""
    return said if extra is None else extra[:-1] + b"," + said[1:]


def part_of(extra: bytes | None, name: str) -> Any:
    """Return one of an event's extra parts as JSON has it, tags and all; None where the event says nothing of it."""
    if extra is None or f'"{name}":'.encode() not in extra:
        return None
    return _loads(extra).get(name)


def tracking_of(extra: bytes | None) -> tuple[str, int] | None:
    """Return which consumer an event says to have come how far with its commit; most say nothing."""
    found = part_of(extra, "tracking")
    return None if found is None else (found[0], found[1])


def reads_of(extra: bytes | None) -> tuple[int, ...]:
    """Return the positions of what an event says that it read; most say nothing."""
    if extra is None or _READS not in extra:
        return ()
    return tuple(_loads(extra).get("reads") or ())


def shared_reads_of(extra: bytes | None) -> bytes | None:
    """Return the id of the earlier write whose reads an event says that it shares; most say nothing."""
    if extra is None or _SHARED not in extra:
        return None
    said: str | None = _loads(extra).get("reads_with")
    return None if said is None else bytes.fromhex(said)


def decode_value(data: bytes) -> Any:
    """Return the value that `encode_value` made these bytes of; it is the caller's own.

    Raises `IntegrityError` if they are no JSON, or hold a tag that this release does not know.
    """
    try:
        value = _loads(data)
    except orjson.JSONDecodeError as error:
        raise IntegrityError(f"stored bytes are no JSON: {error}", kind="encoding") from error
    # `find`, for a memoryview has none: `in` would look for an item, find nothing, and leave the tags.
    return value if data.find(_DOLLAR) < 0 else untagged(value)


# -- Encoding: most values need no tag; they are checked by the types they hold and given to orjson as they are.


def _encoded(value: object, max_depth: int, max_bytes: int | None, option: int) -> bytes:
    if _is_plain(value, max_depth, _MANY_PARTS if max_bytes is None else max_bytes // 2):
        try:
            encoded = _dumps(value, None, option)
        except (TypeError, RecursionError):
            pass  # A large int, a lone surrogate, or a key that is no text: the tagging walk finds it, and where.
        else:
            if _DOLLAR not in encoded:  # Otherwise a key may need its escape.
                return encoded
    try:
        return _dumps(tagged(value, max_depth, max_bytes=max_bytes), None, option)
    except (TypeError, RecursionError):  # What orjson may still refuse in base types is their depth.
        refuse_depth(None, max_depth)


def _is_plain(value: object, max_depth: int, max_parts: int) -> bool:
    """Return whether a value holds nothing but what orjson writes exactly: the hot path, written flat.

    It does not look into keys and the size of ints: orjson itself refuses those that are wrong.
    """
    todo: list[Any] = [(value,)]
    for container in todo:
        for item in container.values() if type(container) is dict else container:
            kind = type(item)
            if kind in _SURE:
                continue
            if kind is float:
                if item - item != 0.0:  # NaN and the infinities; math.isfinite costs a call.
                    return False
            elif kind in _CONTAINERS:
                todo.append(item)
            else:
                return False
        if len(todo) > _FEW_CONTAINERS:
            return _is_plain_by_levels(value, max_depth, max_parts)
    return len(todo) - 1 <= max_depth or _is_plain_by_levels(value, max_depth, max_parts)


def _is_plain_by_levels(value: object, max_depth: int, max_parts: int) -> bool:
    """Return the same for a value of many containers; False if it is too deep or has too many parts.

    A cycle ends at the limit of depth; and what holds the same part many times over, at the limit of parts.
    """
    level: list[Any] = [value]
    while level:
        max_depth -= 1
        inner: list[Any] = []
        for container in level:
            items = container.values() if type(container) is dict else container
            kinds = set(map(type, items))
            max_parts -= len(items)
            if max_parts < 0 or max_depth < 0 or not kinds <= _PLAIN:
                return False
            if float in kinds and not all(map(math.isfinite, [item for item in items if type(item) is float])):
                return False
            if not kinds.isdisjoint(_CONTAINERS):
                inner += [item for item in items if type(item) in _CONTAINERS]
        level = inner
    return True
