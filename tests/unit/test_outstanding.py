"""The mark of background hooks: it never passes a write whose hooks are not settled, nor a commit under way."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack, suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backstory.domain.errors import ConflictError, StoreUnavailableError
from backstory.hooks.due import due_of, marked, short
from backstory.hooks.outstanding import Outstanding
from backstory.infrastructure import codec

STEPS = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 5), st.integers(1, 3)), max_size=60)


class Model:
    """What is so, beside what `Outstanding` says: every commit of this writer by position, and if it is settled."""

    def __init__(self, began: int) -> None:
        self.outstanding = Outstanding()
        self.outstanding.begin(began)
        self.head = began
        #: By position: how many runs are still to be settled, of commits that the store has seen to or not.
        self.owed: dict[int, int] = {}
        #: Commits in the log whose hooks nobody has been told of yet, with their blocks.
        self.under_way: list[tuple[ExitStack, list[int]]] = []
        self.unknown: list[int] = []

    def step(self, kind: int, which: int, count: int) -> None:
        """Do one thing that can happen, if it can happen now."""
        steps: list[Callable[[int, int], None]] = [
            self._elsewhere,
            self._begin,
            self._commit,
            self._see_to,
            self._refuse,
            self._settle,
            self._lose,
        ]
        steps[kind](which, count)

    def _elsewhere(self, _which: int, count: int) -> None:
        self.head += count

    def _begin(self, *_: int) -> None:
        stack = ExitStack()
        stack.enter_context(self.outstanding.underway())
        self.under_way.append((stack, []))

    def _commit(self, which: int, count: int) -> None:
        if self.under_way and not (rows := self.under_way[which % len(self.under_way)][1]):
            rows.extend(range(self.head + 1, self.head + 1 + count))
            self.head += count

    def _see_to(self, which: int, count: int) -> None:
        if not self.under_way:
            return
        stack, rows = self.under_way.pop(which % len(self.under_way))
        for position in rows:
            for _run in range(count):
                self.outstanding.add(position)
            self.owed[position] = count
        stack.close()

    def _refuse(self, which: int, _count: int) -> None:
        idle = [at for at, (_, rows) in enumerate(self.under_way) if not rows]
        if idle:
            stack, _ = self.under_way.pop(idle[which % len(idle)])
            raising(stack, ConflictError(expected=1, actual=2, stream="s", key=None))

    def _lose(self, which: int, _: int) -> None:
        """Hear that nobody knows what became of a commit."""
        if self.under_way:
            stack, rows = self.under_way.pop(which % len(self.under_way))
            self.unknown.extend(rows)
            raising(stack, StoreUnavailableError("lost", outcome="unknown"))

    def _settle(self, which: int, count: int) -> None:
        """Settle some runs, as a batch of the background does: the mark is what is stored beside them."""
        open_ = [position for position, left in self.owed.items() for _ in range(left)]
        batch = open_[which : which + count]
        mark = self.outstanding.mark_without(batch)
        for position in batch:
            self.outstanding.settle(position)
            self.owed[position] -= 1
        assert mark == self.outstanding.mark_without(())

    def first_left(self) -> int:
        """Return the first position that may not be passed."""
        left = [position for position, count in self.owed.items() if count]
        left += [position for _, rows in self.under_way for position in rows]
        return min((*left, *self.unknown), default=self.head + 1)

    def assert_true(self) -> None:
        mark = self.outstanding.mark_without(())
        assert mark < self.first_left()
        assert sum(self.owed.values()) == self.outstanding.count
        if not self.under_way and not self.outstanding.doubts and not self.outstanding.count:
            assert max(self.owed, default=0) <= mark


def raising(stack: ExitStack, error: Exception) -> None:
    """Leave the blocks of a stack with an error."""
    with suppress(type(error)), stack.pop_all():
        raise error


@given(st.integers(0, 5), STEPS)
def test_the_mark_never_passes_what_is_not_settled_nor_a_commit_under_way(
    began: int, steps: list[tuple[int, int, int]]
) -> None:
    model = Model(began)
    for step in steps:
        model.step(*step)
        model.assert_true()


@given(STEPS)
def test_once_everything_is_settled_the_mark_is_at_the_last_write(steps: list[tuple[int, int, int]]) -> None:
    model = Model(0)
    for kind, which, count in steps:
        model.step(kind % 6, which, count)
    while model.under_way:
        model.step(3, 0, 1)
    while model.outstanding.count:
        model.step(5, 0, 1)
    assert model.outstanding.idle
    assert max(model.owed, default=0) == model.outstanding.mark_without(())


def test_a_commit_of_which_nobody_knows_holds_the_mark_back_until_somebody_looked() -> None:
    outstanding = Outstanding()
    outstanding.begin(7)
    with suppress(StoreUnavailableError), outstanding.underway():
        raise StoreUnavailableError("lost", outcome="unknown")
    outstanding.add(9)
    outstanding.settle(9)
    assert list(outstanding.doubts.values()) == [7]
    assert outstanding.mark_without(()) == 7
    assert not outstanding.idle
    outstanding.resolve(outstanding.doubts)
    assert outstanding.mark_without(()) == 9
    assert outstanding.idle


@pytest.mark.parametrize("stop", [KeyboardInterrupt, GeneratorExit])
def test_an_interrupted_commit_holds_the_mark_back(stop: type[BaseException]) -> None:
    outstanding = Outstanding()
    with suppress(stop), outstanding.underway():
        raise stop
    assert len(outstanding.doubts) == 1
    assert not outstanding.under_way


def test_a_commit_that_was_refused_holds_nothing_back() -> None:
    outstanding = Outstanding()
    with suppress(StoreUnavailableError), outstanding.underway():
        raise StoreUnavailableError("refused", outcome="not_written")
    assert not outstanding.doubts


# Due marks

TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1, max_size=12)
VALUES = st.recursive(
    st.none() | st.integers() | TEXTS, lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner), max_leaves=5
)
EXTRAS = st.none() | st.dictionaries(st.sampled_from(["tags", "metadata", "hooks"]), VALUES, min_size=1).map(
    codec.encode_value
)


@given(EXTRAS, TEXTS, st.lists(TEXTS, min_size=1, max_size=4))
def test_a_write_says_what_it_is_due_for_and_keeps_what_it_said_before(
    extra: bytes | None, writer: str, hooks: list[str]
) -> None:
    said = marked(extra, writer, tuple(hooks))
    assert due_of(said) == (writer, tuple(hooks))
    assert (codec.decode_value(extra) if extra else {}) == {
        name: part for name, part in codec.decode_value(said).items() if name != "due"
    }


@given(EXTRAS)
def test_a_write_that_is_due_for_nothing_is_never_taken_for_one_that_is(extra: bytes | None) -> None:
    assert due_of(extra) is None


def test_what_a_user_writes_into_metadata_is_no_due_mark() -> None:
    extra = codec.encode_value({"metadata": {"due": ["somebody", "a hook"]}})
    assert due_of(extra) is None


def test_a_writer_is_known_by_the_first_half_of_its_id() -> None:
    assert short("0123456789abcdef" * 2) == "0123456789abcdef"
