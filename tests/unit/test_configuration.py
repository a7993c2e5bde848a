"""Settings: where they come from, which one wins, and what is refused."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

import backstory
from backstory import ConfigError
from backstory.infrastructure.configuration import Settings, settings_of

DOCUMENT = Path(__file__).parents[2] / "docs" / "configuration.md"


def test_without_sources_every_setting_has_its_default() -> None:
    assert Settings() == settings_of(None, {})


def test_a_file_wins_over_defaults_the_environment_over_the_file_and_arguments_over_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "backstory.toml"
    file.write_text('max_value_bytes = 10\npool_size = 11\nvfs = "a"\n')
    monkeypatch.setenv("BACKSTORY_POOL_SIZE", "12")
    monkeypatch.setenv("BACKSTORY_VFS", "b")

    found = settings_of(file, {"vfs": "c"})

    assert (10, 12, "c") == (found.max_value_bytes, found.pool_size, found.vfs)


@pytest.mark.parametrize(
    ("given", "key"),
    [
        ({"durablity": "full"}, "durablity"),
        ({"durability": "some"}, "durability"),
        ({"pool_size": "8"}, "pool_size"),
        ({"pool_size": 0}, "pool_size"),
        ({"pool_size": True}, "pool_size"),
        ({"busy_timeout_s": float("inf")}, "busy_timeout_s"),
        ({"busy_timeout_s": float("nan")}, "busy_timeout_s"),
    ],
)
def test_a_wrong_setting_is_refused_by_an_error_that_names_it(given: dict[str, object], key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        backstory.open("memory://", **given)  # type: ignore[arg-type]

    assert key == caught.value.key
    assert str(caught.value).endswith(caught.value.hint)


def test_a_variable_that_is_no_number_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BACKSTORY_POOL_SIZE", "many")

    with pytest.raises(ConfigError) as caught:
        backstory.open("memory://")

    assert caught.value.key == "pool_size"


@pytest.mark.parametrize("content", [b"no toml = = 1", b"\xff\xfe", None])
def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "backstory.toml"
    if content is not None:
        file.write_bytes(content)

    with pytest.raises(ConfigError) as caught:
        settings_of(file, {})

    assert caught.value.key == "config"


@pytest.mark.parametrize(
    "url", ["", "mysql://x", "sqlite:///", "sqlite://x.db", "sqlite:///a/", "sqlite:///a\0b", "sqlite:///:memory:", 5]
)
def test_a_url_that_names_no_store_is_refused(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        backstory.open(url)

    assert caught.value.key == "url"


def test_a_value_may_be_as_long_as_the_setting_says_and_no_longer() -> None:
    with backstory.open("memory://", max_value_bytes=10) as store:
        store.set("global", "fits", "x" * 8)
        with pytest.raises(backstory.ValueTooLargeError) as caught:
            store.set("global", "long", "x" * 9)

    assert (11, 10) == (caught.value.size, caught.value.limit)


def test_the_document_lists_every_setting_with_its_default() -> None:
    rows = re.findall(r"^\| `(\w+)` \| `(\w+)` \| `([^`]+)` \|", DOCUMENT.read_text(), flags=re.MULTILINE)

    expected = {
        (
            field.name,
            f"BACKSTORY_{field.name.upper()}",
            f'"{field.default}"' if field.type == "str" else str(field.default),
        )
        for field in fields(Settings)
    }
    assert expected == set(rows)
