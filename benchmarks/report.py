"""The report: a table for people, JSON for everybody else."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from backstory.measuring.report import table
from backstory.measuring.samples import shown
from benchmarks.contest import Claim, Result


def lines_of(result: Result) -> list[str]:
    """Return a row's result as lines of text."""
    lines = [f"Row {result.row}: {result.title}", *table(result.figures)]
    lines += [f"  {_claimed(claim)}" for claim in result.claims]
    lines += [f"  note: {note}" for note in result.notes]
    return lines


def _claimed(claim: Claim) -> str:
    verdict = "met   " if claim.met else "MISSED"
    spread = f"{shown(min(claim.samples))} to {shown(max(claim.samples))}"
    unit = "" if claim.unit == "x" else f" {claim.unit}"
    return f"{verdict} {claim.text}: {shown(claim.value)}{unit} ({spread}), {claim.sense} {shown(claim.bound)}{unit}"


def json_of(results: Sequence[Result]) -> list[dict[str, Any]]:
    """Return the results as JSON values, every sample included."""
    return [
        {
            "row": result.row,
            "title": result.title,
            "figures": [
                {"who": figure.who, "metric": figure.metric, "median": figure.median, "samples": figure.samples}
                for figure in result.figures
            ],
            "claims": [
                {
                    "claim": claim.text,
                    "value": claim.value,
                    "unit": claim.unit,
                    "samples": claim.samples,
                    "sense": claim.sense,
                    "bound": claim.bound,
                    "met": claim.met,
                }
                for claim in result.claims
            ],
            "notes": result.notes,
        }
        for result in results
    ]


def disk_of(samples: Sequence[tuple[str, float]]) -> dict[str, Any]:
    """Return what the disk did meanwhile: small durable writes a second."""
    rates = [rate for _, rate in samples]
    return {
        "lowest": min(rates, default=None),
        "median": statistics.median(rates) if rates else None,
        "highest": max(rates, default=None),
        "samples": [{"when": when, "per_second": rate} for when, rate in samples],
    }


def write(path: Path, document: Mapping[str, Any]) -> None:
    """Write a document as JSON, making its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
