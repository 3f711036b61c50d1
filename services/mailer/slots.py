"""Slots: the day on which each customer last had a marketing mail. Whoever moves it forward may send, so that no two
mailers fill the same day, week or month.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Final, NamedTuple

from sqlalchemy import Connection, text

from shared.database.arrays import array, plain_array
from shared.database.campaigns import Campaign
from shared.domain.schedule import local_day, slot_start

# As many statements cost less than one that says of each customer what it wants.
FEW: Final = 20

# Moves the slots of customers who have one to a day, but only if their last mail lies before the present day, week or
# month: `before` is the last day that does (or far ahead: `capped` tells of clocks).
MOVE: Final = text("""
    UPDATE mail_slot
    SET last_on = CAST(:day AS date), previous_on = last_on, campaign_id = :campaign_id, occasion = :occasion
    WHERE organization_id = :organization_id AND customer_id = ANY(CAST(:customers AS text[]))
        AND (last_on <= CAST(:before AS date) OR last_on > CAST(:day AS date) + 1)
""")

# The same of any customers. Whoever has no row moved was too late.
# Customers come sorted, so two mailers seldom deadlock; if they do, one of them does it again.
TAKE: Final = text("""
    INSERT INTO mail_slot AS slot (organization_id, campaign_id, customer_id, last_on, previous_on, occasion)
    SELECT :organization_id, :campaign_id, wanted.* FROM unnest(
        CAST(:customers AS text[]), CAST(:days AS date[]), CAST(:before AS date[]), CAST(:occasions AS text[])
    ) AS wanted
    ON CONFLICT (organization_id, customer_id) DO UPDATE
    SET last_on = excluded.last_on, previous_on = slot.last_on, campaign_id = excluded.campaign_id,
        occasion = excluded.occasion
    WHERE slot.last_on <= excluded.previous_on OR slot.last_on > excluded.last_on + 1
""")

# Whose slot another message has.
LATE: Final = text("""
    SELECT wanted.customer_id FROM unnest(CAST(:customers AS text[]), CAST(:occasions AS text[]))
        AS wanted (customer_id, occasion)
    JOIN mail_slot ON mail_slot.organization_id = :organization_id
        AND mail_slot.customer_id = wanted.customer_id COLLATE "C"
        AND (mail_slot.campaign_id, mail_slot.occasion) IS DISTINCT FROM (CAST(:campaign_id AS text), wanted.occasion)
""")


class Slot(NamedTuple):
    """The day that is taken, the last one before the present day, week or month, and the occasion of the mail."""

    day: str
    before: str
    occasion: str


def slot_of(now: datetime, time_zone: str, frequency: str | None, occasion: str) -> Slot:
    """What a mail would take now of a customer who lives there and wants mail so often."""
    today = local_day(now, time_zone)
    return Slot(today.isoformat(), (slot_start(today, frequency) - timedelta(days=1)).isoformat(), occasion)


def take(
    connection: Connection,
    wanted: Campaign,
    customers: Sequence[str],
    slots: Sequence[Slot],
    last_on: Sequence[date | None],
) -> set[str]:
    """Take each customer's slot for a mail of the campaign; whose another mail has. The customers come sorted;
    `last_on`, just read, is null for who has none yet.
    """
    named = {"organization_id": wanted.organization_id, "campaign_id": wanted.campaign_id}
    rest = [n for n, day in enumerate(last_on) if day is None]
    kinds, taken = set(slots), 0
    for kind in kinds if len(kinds) <= FEW else ():
        those = [
            customer_id
            for customer_id, slot, day in zip(customers, slots, last_on, strict=True)
            if slot == kind and day is not None
        ]
        if those:
            taken += connection.execute(MOVE, {**named, **kind._asdict(), "customers": array(those)}).rowcount
    if taken < len(customers) - len(rest):
        rest = list(range(len(customers)))
    given = {
        **named,
        "customers": array([customers[n] for n in rest]),
        "days": plain_array([slots[n].day for n in rest]),
        "before": plain_array([slots[n].before for n in rest]),
        "occasions": array([slots[n].occasion for n in rest]),
    }
    if rest:
        taken += connection.execute(TAKE, given).rowcount
    return set(connection.execute(LATE, given).scalars()) if taken < len(customers) else set()
