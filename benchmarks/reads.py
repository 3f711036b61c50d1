"""What is asked of a whole organization: `regulars verify`, previews of segments, and a campaign's counts.

A million customers with a ledger of three million entries, a hundred segments (20 over windows) and a campaign that
mailed everybody.

python -m benchmarks.reads [--customers N] [--runs N] [--json FILE]
"""

from __future__ import annotations

import time
from typing import Any

import httpx

from benchmarks import ledger_crowd
from benchmarks.machine import machine, service
from benchmarks.report import Report, arguments
from services.local import ports
from services.segmenter.verify import verify
from shared.database.engine import connect, engine
from shared.keys import create_key
from shared.settings import Settings

CAMPAIGN = """
INSERT INTO campaign (organization_id, campaign_id, name, type, subject, body, state)
VALUES ('demo', 'all', 'All', 'newsletter', 'Hello', 'Hello', 'sending')
"""
MESSAGES = """
INSERT INTO message (organization_id, campaign_id, customer_id, occasion, state, reason, queued, email, sent_at,
                     delivered_at, opened_at, clicked_at)
SELECT 'demo', 'all', customer_id, 'send', CASE WHEN n % 10 = 0 THEN 'skipped' ELSE 'delivered' END,
       CASE WHEN n % 10 = 0 THEN 'no_consent' END, false, email, now, now, CASE WHEN n % 3 = 0 THEN now END,
       CASE WHEN n % 30 = 0 THEN now END
FROM (SELECT customer_id, email, right(customer_id, 6)::int AS n, now() AS now FROM customer
      WHERE organization_id = 'demo') AS people
"""
SPENT: dict[str, Any] = {"field": "total_spent", "op": "gte", "value": 500_000}
NOBODY: dict[str, Any] = {"field": "visit_count", "op": "gt", "value": 1_000}
BASKET: dict[str, Any] = {"field": "average_basket", "op": "between", "value": [20_000, 90_000]}
AWAY: dict[str, Any] = {"field": "last_visit", "op": "more_than_ago", "days": 30}
SPEND: dict[str, Any] = {"field": "spend", "op": "gte", "value": 100_000, "last_days": 60}
BOUGHT: dict[str, Any] = {"field": "bought", "op": "has_any", "product_ids": ["p-7"], "last_days": 60}
PREVIEWS: dict[str, dict[str, Any]] = {
    "half of all, by spend": SPENT,
    "nobody": NOBODY,
    "four stats": {"all": [SPENT, BASKET, AWAY, {"not": NOBODY}]},
    "spend of 60 days": SPEND,
    "a stat or bought in 60 days": {"any": [NOBODY, BOUGHT]},
}
OF_STATS = 3  # the first ones


def main() -> None:
    given = arguments(__doc__, [("customers", 1_000_000, "customers"), ("runs", 3, "times each question is asked")])
    report = Report("reads", f"{given.customers:,} customers with their ledger, 100 segments, 20 of them over windows")
    with machine() as settings:
        ledger_crowd.found(settings.database, given.customers, ledger_crowd.segments(100))
        ask(settings, report, given.runs)
    report.finish(given.json)


def ask(settings: Settings, report: Report, runs: int) -> None:
    with connect(settings.database, autocommit=True) as connection:
        connection.execute(CAMPAIGN)
        connection.execute(MESSAGES)
        connection.execute("VACUUM (ANALYZE) message")
    started = time.perf_counter()
    found = verify(settings.database)
    report.add("verify, s", time.perf_counter() - started)
    report.claim("verify, s", "<= 120")
    report.add("verify, memberships checked", found.memberships_checked)
    store, port = engine(settings.database), ports.free()
    with store.begin() as connection:
        _, secret = create_key(connection, "demo", "owner")
    store.dispose()
    with (
        service("admin", settings, admin_port=str(port)),
        httpx.Client(
            base_url=f"http://127.0.0.1:{port}/v1", headers={"authorization": f"Bearer {secret}"}, timeout=600
        ) as client,
    ):
        for number, (name, tree) in enumerate(PREVIEWS.items()):
            for _ in range(runs):
                report.add(f"preview, {name}, s", _timed(client, "POST", "/segments/preview", {"criteria": tree}))
            if number < OF_STATS:
                report.claim(f"preview, {name}, s", "<= 1.5")
        for _ in range(runs):
            report.add("campaign with its counts, s", _timed(client, "GET", "/campaigns/all"))
            report.claim("campaign with its counts, s", "<= 1")


def _timed(client: httpx.Client, method: str, path: str, body: Any = None) -> float:
    started = time.perf_counter()
    client.request(method, path, json=body).raise_for_status()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
