"""Stats against the ledger by plain SQL."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, any_, func, literal, or_, select
from sqlalchemy import Text as SqlText
from sqlalchemy.dialects.postgresql import ARRAY

from services.segmenter.differences import Difference
from shared.database.ledger_stats import STATS, stats_from_ledger
from shared.database.tables import customer


def differences(connection: Connection, organization_id: str, ids: Sequence[str] | None) -> list[Difference]:
    """Of stats; of the customers `ids` only, if given."""
    scope, kept = None, select(customer).where(customer.c.organization_id == organization_id)
    if ids is not None:
        named = literal(list(ids), ARRAY(SqlText))
        each = func.unnest(named).column_valued("customer_id")
        scope = select(literal(organization_id).label("organization_id"), each.label("customer_id")).subquery("scope")
        kept = kept.where(customer.c.customer_id == any_(named))
    fresh = stats_from_ledger(scope).subquery("fresh")
    expected = select(fresh).where(fresh.c.organization_id == organization_id).subquery("expected")
    found = kept.subquery("found")
    query = (
        select(
            func.coalesce(expected.c.customer_id, found.c.customer_id),
            *(expected.c[stat] for stat in STATS),
            *(found.c[stat] for stat in STATS),
        )
        .select_from(expected.outerjoin(found, expected.c.customer_id == found.c.customer_id, full=True))
        .where(or_(*(expected.c[stat].is_distinct_from(found.c[stat]) for stat in STATS)))
    )
    return [
        Difference(organization_id, customer_id, stat, _plain(wanted), _plain(got))
        for customer_id, *stats in connection.execute(query)
        for stat, wanted, got in zip(STATS, stats[: len(STATS)], stats[len(STATS) :], strict=True)
        if wanted != got
    ]


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else int(value) if value is not None else None
