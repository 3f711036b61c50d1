"""Who came again, month by month after their first visit."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Final
from zoneinfo import ZoneInfo

from pydantic import BaseModel, Field
from sqlalchemy import Connection, text

from services.admin.spans import Span

MONTHS: Final = 12  # of a year, the present one among them

# Customers by the month of their first visit, and how many of them came in each month since; in the month itself all.
CAME: Final = text("""
    WITH cohort AS (
        SELECT customer_id, date_trunc('month', timezone(:zone, first_visit_at))::date AS month FROM customer
        WHERE organization_id = :organization_id AND first_visit_at >= :starts AND first_visit_at < :ends
    ), voided AS (
        SELECT sale_id FROM ledger
        WHERE organization_id = :organization_id AND sale_id IS NOT NULL AND type = 'sale.voided'
            AND type IN ('sale.refunded', 'sale.voided', 'coupon.redemption_reversed')
    ), came AS (
        SELECT DISTINCT cohort.month, sale.customer_id,
            date_trunc('month', timezone(:zone, sale.occurred_at))::date AS at
        FROM ledger AS sale JOIN cohort ON cohort.customer_id = sale.customer_id
        WHERE sale.organization_id = :organization_id AND sale.type = 'sale.completed'
            AND sale.occurred_at >= :starts AND sale.occurred_at < :ends
            AND sale.sale_id NOT IN (SELECT sale_id FROM voided)
    )
    SELECT month, at, count(*) AS customers FROM came GROUP BY month, at
""")


class Retained(BaseModel):
    """How many of a month's new customers came in a later month, of the organization's calendar."""

    month: date = Field(description="Of their first visit: its first day.")
    months_after: int = Field(description="0 is that month itself, in which all of them came.")
    customers: int = Field(description="Who came then.")
    retention: float = Field(description="Of those whose first visit was in `month`.")


def read(connection: Connection, organization_id: str, asked: Span) -> list[Retained]:
    """Of the last twelve months, the newest first, each with all that began since."""
    today = asked.now.astimezone(ZoneInfo(asked.zone)).date()
    number = today.year * 12 + today.month - 1
    months = [date(n // 12, n % 12 + 1, 1) for n in range(number, number - MONTHS, -1)]
    year = Span(asked.now, asked.zone, months[-1], today)
    known = {"organization_id": organization_id, "zone": asked.zone, "starts": year.starts, "ends": year.ends}
    came = {(row.month, row.at): row.customers for row in connection.execute(CAME, known)}
    return [
        Retained(month=month, months_after=n, customers=found, retention=round(found / came[month, month], 4))
        for place, month in enumerate(months)
        if (month, month) in came
        for n, at in enumerate(reversed(months[: place + 1]))
        for found in (came.get((month, at), 0),)
    ]


def by_month(found: Sequence[Retained]) -> dict[date, list[Retained]]:
    """A line a month, for a table."""
    lines: dict[date, list[Retained]] = {}
    for each in found:
        lines.setdefault(each.month, []).append(each)
    return lines
