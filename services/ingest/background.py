"""Work that goes on beside the requests: again and again, at once when woken, patiently while something is away."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from contextlib import suppress
from typing import Final

import psycopg

from shared.database.away import AWAY
from shared.errors import TransientError
from shared.logging import logger

PAUSE_SECONDS: Final = 1.0  # until what another process left behind is looked for
log = logger(__name__)


class Background(ABC):
    """Takes its `step` for as long as it runs. `name` is what the log calls it."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._woken = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._stopping = False

    def start(self) -> None:
        """Begin, on the running loop."""
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Finish the step that is under way; what is left is done after the next start."""
        self._stopping = True
        self._woken.set()
        if self._task is not None:
            await self._task  # never cancelled: its thread may be at work in the database

    def wake(self) -> None:
        """There is something to do."""
        self._woken.set()

    @abstractmethod
    async def step(self) -> None:
        """Do what there is to do. Raises TransientError, and what AWAY holds: it is tried again."""

    async def _run(self) -> None:
        pause = PAUSE_SECONDS
        while not self._stopping:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._woken.wait(), pause)
            self._woken.clear()
            try:
                await self.step()
                pause = PAUSE_SECONDS
            except (TransientError, psycopg.Error, *AWAY) as error:
                log.warning("background.waiting", work=self._name, why=str(error).partition("\n")[0])
                pause = 2 * PAUSE_SECONDS
