"""Telemetry: what a store does, as structured log lines with correlation ids. Off unless a setting turns it on.

Where the program has configured structlog, lines go its way; else to standard error, as text or JSON.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, cast
from uuid import UUID

from backstory.domain.commits import Commit, Outcome
from backstory.domain.errors import BackstoryError, StoreClosedError
from backstory.domain.events import unpack_correlation
from backstory.domain.ports import Engine, Program, Step
from backstory.infrastructure.configuration import Settings

__all__ = ["observed"]

_MOST_IDS: Final = 10


def observed(engine: Engine, settings: Settings) -> Engine:
    """Return an engine that tells what it does; itself where `log_level` is `off`."""
    if settings.log_level == "off":
        return engine
    logger = _logger(settings).bind(log_id=engine.log_id.hex())
    if engine.recovery is not None:
        logger.warning("store.recovered", **engine.recovery._asdict())
    logger.info("store.opened", engine=type(engine).__name__, read_only=engine.read_only)
    return cast("Engine", _Observed(engine, logger, settings.slow_s))


def _logger(settings: Settings) -> Any:
    import structlog  # noqa: PLC0415 - only where something is logged

    if structlog.is_configured():
        return structlog.get_logger("backstory")
    form = structlog.processors.JSONRenderer(default=str)
    text = structlog.dev.ConsoleRenderer(colors=False)
    return structlog.wrap_logger(
        structlog.PrintLogger(sys.stderr),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            form if settings.log_format == "json" else text,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(settings.log_level),
    )


class _Observed:
    """An engine behind which stands another, which does the work."""

    def __init__(self, engine: Engine, lines: Any, slow_s: float) -> None:
        self._engine: Final = engine
        self._lines: Final = lines
        self._slow_s: Final = slow_s

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def commit(self, commits: Sequence[Commit]) -> Sequence[Outcome]:
        with self._watched("commit", commits=len(commits)) as facts:
            outcomes = self._engine.commit(commits)
            facts.update(self._told(commits, outcomes))
        return outcomes

    async def commit_async(self, commits: Sequence[Commit]) -> Sequence[Outcome]:
        with self._watched("commit", commits=len(commits)) as facts:
            outcomes = await self._engine.commit_async(commits)
            facts.update(self._told(commits, outcomes))
        return outcomes

    def advance(self, program: Program[Any], request: Any) -> Step:
        with self._watched("read"):
            return self._engine.advance(program, request)

    async def advance_async(self, program: Program[Any], request: Any) -> Step:
        with self._watched("read"):
            return await self._engine.advance_async(program, request)

    def close(self) -> None:
        self._engine.close()
        self._lines.info("store.closed")

    async def close_async(self) -> None:
        await self._engine.close_async()
        self._lines.info("store.closed")

    @contextmanager
    def _watched(self, what: str, **known: Any) -> Iterator[dict[str, Any]]:
        """Tell how something ended: done (debug), slow (warning) or failed (error)."""
        facts = dict(known)
        started = time.perf_counter()
        try:
            yield facts
        except BackstoryError as error:
            self._failed(what, error, facts)
            raise
        duration_s = round(time.perf_counter() - started, 6)
        if duration_s >= self._slow_s:
            self._lines.warning(f"{what}.slow", duration_s=duration_s, **facts)
        else:
            self._lines.debug(f"{what}.done", duration_s=duration_s, **facts)

    def _failed(self, what: str, error: BackstoryError, facts: dict[str, Any]) -> None:
        # An invalid point, an unknown name or a closed store is an answer to a caller, not the store's trouble.
        answer = isinstance(error, (LookupError, ValueError, StoreClosedError))
        tell = self._lines.info if answer else self._lines.error
        tell(f"{what}.failed", error=type(error).__name__, message=str(error), **facts)

    def _told(self, commits: Sequence[Commit], outcomes: Sequence[Outcome]) -> dict[str, Any]:
        """Return what a group of commits came to; tell of each that was refused."""
        for commit, outcome in zip(commits, outcomes, strict=True):
            if outcome.error is not None:
                self._lines.info(
                    "commit.refused",
                    error=type(outcome.error).__name__,
                    message=str(outcome.error),
                    correlation_ids=_correlations(commit.drafts),
                )
        events = [event for outcome in outcomes for event in outcome.events]
        head = max((event.position for event in events), default=None)
        return {"events": len(events), "position": head, "correlation_ids": _correlations(events)}


def _correlations(events: Sequence[Any]) -> list[str]:
    """Return the correlation ids of events or drafts, each once, the first few."""
    found = dict.fromkeys(
        str(UUID(bytes=event.event_id)) if event.correlation is None else unpack_correlation(event.correlation)
        for event in events
    )
    return list(found)[:_MOST_IDS]
