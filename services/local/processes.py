"""Processes of an installation, found by the mark that each was started with."""

from __future__ import annotations

import os
from pathlib import Path

import psutil

from services.local.program import MARK

GRACE_SECONDS = 10.0


def marked(root: Path) -> list[psutil.Process]:
    """Every process that was started for `root` or a directory in it, without this one."""
    found = []
    for process in psutil.process_iter():
        try:
            mark = process.environ().get(MARK)
        except (psutil.Error, OSError):
            continue
        if mark and Path(mark).is_relative_to(root) and process.pid != os.getpid():
            found.append(process)
    return found


def end_orphans(root: Path, grace: float = GRACE_SECONDS) -> list[int]:
    """End what a killed supervisor left behind: politely, then not. Returns the ended process ids."""
    orphans = marked(root)
    for process in orphans:
        _send(process, kill=False)
    _, stubborn = psutil.wait_procs(orphans, timeout=grace)
    for process in stubborn:
        _send(process, kill=True)
    psutil.wait_procs(stubborn, timeout=grace)
    return [process.pid for process in orphans]


def start_time(pid: int) -> float | None:
    """When a process started (its identity beside the number, which is given again); None when there is none."""
    try:
        process = psutil.Process(pid)
        # What has ended but was not yet waited for still has a number.
        return None if process.status() == psutil.STATUS_ZOMBIE else process.create_time()
    except psutil.Error:
        return None


def _send(process: psutil.Process, *, kill: bool) -> None:
    try:
        if kill:
            process.kill()
        else:
            process.terminate()
    except psutil.Error:
        return
