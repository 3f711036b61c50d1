"""Birthdays and anniversaries: messages for the days that come in each customer's time zone, and whether the day of a
message that waits is still the customer's.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

from sqlalchemy import (
    TIMESTAMP,
    ColumnElement,
    Connection,
    Date,
    FromClause,
    Integer,
    and_,
    case,
    cast,
    column,
    exists,
    extract,
    func,
    literal,
    null,
    or_,
    select,
    true,
    values,
)
from sqlalchemy.dialects.postgresql import insert as upsert

from shared.database.audience import audience_of
from shared.database.campaigns import Campaign, Organization
from shared.database.facts import local_day, zone
from shared.database.tables import customer, message
from shared.domain import occasions
from shared.domain.gates import Reason

DAYS: Final = ("birthday", "anniversary")
DAY: Final = timedelta(days=1)
# Written before their midnight, so that no mail of lower priority that waits for the same midnight is quicker.
AHEAD: Final = timedelta(hours=1)
# Later than this nobody wants to hear "happy birthday", however long the mail may wait.
LONGEST_CATCH_UP: Final = 7
# A day that is edited over the turn of the year would be another occasion.
APART: Final = timedelta(days=60)


def plan_celebrations(connection: Connection, sender: Organization, wanted: Campaign, now: datetime) -> int:
    """Messages for the days that are about to come, those of the last days too: a mailer that was down over midnight
    catches up. Anew where the day had been changed while its message waited. How many are new.
    """
    look_back = min(LONGEST_CATCH_UP, wanted.expires_after_hours // 24)
    kept = _kept(wanted, now, look_back)
    kind, due_on = _kind(wanted), _due_on(wanted, kept)
    due_at = func.timezone(zone(sender.time_zone), cast(due_on, TIMESTAMP))
    occasion = _occasion(wanted, kept)
    earlier = message.alias()
    greeted = exists().where(
        earlier.c.organization_id == wanted.organization_id,
        earlier.c.campaign_id == wanted.campaign_id,
        earlier.c.customer_id == customer.c.customer_id,
        earlier.c.occasion != occasion,
        earlier.c.state.not_in(("skipped", "failed")),
        earlier.c.planned_at > now - APART,
    )
    written_before = message.alias()
    # Looked for again and again: what is there is not even locked.
    is_there = exists().where(
        written_before.c.organization_id == wanted.organization_id,
        written_before.c.campaign_id == wanted.campaign_id,
        written_before.c.customer_id == customer.c.customer_id,
        written_before.c.occasion == occasion,
        or_(written_before.c.state != "skipped", written_before.c.reason != str(Reason.DAY_MOVED)),
    )
    rows = (
        select(
            literal(wanted.organization_id),
            literal(wanted.campaign_id),
            customer.c.customer_id,
            occasion,
            literal("planned"),
            null(),
            true(),
            literal(now),
            due_at,
            due_at + timedelta(hours=wanted.expires_after_hours),
        )
        .select_from(customer.join(kept, _day_of_year(kind, sender, kept.c.kept_on) == kept.c.day))
        .where(
            customer.c.organization_id == sender.organization_id,
            due_at <= now + AHEAD,
            due_on >= cast(local_day(sender.time_zone, now) - look_back, Date),
            due_on >= local_day(sender.time_zone, wanted.activated_at or now),
            ~is_there,
            ~greeted,
            *audience_of(connection, wanted),
        )
        .order_by(customer.c.customer_id)  # two mailers at it take their turns instead of a deadlock
    )
    names = ("state", "reason", "queued", "planned_at", "wait_until", "expires_at")
    written = upsert(message).from_select(["organization_id", "campaign_id", "customer_id", "occasion", *names], rows)
    statement = written.on_conflict_do_update(
        index_elements=[message.c.organization_id, message.c.campaign_id, message.c.customer_id, message.c.occasion],
        set_={name: written.excluded[name] for name in names},
        where=and_(message.c.state == "skipped", message.c.reason == str(Reason.DAY_MOVED)),
    )
    return connection.execute(statement.execution_options(preserve_rowcount=True)).rowcount


def day_moved(
    sender: Organization, wanted: Campaign, occasion: ColumnElement[str], now: datetime
) -> ColumnElement[Any]:
    """Whether a message of a day would not be written now: the customer's day, or their time zone, is another one."""
    if (wanted.trigger or {}).get("on") not in DAYS:
        return literal(value=False)
    alive = wanted.expires_after_hours // 24 + 1
    kept = _kept(wanted, now, alive)
    today = local_day(sender.time_zone, now)
    still = exists().where(
        _day_of_year(_kind(wanted), sender, kept.c.kept_on) == kept.c.day,
        _occasion(wanted, kept) == occasion,
        _due_on(wanted, kept).between(cast(today - alive, Date), today),
    )
    return and_(customer.c.customer_id.is_not(None), ~still)


def _kept(wanted: Campaign, now: datetime, look_back: int) -> FromClause:
    """The days of the year (`day`) that are celebrated around now, with their dates (`kept_on`)."""
    # Local dates differ from UTC's by at most a day.
    around = now.astimezone(UTC).date() + _days_before(wanted)
    named = values(column("day", Integer), column("kept_on", Date), name="kept")
    return named.data(occasions.kept_between(around - (look_back + 1) * DAY, around + DAY)).alias()


def _kind(wanted: Campaign) -> str:
    return str((wanted.trigger or {})["on"])


def _days_before(wanted: Campaign) -> timedelta:
    return int((wanted.trigger or {}).get("days_before") or 0) * DAY


def _due_on(wanted: Campaign, kept: FromClause) -> ColumnElement[Any]:
    return cast(kept.c.kept_on - _days_before(wanted).days, Date)


def _occasion(wanted: Campaign, kept: FromClause) -> ColumnElement[str]:
    return func.concat(_kind(wanted), "-", extract("year", kept.c.kept_on))


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
