"""Analytics: how campaigns, coupons and cohorts go, with each number's definition beside it."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response

from services.admin import analytics, attributions
from services.admin.access import Now, Parts
from services.admin.analytics import Name
from services.admin.console import pages
from services.admin.console.pages import HOME, PageRoute
from services.admin.console.visit import Viewer
from services.admin.routes.answers import table_answer
from shared.domain.roi import PERCENT

router = APIRouter(prefix=HOME, route_class=PageRoute, include_in_schema=False)


@router.get("/analytics")
def tables(request: Request, visit: Viewer, parts: Parts, now: Now) -> Response:
    """All of them."""
    with parts.engine.connect() as connection:
        found: dict[str, Any] = {
            name: read(connection, visit.organization_id, now) for name, (_, read) in analytics.TABLES.items()
        }
    margin = attributions.costs(visit.organization).counted_margin * 100 / PERCENT
    return pages.show(request, visit, "analytics", margin=margin, **found)


@router.get("/analytics/{name}.csv")
def as_csv(visit: Viewer, parts: Parts, now: Now, name: Name) -> Response:
    """One as a file."""
    with parts.engine.connect() as connection:
        return table_answer(analytics.as_csv(connection, visit.organization_id, name, now), f"{name}.csv")
