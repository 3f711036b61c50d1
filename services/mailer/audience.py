"""The audience of a one-off campaign: who is in it, and one statement that writes their messages."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Text,
    case,
    func,
    literal,
    not_,
    or_,
    select,
    true,
    update,
)
from sqlalchemy import cast as sql_cast
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql import insert as upsert

from services.mailer.campaigns import Campaign, Organization
from services.mailer.facts import gate_facts, with_slots
from shared.database.tables import campaign, customer, message, segment
from shared.domain.gates import Reason, closed_gate_column
from shared.domain.occasions import SEND

COLUMNS = (
    "organization_id",
    "campaign_id",
    "customer_id",
    "occasion",
    "state",
    "reason",
    "planned_at",
    "wait_until",
    "expires_at",
)


def plan_audience(
    connection: Connection, sender: Organization, wanted: Campaign, now: datetime
) -> dict[tuple[str, str], int] | None:
    """Write a message for everyone in the audience: planned, or skipped with its reason. The count of each
    (state, reason); None when another mailer is at it, or the campaign was stopped meanwhile.
    """
    # Not the campaign's row: locked for as long as a large audience takes, nobody could pause it.
    lock = func.pg_try_advisory_xact_lock(func.hashtextextended(f"{sender.organization_id}/{wanted.campaign_id}", 0))
    if not connection.execute(select(lock)).scalar_one():
        return None
    start = wanted.send_at or now
    reason = closed_gate_column(gate_facts(wanted.campaign_id, wanted.holdout_percent, sender.time_zone, now))
    people = (
        select(customer.c.customer_id, reason.label("reason"))
        .select_from(with_slots(customer))
        .where(customer.c.organization_id == sender.organization_id, *audience_of(connection, wanted))
        .subquery()
    )
    # Whoever has had a mail in their present day, week or month waits; the sender finds out until when.
    goes = or_(people.c.reason.is_(None), people.c.reason == str(Reason.FREQUENCY_CAP))
    rows = select(
        literal(sender.organization_id),
        literal(wanted.campaign_id),
        people.c.customer_id,
        literal(SEND),
        case((goes, "planned"), else_="skipped"),
        case((goes, None), else_=people.c.reason),
        literal(now),
        literal(start),
        literal(start + timedelta(hours=wanted.expires_after_hours)),
    )
    written = (
        upsert(message)
        .from_select(list(COLUMNS), rows)
        .on_conflict_do_nothing()
        .returning(message.c.state, message.c.reason)
        .cte("written")
    )
    counts = connection.execute(
        select(written.c.state, func.coalesce(written.c.reason, ""), func.count()).group_by(
            written.c.state, written.c.reason
        )
    ).all()
    planned = connection.execute(
        update(campaign)
        .where(
            campaign.c.organization_id == sender.organization_id,
            campaign.c.campaign_id == wanted.campaign_id,
            campaign.c.state.in_(("scheduled", "sending")),
        )
        .values(state="sending", planned_at=now, updated_at=func.now())
    )
    if planned.rowcount == 0:
        connection.rollback()
        return None
    return {(state, why): count for state, why, count in counts}


def audience_of(connection: Connection, wanted: Campaign) -> list[ColumnElement[bool]]:
    """The conditions of campaign.audience. A segment that is gone has no members."""
    given = wanted.audience
    conditions: list[ColumnElement[bool]] = []
    if included := given.get("include_segments"):
        conditions.append(_in_any(connection, wanted.organization_id, included))
    if excluded := given.get("exclude_segments"):
        conditions.append(not_(_in_any(connection, wanted.organization_id, excluded)))
    if (least := given.get("minimum_spent")) is not None:
        conditions.append(customer.c.total_spent >= least)
    if (least := given.get("minimum_visits")) is not None:
        conditions.append(customer.c.visit_count >= least)
    if tags := given.get("tags"):
        conditions.append(customer.c.tags.overlap(sql_cast(tags, ARRAY(Text))))
    return conditions or [true()]


def _in_any(connection: Connection, organization_id: str, segments: Iterable[str]) -> ColumnElement[bool]:
    slots = connection.execute(
        select(segment.c.slot).where(
            segment.c.organization_id == organization_id,
            segment.c.segment_id.in_(list(segments)),
            segment.c.state != "deleting",
        )
    ).scalars()
    return or_(literal(value=False), *[_member(slot) for slot in slots])


def _member(slot: int) -> ColumnElement[Any]:
    # The bits reach as far as they were ever needed; what lies beyond is no member.
    return case(
        (func.length(customer.c.memberships) * 8 > slot, func.get_bit(customer.c.memberships, slot) == 1), else_=False
    )
