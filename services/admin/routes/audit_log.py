"""GET /audit-log."""

from __future__ import annotations

from fastapi import APIRouter

from services.admin import audit
from services.admin.access import Owner, Parts
from services.admin.audit import Entry
from services.admin.paging import Cursor, Limit, Page

router = APIRouter(tags=["organization"])


@router.get("/audit-log")
def entries(key: Owner, parts: Parts, limit: Limit = 50, cursor: Cursor = None) -> Page[Entry]:
    """Who changed what, newest first."""
    with parts.engine.connect() as connection:
        return audit.entries(connection, key.organization_id, limit, cursor)
