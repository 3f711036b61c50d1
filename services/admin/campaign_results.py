"""What a campaign brought: sales that follow from it, and its lift against the holdout."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final

from pydantic import BaseModel, Field
from sqlalchemy import Connection, text

from services.admin import campaigns, organizations
from services.admin.instants import Instant
from shared.domain.gates import Reason
from shared.domain.lift import Spending, measured, sentence
from shared.domain.money import format_money

DAYS: Final = 7

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
# By whether they were held out: how many, how many of them bought, and what they spent in the days after their first
# mail was planned. That instant, and not when it went, because who was held out has only that one.
GROUPS: Final = text(f"""
    WITH people AS (
        SELECT customer_id, bool_or(reason = :holdout AND sent_at IS NULL) AS held_out, min(planned_at) AS since
        FROM message
        WHERE organization_id = :organization_id AND campaign_id = :campaign_id
            AND (sent_at IS NOT NULL OR reason = :holdout)
        GROUP BY customer_id
    ), spent AS (
        SELECT coalesce(held_out, false) AS held_out, since, bought.sales, coalesce(bought.amount, 0) AS amount
        FROM people CROSS JOIN LATERAL (
            SELECT count(*) AS sales, sum(sale.amount - given_back) AS amount FROM ledger AS sale {PAID}
            WHERE sale.organization_id = :organization_id AND sale.customer_id = people.customer_id
                AND sale.occurred_at > since AND sale.occurred_at <= since + make_interval(days => :days)
                AND sale.type = 'sale.completed'
        ) AS bought
    )
    SELECT held_out, count(*) AS customers, count(*) FILTER (WHERE sales > 0) AS buyers, sum(amount)::bigint AS spent,
        avg(amount)::float8 AS mean, coalesce(var_samp(amount), 0)::float8 AS variance, max(since) AS last
    FROM spent GROUP BY held_out
""")
# Sales that used a unique code of one of its mails; else those within days of a person's open or click, where no other
# campaign's mail was opened or clicked since, and no unique code speaks for another campaign.
ATTRIBUTED: Final = text(f"""
    WITH coded AS (
        SELECT coupon_use.sale_id, message.campaign_id
        FROM coupon_use
        JOIN coupon_code ON coupon_code.organization_id = :organization_id AND coupon_code.code = coupon_use.code
        JOIN message ON message.organization_id = :organization_id AND message.message_id = coupon_code.message_id
        WHERE coupon_use.organization_id = :organization_id AND coupon_use.state = 'redeemed'
    ), engaged AS (
        SELECT customer_id, greatest(opened_at, clicked_at) AS at FROM message
        WHERE organization_id = :organization_id AND campaign_id = :campaign_id
            AND (opened_at IS NOT NULL OR clicked_at IS NOT NULL)
    ), sales AS (
        SELECT sale_id FROM coded WHERE campaign_id = :campaign_id
        UNION
        SELECT sale.sale_id FROM engaged JOIN ledger AS sale ON sale.organization_id = :organization_id
            AND sale.customer_id = engaged.customer_id AND sale.type = 'sale.completed'
            AND sale.occurred_at > engaged.at AND sale.occurred_at <= engaged.at + make_interval(days => :days)
        WHERE NOT EXISTS (
            SELECT FROM message AS later
            WHERE later.organization_id = :organization_id AND later.customer_id = engaged.customer_id
                AND later.campaign_id <> :campaign_id AND greatest(later.opened_at, later.clicked_at) > engaged.at
                AND greatest(later.opened_at, later.clicked_at) < sale.occurred_at
        ) AND sale.sale_id NOT IN (SELECT sale_id FROM coded WHERE campaign_id <> :campaign_id)
    )
    SELECT count(*) AS sales, coalesce(sum(sale.amount - given_back), 0)::bigint AS revenue
    FROM sales JOIN ledger AS sale ON sale.organization_id = :organization_id AND sale.sale_id = sales.sale_id
        AND sale.type = 'sale.completed' {PAID}
""")


class Group(BaseModel):
    """Customers who were mailed, or held out."""

    customers: int
    buyers: int = Field(description=f"Who bought something in the {DAYS} days after.")
    spent: int = Field(description="By all of them in these days, net of refunds, in minor units.")
    per_customer: int = Field(description="The average, in minor units.")


class Results(BaseModel):
    """What a campaign brought, as far as the days are over that count."""

    attributed_sales: int = Field(
        description="Sales with a unique code of one of its mails; else within seven days of a person's open or click, "
        "where that was the last campaign they opened or clicked."
    )
    attributed_revenue: int = Field(description="What was paid for them, net of refunds, in minor units.")
    mailed: Group
    held_out: Group
    lift: float | None = Field(
        description="How much more each of the mailed spent, of what each of the held out spent; null where too few "
        "are in either group to tell."
    )
    more_at_least: int | None = Field(description="The same in minor units a customer: with 95 % certainty this,")
    more_at_most: int | None = Field(description="to this.")
    counts_until: Instant | None = Field(description="When the days of the last mail so far are over.")
    sentence: str


def of(connection: Connection, organization_id: str, campaign_id: str) -> Results:
    """Raises NotFoundError."""
    campaigns.insist(connection, organization_id, campaign_id)
    known = {"organization_id": organization_id, "campaign_id": campaign_id, "days": DAYS}
    rows = connection.execute(GROUPS, known | {"holdout": str(Reason.HOLDOUT)}).mappings().all()
    groups = {row["held_out"]: row for row in rows}
    mailed, held_out = (_spending(groups.get(is_held)) for is_held in (False, True))
    currency = organizations.read(connection, organization_id).currency
    found = measured(mailed, held_out)
    sold = connection.execute(ATTRIBUTED, known).one()
    last: datetime | None = max((row["last"] for row in rows), default=None)
    return Results(
        attributed_sales=sold.sales,
        attributed_revenue=sold.revenue,
        mailed=_group(groups.get(False)),
        held_out=_group(groups.get(True)),
        lift=None if found is None or found.share is None else round(found.share, 4),
        more_at_least=None if found is None else found.least,
        more_at_most=None if found is None else found.most,
        counts_until=None if last is None else last + timedelta(days=DAYS),
        sentence=sentence(mailed, held_out, DAYS, lambda amount: format_money(amount, currency)),
    )


def _spending(row: Any) -> Spending:
    return Spending(0, 0, 0) if row is None else Spending(row["customers"], row["mean"], row["variance"])


def _group(row: Any) -> Group:
    if row is None:
        return Group(customers=0, buyers=0, spent=0, per_customer=0)
    return Group(customers=row["customers"], buyers=row["buyers"], spent=row["spent"], per_customer=round(row["mean"]))
