"""Single and batched POSTs, against the same bodies validated and produced in a loop without HTTP.

python -m benchmarks.ingest [--json FILE]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import platform
import statistics
import sys
import tempfile
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec
import psutil
from sqlalchemy import NullPool, insert

from services.local import ports
from services.local.program import Program
from shared.database.engine import engine
from shared.database.migrate import upgrade
from shared.database.tables import organization
from shared.domain.events import decode_till, kafka_key, split_batch, topic_of
from shared.kafka import create_topics, producer
from shared.keys import create_key
from shared.settings import IngestSettings
from tests import stack

RUNS, BODIES, BATCH, SINGLES = 3, 60, 1_000, 4_000
NDJSON = "application/x-ndjson"


def sale(number: int) -> bytes:
    """A 400-byte receipt of one line."""
    line = {"product_id": f"p-{number % 97}", "category": "Bakery", "quantity": 2, "unit_price": 4750, "total": 9500}
    data = {
        "organization_id": "demo",
        "store_id": f"s{number % 20}",
        "terminal_id": "t7",
        "sale_id": f"R-{number}",
        "customer_id": f"c-{number % 5000}",
        "currency": "INR",
        "total": 9000,
        "discount": 500,
        "lines": [line],
    }
    event = {"specversion": "1.0", "id": f"e-{number}", "source": "/demo/stores/s1/terminals/t7"}
    return msgspec.json.encode(event | {"type": "sale.completed", "time": datetime.now(UTC), "data": data})


def bare_loop(settings: IngestSettings, bodies: list[bytes]) -> float:
    """The floor: events a second of one loop that validates and produces, all acknowledged at its end."""
    sender = producer(settings, metrics_enabled=False)
    for topic in {topic_of("sale.completed")}:
        sender.partitions_for(settings.topic_prefix + topic)
    started = time.perf_counter()
    futures = []
    for body in bodies:
        now = datetime.now(UTC)
        for raw in split_batch(body, NDJSON):
            event = decode_till(raw, now)
            futures.append(sender.send(settings.topic_prefix + topic_of(event.type), raw, kafka_key(event)))
    for future in futures:
        future.get(60)
    seconds = time.perf_counter() - started
    sender.close()
    return len(futures) / seconds


async def post(port: int, token: str, bodies: list[bytes], clients: int) -> tuple[float, list[float]]:
    """POST all bodies over so many connections; the seconds of the whole and of each request."""
    waiting, took = iter(bodies), []

    async def one() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for body in waiting:
            head = (
                f"POST /v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n"
                f"Content-Type: {NDJSON}\r\nContent-Length: {len(body)}\r\n\r\n"
            )
            started = time.perf_counter()
            writer.write(head.encode() + body)
            answer = await reader.readuntil(b"\r\n\r\n")
            if not answer.startswith(b"HTTP/1.1 202"):
                raise RuntimeError(answer.decode())
            length = next(line for line in answer.lower().split(b"\r\n") if line.startswith(b"content-length"))
            await reader.readexactly(int(length.partition(b":")[2]))
            took.append(time.perf_counter() - started)
        writer.close()

    started = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(clients)))
    return time.perf_counter() - started, took


def measure(settings: IngestSettings, token: str, process: psutil.Process) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    events = iter(range(10**9))

    def batches() -> list[bytes]:
        return [b"\n".join(sale(next(events)) for _ in range(BATCH)) for _ in range(BODIES)]

    def note(name: str, value: float) -> None:
        found.setdefault(name, []).append(value)

    port = settings.ingest_port
    asyncio.run(post(port, token, batches()[:5], 4))  # warm
    for _ in range(RUNS):
        floor = bare_loop(settings, batches())
        note("bare loop, events/s", floor)
        before = process.cpu_times()
        seconds, _ = asyncio.run(post(port, token, batches(), 8))
        after = process.cpu_times()
        rate = BODIES * BATCH / seconds
        note("batches of 1,000, 8 clients, events/s", rate)
        note("ratio to the bare loop", rate / floor)
        note("CPU of ingest, us/event", (sum(after[:2]) - sum(before[:2])) / (BODIES * BATCH) * 1e6)
        singles = [sale(next(events)) for _ in range(SINGLES)]
        seconds, _ = asyncio.run(post(port, token, singles, 32))
        note("single events, 32 clients, events/s", SINGLES / seconds)
        _, took = asyncio.run(post(port, token, singles[:500], 1))
        note("single event, one client, p50 ms", statistics.median(took) * 1000)
        note("single event, one client, p99 ms", statistics.quantiles(took, n=100)[98] * 1000)
    note("resident memory of ingest, MB", process.memory_info().rss / 1e6)
    return found


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--json", type=Path)
    target: Path | None = arguments.parse_args().json
    with stack.kafka_server() as kafka, stack.database_server() as database, tempfile.TemporaryDirectory() as folder:
        settings = IngestSettings(kafka=kafka, database=database, ingest_port=ports.free(), topic_prefix="bench.")
        upgrade(database)
        create_topics(settings)
        connections = engine(database, poolclass=NullPool)
        with connections.begin() as connection:
            values = {"organization_id": "demo", "name": "Demo", "currency": "INR", "time_zone": "UTC"}
            connection.execute(insert(organization).values(values))
            token = create_key(connection, "demo", "terminal")[1]
        environment = {
            "REGULARS_KAFKA": kafka,
            "REGULARS_DATABASE": database,
            "REGULARS_TOPIC_PREFIX": settings.topic_prefix,
            "REGULARS_INGEST_PORT": str(settings.ingest_port),
            "REGULARS_RATE_LIMIT": "100000000",
            "REGULARS_LOG_LEVEL": "warning",
        }
        program = Program("ingest", [sys.executable, "-m", "services.cli", "ingest"], Path.cwd(), environment)
        process = program.start(Path(folder) / "ingest.log", Path(folder))
        try:
            stack.eventually(lambda: ready(settings.ingest_port))
            found = measure(settings, token, psutil.Process(process.pid))
        finally:
            program.stop(process, 20)
    report = {
        "name": "ingest",
        "machine": f"{platform.machine()}, {psutil.cpu_count()} cores, Python {platform.python_version()}",
        "versions": {name: version(name) for name in ("kafka-python", "fastapi", "uvicorn", "msgspec")},
        "workload": f"{BODIES} bodies of {BATCH} sales; {SINGLES} single sales; {RUNS} runs",
        "results": {name: summary(values) for name, values in found.items()},
    }
    for name, values in report["results"].items():  # type: ignore[attr-defined]
        print(f"{name:42} {values['median']:>12,.2f}   ({values['min']:,.2f} to {values['max']:,.2f})")
    if target is not None:
        target.write_text(json.dumps(report, indent=2), encoding="utf-8")


def ready(port: int) -> bool:
    import httpx  # noqa: PLC0415 - for this one question

    try:
        return httpx.get(f"http://127.0.0.1:{port}/readyz").is_success
    except httpx.HTTPError:
        return False


def summary(values: list[float]) -> dict[str, Any]:
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


if __name__ == "__main__":
    main()
