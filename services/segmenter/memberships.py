"""Evaluate the segments over customers, and write only what differs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import numpy as np
import numpy.typing as npt

from services.segmenter import history, parameters
from services.segmenter.arrays import Bytes, Customers, read, to_postgres
from services.segmenter.moves import Bits, Moves, publish
from services.segmenter.program import Program
from services.segmenter.staging import Connection
from shared.clock import Clock
from shared.domain.criteria import NEVER
from shared.domain.criteria.columns import micros

MOVE = """
UPDATE customer c SET memberships = m.memberships, scheduled_at = nullif(m.scheduled_at, 'infinity'),
    recent = coalesce(nullif(m.recent, ''), c.recent)
FROM unnest(string_to_array(%s, E'\\x1f'), %s::bytea[], %s::timestamptz[], %s::bytea[])
     AS m (customer_id, memberships, scheduled_at, recent)
WHERE c.organization_id = %s AND c.customer_id = m.customer_id
"""
SCHEDULE = """
INSERT INTO flip (organization_id, customer_id, due_at)
SELECT %s, * FROM unnest(string_to_array(%s, E'\\x1f'), %s::timestamptz[]) ON CONFLICT DO NOTHING
"""
# Who of the customers at hand stands in a static list.
LISTED = """
SELECT s.segment_id, s.customer_id FROM static_member s
WHERE s.organization_id = %s AND s.customer_id = ANY(string_to_array(%s, E'\\x1f'))
"""

Instants = npt.NDArray[np.int64]
Rows = npt.NDArray[np.intp]
UNPACKED = 50_000  # bytes of packed memberships whose bits are looked at at a time


class Verdict:
    """What holds for customers: `packed` memberships, and when to look again; in the rows `moved` it is new."""

    def __init__(self, customers: Customers, packed: Bytes, differs: Rows, scheduled: Instants) -> None:
        self.packed = packed
        self.scheduled = scheduled
        self.moved = np.union1d(differs, np.flatnonzero(scheduled != customers.scheduled))
        self._stored = customers.stored
        self._recent = customers.recent
        self._longest = max(map(len, customers.stored), default=0)

    def memberships(self, rows: Rows) -> parameters.Bits:
        """Of some rows, as they are to be stored. Bits behind the program's are kept."""
        width = self.packed.shape[1]
        if self._longest <= width:
            return parameters.bits_of(self.packed[rows])
        return parameters.bits([self.packed[row].tobytes() + self._stored[row][width:] for row in rows.tolist()])

    def recent(self, rows: Rows) -> parameters.Bits:
        """What some rows are to keep of what was bought; nothing where that is unknown."""
        if self._recent is None:
            return parameters.bits_of(np.zeros((len(rows), 0), np.uint8))
        return parameters.bits([self._recent[row] for row in rows.tolist()])


def refresh(  # noqa: PLR0917 - of whom, when, why
    connection: Connection,
    program: Program,
    ids: Sequence[str],
    clock: Clock,
    cause: str,
    moves: Moves,
    *,
    is_due: bool = False,
    is_locked: bool = True,
) -> None:
    """Bring the memberships of the organization's customers `ids` to what holds now.

    `is_due`: a flip that was due is done with; `is_locked`: the rows are this transaction's already. The clock is asked
    once they are: who waited for them must not judge by an older instant than who had them.
    """
    if not program.segments or not ids:
        return
    customers = read(
        connection,
        program.organization_id,
        ids,
        program.columns,
        program.time_zone,
        program.width,
        lock=not is_locked,
    )
    if customers is None:
        return
    verdict = evaluate(connection, program, customers, clock(), cause, moves, is_due=is_due)
    if verdict.moved.size:
        who = parameters.texts([customers.ids[row] for row in verdict.moved.tolist()])
        due = parameters.instants(to_postgres(verdict.scheduled[verdict.moved]))
        values = [verdict.memberships(verdict.moved), due, verdict.recent(verdict.moved)]
        connection.execute(MOVE, [who, *values, program.organization_id])
        schedule(connection, program, customers, verdict)


def evaluate(  # noqa: PLR0917 - who, when, why
    connection: Connection,
    program: Program,
    customers: Customers,
    now: datetime,
    cause: str,
    moves: Moves,
    *,
    is_due: bool = False,
) -> Verdict:
    """Evaluate the segments over customers; what differs is told. The caller writes the rest."""
    at = micros(now)
    packed = _held(connection, program, customers, now)
    flips = program.plan.flips(customers.columns, at)
    kept = np.where(customers.scheduled <= at, NEVER, customers.scheduled) if is_due else customers.scheduled
    scheduled = np.minimum(kept, flips)
    changed = packed ^ customers.memberships
    differs = np.flatnonzero(changed.any(axis=1))
    verdict = Verdict(customers, packed, differs, scheduled)
    if verdict.moved.size:
        moves.sooner = min(moves.sooner, int(scheduled[verdict.moved].min()))
    some = max(1, UNPACKED // max(1, program.width))
    for first in range(0, differs.size, some):
        part = differs[first : first + some]
        change, after = _unpacked(changed[part]), _unpacked(packed[part])
        publish(connection, program, [customers.ids[row] for row in part.tolist()], change, after, now, cause)
        moves.add(program, change, after)
    return verdict


def _held(connection: Connection, program: Program, customers: Customers, now: datetime) -> Bytes:
    """The memberships that hold at `now`, packed. Bits of no segment stay as they are.

    Bit by bit of a byte for all customers: with a byte for each membership, a thousand segments take a lane 50 MB.
    """
    columns = customers.columns
    columns.static = _lists(connection, program, customers.ids)
    if program.series:
        columns.series = history.read(connection, program, customers, now)
    packed = np.array(customers.memberships.T, order="C")
    packed &= ~np.packbits(program.mask, bitorder="little")[:, None]
    for slot, listed in zip(program.static_slots.values(), columns.static.values(), strict=True):
        packed[slot // 8] |= listed.view(np.uint8) << np.uint8(slot % 8)
    for segment, held in zip(program.dynamic, program.plan.holds(columns, micros(now)), strict=True):
        packed[segment.slot // 8] |= held.view(np.uint8) << np.uint8(segment.slot % 8)
    return np.ascontiguousarray(packed.T)


def _unpacked(packed: Bytes) -> Bits:
    return np.unpackbits(packed, axis=1, bitorder="little").view(np.bool_)


def schedule(connection: Connection, program: Program, customers: Customers, verdict: Verdict) -> None:
    """Have the timer look at whose next flip is another one than before."""
    sooner = verdict.moved[
        (verdict.scheduled[verdict.moved] != NEVER)
        & (verdict.scheduled[verdict.moved] != customers.scheduled[verdict.moved])
    ]
    if sooner.size:
        due = parameters.instants(to_postgres(verdict.scheduled[sooner]))
        who = parameters.texts([customers.ids[row] for row in sooner.tolist()])
        connection.execute(SCHEDULE, [program.organization_id, who, due])


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
    left = _unpacked(packed) & program.mask
    publish(connection, program, [row[0] for row in gone], left, np.zeros_like(left), now, "event")
    moves.add(program, left, np.zeros_like(left))


def _lists(connection: Connection, program: Program, ids: Sequence[str]) -> dict[str, Bits]:
    """Who stands in each static segment."""
    found = {segment_id: np.zeros(len(ids), np.bool_) for segment_id in program.static_slots}
    if found:
        row_of = {customer_id: row for row, customer_id in enumerate(ids)}
        known = [program.organization_id, parameters.texts(ids)]
        for segment_id, customer_id in connection.execute(LISTED, known).fetchall():
            if segment_id in found and customer_id in row_of:
                found[segment_id][row_of[customer_id]] = True
    return found
