"""Redemptions into Kafka, as `coupon.redeemed`: so that the ledger counts a commit as it counts an offline till's.

A commit puts it into an outbox in its own transaction; here it is published and then taken out. A crash between the
two publishes it again under the same source and id, which counts once.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

from sqlalchemy import Engine, text

from services.ingest.background import Background
from services.ingest.publisher import Publisher
from services.ingest.records import Record, event_record

MOST: Final = 16  # batches; more at once would keep quotes waiting
GATHER_SECONDS: Final = 0.02  # a round costs more than what it publishes
ORGANIZATIONS = text("SELECT organization_id FROM organization ORDER BY organization_id")
# Batches that no other process is publishing. Uses are looked up one by one: the planner, which cannot know how few
# they are, would rather read the whole table.
UNPUBLISHED = text("""
WITH batch AS MATERIALIZED (
    SELECT organization_id, batch_id, codes, sales FROM redemption_outbox
    WHERE organization_id = ANY(:ids) ORDER BY organization_id, batch_id LIMIT :most FOR UPDATE SKIP LOCKED
)
SELECT b.organization_id, b.batch_id, t.code, t.sale_id, u.customer_id, u.store_id, u.terminal_id, u.discount,
       u.redeemed_at
FROM batch b CROSS JOIN LATERAL unnest(b.codes, b.sales) AS t (code, sale_id) CROSS JOIN LATERAL (
    SELECT * FROM coupon_use u
    WHERE u.organization_id = b.organization_id AND u.code = t.code AND u.sale_id = t.sale_id OFFSET 0) u
""")
PUBLISHED = text("""
DELETE FROM redemption_outbox o
USING unnest(CAST(:organizations AS text[]), CAST(:batches AS bigint[])) AS p (organization_id, batch_id)
WHERE o.organization_id = p.organization_id AND o.batch_id = p.batch_id
""")


class Redemptions(Background):
    """Publishes what was committed: at once when woken, and what a crash left within a second or so."""

    def __init__(self, engine: Engine, publisher: Publisher) -> None:
        super().__init__("redemptions")
        self._engine = engine
        self._publisher = publisher

    async def step(self) -> None:
        """Publish until nothing is left."""
        loop = asyncio.get_running_loop()
        await asyncio.sleep(GATHER_SECONDS)
        while await asyncio.to_thread(self._publish_some, loop):
            continue

    def _publish_some(self, loop: asyncio.AbstractEventLoop) -> bool:
        """In a thread and one transaction, so that several processes publish each a part; where it fails, all is as
        before. Returns whether more may be left.
        """
        with self._engine.begin() as connection:
            ids = list(connection.execute(ORGANIZATIONS).scalars())
            rows = connection.execute(UNPUBLISHED, {"ids": ids, "most": MOST}).all()
            if not rows:
                return False
            publishing = self._publisher.publish([event_of(row) for row in rows])
            asyncio.run_coroutine_threadsafe(publishing, loop).result()
            batches = sorted({(row.organization_id, row.batch_id) for row in rows})
            given = {"organizations": [batch[0] for batch in batches], "batches": [batch[1] for batch in batches]}
            connection.execute(PUBLISHED, given)
        return len(batches) == MOST


def event_of(row: Any) -> Record:
    """The event of a commit."""
    data = {
        "organization_id": row.organization_id,
        "coupon_code": row.code,
        "sale_id": row.sale_id,
        "discount": row.discount,
    }
    for name in ("customer_id", "store_id", "terminal_id"):
        if getattr(row, name) is not None:
            data[name] = getattr(row, name)
    event_id = f"{row.code}/{row.sale_id}"
    return event_record(row.organization_id, "coupon.redeemed", event_id, row.redeemed_at, data, origin="redemptions")
