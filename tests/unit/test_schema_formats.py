"""Formats: the texts that have one, and those that nearly do."""

from __future__ import annotations

import pytest

from backstory.domain.formats import FORMATS

HAVE = {
    "date": ["2026-03-01", "2024-02-29"],
    "date-time": ["2026-03-01T12:00:00Z", "2026-03-01t12:00:00.123456+05:30", "2026-03-01 12:00:00z"],
    "email": ["ada@example.org", "a.b+c@x-y.example", "o'neil@example"],
    "hostname": ["example.org", "localhost", "a-b.c", "x" * 63],
    "ipv4": ["0.0.0.0", "255.255.255.255", "10.1.2.3"],  # noqa: S104 - a text, no address to bind
    "iso8601": [
        "2026-03-01", "2026-03-01T12:00", "2026-03-01T12:00:00", "20260301T120000Z", "2026-W09-7", "12:00", "T12:00:00",
        "2026-03-01T12:00:00+02:00",
    ],
    "uri": ["https://example.org/a?b=c#d", "urn:isbn:123", "mailto:a@b", "file:///x%20y"],
    "uuid": ["123e4567-e89b-12d3-a456-426614174000", "123E4567-E89B-12D3-A456-426614174000"],
}  # fmt: skip
HAVE_NOT = {
    "date": ["2026-02-30", "2026-3-1", "20260301", "2026-03-01T00:00:00Z", "2026-03-01\n", "२०२६-03-01"],
    "date-time": ["2026-03-01", "2026-03-01T12:00:00", "2026-03-01T25:00:00Z", "2026-03-01T12:00:00+25:00", "now"],
    "email": ["ada", "@example.org", "ada@", "a b@example.org", "a..b@example.org", "a@b@c", "ada@example.org\n"],
    "hostname": ["", "-a", "a-", "a..b", "x" * 64, "a_b", ".".join(["x" * 63] * 5), "a.org."],
    "ipv4": ["256.1.1.1", "1.1.1", "01.1.1.1", "1.1.1.1.1", "1.1.1.1\n", "::1"],
    "iso8601": ["yesterday", "2026-13-01", "2026-03-01x12:00", "2026-03-01T", "", "1234", "2026-03-01T12:00\n"],
    "uri": ["example.org", "/path", "http:", "http://a b", "1a:b", "http://a/%zz"],
    "uuid": ["123e4567e89b12d3a456426614174000", "{123e4567-e89b-12d3-a456-426614174000}", "x"],
}


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in HAVE.items() for text in texts])
def test_a_text_has_the_format(name: str, text: str) -> None:
    assert FORMATS[name](text)


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in HAVE_NOT.items() for text in texts])
def test_a_text_has_not_the_format(name: str, text: str) -> None:
    assert not FORMATS[name](text)


def test_every_format_is_tried_both_ways() -> None:
    assert set(FORMATS) == set(HAVE) == set(HAVE_NOT)
