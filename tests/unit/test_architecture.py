"""The house: which way imports run, where each library lives, and how the rooms come to stand inside the package."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import tomllib
from fnmatch import fnmatch
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[2]
FACE = "backstory"
ROOMS = ("domain", "projections", "replay", "infrastructure")
OTHER_FOLDERS = {"tests", "benchmarks", "docs", "tools"}

ARROWS = {
    "domain": {"domain"},
    "projections": {"domain", "projections"},
    "replay": {"domain", "projections", "replay"},
    "infrastructure": {"domain", "infrastructure"},
    FACE: {"domain", "projections", "replay", "infrastructure", FACE},
}

HOMES = {
    "apsw": ("infrastructure/sqlite/*",),
    "brotli": ("infrastructure/archives/compression*",),
    "cronsim": ("infrastructure/cron*",),
    "cryptography": ("infrastructure/archives/*",),
    "eventsourcing": ("infrastructure/*",),
    "fsspec": ("backstory/backups/fsspec_target*",),
    "hypothesis": ("backstory/testing/*",),
    "jsonschema_rs": ("infrastructure/json_schema*",),
    "lz4": ("infrastructure/archives/compression*",),
    "networkx": ("projections/*graph*", "replay/*graph*"),
    "orjson": ("infrastructure/*",),
    "psycopg": ("infrastructure/postgres/*", "backstory/testing/*"),
    "psycopg_pool": ("infrastructure/postgres/*",),
    "pydantic": ("backstory/*", "infrastructure/configuration*"),
    "pytest": ("backstory/testing/*",),
    "rich": ("backstory/cli*", "backstory/demo*"),
    "semver": ("domain/versions*",),
    "structlog": ("infrastructure/telemetry*",),
    "typer": ("backstory/cli*", "backstory/demo*"),
    "uuid_utils": ("infrastructure/*",),
    "zstandard": ("infrastructure/archives/compression*",),
}
HEAVY = (
    "apsw",
    "brotli",
    "cryptography",
    "eventsourcing",
    "fsspec",
    "jsonschema_rs",
    "lz4",
    "networkx",
    "psycopg",
    "pydantic",
    "rich",
    "semver",
    "structlog",
    "typer",
    "zstandard",
)

OUTSIDE_THE_DOMAIN = {
    "asyncio",
    "io",
    "logging",
    "multiprocessing",
    "os",
    "pathlib",
    "random",
    "secrets",
    "select",
    "shutil",
    "signal",
    "socket",
    "sqlite3",
    "subprocess",
    "tempfile",
    "threading",
    "time",
}
CALLS_OUTSIDE_THE_DOMAIN = {
    "datetime.now",
    "datetime.today",
    "datetime.utcnow",
    "date.today",
    "uuid.uuid1",
    "uuid.uuid4",
    "uuid1",
    "uuid4",
    "open",
    "print",
    "input",
}


class Import(NamedTuple):
    """One import: the module that has it, the full name it imports, and whether only type checkers see it."""

    module: str
    name: str
    typing_only: bool


def modules() -> list[Path]:
    return [path for folder in (FACE, *ROOMS) for path in sorted((ROOT / folder).rglob("*.py")) if is_ours(path)]


def is_ours(path: Path) -> bool:
    return not any(parent.is_symlink() for parent in (path, *path.parents))


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def imports() -> list[Import]:
    return [found for path in modules() for found in imports_of(path)]


def imports_of(path: Path) -> list[Import]:
    module = path.relative_to(ROOT).as_posix()
    unseen = {id(node) for block in ast.walk(parsed(path)) if is_typing_block(block) for node in ast.walk(block)}
    return [
        Import(module, name, id(node) in unseen) for node in ast.walk(parsed(path)) for name in imported_names(node)
    ]


def is_typing_block(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) in {"TYPE_CHECKING", "typing.TYPE_CHECKING"}


def imported_names(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        return [f"{'.' * node.level}{node.module or ''}.{alias.name}" for alias in node.names]
    return []


def room_of_module(module: str) -> str:
    return module.partition("/")[0]


def room_of_name(name: str) -> str | None:
    """Return the room that an imported name lives in, or None for a name from outside the package."""
    first, _, rest = name.partition(".")
    if first != FACE:
        return None
    second = rest.partition(".")[0]
    return second if second in ROOMS else FACE


def test_the_test_sees_the_modules() -> None:
    seen = {path.relative_to(ROOT).as_posix() for path in modules()}
    assert {f"{room}/__init__.py" for room in (FACE, *ROOMS)} <= seen
    assert not any(name.startswith(f"backstory/{room}/") for name in seen for room in ROOMS)


def test_imports_run_only_along_the_arrows() -> None:
    wrong = [
        f"{found.module} imports {found.name}"
        for found in imports()
        if (room := room_of_name(found.name)) is not None and room not in ARROWS[room_of_module(found.module)]
    ]
    assert wrong == []


def test_imports_are_absolute_and_name_the_package() -> None:
    wrong = [
        f"{found.module} imports {found.name}"
        for found in imports()
        if found.name.startswith(".") or found.name.partition(".")[0] in ROOMS
    ]
    assert wrong == []


def test_each_library_is_imported_at_its_home_only() -> None:
    wrong = [
        f"{found.module} imports {found.name}"
        for found in imports()
        if not found.typing_only
        and (library := found.name.partition(".")[0]) != FACE
        and library not in sys.stdlib_module_names
        and not any(fnmatch(found.module, home) for home in HOMES.get(library, ()))
    ]
    assert wrong == []


def test_the_domain_imports_the_standard_library_and_itself_but_for_semantic_versions() -> None:
    wrong = [
        f"{found.module} imports {found.name}"
        for found in imports()
        if room_of_module(found.module) == "domain"
        and (library := found.name.partition(".")[0]) != FACE
        and library not in sys.stdlib_module_names - OUTSIDE_THE_DOMAIN
        and (found.module, library) != ("domain/versions.py", "semver")
    ]
    assert wrong == []


def test_the_domain_reads_no_clock_draws_no_lots_and_does_no_io() -> None:
    wrong = [
        f"{path.name}:{node.lineno} calls {ast.unparse(node.func)}"
        for path in modules()
        if path.relative_to(ROOT).parts[0] == "domain"
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in CALLS_OUTSIDE_THE_DOMAIN
    ]
    assert wrong == []


def test_the_product_does_not_stand_on_its_test_tools() -> None:
    wrong = [
        f"{found.module} imports {found.name}"
        for found in imports()
        if found.name.startswith("backstory.testing") and not found.module.startswith("backstory/testing/")
    ]
    assert wrong == []


def test_importing_backstory_loads_no_heavy_library() -> None:
    script = "import sys, json, backstory; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in json.loads(done.stdout)}
    assert loaded.isdisjoint(HEAVY), sorted(loaded.intersection(HEAVY))


def test_every_folder_of_code_at_the_root_is_a_known_room() -> None:
    found = {path.parent.name for path in ROOT.glob("*/__init__.py")} - OTHER_FOLDERS
    assert found == {FACE, *ROOMS}


@pytest.mark.parametrize("room", ROOMS)
class TestARoom:
    def test_is_linked_into_the_package(self, room: str) -> None:
        link = ROOT / FACE / room
        assert link.is_symlink()
        assert link.readlink() == Path("..") / room

    def test_is_mapped_into_the_wheel(self, room: str) -> None:
        wheel = project()["tool"]["hatch"]["build"]["targets"]["wheel"]
        assert room in wheel["only-include"]
        assert wheel["sources"][room] == f"{FACE}/{room}"

    def test_has_its_link_kept_out_of_distributions(self, room: str) -> None:
        assert f"/{FACE}/{room}" in project()["tool"]["hatch"]["build"]["exclude"]

    def test_may_not_be_imported_by_its_bare_name(self, room: str) -> None:
        lint = project()["tool"]["ruff"]["lint"]
        assert lint["select"] == ["ALL"]
        assert not {"TID", "TID25", "TID251"} & set(lint["ignore"])
        assert room in lint["flake8-tidy-imports"]["banned-api"]


@cache
def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
