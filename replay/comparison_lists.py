"""Which elements of two lists belong together: first those that are equal, then those that are alike.

Equal elements are matched along a longest common subsequence, so that an insertion is one insertion and not a change
of all that follows. It is exact (Crochemore et al. 2001, "A fast and practical bit-vector algorithm for the longest
common subsequence") up to `EXACT_CELLS`, the product of how many elements are left on either side without common ends
and without those that occur on one side only: 8,192 on both. Longer lists are first cut at elements that occur once
on either side (Cohen's patience diff), and the pieces are matched exactly as far as `EXACT_CELLS` reaches for all of
them together; in what is left, no more is matched. So time grows as n log n, beyond a constant.

What lies between equal elements is paired off: so that most of the content is shared where there are few (up to
`CLOSE_CELLS`, a product as above), else by content that one element on either side has, such as an id, else in order.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from operator import attrgetter
from typing import Final

from backstory.replay.comparison_trees import Node

__all__ = ["CLOSE_CELLS", "EXACT_CELLS", "aligned", "common_subsequence", "paired"]

EXACT_CELLS: Final = 2**26
CLOSE_CELLS: Final = 1024

Match = tuple[int, int]
Pair = tuple[int | None, int | None]
"""Indices of an element on either side; None where it is missing there."""

_Span = tuple[int, int, int, int]
_digest = attrgetter("digest")


def aligned(a: Sequence[Node], b: Sequence[Node]) -> Iterator[Pair]:
    """Yield which elements of two lists belong together; the indices on either side ascend."""
    matches = common_subsequence([*map(_digest, a)], [*map(_digest, b)])
    for span in _gaps(matches, (0, len(a), 0, len(b))):
        yield from _between(a, b, span)
        if span[1] < len(a) and span[3] < len(b):
            yield span[1], span[3]


def paired(a: Sequence[Node], b: Sequence[Node]) -> Iterator[Pair]:
    """Yield which elements of two lists belong together whatever their order: equal ones, then the most alike."""
    free: dict[bytes, list[int]] = {}
    for j in range(len(b) - 1, -1, -1):
        free.setdefault(b[j].digest, []).append(j)
    left = []
    for i, element in enumerate(a):
        if free.get(element.digest):
            yield i, free[element.digest].pop()
        else:
            left.append(i)
    # Of no use is the order in which they stand: it must not decide what is paired.
    left.sort(key=lambda i: a[i].digest)
    right = sorted((j for found in free.values() for j in found), key=lambda j: b[j].digest)
    for one, other in _any_order([a[i] for i in left], [b[j] for j in right]):
        yield None if one is None else left[one], None if other is None else right[other]


def common_subsequence(a: Sequence[Hashable], b: Sequence[Hashable], *, exact_cells: int = EXACT_CELLS) -> list[Match]:
    """Return the indices of equal elements along a common subsequence, the longest if the lists are not too long."""
    found, span = _without_ends(a, b, (0, len(a), 0, len(b)))
    rows, columns = _shared(a, b, span)
    if len(rows) * len(columns) <= exact_cells:
        return sorted(found + _longest(a, b, rows, columns))
    once_a, once_b = (_once([side[i] for i in kept]) for side, kept in ((a, rows), (b, columns)))
    anchors = _ascending([(rows[once_a[e]], columns[once_b[e]]) for e in once_a if e in once_b])
    found += anchors
    for gap in _gaps(anchors, span):
        ends, inner = _without_ends(a, b, gap)
        found += ends
        rows, columns = _shared(a, b, inner)
        if len(rows) * len(columns) <= exact_cells:
            exact_cells -= len(rows) * len(columns)
            found += _longest(a, b, rows, columns)
    return sorted(found)


def _gaps(matches: Sequence[Match], span: _Span) -> Iterator[_Span]:
    """Yield the spans before, between and behind matches; each but the last ends at a match."""
    i, i_end, j, j_end = span
    for one, other in matches:
        yield i, one, j, other
        i, j = one + 1, other + 1
    yield i, i_end, j, j_end


def _without_ends(a: Sequence[Hashable], b: Sequence[Hashable], span: _Span) -> tuple[list[Match], _Span]:
    """Return the matches at both ends of a span, and the span between them."""
    i, i_end, j, j_end = span
    found = []
    while i < i_end and j < j_end and a[i] == b[j]:
        found.append((i, j))
        i, j = i + 1, j + 1
    while i < i_end and j < j_end and a[i_end - 1] == b[j_end - 1]:
        i_end, j_end = i_end - 1, j_end - 1
        found.append((i_end, j_end))
    return found, (i, i_end, j, j_end)


def _shared(a: Sequence[Hashable], b: Sequence[Hashable], span: _Span) -> tuple[list[int], list[int]]:
    """Return the indices in a span of elements that occur on both sides."""
    i, i_end, j, j_end = span
    both = set(a[i:i_end]) & set(b[j:j_end])
    return [at for at in range(i, i_end) if a[at] in both], [at for at in range(j, j_end) if b[at] in both]


def _longest(a: Sequence[Hashable], b: Sequence[Hashable], rows: Sequence[int], columns: Sequence[int]) -> list[Match]:
    """Return a longest common subsequence of some elements of two lists, last first.

    Bit n of a state is clear where taking the n-th element of `rows` as well makes the subsequence longer.
    """
    bits: dict[Hashable, int] = {}
    for n, i in enumerate(rows):
        bits[a[i]] = bits.get(a[i], 0) | 1 << n
    states = [(1 << len(rows)) - 1]
    for j in columns:
        state = states[-1]
        taken = state & bits[b[j]]
        states.append((state + taken | state - taken) & states[0])
    found = []
    n, m = len(rows), len(columns)
    while n and m:
        if states[m] >> n - 1 & 1:
            n -= 1
        elif states[m - 1] >> n - 1 & 1:
            n, m = n - 1, m - 1
            found.append((rows[n], columns[m]))
        else:
            m -= 1
    return found


def _once(elements: Sequence[Hashable]) -> dict[Hashable, int]:
    """Return where the elements stand that occur once."""
    counts = Counter(elements)
    return {element: at for at, element in enumerate(elements) if counts[element] == 1}


def _ascending(matches: Sequence[Match]) -> list[Match]:
    """Return the most of these matches whose indices ascend on both sides."""
    ends: list[int] = []
    chains: list[int] = []
    before: list[int | None] = []
    matches = sorted(matches)
    for at, (_, j) in enumerate(matches):
        length = bisect_left(ends, j)
        before.append(chains[length - 1] if length else None)
        if length == len(ends):
            ends.append(j)
            chains.append(at)
        else:
            ends[length], chains[length] = j, at
    found = []
    last = chains[-1] if chains else None
    while last is not None:
        found.append(matches[last])
        last = before[last]
    return found[::-1]


# -- What is not equal but alike.


def _between(a: Sequence[Node], b: Sequence[Node], span: _Span) -> Iterator[Pair]:
    """Yield which of the elements between two matches belong together, in order."""
    i, i_end, j, j_end = span
    if (i_end - i) * (j_end - j) <= CLOSE_CELLS:
        yield from _most_alike(a, b, span)
        return
    anchors = _ascending(_telling(a, b, span))
    for gap in _gaps(anchors, span):
        small = (gap[1] - gap[0]) * (gap[3] - gap[2]) <= CLOSE_CELLS
        yield from _most_alike(a, b, gap) if small else _side_by_side(gap)
        if gap[1] < i_end and gap[3] < j_end:
            yield gap[1], gap[3]


def _side_by_side(span: _Span) -> Iterator[Pair]:
    i, i_end, j, j_end = span
    for n in range(max(i_end - i, j_end - j)):
        yield i + n if i + n < i_end else None, j + n if j + n < j_end else None


def _most_alike(a: Sequence[Node], b: Sequence[Node], span: _Span) -> Iterator[Pair]:
    """Yield the pairs, in order, that have the most in common together; early ones where there is a choice."""
    i, i_end, j, j_end = span
    left, right = [_features(part) for part in a[i:i_end]], [_features(part) for part in b[j:j_end]]
    gains = [[_likeness(one, other) for other in right] for one in left]
    best = [[0] * (len(right) + 1) for _ in range(len(left) + 1)]
    for n in range(len(left) - 1, -1, -1):
        for m in range(len(right) - 1, -1, -1):
            best[n][m] = max(best[n + 1][m], best[n][m + 1], gains[n][m] + best[n + 1][m + 1])
    n = m = 0
    while n < len(left) and m < len(right):
        if best[n][m] == gains[n][m] + best[n + 1][m + 1]:
            yield i + n, j + m
            n, m = n + 1, m + 1
        elif best[n][m] == best[n + 1][m]:
            yield i + n, None
            n += 1
        else:
            yield None, j + m
            m += 1
    yield from ((i + at, None) for at in range(n, len(left)))
    yield from ((None, j + at) for at in range(m, len(right)))


def _any_order(a: Sequence[Node], b: Sequence[Node]) -> Iterator[Pair]:
    """Yield pairs of elements that have no order: the most alike first, and what is left side by side."""
    if len(a) * len(b) <= CLOSE_CELLS:
        left, right = [_features(part) for part in a], [_features(part) for part in b]
        ranked = sorted((-_likeness(one, other), i, j) for i, one in enumerate(left) for j, other in enumerate(right))
        wishes = [(i, j) for _, i, j in ranked]
    else:
        wishes = _telling(a, b, (0, len(a), 0, len(b)))
    free_a, free_b = dict.fromkeys(range(len(a))), dict.fromkeys(range(len(b)))
    for i, j in wishes:
        if i in free_a and j in free_b:
            del free_a[i], free_b[j]
            yield i, j
    rest_a, rest_b = [*free_a], [*free_b]
    for one, other in _side_by_side((0, len(rest_a), 0, len(rest_b))):
        yield None if one is None else rest_a[one], None if other is None else rest_b[other]


def _telling(a: Sequence[Node], b: Sequence[Node], span: _Span) -> list[Match]:
    """Return for elements the one on the other side with which they share the most that nobody else has."""
    i, i_end, j, j_end = span
    votes: dict[int, Counter[int]] = {}
    owners = _owners(b, j, j_end)
    for feature, at in _owners(a, i, i_end).items():
        other = owners.get(feature)
        if at is not None and other is not None:
            votes.setdefault(at, Counter())[other] += 1
    return [(at, min(found, key=lambda other: (-found[other], other))) for at, found in sorted(votes.items())]


def _owners(elements: Sequence[Node], start: int, end: int) -> dict[Hashable, int | None]:
    """Return whose each feature is; None if it is the feature of several."""
    owners: dict[Hashable, int | None] = {}
    for at in range(start, end):
        for feature in _features(elements[at])[1]:
            owners[feature] = None if feature in owners else at
    return owners


_Features = tuple[str, frozenset[Hashable], frozenset[Hashable]]


def _features(node: Node) -> tuple[str, frozenset[Hashable], frozenset[Hashable]]:
    """Return an element's type, what it holds (with the key, in a dict), and its keys."""
    if isinstance(node.parts, dict) and node.kind == "dict":
        held = frozenset((key, part.digest) for key, part in node.parts.items())
        return node.kind, held, frozenset(node.parts)
    if node.parts is not None:
        parts = node.parts.values() if isinstance(node.parts, dict) else node.parts
        return node.kind, frozenset(part.digest for part in parts), frozenset()
    return node.kind, frozenset(), frozenset()


def _likeness(one: _Features, other: _Features) -> int:
    """Return how much speaks for a pair: what both hold, squared so that one good pair beats two bad ones."""
    if one[0] != other[0]:
        return 1
    held = len(one[1] & other[1]) / max(len(one[1]), len(other[1]), 1)
    keys = len(one[2] & other[2]) / max(len(one[2]), len(other[2]), 1)
    return 2 + round(20 * keys) + round(1000 * held * held)
