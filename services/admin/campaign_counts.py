"""How many mails of a campaign went, wait or did not go: counted from the ledger of mail."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, func, or_, select

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
NONE = Counts(total=0, skipped={}, waiting_for={}, **dict.fromkeys((*AT, *STATES), 0))


def of(connection: Connection, organization_id: str, campaign_ids: Sequence[str]) -> dict[str, Counts]:
    """By campaign; one without mails is missing."""
    numbers = [func.count().filter(message.c.state.in_(states)).label(name) for name, states in STATES.items()] + [
        func.count().filter(or_(*(message.c[at].is_not(None) for at in instants))).label(name)
        for name, instants in AT.items()
    ]
    these = (message.c.organization_id == organization_id, message.c.campaign_id.in_(campaign_ids))
    counted = (
        select(message.c.campaign_id, func.count().label("total"), *numbers)
        .where(*these)
        .group_by(message.c.campaign_id)
    )
    reasons = (
        select(
            message.c.campaign_id,
            message.c.state,
            func.coalesce(message.c.reason, "unknown").label("reason"),
            func.count().label("number"),
        )
        .where(*these, message.c.state.in_(("skipped", "waiting")))
        .group_by(message.c.campaign_id, message.c.state, message.c.reason)
    )
    why: dict[tuple[str, str], dict[str, int]] = {}
    for row in connection.execute(reasons):
        why.setdefault((row.campaign_id, row.state), {})[row.reason] = row.number
    return {
        row["campaign_id"]: Counts(
            **row,
            skipped=why.get((row["campaign_id"], "skipped"), {}),
            waiting_for=why.get((row["campaign_id"], "waiting"), {}),
        )
        for row in connection.execute(counted).mappings()
    }
