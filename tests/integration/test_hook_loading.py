"""Hooks from the configuration: what is loaded and registered, what is refused, and what is never imported."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import backstory
from backstory.domain.errors import ConfigError, HookCancelledError
from backstory.hooks.builtin import RateLimit
from backstory.hooks.configured import configured_hooks
from backstory.hooks.face import Hooks
from backstory.hooks.loading import load_hooks

CODE = """
from os import system
from backstory.domain.hooks import HookResult

DONE = []
LIMIT = 5

def check_price(context):
    if context.after < 0:
        return HookResult.cancel("a price is never negative")

async def note(context):
    DONE.append(context.after)

class Most:
    def __init__(self, limit, *, name="most"):
        if limit == 13:
            raise RuntimeError("unlucky")
        self.limit, self.name = limit, name

    def __call__(self, context):
        if context.after > self.limit:
            return HookResult.cancel(f"{context.after} is more than {self.limit}")

ready = Most(100)
"""
CHECK = {"hook": "shop_hooks.prices:check_price", "point": "before_state_write"}


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A package with hooks, and one that nothing may import."""
    for package in ("shop_hooks", "shop_secrets"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").write_text("")
    (tmp_path / "shop_hooks" / "prices.py").write_text(CODE)
    (tmp_path / "shop_hooks" / "broken.py").write_text("import nowhere_at_all")
    (tmp_path / "shop_hooks" / "leaving.py").write_text("raise SystemExit(3)")
    (tmp_path / "shop_hooks" / "wrong.py").write_text("def (:")
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for name in [name for name in sys.modules if name.startswith("shop_")]:
        del sys.modules[name]


def config(*entries: dict[str, Any], allow: Any = ("shop_hooks",)) -> dict[str, Any]:
    return {"hooks": {"allow": list(allow), "load": list(entries)}}


def imported() -> set[str]:
    return {name for name in sys.modules if name.startswith("shop_")}


pytestmark = pytest.mark.usefixtures("shop")


# What is loaded


def test_a_configured_hook_stands_in_the_path_of_writes(store_url: str) -> None:
    with backstory.open(store_url, config=config(CHECK)) as store:
        store.set("tool:shop", "price", 5)
        with pytest.raises(HookCancelledError, match="a price is never negative"):
            store.set("tool:shop", "price", -5)

        assert [("check_price", "closed")] == [(info.name, info.circuit) for info in store.hooks.list()]
        assert ["check_price"] == [each.hook for each in store.hooks.registrations()]


async def test_the_asyncio_face_has_configured_hooks_too(store_url: str) -> None:
    entries = [CHECK, {"hook": "shop_hooks.prices.note", "point": "after_state_write"}]
    async with backstory.open_async(store_url, config=config(*entries)) as store:
        await store.set("tool:shop", "price", 5)
        with pytest.raises(HookCancelledError):
            await store.set("tool:shop", "price", -5)
    assert [5] == sys.modules["shop_hooks.prices"].DONE


def test_a_file_says_everything_that_registering_takes(tmp_path: Path) -> None:
    file = tmp_path / "backstory.toml"
    file.write_text("""
        durability = "relaxed"
        [hooks]
        allow = ["shop_hooks"]
        [[hooks.load]]
        hook = "shop_hooks.prices:note"
        point = "after_state_write"
        name = "noter"
        priority = -3
        background = false
        timeout_s = 2.5
        scope = "tool:*"
        key = "price*"
        tags = ["prices", "notes"]
        breaker = false
        [[hooks.load]]
        hook = "shop_hooks.prices:check_price"
        point = "before_state_write"
        required = true
        breaker = {failures = 2, open_s = 0.5}
    """)
    with backstory.open("memory://", config=file) as store:
        first, second = store.hooks.list()

    assert ("noter", "after_state_write", -3, False, 2.5) == (
        first.name,
        first.point,
        first.priority,
        first.background,
        first.timeout_s,
    )
    assert ("tool:*", "price*", ("prices", "notes"), None) == (first.scope, first.key, first.tags, first.circuit)
    assert (True, "closed") == (second.required, second.circuit)


def test_a_class_is_made_with_its_options_and_an_object_is_taken_as_it_is() -> None:
    entries: list[dict[str, Any]] = [
        {"hook": "shop_hooks.prices:Most", "point": "before_state_write", "options": {"limit": 10}},
        {"hook": "shop_hooks.prices:ready", "point": "before_state_write", "name": "ready"},
    ]
    with backstory.open("memory://", config=config(*entries)) as store:
        with pytest.raises(HookCancelledError, match="11 is more than 10"):
            store.set("global", "k", 11)
        assert ["most", "ready"] == [info.name for info in store.hooks.list()]


def test_a_built_in_hook_needs_no_allowing_and_hangs_where_it_belongs() -> None:
    entry = {"hook": "backstory.hooks.builtin:RateLimit", "options": {"limit": 2, "window_s": 60}}
    with backstory.open("memory://", config={"hooks": {"load": [entry]}}) as store:
        assert sorted(RateLimit.points) == [info.point for info in store.hooks.list()]
        store.set("global", "k", 1)
        store.delete("global", "k")
        with pytest.raises(HookCancelledError):
            store.set("global", "k", 2)


def test_one_hook_may_hang_at_several_points() -> None:
    entry = {"hook": "shop_hooks.prices:check_price", "point": ["custom:a", "custom:b"]}
    with backstory.open("memory://", config=config(entry)) as store:
        assert ["custom:a", "custom:b"] == [info.point for info in store.hooks.list()]


def test_background_hooks_have_run_when_the_store_is_closed(store_url: str) -> None:
    entry = {"hook": "shop_hooks.prices:note", "point": "after_state_write"}
    with backstory.open(store_url, config=config(entry)) as store:
        for number in range(20):
            store.set("global", "k", number)
    assert list(range(20)) == sys.modules["shop_hooks.prices"].DONE


def test_a_store_that_is_only_read_loads_no_hooks_and_judges_none(sqlite_url: str) -> None:
    backstory.open(sqlite_url).close()
    for wrong in (config(CHECK), config({"hook": "shop_secrets:x"}), {"hooks": 5}):
        with backstory.open(sqlite_url, read_only=True, config=wrong) as store:
            assert None is store.get("global", "k")
    assert set() == imported()


def test_hooks_are_not_loaded_because_the_log_names_them(sqlite_url: str) -> None:
    with backstory.open(sqlite_url, config=config(CHECK)) as store:
        store.set("global", "k", 1)
    sys.modules.pop("shop_hooks.prices")
    with backstory.open(sqlite_url) as store:
        store.set("global", "k", -1)
        assert 1 == len(store.hooks.registrations())
    assert "shop_hooks.prices" not in imported()


# What is refused


@pytest.mark.parametrize(
    ("table", "key"),
    [
        (5, "hooks"),
        ([], "hooks"),
        ({"allow": "shop_hooks"}, "hooks.allow"),
        ({"allow": [5]}, "hooks.allow[0]"),
        ({"allow": ["shop_hooks", "shop_*"]}, "hooks.allow[1]"),
        ({"allow": [""]}, "hooks.allow[0]"),
        ({"allow": ["a..b"]}, "hooks.allow[0]"),
        ({"allow": ["a.class"]}, "hooks.allow[0]"),
        ({"alow": []}, "hooks.alow"),
        ({"load": {}}, "hooks.load"),
        ({"load": [5]}, "hooks.load[0]"),
    ],
)
def test_a_table_that_makes_no_sense_is_refused_by_an_error_that_names_the_key(table: Any, key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        backstory.open("memory://", config={"hooks": table})

    assert key == caught.value.key
    assert str(caught.value).endswith(caught.value.hint)
    assert set() == imported()


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"hook": None}, "hook"),
        ({"hook": "check_price"}, "hook"),
        ({"hook": "shop_hooks:prices.check_price"}, "hook"),
        ({"hook": "shop_hooks.prices:"}, "hook"),
        ({"hook": ":x"}, "hook"),
        ({"hook": "shop hooks:x"}, "hook"),
        ({"hook": "../shop_hooks:x"}, "hook"),
        ({"hook": "shop_secrets:x"}, "hook"),
        ({"hook": "shop_hooks_too:x"}, "hook"),
        ({"hook": "os:system"}, "hook"),
        ({"hook": "backstory.cli:main"}, "hook"),
        ({"point": "before_lunch"}, "point"),
        ({"point": 5}, "point"),
        ({"point": []}, "point"),
        ({"point": ["custom:a", "b"]}, "point"),
        ({"name": ""}, "name"),
        ({"priority": "high"}, "priority"),
        ({"priority": True}, "priority"),
        ({"background": True}, "background"),
        ({"background": 1}, "background"),
        ({"timeout_s": 0}, "timeout_s"),
        ({"timeout_s": "1"}, "timeout_s"),
        ({"required": "yes"}, "required"),
        ({"point": "after_state_write", "required": True}, "required"),
        ({"scope": "agent:"}, "scope"),
        ({"scope": 5}, "scope"),
        ({"key": "../x"}, "key"),
        ({"tags": "prices"}, "tags"),
        ({"tags": [5]}, "tags"),
        ({"breaker": 3}, "breaker"),
        ({"breaker": {"failures": 0}}, "breaker.failures"),
        ({"breaker": {"failure": 3}}, "breaker.failure"),
        ({"options": 5}, "options"),
        ({"prority": 1}, "prority"),
    ],
)
def test_a_field_that_makes_no_sense_is_refused_before_anything_is_imported(
    changed: dict[str, Any], field: str, tmp_path: Path
) -> None:
    good = {"hook": "shop_hooks.prices:note", "point": "after_state_write"}

    with pytest.raises(ConfigError) as caught:
        backstory.open(f"sqlite:///{tmp_path}/new.db", config=config(good, CHECK | changed))

    assert f"hooks.load[1].{field}" == caught.value.key
    assert f"hooks.load[1].{field}" in caught.value.message
    assert str(caught.value).endswith(caught.value.hint)
    assert set() == imported()
    assert not (tmp_path / "new.db").exists()


@pytest.mark.parametrize(
    ("changed", "field", "words"),
    [
        ({"hook": "shop_hooks.absent:x"}, "hook", "No module named 'shop_hooks.absent'"),
        ({"hook": "shop_hooks.broken:x"}, "hook", "No module named 'nowhere_at_all'"),
        ({"hook": "shop_hooks.leaving:x"}, "hook", "SystemExit: 3"),
        ({"hook": "shop_hooks.wrong:x"}, "hook", "SyntaxError"),
        ({"hook": "shop_hooks.prices:absent"}, "hook", "holds no absent"),
        ({"hook": "shop_hooks.prices:LIMIT"}, "hook", "cannot be called"),
        ({"hook": "shop_hooks.prices:system"}, "hook", "is of posix, which hooks may not come from"),
        ({"hook": "shop_hooks.prices:HookResult"}, "hook", "is of backstory.domain.hooks"),
        ({"options": {}}, "options", "is no class"),
        ({"hook": "shop_hooks.prices:Most"}, "options", "missing 1 required positional argument: 'limit'"),
        ({"hook": "shop_hooks.prices:Most", "options": {"limits": 1}}, "options", "unexpected keyword argument"),
        ({"hook": "shop_hooks.prices:Most", "options": {"limit": 13}}, "options", "RuntimeError: unlucky"),
        (
            {"hook": "backstory.hooks.builtin:RateLimit", "options": {"limit": 0, "window_s": 1}},
            "options.limit",
            "limit",
        ),
    ],
)
def test_what_cannot_be_loaded_is_refused_before_the_store_is_opened(
    changed: dict[str, Any], field: str, words: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=r"hooks\.load\[0\]") as caught:
        backstory.open(f"sqlite:///{tmp_path}/new.db", config=config(CHECK | changed))

    assert f"hooks.load[0].{field}" == caught.value.key
    assert words in caught.value.message
    assert str(caught.value).endswith(caught.value.hint)
    assert not (tmp_path / "new.db").exists()


def test_an_import_that_fails_is_the_cause_of_the_error() -> None:
    with pytest.raises(ConfigError) as caught:
        load_hooks(config(CHECK | {"hook": "shop_hooks.broken:x"})["hooks"])
    assert isinstance(caught.value.__cause__, ModuleNotFoundError)


def test_a_hook_that_does_not_say_where_it_belongs_needs_a_point() -> None:
    with pytest.raises(ConfigError) as caught:
        load_hooks(config({"hook": "shop_hooks.prices:check_price"})["hooks"])
    assert "hooks.load[0].point" == caught.value.key


def test_two_hooks_of_one_name_at_one_point_are_refused() -> None:
    with pytest.raises(ConfigError) as caught:
        load_hooks(config(CHECK, CHECK | {"name": "check_price"})["hooks"])
    assert "hooks.load[1].name" == caught.value.key


def test_the_same_hook_twice_gets_two_names() -> None:
    with backstory.open("memory://", config=config(CHECK, CHECK)) as store:
        assert ["check_price", "check_price-2"] == [info.name for info in store.hooks.list()]


def test_hooks_are_no_setting_that_a_keyword_gives() -> None:
    with pytest.raises(ConfigError) as caught:
        backstory.open("memory://", hooks={})
    assert "hooks" == caught.value.key


def test_a_store_whose_hooks_cannot_be_registered_is_closed_again(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stores = []

    def refuse(hooks: Any, *_: object, **__: object) -> None:
        stores.append(hooks._runner)
        raise backstory.StoreUnavailableError("gone")

    monkeypatch.setattr(Hooks, "register", refuse)
    with pytest.raises(backstory.StoreUnavailableError):
        backstory.open(sqlite_url, config=config(CHECK))
    assert stores[0].closed


def test_entries_are_read_without_importing_anything() -> None:
    (found,) = configured_hooks(config(CHECK | {"tags": ["a"]})["hooks"])

    assert ("shop_hooks.prices:check_price", ("before_state_write",), None) == (found.hook, found.points, found.options)
    assert ("a",) == found.arguments["tags"]
    assert [] == configured_hooks(None)
    assert set() == imported()
