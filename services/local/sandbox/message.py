"""A mail as it lies in the inbox, and how the API shows it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from services.local.sandbox.mail import Mail, as_list

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def to_ms(instant: datetime) -> int:
    return (instant - _EPOCH) // timedelta(milliseconds=1)


def from_ms(milliseconds: int) -> datetime:
    return _EPOCH + timedelta(milliseconds=milliseconds)


def iso(instant: datetime) -> str:
    """`2026-11-22T23:41:12.126Z`, as Resend writes instants."""
    return instant.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Event(msgspec.Struct, frozen=True):
    """A webhook that was sent about a message; `answered` is the receiver's HTTP status."""

    type: str
    at: str
    webhook_id: str
    answered: int


class Message(msgspec.Struct, frozen=True):
    """A kept mail. `last_event` is the type of the newest webhook about it, `email.sent` before any."""

    seq: int
    id: str
    received_at: datetime
    idempotency_key: str | None
    mail: Mail
    last_event: str

    def shown(self) -> dict[str, Any]:
        """The item of `GET /messages`."""
        mail = self.mail
        return {
            "id": self.id,
            "to": as_list(mail.to),
            "from": mail.sender,
            "subject": mail.subject,
            "html": mail.html,
            "text": mail.text,
            "headers": mail.headers or {},
            "received_at": iso(self.received_at),
            "idempotency_key": self.idempotency_key,
            "cc": as_list(mail.cc),
            "bcc": as_list(mail.bcc),
            "reply_to": as_list(mail.reply_to),
            "tags": mail.tag_values,
            "attachments": [{"filename": a.filename, "content_type": a.content_type} for a in mail.attachments or ()],
            "scheduled_at": mail.scheduled_at,
            "last_event": self.last_event,
        }
