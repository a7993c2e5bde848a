"""The archive format as docs/archive-format.md tells it: read by the script there, and by hand."""

from __future__ import annotations

import re
import subprocess
import sys
from hashlib import pbkdf2_hmac, sha256
from hmac import digest
from io import BytesIO
from pathlib import Path
from typing import Any

import orjson
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from backstory.infrastructure.archives.derivation import Pbkdf2
from backstory.infrastructure.archives.encryption import Encryption
from backstory.infrastructure.archives.reader import read_manifest
from tests.support.archives import KEY, archive, pieces

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "archive-format.md"
PARTS = {"log": [b"first", b"", "zwölf".encode() * 200], "empty": [], "state": [b"x"]}


def script() -> str:
    found = re.findall(r"^```python\n(.*?)^```$", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert len(found) == 1
    code: str = found[0]
    return code


def printed(stored: bytes, folder: Path) -> subprocess.CompletedProcess[str]:
    program, file = folder / "read_archive.py", folder / "archive"
    program.write_text(script(), encoding="utf-8")
    file.write_bytes(stored)
    return subprocess.run(
        [sys.executable, "-X", "utf8", "-I", program, file],
        capture_output=True,
        text=True,
        check=False,
        encoding="utf-8",
    )


@pytest.mark.parametrize("compression", ["zstd", "gzip", "none"])
def test_the_script_in_the_documents_reads_what_we_write(compression: str, tmp_path: Path) -> None:
    done = printed(archive(PARTS, compression=compression, chunk_bytes=100), tmp_path)
    expected = [f"{name}\t{record.decode()}" for name, records in PARTS.items() for record in records]
    assert expected == done.stdout.splitlines(), done.stderr


def test_the_script_in_the_documents_refuses_what_is_damaged(tmp_path: Path) -> None:
    stored = bytearray(archive(PARTS, chunk_bytes=100))
    stored[stored.index("zwölf".encode()) + 500] ^= 1
    done = printed(bytes(stored), tmp_path)
    assert ("not as written: chunk 4\n", 1) == (done.stderr, done.returncode)


def test_the_script_in_the_documents_is_short() -> None:
    assert len(script().splitlines()) < 100


def derived(key: bytes, salt: bytes, info: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=salt, info=info).derive(key)


@pytest.mark.parametrize("given", [{"key": KEY}, {"passphrase": "open", "kdf": Pbkdf2(iterations=7)}])
def test_an_encrypted_archive_can_be_opened_by_hand_as_the_documents_say(given: dict[str, Any]) -> None:
    stored = archive({"log": [b"0123456789", b"abcdefghij"]}, encryption=Encryption(**given))
    apart = pieces(stored)
    first = int.from_bytes(apart.head[10:14], "big")
    header, slot = apart.head[18 : 18 + first], orjson.loads(apart.head[18 + first : -32])
    header_hash, salt = sha256(header).digest(), bytes.fromhex(slot["salt"])
    outer = KEY if slot["kdf"] is None else pbkdf2_hmac("sha256", b"open", salt, slot["kdf"]["iterations"])
    assert slot["key_id"] == digest(outer, b"backstory key id", "sha256")[:16].hex()
    wrapping = AESGCM(derived(outer, salt, b"backstory wrapping"))
    data_key = wrapping.decrypt(bytes(12), bytes.fromhex(slot["wrapped"]), header_hash)
    chunks = AESGCM(derived(data_key, header_hash, b"backstory chunks"))
    found = []
    for number, chunk in enumerate(apart.chunks):
        held = header_hash + chunk[:1] + number.to_bytes(8, "big") + (1).to_bytes(4, "big") + chunk[1:5]
        found.append((chunk[0], chunks.decrypt(number.to_bytes(12, "big"), chunk[9:], held)))
    raw = b"\0\0\0\x0a0123456789\0\0\0\x0aabcdefghij"
    assert [(1, b"log"), (2, raw[:16]), (2, raw[16:]), (3, sha256(apart.manifest).digest())] == found
    digest_key = derived(data_key, header_hash, b"backstory digests")
    assert digest(digest_key, raw, "sha256").hex() == read_manifest(BytesIO(stored))[0].parts[0].digest


def test_the_bytes_of_the_head_and_the_end_are_those_of_the_documents() -> None:
    stored = archive({}, info={"a": 1})
    assert stored[:10] == bytes.fromhex("89424B53 0D0A1A0A 0001")
    assert stored[14:18] == bytes(4)
    assert stored[-8:] == b"BKS-END\n"
    assert stored[-40:-8] == sha256(stored[:-40]).digest()
    length = int.from_bytes(stored[-76:-72], "big")
    assert stored[-72:-40] == sha256(stored[-76 - length : -76]).digest()
    assert orjson.loads(stored[-76 - length : -76])["info"] == {"a": 1}
