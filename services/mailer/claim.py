"""Claiming a batch: up to 100 due messages of one campaign, each decided by the gates in the claiming transaction.

What may not go is marked there, and what the batch is rendered with is stored, so that a second call sends the same.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, Row, insert, text
from sqlalchemy.dialects.postgresql import insert as upsert

from services.mailer.coupons import issue
from services.mailer.due import due_messages, facts_of, moment_of
from shared.database.campaigns import Campaign, Organization
from shared.database.tables import mail_batch, mail_content
from shared.domain.gates import Decision, Facts, Moment, Send, Skip, Wait, decide
from shared.domain.schedule import local_day, slot_start
from shared.mail.content import Content, compiled
from shared.mail.variables import values_of

SIZE: Final = 100
# Longer than a call may take: from then on the process that made it is taken for dead.
LEASE: Final = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class Letter:
    """One message of a batch."""

    message_id: str
    email: str
    variables: dict[str, str]


@dataclass(frozen=True, slots=True)
class Batch:
    """Letters that go out in one call, under one key."""

    organization_id: str
    campaign_id: str
    batch_id: uuid.UUID
    content: Content
    letters: Sequence[Letter]
    attempts: int


@dataclass(frozen=True, slots=True)
class Claimed:
    """What became of the due messages: those to send, if any, and how many were put off or skipped for which reason."""

    batch: Batch | None
    decided: dict[tuple[str, str], int]


# Moves each customer's slot to the given day, but only if their last mail lies before the present day, week or month:
# `before` is the last day that does. Whom it returns may get a mail. Customers come sorted, so no two mailers deadlock.
TAKE_SLOTS: Final = text("""
    INSERT INTO mail_slot AS slot (organization_id, customer_id, last_on, previous_on, message_id)
    SELECT :organization_id, taken.* FROM unnest(
        CAST(:customers AS text[]), CAST(:days AS date[]), CAST(:before AS date[]), CAST(:messages AS uuid[])
    ) AS taken
    ON CONFLICT (organization_id, customer_id) DO UPDATE
    SET last_on = excluded.last_on, previous_on = slot.last_on, message_id = excluded.message_id
    WHERE slot.last_on <= excluded.previous_on
    RETURNING customer_id
""")

# Writes what was decided on each message of a claim.
MARK: Final = text("""
    UPDATE message SET
        state = decided.state, reason = decided.reason, wait_until = coalesce(decided.wait_until, message.wait_until),
        batch_id = decided.batch_id, position = decided.position, email = decided.email,
        variables = CAST(decided.variables AS jsonb), updated_at = :now
    FROM unnest(
        CAST(:messages AS uuid[]), CAST(:states AS text[]), CAST(:reasons AS text[]), CAST(:waits AS timestamptz[]),
        CAST(:batches AS uuid[]), CAST(:positions AS smallint[]), CAST(:emails AS text[]), CAST(:variables AS text[])
    ) AS decided (message_id, state, reason, wait_until, batch_id, position, email, variables)
    WHERE message.organization_id = :organization_id AND message.message_id = decided.message_id
""")


def claim(
    connection: Connection, sender: Organization, wanted: Campaign, *, sender_email: str, owner: str, now: datetime
) -> Claimed | None:
    """Decide on the next due messages and claim those that may go; None when nothing is due.

    The caller commits before anything is sent.
    """
    due = due_messages(connection, sender, wanted, now=now, most=SIZE)
    if not due:
        return None
    facts = [facts_of(row, wanted, sender, now) for row in due]
    moments = [moment_of(row, wanted, sender, now) for row in due]
    decisions = [decide(fact, moment) for fact, moment in zip(facts, moments, strict=True)]
    _take_slots(connection, sender, due=due, facts=facts, moments=moments, decisions=decisions)
    going = [row for row, decision in zip(due, decisions, strict=True) if isinstance(decision, Send)]
    batch = None
    if going:
        content = compiled(wanted.wording(sender, sender_email))
        names = content.variables
        coupons = issue(connection, wanted, sender, going, now)
        letters = [
            Letter(str(row.message_id), row.email, values_of(names, row, wanted, sender, now) | values)
            for row, values in zip(going, coupons, strict=True)
        ]
        batch = Batch(wanted.organization_id, wanted.campaign_id, uuid.uuid4(), content, letters, attempts=1)
        _store(connection, batch, owner, now)
    return Claimed(batch, _mark(connection, sender.organization_id, due=due, decisions=decisions, batch=batch, now=now))


def _take_slots(
    connection: Connection,
    sender: Organization,
    *,
    due: Sequence[Row[Any]],
    facts: Sequence[Facts],
    moments: Sequence[Moment],
    decisions: list[Decision],
) -> None:
    """Whoever loses the slot, to another mailer or to an earlier message of this batch, waits for the next one."""
    firsts: dict[str, int] = {}
    for n, decision in enumerate(decisions):
        if isinstance(decision, Send):
            firsts.setdefault(due[n].customer_id, n)
    if not firsts:
        return
    days = {customer_id: local_day(moments[n].now, moments[n].zone) for customer_id, n in firsts.items()}
    starts = [slot_start(days[customer_id], facts[n].email_frequency) for customer_id, n in firsts.items()]
    taken = set(
        connection.execute(
            TAKE_SLOTS,
            {
                "organization_id": sender.organization_id,
                "customers": list(firsts),
                "days": list(days.values()),
                "before": [start - timedelta(days=1) for start in starts],
                "messages": [due[n].message_id for n in firsts.values()],
            },
        ).scalars()
    )
    for n, decision in enumerate(decisions):
        customer_id = due[n].customer_id
        if isinstance(decision, Send) and (customer_id not in taken or firsts[customer_id] != n):
            decisions[n] = decide(replace(facts[n], capped=True), moments[n])


def _store(connection: Connection, batch: Batch, owner: str, now: datetime) -> None:
    content_id = batch.content.content_id
    connection.execute(
        upsert(mail_content)
        .values(organization_id=batch.organization_id, content_id=content_id, content=batch.content.as_json())
        .on_conflict_do_nothing()
    )
    connection.execute(
        insert(mail_batch).values(
            organization_id=batch.organization_id,
            batch_id=batch.batch_id,
            campaign_id=batch.campaign_id,
            content_id=content_id,
            state="claimed",
            owner=owner,
            lease_until=now + LEASE,
            claimed_at=now,
        )
    )


def _mark(
    connection: Connection,
    organization_id: str,
    *,
    due: Sequence[Row[Any]],
    decisions: Sequence[Decision],
    batch: Batch | None,
    now: datetime,
) -> dict[tuple[str, str], int]:
    letters = {letter.message_id: (n, letter) for n, letter in enumerate(batch.letters)} if batch else {}
    marks: dict[str, list[Any]] = {
        name: [] for name in ("messages", "states", "reasons", "waits", "batches", "positions", "emails", "variables")
    }
    counts: dict[tuple[str, str], int] = {}
    for row, decision in zip(due, decisions, strict=True):
        position, letter = letters.get(str(row.message_id), (None, None))
        state, reason, until = _state_of(decision)
        if not isinstance(decision, Send):
            counts[state, reason or ""] = counts.get((state, reason or ""), 0) + 1
        marked = {
            "messages": row.message_id,
            "states": state,
            "reasons": reason,
            "waits": until,
            "batches": batch.batch_id if batch and letter else None,
            "positions": position,
            "emails": letter and letter.email,
            "variables": letter and msgspec.json.encode(letter.variables).decode(),
        }
        for name, value in marked.items():
            marks[name].append(value)
    connection.execute(MARK, {"organization_id": organization_id, "now": now, **marks})
    return counts


def _state_of(decision: Decision) -> tuple[str, str | None, datetime | None]:
    match decision:
        case Skip(reason):
            return "skipped", str(reason), None
        case Wait(until, reason):
            return "waiting", str(reason), until
        case Send():
            return "claimed", None, None
