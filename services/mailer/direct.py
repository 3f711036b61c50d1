"""Mails to one address, outside of campaigns: tests and verifications. Sent one by one, each under its own key.

What a mail is rendered from is stored before the call, so a second call after a crash has the same bytes, and a
provider that knows keys sends it once.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, Row, bindparam, case, exists, func, select, update

from services.mailer import verifications
from services.mailer.batches import LEASE, Letters, store_content
from services.mailer.content import Writer
from services.mailer.provider import Accepted, Mails, Outcome, Refused, Retry
from shared.database.campaigns import Organization, read_campaigns, read_organization
from shared.database.tables import campaign, direct_mail, mail_content, suppression
from shared.domain.delivery import KEY_LASTS, backoff
from shared.domain.gates import Reason
from shared.errors import RegularsError
from shared.logging import logger
from shared.mail.as_customer import read_person, values_as
from shared.mail.content import Content, compiled, from_json

log = logger(__name__)

OPEN: Final = ("planned", "claimed")
# What is claimed is due when its lease ends, by the database's clock, as a batch's.
DUE: Final = (
    select(direct_mail)
    .where(
        direct_mail.c.organization_id == bindparam("organization_id"),
        direct_mail.c.state.in_(OPEN),
        direct_mail.c.due_at <= case((direct_mail.c.state == "planned", bindparam("now")), else_=func.now()),
    )
    .order_by(direct_mail.c.due_at)
    .limit(1)
    .with_for_update(skip_locked=True)
)
NO_SENDER: Final = "No sender address. Set the organization's sender_email (or RESEND_FROM_EMAIL)."


class CannotBeWritten(RegularsError):  # noqa: N818 - it is a reason, told to the marketer
    """There is nothing to send, and never will be."""


@dataclass(frozen=True, slots=True)
class Direct:
    """A claimed mail."""

    organization_id: str
    mail_id: uuid.UUID
    kind: str
    email: str
    content: Content
    variables: dict[str, str]
    attempts: int
    created_at: datetime

    def mails(self, writer: Writer) -> Mails:
        """The one, as it goes to the provider."""
        variables = {name: [value] for name, value in self.variables.items()}
        letters = Letters([str(self.mail_id)], [""], [self.email], variables, [None])
        if self.kind == "verification":
            return writer.verification(self.content, self.organization_id, letters)
        return writer.mails(self.content, self.organization_id, letters, self.kind)


Write = Callable[[Connection, Organization, Row[Any], str, datetime], tuple[Content, dict[str, str]]]
"""From (connection, organization, row, sender address, now) to the content and the values of its variables."""


def claim(connection: Connection, organization_id: str, *, from_email: str, now: datetime) -> Direct | None:
    """The next mail that is due, rendered and leased; the caller commits before it is sent. What cannot be sent is
    ended on the way.
    """
    while (row := _next(connection, organization_id, now)) is not None:
        if row.state == "claimed":
            return _again(connection, row)
        if _suppressed(connection, row):
            _end(connection, row, state="skipped", reason=str(Reason.SUPPRESSED))
            continue
        try:
            content, variables = _written(connection, row, from_email, now)
        except RegularsError as error:
            _end(connection, row, state="failed", reason="not_written", detail=str(error))
            continue
        content_id = store_content(connection, organization_id, content)
        values = {"content_id": content_id, "variables": variables, "attempts": 1, "due_at": func.now() + LEASE}
        _set(connection, organization_id, row.mail_id, state="claimed", **values)
        kept = (row.kind, row.email, content, variables, 1, row.created_at)
        return Direct(organization_id, row.mail_id, *kept)
    return None


def record(connection: Connection, sent: Direct, outcome: Outcome, now: datetime) -> None:
    """Write down how the call ended."""
    keep = (connection, sent.organization_id, sent.mail_id)
    if isinstance(outcome, Accepted) and outcome.again:
        outcome = Retry(next(iter(outcome.again.values())) or "", in_doubt=False)
    match outcome:
        case Accepted(ids, refused) if not refused:
            _set(*keep, state="sent", sent_at=now, provider_id=ids.get(0), detail=None)
        case Accepted(_, refused):
            _set(*keep, state="failed", reason="provider_refused", detail=next(iter(refused.values())))
        case Refused(why):
            _set(*keep, state="failed", reason="provider_refused", detail=why)
        case _:
            # What was wrong may be mended: the same call again, for as long as the provider remembers the key.
            delay = backoff(sent.attempts, random.random(), getattr(outcome, "after", None))  # noqa: S311 - spreads retries
            if now + timedelta(seconds=delay) >= sent.created_at + KEY_LASTS:
                _set(*keep, state="failed", reason="in_doubt", detail=outcome.why)
            else:
                _set(*keep, due_at=func.now() + timedelta(seconds=delay), detail=outcome.why)
            log.warning("direct_mail.put_off", why=outcome.why, organization_id=sent.organization_id)


def next_due(connection: Connection, organization_id: str, now: datetime) -> datetime | None:
    """When to look again."""
    wanted = select(
        func.min(direct_mail.c.due_at).filter(direct_mail.c.state == "planned"),
        func.min(direct_mail.c.due_at - func.now()).filter(direct_mail.c.state == "claimed"),
    ).where(direct_mail.c.organization_id == organization_id, direct_mail.c.state.in_(OPEN))
    due, lease = connection.execute(wanted).one()
    return min([at for at in (due, None if lease is None else now + lease) if at is not None], default=None)


def _next(connection: Connection, organization_id: str, now: datetime) -> Row[Any] | None:
    return connection.execute(DUE, {"organization_id": organization_id, "now": now}).first()


def _again(connection: Connection, row: Row[Any]) -> Direct:
    """A call that did not tell how it ended, or was put off: the same bytes under the same key."""
    stored = select(mail_content.c.content).where(
        mail_content.c.organization_id == row.organization_id, mail_content.c.content_id == row.content_id
    )
    content = from_json(connection.execute(stored).scalar_one())
    attempts = row.attempts + 1
    _set(connection, row.organization_id, row.mail_id, attempts=attempts, due_at=func.now() + LEASE)
    kept = (row.kind, row.email, content, row.variables or {}, attempts, row.created_at)
    return Direct(row.organization_id, row.mail_id, *kept)


def _suppressed(connection: Connection, row: Row[Any]) -> bool:
    found = exists().where(
        suppression.c.organization_id == row.organization_id, suppression.c.email == row.email.lower()
    )
    return bool(connection.execute(select(found)).scalar_one())


def _written(connection: Connection, row: Row[Any], from_email: str, now: datetime) -> tuple[Content, dict[str, str]]:
    sender = read_organization(connection, row.organization_id)
    write = KINDS.get(row.kind)
    if sender is None or write is None:
        raise CannotBeWritten(f"This mailer knows no mail of kind {row.kind!r}: it is older than who asked for it.")
    email = sender.sender_email or from_email
    if not email:
        raise CannotBeWritten(NO_SENDER)
    return write(connection, sender, row, email, now)


def _test(
    connection: Connection, sender: Organization, row: Row[Any], email: str, now: datetime
) -> tuple[Content, dict[str, str]]:
    found = read_campaigns(connection, row.organization_id, campaign.c.campaign_id == row.campaign_id)
    if not found:
        raise CannotBeWritten("The campaign was deleted.")
    wording = found[0].wording(sender, email)
    content = compiled(msgspec.structs.replace(wording, subject=f"[Test] {wording.subject}", tracked=False))
    person = read_person(connection, row.organization_id, row.customer_id)
    return content, values_as(connection, content, person, found[0], sender, now=now)


KINDS: Final[dict[str, Write]] = {"test": _test, "verification": verifications.content}


def _end(connection: Connection, row: Row[Any], **values: Any) -> None:
    _set(connection, row.organization_id, row.mail_id, **values)


def _set(connection: Connection, organization_id: str, mail_id: uuid.UUID, **values: Any) -> None:
    connection.execute(
        update(direct_mail)
        .where(direct_mail.c.organization_id == organization_id, direct_mail.c.mail_id == mail_id)
        .values(**values)
    )
