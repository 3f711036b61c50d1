"""Where requests meet: what came in while one batch was being decided is the next batch, in one transaction.

So a coupon that all tills ask for at once costs a transaction a batch, not one a till, and its row is never fought
over inside a process. Threads, because psycopg waits in them; the event loop is woken once a batch.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import Any, Final, Generic, TypeVar

import psycopg

from services.ingest.till.asked import Place
from shared.database.engine import connect
from shared.errors import TransientError
from shared.logging import logger

MOST: Final = 256  # questions a batch
PATIENCE: Final = 4.0  # seconds for which a question is asked again while the database is away
AWAY: Final = "The database is away. Ask again: with the same sale nothing is counted twice."
log = logger(__name__)

Q = TypeVar("Q")
A = TypeVar("A")
Ask = Callable[[psycopg.Connection[Any], Sequence[Q]], Sequence[A]]


class _Waiting(Generic[Q, A]):
    """A question and whoever waits for its answer."""

    __slots__ = ("answer", "future", "question", "until")

    def __init__(self, question: Q, future: asyncio.Future[A]) -> None:
        self.question = question
        self.future = future
        self.until = time.monotonic() + PATIENCE
        self.answer: A | BaseException | None = None


class Desk(Generic[Q, A]):
    """Answers questions in batches, on one connection. `place` tells which must not be in one batch together."""

    def __init__(self, name: str, database: str, ask: Ask[Q, A], place: Callable[[Q], Place]) -> None:
        self._database = database
        self._ask = ask
        self._place = place
        self._queue: SimpleQueue[_Waiting[Q, A] | None] = SimpleQueue()
        self._connection: psycopg.Connection[Any] | None = None
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Wait for questions in the background."""
        self._thread.start()

    def stop(self) -> None:
        """Answer what was asked and end."""
        self._queue.put(None)
        self._thread.join(2 * PATIENCE)

    async def ask(self, question: Q) -> A:
        """The answer. Raises TransientError while the database is away."""
        future: asyncio.Future[A] = asyncio.get_running_loop().create_future()
        self._queue.put(_Waiting(question, future))
        return await future

    def _run(self) -> None:
        left: list[_Waiting[Q, A]] = []
        while True:
            first = left.pop(0) if left else self._queue.get()
            if first is None:
                break
            batch, left, ends = self._gather([first, *left])
            self._answer_all(batch)
            if ends:
                self._answer_all(left)
                break
        self._close()

    def _gather(self, given: list[_Waiting[Q, A]]) -> tuple[list[_Waiting[Q, A]], list[_Waiting[Q, A]], bool]:
        """What can be asked together, what must wait, and whether the end was asked for."""
        batch: list[_Waiting[Q, A]] = []
        later: list[_Waiting[Q, A]] = []
        places: set[Place] = set()
        ends = False
        while len(batch) < MOST:
            if given:
                waiting: _Waiting[Q, A] | None = given.pop(0)
            elif self._queue.empty():
                break
            else:
                waiting = self._queue.get()
            if waiting is None:
                ends = True
                break
            place = self._place(waiting.question)
            (later if place in places else batch).append(waiting)
            places.add(place)
        return batch, [*later, *given], ends

    def _answer_all(self, batch: list[_Waiting[Q, A]]) -> None:
        self._answer(batch)
        loops = {waiting.future.get_loop() for waiting in batch}
        for loop in loops:
            mine = [waiting for waiting in batch if waiting.future.get_loop() is loop]
            try:
                loop.call_soon_threadsafe(_deliver, mine)
            except RuntimeError:  # the loop is closed: nobody waits any more
                continue

    def _answer(self, batch: list[_Waiting[Q, A]]) -> None:
        if not batch:
            return
        try:
            answers = self._insist([waiting.question for waiting in batch], min(waiting.until for waiting in batch))
        except Exception as error:
            if isinstance(error, TransientError) or len(batch) == 1:
                if not isinstance(error, TransientError):
                    log.exception("till.failed")
                for waiting in batch:
                    waiting.answer = error
                return
            for waiting in batch:  # so that one that cannot be answered spoils no other
                self._answer([waiting])
            return
        for waiting, answer in zip(batch, answers, strict=True):
            waiting.answer = answer

    def _insist(self, questions: Sequence[Q], until: float) -> Sequence[A]:
        """The answers, asked for again over a new connection where one is lost. Raises TransientError at last."""
        delay = 0.01
        while True:
            try:
                if self._connection is None:
                    self._connection = connect(self._database, autocommit=True)
                return self._ask(self._connection, questions)
            except psycopg.OperationalError as error:
                # Whether it was done is not known; asked again, the same sale and the same hold find out.
                self._close()
                log.warning("till.repeated", why=str(error).strip(), questions=len(questions))
                if time.monotonic() + delay > until:
                    raise TransientError(AWAY, 2.0) from error
            time.sleep(delay)
            delay = min(delay * 2, 0.5)

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _deliver(answered: Sequence[_Waiting[Any, Any]]) -> None:
    for waiting in answered:
        if waiting.future.done():
            continue
        if isinstance(waiting.answer, BaseException):
            waiting.future.set_exception(waiting.answer)
        else:
            waiting.future.set_result(waiting.answer)
