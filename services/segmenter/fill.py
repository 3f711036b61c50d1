"""What a fill does to a part of an organization's customers: each gets the bit of one segment that holds now.

By pages of the customer table, in two statements, where a row says it all: one plans the flips, the other writes the
rows whose bit differs, and what is to be told of them. By customers, in memory, where criteria add up what was bought:
SQL would go through the whole window for each part.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Update,
    and_,
    case,
    exists,
    func,
    insert,
    literal,
    literal_column,
    select,
    text,
    true,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql import insert as upsert

from services.segmenter import memberships
from services.segmenter.moves import Moves
from services.segmenter.program import Program, Segment
from services.segmenter.staging import Connection
from shared.clock import Clock
from shared.database.engine import statement
from shared.database.predicate import BITS, inside, listed, predicate, tables_of
from shared.database.tables import customer, flip, outbox, segment_change
from shared.database.tables.columns import Id, Instant
from shared.database.tables.segments import PLACES
from shared.domain.criteria.columns import micros

CHUNK = """
SELECT customer_id FROM customer
WHERE organization_id = %(organization_id)s AND customer_id > %(after)s ORDER BY customer_id LIMIT %(at_once)s
"""
CLEAR = """
WITH chunk AS (
    SELECT customer_id FROM customer WHERE organization_id = %(organization_id)s AND customer_id > %(after)s
      AND CASE WHEN length(memberships) > %(slot)s / 8 THEN get_bit(memberships, %(slot)s) = 1 ELSE false END
    ORDER BY customer_id LIMIT %(at_once)s FOR UPDATE
), cleared AS (
    UPDATE customer c SET memberships = set_bit(memberships, %(slot)s, 0) FROM chunk
    WHERE c.organization_id = %(organization_id)s AND c.customer_id = chunk.customer_id
)
SELECT max(customer_id) FROM chunk
"""


@dataclass(frozen=True)
class Pages:
    """`number` pages of the customer table, from `first` on."""

    first: int
    number: int

    def where(self, organization_id: str) -> ColumnElement[bool]:
        """The organization's customers on them."""
        place: ColumnElement[Any] = literal_column("customer.ctid")
        return and_(
            customer.c.organization_id == organization_id,
            place >= literal_column(f"'({self.first},0)'::tid"),
            place < literal_column(f"'({self.first + self.number},0)'::tid"),
        )


def by_pages(connection: Connection, program: Program, segment: Segment, pages: Pages, now: datetime) -> Moves:
    """Nobody else may write the organization's customers meanwhile, nor have judged any of them later than `now`."""
    moves = Moves()
    organization_id, criteria = program.organization_id, segment.criteria
    if criteria is None:
        meant = listed(organization_id, segment.segment_id)
    else:
        meant = predicate(criteria, organization_id, program.time_zone, now)
        due = criteria.due(tables_of(organization_id, program.time_zone), now)
        if due is not None:  # before rows move: what is written may leave its page
            row = connection.execute(*_plan(organization_id, due, pages)).fetchone()
            if row is not None and row[0] is not None:
                moves.sooner = micros(row[0])
    row = connection.execute(*_move(organization_id, segment, meant, pages, now)).fetchone() or (0, 0)
    moves.entered, moves.left = row
    if any(row):
        moves.counts[organization_id, segment.segment_id] = row
    return moves


def by_customers(  # noqa: PLR0917 - of what, from where, how many
    connection: Connection, program: Program, segment: Segment, after: str, at_once: int, clock: Clock
) -> tuple[str | None, int, Moves]:
    """The next `at_once` customers after `after`. The last one's id, None at the end; how many; what moved."""
    moves = Moves()
    known = {"organization_id": program.organization_id, "after": after, "at_once": at_once}
    ids = [row[0] for row in connection.execute(CHUNK, known).fetchall()]
    # This segment alone, and the lists that it may look at.
    alone = tuple(each for each in program.segments if each.criteria is None or each == segment)
    only = Program(program.organization_id, program.time_zone, program.fingerprint, alone, is_whole=False)
    memberships.refresh(connection, only, ids, clock, "event", moves, is_locked=False)
    return (ids[-1] if ids else None), len(ids), moves


def clear(connection: Connection, organization_id: str, slot: int, after: str, at_once: int) -> str | None:
    """Take the bit away from the next customers who have it, telling nobody; gives the last one's id, None at the end.

    By key: a row that an event moves to another page stays where it is in this order.
    """
    known = {"organization_id": organization_id, "slot": slot, "after": after, "at_once": at_once}
    row = connection.execute(CLEAR, known).fetchone()
    return row[0] if row else None


def _plan(organization_id: str, due: ColumnElement[Any], pages: Pages) -> tuple[str, dict[str, Any]]:
    """Flips of whom the segment moves earlier than anything else does; gives the earliest."""
    sooner = due < func.coalesce(customer.c.scheduled_at, text("'infinity'::timestamptz"))
    who = select(customer.c.organization_id, due, customer.c.customer_id).where(pages.where(organization_id), sooner)
    planned = (
        upsert(flip)
        .from_select(["organization_id", "due_at", "customer_id"], who)
        .on_conflict_do_nothing()
        .returning(flip.c.due_at)
        .cte("planned")
    )
    return statement(select(func.min(planned.c.due_at)))


def _move(
    organization_id: str, segment: Segment, meant: ColumnElement[bool], pages: Pages, now: datetime
) -> tuple[str, dict[str, Any]]:
    """Write what differs and tell it; gives how many entered and left."""
    one, none = literal([segment.segment_id], ARRAY(Id)), literal([], ARRAY(Id))
    moved = _written(organization_id, segment.slot, meant, pages).cte("moved")
    batch = (
        insert(outbox)
        .from_select(["organization_id"], select(literal(organization_id, Id)).where(exists(select(moved.c.is_in))))
        .returning(outbox.c.batch_id)
        .cte("batch")
    )
    number = batch.c.batch_id.op("<<")(literal_column(str(PLACES))) + func.row_number().over()
    told = insert(segment_change).from_select(
        ["organization_id", "change_id", "customer_id", "at", "cause", "entered", "left"],
        select(
            literal(organization_id, Id),
            number,
            moved.c.customer_id,
            literal(now, Instant),
            literal(segment.cause or "edit", Id),
            case((moved.c.is_in, one), else_=none),
            case((moved.c.is_in, none), else_=one),
        ).select_from(moved.join(batch, true())),
    )
    entered = func.count().filter(moved.c.is_in)
    return statement(select(entered, func.count() - entered).select_from(moved).add_cte(told.cte("told")))


def _written(organization_id: str, slot: int, meant: ColumnElement[bool], pages: Pages) -> Any:
    missing = func.greatest(0, slot // BITS + 1 - func.octet_length(customer.c.memberships))
    padded = customer.c.memberships.op("||")(func.decode(func.repeat("00", missing), "hex"))
    writing: Update = (
        update(customer)
        .where(pages.where(organization_id), meant != inside(slot))
        .values(memberships=func.set_bit(padded, slot, case((inside(slot), 0), else_=1)))
    )
    return writing.returning(customer.c.customer_id, (func.get_bit(customer.c.memberships, slot) == 1).label("is_in"))
