"""The blocking face: `store.replay`, where recorded runs of hooks are run again.

Made from `async_replay.py` by `tools/unasync.py`: change that one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from backstory.core import PAGE, Core, filter_of
from backstory.domain.errors import BackstoryError, InvalidPointError, InvalidValueError
from backstory.domain.events import StoredEvent
from backstory.domain.scopes import Scope
from backstory.hooks.path import Path
from backstory.hooks.replaying import Question, ReplayReport, ReplayResult, replay_run, report_of
from backstory.hooks.replays import Runs, completed, page_of, started
from backstory.projections.points import Point
from backstory.replay.breakpoints import Breakpoint
from backstory.replay.comparison import Comparison, compare
from backstory.runners import Runner
from backstory.scheduler import Scheduler
from backstory.schedules import REPLAY_BOOK, Schedule, ScheduledRun, When, schedule, schedules, unschedule
from backstory.stepping import ReplaySession

Progress = Callable[[int, int | None], None]


class Replay:
    """Replays of what is recorded. Nothing that is replayed changes the store, but for the events that say so."""

    def __init__(self, core: Core, runner: Runner) -> None:
        self._core = core
        self._runner = runner

    def hooks(
        self,
        *,
        name: str | None = None,
        point: str | None = None,
        correlation_id: str | None = None,
        session: Scope | str | None = None,
        since: Point | None = None,
        until: Point | None = None,
        mode: str = "exact",
        changes: Mapping[str, Any] | None = None,
        timeout_s: float | None = 30,
        stop_on_error: bool = True,
        concurrency: int = 1,
        progress: Progress | None = None,
        _begun: bytes | None = None,
    ) -> ReplayReport:
        """Run recorded runs of hooks again, from their records alone, and return what they came to.

        `mode` is `exact`, `modified` (with `changes`, paths into the hook's context), `simulate` (the recorded
        answers, nothing is run) or `debug` (as exact, all of them, whatever fails). A session is that of the keys
        that the hooks ran for. Up to `concurrency` runs go on at once; results are in log order whatever it is. A run
        gets `timeout_s` seconds (None: all the time it takes); no more are begun after one that is not `ok`, unless
        `stop_on_error` is False. `progress` gets how many are done, and how many there are where that is known.

        A store that may be written to gets `replay.started`, and `replay.completed` or `replay.failed`. What a hook
        writes through the store is refused with `ReadOnlyError`, but for threads that it starts by itself.
        Raises `InvalidValueError` and `InvalidPointError`, before anything runs.
        """
        question = Question.of(mode, changes, timeout_s)
        wanted = Runs.of(name=name, point=point, correlation_id=correlation_id, session=session)
        _check_concurrency(concurrency)
        begun = time.monotonic()
        if _begun is None:
            span = self._runner.run(self._core.bounds(since, until))
            _begun = self._runner.run(started(self._core, wanted, question))
            since, until = span
        results: list[ReplayResult] = []
        try:
            span = self._runner.run(self._core.bounds(since, until))
            stop = stop_on_error and question.mode != "debug"
            self._all(wanted, question, span, results, stop=stop, concurrency=concurrency, progress=progress)
        except BaseException as error:
            report = report_of(question.mode, results, begun)
            with suppress(BackstoryError):  # a store that is closed meanwhile holds no more
                self._runner.run(completed(self._core, _begun, report, error=error))
            raise
        report = report_of(question.mode, results, begun)
        self._runner.run(completed(self._core, _begun, report))
        return report

    def _all(
        self,
        wanted: Runs,
        question: Question,
        span: tuple[int, int],
        results: list[ReplayResult],
        *,
        stop: bool,
        concurrency: int,
        progress: Progress | None,
    ) -> None:
        """Replay what is wanted between two positions, page by page, into `results`."""
        after, last = span
        more = True
        while more:
            rows, after, more = self._runner.run(page_of(self._core, wanted, after, last, PAGE))
            earlier = len(results)
            for at in range(0, len(rows), concurrency):
                together = self._together(rows[at : at + concurrency], question)
                results += together
                if progress is not None:
                    progress(len(results), None if more else earlier + len(rows))
                if stop and not all(result.ok for result in together):
                    return

    def _together(self, rows: Sequence[StoredEvent], question: Question) -> list[ReplayResult]:
        """Replay some runs at once; return what they came to, in their order."""
        path = self._core.gate.path
        registry = path.registry if isinstance(path, Path) else None
        programs = [replay_run(self._core, registry, row, question) for row in rows]
        if len(programs) == 1:
            return [self._runner.run(programs[0])]
        with ThreadPoolExecutor(len(programs)) as pool:
            return list(pool.map(self._runner.run, programs))

    def schedule(self, schedule_name: str, when: When, /, **arguments: Any) -> Schedule:
        """Have runs of hooks replayed when they come due, in any process that has this store open and its hooks.

        `when` is `Once`, `At`, `Every` or `Cron`; `arguments` are those of `hooks`, without `progress`. A schedule
        of the same name is replaced. Each run is in the log; what came due while nobody was there is made up for by
        one run. Raises `InvalidValueError`.
        """
        known = {"name", "point", "correlation_id", "session", "since", "until", "mode", "changes", "timeout_s"}
        known |= {"stop_on_error", "concurrency"}
        for argument in arguments:
            if argument not in known:
                raise InvalidValueError(argument, rule="is no argument of a replay", hint=", ".join(sorted(known)))
        question = {name: arguments.get(name) for name in ("name", "point", "correlation_id", "session")}
        Runs.of(**question)
        Question.of(arguments.get("mode", "exact"), arguments.get("changes"), arguments.get("timeout_s", 30))
        _check_concurrency(arguments.get("concurrency", 1))
        if isinstance(arguments.get("session"), Scope):
            arguments["session"] = str(arguments["session"])
        made: Schedule = self._runner.run(schedule(self._core, REPLAY_BOOK, schedule_name, when, arguments))
        if self._core.settings.run_schedules:
            self._scheduler().start(settled=True)
        return made

    def schedules(self) -> list[Schedule]:
        """Return the schedules that stand, by name: what they replay, how often they ran, when they come due next."""
        return self._runner.run(schedules(self._core, REPLAY_BOOK))

    def unschedule(self, schedule_name: str) -> bool:
        """Take a schedule away; False where there is none of this name."""
        return self._runner.run(unschedule(self._core, REPLAY_BOOK, schedule_name))

    def run_due(self) -> list[ScheduledRun]:
        """Run what is due, each schedule at most once, and return what the runs came to, by name.

        What another process, or this one's own scheduler, has begun is not run again: it is not in the list.
        """
        runs: list[ScheduledRun] = self._scheduler().round()
        return runs

    def resume(self) -> None:
        """See to what is scheduled, from now on; registering a hook does so too, unless `run_schedules` is off."""
        self._scheduler().start()

    def _scheduler(self) -> Scheduler[ScheduledRun]:
        gate = self._core.gate
        if gate.scheduler is None:
            root = Replay(self._core, self._runner.root)
            gate.scheduler = Scheduler(self._core, self._runner.root, REPLAY_BOOK, root.run_scheduled)
        scheduler: Scheduler[ScheduledRun] = gate.scheduler
        return scheduler

    def run_scheduled(self, due: Schedule, begun: bytes) -> ScheduledRun:
        """Run what has come due; what goes wrong is in the log."""
        try:
            return ScheduledRun(due, self.hooks(**due.arguments, _begun=begun))
        except (InvalidValueError, InvalidPointError) as error:
            # What was scheduled means nothing any more, such as a position of another log.
            return ScheduledRun(due, None, str(error))

    def session(
        self,
        *,
        correlation_id: str | None = None,
        session: Scope | str | None = None,
        since: Point | None = None,
        until: Point | None = None,
        breakpoints: Iterable[Breakpoint] = (),
    ) -> ReplaySession:
        """Return a session that goes through what happened, event by event, and shows the state at each.

        Raises `InvalidValueError` for what is no breakpoint.
        """
        home = Runs.of(name=None, point=None, correlation_id=None, session=session).session
        wanted = filter_of(scope=home, correlation_id=correlation_id)
        return ReplaySession(self._core, self._runner, wanted, (since, until), breakpoints)

    def compare(self, a: object, b: object, *, ignore: Iterable[str] = (), unordered: Iterable[str] = ()) -> Comparison:
        """Return how two values differ; paths in `ignore` do not count, lists at `unordered` have no order."""
        return compare(a, b, ignore=ignore, unordered=unordered)


def _check_concurrency(given: object) -> None:
    if isinstance(given, bool) or not isinstance(given, int) or given < 1:
        raise InvalidValueError("concurrency", rule=f"is no count: {given!r}", hint="Give 1 or more.")
