"""All that is held of one customer, for the customer: the right of access (GDPR, articles 15 and 20)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, RowMapping, Table, func, or_, select

from services.admin import customers
from services.admin.instants import written
from shared.database.tables import (
    coupon_code,
    coupon_grant,
    coupon_use,
    customer_merge,
    dead_letter,
    direct_mail,
    ledger,
    mail_slot,
    message,
    segment_change,
    static_member,
    suppression,
)

# Table to the column that orders its rows; what they say comes out as it is stored.
HELD: dict[str, tuple[Table, str]] = {
    "events": (ledger, "occurred_at"),
    "segment_changes": (segment_change, "change_id"),
    "lists": (static_member, "added_at"),
    "mails": (message, "planned_at"),
    "direct_mails": (direct_mail, "created_at"),
    "last_mails": (mail_slot, "last_on"),
    "coupon_uses": (coupon_use, "held_at"),
    "coupon_grants": (coupon_grant, "granted_at"),
    "coupon_codes": (coupon_code, "created_at"),
}


def export(connection: Connection, organization_id: str, customer_id: str, now: datetime) -> dict[str, Any]:
    """As JSON. Raises NotFoundError."""
    found = customers.read(connection, organization_id, customer_id)
    data: dict[str, Any] = {
        "exported_at": written(now),
        "organization_id": organization_id,
        "customer": found.model_dump(mode="json"),
    }
    names = customers.names(connection, organization_id, customer_id)
    for name, (table, order) in HELD.items():
        wanted = (
            select(table)
            .where(table.c.organization_id == organization_id, table.c.customer_id.in_(names))
            .order_by(table.c[order])
        )
        data[name] = [_plain(row) for row in connection.execute(wanted).mappings()]
    merges = select(customer_merge).where(
        customer_merge.c.organization_id == organization_id,
        or_(customer_merge.c.root_customer_id == customer_id, customer_merge.c.into_customer_id == customer_id),
    )
    data["merges"] = [_plain(row) for row in connection.execute(merges).mappings()]
    keys = [f"{organization_id}/{name}".encode() for name in names]
    letters = select(dead_letter).where(dead_letter.c.organization_id == organization_id, dead_letter.c.key.in_(keys))
    data["dead_letters"] = [
        _plain(row) for row in connection.execute(letters.order_by(dead_letter.c.recorded_at)).mappings()
    ]
    suppressions = select(suppression).where(
        suppression.c.organization_id == organization_id, suppression.c.email == func.lower(found.email or "")
    )
    data["suppressions"] = [_plain(row) for row in connection.execute(suppressions).mappings()]
    return data


def _plain(row: RowMapping) -> dict[str, Any]:
    return {name: _value(value) for name, value in row.items() if name != "organization_id"}


def _value(value: Any) -> Any:
    if isinstance(value, datetime):
        return written(value)
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return value if isinstance(value, (str, int, float, bool, list, dict)) or value is None else str(value)
