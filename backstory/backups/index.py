"""The index: what the archives of a place said when they were last read, in a file beside them; a cache, no more."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from backstory.backups.entries import Facts
from backstory.backups.target import Stamp, Target
from backstory.domain.errors import BackupError

__all__ = ["INDEX_NAME", "Remembered", "read_index", "write_index"]

INDEX_NAME: Final = "backstory-index.json"

_FORMAT: Final = 1


@dataclass(frozen=True, slots=True)
class Remembered:
    """What an archive said, and what the file looked like when it did."""

    stamp: Stamp
    facts: Facts


def read_index(target: Target) -> dict[str, Remembered]:
    """Return what the index remembers, by name; nothing at all of one that is not as it was written, or not ours."""
    try:
        stored = target.read_text(INDEX_NAME)
        return {} if stored is None else _understood(stored)
    except (BackupError, ValueError, TypeError, KeyError, RecursionError):
        return {}


def write_index(target: Target, remembered: Mapping[str, Remembered]) -> None:
    """Write the index, where it may be written; it can be done without."""
    archives = {
        name: {"size": each.stamp.size, "changed": each.stamp.changed, "facts": each.facts.to_json()}
        for name, each in remembered.items()
    }
    try:
        text = _spelled({"format": _FORMAT, "sha256": _digest(archives), "archives": archives})
        target.write_text(INDEX_NAME, text.encode("ascii"))
    except (BackupError, RecursionError):  # a manifest may be nested deeper than JSON can be spelled
        return


def _understood(stored: bytes) -> dict[str, Remembered]:
    document = json.loads(stored)
    if document["format"] != _FORMAT or document["sha256"] != _digest(document["archives"]):
        raise ValueError("the index is not what was written")
    return {name: _remembered(each) for name, each in document["archives"].items()}


def _remembered(document: Any) -> Remembered:
    size, changed = document["size"], document["changed"]
    if not isinstance(size, int) or not isinstance(changed, str):
        raise ValueError("no stamp of a file")  # noqa: TRY004 - a wrong value of the document
    return Remembered(Stamp(size, changed), Facts.from_json(document["facts"]))


def _digest(archives: Any) -> str:
    return hashlib.sha256(_spelled(archives).encode("ascii")).hexdigest()


def _spelled(document: Any) -> str:
    # ASCII, since a file's name need not be text that UTF-8 can spell.
    return json.dumps(document, sort_keys=True, separators=(",", ":"))
