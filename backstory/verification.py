"""Verification: walks the log and says what does not fit, and where."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from backstory.domain.branches import FOREVER, MAIN, BranchRow, Lineage
from backstory.domain.chain import genesis, link_of
from backstory.domain.errors import IntegrityError
from backstory.domain.events import JSON_FORMAT, StoredEvent
from backstory.domain.ports import LogQuery, Maintainer, Program, Reader
from backstory.domain.sequencer import BRANCH_CREATED
from backstory.infrastructure import codec
from backstory.state_check import OwnFold, state_differences

_PAGE: Final = 2000
Progress = Callable[[int, int], None]


class Problem(NamedTuple):
    """Something that does not fit. `kind`: gap, hash, order, version, encoding, branch, projection or file."""

    position: int
    kind: str
    message: str


@dataclass(frozen=True, slots=True)
class VerificationReport:
    """What `verify` found. `head_hash` is hexadecimal."""

    ok: bool
    events: int
    head: int
    head_hash: str
    problems: list[Problem] = field(default_factory=list)


class _Walk:
    """The running state of a walk along the log."""

    def __init__(self, previous: bytes, after: int, *, whole: bool) -> None:
        self.previous = previous
        self.position = after
        self.recorded_us = 0
        self.whole = whole
        self.versions: dict[tuple[int, str], int] = {}
        self.forks: dict[tuple[str, int, int], int] = {}
        self.problems: list[Problem] = []
        self.events = 0

    def step(self, event: StoredEvent) -> None:
        self.events += 1
        at = event.position
        if at != self.position + 1:
            self._say(at, "gap", f"expected position {self.position + 1}, found {at}")
        if self._link(event) != event.hash:
            self._say(at, "hash", "the event is not what was recorded, or not in its place")
        if event.recorded_us < self.recorded_us:
            self._say(at, "order", "recorded before the event in front of it")
        before = self.versions.get((event.branch, event.stream))
        if before is None and event.branch == MAIN and self.whole:
            before = 0
        if event.format == JSON_FORMAT and before is not None and event.version != before + 1:
            self._say(at, "version", f"version {event.version} of {event.stream} follows {before}")
        if event.format == JSON_FORMAT:
            self._decode(event)
        self.versions[event.branch, event.stream] = max(event.version, before or 0)
        self.position, self.previous, self.recorded_us = at, event.hash, event.recorded_us

    def _link(self, event: StoredEvent) -> bytes | None:
        """Return the hash that the event should have; None where damage left no event that could have one."""
        try:
            return link_of(self.previous, event)
        except Exception:  # noqa: BLE001 - a damaged row may hold anything
            return None

    def _decode(self, event: StoredEvent) -> None:
        try:
            data = codec.decode_value(event.data)
            if event.type == BRANCH_CREATED:
                self.forks[data["name"], data["position"], event.recorded_us] = event.position
        except Exception as error:  # noqa: BLE001 - whatever it is, it belongs into the report
            self._say(event.position, "encoding", str(error))

    def check_forks(self, branches: list[BranchRow]) -> None:
        """Compare the forks that were walked past with the branches that readers go by."""
        known = {(row.name, row.position, row.created_us) for row in branches}
        for fork, position in self.forks.items():
            if fork not in known:
                self._say(position, "branch", f"the fork {fork[0]} is not among the branches as it was made")

    def _say(self, position: int, kind: str, message: str) -> None:
        self.problems.append(Problem(position, kind, message))


def verify(
    reader: Reader, care: Maintainer, log_id: bytes, *, after: int, progress: Progress | None
) -> Program[VerificationReport]:
    """Walk the log after a position: numbering, hashes, times, versions, encoding, projections.

    Raises `StoreUnavailableError` where there is no room for a temporary file that many keys need.
    """
    head = yield from reader.head()
    branches = yield from reader.branches()
    everything: Lineage = tuple((row.id, FOREVER) for row in branches)
    previous = genesis(log_id)
    if after:
        first = yield from reader.page(LogQuery(everything, after - 1, after))
        previous = first[0].hash if first else previous
    walk = _Walk(previous, after, whole=after == 0)
    try:
        with OwnFold() as own:
            yield from _go_along(walk, reader, everything, head.position, own=own, progress=progress)
            if after == 0:
                walk.problems.extend(Problem(0, "file", message) for message in (yield from care.damage()))
            branches = yield from reader.branches()
            walk.check_forks(branches)
            if not walk.problems:
                everything = tuple((row.id, FOREVER) for row in branches)
                walk.problems.extend((yield from _check_state(reader, care, own, everything)))
                walk.problems.extend(
                    Problem(at, "projection", "the index of causes does not say what this event says; rebuild `causes`")
                    for at in (yield from care.causes_amiss())
                )
    except IntegrityError as error:
        walk.problems.append(Problem(walk.position + 1, "file", error.message))
    return VerificationReport(not walk.problems, walk.events, walk.position, walk.previous.hex(), walk.problems)


def _go_along(
    walk: _Walk, reader: Reader, everything: Lineage, end: int, *, own: OwnFold, progress: Progress | None
) -> Program[None]:
    """Walk to the end of the log, or to where nothing more is found; what is whole from the start on is folded."""
    while walk.position < end:
        page = yield from reader.page(LogQuery(everything, walk.position, end, limit=_PAGE))
        for event in page:
            walk.step(event)
        if walk.whole and not walk.problems:
            own.take(page)
        if progress is not None:
            progress(walk.position, end)
        if not page:
            walk.problems.append(Problem(walk.position + 1, "gap", f"nothing lies between here and {end}"))
            return


def _check_state(reader: Reader, care: Maintainer, own: OwnFold, everything: Lineage) -> Program[list[Problem]]:
    wrong = yield from state_differences(reader, care, own, everything)
    return [Problem(at, "projection", f"{key} of {stream} differs from the fold") for _, stream, key, at in wrong]


__all__ = ["Problem", "VerificationReport", "verify"]
