"""Who is in a campaign's audience and which gate is closed to whom: one statement for the dry run and for planning."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, Select, Text, exists, func, literal, not_, or_, select, true
from sqlalchemy import cast as sql_cast
from sqlalchemy.dialects.postgresql import ARRAY

from shared.database import campaign_coupons
from shared.database.campaigns import Campaign, Organization
from shared.database.facts import gate_facts, with_slots
from shared.database.predicate import inside
from shared.database.tables import customer, segment
from shared.domain.gates import closed_gate_column


def decided_audience(
    connection: Connection, sender: Organization, wanted: Campaign, now: datetime
) -> Select[tuple[str, str | None, str | None]]:
    """(customer_id, email, reason) of everyone in the audience; the reason is that of the first closed gate, null for
    none.
    """
    used_up = campaign_coupons.used_up(connection, wanted, now)
    facts = gate_facts(wanted.campaign_id, wanted.holdout_percent, sender.time_zone, now, coupon_used_up=used_up)
    reason = closed_gate_column(facts)
    return (
        select(customer.c.customer_id, customer.c.email, reason.label("reason"))
        .select_from(with_slots(customer))
        .where(customer.c.organization_id == sender.organization_id, *audience_of(connection, wanted))
    )


def count_audience(
    connection: Connection, sender: Organization, wanted: Campaign, now: datetime
) -> dict[str | None, int]:
    """How many are stopped by which gate; None counts those whom nothing stops."""
    people = decided_audience(connection, sender, wanted, now).subquery()
    counted = select(people.c.reason, func.count()).group_by(people.c.reason)
    return {row[0]: row[1] for row in connection.execute(counted)}


def is_empty(connection: Connection, wanted: Campaign) -> bool:
    """Whether nobody at all is meant, gates aside."""
    someone = exists().where(customer.c.organization_id == wanted.organization_id, *audience_of(connection, wanted))
    return not connection.execute(select(someone)).scalar_one()


def audience_of(connection: Connection, wanted: Campaign) -> list[ColumnElement[bool]]:
    """The conditions of campaign.audience. A segment that is gone has no members."""
    given = wanted.audience
    conditions: list[ColumnElement[bool]] = []
    if included := given.get("include_segments"):
        conditions.append(in_any(connection, wanted.organization_id, included))
    if excluded := given.get("exclude_segments"):
        conditions.append(not_(in_any(connection, wanted.organization_id, excluded)))
    if (least := given.get("minimum_spent")) is not None:
        conditions.append(customer.c.total_spent >= least)
    if (least := given.get("minimum_visits")) is not None:
        conditions.append(customer.c.visit_count >= least)
    if tags := given.get("tags"):
        conditions.append(customer.c.tags.overlap(sql_cast(tags, ARRAY(Text))))
    return conditions or [true()]


def in_any(connection: Connection, organization_id: str, segments: Iterable[str]) -> ColumnElement[bool]:
    """Whether the customer is in any of the segments."""
    slots = connection.execute(
        select(segment.c.slot).where(
            segment.c.organization_id == organization_id,
            segment.c.segment_id.in_(list(segments)),
            segment.c.state != "deleting",
        )
    ).scalars()
    return or_(literal(value=False), *[inside(slot) for slot in slots])
