"""How long a new segment takes to fill, against counting with the same predicate; and the preview.

python -m benchmarks.backfill [--customers N] [--runs N] [--json FILE]
"""

from __future__ import annotations

import time

from psycopg.types.json import Jsonb
from sqlalchemy import func, select

from benchmarks import crowd
from benchmarks.machine import machine, service
from benchmarks.report import Report, arguments
from shared.clock import utc_now
from shared.database.engine import connect, engine
from shared.database.predicate import predicate
from shared.database.tables import customer
from shared.domain.criteria import parse

# Stats only: nobody comes or goes by time between the two countings.
WANTED = {"all": [{"field": "total_spent", "op": "gte", "value": 900_000},
                  {"field": "visit_count", "op": "gte", "value": 10}]}  # fmt: skip
CREATE = """
INSERT INTO segment (organization_id, segment_id, name, kind, criteria, slot, state, progress)
VALUES ('demo', %(name)s, %(name)s, 'dynamic', %(criteria)s, %(slot)s, 'filling', 0)
"""
STATE = "SELECT state, member_count FROM segment WHERE organization_id = 'demo' AND segment_id = %s"


def main() -> None:
    given = arguments(__doc__, [("customers", 1_000_000, "customers"), ("runs", 3, "runs")])
    report = Report("backfill", f"a new segment over {given.customers:,} customers, 20 segments before")
    with machine() as settings:
        crowd.found(settings.database, given.customers, crowd.segments(20))
        store = engine(settings.database)
        with service("segmenter", settings), connect(settings.database, autocommit=True) as connection:
            for run in range(given.runs):
                counting = select(func.count()).select_from(customer)
                started = time.perf_counter()
                with store.connect() as reader:
                    count = reader.scalar(counting.where(predicate(parse(WANTED), "demo", "UTC", utc_now())))
                counted = time.perf_counter() - started
                name = f"new-{run}"
                started = time.perf_counter()
                connection.execute(CREATE, {"name": name, "criteria": Jsonb(WANTED), "slot": 20 + run})
                connection.execute("SELECT pg_notify('regulars_segments', 'demo')")
                while (row := connection.execute(STATE, [name]).fetchone()) is None or row[0] != "live":
                    time.sleep(0.02)
                filled = time.perf_counter() - started
                if row[1] != count:
                    raise RuntimeError(f"{row[1]} members, {count} by SQL")
                report.add("bare count (and preview), s", counted)
                report.add("fill, s", filled)
                report.add("ratio to the bare count", filled / counted)
        store.dispose()
    report.claim("ratio to the bare count", "<= 4")
    report.claim("bare count (and preview), s", "<= 1.5")
    report.finish(given.json)


if __name__ == "__main__":
    main()
