"""Files of transcripts: JSON lines or one document, and the line where each run begins."""

from __future__ import annotations

import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backstory.domain.transcripts import Run, Unreadable
from backstory.transcript_files import Found, read_runs
from tests.support.runs import assistant, user


def run(name: str) -> dict[str, object]:
    return {"run_id": name, "messages": [user(), assistant("hi")], "reward": 1}


def found(data: bytes | str) -> list[Found]:
    return list(read_runs(io.BytesIO(data if isinstance(data, bytes) else data.encode()), stem="file"))


def told(data: bytes | str) -> list[tuple[int, str | None]]:
    """Return the line and the id of each run, None for what is none."""
    return [(line, content.id if isinstance(content, Run) else None) for line, _, content in found(data)]


A, B, C = (json.dumps(run(name)) for name in "ABC")
BARE = json.dumps([user(), assistant("hi")])
PRETTY = json.dumps([run("A"), run("B"), run("C")], indent=2)


def line_of(text: str, part: str) -> int:
    return 1 + text[: text.index(part)].count("\n")


def test_lines_are_runs() -> None:
    assert told(f"{A}\n{B}\n") == [(1, "A"), (2, "B")]


def test_blank_lines_windows_ends_and_a_byte_order_mark_do_not_count() -> None:
    assert told("\ufeff" + f"\n{A}\r\n\r\n  \n{B}") == [(2, "A"), (5, "B")]


def test_a_broken_line_is_told_and_the_others_are_read() -> None:
    for broken in ("garbage", "{broken", A[:30], A[:-1], "[", '{"x": 1}', "5", "[" * 100_000, b"\xff\xfe{}", b"\0"):
        raw = broken if isinstance(broken, bytes) else broken.encode()
        assert told(raw + f"\n{B}\n".encode()) == [(1, None), (2, "B")], broken
        assert told(f"{A}\n".encode() + raw + f"\n{B}\n".encode()) == [(1, "A"), (2, None), (3, "B")], broken
        assert told(f"{A}\n".encode() + raw) == [(1, "A"), (2, None)], broken


def test_lines_are_read_even_where_the_first_two_are_broken() -> None:
    assert told(f"{A[:30]}\n{B[:40]}\n{C}\n") == [(1, None), (2, None), (3, "C")]


@pytest.mark.parametrize("first", [A, "{broken", "garbage", '{"run_id": "Z", "messages": ['])
def test_lines_are_read_one_at_a_time(first: str) -> None:
    file = io.BytesIO(f"{first}\n{B}\n{C}\n".encode())
    runs = read_runs(file, stem="file")
    next(runs)

    assert file.tell() <= len(f"{first}\n{B}\n")


def test_a_document_is_one_run() -> None:
    for text in (A, json.dumps(run("A"), indent=4), "\n\n " + json.dumps(run("A"), indent=1)):
        assert [(line_of(text, "{"), "A")] == told(text)


def test_a_document_is_a_list_of_runs_each_with_its_line() -> None:
    lines = [line_of(PRETTY, f'"{name}"') - 1 for name in "ABC"]

    assert list(zip(lines, "ABC", strict=True)) == told(PRETTY)
    assert told(f"[\n{A},\n{B}\n]") == [(2, "A"), (3, "B")]
    assert told(f"[{A}\n,\n\n{B}]\n") == [(1, "A"), (4, "B")]
    assert told(f"[\n{A}\n]") == [(2, "A")]
    assert told(f"[{A}, {B}]") == [(1, "A"), (1, "B")]


def test_a_bare_list_of_messages_is_named_by_the_file_and_its_line() -> None:
    assert told(BARE) == [(1, "file-1")]
    assert told(f"{A}\n{BARE}\n{BARE}") == [(1, "A"), (2, "file-2"), (3, "file-3")]
    assert told("\n" + json.dumps([user(), assistant("hi")], indent=2)) == [(2, "file-2")]
    assert told(f"[\n{BARE},\n{BARE}]") == [(2, "file-2"), (3, "file-3")]
    assert told(f"[\n{BARE}, {BARE},\n{BARE}]") == [(2, "file-2"), (2, "file-2-2"), (3, "file-3")]
    assert told(f"[{BARE}, {BARE}, {A}, {BARE}]\n{BARE}") == [
        (1, "file-1"),
        (1, "file-1-2"),
        (1, "A"),
        (1, "file-1-3"),
        (2, "file-2"),
    ]


def test_a_document_of_one_message_a_line_is_one_run() -> None:
    text = '{"run_id": "A", "messages": [\n {"role": "user", "content": "x"},\n {"role": "user", "content": "y"}\n]}'

    assert told(text) == [(1, "A")]


def test_a_broken_document_is_told_once_with_the_line_of_the_fault() -> None:
    broken = PRETTY.replace('"reward": 1', '"reward": oops', 2).replace('"reward": oops', '"reward": 1', 1)

    (only,) = found(broken)

    assert only.line == line_of(broken, "oops")
    assert isinstance(only.content, Unreadable)
    assert told(PRETTY[:-100])[0][1] is None
    assert len(told(PRETTY[:-100])) == 1


def test_a_document_with_garbage_between_its_runs_tells_it_and_goes_on() -> None:
    assert told(f"[\n{A},\n5,\n{B}\n]") == [(2, "A"), (3, None), (4, "B")]


def test_an_empty_file_holds_no_run() -> None:
    assert [told(""), told("\n \n"), told("\ufeff")] == [[], [], []]


def test_the_ends_grow_to_the_size_of_the_file() -> None:
    for text in (f"{A}\n{B}\n{C}\n", PRETTY, A):
        ends = [end for _, end, _ in found(text)]
        assert ends == sorted(ends)
        assert 0 < ends[0] <= ends[-1] <= len(text)


@given(st.binary(max_size=200))
def test_whatever_bytes_a_file_holds_they_are_runs_or_told(data: bytes) -> None:
    found(data)


@given(st.lists(st.sampled_from([A, B, BARE, "{", "[", "]", "},", "[{", '"', "", "5", '{"messages": [']), max_size=8))
def test_however_lines_are_put_together_whole_lines_are_found_or_a_document_is(parts: list[str]) -> None:
    text = "\n".join(parts)
    try:
        json.loads(text)
    except ValueError:
        wanted = [number for number, part in enumerate(parts, 1) if part in {A, B, BARE}]
        got = [line for line, _, content in found(text) if isinstance(content, Run)]
        assert wanted == got


@pytest.mark.parametrize("text", ["5", '"text"', "null", "[]", "{}", "[1, 2]", '{"messages": 5}'])
def test_a_document_without_a_run_is_told(text: str) -> None:
    assert told(text) == [(1, None)]
