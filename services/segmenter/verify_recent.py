"""What rows keep of recent sales against the ledger."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import cast

import numpy as np
from sqlalchemy import Connection

from services.segmenter import arrays, history, recent, staging
from services.segmenter.differences import Difference
from services.segmenter.program import Programs
from services.segmenter.recent import Lately
from shared.domain.criteria.columns import micros

ABOUT = "recent"
AT_ONCE = 5_000
KEPT = """
SELECT customer_id, recent FROM customer
WHERE organization_id = %s AND customer_id > %s AND recent IS NOT NULL
  AND (%s::text[] IS NULL OR customer_id = ANY(%s))
ORDER BY customer_id LIMIT %s
"""


def differences(
    connection: Connection, organization_id: str, time_zone: str, now: datetime, ids: Sequence[str] | None
) -> list[Difference]:
    """Of entries, for people; of the customers `ids` only, if given."""
    driver = cast("staging.Connection", connection.connection.driver_connection)
    arrays.prepare(driver)
    return compared(driver, organization_id, time_zone, now, ids)


def compared(
    connection: staging.Connection, organization_id: str, time_zone: str, now: datetime, ids: Sequence[str] | None
) -> list[Difference]:
    """The same, on a connection of the segmenter's."""
    lately = Programs().of(connection, organization_id, time_zone).lately
    if lately is None:
        return []
    chunks = _chunks(connection, organization_id, ids)
    return [each for some in chunks for each in _wrong(connection, organization_id, lately, micros(now), some)]


def _chunks(
    connection: staging.Connection, organization_id: str, ids: Sequence[str] | None
) -> Iterator[list[tuple[str, bytes]]]:
    last, wanted = "", None if ids is None else list(ids)
    while rows := connection.execute(KEPT, [organization_id, last, wanted, wanted, AT_ONCE], binary=True).fetchall():
        yield rows
        last = rows[-1][0]


def _wrong(
    connection: staging.Connection, organization_id: str, lately: Lately, now: int, kept: Sequence[tuple[str, bytes]]
) -> Iterator[Difference]:
    is_complete, since, found = recent.unpack([row[1] for row in kept], lately, now)
    rows = np.flatnonzero(is_complete)  # another heading says that nobody relies on it
    ids = [kept[row][0] for row in rows.tolist()]
    expected = history.from_ledger(connection, organization_id, lately, ids, rows, now)
    since = np.maximum(since, lately.since(now))
    wanted, got = (recent.pack(each.in_order(), since, lately) for each in (expected, found))
    for row in rows.tolist():
        if wanted[row] != got[row]:
            shown = (recent.shown(each[row], lately) for each in (wanted, got))
            yield Difference(organization_id, kept[row][0], ABOUT, *shown)
