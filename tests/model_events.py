"""Events as the model reads them: what is refused, what may be there once, and which of two is the newer."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

Event = dict[str, Any]
Key = tuple[datetime, str, str]
"""When an event happened, and what decides between equal instants: its source and its id."""

MAX_BYTES = 1_000_000

ONCE_A_SALE = {
    "sale.refunded": "refund_id",
    "coupon.redeemed": "coupon_code",
    "coupon.redemption_reversed": "coupon_code",
}

TYPES = {
    "sale.completed",
    "sale.voided",
    *ONCE_A_SALE,
    "customer.upserted",
    "customer.consent_changed",
    "customer.merged",
    "customer.erased",
}

OURS = {"mail.opened", "mail.clicked"}


def read(given: Event | bytes) -> Event | str:  # noqa: PLR0911 - a return each reason
    """The event, or the code of its refusal: as much of the contract as the tests break. Tills send bytes."""
    types = TYPES if isinstance(given, bytes) else TYPES | OURS
    if isinstance(given, bytes):
        if len(given) > MAX_BYTES:
            return "too_large"
        try:
            given = json.loads(given.decode())
        except UnicodeDecodeError:
            return "invalid_utf8"
        except ValueError:
            return "invalid_json"
        if not isinstance(given, dict):
            return "invalid_json"
    if given.get("specversion") != "1.0":
        return "unsupported_specversion"
    if given.get("type") not in types:
        return "unknown_type"
    data: Any = given.get("data")
    total = data.get("total", 0) if isinstance(data, dict) else None
    if not isinstance(total, int) or total < 0 or not isinstance(given.get("id"), str):
        return "invalid_field"
    lines = data.get("lines") if isinstance(data, dict) else None
    if lines and sum(line["total"] for line in lines) - data.get("discount", 0) != total:
        return "lines_total"
    return given


def entry_of(event: Event) -> tuple[str, ...] | None:
    """What may be there once, under whatever event id: a sale, a void of it, a refund, a redemption, a reversal."""
    data, kind = event["data"], event["type"]
    if not kind.startswith(("sale.", "coupon.")):
        return None
    return (data["organization_id"], kind, data["sale_id"], data.get(ONCE_A_SALE.get(kind, ""), ""))


def use_of(event: Event) -> tuple[str, str]:
    return event["data"]["coupon_code"], event["data"]["sale_id"]


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text)


def at(event: Event) -> datetime:
    return instant(event["time"])


def key(event: Event) -> Key:
    return at(event), event["source"], event["id"]
