"""The mail on disk: SQLite, written by one thread, read beside it."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from starlette.concurrency import run_in_threadpool

from services.local.sandbox.answer import RefusedError
from services.local.sandbox.mail import Mail, mailbox
from services.local.sandbox.message import Event, Message, from_ms, iso, to_ms
from services.local.sandbox.submission import Submission
from services.local.sandbox.writer import Writer, connect
from shared.errors import SetupError

T = TypeVar("T")
_LOT = 5_000  # messages whose recipients are indexed together
_CONTENT = msgspec.json.Decoder(Mail)
_FROM_THE_NEWEST = 2**63 - 1

_MESSAGE = """
    SELECT seq, id, received_at, idempotency_key, mail,
           coalesce((SELECT type FROM event WHERE event.seq = message.seq ORDER BY event.rowid DESC LIMIT 1),
                    'email.sent')
    FROM message"""


@dataclass(frozen=True)
class Filter:
    """Which messages: all, those `to` an exact address, or those with `part` somewhere in a recipient's address."""

    to: str = ""
    part: str = ""

    @property
    def by_recipient(self) -> bool:
        return bool(self.to or self.part)

    @property
    def seqs(self) -> str:
        if self.to:
            return "SELECT seq FROM recipient WHERE address = :to"
        if self.part:
            return "SELECT DISTINCT seq FROM recipient WHERE instr(address, :part) > 0"
        return "SELECT seq FROM message"

    @property
    def values(self) -> dict[str, Any]:
        return {"to": mailbox(self.to), "part": self.part.lower()}


@dataclass(frozen=True)
class Page:
    """Newest first. `before` is where the next page begins, None at the end; `revision` changes with what is shown."""

    count: int
    messages: list[Message]
    before: int | None
    revision: str


class Store:
    """Keeps mail in `data_dir/sandbox.sqlite3`. What a method has returned from is on disk."""

    def __init__(self, data_dir: Path) -> None:
        path = data_dir / "sandbox.sqlite3"
        try:
            data_dir.mkdir(parents=True, exist_ok=True)
            self._writing = connect(path)
            self._writing.executescript(resources.files(__package__).joinpath("schema.sql").read_text("utf-8"))
            self._reading = connect(path)
            self._reading.execute("PRAGMA query_only=ON")
        except (OSError, sqlite3.Error) as error:
            raise SetupError(
                f"The sandbox cannot keep mail in {path}: {error}. Give another data directory."
            ) from error
        self._path = path
        self._lock = threading.Lock()
        self._writer = Writer(self._writing, when_idle=_index)

    def close(self) -> None:
        self._writer.close()
        with self._lock:
            self._reading.close()
        self._writing.close()

    async def keep(self, submission: Submission) -> bytes:
        """Keeps the mails once and returns the answer; for a key seen before, the first answer and nothing kept.

        Raises RefusedError 409 where the key came with another payload.
        """
        return await self._write(submission.keep)

    async def empty(self) -> int:
        """Removes all messages and returns how many. Keys stay: a repeated request is still not a new mail."""

        def work(connection: sqlite3.Connection) -> int:
            (count,) = connection.execute("SELECT count(*) FROM message").fetchone()
            for table in ("message", "recipient", "event"):
                connection.execute(f"DELETE FROM {table}")
            return int(count)

        return await self._write(work)

    async def note(self, seq: int, event: Event, at: datetime) -> None:
        """Remembers a webhook that was sent."""
        await self._write(lambda connection: _note(connection, [(seq, event)], at))

    async def page(self, of: Filter, limit: int, before: int | None = None) -> Page:
        def work(connection: sqlite3.Connection) -> Page:
            values = {**of.values, "limit": limit + 1, "before": before or _FROM_THE_NEWEST}
            (count,) = connection.execute(f"SELECT count(*) FROM ({of.seqs})", values).fetchone()
            seqs = f"SELECT seq FROM ({of.seqs}) WHERE seq < :before ORDER BY seq DESC LIMIT :limit"
            rows = connection.execute(f"{_MESSAGE} WHERE seq IN ({seqs}) ORDER BY seq DESC", values).fetchall()
            messages = [_message(row) for row in rows[:limit]]
            (events,) = connection.execute("SELECT coalesce(max(rowid), 0) FROM event").fetchone()
            newest = messages[0].seq if messages else 0
            more = messages[-1].seq if len(rows) > limit else None
            return Page(count, messages, more, f"{count}-{newest}-{events}")

        while of.by_recipient and await self._write(_index):
            pass  # a lot at a time, so that mail coming in meanwhile does not wait for all of them
        return await self._read(work)

    async def after(self, seq: int, limit: int) -> list[Message]:
        """Those kept after it, oldest first."""
        query = f"{_MESSAGE} WHERE seq > ? ORDER BY seq LIMIT ?"
        rows = await self._read(lambda connection: connection.execute(query, [seq, limit]).fetchall())
        return [_message(row) for row in rows]

    async def message(self, identifier: str) -> Message:
        """Raises RefusedError 404 where there is none."""
        found = await self._read(lambda c: c.execute(f"{_MESSAGE} WHERE id = ?", [identifier]).fetchone())
        if found is None:
            raise RefusedError(404, "not_found", "Message not found. The list at /messages has those that are kept.")
        return _message(found)

    async def events(self, seq: int) -> list[Event]:
        """Oldest first."""
        query = "SELECT type, at, webhook_id, answered FROM event WHERE seq = ? ORDER BY rowid"
        rows = await self._read(lambda connection: connection.execute(query, [seq]).fetchall())
        return [Event(type_, iso(from_ms(at)), webhook_id, answered) for type_, at, webhook_id, answered in rows]

    async def begin_reporting(self) -> None:
        """Deliveries are to be reported from now on, or on from where an earlier run stopped."""
        newest = "SELECT 1, coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'message'"
        await self._write(lambda connection: _run(connection, f"INSERT OR IGNORE INTO reported {newest}"))

    async def end_reporting(self) -> None:
        await self._write(lambda connection: _run(connection, "DELETE FROM reported"))

    async def unreported(self, limit: int) -> list[Message]:
        """Oldest first."""
        query = f"{_MESSAGE} WHERE seq > (SELECT seq FROM reported) ORDER BY seq LIMIT ?"
        rows = await self._read(lambda connection: connection.execute(query, [limit]).fetchall())
        return [_message(row) for row in rows]

    async def reported(self, events: Sequence[tuple[int, Event]], through: int, at: datetime) -> None:
        """Remembers the webhooks and that deliveries are reported through this message."""

        def work(connection: sqlite3.Connection) -> None:
            _note(connection, events, at)
            connection.execute("UPDATE reported SET seq = ?", [through])

        await self._write(work)

    async def _write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        try:
            return await asyncio.wrap_future(self._writer.submit(work))
        except sqlite3.Error as error:
            message = (
                f"The sandbox could not write to {self._path}: {error}. Nothing was kept: make room and try again."
            )
            raise RefusedError(500, "application_error", message) from error

    async def _read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        def locked() -> T:
            with self._lock:
                return work(self._reading)

        return await run_in_threadpool(locked)


def _index(connection: sqlite3.Connection) -> bool:
    """Makes the next messages findable by their recipients. False once all are."""
    query = "SELECT seq, mail FROM message WHERE seq > (SELECT seq FROM indexed) ORDER BY seq LIMIT ?"
    rows = connection.execute(query, [_LOT]).fetchall()
    if not rows:
        return False
    entries = [(address, seq) for seq, content in rows for address in _CONTENT.decode(content).recipients]
    connection.executemany("INSERT INTO recipient VALUES (?, ?)", sorted(entries))
    connection.execute("UPDATE indexed SET seq = ?", [rows[-1][0]])
    return True


def _note(connection: sqlite3.Connection, events: Sequence[tuple[int, Event]], at: datetime) -> None:
    rows = [(seq, to_ms(at), event.type, event.webhook_id, event.answered) for seq, event in events]
    connection.executemany("INSERT INTO event VALUES (?, ?, ?, ?, ?)", rows)


def _run(connection: sqlite3.Connection, statement: str) -> None:
    connection.execute(statement)


def _message(row: tuple[int, str, int, str | None, bytes, str]) -> Message:
    seq, identifier, received_at, key, content, last_event = row
    return Message(seq, identifier, from_ms(received_at), key, _CONTENT.decode(content), last_event)
