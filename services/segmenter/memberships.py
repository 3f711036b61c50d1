"""Fourth step: evaluate the segments over the customers that were touched, and write only what differs."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
import numpy.typing as npt

from services.segmenter import history
from services.segmenter.arrays import Bytes, Customers, read
from services.segmenter.program import Program
from services.segmenter.staging import Connection, copy
from shared.clock import Clock
from shared.database.recheck import FLIPS_CHANNEL
from shared.domain.criteria import NEVER
from shared.domain.criteria.columns import instant_of, micros
from shared.domain.criteria.tree import Answers, earliest_flip

OUTBOX_CHANNEL = "regulars_outbox"
LISTENED = 600_000_000  # a flip due within ten minutes is told to the timer at once (microseconds)

COPY_MOVED = (
    "COPY moved (organization_id, customer_id, memberships, scheduled_at, is_sooner) FROM STDIN (FORMAT binary)"
)
MOVED_TYPES = ["text", "text", "bytea", "timestamptz", "bool"]
MOVE = """
UPDATE customer c SET memberships = m.memberships, scheduled_at = m.scheduled_at FROM moved m
WHERE m.organization_id = %s AND c.organization_id = m.organization_id AND c.customer_id = m.customer_id
"""
SCHEDULE = """
INSERT INTO flip (organization_id, due_at, customer_id)
SELECT organization_id, scheduled_at, customer_id FROM moved WHERE organization_id = %s AND is_sooner
ON CONFLICT DO NOTHING
"""
COPY_OUTBOX = 'COPY outbox (organization_id, customer_id, at, cause, entered, "left") FROM STDIN (FORMAT binary)'
OUTBOX_TYPES = ["text", "text", "timestamptz", "text", "bytea", "bytea"]
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
# Who of the customers at hand stands in a static list.
LISTED = """
SELECT s.segment_id, s.customer_id FROM touched t JOIN static_member s USING (organization_id, customer_id)
WHERE t.organization_id = %s
"""

Bits = npt.NDArray[np.bool_]
Instants = npt.NDArray[np.int64]
OutboxRow = tuple[str, str, datetime, str, bytes, bytes]


@dataclass
class Moves:
    """What a refresh changed. `counts` is (entered, left) by (organization, segment)."""

    entered: int = 0
    left: int = 0
    counts: dict[tuple[str, str], tuple[int, int]] = field(default_factory=dict)
    sooner: int = NEVER

    def add(self, program: Program, change: Bits, after: Bits) -> None:
        """Count changed memberships, by slot."""
        for slot in np.flatnonzero(change.any(axis=0)).tolist():
            entered = int((change[:, slot] & after[:, slot]).sum())
            left = int(change[:, slot].sum()) - entered
            self.entered += entered
            self.left += left
            key = (program.organization_id, program.segment_ids[slot])
            known = self.counts.get(key, (0, 0))
            self.counts[key] = (known[0] + entered, known[1] + left)


def refresh(
    connection: Connection,
    program: Program,
    clock: Clock,
    cause: str,
    moves: Moves,
    *,
    is_due: bool = False,
    is_locked: bool = True,
) -> None:
    """Bring the memberships of the organization's customers in `touched` to what holds now.

    `is_due`: a flip that was due is done with; `is_locked`: the rows are this transaction's already. The clock is asked
    once they are: who waited for them must not judge by an older instant than who had them.
    """
    if not program.segments:
        return
    customers = read(
        connection, program.organization_id, program.columns, program.time_zone, program.width, lock=not is_locked
    )
    if customers is None:
        return
    evaluate(connection, program, customers, clock(), cause, moves, is_due=is_due)
    connection.execute(MOVE, [program.organization_id])
    connection.execute(SCHEDULE, [program.organization_id])


def evaluate(  # noqa: PLR0917 - who, when, why
    connection: Connection,
    program: Program,
    customers: Customers,
    now: datetime,
    cause: str,
    moves: Moves,
    *,
    is_due: bool = False,
) -> None:
    """Evaluate the segments over customers; what differs goes to `moved` and to the outbox."""
    at = micros(now)
    current = np.unpackbits(customers.memberships, axis=1, bitorder="little").astype(np.bool_)
    desired = current.copy()
    if program.static_slots:
        _read_lists(connection, program, customers, desired)
    customers.columns.static = {name: desired[:, slot] for name, slot in program.static_slots.items()}
    if program.series:
        customers.columns.series = history.read(connection, program, customers.ids, now)
    answers: Answers = {}
    for segment in program.segments:
        if segment.criteria is not None:
            desired[:, segment.slot] = segment.criteria.holds(customers.columns, at, answers)
    flips = earliest_flip(program.leaves, customers.columns, at)
    kept = np.where(customers.scheduled <= at, NEVER, customers.scheduled) if is_due else customers.scheduled
    scheduled = np.minimum(kept, flips)
    moved = _write(connection, program, customers, desired, scheduled)
    if moved.size:
        moves.sooner = min(moves.sooner, int(scheduled[moved].min()))
    differs = np.flatnonzero((desired != current).any(axis=1))
    if differs.size:
        change, after = desired[differs] != current[differs], desired[differs]
        _publish(connection, program, [customers.ids[row] for row in differs], change, after, now, cause)
        moves.add(program, change, after)


def finish(connection: Connection, moves: Moves, now: datetime) -> None:
    """Keep the counters and wake whoever waits; the last statements of a transaction."""
    by_organization: dict[str, list[tuple[str, int, int]]] = {}
    for (organization_id, segment_id), (entered, left) in moves.counts.items():
        by_organization.setdefault(organization_id, []).append((segment_id, entered, left))
    for organization_id, counts in sorted(by_organization.items()):
        columns = [list(column) for column in zip(*counts, strict=True)]
        known = dict(zip(("segment_ids", "entered", "left"), columns, strict=True))
        connection.execute(COUNT, known | {"organization_id": organization_id, "now": now})
    if moves.entered or moves.left:
        connection.execute("SELECT pg_notify(%s, '')", [OUTBOX_CHANNEL])
    if moves.sooner < micros(now) + LISTENED:
        connection.execute("SELECT pg_notify(%s, '')", [FLIPS_CHANNEL])


def depart(connection: Connection, program: Program, customer_ids: list[str], now: datetime, moves: Moves) -> None:
    """Remove the rows of customers who were merged into others or erased; they leave all their segments."""
    gone = connection.execute(
        "DELETE FROM customer WHERE organization_id = %s AND customer_id = ANY(%s) RETURNING customer_id, memberships",
        [program.organization_id, sorted(customer_ids)],
    ).fetchall()
    if not gone:
        return
    stored = b"".join(bits[: program.width].ljust(program.width, b"\0") for _, bits in gone)
    packed = np.frombuffer(stored, np.uint8).reshape(len(gone), program.width)
    left = np.unpackbits(packed, axis=1, bitorder="little").astype(np.bool_) & program.mask
    _publish(connection, program, [row[0] for row in gone], left, np.zeros_like(left), now, "event")
    moves.add(program, left, np.zeros_like(left))


def _read_lists(connection: Connection, program: Program, customers: Customers, desired: Bits) -> None:
    """Set the memberships in static segments from the lists."""
    slots = program.static_slots
    desired[:, list(slots.values())] = False
    row_of = {customer_id: row for row, customer_id in enumerate(customers.ids)}
    for segment_id, customer_id in connection.execute(LISTED, [program.organization_id]).fetchall():
        if segment_id in slots and customer_id in row_of:
            desired[row_of[customer_id], slots[segment_id]] = True


def _write(
    connection: Connection, program: Program, customers: Customers, desired: Bits, scheduled: Instants
) -> npt.NDArray[np.intp]:
    """Put memberships and schedule of the rows that differ into `moved`; returns which."""
    packed: Bytes = np.packbits(desired, axis=1, bitorder="little")
    moved = np.flatnonzero((packed != customers.memberships).any(axis=1) | (scheduled != customers.scheduled))
    rows = [
        (
            program.organization_id,
            customers.ids[row],
            packed[row].tobytes() + customers.stored[row][program.width :],
            None if due == NEVER else instant_of(due),
            due not in {NEVER, before},
        )
        for row, due, before in zip(
            moved.tolist(), scheduled[moved].tolist(), customers.scheduled[moved].tolist(), strict=True
        )
    ]
    if rows:
        copy(connection, COPY_MOVED, MOVED_TYPES, rows)
    return moved


def _publish(  # noqa: PLR0917 - what changed, from what to what, when and why
    connection: Connection, program: Program, ids: list[str], change: Bits, desired: Bits, now: datetime, cause: str
) -> None:
    """A row of the outbox for each customer and cause."""
    filling = np.zeros(change.shape[1], np.bool_)
    parts: list[tuple[str, Bits]] = []
    for why in set(program.causes.values()):
        mine = np.zeros_like(filling)
        mine[[slot for slot, name in program.causes.items() if name == why]] = True
        filling |= mine
        parts.append((why, change & mine))
    parts.append((cause, change & ~filling))
    for why, moved in parts:
        who = np.flatnonzero(moved.any(axis=1))
        if who.size:
            entered = np.packbits(moved[who] & desired[who], axis=1, bitorder="little")
            left = np.packbits(moved[who] & ~desired[who], axis=1, bitorder="little")
            rows = [
                (program.organization_id, ids[row], now, why, entered[n].tobytes(), left[n].tobytes())
                for n, row in enumerate(who.tolist())
            ]
            copy(connection, COPY_OUTBOX, OUTBOX_TYPES, rows)
