"""Tables that say how things go: days and stores by what they sold, campaigns by what their mails did, coupons by what
they brought, customers by when they came last, by segment, and by the month in which they first came. Each can be had
as CSV.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from datetime import date, datetime
from types import MappingProxyType
from typing import Final, Literal, TypeVar
from zoneinfo import ZoneInfo

from pydantic import BaseModel, Field
from sqlalchemy import Connection, Date, cast, func, select

from services.admin import (
    attributions,
    campaigns,
    coupons,
    customer_groups,
    organizations,
    redemption_rates,
    retention,
    takings,
)
from services.admin.csv_cells import cell, guarded
from services.admin.customer_groups import Engagement, Groups, SegmentValue
from services.admin.lifetime_values import Learnt
from services.admin.overview import ACTIVE
from services.admin.paging import Page
from services.admin.redemption_rates import Issued
from services.admin.retention import Retained
from services.admin.spans import Span
from services.admin.takings import Day, Store
from shared.database.tables import customer

MONTHS: Final = 12
MOST: Final = 100  # rows that are read together
NAME: Final = "name"  # free text


class CampaignRates(BaseModel):
    """A campaign's mails. Rates are of the delivered ones, null where there are none."""

    campaign_id: str
    name: str
    state: str
    sent: int
    delivered: int
    opened: int = Field(description="By people.")
    open_rate: float | None = Field(description="Of the delivered, whom a person opened.")
    clicked: int
    click_rate: float | None = Field(description="Of the delivered, where a person clicked.")
    unsubscribed: int
    unsubscribe_rate: float | None = Field(description="Of the delivered, who left by it.")
    attributed_sales: int = Field(description="As the campaign's results say.")
    attributed_revenue: int = Field(description="What was paid for them, net of refunds, in minor units.")
    discount_given: int = Field(description="By its coupon on these sales, in minor units.")
    sending_cost: int = Field(description="Of the mails sent, in minor units, rounded.")
    roi: float | None = Field(description=attributions.ROI)
    redeemed: int = Field(description="Mails whose coupon the recipient redeemed, not given back.")
    redemption_rate: float | None = Field(description="Of the mails sent with a coupon, whose was redeemed.")


class CouponUse(BaseModel):
    """A coupon and what it brought."""

    code: str
    name: str
    state: str
    redemptions: int = Field(description="Not given back.")
    over_limit: int = Field(description="By offline tills, beyond a limit.")
    discount_given: int = Field(description="Minor units.")
    revenue: int = Field(description="What the sales with it were paid, in minor units.")
    issued: int = Field(description="Unique codes and grants, by marketers and by mails.")
    redemption_rate: float | None = Field(
        description="Of the issued, which were redeemed and not given back; null where none was issued: open to all."
    )


class Cohort(BaseModel):
    """Customers whose first visit was in a month of the organization's calendar, as they are now."""

    month: date = Field(description="Its first day.")
    customers: int
    regulars: int = Field(description="With two visits or more.")
    repeat_rate: float = Field(description="Regulars by customers.")
    active: int = Field(description="Last visit within 30 days.")
    retention: float = Field(description="Active by customers.")
    spent: int = Field(description="By all of them so far, net of refunds, in minor units.")
    per_customer: int = Field(description="Lifetime value so far: the average of that.")


R = TypeVar("R", bound=BaseModel)
Rows = Sequence[BaseModel]
Reader = Callable[[Connection, str, Span, Learnt], Rows]
Name = Literal["days", "stores", "campaigns", "coupons", "engagement", "segments", "cohorts", "retention"]


def of_campaigns(connection: Connection, organization_id: str, limit: int, cursor: str | None) -> Page[CampaignRates]:
    """Those that changed last first, drafts aside."""
    page = campaigns.begun(connection, organization_id, limit, cursor)
    found, ids = page.items, [each.id for each in page.items]
    costs = attributions.costs(organizations.read(connection, organization_id))
    brought = attributions.of(connection, organization_id, ids)
    issued = redemption_rates.of_campaigns(connection, organization_id, ids)
    items = [
        CampaignRates(
            campaign_id=each.id,
            name=each.name,
            state=each.state,
            sent=each.counts.sent,
            delivered=each.counts.delivered,
            opened=each.counts.opened,
            open_rate=_share(each.counts.opened, each.counts.delivered),
            clicked=each.counts.clicked,
            click_rate=_share(each.counts.clicked, each.counts.delivered),
            unsubscribed=each.counts.unsubscribed,
            unsubscribe_rate=_share(each.counts.unsubscribed, each.counts.delivered),
            redeemed=issued.get(each.id, Issued()).redeemed,
            redemption_rate=issued.get(each.id, Issued()).rate,
            **attributions.told(brought[each.id], costs, each.counts.sent),
        )
        for each in found
    ]
    return Page(items=items, next_cursor=page.next_cursor)


def of_coupons(
    connection: Connection, organization_id: str, limit: int, cursor: str | None, now: datetime
) -> Page[CouponUse]:
    """By code."""
    page = coupons.page(connection, organization_id, limit, cursor, now)
    issued = redemption_rates.of_coupons(connection, organization_id, [each.code for each in page.items])
    none = Issued()
    items = [
        CouponUse(
            **each.model_dump(include=set(CouponUse.model_fields)),
            issued=issued.get(each.code, none).issued,
            redemption_rate=issued.get(each.code, none).rate,
        )
        for each in page.items
    ]
    return Page(items=items, next_cursor=page.next_cursor)


def of_cohorts(connection: Connection, organization_id: str, span: Span) -> list[Cohort]:
    """Of the last twelve months, the newest first; in one pass over the customers."""
    zone, now = span.zone, span.now
    today = now.astimezone(ZoneInfo(zone)).date()
    first = date(today.year - 1, today.month, 1)
    month = cast(func.date_trunc("month", func.timezone(zone, customer.c.first_visit_at)), Date)
    wanted = (
        select(
            month.label("month"),
            func.count().label("customers"),
            func.count().filter(customer.c.visit_count > 1).label("regulars"),
            func.count().filter(customer.c.last_visit_at > now - ACTIVE).label("active"),
            func.sum(customer.c.total_spent).label("spent"),
        )
        .where(customer.c.organization_id == organization_id, month > first, month <= today)
        .group_by(month)
        .order_by(month.desc())
        .limit(MONTHS)
    )
    return [
        Cohort(
            **row,
            repeat_rate=round(row["regulars"] / row["customers"], 4),
            retention=round(row["active"] / row["customers"], 4),
            per_customer=round(row["spent"] / row["customers"]),
        )
        for row in connection.execute(wanted).mappings()
    ]


def of_groups(connection: Connection, organization_id: str, learnt: Learnt, now: datetime) -> Groups:
    """Customers by when they came last and by segment, with what they will spend."""
    return customer_groups.read(connection, organization_id, learnt.of(connection, organization_id, now), now)


def of_engagement(connection: Connection, organization_id: str, learnt: Learnt, now: datetime) -> list[Engagement]:
    """By when they came last."""
    return of_groups(connection, organization_id, learnt, now).by_engagement()


def of_segments(connection: Connection, organization_id: str, learnt: Learnt, now: datetime) -> list[SegmentValue]:
    """By segment."""
    return of_groups(connection, organization_id, learnt, now).by_segment(connection, organization_id)


TABLES: Final = MappingProxyType[Name, tuple[type[BaseModel], Reader]](
    {
        "days": (Day, lambda connection, own, span, _: takings.by_day(connection, own, span)),
        "stores": (Store, lambda connection, own, span, _: takings.by_store(connection, own, span)),
        "campaigns": (
            CampaignRates,
            lambda connection, own, _, __: _whole(lambda cursor: of_campaigns(connection, own, MOST, cursor)),
        ),
        "coupons": (
            CouponUse,
            lambda connection, own, span, _: _whole(lambda cursor: of_coupons(connection, own, MOST, cursor, span.now)),
        ),
        "engagement": (
            Engagement,
            lambda connection, own, span, learnt: of_engagement(connection, own, learnt, span.now),
        ),
        "segments": (
            SegmentValue,
            lambda connection, own, span, learnt: of_segments(connection, own, learnt, span.now),
        ),
        "cohorts": (Cohort, lambda connection, own, span, _: of_cohorts(connection, own, span)),
        "retention": (Retained, lambda connection, own, span, _: retention.read(connection, own, span)),
    }
)


def as_csv(connection: Connection, organization_id: str, name: Name, span: Span, learnt: Learnt) -> str:
    """A table with a header line; amounts in minor units."""
    kind, read = TABLES[name]
    header = list(kind.model_fields)
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(header)
    for row in read(connection, organization_id, span, learnt):
        cells = {column: cell(value) for column, value in row.model_dump().items()}
        writer.writerow([guarded(cells[column]) if column == NAME else cells[column] for column in header])
    return buffer.getvalue()


def _whole(page: Callable[[str | None], Page[R]]) -> list[R]:
    """All pages, one behind the other."""
    found = page(None)
    items = found.items
    while found.next_cursor is not None:
        found = page(found.next_cursor)
        items += found.items
    return items


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None
