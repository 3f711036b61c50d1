"""Activity: who changed what."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from services.admin import audit
from services.admin.access import Parts
from services.admin.console import pages
from services.admin.console.pages import HOME, PageRoute
from services.admin.console.visit import Owner
from services.admin.paging import Cursor

PAGE = 50
router = APIRouter(prefix=HOME, route_class=PageRoute, include_in_schema=False)


@router.get("/activity")
def activity(request: Request, visit: Owner, parts: Parts, cursor: Cursor = None) -> Response:
    """Newest first."""
    with parts.engine.connect() as connection:
        found = audit.entries(connection, visit.organization_id, PAGE, cursor)
    return pages.show(request, visit, "activity", found=found)
