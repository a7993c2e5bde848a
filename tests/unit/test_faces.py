"""The two faces: one is made from the other, and they offer the same."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import backstory
from backstory.backups.async_face import AsyncBackups
from backstory.backups.face import Backups
from backstory.hooks.async_face import AsyncHooks
from backstory.hooks.face import Hooks
from backstory.migrations.async_face import AsyncMigrationPlan, AsyncMigrations
from backstory.migrations.face import MigrationPlan, Migrations
from backstory.schemas.async_face import AsyncSchemas
from backstory.schemas.face import Schemas

ROOT = Path(__file__).parents[2]


def test_the_blocking_face_is_what_the_asyncio_face_gives() -> None:
    pytest.importorskip("ruff")
    made = subprocess.run(
        [sys.executable, "tools/unasync.py", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert made.returncode == 0, made.stdout + made.stderr


@pytest.mark.parametrize(
    ("blocking", "asyncio"),
    [
        (backstory.StateStore, backstory.AsyncStateStore),
        (backstory.Transaction, backstory.AsyncTransaction),
        (backstory.StateView, backstory.AsyncStateView),
        (backstory.Subscription, backstory.AsyncSubscription),
        (Hooks, AsyncHooks),
        (Schemas, AsyncSchemas),
        (Migrations, AsyncMigrations),
        (MigrationPlan, AsyncMigrationPlan),
        (Backups, AsyncBackups),
    ],
)
def test_both_faces_have_the_same_methods_with_the_same_arguments(blocking: type, asyncio: type) -> None:
    def offered(face: type) -> dict[str, list[tuple[str, object, object]]]:
        methods = {name: method for name, method in inspect.getmembers(face, callable) if not name.startswith("_")}
        return {
            name.replace("aclose", "close"): [
                (argument.name, argument.kind, argument.default)
                for argument in inspect.signature(method).parameters.values()
            ]
            for name, method in methods.items()
        }

    assert offered(asyncio) == offered(blocking)


def test_every_public_name_can_be_imported() -> None:
    assert [] == [name for name in backstory.__all__ if not hasattr(backstory, name)]


def test_public_names_are_sorted_and_documented() -> None:
    classes = [getattr(backstory, name) for name in backstory.__all__ if inspect.isclass(getattr(backstory, name))]

    assert sorted(backstory.__all__, key=lambda name: (not name.isupper(), name.islower(), name)) == backstory.__all__
    assert [] == [one.__name__ for one in classes if not one.__doc__]


def test_importing_backstory_loads_nothing_of_hooks_until_a_name_of_theirs_is_asked_for() -> None:
    script = """
import sys, backstory
assert not [name for name in sys.modules if name.startswith("backstory.hooks")], "loaded at once"
from backstory import HookResult, Retention
assert "backstory.hooks.retention" in sys.modules
assert set(backstory.__all__) <= set(dir(backstory))
assert backstory.HookStats is backstory.HookStats
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (0, "") == (done.returncode, done.stderr)


def test_a_name_that_is_none_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'HookResults'"):
        backstory.HookResults  # noqa: B018
