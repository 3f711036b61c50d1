"""The decision log: for each mail planned for a customer, why it went, waits or did not go, in words."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from pydantic import BaseModel, Field
from sqlalchemy import Connection, RowMapping, Select, Text, and_, cast, func, literal, select, tuple_

from services.admin import customers
from services.admin.instants import Instant
from services.admin.paging import Page, cut, read_cursor
from shared.database.tables import campaign, customer, message, organization
from shared.domain.gates import Reason

WHY = {
    Reason.NO_EMAIL: "no address is known",
    Reason.NOT_VERIFIED: "the address is not verified",
    Reason.NO_CONSENT: "there is no consent to marketing mail",
    Reason.SUPPRESSED: "the address bounced, complained, unsubscribed or is on an imported list",
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
    Reason.MERGED: "the customer was merged with another one, who has a mail of this campaign already",
}
CAPS = {
    "daily": "daily cap, one mail a day and this day's has gone",
    "weekly": "weekly cap, one mail a week and this week's has gone",
    "monthly": "monthly cap, one mail a month and this month's has gone",
}
STATES = {
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
    why: str = Field(description="Such as: Waits until Tuesday 24 November 09:00 (Asia/Kolkata): it is quiet hours.")
    planned_at: Instant
    wait_until: Instant | None
    expires_at: Instant | None
    sent_at: Instant | None


def of_customer(
    connection: Connection, organization_id: str, customer_id: str, limit: int, cursor: str | None
) -> Page[Decision]:
    """Newest first."""
    identity = cast(message.c.message_id, Text)
    whose = customers.names(connection, organization_id, customer_id)
    wanted = _mails(organization_id).where(message.c.customer_id.in_(whose))
    if cursor is not None:
        planned_at, message_id = read_cursor(cursor, datetime, str)
        place = tuple_(message.c.planned_at, identity)
        wanted = wanted.where(place < tuple_(literal(planned_at), literal(message_id)))
    wanted = wanted.order_by(message.c.planned_at.desc(), identity.desc()).limit(limit + 1)
    items = [_shown(row) for row in connection.execute(wanted).mappings()]
    return cut(items, limit, lambda item: (item.planned_at, item.message_id))


def of_campaign(
    connection: Connection, organization_id: str, campaign_id: str, limit: int, cursor: str | None, **of: str
) -> Page[Decision]:
    """By customer: the ledger's own order, so that each page of a million costs the same. `of` narrows them: state,
    reason.
    """
    wanted = _mails(organization_id).where(
        message.c.campaign_id == campaign_id, *(message.c[name] == value for name, value in of.items())
    )
    if cursor is not None:
        customer_id, occasion = read_cursor(cursor, str, str)
        wanted = wanted.where(
            tuple_(message.c.customer_id, message.c.occasion) > tuple_(literal(customer_id), literal(occasion))
        )
    wanted = wanted.order_by(message.c.customer_id, message.c.occasion).limit(limit + 1)
    items = [_shown(row) for row in connection.execute(wanted).mappings()]
    return cut(items, limit, lambda item: (item.customer_id, item.occasion))


def _mails(organization_id: str) -> Select[Any]:
    zone = func.coalesce(customer.c.time_zone, organization.c.time_zone).label("time_zone")
    return (
        select(
            message,
            campaign.c.name.label("campaign"),
            campaign.c.state.label("campaign_state"),
            customer.c.email_frequency,
            zone,
        )
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
        .where(message.c.organization_id == organization_id)
    )


def _shown(row: RowMapping) -> Decision:
    # Of a test's rest nobody can tell: its winner is chosen by how the others' mails go.
    waits = row["wait_until"] if row["state"] == "waiting" and row["reason"] != Reason.AB_TEST else None
    told: dict[str, Any] = dict(row) | {"message_id": str(row["message_id"]), "wait_until": waits}
    later = row["wait_until"] if row["state"] == "planned" and row["wait_until"] > row["planned_at"] else None
    in_words = why(
        row["state"],
        row["reason"],
        row["detail"],
        waits or later or row["sent_at"],
        row["time_zone"],
        frequency=row["email_frequency"],
        paused=row["campaign_state"] == "paused",
    )
    return Decision(**told, why=in_words)


def why(
    state: str,
    reason: str | None,
    detail: str | None,
    at: datetime | None,
    time_zone: str,
    *,
    frequency: str | None = None,
    paused: bool = False,
) -> str:
    """A sentence, with times as the customer's clock shows them; `at` is until when it waits, or when it was sent."""
    cause = detail or (WHY[Reason(reason)] if reason in set(Reason) else reason)
    if reason == Reason.FREQUENCY_CAP:
        cause = detail or CAPS.get(frequency or "daily", cause)
    when = "" if at is None else _local(at, time_zone)
    if state == "waiting":
        head = f"Waits until {when}" if when else "Waits for the winner of the A/B test"
    elif state == "planned":
        head = f"Goes from {when} on" if when else "Goes next"
    elif state == "sent" and when:
        head, cause = f"Sent on {when}", cause or "no gate was closed"
    else:
        head = STATES.get(state, "Did not go")
    if paused and state in {"waiting", "planned"}:
        head = f"Held, for the campaign is paused. {head}"
    return f"{head}: {cause}." if cause else f"{head}."


def _local(at: datetime, time_zone: str) -> str:
    local = at.astimezone(ZoneInfo(time_zone))
    return f"{local:%A} {local.day} {local:%B %H:%M} ({time_zone})"
