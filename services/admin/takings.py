"""What was sold, by day and by store, added up from the ledger."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, Final

from pydantic import BaseModel, Field
from sqlalchemy import Connection, text

from services.admin.spans import Span

Sales = Annotated[int, Field(description="Not voided.")]
Revenue = Annotated[int, Field(description="What was paid for them, net of refunds whenever made, in minor units.")]
Customers = Annotated[int, Field(description="Who bought, counted once; sales without a customer are nobody's.")]
WithCoupon = Annotated[int, Field(description="Revenue of the sales with a coupon that was not given back.")]
Discount = Annotated[int, Field(description="By coupons on these sales, in minor units.")]

# A refund counts for its sale, on that sale's day and at its store, as it does in a customer's stats: so the days add
# up to what all customers spent. A sale of several coupons counts once.
ADDED_UP: Final = """
    WITH adjusted AS (
        SELECT sale_id, bool_or(type = 'sale.voided') AS voided,
            coalesce(sum(amount) FILTER (WHERE type = 'sale.refunded'), 0)::bigint AS given_back
        FROM ledger
        WHERE organization_id = :organization_id
            AND type IN ('sale.refunded', 'sale.voided', 'coupon.redemption_reversed')
        GROUP BY sale_id
    ), used AS (
        SELECT sale_id, sum(discount)::bigint AS discount FROM coupon_use
        WHERE organization_id = :organization_id AND state = 'redeemed' GROUP BY sale_id
    ), sold AS (
        SELECT {what} AS what, customer_id, used.discount, amount - coalesce(given_back, 0) AS revenue
        FROM ledger AS sale
        LEFT JOIN adjusted ON adjusted.sale_id = sale.sale_id
        LEFT JOIN used ON used.sale_id = sale.sale_id
        WHERE sale.organization_id = :organization_id AND sale.type = 'sale.completed'
            AND sale.occurred_at >= :starts AND sale.occurred_at < :ends AND voided IS NOT TRUE
    )
    SELECT what, count(*) AS sales, sum(revenue)::bigint AS revenue, count(DISTINCT customer_id) AS customers,
        coalesce(sum(revenue) FILTER (WHERE discount IS NOT NULL), 0)::bigint AS revenue_with_coupon,
        coalesce(sum(discount), 0)::bigint AS discount_given
    FROM sold GROUP BY what
"""
BY_DAY: Final = text(ADDED_UP.format(what="timezone(:zone, occurred_at)::date"))
BY_STORE: Final = text(ADDED_UP.format(what="store_id"))


class Day(BaseModel):
    """A day of the organization's calendar."""

    date: date
    sales: Sales = 0
    revenue: Revenue = 0
    customers: Customers = 0
    revenue_with_coupon: WithCoupon = 0
    discount_given: Discount = 0


class Store(BaseModel):
    """A store over all of the days."""

    store_id: str | None
    sales: Sales
    revenue: Revenue
    customers: Customers
    revenue_with_coupon: WithCoupon
    discount_given: Discount


def by_day(connection: Connection, organization_id: str, span: Span) -> list[Day]:
    """Every day of the span, the last one first, whether or not anything was sold."""
    found = {row.pop("what"): row for row in _added_up(connection, organization_id, span, BY_DAY)}
    return [Day(date=day, **found.get(day, {})) for day in span.days]


def by_store(connection: Connection, organization_id: str, span: Span) -> list[Store]:
    """Those that sold something, by revenue."""
    found = [Store(store_id=row.pop("what"), **row) for row in _added_up(connection, organization_id, span, BY_STORE)]
    return sorted(found, key=lambda each: (-each.revenue, each.store_id or ""))


def _added_up(connection: Connection, organization_id: str, span: Span, statement: Any) -> list[dict[str, Any]]:
    known = {"organization_id": organization_id, "zone": span.zone, "starts": span.starts, "ends": span.ends}
    return [dict(row) for row in connection.execute(statement, known).mappings()]
