"""How an installation fares, asked part by part."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from services.installation import Installation
from services.local import probes, processes


def supervised(installation: Installation) -> bool:
    """Whether the supervisor that wrote the file still lives. A process id alone would not tell: it is given again."""
    started = processes.start_time(int(installation.supervisor.get("pid", 0)))
    return started is not None and abs(started - installation.supervisor["started"]) < 1


def read(installation: Installation) -> dict[str, Any]:
    """The content of `regulars status --json`, with the reasons of what is not ready in `not_ready`."""
    alive = supervised(installation)
    troubles = _troubles(installation) if alive else {"supervisor": "not running: start it with `regulars up`"}
    return {
        "ready": not troubles,
        "organization_id": installation.organization_id,
        "endpoints": installation.endpoints,
        "metrics": installation.metrics,
        "processes": installation.processes if alive else {},
        "keys": installation.keys,
        "console": installation.console,
        "not_ready": troubles,
    }


def show(status: dict[str, Any], console: Console) -> None:
    """The same for people."""
    table = Table(box=None, show_header=False, pad_edge=False)
    for _ in ("name", "readiness", "address", "process"):
        table.add_column(overflow="fold")
    names = dict.fromkeys([*status["endpoints"], *status["metrics"], *status["processes"]])
    for name in names:
        why = status["not_ready"].get(name)
        table.add_row(
            name,
            Text(why, style="red") if why else Text("ready", style="green") if status["processes"] else "",
            status["endpoints"].get(name, status["metrics"].get(name, "")),
            str(status["processes"].get(name, "")),
        )
    console.print(table)
    if "supervisor" in status["not_ready"]:
        console.print(Text(status["not_ready"]["supervisor"].capitalize(), style="red"))
    if status["console"]:
        told = status["console"]
        console.print(
            f"console  {told['url']} as {told['email']}, password {told['password']}", highlight=False, soft_wrap=True
        )
    for role, key in status["keys"].items():
        console.print(f"{role} key  {key}", highlight=False)


def _troubles(installation: Installation) -> dict[str, str]:
    endpoints = installation.endpoints
    with ThreadPoolExecutor() as pool:
        asked = {
            name: pool.submit(probes.why_not_ready, url.removesuffix("/metrics"))
            for name, url in installation.metrics.items()
        }
        asked["sandbox"] = pool.submit(probes.why_not_ready, endpoints["sandbox"])
        asked["database"] = pool.submit(probes.why_no_database, endpoints["database"])
        asked["kafka"] = pool.submit(probes.why_no_kafka, endpoints["kafka"])
        answers = {name: future.result() for name, future in asked.items()}
    troubles = {name: why for name, why in answers.items() if why is not None}
    if not troubles and installation.phase != "running":
        troubles["supervisor"] = f"{installation.phase}; `regulars status` again in a moment"
    return troubles
