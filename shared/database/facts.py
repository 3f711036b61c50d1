"""What the gates look at, as columns: the same for planning an audience and for the moment of sending."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Date, FromClause, and_, cast, exists, func, literal, true

from shared.database.tables import customer, mail_slot, suppression
from shared.domain.gates import capped_column, held_out_column


def local_day(organization_zone: str, now: datetime) -> ColumnElement[Any]:
    """The date on the customer's calendar."""
    return cast(func.timezone(zone(organization_zone), now), Date)


def zone(organization_zone: str) -> ColumnElement[str]:
    """The customer's time zone, else the organization's."""
    return func.coalesce(customer.c.time_zone, organization_zone)


def suppressed() -> ColumnElement[bool]:
    """Whether the customer's address bounced, complained, was imported as suppressed, or unsubscribed and has not
    consented anew since.
    """
    consents_anew = and_(
        suppression.c.reason == "unsubscribe",
        customer.c.marketing_consent,
        customer.c.consent_at > suppression.c.at,
    )
    return exists().where(
        suppression.c.organization_id == customer.c.organization_id,
        suppression.c.email == func.lower(customer.c.email),
        consents_anew.is_not(true()),
    )


def with_slots(source: FromClause) -> FromClause:
    """Customers beside the day of their last mail."""
    same = and_(
        mail_slot.c.organization_id == customer.c.organization_id, mail_slot.c.customer_id == customer.c.customer_id
    )
    return source.outerjoin(mail_slot, same)


def gate_facts(
    campaign_id: str,
    holdout_percent: int,
    organization_zone: str,
    now: datetime,
    *,
    coupon_used_up: ColumnElement[bool],
) -> dict[str, ColumnElement[Any]]:
    """A column for each field of shared.domain.gates.Facts, over `with_slots(customer)`; `coupon_used_up` is that of
    shared.database.campaign_coupons.
    """
    return {
        "email": customer.c.email,
        "email_verified": customer.c.email_verified,
        "marketing_consent": customer.c.marketing_consent,
        "suppressed": suppressed(),
        "email_frequency": customer.c.email_frequency,
        "capped": capped_column(mail_slot.c.last_on, local_day(organization_zone, now), customer.c.email_frequency),
        "held_out": held_out_column(literal(campaign_id), customer.c.customer_id, literal(holdout_percent)),
        "coupon_used_up": coupon_used_up,
        # Of automations only; those meet all gates when their mail is due.
        "left_segment": literal(value=False),
        "day_moved": literal(value=False),
    }
