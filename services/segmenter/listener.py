"""A service that works when told: it listens on a PostgreSQL channel, and wakes by itself when something is due."""

from __future__ import annotations

import asyncio
import random
import threading
from concurrent.futures import ThreadPoolExecutor

import psycopg
from kafka.errors import KafkaError
from mode import Service
from psycopg import sql

from services.segmenter.connection import connect
from services.segmenter.staging import Connection
from shared.logging import logger
from shared.settings import SegmenterSettings

log = logger(__name__)
LONGEST_WAIT = 60.0


class Listener(Service):
    """Runs `work` in a thread of its own, again after each notification and after the seconds that it asks for."""

    channel: str

    def __init__(self, settings: SegmenterSettings) -> None:
        super().__init__()
        self.settings = settings
        self.ending = threading.Event()
        self.thread = ThreadPoolExecutor(1, thread_name_prefix=self.channel)

    def work(self, connection: Connection) -> float:
        """Do what is due; returns after how many seconds to look again when nobody calls."""
        raise NotImplementedError

    def end(self) -> None:
        """Give back what `work` holds, in its thread."""

    @Service.task
    async def listen(self) -> None:
        await asyncio.get_running_loop().run_in_executor(self.thread, self._run_to_the_end)

    async def on_stop(self) -> None:
        self.ending.set()
        self.thread.shutdown()

    def _run_to_the_end(self) -> None:
        try:
            self._run()
        finally:
            self.end()

    def _run(self) -> None:
        delay = 0.1
        while not self.ending.is_set():
            try:
                with connect(self.settings.database) as connection:
                    connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(self.channel)))
                    delay = 0.1
                    self._attend(connection)
            except (psycopg.Error, KafkaError) as error:
                log.warning("listener.interrupted", channel=self.channel, why=str(error).strip())
                self.ending.wait(delay * (0.5 + random.random()))  # noqa: S311 - spreads retries, no secret
                delay = min(delay * 2, 5.0)

    def _attend(self, connection: Connection) -> None:
        while not self.ending.is_set():
            wait = min(self.work(connection), LONGEST_WAIT)
            # In slices, so that a stop need not be told by the database.
            while wait > 0 and not self.ending.is_set():
                if list(connection.notifies(timeout=min(wait, 0.5), stop_after=1)):
                    break
                wait -= 0.5
