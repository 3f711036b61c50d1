"""What a campaign brought: a part of its page that comes by itself, because it looks at each recipient's sales."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from services.admin import campaign_results
from services.admin.access import Parts
from services.admin.attributions import DAYS
from services.admin.console import pages
from services.admin.console.pages import HOME, PageRoute
from services.admin.console.visit import Viewer

router = APIRouter(prefix=HOME, route_class=PageRoute, include_in_schema=False)


@router.get("/campaigns/{campaign_id}/results")
def results(request: Request, visit: Viewer, parts: Parts, campaign_id: str) -> Response:
    """The part."""
    with parts.engine.connect() as connection:
        found = campaign_results.of(connection, visit.organization_id, campaign_id)
    return pages.show(request, visit, "campaign_results", found=found, days=DAYS)
