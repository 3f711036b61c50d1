"""What happened to a customer, in words: an entry of the timeline as a line that a marketer reads."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final, NamedTuple

from services.admin.memberships import Label
from services.admin.timeline import Happening
from shared.domain.money import format_money
from shared.wording import counted

NAMED: Final = 3  # products of a sale that are named
Words = tuple[str, str]
MAILS: Final = {
    "sent": "was sent",
    "delivered": "was delivered",
    "opened": "was opened",
    "machine_opened": "was fetched by a machine: nobody may have read it",
    "clicked": "was clicked",
    "bounced": "bounced",
    "complained": "was reported as spam",
    "unsubscribed": "made them unsubscribe",
}
CAUSES: Final = {
    "event": "by what happened",
    "time": "because time passed",
    "backfill": "when the segment was filled",
    "edit": "by an edit of the list",
}
UNTOLD: Final = {"organization_id", "customer_id", "store_id", "terminal_id"}


class Line(NamedTuple):
    """One entry: what happened, and more of it in small print."""

    at: datetime
    kind: str
    what: str
    more: str
    color: str = ""


def told(entry: Happening, currency: str, segments: Mapping[str, Label]) -> Line:
    """Of any entry; one of a kind that is new here is told by its type."""
    family, _, kind = entry.type.partition(".")
    detail = entry.detail
    if family == "segment":
        label = segments.get(detail["segment_id"], Label(f"{detail['segment_id']} (deleted)", ""))
        what = f"{'Entered' if kind == 'entered' else 'Left'} {label.name}"
        return Line(entry.at, family, what, CAUSES.get(detail.get("cause", ""), ""), label.color)
    if family == "mail":
        campaign = detail.get("campaign") or "that is no longer known"
        return Line(entry.at, family, f"The mail “{campaign}” {MAILS.get(kind, kind)}", detail.get("link", ""))
    tell = TELLERS.get(entry.type)
    if tell is None:
        return Line(entry.at, family, entry.type.replace(".", " ").replace("_", " ").capitalize(), "")
    return Line(entry.at, family, *tell(detail, currency))


def _sale(detail: Mapping[str, Any], currency: str) -> Words:
    what = f"Bought for {format_money(detail.get('amount', 0), currency)}{_at(detail)}"
    if detail.get("discount"):
        what += f", after a discount of {format_money(detail['discount'], currency)}"
    return what, _lines(detail)


def _refund(detail: Mapping[str, Any], currency: str) -> Words:
    amount = format_money(detail.get("amount", 0), currency)
    return f"Got {amount} back for sale {detail.get('sale_id', '')}", _lines(detail)


def _void(detail: Mapping[str, Any], currency: str) -> Words:
    del currency
    return f"Sale {detail.get('sale_id', '')} was voided", "It counts no longer."


def _redeemed(detail: Mapping[str, Any], currency: str) -> Words:
    saved = format_money(detail.get("amount", 0), currency)
    return f"Redeemed the coupon {_code(detail)}{_at(detail)}", f"Saved {saved} in sale {detail.get('sale_id', '')}"


def _reversed(detail: Mapping[str, Any], currency: str) -> Words:
    del currency
    return f"Got the use of the coupon {_code(detail)} back", f"Of sale {detail.get('sale_id', '')}"


def _upserted(detail: Mapping[str, Any], currency: str) -> Words:
    del currency
    fields = [name.replace("_", " ") for name in sorted(set(detail.get("payload", {})) - UNTOLD)]
    return "The profile was changed" if fields else "Became known", ", ".join(fields)


def _consent(detail: Mapping[str, Any], currency: str) -> Words:
    del currency
    payload = detail.get("payload", {})
    what = "Agreed to marketing mail" if payload.get("marketing_consent") else "Withdrew the consent to marketing mail"
    wording = payload.get("wording")
    parts = [payload.get("where"), f"“{wording}”" if wording else None]
    return what, ": ".join(part for part in parts if part)


def _merged(detail: Mapping[str, Any], currency: str) -> Words:
    del currency
    return f"{detail.get('payload', {}).get('customer_id', 'Another id')} was merged into this customer", ""


TELLERS: Final[dict[str, Callable[[Mapping[str, Any], str], Words]]] = {
    "sale.completed": _sale,
    "sale.refunded": _refund,
    "sale.voided": _void,
    "coupon.redeemed": _redeemed,
    "coupon.redemption_reversed": _reversed,
    "customer.upserted": _upserted,
    "customer.consent_changed": _consent,
    "customer.merged": _merged,
}


def _at(detail: Mapping[str, Any]) -> str:
    return f" at {detail['store_id']}" if detail.get("store_id") else ""


def _code(detail: Mapping[str, Any]) -> str:
    return str(detail.get("entry", "")).partition(":")[2]


def _lines(detail: Mapping[str, Any]) -> str:
    """2 of p-1 (Bakery), p-2 and 3 more lines."""
    lines = detail.get("lines") or []
    told_of = [_line(line) for line in lines[:NAMED]]
    rest = len(lines) - len(told_of)
    return ", ".join(told_of) + (f" and {counted(rest, 'more line')}" if rest else "")


def _line(line: Mapping[str, Any]) -> str:
    quantity = line.get("quantity", 1)
    times = "" if quantity == 1 else f"{quantity:g} of "
    category = f" ({line['category']})" if line.get("category") else ""
    return f"{times}{line.get('product_id', 'something')}{category}"
