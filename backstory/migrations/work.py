"""Work: values made ready for their new version, written in batches, and brought back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from backstory.core import Core
from backstory.domain.commits import Commit, Decision, Draft, Needs, Outcome, Read, View
from backstory.domain.context import Author
from backstory.domain.errors import BackstoryError, ConflictError
from backstory.domain.events import StoredEvent
from backstory.domain.ports import LAST_POSITION, Program
from backstory.domain.schemas import SchemaVersion
from backstory.domain.sequencer import STATE_SET
from backstory.domain.validation import Validator, refusal
from backstory.infrastructure import codec
from backstory.migrations.items import Item, Wanted, again, value_of
from backstory.migrations.reports import ItemError, Preview
from backstory.schemas.carrying import Carrier, CarryingError, Generated
from backstory.schemas.validators import validator_of

LEVELS: Final = ("none", "basic", "strict", "paranoid")


class ItemFailedError(Exception):
    """A value cannot be migrated."""

    def __init__(self, error: ItemError) -> None:
        """Take the facts."""
        self.error = error
        super().__init__(str(error))


class Ready(NamedTuple):
    """A value made ready to be written."""

    item: Item
    value: bytes
    extra: bytes
    reads: tuple[int, ...]


@dataclass(slots=True)
class Seen:
    """A scope as a run has listed it: while its version is this one, nobody else has written there; None: not known."""

    version: int | None = None


class Workshop:
    """What a run needs to know to make values ready; made once, used by many threads.

    `level`: `none` checks nothing; `basic` that new values meet the new version; `strict` the old ones theirs, too,
    before anything is written; `paranoid` also that each step that can be taken back brings back what was.
    """

    def __init__(
        self,
        core: Core,
        migration_id: str,
        wanted: Wanted,
        to: SchemaVersion,
        *,
        old: Mapping[str, SchemaVersion],
        carriers: Mapping[str, Carrier],
        back: Mapping[str, Carrier | None],
        level: str,
    ) -> None:
        self.core: Final = core
        self.migration_id: Final = migration_id
        self.wanted: Final = wanted
        self.to: Final = to
        self.level: Final = level
        self._carriers = carriers
        self._back = back
        self._new: Validator | None = None if level == "none" else validator_of(to)
        self._old = (
            {version: validator_of(each) for version, each in old.items()} if level in {"strict", "paranoid"} else {}
        )
        self.tracks: Final = core.settings.track_reads
        #: What the events of a run say of themselves by the version that they come from, but for what was generated.
        self._said = {version: self._said_from(version) for version in carriers}

    def inspect(self, item: Item) -> None:
        """Hold a value against the version that it has; raises `ItemFailedError`."""
        check = self._old.get(item.version)
        if check is None:
            return
        found = check(value_of(item))
        if found:
            error = refusal(found, schema=self.wanted.schema, version=item.version, scope=item.stream, key=item.key)
            raise ItemFailedError(ItemError(item.stream, item.key, error.message, error.path))

    def ready(self, item: Item) -> Ready:
        """Make a value ready; raises `ItemFailedError`."""
        value, generated = self._carried(item)
        if self._new is not None:
            self.meets(item.stream, item.key, value)
        try:
            encoded = codec.encode_value(value, max_bytes=self.core.settings.max_value_bytes)
        except BackstoryError as error:
            raise ItemFailedError(ItemError(item.stream, item.key, error.message)) from error
        if self.level == "paranoid":
            self._check_way_back(item, encoded)
        extra = self._said[item.version]
        if generated:
            extra += b',"generated":' + generated
        if not self.tracks:
            return Ready(item, encoded, extra + b"}}", ())
        return Ready(item, encoded, extra + b'},"reads":[%d]}' % item.head.position, (item.head.position,))

    def _said_from(self, version: str) -> bytes:
        carried = {"migration": self.migration_id, "from": version}
        return codec.encode_value({"schema": [self.wanted.schema, self.to.version], "carried": carried})[:-2]

    def check_row(self, row: StoredEvent) -> None:
        """Hold what was written against the new version, as it is in the log; raises `ItemFailedError`."""
        assert row.key is not None
        self.meets(row.stream, row.key, codec.decode_value(codec.parts_of_set(row.data)[0]))

    def meets(self, stream: str, key: str, value: Any) -> None:
        """Hold a value against the new version, unless nothing is to be checked; raises `ItemFailedError`."""
        found = None if self._new is None else self._new(value)
        if found:
            error = refusal(found, schema=self.wanted.schema, version=self.to.version, scope=stream, key=key)
            raise ItemFailedError(ItemError(stream, key, error.message, error.path))

    def preview(self, item: Item) -> Preview:
        """Return what would become of a value."""
        before = value_of(item)
        try:
            self.inspect(item)
            after = codec.decode_value(self.ready(item).value)
        except ItemFailedError as failed:
            error = failed.error
            return Preview(item.stream, item.key, item.version, before, None, error.message, error.path)
        return Preview(item.stream, item.key, item.version, before, after)

    def _carried(self, item: Item) -> tuple[Any, bytes]:
        try:
            context = Generated(self.core.clock.now_us)
            return self._carriers[item.version].carry(value_of(item), context), context.encoded()
        except CarryingError as error:
            raise ItemFailedError(ItemError(item.stream, item.key, error.reason, error.path, error.step)) from error

    def _check_way_back(self, item: Item, encoded: bytes) -> None:
        back = self._back.get(item.version)
        if back is None:
            return
        try:
            returned = back.carry(codec.decode_value(encoded), Generated(self.core.clock.now_us))
        except CarryingError as error:
            reason = f"the way back fails: {error.reason}"
            raise ItemFailedError(ItemError(item.stream, item.key, reason, error.path, error.step)) from error
        if codec.canonical(returned) != codec.canonical(value_of(item)):
            raise ItemFailedError(ItemError(item.stream, item.key, "the way back does not bring back what was"))


def seen_now(core: Core, stream: str) -> Program[Seen]:
    """Return what holds for a scope that is listed after this."""
    version = yield from core.engine.stream_version(core.lineage, stream, LAST_POSITION)
    return Seen(version)


def batch_of(shop: Workshop, items: Sequence[Item], author: Author, seen: Seen) -> Program[int]:
    """Migrate a batch of a scope; return how many values. Those that others write meanwhile are looked at until still.

    Raises `ItemFailedError`.
    """
    done = 0
    left: Sequence[Item] = items
    while left:
        places = yield from write(shop, [shop.ready(item) for item in left], author, seen)
        done += len(left) - len(places)
        left = (yield from again(shop.core, shop.wanted, places)) if places else ()
    return done


def write(shop: Workshop, batch: Sequence[Ready], author: Author, seen: Seen) -> Program[Sequence[tuple[str, str]]]:
    """Write a batch of a scope in one commit; return the keys that somebody else has written meanwhile: look again.

    Raises `ItemFailedError` where a hook made something else of a value, which does not meet the new version.
    """
    core = shop.core
    drafts = {(each.item.stream, each.item.key): _draft(core, each, author) for each in batch}
    rows: Sequence[StoredEvent] | None = None
    left: Sequence[tuple[str, str]] = ()
    if seen.version is not None:
        rows = yield from put_where_still(core, list(drafts.values()), {batch[0].item.stream: seen.version})
        seen.version = None if rows is None else rows[-1].version
    if rows is None:
        rows, left = yield from _write_by_key(core, batch, drafts, author)
    if core.gate.path is not None:
        for row in rows:
            if row.type == STATE_SET and (row.stream, row.key) in drafts:
                shop.check_row(row)
    return left


def _write_by_key(
    core: Core, batch: Sequence[Ready], drafts: Mapping[tuple[str, str], Draft], author: Author
) -> Program[tuple[Sequence[StoredEvent], Sequence[tuple[str, str]]]]:
    """Write those of a batch that nobody else has written; return what was written, and the keys of the others."""
    heads = {(each.item.stream, each.item.key): each.item.head for each in batch}

    def decide(view: View) -> Decision:
        same = [at for at, head in heads.items() if view.key(*at).position == head.position]
        others = heads.keys() - set(same)
        return Decision([drafts[at] for at in same], [at for at in heads if at in others])

    return (yield from put(core, decide, tuple(heads), author))


def put_where_still(
    core: Core, drafts: Sequence[Draft], versions: Mapping[str, int]
) -> Program[Sequence[StoredEvent] | None]:
    """Commit drafts where scopes are at these versions: that spares a look at each key under the log's lock.

    Returns None, and writes nothing, where others have written there, or hooks are to have a say.
    """
    path = core.gate.path
    if path is not None and path.writes:
        return None
    reads = [Read(stream, None, version) for stream, version in versions.items()]
    try:
        outcome = yield from core.session.append(Commit(core.branch.id, drafts, reads=reads))
    except ConflictError:
        return None
    return outcome.events


def put(core: Core, decide: Any, keys: Sequence[tuple[str, str]], author: Author) -> Program[tuple[Sequence[Any], Any]]:
    """Commit what is decided on some keys, as the hooks that stand there have it; return the rows and the result."""
    commit = commit_on(decide, keys, author, core.branch.id)
    path = core.gate.path
    if path is not None and path.writes:
        outcome: Outcome = yield from path.commit(core.session, commit)
        if outcome.error is not None:
            raise outcome.error
    else:
        outcome = yield from core.session.append(commit)
    return outcome.events, outcome.result


def commit_on(decide: Any, keys: Sequence[tuple[str, str]], author: Author, branch: int) -> Commit:
    """Return the commit of a decision on some keys."""
    needs = Needs(
        targets=tuple(dict.fromkeys(stream for stream, _ in keys)),
        keys=tuple(keys),
        event_ids=() if author.causes is None else (author.causes,),
    )
    return Commit(branch, decide=decide, needs=needs)


def _draft(core: Core, ready: Ready, author: Author) -> Draft:
    item = ready.item
    draft = core.decisions.set_draft(
        (item.stream, item.key), ready.value, author=author, op="migrate", expires_us=item.head.expires_us
    )
    return draft._replace(extra=codec.extra_joined(author.extra, ready.extra), reads=ready.reads)


__all__ = [
    "LEVELS",
    "ItemFailedError",
    "Ready",
    "Seen",
    "Workshop",
    "batch_of",
    "commit_on",
    "put",
    "put_where_still",
    "seen_now",
    "write",
]
