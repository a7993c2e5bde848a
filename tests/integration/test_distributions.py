"""The wheel and the source distribution: each holds every room's files once, and the installed package works."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("domain", "projections", "replay", "infrastructure")


def build(kind: str, *, source: Path, target: Path) -> Path:
    """Build with hatchling itself, as an installer would, but without an environment made for it."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", str(target)]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = target.iterdir()
    return built


def names_in(wheel: Path) -> Counter[str]:
    with zipfile.ZipFile(wheel) as archive:
        return Counter(name for name in archive.namelist() if ".dist-info/" not in name)


def expected_names() -> Counter[str]:
    """Return what the package must hold: the face's files, and each room's inside the package."""
    inside = {"backstory": "", **dict.fromkeys(ROOMS, "backstory/")}
    return Counter(
        prefix + path.relative_to(ROOT).as_posix()
        for folder, prefix in inside.items()
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and path.suffix != ".pyc" and not any(parent.is_symlink() for parent in path.parents)
    )


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("wheel", source=ROOT, target=tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def unpacked_sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sdist")
    with tarfile.open(build("sdist", source=ROOT, target=folder)) as archive:
        for member in archive:
            content = archive.extractfile(member)
            assert content is not None, f"{member.name} is no plain file"
            target = folder / "unpacked" / member.name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content.read())
    (unpacked,) = (folder / "unpacked").iterdir()
    return unpacked


def test_the_wheel_holds_every_file_of_the_package_once_and_nothing_else(wheel: Path) -> None:
    assert expected_names() == names_in(wheel)
    assert "backstory/domain/__init__.py" in names_in(wheel)
    assert "backstory/py.typed" in names_in(wheel)


def test_the_installed_package_is_whole_without_the_repository(wheel: Path, tmp_path: Path) -> None:
    shutil.unpack_archive(wheel, tmp_path, "zip")
    script = (
        "import sys, importlib; sys.path.insert(0, sys.argv[1]);"
        f"[print(importlib.import_module('backstory.' + room).__file__) for room in {ROOMS}]"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", script, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert [str(tmp_path / "backstory" / room / "__init__.py") for room in ROOMS] == done.stdout.split()


def test_the_source_distribution_keeps_the_rooms_at_the_root_and_no_links(unpacked_sdist: Path) -> None:
    for room in ROOMS:
        assert (unpacked_sdist / room / "__init__.py").is_file()
        assert not (unpacked_sdist / "backstory" / room).exists()


def test_the_source_distribution_builds_the_same_wheel(unpacked_sdist: Path, tmp_path: Path) -> None:
    assert expected_names() == names_in(build("wheel", source=unpacked_sdist, target=tmp_path))
