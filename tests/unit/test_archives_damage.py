"""Archives that are not what was written: every flipped byte, every length, every chunk out of its place is found."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from io import BytesIO

import orjson
import pytest

from backstory.domain.errors import BackupError, EncryptionError, IntegrityError
from backstory.infrastructure.archives.encryption import Encryption
from backstory.infrastructure.archives.layout import BOUND, FRAME, HASH_BYTES, PREFIX, TRAILER, Kind
from backstory.infrastructure.archives.reader import read_manifest
from backstory.infrastructure.archives.verifying import verify_archive
from tests.support.archives import SMALL, Pieces, archive, keyed, pieces, read, read_as_far_as_possible

REFUSALS = (BackupError, IntegrityError, EncryptionError)
WRITTEN = [(name, record) for name, records in SMALL.items() for record in records]
SEALS = pytest.mark.parametrize(
    "encryption", [None, keyed(), keyed("ChaCha20-Poly1305")], ids=["plain", "AES", "ChaCha"]
)


def assert_refused(stored: bytes, encryption: Encryption | None, what: object) -> None:
    found = read_as_far_as_possible(stored, encryption)
    assert isinstance(found.error, REFUSALS), what
    assert found.records == WRITTEN[: len(found.records)], what
    report = verify_archive(BytesIO(stored), encryption=encryption)
    assert not report.is_valid, what


@SEALS
@pytest.mark.parametrize("mask", [0x01, 0xFF])
def test_every_flipped_byte_is_found_by_reader_and_verification(encryption: Encryption | None, mask: int) -> None:
    stored = archive(encryption=encryption, compression="zstd")
    assert WRITTEN == read_as_far_as_possible(stored, encryption).records
    for at in range(len(stored)):
        flipped = bytearray(stored)
        flipped[at] ^= mask
        assert_refused(bytes(flipped), encryption, at)


def test_every_flipped_byte_of_an_encrypted_archive_is_found_without_its_key() -> None:
    stored = archive(encryption=keyed())
    for at in range(len(stored)):
        flipped = bytearray(stored)
        flipped[at] ^= 0x10
        assert not verify_archive(BytesIO(flipped)).is_valid, at


@pytest.mark.parametrize("mask", [0x01, 0x20, 0x80])
def test_who_changes_an_encrypted_archive_and_makes_its_hashes_anew_changes_nothing(mask: int) -> None:
    stored = archive(encryption=keyed(), info={"position": 7})
    true_manifest = read_manifest(BytesIO(stored))[0]
    apart = pieces(stored)
    for name in ("head", "manifest"):
        piece = getattr(apart, name)
        for at in range(len(piece)):
            changed = piece[:at] + bytes([piece[at] ^ mask]) + piece[at + 1 :]
            forged = Pieces(**{**vars(apart), name: changed}).joined()
            found = read_as_far_as_possible(forged, keyed())
            if found.error is None:
                assert (WRITTEN, true_manifest) == (found.records, read_manifest(BytesIO(forged))[0]), (name, at)
            else:
                assert isinstance(found.error, REFUSALS), (name, at)
                assert found.records == [], (name, at)


@SEALS
def test_an_archive_cut_at_any_length_is_refused_before_anything_is_used(encryption: Encryption | None) -> None:
    stored = archive(encryption=encryption)
    for length in range(len(stored)):
        found = read_as_far_as_possible(stored[:length], encryption)
        assert found.records == []
        assert isinstance(found.error, REFUSALS), length
        if length:
            assert isinstance(found.error, IntegrityError), length
            assert found.error.kind in {"truncated", "damaged"}, length
        report = verify_archive(BytesIO(stored[:length]), encryption=encryption)
        assert not report.is_valid, length


@SEALS
def test_bytes_after_the_end_are_refused(encryption: Encryption | None) -> None:
    assert_refused(archive(encryption=encryption) + b"\n", encryption, "one more byte")


def swapped(chunks: list[bytes]) -> list[bytes]:
    return [chunks[0], chunks[2], chunks[1], *chunks[3:]]


CHANGES: dict[str, Callable[[list[bytes]], list[bytes]]] = {
    "two in the other order": swapped,
    "one twice": lambda chunks: [*chunks[:2], chunks[1], *chunks[2:]],
    "one left out": lambda chunks: [*chunks[:1], *chunks[2:]],
    "the last before the end left out": lambda chunks: [*chunks[:-2], chunks[-1]],
    "a part left out": lambda chunks: chunks[[chunk[0] for chunk in chunks].index(1, 1) :],
    "the end left out": lambda chunks: chunks[:-1],
    "the end twice": lambda chunks: [*chunks, chunks[-1]],
    "something after the end": lambda chunks: [*chunks, chunks[1]],
    "the end in the middle": lambda chunks: [*chunks[:2], chunks[-1], *chunks[2:]],
    "none": lambda _: [],
}


@SEALS
@pytest.mark.parametrize("change", CHANGES)
def test_chunks_out_of_their_place_are_refused(encryption: Encryption | None, change: str) -> None:
    apart = pieces(archive(encryption=encryption))
    apart.chunks = CHANGES[change](apart.chunks)
    assert_refused(apart.joined(), encryption, change)


@SEALS
def test_any_chunk_of_another_archive_is_refused(encryption: Encryption | None) -> None:
    apart, other = pieces(archive(encryption=encryption)), pieces(archive(encryption=encryption))
    for number, chunk in enumerate(other.chunks):
        mixed = [*apart.chunks[:number], chunk, *apart.chunks[number + 1 :]]
        assert_refused(Pieces(apart.head, mixed, apart.manifest).joined(), encryption, number)


@SEALS
def test_head_chunks_and_manifest_of_different_archives_are_refused(encryption: Encryption | None) -> None:
    one, other = pieces(archive(encryption=encryption)), pieces(archive(encryption=encryption))
    for mixed in (
        Pieces(other.head, one.chunks, one.manifest),
        Pieces(one.head, other.chunks, one.manifest),
        Pieces(one.head, one.chunks, other.manifest),
    ):
        assert_refused(mixed.joined(), encryption, "mixed")


def test_a_manifest_that_says_something_else_is_refused_once_the_key_is_known() -> None:
    apart = pieces(archive(encryption=keyed(), info={"position": 7}))
    apart.manifest = apart.manifest.replace(b'"position":7', b'"position":8')
    forged = apart.joined()
    assert read_manifest(BytesIO(forged))[0].info == {"position": 8}
    assert_refused(forged, keyed(), "position")


@pytest.mark.parametrize("name", ["records", "raw_bytes", "stored_bytes", "digest", "name"])
def test_a_plain_archive_whose_hashes_were_all_made_anew_still_has_to_be_what_its_manifest_says(name: str) -> None:
    apart = pieces(archive())
    document = orjson.loads(apart.manifest)
    part = document["parts"][0]
    part[name] = part[name] + 1 if isinstance(part[name], int) else part[name][::-1]
    apart.manifest = orjson.dumps(document, option=orjson.OPT_SORT_KEYS)
    header = apart.head[PREFIX.size : -HASH_BYTES]
    end = {"kind": Kind.END, "number": len(apart.chunks) - 1, "part": len(SMALL), "raw_bytes": HASH_BYTES}
    content = hashlib.sha256(apart.manifest).digest()
    seal = hashlib.sha256(BOUND.pack(hashlib.sha256(header).digest(), *end.values()) + content).digest()
    apart.chunks[-1] = FRAME.pack(Kind.END, HASH_BYTES, 2 * HASH_BYTES) + content + seal
    assert_refused(apart.joined(), None, name)
    found = read_as_far_as_possible(apart.joined(), None).error
    assert isinstance(found, IntegrityError)
    assert found.kind == ("manifest" if name == "name" else "part")


def test_a_damaged_head_is_not_taken_for_a_wrong_key() -> None:
    stored = archive(encryption=keyed())
    for at in range(PREFIX.size, len(pieces(stored).head)):
        flipped = bytearray(stored)
        flipped[at] ^= 1
        with pytest.raises(IntegrityError, match="head is not what was written"):
            read(bytes(flipped), keyed())


@SEALS
def test_a_damaged_manifest_is_found_without_key_and_without_the_rest(encryption: Encryption | None) -> None:
    stored = archive(encryption=encryption, info={"position": 7})
    for at in range(len(stored) - TRAILER.size - len(pieces(stored).manifest), len(stored) - TRAILER.size):
        flipped = bytearray(stored)
        flipped[at] ^= 1
        with pytest.raises(IntegrityError, match="manifest is not what was written"):
            read_manifest(BytesIO(flipped))


def test_a_changed_archive_without_encryption_and_another_hash_of_the_whole_is_refused() -> None:
    stored = bytearray(archive())
    whole = len(stored) - TRAILER.size + 4 + 32
    stored[whole : whole + 32] = hashlib.sha256(b"something else").digest()
    found = read_as_far_as_possible(bytes(stored), None)
    assert isinstance(found.error, IntegrityError)
    assert ("hash", WRITTEN) == (found.error.kind, found.records)


@SEALS
def test_verification_tells_every_broken_chunk_and_its_place(encryption: Encryption | None) -> None:
    stored = bytearray(archive({"log": [b"0123456789ab"] * 4}, encryption=encryption))
    apart = pieces(bytes(stored))
    starts = [len(apart.head) + sum(map(len, apart.chunks[:number])) for number in range(len(apart.chunks))]
    for number in (1, 3):
        stored[starts[number] + 12] ^= 1
    report = verify_archive(BytesIO(stored), encryption=encryption)
    assert [("chunk", starts[1]), ("chunk", starts[3])] == [
        (p.kind, p.offset) for p in report.problems if p.kind == "chunk"
    ]
    assert "hash" in {problem.kind for problem in report.problems}
    assert report.manifest is not None


def test_verification_goes_through_the_chunks_of_an_archive_without_its_end() -> None:
    stored = archive()
    report = verify_archive(BytesIO(stored[:-20]))
    assert ("truncated", len(stored) - 20) == (report.problems[0].kind, report.problems[0].offset)
    assert report.manifest is None
    assert "chunk" not in {problem.kind for problem in report.problems}


def test_verification_without_the_key_says_that_nothing_was_opened() -> None:
    report = verify_archive(BytesIO(archive(encryption=keyed())))
    assert (True, False) == (report.is_valid, report.is_opened)


def test_verification_with_a_wrong_key_says_so() -> None:
    report = verify_archive(BytesIO(archive(encryption=keyed())), encryption=Encryption(key=bytes(32)))
    assert ["key"] == [problem.kind for problem in report.problems]


@pytest.mark.parametrize(
    ("stored", "words"),
    [
        (b"", "is empty"),
        (b"PK\x03\x04 something else", "no archive of Backstory"),
        (b"\x89BKS\n\x1a\n converted as text", "no archive of Backstory"),
    ],
)
def test_what_is_no_archive_is_told_from_a_damaged_one(stored: bytes, words: str) -> None:
    with pytest.raises(BackupError, match=words):
        read(stored)
    with pytest.raises(BackupError, match=words):
        read_manifest(BytesIO(stored))
    assert ["unreadable"] == [problem.kind for problem in verify_archive(BytesIO(stored)).problems]


def test_an_archive_of_a_later_format_is_not_called_damaged() -> None:
    stored = archive()
    later = stored[:8] + b"\x00\x02" + stored[10:]
    with pytest.raises(BackupError, match="format 2, and this release of Backstory reads format 1"):
        read(later)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("compression", "rar"),
        ("chunk_bytes", 2**40),
        ("chunk_bytes", True),
        ("encryption", "ROT13"),
        ("archive_id", "x"),
        ("backup_id", ""),
        ("encryption", "AES-256-GCM"),
        ("more", 1),
    ],
)
def test_a_head_that_makes_no_sense_is_refused(name: str, value: object) -> None:
    apart = pieces(archive())
    first = PREFIX.unpack_from(apart.head)[2]
    document = orjson.loads(apart.head[PREFIX.size : PREFIX.size + first])
    changed = orjson.dumps({**document, name: value}, option=orjson.OPT_SORT_KEYS)
    apart.head = PREFIX.pack(apart.head[:8], 1, len(changed), 0) + changed + bytes(32)
    assert_refused(apart.joined(), None, name)


@pytest.mark.parametrize("manifest", [b"", b"[]", b"{}", b"[" * 100_000, b'{"parts": 3}', b"null"])
def test_a_manifest_that_makes_no_sense_is_refused(manifest: bytes) -> None:
    apart = pieces(archive())
    apart.manifest = manifest
    assert_refused(apart.joined(), None, manifest[:20])
