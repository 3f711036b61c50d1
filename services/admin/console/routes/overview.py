"""Overview: how the organization stands, at a glance."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from services.admin import audit, campaigns, overview, segments
from services.admin.access import Now, Parts
from services.admin.console import pages
from services.admin.console.pages import HOME, PageRoute
from services.admin.console.visit import Viewer

SHOWN = 8
router = APIRouter(prefix=HOME, route_class=PageRoute, include_in_schema=False)


@router.get("")
def home(request: Request, visit: Viewer, parts: Parts, now: Now) -> Response:
    """What is there, and what happens."""
    with parts.engine.connect() as connection:
        everybody = overview.customers(connection, visit.organization_id, now)
        groups = segments.page(connection, visit.organization_id, 100, None).items
        running = campaigns.under_way(connection, visit.organization_id, SHOWN)
        changes = audit.entries(connection, visit.organization_id, SHOWN, None).items if visit.may("owner") else []
    return pages.show(
        request, visit, "overview", everybody=everybody, segments=groups, campaigns=running, changes_made=changes
    )
