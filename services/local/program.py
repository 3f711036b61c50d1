"""What is run as a child process, and how it is started and stopped."""

from __future__ import annotations

import os
import signal
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

# Marks every process of an installation, so that a later `regulars up` finds what a killed supervisor left behind.
MARK = "REGULARS_SUPERVISED_BY"


@dataclass(frozen=True)
class Program:
    """A command with its environment. `run_as` is a numeric user and group id (root only); None is the present user."""

    name: str
    command: list[str]
    directory: Path
    environment: dict[str, str] = field(default_factory=dict)
    run_as: tuple[int, int] | None = None
    stop_signal: signal.Signals = signal.SIGTERM

    def start(self, log: Path, mark: Path) -> subprocess.Popen[bytes]:
        """Start it in a session of its own (a Ctrl-C in the terminal reaches the supervisor only), logging to `log`."""
        log.parent.mkdir(parents=True, exist_ok=True)
        user, group = self.run_as or (None, None)
        with log.open("ab") as output:
            return subprocess.Popen(
                self.command,
                cwd=self.directory,
                env=os.environ | self.environment | {MARK: str(mark)},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                user=user,
                group=group,
                extra_groups=None if self.run_as is None else [],
            )

    def stop(self, process: subprocess.Popen[bytes], grace: float) -> None:
        """Ask it to end; after `grace` seconds end it."""
        if process.poll() is None:
            process.send_signal(self.stop_signal)
        try:
            process.wait(grace)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
