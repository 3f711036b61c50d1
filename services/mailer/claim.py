"""Claiming: due messages of one campaign, each decided by the gates in the claiming transaction.

What may not go is marked there, and what the batches are rendered with is stored, so that a second call sends the same.
A message of a block that goes is not written before it went: its batch names it.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, Row, text

from services.mailer.batches import Batch, Letter, store
from services.mailer.blocks import SIZE, take_blocks
from services.mailer.coupons import issue
from services.mailer.due import facts_of, likeness, messages_of, moment_of, queued_messages
from shared.database.arrays import array, plain_array
from shared.database.campaigns import Campaign, Organization
from shared.domain.gates import Decision, Send, Skip, Wait, decide
from shared.domain.schedule import local_day, slot_start
from shared.mail.content import compiled
from shared.mail.variables import values_of


@dataclass(frozen=True, slots=True)
class Claimed:
    """What became of the due messages: those to send, and how many were put off or skipped for which reason."""

    batches: Sequence[Batch]
    decided: dict[tuple[str, str], int]


# Moves each customer's slot to the given day, but only if their last mail lies before the present day, week or month:
# `before` is the last day that does (or far ahead: `capped` tells of clocks). Whoever has no row moved was too late.
# Customers come sorted, so no two mailers deadlock.
TAKE_SLOTS: Final = text("""
    INSERT INTO mail_slot AS slot (organization_id, customer_id, last_on, previous_on, message_id)
    SELECT :organization_id, wanted.* FROM unnest(
        CAST(:customers AS text[]), CAST(:days AS date[]), CAST(:before AS date[]), CAST(:messages AS uuid[])
    ) AS wanted
    ON CONFLICT (organization_id, customer_id) DO UPDATE
    SET last_on = excluded.last_on, previous_on = slot.last_on, message_id = excluded.message_id
    WHERE slot.last_on <= excluded.previous_on OR slot.last_on > excluded.last_on + 1
""")

# Whose slot another message has.
LATE: Final = text("""
    SELECT wanted.customer_id FROM unnest(CAST(:customers AS text[]), CAST(:messages AS uuid[]))
        AS wanted (customer_id, message_id)
    JOIN mail_slot ON mail_slot.organization_id = :organization_id
        AND mail_slot.customer_id = wanted.customer_id COLLATE "C" AND mail_slot.message_id <> wanted.message_id
""")

# Writes what was decided on messages: those that wait are looked for one by one from then on.
MARK: Final = text("""
    UPDATE message SET
        state = decided.state, reason = decided.reason, wait_until = coalesce(decided.wait_until, message.wait_until),
        queued = decided.state = 'waiting', updated_at = :now
    FROM unnest(
        CAST(:messages AS uuid[]), CAST(:states AS text[]), CAST(:reasons AS text[]), CAST(:waits AS timestamptz[])
    ) AS decided (message_id, state, reason, wait_until)
    WHERE message.organization_id = :organization_id AND message.message_id = decided.message_id
""")


def claim(
    connection: Connection,
    sender: Organization,
    wanted: Campaign,
    *,
    sender_email: str,
    owner: str,
    now: datetime,
    most: int = 1,
) -> Claimed | None:
    """Decide on the next due messages, `most` hundreds of them, and claim those that may go; None when nothing is due.

    The caller commits before anything is sent.
    """
    blocks = take_blocks(connection, wanted, now=now, most=most)
    if blocks:
        due = messages_of(connection, sender, wanted, blocks, now)
    else:
        due = queued_messages(connection, sender, wanted, now=now, most=most * SIZE)
        if not due:
            return None
    decisions = _decide(due, wanted, sender, now)
    _take_slots(connection, sender, wanted, due=due, decisions=decisions, now=now)
    going = [row for row, decision in zip(due, decisions, strict=True) if isinstance(decision, Send)]
    content = compiled(wanted.wording(sender, sender_email))
    names = content.variables
    coupons = issue(connection, wanted, sender, going, now)
    letters = [
        Letter(row.message_id, row.customer_id, row.email, values_of(names, row, sender) | values, row.variant)
        for row, values in zip(going, coupons, strict=True)
    ]
    batches = [
        Batch(wanted.organization_id, wanted.campaign_id, uuid.uuid4(), content, letters[n : n + SIZE])
        for n in range(0, len(letters), SIZE)
    ]
    if batches:
        store(connection, batches, owner)
    counts = _mark(connection, sender.organization_id, due=due, decisions=decisions, goes_marked=not blocks, now=now)
    return Claimed(batches, counts)


def _decide(due: Sequence[Row[Any]], wanted: Campaign, sender: Organization, now: datetime) -> list[Decision]:
    """At one instant, people who are alike to the gates are decided alike: once is enough."""
    known: dict[tuple[Any, ...], Decision] = {}
    decisions = []
    for row in due:
        kind = likeness(row, wanted)
        decision = known.get(kind)
        if decision is None:
            decision = known[kind] = decide(facts_of(row, wanted, sender, now), moment_of(row, wanted, sender, now))
        decisions.append(decision)
    return decisions


def _take_slots(
    connection: Connection,
    sender: Organization,
    wanted: Campaign,
    *,
    due: Sequence[Row[Any]],
    decisions: list[Decision],
    now: datetime,
) -> None:
    """Whoever loses the slot, to another mailer or to an earlier message of this claim, waits for the next one."""
    firsts: dict[str, int] = {}
    for n, decision in enumerate(decisions):
        if isinstance(decision, Send):
            firsts.setdefault(due[n].customer_id, n)
    if not firsts:
        return
    slots: dict[tuple[str | None, str | None], int] = {}
    taking = [slots.setdefault((due[n].time_zone, due[n].email_frequency), len(slots)) for n in firsts.values()]
    days, befores = [], []
    for time_zone, frequency in slots:
        today = local_day(now, time_zone or sender.time_zone)
        days.append(today.isoformat())
        befores.append((slot_start(today, frequency) - timedelta(days=1)).isoformat())
    given = {
        "organization_id": sender.organization_id,
        "customers": array(firsts),
        "days": plain_array([days[kind] for kind in taking]),
        "before": plain_array([befores[kind] for kind in taking]),
        "messages": plain_array([due[n].message_id for n in firsts.values()]),
    }
    taken = connection.execute(TAKE_SLOTS, given).rowcount
    if taken == len(decisions):
        return
    late = set(connection.execute(LATE, given).scalars()) if taken < len(firsts) else set()
    for n, decision in enumerate(decisions):
        row = due[n]
        if isinstance(decision, Send) and (row.customer_id in late or firsts[row.customer_id] != n):
            facts = replace(facts_of(row, wanted, sender, now), capped=True)
            decisions[n] = decide(facts, moment_of(row, wanted, sender, now))


def _mark(
    connection: Connection,
    organization_id: str,
    *,
    due: Sequence[Row[Any]],
    decisions: Sequence[Decision],
    goes_marked: bool,
    now: datetime,
) -> dict[tuple[str, str], int]:
    """Only what was looked for by itself must be marked when it goes: nobody else looks into a block that is gone."""
    marks = []
    counts: dict[tuple[str, str], int] = {}
    for row, decision in zip(due, decisions, strict=True):
        goes = isinstance(decision, Send)
        if goes and not goes_marked:
            continue
        state, reason, until = _state_of(decision)
        marks.append((row.message_id, state, reason, until))
        if not goes:
            counts[state, reason or ""] = counts.get((state, reason or ""), 0) + 1
    if marks:
        names = ("messages", "states", "reasons", "waits")
        given = {name: list(values) for name, values in zip(names, zip(*marks, strict=True), strict=True)}
        connection.execute(MARK, {"organization_id": organization_id, "now": now, **given})
    return counts


def _state_of(decision: Decision) -> tuple[str, str | None, datetime | None]:
    match decision:
        case Skip(reason):
            return "skipped", str(reason), None
        case Wait(until, reason):
            return "waiting", str(reason), until
        case Send():
            return "claimed", None, None
