"""The session: what one run of the program was asked for, and the store it works on."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from backstory.cli.failures import unicode
from backstory.cli.output import Output
from backstory.domain.errors import ConfigError, StoreUnavailableError
from backstory.infrastructure.configuration import Settings, load_toml, settings_of
from backstory.opening import at_home
from backstory.opening import open as open_store
from backstory.store import StateStore

CONFIG_FILE: Final = "backstory.toml"
DEFAULT_STORE: Final = "sqlite:///backstory.db"
_ARCHIVES: Final = "*.bsa"


@dataclass(frozen=True, slots=True)
class Options:
    """The global options; None where one was not given."""

    store: str | None = None
    json: bool | None = None
    branch: str | None = None
    actor: str | None = None
    no_color: bool | None = None

    def over(self, others: Options) -> Options:
        """Return these options, and the others' where these were not given."""
        mine = {name: getattr(self, name) for name in self.__slots__}
        return Options(**{name: getattr(others, name) if value is None else value for name, value in mine.items()})


class Session:
    """One run of the program."""

    def __init__(self, options: Options) -> None:
        self.options: Final = options
        self.out: Final = Output(json=bool(options.json), color=not options.no_color)

    def url(self) -> str:
        """Return the store's URL: option, BACKSTORY_STORE, `backstory.toml`, or the default. Raises `ConfigError`."""
        return self._text("store", self.options.store, self.config()) or DEFAULT_STORE

    def open(self, *, write: bool = False, create: bool = False, hooks: bool = True) -> StateStore:
        """Open the store; a reader makes nothing, a writer makes the store only with `create`.

        A writer runs the hooks of `backstory.toml`, unless `hooks` is False. It runs no scheduled replay: that is for
        `replay due`, which says what came of it.
        """
        config = self.config()
        if write and config.get("hooks") is not None:
            if hooks:
                look_here_too()
            else:
                config = {name: value for name, value in config.items() if name != "hooks"}
        url = self._text("store", self.options.store, config) or DEFAULT_STORE
        try:
            return open_store(
                url,
                branch=self.options.branch,
                config=config,
                actor=self._text("actor", self.options.actor, config),
                create=create,
                read_only=not write,
                run_schedules=False,
            )
        except StoreUnavailableError as error:
            if create:
                raise
            raise _unavailable(error, url, at_home(settings_of(config, {}), url)) from error

    def settings(self) -> Settings:
        """Return the settings of the store, whether it is there or not; raises `ConfigError`."""
        return at_home(settings_of(self.config(), {}), self.url())

    def config(self) -> dict[str, Any]:
        """Return what stands in `backstory.toml`; raises `ConfigError`."""
        return load_toml(CONFIG_FILE) if Path(CONFIG_FILE).is_file() else {}

    def _text(self, name: str, given: str | None, config: dict[str, Any]) -> str | None:
        """Return a global setting that is text: the option, the environment, the file; empty is not given."""
        found = given or os.environ.get(f"BACKSTORY_{name.upper()}") or config.get(name)
        if found is not None and not isinstance(found, str):
            raise ConfigError(f"{name} in {CONFIG_FILE} is {found!r}, not a text", key=name)
        return found or None


def look_here_too() -> None:
    """Let modules be imported from the current folder, where modules of this name are nowhere else."""
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)


def _unavailable(error: StoreUnavailableError, url: str, settings: Settings) -> StoreUnavailableError:
    """Return the error with what to do here. Nobody who lost a store is told to make an empty one in its place."""
    absent, kept = _is_absent(url), _keeps_backups(settings.backups)
    way_back = f"ts backups are in {settings.backups}: `backstory backup restore FILE --into URL` brings it back."
    if absent and kept:
        hint = f"I{way_back}"
    elif absent:
        hint = "Make it with `backstory init`, or name another with --store."
    else:
        hint = f"{error.hint} If it is lost, i{way_back}" if kept else error.hint
    message = f"there is no store {shown_url(url)}" if absent else error.message
    return StoreUnavailableError(message, outcome=error.outcome, hint=hint)


def _keeps_backups(place: str) -> bool:
    """Return whether a folder holds archives; a URL is not asked."""
    if not place or "://" in place:
        return False
    try:
        return any(Path(place).glob(_ARCHIVES))
    except OSError:
        return False


def _is_absent(url: str) -> bool:
    path = url.removeprefix("sqlite:///")
    try:
        return path != url and not Path(path).exists()
    except OSError:
        return False


def shown_url(url: str) -> str:
    """Return a URL as it may be shown: without the password."""
    if not url.startswith("postgres"):
        return unicode(url)
    try:
        password = urlsplit(url).password
    except ValueError:
        return "postgresql://..."
    return url.replace(f":{password}@", ":***@", 1) if password else url
