"""Encryption of archives: one source of the key, never shown; the right one opens, any other is refused and named."""

from __future__ import annotations

import base64
import copy
import pickle
import sys
import unicodedata
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import Any

import orjson
import pytest

from backstory.domain.errors import ConfigError, EncryptionError, IntegrityError
from backstory.infrastructure.archives.derivation import Argon2id, Pbkdf2
from backstory.infrastructure.archives.encryption import Encryption
from backstory.infrastructure.archives.key_sources import key_from_command
from backstory.infrastructure.archives.layout import PREFIX
from backstory.infrastructure.archives.reader import read_manifest
from backstory.infrastructure.archives.sealing import KeyedSeal
from backstory.infrastructure.archives.verifying import verify_archive
from tests.support.archives import CHEAP, KEY, SMALL, archive, keyed, pieces, read

SECRET = "correct horse battery staple"  # noqa: S105 - it is the point
FORMS: list[bytes | str] = [KEY, KEY.hex(), KEY.hex().upper(), base64.b64encode(KEY).decode(), base64.b64encode(KEY)]


def slot_of(stored: bytes) -> dict[str, Any]:
    _, _, first, second = PREFIX.unpack_from(stored)
    slot: dict[str, Any] = orjson.loads(stored[PREFIX.size + first : PREFIX.size + first + second])
    return slot


@pytest.mark.parametrize("kdf", [CHEAP, Pbkdf2(iterations=1)], ids=["argon2id", "pbkdf2"])
def test_a_passphrase_opens_what_it_closed_and_no_other_does(kdf: Argon2id | Pbkdf2) -> None:
    stored = archive(encryption=Encryption(passphrase=SECRET, kdf=kdf))
    assert SMALL == read(stored, Encryption(passphrase=SECRET))
    with pytest.raises(EncryptionError, match="not the passphrase") as caught:
        read(stored, Encryption(passphrase=SECRET + " "))
    assert caught.value.key_id == slot_of(stored)["key_id"]


@pytest.mark.parametrize("given", FORMS)
def test_a_key_may_be_given_in_any_form(given: bytes | str, tmp_path: Path) -> None:
    stored = archive(encryption=keyed())
    file = tmp_path / "key"
    file.write_bytes(given if isinstance(given, bytes) else f"{given}\n".encode())
    assert SMALL == read(stored, Encryption(key=given)) == read(stored, Encryption(key_file=file))
    command = [sys.executable, "-c", "import sys; sys.stdout.buffer.write(open(sys.argv[1], 'rb').read())", str(file)]
    assert SMALL == read(stored, Encryption(key_command=command))


def test_what_is_no_text_or_no_path_is_refused_in_words_that_do_not_show_it() -> None:
    with pytest.raises(ConfigError, match="half a character") as caught:
        Encryption(passphrase=f"{SECRET} \udce9")
    assert SECRET not in f"{caught.value} {caught.value.__cause__}"
    with pytest.raises(EncryptionError, match="no key of 32 bytes"):
        Encryption(key="\udce9" * 32)
    for path in ("a\0b", "\ud800"):
        with pytest.raises(EncryptionError, match="that is no path"):
            Encryption(key_file=path).secret()


def test_a_wrong_key_is_refused_and_the_needed_one_named() -> None:
    other = Encryption(key=bytes(32))
    stored = archive(encryption=keyed())
    assert keyed().key_id() == read_manifest(BytesIO(stored))[1]
    with pytest.raises(EncryptionError) as caught:
        read(stored, other)
    assert keyed().key_id() == caught.value.key_id
    assert all(str(name) in str(caught.value) for name in (keyed().key_id(), other.key_id()))


def test_a_key_is_no_passphrase_and_a_passphrase_no_key() -> None:
    with pytest.raises(EncryptionError, match="is encrypted with a key"):
        read(archive(encryption=keyed()), Encryption(passphrase=SECRET))
    with pytest.raises(EncryptionError, match="is encrypted with a passphrase"):
        read(archive(encryption=Encryption(passphrase=SECRET, kdf=CHEAP)), keyed())


def test_without_a_key_an_encrypted_archive_does_not_open() -> None:
    with pytest.raises(EncryptionError, match="is encrypted"):
        read(archive(encryption=keyed()))


def test_with_a_key_a_plain_archive_is_refused() -> None:
    with pytest.raises(EncryptionError, match="is not encrypted, though a key was given"):
        read(archive(), keyed())


def test_an_encrypted_archive_shows_neither_records_nor_their_hashes() -> None:
    parts = {"log": [b"a record that is a secret"]}
    plain, encrypted = archive(parts), archive(parts, encryption=keyed())
    assert b"a record that is" in archive(parts, chunk_bytes=100)
    assert b"secret" not in archive(parts, encryption=keyed(), chunk_bytes=100)
    digests = [read_manifest(BytesIO(stored))[0].parts[0].digest for stored in (plain, encrypted)]
    assert digests[0] != digests[1] != read_manifest(BytesIO(archive(parts, encryption=keyed())))[0].parts[0].digest


def test_two_archives_of_one_key_share_no_chunk_and_no_wrapped_key() -> None:
    one, other = (archive(encryption=keyed()) for _ in range(2))
    assert not set(pieces(one).chunks) & set(pieces(other).chunks)
    assert slot_of(one)["key_id"] == slot_of(other)["key_id"]
    assert slot_of(one)["wrapped"] != slot_of(other)["wrapped"]


def test_two_archives_of_one_passphrase_do_not_show_that_they_share_it() -> None:
    one, other = (slot_of(archive(encryption=Encryption(passphrase=SECRET, kdf=CHEAP))) for _ in range(2))
    assert not {one[name] for name in ("key_id", "salt", "wrapped")} & {other[name] for name in ("key_id", "salt")}


def test_no_number_is_used_twice_to_close_a_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    numbers: list[int] = []
    close = KeyedSeal.close

    def noted(self: KeyedSeal, content: bytes, bound: bytes, *, number: int) -> bytes:
        numbers.append(number)
        return close(self, content, bound, number=number)

    monkeypatch.setattr(KeyedSeal, "close", noted)
    archive(encryption=keyed())
    assert len(numbers) > 5
    assert all(after == before + 1 for before, after in pairwise(numbers))


def test_the_costs_stand_in_the_archive_and_the_reader_goes_by_them() -> None:
    stored = archive(encryption=Encryption(passphrase=SECRET, kdf=Argon2id(memory_kib=16, iterations=2, lanes=2)))
    assert slot_of(stored)["kdf"] == {"name": "argon2id", "memory_kib": 16, "iterations": 2, "lanes": 2}
    assert SMALL == read(stored, Encryption(passphrase=SECRET, kdf="pbkdf2"))


def test_the_usual_costs_are_those_of_the_recommendations() -> None:
    assert Argon2id(memory_kib=65536, iterations=3, lanes=4) == Encryption(passphrase=SECRET).kdf
    assert Pbkdf2(iterations=600_000) == Encryption(passphrase=SECRET, kdf="pbkdf2").kdf


def test_a_passphrase_is_the_same_however_its_letters_are_composed() -> None:
    one, other = (unicodedata.normalize(form, "Zürich ångström") for form in ("NFC", "NFD"))
    assert one != other
    stored = archive(encryption=Encryption(passphrase=one, kdf=CHEAP))
    assert SMALL == read(stored, Encryption(passphrase=other))


@pytest.mark.parametrize(
    "kdf",
    [
        {"name": "argon2id", "memory_kib": 2**30, "iterations": 1, "lanes": 1},
        {"name": "argon2id", "memory_kib": 8, "iterations": 2**31, "lanes": 1},
        {"name": "pbkdf2", "iterations": 2**31},
        {"name": "pbkdf2", "iterations": True},
        {"name": "md5"},
        {},
        "argon2id",
    ],
)
def test_an_archive_that_asks_for_impossible_costs_is_refused(kdf: Any) -> None:
    apart = pieces(archive(encryption=Encryption(passphrase=SECRET, kdf=CHEAP)))
    magic, version, first, _ = PREFIX.unpack_from(apart.head)
    slot = orjson.dumps({**slot_of(apart.head), "kdf": kdf})
    header = apart.head[PREFIX.size : PREFIX.size + first]
    apart.head = PREFIX.pack(magic, version, first, len(slot)) + header + slot + bytes(32)
    with pytest.raises(IntegrityError, match="makes no sense"):
        read(apart.joined(), Encryption(passphrase=SECRET))
    assert not verify_archive(BytesIO(apart.joined()), encryption=Encryption(passphrase=SECRET)).is_valid


class TestAnEncryption:
    @pytest.mark.parametrize("given", [{}, {"key": KEY, "passphrase": SECRET}, {"key_file": "a", "key_command": "b"}])
    def test_has_exactly_one_source_of_its_key(self, given: dict[str, Any]) -> None:
        with pytest.raises(ConfigError, match="one source of its key"):
            Encryption(**given)

    @pytest.mark.parametrize(
        "given",
        [
            {"passphrase": ""},
            {"passphrase": b"bytes"},
            {"key": 3},
            {"key_file": 3},
            {"key_command": b"cat"},
            {"key_command": []},
            {"key_command": "  "},
            {"key_command": "a 'b"},
            {"key_command": ["a", 3]},
            {"key": KEY, "algorithm": "AES-128-ECB"},
            {"passphrase": SECRET, "kdf": "md5"},
            {"key": KEY, "kdf": 3},
        ],
    )
    def test_is_checked_when_made(self, given: dict[str, Any]) -> None:
        with pytest.raises(ConfigError) as caught:
            Encryption(**given)
        assert caught.value.key in given

    @pytest.mark.parametrize("key", [b"", bytes(31), bytes(33), "0" * 63, "z" * 64, "passphrase", "é" * 32])
    def test_refuses_a_key_that_is_none_without_quoting_it(self, key: bytes | str) -> None:
        with pytest.raises(EncryptionError, match="no key of 32 bytes") as caught:
            Encryption(key=key)
        assert not key or str(key) not in str(caught.value)

    @pytest.mark.parametrize("kdf", [(7, 1, 1), (8, 0, 1), (8, 1, 0), (8.0, 1, 1), (2**21, 1, 1)])
    def test_refuses_impossible_costs(self, kdf: Any) -> None:
        with pytest.raises(ConfigError):
            Argon2id(*kdf)
        with pytest.raises(ConfigError):
            Pbkdf2(iterations=0)

    def test_shows_no_secret_and_is_not_pickled_or_copied(self) -> None:
        for encryption in (
            Encryption(passphrase=SECRET),
            Encryption(key=KEY.hex()),
            Encryption(key_command=["p", SECRET]),
        ):
            for text in (repr(encryption), str(encryption), f"{encryption}"):
                assert SECRET not in text
                assert KEY.hex() not in text
                assert encryption.source in text
            assert not hasattr(encryption, "__dict__")
            for way in (pickle.dumps, copy.copy, copy.deepcopy):
                with pytest.raises(TypeError, match="not pickled"):
                    way(encryption)

    def test_by_passphrase_has_no_key_id_of_its_own(self) -> None:
        assert Encryption(passphrase=SECRET).key_id() is None


class TestAKeyFile:
    def test_that_is_missing_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(EncryptionError, match=r"key file .*nothing: No such file"):
            Encryption(key_file=tmp_path / "nothing").secret()

    def test_that_everybody_may_write_is_refused(self, tmp_path: Path) -> None:
        file = tmp_path / "key"
        file.write_bytes(KEY)
        file.chmod(0o446)
        with pytest.raises(EncryptionError, match="everybody may write"):
            Encryption(key_file=file).secret()
        file.chmod(0o444)
        assert Encryption(key_file=str(file)).secret() == KEY

    def test_without_a_key_is_not_quoted(self, tmp_path: Path) -> None:
        file = tmp_path / "key"
        file.write_text(SECRET)
        with pytest.raises(EncryptionError, match="no key of 32 bytes") as caught:
            Encryption(key_file=file).secret()
        assert SECRET not in str(caught.value)


class TestAKeyCommand:
    def test_runs_without_a_shell(self, tmp_path: Path) -> None:
        mark = tmp_path / "mark"
        command = (
            f"{sys.executable} -c \"import sys; print(sys.argv[1] and '{KEY.hex()}')\" '; touch {mark}' ; touch {mark}"
        )
        assert Encryption(key_command=command).secret() == KEY
        assert not mark.exists()

    def test_that_fails_is_told_with_its_words_but_not_its_arguments_or_its_key(self) -> None:
        script = "import sys; print('{}'); print('{}', file=sys.stderr); sys.exit(3)"
        command = [sys.executable, "-c", script.format(KEY.hex(), "the vault is locked"), SECRET]
        with pytest.raises(EncryptionError, match=r"failed with 3: 'the vault is locked'") as caught:
            Encryption(key_command=command).secret()
        assert SECRET not in str(caught.value)
        assert KEY.hex() not in str(caught.value)
        command = [sys.executable, "-c", script.format(KEY.hex(), f"got {KEY.hex()}")]
        with pytest.raises(EncryptionError, match=r"failed with 3\. ") as caught:
            Encryption(key_command=command).secret()
        assert KEY.hex()[:8] not in str(caught.value)

    def test_that_prints_no_key_is_not_quoted(self) -> None:
        with pytest.raises(EncryptionError, match="no key of 32 bytes") as caught:
            Encryption(key_command=[sys.executable, "-c", f"print('{SECRET}')"]).secret()
        assert SECRET not in str(caught.value)

    def test_that_prints_without_an_end_is_stopped_once_it_is_more_than_a_key(self) -> None:
        for said in ("0" * 64, SECRET):
            with pytest.raises(EncryptionError, match="prints more than a key") as caught:
                Encryption(key_command=[sys.executable, "-c", f"while True: print('{said}')"]).secret()
            assert SECRET not in str(caught.value)

    def test_that_complains_at_length_is_heard_to_its_end(self) -> None:
        script = f"import sys; sys.stderr.write('no ' * 500_000); print('{KEY.hex()}'); sys.exit(len(sys.argv) - 1)"
        assert KEY == Encryption(key_command=[sys.executable, "-c", script]).secret()
        with pytest.raises(EncryptionError, match="failed with 1: 'no no") as caught:
            Encryption(key_command=[sys.executable, "-c", script, "fail"]).secret()
        assert len(str(caught.value)) < 1000

    def test_that_is_none_or_takes_too_long_is_an_error_of_ours(self) -> None:
        with pytest.raises(EncryptionError, match=r"cannot run .*No such file"):
            Encryption(key_command=["/nowhere/at/all"]).secret()
        with pytest.raises(EncryptionError, match="cannot run"):
            Encryption(key_command=["a\0b"]).secret()
        with pytest.raises(EncryptionError, match="took longer than") as caught:
            key_from_command([sys.executable, "-c", "input() if 0 else __import__('signal').pause()"], timeout_s=0.05)
        assert caught.value.__cause__ is None


@pytest.mark.parametrize("library", ["cryptography.hazmat.primitives.ciphers.aead"])
def test_without_the_library_the_error_says_what_to_install(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(ConfigError, match=r"pip install backstory\[backups\]"):
        archive(encryption=keyed())
    assert SMALL == read(archive())
