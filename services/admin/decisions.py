"""The decision log: for each mail planned for a customer, why it went, waits or did not go, in words."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from pydantic import BaseModel, Field
from sqlalchemy import Connection, RowMapping, Text, and_, cast, func, literal, select, tuple_

from services.admin.instants import Instant
from services.admin.paging import Page, cut, read_cursor
from shared.database.tables import campaign, customer, message, organization
from shared.domain.gates import Reason

WHY = {
    Reason.NO_EMAIL: "no address is known",
    Reason.NOT_VERIFIED: "the address is not verified",
    Reason.NO_CONSENT: "there is no consent to marketing mail",
    Reason.SUPPRESSED: "the address bounced, complained or unsubscribed",
    Reason.FREQUENCY_NEVER: "the customer wants no marketing mail",
    Reason.FREQUENCY_CAP: "the customer had as many mails as they want in this period",
    Reason.HOLDOUT: "the customer belongs to the campaign's holdout",
    Reason.COUPON_USED_UP: "the coupon is used up",
    Reason.EXPIRED: "it could not go before it expired",
    Reason.CANCELLED: "the campaign was cancelled",
    Reason.CONTACT_TIME: "it is not the customer's preferred contact time",
    Reason.QUIET_HOURS: "it is quiet hours",
    Reason.AB_TEST: "others are asked first which subject is best",
    Reason.PRIORITY: "a mail of higher priority goes first in this period",
    Reason.LEFT_SEGMENT: "the customer has left the segment again",
    Reason.DAY_MOVED: "the customer's day was changed",
}
STATES = {
    "planned": "Goes next",
    "claimed": "Is being sent",
    "sent": "Sent",
    "delivered": "Delivered",
    "bounced": "Bounced",
    "complained": "Marked as spam by the customer",
}


class Decision(BaseModel):
    """One planned mail. `why` says it in words; the other fields are for machines."""

    message_id: str
    customer_id: str
    campaign_id: str
    campaign: str
    occasion: str
    state: str
    reason: str | None
    why: str = Field(description="Such as: Waits until Tuesday 24 November 09:00: it is quiet hours.")
    planned_at: Instant
    wait_until: Instant | None
    expires_at: Instant | None
    sent_at: Instant | None


def page(connection: Connection, organization_id: str, limit: int, cursor: str | None, **of: str) -> Page[Decision]:
    """Newest first. `of` narrows them: customer_id, campaign_id, state."""
    zone = func.coalesce(customer.c.time_zone, organization.c.time_zone).label("time_zone")
    identity = cast(message.c.message_id, Text)
    wanted = (
        select(message, campaign.c.name.label("campaign"), zone)
        .join(
            campaign,
            and_(
                campaign.c.organization_id == message.c.organization_id,
                campaign.c.campaign_id == message.c.campaign_id,
            ),
        )
        .join(organization, organization.c.organization_id == message.c.organization_id)
        .outerjoin(
            customer,
            and_(
                customer.c.organization_id == message.c.organization_id,
                customer.c.customer_id == message.c.customer_id,
            ),
        )
        .where(message.c.organization_id == organization_id, *(message.c[name] == value for name, value in of.items()))
        .order_by(message.c.planned_at.desc(), identity.desc())
        .limit(limit + 1)
    )
    if cursor is not None:
        planned_at, message_id = read_cursor(cursor, datetime, str)
        place = tuple_(message.c.planned_at, identity)
        wanted = wanted.where(place < tuple_(literal(planned_at), literal(message_id)))
    items = [_shown(row) for row in connection.execute(wanted).mappings()]
    return cut(items, limit, lambda item: (item.planned_at, item.message_id))


def _shown(row: RowMapping) -> Decision:
    waits = row["wait_until"] if row["state"] == "waiting" else None
    told: dict[str, Any] = dict(row) | {"message_id": str(row["message_id"]), "wait_until": waits}
    return Decision(**told, why=why(row["state"], row["reason"], row["detail"], waits, row["time_zone"]))


def why(state: str, reason: str | None, detail: str | None, wait_until: datetime | None, time_zone: str) -> str:
    """A sentence, with times as the customer's clock shows them."""
    cause = detail or (WHY[Reason(reason)] if reason in set(Reason) else reason)
    if state == "waiting" and wait_until is not None:
        local = wait_until.astimezone(ZoneInfo(time_zone))
        head = f"Waits until {local:%A} {local.day} {local:%B %H:%M} ({time_zone})"
    else:
        head = STATES.get(state, "Did not go")
    return f"{head}: {cause}." if cause else f"{head}."
