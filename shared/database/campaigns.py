"""Campaigns and organizations as their mails see them: what planning, sending and previews read."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, FromClause, Row, bindparam, case, func, select

from shared.database.tables import campaign, organization
from shared.domain.delivery import PRIORITIES
from shared.domain.schedule import Quiet
from shared.mail.content import Wording


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
    tracks_mail: bool


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
    unique_codes: bool
    grant_days: int | None
    audience: dict[str, Any]
    trigger: dict[str, Any] | None
    holdout_percent: int
    expires_after_hours: int
    priority: int
    respect_contact_time: bool
    ab_test: dict[str, Any] | None
    ab_winner: int | None
    send_at: datetime | None
    activated_at: datetime | None
    planned_at: datetime | None

    def wording(self, sender: Organization, sender_email: str) -> Wording:
        """What goes into its mails: to the rest of an A/B test the winner's subject."""
        subjects = tuple(self.ab_test["subjects"]) if self.ab_test else ()
        is_decided = self.ab_winner is not None and 0 <= self.ab_winner < len(subjects)
        return Wording(
            sender=mailbox(sender.sender_name or sender.name, sender_email),
            organization_name=sender.name,
            postal_address=sender.postal_address,
            subject=subjects[self.ab_winner or 0] if is_decided else self.subject,
            alternatives=subjects,
            preview_text=self.preview_text,
            body=self.body,
            body_format=self.body_format,
            tracked=sender.tracks_mail,
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


# Made once: mailers read them every cycle.
ORGANIZATION: Final = select(organization).where(organization.c.organization_id == bindparam("organization_id"))
CAMPAIGNS: Final = (
    select(campaign, priority_column().label("rank"))
    .where(campaign.c.organization_id == bindparam("organization_id"))
    .order_by("rank", campaign.c.campaign_id)
)
NAMES: Final = [each.name for each in fields(Campaign) if each.name != "priority"]


def read_organization(connection: Connection, organization_id: str) -> Organization | None:
    """None when it does not exist."""
    row = connection.execute(ORGANIZATION, {"organization_id": organization_id}).first()
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
        row.tracks_mail,
    )


def read_campaigns(
    connection: Connection, organization_id: str, *conditions: ColumnElement[bool], locked: bool = False
) -> list[Campaign]:
    """Those that fulfil the conditions, the most urgent first. `locked`: none of them changes before the transaction
    ends.
    """
    statement = CAMPAIGNS.where(*conditions)
    if locked:
        statement = statement.with_for_update(read=True)
    return [_campaign(row) for row in connection.execute(statement, {"organization_id": organization_id})]


def _campaign(row: Row[Any]) -> Campaign:
    return Campaign(**{name: getattr(row, name) for name in NAMES}, priority=row.rank)
