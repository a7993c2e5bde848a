"""Documents and Python files that a user names: TOML or JSON read as data, modules and files run for what they hold."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from backstory.cli import values
from backstory.cli.failures import UsageError
from backstory.cli.session import look_here_too
from backstory.domain.errors import shown

_PYTHON: Final = ".py"
_TOML: Final = ".toml"
#: Files that this process has run, by place and content: a transformer has one home in a process.
_run: Final[dict[tuple[str, bytes], ModuleType]] = {}


def is_python(given: str) -> bool:
    """Return whether an argument names a Python file, a module, or something in one: `name.py`, `module:Name`."""
    place, _, name = given.rpartition(":")
    return given.endswith(_PYTHON) or (name.isidentifier() and _is_place(place) and not Path(given).exists())


def _is_place(text: str) -> bool:
    return text.endswith(_PYTHON) or all(part.isidentifier() for part in text.split("."))


def is_document(given: str) -> bool:
    """Return whether an argument names a file of data, or standard input."""
    return given == "-" or given.endswith((".toml", ".json")) or Path(given).is_file()


def document(given: str) -> Any:
    """Return what a file says: TOML where its name says so, else JSON. Raises `UsageError` and `InvalidValueError`.

    Tags such as `$bytes` are left as they are: in JSON Schema, `$` begins words of its own.
    """
    content = values.read("-" if given == "-" else f"@{given}")
    if not given.endswith(_TOML):
        return values.plain(content)
    import tomllib

    try:
        return tomllib.loads(content)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{shown(given)} is no TOML: {error}", hint="Correct the file.") from error


def named_object(given: str) -> Any:
    """Return what `module:Name` or `file.py:Name` names. Raises `UsageError`."""
    place, _, name = given.rpartition(":")
    if not place or not name.isidentifier():
        raise UsageError(f"{shown(given)} names no object in Python", hint="Write `file.py:Name` or `module:Name`.")
    module = python(place)
    try:
        return getattr(module, name)
    except AttributeError:
        raise UsageError(f"{place} holds no {name}", hint="Correct the name.") from None


def python(place: str) -> ModuleType:
    """Run a Python file, or import a module, and return it. Raises `UsageError` for one that fails.

    Modules are looked for in the current folder too. Nothing of this happens but to what a user names.
    """
    look_here_too()
    try:
        return _of_file(place) if place.endswith(_PYTHON) else importlib.import_module(place)
    except OSError as error:
        raise UsageError(
            f"cannot read {shown(place)}: {error.strerror or error}", hint="Name a file that can be read."
        ) from error
    except (Exception, SystemExit) as error:
        raise UsageError(
            f"{place} cannot be run: {type(error).__name__}: {error}", hint="Correct it, or install what it imports."
        ) from error


def _of_file(place: str) -> ModuleType:
    path = Path(place).resolve()
    source = path.read_bytes()
    known = _run.get((str(path), source))
    if known is not None:
        return known
    module = ModuleType(f"backstory_file_{len(_run)}_{path.stem}")
    module.__file__ = str(path)
    sys.modules[module.__name__] = module  # Models look their own module up there.
    try:
        exec(compile(source, place, "exec"), vars(module))  # noqa: S102 - the user named this very file, to be run
    except BaseException:
        del sys.modules[module.__name__]
        raise
    _run[str(path), source] = module
    return module


def tables(given: Any, name: str) -> list[Any]:
    """Return the documents in one: the list under `name`, a list itself, or the one that it is."""
    if isinstance(given, Mapping) and name in given:
        given = given[name]
    return list(given) if isinstance(given, list) else [given]
