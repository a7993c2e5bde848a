"""Sessions: the log as it is, where each operation is a commit of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from backstory.committing import Performed, commit_of, referring
from backstory.domain.commits import Commit, KeyHead, Outcome
from backstory.domain.context import Author
from backstory.domain.decisions import Intent
from backstory.domain.events import MISSING, RecordedEvent
from backstory.domain.ports import LAST_POSITION, Program
from backstory.gate import Gate, each_of, items_of
from backstory.infrastructure import codec
from backstory.infrastructure.programs import gather
from backstory.projections.state import StateReader
from backstory.schemas.guard import Guard
from backstory.transactions import TransactionSession


class DirectSession:
    """Reads the log as it is, and commits each operation by itself."""

    def __init__(self, state: StateReader, branch: int, gate: Gate, *, track_reads: bool) -> None:
        self.state = state
        self.track_reads = track_reads
        self.branch = branch
        self.guard = Guard(state)
        self._gate = gate

    def saw(self, head: KeyHead, as_of: object = None) -> tuple[int, ...]:  # noqa: ARG002 - all here is committed
        """Return where what was read was written, if that is to be recorded."""
        return (head.position,) if self.track_reads and head.position else ()

    def transaction(self, *, brief: bool = False) -> TransactionSession:
        """Return a new transaction on the same branch."""
        return TransactionSession(self, self._gate, brief=brief)

    def perform(self, intent: Intent, author: Author) -> Program[Performed]:
        """Decide under the log's lock and commit, unless hooks have it otherwise."""
        path = self._gate.path
        return self.perform_plain(intent, author) if path is None else path.write(self, intent, author)

    def refer(self, intent: Intent) -> Program[Intent]:
        """Return the intent of a copy that refers to what it copies."""
        yield from ()
        return referring(intent, LAST_POSITION)

    def perform_plain(self, intent: Intent, author: Author) -> Program[Performed]:
        """Decide under the log's lock and commit."""
        outcome = yield from self.guard.append(commit_of(intent, author, self.branch))
        if outcome.error is not None:
            raise outcome.error
        return [RecordedEvent(row, codec.decode_value) for row in outcome.events], outcome.result

    def append(self, commit: Commit) -> Program[Outcome]:
        """Put changes of state into the log, which must meet what schemas are bound; raises what refused them."""
        outcome = yield from self.guard.append(commit)
        if outcome.error is not None:
            raise outcome.error
        return outcome

    def head_of(self, stream: str, key: str) -> Program[tuple[KeyHead, int]]:
        """Return a key's head now."""
        now_us = yield from self.state.now_us()
        head = yield from self.state.reader.key_head(self.state.lineage, stream, key, LAST_POSITION)
        return head, now_us

    def seen(self, stream: str, key: str, as_of: object) -> Program[tuple[object, KeyHead]]:
        """Return a point at which a key is read, and its head there."""
        yield from self.guard.settle()
        at = yield from self.state.at(as_of)
        head = yield from self.state.reader.key_head(self.state.lineage, stream, key, at.position)
        return at, head

    def get(self, stream: str, key: str, as_of: object, operation: str = "get") -> Program[Any]:
        """Return a key's value or `MISSING`."""
        path = self._gate.path
        if path is not None and path.reads:
            return path.read(self, stream, key, as_of, operation)
        return self.state.get(stream, key, as_of)

    def get_plain(self, stream: str, key: str, as_of: object) -> Program[Any]:
        """Return a key's value or `MISSING`, whatever hooks stand there."""
        return self.state.get(stream, key, as_of)

    def get_many(self, stream: str, keys: Sequence[str], as_of: object) -> Program[dict[str, Any]]:
        """Return the values of those keys that have one; no commit falls between two of them."""
        path = self._gate.path
        if path is not None and path.reads:
            return (yield from each_of(self, keys, stream, as_of, "get_many"))
        at = yield from self.state.at(as_of)
        values = yield from gather([self.state.get_at(stream, key, at) for key in keys])
        return {key: value for key, value in zip(keys, values, strict=True) if value is not MISSING}

    def heads(self, stream: str, prefix: str, as_of: object) -> Program[list[tuple[str, KeyHead]]]:
        """Return the present keys of a scope."""
        return self.state.heads(stream, prefix, as_of)

    def items(self, stream: str, prefix: str, as_of: object) -> Program[dict[str, Any]]:
        """Return the values of a scope by key."""
        return items_of(self, self._gate, stream, prefix, as_of)
