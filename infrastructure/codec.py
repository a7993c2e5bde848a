"""Values to bytes and back, exactly: JSON text in UTF-8, with tags for what JSON lacks.

A tag is an object with one key: `{"$bytes": base64}`, `{"$datetime": ISO 8601}`, `{"$uuid": text}`,
`{"$decimal": text}`, `{"$int": hexadecimal}` for integers beyond 64 bits. A caller's key that begins with `$` gets one
more, so that nothing a caller stores can be taken for a tag.
"""

from __future__ import annotations

import math
import re
from base64 import b64decode, b64encode
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, Literal, NoReturn, get_args
from uuid import UUID

import orjson

from backstory.domain.errors import IntegrityError, InvalidValueError, ValueTooLargeError, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["MAX_DEPTH", "Op", "canonical", "decode_value", "encode_object", "encode_set", "encode_value", "render_path"]

MAX_DEPTH: Final = 200

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
_INT_64: Final = range(-(2**63), 2**64)
_dumps: Final = orjson.dumps
_loads: Final = orjson.loads
_IDENTIFIER: Final = re.compile(r"[^\W\d][\w-]*")
_OP_ENDS: Final = {op: f',"op":"{op}"'.encode() for op in get_args(Op)}

# The steps from the value to a part of it, innermost first: None, or (what leads to the container, key or index).
_Path = tuple["_Path", str | int] | None


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
        raise InvalidValueError("", rule=f"an object is a dict, not {_article(data)}", hint="Give a dict.")
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


def decode_value(data: bytes) -> Any:
    """Return the value that `encode_value` made these bytes of; it is the caller's own.

    Raises `IntegrityError` if they are no JSON, or hold a tag that this release does not know.
    """
    try:
        value = _loads(data)
    except orjson.JSONDecodeError as error:
        raise IntegrityError(f"stored bytes are no JSON: {error}", kind="encoding") from error
    # `find`, for a memoryview has none: `in` would look for an item, find nothing, and leave the tags.
    return value if data.find(_DOLLAR) < 0 else _untagged(value)


def render_path(steps: Iterable[str | int]) -> str:
    """Return steps into a value as text, such as `items[0].price` or `a["odd key"]`; of no steps, the empty text."""
    text = ""
    for step in steps:
        if isinstance(step, int):
            text += f"[{step}]"
        elif _IDENTIFIER.fullmatch(step):
            text += f".{step}" if text else step
        else:
            text += f"[{_quoted(step)}]"
    return text


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
        return _dumps(_Tagging(max_depth, max_bytes).tagged(value, None), None, option)
    except (TypeError, RecursionError):  # What orjson may still refuse in base types is their depth.
        _refuse_depth(None, max_depth)


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


class _Tagging:
    """One walk over a value that needs tags, or is refused: it makes a copy of base types that orjson takes whole."""

    def __init__(self, max_depth: int, max_bytes: int | None) -> None:
        self._max_depth = max_depth
        self._max_bytes = max_bytes
        self._bytes = 0
        self._open: set[int] = set()

    def tagged(self, value: Any, path: _Path) -> Any:
        """Return the tagged copy of `value`, which lies at `path`."""
        leaf = _LEAVES.get(type(value))
        if leaf is not None:
            return leaf(value, path)
        if isinstance(value, Enum):
            _refuse(path, f"{_article(value)} is an Enum member", "Store its .value.")
        if isinstance(value, (dict, list, tuple)):
            return self._container(value, path)
        for base, leaf in _LEAVES.items():
            if isinstance(value, base):
                return leaf(value, path)
        _refuse_type(value, path)

    def _container(self, value: Any, path: _Path) -> Any:
        if id(value) in self._open:
            _refuse(path, "it contains itself", "Break the cycle, for instance by storing an id in its place.")
        if len(self._open) >= self._max_depth:
            _refuse_depth(path, self._max_depth)
        self._count(2 * len(value))
        self._open.add(id(value))
        try:
            if isinstance(value, dict):
                return self._object(value, path)
            return [self.tagged(item, (path, index)) for index, item in enumerate(value)]
        finally:
            self._open.discard(id(value))

    def _object(self, value: dict[Any, Any], path: _Path) -> dict[str, Any]:
        copy: dict[str, Any] = {}
        for key, item in value.items():
            if not isinstance(key, str) or isinstance(key, Enum):
                _refuse(path, f"the dict key {shown(key)} is {_article(key)}", "Make every dict key a str.")
            text = _text(key, path)
            name = f"${text}" if text.startswith("$") else text
            if name in copy:
                _refuse(path, f"two dict keys read {shown(text)}", "Make every dict key a plain str.")
            copy[name] = self.tagged(item, (path, text))
        return copy

    def _count(self, size: int) -> None:
        """Stop where the parts alone pass the limit: a value that shares its parts may be too large to build."""
        self._bytes += size
        if self._max_bytes is not None and self._bytes > self._max_bytes:
            raise ValueTooLargeError(size=self._bytes, limit=self._max_bytes)


def _text(value: str, path: _Path) -> str:
    text = str.__str__(value)
    try:
        text.encode()
    except UnicodeEncodeError:
        _refuse(path, f"{shown(text)} holds a lone surrogate", "Decode the text with the encoding it was written in.")
    return text


def _float(value: float, path: _Path) -> float:
    number = float.__float__(value)
    if not math.isfinite(number):
        _refuse(path, f"{number} is no JSON number", "Store None or a text in its place.")
    return number


def _int(value: int, _path: _Path) -> object:
    number = int.__int__(value)
    return number if number in _INT_64 else {"$int": hex(number)}


def _datetime(value: datetime, path: _Path) -> object:
    tag = {"$datetime": datetime.isoformat(value)}
    return _exact(value, datetime, tag, path)


def _uuid(value: UUID, path: _Path) -> object:
    return _exact(value, UUID, {"$uuid": UUID.__str__(value)}, path)


def _decimal(value: Decimal, path: _Path) -> object:
    if not value.is_finite():
        _refuse(path, f"Decimal {value} is no number", "Store None or a text in its place.")
    return _exact(value, Decimal, {"$decimal": Decimal.__str__(value)}, path)


def _exact(value: object, base: type, tag: dict[str, str], path: _Path) -> dict[str, str]:
    """Return `tag`, unless `value` is of a subclass that holds more than its base does."""
    if type(value) is not base and _tag_value(tag) != value:
        _refuse(path, f"{_article(value)} holds more than a {base.__name__} can", f"Convert it to {base.__name__}.")
    return tag


# In the order of the checks: a bool is an int, and is let through before.
_LEAVES: Final[dict[type, Callable[[Any, _Path], object]]] = {
    str: _text,
    bool: lambda value, _path: value,
    int: _int,
    float: _float,
    type(None): lambda value, _path: value,
    bytes: lambda value, _path: {"$bytes": b64encode(value).decode()},
    datetime: _datetime,
    UUID: _uuid,
    Decimal: _decimal,
}

_HINTS: Final = {
    "bytearray": "Store bytes(it).",
    "date": "Store a datetime, or the text of .isoformat().",
    "frozenset": "Store a sorted list.",
    "memoryview": "Store bytes(it).",
    "ndarray": "Store its .tolist().",
    "set": "Store a sorted list.",
    "time": "Store the text of .isoformat().",
    "timedelta": "Store its .total_seconds().",
}


def _refuse_type(value: object, path: _Path) -> NoReturn:
    hint = _HINTS.get(type(value).__name__)
    if hint is None and hasattr(type(value), "__dataclass_fields__"):
        hint = "Store dataclasses.asdict(it)."
    if hint is None and hasattr(type(value), "model_dump"):
        hint = 'Store its .model_dump(mode="json").'
    _refuse(
        path,
        f"{_article(value)} is not a type that can be stored",
        hint or "Convert it to dict, list, str, int, float, bool, None, bytes, datetime, UUID or Decimal.",
    )


def _refuse_depth(path: _Path, limit: int) -> NoReturn:
    _refuse(path, f"it is nested deeper than {limit} levels", "Flatten it, or spread it over several keys.")


def _refuse(path: _Path, rule: str, hint: str) -> NoReturn:
    steps: list[str | int] = []
    while path is not None:
        path, step = path
        steps.append(step)
    raise InvalidValueError(render_path(reversed(steps)), rule=rule, hint=hint)


def _article(value: object) -> str:
    """Return the name of the type with its article, for a message."""
    name = type(value).__name__
    return f"an {name}" if name[:1].lower() in "aeio" else f"a {name}"


def _quoted(text: str) -> str:
    """Return a key in double quotes, escaped as in JSON; a lone surrogate is shown as a question mark."""
    return orjson.dumps(text.encode(errors="replace").decode()).decode()


# -- Decoding: the parsed value is new and nobody else's, so tags are replaced in place.

_TAGS: Final[dict[str, Callable[[str], object]]] = {
    "$bytes": lambda text: b64decode(text, validate=True),
    "$datetime": datetime.fromisoformat,
    "$decimal": Decimal,
    "$int": lambda text: int(text, 16),
    "$uuid": UUID,
}


def _untagged(value: Any) -> Any:
    """Return a parsed value with its tags decoded and its keys without their escape."""
    root = [value]
    containers: list[Any] = [root]
    while containers:
        container = containers.pop()
        is_object = type(container) is dict
        for key, item in list(container.items() if is_object else enumerate(container)):
            if type(item) is list:
                containers.append(item)
            elif type(item) is dict:
                if _is_tag(item):
                    container[key] = _tag_value(item)
                else:
                    containers.append(item)
        if is_object:
            _strip_escapes(container)
    return root[0]


def _is_tag(item: dict[str, Any]) -> bool:
    """Return whether an object is a tag: it has a single key, with a single `$` in front."""
    if len(item) != 1:
        return False
    (key,) = item
    return key.startswith("$") and not key.startswith("$$")


def _tag_value(tag: dict[str, Any]) -> object:
    ((name, text),) = tag.items()
    try:
        return _TAGS[name](text)
    except (KeyError, ValueError, TypeError, ArithmeticError) as error:
        raise IntegrityError(
            f"stored value holds the tag {shown(name)}, which cannot be read",
            kind="encoding",
            hint="Read it with the release that wrote it; if that fails too, run `backstory verify`.",
        ) from error


def _strip_escapes(container: dict[str, Any]) -> None:
    """Take one `$` off the keys that begin with it, and keep the order of the keys."""
    if any(key.startswith("$") for key in container):
        items = [(key.removeprefix("$"), item) for key, item in container.items()]
        container.clear()
        container.update(items)
