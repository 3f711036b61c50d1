"""Uses of coupons against the ledger, and coupons' counters against their uses."""

from __future__ import annotations

from sqlalchemy import Connection, text

from services.segmenter.differences import Difference

# A commit whose event is still on its way is in no ledger yet: only its counters are compared.
REDEMPTIONS = text("""
WITH expected AS (
    SELECT substr(l.entry, 8) AS code, l.sale_id, l.customer_id, coalesce(l.amount, 0) AS discount,
           CASE WHEN EXISTS (
               SELECT FROM ledger a WHERE a.organization_id = l.organization_id AND a.sale_id = l.sale_id
               AND (a.type IN ('sale.refunded', 'sale.voided') OR a.entry = 'reverse:' || substr(l.entry, 8)))
           THEN 'given_back' ELSE 'redeemed' END AS state
    FROM ledger l WHERE l.organization_id = :organization_id AND l.type = 'coupon.redeemed'
), found AS (
    SELECT code, sale_id, customer_id, discount, state FROM coupon_use
    WHERE organization_id = :organization_id AND in_ledger
)
SELECT coalesce(e.customer_id, f.customer_id, '') AS customer_id, code, sale_id, to_jsonb(e) AS expected,
       to_jsonb(f) AS found
FROM expected e FULL JOIN found f USING (code, sale_id)
WHERE (e.customer_id, e.discount, e.state) IS DISTINCT FROM (f.customer_id, f.discount, f.state)
""")
COUNTERS = text("""
SELECT c.code, jsonb_build_object('redemptions', count(u) FILTER (WHERE u.state = 'redeemed'),
                                  'held', count(u) FILTER (WHERE u.state = 'held'),
                                  'over_limit', count(u) FILTER (WHERE u.state = 'redeemed' AND u.over_limit),
                                  'discount_given', coalesce(sum(u.discount) FILTER (WHERE u.state = 'redeemed'), 0))
           AS expected,
       jsonb_build_object('redemptions', c.redemptions, 'held', c.held, 'over_limit', c.over_limit,
                          'discount_given', c.discount_given) AS found
FROM coupon c LEFT JOIN coupon_use u ON u.organization_id = c.organization_id AND u.coupon_code = c.code
WHERE c.organization_id = :organization_id
GROUP BY c.organization_id, c.code
""")


def differences(connection: Connection, organization_id: str) -> list[Difference]:
    """Of uses, and of coupons' counters."""
    given = {"organization_id": organization_id}
    wrong = [
        Difference(organization_id, row.customer_id, f"redemption:{row.code}:{row.sale_id}", row.expected, row.found)
        for row in connection.execute(REDEMPTIONS, given)
    ]
    counters = [
        Difference(organization_id, "", f"coupon:{row.code}", row.expected, row.found)
        for row in connection.execute(COUNTERS, given)
        if row.expected != row.found
    ]
    return wrong + counters
