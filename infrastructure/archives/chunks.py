"""Chunks in their order: read as frames, and opened one by one; what is not as written is told before it is used."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from backstory.infrastructure.archives.compression import Codec, InflateError
from backstory.infrastructure.archives.failures import BrokenError
from backstory.infrastructure.archives.layout import FRAME, Bounds, Kind
from backstory.infrastructure.archives.sealing import Digest, Seal, SealError, bound
from backstory.infrastructure.archives.source import InputFile

__all__ = ["Frame", "Place", "frames", "open_frame", "place_of_part"]


@dataclass(frozen=True, slots=True)
class Frame:
    """One chunk as it lies in the file, still closed."""

    kind: Kind
    #: Its place among the chunks, from 0 on, and the part it belongs to, from 1 on (the end: the last one).
    number: int
    part: int
    raw_bytes: int
    stored: bytes
    offset: int

    @property
    def size(self) -> int:
        """What it takes in the file, bytes."""
        return FRAME.size + len(self.stored)


class Place(NamedTuple):
    """Where a chunk lies: its offset, its number, and how many parts have begun before it."""

    offset: int
    number: int = 0
    part: int = 0


def frames(file: InputFile, *, start: Place, end: int, bounds: Bounds, whole: Digest | None) -> Iterator[Frame]:
    """Yield the chunks from a place to an offset, feeding all bytes to `whole`; raises BrokenError for no frame."""
    at, number, part = start
    file.seek(at)
    while at < end:
        opening = file.read(FRAME.size)
        frame_kind, raw_bytes, stored_bytes = _opened(opening, at, end, bounds)
        stored = file.read(stored_bytes)
        if len(stored) < stored_bytes:
            raise BrokenError("truncated", at, "a chunk ends early")
        if whole is not None:
            whole.update(opening)
            whole.update(stored)
        part += frame_kind is Kind.PART
        frame = Frame(frame_kind, number, part, raw_bytes, stored, at)
        yield frame
        number += 1
        at += frame.size


def place_of_part(file: InputFile, wanted: int, *, start: int, end: int, bounds: Bounds) -> Place:
    """Return where a part begins, the first is 1, going from frame to frame; raises BrokenError."""
    at, number, part = start, 0, 0
    while at < end:
        file.seek(at)
        kind, _, stored_bytes = _opened(file.read(FRAME.size), at, end, bounds)
        if kind is Kind.PART and part + 1 == wanted:
            return Place(at, number, part)
        part += kind is Kind.PART
        number += 1
        at += FRAME.size + stored_bytes
    raise BrokenError("manifest", end, f"there is no part {wanted}")


def _opened(opening: bytes, start: int, end: int, bounds: Bounds) -> tuple[Kind, int, int]:
    if len(opening) < FRAME.size:
        raise BrokenError("truncated", start, "a chunk ends early")
    kind, raw_bytes, stored_bytes = FRAME.unpack(opening)
    if kind not in set(Kind):
        raise BrokenError("damaged", start, "there is no chunk")
    if raw_bytes > bounds.raw(Kind(kind)) or stored_bytes > bounds.stored(Kind(kind)):
        raise BrokenError("damaged", start, "a chunk states an impossible length")
    if start + FRAME.size + stored_bytes > end:
        raise BrokenError("damaged", start, "a chunk reaches into the manifest")
    return Kind(kind), raw_bytes, stored_bytes


def open_frame(frame: Frame, *, seal: Seal, codec: Codec, header_hash: bytes) -> bytes:
    """Return the raw bytes of a chunk; raises BrokenError unless it is the one that was written there."""
    held = bound(header_hash, kind=frame.kind, number=frame.number, part=frame.part, raw_bytes=frame.raw_bytes)
    try:
        content = seal.open(frame.stored, held, number=frame.number)
    except SealError:
        raise BrokenError(
            "chunk", frame.offset, f"chunk {frame.number} is not the one that was written there"
        ) from None
    if frame.kind is not Kind.RECORDS:
        return content
    try:
        return codec.inflate(content, frame.raw_bytes)
    except InflateError as error:
        raise BrokenError("chunk", frame.offset, f"chunk {frame.number}: {error}") from error
