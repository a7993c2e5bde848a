"""Tables of figures, as plain text."""

from __future__ import annotations

from collections.abc import Sequence

from backstory.measuring.samples import Figure, shown

_COLUMN = 14


def table(figures: Sequence[Figure]) -> list[str]:
    """Return lines: a contender each, a metric a column, the medians of the rounds."""
    metrics = list(dict.fromkeys(figure.metric for figure in figures))
    names = list(dict.fromkeys(figure.who for figure in figures))
    found = {(figure.who, figure.metric): shown(figure.median) for figure in figures}
    width = max(map(len, names), default=0)
    lines = [f"  {'':{width}}" + "".join(f"{metric:>{_COLUMN}}" for metric in metrics)]
    for who in names:
        cells = "".join(f"{found.get((who, metric), '-'):>{_COLUMN}}" for metric in metrics)
        lines.append(f"  {who:{width}}{cells}")
    return lines
