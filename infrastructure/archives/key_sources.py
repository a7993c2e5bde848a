"""Where 32-byte keys come from: text, files and commands, none of which an error ever quotes."""

from __future__ import annotations

import binascii
import os
import selectors
import shlex
import stat
import subprocess
import time
from base64 import b64decode, urlsafe_b64decode
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from backstory.domain.errors import ConfigError, EncryptionError, shown

__all__ = ["KEY_BYTES", "command_of", "key_from_command", "key_from_file", "key_of"]

KEY_BYTES: Final = 32
_HEX_DIGITS: Final = 2 * KEY_BYTES
_MOST_BYTES: Final = 1024
_MOST_COMPLAINED: Final = 64 * 1024
_BLOCK_BYTES: Final = 64 * 1024
_FORMS: Final = "Give 32 bytes: as they are, as 64 hexadecimal digits, or as Base64."


def key_of(given: bytes | str, *, source: str = "the key") -> bytes:
    """Return a key of 32 bytes, given raw, as hexadecimal digits or as Base64; raises `EncryptionError`."""
    if isinstance(given, bytes) and len(given) == KEY_BYTES:
        return given
    text = given if isinstance(given, bytes) else given.encode(errors="replace")
    found = _decoded(text.strip())
    if found is None or len(found) != KEY_BYTES:
        raise EncryptionError(f"{source} is no key of {KEY_BYTES} bytes", hint=_FORMS)
    return found


def _decoded(text: bytes) -> bytes | None:
    try:
        if len(text) == _HEX_DIGITS:
            return bytes.fromhex(text.decode("ascii"))
        return urlsafe_b64decode(text) if b"-" in text or b"_" in text else b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        return None


def key_from_file(path: Path) -> bytes:
    """Return the key that a file holds; raises `EncryptionError`.

    A file that everybody may write is refused. One that everybody may read is not: mounted secrets often are.
    """
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            content = file.read(_MOST_BYTES)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "that is no path"
        raise EncryptionError(
            f"cannot read the key file {path}: {why}", hint="Check that the file is there, and readable."
        ) from error
    if mode & stat.S_IWOTH:
        raise EncryptionError(
            f"everybody may write the key file {path}", hint=f"Take that right away: chmod o-w {path}."
        )
    return key_of(content, source=f"the content of {path}")


def command_of(given: str | Sequence[str]) -> tuple[str, ...]:
    """Return a command as its words; text is split as a shell would; raises `ConfigError`."""
    try:
        words = tuple(shlex.split(given)) if isinstance(given, str) else tuple(given)
    except ValueError as error:
        raise ConfigError("key_command has an open quotation", key="key_command") from error
    if not words or not all(isinstance(word, str) for word in words):
        raise ConfigError("key_command is no command", key="key_command", hint="Give its words, as a list or as text.")
    return words


def key_from_command(words: Sequence[str], *, timeout_s: float) -> bytes:
    """Return the key that a command prints, without a shell; raises `EncryptionError`, with what it wrote as errors."""
    # The arguments may be secrets; the program's name is enough to find the line in a configuration.
    name = f"the key command {shown(words[0])}"
    try:
        done = _ran(words, timeout_s)
    except subprocess.TimeoutExpired:
        # Without its cause, which holds the arguments and the output so far.
        raise EncryptionError(f"{name} took longer than {timeout_s} s", hint="Run it by hand, and see why.") from None
    except (OSError, ValueError) as error:
        words_of_it = error.strerror if isinstance(error, OSError) else "its words are no command"
        raise EncryptionError(f"cannot run {name}: {words_of_it}", hint="Check the path of the program.") from None
    if len(done.stdout) > _MOST_BYTES:
        raise EncryptionError(f"{name} prints more than a key", hint=_FORMS)
    if done.returncode:
        raise EncryptionError(f"{name} failed with {done.returncode}{_complaint(done)}", hint="Run it by hand.")
    return key_of(done.stdout, source=f"the output of {name}")


def _ran(words: Sequence[str], timeout_s: float) -> subprocess.CompletedProcess[bytes]:
    """Run a command that prints a key, until it ends, or has printed too much for one: some never end."""
    with subprocess.Popen(
        words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0
    ) as process:
        ends = time.monotonic() + timeout_s
        try:
            printed, complained = _outputs(process, ends)
            if len(printed) > _MOST_BYTES:
                process.kill()
            code = process.wait(max(0.0, ends - time.monotonic()))
            return subprocess.CompletedProcess(words, code, printed, complained)
        except BaseException:
            process.kill()
            raise


def _outputs(process: subprocess.Popen[bytes], ends: float) -> tuple[bytes, bytes]:
    """Return what a command prints, and the beginning of its complaints; raises `TimeoutExpired`."""
    assert process.stdout is not None
    assert process.stderr is not None
    printed, complained = bytearray(), bytearray()
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ, (printed, _MOST_BYTES + 1))
        selector.register(process.stderr, selectors.EVENT_READ, (complained, _MOST_COMPLAINED))
        while selector.get_map() and len(printed) <= _MOST_BYTES:
            left_s = ends - time.monotonic()
            if left_s <= 0:
                raise subprocess.TimeoutExpired(process.args, left_s)
            for each, _ in selector.select(left_s):
                taken, most = each.data
                block = os.read(each.fd, _BLOCK_BYTES)
                taken += block[: most - len(taken)]
                if not block:
                    selector.unregister(each.fileobj)
    return bytes(printed), bytes(complained)


def _complaint(done: subprocess.CompletedProcess[bytes]) -> str:
    said = done.stderr.decode(errors="replace").strip()
    secret = done.stdout.decode(errors="replace").strip()
    return "" if not said or (secret and secret in said) else f": {shown(said)}"
