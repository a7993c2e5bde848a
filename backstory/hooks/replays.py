"""Replays as events, and the recorded runs that one is about."""

from __future__ import annotations

from itertools import islice
from typing import Any, Final, NamedTuple, Self

from backstory.committing import append
from backstory.context import author_of, packed_correlation
from backstory.core import Core
from backstory.domain.commits import Commit, Draft
from backstory.domain.events import StoredEvent
from backstory.domain.hooks import HOOK_EXECUTED, HOOK_FAILED, hook_point
from backstory.domain.ports import LAST_POSITION, LogQuery, Program
from backstory.domain.scopes import Scope
from backstory.hooks.recording import stream_of
from backstory.hooks.replaying import Question, ReplayReport
from backstory.hooks.telling import told
from backstory.infrastructure import codec
from backstory.infrastructure.clock import new_id

REPLAYS: Final = "custom:replays"
_MOST_TOLD: Final = 20


class Runs(NamedTuple):
    """Which recorded runs are wanted, checked."""

    name: str | None
    point: str | None
    correlation: bytes | None
    session: str | None

    @classmethod
    def of(
        cls, *, name: str | None, point: str | None, correlation_id: str | None, session: Scope | str | None
    ) -> Self:
        """Return a checked wish; raises `InvalidValueError` and `InvalidScopeError`."""
        if name is not None:
            stream_of(name)
        home = None if session is None else _home(session)
        return cls(
            name,
            None if point is None else hook_point(point).name,
            None if correlation_id is None else packed_correlation(correlation_id),
            None if home is None else str(home),
        )

    def fits(self, row: StoredEvent) -> bool:
        """Return whether a run is one of those."""
        if self.point is None and self.session is None:
            return True
        data = codec.decode_value(row.data)
        try:
            if self.point is not None and data["point"] != self.point:
                return False
            return self.session is None or data["input"].get("scope") == self.session
        except (LookupError, TypeError, AttributeError):
            return False  # no run, whatever its type says


def _home(session: Scope | str) -> Scope:
    if isinstance(session, Scope):
        return session
    if isinstance(session, str) and session.startswith("session:"):
        return Scope.parse(session)
    return Scope.session(session)


def page_of(
    core: Core, wanted: Runs, after: int, until: int, limit: int
) -> Program[tuple[list[StoredEvent], int, bool]]:
    """Return the next runs after a position, how far that looked, and whether there may be more."""
    stream = None if wanted.name is None else stream_of(wanted.name)
    types = (HOOK_EXECUTED, HOOK_FAILED)
    query = LogQuery(core.lineage, after, until, stream, types, None, wanted.correlation, None, limit)
    rows = yield from core.engine.page(query)
    found = [row for row in rows if wanted.fits(row)]
    return found, rows[-1].position if rows else until, len(rows) == limit


def any_schedule(core: Core) -> Program[bool]:
    """Return whether anything was ever scheduled, or replayed: one question, and mostly no."""
    return (yield from core.engine.stream_version(core.lineage, REPLAYS, LAST_POSITION)) > 0


def started(core: Core, wanted: Runs, question: Question) -> Program[bytes | None]:
    """Write that a replay begins; return its event's id, None on a store that only reads."""
    if core.engine.read_only:
        return None
    data = {
        "mode": question.mode,
        "name": wanted.name,
        "point": wanted.point,
        "session": wanted.session,
        "changes": sorted(question.changes),
    }
    outcome = yield from append(Commit(core.branch.id, [_draft(core, "replay.started", data, None)]))
    return outcome.events[0].event_id


def completed(
    core: Core, begun: bytes | None, report: ReplayReport, *, error: BaseException | None = None
) -> Program[None]:
    """Write what a replay came to; caused by the event that said that it began. An error says what ended it early."""
    if begun is None:
        return
    bad = [
        {
            "run": str(each.execution.event_id),
            "hook": each.hook,
            "error": each.error,
            "diverged": each.divergence is not None,
        }
        for each in islice((each for each in report.results if not each.ok), _MOST_TOLD)
    ]
    data = {
        "mode": report.mode,
        "succeeded": report.succeeded,
        "failed": report.failed,
        "identical": sum(each.comparison.identical for each in report.results),
        "redacted": sum(each.redacted for each in report.results),
        "duration_us": round(report.duration_s * 1_000_000),
        "error": None if error is None else told(error),
        "failures": bad,
    }
    kind = "replay.failed" if report.failed or error is not None else "replay.completed"
    yield from append(Commit(core.branch.id, [_draft(core, kind, data, begun)]))


def _draft(core: Core, kind: str, data: Any, cause: bytes | None) -> Draft:
    author = author_of({}, core.actor)
    causes = cause if cause is not None else author.causes
    return Draft(
        new_id(),
        REPLAYS,
        kind,
        codec.encode_value(data),
        correlation=author.correlation,
        causes=causes,
        actor=author.actor,
        extra=author.extra,
    )
