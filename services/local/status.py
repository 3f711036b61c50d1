"""How an installation fares, asked part by part."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from rich.console import Console
from rich.text import Text

from services.installation import Installation
from services.local import probes, processes
from shared.errors import SetupError
from shared.settings import recorded


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
    """The same for people: a line a part, none of them broken, so that addresses can be copied."""
    troubles, running = status["not_ready"], status["processes"]
    names = dict.fromkeys([*status["endpoints"], *status["metrics"], *running])
    width = max(map(len, [*names, *(f"{role} key" for role in status["keys"])]))

    def tell(name: str, *parts: Text | str) -> None:
        console.print(Text("  ").join([Text(f"{name:<{width}}"), *map(_text, parts)]), soft_wrap=True)

    for name in names:
        state = Text("not ready", "red") if name in troubles else Text("ready    ", "green")
        address = status["endpoints"].get(name, status["metrics"].get(name, ""))
        tell(name, state if running or name in troubles else "stopped  ", f"{running.get(name, ''):>7}", address)
        if name in troubles:
            tell("", Text(troubles[name], "red"))
    if "supervisor" in troubles:
        console.print(Text(troubles["supervisor"].capitalize(), "red"), soft_wrap=True)
    console.print()
    if told := status["console"]:
        tell("console", told["url"])
        tell("", f"{told['email']}, password {told['password']}")
    for role, key in status["keys"].items():
        tell(f"{role} key", key)


def _why_no_kafka(environment: Mapping[str, str]) -> str | None:
    try:
        return probes.why_no_kafka(recorded(environment))
    except SetupError as error:  # a certificate that is gone
        return str(error)


def _text(part: Text | str) -> Text:
    return part if isinstance(part, Text) else Text(part)


def _troubles(installation: Installation) -> dict[str, str]:
    endpoints = installation.endpoints
    with ThreadPoolExecutor() as pool:
        asked = {
            name: pool.submit(probes.why_not_ready, url.removesuffix("/metrics"))
            for name, url in installation.metrics.items()
        }
        asked["sandbox"] = pool.submit(probes.why_not_ready, endpoints["sandbox"])
        asked["database"] = pool.submit(probes.why_no_database, endpoints["database"])
        asked["kafka"] = pool.submit(_why_no_kafka, installation.environment)
        answers = {name: future.result() for name, future in asked.items()}
    troubles = {name: why for name, why in answers.items() if why is not None}
    if not troubles and installation.phase != "running":
        troubles["supervisor"] = f"{installation.phase}; `regulars status` again in a moment"
    return troubles
