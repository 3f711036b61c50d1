"""What `regulars status` shows people."""

from __future__ import annotations

import io

from rich.console import Console

from services.local.status import show

DATABASE = "postgresql://regulars:" + "x" * 60 + "@127.0.0.1:5432/regulars"


def shown(**given: object) -> list[str]:
    status = {
        "endpoints": {"ingest": "http://127.0.0.1:8010", "database": DATABASE},
        "metrics": {"mailer": "http://127.0.0.1:9003/metrics"},
        "processes": {"ingest": 4711, "database": 4710, "mailer": 4713},
        "keys": {"terminal": "rg.demo.1", "owner": "rg.demo.2"},
        "console": {},
        "not_ready": {},
    }
    told = io.StringIO()
    show(status | given, Console(file=told, width=60))
    return told.getvalue().splitlines()


def test_an_address_is_never_broken_however_narrow_the_screen() -> None:
    (line,) = [line for line in shown() if line.startswith("database")]
    assert line.split() == ["database", "ready", "4710", DATABASE]


def test_what_is_not_ready_says_why_below() -> None:
    lines = shown(not_ready={"mailer": "the database does not answer"})
    at = next(n for n, line in enumerate(lines) if line.startswith("mailer"))
    assert lines[at].split()[1:3] == ["not", "ready"]
    assert lines[at + 1].strip() == "the database does not answer"


def test_what_was_stopped_is_not_called_ready() -> None:
    lines = shown(processes={}, not_ready={"supervisor": "not running: start it with `regulars up`"})
    assert [line.split()[1] for line in lines[:3]] == ["stopped"] * 3
    assert "Not running: start it with `regulars up`" in lines
