"""The planning of mail: audiences of one-off campaigns when their time has come, birthdays and anniversaries; and the
end of what was cancelled.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from time import perf_counter
from typing import Final

from sqlalchemy import Connection, Engine, text, update
from sqlalchemy.exc import DataError, IntegrityError, ProgrammingError

from services.mailer import ab_tests, verifications
from services.mailer.audience import plan_audience
from services.mailer.blocks import cancel_blocks
from services.mailer.campaigns import OPEN, fail
from services.mailer.celebrations import DAYS, plan_celebrations
from services.mailer.outcomes import give_up
from services.mailer.rounds import LONGEST_SLEEP
from shared import metrics
from shared.clock import Clock
from shared.database.campaigns import Campaign, Organization, read_campaigns, read_organization
from shared.database.channels import MESSAGES, notify
from shared.database.tables import campaign, message
from shared.domain.gates import Reason
from shared.logging import logger

log = logger(__name__)

# Every midnight of the world falls on a quarter of an hour.
QUARTER: Final = 900
MANY: Final = 1_000
# Nobody announces new customers. Looking for them takes a hundredth of the time at most.
SOONEST: Final = timedelta(seconds=5)
PATIENCE: Final = 100


class Planner:
    """Writes messages; sends none."""

    def __init__(self, database: Engine, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._celebrated: dict[tuple[str, str], tuple[tuple[object, ...], datetime]] = {}
        self._verified: dict[str, datetime] = {}
        self.looked_at: set[str] = set()
        """Organizations whose birthdays and anniversaries are planned up to the present: others must not send yet."""

    def step(self, organization_id: str) -> datetime:
        """Plan what the organization's campaigns ask for now; when to come again."""
        now = self._clock()
        with self._database.begin() as connection:
            sender = read_organization(connection, organization_id)
            if sender is None:
                return now + LONGEST_SLEEP
            self._cancel(connection, sender, now)
            tested = ab_tests.undecided(connection, organization_id)
            times = self._plan_verifications(connection, sender, now)
            unplanned = campaign.c.state.in_(("scheduled", "sending")) & campaign.c.planned_at.is_(None)
            one_off = read_campaigns(connection, organization_id, unplanned, campaign.c.trigger.is_(None))
            on_days = read_campaigns(
                connection,
                organization_id,
                campaign.c.state == "active",
                campaign.c.trigger["on"].astext.in_(DAYS),
            )
        try:
            times += [self._plan_celebrations(sender, wanted, now) for wanted in on_days]
        finally:  # one that cannot be planned shall not hold the others' mails
            self.looked_at.add(organization_id)
        for wanted in one_off:
            if wanted.send_at is None or wanted.send_at <= now:
                self._plan_audience(sender, wanted, now)
        times += [at for wanted in tested if (at := self._decide(wanted, now)) is not None]
        times += [wanted.send_at for wanted in one_off if wanted.send_at is not None and wanted.send_at > now]
        return min([now + LONGEST_SLEEP, *times])

    def _plan_audience(self, sender: Organization, wanted: Campaign, now: datetime) -> None:
        with self._database.connect() as connection:
            try:
                counts = plan_audience(connection, sender, wanted, now)
            except (DataError, IntegrityError, ProgrammingError) as error:
                connection.rollback()
                why = str(error.orig).splitlines()[0]
                fail(connection, wanted.organization_id, wanted.campaign_id, f"Its audience cannot be read: {why}")
                connection.commit()
                log.error("audience.failed", why=why, campaign_id=wanted.campaign_id)  # noqa: TRY400 - no personal data
                return
            if counts is None:
                return
            notify(connection, MESSAGES, sender.organization_id)
            connection.commit()
            if sum(counts.values()) >= MANY:
                # Until autovacuum comes by, PostgreSQL would plan for the table as it was before.
                connection.execute(text("ANALYZE message"))
                connection.commit()
        for (state, reason), count in counts.items():
            metrics.mails.labels(state, reason).inc(count)
        told = {f"{state}.{reason}".rstrip("."): count for (state, reason), count in counts.items()}
        log.info("audience.planned", organization_id=sender.organization_id, campaign_id=wanted.campaign_id, **told)

    def _decide(self, wanted: Campaign, now: datetime) -> datetime | None:
        """Choose the winner of an A/B test when its time has come; when it will have."""
        with self._database.connect() as connection:
            at = ab_tests.due_at(connection, wanted, now)
            if at is None or at > now:
                return at
            if ab_tests.decide(connection, wanted, now):
                notify(connection, MESSAGES, wanted.organization_id)
                connection.commit()
        return None

    def _plan_verifications(self, connection: Connection, sender: Organization, now: datetime) -> list[datetime]:
        """When to look again, if at all."""
        again = self._verified.get(sender.organization_id, now)
        if again > now:
            return [again]
        began = perf_counter()
        if verifications.plan(connection, sender, now) is None:
            return []
        self._verified[sender.organization_id] = again = _again(now, began)
        return [again]

    def _plan_celebrations(self, sender: Organization, wanted: Campaign, now: datetime) -> datetime:
        """When to look again."""
        key = (wanted.organization_id, wanted.campaign_id)
        state = (int(now.timestamp()) // QUARTER, wanted.version, wanted.activated_at, wanted.trigger, sender.time_zone)
        before, again = self._celebrated.get(key, (None, now))
        if before == state and again > now:
            return again
        began = perf_counter()
        with self._database.begin() as connection:
            planned = plan_celebrations(connection, sender, wanted, now)
            if planned:
                # Only now, so that a pause need not wait; who cancels after this finds the messages.
                present = read_campaigns(connection, key[0], campaign.c.campaign_id == key[1], locked=True)
                if any(each.state == "cancelled" for each in present):
                    self._cancel(connection, sender, now)
                notify(connection, MESSAGES, sender.organization_id)
        again = _again(now, began)
        self._celebrated[key] = (state, again)
        if planned:
            metrics.mails.labels("planned", "").inc(planned)
            log.info("celebrations.planned", organization_id=key[0], campaign_id=key[1], messages=planned)
        return again

    def _cancel(self, connection: Connection, sender: Organization, now: datetime) -> None:
        cancelled = connection.execute(
            update(message)
            .where(
                message.c.organization_id == sender.organization_id,
                message.c.queued,
                message.c.state.in_(OPEN),
                campaign.c.organization_id == message.c.organization_id,
                campaign.c.campaign_id == message.c.campaign_id,
                campaign.c.state == "cancelled",
            )
            .values(state="skipped", reason=str(Reason.CANCELLED), queued=False, updated_at=now)
        ).rowcount
        cancelled += ab_tests.cancel(connection, sender.organization_id, now)
        cancelled += cancel_blocks(connection, sender.organization_id, now)
        cancelled += give_up(connection, sender.organization_id, now)
        if cancelled:
            metrics.mails.labels("skipped", str(Reason.CANCELLED)).inc(cancelled)


def _again(now: datetime, began: float) -> datetime:
    return now + max(SOONEST, timedelta(seconds=(perf_counter() - began) * PATIENCE))
