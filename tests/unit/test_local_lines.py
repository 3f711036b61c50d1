from __future__ import annotations

import io

import pytest

from services.local.publish import lines
from services.local.publish.lines import Line
from shared.domain.events import MAX_EVENT_BYTES


def read(content: bytes) -> list[Line]:
    return [line for chunk in lines.read(io.BytesIO(content)) for line in chunk.lines]


def test_lines_keep_their_numbers_past_blank_ones() -> None:
    assert read(b'{"a": 1}\n\n  \r\n{"b": 2}\r\nlast') == [Line(1, b'{"a": 1}'), Line(4, b'{"b": 2}'), Line(5, b"last")]


def test_an_empty_file_holds_no_lines() -> None:
    assert read(b"") == []


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1_000])
def test_lines_are_the_same_however_they_arrive(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    content = b"".join(b"%d\n" % number * (number % 3) + b"\n" for number in range(200))
    whole = read(content)
    monkeypatch.setattr(lines, "CHUNK_BYTES", size)
    assert read(content) == whole


def test_of_a_huge_line_no_more_is_kept_than_shows_that_it_is_too_long() -> None:
    first, second = read(b"x" * (5 * MAX_EVENT_BYTES) + b"\nnext\n")
    assert first.number == 1
    assert MAX_EVENT_BYTES < len(first.raw) <= MAX_EVENT_BYTES + 1 + lines.CHUNK_BYTES
    assert second == Line(2, b"next")


def test_chunks_tell_how_far_they_reach() -> None:
    assert [chunk.end for chunk in lines.read(io.BytesIO(b"a\nb\nc"))][-1] == 5
