"""Keeping: what ran behind commits is recorded, once and in order, and how far all is done is marked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from backstory.committing import append
from backstory.domain.branches import MAIN
from backstory.domain.commits import Commit, Draft, Tracking
from backstory.domain.decisions import Intent
from backstory.domain.errors import (
    BackstoryError,
    ConflictError,
    NotFoundError,
    StoreClosedError,
    StoreUnavailableError,
)
from backstory.domain.ports import CallOut, Program
from backstory.hooks.chain import Ended
from backstory.hooks.outstanding import Outstanding
from backstory.hooks.plan import Plan, Stopped, Target
from backstory.hooks.work import Queue, Runs

if TYPE_CHECKING:
    from backstory.hooks.plan import Planner

PLACES: Final = "hooks:"


def place_of(writer: str) -> str:
    """Return where a writer's mark is kept."""
    return f"{PLACES}{writer}"


class Keeper:
    """Records runs. `queue` hears of what can never be done."""

    planner: Planner
    queue: Queue

    def __init__(self, writer: str) -> None:
        self.outstanding: Final = Outstanding()
        self._place = place_of(writer)
        self._stored_mark = 0

    def record(self, runs: Sequence[Runs]) -> Program[None]:
        """Write what ran, in its order: one commit for many, but what a hook wants done beside is one with its run.

        Where an error says that nobody knows what was written, mark the runs as tried and ask again: nothing is
        written twice.
        """
        runs = yield from self._unwritten(runs)
        together: list[Runs] = []
        for each in runs:
            if not each.forks:
                together.append(each)
                continue
            yield from self._write(together)
            together = []
            yield from self._fork(each)
        positions = [each.settles for each in runs if each.settles is not None]
        mark = self.outstanding.mark_without(positions) if positions else 0
        yield from self._write(together, mark)
        self._stored_mark = max(mark, self._stored_mark)
        for position in positions:
            self.outstanding.settle(position)

    def _unwritten(self, runs: Sequence[Runs]) -> Program[Sequence[Runs]]:
        """Take out of the runs what the log has already: it came in whole, or not at all."""
        doubtful = [each for each in runs if each.tried and each.drafts]
        if not doubtful:
            return runs
        reader = doubtful[0].item.session.state.reader
        found = yield from reader.events([each.drafts[0].event_id for each in doubtful])
        there = {event.event_id for event in found if event is not None}
        return [
            each._replace(drafts=[], forks=[]) if each.drafts and each.drafts[0].event_id in there else each
            for each in runs
        ]

    def _write(self, runs: Sequence[Runs], mark: int = 0) -> Program[None]:
        by_branch: dict[int, list[Draft]] = {}
        for each in runs:
            if each.drafts:
                by_branch.setdefault(each.item.session.branch, []).extend(each.drafts)
        commits = [Commit(branch, drafts) for branch, drafts in by_branch.items()]
        if mark > self._stored_mark:
            if not commits:
                commits.append(Commit(MAIN))
            commits[-1].tracking = Tracking(self._place, mark)
        for commit in commits:
            yield from _put(commit)

    def _wait(self, delay_s: float) -> CallOut:
        return CallOut(lambda _: self.queue.pause(delay_s), lambda _: self.queue.pause(delay_s))

    def _fork(self, runs: Runs) -> Program[None]:
        past, attempt = runs.drafts, 1
        ids: dict[Target, bytes] = {}
        while True:
            tx = runs.item.session.transaction()
            plan = Plan(tx, runs.author, ids, attempt)
            plan.record(past)
            try:
                for execution, operations in runs.forks:
                    yield from self.planner.join(plan, execution, operations, runs.author)
                yield from tx.perform_plain(Intent(tuple(plan.drafts)), runs.author)
                yield from tx.commit()
            except ConflictError:
                continue
            except Stopped as stopped:
                if (delay_s := _delay_of(stopped.ended, attempt)) is not None:
                    yield self._wait(delay_s)
                    past, attempt = plan.runs, attempt + 1
                    continue
                # Another hook refuses what this one wants done; both runs are recorded, and nothing is done.
                yield from _put(Commit(runs.item.session.branch, plan.runs))
            except (StoreUnavailableError, StoreClosedError):
                raise
            except BackstoryError as error:
                # It can never be done; the run stays, and who flushes hears of it.
                yield from _put(Commit(runs.item.session.branch, runs.drafts))
                if not _is_dropped(error):
                    self.queue.report(error)
            return


def _delay_of(ended: Ended, attempt: int) -> float | None:
    """Return after how many seconds a refused operation is to be begun anew; None where it is not."""
    result = None if ended.by is None else ended.by.result
    if ended.stop != "again" or result is None or attempt >= (result.max_attempts or 1):
        return None
    return result.delay_s or 0.0


def _put(commit: Commit) -> Program[None]:
    """Write a commit; what belongs to a branch that has been dropped meanwhile has nowhere to go."""
    try:
        yield from append(commit)
    except ConflictError:
        if commit.tracking is None:
            raise
        commit.tracking = None  # another lane was faster, with a later mark
        if commit.drafts:
            yield from _put(commit)
    except NotFoundError as error:
        if not _is_dropped(error):
            raise


def _is_dropped(error: BackstoryError) -> bool:
    return isinstance(error, NotFoundError) and error.what == "branch"
