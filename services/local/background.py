"""The supervisor as a process of its own: started behind (`up --detach`) and ended (`down`)."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable

from services import installation
from services.installation import Installation
from services.local import jars, processes, status
from services.local.directory import DataDirectory
from services.local.plan import LOCAL, Options
from shared.errors import RegularsError
from shared.wording import counted

POLL_SECONDS = 0.1
DOWN_SECONDS = 90.0

Say = Callable[[str], None]


def start(options: Options, say: Say) -> int:
    """Start a supervisor in a session of its own and return when all is ready: 0, or the code with which it gave up.

    What it says until then is said here too.
    """
    if options.kafka == LOCAL:
        jars.ensure()  # here, where there is a terminal for the progress bar
    log = DataDirectory(options.data_dir).begin_log("supervisor")
    with log.open("ab") as output, log.open("r", encoding="utf-8", errors="replace") as news:
        news.seek(0, os.SEEK_END)
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "services.cli", "up", *_arguments(options)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            while process.poll() is None and not _is_running(options, process.pid):
                _pass_on(news.read(), say)
                time.sleep(POLL_SECONDS)
        except KeyboardInterrupt:
            process.send_signal(signal.SIGTERM)
            process.wait()
            raise
        _pass_on(news.read(), say)
        # From here on it is nobody's child to wait for.
        code = process.poll()
        process.returncode = code if code is not None else 0
    return process.returncode


def stop(found: Installation, say: Say) -> None:
    """End the installation in order and return when nothing of it runs. Raises RegularsError when it does not end."""
    if status.supervised(found):
        pid = int(found.supervisor["pid"])
        os.kill(pid, signal.SIGTERM)
        end = time.monotonic() + DOWN_SECONDS
        while status.supervised(found):
            if time.monotonic() > end:
                raise RegularsError(
                    f"Process {pid} has not ended within {DOWN_SECONDS:.0f} s; see logs/supervisor.log."
                )
            time.sleep(POLL_SECONDS)
        say("Stopped; the data stays.")
    elif ended := processes.end_orphans(found.data_dir):
        say(f"The supervisor was gone; ended {counted(len(ended), 'process', 'processes')} of it. The data stays.")
    else:
        say("It was not running.")


def _is_running(options: Options, pid: int) -> bool:
    found = installation.find(options.data_dir)
    return found is not None and found.supervisor.get("pid") == pid and found.phase == "running"


def _pass_on(text: str, say: Say) -> None:
    if text:
        say(text.rstrip("\n"))


def _arguments(options: Options) -> list[str]:
    return [
        f"--data-dir={options.data_dir}",
        f"--ingest-port={options.ingest_port}",
        f"--admin-port={options.admin_port}",
        f"--sandbox-port={options.sandbox_port}",
        f"--kafka={options.kafka}",
        f"--database={options.database}",
        *(["--empty"] if options.empty else []),
        *(["--demo"] if options.demo else []),
        *([] if options.readers else ["--no-readers"]),
    ]
