"""Campaigns under way: when each is due next, and the changes of state that the mailer makes itself."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from sqlalchemy import ColumnElement, Connection, bindparam, case, exists, func, or_, select, text, update

from shared.database.ab_tests import ALL
from shared.database.engine import rows
from shared.database.tables import campaign, mail_batch, mail_block, message
from shared.domain.delivery import campaign_must_pause

RUNNING: Final = ("sending", "active")
OPEN: Final = ("planned", "waiting")
MERE: Final = 2  # failures in a row that are no news: a limit met, a provider that restarts
TRYING: Final = " batches in a row did not go; tried again by itself. Last: "

FIRST_DUE: Final = select(
    campaign.c.campaign_id,
    func.least(
        select(func.min(message.c.wait_until))
        .where(
            message.c.organization_id == campaign.c.organization_id,
            message.c.campaign_id == campaign.c.campaign_id,
            message.c.queued,
            message.c.state.in_(OPEN),
        )
        .scalar_subquery(),
        select(func.min(mail_block.c.wait_until))
        .where(
            mail_block.c.organization_id == campaign.c.organization_id,
            mail_block.c.campaign_id == campaign.c.campaign_id,
        )
        .scalar_subquery(),
    ),
).where(campaign.c.organization_id == bindparam("organization_id"), campaign.c.state.in_(RUNNING))


def first_due(connection: Connection, organization_id: str) -> dict[str, datetime | None]:
    """For each running campaign, when its next message or block is due."""
    return {row[0]: row[1] for row in rows(connection, FIRST_DUE, {"organization_id": organization_id})}


def pause(connection: Connection, organization_id: str, campaign_id: str, why: str) -> None:
    """Stop a running campaign and say why; a marketer resumes it."""
    connection.execute(
        update(campaign)
        .where(*_is(organization_id, campaign_id), campaign.c.state.in_(RUNNING))
        .values(state="paused", error=why, failures_in_row=0, updated_at=func.now())
    )


def fail(connection: Connection, organization_id: str, campaign_id: str, why: str) -> None:
    """End what can not be planned as it is, and say why; a marketer edits or cancels it."""
    connection.execute(
        update(campaign)
        .where(*_is(organization_id, campaign_id), campaign.c.state.in_(("scheduled", "sending")))
        .values(state="failed", error=why, updated_at=func.now())
    )


def count_failure(connection: Connection, organization_id: str, campaign_id: str, why: str) -> int:
    """One more batch that did not go; the campaign says so, and too many in a row pause it. How many it are by now."""
    is_running = campaign.c.state.in_(RUNNING)
    failures: int = connection.execute(
        update(campaign)
        .where(*_is(organization_id, campaign_id))
        .values(
            failures_in_row=campaign.c.failures_in_row + 1,
            error=case(
                (
                    is_running & (campaign.c.failures_in_row >= MERE),
                    func.concat(campaign.c.failures_in_row + 1, TRYING, why),
                ),
                else_=campaign.c.error,
            ),
        )
        .returning(campaign.c.failures_in_row)
    ).scalar_one()
    if campaign_must_pause(failures):
        pause(connection, organization_id, campaign_id, f"{failures} batches in a row failed. Last: {why}")
    return failures


# Written out once: it is done every cycle.
WENT: Final = text("""
    UPDATE campaign SET failures_in_row = 0, error = CASE WHEN state IN ('sending', 'active') THEN NULL ELSE error END
    WHERE organization_id = :organization_id AND campaign_id = :campaign_id AND failures_in_row > 0
""")


def count_success(connection: Connection, organization_id: str, campaign_id: str) -> None:
    """A batch went."""
    connection.execute(WENT, {"organization_id": organization_id, "campaign_id": campaign_id})


def finish(connection: Connection, organization_id: str) -> list[str]:
    """One-off campaigns with nothing left are sent; their ids."""
    left = exists().where(
        message.c.organization_id == campaign.c.organization_id,
        message.c.campaign_id == campaign.c.campaign_id,
        message.c.queued,
        message.c.state.in_(OPEN),
    )
    in_blocks = exists().where(
        mail_block.c.organization_id == campaign.c.organization_id,
        mail_block.c.campaign_id == campaign.c.campaign_id,
    )
    under_way = exists().where(
        mail_batch.c.organization_id == campaign.c.organization_id,
        mail_batch.c.campaign_id == campaign.c.campaign_id,
        mail_batch.c.state == "claimed",
    )
    statement = (
        update(campaign)
        .where(
            campaign.c.organization_id == organization_id,
            campaign.c.state == "sending",
            campaign.c.planned_at.is_not(None),
            or_(
                campaign.c.ab_test.is_(None),
                campaign.c.ab_winner.is_not(None),
                campaign.c.ab_test["test_percent"].as_integer() == ALL,
            ),
            ~left,
            ~in_blocks,
            ~under_way,
        )
        .values(state="sent", updated_at=func.now())
        .returning(campaign.c.campaign_id)
    )
    return list(connection.execute(statement).scalars())


def _is(organization_id: str, campaign_id: str) -> tuple[ColumnElement[bool], ...]:
    return campaign.c.organization_id == organization_id, campaign.c.campaign_id == campaign_id
