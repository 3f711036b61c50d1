"""Events as a till would publish them, and the records in which Kafka would hand them on."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from shared.domain.events import topic_of

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
Event = dict[str, Any]


@dataclass
class Record:
    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None


def event(kind: str, number: object, at: datetime = NOW, organization_id: str = "demo", **data: Any) -> Event:
    return {
        "specversion": "1.0",
        "id": f"e-{number}",
        "source": f"/{organization_id}/stores/s1/terminals/t1",
        "type": kind,
        "time": at.isoformat(),
        "data": {"organization_id": organization_id, "store_id": "s1", "terminal_id": "t1"} | data,
    }


def sale(number: object, customer_id: str | None, total: int, at: datetime = NOW, **more: Any) -> Event:
    data = {"sale_id": f"R-{number}", "currency": "USD", "total": total} | more
    return event(
        "sale.completed", f"sale-{number}", at, **data, **({"customer_id": customer_id} if customer_id else {})
    )


def refund(number: object, sale_id: str, customer_id: str, total: int, at: datetime = NOW) -> Event:
    data = {"refund_id": f"F-{number}", "sale_id": sale_id, "customer_id": customer_id, "total": total}
    return event("sale.refunded", f"refund-{number}", at, **data)


def void(number: object, sale_id: str, customer_id: str, at: datetime = NOW) -> Event:
    return event("sale.voided", f"void-{number}", at, sale_id=sale_id, customer_id=customer_id)


def redeemed(number: object, code: str, sale_id: str, customer_id: str, discount: int, at: datetime = NOW) -> Event:
    data = {"coupon_code": code, "sale_id": sale_id, "customer_id": customer_id, "discount": discount}
    return event("coupon.redeemed", f"redeem-{number}", at, **data)


def upserted(number: object, customer_id: str, at: datetime = NOW, **fields: Any) -> Event:
    return event("customer.upserted", f"upsert-{number}", at, customer_id=customer_id, **fields)


_offsets = itertools.count()


def records(events: Iterable[Event | bytes], prefix: str = "") -> list[Record]:
    """As Kafka would hand them on; bytes go as they are."""
    made = []
    for each in events:
        if isinstance(each, bytes):
            made.append(Record(f"{prefix}pos.sales.v1", 0, next(_offsets), 0, b"demo/rubbish", each))
            continue
        key = f"{each['data']['organization_id']}/{each['data'].get('customer_id')}".encode()
        topic = prefix + topic_of(each["type"])
        made.append(Record(topic, 0, next(_offsets), 0, key, json.dumps(each).encode()))
    return made
