"""A contest: contenders measured in turns, so that a disk's mood falls on all of them alike.

A ratio is taken within one round, where the contenders ran within seconds of each other; what
counts is the median of the rounds' ratios.
"""

from __future__ import annotations

import gc
import statistics
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from backstory.measuring.disk import fsync_rate
from backstory.measuring.samples import Figure

Size = Literal["quick", "usual", "long"]
Measure = Callable[[Path], Mapping[str, float]]
"""Given a fresh folder, returns figures by metric."""
Figures = Mapping[str, Mapping[str, float]]
"""By contender and metric."""


@dataclass(frozen=True, slots=True)
class Claim:
    """What is promised of a figure: `value` must be `sense` the `bound`. A ratio unless `unit` says otherwise."""

    text: str
    samples: tuple[float, ...]
    sense: Literal["at least", "at most"]
    bound: float
    unit: str = "x"

    @property
    def value(self) -> float:
        """The median of the rounds."""
        return statistics.median(self.samples)

    @property
    def met(self) -> bool:
        """Whether the promise is kept."""
        return self.value >= self.bound if self.sense == "at least" else self.value <= self.bound


@dataclass(frozen=True, slots=True)
class Table:
    """A row's figures, one sample a round."""

    figures: tuple[Figure, ...]

    def of(self, who: str, metric: str) -> Figure:
        """Return one figure; raises `KeyError`."""
        for figure in self.figures:
            if figure.who == who and figure.metric == metric:
                return figure
        raise KeyError((who, metric))

    def ratios(self, ours: str, theirs: str, metric: str) -> tuple[float, ...]:
        """Return ours divided by theirs, a round at a time."""
        pairs = zip(self.of(ours, metric).samples, self.of(theirs, metric).samples, strict=True)
        return tuple(mine / other for mine, other in pairs)


@dataclass(frozen=True, slots=True)
class Result:
    """What came out for one row: figures, claims about them, and what could not be measured."""

    row: int
    title: str
    figures: tuple[Figure, ...]
    claims: tuple[Claim, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(slots=True)
class Run:
    """One run of the benchmarks: where it writes, how much it does, and how the disk was on the way."""

    folder: Path
    size: Size
    rounds: int
    fsyncs: list[tuple[str, float]] = field(default_factory=list)
    tell: Callable[[str], None] = print
    #: Where recorded runs are; None: beside the repository.
    data: Path | None = None

    def scaled(self, usual: int) -> int:
        """Return how much of something to do: a fifth in a quick run."""
        return max(1, usual // 5) if self.size == "quick" else usual

    def sample_disk(self, when: str) -> None:
        """Note how fast the disk is now."""
        self.fsyncs.append((when, fsync_rate(self.folder)))

    def contest(self, name: str, contenders: Mapping[str, Measure], *, warm_up: bool = True) -> Table:
        """Measure every contender once a round, each round beginning with another one."""
        found: dict[tuple[str, str], list[float]] = {}
        if warm_up:
            for measure in contenders.values():
                self._measured(measure)
        order = list(contenders)
        self.sample_disk(f"{name}, before")
        for number in range(self.rounds):
            turn = number % len(order)
            for who in order[turn:] + order[:turn]:
                for metric, figure in self._measured(contenders[who]).items():
                    found.setdefault((who, metric), []).append(figure)
            self.sample_disk(f"{name}, after round {number + 1}")
        return Table(tuple(Figure(who, metric, tuple(samples)) for (who, metric), samples in found.items()))

    def together(self, name: str, measure: Callable[[Path], Figures]) -> Table:
        """Measure contenders that take turns by themselves, all at once in each round."""
        found: dict[tuple[str, str], list[float]] = {}
        self.sample_disk(f"{name}, before")
        for number in range(self.rounds):
            gc.collect()
            with tempfile.TemporaryDirectory(dir=self.folder) as folder:
                for who, figures in measure(Path(folder)).items():
                    for metric, figure in figures.items():
                        found.setdefault((who, metric), []).append(figure)
            self.sample_disk(f"{name}, after round {number + 1}")
        return Table(tuple(Figure(who, metric, tuple(samples)) for (who, metric), samples in found.items()))

    def _measured(self, measure: Measure) -> Mapping[str, float]:
        gc.collect()
        with tempfile.TemporaryDirectory(dir=self.folder) as folder:
            return measure(Path(folder))


def at_least(table: Table, ours: str, theirs: str, metric: str, bound: float) -> Claim:
    """Claim that ours is at least so many times theirs."""
    return Claim(f"{ours} / {theirs}, {metric}", table.ratios(ours, theirs, metric), "at least", bound)


def at_most(table: Table, ours: str, theirs: str, metric: str, bound: float) -> Claim:
    """Claim that ours is at most so many times theirs."""
    return Claim(f"{ours} / {theirs}, {metric}", table.ratios(ours, theirs, metric), "at most", bound)


def below(text: str, samples: Sequence[float], bound: float, unit: str) -> Claim:
    """Claim that a figure is at most so much."""
    return Claim(text, tuple(samples), "at most", bound, unit)
