"""Fold what is new into the customers' stats; recompute from the ledger where adding is not enough.

Adding is enough for sales and redemptions that nothing has adjusted. A refund, void or reversal recomputes the
customers it concerns: right first, and rare.
"""

from __future__ import annotations

from sqlalchemy import column, table

from services.segmenter.staging import Connection
from shared.database.engine import sql
from shared.database.ledger_stats import STATS, stats_from_ledger

Sale = tuple[str, str]
"""organization_id, sale_id"""

# Adds what is new; every customer named appears. In the order of keys, so that two lanes never wait in a ring.
ADD = """
WITH put AS (
    INSERT INTO customer AS c (organization_id, customer_id, total_spent, visit_count, first_visit_at, last_visit_at,
                               coupon_redemptions, discount_received, last_open_at, last_click_at, first_event_at)
    SELECT organization_id, customer_id,
           coalesce(sum(amount) FILTER (WHERE type = 'sale.completed'), 0),
           count(*) FILTER (WHERE type = 'sale.completed'),
           min(occurred_at) FILTER (WHERE type = 'sale.completed'),
           max(occurred_at) FILTER (WHERE type = 'sale.completed'),
           count(*) FILTER (WHERE type = 'coupon.redeemed'),
           coalesce(sum(amount) FILTER (WHERE type = 'coupon.redeemed'), 0),
           max(occurred_at) FILTER (WHERE type = 'mail.opened'),
           max(occurred_at) FILTER (WHERE type = 'mail.clicked'),
           min(occurred_at)
    FROM incoming WHERE customer_id IS NOT NULL
    GROUP BY organization_id, customer_id ORDER BY organization_id, customer_id
    ON CONFLICT (organization_id, customer_id) DO UPDATE SET
        total_spent = c.total_spent + excluded.total_spent,
        visit_count = c.visit_count + excluded.visit_count,
        first_visit_at = least(c.first_visit_at, excluded.first_visit_at),
        last_visit_at = greatest(c.last_visit_at, excluded.last_visit_at),
        coupon_redemptions = c.coupon_redemptions + excluded.coupon_redemptions,
        discount_received = c.discount_received + excluded.discount_received,
        last_open_at = greatest(c.last_open_at, excluded.last_open_at),
        last_click_at = greatest(c.last_click_at, excluded.last_click_at),
        first_event_at = least(c.first_event_at, excluded.first_event_at),
        recent = CASE WHEN excluded.visit_count = 0 THEN c.recent END
    RETURNING organization_id, customer_id
)
INSERT INTO touched SELECT organization_id, customer_id FROM put
"""
# Sales whose refund or void was here before them.
ADJUSTED_BEFORE = """
WITH gone AS (
    DELETE FROM waiting_adjustment w USING incoming i
    WHERE w.organization_id = i.organization_id AND w.sale_id = i.sale_id AND i.type = 'sale.completed'
    RETURNING i.organization_id, i.customer_id
)
INSERT INTO dirty SELECT organization_id, customer_id FROM gone WHERE customer_id IS NOT NULL
"""
# Redemptions of sales that were adjusted before.
REDEEMED_ADJUSTED = """
INSERT INTO dirty
SELECT i.organization_id, i.customer_id FROM incoming i
WHERE i.type = 'coupon.redeemed' AND i.customer_id IS NOT NULL AND EXISTS (
    SELECT FROM ledger a WHERE a.organization_id = i.organization_id AND a.sale_id = i.sale_id
    AND a.type IN ('sale.refunded', 'sale.voided', 'coupon.redemption_reversed'))
"""
# What waits for its sale; a sale that comes finds it here.
WAIT = """
INSERT INTO waiting_adjustment
SELECT DISTINCT organization_id, sale_id FROM incoming i
WHERE i.type IN ('sale.refunded', 'sale.voided') AND NOT EXISTS (
    SELECT FROM ledger l WHERE l.organization_id = i.organization_id AND l.sale_id = i.sale_id
    AND l.type = 'sale.completed')
ON CONFLICT DO NOTHING
"""
# Whom the adjustments of this batch concern: buyers and redeemers of the same sale.
ADJUSTED_NOW = """
INSERT INTO dirty
SELECT l.organization_id, l.customer_id FROM incoming i JOIN ledger l USING (organization_id, sale_id)
WHERE i.type IN ('sale.refunded', 'sale.voided', 'coupon.redemption_reversed')
  AND l.type IN ('sale.completed', 'coupon.redeemed') AND l.customer_id IS NOT NULL
"""
# Locked in order before they are recomputed: a recompute must see all that was committed before it had the lock.
LOCK_DIRTY = """
WITH locked AS (
    SELECT organization_id, customer_id FROM customer
    WHERE (organization_id, customer_id) IN (SELECT organization_id, customer_id FROM dirty)
    ORDER BY organization_id, customer_id FOR UPDATE
)
INSERT INTO touched
SELECT organization_id, customer_id FROM locked EXCEPT SELECT organization_id, customer_id FROM touched
"""
_scope = table("scope", column("organization_id"), column("customer_id"))
_assignments = ", ".join(f"{name} = fresh.{name}" for name in STATS)
RECOMPUTE = f"""
WITH scope AS MATERIALIZED (SELECT DISTINCT organization_id, customer_id FROM dirty),
     fresh AS ({sql(stats_from_ledger(_scope))})
UPDATE customer SET {_assignments}, recent = NULL FROM fresh
WHERE customer.organization_id = fresh.organization_id AND customer.customer_id = fresh.customer_id
"""


def add(connection: Connection, types: set[str]) -> None:
    """Fold `incoming` into the customers and mark in `dirty` whom to recompute."""
    connection.execute(ADD)
    if "sale.completed" in types:
        connection.execute(ADJUSTED_BEFORE)
    if "coupon.redeemed" in types:
        connection.execute(REDEEMED_ADJUSTED)
    if types & {"sale.refunded", "sale.voided", "coupon.redemption_reversed"}:
        connection.execute(ADJUSTED_NOW)
        connection.execute(WAIT)


def recompute(connection: Connection) -> None:
    """Set the stats of the customers in `dirty` to what the ledger gives."""
    connection.execute(LOCK_DIRTY)
    connection.execute(RECOMPUTE)
