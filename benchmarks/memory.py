"""Resident size of each service at a million customers, after work.

python -m benchmarks.memory [--customers N] [--events N] [--json FILE]
"""

from __future__ import annotations

import time
from contextlib import ExitStack

from kafka import KafkaAdminClient

from benchmarks import crowd
from benchmarks.machine import machine, service
from benchmarks.report import Report, arguments
from benchmarks.segmenter import counted, fill
from services.local import ports


def main() -> None:
    given = arguments(
        __doc__, [("customers", 1_000_000, "customers before"), ("events", 100_000, "sales that the segmenter counts")]
    )
    report = Report("memory", f"{given.customers:,} customers, 100 segments, after {given.events:,} sales")
    with machine() as settings, ExitStack() as running:
        crowd.found(settings.database, given.customers, crowd.segments(100))
        fill(settings, list(crowd.sales("m", given.events, given.customers)))
        own = {"ingest": {"ingest_port": str(ports.free())}, "admin": {"admin_port": str(ports.free())}}
        processes = {
            name: running.enter_context(service(name, settings, **own.get(name, {})))
            for name in ("segmenter", "mailer", "ingest", "admin")
        }
        admin = KafkaAdminClient(bootstrap_servers=settings.kafka)
        while counted(admin, settings) < given.events:
            time.sleep(0.1)
        admin.close()
        for name, process in processes.items():
            report.add(f"{name}, MB", process.memory_info().rss / 1e6)
            report.claim(f"{name}, MB", "<= 200")
    report.finish(given.json)


if __name__ == "__main__":
    main()
