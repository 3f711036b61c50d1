"""The audience of a one-off campaign: who is in it, and one statement that writes their messages."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import Connection, SmallInteger, and_, case, cast, func, literal, null, or_, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from services.mailer.blocks import make_blocks
from shared.database import ab_tests
from shared.database.audience import decided_audience
from shared.database.campaigns import Campaign, Organization
from shared.database.locks import take_lock
from shared.database.tables import campaign, message
from shared.domain.ab_test import variant_column
from shared.domain.gates import Reason
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
    "queued",
    "variant",
    "email",
)


def plan_audience(
    connection: Connection, sender: Organization, wanted: Campaign, now: datetime
) -> dict[tuple[str, str], int] | None:
    """Write a message for everyone in the audience: planned, or skipped with its reason. The count of each
    (state, reason); None when another mailer is at it, or the campaign was stopped meanwhile.
    """
    # Not the campaign's row: locked for as long as a large audience takes, nobody could pause it.
    if not take_lock(connection, f"{sender.organization_id}/{wanted.campaign_id}"):
        return None
    start = wanted.send_at or now
    life = timedelta(hours=wanted.expires_after_hours)
    people = decided_audience(connection, sender, wanted, now).subquery()
    # Whoever has had a mail in their present day, week or month waits; the sender finds out until when.
    goes = or_(people.c.reason.is_(None), people.c.reason == str(Reason.FREQUENCY_CAP))
    test = wanted.ab_test
    variant = (
        variant_column(
            literal(wanted.campaign_id), people.c.customer_id, int(test["test_percent"]), len(test["subjects"])
        )
        if test
        else cast(null(), SmallInteger)
    )
    # The rest of a test waits for its winner: in no block and not queued, so that nobody looks for it before.
    rests = and_(goes, variant.is_(None)) if test else literal(value=False)
    until = start + ab_tests.after(test) if test else start
    rows = select(
        literal(sender.organization_id),
        literal(wanted.campaign_id),
        people.c.customer_id,
        literal(SEND),
        case((rests, "waiting"), (goes, "planned"), else_="skipped"),
        case((rests, str(Reason.AB_TEST)), (goes, None), else_=people.c.reason),
        literal(now),
        case((rests, until), else_=start),
        case((rests, until + life), else_=start + life),
        literal(value=False),
        variant,
        case((goes, people.c.email)),
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
    make_blocks(connection, wanted, start)
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
