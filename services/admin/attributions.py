"""Which sales follow from which campaigns, and what was paid and taken off for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, text

from services.admin.organizations import Organization
from shared.domain.roi import PERCENT, Costs, half_up

DAYS: Final = 7
ROI: Final = (
    "(attributed_revenue x margin - discount_given - sending_cost) / (discount_given + sending_cost); "
    "null where nothing was spent."
)

# What was paid for a sale in the end; no row where it was voided.
PAID: Final = """
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(other.amount) FILTER (WHERE other.type = 'sale.refunded'), 0) AS given_back
        FROM ledger AS other
        WHERE other.organization_id = :organization_id AND other.sale_id = sale.sale_id
            AND other.type IN ('sale.refunded', 'sale.voided', 'coupon.redemption_reversed')
        HAVING NOT coalesce(bool_or(other.type = 'sale.voided'), false)
    ) AS adjusted
"""
# Sales that used a unique code of one of a campaign's mails; else those within days of a person's open or click, where
# no other campaign's mail was opened or clicked since, and no unique code speaks for another campaign. With what the
# campaign's own coupon took off.
ATTRIBUTED: Final = text(f"""
    WITH used AS (
        SELECT coupon_use.sale_id, coupon_use.coupon_code, coupon_use.discount, message.campaign_id
        FROM coupon_use
        LEFT JOIN coupon_code ON coupon_code.organization_id = :organization_id AND coupon_code.code = coupon_use.code
        LEFT JOIN message ON message.organization_id = :organization_id AND message.message_id = coupon_code.message_id
        WHERE coupon_use.organization_id = :organization_id AND coupon_use.state = 'redeemed'
    ), engaged AS (
        SELECT campaign_id, customer_id, greatest(opened_at, clicked_at) AS at FROM message
        WHERE organization_id = :organization_id AND campaign_id = ANY (:campaigns)
            AND (opened_at IS NOT NULL OR clicked_at IS NOT NULL)
    ), sales AS (
        SELECT campaign_id, sale_id FROM used WHERE campaign_id = ANY (:campaigns)
        UNION
        SELECT engaged.campaign_id, sale.sale_id FROM engaged
        JOIN ledger AS sale ON sale.organization_id = :organization_id
            AND sale.customer_id = engaged.customer_id AND sale.type = 'sale.completed'
            AND sale.occurred_at > engaged.at AND sale.occurred_at <= engaged.at + make_interval(days => :days)
        WHERE NOT EXISTS (
            SELECT FROM message AS later
            WHERE later.organization_id = :organization_id AND later.customer_id = engaged.customer_id
                AND later.campaign_id <> engaged.campaign_id
                AND greatest(later.opened_at, later.clicked_at) > engaged.at
                AND greatest(later.opened_at, later.clicked_at) < sale.occurred_at
        ) AND NOT EXISTS (
            SELECT FROM used WHERE used.sale_id = sale.sale_id AND used.campaign_id <> engaged.campaign_id
        )
    ), taken_off AS (
        SELECT sales.campaign_id, sales.sale_id, sum(used.discount) AS discount
        FROM sales
        JOIN campaign ON campaign.organization_id = :organization_id AND campaign.campaign_id = sales.campaign_id
        JOIN used ON used.sale_id = sales.sale_id
            AND (used.coupon_code = campaign.coupon_code OR used.campaign_id = sales.campaign_id)
        GROUP BY sales.campaign_id, sales.sale_id
    )
    SELECT sales.campaign_id, count(*) AS sales, sum(sale.amount - given_back)::bigint AS revenue,
        coalesce(sum(taken_off.discount), 0)::bigint AS discount
    FROM sales
    JOIN ledger AS sale ON sale.organization_id = :organization_id AND sale.sale_id = sales.sale_id
        AND sale.type = 'sale.completed' {PAID}
    LEFT JOIN taken_off ON taken_off.campaign_id = sales.campaign_id AND taken_off.sale_id = sales.sale_id
    GROUP BY sales.campaign_id
""")


class Attributed(NamedTuple):
    """To a campaign: sales, what was paid for them net of refunds, and what its coupon took off; in minor units."""

    sales: int = 0
    revenue: int = 0
    discount: int = 0


def of(connection: Connection, organization_id: str, campaigns: Sequence[str]) -> dict[str, Attributed]:
    """Of each of these campaigns, all at once."""
    known = {"organization_id": organization_id, "campaigns": list(campaigns), "days": DAYS}
    found = {each.campaign_id: Attributed(*each[1:]) for each in connection.execute(ATTRIBUTED, known)}
    return {campaign_id: found.get(campaign_id, Attributed()) for campaign_id in campaigns}


def told(sold: Attributed, own: Costs, sent: int) -> dict[str, Any]:
    """The fields that a campaign's results and the table of campaigns both have; `sent`: mails."""
    roi = own.roi(sold.revenue, sold.discount, sent)
    return {
        "attributed_sales": sold.sales,
        "attributed_revenue": sold.revenue,
        "discount_given": sold.discount,
        "sending_cost": half_up(own.sending(sent)),
        "roi": None if roi is None else round(float(roi), 4),
    }


def costs(shown: Organization) -> Costs:
    """What it says of its margin and of sending."""
    percent = shown.gross_margin_percent
    return Costs(None if percent is None else round(percent * PERCENT / 100), shown.sending_cost_per_thousand)
