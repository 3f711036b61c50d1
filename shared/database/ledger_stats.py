"""What the ledger says of customers: the definition of every stat, used wherever one is recomputed or verified.

total_spent = totals of completed sales that are not voided, less their refunds. A void, a refund or a reversal gives a
coupon's use back. Every event that names a customer counts for first_event_at.
"""

from __future__ import annotations

from sqlalchemy import FromClause, Select, and_, func, lateral, or_, select, true

from shared.database.tables import ledger

ADJUSTMENTS = ("sale.refunded", "sale.voided", "coupon.redemption_reversed")


def stats_from_ledger(scope: FromClause | None = None) -> Select[tuple[object, ...]]:
    """One row a customer: organization_id, customer_id and the stats, named as in the customer table.

    `scope` has the columns organization_id and customer_id; without it, all customers of all organizations.
    """
    own, other = ledger.alias("own"), ledger.alias("other")
    reversal = func.concat("reverse:", func.substr(own.c.entry, len("redeem:") + 1))
    adjusted = lateral(
        select(
            func.coalesce(func.bool_or(other.c.type == "sale.voided"), False).label("voided"),
            func.coalesce(func.bool_or(other.c.type == "sale.refunded"), False).label("refunded"),
            func.coalesce(func.sum(other.c.amount).filter(other.c.type == "sale.refunded"), 0).label("given_back"),
            func.coalesce(func.bool_or(other.c.entry == reversal), False).label("reversed"),
        ).where(
            other.c.organization_id == own.c.organization_id,
            other.c.sale_id == own.c.sale_id,
            other.c.type.in_(ADJUSTMENTS),
        )
    ).alias("adjusted")
    sale = and_(own.c.type == "sale.completed", ~adjusted.c.voided)
    redeemed = and_(
        own.c.type == "coupon.redeemed",
        ~or_(adjusted.c.voided, adjusted.c.refunded, adjusted.c.reversed),
    )
    rows = (
        own
        if scope is None
        else scope.join(
            own, and_(own.c.organization_id == scope.c.organization_id, own.c.customer_id == scope.c.customer_id)
        )
    )
    return (
        select(
            own.c.organization_id,
            own.c.customer_id,
            func.coalesce(func.sum(own.c.amount - adjusted.c.given_back).filter(sale), 0).label("total_spent"),
            func.count().filter(sale).label("visit_count"),
            func.min(own.c.occurred_at).filter(sale).label("first_visit_at"),
            func.max(own.c.occurred_at).filter(sale).label("last_visit_at"),
            func.count().filter(redeemed).label("coupon_redemptions"),
            func.coalesce(func.sum(own.c.amount).filter(redeemed), 0).label("discount_received"),
            func.max(own.c.occurred_at).filter(own.c.type == "mail.opened").label("last_open_at"),
            func.max(own.c.occurred_at).filter(own.c.type == "mail.clicked").label("last_click_at"),
            func.min(own.c.occurred_at).label("first_event_at"),
        )
        .select_from(rows.join(adjusted, true()))
        .where(own.c.customer_id.is_not(None))
        .group_by(own.c.organization_id, own.c.customer_id)
    )


STATS = (
    "total_spent",
    "visit_count",
    "first_visit_at",
    "last_visit_at",
    "coupon_redemptions",
    "discount_received",
    "last_open_at",
    "last_click_at",
    "first_event_at",
)
