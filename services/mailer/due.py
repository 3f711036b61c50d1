"""Messages that are due, with everything their decision needs: those of a block together, the others one by one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from operator import itemgetter
from types import SimpleNamespace
from typing import Any, Final

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Connection,
    Text,
    Uuid,
    and_,
    any_,
    bindparam,
    cast,
    func,
    literal,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY

from services.mailer.automations import awaited, left_segment
from services.mailer.blocks import SIZE, Block
from services.mailer.campaigns import OPEN, RUNNING
from services.mailer.celebrations import day_moved
from services.mailer.recipients import recipients
from shared.database.arrays import array, plain_array
from shared.database.campaign_coupons import used_up
from shared.database.campaigns import Campaign, Organization, priority_column
from shared.database.engine import rows
from shared.database.tables import campaign, customer, message
from shared.database.tables.columns import Instant
from shared.domain.gates import Facts, Moment, capped, held_out
from shared.domain.occasions import SEND
from shared.domain.schedule import local_day

# `planned_for` is the address that they were planned with.
MESSAGE: Final = ("customer_id", "message_id", "occasion", "planned_for", "variant", "expires_at")
# What the gates look at, and the bounds of the time of sending: `likenesses` goes by it.
DECIDING: Final = (
    *("expires_at", "email_verified", "marketing_consent", "email_frequency", "preferred_contact_time", "time_zone"),
    *("suppressed", "coupon_used_up", "last_on", "left_segment", "day_moved", "planned_at", "profile_until"),
    "rival_at",
)

# The messages of some blocks. The limit is never met where blocks are of one time; it tells the planner how few they
# are.
IN_BLOCKS: Final = text("""
    SELECT one.* FROM unnest(CAST(:firsts AS text[]), CAST(:lasts AS text[]), CAST(:times AS timestamptz[]))
        AS block (first, last, at)
    CROSS JOIN LATERAL (
        SELECT customer_id, CAST(message_id AS text), occasion, email, variant, expires_at FROM message
        WHERE organization_id = :organization_id AND campaign_id = :campaign_id
            AND customer_id BETWEEN block.first AND block.last AND occasion = :occasion
            AND state = 'planned' AND NOT queued AND wait_until = block.at
        LIMIT :size
    ) AS one
""")

# The running campaigns that go before one of a priority.
RIVALS: Final = select(campaign.c.campaign_id).where(
    campaign.c.organization_id == bindparam("organization_id"),
    campaign.c.state.in_(RUNNING),
    priority_column() < bindparam("priority"),
)


class Due:
    """Due messages by column, each with its customer and all that its decision needs, in the order of their customers,
    so that no two mailers wait for each other.
    """

    def __init__(self, columns: Mapping[str, Sequence[Any]], number: int) -> None:
        self.columns = columns
        self._number = number

    def __len__(self) -> int:
        return self._number

    def one(self, position: int) -> Any:
        """One of them, with its columns as attributes."""
        return SimpleNamespace(**{name: column[position] for name, column in self.columns.items()})

    def only(self, positions: Sequence[int]) -> Mapping[str, Sequence[Any]]:
        """The columns of those at some positions, in order."""
        if len(positions) == self._number:
            return self.columns
        return {name: [column[n] for n in positions] for name, column in self.columns.items()}


def queued_messages(connection: Connection, sender: Organization, wanted: Campaign, *, now: datetime, most: int) -> Due:
    """Up to `most` due messages of a campaign that are looked for one by one, locked, each with its customer."""
    of = message.c
    due = (
        select(of.customer_id, cast(of.message_id, Text), of.occasion, of.email, of.variant, of.expires_at)
        .where(
            of.organization_id == sender.organization_id,
            of.campaign_id == wanted.campaign_id,
            of.queued,
            of.state.in_(OPEN),
            of.wait_until <= now,
        )
        .order_by(of.wait_until)
        .limit(most)
        .with_for_update(of=message, skip_locked=True)
    )
    return _with_facts(connection, sender, wanted, rows(connection, due), now)


def messages_of(
    connection: Connection, sender: Organization, wanted: Campaign, blocks: Sequence[Block], now: datetime
) -> Due:
    """The messages of these blocks, each with its customer. Whoever removed a block has its messages to themselves."""
    firsts, lasts, times = zip(*blocks, strict=True)
    given = {
        "organization_id": wanted.organization_id,
        "campaign_id": wanted.campaign_id,
        "occasion": SEND,
        "firsts": array(firsts),
        "lasts": array(lasts),
        "times": array([at.isoformat() for at in times]),
        "size": SIZE,
    }
    return _with_facts(connection, sender, wanted, rows(connection, IN_BLOCKS, given), now)


def _with_facts(
    connection: Connection, sender: Organization, wanted: Campaign, found: list[tuple[Any, ...]], now: datetime
) -> Due:
    if not found:
        return Due({}, 0)
    found.sort(key=itemgetter(0))
    columns: dict[str, Sequence[Any]] = dict(zip(MESSAGE, zip(*found, strict=True), strict=True))
    columns |= recipients(connection, sender.organization_id, columns["customer_id"])
    return Due(columns | _asked(connection, sender, wanted, columns["message_id"], now), len(found))


def _asked(
    connection: Connection, sender: Organization, wanted: Campaign, ids: Sequence[str], now: datetime
) -> dict[str, Sequence[Any]]:
    """What else bears on some campaigns' messages."""
    planned_at, profile_until = awaited(wanted, message)
    asked: dict[str, ColumnElement[Any]] = {
        "coupon_used_up": used_up(connection, wanted, now),
        "left_segment": left_segment(connection, wanted),
        "day_moved": day_moved(sender, wanted, message.c.occasion, now),
        "planned_at": planned_at,
        "profile_until": profile_until,
        "rival_at": _rival_at(_rivals(connection, wanted)),
    }
    # Most campaigns have most of these in common for all, so that PostgreSQL need not say it of each.
    told: dict[str, Sequence[Any]] = {
        name: [column.value] * len(ids) for name, column in asked.items() if isinstance(column, BindParameter)
    }
    names = [name for name in asked if name not in told]
    if names:
        is_theirs = and_(
            customer.c.organization_id == message.c.organization_id, customer.c.customer_id == message.c.customer_id
        )
        statement = (
            select(cast(message.c.message_id, Text), *[asked[name] for name in names])
            .select_from(message.outerjoin(customer, is_theirs))
            .where(
                message.c.organization_id == sender.organization_id,
                message.c.message_id == any_(cast(literal(plain_array(ids), Text), ARRAY(Uuid))),
            )
        )
        answers = {row[0]: row[1:] for row in rows(connection, statement)}
        told |= dict(zip(names, zip(*[answers[message_id] for message_id in ids], strict=True), strict=True))
    return told


def _rival_at(rivals: Sequence[str]) -> ColumnElement[Any]:
    """When the next mail of higher priority for a message's customer is due."""
    if not rivals:
        return literal(None, Instant)
    other = message.alias()
    return (
        select(func.min(other.c.wait_until))
        .where(
            other.c.organization_id == message.c.organization_id,
            other.c.campaign_id.in_(rivals),
            other.c.customer_id == message.c.customer_id,
            other.c.state.in_(OPEN),
        )
        .scalar_subquery()
    )


def _rivals(connection: Connection, wanted: Campaign) -> Sequence[str]:
    """The running campaigns of higher priority."""
    given = {"organization_id": wanted.organization_id, "priority": wanted.priority}
    return connection.execute(RIVALS, given).scalars().all()


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
