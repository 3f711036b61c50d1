"""Automatic campaigns that follow a segment: messages for who entered it, and whether the customer is still in it.

A message's key is (campaign, customer, occasion), so planning the same twice, or by two mailers, plans it once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    FromClause,
    Interval,
    Text,
    and_,
    case,
    cast,
    column,
    exists,
    func,
    literal,
    not_,
    null,
    select,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql import insert as upsert

from shared.database.audience import audience_of, in_any
from shared.database.campaigns import Campaign, read_campaigns
from shared.database.tables import campaign, customer, message, segment
from shared.database.tables.columns import Instant
from shared.domain import occasions
from shared.domain.gates import Reason

COLUMNS: Final = (
    "organization_id",
    "campaign_id",
    "customer_id",
    "occasion",
    "state",
    "reason",
    "queued",
    "planned_at",
    "wait_until",
    "expires_at",
)
# What a campaign follows that says nothing else: an edited or newly filled segment is no moment in a customer's life.
CAUSES: Final = ("event", "time")
# A sale may overtake its customer's profile, or the profile its consent: they come by different topics and calls.
STRANGER: Final = timedelta(minutes=10)
UNASKED: Final = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class Entry:
    """A customer came into a segment."""

    event_id: str
    organization_id: str
    customer_id: str
    segment_id: str
    at: datetime
    cause: str = "event"


def plan_entries(connection: Connection, organization_id: str, entries: Sequence[Entry], now: datetime) -> int:
    """Messages of the campaigns that follow these entries; how many are new. A paused campaign's wait until it resumes:
    a campaign may pause itself while the provider is away, and customers come in all the same.
    """
    followed = read_campaigns(
        connection,
        organization_id,
        campaign.c.state.in_(("active", "paused")),
        campaign.c.trigger["on"].astext == "segment_entered",
        campaign.c.trigger["segment_id"].astext.in_({entry.segment_id for entry in entries}),
        locked=True,  # who cancels now finds these messages
    )
    if followed and any(entry.cause not in CAUSES for entry in entries):
        entries = _put_in_by_hand(connection, organization_id, entries)
    return sum(
        _plan_round(connection, wanted, those, now)
        for wanted in followed
        for those in _rounds(entry for entry in entries if _follows(wanted, entry))
    )


def left_segment(connection: Connection, wanted: Campaign) -> ColumnElement[Any]:
    """Whether a message follows an entry into a segment that the customer has left again."""
    trigger = wanted.trigger or {}
    if trigger.get("on") != "segment_entered":
        return literal(value=False)
    is_member = in_any(connection, wanted.organization_id, [str(trigger["segment_id"])])
    return and_(customer.c.customer_id.is_not(None), not_(is_member))


def awaited(wanted: Campaign, due: FromClause) -> tuple[ColumnElement[Any], ColumnElement[Any]]:
    """Since when and until when the profile of the customer of a due message may still come; nulls where nothing is to
    be expected.
    """
    if (wanted.trigger or {}).get("on") != "segment_entered":
        return literal(None, Instant), literal(None, Instant)
    is_stranger = and_(customer.c.email.is_(None), customer.c.name.is_(None), customer.c.phone.is_(None))
    patience = case((customer.c.consent_at.is_not(None), null()), (is_stranger, STRANGER), else_=UNASKED)
    return due.c.planned_at, due.c.planned_at + cast(patience, Interval)


def _plan_round(connection: Connection, wanted: Campaign, entries: Sequence[Entry], now: datetime) -> int:
    trigger = wanted.trigger or {}
    delay = timedelta(hours=float(trigger.get("delay_hours") or 0))
    cool_down = timedelta(days=float(trigger.get("cool_down_days") or 0))
    entered = (
        func.unnest(
            cast([entry.customer_id for entry in entries], ARRAY(Text)),
            cast([occasions.entered(entry.event_id) for entry in entries], ARRAY(Text)),
            cast([entry.at for entry in entries], ARRAY(Instant)),
        )
        .table_valued(column("customer_id", Text), column("occasion", Text), column("at", Instant), name="entered")
        .render_derived()
    )
    earlier = message.alias()
    due_at = entered.c.at + delay
    expires_at = due_at + timedelta(hours=wanted.expires_after_hours)
    # What comes too late is said to be so at once: it must not hold back the next entry by the cool-down.
    is_late = expires_at <= now
    rows = (
        select(
            literal(wanted.organization_id),
            literal(wanted.campaign_id),
            customer.c.customer_id,
            entered.c.occasion,
            case((is_late, "skipped"), else_="planned"),
            case((is_late, str(Reason.EXPIRED)), else_=null()),
            not_(is_late),
            literal(now),
            due_at,
            expires_at,
        )
        .select_from(customer.join(entered, customer.c.customer_id == entered.c.customer_id))
        .where(
            customer.c.organization_id == wanted.organization_id,
            *audience_of(connection, wanted),
        )
        .order_by(customer.c.customer_id)
    )
    if cool_down:
        rows = rows.where(
            ~exists().where(
                earlier.c.organization_id == wanted.organization_id,
                earlier.c.campaign_id == wanted.campaign_id,
                earlier.c.customer_id == entered.c.customer_id,
                earlier.c.state.not_in(("skipped", "failed")),
                earlier.c.planned_at > entered.c.at - cool_down,
            )
        )
    written = upsert(message).from_select(list(COLUMNS), rows).on_conflict_do_nothing().returning(message.c.state)
    return sum(state == "planned" for state in connection.execute(written).scalars())


def _put_in_by_hand(connection: Connection, organization_id: str, entries: Sequence[Entry]) -> list[Entry]:
    """The entries with those into a static segment as events: somebody put these customers on the list."""
    lists = select(segment.c.segment_id).where(
        segment.c.organization_id == organization_id,
        segment.c.segment_id.in_({entry.segment_id for entry in entries}),
        segment.c.kind == "static",
    )
    static = set(connection.execute(lists).scalars())
    return [replace(entry, cause="event") if entry.segment_id in static else entry for entry in entries]


def _follows(wanted: Campaign, entry: Entry) -> bool:
    trigger = wanted.trigger or {}
    in_time = wanted.activated_at is None or entry.at >= wanted.activated_at
    is_meant = entry.cause in (trigger.get("causes") or CAUSES)
    return in_time and is_meant and trigger.get("segment_id") == entry.segment_id


def _rounds(entries: Iterable[Entry]) -> Iterable[list[Entry]]:
    """No customer twice in a round: the second entry must see the first one's message for its cool-down."""
    rounds: list[dict[str, Entry]] = []
    for entry in entries:
        free = next((each for each in rounds if entry.customer_id not in each), None)
        if free is None:
            rounds.append({entry.customer_id: entry})
        else:
            free[entry.customer_id] = entry
    return [list(each.values()) for each in rounds]
