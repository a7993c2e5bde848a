"""The rules of the codec: what goes in comes out exactly, and what cannot is refused with the path to it."""

from __future__ import annotations

import math
import struct
from collections import OrderedDict, defaultdict, namedtuple
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from typing import Any
from uuid import UUID

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from backstory.domain.errors import IntegrityError, InvalidValueError, ValueTooLargeError
from backstory.infrastructure import codec
from backstory.infrastructure.codec import canonical, decode_value, encode_object, encode_set, encode_value

CUSTOM_ZONE = timezone(timedelta(hours=-3, minutes=-30, seconds=-15))

zones = st.one_of(
    st.none(),
    st.just(UTC),
    st.builds(timezone, st.timedeltas(min_value=timedelta(hours=-23), max_value=timedelta(hours=23))),
)
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(min_value=-(2**64), max_value=2**65),
    st.integers().map(lambda n: n**20),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=20),
    st.binary(max_size=20),
    st.datetimes(timezones=zones),
    st.uuids(),
    st.decimals(allow_nan=False, allow_infinity=False),
)
tag_names = st.sampled_from(
    ["$", "$$", "$bytes", "$$bytes", "$datetime", "$uuid", "$decimal", "$int", "$other", "a$", '"$']
)
dict_keys = st.one_of(st.text(max_size=8), tag_names)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(dict_keys, inner, max_size=4)),
    max_leaves=20,
)


def exact(value: Any) -> Any:
    """Return what tells values apart that Python's `==` does not: the type of each part, and the bits of each float."""
    if isinstance(value, dict):
        return dict, [(key, exact(item)) for key, item in value.items()]
    if isinstance(value, list):
        return [exact(item) for item in value]
    if isinstance(value, float):
        return struct.pack(">d", value)
    if isinstance(value, datetime):
        return datetime, value.replace(tzinfo=None), value.utcoffset()
    return type(value), str(value) if isinstance(value, Decimal) else value


# -- Round trips


@given(values)
@example({"$bytes": "x"})
@example({"$$bytes": {"$bytes": b"x"}})
@example([{"a": {"$int": "0x1"}}, {"b": [{"$": None}]}])
@example({"a": 1, "$b": 2, "c": 3})
@example(-0.0)
@example(5e-324)
@example("\0")
@example(2**64)
@example(-(2**63) - 1)
@example(datetime(2024, 1, 1, tzinfo=CUSTOM_ZONE))
@example(datetime(2024, 1, 1, tzinfo=timezone(timedelta(microseconds=1))))
@example(datetime(2024, 1, 1, tzinfo=timezone(timedelta(microseconds=-1))))
@example({"text": 'a"$b', "null": None, "float": 1.5})
def test_every_value_comes_back_with_the_same_types_bits_and_order(value: object) -> None:
    assert exact(value) == exact(decode_value(encode_value(value)))


@given(st.integers(min_value=0, max_value=2**64 - 1))
@example(0x0010000000000000)
@example(0x7FEFFFFFFFFFFFFF)
@example(0x8000000000000001)
def test_every_finite_float_comes_back_bit_for_bit(bits: int) -> None:
    (number,) = struct.unpack(">d", bits.to_bytes(8))
    if math.isfinite(number):
        assert bits.to_bytes(8) == struct.pack(">d", decode_value(encode_value(number)))


@given(values)
def test_an_encoded_value_is_plain_json_text(value: object) -> None:
    text = encode_value(value).decode()

    assert orjson.loads(text) == orjson.loads(orjson.dumps(orjson.loads(text)))
    assert len(text.splitlines()) <= 1 or "\u2028" in text or "\u2029" in text or "\x85" in text


@given(values)
def test_a_value_is_not_changed_by_encoding_it_and_a_decoded_one_is_new(value: Any) -> None:
    before = exact(value)
    encoded = encode_value(value)
    first = decode_value(encoded)
    if isinstance(first, dict):
        first["changed"] = True
    if isinstance(first, list):
        first.append("changed")

    assert before == exact(value) == exact(decode_value(encoded))


def test_tuples_come_back_as_lists() -> None:
    point = namedtuple("point", "x y")  # noqa: PYI024 - an untyped one, as users have

    assert {"a": [1, [2, b"x"]], "b": [3, 4]} == decode_value(encode_value({"a": (1, (2, b"x")), "b": point(3, 4)}))


def test_special_types_have_tags_that_say_what_they_are() -> None:
    value = {
        "bytes": b"\x00\xff",
        "aware": datetime(2024, 5, 6, 7, 8, 9, 10, tzinfo=UTC),
        "naive": datetime(2024, 5, 6),  # noqa: DTZ001 - naive on purpose
        "uuid": UUID(int=1),
        "decimal": Decimal("1.50"),
        "int": -(2**64),
        "$key": 1,
    }

    assert {
        "bytes": {"$bytes": "AP8="},
        "aware": {"$datetime": "2024-05-06T07:08:09.000010+00:00"},
        "naive": {"$datetime": "2024-05-06T00:00:00"},
        "uuid": {"$uuid": "00000000-0000-0000-0000-000000000001"},
        "decimal": {"$decimal": "1.50"},
        "int": {"$int": "-0x10000000000000000"},
        "$$key": 1,
    } == orjson.loads(encode_value(value))


def test_integers_within_64_bits_stay_json_numbers() -> None:
    assert b"[-9223372036854775808,18446744073709551615]" == encode_value([-(2**63), 2**64 - 1])
    assert b'[-9223372036854775808,18446744073709551615,{"$bytes":""}]' == encode_value([-(2**63), 2**64 - 1, b""])


def test_an_int_of_more_digits_than_python_prints_comes_back() -> None:
    assert 7**20000 == decode_value(encode_value(7**20000))


class Text(str):
    __slots__ = ()


class Number(int):
    pass


class Share(float):
    pass


class Stamp(datetime):
    pass


class FinerStamp(datetime):
    """A time with more than a datetime can hold, as pandas has."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FinerStamp)

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = datetime.__hash__


class Identity(UUID):
    pass


class Money(Decimal):
    pass


@pytest.mark.parametrize(
    ("value", "base"),
    [
        (Text("a"), "a"),
        (Number(3), 3),
        (Number(2**70), 2**70),
        (Share(0.5), 0.5),
        (OrderedDict(a=1), {"a": 1}),
        (defaultdict(list, a=[1]), {"a": [1]}),
        ({Text("a"): 1}, {"a": 1}),
        (Stamp(2024, 1, 1, tzinfo=UTC), datetime(2024, 1, 1, tzinfo=UTC)),
        (Identity(int=1), UUID(int=1)),
        (Money("1.50"), Decimal("1.50")),
    ],
)
def test_a_subclass_is_stored_as_its_base(value: object, base: object) -> None:
    assert exact(base) == exact(decode_value(encode_value(value)))
    assert exact([base]) == exact(decode_value(encode_value([value])))


# -- Refusals


class Colour(Enum):
    RED = "red"


class Name(StrEnum):
    RED = "red"


class Level(IntEnum):
    LOW = 1


@dataclass
class Point:
    x: int


class Model:
    def model_dump(self) -> dict[str, object]:
        return {}


UNSTORABLE: list[tuple[object, str, str]] = [
    (math.nan, "nan", "None or a text"),
    (math.inf, "inf", "None or a text"),
    (-math.inf, "-inf", "None or a text"),
    (Share("nan"), "nan", "None or a text"),
    (Decimal("NaN"), "NaN", "None or a text"),
    (Decimal("sNaN"), "sNaN", "None or a text"),
    (Decimal("-Infinity"), "-Infinity", "None or a text"),
    ("\ud800", "lone surrogate", "encoding"),
    (Text("\udfff"), "lone surrogate", "encoding"),
    ({1, 2}, "a set", "sorted list"),
    (frozenset(), "a frozenset", "sorted list"),
    (date(2024, 1, 1), "a date", "datetime"),
    (timedelta(1), "a timedelta", "total_seconds"),
    (bytearray(b"x"), "a bytearray", "bytes(it)"),
    (memoryview(b"x"), "a memoryview", "bytes(it)"),
    (Colour.RED, "Enum member", ".value"),
    (Name.RED, "Enum member", ".value"),
    (Level.LOW, "Enum member", ".value"),
    (Point(1), "a Point", "asdict"),
    (Model(), "a Model", "model_dump"),
    (1j, "a complex", "Convert it"),
    (object(), "an object", "Convert it"),
    (int, "a type", "Convert it"),
    (iter([]), "a list_iterator", "Convert it"),
    (FinerStamp(2024, 1, 1, tzinfo=UTC), "a FinerStamp holds more", "Convert it to datetime"),
]


@pytest.mark.parametrize(("value", "rule", "advice"), UNSTORABLE)
def test_what_cannot_come_back_exactly_is_refused_with_path_rule_and_advice(
    value: object, rule: str, advice: str
) -> None:
    places: list[tuple[object, str]] = [
        (value, ""),
        ([value], "[0]"),
        ({"items": [1, {"price": value}]}, "items[1].price"),
        ({"a": {"odd key": (0, value)}}, 'a["odd key"][1]'),
        ({"n": None, "f": 0.5, "v": value}, "v"),
        ({"many": [[] for _ in range(300)], "v": [None, value]}, "v[1]"),
    ]
    for whole, path in places:
        with pytest.raises(InvalidValueError) as caught:
            encode_value(whole)

        assert path == caught.value.path
        assert rule in caught.value.rule
        assert advice in caught.value.hint
        assert str(caught.value).startswith(f"invalid value at {path}: " if path else "invalid value: ")


@pytest.mark.parametrize("key", [1, 1.5, None, True, b"a", ("a",), Name.RED, UUID(int=1)])
def test_a_dict_key_that_is_no_text_is_refused(key: object) -> None:
    with pytest.raises(InvalidValueError, match="the dict key") as caught:
        encode_value({"a": [{key: 1}]})

    assert "a[0]" == caught.value.path


def test_a_dict_key_with_a_lone_surrogate_is_refused() -> None:
    with pytest.raises(InvalidValueError, match="lone surrogate") as caught:
        encode_value({"a": {"\ud800": 1}})

    assert "a" == caught.value.path


def test_two_keys_that_read_the_same_are_refused_rather_than_one_of_them_lost() -> None:
    class Odd(str):
        __slots__ = ()

        def __eq__(self, other: object) -> bool:
            return self is other

        __hash__ = str.__hash__

    with pytest.raises(InvalidValueError, match="two dict keys read 'a'"):
        encode_value({Odd("a"): 1, Odd("a"): 2})


def cycle_in_list() -> object:
    value: list[object] = [1]
    value.append({"a": value})
    return value


def cycle_in_dict() -> object:
    value: dict[str, object] = {}
    value["self"] = value
    return value


def wide_cycle() -> object:
    value: list[object] = []
    value += [value] * 1000
    return value


def cycle_beside_a_tag() -> object:
    value: list[object] = [b"x"]
    value.append(value)
    return value


@pytest.mark.parametrize(
    ("make", "path"),
    [(cycle_in_list, "[1].a"), (cycle_in_dict, "self"), (wide_cycle, "[0]"), (cycle_beside_a_tag, "[1]")],
)
@pytest.mark.parametrize("max_bytes", [None, 1 << 20])
def test_a_cycle_is_refused_where_it_closes(make: Any, path: str, max_bytes: int | None) -> None:
    with pytest.raises(InvalidValueError, match="contains itself") as caught:
        encode_value(make(), max_bytes=max_bytes)

    assert path == caught.value.path


def test_the_same_part_in_two_places_is_no_cycle() -> None:
    part = {"a": [b"x"]}

    assert [part, part, {"again": part}] == decode_value(encode_value([part, part, {"again": part}]))


def nested(depth: int, leaf: object, *, as_dict: bool) -> object:
    value = leaf
    for _ in range(depth):
        value = {"a": value} if as_dict else [value]
    return value


@pytest.mark.parametrize("as_dict", [True, False])
@pytest.mark.parametrize("leaf", [1, b"x", 2**70])
def test_200_levels_come_back_and_201_are_refused(leaf: object, as_dict: bool) -> None:
    deepest = nested(200, leaf, as_dict=as_dict)
    assert deepest == decode_value(encode_value(deepest))
    assert deepest == decode_value(encode_set(encode_value(deepest)))["value"]

    with pytest.raises(InvalidValueError, match="deeper than 200 levels") as caught:
        encode_value(nested(201, leaf, as_dict=as_dict))
    assert caught.value.path == (".".join("a" * 200) if as_dict else "[0]" * 200)


@pytest.mark.parametrize("depth", [0, 1, 3])
def test_the_depth_limit_can_be_lowered(depth: int) -> None:
    for leaf in (1, b"x"):
        assert encode_value(nested(depth, leaf, as_dict=True), max_depth=depth)
        with pytest.raises(InvalidValueError, match=f"deeper than {depth} levels"):
            encode_value(nested(depth + 1, leaf, as_dict=True), max_depth=depth)


@pytest.mark.parametrize("depth", [500, 5000, 100_000])
def test_a_value_deeper_than_any_stack_is_refused_whatever_the_limit(depth: int) -> None:
    for leaf in (1, b"x"):
        for limit in (200, depth):
            with pytest.raises(InvalidValueError, match="nested deeper"):
                encode_value(nested(depth, leaf, as_dict=False), max_depth=limit)


@given(values, st.integers(min_value=0, max_value=100))
def test_a_value_is_refused_exactly_if_its_bytes_are_more_than_the_limit(value: object, limit: int) -> None:
    size = len(encode_value(value))
    if size <= limit:
        assert size == len(encode_value(value, max_bytes=limit))
        return

    with pytest.raises(ValueTooLargeError) as caught:
        encode_value(value, max_bytes=limit)
    assert (limit, True) == (caught.value.limit, limit < caught.value.size <= size)


@pytest.mark.parametrize("leaf", [1, b"x"])
def test_a_small_value_that_unfolds_to_a_huge_one_is_refused_before_it_is_unfolded(leaf: object) -> None:
    value: list[object] = [leaf]
    for _ in range(100):
        value = [value, value]

    with pytest.raises(ValueTooLargeError):
        encode_value(value, max_bytes=1 << 16)


def test_a_value_of_very_many_parts_comes_back_where_there_is_no_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codec, "_MANY_PARTS", 1000)
    value = [[0, 0.5]] * 2000

    assert value == decode_value(encode_value(value))


# -- What stored bytes may be


@pytest.mark.parametrize(
    "data", [b"", b"{", b"NaN", b"\xff", b'{"a":1}x', b'"\\ud800"', b"[" * 2000 + b"]" * 2000, b"1e400"]
)
def test_stored_bytes_that_are_no_json_are_a_damage(data: bytes) -> None:
    with pytest.raises(IntegrityError) as caught:
        decode_value(data)

    assert "encoding" == caught.value.kind


@pytest.mark.parametrize(
    "data",
    [
        b'{"$other":1}',
        b'[{"a":{"$":1}}]',
        b'{"$bytes":"!"}',
        b'{"$bytes":1}',
        b'{"$int":"x"}',
        b'{"$int":7}',
        b'{"$datetime":"yesterday"}',
        b'{"$uuid":"1"}',
        b'{"$uuid":1}',
        b'{"$decimal":"one"}',
        b'{"$decimal":[1]}',
        b'{"$decimal":"NaN"}',
        b'{"$bytes":"AA==","b":1}',
        b'{"a":1,"$b":2}',
    ],
)
def test_a_tag_that_cannot_be_read_is_a_damage_and_no_silent_dict(data: bytes) -> None:
    with pytest.raises(IntegrityError, match="tag") as caught:
        decode_value(data)

    assert "encoding" == caught.value.kind


@given(st.binary(max_size=40))
def test_any_bytes_are_either_a_value_or_a_damage(data: bytes) -> None:
    try:
        value = decode_value(data)
    except IntegrityError:
        return

    assert exact(value) == exact(decode_value(encode_value(value)))


def test_bytes_in_another_wrapping_are_not_read_halfway() -> None:
    encoded = encode_value({"a": b"x"})

    assert {"a": b"x"} == decode_value(bytearray(encoded))  # type: ignore[arg-type]
    with pytest.raises(AttributeError):
        decode_value(memoryview(encoded))  # type: ignore[arg-type]


# -- The canonical text, and event data


@given(st.dictionaries(dict_keys, values, max_size=5))
def test_the_canonical_text_is_the_same_whatever_the_order_of_the_keys(value: dict[str, Any]) -> None:
    turned = dict(reversed(value.items()))

    assert canonical(value) == canonical(turned) == canonical({"a": turned})[5:-1]
    assert value == decode_value(canonical(value))


@given(values, values)
@example(1, 1.0)
@example(1, True)
@example(0.0, -0.0)
@example({"$bytes": "eA=="}, b"x")
def test_two_values_share_a_canonical_text_only_if_they_are_the_same(one: Any, other: Any) -> None:
    same = exact(decode_value(canonical(one))) == exact(decode_value(canonical(other)))

    assert same == (canonical(one) == canonical(other))


@given(st.dictionaries(dict_keys, values, max_size=5))
def test_an_object_is_encoded_as_a_value_is(data: dict[str, Any]) -> None:
    assert encode_value(data) == encode_object(data)


@pytest.mark.parametrize("data", [None, 1, "a", [("a", 1)]])
def test_an_object_is_a_mapping(data: Any) -> None:
    with pytest.raises(InvalidValueError, match="an object is a dict"):
        encode_object(data)


@given(values)
def test_the_data_of_a_set_holds_value_and_op(value: object) -> None:
    assert exact({"value": value, "op": "set"}) == exact(decode_value(encode_set(encode_value(value))))


@given(values, st.sampled_from(["set", "update", "increment", "copy", "move", "migrate", "restore"]))
def test_the_data_of_a_set_says_how_the_value_came_about(value: object, op: codec.Op) -> None:
    extra = {"by": 2**70, "source": {"scope": "global", "key": "$k", "position": 3}, "expires_at": datetime.now(UTC)}

    assert exact({"value": value, "op": op, **extra}) == exact(decode_value(encode_set(encode_value(value), op, extra)))
    assert encode_set(encode_value(value), op) == encode_set(encode_value(value), op, {})


def test_what_stands_beside_a_value_cannot_stand_in_its_place() -> None:
    for name in ("value", "op"):
        with pytest.raises(InvalidValueError):
            encode_set(b"1", "set", {name: 2})
