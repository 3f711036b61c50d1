"""Campaigns as the mailer sees them, and the changes of state that it makes itself."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, FromClause, Row, case, exists, func, select, update

from services.mailer.content import Wording
from shared.database.tables import campaign, mail_batch, message, organization
from shared.domain.delivery import PRIORITIES, campaign_must_pause
from shared.domain.schedule import Quiet

RUNNING = ("sending", "active")
OPEN = ("planned", "waiting")


@dataclass(frozen=True, slots=True)
class Organization:
    """What of an organization bears on its mails."""

    organization_id: str
    name: str
    currency: str
    time_zone: str
    sender_name: str
    sender_email: str
    postal_address: str
    quiet: Quiet | None


@dataclass(frozen=True, slots=True)
class Campaign:
    """A row of campaign; `priority` is resolved."""

    organization_id: str
    campaign_id: str
    type: str
    state: str
    version: int
    subject: str
    preview_text: str
    body: str
    body_format: str
    coupon_code: str | None
    grant_days: int | None
    audience: dict[str, Any]
    trigger: dict[str, Any] | None
    holdout_percent: int
    expires_after_hours: int
    priority: int
    respect_contact_time: bool
    send_at: datetime | None
    activated_at: datetime | None
    planned_at: datetime | None

    def wording(self, sender: Organization, sender_email: str) -> Wording:
        """What goes into its mails."""
        return Wording(
            sender=mailbox(sender.sender_name or sender.name, sender_email),
            organization_name=sender.name,
            postal_address=sender.postal_address,
            subject=self.subject,
            preview_text=self.preview_text,
            body=self.body,
            body_format=self.body_format,
        )


def mailbox(name: str, address: str) -> str:
    """`Name <address>`, the name in quotes where a comma or the like would break it."""
    plain = "".join(c for c in name if c.isprintable() and c not in '<>"\\').strip()
    if not plain:
        return address
    return f'"{plain}" <{address}>' if set(plain) & set(",;:@()[].") else f"{plain} <{address}>"


def priority_column(of: FromClause = campaign) -> ColumnElement[int]:
    """Smaller goes first."""
    return func.coalesce(of.c.priority, case(PRIORITIES, value=of.c.type, else_=max(PRIORITIES.values())))


def read_organization(connection: Connection, organization_id: str) -> Organization | None:
    """None when it does not exist."""
    row = connection.execute(select(organization).where(organization.c.organization_id == organization_id)).first()
    if row is None:
        return None
    quiet = (
        Quiet(row.quiet_from, row.quiet_until) if row.quiet_from is not None and row.quiet_until is not None else None
    )
    return Organization(
        organization_id,
        row.name,
        row.currency,
        row.time_zone,
        row.sender_name,
        row.sender_email,
        row.postal_address,
        quiet,
    )


def read_campaigns(connection: Connection, organization_id: str, *conditions: ColumnElement[bool]) -> list[Campaign]:
    """Those that fulfil the conditions, the most urgent first."""
    statement = (
        select(campaign, priority_column().label("rank"))
        .where(campaign.c.organization_id == organization_id, *conditions)
        .order_by("rank", campaign.c.campaign_id)
    )
    return [_campaign(row) for row in connection.execute(statement)]


def pause(connection: Connection, organization_id: str, campaign_id: str, why: str) -> None:
    """Stop a running campaign and say why; a marketer resumes it."""
    connection.execute(
        update(campaign)
        .where(*_is(organization_id, campaign_id), campaign.c.state.in_(RUNNING))
        .values(state="paused", error=why, failures_in_row=0, updated_at=func.now())
    )


def count_failure(connection: Connection, organization_id: str, campaign_id: str, why: str) -> int:
    """One more batch that did not go; too many in a row pause the campaign. How many it are by now."""
    failures: int = connection.execute(
        update(campaign)
        .where(*_is(organization_id, campaign_id))
        .values(failures_in_row=campaign.c.failures_in_row + 1)
        .returning(campaign.c.failures_in_row)
    ).scalar_one()
    if campaign_must_pause(failures):
        pause(connection, organization_id, campaign_id, f"{failures} batches in a row failed. Last: {why}")
    return failures


def count_success(connection: Connection, organization_id: str, campaign_id: str) -> None:
    """A batch went."""
    connection.execute(
        update(campaign)
        .where(*_is(organization_id, campaign_id), campaign.c.failures_in_row > 0)
        .values(failures_in_row=0)
    )


def finish(connection: Connection, organization_id: str) -> list[str]:
    """One-off campaigns with nothing left are sent; their ids."""
    left = exists().where(
        message.c.organization_id == campaign.c.organization_id,
        message.c.campaign_id == campaign.c.campaign_id,
        message.c.state.in_(OPEN),
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
            ~left,
            ~under_way,
        )
        .values(state="sent", updated_at=func.now())
        .returning(campaign.c.campaign_id)
    )
    return list(connection.execute(statement).scalars())


def _is(organization_id: str, campaign_id: str) -> tuple[ColumnElement[bool], ...]:
    return campaign.c.organization_id == organization_id, campaign.c.campaign_id == campaign_id


def _campaign(row: Row[Any]) -> Campaign:
    names = [name for name in Campaign.__dataclass_fields__ if name != "priority"]
    return Campaign(**{name: getattr(row, name) for name in names}, priority=row.rank)
