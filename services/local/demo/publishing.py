"""The year into Kafka, and the wait until the stats show it: two bars that move side by side."""

from __future__ import annotations

import asyncio
import time
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from sqlalchemy import Engine

from services.local.demo import figures
from services.local.demo.organization import ORGANIZATION_ID
from services.local.demo.sending import send
from services.local.demo.year import Year
from shared.errors import RegularsError
from shared.settings import Settings

POLL_SECONDS = 0.25
STUCK_SECONDS = 60.0


def bring_in(year: Year, settings: Settings, store: Engine, console: Console) -> float:
    """Publish every event of the year and return when the stats show all: the seconds that took.

    Raises RegularsError when Kafka or the segmenter does not go on.
    """
    with Bars(len(year), store, console) as bars:
        asyncio.run(send(year.events(), settings, bars.show_published))
        bars.wait()
        return bars.elapsed


class Bars:
    """How far Kafka and the stats are on the way to `total` events."""

    def __init__(self, total: int, store: Engine, console: Console) -> None:
        self._total = total
        self._store = store
        self._progress = Progress(
            TextColumn("  {task.description:<9}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeElapsedColumn(),
            console=console,
        )
        self._published, self._counted = (
            self._progress.add_task(name, total=total, rate="") for name in ("published", "counted")
        )
        self._began = self._asked = time.monotonic()

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    @property
    def elapsed(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self._began

    def show_published(self, events: int) -> None:
        """Kafka holds so many; now and then look what the stats show meanwhile."""
        self._show(self._published, events)
        if time.monotonic() - self._asked > POLL_SECONDS:
            self._look()

    def wait(self) -> None:
        """Return when the stats show all."""
        moved, before = time.monotonic(), 0
        while (now := self._look()) < self._total:
            if now > before:
                moved, before = time.monotonic(), now
            elif time.monotonic() - moved > STUCK_SECONDS:
                raise RegularsError(
                    f"The stats have stood at {now:,} of {self._total:,} events for {STUCK_SECONDS:.0f} s. "
                    "`regulars dead-letters list` and logs/segmenter.log tell why."
                )
            time.sleep(POLL_SECONDS)

    def _look(self) -> int:
        events = figures.read(self._store, ORGANIZATION_ID).events
        self._asked = time.monotonic()
        self._show(self._counted, events)
        return events

    def _show(self, task: TaskID, events: int) -> None:
        rate = f"{events / max(self.elapsed, 1e-3):7,.0f}/s"
        self._progress.update(task, completed=min(events, self._total), rate=rate)
