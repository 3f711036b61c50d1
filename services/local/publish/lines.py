"""Events as lines of a file or of standard input, read as they come: a file may be larger than memory, a pipe slow."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shared.domain.events import MAX_EVENT_BYTES
from shared.errors import SetupError

Source = Any  # of bytes; has read1, which gives what is there without waiting for more
STDIN = "-"
CHUNK_BYTES = 1_000_000


@dataclass(frozen=True, slots=True)
class Line:
    """A line that holds something; `number` counts from 1."""

    number: int
    raw: bytes


@dataclass(frozen=True, slots=True)
class Chunk:
    """Lines that were there together; `end` is how far into the file they reach, in bytes."""

    lines: list[Line]
    end: int


@contextmanager
def opened(file: str) -> Iterator[tuple[Source, int | None]]:
    """The bytes of a file, or of standard input for "-", and how many there are if that is known."""
    if file == STDIN:
        yield sys.stdin.buffer, None
        return
    try:
        with Path(file).open("rb") as source:
            # A pipe has no size to speak of.
            yield source, Path(file).stat().st_size or None
    except (FileNotFoundError, IsADirectoryError, PermissionError) as error:
        raise SetupError(f"Cannot read {file}: {error.strerror}.") from error


def read(source: Source) -> Iterator[Chunk]:
    """All that is there, up to CHUNK_BYTES at a time. Of a line too long for an event only the beginning is kept."""
    number = end = 0
    rest = b""
    while data := source.read1(CHUNK_BYTES):
        end += len(data)
        *whole, rest = (rest + data).split(b"\n")
        yield Chunk(_lines(whole, number), end)
        number += len(whole)
        # One byte more than is allowed: enough to be refused, and no more to remember.
        rest = rest[: MAX_EVENT_BYTES + 1]
    if rest:
        yield Chunk(_lines([rest], number), end)


def paced(chunks: Iterator[Chunk], rate: float | None) -> Iterator[Chunk]:
    """The same lines, at most `rate` a second."""
    if rate is None:
        yield from chunks
        return
    step = max(1, int(rate / 20))
    began, count = time.monotonic(), 0
    for chunk in chunks:
        for start in range(0, len(chunk.lines), step):
            time.sleep(max(0.0, count / rate - (time.monotonic() - began)))
            part = chunk.lines[start : start + step]
            count += len(part)
            yield Chunk(part, chunk.end)


def _lines(raws: list[bytes], before: int) -> list[Line]:
    return [Line(number, raw) for number, raw in enumerate(map(bytes.strip, raws), start=before + 1) if raw]
