"""Resend's webhooks: verified, and put into our words (https://resend.com/docs/webhooks/event-types)."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

from resend import Webhooks

from services.ingest.feedback import Feedback, Kind
from shared.domain.machines import Fetch, gives_itself_away
from shared.errors import InvalidError, SetupError

# Resend sends nothing to an address that bounced or complained before: it keeps a list of its own.
SUPPRESSED: Final = "email.suppressed"
KINDS: Final[dict[str, Kind]] = {
    "email.delivered": "delivered",
    "email.opened": "opened",
    "email.clicked": "clicked",
    "email.bounced": "bounced",
    "email.complained": "complained",
    "email.failed": "failed",
    SUPPRESSED: "failed",
}
# Where each type's own words stand.
DETAILS: Final = {
    "email.clicked": "click",
    "email.opened": "open",
    "email.bounced": "bounce",
    "email.failed": "failed",
    SUPPRESSED: "suppressed",
}
LONGEST_LINK: Final = 8_000
LONGEST_REASON: Final = 500


class Webhook(NamedTuple):
    """One verified webhook about a mail of ours. `webhook_id` is the same at each delivery of the same news."""

    webhook_id: str
    organization_id: str
    message_id: UUID
    news: Feedback


def check_secret(secret: str) -> None:
    """Raise SetupError for a secret that could never verify anything."""
    try:
        if base64.b64decode(secret.removeprefix("whsec_"), validate=True):
            return
    except binascii.Error:
        pass
    raise SetupError("Setting REGULARS_WEBHOOK_SECRET is wrong: give whsec_ and base64, as Resend's console shows it.")


def verify(body: bytes, headers: Mapping[str, str], secret: str) -> dict[str, Any]:
    """The payload, if Resend signed it within the last five minutes; else InvalidError."""
    signed: dict[str, Any] = {
        "payload": body.decode("utf-8", "replace"),
        "headers": {part: headers.get(f"svix-{part}", "") for part in ("id", "timestamp", "signature")},
        "webhook_secret": secret,
    }
    try:
        payload: Any = Webhooks.verify(signed)  # type: ignore[arg-type]
    except ValueError as error:
        raise InvalidError(
            f"The signature is not good: {error}. Compare REGULARS_WEBHOOK_SECRET with the webhook's in Resend",
            code="bad_signature",
        ) from None
    return payload if isinstance(payload, dict) else {}


def read(payload: Mapping[str, Any], webhook_id: str, now: datetime) -> Webhook | None:
    """What a verified payload says about a mail of ours; None when it is about something else."""
    said = str(payload.get("type"))
    kind = KINDS.get(said)
    data = payload.get("data")
    if kind is None or not isinstance(data, dict):
        return None
    tags = _tags(data.get("tags"))
    try:
        organization_id, message_id = tags["organization_id"], UUID(tags["message_id"])
    except (KeyError, ValueError):
        return None
    detail = data.get(DETAILS.get(said, ""))
    detail = detail if isinstance(detail, dict) else {}
    news = Feedback(
        kind,
        _instant(detail.get("timestamp") or payload.get("created_at"), now),
        str(data["email_id"]) if data.get("email_id") else None,
        "bounce" if said == SUPPRESSED else _reason_to_suppress(kind, detail),
        _by_machine(detail),
        str(detail["link"])[:LONGEST_LINK] if detail.get("link") else None,
        _why(kind, detail),
    )
    return Webhook(webhook_id, organization_id, message_id, news)


def _tags(given: Any) -> dict[str, str]:
    """Resend sends an object; lists of name and value, as tags are given to its API, are read too."""
    if isinstance(given, list):
        return {
            str(tag["name"]): str(tag["value"])
            for tag in given
            if isinstance(tag, dict) and {*tag} >= {"name", "value"}
        }
    return {str(name): str(value) for name, value in given.items()} if isinstance(given, dict) else {}


def _instant(given: Any, now: datetime) -> datetime:
    """When it happened; never later than now."""
    try:
        at = datetime.fromisoformat(str(given))
    except ValueError:
        return now
    return min(at if at.tzinfo else at.replace(tzinfo=UTC), now)


def _reason_to_suppress(kind: Kind, detail: Mapping[str, Any]) -> Any:
    if kind == "complained":
        return "complaint"
    # A full mailbox or a greylisting server may take the next mail.
    return "bounce" if kind == "bounced" and detail.get("type") == "Permanent" else None


def _why(kind: Kind, detail: Mapping[str, Any]) -> str | None:
    """What Resend says of a mail that did not arrive."""
    said = (detail.get("reason") or detail.get("message")) if kind in {"bounced", "failed"} else None
    why = "".join(filter(str.isprintable, said if isinstance(said, str) else ""))[:LONGEST_REASON]
    return why or ("Resend could not send it, and gave no reason." if kind == "failed" else None)


def _by_machine(detail: Mapping[str, Any]) -> bool:
    """By the user agent alone, where Resend tells it: when the mail was delivered, another clock says."""
    user_agent = detail.get("userAgent")
    return isinstance(user_agent, str) and gives_itself_away(Fetch(user_agent))
