"""How long a new segment takes to fill while events flow, against counting with the same predicate; and the preview.

Two segments: one with a twentieth of the customers in it, as VIPs are, and one with half. Each member is a row to
write, which counting is not: a bare UPDATE of as many rows, in a copy of the table, stands beside the count. Both are
taken while the same events flow. Freshness is from Kafka's acknowledgement
of a sale until another connection sees the membership that it gives a new customer, before the fills and during them.

python -m benchmarks.backfill [--customers N] [--rate N] [--runs N] [--json FILE]
"""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import msgspec
from psycopg.types.json import Jsonb
from sqlalchemy import Engine, func, select

from benchmarks import crowd
from benchmarks.machine import machine, service
from benchmarks.report import Report, arguments
from shared.clock import utc_now
from shared.database.engine import connect, engine
from shared.database.predicate import predicate
from shared.database.tables import customer
from shared.domain.criteria import parse
from shared.kafka import Topic, producer
from shared.settings import Settings

OFTEN = {"field": "visit_count", "op": "gte", "value": 10}
# Stats only: nobody comes or goes by time between the two countings.
WANTED: dict[str, Any] = {
    "a twentieth": {"all": [{"field": "total_spent", "op": "gte", "value": 1_883_000}, OFTEN]},
    "half": {"all": [{"field": "total_spent", "op": "gte", "value": 825_000}, OFTEN]},
}
NEW = {"field": "visit_count", "op": "lte", "value": 1}
# Rows and room on their pages as the customers have them, and the index that every update looks at.
COLUMNS = ", ".join(column.name for column in customer.columns if column.computed is None)
COPY = f"""
CREATE TABLE floor_customer (LIKE customer INCLUDING ALL);
ALTER TABLE floor_customer SET (fillfactor = 75);
INSERT INTO floor_customer ({COLUMNS}) SELECT {COLUMNS} FROM customer;
UPDATE floor_customer SET memberships = decode('00', 'hex') WHERE memberships = '';
"""
WRITE = """
UPDATE floor_customer SET memberships = set_bit(memberships, 0, 1 - get_bit(memberships, 0))
WHERE organization_id = 'demo' AND total_spent >= %s AND visit_count >= %s
"""
WARM, QUIET = 5, 5  # seconds
PROBES = 20  # every so many sales is of a new customer
CREATE = """
INSERT INTO segment (organization_id, segment_id, name, kind, criteria, slot, state, progress)
VALUES ('demo', %(name)s, %(name)s, 'dynamic', %(criteria)s, %(slot)s, 'filling', 0)
"""
STATE = "SELECT state, member_count FROM segment WHERE organization_id = 'demo' AND segment_id = %s"
SEEN = """
SELECT customer_id FROM customer WHERE organization_id = 'demo' AND customer_id = ANY(%s)
AND CASE WHEN length(memberships) > 0 THEN get_bit(memberships, 0) = 1 ELSE false END
"""


class Flow:
    """Sales at a steady rate, and how long each probe took."""

    def __init__(self, settings: Settings, rate: int, customers: int) -> None:
        self.settings = settings
        self.rate = rate
        self.customers = customers
        self.ending = threading.Event()
        self.acknowledged: dict[str, float] = {}
        self.waited: list[float] = []
        self.sent = 0

    def send(self) -> None:
        sink, topic = producer(self.settings, linger_ms=5), Topic.SALES.on(self.settings)
        rows = crowd.sales("flow", 10**7, self.customers)
        started = time.perf_counter()
        while not self.ending.is_set():
            ahead = started + self.sent / self.rate - time.perf_counter()
            if ahead > 0:
                time.sleep(min(ahead, 0.01))
                continue
            for _ in range(max(1, self.rate // 100)):
                self.sent += 1
                if self.sent % PROBES:
                    key, value = next(rows)
                    sink.send(topic, key=key, value=value)
                    continue
                name = f"new-{self.sent}"
                future = sink.send(topic, key=f"demo/{name}".encode(), value=_sale(name))
                future.add_callback(lambda _, name=name: self.acknowledged.setdefault(name, time.perf_counter()))
        sink.flush(30)
        sink.close()

    def watch(self) -> None:
        with connect(self.settings.database, autocommit=True) as connection:
            while not self.ending.is_set() or self.acknowledged:
                waiting = list(self.acknowledged)
                for (name,) in connection.execute(SEEN, [waiting]).fetchall() if waiting else []:
                    self.waited.append(time.perf_counter() - self.acknowledged.pop(name))
                time.sleep(0.005)


def _sale(name: str) -> bytes:
    data = {"organization_id": "demo", "store_id": "s1", "sale_id": f"R-{name}", "customer_id": name,
            "currency": "INR", "total": 100}  # fmt: skip
    event = {"specversion": "1.0", "id": name, "source": "/demo/stores/s1/terminals/t1", "time": datetime.now(UTC)}
    return msgspec.json.encode(event | {"type": "sale.completed", "data": data})


@contextmanager
def flowing(settings: Settings, rate: int, customers: int) -> Iterator[Flow]:
    flow = Flow(settings, rate, customers)
    threads = [threading.Thread(target=work) for work in (flow.send, flow.watch)]
    for thread in threads:
        thread.start()
    try:
        yield flow
    finally:
        flow.ending.set()
        for thread in threads:
            thread.join(60)


def counted(store: Engine, tree: dict[str, Any]) -> tuple[int, float]:
    """How many, and the seconds that counting took."""
    started = time.perf_counter()
    with store.connect() as reader:
        meant = predicate(parse(tree), "demo", "UTC", utc_now())
        number = reader.scalar(select(func.count()).select_from(customer).where(meant))
    return number or 0, time.perf_counter() - started


def written(settings: Settings, tree: dict[str, Any]) -> float:
    """The seconds that a bare UPDATE of the members' rows takes, with nothing told of it."""
    with connect(settings.database, autocommit=True) as connection:
        started = time.perf_counter()
        connection.execute(WRITE, [part["value"] for part in tree["all"]])
        return time.perf_counter() - started


def filled(settings: Settings, name: str, slot: int, tree: dict[str, Any]) -> tuple[int, float]:
    with connect(settings.database, autocommit=True) as connection:
        started = time.perf_counter()
        connection.execute(CREATE, {"name": name, "criteria": Jsonb(tree), "slot": slot})
        connection.execute("SELECT pg_notify('regulars_segments', 'demo')")
        while (row := connection.execute(STATE, [name]).fetchone()) is None or row[0] != "live":
            time.sleep(0.02)
        return row[1], time.perf_counter() - started


def main() -> None:
    given = arguments(
        __doc__,
        [("customers", 1_000_000, "customers"), ("rate", 2_000, "events a second"), ("runs", 3, "runs")],
    )
    title = f"a new segment over {given.customers:,} customers, 20 segments before, {given.rate:,} events/s"
    report = Report("backfill", title)
    slot = 20
    with machine() as settings:
        crowd.found(settings.database, given.customers, [NEW, *crowd.segments(19)])
        store = engine(settings.database)
        with connect(settings.database, autocommit=True) as connection:
            connection.execute(COPY)
            connection.execute("VACUUM (FREEZE, ANALYZE) floor_customer")
            connection.execute("CHECKPOINT")
        with service("segmenter", settings), flowing(settings, given.rate, given.customers) as flow:
            counted(store, WANTED["half"])  # warms the cache
            while len(flow.waited) < WARM * given.rate // PROBES:
                time.sleep(0.1)
            flow.waited.clear()
            time.sleep(QUIET)
            quiet = list(flow.waited)
            flow.waited.clear()
            for run in range(given.runs):
                for share, tree in WANTED.items():
                    number, floor = counted(store, tree)
                    bare = written(settings, tree)
                    members, took = filled(settings, f"new-{run}-{slot}", slot, tree)
                    slot += 1
                    if not 0.95 < members / number < 1.05:  # the flow moves some meanwhile
                        raise RuntimeError(f"{members} members, {number} by SQL")
                    report.add(f"{share}: bare count (and preview), s", floor)
                    report.add(f"{share}: bare UPDATE of the members' rows, s", bare)
                    report.add(f"{share}: fill, s", took)
                    report.add(f"{share}: ratio to the bare count", took / floor)
                    report.add(f"{share}: ratio to the bare count and UPDATE", took / (floor + bare))
        store.dispose()
    for when, waited in (("before", quiet), ("during", flow.waited)):
        report.add(f"events' freshness {when}, p50 ms", statistics.median(waited) * 1000)
        report.add(f"events' freshness {when}, p99 ms", statistics.quantiles(waited, n=100)[98] * 1000)
    report.add("events sent", flow.sent)
    for share in WANTED:
        report.claim(f"{share}: ratio to the bare count", "<= 4")
        report.claim(f"{share}: bare count (and preview), s", "<= 1.5")
    report.claim("events' freshness during, p99 ms", "<= 1,000")
    report.finish(given.json)


if __name__ == "__main__":
    main()
