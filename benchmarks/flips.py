"""How late memberships move that time alone moves: many customers due within one minute.

Each is due at an instant of its own, spread evenly over the minute. The delay is from that instant to the one at which
the change was decided; its transaction commits some milliseconds later. None may be decided before its instant.

python -m benchmarks.flips [--customers N] [--due N] [--json FILE]
"""

from __future__ import annotations

import time

from benchmarks import crowd
from benchmarks.machine import machine, service
from benchmarks.report import Report, arguments
from shared.database.engine import connect

DAYS = 60
AWAY = {"field": "last_visit", "op": "more_than_ago", "days": DAYS}
AHEAD = 20  # seconds until the first one is due: the service starts meanwhile
# Evenly over a minute from then on.
PREPARE = """
WITH due AS (
    SELECT organization_id, customer_id,
           now() + make_interval(secs => %(ahead)s + 60.0 * row_number() OVER (ORDER BY customer_id) / %(due)s)
           AS due_at
    FROM customer WHERE organization_id = 'demo' ORDER BY customer_id LIMIT %(due)s
), set_back AS (
    UPDATE customer c SET last_visit_at = due_at - make_interval(days => %(days)s), scheduled_at = due_at,
                          memberships = ''
    FROM due WHERE c.organization_id = due.organization_id AND c.customer_id = due.customer_id
)
INSERT INTO flip (organization_id, due_at, customer_id) SELECT organization_id, due_at, customer_id FROM due
ON CONFLICT DO NOTHING
"""
DECIDED = (
    "SELECT count(*) FROM segment_change WHERE organization_id = 'demo' AND cause = 'time' AND 's-0' = ANY(entered)"
)
DELAYS = """
SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY late), percentile_cont(0.99) WITHIN GROUP (ORDER BY late),
       max(late), min(late)
FROM (SELECT extract(epoch FROM s.at - (c.last_visit_at + make_interval(days => %s))) * 1000 AS late
      FROM segment_change s JOIN customer c USING (organization_id, customer_id)
      WHERE s.organization_id = 'demo' AND s.cause = 'time' AND 's-0' = ANY(s.entered)) AS delays
"""


def main() -> None:
    given = arguments(__doc__, [("customers", 1_000_000, "customers"), ("due", 50_000, "due within one minute")])
    report = Report("flips", f"{given.due:,} of {given.customers:,} customers due within one minute")
    with machine() as settings:
        crowd.found(settings.database, given.customers, [AWAY])
        with connect(settings.database, autocommit=True) as connection:
            connection.execute("TRUNCATE flip")
            connection.execute(PREPARE, {"due": given.due, "days": DAYS, "ahead": AHEAD})
            with service("segmenter", settings):
                deadline = time.monotonic() + AHEAD + 180
                while (connection.execute(DECIDED).fetchone() or (0,))[0] < given.due:
                    if time.monotonic() > deadline:
                        raise TimeoutError("not all moved")
                    time.sleep(0.5)
            found = connection.execute(DELAYS, [DAYS]).fetchone() or (0, 0, 0, 0)
    for name, value in zip(("p50", "p99", "max", "min"), found, strict=True):
        report.add(f"due -> decided, {name} ms", float(value))
    report.claim("due -> decided, p99 ms", "<= 300")
    report.claim("due -> decided, min ms", ">= 0: none before its instant")
    report.finish(given.json)


if __name__ == "__main__":
    main()
