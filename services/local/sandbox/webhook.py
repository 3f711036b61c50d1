"""Webhooks back to the sender of a mail: Resend's bodies under Svix's signature."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from datetime import datetime
from html import unescape
from typing import Any, Literal

import httpx
import msgspec

from services.local.sandbox.answer import RefusedError
from services.local.sandbox.mail import as_list
from services.local.sandbox.message import Message, iso
from shared.errors import SetupError

EventType = Literal[
    "email.sent",
    "email.delivered",
    "email.delivery_delayed",
    "email.opened",
    "email.clicked",
    "email.bounced",
    "email.complained",
    "email.failed",
]
TIMEOUT = 15.0  # seconds; Svix's own

_FIRST_LINK = re.compile(r"""<a\s[^>]*?href\s*=\s*["'](https?://[^"']+)["']""", re.IGNORECASE)
_BROWSER = (
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0 Safari"
)


class Order(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """The body of `POST /messages/{id}/events`. What is left out is filled in as a real event would have it;
    `webhook_id` repeats an earlier webhook, as Svix does after a failure.
    """

    type: EventType
    webhook_id: str | None = None
    link: str | None = None
    user_agent: str = _BROWSER
    ip_address: str = "127.0.0.1"
    bounce_type: Literal["Permanent", "Transient", "Undetermined"] = "Permanent"
    bounce_sub_type: str = "General"
    bounce_message: str = "The recipient's mail server refused the address. (Ordered in the sandbox.)"


class Answered(msgspec.Struct, frozen=True):
    """What the receiver said; `accepted` is whether Svix would take it as received (2xx)."""

    webhook_id: str
    type: str
    status: int
    accepted: bool
    body: str


def payload(message: Message, order: Order, now: datetime) -> dict[str, Any]:
    """The event as Resend writes it (https://resend.com/docs/webhooks/event-types)."""
    mail = message.mail
    data: dict[str, Any] = {
        "created_at": iso(message.received_at),
        "email_id": message.id,
        "message_id": f"<{message.id}@sandbox.invalid>",
        "from": mail.sender,
        "to": as_list(mail.to),
        "subject": mail.subject,
        "tags": mail.tag_values,
        "headers": [{"name": name, "value": value} for name, value in (mail.headers or {}).items()],
    }
    if order.type == "email.clicked":
        data["click"] = {
            "ipAddress": order.ip_address,
            "link": order.link or first_link(mail.html or "") or "https://example.com/",
            "timestamp": iso(now),
            "userAgent": order.user_agent,
        }
    elif order.type == "email.bounced":
        data["bounce"] = {
            "type": order.bounce_type,
            "subType": order.bounce_sub_type,
            "message": order.bounce_message,
        }
    elif order.type == "email.failed":
        data["failed"] = {"reason": "ordered_in_the_sandbox"}
    return {"type": order.type, "created_at": iso(now), "data": data}


def first_link(html: str) -> str | None:
    """What a customer would most likely click."""
    found = _FIRST_LINK.search(html)
    return unescape(found[1]) if found else None


class Signer:
    """Svix's scheme, version 1 (https://docs.svix.com/receiving/verifying-payloads/how-manual)."""

    def __init__(self, secret: str) -> None:
        try:
            self._key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
        except binascii.Error as error:
            message = "Setting REGULARS_WEBHOOK_SECRET is wrong: give whsec_ and base64, as Resend's console shows it."
            raise SetupError(message) from error

    def headers(self, webhook_id: str, body: bytes, now: datetime) -> dict[str, str]:
        timestamp = str(int(now.timestamp()))
        signed = b".".join((webhook_id.encode(), timestamp.encode(), body))
        signature = base64.b64encode(hmac.digest(self._key, signed, hashlib.sha256)).decode()
        return {
            "content-type": "application/json",
            "user-agent": "Svix-Webhooks/regulars-sandbox",
            "svix-id": webhook_id,
            "svix-timestamp": timestamp,
            "svix-signature": f"v1,{signature}",
        }


class Webhook:
    """Sends events to one URL."""

    def __init__(self, url: str, secret: str, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self._url = url
        self._signer = Signer(secret)
        self._client = httpx.AsyncClient(transport=transport, timeout=TIMEOUT)

    async def close(self) -> None:
        await self._client.aclose()

    async def send(self, message: Message, order: Order, webhook_id: str, now: datetime) -> Answered:
        """Raises RefusedError 502 where nobody answers."""
        body = msgspec.json.encode(payload(message, order, now))
        try:
            response = await self._client.post(
                self._url, content=body, headers=self._signer.headers(webhook_id, body, now)
            )
        except httpx.HTTPError as error:
            problem = str(error) or type(error).__name__
            text = f"No answer from the webhook's receiver at {self._url}: {problem}. Is ingest running?"
            raise RefusedError(502, "webhook_unreachable", text) from error
        return Answered(webhook_id, order.type, response.status_code, response.is_success, response.text[:10_000])
