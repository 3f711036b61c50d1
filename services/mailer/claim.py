"""Claiming: due messages of one campaign, each decided by the gates in the claiming transaction.

What may not go is marked there, and what the batches are rendered with is stored, so that a second call sends the same.
A message of a block that goes is not written before it went: its batch names it.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, text

from services.mailer.batches import Batch, Letters, store
from services.mailer.blocks import SIZE, take_blocks
from services.mailer.coupons import Recipients, issue
from services.mailer.due import Due, facts_of, likenesses, messages_of, moment_of, queued_messages
from services.mailer.merged import hand_over
from services.mailer.slots import slot_of, take
from shared.database.campaigns import Campaign, Organization
from shared.domain.gates import Decision, Send, Skip, Wait, decide
from shared.mail.content import compiled
from shared.mail.variables import People, values_of


@dataclass(frozen=True, slots=True)
class Claimed:
    """What became of the due messages: those to send, and how many were put off or skipped for which reason."""

    batches: Sequence[Batch]
    decided: dict[tuple[str, str], int]


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
        return Claimed([], {}) if blocks else None
    if not blocks:  # merges take what is in blocks themselves
        gone = [who for who, email in zip(due.columns["customer_id"], due.columns["email"], strict=True) if not email]
        if gone and hand_over(connection, sender.organization_id, gone):
            return Claimed([], {})
    decisions = _decide(due, wanted, sender, now)
    _take_slots(connection, sender, wanted, due=due, decisions=decisions, now=now)
    content = compiled(wanted.wording(sender, sender_email))
    going = [n for n, decision in enumerate(decisions) if isinstance(decision, Send)]
    batches = []
    if going:
        of = due.only(going)
        letters = _letters(connection, sender, wanted, of=of, names=content.variables, now=now)
        planned_for = of["planned_for"] if blocks else ()
        batches = [
            Batch(
                wanted.organization_id,
                wanted.campaign_id,
                uuid.uuid4(),
                content,
                letters.part(n, n + SIZE),
                as_planned=planned_for[n : n + SIZE] == letters.emails[n : n + SIZE],
            )
            for n in range(0, len(letters), SIZE)
        ]
        store(connection, batches, owner)
    # Nobody else looks into a block that is gone: only what was looked for by itself must be marked when it goes.
    marked = {n: decision for n, decision in enumerate(decisions) if not blocks or not isinstance(decision, Send)}
    return Claimed(batches, _mark(connection, sender.organization_id, due=due, decided=marked, now=now))


def _decide(due: Due, wanted: Campaign, sender: Organization, now: datetime) -> list[Decision]:
    """At one instant, people who are alike to the gates are decided alike: once is enough."""
    kinds = likenesses(due, wanted)
    one_of = dict(zip(kinds, range(len(due)), strict=True))
    known: dict[tuple[Any, ...], Decision] = {}
    for kind, n in one_of.items():
        row = due.one(n)
        known[kind] = decide(facts_of(row, wanted, sender, now), moment_of(row, wanted, sender, now))
    return [known[kind] for kind in kinds]


def _letters(
    connection: Connection,
    sender: Organization,
    wanted: Campaign,
    *,
    of: Mapping[str, Sequence[Any]],
    names: frozenset[str],
    now: datetime,
) -> Letters:
    """What those that go are rendered from."""
    variables: dict[str, Sequence[str]] = {**values_of(names, People(*map(of.__getitem__, People._fields)), sender)}
    variables |= issue(
        connection, wanted, sender, Recipients(of["customer_id"], of["message_id"], of["time_zone"]), now
    )
    return Letters(of["message_id"], of["customer_id"], of["email"], variables, of["variant"])


def _take_slots(
    connection: Connection,
    sender: Organization,
    wanted: Campaign,
    *,
    due: Due,
    decisions: list[Decision],
    now: datetime,
) -> None:
    """Whoever loses the slot, to another mailer or to an earlier message of this claim, waits for the next one."""
    going = [n for n, decision in enumerate(decisions) if isinstance(decision, Send)]
    if not going:
        return
    of = due.only(going)
    first = dict(zip(reversed(of["customer_id"]), reversed(going), strict=True))
    alone = len(first) == len(going)
    if not alone:
        of = due.only(sorted(first.values()))
    kinds = list(zip(of["time_zone"], of["email_frequency"], of["occasion"], strict=True))
    known = {kind: slot_of(now, kind[0] or sender.time_zone, *kind[1:]) for kind in set(kinds)}
    late = take(connection, wanted, of["customer_id"], [known[kind] for kind in kinds], of["last_on"])
    customers = due.columns["customer_id"]
    for n in () if alone and not late else going:
        if customers[n] in late or first[customers[n]] != n:
            row = due.one(n)
            facts = replace(facts_of(row, wanted, sender, now), capped=True)
            decisions[n] = decide(facts, moment_of(row, wanted, sender, now))


def _mark(
    connection: Connection,
    organization_id: str,
    *,
    due: Due,
    decided: Mapping[int, Decision],
    now: datetime,
) -> dict[tuple[str, str], int]:
    """Write down what was decided on these, by position; how many do not go, by state and reason."""
    if not decided:
        return {}
    states = [_state_of(decision) for decision in decided.values()]
    given = {
        "messages": [due.columns["message_id"][n] for n in decided],
        "states": [state for state, _, _ in states],
        "reasons": [reason for _, reason, _ in states],
        "waits": [until for _, _, until in states],
    }
    connection.execute(MARK, {"organization_id": organization_id, "now": now, **given})
    return dict(Counter((state, reason) for state, reason, _ in states if reason is not None))


def _state_of(decision: Decision) -> tuple[str, str | None, datetime | None]:
    match decision:
        case Skip(reason):
            return "skipped", str(reason), None
        case Wait(until, reason):
            return "waiting", str(reason), until
        case Send():
            return "claimed", None, None
