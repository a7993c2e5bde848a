"""The asyncio face: `store.schemas`, where schemas are registered, bound to keys and compared.

`face.py` is made from this file by `tools/unasync.py`: change this one.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from typing import Any

from backstory.core import Core
from backstory.domain.bindings import Binding
from backstory.domain.compatibility import Compatibility
from backstory.domain.errors import ReadOnlyError
from backstory.domain.ports import Program
from backstory.domain.schemas import Schema, SchemaVersion
from backstory.domain.scopes import Scope
from backstory.domain.selection import selection_of
from backstory.runners import AsyncRunner
from backstory.schemas import registering
from backstory.schemas.sources import version_from


class AsyncSchemas:
    """The schemas of a store, on one branch. `docs/schemas.md` tells what they can do."""

    def __init__(self, core: Core, runner: AsyncRunner) -> None:
        self._core = core
        self._runner = runner

    def register(
        self,
        schema: Schema | SchemaVersion | type | Mapping[str, Any],
        *,
        name: str | None = None,
        version: str | None = None,
    ) -> SchemaVersion:
        """Register a version of a schema and return it; once more, it changes nothing.

        `schema` is a `Schema`, a pydantic model, or JSON Schema (draft 2020-12); the latter two need a `version`, and
        a `name` where they bring none. Raises `SchemaError` for a declaration that is wrong, for other content under a
        known version, for a dependency that is missing, and for a version that breaks what the one before promised.
        On the asyncio face it is written with whatever touches the store next, which then raises what only the log
        can tell.
        """
        self._check_writable("register a schema")
        found = version_from(schema, name=name, version=version)
        self._do(lambda: registering.register(self._core, found))
        return found

    # <async>
    def bind(
        self,
        name: str,
        *,
        scope: Scope | str | None = None,
        keys: str = "*",
        version: str | None = None,
        mode: str = "enforce",
    ) -> _Pending:
        """Have new values meet a schema, where scope and keys fit; both may hold `*`. Awaited, it gives the `Binding`.

        The version is the latest that is registered then, unless one is named; migrations move it on. With the mode
        `enforce` other values are refused with `SchemaError`; with `mark` they are written, and carry no schema.
        Of several bindings that fit a key the last one made counts. It is written when it is awaited, or with whatever
        touches the store next. Raises `InvalidScopeError`, `InvalidKeyError`, and, then, `SchemaError`.
        """
        self._check_writable("bind a schema")
        selection = selection_of(scope, keys)
        registering.check_mode(mode)
        pending = _Pending(self._settle)
        self._do(lambda: pending.done_by(registering.bind(self._core, name, selection, version, mode)))
        return pending

    async def _settle(self) -> None:
        await self._runner.run(self._core.session.guard.settle())

    # </async>
    # <sync>
    # def bind(
    #     self,
    #     name: str,
    #     *,
    #     scope: Scope | str | None = None,
    #     keys: str = "*",
    #     version: str | None = None,
    #     mode: str = "enforce",
    # ) -> Binding:
    #     """Have new values meet a schema, where scope and keys fit; both may hold `*`.
    #
    #     The version is the latest that is registered, unless one is named; migrations move it on. With the mode
    #     `enforce` other values are refused with `SchemaError`; with `mark` they are written, and do not carry the
    #     schema. Of several bindings that fit a key the last one made counts.
    #     Raises `SchemaError`, `InvalidScopeError` and `InvalidKeyError`.
    #     """
    #     self._check_writable("bind a schema")
    #     selection = selection_of(scope, keys)
    #     return self._runner.run(registering.bind(self._core, name, selection, version, mode))
    #
    # </sync>
    async def unbind(self, name: str, *, scope: Scope | str | None = None, keys: str = "*") -> bool:
        """Take back what `bind` said of this very selection; return whether there was anything."""
        return bool(await self._ask(registering.unbind(self._core, name, selection_of(scope, keys))))

    async def bindings(self) -> list[Binding]:
        """Return the bindings that hold, in the order in which they were made."""
        found: list[Binding] = await self._ask(registering.bindings(self._core))
        return found

    async def names(self) -> list[str]:
        """Return the names of all schemas, sorted."""
        found: list[str] = await self._ask(registering.names(self._core))
        return found

    async def versions(self, name: str) -> list[SchemaVersion]:
        """Return a schema's versions, the lowest first; raises `NotFoundError`."""
        found: list[SchemaVersion] = await self._ask(registering.versions(self._core, name))
        return found

    async def check(self, old: Any, new: Any) -> Compatibility:
        """Return what changes from one schema to another, and how much of a risk that is.

        Both are schemas as `register` takes them, or registered ones by name: `user@1.0.0`, or `user` for the latest.
        Raises `SchemaError`.
        """
        found: Compatibility = await self._ask(registering.compatibility(self._core, old, new))
        return found

    def _check_writable(self, what: str) -> None:
        if self._core.engine.read_only:
            raise ReadOnlyError(what)

    def _do(self, program: Callable[[], Program[Any]]) -> None:
        # <async>
        self._core.session.guard.pending.append(program)
        self._runner.due = self._core.session.guard.settle
        # </async>
        # <sync>
        # self._runner.run(program())
        # </sync>

    async def _ask(self, program: Program[Any]) -> Any:
        # <async>
        await self._settle()
        # </async>
        return await self._runner.run(program)


# <async>
class _Pending:
    """What is written when it is awaited, or else with whatever touches the store next."""

    def __init__(self, settle: Callable[[], Any]) -> None:
        self._settle = settle
        self._done: Binding | BaseException | None = None

    def done_by(self, program: Program[Binding]) -> Program[None]:
        """Keep what comes of it, whoever has it done."""
        try:
            self._done = yield from program
        except BaseException as error:
            self._done = error
            raise

    def __await__(self) -> Generator[Any, None, Binding]:
        if self._done is None:
            yield from self._settle().__await__()
        if isinstance(self._done, BaseException):
            raise self._done
        assert self._done is not None
        return self._done


# </async>
