"""Membership changes: written once into the history, named in the outbox, counted for their segments."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from itertools import count

import numpy as np
import numpy.typing as npt

from services.segmenter.program import Program
from services.segmenter.staging import Connection, copy
from shared.database.channels import FLIPS, OUTBOX
from shared.database.tables.segments import PLACES
from shared.domain.criteria import NEVER
from shared.domain.criteria.columns import micros

LISTENED = 600_000_000  # a flip due within ten minutes is told to the timer at once (microseconds)

# Drawn when the customers are locked or held to their versions: a customer's later change has the larger number.
BATCH = "INSERT INTO outbox (organization_id) VALUES (%s) RETURNING batch_id"
COPY_CHANGES = """
COPY segment_change (organization_id, change_id, customer_id, at, cause, entered, "left") FROM STDIN (FORMAT binary)
"""
# The lists of segments come in PostgreSQL's binary form already.
CHANGE_TYPES = ["text", "int8", "text", "timestamptz", "text", "bytea", "bytea"]
# Locks the counters in the order of their ids, so that two lanes never wait in a ring; last, so that they wait little.
# The day is the organization's.
COUNT = """
WITH delta AS (
    SELECT * FROM unnest(%(segment_ids)s::text[], %(entered)s::bigint[], %(left)s::bigint[])
    AS d (segment_id, came, went)
), locked AS (
    SELECT s.segment_id, came, went FROM segment s JOIN delta USING (segment_id)
    WHERE s.organization_id = %(organization_id)s ORDER BY s.segment_id FOR NO KEY UPDATE OF s
), counted AS (
    UPDATE segment s SET member_count = s.member_count + came - went FROM locked
    WHERE s.organization_id = %(organization_id)s AND s.segment_id = locked.segment_id
)
INSERT INTO segment_day AS d (organization_id, segment_id, day, entered, "left")
SELECT %(organization_id)s, segment_id, (%(now)s::timestamptz AT TIME ZONE o.time_zone)::date, came, went
FROM locked, organization o WHERE o.organization_id = %(organization_id)s
ON CONFLICT (organization_id, segment_id, day) DO UPDATE SET
    entered = d.entered + excluded.entered, "left" = d."left" + excluded."left"
"""

Bits = npt.NDArray[np.bool_]


@dataclass
class Moves:
    """What a refresh changed. `counts` is (entered, left) by (organization, segment)."""

    entered: int = 0
    left: int = 0
    counts: dict[tuple[str, str], tuple[int, int]] = field(default_factory=dict)
    sooner: int = NEVER

    def add(self, program: Program, change: Bits, after: Bits) -> None:
        """Count changed memberships, by slot."""
        changed, came = change.sum(axis=0), (change & after).sum(axis=0)
        for slot in np.flatnonzero(changed).tolist():
            entered = int(came[slot])
            left = int(changed[slot]) - entered
            self.entered += entered
            self.left += left
            key = (program.organization_id, program.segment_ids[slot])
            known = self.counts.get(key, (0, 0))
            self.counts[key] = (known[0] + entered, known[1] + left)

    def finish(self, connection: Connection, now: datetime) -> None:
        """Keep the counters and wake whoever waits; the last statements of a transaction."""
        by_organization: dict[str, list[tuple[str, int, int]]] = {}
        for (organization_id, segment_id), (entered, left) in self.counts.items():
            by_organization.setdefault(organization_id, []).append((segment_id, entered, left))
        for organization_id, counts in sorted(by_organization.items()):
            columns = [list(column) for column in zip(*counts, strict=True)]
            known = dict(zip(("segment_ids", "entered", "left"), columns, strict=True))
            connection.execute(COUNT, known | {"organization_id": organization_id, "now": now})
        if self.entered or self.left:
            connection.execute("SELECT pg_notify(%s, '')", [OUTBOX])
        if self.sooner < micros(now) + LISTENED:
            connection.execute("SELECT pg_notify(%s, '')", [FLIPS])


def publish(  # noqa: PLR0917 - what changed, from what to what, when and why
    connection: Connection, program: Program, ids: list[str], change: Bits, desired: Bits, now: datetime, cause: str
) -> None:
    """A batch of changes, one for each customer and cause."""
    filling = np.zeros(change.shape[1], np.bool_)
    parts: list[tuple[str, Bits]] = []
    for why in set(program.causes.values()):
        mine = np.zeros_like(filling)
        mine[[slot for slot, name in program.causes.items() if name == why]] = True
        filling |= mine
        parts.append((why, change & mine))
    parts.append((cause, change & ~filling))
    (batch_id,) = connection.execute(BATCH, [program.organization_id]).fetchone() or (0,)
    numbers = count(batch_id << PLACES)
    for why, moved in parts:
        who = np.flatnonzero(moved.any(axis=1))
        if who.size:
            entered = program.lists(moved[who] & desired[who])
            left = program.lists(moved[who] & ~desired[who])
            rows = [
                (program.organization_id, next(numbers), ids[row], now, why, entered[n], left[n])
                for n, row in enumerate(who.tolist())
            ]
            copy(connection, COPY_CHANGES, CHANGE_TYPES, rows)
