"""Laws of the import, over runs that nobody would write: state is a replay, and again is nothing."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any
from unittest.mock import patch

from hypothesis import given, settings
from hypothesis import strategies as st

import backstory
from backstory import StateStore, import_work
from tests.support.runs import assistant, call, lines, replayed, result, steps_of, user

IDS = st.sampled_from(["a", "b", ""])
TOOLS = st.sampled_from(["look", "x.y"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["id", "user_id", "_idle", "$date", "n"]), inner, max_size=3)
    ),
    max_leaves=6,
)
NAMED = st.dictionaries(st.sampled_from(["id", "user_id", "trip_id", "n"]), st.sampled_from(["1", "2", 3]), max_size=3)
CONTENTS = st.one_of(
    (JSON | NAMED).map(json.dumps), st.sampled_from(["Error: no", "Error", "plain", "", "{", None]), st.text(max_size=4)
)
BROKEN: st.SearchStrategy[object] = st.sampled_from(
    [
        None,
        5,
        [],
        {},
        {"role": "robot", "content": "x"},
        {"role": "user", "content": 5},
        {"role": "user", "content": "\ud800"},
        {"role": "assistant", "tool_calls": 5},
        result("nobody"),
        {"role": "tool", "tool_call_id": 5, "content": ""},
    ]
)


def usable(name: object) -> bool:
    """Return whether the plain replay knows what becomes of a field that is named like an id."""
    return (isinstance(name, str) and name.isalnum()) or type(name) is int


@st.composite
def sound_runs(draw: st.DrawFn) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = []
    known: set[str] = set()
    for _ in range(draw(st.integers(1, 8))):
        kind = draw(st.sampled_from(["system", "user", "assistant", "calls", *["tool"] * (2 if known else 0)]))
        if kind == "tool":
            content = draw(CONTENTS.filter(_replayable))
            messages.append(result(draw(st.sampled_from(sorted(known))), content))
        elif kind == "calls":
            ids = draw(st.lists(IDS, min_size=1, max_size=3))
            arguments = st.one_of(NAMED.map(json.dumps), st.sampled_from(["", "{", "5"]))
            messages.append(assistant(None, *(call(each, draw(TOOLS), draw(arguments)) for each in ids)))
            known.update(ids)
        else:
            messages.append({"role": kind, "content": draw(st.none() | st.text(max_size=4))})
    return messages


def _replayable(content: object) -> bool:
    try:
        value = json.loads(content) if isinstance(content, str) else None
    except ValueError:
        return True
    fields = value if isinstance(value, dict) else {}
    return all(usable(item) for name, item in fields.items() if name == "id" or name.endswith("_id"))


@st.composite
def broken_runs(draw: st.DrawFn) -> tuple[list[Any], list[dict[str, Any]]]:
    """Draw a run with broken messages anywhere, and the same without them."""
    sound = draw(sound_runs())
    mixed: list[Any] = []
    for message in sound:
        mixed.extend(draw(st.lists(BROKEN, max_size=2)))
        mixed.append(message)
    return [*mixed, *draw(st.lists(BROKEN, max_size=1))], sound


EXTRA = st.dictionaries(st.sampled_from(["task", "reward"]), JSON, max_size=2)
GROUPS = st.sampled_from([1, 2, 3, 256])


def imported(store: StateStore, *values: object) -> backstory.ImportReport:
    with tempfile.TemporaryDirectory() as folder:
        return store.import_runs(str(lines(Path(folder) / "runs.jsonl", *values)))


@given(broken_runs(), EXTRA, GROUPS)
def test_the_state_after_each_message_is_a_plain_replay_of_the_sound_ones(
    drawn: tuple[list[Any], list[dict[str, Any]]], extra: dict[str, Any], group: int
) -> None:
    mixed, sound = drawn
    with backstory.open("memory://") as store, patch.object(import_work, "_MOST_COMMITS", group):
        report = imported(store, {"run_id": "r", "messages": mixed, **extra})
        steps = steps_of(store, "session:r")

        assert len(mixed) - len(sound) == len(report.errors)
        assert (report.runs, report.events) == (1, store.position())
        assert len(sound) == len(steps)
        for step, state in zip(steps, replayed(sound, extra), strict=True):
            assert state == store.items("session:r", as_of=step[-1].position)
        again = imported(store, {"run_id": "r", "messages": mixed, **extra})
        assert (again.runs, again.events, again.skipped, again.errors) == (0, 0, 1, report.errors)
        assert store.verify().ok


@given(broken_runs(), EXTRA, st.lists(st.integers(0, 20), max_size=4), GROUPS)
def test_whatever_versions_came_before_the_whole_run_ends_the_same(
    drawn: tuple[list[Any], list[dict[str, Any]]], extra: dict[str, Any], cuts: list[int], group: int
) -> None:
    mixed, sound = drawn
    with backstory.open("memory://") as store, patch.object(import_work, "_MOST_COMMITS", group):
        for cut in cuts:
            imported(store, {"run_id": "r", "messages": mixed[:cut], **({} if cut % 2 else extra)})
        imported(store, {"run_id": "r", "messages": mixed, **extra})
        own = [step[0].data for step in steps_of(store, "session:r")]

        assert replayed(sound, extra)[-1] == store.items("session:r")
        with backstory.open("memory://") as once:
            imported(once, {"run_id": "r", "messages": mixed, **extra})
            assert own == [step[0].data for step in steps_of(once, "session:r")]


@given(st.lists(st.lists(sound_runs(), min_size=2, max_size=2), max_size=3), GROUPS)
def test_runs_that_share_an_id_never_mix(pairs: list[list[list[dict[str, Any]]]], group: int) -> None:
    with backstory.open("memory://") as store, patch.object(import_work, "_MOST_COMMITS", group):
        for number, pair in enumerate(pairs):
            report = imported(store, *({"run_id": f"r{number}", "messages": messages} for messages in pair))
            own = [step[0] for step in steps_of(store, f"session:r{number}")]
            first, second = pair
            extends = first == second[: len(first)]
            contained = second == first[: len(second)]

            assert (extends or contained) is not bool(report.errors)
            assert len(own) == (len(second) if extends else len(first))


@settings(max_examples=50)
@given(st.lists(st.one_of(st.binary(max_size=30), sound_runs(), JSON), max_size=5))
def test_no_file_ends_an_import(parts: list[object]) -> None:
    values = [
        {"run_id": f"r{number}", "messages": part} if isinstance(part, list) and part and "role" in str(part) else part
        for number, part in enumerate(parts)
    ]
    with backstory.open("memory://") as store:
        report = imported(store, *values)

        assert report.events == store.position()
        assert imported(store, *values).events == 0


@settings(max_examples=30)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=300), max_size=5), GROUPS)
def test_names_of_tools_and_ids_of_any_kind_are_recorded(names: list[str], group: int) -> None:
    messages: list[Any] = [user()]
    for name in names:
        messages += [assistant(None, call(name, name)), result(name, json.dumps({f"{name}_id": name, "k": 1}))]
    with backstory.open("memory://") as store, patch.object(import_work, "_MOST_COMMITS", group):
        report = imported(store, {"run_id": "r", "messages": messages})

        assert report.errors == []
        assert len(messages) == len(steps_of(store, "session:r"))
        assert len(messages) == store.get("session:r", "messages")
