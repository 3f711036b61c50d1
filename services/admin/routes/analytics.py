"""/analytics: tables, as JSON and as CSV."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Response

from services.admin import analytics, organizations, retention, takings
from services.admin.access import Admin, Now, Parts, Viewer
from services.admin.analytics import CampaignRates, Cohort, CouponUse, Name
from services.admin.customer_groups import Engagement, SegmentValue
from services.admin.paging import Cursor, Limit, Page
from services.admin.retention import Retained
from services.admin.routes.answers import CSV, table_answer
from services.admin.spans import From, Span, Until, span
from services.admin.takings import Day, Store
from shared.keys import Key

router = APIRouter(prefix="/analytics", tags=["analytics"])


def _of_days(key: Viewer, parts: Parts, now: Now, first: From = None, until: Until = None) -> Span:
    with parts.engine.connect() as connection:
        return span(now, organizations.read(connection, key.organization_id).time_zone, first, until)


def _of_now(key: Viewer, parts: Parts, now: Now) -> Span:
    return _of_days(key, parts, now)


OfDays = Annotated[Span, Depends(_of_days)]
OfNow = Annotated[Span, Depends(_of_now)]


@router.get("/days")
def days(key: Viewer, parts: Parts, asked: OfDays) -> Page[Day]:
    """What was sold on each day of the organization's calendar, the last one first."""
    with parts.engine.connect() as connection:
        return Page(items=takings.by_day(connection, key.organization_id, asked), next_cursor=None)


@router.get("/stores")
def stores(key: Viewer, parts: Parts, asked: OfDays) -> Page[Store]:
    """What each store sold in these days, by revenue."""
    with parts.engine.connect() as connection:
        return Page(items=takings.by_store(connection, key.organization_id, asked), next_cursor=None)


@router.get("/campaigns")
def campaigns(key: Viewer, parts: Parts, limit: Limit = 100, cursor: Cursor = None) -> Page[CampaignRates]:
    """Rates, attributed revenue and ROI of campaigns, those that changed last first, drafts aside."""
    with parts.engine.connect() as connection:
        return analytics.of_campaigns(connection, key.organization_id, limit, cursor)


@router.get("/coupons")
def coupons(key: Viewer, parts: Parts, now: Now, limit: Limit = 100, cursor: Cursor = None) -> Page[CouponUse]:
    """Redemptions, discount, revenue and redemption rate of coupons, by code."""
    with parts.engine.connect() as connection:
        return analytics.of_coupons(connection, key.organization_id, limit, cursor, now)


@router.get("/engagement")
def engagement(key: Viewer, parts: Parts, now: Now) -> Page[Engagement]:
    """Customers by their last visit: what they spent, and about what they will spend in twelve months."""
    with parts.engine.connect() as connection:
        found = analytics.of_engagement(connection, key.organization_id, parts.learnt, now)
        return Page(items=found, next_cursor=None)


@router.get("/segments")
def segments(key: Viewer, parts: Parts, now: Now) -> Page[SegmentValue]:
    """The same of each segment's members, by name."""
    with parts.engine.connect() as connection:
        found = analytics.of_segments(connection, key.organization_id, parts.learnt, now)
        return Page(items=found, next_cursor=None)


@router.get("/cohorts")
def cohorts(key: Viewer, parts: Parts, asked: OfNow) -> Page[Cohort]:
    """Customers by the month of their first visit, of twelve: who came again, who still comes, what they spent."""
    with parts.engine.connect() as connection:
        return Page(items=analytics.of_cohorts(connection, key.organization_id, asked), next_cursor=None)


@router.get("/retention")
def retained(key: Viewer, parts: Parts, asked: OfNow) -> Page[Retained]:
    """How many of each month's new customers came in each month after it."""
    with parts.engine.connect() as connection:
        return Page(items=retention.read(connection, key.organization_id, asked), next_cursor=None)


def _of_days_as_csv(name: Name) -> Callable[..., Response]:
    def answer(key: Viewer, parts: Parts, asked: OfDays) -> Response:
        """The same as a file."""
        return _file(name, key, parts, asked)

    return answer


def _of_now_as_csv(name: Name) -> Callable[..., Response]:
    def answer(key: Viewer, parts: Parts, asked: OfNow) -> Response:
        """The same as a file."""
        return _file(name, key, parts, asked)

    return answer


def _file(name: Name, key: Key, parts: Admin, asked: Span) -> Response:
    with parts.engine.connect() as connection:
        text = analytics.as_csv(connection, key.organization_id, name, asked, parts.learnt)
    return table_answer(text, f"{name}.csv")


OF_DAYS: Final = {"days", "stores"}
for each in analytics.TABLES:
    made = _of_days_as_csv(each) if each in OF_DAYS else _of_now_as_csv(each)
    router.add_api_route(f"/{each}.csv", made, response_class=Response, responses=CSV, name=f"{each}_as_csv")
