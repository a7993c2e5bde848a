"""Opening: from a URL and settings to a store, the one place where the rooms are wired."""

from __future__ import annotations

import os
from collections.abc import Generator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from backstory.async_store import AsyncStateStore
from backstory.core import Core
from backstory.domain.branches import MAIN_NAME, get_branch, lineage_of
from backstory.domain.errors import ConfigError
from backstory.domain.ports import Clock, Engine, Program
from backstory.infrastructure.clock import SystemClock
from backstory.infrastructure.configuration import Settings, settings_of, table_of
from backstory.runners import AsyncRunner, Runner
from backstory.store import StateStore

if TYPE_CHECKING:
    from backstory.hooks.loading import LoadedHook

HINT: Final = "Use memory://, sqlite:///file.db, sqlite:////absolute/file.db or postgresql://user@host/database."


def open(  # noqa: A001 - the contract's name and arguments
    url: str,
    *,
    branch: str | None = None,
    config: str | Path | dict[str, Any] | None = None,
    actor: str | None = None,
    create: bool = True,
    read_only: bool = False,
    clock: Clock | None = None,
    **settings: Any,
) -> StateStore:
    """Open a store and return it; a context manager. Creates what is missing, unless `create=False`.

    `config` is a TOML file or a mapping, `settings` win over it: `docs/configuration.md` lists them.
    The hooks that it names are imported and registered, unless the store is only read. Raises
    `ConfigError` for a URL, setting or hook that is none, `StoreUnavailableError` for a store that
    is not there or cannot be reached, `StoreVersionError` for one of a newer version,
    `NotFoundError` for an unknown branch.
    """
    table = table_of(config)
    options = at_home(settings_of(table, settings), url)
    hooks = [] if read_only else _hooks(table)
    clock = clock or SystemClock()
    engine = _observed(_engine(url, options, clock, create=create, read_only=read_only), options)
    runner = Runner(engine)
    try:
        core = runner.run(_core(engine, branch, clock, actor, options))
    except BaseException:
        runner.close()
        raise
    store = StateStore(core, runner)
    try:
        for hook in hooks:
            hook.register(store.hooks.register)
    except BaseException:
        store.close()
        raise
    return store


class _Opening:
    """What `open_async` returns: awaited, or entered with `async with`, it gives the store."""

    def __init__(self, url: str, arguments: dict[str, Any]) -> None:
        self._url = url
        self._arguments = arguments
        self._store: AsyncStateStore | None = None

    async def _open(self) -> AsyncStateStore:
        self._store = await _open_async(self._url, **self._arguments)
        return self._store

    def __await__(self) -> Generator[Any, None, AsyncStateStore]:
        return self._open().__await__()

    async def __aenter__(self) -> AsyncStateStore:
        return await self._open()

    async def __aexit__(self, *_: object) -> None:
        if self._store is not None:
            await self._store.aclose()


def open_async(
    url: str,
    *,
    branch: str | None = None,
    config: str | Path | dict[str, Any] | None = None,
    actor: str | None = None,
    create: bool = True,
    read_only: bool = False,
    clock: Clock | None = None,
    **settings: Any,
) -> _Opening:
    """Open a store for one event loop: await it, or enter it with `async with`. As `open` otherwise."""
    return _Opening(
        url,
        {
            "branch": branch,
            "config": config,
            "actor": actor,
            "create": create,
            "read_only": read_only,
            "clock": clock,
            "settings": settings,
        },
    )


async def _open_async(
    url: str,
    *,
    branch: str | None,
    config: str | Path | dict[str, Any] | None,
    actor: str | None,
    create: bool,
    read_only: bool,
    clock: Clock | None,
    settings: dict[str, Any],
) -> AsyncStateStore:
    table = table_of(config)
    options = at_home(settings_of(table, settings), url)
    hooks = [] if read_only else _hooks(table)
    clock = clock or SystemClock()
    engine = _observed(await _engine_async(url, options, clock, create=create, read_only=read_only), options)
    runner = AsyncRunner(engine)
    try:
        core = await runner.run(_core(engine, branch, clock, actor, options))
        if not read_only:
            # The first write then goes to the log in the same step of the loop, and closing waits for it.
            await runner.run(core.session.guard.look())
    except BaseException:
        await runner.close()
        raise
    store = AsyncStateStore(core, runner)
    try:
        for hook in hooks:
            hook.register(store.hooks.register)
    except BaseException:
        await store.aclose()
        raise
    return store


def at_home(options: Settings, url: str) -> Settings:
    """Return settings that say where backups are kept: beside a SQLite file, unless told otherwise.

    A folder means the same for as long as the store is open, wherever the process goes meanwhile.
    """
    if options.backups and "://" not in options.backups:
        home = os.path.expanduser(options.backups)  # noqa: PTH111 - Path.expanduser fails without a home
        return replace(options, backups=str(Path(home).absolute()))
    if options.backups or kind_of(url) != "sqlite":
        return options
    return replace(options, backups=f"{Path(sqlite_path(url)).absolute()}.backups")


def _hooks(table: Mapping[str, Any]) -> list[LoadedHook]:
    if table.get("hooks") is None:
        return []
    from backstory.hooks.loading import load_hooks

    return load_hooks(table["hooks"])


def _core(engine: Engine, branch: str | None, clock: Clock, actor: str | None, options: Settings) -> Program[Core]:
    rows = yield from engine.branches()
    row = get_branch(rows, branch or MAIN_NAME)
    return Core(engine, row, lineage_of(rows, row.id), clock=clock, actor=actor, settings=options)


def _observed(engine: Engine, options: Settings) -> Engine:
    if options.log_level == "off":
        return engine
    from backstory.infrastructure.telemetry import observed

    return observed(engine, options)


def _engine(url: str, options: Settings, clock: Clock, *, create: bool, read_only: bool) -> Engine:
    kind = kind_of(url)
    if kind == "memory":
        return _memory(clock, read_only=read_only)
    if kind == "sqlite":
        from backstory.infrastructure.sqlite.engine import SqliteEngine

        return SqliteEngine(sqlite_path(url), clock, options, create=create, read_only=read_only)
    from backstory.infrastructure.postgres.engine import PostgresEngine

    return PostgresEngine.open(url, clock, options, create=create, read_only=read_only)


async def _engine_async(url: str, options: Settings, clock: Clock, *, create: bool, read_only: bool) -> Engine:
    kind = kind_of(url)
    if kind == "memory":
        return _memory(clock, read_only=read_only)
    if kind == "sqlite":
        import asyncio

        from backstory.infrastructure.sqlite.engine import SqliteEngine

        path = sqlite_path(url)
        return await asyncio.to_thread(SqliteEngine, path, clock, options, create=create, read_only=read_only)
    from backstory.infrastructure.postgres.engine import PostgresEngine

    return await PostgresEngine.open_async(url, clock, options, create=create, read_only=read_only)


def _memory(clock: Clock, *, read_only: bool) -> Engine:
    from backstory.infrastructure.memory.engine import MemoryEngine

    return MemoryEngine(clock, read_only=read_only)


def kind_of(url: object) -> str:
    """Return the engine that a URL names: memory, sqlite or postgres; raises `ConfigError`."""
    if isinstance(url, str):
        if url == "memory://":
            return "memory"
        if url.startswith("sqlite:///"):
            return "sqlite"
        if url.startswith(("postgresql://", "postgres://")):
            return "postgres"
    raise ConfigError(f"{url!r} is no store", key="url", hint=HINT)


def sqlite_path(url: str) -> str:
    """Return the file of a `sqlite:///` URL; raises `ConfigError` where it names none."""
    path = url.removeprefix("sqlite:///")
    if not path or "\0" in path or path.endswith("/") or path.startswith(":"):
        raise ConfigError(f"{url!r} names no file", key="url", hint=HINT)
    return path
