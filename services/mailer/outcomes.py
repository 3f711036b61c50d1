"""What calls of the provider did, written down; and the end of what can no longer be settled."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, NamedTuple

import msgspec
from sqlalchemy import Connection, func, select, text

from services.mailer.batches import Batch, Letters, change, in_one, lapsed, letters_of, of_same_campaign
from services.mailer.campaigns import count_failure, count_success, pause
from services.mailer.provider import Accepted, Halted, Outcome, Refused, Retry
from shared.database.arrays import array, plain_array
from shared.database.tables import campaign, mail_batch
from shared.domain.delivery import KEY_LASTS, backoff
from shared.domain.occasions import SEND

# Whatever the state says by now, it went. A report about a mail may be here before
# the answer that it was taken. An erased customer's address does not come back.
ACCEPT: Final = text("""
    UPDATE message SET
        state = CASE
            WHEN state IN ('delivered', 'bounced', 'complained') OR reason = :failed THEN state ELSE 'sent' END,
        reason = CASE WHEN reason = :failed THEN reason END,
        detail = CASE WHEN state = 'bounced' OR reason = :failed THEN detail END,
        queued = false, sent_at = CASE WHEN reason = :failed THEN sent_at ELSE :at END,
        batch_id = (CAST(:batches AS uuid[]))[taken.batch],
        email = CASE WHEN customer_id = 'erased:' || message.message_id THEN NULL ELSE taken.email END,
        updated_at = :at
    FROM unnest(
        CAST(:messages AS uuid[]), CAST(:emails AS text[]), CAST(:of_batches AS integer[])
    ) AS taken (message_id, email, batch)
    WHERE message.organization_id = :organization_id AND message.message_id = taken.message_id
""")

# The same of messages that came in blocks and go where they were planned to, one behind the other by customer: what is
# written is the same for all but the batch, so PostgreSQL goes once along the key. Whatever happened to any of them
# meanwhile, it is not among those, and then all are written as above.
ACCEPT_PLANNED: Final = text("""
    UPDATE message SET state = 'sent', sent_at = :at, updated_at = :at,
        batch_id = (CAST(:batches AS uuid[]))[width_bucket(customer_id, CAST(:firsts AS text[]))]
    WHERE organization_id = :organization_id AND campaign_id = :campaign_id
        AND customer_id = ANY(CAST(:customers AS text[])) AND occasion = :occasion
        AND state = 'planned' AND NOT queued AND reason IS NULL
""")

# The provider's ids beside their batches, by message: they come in one piece, each batch's between two places.
# The driver would write a list of bytes out as text.
ACCEPTED: Final = text("""
    UPDATE mail_batch SET state = 'accepted', accepted_at = :at, error = NULL,
        ids = substring(CAST(:ids AS bytea) FROM taken.after + 1 FOR taken.until - taken.after)
    FROM unnest(CAST(:batches AS uuid[]), CAST(:afters AS integer[]), CAST(:untils AS integer[]))
        AS taken (batch_id, after, until)
    WHERE mail_batch.organization_id = :organization_id AND mail_batch.batch_id = ANY(CAST(:batches AS uuid[]))
        AND mail_batch.batch_id = taken.batch_id
""")

# The day that a mail took is its customer's again, also when they were merged into another one meanwhile.
GIVE_BACK: Final = """
    UPDATE mail_slot SET last_on = mail_slot.previous_on, previous_on = NULL
    FROM put_back LEFT JOIN customer_merge ON customer_merge.organization_id = :organization_id
        AND customer_merge.customer_id = put_back.customer_id
    WHERE mail_slot.organization_id = :organization_id
        AND mail_slot.customer_id = coalesce(customer_merge.root_customer_id, put_back.customer_id)
        AND mail_slot.campaign_id = put_back.campaign_id AND mail_slot.occasion = put_back.occasion
        AND mail_slot.previous_on IS NOT NULL
"""

# Ends messages for good, and gives back the day that they took from their customers.
FAIL: Final = text(f"""
    WITH put_back AS (
        UPDATE message SET state = :state, reason = :reason, detail = ended.detail, queued = false, updated_at = :at
        FROM unnest(CAST(:messages AS uuid[]), CAST(:details AS text[])) AS ended (message_id, detail)
        WHERE message.organization_id = :organization_id AND message.message_id = ended.message_id
            AND message.state IN ('planned', 'waiting', 'claimed')
        RETURNING message.customer_id, message.campaign_id, message.occasion
    )
    {GIVE_BACK}
""")

# Puts messages back as if they had never been claimed, slots included: the gates look at them again. They are due since
# when they were: a clock that was ahead must not put them off, and the hold on all calls is the provider's pause.
RELEASE: Final = text(f"""
    WITH put_back AS (
        UPDATE message SET
            state = CASE WHEN campaign.state = 'cancelled' THEN 'skipped' ELSE 'planned' END,
            reason = CASE WHEN campaign.state = 'cancelled' THEN 'cancelled' END,
            queued = campaign.state <> 'cancelled', updated_at = :at
        FROM campaign
        WHERE message.organization_id = :organization_id AND message_id = ANY(CAST(:messages AS uuid[]))
            AND campaign.organization_id = message.organization_id AND campaign.campaign_id = message.campaign_id
            AND (message.state IN ('planned', 'waiting', 'claimed') OR message.reason = 'cancelled')
        RETURNING message.customer_id, message.campaign_id, message.occasion
    )
    {GIVE_BACK}
""")


# Puts messages back that were refused for now: twice as long each time, from a minute to an hour, spread by chance.
AGAIN: Final = text(f"""
    WITH put_back AS (
        UPDATE message SET state = 'waiting', reason = :reason, detail = told.detail, queued = true,
            attempts = attempts + 1, updated_at = :at,
            wait_until = :at + make_interval(secs => 60 * 2 ^ least(attempts, 6) * (0.5 + 0.5 * random()))
        FROM unnest(CAST(:messages AS uuid[]), CAST(:details AS text[])) AS told (message_id, detail)
        WHERE message.organization_id = :organization_id AND message.message_id = told.message_id
            AND message.state IN ('planned', 'waiting', 'claimed')
        RETURNING message.customer_id, message.campaign_id, message.occasion
    )
    {GIVE_BACK}
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
            _fail(connection, batch.organization_id, dict.fromkeys(batch.letters.message_ids, why), at=at)
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
        if row.done:
            _sent(
                connection,
                organization_id,
                [Gone(str(row.batch_id), letters.only(row.done))],
                now,
            )
        ids = letters.only([n for n in range(len(letters)) if n not in set(row.done)]).message_ids
        state, reason = ("skipped", "cancelled") if row.state == "cancelled" else ("failed", "in_doubt")
        _fail(connection, organization_id, dict.fromkeys(ids, why), at=now, state=state, reason=reason)
        change(connection, organization_id, [row.batch_id], state="failed", error=why, letters=None)
        ended += len(ids)
    return ended


def _accept(connection: Connection, accepted: Sequence[tuple[Batch, Accepted]], at: datetime) -> None:
    organization_id = accepted[0][0].organization_id
    taken: list[Gone] = []
    planned: defaultdict[str, list[Gone]] = defaultdict(list)
    batches: list[str] = []
    told: list[bytes] = []
    refused: dict[str, str] = {}
    again: dict[str, str] = {}
    released: list[str] = []
    for batch, outcome in accepted:
        ids = batch.letters.message_ids
        refused |= {ids[n]: why for n, why in outcome.refused.items()}
        again |= {ids[n]: why for n, why in outcome.again.items() if why is not None}
        released += [ids[n] for n, why in outcome.again.items() if why is None]
        stayed = outcome.refused.keys() | outcome.again.keys()
        went = [n for n in range(len(ids)) if n not in stayed]
        gone = Gone(str(batch.batch_id), batch.letters if not stayed else batch.letters.only(went))
        told.append(msgspec.json.encode(dict(zip(gone.letters.message_ids, map(outcome.ids.get, went), strict=True))))
        batches.append(gone.batch_id)
        (planned[batch.campaign_id] if batch.as_planned and not stayed else taken).append(gone)
    for campaign_id, those in planned.items():
        if not _sent_as_planned(connection, organization_id, campaign_id, those, at):
            taken += those
    if taken:
        _sent(connection, organization_id, taken, at)
    if refused:
        _fail(connection, organization_id, refused, at=at)
    if again:
        put_off = {"messages": list(again), "details": list(again.values()), "reason": TRY_AGAIN}
        connection.execute(AGAIN, {"organization_id": organization_id, "at": at, **put_off})
    if released:
        connection.execute(RELEASE, {"organization_id": organization_id, "at": at, "messages": released})
    ids_of_all, places = in_one(told)
    given = {"batches": plain_array(batches), "ids": ids_of_all, **places}
    connection.execute(ACCEPTED, {"organization_id": organization_id, "at": at, **given})
    for campaign_id in {batch.campaign_id for batch, _ in accepted}:
        count_success(connection, organization_id, campaign_id)


class Gone(NamedTuple):
    """What went of a batch."""

    batch_id: str
    letters: Letters


def _sent(connection: Connection, organization_id: str, taken: Sequence[Gone], at: datetime) -> None:
    """Letters that went."""
    given = {
        "messages": plain_array([each for gone in taken for each in gone.letters.message_ids]),
        "emails": array([each for gone in taken for each in gone.letters.emails]),
        "batches": plain_array([gone.batch_id for gone in taken]),
        "of_batches": plain_array([str(n) for n, gone in enumerate(taken, 1) for _ in gone.letters.emails]),
    }
    connection.execute(ACCEPT, {"organization_id": organization_id, "at": at, "failed": FAILED, **given})


def _sent_as_planned(
    connection: Connection, organization_id: str, campaign_id: str, taken: Sequence[Gone], at: datetime
) -> bool:
    """Letters of a campaign that went as they were planned. Whether all of them still stood so."""
    ordered = sorted(taken, key=lambda gone: gone.letters.customer_ids[0])
    customers = [each for gone in ordered for each in gone.letters.customer_ids]
    given = {
        "organization_id": organization_id,
        "campaign_id": campaign_id,
        "occasion": SEND,
        "customers": array(customers),
        "firsts": array([gone.letters.customer_ids[0] for gone in ordered]),
        "batches": plain_array([gone.batch_id for gone in ordered]),
    }
    return connection.execute(ACCEPT_PLANNED, {**given, "at": at}).rowcount == len(customers)


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
    ids = list(batch.letters.message_ids)
    connection.execute(RELEASE, {"organization_id": batch.organization_id, "messages": ids, "at": at})
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
