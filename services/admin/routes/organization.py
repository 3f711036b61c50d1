"""GET, PATCH /organization; GET /overview."""

from __future__ import annotations

from fastapi import APIRouter, Response

from services.admin import organizations, overview
from services.admin.access import IfMatch, Now, Owner, Parts, Viewer
from services.admin.organizations import Organization, OrganizationChange
from services.admin.overview import Customers
from shared.problems import described

router = APIRouter(tags=["organization"])


@router.get("/organization")
def read(key: Viewer, parts: Parts, response: Response) -> Organization:
    """The organization of the key."""
    with parts.engine.connect() as connection:
        found = organizations.read(connection, key.organization_id)
    response.headers["ETag"] = organizations.etag(found)
    return found


@router.patch("/organization", responses=described(412))
def change(
    wanted: OrganizationChange, *, key: Owner, parts: Parts, now: Now, response: Response, if_match: IfMatch = None
) -> Organization:
    """Change its settings; what is absent stays."""
    with parts.engine.begin() as connection:
        changed = organizations.change(connection, key, wanted, now, if_match)
    response.headers["ETag"] = organizations.etag(changed)
    return changed


@router.get("/overview")
def overview_of_customers(key: Viewer, parts: Parts, now: Now) -> Customers:
    """How many customers there are, what they spent, and when they came last."""
    with parts.engine.connect() as connection:
        return overview.customers(connection, key.organization_id, now)
