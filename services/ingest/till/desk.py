"""Where requests meet: what came in while one batch was being decided is the next batch, in one transaction.

So a coupon that all tills ask for at once costs a transaction a batch, not one a till, and its row is never fought
over inside a process. Threads, because psycopg waits in them; the event loop is woken once a batch.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any, Final, Generic, Protocol, TypeVar

import psycopg

from services.ingest.till.asked import Place
from shared.database.engine import connect
from shared.errors import TransientError
from shared.logging import logger

MOST: Final = 256  # questions a batch
PATIENCE: Final = 4.0  # seconds for which a question is asked again while the database is away
# A batch names its rows by their keys. The planner, which cannot know how many it names, would rather read whole tables
# at times; and planning again for each batch would take longer than to carry it out.
PLANNING: Final = " ".join(
    f"-c {setting}"
    for setting in (
        "enable_seqscan=off",
        "enable_hashjoin=off",
        "enable_mergejoin=off",
        "enable_memoize=off",
        "plan_cache_mode=force_generic_plan",
    )
)
AWAY: Final = "The database is away. Ask again: with the same sale nothing is counted twice."
log = logger(__name__)


class Placed(Protocol):
    """A question."""

    @property
    def place(self) -> Place:
        """The use that it is about."""


Q = TypeVar("Q", bound=Placed)
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
    """Answers questions in batches, by a thread and a connection; two of the same place are never in one batch.

    One thread, because two of them fight over the interpreter: over 1,000 codes they answered a third less.
    """

    def __init__(self, name: str, database: str, ask: Ask[Q, A]) -> None:
        self._queue: SimpleQueue[_Waiting[Q, A] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._database = database
        self._ask = ask
        self._connection: psycopg.Connection[Any] | None = None

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
        ends = False
        while left or not ends:
            first = left.pop(0) if left else self._queue.get()
            if first is None:
                break
            batch, left, ends = self._gather([first, *left], ends=ends)
            self._answer(batch)
            _wake(batch)
        self._close()

    def _gather(
        self, given: list[_Waiting[Q, A]], *, ends: bool
    ) -> tuple[list[_Waiting[Q, A]], list[_Waiting[Q, A]], bool]:
        """What can be asked together, what must wait, and whether the end was asked for."""
        batch: list[_Waiting[Q, A]] = []
        later: list[_Waiting[Q, A]] = []
        places: set[Place] = set()
        while len(batch) < MOST and (given or not ends):
            try:
                waiting = given.pop(0) if given else self._queue.get_nowait()
            except Empty:
                break
            if waiting is None:
                ends = True
                break
            place = waiting.question.place
            (later if place in places else batch).append(waiting)
            places.add(place)
        return batch, [*later, *given], ends

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
                    self._connection = connect(self._database, autocommit=True, options=PLANNING)
                return self._ask(self._connection, questions)
            except (psycopg.OperationalError, psycopg.errors.UniqueViolation) as error:
                # Whether it was done is not known; asked again, the same sale and the same hold find out. So where a
                # redemption came in between, of a code that was no coupon yet: nobody held its row.
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


def _wake(answered: Sequence[_Waiting[Any, Any]]) -> None:
    """Hand the answers over, on the loops that wait for them."""
    for loop in {waiting.future.get_loop() for waiting in answered}:
        mine = [waiting for waiting in answered if waiting.future.get_loop() is loop]
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(_deliver, mine)


def _deliver(answered: Sequence[_Waiting[Any, Any]]) -> None:
    for waiting in answered:
        if waiting.future.done():
            continue
        if isinstance(waiting.answer, BaseException):
            waiting.future.set_exception(waiting.answer)
        else:
            waiting.future.set_result(waiting.answer)
