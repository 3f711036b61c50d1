"""How many mails of a campaign went, wait or did not go: counted from the ledger of mail."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, RowMapping, func, or_, select

from services.admin.campaign_models import Counts
from shared.database.tables import message

AT = {
    "sent": ("sent_at",),
    # Webhooks come in any order, and some providers report an open without a delivery.
    "delivered": ("delivered_at", "opened_at", "machine_opened_at", "clicked_at", "complained_at"),
    "opened": ("opened_at",),
    "machine_opened": ("machine_opened_at",),
    "clicked": ("clicked_at",),
    "bounced": ("bounced_at",),
    "complained": ("complained_at",),
    "unsubscribed": ("unsubscribed_at",),
}
STATES = {"planned": ("planned", "claimed"), "waiting": ("waiting",), "failed": ("failed",)}
WITH_REASON = ("skipped", "waiting")
NONE = Counts(total=0, skipped={}, waiting_for={}, **dict.fromkeys((*AT, *STATES), 0))


def of(connection: Connection, organization_id: str, campaign_ids: Sequence[str]) -> dict[str, Counts]:
    """By campaign; one without mails is missing. Each mail is looked at once."""
    instants = [func.count().filter(or_(*(message.c[at].is_not(None) for at in AT[name]))).label(name) for name in AT]
    why = func.coalesce(message.c.reason, "unknown").label("why")
    counted = (
        select(message.c.campaign_id, message.c.state, why, func.count().label("total"), *instants)
        .where(message.c.organization_id == organization_id, message.c.campaign_id.in_(campaign_ids))
        .group_by(message.c.campaign_id, message.c.state, message.c.reason)
    )
    found: dict[str, list[RowMapping]] = {}
    for row in connection.execute(counted).mappings():
        found.setdefault(row["campaign_id"], []).append(row)
    return {campaign_id: _counts(rows) for campaign_id, rows in found.items()}


def _counts(rows: Sequence[RowMapping]) -> Counts:
    """Of one campaign, from its rows by state and reason."""
    reasons = {state: {row["why"]: row["total"] for row in rows if row["state"] == state} for state in WITH_REASON}
    return Counts(
        total=sum(row["total"] for row in rows),
        **{name: sum(row[name] for row in rows) for name in AT},
        **{name: sum(row["total"] for row in rows if row["state"] in states) for name, states in STATES.items()},
        skipped=reasons["skipped"],
        waiting_for=reasons["waiting"],
    )
