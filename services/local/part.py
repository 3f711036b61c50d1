"""A part of the installation, and the thread that keeps it running."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from services.local.program import Program
from shared.errors import RegularsError, SetupError

FIRST_PAUSE = 0.25
LONGEST_PAUSE = 10.0
SOUND_AFTER = 30.0  # a part that ran this long starts again without delay
POLL_SECONDS = 0.1


@dataclass(frozen=True)
class Part:
    """How to run it and how to tell that it works. `prepare` is called before each start and may raise SetupError."""

    name: str
    prepare: Callable[[], Program]
    is_ready: Callable[[], bool]
    grace: float = 15.0  # seconds to end by itself


class Keeper(threading.Thread):
    """Runs one part until told to stop; starts it again when it ends, waiting longer each time it ends early.

    `needs` are keepers whose parts must work before this one is started. `changed` is called after each start and end.
    """

    def __init__(
        self, part: Part, log: Path, mark: Path, changed: Callable[[str], None], needs: tuple[Keeper, ...] = ()
    ) -> None:
        super().__init__(name=part.name, daemon=True)
        self.part = part
        self.log = log
        self.ready = threading.Event()
        self.starts = 0
        self.refused: SetupError | None = None  # why it could not even be started
        self.code: int | None = None  # with which it ended last
        self._mark = mark
        self._changed = changed
        self._needs = needs
        self._stopping = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._program: Program | None = None

    @property
    def pid(self) -> int | None:
        process = self._process
        return None if process is None or process.poll() is not None else process.pid

    def run(self) -> None:
        pause = FIRST_PAUSE / 2
        while self._wait_for_needs():
            began = time.monotonic()
            why = self._run_once()
            if self._stopping.is_set():
                break
            pause = FIRST_PAUSE if time.monotonic() - began > SOUND_AFTER else min(pause * 2, LONGEST_PAUSE)
            self._changed(f"{self.part.name} {why}; starting it again in {pause:.1f} s")
            self._stopping.wait(pause)

    def stop(self) -> None:
        """End the part for good; returns when it has ended."""
        self._stopping.set()
        # The part may be just about to start: then there is a process to end only after a moment.
        while self.is_alive():
            if self._program is not None and self._process is not None:
                self._program.stop(self._process, self.part.grace)
            self.join(POLL_SECONDS)

    def _wait_for_needs(self) -> bool:
        for need in self._needs:
            while not self._stopping.is_set() and not need.ready.wait(POLL_SECONDS):
                pass
        return not self._stopping.is_set()

    def _run_once(self) -> str:
        """Run it from start to end; returns how it ended."""
        self.starts += 1
        try:
            self._program = self.part.prepare()
            if self._stopping.is_set():
                return "was stopped"
            self._process = self._program.start(self.log, self._mark)
        except SetupError as error:
            self.refused = error
            return f"could not be started: {error}"
        except (RegularsError, OSError) as error:
            self.refused = SetupError(f"{self.part.name} could not be started: {error}")
            return f"could not be started: {error}"
        process = self._process
        self._changed("")
        while process.poll() is None and not self._stopping.is_set():
            if self.part.is_ready():
                self.ready.set()
                self._changed("")
                break
            self._stopping.wait(POLL_SECONDS)
        self.code = code = process.wait()
        self.ready.clear()
        self._changed("")
        return f"was ended by signal {-code}" if code < 0 else f"ended with code {code}"
