"""Single and batched POSTs, against the same bodies validated and produced in a loop without HTTP.

python -m benchmarks.ingest [--json FILE]
"""

from __future__ import annotations

import asyncio
import statistics
import time
from datetime import UTC, datetime

import msgspec
import psutil
from sqlalchemy import NullPool, insert

from benchmarks.machine import machine, service
from benchmarks.report import Report, arguments
from services.local import ports
from shared.database.engine import engine
from shared.database.tables import organization
from shared.domain.events import decode_till, kafka_key, split_batch, topic_of
from shared.kafka import producer
from shared.keys import create_key
from shared.settings import IngestSettings

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
    given = arguments(__doc__)
    report = Report("ingest", f"{BODIES} bodies of {BATCH:,} sales; {SINGLES:,} single sales; durable")
    with machine() as stores:
        port = ports.free()
        settings = IngestSettings(
            kafka=stores.kafka, database=stores.database, topic_prefix=stores.topic_prefix, ingest_port=port
        )
        store = engine(stores.database, poolclass=NullPool)
        with store.begin() as connection:
            values = {"organization_id": "demo", "name": "Demo", "currency": "INR", "time_zone": "UTC"}
            connection.execute(insert(organization).values(values))
            token = create_key(connection, "demo", "terminal")[1]
        with service("ingest", stores, ingest_port=str(port), rate_limit="100000000") as process:
            for name, values_of_runs in measure(settings, token, process).items():
                report.add(name, *values_of_runs)
    report.claim("ratio to the bare loop", ">= 0.6")
    report.finish(given.json)


if __name__ == "__main__":
    main()
