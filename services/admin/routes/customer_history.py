"""What happened to one customer, what was decided about their mail, and all data held of them."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Response

from services.admin import customers, decisions, personal_data, timeline, verifications
from services.admin.access import Marketer, Now, Parts, Viewer
from services.admin.decisions import Decision
from services.admin.paging import Cursor, Limit, Page
from services.admin.routes.customers import ONE, CustomerId
from services.admin.timeline import Happening
from services.admin.verifications import Verification
from shared.problems import described

router = APIRouter(tags=["customers"])


@router.get(f"{ONE}/timeline")
def happenings(
    customer_id: CustomerId, key: Viewer, parts: Parts, limit: Limit = 50, cursor: Cursor = None
) -> Page[Happening]:
    """Sales, coupons, changes, segments and mail, newest first."""
    with parts.engine.connect() as connection:
        customers.read(connection, key.organization_id, customer_id)
        return timeline.page(connection, key.organization_id, customer_id, limit, cursor)


@router.get(f"{ONE}/decisions")
def decided(
    customer_id: CustomerId, key: Viewer, parts: Parts, limit: Limit = 50, cursor: Cursor = None
) -> Page[Decision]:
    """For each mail planned for them, why it went, waits or did not go; newest first."""
    with parts.engine.connect() as connection:
        customers.read(connection, key.organization_id, customer_id)
        return decisions.of_customer(connection, key.organization_id, customer_id, limit, cursor)


@router.post(f"{ONE}/verification", status_code=202, responses=described(409))
def verify(customer_id: CustomerId, key: Marketer, parts: Parts, now: Now) -> Verification:
    """Send them a mail whose link confirms their address."""
    with parts.engine.begin() as connection:
        return verifications.request(connection, key, customer_id, now)


@router.get(f"{ONE}/export")
def export(customer_id: CustomerId, key: Marketer, parts: Parts, now: Now, response: Response) -> dict[str, Any]:
    """All that is held of them, to be handed to them."""
    response.headers["Content-Disposition"] = 'attachment; filename="customer.json"'
    with parts.engine.connect().execution_options(isolation_level="REPEATABLE READ") as connection:
        return personal_data.export(connection, key.organization_id, customer_id, now)
