"""What a campaign's mail looks like: as one customer would get it, on the screen or as a test in one's own inbox."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

import msgspec
from pydantic import BaseModel, Field
from sqlalchemy import ColumnElement, Connection, select

from services.admin import audit, campaigns, idempotency
from services.admin.campaign_models import Content, Form
from services.admin.instants import Instant
from shared.database import direct_mails
from shared.database.campaigns import Campaign, Organization, read_campaigns, read_organization
from shared.database.tables import campaign, direct_mail
from shared.domain.event_fields import CustomerId, Email
from shared.domain.templating import compile_text, fill_line
from shared.errors import InvalidError, NotFoundError
from shared.keys import Key
from shared.mail.as_customer import read_person, values_as
from shared.mail.content import compiled

# Links of a preview lead nowhere: pressed by curiosity, they must unsubscribe nobody.
NOWHERE = "https://example.com/preview"
MOST_TESTS = 10
SHOWN = 50


class Preview(BaseModel):
    """A mail as one customer would get it."""

    customer_id: str | None
    subject: str
    ab_subjects: list[str] = Field(description="Those of its A/B test.")
    preview_text: str
    html: str
    text: str


class TestRequest(Form):
    """Where a test goes, and as whom it is written."""

    to: Annotated[list[Email], Field(min_length=1, max_length=MOST_TESTS)]
    as_customer: CustomerId | None = Field(None, description="null: as somebody of whom nothing is known.")


class TestsOf(BaseModel):
    """What an idempotency key stands for."""

    campaign_id: str
    wanted: TestRequest


class TestMail(BaseModel):
    """One test mail."""

    id: str
    to: str
    as_customer: str | None
    state: str = Field(description="planned, claimed, sent, failed or skipped.")
    reason: str | None
    detail: str | None = Field(description="What the provider said.")
    created_at: Instant
    sent_at: Instant | None


class TestMails(BaseModel):
    """Newest first."""

    items: list[TestMail]
    next_cursor: str | None = None


def preview(
    connection: Connection, organization_id: str, campaign_id: str, customer_id: str | None, now: datetime
) -> Preview:
    """Raises NotFoundError for a campaign or a customer that does not exist."""
    sender, wanted = read(connection, organization_id, campaign_id)
    return _rendered(connection, sender, wanted, customer_id, now)


def preview_draft(
    connection: Connection, organization_id: str, written: Content, customer_id: str | None, now: datetime
) -> Preview:
    """Of what is not saved yet. Raises InvalidError where saving it would, and NotFoundError for the customer."""
    campaigns.check(connection, organization_id, written, now)
    sender = read_organization(connection, organization_id)
    if sender is None:
        raise NotFoundError(f"There is no organization {organization_id!r}.")
    wanted = Campaign(
        organization_id=organization_id,
        campaign_id="",
        state="draft",
        version=0,
        priority=written.priority or 0,
        ab_winner=None,
        send_at=None,
        activated_at=None,
        planned_at=None,
        **written.model_dump(mode="json", exclude={"name", "priority"}),
    )
    return _rendered(connection, sender, wanted, customer_id, now)


def _rendered(
    connection: Connection, sender: Organization, wanted: Campaign, customer_id: str | None, now: datetime
) -> Preview:
    wording = wanted.wording(sender, sender.sender_email or "preview@example.com")
    content = compiled(msgspec.structs.replace(wording, tracked=False))
    person = read_person(connection, sender.organization_id, customer_id)
    values = values_as(connection, content, person, wanted, sender, now=now)
    values |= {"unsubscribe_url": NOWHERE, "preferences_url": NOWHERE}
    filled = content.filled(values)
    return Preview(
        customer_id=customer_id,
        subject=filled.subject,
        ab_subjects=[fill_line(subject, values) for subject in content.alternatives],
        preview_text=fill_line(compile_text(wanted.preview_text), values),
        html=filled.html,
        text=filled.text,
    )


def send_tests(
    connection: Connection,
    key: Key,
    campaign_id: str,
    wanted: TestRequest,
    *,
    now: datetime,
    request_key: str | None = None,
) -> TestMails:
    """Have the mailer send them, once for a request. Raises NotFoundError, and InvalidError for a customer that does
    not exist.
    """
    organization_id = key.organization_id
    campaigns.insist(connection, organization_id, campaign_id)
    try:
        read_person(connection, organization_id, wanted.as_customer)
    except NotFoundError as error:
        raise InvalidError(str(error), "as_customer") from None

    def request() -> str:
        ids = direct_mails.request(
            connection,
            organization_id,
            "test",
            dict.fromkeys(wanted.to),
            now=now,
            campaign_id=campaign_id,
            customer_id=wanted.as_customer,
        )
        audit.record(connection, key, "campaign.tested", f"campaign:{campaign_id}", mails=len(ids))
        return " ".join(map(str, ids))

    made = idempotency.once(connection, key, request_key, TestsOf(campaign_id=campaign_id, wanted=wanted), request)
    return _tests(connection, organization_id, direct_mail.c.mail_id.in_([*map(UUID, made.split())]))


def last_tests(connection: Connection, organization_id: str, campaign_id: str, most: int = SHOWN) -> TestMails:
    """The last ones. Raises NotFoundError."""
    campaigns.insist(connection, organization_id, campaign_id)
    return _tests(connection, organization_id, direct_mail.c.campaign_id == campaign_id, most)


def _tests(
    connection: Connection, organization_id: str, which: ColumnElement[bool], most: int = MOST_TESTS
) -> TestMails:
    wanted = (
        select(direct_mail)
        .where(direct_mail.c.organization_id == organization_id, which, direct_mail.c.kind == "test")
        .order_by(direct_mail.c.created_at.desc(), direct_mail.c.mail_id)
        .limit(most)
    )
    return TestMails(
        items=[
            TestMail(
                id=str(row.mail_id),
                to=row.email,
                as_customer=row.customer_id,
                state=row.state,
                reason=row.reason,
                detail=row.detail,
                created_at=row.created_at,
                sent_at=row.sent_at,
            )
            for row in connection.execute(wanted)
        ]
    )


def read(connection: Connection, organization_id: str, campaign_id: str) -> tuple[Organization, Campaign]:
    """Both as the mailer sees them. Raises NotFoundError."""
    sender = read_organization(connection, organization_id)
    found = read_campaigns(connection, organization_id, campaign.c.campaign_id == campaign_id)
    if sender is None or not found:
        raise NotFoundError(f"There is no campaign {campaign_id!r}.")
    return sender, found[0]
