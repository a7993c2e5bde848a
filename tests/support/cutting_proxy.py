"""A proxy before a PostgreSQL server that cuts the connection at a chosen round.

A round is what a client sends up to a `Query` or `Sync` message, and the server's answer up to
`ReadyForQuery`. Cut before it, the server never hears of it; cut after it, the client never
learns what the server did.
"""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Cut = Literal["request", "answer"]
_CHUNK: Final = 65536
_ENDS_A_ROUND: Final = (b"S", b"Q")
_READY: Final = b"Z"


class Proxy:
    """Lets everything through until `cut_at` is told; `away` refuses who connects."""

    def __init__(self, host: str, port: int) -> None:
        self._server = (host, port)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._left: int | None = None
        self._what: Cut = "request"
        self._stay_away = False
        self._away = False
        self._threads = [threading.Thread(target=self._accept)]
        self.rounds = 0
        self.cuts = 0
        self._threads[0].start()

    @property
    def port(self) -> int:
        """Where the proxy listens on loopback."""
        return int(self._listening.getsockname()[1])

    def cut_at(self, number: int, what: Cut, *, stay_away: bool = False) -> None:
        """Cut at the so-many-th round from now; with `stay_away` everybody, and nobody can connect until `heal`."""
        with self._lock:
            self._left, self._what, self._stay_away = number, what, stay_away
            self.rounds = 0

    def heal(self) -> None:
        """Let everything through again."""
        with self._lock:
            self._left, self._away = None, False

    def close(self) -> None:
        """End everything."""
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        with self._lock:
            self._hang_up(*self._open)
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            if self._away:
                client.close()
                continue
            server = socket.create_connection(self._server)
            for one in (client, server):
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self._open |= {client, server}
            link = _Link(self, client, server)
            for pump in (link.forward, link.back):
                thread = threading.Thread(target=self._run, args=(link, pump))
                self._threads.append(thread)
                thread.start()

    def _run(self, link: _Link, pump: Callable[[], None]) -> None:
        """Pump until one side hangs up; the second of a link's two pumps to end closes it."""
        pump()
        self.hang_up(link)
        with self._lock:
            link.pumps -= 1
            if link.pumps == 0:
                self._open -= {link.client, link.server}
                link.client.close()
                link.server.close()

    def due(self) -> Cut | None:
        """Count one more round; return how it is to be cut, if it is."""
        with self._lock:
            self.rounds += 1
            if self._left is None:
                return None
            self._left -= 1
            if self._left > 0:
                return None
            self._left = None
            self._away = self._stay_away
            self.cuts += 1
            return self._what

    def _hang_up(self, *sockets: socket.socket) -> None:
        for one in sockets:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def hang_up(self, link: _Link) -> None:
        """Cut one connection; all of them, where nobody is to be let through any more."""
        with self._lock:
            self._hang_up(link.client, link.server)
            if self._away:
                self._hang_up(*self._open)


class _Link:
    """One client's connection."""

    def __init__(self, proxy: Proxy, client: socket.socket, server: socket.socket) -> None:
        self._proxy = proxy
        self.client = client
        self.server = server
        self.pumps = 2
        self._swallow = False

    def forward(self) -> None:
        """Pass on what the client says, a whole round at a time."""
        messages = _Messages(first_is_bare=True)
        waiting = b""
        while data := _received(self.client):
            for kind, message in messages.take(data):
                waiting += message
                if kind in _ENDS_A_ROUND:
                    cut = self._proxy.due()
                    if cut == "request":
                        return
                    self._swallow = cut == "answer"
                elif kind in _HELD:
                    continue
                _send(self.server, waiting)
                waiting = b""

    def back(self) -> None:
        """Pass on what the server answers, unless it is to be lost."""
        messages = _Messages(first_is_bare=False)
        while data := _received(self.server):
            if self._swallow:
                if any(kind == _READY for kind, _ in messages.take(data)):
                    return
                continue
            messages.take(data)
            _send(self.client, data)


_HELD: Final = frozenset((b"P", b"B", b"D", b"E", b"C"))


class _Messages:
    """Splits a stream into the protocol's messages; a client's first one has no type byte."""

    def __init__(self, *, first_is_bare: bool) -> None:
        self._bare = first_is_bare
        self._rest = b""

    def take(self, data: bytes) -> list[tuple[bytes, bytes]]:
        """Return the whole messages that have come, each with its type."""
        self._rest += data
        found: list[tuple[bytes, bytes]] = []
        while True:
            start = 0 if self._bare else 1
            if len(self._rest) < start + 4:
                return found
            end = start + int.from_bytes(self._rest[start : start + 4], "big")
            if len(self._rest) < end:
                return found
            found.append((self._rest[:start], self._rest[:end]))
            self._rest = self._rest[end:]
            self._bare = False


def _received(one: socket.socket) -> bytes:
    with suppress(OSError):
        return one.recv(_CHUNK)
    return b""


def _send(one: socket.socket, data: bytes) -> None:
    with suppress(OSError):
        one.sendall(data)


@contextmanager
def cutting_proxy(host: str, port: int) -> Iterator[Proxy]:
    """Give a proxy before the server at `host` and `port`."""
    proxy = Proxy(host, port)
    try:
        yield proxy
    finally:
        proxy.close()
