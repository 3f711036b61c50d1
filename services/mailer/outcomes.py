"""What calls of the provider did, written down; and the end of what can no longer be settled."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import msgspec
from sqlalchemy import Connection, func, select, text

from services.mailer.batches import Batch, Letter, change, lapsed, letters_of, of_same_campaign
from services.mailer.campaigns import count_failure, count_success, pause
from services.mailer.provider import Accepted, Halted, Outcome, Refused, Retry
from shared.database.arrays import array, plain_array
from shared.database.tables import campaign, mail_batch
from shared.domain.delivery import KEY_LASTS, backoff

# Whatever the state says by now, it went. A report about a mail may be here before
# the answer that it was taken. An erased customer's address does not come back.
ACCEPT: Final = text("""
    UPDATE message SET
        state = CASE
            WHEN state IN ('delivered', 'bounced', 'complained') OR reason = :failed THEN state ELSE 'sent' END,
        reason = CASE WHEN reason = :failed THEN reason END,
        detail = CASE WHEN state = 'bounced' OR reason = :failed THEN detail END,
        queued = false, sent_at = CASE WHEN reason = :failed THEN sent_at ELSE :at END,
        provider_id = taken.provider_id, batch_id = taken.batch_id,
        email = CASE WHEN customer_id = 'erased:' || message.message_id THEN NULL ELSE taken.email END,
        updated_at = :at
    FROM unnest(
        CAST(:messages AS uuid[]), CAST(:ids AS text[]), CAST(:emails AS text[]), CAST(:batches AS uuid[])
    ) AS taken (message_id, provider_id, email, batch_id)
    WHERE message.organization_id = :organization_id AND message.message_id = taken.message_id
""")

# The provider's ids beside their batches, for mail.sent.
ACCEPTED: Final = text("""
    UPDATE mail_batch SET state = 'accepted', accepted_at = :at, error = NULL, ids = taken.ids
    FROM unnest(CAST(:batches AS uuid[]), CAST(:ids AS bytea[])) AS taken (batch_id, ids)
    WHERE mail_batch.organization_id = :organization_id AND mail_batch.batch_id = taken.batch_id
""")

# Ends messages for good, and gives back the day that they took from their customers.
FAIL: Final = text("""
    WITH failed AS (
        UPDATE message SET state = :state, reason = :reason, detail = ended.detail, queued = false, updated_at = :at
        FROM unnest(CAST(:messages AS uuid[]), CAST(:details AS text[])) AS ended (message_id, detail)
        WHERE message.organization_id = :organization_id AND message.message_id = ended.message_id
            AND message.state IN ('planned', 'waiting', 'claimed')
        RETURNING message.customer_id, message.message_id
    )
    UPDATE mail_slot SET last_on = mail_slot.previous_on, previous_on = NULL
    FROM failed
    WHERE mail_slot.organization_id = :organization_id AND mail_slot.customer_id = failed.customer_id
        AND mail_slot.message_id = failed.message_id AND mail_slot.previous_on IS NOT NULL
""")

# Puts messages back as if they had never been claimed, slots included: the gates look at them again. They are due since
# when they were: a clock that was ahead must not put them off, and the hold on all calls is the provider's pause.
RELEASE: Final = text("""
    WITH released AS (
        UPDATE message SET
            state = CASE WHEN campaign.state = 'cancelled' THEN 'skipped' ELSE 'planned' END,
            reason = CASE WHEN campaign.state = 'cancelled' THEN 'cancelled' END,
            queued = campaign.state <> 'cancelled', updated_at = :at
        FROM campaign
        WHERE message.organization_id = :organization_id AND message_id = ANY(CAST(:messages AS uuid[]))
            AND campaign.organization_id = message.organization_id AND campaign.campaign_id = message.campaign_id
            AND (message.state IN ('planned', 'waiting', 'claimed') OR message.reason = 'cancelled')
        RETURNING customer_id, message_id
    )
    UPDATE mail_slot SET last_on = mail_slot.previous_on, previous_on = NULL
    FROM released
    WHERE mail_slot.organization_id = :organization_id AND mail_slot.customer_id = released.customer_id
        AND mail_slot.message_id = released.message_id AND mail_slot.previous_on IS NOT NULL
""")


# Puts messages back that were refused for now: twice as long each time, from a minute to an hour, spread by chance.
AGAIN: Final = text("""
    WITH put_off AS (
        UPDATE message SET state = 'waiting', reason = :reason, detail = put_off.detail, queued = true,
            attempts = attempts + 1, updated_at = :at,
            wait_until = :at + make_interval(secs => 60 * 2 ^ least(attempts, 6) * (0.5 + 0.5 * random()))
        FROM unnest(CAST(:messages AS uuid[]), CAST(:details AS text[])) AS put_off (message_id, detail)
        WHERE message.organization_id = :organization_id AND message.message_id = put_off.message_id
            AND message.state IN ('planned', 'waiting', 'claimed')
        RETURNING message.customer_id, message.message_id
    )
    UPDATE mail_slot SET last_on = mail_slot.previous_on, previous_on = NULL
    FROM put_off
    WHERE mail_slot.organization_id = :organization_id AND mail_slot.customer_id = put_off.customer_id
        AND mail_slot.message_id = put_off.message_id AND mail_slot.previous_on IS NOT NULL
""")
TRY_AGAIN: Final = "try_again"
# What a webhook says of a mail that the provider took and then could not send.
FAILED: Final = "provider_failed"


@dataclass(frozen=True, slots=True)
class Uncalled:
    """The batch's turn never came: an earlier call met trouble, or took long."""


@dataclass(frozen=True, slots=True)
class Done:
    """A batch and how its call ended."""

    batch: Batch
    outcome: Outcome | Uncalled


def record(connection: Connection, done: Sequence[Done], *, at: datetime, chance: float) -> float:
    """Write down how the calls of one organization ended; how many seconds the provider wants to be left alone."""
    accepted = [(each.batch, each.outcome) for each in done if isinstance(each.outcome, Accepted)]
    if accepted:
        _accept(connection, accepted, at)
    hold = 0.0
    for each in done:
        hold = max(hold, _other(connection, each.batch, each.outcome, at=at, chance=chance))
    return hold


def _other(connection: Connection, batch: Batch, outcome: Outcome | Uncalled, *, at: datetime, chance: float) -> float:
    match outcome:
        case Refused(why):
            _fail(connection, batch.organization_id, dict.fromkeys(_ids(batch.letters), why), at=at)
            _close(connection, batch, why)
            count_failure(connection, batch.organization_id, batch.campaign_id, why)
        case Retry(why, in_doubt, after):
            failures = count_failure(connection, batch.organization_id, batch.campaign_id, why)
            delay = backoff(failures, chance, after)
            _put_off(connection, batch, why, in_doubt=in_doubt, delay=timedelta(seconds=delay), at=at)
            return delay
        case Halted(why):
            _put_off(connection, batch, why, in_doubt=False, at=at)
            pause(connection, batch.organization_id, batch.campaign_id, why)
        case Uncalled():
            _put_off(connection, batch, None, in_doubt=False, at=at)
    return 0.0


def give_up(connection: Connection, organization_id: str, now: datetime) -> int:
    """End what can no longer be settled: batches of cancelled campaigns, and those whose key the provider forgets.
    Their last call may have sent them; calling once more might send them twice. How many messages that were.
    """
    wanted = (
        select(mail_batch.c.batch_id, mail_batch.c.letters, mail_batch.c.done, campaign.c.state, mail_batch.c.error)
        .join(campaign, of_same_campaign())
        .where(
            *lapsed(organization_id),
            (campaign.c.state == "cancelled") | (mail_batch.c.claimed_at <= func.now() - KEY_LASTS),
        )
        .with_for_update(of=mail_batch, skip_locked=True)
    )
    ended = 0
    for row in connection.execute(wanted).all():
        why = f"The last call got no answer, so it may have gone out. {row.error or ''}".strip()
        letters = letters_of(row.letters)
        _sent(connection, organization_id, [(letters[n], None, str(row.batch_id)) for n in row.done], now)
        ids = [letter.message_id for n, letter in enumerate(letters) if n not in set(row.done)]
        state, reason = ("skipped", "cancelled") if row.state == "cancelled" else ("failed", "in_doubt")
        _fail(connection, organization_id, dict.fromkeys(ids, why), at=now, state=state, reason=reason)
        change(connection, organization_id, [row.batch_id], state="failed", error=why, letters=None)
        ended += len(ids)
    return ended


def _accept(connection: Connection, accepted: Sequence[tuple[Batch, Accepted]], at: datetime) -> None:
    organization_id = accepted[0][0].organization_id
    taken, refused, ids = [], {}, []
    again: dict[str, str] = {}
    released = []
    for batch, outcome in accepted:
        told: list[str | None] = []
        batch_id = str(batch.batch_id)
        for n, letter in enumerate(batch.letters):
            if n in outcome.refused:
                refused[letter.message_id] = outcome.refused[n]
                told.append(None)
            elif n in outcome.again:
                why = outcome.again[n]
                if why is None:
                    released.append(letter.message_id)
                else:
                    again[letter.message_id] = why
                told.append(None)
            else:
                provider_id = outcome.ids.get(n)
                taken.append((letter, provider_id, batch_id))
                told.append(provider_id or "")
        ids.append(msgspec.json.encode(told))
    _sent(connection, organization_id, taken, at)
    if refused:
        _fail(connection, organization_id, refused, at=at)
    if again:
        given = {"messages": list(again), "details": list(again.values())}
        connection.execute(AGAIN, {"organization_id": organization_id, "at": at, "reason": TRY_AGAIN, **given})
    if released:
        connection.execute(RELEASE, {"organization_id": organization_id, "at": at, "messages": released})
    batches = [batch.batch_id for batch, _ in accepted]
    connection.execute(ACCEPTED, {"organization_id": organization_id, "at": at, "batches": batches, "ids": ids})
    for campaign_id in {batch.campaign_id for batch, _ in accepted}:
        count_success(connection, organization_id, campaign_id)


def _sent(
    connection: Connection, organization_id: str, taken: Sequence[tuple[Letter, str | None, str]], at: datetime
) -> None:
    """Letters that went, each with the provider's id and the batch's."""
    if not taken:
        return
    given = {
        "messages": plain_array([letter.message_id for letter, _, _ in taken]),
        "ids": array([provider_id for _, provider_id, _ in taken]),
        "emails": array([letter.email for letter, _, _ in taken]),
        "batches": plain_array([batch_id for _, _, batch_id in taken]),
    }
    connection.execute(ACCEPT, {"organization_id": organization_id, "at": at, "failed": FAILED, **given})


def _put_off(
    connection: Connection,
    batch: Batch,
    why: str | None,
    *,
    in_doubt: bool,
    at: datetime,
    delay: timedelta = timedelta(),
) -> None:
    """A batch that was surely not taken is dissolved, so that the gates decide again when its time comes. One that may
    have been taken stays whole: its key is what keeps it from going twice.
    """
    if in_doubt or batch.attempts > 1:
        change(connection, batch.organization_id, [batch.batch_id], lease_until=func.now() + delay, error=why)
        return
    connection.execute(RELEASE, {"organization_id": batch.organization_id, "messages": _ids(batch.letters), "at": at})
    _close(connection, batch, why)


def _close(connection: Connection, batch: Batch, why: str | None) -> None:
    change(connection, batch.organization_id, [batch.batch_id], state="failed", error=why, letters=None)


def _fail(
    connection: Connection,
    organization_id: str,
    details: dict[str, str],
    *,
    at: datetime,
    state: str = "failed",
    reason: str = "provider_refused",
) -> None:
    given = {"messages": list(details), "details": list(details.values()), "state": state, "reason": reason}
    connection.execute(FAIL, {"organization_id": organization_id, "at": at, **given})


def _ids(letters: Iterable[Letter]) -> list[str]:
    return [letter.message_id for letter in letters]
