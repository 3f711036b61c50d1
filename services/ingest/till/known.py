"""What the database knows of the coupons, uses and customers that a batch of questions is about."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

import psycopg
from psycopg.rows import namedtuple_row

from services.ingest.till.asked import Named, Place, Question, Wanted
from services.ingest.till.columns import joined, texts
from services.ingest.till.rules import Connection, Key, Rulebook, Rules
from shared.domain.coupons import Facts, Grant

_PLACES = f"{texts('organizations')}, {texts('codes')}, {texts('sales')}, {texts('customers')}"
# What became of each sale's use so far, and who the customer is after merges.
_USES = f"""
SELECT u.state, u.discount, u.lines, u.expires_at, u.redeemed_at,
       coalesce(m.root_customer_id, q.customer_id, u.customer_id) AS customer_id
FROM unnest({_PLACES}) WITH ORDINALITY AS q (organization_id, code, sale_id, customer_id, n)
LEFT JOIN coupon_use u ON u.organization_id = q.organization_id AND u.code = q.code AND u.sale_id = q.sale_id
LEFT JOIN customer_merge m ON m.organization_id = q.organization_id AND m.customer_id = q.customer_id
ORDER BY q.n
"""
_LIVE = "(x.state = 'redeemed' OR x.state = 'held' AND x.expires_at > %(now)s)"
# What only some coupons turn on: their customer, and uses other than this sale's.
_FACTS = f"""
WITH asked AS MATERIALIZED (
    SELECT q.*, k.code IS NOT NULL AS is_unique, k.customer_id AS unique_customer, k.expires_at AS unique_until
    FROM unnest({_PLACES}, {texts("coupons")}) WITH ORDINALITY
        AS q (organization_id, code, sale_id, customer_id, coupon_code, n)
    LEFT JOIN coupon_code k ON k.organization_id = q.organization_id AND k.code = q.code
)
SELECT a.is_unique, a.unique_until, coalesce(m.root_customer_id, a.unique_customer) AS unique_of,
       coalesce(b.visit_count, 0) AS visit_count,
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
FROM asked a
LEFT JOIN customer_merge m ON m.organization_id = a.organization_id AND m.customer_id = a.unique_customer
LEFT JOIN coupon c ON c.organization_id = a.organization_id AND c.code = a.coupon_code
LEFT JOIN customer b ON b.organization_id = a.organization_id AND b.customer_id = a.customer_id
LEFT JOIN segment s ON s.organization_id = c.organization_id AND s.segment_id = c.segment_id
LEFT JOIN coupon_grant g ON g.organization_id = a.organization_id AND g.coupon_code = a.coupon_code
    AND g.customer_id = a.customer_id
ORDER BY a.n
"""


class Known(NamedTuple):
    """Of one question. `rules` is None for a code that does not exist, `key` is the coupon's.

    `use` is what became of its sale's use, with a state of None where there is none; `more` is None where the rules do
    not turn on more.
    """

    rules: Rules | None
    key: Key
    use: Any
    more: Any = None

    def facts(self, now: datetime, more_total: int = 0, more_by_customer: int = 0, more_unique: int = 0) -> Facts:
        """For the decision; `more_...` are the uses that the same batch decided before."""
        rules, use, more = self.rules, self.use, self.more
        is_own = use.state == "redeemed" or (use.state == "held" and use.expires_at > now)
        uses = rules.redemptions + rules.held - is_own if rules else 0
        is_given_back = use.state == "given_back"
        if more is None:
            return Facts(uses + more_total, is_given_back=is_given_back)
        return Facts(
            uses_total=uses - more.ran_out + more_total,
            uses_by_customer=more.uses_by_customer + more_by_customer,
            visit_count=more.visit_count,
            is_in_segment=more.is_in_segment,
            grant=Grant(more.granted_until) if more.is_granted else None,
            is_unique=more.is_unique,
            unique_of=more.unique_of,
            unique_until=more.unique_until,
            unique_uses=more.unique_uses + more_unique,
            is_given_back=is_given_back,
        )


def look(connection: Connection, questions: Sequence[Question], now: datetime, *, lock: bool) -> list[Known]:
    """What is known of each. With `lock`, in a transaction: the coupons' rows are held.

    In a pipeline it waits once, and once more where rules turn on more than the coupon and the sale.
    """
    codes = dict.fromkeys(question.place[:2] for question in questions)
    places = [(*each.place, _customer(each)) for each in questions]
    rulebook = Rulebook(connection, codes, now, lock=lock)
    uses = _ask(connection, _USES, places, now)
    if rulebook.read() and lock:
        rulebook.expire()
        uses = _ask(connection, _USES, places, now)
    found = [_known(rulebook, each.place, use) for each, use in zip(questions, uses.fetchall(), strict=True)]
    open_ones = [index for index, known in enumerate(found) if _turns_on_more(questions[index], known)]
    if open_ones:
        asked = [(*questions[index].place, found[index].use.customer_id, found[index].key[1]) for index in open_ones]
        for index, more in zip(open_ones, _ask(connection, _FACTS, asked, now), strict=True):
            found[index] = found[index]._replace(more=more)
    return found


def _known(rulebook: Rulebook, place: Place, use: Any) -> Known:
    rules = rulebook.of(*place[:2])
    return Known(rules, rules.key if rules else place[:2], use)


def _ask(
    connection: Connection, statement: str, rows: Sequence[tuple[str | None, ...]], now: datetime
) -> psycopg.Cursor[Any]:
    names = ("organizations", "codes", "sales", "customers", "coupons")
    columns = dict(zip(names, map(joined, zip(*rows, strict=True)), strict=False))
    return connection.cursor(row_factory=namedtuple_row).execute(statement, columns | {"now": now})


def _customer(question: Question) -> str | None:
    return question.basket.customer_id if isinstance(question, Wanted) else None


def _turns_on_more(question: Question, known: Known) -> bool:
    if known.rules is None:
        return False
    if isinstance(question, Named):  # a commit after the hold ran out: limits are looked at again
        return known.use.state == "expired" and not question.is_release
    coupon = known.rules.coupon
    return (
        coupon.needs_customer
        or question.code != coupon.code
        or (coupon.limit_total is not None and known.rules.redemptions + known.rules.held >= coupon.limit_total)
    )
