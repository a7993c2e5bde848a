"""Archives as containers: what is written comes back, in all compressions and ciphers, and is counted."""

from __future__ import annotations

import hashlib
import sys
import tracemalloc
import zlib
from collections.abc import Callable
from io import BytesIO
from itertools import product
from typing import Any

import brotli  # type: ignore[import-untyped]
import lz4.frame  # type: ignore[import-untyped]
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from backstory.domain.errors import BackupError, ConfigError, IntegrityError, ValueTooLargeError
from backstory.infrastructure.archives import writer as writer_module
from backstory.infrastructure.archives.compression import ALGORITHMS as COMPRESSIONS
from backstory.infrastructure.archives.compression import Codec, codec
from backstory.infrastructure.archives.encryption import ALGORITHMS as CIPHERS
from backstory.infrastructure.archives.encryption import Encryption
from backstory.infrastructure.archives.layout import FRAME, RECORD, Kind
from backstory.infrastructure.archives.reader import read_manifest, reading
from backstory.infrastructure.archives.verifying import verify_archive
from backstory.infrastructure.archives.writer import ArchiveWriter
from tests.support.archives import SMALL, archive, keyed, pieces, read

MEBIBYTE = 1024 * 1024

names = st.text(st.characters(categories=["L", "N", "P"]), min_size=1, max_size=40)
records = st.one_of(st.binary(max_size=200), st.integers(0, 5000).map(lambda size: b"abcdefgh" * size))


@given(
    parts=st.dictionaries(names, st.lists(records, max_size=8), max_size=4),
    compression=st.sampled_from(sorted(COMPRESSIONS)),
    algorithm=st.sampled_from([None, *CIPHERS]),
    chunk_bytes=st.sampled_from([1, 7, 64, 4096, MEBIBYTE]),
)
@settings(max_examples=60, deadline=None)
def test_what_is_written_comes_back_in_every_compression_and_cipher(
    parts: dict[str, list[bytes]], compression: str, algorithm: str | None, chunk_bytes: int
) -> None:
    if chunk_bytes < 64:
        parts = {name: [record[:50] for record in some] for name, some in parts.items()}
    encryption = None if algorithm is None else keyed(algorithm)
    stored = archive(parts, compression=compression, encryption=encryption, chunk_bytes=chunk_bytes)
    assert parts == read(stored, encryption)
    assert list(parts) == [part.name for part in read_manifest(BytesIO(stored))[0].parts]
    report = verify_archive(BytesIO(stored), encryption=encryption)
    assert (True, True) == (report.is_valid, report.is_opened), report.problems


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_a_record_larger_than_many_chunks_comes_back(compression: str) -> None:
    large = bytes(range(256)) * 12_000
    stored = archive({"a": [b"before", large, b"after"]}, compression=compression, chunk_bytes=100_000)
    assert {"a": [b"before", large, b"after"]} == read(stored)
    assert (len(stored) < len(large) // 10) == (compression != "none")


@pytest.mark.parametrize(
    ("compression", "level"),
    [
        *product(["zstd"], [1, 22]),
        *product(["gzip"], [1, 9]),
        *product(["lz4"], [0, 16]),
        *product(["brotli"], [0, 11]),
    ],
)
def test_the_lowest_and_the_highest_level_work(compression: str, level: int) -> None:
    used = codec(compression, level)
    assert used.inflate(used.compress(b"text" * 99), 396) == b"text" * 99


@pytest.mark.parametrize(
    ("compression", "level"),
    [
        ("zstd", 0),
        ("zstd", 23),
        ("gzip", 0),
        ("gzip", 10),
        ("lz4", -1),
        ("lz4", 17),
        ("brotli", 12),
        ("none", 1),
        ("zstd", True),
        ("zstd", 1.5),
    ],
)
def test_a_level_that_an_algorithm_has_not_is_refused(compression: str, level: Any) -> None:
    with pytest.raises(ConfigError, match="has no level") as caught:
        codec(compression, level)
    assert caught.value.key == "level"


def test_an_unknown_compression_is_refused_and_the_known_are_named() -> None:
    with pytest.raises(ConfigError, match="zstd, gzip, lz4, brotli, none"):
        codec("rar")


@pytest.mark.parametrize(("compression", "library"), [("zstd", "zstandard"), ("lz4", "lz4"), ("brotli", "brotli")])
def test_a_missing_library_is_named_with_what_to_install(
    compression: str, library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    monkeypatch.delitem(sys.modules, "lz4.frame", raising=False)
    with pytest.raises(ConfigError, match=r"pip install backstory\[backups\]"):
        codec(compression)


def test_the_manifest_has_counts_sizes_and_hashes() -> None:
    stored = archive(info={"position": 7})
    manifest, key_id = read_manifest(BytesIO(stored))
    log = manifest.parts[0]
    raw = b"".join(RECORD.pack(len(record)) + record for record in SMALL["log"])
    assert ("log", 3, len(raw), hashlib.sha256(raw).hexdigest()) == (log.name, log.records, log.raw_bytes, log.digest)
    assert (None, {"position": 7}, "b-1", "none") == (
        key_id,
        manifest.info,
        manifest.header.backup_id,
        manifest.header.compression,
    )
    apart = pieces(stored)
    assert len(apart.chunks) == manifest.chunks
    assert sum(map(len, apart.chunks[:-1])) == sum(part.stored_bytes for part in manifest.parts)
    assert (4, sum(part.raw_bytes for part in manifest.parts)) == (manifest.records, manifest.raw_bytes)


def test_an_archive_of_nothing_is_an_archive() -> None:
    assert {} == read(archive({}))


def test_parts_can_be_read_again_and_records_left_unread() -> None:
    with reading(BytesIO(archive())) as reader:
        assert list(SMALL) == [name for name, _ in reader.parts()]
        assert [b"first", None, b"x"] == [next(found, None) for _, found in reader.parts()]
        assert SMALL == {name: list(found) for name, found in reader.parts()}


def test_a_file_is_read_from_its_beginning_wherever_it_stands() -> None:
    file = BytesIO(archive())
    file.read(100)
    with reading(file) as reader:
        assert SMALL == {name: list(found) for name, found in reader.parts()}
    assert not file.closed


class TestAWriter:
    def test_refuses_a_name_given_before(self) -> None:
        writer = ArchiveWriter(BytesIO(), backup_id="b")
        writer.begin("a")
        with pytest.raises(ConfigError, match="was given before"):
            writer.begin("a")
        writer.begin("b")
        with pytest.raises(ConfigError, match="was given before"):
            writer.begin("a")

    @pytest.mark.parametrize("name", ["", "a\nb", "x" * 256, "\ud800", None])
    def test_refuses_names_that_are_none(self, name: Any) -> None:
        with pytest.raises(ConfigError, match="the name of a part"):
            ArchiveWriter(BytesIO(), backup_id="b").begin(name)
        with pytest.raises(ConfigError, match="the id of a backup"):
            ArchiveWriter(BytesIO(), backup_id=name)

    @pytest.mark.parametrize("size", [0, -1, 16 * MEBIBYTE + 1, True, 1.0])
    def test_refuses_chunks_of_an_impossible_size(self, size: Any) -> None:
        with pytest.raises(ConfigError, match="chunk_bytes"):
            ArchiveWriter(BytesIO(), backup_id="b", chunk_bytes=size)

    def test_refuses_records_outside_a_part_and_all_after_the_end(self) -> None:
        writer = ArchiveWriter(BytesIO(), backup_id="b")
        with pytest.raises(BackupError, match="no part"):
            writer.write(b"x")
        writer.finish()
        for late in (lambda: writer.begin("a"), lambda: writer.write(b""), writer.finish):
            with pytest.raises(BackupError, match="is finished"):
                late()

    def test_refuses_a_record_that_is_too_large(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(writer_module, "MAX_RECORD_BYTES", 3)
        writer = ArchiveWriter(BytesIO(), backup_id="b")
        writer.begin("a")
        writer.write(b"123")
        with pytest.raises(ValueTooLargeError):
            writer.write(b"1234")


BOMBS: dict[str, Callable[[bytes], bytes]] = {
    "zstd": lambda raw: zstandard.ZstdCompressor().compress(raw),
    "zstd that does not say its size": lambda raw: zstandard.ZstdCompressor(write_content_size=False).compress(raw),
    "gzip": lambda raw: zlib.compress(raw, 9, wbits=31),
    "lz4": lambda raw: bytes(lz4.frame.compress(raw, content_checksum=False, store_size=True)),
    "brotli": lambda raw: bytes(brotli.compress(raw, quality=1)),
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_chunk_never_inflates_beyond_what_it_states(bomb: str) -> None:
    charge = BOMBS[bomb](bytes(100 * MEBIBYTE))
    sink = BytesIO()
    writer = ArchiveWriter(sink, backup_id="b", compression=bomb.split(maxsplit=1)[0])
    writer._codec = Codec("none", lambda _: charge, lambda *_: b"")
    writer.begin("a")
    writer.write(b"small")
    writer.finish()
    tracemalloc.start()
    try:
        with pytest.raises(IntegrityError, match=r"does not inflate|no .* data"):
            read(sink.getvalue())
        assert tracemalloc.get_traced_memory()[1] < 8 * MEBIBYTE
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("stated", [17, 2**32 - 1])
@pytest.mark.parametrize("field", ["raw", "stored"])
def test_a_chunk_that_states_more_than_the_bound_is_refused_before_it_is_read(stated: int, field: str) -> None:
    apart = pieces(archive(chunk_bytes=16))
    raw, stored = (stated, len(apart.chunks[1]) - FRAME.size) if field == "raw" else (16, stated * 100 % 2**32)
    apart.chunks[1] = FRAME.pack(Kind.RECORDS, raw, stored) + apart.chunks[1][FRAME.size :]
    with pytest.raises(IntegrityError, match="impossible length"):
        read(apart.joined())


@pytest.mark.parametrize("raw", [RECORD.pack(2**32 - 1) + b"x", RECORD.pack(9) + b"x", b"\0\0"])
def test_a_record_that_states_more_than_there_is_or_may_be_is_refused(raw: bytes) -> None:
    sink = BytesIO()
    writer = ArchiveWriter(sink, backup_id="b")
    writer.begin("a")
    writer.write_framed(raw, 0)
    writer.finish()
    with pytest.raises(IntegrityError, match=r"a record states 4294967295 bytes|ends inside a record") as caught:
        read(sink.getvalue())
    assert ("states" in str(caught.value)) == (len(raw) == 5 and raw[0] == 255)


def test_memory_stays_bounded_while_much_is_written_and_read() -> None:
    sink = BytesIO()
    record = bytes(1024) * 64
    encryption = Encryption(key=bytes(32))
    tracemalloc.start()
    try:
        writer = ArchiveWriter(sink, backup_id="b", encryption=encryption)
        writer.begin("large")
        for _ in range(800):
            writer.write(record)
        manifest = writer.finish()
        with reading(sink, encryption=encryption) as reader:
            found = sum(len(record) for _, some in reader.parts() for record in some)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert 800 * len(record) == found == manifest.raw_bytes - 800 * RECORD.size
    assert peak < 12 * MEBIBYTE
