"""What a campaign brought: sales that follow from it, its ROI, and its lift against the holdout."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final

from pydantic import BaseModel, Field
from sqlalchemy import Connection, text

from services.admin import attributions, campaigns, organizations
from services.admin.attributions import DAYS, PAID
from services.admin.instants import Instant
from shared.domain.gates import Reason
from shared.domain.lift import Spending, measured, sentence
from shared.domain.money import format_money
from shared.domain.roi import PERCENT

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
    discount_given: int = Field(description="By its coupon on these sales, in minor units.")
    sending_cost: int = Field(description="Of the mails sent so far, in minor units, rounded.")
    gross_margin_percent: float = Field(description="What is reckoned with.")
    margin_is_assumed: bool = Field(description="Because the organization has not set any.")
    roi: float | None = Field(description=attributions.ROI)
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
    sent = campaigns.read(connection, organization_id, campaign_id).counts.sent
    known = {"organization_id": organization_id, "campaign_id": campaign_id, "days": DAYS}
    rows = connection.execute(GROUPS, known | {"holdout": str(Reason.HOLDOUT)}).mappings().all()
    groups = {row["held_out"]: row for row in rows}
    mailed, held_out = (_spending(groups.get(is_held)) for is_held in (False, True))
    own = organizations.read(connection, organization_id)
    costs = attributions.costs(own)
    found = measured(mailed, held_out)
    sold = attributions.of(connection, organization_id, [campaign_id])[campaign_id]
    last: datetime | None = max((row["last"] for row in rows), default=None)
    return Results(
        **attributions.told(sold, costs, sent),
        gross_margin_percent=costs.counted_margin * 100 / PERCENT,
        margin_is_assumed=costs.margin is None,
        mailed=_group(groups.get(False)),
        held_out=_group(groups.get(True)),
        lift=None if found is None or found.share is None else round(found.share, 4),
        more_at_least=None if found is None else found.least,
        more_at_most=None if found is None else found.most,
        counts_until=None if last is None else last + timedelta(days=DAYS),
        sentence=sentence(mailed, held_out, DAYS, lambda amount: format_money(amount, own.currency)),
    )


def _spending(row: Any) -> Spending:
    return Spending(0, 0, 0) if row is None else Spending(row["customers"], row["mean"], row["variance"])


def _group(row: Any) -> Group:
    if row is None:
        return Group(customers=0, buyers=0, spent=0, per_customer=0)
    return Group(customers=row["customers"], buyers=row["buyers"], spent=row["spent"], per_customer=round(row["mean"]))
