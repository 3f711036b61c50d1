"""The segmenter against the bare loop: events a second from a topic that was filled beforehand.

Floor, in the same run and on the same server: decode, COPY into a temporary table, insert into a ledger with one key,
upsert sums; no Kafka, no segments, no memberships, no outbox; sequential on one connection, and as two threads.

python -m benchmarks.segmenter [--customers N] [--segments N] [--windowed N] [--events N] [--runs N] [--json FILE]
"""

from __future__ import annotations

import threading
import time

import msgspec
import psutil
from kafka import KafkaAdminClient
from kafka.errors import KafkaError

from benchmarks import crowd
from benchmarks.machine import machine, service
from benchmarks.report import Report, arguments
from shared.database.engine import connect
from shared.domain.event_types import SaleCompleted
from shared.kafka import Topic, producer
from shared.settings import Settings

BATCH = 5_000
FLOOR_TABLES = """
CREATE TABLE floor_ledger (
    organization_id text COLLATE "C", occurred_on date, source text COLLATE "C", event_id text COLLATE "C", type text,
    occurred_at timestamptz, customer_id text COLLATE "C", sale_id text, store_id text, terminal_id text, amount bigint,
    discount bigint, lines json, PRIMARY KEY (organization_id, occurred_on, source, event_id));
CREATE TABLE floor_customer (
    organization_id text COLLATE "C", customer_id text COLLATE "C", total_spent bigint, visit_count int,
    first_visit_at timestamptz, last_visit_at timestamptz, PRIMARY KEY (organization_id, customer_id));
INSERT INTO floor_customer
SELECT organization_id, customer_id, total_spent, visit_count, first_visit_at, last_visit_at FROM customer;
"""
STAGE = "CREATE TEMPORARY TABLE stage (LIKE floor_ledger) ON COMMIT DELETE ROWS"
TYPES = ["text", "date", "text", "text", "text", "timestamptz", "text", "text", "text", "text", "int8", "int8", "text"]
COLUMNS = (
    "organization_id, occurred_on, source, event_id, type, occurred_at, customer_id, sale_id, store_id, terminal_id, "
    "amount, discount, lines"
)
STAGE_TEXT = "ALTER TABLE stage ALTER COLUMN lines TYPE text"
INSERT = f"INSERT INTO floor_ledger SELECT {COLUMNS.replace('lines', 'lines::json')} FROM stage ON CONFLICT DO NOTHING"
UPSERT = """
INSERT INTO floor_customer AS c
SELECT organization_id, customer_id, sum(amount), count(*), min(occurred_at), max(occurred_at) FROM stage
GROUP BY 1, 2 ORDER BY 1, 2
ON CONFLICT (organization_id, customer_id) DO UPDATE SET
    total_spent = c.total_spent + excluded.total_spent, visit_count = c.visit_count + excluded.visit_count,
    first_visit_at = least(c.first_visit_at, excluded.first_visit_at),
    last_visit_at = greatest(c.last_visit_at, excluded.last_visit_at)
"""


def bare_loop(database: str, values: list[bytes]) -> None:
    decoder = msgspec.json.Decoder(SaleCompleted)
    with connect(database, autocommit=True) as connection:
        connection.execute(STAGE)
        connection.execute(STAGE_TEXT)
        for first in range(0, len(values), BATCH):
            with connection.transaction(), connection.cursor() as cursor:
                with cursor.copy(f"COPY stage ({COLUMNS}) FROM STDIN (FORMAT binary)") as sink:
                    sink.set_types(TYPES)
                    for value in values[first : first + BATCH]:
                        event = decoder.decode(value)
                        data = event.data
                        sink.write_row((
                            data.organization_id, event.time.date(), event.source, event.id, event.type, event.time,
                            data.customer_id, data.sale_id, data.store_id, data.terminal_id, data.total, data.discount,
                            msgspec.json.encode(data.lines).decode(),
                        ))  # fmt: skip
                cursor.execute(INSERT)
                cursor.execute(UPSERT)


def timed_floor(database: str, values: list[bytes], threads: int) -> float:
    """Events a second."""
    share = len(values) // threads
    parts = [values[n * share : (n + 1) * share] for n in range(threads)]
    workers = [threading.Thread(target=bare_loop, args=(database, part)) for part in parts]
    started = time.perf_counter()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return share * threads / (time.perf_counter() - started)


def tidy(database: str) -> None:
    """What the floor left behind must not be tidied up while the segmenter is timed."""
    with connect(database, autocommit=True) as connection:
        connection.execute("VACUUM (ANALYZE) floor_customer, floor_ledger, customer")


def fill(settings: Settings, sales: list[tuple[bytes, bytes]]) -> None:
    sink = producer(settings, linger_ms=20)
    name = Topic.SALES.on(settings)
    for key, value in sales:
        sink.send(name, key=key, value=value)
    sink.flush(120)
    sink.close()


def counted(admin: KafkaAdminClient, settings: Settings) -> int:
    """Records whose batch is committed."""
    group = f"{settings.topic_prefix}segmenter"
    try:
        offsets = admin.list_group_offsets({group: None})[group]
    except KafkaError:  # nobody has consumed yet
        return 0
    total: int = sum(max(0, found.offset) for found in offsets.values())
    return total


def timed_segmenter(settings: Settings, number: int, report: Report) -> float:
    """Events a second from when all lanes have their partitions to the last committed batch.

    Until then the relay lets events go first, for ten seconds at most; how long all takes with telling of every change
    is reported, too.
    """
    admin = KafkaAdminClient(bootstrap_servers=settings.kafka)
    before = counted(admin, settings)
    with service("segmenter", settings) as process:
        first, first_at, cpu = counted(admin, settings), time.perf_counter(), cpu_of(process)
        while (now := counted(admin, settings)) < before + number:
            time.sleep(0.1)
        rate = (now - first) / (time.perf_counter() - first_at)
        memory = process.memory_info().rss
        with connect(settings.database, autocommit=True) as connection:
            while connection.execute("SELECT EXISTS (SELECT FROM outbox)").fetchone() == (True,):
                time.sleep(0.05)
        report.add("events/s until every change is in Kafka, too", (now - first) / (time.perf_counter() - first_at))
        report.add("CPU of the segmenter's process, us/event", (cpu_of(process) - cpu) / (now - first) * 1e6)
        report.add("resident memory of the segmenter, MB", max(memory, process.memory_info().rss) / 1e6)
    admin.close()
    return rate


def cpu_of(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def main() -> None:
    given = arguments(
        __doc__,
        [
            ("customers", 1_000_000, "customers before the first event"),
            ("segments", 100, "dynamic segments"),
            ("windowed", 0, "so many of them add up what was bought in the last days"),
            ("events", 200_000, "sales a run"),
            ("runs", 3, "runs"),
        ],
    )
    kinds = f"{given.segments} segments, {given.windowed} of them windowed"
    workload = f"{given.events:,} sales by {given.customers:,} customers, {kinds}, durable"
    report = Report("segmenter", workload)
    with machine() as settings:
        criteria = [*crowd.segments(given.segments - given.windowed), *crowd.windowed(given.windowed)]
        crowd.found(settings.database, given.customers, criteria)
        with connect(settings.database, autocommit=True) as connection:
            connection.execute(FLOOR_TABLES)
            connection.execute("VACUUM (FREEZE, ANALYZE) floor_customer")
            connection.execute("CHECKPOINT")
        for run in range(given.runs):
            values = [value for _, value in crowd.sales(f"f{run}", given.events // 2, given.customers)]
            sequential = timed_floor(settings.database, values, 1)
            values = [value for _, value in crowd.sales(f"g{run}", given.events, given.customers)]
            parallel = timed_floor(settings.database, values, 2)
            tidy(settings.database)
            fill(settings, list(crowd.sales(f"r{run}", given.events, given.customers)))
            rate = timed_segmenter(settings, given.events, report)
            report.add("events/s", rate)
            report.add("ratio to the sequential loop", rate / sequential)
            report.add("ratio to the loop as two threads", rate / parallel)
            report.add("sequential loop, events/s", sequential)
            report.add("loop as two threads, events/s", parallel)
    report.claim("events/s", ">= 25,000 on two idle cores")
    report.claim("ratio to the sequential loop", ">= 1.0 (issue A), >= 1.2 (issue B)")
    report.finish(given.json)


if __name__ == "__main__":
    main()
