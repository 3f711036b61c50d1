"""Analytics: what was sold, how campaigns, coupons and customers do, with each number's definition beside it."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any, Final

from fastapi import APIRouter, Request, Response

from services.admin import analytics, attributions, retention, takings
from services.admin.access import Now, Parts
from services.admin.analytics import MOST, Name
from services.admin.console import forms, pages
from services.admin.console.forms import Errors
from services.admin.console.pages import HOME, PageRoute
from services.admin.console.visit import Viewer
from services.admin.routes.answers import table_answer
from services.admin.spans import DAY, From, Until, span
from services.admin.takings import Day
from shared.domain.lifetime_value import FEWEST
from shared.domain.money import minor_units
from shared.domain.roi import PERCENT
from shared.errors import InvalidError

PRESETS: Final = ((7, "7 days"), (30, "30 days"), (90, "90 days"), (365, "a year"))
STORES: Final = 25  # shown; the file has all
router = APIRouter(prefix=f"{HOME}/analytics", route_class=PageRoute, include_in_schema=False)


@router.get("")
def sales(request: Request, visit: Viewer, now: Now, first: From = None, until: Until = None) -> Response:
    """The choice of days. What was sold on them comes by itself: a year of a large ledger takes seconds to add up."""
    zone, errors = visit.organization.time_zone, Errors()
    try:
        asked = span(now, zone, first, until)
    except InvalidError as error:
        asked, errors = span(now, zone), forms.errors_of(error)
    today = span(now, zone).last
    presets = [
        (words, today - (days - 1) * DAY, (asked.first, asked.last) == (today - (days - 1) * DAY, today))
        for days, words in PRESETS
    ]
    given = {"first": first or asked.first, "until": until or asked.last}
    return pages.show(
        request, visit, "analytics", 422 if errors else 200, asked=asked, presets=presets, errors=errors, given=given
    )


@router.get("/sales")
def sales_part(
    request: Request, *, visit: Viewer, parts: Parts, now: Now, first: From = None, until: Until = None
) -> Response:
    """That part: figures, chart and tables."""
    asked = span(now, visit.organization.time_zone, first, until)
    with parts.engine.connect() as connection:
        days = takings.by_day(connection, visit.organization_id, asked)
        stores = takings.by_store(connection, visit.organization_id, asked)
    shown: dict[str, Any] = {"days": days, "stores": stores[:STORES], "more": len(stores[STORES:]), "asked": asked}
    shown["sums"] = {
        name: sum(getattr(day, name) for day in days)
        for name in ("sales", "revenue", "revenue_with_coupon", "discount_given")
    }
    shown["chart"] = _chart(days, visit.organization.currency)
    return pages.show(request, visit, "analytics_sales", **shown)


@router.get("/campaigns")
def of_campaigns(request: Request, visit: Viewer, parts: Parts) -> Response:
    """What their mails did, and what they brought."""
    with parts.engine.connect() as connection:
        found = analytics.of_campaigns(connection, visit.organization_id, MOST, None)
    margin = attributions.costs(visit.organization).counted_margin * 100 / PERCENT
    shown: dict[str, Any] = {"campaigns": found.items, "has_more": found.next_cursor is not None, "margin": margin}
    return pages.show(request, visit, "analytics_campaigns", **shown)


@router.get("/coupons")
def of_coupons(request: Request, visit: Viewer, parts: Parts, now: Now) -> Response:
    """What they brought."""
    with parts.engine.connect() as connection:
        found = analytics.of_coupons(connection, visit.organization_id, MOST, None, now)
    return pages.show(request, visit, "analytics_coupons", coupons=found.items, has_more=found.next_cursor is not None)


@router.get("/customers")
def of_customers(request: Request, visit: Viewer, parts: Parts, now: Now) -> Response:
    """Who came when and again, what they spent, and what they will."""
    whose = visit.organization_id
    with parts.engine.connect() as connection:
        groups = analytics.of_groups(connection, whose, parts.learnt, now)
        segments = groups.by_segment(connection, whose)
        cohorts = analytics.of_cohorts(connection, whose, span(now, visit.organization.time_zone))
    shown: dict[str, Any] = {
        "engagement": groups.by_engagement(),
        "segments": segments,
        "cohorts": cohorts,
        "fewest": FEWEST,
    }
    shown["is_learnt"] = groups.habits is not None
    return pages.show(request, visit, "analytics_customers", **shown)


@router.get("/retention")
def retention_part(request: Request, visit: Viewer, parts: Parts, now: Now) -> Response:
    """The part of that page that takes a look at every sale of a year."""
    asked = span(now, visit.organization.time_zone)
    with parts.engine.connect() as connection:
        lines = retention.by_month(retention.read(connection, visit.organization_id, asked))
    longest = max(map(len, lines.values()), default=1)
    return pages.show(request, visit, "analytics_retention", lines=lines, longest=longest)


@router.get("/{name}.csv")
def as_csv(*, visit: Viewer, parts: Parts, now: Now, name: Name, first: From = None, until: Until = None) -> Response:
    """One table as a file."""
    asked = span(now, visit.organization.time_zone, first, until)
    with parts.engine.connect() as connection:
        text = analytics.as_csv(connection, visit.organization_id, name, asked, parts.learnt)
    return table_answer(text, f"{name}.csv")


def _chart(days: list[Day], currency: str) -> dict[str, Any]:
    """In the currency's own unit, at noon, which is that day on most clocks."""
    shown, unit = days[::-1], 10 ** minor_units(currency)
    return {
        "x": [_noon(day.date) for day in shown],
        "series": [
            {"label": f"Revenue, {currency}", "values": [day.revenue / unit for day in shown]},
            {"label": "with coupon", "values": [day.revenue_with_coupon / unit for day in shown]},
        ],
    }


def _noon(day: date) -> int:
    return int((datetime.fromisoformat(f"{day}T00:00:00Z") + timedelta(hours=12)).timestamp())
