"""One thread owns the writing connection, and those who wait together share one commit."""

from __future__ import annotations

import queue
import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Generic, TypeVar

T = TypeVar("T")
_MOST_TOGETHER = 64  # bounds how long the first of a group waits
_IDLE_AFTER = 0.2  # seconds


def connect(path: Path) -> sqlite3.Connection:
    """Transactions are begun and ended by hand. synchronous=FULL: what was answered outlives a power cut too, and
    since a commit is shared its fsync costs little.
    """
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA wal_autocheckpoint=4000")
    connection.execute("PRAGMA journal_size_limit=67108864")
    return connection


class _Job(Generic[T]):
    """A piece of work and where its outcome goes. `work` raises nothing but what its caller is to see."""

    def __init__(self, work: Callable[[sqlite3.Connection], T]) -> None:
        self.work = work
        self.future: Future[T] = Future()
        self.outcome: T | None = None
        self.error: Exception | None = None

    def attempt(self, connection: sqlite3.Connection) -> None:
        """Runs inside the group's transaction; a refusal undoes only its own changes."""
        connection.execute("SAVEPOINT job")
        try:
            self.outcome = self.work(connection)
        except sqlite3.Error:
            raise
        except Exception as error:  # noqa: BLE001 - handed to whoever waits for it
            connection.execute("ROLLBACK TO job")
            self.error = error
        connection.execute("RELEASE job")

    def settle(self) -> None:
        if self.error is not None:
            self.future.set_exception(self.error)
        else:
            self.future.set_result(self.outcome)  # type: ignore[arg-type] # it is a T once attempted


class Writer:
    """`submit` hands work over; its future ends after the commit, so that what it says is on disk.

    `when_idle` is done bit by bit while nothing is handed over, for as long as it returns True.
    """

    def __init__(self, connection: sqlite3.Connection, when_idle: Callable[[sqlite3.Connection], bool]) -> None:
        self._connection = connection
        self._when_idle = when_idle
        self._jobs: queue.SimpleQueue[_Job[Any] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="sandbox-writer", daemon=True)
        self._thread.start()

    def submit(self, work: Callable[[sqlite3.Connection], T]) -> Future[T]:
        job = _Job(work)
        self._jobs.put(job)
        return job.future

    def close(self) -> None:
        """Ends after all that was submitted."""
        self._jobs.put(None)
        self._thread.join()

    def _run(self) -> None:
        idle_work = True
        while True:
            try:
                first = self._jobs.get(timeout=_IDLE_AFTER if idle_work else None)
            except queue.Empty:
                chore = _Job(self._when_idle)
                self._commit([chore])
                idle_work = chore.future.exception() is None and chore.future.result()
                continue
            if first is None:
                return
            self._commit([job for job in self._together(first) if job.future.set_running_or_notify_cancel()])
            idle_work = True

    def _together(self, first: _Job[Any]) -> Iterator[_Job[Any]]:
        """The first and those that already wait behind it."""
        yield first
        for _ in range(_MOST_TOGETHER - 1):
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                return
            if job is None:
                self._jobs.put(None)  # the end stays the end
                return
            yield job

    def _commit(self, group: list[_Job[Any]]) -> None:
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            for job in group:
                job.attempt(self._connection)
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            # A full disk or a locked file concerns the whole group: nothing of it is kept, each is told.
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            for job in group:
                job.future.set_exception(error)
        else:
            for job in group:
                job.settle()
