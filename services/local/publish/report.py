"""What became of the lines, told while it happens: a progress bar, and each refused line with its reason."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from shared.wording import counted


class Report:
    """Counts what was acknowledged and what was refused; shows both on stderr. `total_bytes` None means unknown."""

    def __init__(self, total_bytes: int | None, console: Console | None = None) -> None:
        self.acknowledged = 0
        self.rejected = 0
        self._console = console or Console(stderr=True)
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[count]:,} events, {task.fields[rate]:,.0f}/s"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=self._console,
        )
        self._task = self._progress.add_task("publishing", total=total_bytes, count=0, rate=0.0)
        self._began = time.monotonic()

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _at: TracebackType | None
    ) -> None:
        self._show(None)
        self._progress.stop()
        seconds = max(time.monotonic() - self._began, 1e-6)
        self._print(
            f"{counted(self.acknowledged, 'event')} acknowledged in {seconds:.1f} s "
            f"({self.acknowledged / seconds:,.0f}/s), {counted(self.rejected, 'line')} rejected."
        )

    def accept(self, count: int, end: int | None = None) -> None:
        """Kafka holds `count` more events; all up to byte `end` is dealt with, None tells nothing of that."""
        self.acknowledged += count
        self._show(end)

    def reject(self, number: int, reason: str) -> None:
        """Name a line that was not published, and why."""
        self.rejected += 1
        self._print(f"line {number}: {reason}")

    def wait(self, why: str) -> None:
        """Tell what it waits for; "" when it goes on."""
        self._progress.update(self._task, description=why or "publishing")

    def _show(self, end: int | None) -> None:
        rate = self.acknowledged / max(time.monotonic() - self._began, 1e-6)
        self._progress.update(self._task, completed=end, count=self.acknowledged, rate=rate)

    def _print(self, text: str) -> None:
        # As it is: a reason may hold brackets, and a program may read these lines.
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)
