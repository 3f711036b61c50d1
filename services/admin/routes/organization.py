"""GET, PATCH /organization; GET /overview."""

from __future__ import annotations

from fastapi import APIRouter

from services.admin import organizations, overview
from services.admin.access import Now, Owner, Parts, Viewer
from services.admin.organizations import Organization, OrganizationChange
from services.admin.overview import Customers

router = APIRouter(tags=["organization"])


@router.get("/organization")
def read(key: Viewer, parts: Parts) -> Organization:
    """The organization of the key."""
    with parts.engine.connect() as connection:
        return organizations.read(connection, key.organization_id)


@router.patch("/organization")
def change(wanted: OrganizationChange, key: Owner, parts: Parts, now: Now) -> Organization:
    """Change its settings; what is absent stays."""
    with parts.engine.begin() as connection:
        return organizations.change(connection, key, wanted, now)


@router.get("/overview")
def overview_of_customers(key: Viewer, parts: Parts, now: Now) -> Customers:
    """How many customers there are, what they spent, and when they came last."""
    with parts.engine.connect() as connection:
        return overview.customers(connection, key.organization_id, now)
