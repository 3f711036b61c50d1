"""A million customers with the ledger from which their stats come: the ground of the benchmarks that recompute.

Two and a half sales each, a fiftieth of them refunded and a hundredth voided, a redemption for every tenth sale and
opened mails; a hundred segments, 20 of them over windows of the ledger.
"""

from __future__ import annotations

from typing import Any

from psycopg.types.json import Jsonb

from benchmarks import crowd
from shared.database.engine import connect, statement
from shared.database.ledger_stats import STATS, stats_from_ledger

ORGANIZATION = """
INSERT INTO organization (organization_id, name, currency, time_zone) VALUES ('demo', 'Demo', 'INR', 'UTC')
"""
SEGMENT = """
INSERT INTO segment (organization_id, segment_id, name, kind, criteria, slot)
VALUES ('demo', %(id)s, %(id)s, 'dynamic', %(criteria)s, %(slot)s)
"""
COUPON = "INSERT INTO coupon (organization_id, code, type, value) VALUES ('demo', 'SAVE', 'fixed', 100)"
SALES = """
INSERT INTO ledger (organization_id, source, event_id, type, occurred_at, customer_id, sale_id, entry, store_id,
                    terminal_id, amount, discount, lines)
SELECT 'demo', '/demo/stores/s' || n %% 20 || '/terminals/t' || n %% 100, 's-' || n || '-' || k, 'sale.completed',
       now() - make_interval(secs => 15552000 * power((n * 7907 %% 10000) / 10000.0, 6) + k * 3e6 + n),
       'c-' || lpad(n::text, 8, '0'), 's-' || n || '-' || k, 'sale', 's' || n %% 20, 't' || n %% 100,
       100 + (n * 7919 + k * 104729) %% 700000, 0,
       '[{"product_id":"p-' || (n + k) %% 97 || '","category":"Bakery","quantity":2,"total":'
       || 100 + (n * 7919 + k * 104729) %% 700000 || '}]'
FROM generate_series(%s::bigint, %s::bigint) AS n, generate_series(0, n %% 4) AS k
"""
ADJUSTMENTS = """
INSERT INTO ledger (organization_id, source, event_id, type, occurred_at, customer_id, sale_id, entry, amount)
SELECT organization_id, source, kind || event_id, type, occurred_at + interval '1 minute', customer_id, sale_id, entry,
       least(s.amount, part)
FROM (SELECT organization_id, source, event_id, occurred_at, customer_id, sale_id, amount,
             ('x' || substr(md5(sale_id), 1, 6))::bit(24)::int AS n
      FROM ledger WHERE organization_id = 'demo' AND type = 'sale.completed') AS s (
          organization_id, source, event_id, occurred_at, customer_id, sale_id, amount, n),
     (VALUES ('r', 'sale.refunded', 'refund:1', 50, 3, 90), ('v', 'sale.voided', 'void', 100, 7, null),
             ('c', 'coupon.redeemed', 'redeem:SAVE', 10, 1, 50)) AS k (kind, type, entry, every, of, part)
WHERE n % every = of
"""
OPENS = """
INSERT INTO ledger (organization_id, source, event_id, type, occurred_at, customer_id)
SELECT 'demo', '/mail', 'o-' || n, 'mail.opened', now() - make_interval(days => (1 + n %% 90)::int),
       'c-' || lpad(n::text, 8, '0')
FROM generate_series(0, %s::bigint - 1, 5) AS n
"""
USES = """
INSERT INTO coupon_use (organization_id, code, sale_id, coupon_code, state, customer_id, discount, redeemed_at,
                        in_ledger)
SELECT organization_id, 'SAVE', sale_id, 'SAVE',
       CASE WHEN EXISTS (SELECT FROM ledger a WHERE a.organization_id = l.organization_id AND a.sale_id = l.sale_id
                         AND a.type IN ('sale.refunded', 'sale.voided')) THEN 'given_back' ELSE 'redeemed' END,
       customer_id, amount, occurred_at, true
FROM ledger l WHERE organization_id = 'demo' AND type = 'coupon.redeemed'
"""
COUNTERS = """
UPDATE coupon SET (redemptions, discount_given) =
    (SELECT count(*), sum(discount) FROM coupon_use WHERE organization_id = 'demo' AND state = 'redeemed')
WHERE organization_id = 'demo'
"""
COUNTS = """
UPDATE segment s SET member_count = (
    SELECT count(*) FROM customer c WHERE c.organization_id = 'demo' AND length(memberships) > slot / 8
    AND get_bit(memberships, slot) = 1)
WHERE organization_id = 'demo'
"""


def segments(number: int) -> list[dict[str, Any]]:
    """As the crowd's, every fifth one over a window of the ledger."""
    found = crowd.segments(number)
    for n in range(4, number, 5):
        spend = {"field": "spend", "op": "gte", "value": 10_000 * n, "last_days": 10 + n}
        visits = {"field": "visits", "op": "gte", "value": 1 + n % 3, "last_days": 10 + n, "store_id": f"s{n % 20}"}
        bought = {"field": "bought", "op": "has_any", "product_ids": [f"p-{n % 97}"], "last_days": 10 + n}
        found[n] = (spend, visits, bought)[n // 5 % 3]
    return found


def found(database: str, customers: int, criteria: list[dict[str, Any]]) -> None:
    """Make the organization `demo`: its ledger, and all that the stream would have kept of it."""
    fresh = stats_from_ledger().subquery("fresh")
    text, given = statement(fresh.select())
    with connect(database, autocommit=True) as connection:
        connection.execute(ORGANIZATION)
        for slot, tree in enumerate(criteria):
            connection.execute(SEGMENT, {"id": f"s-{slot}", "criteria": Jsonb(tree), "slot": slot})
        for first in range(0, customers, 100_000):
            connection.execute(SALES, [first, min(first + 100_000, customers) - 1])
        connection.execute(ADJUSTMENTS)
        connection.execute(OPENS, [customers])
        connection.execute("VACUUM (FREEZE, ANALYZE) ledger")
        columns = ", ".join(["organization_id", "customer_id", *STATS])
        connection.execute(
            f"INSERT INTO customer ({columns}, tags, marketing_consent, name, email) "
            f"SELECT {columns}, CASE length(md5(customer_id)) WHEN 0 THEN '{{}}'::text[] ELSE "
            "ARRAY[CASE WHEN customer_id < 'c-00100000' THEN 'VIP' ELSE 'local' END] END, "
            "right(customer_id, 1) <> '5', customer_id, customer_id || '@example.com' "
            f"FROM ({text}) AS fresh ORDER BY customer_id",
            given,
        )
        connection.execute("VACUUM (FREEZE, ANALYZE) customer")
        for each in (COUPON, USES, COUNTERS):
            connection.execute(each)
        crowd.settle(connection)
        connection.execute("VACUUM (FREEZE, ANALYZE) customer")
        connection.execute(COUNTS)
        connection.execute("ANALYZE")
        connection.execute("CHECKPOINT")
