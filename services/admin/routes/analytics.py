"""/analytics: tables, as JSON and as CSV."""

from __future__ import annotations

from collections.abc import Callable

from fastapi import APIRouter, Response

from services.admin import analytics
from services.admin.access import Now, Parts, Viewer
from services.admin.analytics import CampaignRates, Cohort, CouponUse, Name
from services.admin.paging import Page
from services.admin.routes.answers import CSV, table_answer

router = APIRouter(prefix="/analytics", tags=["analytics"])


@router.get("/campaigns")
def campaigns(key: Viewer, parts: Parts, now: Now) -> Page[CampaignRates]:
    """Open, click and unsubscribe rates of the hundred campaigns that changed last, drafts aside."""
    with parts.engine.connect() as connection:
        return Page(items=analytics.of_campaigns(connection, key.organization_id, now), next_cursor=None)


@router.get("/coupons")
def coupons(key: Viewer, parts: Parts, now: Now) -> Page[CouponUse]:
    """Redemptions, discount and revenue of the first hundred coupons by code."""
    with parts.engine.connect() as connection:
        return Page(items=analytics.of_coupons(connection, key.organization_id, now), next_cursor=None)


@router.get("/cohorts")
def cohorts(key: Viewer, parts: Parts, now: Now) -> Page[Cohort]:
    """Customers by the month of their first visit, of twelve: who came again, who still comes, what they spent."""
    with parts.engine.connect() as connection:
        return Page(items=analytics.of_cohorts(connection, key.organization_id, now), next_cursor=None)


def _as_csv(name: Name) -> Callable[..., Response]:
    def answer(key: Viewer, parts: Parts, now: Now) -> Response:
        """The same as a file."""
        with parts.engine.connect() as connection:
            return table_answer(analytics.as_csv(connection, key.organization_id, name, now), f"{name}.csv")

    return answer


for each in analytics.TABLES:
    router.add_api_route(f"/{each}.csv", _as_csv(each), response_class=Response, responses=CSV, name=f"{each}_as_csv")
