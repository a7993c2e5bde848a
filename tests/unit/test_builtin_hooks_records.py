"""The built-in hooks that keep a record of what happens: audit, change log, metrics, debugging."""

from __future__ import annotations

import json
import os
import threading
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from backstory.domain.events import MISSING
from backstory.domain.scopes import Scope
from backstory.hooks.builtin import Audit, ChangeLog, Debugging, Metrics
from backstory.hooks.builtin._changed_paths import changed_paths
from backstory.hooks.run_context import Subject
from backstory.infrastructure import codec
from tests.support.hook_runs import FakeWorld, run, subject

NOW = "2023-11-14T22:13:20+00:00"
values = st.recursive(
    st.none() | st.booleans() | st.integers(0, 2) | st.sampled_from([0.0, -0.0, 1.0, "", "a"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b", "c d"]), inner, max_size=3),
    max_leaves=12,
)


def lines_of(path: Path) -> list[Any]:
    return [codec.decode_value(line) for line in path.read_bytes().splitlines()]


class TestAudit:
    def test_a_line_says_who_what_where_when_and_as_part_of_what(self, tmp_path: Path) -> None:
        operation_id = uuid4()
        about = subject(
            before=1,
            after={"n": 2},
            operation_id=operation_id,
            actor="ann",
            correlation_id="run-7",
            tags=("t",),
            redelivered=True,
        )
        run(Audit(tmp_path / "audit"), about, FakeWorld())
        assert lines_of(tmp_path / "audit") == [
            {
                "at": NOW,
                "point": "after_state_write",
                "operation": "set",
                "scope": "agent:a1",
                "key": "plan",
                "actor": "ann",
                "operation_id": str(operation_id),
                "correlation_id": "run-7",
                "tags": ["t"],
                "redelivered": True,
                "before": 1,
                "after": {"n": 2},
            }
        ]

    def test_values_are_redacted_or_left_out_or_as_they_are(self, tmp_path: Path) -> None:
        about = subject(key="user/password", after={"p": "hunter2"}, actor="card 4111111111111111")
        for name, options in {"clean": {}, "without": {"values": False}, "raw": {"redaction": None}}.items():
            run(Audit(tmp_path / name, **options), about, FakeWorld())  # type: ignore[arg-type]
        assert lines_of(tmp_path / "clean")[0]["after"] == "[redacted:password]"
        assert lines_of(tmp_path / "clean")[0]["actor"] == "card [redacted:card]"
        assert "after" not in lines_of(tmp_path / "without")[0]
        assert lines_of(tmp_path / "raw")[0]["after"] == {"p": "hunter2"}

    def test_no_secret_is_in_the_steps_either(self, tmp_path: Path) -> None:
        _, steps = run(Audit(tmp_path / "audit"), subject(after={"password": "hunter2"}), FakeWorld())
        assert b"hunter2" not in codec.encode_value(steps)

    def test_only_its_owner_may_read_a_new_file(self, tmp_path: Path) -> None:
        run(Audit(tmp_path / "audit"), subject(after=1), FakeWorld())
        assert (tmp_path / "audit").stat().st_mode & 0o077 == 0

    def test_lines_of_many_threads_stay_whole(self, tmp_path: Path) -> None:
        def tell(number: int) -> None:
            audit = Audit(tmp_path / "audit")
            for _ in range(20):
                run(audit, subject(after=["long"] * 2000, actor=str(number)), FakeWorld())

        threads = [threading.Thread(target=tell, args=(number,)) for number in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert Counter(line["actor"] for line in lines_of(tmp_path / "audit")) == dict.fromkeys("01234", 20)

    def test_after_a_torn_line_the_next_begins_on_its_own(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        audit, write = Audit(tmp_path / "audit"), os.write
        with monkeypatch.context() as patch:
            patch.setattr(os, "write", lambda file, data: write(file, data[:10]))
            for _ in range(2):
                with pytest.raises(OSError, match="only 10 of"):
                    run(audit, subject(after=1), FakeWorld())
        run(audit, subject(after=2), FakeWorld())
        run(audit, subject(after=3), FakeWorld())
        whole = (tmp_path / "audit").read_text(encoding="utf-8").splitlines()[-2:]
        assert [json.loads(line)["after"] for line in whole] == [2, 3]

    def test_with_fsync_the_file_is_synced(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        synced: list[int] = []
        monkeypatch.setattr(os, "fsync", synced.append)
        run(Audit(tmp_path / "audit"), subject(after=1), FakeWorld())
        assert synced == []
        run(Audit(tmp_path / "audit", fsync=True), subject(after=1), FakeWorld())
        assert len(synced) == 1

    def test_a_file_that_cannot_be_written_is_the_hooks_failure(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError):
            run(Audit(tmp_path / "nowhere" / "audit"), subject(after=1), FakeWorld())


class TestAuditByStructlog:
    @pytest.fixture(autouse=True)
    def as_before(self) -> Iterator[None]:
        yield
        structlog.reset_defaults()

    def test_the_programs_own_structlog_takes_the_lines(self) -> None:
        capture = structlog.testing.LogCapture()
        structlog.configure(processors=[capture])
        run(Audit(), subject(after=b"x"), FakeWorld())
        (line,) = capture.entries
        assert (line["event"], line["log_level"], line["key"], line["after"]) == ("audit", "info", "plan", b"x")

    def test_without_one_they_are_json_on_standard_error(self, capsys: pytest.CaptureFixture[str]) -> None:
        run(Audit(), subject(after=b"x"), FakeWorld())
        printed = capsys.readouterr()
        assert printed.out == ""
        line = json.loads(printed.err)
        assert (line["event"], line["logger"], line["at"]) == ("audit", "backstory.audit", NOW)


def without(value: Any, path: str) -> Any:
    """Return a value without the part at a path that `changed_paths` gave."""
    if not path:
        return "mark"
    expression, value = path if path.startswith("[") else f".{path}", codec.decode_value(codec.encode_value(value))
    steps: list[Any] = []
    while expression:
        if expression.startswith("."):
            name = expression[1:].split(".")[0].split("[")[0]
            steps.append(name)
            expression = expression[1 + len(name) :]
        else:
            inside, _, expression = expression[1:].partition("]")
            steps.append(json.loads(inside))
    part = value
    for step in steps[:-1]:
        part = part[step]
    last = steps[-1]
    if isinstance(part, list):
        del part[last : last + 1]
    else:
        part.pop(last, None)
    return value


class TestChangedPaths:
    @given(values, values)
    def test_no_path_means_the_same_json_and_some_path_another(self, one: Any, other: Any) -> None:
        assert (list(changed_paths(one, other)) == []) is (codec.canonical(one) == codec.canonical(other))

    @given(values, values)
    def test_without_the_changed_parts_the_values_are_the_same(self, one: Any, other: Any) -> None:
        paths = list(changed_paths(one, other))
        assert len(set(paths)) == len(paths)
        for path in reversed(paths):
            one, other = without(one, path), without(other, path)
        assert codec.canonical(one) == codec.canonical(other)

    @pytest.mark.parametrize(
        ("before", "after", "paths"),
        [
            (1, 2, [""]),
            (MISSING, {"a": 1}, [""]),
            ({"a": 1}, MISSING, [""]),
            ({"a": 1}, [1], [""]),
            ({"a": {"b": 1, "c": 2}, "d": 3}, {"a": {"b": 1, "c": 5}, "e": 3}, ["a.c", "d", "e"]),
            ([1, 2, 3], [1, 5], ["[1]", "[2]"]),
            ({"a": 1, "b": 0.0}, {"a": True, "b": -0.0}, ["a", "b"]),
            ({"a": Decimal("1.0"), "b": Decimal(2)}, {"a": Decimal("1.00"), "b": Decimal(2)}, ["a"]),
            ({"a": 10**5000, "b": 1}, {"a": 10**5000, "b": 10**5000}, ["b"]),
            (MISSING, MISSING, []),
        ],
    )
    def test_paths_are_of_the_outermost_parts_that_differ(self, before: Any, after: Any, paths: list[str]) -> None:
        assert paths == list(changed_paths(before, after))


class TestChangeLog:
    def test_an_entry_says_what_changed(self) -> None:
        operation_id, world = uuid4(), FakeWorld()
        about = subject(before={"n": 1, "m": 1}, after={"n": 2, "m": 1}, operation_id=operation_id, actor="ann")
        world.apply(run(ChangeLog(), about, world)[0])
        assert world.state == {
            ("custom:changes", str(operation_id)): {
                "scope": "agent:a1",
                "key": "plan",
                "operation": "set",
                "operation_id": str(operation_id),
                "at": world.now(),
                "actor": "ann",
                "before": {"n": 1, "m": 1},
                "after": {"n": 2, "m": 1},
                "paths": ["n"],
            }
        }

    @pytest.mark.parametrize(
        ("about", "expected"),
        [
            (subject(after=None), {"after": None, "paths": [""]}),
            (subject("after_state_delete", before=1), {"before": 1, "paths": [""]}),
            (subject("after_state_clear", key=None, before=["a", "b"]), {"keys": ["a", "b"]}),
            (subject(before=["x" * 50], after=["x" * 50, 1]), {"left_out": True, "paths": ["[1]"]}),
        ],
    )
    def test_what_there_is_not_or_too_much_of_is_left_out(self, about: Subject, expected: dict[str, Any]) -> None:
        world = FakeWorld()
        world.apply(run(ChangeLog("custom:c", max_bytes=100), about, world)[0])
        ((_, entry),) = world.state.items()
        parts = ("before", "after", "paths", "keys", "left_out")
        assert expected == {part: entry[part] for part in parts if part in entry}

    def test_entries_are_redacted_unless_it_is_said_otherwise(self) -> None:
        about = subject(key="user/password", before="hunter1", after="hunter2")
        for log, expected in ((ChangeLog(), "[redacted:password]"), (ChangeLog(redaction=None), "hunter2")):
            world = FakeWorld()
            world.apply(run(log, about, world)[0])
            ((_, entry),) = world.state.items()
            assert entry["after"] == expected
            assert entry["paths"] == [""]

    def test_of_very_many_paths_the_first_are_kept(self) -> None:
        world = FakeWorld()
        world.apply(run(ChangeLog(), subject(before=[0] * 500, after=[1] * 500), world)[0])
        ((_, entry),) = world.state.items()
        assert len(entry["paths"]) == 100

    def test_its_own_entries_are_not_entered(self) -> None:
        assert run(ChangeLog(), subject(scope="custom:changes", after=1), FakeWorld())[0] is None

    def test_of_a_batch_that_is_not_written_yet_each_entry_has_a_place_of_its_own(self) -> None:
        world, log = FakeWorld(), ChangeLog(keep=5)
        for result in [run(log, subject(after=number), world)[0] for number in range(5)]:
            world.apply(result)
        assert world.state.pop(("custom:changes", "next")) == 5
        assert [entry["after"] for entry in world.state.values()] == [0, 1, 2, 3, 4]

    @given(st.integers(1, 5), st.lists(st.booleans(), max_size=20))
    def test_a_ring_holds_the_last_entries_across_restarts(self, keep: int, restarts: list[bool]) -> None:
        world, log = FakeWorld(), ChangeLog(keep=keep)
        for number, restart in enumerate(restarts):
            log = ChangeLog(keep=keep) if restart else log
            world.apply(run(log, subject(after=number), world)[0])
        if restarts:
            assert world.state.pop(("custom:changes", "next")) == len(restarts)
        entries = sorted(entry["after"] for entry in world.state.values())
        assert entries == list(range(len(restarts)))[-keep:]


changes = st.builds(
    subject,
    st.sampled_from(["before_state_write", "after_state_write", "after_state_delete", "custom:x"]),
    scope=st.sampled_from(["global", "agent:a", "agent:b", None]),
    after=st.sampled_from([MISSING, 1, "text", {"a": [1.5, b"x"]}]),
    operation=st.sampled_from(["set", "increment"]),
)


class TestMetrics:
    @given(st.lists(changes, max_size=20))
    def test_the_snapshot_equals_a_recount(self, abouts: list[Subject]) -> None:
        metrics = Metrics()
        for about in abouts:
            assert run(metrics, about, FakeWorld())[0] is None
        assert metrics.snapshot() == {
            "total": len(abouts),
            "points": Counter(about.point for about in abouts),
            "operations": Counter(about.operation for about in abouts),
            "scopes": Counter(Scope.parse(about.stream).kind for about in abouts if about.stream is not None),
            "bytes_written": sum(len(about.after or b"") for about in abouts if about.point == "after_state_write"),
        }

    def test_threads_lose_no_count(self) -> None:
        metrics = Metrics()

        def count() -> None:
            for _ in range(200):
                run(metrics, subject(after="x"), FakeWorld())

        threads = [threading.Thread(target=count) for _ in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert metrics.snapshot()["total"] == 1000
        assert metrics.snapshot()["bytes_written"] == 3000


class TestDebugging:
    @given(st.integers(1, 4), st.integers(0, 8))
    def test_the_last_traces_are_kept_in_order(self, keep: int, count: int) -> None:
        debugging = Debugging(keep)
        for number in range(count):
            run(debugging, subject(after=number), FakeWorld())
        assert [trace.after for trace in debugging.traces()] == list(range(count))[-keep:]

    def test_a_trace_has_what_the_context_held(self) -> None:
        debugging, world = Debugging(), FakeWorld()
        about = subject(
            "before_state_write", before=1, after=2, actor="ann", correlation_id="c", metadata=b'{"m":1}', tags=("t",)
        )
        run(debugging, about, world)
        (trace,) = debugging.traces()
        assert (trace.at, trace.scope, trace.key) == (world.now(), Scope.agent("a1"), "plan")
        assert (trace.before, trace.after, trace.metadata, trace.tags) == (1, 2, {"m": 1}, ("t",))
        assert (trace.actor, trace.correlation_id, trace.attempt, trace.redelivered) == ("ann", "c", 1, False)

    def test_the_text_has_a_line_for_each_trace_with_long_values_cut(self) -> None:
        debugging = Debugging()
        run(debugging, subject(before="a\nb", after="x" * 200, actor="ann"), FakeWorld())
        run(debugging, subject("after_state_clear", key=None, before=["a"], attempt=2, redelivered=True), FakeWorld())
        run(debugging, subject("before_state_read", as_of="7"), FakeWorld())
        assert debugging.render().split("\n") == [
            f"{NOW} after_state_write set agent:a1 plan before='a\\nb' after='{'x' * 76}... actor='ann'",
            f"{NOW} after_state_clear clear agent:a1 before=['a'] attempt=2 redelivered",
            f"{NOW} before_state_read get agent:a1 plan as_of='7'",
        ]
