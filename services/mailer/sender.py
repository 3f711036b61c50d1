"""The sending of mail, one batch a step: claim, commit, call the provider, write down how it ended."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta

from sqlalchemy import Connection, Engine, func, select

from services.mailer import direct
from services.mailer.campaigns import OPEN, RUNNING, finish, pause
from services.mailer.claim import Batch, Claimed, claim
from services.mailer.content import Writer
from services.mailer.direct import Direct
from services.mailer.outcomes import record, take_up, take_up_own
from services.mailer.provider import Accepted, Outcome, Provider, Refused, Retry
from services.mailer.rate import Rate
from services.mailer.rounds import LONGEST_SLEEP, TRANSIENT
from shared import metrics
from shared.clock import Clock
from shared.database.campaigns import read_campaigns, read_organization
from shared.database.tables import campaign, mail_batch, message
from shared.logging import logger

log = logger(__name__)

NO_SENDER = "No sender address. Set the organization's sender_email (or RESEND_FROM_EMAIL), then resume."
# A pause of the provider up to this long is sat out with the batch in hand.
SHORT = 1.0


class Sender:
    """`sent` is called with the organization after a batch went; `owner` is this mailer's stable name."""

    def __init__(
        self,
        database: Engine,
        provider: Provider,
        writer: Writer,
        rate: Rate,
        *,
        owner: str,
        from_email: str,
        clock: Clock,
        sent: Callable[[str], None],
    ) -> None:
        self._database = database
        self._provider = provider
        self._writer = writer
        self._rate = rate
        self._owner = owner
        self._from_email = from_email
        self._clock = clock
        self._sent = sent
        self._known: set[str] = set()
        self._unrecorded: tuple[Batch, Outcome] | None = None
        self.stopping = threading.Event()

    def step(self, organization_id: str) -> datetime:
        """Send one batch, or find that nothing is due; when to come again."""
        try:
            if self._unrecorded is not None:
                self._record(*self._unrecorded)
            return self._step(organization_id, self._clock())
        except TRANSIENT:
            # A commit that got no answer may have claimed a batch all the same.
            self._known.clear()
            raise

    def _step(self, organization_id: str, now: datetime) -> datetime:
        with self._database.begin() as connection:
            left = self._rate.left(connection)
            if left > SHORT:
                return now + timedelta(seconds=left)
            one = direct.claim(connection, organization_id, from_email=self._from_email, now=now)
        if one is not None:
            self._send_direct(one)
            return now
        with self._database.begin() as connection:
            if organization_id not in self._known:
                take_up_own(connection, organization_id, self._owner, now)
            batch = take_up(connection, organization_id, self._owner, now)
            claimed = Claimed(batch, {}) if batch else self._claim(connection, organization_id, now)
        self._known.add(organization_id)
        if claimed is None:
            return self._rest(organization_id, now)
        for (state, reason), count in claimed.decided.items():
            metrics.mails.labels(state, reason).inc(count)
        if claimed.batch is not None:
            self._send(claimed.batch)
        return now

    def _claim(self, connection: Connection, organization_id: str, now: datetime) -> Claimed | None:
        sender = read_organization(connection, organization_id)
        if sender is None:
            return None
        due = _first_due(connection, organization_id)
        for wanted in read_campaigns(connection, organization_id, campaign.c.campaign_id.in_(_until(due, now))):
            email = sender.sender_email or self._from_email
            if not email:
                pause(connection, organization_id, wanted.campaign_id, NO_SENDER)
                continue
            claimed = claim(connection, sender, wanted, sender_email=email, owner=self._owner, now=now)
            if claimed is not None:
                return claimed
        return None

    def _rest(self, organization_id: str, now: datetime) -> datetime:
        """Nothing is due: campaigns may be through; when the next message or batch is."""
        with self._database.begin() as connection:
            for campaign_id in finish(connection, organization_id):
                log.info("campaign.sent", organization_id=organization_id, campaign_id=campaign_id)
            lease = connection.execute(
                select(func.min(mail_batch.c.lease_until))
                .join(
                    campaign,
                    (campaign.c.organization_id == mail_batch.c.organization_id)
                    & (campaign.c.campaign_id == mail_batch.c.campaign_id),
                )
                .where(
                    mail_batch.c.organization_id == organization_id,
                    mail_batch.c.state == "claimed",
                    campaign.c.state.in_(RUNNING),
                )
            ).scalar()
            due = (
                lease,
                direct.next_due(connection, organization_id),
                *_first_due(connection, organization_id).values(),
            )
            later = [at for at in due if at is not None]
        # What was due and could not be claimed is in another mailer's hands: not now, but soon.
        soon = now + timedelta(seconds=1)
        return max(soon, min(later, default=now + LONGEST_SLEEP)) if later else now + LONGEST_SLEEP

    def _send_direct(self, one: Direct) -> None:
        with self._database.begin() as connection:
            delay = self._rate.reserve(connection)
        self.stopping.wait(delay)
        outcome = self._provider.send_batch([one.mail(self._writer)], str(one.mail_id))
        with self._database.begin() as connection:
            direct.record(connection, one, outcome, self._clock())

    def _send(self, batch: Batch) -> None:
        mails = [
            self._writer.mail(batch.content, batch.organization_id, each.message_id, each.email, each.variables)
            for each in batch.letters
        ]
        with self._database.begin() as connection:
            delay = self._rate.reserve(connection)
        self.stopping.wait(delay)
        began = time.perf_counter()
        outcome = self._provider.send_batch(mails, str(batch.batch_id))
        metrics.mail_send.observe(time.perf_counter() - began)
        self._unrecorded = (batch, outcome)
        self._record(batch, outcome)

    def _record(self, batch: Batch, outcome: Outcome) -> None:
        chance = random.random()  # noqa: S311 - spreads retries, guards nothing
        with self._database.begin() as connection:
            hold = record(connection, batch, outcome, now=self._clock(), chance=chance)
            if hold:
                self._rate.hold(connection, hold)
        self._unrecorded = None
        size = len(batch.letters)
        named = {"organization_id": batch.organization_id, "campaign_id": batch.campaign_id}
        match outcome:
            case Accepted(_, refused):
                metrics.mails.labels("sent", "").inc(size - len(refused))
                metrics.mails.labels("failed", "provider_refused").inc(len(refused))
                self._sent(batch.organization_id)
            case Refused(why):
                metrics.mails.labels("failed", "provider_refused").inc(size)
                log.warning("batch.refused", why=why, batch_id=str(batch.batch_id), **named)
            case Retry(why):
                log.warning("batch.put_off", why=why, seconds=round(hold, 1), batch_id=str(batch.batch_id), **named)
            case _:
                log.error("campaign.paused", why=outcome.why, **named)


def _first_due(connection: Connection, organization_id: str) -> dict[str, datetime | None]:
    """For each running campaign, when its next message is due."""
    first = (
        select(func.min(message.c.wait_until))
        .where(
            message.c.organization_id == campaign.c.organization_id,
            message.c.campaign_id == campaign.c.campaign_id,
            message.c.state.in_(OPEN),
        )
        .label("first_due")
    )
    statement = select(campaign.c.campaign_id, first).where(
        campaign.c.organization_id == organization_id, campaign.c.state.in_(RUNNING)
    )
    return {row.campaign_id: row.first_due for row in connection.execute(statement)}


def _until(due: dict[str, datetime | None], now: datetime) -> list[str]:
    return [campaign_id for campaign_id, at in due.items() if at is not None and at <= now]
