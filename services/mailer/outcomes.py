"""What a call of the provider did, written down; and batches whose call never told, taken up again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Row, and_, select, text, update

from services.mailer.campaigns import RUNNING, count_failure, count_success, pause
from services.mailer.claim import LEASE, Batch, Letter
from services.mailer.provider import Accepted, Halted, Outcome, Refused, Retry
from shared.database.tables import campaign, mail_batch, mail_content, message
from shared.domain.delivery import KEY_LASTS, backoff
from shared.mail.content import from_json

# A report about a mail may be here before the answer that it was taken: then only its own columns are still missing.
ACCEPT: Final = text("""
    UPDATE message SET
        state = CASE WHEN message.state = 'claimed' THEN 'sent' ELSE message.state END,
        sent_at = :now, provider_id = taken.provider_id, updated_at = :now
    FROM unnest(CAST(:messages AS uuid[]), CAST(:ids AS text[])) AS taken (message_id, provider_id)
    WHERE message.organization_id = :organization_id AND message.message_id = taken.message_id
""")

# Ends messages for good, and gives back the day that they took from their customers.
FAIL: Final = text("""
    WITH failed AS (
        UPDATE message SET state = :state, reason = :reason, detail = ended.detail, updated_at = :now
        FROM unnest(CAST(:messages AS uuid[]), CAST(:details AS text[])) AS ended (message_id, detail)
        WHERE message.organization_id = :organization_id AND message.message_id = ended.message_id
            AND message.state = 'claimed'
        RETURNING message.customer_id, message.message_id
    )
    UPDATE mail_slot SET last_on = mail_slot.previous_on, previous_on = NULL
    FROM failed
    WHERE mail_slot.organization_id = :organization_id AND mail_slot.customer_id = failed.customer_id
        AND mail_slot.message_id = failed.message_id AND mail_slot.previous_on IS NOT NULL
""")

# Puts messages back as if they had never been claimed, slots included: the gates look at them again.
RELEASE: Final = text("""
    WITH released AS (
        UPDATE message SET state = 'planned', wait_until = :until, batch_id = NULL, position = NULL,
            email = NULL, variables = NULL, updated_at = :now
        WHERE organization_id = :organization_id AND batch_id = :batch_id AND state = 'claimed'
        RETURNING customer_id, message_id
    )
    UPDATE mail_slot SET last_on = mail_slot.previous_on, previous_on = NULL
    FROM released
    WHERE mail_slot.organization_id = :organization_id AND mail_slot.customer_id = released.customer_id
        AND mail_slot.message_id = released.message_id AND mail_slot.previous_on IS NOT NULL
""")


def record(connection: Connection, batch: Batch, outcome: Outcome, *, now: datetime, chance: float) -> float:
    """Write down how the call ended; how many seconds the provider wants to be left alone."""
    match outcome:
        case Accepted(ids, refused):
            _accept(connection, batch, ids, refused, now)
            count_success(connection, batch.organization_id, batch.campaign_id)
            return 0.0
        case Refused(why):
            _fail(connection, batch.organization_id, dict.fromkeys(_ids(batch), why), now=now)
            _set(connection, batch, state="failed", error=why)
            count_failure(connection, batch.organization_id, batch.campaign_id, why)
            return 0.0
        case Retry(why, in_doubt, after):
            failures = count_failure(connection, batch.organization_id, batch.campaign_id, why)
            delay = backoff(failures, chance, after)
            _put_off(connection, batch, why, in_doubt=in_doubt, until=now + timedelta(seconds=delay), now=now)
            return delay
        case Halted(why):
            _put_off(connection, batch, why, in_doubt=False, until=now, now=now)
            pause(connection, batch.organization_id, batch.campaign_id, why)
            return 0.0


def take_up(connection: Connection, organization_id: str, owner: str, now: datetime) -> Batch | None:
    """A batch of a running campaign whose call did not tell how it ended, to be sent again with the same bytes."""
    found = connection.execute(
        select(mail_batch, mail_content.c.content)
        .join(campaign, _same_campaign())
        .join(
            mail_content,
            and_(
                mail_content.c.organization_id == mail_batch.c.organization_id,
                mail_content.c.content_id == mail_batch.c.content_id,
            ),
        )
        .where(*_lapsed(organization_id, now), campaign.c.state.in_(RUNNING))
        .order_by(mail_batch.c.lease_until)
        .limit(1)
        .with_for_update(of=mail_batch, skip_locked=True)
    ).first()
    if found is None:
        return None
    batch = _batch(connection, found)
    _set(connection, batch, attempts=batch.attempts, owner=owner, lease_until=now + LEASE)
    return batch


def take_up_own(connection: Connection, organization_id: str, owner: str, now: datetime) -> None:
    """After a restart: what this mailer's former process had under way need not wait for the end of its lease."""
    connection.execute(
        update(mail_batch)
        .where(
            mail_batch.c.organization_id == organization_id,
            mail_batch.c.state == "claimed",
            mail_batch.c.owner == owner,
            mail_batch.c.lease_until > now,
        )
        .values(lease_until=now)
    )


def give_up(connection: Connection, organization_id: str, now: datetime) -> int:
    """End what can no longer be settled: batches of cancelled campaigns, and those whose key the provider forgets.
    Their last call may have sent them; calling once more might send them twice. How many messages that were.
    """
    lapsed = (
        select(mail_batch.c.organization_id, mail_batch.c.batch_id, campaign.c.state, mail_batch.c.error)
        .join(campaign, _same_campaign())
        .where(
            *_lapsed(organization_id, now),
            (campaign.c.state == "cancelled") | (mail_batch.c.claimed_at <= now - KEY_LASTS),
        )
        .with_for_update(of=mail_batch, skip_locked=True)
    )
    ended = 0
    for row in connection.execute(lapsed).all():
        why = f"The last call got no answer, so it may have gone out. {row.error or ''}".strip()
        members = _messages(connection, organization_id, row.batch_id)
        cancelled = row.state == "cancelled"
        _fail(
            connection,
            organization_id,
            {str(member.message_id): why for member in members},
            now=now,
            state="skipped" if cancelled else "failed",
            reason="cancelled" if cancelled else "in_doubt",
        )
        connection.execute(
            update(mail_batch)
            .where(mail_batch.c.organization_id == organization_id, mail_batch.c.batch_id == row.batch_id)
            .values(state="failed", error=why)
        )
        ended += len(members)
    return ended


def _accept(connection: Connection, batch: Batch, ids: dict[int, str], refused: dict[int, str], now: datetime) -> None:
    messages = _ids(batch)
    taken = [n for n in range(len(messages)) if n not in refused]
    connection.execute(
        ACCEPT,
        {
            "organization_id": batch.organization_id,
            "now": now,
            "messages": [messages[n] for n in taken],
            "ids": [ids.get(n) for n in taken],
        },
    )
    if refused:
        _fail(connection, batch.organization_id, {messages[n]: why for n, why in refused.items()}, now=now)
    _set(connection, batch, state="accepted", error=None)


def _put_off(connection: Connection, batch: Batch, why: str, *, in_doubt: bool, until: datetime, now: datetime) -> None:
    """A batch that was surely not taken is dissolved, so that the gates decide again when its time comes. One that may
    have been taken stays whole: its key is what keeps it from going twice.
    """
    if in_doubt or batch.attempts > 1:
        _set(connection, batch, lease_until=until, error=why)
        return
    given = {"organization_id": batch.organization_id, "batch_id": batch.batch_id, "until": until, "now": now}
    connection.execute(RELEASE, given)
    _set(connection, batch, state="failed", error=why)


def _fail(
    connection: Connection,
    organization_id: str,
    details: dict[str, str],
    *,
    now: datetime,
    state: str = "failed",
    reason: str = "provider_refused",
) -> None:
    given = {"messages": list(details), "details": list(details.values()), "state": state, "reason": reason}
    connection.execute(FAIL, {"organization_id": organization_id, "now": now, **given})


def _set(connection: Connection, batch: Batch, **values: Any) -> None:
    connection.execute(
        update(mail_batch)
        .where(mail_batch.c.organization_id == batch.organization_id, mail_batch.c.batch_id == batch.batch_id)
        .values(**values)
    )


def _batch(connection: Connection, found: Row[Any]) -> Batch:
    letters = [
        Letter(str(row.message_id), row.email or "", row.variables or {})
        for row in _messages(connection, found.organization_id, found.batch_id)
    ]
    content = from_json(json.dumps(found.content))
    return Batch(found.organization_id, found.campaign_id, found.batch_id, content, letters, found.attempts + 1)


def _messages(connection: Connection, organization_id: str, batch_id: Any) -> Sequence[Any]:
    statement = (
        select(message.c.message_id, message.c.email, message.c.variables)
        .where(message.c.organization_id == organization_id, message.c.batch_id == batch_id)
        .order_by(message.c.position)
    )
    return connection.execute(statement).all()


def _ids(batch: Batch) -> list[str]:
    return [letter.message_id for letter in batch.letters]


def _lapsed(organization_id: str, now: datetime) -> tuple[ColumnElement[bool], ...]:
    return (
        mail_batch.c.organization_id == organization_id,
        mail_batch.c.state == "claimed",
        mail_batch.c.lease_until <= now,
    )


def _same_campaign() -> ColumnElement[bool]:
    return and_(
        campaign.c.organization_id == mail_batch.c.organization_id,
        campaign.c.campaign_id == mail_batch.c.campaign_id,
    )
