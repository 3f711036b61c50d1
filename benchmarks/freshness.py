"""How long after its acceptance over HTTP an event's membership is visible, at a steady rate.

Each sale is the first of a new customer, which makes the customer a member. The last one of each POST is a probe: a
connection polls for its bit (for all of them, the polling itself would take half a core from the services). The time
starts when the POST is answered with 202 and ends when another connection sees the membership committed.

python -m benchmarks.freshness [--rate N] [--seconds N] [--customers N] [--json FILE]
"""

from __future__ import annotations

import asyncio
import statistics
import time
from datetime import UTC, datetime

import httpx
import msgspec
import psycopg

from benchmarks import crowd
from benchmarks.machine import machine, service
from benchmarks.report import Report, arguments
from services.local import ports
from shared.database.engine import engine, plain_url
from shared.keys import create_key

BATCH = 20
NEW = {"field": "visit_count", "op": "between", "value": [1, 3]}
SEEN = """
SELECT customer_id FROM customer WHERE organization_id = 'demo' AND customer_id = ANY(%s)
AND CASE WHEN length(memberships) > 0 THEN get_bit(memberships, 0) = 1 ELSE false END
"""


def body(first: int) -> bytes:
    now = datetime.now(UTC)
    lines = []
    for number in range(first, first + BATCH):
        data = {"organization_id": "demo", "store_id": "s1", "sale_id": f"R-{number}", "customer_id": f"new-{number}",
                "currency": "INR", "total": 100 + number % 50}  # fmt: skip
        event = {"specversion": "1.0", "id": f"e-{number}", "source": "/demo/stores/s1/terminals/t1", "time": now}
        lines.append(msgspec.json.encode(event | {"type": "sale.completed", "data": data}))
    return b"\n".join(lines)


async def offer(url: str, token: str, rate: int, seconds: int, accepted: dict[str, float]) -> None:
    """POST batches at the rate, whatever becomes of the earlier ones."""
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/x-ndjson"}
    async with httpx.AsyncClient(headers=headers, timeout=30) as client:
        tasks = []

        async def one(first: int) -> None:
            answer = await client.post(url, content=body(first))
            if answer.status_code != httpx.codes.ACCEPTED:
                raise RuntimeError(answer.text)
            now = time.perf_counter()
            accepted[f"new-{first + BATCH - 1}"] = now

        started = time.perf_counter()
        for number in range(rate * seconds // BATCH):
            await asyncio.sleep(max(0.0, started + number * BATCH / rate - time.perf_counter()))
            tasks.append(asyncio.create_task(one(number * BATCH)))
        await asyncio.gather(*tasks)


async def watch(database: str, total: int, accepted: dict[str, float], seen: dict[str, float]) -> None:
    """Poll for the memberships of whom was accepted, every two milliseconds."""
    async with await psycopg.AsyncConnection.connect(plain_url(database), autocommit=True) as connection:
        while len(seen) < total:
            waiting = [name for name in accepted if name not in seen]
            if waiting:
                cursor = await connection.execute(SEEN, [waiting])
                now_seen = await cursor.fetchall()
                now = time.perf_counter()
                seen.update({row[0]: now for row in now_seen})
            await asyncio.sleep(0.002)


async def run(url: str, token: str, database: str, rate: int, seconds: int) -> list[float]:
    accepted: dict[str, float] = {}
    seen: dict[str, float] = {}
    watching = asyncio.create_task(watch(database, rate * seconds // BATCH, accepted, seen))
    await offer(url, token, rate, seconds, accepted)
    await asyncio.wait_for(watching, 60)
    return [max(0.0, seen[name] - accepted[name]) * 1000 for name in accepted if int(name[4:]) > rate]


def main() -> None:
    given = arguments(
        __doc__,
        [("rate", 1_000, "events a second"), ("seconds", 20, "how long"), ("customers", 100_000, "customers before")],
    )
    report = Report(
        "freshness", f"{given.rate:,} events/s over HTTP in POSTs of {BATCH}, {given.customers:,} customers"
    )
    with machine() as settings:
        crowd.found(settings.database, given.customers, [NEW, *crowd.segments(99)])
        store = engine(settings.database)
        with store.begin() as connection:
            _, token = create_key(connection, "demo", "terminal", "")
        store.dispose()
        port = ports.free()
        with service("segmenter", settings), service("ingest", settings, ingest_port=str(port)):
            found = asyncio.run(
                run(f"http://127.0.0.1:{port}/v1/events", token, settings.database, given.rate, given.seconds)
            )
    report.add("accepted -> membership visible, p50 ms", statistics.median(found))
    report.add("accepted -> membership visible, p99 ms", statistics.quantiles(found, n=100)[98])
    report.add("accepted -> membership visible, max ms", max(found))
    report.claim("accepted -> membership visible, p50 ms", "<= 25")
    report.claim("accepted -> membership visible, p99 ms", "<= 100")
    report.finish(given.json)


if __name__ == "__main__":
    main()
