"""Retention: which backups stay, which may go, and why. A pure function of manifests and an instant.

Bounds say how much there may be, and look at all backups together, as a disk does:

    max_age      none is older than this
    max_count    there are no more than this many
    max_bytes    they take no more than this, together

A backup goes if it breaks any of them. Without a bound nothing goes, and who prunes refuses that (`check_bounded`);
`max_count=0` leaves what the keep-rules hold.
Where count or bytes are not enough for all, what cannot be restored goes first, then what is less important, then what
is older; one that is too large does not take smaller ones with it. Importance does not help against age.

Keep-rules say what must stay possible to restore. They win over bounds, and look at backups that can be restored only:

    keep_last                the newest ones; the very newest stays even if this is 0
    keep_full                the newest full ones
    keep_daily               the newest of each of the most recent days (UTC) that have backups at all
    keep_weekly, _monthly    the same of ISO weeks, and of months

A rule holds for what a backup contains: a backup competes with those that have every scope it has, of its branch. So a
backup of one scope never stands in for one of the whole store, but the reverse it may: old backups of single scopes
can go once the whole store has newer ones.

What stays, stays whole: with an incremental backup stays all it builds on, whatever the bounds say. What cannot be
restored, since its chain is torn, its id borne by others or its file known to be damaged, is held by no rule and goes
by the bounds. What somebody else is known to build on stays.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Final

from backstory.domain.backup_manifests import Backup, Circumstances, Standing, newest_first, standings
from backstory.domain.durations import seconds
from backstory.domain.errors import InvalidValueError, shown

__all__ = ["Decision", "RetentionPolicy", "RetentionReport", "decide"]

_NOTHING_KNOWN: Final = Circumstances()
_UNITS: Final = ((86_400, "day"), (3_600, "hour"), (60, "minute"))


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionPolicy:
    """Bounds and keep-rules, as the head of this module tells them. Raises `InvalidValueError` if one makes no sense.

    `max_age` is seconds, or a timedelta; `max_bytes` counts the bytes of the files.
    """

    max_count: int | None = None
    max_age: float | timedelta | None = None
    max_bytes: int | None = None
    keep_last: int = 1
    keep_full: int = 1
    keep_daily: int = 0
    keep_weekly: int = 0
    keep_monthly: int = 0

    def __post_init__(self) -> None:
        """Check what was given."""
        for each in fields(self):
            given = getattr(self, each.name)
            optional = each.default is None
            if each.name == "max_age":
                _age_s(given)
            elif not (optional and given is None) and (
                not isinstance(given, int) or isinstance(given, bool) or given < 0
            ):
                hint = f"Give a whole number from 0{', or None' if optional else ''}."
                raise InvalidValueError(each.name, rule=f"is no whole number from 0: {shown(given)}", hint=hint)

    def check_bounded(self) -> None:
        """Raise `InvalidValueError` for a policy without a bound: its rules keep what nothing would take away."""
        if (self.max_count, self.max_age, self.max_bytes) == (None, None, None):
            raise InvalidValueError(
                "policy",
                rule="keeps what nothing would take away, as it has no bound",
                hint="Give max_count (0: keep nothing else), max_age or max_bytes.",
            )

    @property
    def max_age_s(self) -> float | None:
        """The greatest age in seconds, or None."""
        return _age_s(self.max_age)


@dataclass(frozen=True, slots=True)
class Decision:
    """What is to become of a backup, and why, in words: `kept: newest of 2026-11-20 (daily 3 of 7)`."""

    backup_id: str
    keep: bool
    reason: str


@dataclass(frozen=True, slots=True)
class RetentionReport:
    """What a policy comes to: a decision for each backup, newest first; the backups by what became of them.

    `freed_bytes` is what the files of `deleted` take.
    """

    decisions: tuple[Decision, ...]
    kept: tuple[Backup, ...]
    deleted: tuple[Backup, ...]
    freed_bytes: int


def decide(
    policy: RetentionPolicy, backups: Iterable[Backup], *, now: datetime, known: Circumstances = _NOTHING_KNOWN
) -> RetentionReport:
    """Return what a policy makes of these backups at an instant, whatever order they come in; nothing is deleted here.

    Raises `InvalidValueError` if `now` has no zone.
    """
    if now.utcoffset() is None:
        raise InvalidValueError("now", rule="has no zone", hint="Give an aware datetime.")
    ordered = newest_first(backups, at_home=known.at_home)
    choice = _Choice(policy, ordered, now, known)
    decisions = tuple(Decision(each.id, *choice.verdict(index)) for index, each in enumerate(ordered))
    deleted = tuple(each for each, decision in zip(ordered, decisions, strict=True) if not decision.keep)
    return RetentionReport(
        decisions=decisions,
        kept=tuple(each for each, decision in zip(ordered, decisions, strict=True) if decision.keep),
        deleted=deleted,
        freed_bytes=sum(each.size_bytes for each in deleted),
    )


class _Load:
    """Some backups that are to be kept together, and what they take."""

    def __init__(self) -> None:
        self.indices: set[int] = set()
        self.size_bytes = 0

    def add(self, index: int, size_bytes: int) -> None:
        self.indices.add(index)
        self.size_bytes += size_bytes


class _Choice:
    """What stays of some backups, which it knows by their place in the order of age."""

    def __init__(self, policy: RetentionPolicy, ordered: Sequence[Backup], now: datetime, known: Circumstances) -> None:
        self._policy = policy
        self._backups = ordered
        self._standings = standings(ordered, damage=known.damage)
        self._rules = _held(policy, ordered, self._standings)
        for index, each in enumerate(ordered):
            if each.id in known.needed:
                self._rules.setdefault(index, []).append(known.needed[each.id])
        self._refused: dict[int, str] = {}
        self._kept: set[int] = set()
        self._bytes = 0
        self._choose(now)
        # The newest of those that build on each, for the reason.
        self._builders: dict[int, int] = {}
        for index in sorted(self._kept):
            for needed in self._standings[index].needs:
                self._builders.setdefault(needed, index)

    def verdict(self, index: int) -> tuple[bool, str]:
        """Return whether a backup stays, and why."""
        keep = index in self._kept
        fault = self._standings[index].fault
        words = f"kept: {self._why_kept(index)}" if keep else f"deleted: {self._refused[index]}"
        return keep, words if fault is None else f"{words}; it cannot be restored: {fault}"

    def _choose(self, now: datetime) -> None:
        """Keep what the rules hold, then what is best of the rest as long as it fits."""
        for index in self._rules:
            self._keep(self._missing(index))
        age_s = self._policy.max_age_s
        for index in sorted(range(len(self._backups)), key=self._rank):
            if index in self._kept:
                continue
            if age_s is not None and now - self._backups[index].created_at > timedelta(seconds=age_s):
                self._refused[index] = f"older than {_span(age_s)}"
                continue
            missing = self._missing(index, bounded=True)
            if excess := self._excess(missing):
                self._refused[index] = f"with it there would be {excess}"
            else:
                self._keep(missing)

    def _rank(self, index: int) -> tuple[bool, int, int]:
        """Return the place in which a backup is thought of, the best first."""
        return self._standings[index].fault is not None, -self._backups[index].importance, index

    def _missing(self, index: int, *, bounded: bool = False) -> _Load:
        """Return a backup and all it builds on, without what is kept; if bounded, only until it is too much.

        Years of increments are one long chain, which nobody should walk to its end for each of them.
        """
        load = _Load()
        waiting = [index]
        while waiting and not (bounded and self._excess(load)):
            if (each := waiting.pop()) not in self._kept and each not in load.indices:
                load.add(each, self._backups[each].size_bytes)
                waiting.extend(self._standings[each].needs)
        return load

    def _excess(self, more: _Load) -> str:
        """Return in words which bounds would be broken with more backups; empty if none."""
        count, size = self._policy.max_count, self._policy.max_bytes
        broken = []
        if count is not None and len(self._kept) + len(more.indices) > count:
            broken.append(f"more than {_counted(count, 'backup')}")
        if size is not None and self._bytes + more.size_bytes > size:
            broken.append(f"more than {_counted(size, 'byte')}")
        return " and ".join(broken)

    def _keep(self, more: _Load) -> None:
        self._kept |= more.indices
        self._bytes += more.size_bytes

    def _why_kept(self, index: int) -> str:
        if index in self._rules:
            return "; ".join(self._rules[index])
        if (builder := self._builders.get(index)) is None:
            return "within the bounds"
        other = self._backups[builder].id
        return f"{other} builds on it" if other != self._backups[index].id else "it stays with the others of its id"


def _held(policy: RetentionPolicy, ordered: Sequence[Backup], stand: Sequence[Standing]) -> dict[int, list[str]]:
    """Return the backups that keep-rules hold, each with what those say."""
    able = [index for index in range(len(ordered)) if stand[index].fault is None]
    alike: dict[object, list[int]] = defaultdict(list)
    for index in able:
        alike[ordered[index].branch, ordered[index].branch_id, ordered[index].scopes].append(index)
    found: dict[int, list[str]] = defaultdict(list)
    for indices in alike.values():
        # What has every scope of these: they themselves are among them.
        rivals = [index for index in able if ordered[index].covers(ordered[indices[0]])]
        members = set(indices)
        for index, words in _selected(policy, ordered, rivals):
            if index in members:
                found[index].append(words)
    return dict(found)


def _selected(policy: RetentionPolicy, ordered: Sequence[Backup], rivals: Sequence[int]) -> Iterator[tuple[int, str]]:
    """Yield what each rule selects of these backups, which come newest first, and its words."""
    last = policy.keep_last
    yield rivals[0], "newest that can be restored" + (f" (last 1 of {last})" if last else "")
    for number, index in enumerate(rivals[1:last], 2):
        yield index, f"among the newest (last {number} of {last})"
    full = [index for index in rivals if ordered[index].kind == "full"]
    for number, index in enumerate(full[: policy.keep_full], 1):
        yield index, f"among the newest full ones (full {number} of {policy.keep_full})"
    for name, most, label in (
        ("daily", policy.keep_daily, _day),
        ("weekly", policy.keep_weekly, _week),
        ("monthly", policy.keep_monthly, _month),
    ):
        yield from _newest_of_each(name, most, [(label(ordered[index].created_at), index) for index in rivals])


def _newest_of_each(name: str, most: int, labelled: Iterable[tuple[str, int]]) -> Iterator[tuple[int, str]]:
    """Yield the newest of each of the most recent periods, which come newest first."""
    newest: dict[str, int] = {}
    for period, index in labelled:
        newest.setdefault(period, index)
    for number, (period, index) in enumerate(list(newest.items())[:most], 1):
        yield index, f"newest of {period} ({name} {number} of {most})"


def _day(at: datetime) -> str:
    return at.date().isoformat()


def _week(at: datetime) -> str:
    year, week, _ = at.isocalendar()
    return f"{year}-W{week:02}"


def _month(at: datetime) -> str:
    return at.date().isoformat()[:7]


def _age_s(given: float | timedelta | None) -> float | None:
    """Return an age in seconds; raises `InvalidValueError`."""
    if given is None:
        return None
    number = given.total_seconds() if isinstance(given, timedelta) else given
    return seconds("max_age", number, hint=", a timedelta, or None")


def _span(age_s: float) -> str:
    """Return a length of time in the largest unit that it is a whole number of."""
    for unit_s, name in _UNITS:
        if age_s >= unit_s and age_s % unit_s == 0:
            return _counted(int(age_s) // unit_s, name)
    return _counted(int(age_s) if age_s == int(age_s) else age_s, "second")


def _counted(number: float, name: str) -> str:
    return f"{number} {name}{'' if number == 1 else 's'}"
