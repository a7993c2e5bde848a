"""The rules of redaction: every secret is found where it stands, nothing else is, and nothing else changes.

The examples are made up, and put together when the tests run, so that no scanner takes this file for a leak.
"""

from __future__ import annotations

import json
import re
from base64 import b64encode, urlsafe_b64encode
from collections import OrderedDict
from datetime import UTC, datetime
from decimal import Decimal
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from backstory.domain.errors import InvalidValueError
from backstory.domain.redaction import DEFAULT_PATTERNS, Finding, Redaction, SensitivePattern
from backstory.domain.sensitive_fields import DEFAULT_FIELDS
from backstory.infrastructure.codec import decode_value, encode_value

RUNS = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "agent_runs.jsonl"
KEY = b"a key for tests, long enough"
PLAIN = Redaction()
HASHING = Redaction(mode="hash", key=KEY)

LETTERS = "aB3dE5gH7jK9mN1pQ2rS4tU6vW8xY0zZ"
HEX = "0123456789abcdef"


def body(length: int, alphabet: str = LETTERS) -> str:
    return (alphabet * (length // len(alphabet) + 1))[:length]


def base64url(data: bytes) -> str:
    return urlsafe_b64encode(data).decode().rstrip("=")


def jwt(header: object = None, *, parts: int = 3) -> str:
    first = json.dumps({"alg": "HS256", "typ": "JWT"} if header is None else header).encode()
    return ".".join([base64url(first), base64url(b'{"sub":"42"}'), *[body(43)] * (parts - 2)])


def pem(kind: str) -> str:
    lines = "\n".join([body(64)] * 3)
    return f"-----BEGIN {kind}PRIVATE" + f" KEY-----\n{lines}==\n-----END {kind}PRIVATE" + " KEY-----"


def checked(digits: str) -> str:
    """Return digits with the check digit of Luhn after them, reckoned otherwise than the code under test does it."""
    doubled = [int(digit) * (2 - index % 2) for index, digit in enumerate(reversed(digits))]
    total = sum(sum(map(int, str(number))) for number in doubled)
    return f"{digits}{-total % 10}"


CARDS = {
    "visa": checked("4" + "20" * 7),
    "visa of 19": checked("4" + "20" * 8 + "7"),
    "mastercard": checked("51" + "3" * 13),
    "mastercard of the low range": checked("2221" + "0" * 11),
    "mastercard of the high range": checked("2720" + "9" * 11),
    "american express": checked("37" + "1" * 12),
    "diners club": checked("305" + "1" * 10),
    "discover": checked("6011" + "2" * 11),
    "discover 65": checked("65" + "2" * 13),
    "jcb": checked("3530" + "1" * 11),
    "jcb, last of the range": checked("3589" + "1" * 11),
    "unionpay": checked("62" + "1" * 13),
    "unionpay of 19": checked("62" + "1" * 16),
    "maestro": checked("6759" + "1" * 11),
    "rupay": checked("6069" + "1" * 11),
    "mir": checked("2204" + "1" * 11),
}
VISA = CARDS["visa"]
SSN = "219-41-7332"

TOKENS = [
    ("anthropic_key", "sk-" + "ant-api03-" + body(93) + "AA"),
    ("anthropic_key", "sk-" + "ant-admin01-" + body(93)),
    ("openai_key", "sk-" + "proj-" + body(74) + "_" + "T3Blbk" + "FJ" + body(74)),
    ("openai_key", "sk-" + "svcacct-" + body(60)),
    ("openai_key", "sk-" + "admin-" + body(60)),
    ("openai_key", "sk-" + body(20) + "T3Blbk" + "FJ" + body(20)),
    ("provider_key", "sk-" + body(48)),
    ("provider_key", "sk-" + body(32, HEX)),
    ("openrouter_key", "sk-" + "or-v1-" + body(64, HEX)),
    ("google_key", "AI" + "za" + body(35)),
    ("google_key", "AQ" + ".Ab8" + body(48)),
    ("google_key", "ya" + "29." + body(60)),
    ("google_key", "GOC" + "SPX-" + body(28)),
    ("google_key", "1/" + "/0" + body(40)),
    ("groq_key", "gs" + "k_" + body(52)),
    ("xai_key", "xa" + "i-" + body(80)),
    ("perplexity_key", "pp" + "lx-" + body(48)),
    ("nvidia_key", "nv" + "api-" + body(64)),
    ("replicate_key", "r8" + "_" + body(37)),
    ("huggingface_key", "hf" + "_" + body(34)),
    ("huggingface_key", "api_" + "org_" + body(34)),
    ("langsmith_key", "ls" + "v2_pt_" + body(32, HEX) + "_" + body(10, HEX)),
    ("pinecone_key", "pc" + "sk_" + body(70)),
    ("aws_key_id", "AK" + "IA" + body(16, "ABCDEFGH234567")),
    ("aws_key_id", "AS" + "IA" + body(16, "ABCDEFGH234567")),
    ("aws_key_id", "AB" + "IA" + body(16, "ABCDEFGH234567")),
    ("aws_key_id", "AC" + "CA" + body(16, "ABCDEFGH234567")),
    ("aws_bedrock_key", "AB" + "SK" + body(110)),
    ("aws_bedrock_key", "bedrock-" + "api-key-" + body(110)),
    *(("github_token", f"gh{letter}" + "_" + body(36)) for letter in "pousr"),
    ("github_token", "gh" + "s_12345_" + jwt()),
    ("github_token", "github" + "_pat_" + body(22) + "_" + body(59)),
    ("gitlab_token", "gl" + "pat-" + body(20)),
    ("gitlab_token", "gl" + "pat-" + body(40) + ".0" + "1." + body(9, "0a1b2c3")),
    ("gitlab_token", "gl" + "rt-" + body(20)),
    ("gitlab_token", "GR13" + "48941" + body(20)),
    ("slack_token", "xo" + "xb-123456789012-123456789012-" + body(24)),
    ("slack_token", "xo" + "xe.xo" + "xp-1-" + body(60)),
    ("slack_token", "xa" + "pp-1-A0123-123456789012-" + body(64, HEX)),
    ("slack_token", "hooks.slack" + ".com/services/" + "T0123/B0123/" + body(24)),
    ("stripe_key", "sk" + "_live_" + body(24)),
    ("stripe_key", "rk" + "_test_" + body(24)),
    ("stripe_key", "wh" + "sec_" + body(32)),
    ("sendgrid_key", "S" + "G." + body(22) + "." + body(43)),
    ("twilio_key", "S" + "K" + body(32, HEX)),
    ("npm_token", "np" + "m_" + body(36)),
    ("pypi_token", "py" + "pi-AgEIcHlwaS5vcmc" + body(60)),
    ("docker_token", "dc" + "kr_pat_" + body(27)),
    ("digitalocean_token", "do" + "p_v1_" + body(64, HEX)),
    ("vault_token", "hv" + "s." + body(24)),
    ("shopify_token", "sh" + "pat_" + body(32, HEX)),
    ("telegram_token", "123456789" + ":A" + "A" + body(33)),
    ("linear_key", "lin_" + "api_" + body(40)),
    ("notion_key", "nt" + "n_" + body(46)),
    ("supabase_key", "sb_" + "secret_" + body(31)),
    ("atlassian_token", "ATA" + "TT3" + body(80)),
    ("age_key", "AGE-" + "SECRET-KEY-1" + body(58, "QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L")),
    ("jwt", jwt()),
    ("jwt", jwt({"alg": "dir", "enc": "A256GCM"}, parts=5)),
    ("private_key", pem("")),
    ("private_key", pem("RSA ")),
    ("private_key", pem("OPENSSH ")),
    ("private_key", pem("").replace("\n", "\\n")),
    ("private_key", pem("EC ")[:120]),
    ("ssn", SSN),
    ("ssn", SSN.replace("-", " ")),
    *(("card", number) for number in CARDS.values()),
    *(("card", re.sub("(.{4})(?=.)", r"\1 ", number)) for number in CARDS.values() if len(number) in {16, 19}),
    ("card", re.sub("(.{4})(?=.)", r"\1-", VISA)),
    ("card", re.sub("(.{4})(?=.)", "\\1\u00a0", VISA)),
    ("card", re.sub("(.{4})(.{6})(.*)", r"\1 \2 \3", CARDS["american express"])),
    ("card", re.sub("(.{4})(.{6})(.*)", r"\1-\2-\3", CARDS["diners club"])),
]

# The kind, what stands before the secret, the secret, and what stands after it.
SURROUNDED = [
    ("authorization", "Authorization: Bearer ", "abc.def", ""),
    ("authorization", '"authorization": "', "Basic dXNlcjpwYXNz", '"'),
    ("bearer_token", "curl -H 'X: Bearer ", body(20), "' x"),
    ("bearer_token", "bearer ", body(20), " was sent"),
    ("api_key", "X-Api-Key: ", "abcdef123", "\nHost: x"),
    ("api_key", "x-goog-api-key: ", "abcdef123", ""),
    ("cookie", "Cookie: ", "sid=31d4d96e407aad42; theme=dark", "\r\nHost: x"),
    ("cookie", "Set-Cookie: ", "sid=31d4; HttpOnly", ""),
    ("aws_secret_key", "secretAccessKey: ", body(40), ""),
    ("azure_key", "AccountName=x;AccountKey=", body(86) + "==", ";EndpointSuffix=core"),
    ("azure_key", "SharedAccessKey=", body(43) + "=", ""),
    ("azure_key", "https://x.blob.core/y?sv=1&sig=", body(43) + "%3D", ""),
    ("url_password", "postgresql://ada:", "hunter2", "@db:5432/x"),
    ("url_password", "redis://:", "hunter2", "@cache"),
    ("url_password", "mongodb+srv://ada:", "p%40ss", "@host/?a=b"),
    ("password", '{"user": "ada", "password": "', "hunter2", '"}'),
    ("password", '{"password": "', 'hun\\"ter2', '", "b": 1}'),
    ("password", '{\\"password\\": \\"', "hunter2", '\\"}'),
    ("password", "{'password': '", "hunter2", "'}"),
    ("password", '{"password": "', "hunter2, cut of", ""),
    ("cvv", '{"cvv": ', "123", "}"),
    ("access_token", "/callback?access_token=", "abc123", "&state=x"),
    ("mistral_api_key", "export MISTRAL_API_KEY=", body(32), "\n"),
    ("client_secret", 'clientSecret = "', "s3cr et", '"'),
]

HARMLESS = [
    "",
    "sk-learn",
    "sk-learn-contrib and sk-image",
    "scikit-learn",
    "ask-me-anything-about-the-weather-in-paris-2024",
    "risk-" + "a" * 40,
    "sk-" + "a" * 40,
    "task-" + body(40),
    "disk-ant-colony",
    "credit_card_1234567",
    "credit_card_4421486",
    "gift_card_8887175",
    "certificate_7504069",
    "NO6JO3",
    "HAT061",
    "mia_li_3668",
    "call_9aB3dE5gH7jK9mN1pQ2rS4t",
    "2024-05-15",
    "2024-05-15 15:00:00 EST",
    "2024-05-15T15:00:00.123456+00:00",
    "20240515150000",
    "2024-05-15 2024-05-16",
    "1715785200",
    "1715785200123",
    "1715785200123456",
    "1715785200123456789",
    "0.4" + VISA[1:],
    "0." + VISA,
    VISA + ".5",
    "1" + VISA,
    VISA + "7",
    "a" + VISA,
    VISA + "f",
    "1234567890123456",
    checked("1" * 15),
    checked("9" * 15),
    VISA[:-1] + str((int(VISA[-1]) + 1) % 10),
    "1240000000000000000",
    checked("62" + "0" * 15),
    checked("62" + "0" * 16)[:18],
    "4006381333931",
    " ".join(VISA),
    "123e4567-e89b-12d3-a456-426614174000",
    "41111111-1111-4111-8111-111111111111",
    "+1 (415) 555-2671",
    "415-555-2671",
    "+49 170 1234567",
    "+47 123 45 6789",
    "044 668 18 00",
    "1.2.3",
    "3.11.7",
    "192.168.100.200",
    "000-12-3456",
    "666-12-3456",
    "912-12-3456",
    "123-00-4567",
    "123-45-0000",
    "123456789",
    "123-45-67890",
    "1-123-45-6789",
    "2123-45-6789",
    "1 123 45 6789",
    "123 45 6789 0",
    "123-45 6789",
    sha256(b"x").hexdigest(),
    "sha256:" + sha256(b"y").hexdigest(),
    "data:image/png;base64," + b64encode(bytes(range(256)) * 4).decode(),
    "d41d8cd98f00b204e9800998ecf8427e",
    base64url(b'{"typ":"JWT"}') + ".eyJ9.x",
    base64url(b"eyJ no json") + ".abc.def",
    "eyJhbGciOi.JIUzI1NiJ9.x",
    "eyJ.eyJ.eyJ",
    base64url(b'{"a":' + b"[" * 5000) + ".a.b",
    checked("4" + "2" * 15),
    checked("4" + "2" * 16),
    "ewJhbGciOiJub25lIn0.a.b",
    "Bearer authentication is used",
    "a bearer certificate-of-deposit",
    "the bearer of 2 tokens",
    "Authorization: none",
    "Authorization: Bearer $TOKEN",
    "Authorization: Bearer <your token here>",
    "http://host:8080/path@x",
    "https://user@host/",
    "http://host:80?x=a@b",
    "see http://a.b/c: it says d@e",
    "postgres://ada:***@db",
    "postgres://ada:${PASSWORD}@db",
    "12:30://",
    "password",
    "Password: required",
    "the secret: patience",
    "password=",
    "password=None",
    "password=null&a=1",
    "if password==other",
    "f(password=None)",
    '{"password": null}',
    '{"password": true}',
    '{"password": ""}',
    "password == other",
    "password=$PASSWORD",
    '{"max_tokens": 400, "author": "ada"}',
    "max_tokens=400&token_count=3",
    '{"my_password_hint": "x"}',
    "tokens=5",
    "-----BEGIN CERTIFICATE-----\n" + body(64) + "\n-----END CERTIFICATE-----",
    "-----BEGIN PRIVATE" + " KEY----- opens it",
    "AKIA",
    "AKIA is a prefix",
    "XAKIA" + body(16, "ABCDEFGH"),
    "ASIAN_MARKETS_2024_REPORT",
    "SK" + "a" * 10,
    "hf_model",
    "npm_config_cache",
    "gsk_plc",
    "glpat-short",
    "xoxo-hugs",
    "SG.1",
    "AIzawa",
    "cookie: chocolate",
    "pk_live_" + body(24),
    "secret_key: short",
]

NAMES_OF_OTHER_THINGS = [
    "max_tokens", "token_usage", "tokens", "token", "author", "authority", "secretary", "key", "keys", "token_count",
    "password_changed_at", "card_type", "card", "credit_card", "pin", "pwd", "pass", "auth", "public_key",
    "api_key_id", "cookie_banner", "my password", "passwords_policy", "authorization_code_flow", "", "_",
]  # fmt: skip


# -- Patterns


@pytest.mark.parametrize(("kind", "secret"), TOKENS)
def test_a_secret_is_found_alone_and_inside_a_longer_text(kind: str, secret: str) -> None:
    mark = f"[redacted:{kind}]"
    assert mark == PLAIN.text(secret)
    assert f"the key {mark}, or" == PLAIN.text(f"the key {secret}, or")
    assert f'{{"a":"{mark}"}}' == PLAIN.text(f'{{"a":"{secret}"}}')
    assert f"{mark}\n{mark}" == PLAIN.text(f"{secret}\n{secret}")
    assert [Finding("a[1]", kind)] == PLAIN.find({"a": ["", secret]})


@pytest.mark.parametrize(("kind", "before", "secret", "after"), SURROUNDED)
def test_a_secret_is_known_by_its_surroundings_which_stay(kind: str, before: str, secret: str, after: str) -> None:
    assert f"{before}[redacted:{kind}]{after}" == PLAIN.text(before + secret + after)
    assert f"so: {before}[redacted:{kind}]{after}" == PLAIN.text("so: " + before + secret + after)
    assert [Finding("", kind)] == PLAIN.find(before + secret + after)


def test_every_pattern_has_an_example() -> None:
    assert {pattern.kind for pattern in DEFAULT_PATTERNS} <= {kind for kind, *_ in [*TOKENS, *SURROUNDED]}


@pytest.mark.parametrize("text", HARMLESS)
def test_what_only_looks_like_a_secret_stays(text: str) -> None:
    assert [] == PLAIN.find(text)
    assert [] == PLAIN.find(f"see {text}, or")
    assert text is PLAIN.text(text)
    assert text is PLAIN.redact(text)


@pytest.mark.parametrize("separator", ["", " ", "-"])
@pytest.mark.parametrize("number", [number for number in CARDS.values() if len(number) == 16])
def test_a_wrong_digit_makes_a_card_number_any_number(number: str, separator: str) -> None:
    for wrong in range(1, 10):
        digits = number[:-1] + str((int(number[-1]) + wrong) % 10)
        assert [] == PLAIN.find(separator.join(re.findall("....", digits)))


def test_a_card_number_may_be_an_int() -> None:
    assert {"n": "[redacted:card]", "order": 1234567890123456} == PLAIN.redact(
        {"n": int(VISA), "order": 1234567890123456}
    )
    assert [Finding("", "card")] == PLAIN.find(int(VISA))
    assert [] == PLAIN.find([-int(VISA), float(VISA), Decimal(VISA), VISA.encode(), 10**400])


@pytest.mark.skipif(not RUNS.exists(), reason=f"{RUNS} is not there")
def test_in_real_runs_of_agents_nothing_is_taken_for_a_secret() -> None:
    with RUNS.open(encoding="utf-8") as lines:
        for line in lines:
            run = json.loads(line)
            assert [] == PLAIN.find(run)
            assert run is PLAIN.redact(run)


# -- Fields


@pytest.mark.parametrize("name", ["api_key", "apiKey", "API-KEY", "Api Key", "ApiKey", "api.key", "APIKEY"])
def test_case_and_separators_of_a_name_do_not_matter(name: str) -> None:
    assert {name: "[redacted:api_key]"} == PLAIN.redact({name: "x"})


@pytest.mark.parametrize("name", sorted(DEFAULT_FIELDS))
@pytest.mark.parametrize("value", ["x", "", 7, 0.5, b"x", {"a": {"b": 1}}, [1, "x"], [], Decimal(1)])
def test_the_value_of_a_sensitive_field_is_replaced_whole(name: str, value: Any) -> None:
    assert {"a": 1, name: f"[redacted:{name}]"} == PLAIN.redact({"a": 1, name: value})
    assert [Finding(f"[0].{name}", name)] == PLAIN.find([{name: value}])


@pytest.mark.parametrize("value", [None, True, False])
def test_none_and_booleans_tell_no_secret(value: object) -> None:
    assert (fields := {"password": value}) is PLAIN.redact(fields)


@pytest.mark.parametrize("name", NAMES_OF_OTHER_THINGS)
def test_a_name_is_taken_whole_never_in_part(name: str) -> None:
    assert (fields := {name: "value"}) is PLAIN.redact(fields)
    assert [] == PLAIN.find({name: {"x": 1}})


def test_fields_and_patterns_are_the_callers_to_choose() -> None:
    badge = SensitivePattern("badge", re.compile(r"B-(\d+)"), group=1)
    redaction = Redaction({"Staff No"}, (badge,))
    assert {"staffNo": "[redacted:staff_no]", "password": "B-[redacted:badge]", "n": VISA} == redaction.redact(
        {"staffNo": 4, "password": "B-77", "n": VISA}
    )
    assert redaction == Redaction(["Staff No"], (badge,))
    assert (nothing := {"password": VISA}) is Redaction((), ()).redact(nothing)


def test_secrets_that_overlap_are_replaced_as_one() -> None:
    redaction = Redaction((), (SensitivePattern("one", re.compile("abc")), SensitivePattern("two", re.compile("bcd"))))
    assert "x[redacted:one]x" == redaction.text("xabcdx")


def test_what_is_a_secret_only_without_its_neighbour_is_found_too() -> None:
    token = "hf" + "_" + body(33) + "7"
    assert "[redacted:huggingface_key].[redacted:card]" == PLAIN.text(f"{token}.{VISA}")


# -- Keys that hold secrets


def test_a_secret_in_a_key_is_replaced_and_such_keys_stay_apart() -> None:
    other = CARDS["mastercard"]
    value = {"[redacted:card]": 0, VISA: 1, f"to {VISA}": 2, other: {"password": 3}}
    expected = {
        "[redacted:card]": 0,
        "[redacted:card] (2)": 1,
        "to [redacted:card]": 2,
        "[redacted:card] (3)": {"password": "[redacted:password]"},
    }
    assert list(expected.items()) == list(PLAIN.redact(value).items())
    assert [
        Finding('["[redacted:card] (2)"]', "card"),
        Finding('["to [redacted:card]"]', "card"),
        Finding('["[redacted:card] (3)"]', "card"),
        Finding('["[redacted:card] (3)"].password', "password"),
    ] == PLAIN.find(value)


# -- Hashing


def test_equal_secrets_have_equal_hashes_under_one_key_and_others_have_not() -> None:
    grouped = re.sub("(.{4})(?=.)", r"\1 ", VISA)
    one, two, three, four = HASHING.redact([VISA, f"{grouped}", CARDS["jcb"], int(VISA)])
    assert re.fullmatch(r"\[hashed:card:[0-9a-f]{16}\]", one)
    assert one == two == four != three
    assert one != Redaction(mode="hash", key=KEY + b"!").text(VISA)


def test_values_of_fields_are_hashed_by_type_and_content() -> None:
    values = ["1", 1, 1.0, Decimal(1), b"1", [1], ["1"], [[1]], {"a": 1}, {"1": "a"}, {"a": [1]}, {}, [], ""]
    hashes = [HASHING.redact({"secret": value})["secret"] for value in values]
    assert len(values) == len(set(hashes))
    assert HASHING.redact({"secret": {"a": 1, "b": 2}}) == HASHING.redact({"secret": {"b": 2, "a": 1}})
    assert HASHING.redact({"secret": VISA})["secret"][-17:] == HASHING.text(VISA)[-17:]


def test_a_hash_is_never_taken_for_a_secret() -> None:
    assert (text := f"[hashed:card:{VISA}]") is PLAIN.text(text)
    assert (fields := {"password": f"[hashed:password:{VISA}]"}) is PLAIN.redact(fields)


@pytest.mark.parametrize(
    ("path", "settings"),
    [
        ("key", {"mode": "hash"}),
        ("key", {"mode": "hash", "key": b"short"}),
        ("key", {"mode": "hash", "key": "text that is long enough"}),
        ("key", {"key": KEY}),
        ("mode", {"mode": "encrypt"}),
        ("fields", {"fields": "password"}),
        ("fields", {"fields": {"__"}}),
        ("fields", {"fields": {"a" * 65}}),
        ("patterns", {"patterns": (SensitivePattern("A kind", re.compile("x")),)}),
    ],
)
def test_wrong_settings_are_refused(path: str, settings: dict[str, Any]) -> None:
    with pytest.raises(InvalidValueError) as caught:
        Redaction(**settings)
    assert path == caught.value.path


def test_the_key_is_not_shown() -> None:
    assert "long enough" not in repr(HASHING)


# -- Structures


def test_the_value_given_stays_as_it_was() -> None:
    value = {"a": [VISA, {"password": "x"}], "b": (untouched := {"c": 1})}
    copy = PLAIN.redact(value)
    assert {"a": ["[redacted:card]", {"password": "[redacted:password]"}], "b": {"c": 1}} == copy
    assert {"a": [VISA, {"password": "x"}], "b": {"c": 1}} == value
    assert copy["b"] is untouched


def test_subclasses_are_looked_into() -> None:
    class Text(str):
        __slots__ = ()

    class Number(int):
        pass

    assert {"a": ("[redacted:card]",)} == PLAIN.redact(OrderedDict(a=(Text(VISA),)))
    assert ["[redacted:card]"] == PLAIN.redact([Number(VISA)])
    assert (clean := OrderedDict(a=(Text("x"), Number(7)))) is PLAIN.redact(clean)


def test_depth_to_the_limit_of_the_codec_is_searched_and_beyond_it_replaced() -> None:
    def nested(levels: int) -> Any:
        value: Any = VISA
        for level in range(levels):
            value = [value] if level % 2 else {"a": value}
        return value

    encode_value(nested(200))
    assert [Finding("[0].a" * 100, "card")] == PLAIN.find(nested(200))
    assert "too_deep" not in str(PLAIN.redact(nested(200)))
    assert "[redacted:too_deep]" in str(PLAIN.redact(nested(201)))
    assert VISA not in str(PLAIN.redact(nested(5000)))


def test_a_part_that_stands_twice_is_redacted_twice() -> None:
    part = [VISA]
    assert [["[redacted:card]"], ["[redacted:card]"]] == PLAIN.redact([part, part])


def test_a_value_inside_itself_comes_to_an_end() -> None:
    loop: list[Any] = [VISA]
    loop += [loop, {"a": loop}]
    expected = ["[redacted:card]", "[redacted:too_deep]", {"a": "[redacted:too_deep]"}]
    assert expected == PLAIN.redact(loop)
    assert HASHING.redact({"password": loop})["password"].startswith("[hashed:password:")


@pytest.mark.parametrize(
    "unit",
    [
        "4111 ",
        "4",
        "eyJ",
        "-eyJ-",
        "eyJa.",
        "sk-",
        "sk-a",
        "a-",
        "://a:",
        "'password':\"",
        '\\"password\\":\\"\\',
        "=",
        "SG.a.",
        "-----BEGIN PRIVATE" + " KEY-----",
        "cookie: a=",
        "bearer a",
        "123-45-",
        "[redacted:",
        "[redacted:x]4",
    ],
)
def test_a_long_text_made_to_be_slow_comes_back(unit: str) -> None:
    text = unit * (1_000_000 // len(unit))
    clean = PLAIN.text(text)
    assert clean is PLAIN.text(clean)


# -- Laws

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=20),
    st.binary(max_size=20),
    st.datetimes(timezones=st.just(UTC)),
    st.uuids(),
    st.decimals(allow_nan=False, allow_infinity=False),
)
secrets = st.sampled_from([secret for _, secret in TOKENS])
fragments = st.sampled_from(
    [
        *[secret for _, secret in TOKENS],
        *["".join(parts) for _, *parts in SURROUNDED],
        *HARMLESS,
        *["[redacted:card]", "[redacted:", "[hashed:card:0123456789abcdef]", "]", '"', "=", ".", " ", "-", "1", ":"],
    ]
)
mixtures = st.lists(fragments, max_size=6).map("".join)
names = st.one_of(st.text(max_size=8), st.sampled_from(["password", "apiKey", "max_tokens"]), mixtures)


def structures(leaves: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.recursive(
        leaves,
        lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(names, inner, max_size=4)),
        max_leaves=12,
    )


values = structures(st.one_of(scalars, mixtures))
redactions = st.sampled_from([PLAIN, HASHING])


@given(redactions, values)
def test_nothing_is_found_in_what_was_redacted(redaction: Redaction, value: Any) -> None:
    copy = redaction.redact(value)
    assert [] == redaction.find(copy)
    assert copy is redaction.redact(copy)


@given(redactions, values)
def test_a_value_is_copied_if_and_only_if_something_is_found(redaction: Redaction, value: Any) -> None:
    before = encode_value(value)
    assert (redaction.redact(value) is value) == (redaction.find(value) == [])
    assert before == encode_value(value)


@given(values)
def test_what_the_codec_takes_it_takes_redacted_and_finds_the_same_in_what_comes_back(value: Any) -> None:
    again = decode_value(encode_value(value))
    assert PLAIN.redact(again) == decode_value(encode_value(PLAIN.redact(value)))


def is_redacted(one: Any, other: Any) -> bool:
    """Return whether `one` is `other` with texts in the place of some parts, and all else as it was."""
    if isinstance(other, dict) and isinstance(one, dict):
        return len(one) == len(other) and all(map(is_redacted, one.values(), other.values()))
    if isinstance(other, list) and isinstance(one, list):
        return len(one) == len(other) and all(map(is_redacted, one, other))
    return one is other or (isinstance(one, str) and "[redacted:" in one)


@given(values)
def test_the_structure_is_kept(value: Any) -> None:
    assert is_redacted(PLAIN.redact(value), value)


@given(mixtures, mixtures)
def test_a_text_keeps_all_that_stands_around_its_secrets(before: str, after: str) -> None:
    assume([] == PLAIN.find(before) == PLAIN.find(after))
    assert f"{before}\n[redacted:card]\n{after}" == PLAIN.text(f"{before}\n{VISA}\n{after}")


plain_names = st.text(alphabet="abcxyz_ .", max_size=6)


@given(st.data(), secrets)
def test_a_planted_secret_is_found_at_its_path(data: st.DataObject, secret: str) -> None:
    value: Any = data.draw(st.sampled_from([secret, f"it is {secret}", f"{secret}\nand so on"]))
    steps: list[str | int] = []
    for _ in range(data.draw(st.integers(0, 6))):
        clean = data.draw(st.lists(st.sampled_from(HARMLESS), max_size=3))
        if data.draw(st.booleans()):
            steps.insert(0, index := data.draw(st.integers(0, len(clean))))
            value = [*clean[:index], value, *clean[index:]]
        else:
            steps.insert(0, name := data.draw(plain_names))
            value = {f"other {number}": item for number, item in enumerate(clean)} | {name: value}
    (finding,) = PLAIN.find(value)
    assert finding == Finding(_path_of(steps), finding.kind)
    assert finding.kind in {kind for kind, other in TOKENS if other == secret}
    assert secret not in str(PLAIN.redact(value))


def _path_of(steps: list[str | int]) -> str:
    text = ""
    for step in steps:
        if isinstance(step, int):
            text += f"[{step}]"
        elif re.fullmatch(r"[a-z_]+", step):
            text += f".{step}" if text else step
        else:
            text += f'["{step}"]'
    return text


harmless = st.one_of(
    st.uuids().map(str),
    st.binary(min_size=16, max_size=64).map(bytes.hex),
    st.binary(max_size=600).map(lambda data: "data:image/png;base64," + b64encode(data).decode()),
    st.datetimes().map(datetime.isoformat),
    st.dates().map(str),
    st.floats(0, 1).map(str),
    st.integers(1_000_000_000_000, 1_999_999_999_999).map(str),
    st.integers(10**9, 2 * 10**9).map(str),
    st.from_regex(r"\+[1-9][0-9]{1,2} [0-9]{3} [0-9]{3} [0-9]{4}", fullmatch=True).filter(str.isascii),
    st.from_regex(r"[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,4}", fullmatch=True),
    st.from_regex(r"[A-Z0-9]{6}|(credit|gift)_card_[0-9]{7}|[a-z]{2,8}_[a-z]{2,8}_[0-9]{4}", fullmatch=True),
    st.from_regex(r"(sk|task|risk)-[a-z]{1,40}", fullmatch=True),
)


@given(structures(harmless))
def test_ids_times_digests_and_images_are_no_secrets(value: Any) -> None:
    assume("redacted" not in str(value))
    clean = _without_names(value)
    assert [] == PLAIN.find(clean)
    assert clean is PLAIN.redact(clean)


def _without_names(value: Any) -> Any:
    if isinstance(value, dict):
        return {f"k{index}": _without_names(item) for index, item in enumerate(value.values())}
    return [_without_names(item) for item in value] if isinstance(value, list) else value


@given(st.integers(min_value=0, max_value=10**15 - 1))
def test_a_number_is_a_card_number_if_its_check_digit_is_right(number: int) -> None:
    right = checked(f"4{number:015}"[:15])
    assert [Finding("", "card")] == PLAIN.find(right)
    assert [] == PLAIN.find(right[:-1] + str((int(right[-1]) + 3) % 10))


@given(st.integers(0, 999), st.integers(0, 99), st.integers(0, 9999))
def test_a_social_security_number_has_parts_that_are_issued(area: int, group: int, serial: int) -> None:
    issued = area not in {0, 666} and area < 900 and group > 0 and serial > 0
    assert issued == bool(PLAIN.find(f"{area:03}-{group:02}-{serial:04}"))
    assert [] == PLAIN.find(f"{area:03}{group:02}{serial:04}")


def test_other_types_are_left_alone() -> None:
    value = [UUID(int=4 * 10**15), datetime(2024, 5, 15, tzinfo=UTC), b"password=x", Decimal(VISA), object(), {1: "x"}]
    assert value is PLAIN.redact(value)
    assert [{1: "[redacted:card]"}] == PLAIN.redact([{1: VISA}])
