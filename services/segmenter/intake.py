"""From Kafka's records to rows for the ledger, and to dead letters with a reason."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

import msgspec

from services.segmenter.staging import NUMBER, ORGANIZATION_ID, TYPE
from shared.domain.coupons.codes import normalise
from shared.domain.events import Reason, decode, decode_till
from shared.errors import InvalidError


class Record(Protocol):
    """What is needed of a Kafka record; aiokafka's has it."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None


Row = tuple[Any, ...]
"""In the order of staging.INCOMING, where each place has its name."""


@dataclass(frozen=True)
class Letter:
    """A record that cannot count, and why."""

    record: Record
    reason: str
    message: str
    organization_id: str


@dataclass
class Intake:
    """Records taken apart. `rows[i]` comes from `records[rows[i][NUMBER]]`, and says `currencies[i]`."""

    records: Sequence[Record]
    rows: list[Row] = field(default_factory=list)
    currencies: list[str | None] = field(default_factory=list)
    letters: list[Letter] = field(default_factory=list)

    def refuse(self, n: int, reason: str, message: str) -> None:
        record = self.records[n]
        self.letters.append(Letter(record, reason, message, organization_of(record)))

    def copy(self) -> Intake:
        """For an attempt that may fail."""
        return Intake(self.records, list(self.rows), list(self.currencies), list(self.letters))

    def drop(self, numbers: Iterable[int]) -> None:
        """Rows that are not to count, by their numbers."""
        gone = set(numbers)
        self.rows = [row for row in self.rows if row[NUMBER] not in gone]


@dataclass(frozen=True)
class Organization:
    """What decides whether its events fit, and where its days begin."""

    organization_id: str
    currency: str
    time_zone: str


def take(records: Sequence[Record], now: datetime, mail_topic: str) -> Intake:
    """Decode and validate. What a till may not say (`mail.*`) is taken from our own topic alone."""
    intake = Intake(records)
    for n, record in enumerate(records):
        read = decode if record.topic == mail_topic else decode_till
        try:
            event = read(record.value or b"", now)
        except InvalidError as error:
            intake.refuse(n, error.code, str(error))
            continue
        make = ROWS.get(event.type)
        row = make(n, event) if make else None
        if row is not None:
            intake.rows.append(row)
            intake.currencies.append(getattr(event.data, "currency", None))
    return intake


def check_organizations(intake: Intake, known: dict[str, Organization]) -> bool:
    """Refuse what names an organization that does not exist or a currency that is not its own; tells if it did."""
    named = set(zip([row[ORGANIZATION_ID] for row in intake.rows], intake.currencies, strict=True))
    if all(name in known and currency in {None, known[name].currency} for name, currency in named):
        return False
    kept: list[Row] = []
    for row, currency in zip(intake.rows, intake.currencies, strict=True):
        organization = known.get(row[ORGANIZATION_ID])
        if organization is None:
            intake.refuse(
                row[NUMBER],
                Reason.UNKNOWN_ORGANIZATION,
                f"data.organization_id: there is no organization {row[ORGANIZATION_ID]!r}",
            )
        elif currency is not None and currency != organization.currency:
            intake.refuse(
                row[NUMBER],
                Reason.WRONG_CURRENCY,
                f'data.currency: must be "{organization.currency}", the currency of the organization; got "{currency}"',
            )
        else:
            kept.append(row)
    intake.rows = kept
    return True


def organization_of(record: Record) -> str:
    """The organization that a record's key names; nothing where the key is not ours."""
    key = record.key or b""
    name, slash, _ = key.partition(b"/")
    return name.decode("ascii", "replace")[:64].replace("\0", "") if slash else ""


def _sale_row(n: int, event: Any, entry: str, amount: int | None, discount: int | None = None) -> Row:
    data = event.data
    lines = getattr(data, "lines", None)
    return (
        n,
        data.organization_id,
        event.source,
        event.id,
        event.type,
        event.time,
        data.customer_id,
        data.sale_id,
        entry,
        data.store_id,
        data.terminal_id,
        amount,
        discount,
        msgspec.json.encode(lines).decode() if lines else None,
        None,
    )


def _customer_row(n: int, event: Any) -> Row:
    return (n, *_heading(event), msgspec.json.encode(event.data).decode())


def _mail_row(n: int, event: Any) -> Row | None:
    if event.data.machine:
        return None
    told = {"campaign_id": event.data.campaign_id, "message_id": event.data.message_id}
    if event.type == "mail.clicked":
        told["link"] = event.data.link
    return (n, *_heading(event), msgspec.json.encode(told).decode())


def _heading(event: Any) -> Row:
    known = (event.data.organization_id, event.source, event.id, event.type, event.time, event.data.customer_id)
    return (*known, None, None, None, None, None, None, None)


# Which types stand in the ledger, and how. Machines' opens and clicks (None) do not.
ROWS: dict[str, Callable[[int, Any], Row | None]] = {
    "sale.completed": lambda n, event: _sale_row(n, event, "sale", event.data.total, event.data.discount),
    "sale.refunded": lambda n, event: _sale_row(n, event, f"refund:{event.data.refund_id}", event.data.total),
    "sale.voided": lambda n, event: _sale_row(n, event, "void", None),
    "coupon.redeemed": lambda n, event: _sale_row(
        n, event, f"redeem:{normalise(event.data.coupon_code)}", event.data.discount
    ),
    "coupon.redemption_reversed": lambda n, event: _sale_row(
        n, event, f"reverse:{normalise(event.data.coupon_code)}", None
    ),
    "customer.upserted": _customer_row,
    "customer.consent_changed": _customer_row,
    "customer.merged": _customer_row,
    "customer.erased": _customer_row,
    "mail.opened": _mail_row,
    "mail.clicked": _mail_row,
}


def types_in(rows: Iterable[Row]) -> set[str]:
    """The types of some rows."""
    return {row[TYPE] for row in rows}
