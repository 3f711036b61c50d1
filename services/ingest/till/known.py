"""What the database knows of the coupons and customers that a batch of questions is about: two statements for all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg
from psycopg.rows import namedtuple_row

from services.ingest.till.asked import Place
from services.ingest.till.columns import joined, texts
from shared.database.coupons import coupon_of
from shared.domain.coupons import Coupon, Facts, Grant

Connection = psycopg.Connection[Any]
Key = tuple[str, str]
"""organization_id, code of a coupon"""

# Each step joins by whole keys of one earlier step, so that the planner can do nothing but look them up.
_ASKED = f"""
asked AS MATERIALIZED (
    SELECT q.*, k.code IS NOT NULL AS is_unique, k.customer_id AS unique_customer, k.expires_at AS unique_until,
           coalesce(k.coupon_code, q.code) AS coupon_code
    FROM unnest({texts("organizations")}, {texts("codes")}, {texts("sales")}, {texts("customers")})
        WITH ORDINALITY AS q (organization_id, code, sale_id, customer_id, n)
    LEFT JOIN coupon_code k ON k.organization_id = q.organization_id AND k.code = q.code
), coupons AS MATERIALIZED (SELECT DISTINCT organization_id, coupon_code FROM asked)"""
# The coupons that are asked about, by their own codes or by unique ones.
_RULES = f"""
WITH {_ASKED}
SELECT c.*, (SELECT o.currency FROM organization o WHERE o.organization_id = c.organization_id) AS currency,
       (SELECT o.time_zone FROM organization o WHERE o.organization_id = c.organization_id) AS time_zone,
       EXISTS (SELECT FROM coupon_use u WHERE u.organization_id = c.organization_id AND u.coupon_code = c.code
               AND u.state = 'held' AND u.expires_at <= %(now)s) AS has_run_out
FROM coupons a JOIN coupon c ON c.organization_id = a.organization_id AND c.code = a.coupon_code
ORDER BY c.organization_id, c.code
"""
# Whoever changes uses holds their coupons' rows, in the order of keys: so a limit is looked at by one at a time, and
# nobody waits in a ring.
_LOCK = f"{_RULES} FOR UPDATE OF c"
# Holds that ran out free themselves when their coupon is next looked at.
_EXPIRE = f"""
WITH {_ASKED}, due AS MATERIALIZED (
    SELECT a.organization_id, x.code, x.sale_id
    FROM coupons a CROSS JOIN LATERAL (
        SELECT u.code, u.sale_id FROM coupon_use u
        WHERE u.organization_id = a.organization_id AND u.coupon_code = a.coupon_code
          AND u.state = 'held' AND u.expires_at <= %(now)s OFFSET 0) x
), gone AS (
    UPDATE coupon_use u SET state = 'expired' FROM due
    WHERE u.organization_id = due.organization_id AND u.code = due.code AND u.sale_id = due.sale_id
    RETURNING u.organization_id, u.coupon_code
), freed AS (SELECT organization_id, coupon_code, count(*) AS holds FROM gone GROUP BY 1, 2)
UPDATE coupon c SET held = held - freed.holds FROM freed
WHERE c.organization_id = freed.organization_id AND c.code = freed.coupon_code
RETURNING c.organization_id, c.code, c.held
"""
_LIVE = "(x.state = 'redeemed' OR x.state = 'held' AND x.expires_at > %(now)s)"
# What each question turns on. Other uses are those of other sales.
_FACTS = f"""
WITH {_ASKED}, named AS MATERIALIZED (
    SELECT a.n, a.organization_id, a.code, a.sale_id, a.coupon_code, a.is_unique, a.unique_until,
           coalesce(m.root_customer_id, a.customer_id, u.customer_id) AS customer_id,
           coalesce(km.root_customer_id, a.unique_customer) AS unique_of,
           coalesce(u.state = 'redeemed' OR u.state = 'held' AND u.expires_at > %(now)s, false) AS is_own,
           u.state, u.discount, u.lines, u.expires_at, u.redeemed_at
    FROM asked a
    LEFT JOIN customer_merge m ON m.organization_id = a.organization_id AND m.customer_id = a.customer_id
    LEFT JOIN customer_merge km ON km.organization_id = a.organization_id AND km.customer_id = a.unique_customer
    LEFT JOIN coupon_use u ON u.organization_id = a.organization_id AND u.code = a.code AND u.sale_id = a.sale_id
)
SELECT a.*, c.code IS NOT NULL AS is_known, coalesce(b.visit_count, 0) AS visit_count,
       coalesce(CASE WHEN length(b.memberships) > s.slot / 8 THEN get_bit(b.memberships, s.slot) = 1 END, false)
           AS is_in_segment,
       g.customer_id IS NOT NULL AS is_granted, g.expires_at AS granted_until,
       CASE WHEN c.limit_total <= c.redemptions + c.held THEN (
           SELECT count(*) FROM coupon_use x WHERE x.organization_id = a.organization_id
           AND x.coupon_code = a.coupon_code AND x.state = 'held' AND x.expires_at <= %(now)s) ELSE 0 END AS ran_out,
       CASE WHEN c.limit_per_customer IS NOT NULL OR c.first_purchase_only THEN (
           SELECT count(*) FROM coupon_use x WHERE x.organization_id = a.organization_id
           AND x.customer_id = a.customer_id AND x.coupon_code = a.coupon_code AND {_LIVE}
           AND (x.code, x.sale_id) <> (a.code, a.sale_id)) ELSE 0 END AS uses_by_customer,
       CASE WHEN a.is_unique THEN (
           SELECT count(*) FROM coupon_use x WHERE x.organization_id = a.organization_id AND x.code = a.code
           AND {_LIVE} AND x.sale_id <> a.sale_id) ELSE 0 END AS unique_uses
FROM named a
LEFT JOIN coupon c ON c.organization_id = a.organization_id AND c.code = a.coupon_code
LEFT JOIN customer b ON b.organization_id = a.organization_id AND b.customer_id = a.customer_id
LEFT JOIN segment s ON s.organization_id = c.organization_id AND s.segment_id = c.segment_id
LEFT JOIN coupon_grant g ON g.organization_id = a.organization_id AND g.coupon_code = a.coupon_code
    AND g.customer_id = a.customer_id
ORDER BY a.n
"""


@dataclass(slots=True)
class Rules:
    """A coupon, what its organization counts in, and its uses so far."""

    coupon: Coupon
    currency: str
    time_zone: str
    redemptions: int
    held: int


@dataclass(frozen=True, slots=True)
class Known:
    """Of one question. `rules` is None for a code that does not exist; `row` holds what became of its sale's use."""

    rules: Rules | None
    key: Key
    customer_id: str | None
    row: Any

    def facts(self, more_total: int = 0, more_by_customer: int = 0, more_unique: int = 0) -> Facts:
        """For the decision; `more` are the uses that the same batch decided before."""
        row = self.row
        uses = self.rules.redemptions + self.rules.held - row.ran_out - row.is_own if self.rules else 0
        return Facts(
            uses_total=uses + more_total,
            uses_by_customer=row.uses_by_customer + more_by_customer,
            visit_count=row.visit_count,
            is_in_segment=row.is_in_segment,
            grant=Grant(row.granted_until) if row.is_granted else None,
            is_unique=row.is_unique,
            unique_of=row.unique_of,
            unique_until=row.unique_until,
            unique_uses=row.unique_uses + more_unique,
            is_given_back=row.state == "given_back",
        )


def look(
    connection: Connection, asked: Sequence[tuple[Place, str | None]], now: datetime, *, lock: bool
) -> list[Known]:
    """What is known of each (place, customer_id). With `lock` inside a transaction: the coupons' rows are held."""
    given = {
        "organizations": joined(place[0] for place, _ in asked),
        "codes": joined(place[1] for place, _ in asked),
        "sales": joined(place[2] for place, _ in asked),
        "customers": joined(customer_id for _, customer_id in asked),
        "now": now,
    }
    with connection.cursor(row_factory=namedtuple_row) as rules, connection.cursor(row_factory=namedtuple_row) as facts:
        with connection.pipeline():
            rules.execute(_LOCK if lock else _RULES, given)
            facts.execute(_FACTS, given)
        rows: list[Any] = rules.fetchall()
        found = dict(map(_rules, rows))
        if lock and any(row.has_run_out for row in rows):
            for organization_id, code, held in connection.execute(_EXPIRE, given).fetchall():
                found[organization_id, code].held = held
            facts.execute(_FACTS, given)
        return [_known(found, place[0], row) for (place, _), row in zip(asked, facts.fetchall(), strict=True)]


def _known(found: dict[Key, Rules], organization_id: str, row: Any) -> Known:
    key = (organization_id, row.coupon_code)
    return Known(found.get(key), key, row.customer_id, row)


def _rules(row: Any) -> tuple[Key, Rules]:
    rules = Rules(coupon_of(row), row.currency, row.time_zone, row.redemptions, row.held)
    return (row.organization_id, row.code), rules
