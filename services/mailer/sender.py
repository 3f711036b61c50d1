"""The sending of mail, in cycles: what the last calls did is written down and the next batches are claimed in one
transaction, then the provider is called.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection, Engine

from services.mailer import direct
from services.mailer.batches import Batch, shortest_lease, take_up, take_up_own
from services.mailer.campaigns import finish, first_due, pause
from services.mailer.claim import Claimed, claim
from services.mailer.content import Writer
from services.mailer.direct import Direct
from services.mailer.noting import Noting
from services.mailer.outcomes import Done, Uncalled, record
from services.mailer.provider import Accepted, Halted, Outcome, Provider, Refused, Retry
from services.mailer.rate import Rate
from services.mailer.rounds import LONGEST_SLEEP, TRANSIENT
from shared import metrics
from shared.clock import Clock
from shared.database.campaigns import read_campaigns, read_organization
from shared.database.tables import campaign
from shared.logging import logger

log = logger(__name__)

NO_SENDER = "No sender address. Set the organization's sender_email (or RESEND_FROM_EMAIL), then resume."
# A pause of the provider up to this long is sat out with the batches in hand.
SHORT: Final = 1.0
# Batches of one cycle. As many as go out within QUICK, so that a pause is heard; past SLOW the rest is put back.
MOST: Final = 64
QUICK: Final = 0.25
SLOW: Final = 0.6


class Sender:
    """`sent` is called with the organization after batches went; `owner` is this sender's stable name, and `owns_name`
    whether no other process goes by it just now.
    """

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
        owns_name: Callable[[], bool] = lambda: True,
    ) -> None:
        self._owns_name = owns_name
        self._database = database
        self._provider = provider
        self._writer = writer
        self._rate = rate
        self._owner = owner
        self._from_email = from_email
        self._clock = clock
        self._sent = sent
        self._known: set[str] = set()
        self._unrecorded: list[Done] = []
        self._most = 1
        self.stopping = threading.Event()

    def step(self, organization_id: str) -> datetime:
        """One cycle, or find that nothing is due; when to come again."""
        try:
            return self._step(organization_id, self._clock())
        except TRANSIENT:
            # A commit that got no answer may have claimed batches all the same.
            self._known.clear()
            raise
        except Exception:
            # Whatever is wrong with the next mails, those that went are written down.
            self.finish()
            raise

    def finish(self) -> None:
        """Write down what the last cycle did."""
        if self._unrecorded:
            with self._database.begin() as connection:
                self._record(connection)
            self._recorded()

    def _step(self, organization_id: str, now: datetime) -> datetime:
        if any(each.batch.organization_id != organization_id for each in self._unrecorded):
            self.finish()
        with self._database.begin() as connection:
            left = self._record(connection) or self._rate.left(connection)
            one, claimed = None, None
            if left <= SHORT:
                one = direct.claim(connection, organization_id, from_email=self._from_email, now=now)
                claimed = self._next(connection, organization_id, now) if one is None else None
        self._recorded()
        if left > SHORT:
            return now + timedelta(seconds=left)
        if one is not None:
            self._send_direct(one)
            return now
        if claimed is None:
            return self._rest(organization_id, now)
        for (state, reason), count in claimed.decided.items():
            metrics.mails.labels(state, reason).inc(count)
        if claimed.batches:
            self._send(claimed.batches)
        return now

    def _next(self, connection: Connection, organization_id: str, now: datetime) -> Claimed | None:
        if organization_id not in self._known and self._owns_name():
            take_up_own(connection, organization_id, self._owner)
            self._known.add(organization_id)
        batch = take_up(connection, organization_id, self._owner)
        return Claimed([batch], {}) if batch else self._claim(connection, organization_id, now)

    def _claim(self, connection: Connection, organization_id: str, now: datetime) -> Claimed | None:
        sender = read_organization(connection, organization_id)
        if sender is None:
            return None
        due = [each for each, at in first_due(connection, organization_id).items() if at is not None and at <= now]
        for wanted in read_campaigns(connection, organization_id, campaign.c.campaign_id.in_(due)):
            email = sender.sender_email or self._from_email
            if not email:
                pause(connection, organization_id, wanted.campaign_id, NO_SENDER)
                continue
            claimed = claim(connection, sender, wanted, sender_email=email, owner=self._owner, now=now, most=self._most)
            if claimed is not None:
                return claimed
        return None

    def _rest(self, organization_id: str, now: datetime) -> datetime:
        """Nothing is due: campaigns may be through; when the next message or batch is."""
        with self._database.begin() as connection:
            for campaign_id in finish(connection, organization_id):
                log.info("campaign.sent", organization_id=organization_id, campaign_id=campaign_id)
            lease = shortest_lease(connection, organization_id)
            due = (
                None if lease is None else now + lease,
                direct.next_due(connection, organization_id, now),
                *first_due(connection, organization_id).values(),
            )
            later = [at for at in due if at is not None]
        # What was due and could not be claimed is in another sender's hands: not now, but soon.
        soon = now + timedelta(seconds=1)
        return max(soon, min(later, default=now + LONGEST_SLEEP)) if later else now + LONGEST_SLEEP

    def _send_direct(self, one: Direct) -> None:
        with self._database.begin() as connection:
            delay = self._rate.reserve(connection)
        self.stopping.wait(delay)
        outcome = self._provider.send_batch(one.mails(self._writer), str(one.mail_id))
        with self._database.begin() as connection:
            direct.record(connection, one, outcome, self._clock())

    def _send(self, batches: Sequence[Batch]) -> None:
        with self._database.begin() as connection:
            delay = self._rate.reserve(connection, len(batches))
        began = time.monotonic()
        for n, batch in enumerate(batches):
            if n and (self.stopping.is_set() or time.monotonic() - began > SLOW):
                break
            self.stopping.wait(began + delay + n * self._rate.gap - time.monotonic())
            outcome = self._call(batch)
            self._unrecorded.append(Done(batch, outcome))
            if isinstance(outcome, Retry | Halted):
                break
        called = len(self._unrecorded)
        self._unrecorded += [Done(batch, Uncalled()) for batch in batches[called:]]
        took = time.monotonic() - began
        if called < len(batches) or took > SLOW:
            self._most = max(1, self._most // 2)
        elif took < QUICK:
            self._most = min(MOST, self._most * 2)

    def _call(self, batch: Batch) -> Outcome:
        left = [n for n in range(len(batch.letters)) if n not in batch.done]
        letters = batch.letters.only(left) if batch.done else batch.letters
        try:
            mails = self._writer.mails(batch.content, batch.organization_id, letters)
        except Exception as error:
            log.exception("batch.unwritable", organization_id=batch.organization_id, campaign_id=batch.campaign_id)
            return Halted(f"Its mails cannot be written: {error!r}")
        began = time.perf_counter()
        with Noting(self._database, batch, left, self._owner) as taken:
            outcome = self._provider.send_batch(mails, str(batch.batch_id), taken) if mails else Accepted({})
        if batch.done and isinstance(outcome, Accepted):
            outcome = _at(left, outcome)
        metrics.mail_send.observe(time.perf_counter() - began)
        return outcome

    def _record(self, connection: Connection) -> float:
        """How many seconds the provider wants to be left alone."""
        if not self._unrecorded:
            return 0.0
        chance = random.random()  # noqa: S311 - spreads retries, guards nothing
        hold = record(connection, self._unrecorded, at=self._clock(), chance=chance)
        if hold:
            self._rate.hold(connection, hold)
        return hold

    def _recorded(self) -> None:
        """It is committed: tell of it."""
        done, self._unrecorded = self._unrecorded, []
        for each in done:
            _tell(each)
        if any(isinstance(each.outcome, Accepted) for each in done):
            self._sent(done[0].batch.organization_id)


def _at(left: Sequence[int], outcome: Accepted) -> Accepted:
    """The outcome of a part of a batch, by the positions in the whole."""
    return Accepted(
        {left[n]: told for n, told in outcome.ids.items()},
        {left[n]: why for n, why in outcome.refused.items()},
        {left[n]: why for n, why in outcome.again.items()},
    )


def _tell(done: Done) -> None:
    size = len(done.batch.letters)
    named = {"organization_id": done.batch.organization_id, "campaign_id": done.batch.campaign_id}
    match done.outcome:
        case Accepted(_, refused, again):
            metrics.mails.labels("sent", "").inc(size - len(refused) - len(again))
            metrics.mails.labels("failed", "provider_refused").inc(len(refused))
        case Refused(why):
            metrics.mails.labels("failed", "provider_refused").inc(size)
            log.warning("batch.refused", why=why, batch_id=str(done.batch.batch_id), **named)
        case Retry(why):
            log.warning("batch.put_off", why=why, batch_id=str(done.batch.batch_id), **named)
        case Halted(why):
            log.error("campaign.paused", why=why, **named)
