"""Messages that are due, with everything their decision needs: those of a block together, the others one by one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from operator import attrgetter
from types import SimpleNamespace
from typing import Any, Final

from sqlalchemy import (
    CTE,
    BindParameter,
    ColumnElement,
    Connection,
    FromClause,
    Row,
    Text,
    and_,
    cast,
    column,
    func,
    literal,
    select,
    true,
)
from sqlalchemy.dialects.postgresql import ARRAY

from services.mailer.automations import awaited, left_segment
from services.mailer.blocks import SIZE, Block
from services.mailer.campaigns import OPEN, RUNNING
from services.mailer.celebrations import day_moved
from shared.database.campaign_coupons import used_up
from shared.database.campaigns import Campaign, Organization, priority_column
from shared.database.facts import suppressed
from shared.database.tables import campaign, customer, mail_slot, message
from shared.database.tables.columns import Id, Instant
from shared.domain.gates import Facts, Moment, capped, held_out
from shared.domain.occasions import SEND
from shared.domain.schedule import local_day

COLUMNS: Final = (
    message.c.organization_id,
    message.c.customer_id,
    message.c.message_id,
    message.c.occasion,
    message.c.planned_at,
    message.c.expires_at,
    message.c.variant,
)
# What the gates look at, and the bounds of the time of sending: `likenesses` goes by it.
DECIDING: Final = (
    *("expires_at", "email_verified", "marketing_consent", "email_frequency", "preferred_contact_time", "time_zone"),
    *("suppressed", "coupon_used_up", "last_on", "left_segment", "day_moved", "planned_at", "profile_until"),
    "rival_at",
)


class Due:
    """Due messages by column, each with its customer and all that its decision needs, in the order of their customers,
    so that no two mailers wait for each other.
    """

    def __init__(self, found: Sequence[Row[Any]], same: Mapping[str, Any]) -> None:
        """`same`: what is the same for all of them."""
        rows = sorted(found, key=attrgetter("customer_id"))
        self.columns: dict[str, Sequence[Any]] = (
            dict(zip(rows[0]._fields, zip(*rows, strict=True), strict=True)) if rows else {}
        )
        self.columns |= {name: [value] * len(rows) for name, value in same.items()}
        self._number = len(rows)

    def __len__(self) -> int:
        return self._number

    def one(self, position: int) -> Any:
        """One of them, with its columns as attributes."""
        return SimpleNamespace(**{name: column[position] for name, column in self.columns.items()})


def queued_messages(connection: Connection, sender: Organization, wanted: Campaign, *, now: datetime, most: int) -> Due:
    """Up to `most` due messages of a campaign that are looked for one by one, locked, each with its customer."""
    # First the messages alone, by their index: with the joins inside, PostgreSQL would sort all that are due.
    due = (
        select(*COLUMNS)
        .where(
            message.c.organization_id == sender.organization_id,
            message.c.campaign_id == wanted.campaign_id,
            message.c.queued,
            message.c.state.in_(OPEN),
            message.c.wait_until <= now,
        )
        .order_by(message.c.wait_until)
        .limit(most)
        .with_for_update(of=message, skip_locked=True)
        .cte("due")
    )
    return _with_facts(connection, sender, wanted, due, now)


def messages_of(
    connection: Connection, sender: Organization, wanted: Campaign, blocks: Sequence[Block], now: datetime
) -> Due:
    """The messages of these blocks, each with its customer. Whoever removed a block has its messages to themselves."""
    firsts, lasts, times = (list(of) for of in zip(*blocks, strict=True))
    block = (
        func.unnest(cast(firsts, ARRAY(Id)), cast(lasts, ARRAY(Id)), cast(times, ARRAY(Instant)))
        .table_valued(column("first", Id), column("last", Id), column("at", Instant), name="block")
        .render_derived()
    )
    # The limit is never met where blocks are of one time; it tells the planner how few they are.
    one = (
        select(*COLUMNS)
        .where(
            message.c.organization_id == wanted.organization_id,
            message.c.campaign_id == wanted.campaign_id,
            message.c.customer_id.between(block.c.first, block.c.last),
            message.c.occasion == SEND,
            message.c.state == "planned",
            ~message.c.queued,
            message.c.wait_until == block.c.at,
        )
        .limit(SIZE)
        .correlate(block)
        .lateral("one")
    )
    due = select(one).select_from(block.join(one, true())).cte("due")
    return _with_facts(connection, sender, wanted, due, now)


def _with_facts(connection: Connection, sender: Organization, wanted: Campaign, due: CTE, now: datetime) -> Due:
    planned_at, profile_until = awaited(wanted, due)
    asked: dict[str, ColumnElement[Any]] = {
        "coupon_used_up": used_up(connection, wanted, now),
        "left_segment": left_segment(connection, wanted),
        "day_moved": day_moved(sender, wanted, due.c.occasion, now),
        "planned_at": planned_at,
        "profile_until": profile_until,
        "rival_at": _rival_at(due, _rivals(connection, wanted)),
    }
    # Most campaigns have most of these in common for all, so that PostgreSQL need not say it of each.
    same = {name: column.value for name, column in asked.items() if isinstance(column, BindParameter)}
    statement = select(
        customer.c.email,
        due.c.customer_id,
        cast(due.c.message_id, Text).label("message_id"),
        due.c.variant,
        customer.c.name,
        customer.c.total_spent,
        customer.c.visit_count,
        customer.c.last_visit_at,
        due.c.expires_at,
        func.coalesce(customer.c.email_verified, False).label("email_verified"),
        func.coalesce(customer.c.marketing_consent, False).label("marketing_consent"),
        customer.c.email_frequency,
        customer.c.preferred_contact_time,
        customer.c.time_zone,
        suppressed().label("suppressed"),
        mail_slot.c.last_on,
        *[column.label(name) for name, column in asked.items() if name not in same],
    ).select_from(
        due.outerjoin(
            customer,
            and_(customer.c.organization_id == due.c.organization_id, customer.c.customer_id == due.c.customer_id),
        ).outerjoin(
            mail_slot,
            and_(mail_slot.c.organization_id == due.c.organization_id, mail_slot.c.customer_id == due.c.customer_id),
        )
    )
    return Due(connection.execute(statement).all(), same)


def _rival_at(due: FromClause, rivals: Sequence[str]) -> ColumnElement[Any]:
    """When the next mail of higher priority for the same customer is due."""
    if not rivals:
        return literal(None, Instant)
    other = message.alias()
    return (
        select(func.min(other.c.wait_until))
        .where(
            other.c.organization_id == due.c.organization_id,
            other.c.campaign_id.in_(rivals),
            other.c.customer_id == due.c.customer_id,
            other.c.state.in_(OPEN),
        )
        .scalar_subquery()
    )


def _rivals(connection: Connection, wanted: Campaign) -> Sequence[str]:
    """The running campaigns of higher priority."""
    statement = select(campaign.c.campaign_id).where(
        campaign.c.organization_id == wanted.organization_id,
        campaign.c.state.in_(RUNNING),
        priority_column() < wanted.priority,
    )
    return connection.execute(statement).scalars().all()


def likenesses(due: Due, wanted: Campaign) -> list[tuple[Any, ...]]:
    """For each message what it has in common with all that are decided as it is, at one instant."""
    of, percent = due.columns, wanted.holdout_percent
    telling = [[email is None for email in of["email"]], *[of[name] for name in DECIDING]]
    if percent > 0:
        telling.append([held_out(wanted.campaign_id, customer_id, percent) for customer_id in of["customer_id"]])
    # Most are the same for everybody, which is seen sooner than one by one.
    different = [column for column in telling if column.count(column[0]) < len(column)]
    return list(zip(*different, strict=True)) or [()] * len(due)


def facts_of(row: Any, wanted: Campaign, sender: Organization, now: datetime) -> Facts:
    """What the gates look at, of one of `Due`."""
    today = local_day(now, row.time_zone or sender.time_zone)
    return Facts(
        email=row.email,
        email_verified=row.email_verified,
        marketing_consent=row.marketing_consent,
        suppressed=row.suppressed,
        email_frequency=row.email_frequency,
        capped=capped(row.last_on, today, row.email_frequency),
        held_out=held_out(wanted.campaign_id, row.customer_id, wanted.holdout_percent),
        coupon_used_up=row.coupon_used_up,
        left_segment=row.left_segment,
        day_moved=row.day_moved,
    )


def moment_of(row: Any, wanted: Campaign, sender: Organization, now: datetime) -> Moment:
    """What bounds the time of sending."""
    return Moment(
        now=now,
        zone=row.time_zone or sender.time_zone,
        expires_at=row.expires_at,
        contact_time=row.preferred_contact_time if wanted.respect_contact_time else None,
        quiet=sender.quiet,
        rival_at=row.rival_at,
        planned_at=row.planned_at,
        profile_until=row.profile_until,
    )
