"""What came back about a mail, written into the ledger of mail: the same result in whatever order and how often."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal, NamedTuple
from uuid import UUID

from sqlalchemy import Column, ColumnElement, Connection, case, func, literal, null, select, text, update

from services.ingest.records import Record, event_record
from shared import metrics
from shared.database.suppressions import Suppressed, suppress
from shared.database.tables import customer, direct_mail, message
from shared.domain.bounces import IN_A_ROW

Kind = Literal["failed", "delivered", "opened", "clicked", "bounced", "complained", "unsubscribed"]

# A message's state only moves to the right, however late the news of an earlier one arrives. It may be here before the
# mailer has written down that the mail went; and a call that was given up may have sent it all the same.
STATES: Final = ("planned", "skipped", "claimed", "sent", "failed", "delivered", "bounced", "complained")
ERASED: Final = "erased:"
# The reason of a mail that the provider took and then could not send.
FAILED: Final = "provider_failed"

# The day of a mail that never went is its customer's again.
GIVE_BACK: Final = text("""
    UPDATE mail_slot SET last_on = previous_on, previous_on = NULL
    FROM message LEFT JOIN customer_merge ON customer_merge.organization_id = :organization_id
        AND customer_merge.customer_id = message.customer_id
    WHERE message.organization_id = :organization_id AND message.message_id = :message_id AND message.state = 'failed'
        AND mail_slot.organization_id = :organization_id
        AND mail_slot.customer_id = coalesce(customer_merge.root_customer_id, message.customer_id)
        AND mail_slot.campaign_id = message.campaign_id AND mail_slot.occasion = message.occasion
        AND mail_slot.previous_on IS NOT NULL
""")


@dataclass(frozen=True, slots=True)
class Feedback:
    """One piece of news about a mail. `suppress` is the reason for never mailing that address again (for a bounce
    without one: that it was one too many), `detail` what was said of a mail that did not arrive.
    """

    kind: Kind
    at: datetime
    email_id: str | None = None
    suppress: Literal["bounce", "complaint", "unsubscribe"] | None = None
    machine: bool = False
    link: str | None = None
    detail: str | None = None


class Mail(NamedTuple):
    """The mail that a piece of news is about; `at` is when it happened first, `email` None when none is known."""

    organization_id: str
    message_id: str
    campaign_id: str
    customer_id: str
    email: str | None
    at: datetime

    @property
    def erased(self) -> bool:
        """Whether its customer was: then nothing may be told of them any more."""
        return self.customer_id.startswith(ERASED)


def record(connection: Connection, organization_id: str, message_id: UUID, news: Feedback) -> Mail | None:
    """Note it on the message, and suppress the address where that follows. None for a message we do not know."""
    column = _column(news)
    changes: dict[str, Any] = {
        "sent_at": func.coalesce(message.c.sent_at, news.at),
        "provider_id": func.coalesce(message.c.provider_id, news.email_id),
        "updated_at": func.now(),
    }
    if column is not None:
        # The earliest wins; LEAST passes over null.
        changes[column.name] = func.least(column, news.at)
    if news.kind in STATES:
        moves = message.c.state.in_(STATES[: STATES.index(news.kind)])
        changes["state"] = case((moves, news.kind), else_=message.c.state)
        changes["reason"] = case((moves, FAILED if news.kind == "failed" else null()), else_=message.c.reason)
        changes["detail"] = case((moves, news.detail), else_=message.c.detail)
    if news.kind == "failed":
        changes["sent_at"] = case((moves, null()), else_=message.c.sent_at)
    its = message.c.organization_id == organization_id, message.c.message_id == message_id
    statement = (
        update(message)
        .where(*its)
        .values(changes)
        .returning(
            message.c.campaign_id,
            message.c.customer_id,
            _address().label("email"),
            literal(news.at) if column is None else column,
        )
    )
    was = connection.execute(select(message.c.state).where(*its).with_for_update()).scalar()
    row = connection.execute(statement).first()
    if row is None:
        return None
    if news.kind in STATES and was in STATES[: STATES.index(news.kind)]:
        metrics.mails.labels(news.kind, FAILED if news.kind == "failed" else news.suppress or "").inc()
    if news.kind == "failed":
        connection.execute(GIVE_BACK, {"organization_id": organization_id, "message_id": message_id})
    mail = Mail(organization_id, str(message_id), *row)
    reason = news.suppress
    if news.kind == "bounced" and reason is None and _keeps_bouncing(connection, mail):
        reason = "bounce"
    if reason is not None and mail.email:
        suppress(connection, organization_id, [Suppressed(mail.email, reason, news.at)])
    return mail


def _keeps_bouncing(connection: Connection, mail: Mail) -> bool:
    """Whether the last mails to its address all came back."""
    last = (
        select(message.c.bounced_at)
        .where(
            message.c.organization_id == mail.organization_id,
            message.c.customer_id == mail.customer_id,
            message.c.sent_at.is_not(None),
            func.lower(message.c.email) == func.lower(mail.email),
        )
        .order_by(message.c.sent_at.desc())
        .limit(IN_A_ROW)
        .subquery()
    )
    bounced: int = connection.execute(select(func.count(last.c.bounced_at))).scalar_one()
    return bounced == IN_A_ROW


def record_direct(connection: Connection, organization_id: str, mail_id: UUID, news: Feedback) -> bool:
    """The same for a mail outside of campaigns, a verification say: its address is suppressed where that follows, and
    that it came back is its end. Whether there is such a mail.
    """
    its = (direct_mail.c.organization_id == organization_id, direct_mail.c.mail_id == mail_id)
    email = connection.execute(select(direct_mail.c.email).where(*its)).scalar()
    if email is not None and news.suppress is not None:
        suppress(connection, organization_id, [Suppressed(email, news.suppress, news.at)])
    if email is not None and (news.suppress is not None or news.kind == "failed"):
        reason = FAILED if news.kind == "failed" else news.kind
        connection.execute(update(direct_mail).where(*its).values(state="failed", reason=reason, detail=news.detail))
    return email is not None


def is_known(connection: Connection, organization_id: str, message_id: UUID) -> bool:
    """Whether there is such a mail."""
    wanted = select(message.c.message_id).where(
        message.c.organization_id == organization_id, message.c.message_id == message_id
    )
    return connection.execute(wanted).first() is not None


def consents_since(connection: Connection, mail: Mail) -> bool:
    """Whether its customer has consented since what the news tells."""
    wanted = select(customer.c.customer_id).where(
        customer.c.organization_id == mail.organization_id,
        customer.c.customer_id == mail.customer_id,
        customer.c.marketing_consent,
        customer.c.consent_at > mail.at,
    )
    return connection.execute(wanted).first() is not None


def went_at(connection: Connection, organization_id: str, message_id: UUID) -> datetime | None:
    """When a mail was delivered, else sent, as far as is known."""
    wanted = select(func.coalesce(message.c.delivered_at, message.c.sent_at)).where(
        message.c.organization_id == organization_id, message.c.message_id == message_id
    )
    return connection.execute(wanted).scalar()


def _column(news: Feedback) -> Column[Any] | None:
    """Where it is noted; a machine's clicks have a table of their own."""
    if news.machine:
        return message.c.machine_opened_at if news.kind == "opened" else None
    return None if news.kind == "failed" else message.c[f"{news.kind}_at"]


def _address() -> ColumnElement[str | None]:
    """Where it went. News may be here before the mailer has written that down: then the customer's present address is
    nearer to it than the one that the mail was planned with.
    """
    present = (
        select(customer.c.email)
        .where(customer.c.organization_id == message.c.organization_id, customer.c.customer_id == message.c.customer_id)
        .scalar_subquery()
    )
    return func.coalesce(case((message.c.batch_id.is_not(None), message.c.email)), present, message.c.email)


def mail_event(mail: Mail, news: Feedback, event_id: str) -> Record:
    """The `mail.*` event of a piece of news, for Kafka."""
    data: dict[str, Any] = {
        "organization_id": mail.organization_id,
        "message_id": mail.message_id,
        "campaign_id": mail.campaign_id,
        "customer_id": mail.customer_id,
    }
    if news.email_id is not None:
        data["email_id"] = news.email_id
    if news.kind in ("opened", "clicked"):
        data["machine"] = news.machine
    if news.kind == "clicked":
        # A provider may tell of a click without its link, or with what no event may hold.
        data["link"] = "".join(filter(str.isprintable, news.link or "")) or "unknown"
    return event_record(mail.organization_id, f"mail.{news.kind}", event_id, news.at, data)
