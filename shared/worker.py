"""Faust's worker as our services run it."""

from __future__ import annotations

import asyncio

import faust

PATIENCE = 1.0


class Worker(faust.Worker):
    """Quiet, and ends as soon as there is nothing left to end."""

    def __init__(self, app: faust.App, loop: asyncio.AbstractEventLoop | None = None) -> None:
        super().__init__(app, loop=loop, quiet=True, redirect_stdouts=False, override_logging=False)
        self.spinner = None  # it would draw on stdout, which belongs to nobody here, or is a log

    async def _sentinel_task(self) -> None:
        """The last thing before the loop is closed: until what was cancelled has ended, not a second in any case."""
        others = asyncio.all_tasks() - {asyncio.current_task()}
        if others:
            await asyncio.wait(others, timeout=PATIENCE)
