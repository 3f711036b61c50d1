"""A campaign's audience of a million with all gates, written as it is sent, against the bare INSERT ... SELECT of as
many messages; and the dry run of the same.

python -m benchmarks.audience [--customers N] [--runs N] [--json FILE]
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import psycopg
from sqlalchemy import Engine

from benchmarks import crowd
from benchmarks.machine import machine
from benchmarks.report import Report, arguments
from services.mailer.audience import plan_audience
from shared.database.audience import count_audience
from shared.database.campaigns import Campaign, Organization, read_campaigns, read_organization
from shared.database.engine import connect, engine
from shared.database.tables import campaign

NOW = datetime(2026, 6, 10, 12, tzinfo=UTC)
# Of a hundred: 20 without consent (by the crowd), 4 not verified, 1 without address, 3 never, a tenth elsewhere; two in
# three have had a mail before, one in thirty today; one address in fifty is suppressed.
PEOPLE = """
UPDATE customer SET
    email_verified = hashtext(customer_id) % 25 <> 0,
    email = CASE WHEN hashtext(customer_id) % 100 <> 7 THEN email END,
    email_frequency = (ARRAY[NULL, NULL, 'daily', 'weekly', 'monthly', 'never'])[
        1 + abs(hashtext(customer_id || 'f')) % 6],
    time_zone = CASE WHEN abs(hashtext(customer_id || 'z')) % 10 = 0 THEN 'America/New_York' END
"""
SLOTS = """
INSERT INTO mail_slot (organization_id, customer_id, last_on)
SELECT organization_id, customer_id, DATE '2026-06-10' - abs(hashtext(customer_id || 's')) % 30
FROM customer WHERE abs(hashtext(customer_id || 'h')) % 3 > 0
"""
SUPPRESSIONS = """
INSERT INTO suppression (organization_id, email, reason)
SELECT organization_id, lower(email), 'bounce' FROM customer
WHERE email IS NOT NULL AND abs(hashtext(customer_id || 'b')) % 50 = 0
"""
CAMPAIGN = """
INSERT INTO campaign (organization_id, campaign_id, name, type, subject, body, state, holdout_percent,
                      send_at, audience)
VALUES ('demo', %s, %s, 'promotional', 'Hello', 'Hello', 'sending', 5, %s, '{"minimum_visits": 0}')
"""
BARE = """
INSERT INTO message (organization_id, campaign_id, customer_id, occasion, state, planned_at, wait_until, expires_at)
SELECT 'demo', %s, customer_id, 'send', 'planned', %s, %s, %s + interval '72 hours'
FROM customer WHERE organization_id = 'demo'
"""


def main() -> None:
    given = arguments(__doc__, [("customers", 1_000_000, "customers"), ("runs", 3, "runs")])
    report = Report("audience", f"an audience of {given.customers:,} with all gates, written to the ledger of mail")
    with machine() as settings:
        crowd.found(settings.database, given.customers, crowd.segments(4))
        store = engine(settings.database)
        with connect(settings.database, autocommit=True) as connection:
            for statement in (PEOPLE, SLOTS, SUPPRESSIONS):
                connection.execute(statement)
            connection.execute("VACUUM (FREEZE, ANALYZE)")
            for run in range(-1, given.runs):
                bare = _timed(connection, f"bare-{run}", lambda name: _bare(connection, name))
                planned = _timed(connection, f"planned-{run}", lambda name: _planned(store, name))
                dry = _timed(connection, f"dry-{run}", lambda name: _dry(store, name))
                if run >= 0:  # the first one warms up
                    report.add("bare INSERT ... SELECT, s", bare)
                    report.add("planned with all gates, s", planned)
                    report.add("dry run, s", dry)
                    report.add("ratio to the bare INSERT ... SELECT", planned / bare)
        store.dispose()
    report.claim("ratio to the bare INSERT ... SELECT", "<= 2.5")
    report.finish(given.json)


def _timed(connection: psycopg.Connection[Any], name: str, work: Callable[[str], int]) -> float:
    """Each time into an empty table; how many seconds."""
    connection.execute(CAMPAIGN, [name, name, NOW])
    connection.execute("TRUNCATE message")
    connection.execute("CHECKPOINT")
    started = time.perf_counter()
    found = work(name)
    seconds = time.perf_counter() - started
    print(f"  {name}: {found:,} in {seconds:.2f} s")
    return seconds


def _bare(connection: psycopg.Connection[Any], name: str) -> int:
    return connection.execute(BARE, [name, NOW, NOW, NOW]).rowcount


def _planned(store: Engine, name: str) -> int:
    with store.connect() as connection:
        sender, wanted = _read(connection, name)
        counts = plan_audience(connection, sender, wanted, NOW) or {}
        connection.commit()
    return sum(counts.values())


def _dry(store: Engine, name: str) -> int:
    with store.connect() as connection:
        return sum(count_audience(connection, *_read(connection, name), NOW).values())


def _read(connection: Any, name: str) -> tuple[Organization, Campaign]:
    sender = read_organization(connection, "demo")
    (wanted,) = read_campaigns(connection, "demo", campaign.c.campaign_id == name)
    if sender is None:
        raise RuntimeError("no organization demo")
    return sender, wanted


if __name__ == "__main__":
    main()
