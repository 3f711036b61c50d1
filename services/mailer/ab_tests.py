"""The end of an A/B test: the winner is chosen and the rest, who waited for it, are planned, in one transaction."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, func, text, update

from services.mailer.blocks import make_blocks
from shared.database import ab_tests
from shared.database.campaigns import Campaign, read_campaigns
from shared.database.locks import take_lock
from shared.database.tables import campaign, message
from shared.domain.ab_test import decides_at, winner
from shared.domain.gates import Reason
from shared.domain.occasions import SEND
from shared.logging import logger

log = logger(__name__)

# No subject: the campaign was cancelled before there was a winner.
NONE: Final = -1

# The rest: whoever waits for the winner.
RELEASE: Final = text("""
    UPDATE message SET state = 'planned', reason = NULL, wait_until = :now, expires_at = :expires_at, updated_at = :now
    WHERE organization_id = :organization_id AND campaign_id = :campaign_id AND occasion = :occasion
        AND state = 'waiting' AND reason = :reason
""")


def undecided(connection: Connection, organization_id: str, state: str = "sending") -> list[Campaign]:
    """Campaigns whose audience is planned and whose test has no winner."""
    return read_campaigns(
        connection,
        organization_id,
        campaign.c.state == state,
        campaign.c.planned_at.is_not(None),
        campaign.c.ab_test.is_not(None),
        campaign.c.ab_winner.is_(None),
    )


def due_at(connection: Connection, wanted: Campaign, now: datetime) -> datetime | None:
    """When the winner is to be chosen; None while that cannot be told."""
    test = wanted.ab_test or {}
    found = ab_tests.progress(connection, wanted.organization_id, wanted.campaign_id)
    return decides_at(found, ab_tests.after(test), now)


def decide(connection: Connection, wanted: Campaign, now: datetime) -> bool:
    """Choose the winner and plan the rest. False, with nothing changed, when another mailer is at it or the campaign
    was stopped meanwhile. The caller commits.
    """
    if not take_lock(connection, f"{wanted.organization_id}/{wanted.campaign_id}"):
        return False
    test = wanted.ab_test or {}
    numbers = ab_tests.numbers(connection, wanted.organization_id, wanted.campaign_id, test)
    chosen = winner(ab_tests.tried(numbers, str(test["winner_by"])))
    given: dict[str, Any] = {"organization_id": wanted.organization_id, "campaign_id": wanted.campaign_id}
    expires_at = now + timedelta(hours=wanted.expires_after_hours)
    told = {"now": now, "expires_at": expires_at, "reason": str(Reason.AB_TEST), "occasion": SEND}
    released = connection.execute(RELEASE, given | told).rowcount
    if released:
        make_blocks(connection, wanted, now)
    # Last, so that a pause does not wait for the rest to be written.
    noted = connection.execute(
        update(campaign)
        .where(
            campaign.c.organization_id == wanted.organization_id,
            campaign.c.campaign_id == wanted.campaign_id,
            campaign.c.state == "sending",
            campaign.c.ab_winner.is_(None),
        )
        .values(
            ab_winner=chosen,
            ab_decided_at=now,
            ab_numbers=[each._asdict() for each in numbers],
            updated_at=func.now(),
        )
    )
    if noted.rowcount == 0:
        connection.rollback()
        return False
    log.info("ab_test.decided", winner=chosen, mails=released, **given)
    return True


def cancel(connection: Connection, organization_id: str, now: datetime) -> int:
    """End what waits for the winner of a cancelled campaign; how many messages."""
    ended = 0
    for wanted in undecided(connection, organization_id, "cancelled"):
        whose = {"organization_id": organization_id, "campaign_id": wanted.campaign_id}
        ended += connection.execute(
            update(message)
            .where(
                *(message.c[name] == value for name, value in whose.items()),
                message.c.state == "waiting",
                message.c.reason == str(Reason.AB_TEST),
            )
            .values(state="skipped", reason=str(Reason.CANCELLED), updated_at=now)
        ).rowcount
        connection.execute(
            update(campaign).where(*(campaign.c[name] == value for name, value in whose.items())).values(ab_winner=NONE)
        )
    return ended
