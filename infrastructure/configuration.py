"""Configuration: one schema for settings given in code, in TOML and in the environment.

Later sources win: defaults, the TOML file, `BACKSTORY_...` variables, keyword arguments.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

from backstory.domain.errors import ConfigError

PREFIX: Final = "BACKSTORY_"
#: Variables that other parts read.
OTHERS: Final = frozenset({"STORE", "ACTOR", "TEST_POSTGRES", "BACKUP_PASSPHRASE", "BACKUP_NEW_PASSPHRASE"})
#: What a configuration holds beside settings: two for the command line, and a table for `backstory.hooks.loading`.
_NO_SETTINGS: Final = frozenset({"store", "actor", "hooks"})


@dataclass(frozen=True, slots=True)
class Settings:
    """What can be set. Each field's comment is its documentation."""

    #: Largest encoded value or event data, bytes.
    max_value_bytes: int = 1024 * 1024
    #: `full`: an acknowledged write is on disk. `relaxed`: the last moments may be lost in a power cut.
    durability: str = "full"
    #: How long a writer waits for other processes before `StoreUnavailableError`, seconds.
    busy_timeout_s: float = 60.0
    #: How long a lost connection is tried again before `StoreUnavailableError` (PostgreSQL), seconds.
    reconnect_timeout_s: float = 10.0
    #: How often a waiting subscriber looks for other processes' writes (SQLite), seconds.
    poll_interval_s: float = 0.02
    #: The apsw VFS that files go through (SQLite); empty is the system's.
    vfs: str = ""
    #: The schema that holds the tables (PostgreSQL).
    namespace: str = "backstory"
    #: Most connections that read at once (PostgreSQL).
    pool_size: int = 8
    #: Whether writes say what was read for them, in their transaction, update or hook.
    track_reads: bool = True
    #: How many background runs of hooks are recorded in one commit at most.
    hook_batch_size: int = 100
    #: How long a background run waits for others to share its commit, seconds.
    hook_flush_interval_s: float = 0.05
    #: How many background runs may wait before writers do.
    hook_queue_size: int = 10_000
    #: How many lanes run background hooks at once; what belongs to one key stays in order.
    hook_workers: int = 1
    #: How long a background hook may take that was registered without a `timeout_s`, seconds.
    hook_timeout_s: float = 30.0
    #: Whether a process that has the store open and hooks registered runs the replays that come due.
    run_schedules: bool = True
    #: Where backups are kept: a folder or URL; empty is `FILE.backups/` beside a SQLite file, and nowhere elsewhere.
    backups: str = ""
    #: What is logged: `off`, or everything from `debug`, `info`, `warning` or `error` on.
    log_level: str = "off"
    #: `text` or `json`, one line an entry, on standard error; a program that configures structlog has its own way.
    log_format: str = "text"
    #: From how long on a read or a commit is logged as slow, seconds.
    slow_s: float = 1.0


_NAMES: Final = {field.name: field for field in fields(Settings)}
_TYPES: Final[dict[str, type]] = {name: type(field.default) for name, field in _NAMES.items()}
_CHOICES: Final = {
    "durability": ("full", "relaxed"),
    "log_level": ("off", "debug", "info", "warning", "error"),
    "log_format": ("text", "json"),
}
_TRUTHS: Final = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
_DEFAULTS: Final = Settings()


def settings_of(
    config: str | Path | Mapping[str, Any] | None,
    given: Mapping[str, Any],
    *,
    environment: Mapping[str, str] = os.environ,
) -> Settings:
    """Return the settings of all sources, without what others read; raises `ConfigError` that names the key."""
    from_environment = _environment(environment)
    if not config and not given and not from_environment:
        return _DEFAULTS
    merged: dict[str, Any] = {}
    plain = {name: value for name, value in table_of(config).items() if name not in _NO_SETTINGS}
    merged.update(_checked(plain, "the configuration"))
    merged.update(_checked(from_environment, "the environment"))
    merged.update(_checked(given, "the arguments"))
    return Settings(**merged)


def table_of(config: str | Path | Mapping[str, Any] | None) -> Mapping[str, Any]:
    """Return a configuration as a mapping, read from its file if it is one; raises `ConfigError`."""
    if config is None:
        return {}
    return config if isinstance(config, Mapping) else load_toml(config)


def load_toml(path: str | Path) -> dict[str, Any]:
    """Return the table of a TOML file; raises `ConfigError`."""
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}", key="config") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is no TOML: {error}", key="config") from error


def _environment(environment: Mapping[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for variable, text in environment.items():
        name = variable.removeprefix(PREFIX)
        if variable.startswith(PREFIX) and name not in OTHERS and name.lower() in _TYPES:
            found[name.lower()] = _parsed(name.lower(), text)
    return found


def _parsed(name: str, text: str) -> Any:
    if _TYPES[name] is bool:
        return _TRUTHS.get(text.lower(), text)
    try:
        return _TYPES[name](text)
    except ValueError:
        return text


def _checked(given: Mapping[str, Any], source: str) -> dict[str, Any]:
    checked: dict[str, Any] = {}
    for name, value in given.items():
        if name not in _NAMES:
            raise ConfigError(
                f"{source} hold an unknown setting: {name}", key=name, hint="Known: " + ", ".join(sorted(_NAMES)) + "."
            )
        checked[name] = _typed(name, value)
    return checked


def _typed(name: str, value: Any) -> Any:
    wanted = _TYPES[name]
    if wanted is float and type(value) is int:
        value = float(value)
    if wanted is str and isinstance(value, os.PathLike):
        value = os.fspath(value)
    if type(value) is not wanted:
        raise ConfigError(f"{name} is {value!r}, not {wanted.__name__}", key=name)
    choices = _CHOICES.get(name)
    if choices is not None and value not in choices:
        raise ConfigError(f"{name} is {value!r}", key=name, hint="Choose one of " + ", ".join(choices) + ".")
    if wanted is not bool and isinstance(value, (int, float)) and not 0 < value < float("inf"):
        raise ConfigError(f"{name} is {value!r}", key=name, hint="Give a number above 0.")
    return value
