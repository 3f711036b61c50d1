"""Automatic campaigns: messages for who entered a segment, and for whose birthday or anniversary has come.

A message's key is (campaign, customer, occasion), so planning the same twice, or by two mailers, plans it once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from sqlalchemy import (
    TIMESTAMP,
    ColumnElement,
    Connection,
    Date,
    Integer,
    SelectBase,
    Text,
    and_,
    case,
    cast,
    column,
    exists,
    extract,
    func,
    literal,
    null,
    select,
    values,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql import insert as upsert

from shared.database.audience import audience_of
from shared.database.campaigns import Campaign, Organization, read_campaigns
from shared.database.facts import local_day, zone
from shared.database.tables import campaign, customer, message
from shared.database.tables.columns import Instant
from shared.domain import occasions

COLUMNS = (
    "organization_id",
    "campaign_id",
    "customer_id",
    "occasion",
    "state",
    "planned_at",
    "wait_until",
    "expires_at",
)
DAY = timedelta(days=1)
# Later than this nobody wants to hear "happy birthday", however long the mail may wait.
LONGEST_CATCH_UP = 7
# What a campaign follows that says nothing else: an edited or newly filled segment is no moment in a customer's life.
CAUSES = ("event", "time")


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
    """Messages of the active campaigns that follow these entries; how many are new."""
    followed = read_campaigns(
        connection,
        organization_id,
        campaign.c.state == "active",
        campaign.c.trigger["on"].astext == "segment_entered",
        campaign.c.trigger["segment_id"].astext.in_({entry.segment_id for entry in entries}),
    )
    return sum(
        _plan_round(connection, wanted, those, now)
        for wanted in followed
        for those in _rounds(entry for entry in entries if _follows(wanted, entry))
    )


def plan_calendar(connection: Connection, sender: Organization, wanted: Campaign, now: datetime) -> int:
    """Messages for the days that have come in each customer's time zone, those of the last days too: a mailer that was
    down over midnight catches up. How many are new.
    """
    trigger = wanted.trigger or {}
    kind = str(trigger["on"])
    before = timedelta(days=int(trigger.get("days_before") or 0))
    look_back = min(LONGEST_CATCH_UP, wanted.expires_after_hours // 24)
    # Local dates differ from UTC's by at most a day.
    around = now.astimezone(UTC).date() + before
    kept = (
        values(column("day", Integer), column("kept_on", Date), name="kept")
        .data(occasions.kept_between(around - (look_back + 1) * DAY, around + DAY))
        .alias()
    )
    today = local_day(sender.time_zone, now)
    due_on: ColumnElement[Any] = cast(kept.c.kept_on - before.days, Date)
    due_at = func.timezone(zone(sender.time_zone), cast(due_on, TIMESTAMP))
    since = wanted.activated_at or now
    rows = (
        select(
            *_key(wanted),
            func.concat(kind, "-", extract("year", kept.c.kept_on)),
            literal("planned"),
            literal(now),
            due_at,
            due_at + timedelta(hours=wanted.expires_after_hours),
        )
        .select_from(customer.join(kept, _day_of_year(kind, sender, kept.c.kept_on) == kept.c.day))
        .where(
            customer.c.organization_id == sender.organization_id,
            due_on.between(cast(today - look_back, Date), today),
            due_on >= local_day(sender.time_zone, since),
            *audience_of(connection, wanted),
        )
    )
    return _write(connection, rows)


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
    rows = (
        select(
            *_key(wanted),
            entered.c.occasion,
            literal("planned"),
            literal(now),
            due_at,
            due_at + timedelta(hours=wanted.expires_after_hours),
        )
        .select_from(customer.join(entered, customer.c.customer_id == entered.c.customer_id))
        .where(
            customer.c.organization_id == wanted.organization_id,
            *audience_of(connection, wanted),
        )
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
    return _write(connection, rows)


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


def _day_of_year(kind: str, sender: Organization, kept_on: ColumnElement[date]) -> ColumnElement[Any]:
    """The customer's day as month x 100 + day; null where that day has none of its kind yet."""
    if kind == "birthday":
        return customer.c.birthday
    # Who gave no anniversary has it on the day they registered, from the next year on.
    registered = cast(func.timezone(zone(sender.time_zone), customer.c.registered_at), Date)
    day = func.coalesce(
        customer.c.anniversary,
        cast(extract("month", registered) * 100 + extract("day", registered), Integer),
    )
    first_year = case(
        (customer.c.anniversary.is_not(None), customer.c.anniversary_year), else_=extract("year", registered)
    )
    return case((and_(first_year.is_not(None), extract("year", kept_on) <= first_year), null()), else_=day)


def _key(wanted: Campaign) -> tuple[ColumnElement[str], ...]:
    return literal(wanted.organization_id), literal(wanted.campaign_id), customer.c.customer_id


def _write(connection: Connection, rows: SelectBase) -> int:
    statement = upsert(message).from_select(list(COLUMNS), rows).on_conflict_do_nothing()
    return connection.execute(statement.execution_options(preserve_rowcount=True)).rowcount
