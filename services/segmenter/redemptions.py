"""Uses of coupons as the ledger has them, whatever came first: a commit, the till's own event, or a void.

A redemption that the till told of is always recorded. Where it broke a limit it is flagged over_limit: the till was
offline, and nobody could stop it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from psycopg.rows import namedtuple_row

from services.segmenter.fold import Sale
from services.segmenter.intake import Row
from services.segmenter.staging import ORGANIZATION_ID, SALE_ID, TYPE, Connection

TYPES = {"coupon.redeemed", "coupon.redemption_reversed", "sale.refunded", "sale.voided"}

_SALES = "unnest(%(organizations)s::text[], %(sales)s::text[]) AS s (organization_id, sale_id)"
# The coupons concerned, locked in the order of keys as the tills lock them.
LOCK = f"""
SELECT c.organization_id, c.code
FROM coupon c WHERE (c.organization_id, c.code) IN (
    SELECT l.organization_id, coalesce(k.coupon_code, substr(l.entry, 8))
    FROM {_SALES} JOIN ledger l USING (organization_id, sale_id)
    LEFT JOIN coupon_code k ON k.organization_id = l.organization_id AND k.code = substr(l.entry, 8)
    WHERE l.type = 'coupon.redeemed')
ORDER BY c.organization_id, c.code FOR UPDATE OF c
"""
# Their holds that ran out are free, as when a till looks.
EXPIRE = """
WITH gone AS (
    UPDATE coupon_use u SET state = 'expired'
    FROM unnest(%(organizations)s::text[], %(codes)s::text[]) AS a (organization_id, coupon_code)
    WHERE u.organization_id = a.organization_id AND u.coupon_code = a.coupon_code
      AND u.state = 'held' AND u.expires_at <= %(now)s
    RETURNING u.organization_id, u.coupon_code
), freed AS (SELECT organization_id, coupon_code, count(*) AS holds FROM gone GROUP BY 1, 2)
UPDATE coupon c SET held = held - freed.holds FROM freed
WHERE c.organization_id = freed.organization_id AND c.code = freed.coupon_code
"""
_LIVE = "x.state IN ('redeemed', 'held')"
# What the ledger says of each redemption of these sales, and what is known of it so far.
STATE = f"""
SELECT l.organization_id, substr(l.entry, 8) AS code, l.sale_id,
       coalesce(k.coupon_code, substr(l.entry, 8)) AS coupon_code, l.customer_id, l.store_id, l.terminal_id,
       coalesce(l.amount, 0) AS discount, l.occurred_at,
       EXISTS (SELECT FROM ledger a WHERE a.organization_id = l.organization_id AND a.sale_id = l.sale_id
               AND (a.type IN ('sale.refunded', 'sale.voided') OR a.entry = 'reverse:' || substr(l.entry, 8)))
           AS is_given_back,
       c.limit_total, c.limit_per_customer, c.redemptions + c.held AS uses,
       u.state AS was, u.discount AS old_discount, coalesce(u.over_limit, false) AS was_over,
       CASE WHEN c.limit_per_customer IS NOT NULL THEN (
           SELECT count(*) FROM coupon_use x WHERE x.organization_id = l.organization_id
           AND x.customer_id = l.customer_id AND x.coupon_code = c.code AND {_LIVE}
           AND (x.code, x.sale_id) <> (substr(l.entry, 8), l.sale_id)) ELSE 0 END AS uses_by_customer,
       CASE WHEN k.code IS NOT NULL THEN (
           SELECT count(*) FROM coupon_use x WHERE x.organization_id = l.organization_id AND x.code = k.code
           AND {_LIVE} AND x.sale_id <> l.sale_id) ELSE 0 END AS unique_uses
FROM {_SALES} JOIN ledger l USING (organization_id, sale_id)
LEFT JOIN coupon_code k ON k.organization_id = l.organization_id AND k.code = substr(l.entry, 8)
LEFT JOIN coupon c ON c.organization_id = l.organization_id AND c.code = coalesce(k.coupon_code, substr(l.entry, 8))
LEFT JOIN coupon_use u ON u.organization_id = l.organization_id AND u.code = substr(l.entry, 8)
    AND u.sale_id = l.sale_id
WHERE l.type = 'coupon.redeemed'
ORDER BY l.organization_id, code, l.occurred_at, l.sale_id
"""
PUT = """
INSERT INTO coupon_use AS u (organization_id, code, sale_id, coupon_code, customer_id, store_id, terminal_id, discount,
                             redeemed_at, state, over_limit, in_ledger)
SELECT p.*, true FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::text[],
                             %s::bigint[], %s::timestamptz[], %s::text[], %s::boolean[]) AS p
ON CONFLICT (organization_id, code, sale_id) DO UPDATE SET
    customer_id = excluded.customer_id, store_id = coalesce(excluded.store_id, u.store_id),
    terminal_id = coalesce(excluded.terminal_id, u.terminal_id), discount = excluded.discount,
    redeemed_at = excluded.redeemed_at, state = excluded.state, over_limit = excluded.over_limit, in_ledger = true
"""
COUNT = """
UPDATE coupon c SET held = c.held + d.held, redemptions = c.redemptions + d.redemptions,
                    discount_given = c.discount_given + d.discount, over_limit = c.over_limit + d.over_limit
FROM unnest(%s::text[], %s::text[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[])
    AS d (organization_id, code, held, redemptions, discount, over_limit)
WHERE c.organization_id = d.organization_id AND c.code = d.code
"""


def sales_of(rows: Sequence[Row]) -> list[Sale]:
    """The sales whose redemptions some events concern."""
    return sorted({(row[ORGANIZATION_ID], row[SALE_ID]) for row in rows if row[TYPE] in TYPES})


def settle(connection: Connection, sales: Sequence[Sale], now: datetime) -> int:
    """Make the uses of these sales what the ledger says; returns how many went newly over a limit."""
    if not sales:
        return 0
    given = {"organizations": [sale[0] for sale in sales], "sales": [sale[1] for sale in sales], "now": now}
    with connection.cursor(row_factory=namedtuple_row) as cursor:
        locked: list[Any] = cursor.execute(LOCK, given).fetchall()
        if locked:
            columns = {"organizations": [row[0] for row in locked], "codes": [row[1] for row in locked]}
            cursor.execute(EXPIRE, given | columns)
        found: list[Any] = cursor.execute(STATE, given).fetchall()
    if not found:
        return 0
    counts = _Counts()
    rows = []
    went_over = 0
    for row in found:
        is_counted = not row.is_given_back
        is_over = row.was_over
        if is_counted and row.was not in ("held", "redeemed"):
            is_over = counts.is_beyond(row)
            went_over += is_over
        counts.note(row, is_counted=is_counted, is_over=is_over)
        rows.append((*row[:9], "redeemed" if is_counted else "given_back", is_over))
    connection.execute(PUT, _columns(rows))
    changes = counts.changes()
    if changes:
        connection.execute(COUNT, _columns(changes))
    return went_over


class _Counts:
    """How the counters of coupons change, redemption by redemption."""

    def __init__(self) -> None:
        self.changed: dict[tuple[str, str], list[int]] = {}
        self.by_customer: Counter[tuple[str, str, str | None]] = Counter()
        self.by_code: Counter[tuple[str, str]] = Counter()

    def is_beyond(self, row: Any) -> bool:
        """Whether one more use breaks a limit. A code that is no coupon of ours has none."""
        held, redemptions, *_ = self.changed.get((row.organization_id, row.coupon_code), (0, 0))
        by_customer = self.by_customer[row.organization_id, row.coupon_code, row.customer_id]
        by_code = self.by_code[row.organization_id, row.code] if row.code != row.coupon_code else 0
        return bool(
            (row.limit_total is not None and row.uses + held + redemptions >= row.limit_total)
            or (
                row.limit_per_customer is not None
                and row.customer_id is not None
                and row.uses_by_customer + by_customer >= row.limit_per_customer
            )
            or row.unique_uses + by_code
        )

    def note(self, row: Any, *, is_counted: bool, is_over: bool) -> None:
        """Count what a redemption changes."""
        was_counted = row.was == "redeemed"
        changed = self.changed.setdefault((row.organization_id, row.coupon_code), [0, 0, 0, 0])
        changed[0] -= row.was == "held"
        changed[1] += is_counted - was_counted
        changed[2] += row.discount * is_counted - (row.old_discount or 0) * was_counted
        changed[3] += (is_counted and is_over) - (was_counted and row.was_over)
        difference = is_counted - (row.was in ("held", "redeemed"))
        self.by_customer[row.organization_id, row.coupon_code, row.customer_id] += difference
        self.by_code[row.organization_id, row.code] += difference

    def changes(self) -> list[tuple[Any, ...]]:
        """In the order of keys."""
        return [(*key, *changed) for key, changed in sorted(self.changed.items()) if any(changed)]


def _columns(rows: Sequence[tuple[Any, ...]]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]
