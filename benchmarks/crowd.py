"""A million customers, a hundred segments and the sales to come: the ground of several benchmarks.

Half of the customers visited within the last three days, as a grocer's do; a tenth has stayed away for three months.
Who buys next is drawn so that the days since a buyer's last visit are spread as in the year of real purchases: half
come back within 2.2 days, a fifth after more than a week, one in a hundred after 46 days.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import numpy as np
import psycopg
from psycopg.types.json import Jsonb

from services.segmenter import arrays, memberships, staging
from services.segmenter.moves import Moves
from services.segmenter.program import Programs
from shared.clock import utc_now
from shared.database.engine import connect

CUSTOMERS = """
INSERT INTO customer (organization_id, customer_id, total_spent, visit_count, first_visit_at, last_visit_at,
                      first_event_at, coupon_redemptions, tags, marketing_consent, name, email)
SELECT 'demo', 'c-' || lpad(n::text, 8, '0'), (n * 7919) %% 2000000, 1 + (n * 31) %% 60,
       now() - make_interval(days => 200 + (n * 17 %% 500)::int),
       now() - make_interval(secs => 15552000 * power((n * 7907 %% 10000) / 10000.0, 6)),
       now() - make_interval(days => 200 + (n * 17 %% 500)::int), n %% 4,
       CASE n %% 10 WHEN 0 THEN '{VIP}'::text[] WHEN 1 THEN '{local,staff}' ELSE '{}' END, n %% 5 > 0,
       'Customer ' || n, 'c' || n || '@example.com'
FROM generate_series(%s::bigint, %s::bigint) AS n
"""

# What they bought in the days that windows look at, at the pace of their visits: six sales each on the average. Without
# it, whoever buys next would enter each segment over a window at once, and nobody would have to be added up.
HISTORY = """
INSERT INTO ledger (organization_id, source, event_id, type, occurred_at, customer_id, sale_id, entry, store_id,
                    terminal_id, amount, discount, lines)
SELECT 'demo', '/demo/stores/s' || k %% 20 || '/terminals/t' || k %% 100, 'h-' || n || '-' || k, 'sale.completed',
       last - k * gap, 'c-' || lpad(n::text, 8, '0'), 'h-' || n || '-' || k, 'sale', 's' || k %% 20, 't' || k %% 100,
       100 + (n * 7919 + k * 104729) %% 19900, 0,
       '[{"product_id":"p-' || (n + k) %% 97 || '","category":"Bakery","quantity":1,"total":'
       || 100 + (n * 7919 + k * 104729) %% 19900 || '}]'
FROM (SELECT n, last, (last - first) / visits AS gap, visits, now() - make_interval(days => %(days)s) AS since
      FROM (SELECT n, now() - make_interval(secs => 15552000 * power((n * 7907 %% 10000) / 10000.0, 6)) AS last,
                   now() - make_interval(days => 200 + (n * 17 %% 500)::int) AS first, 1 + (n * 31) %% 60 AS visits
            FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS n) AS customers) AS paces
CROSS JOIN LATERAL generate_series(0, visits - 1) AS k
WHERE last - k * gap > since
"""

AWAY = 180  # days since the last visit of whom we have not seen the longest
KINDS = 10_000  # customers by the days since their last visit: AWAY * (kind / KINDS) ** 6
KIND_STEP = 7_907  # kind = n * KIND_STEP % KINDS
# Days between two visits of a household in the Complete Journey: shares of all sales, and the days at these quantiles.
SHARES = [0, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999, 1]
GAPS = [0, 0.0036, 0.057, 0.88, 2.2, 5.8, 11.5, 18.1, 46, 128, AWAY]


def windowed(number: int) -> list[dict[str, Any]]:
    """Criteria that add up what was bought in the last days, no two alike."""
    kinds = [("spend", 5_000), ("visits", 1), ("spend", 20_000), ("units", 2)]
    return [
        {"field": field, "op": "gte", "value": least + n, "last_days": 7 + 7 * (n % 12)}
        for n, (field, least) in zip(range(number), itertools.cycle(kinds), strict=False)
    ]


def segments(number: int) -> list[dict[str, Any]]:
    """Criteria of the kinds that shops use, no two alike."""
    rng = random.Random(7)
    found: list[dict[str, Any]] = []
    for n in range(number):
        spent = {"field": "total_spent", "op": "gte", "value": 20_000 + 17_000 * (n % 100) + n}
        visits = {"field": "visit_count", "op": rng.choice(["gte", "lte"]), "value": 1 + n % 50}
        age = {"field": "last_visit", "op": rng.choice(["within_last", "more_than_ago"]), "days": 7 + n % 170}
        basket = {"field": "average_basket", "op": "between", "value": [1_000 + 100 * n, 9_000 + 200 * n]}
        tags = {"field": "tags", "op": rng.choice(["has_any", "has_none"]), "value": [rng.choice(["VIP", "local"])]}
        registered = {"field": "registered", "op": "within_last", "days": 30 + n}
        consent = {"field": "marketing_consent", "op": "is", "value": n % 3 > 0}
        trees: list[dict[str, Any]] = [
            {"all": [spent, visits]},
            {"all": [age, consent]},
            {"any": [{"all": [spent, age]}, tags]},
            {"all": [basket, {"not": registered}]},
        ]
        found.append(trees[n % 4])
    return found


def found(database: str, customers: int, criteria: list[dict[str, Any]]) -> None:
    """Make the organization `demo` with its segments, its customers and their memberships.

    Customers have a history where criteria add it up.
    """
    days = max((each.get("last_days", 0) for each in criteria), default=0)
    with connect(database, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO organization (organization_id, name, currency, time_zone) "
            "VALUES ('demo', 'Demo', 'INR', 'UTC')"
        )
        for slot, tree in enumerate(criteria):
            connection.execute(
                "INSERT INTO segment (organization_id, segment_id, name, kind, criteria, slot) "
                "VALUES ('demo', %s, %s, 'dynamic', %s, %s)",
                [f"s-{slot}", f"s-{slot}", Jsonb(tree), slot],
            )
        for first in range(0, customers, 100_000):
            last = min(first + 100_000, customers) - 1
            connection.execute(CUSTOMERS, [first, last])
            if days:
                connection.execute(HISTORY, {"first": first, "last": last, "days": days})
        if days:
            connection.execute("VACUUM (FREEZE, ANALYZE) ledger")
        settle(connection)
        connection.execute("VACUUM (FREEZE, ANALYZE) customer")
        connection.execute("CHECKPOINT")


def settle(connection: psycopg.Connection[Any]) -> None:
    """Give everybody the memberships that they have, as a fill does, without telling anybody."""
    staging.prepare(connection)
    arrays.prepare(connection)
    programs, after = Programs(), ""
    while True:
        with connection.transaction():
            rows = connection.execute(
                "SELECT customer_id FROM customer WHERE organization_id = 'demo' AND customer_id > %s "
                "ORDER BY customer_id LIMIT 20000",
                [after],
            ).fetchall()
            if not rows:
                return
            ids = [row[0] for row in rows]
            after = ids[-1]
            moves = Moves()
            program = programs.of(connection, "demo", "UTC")
            memberships.refresh(connection, program, ids, utc_now, "backfill", moves, is_due=True, is_locked=False)
            moves.finish(connection, utc_now())
            connection.execute("TRUNCATE outbox, segment_change")


def buyers(rng: random.Random, number: int, customers: int) -> list[int]:
    """Numbers of customers who come back after as many days as households do."""
    days = np.interp([rng.random() for _ in range(number)], SHARES, GAPS)
    kinds = np.minimum((KINDS * (days / AWAY) ** (1 / 6)).astype(np.int64), KINDS - 1)
    among = kinds * pow(KIND_STEP, -1, KINDS) % KINDS
    found: list[int] = (among + KINDS * np.array([rng.randrange(max(1, customers // KINDS)) for _ in kinds])).tolist()
    return found


def sales(run: str, number: int, customers: int) -> Iterator[tuple[bytes, bytes]]:
    """(key, value) of 360-byte sales of today, by random customers. `customers`: a multiple of 10,000."""
    rng, now = random.Random(run), datetime.now(UTC)
    numbers = buyers(rng, number, customers)
    for n in range(number):
        customer_id = f"c-{numbers[n]:08}"
        total = rng.randrange(100, 20_000)
        line = {"product_id": f"p-{n % 97}", "category": "Bakery", "quantity": 1, "total": total}
        data = {
            "organization_id": "demo",
            "store_id": f"s{n % 20}",
            "terminal_id": f"t{n % 100}",
            "sale_id": f"{run}-{n:08}",
            "customer_id": customer_id,
            "currency": "INR",
            "total": total,
            "lines": [line],
        }
        event: dict[str, Any] = {
            "specversion": "1.0",
            "id": f"{run}-{n:08}",
            "source": f"/demo/stores/s{n % 20}/terminals/t{n % 100}",
        }
        event |= {"type": "sale.completed", "time": now - timedelta(milliseconds=n), "data": data}
        yield f"demo/{customer_id}".encode(), msgspec.json.encode(event)
