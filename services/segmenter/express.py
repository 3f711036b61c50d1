"""The express way of plain sales: the same as ledger, fold and memberships, with half the writes.

Sales go straight into the ledger by COPY, and each customer's row is written once, with its sums and its memberships.
It holds only where nothing is unusual: no event or sale is known already, nobody was merged or erased, no adjustment
waits. Otherwise it raises, the transaction is rolled back, and the batch takes the plain way. The two ways are held
equal by the same tests.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from psycopg import sql

from services.segmenter import arrays
from services.segmenter.intake import Row
from services.segmenter.memberships import SCHEDULE, Moves, evaluate
from services.segmenter.program import Program
from services.segmenter.staging import Connection, copy
from shared.clock import Clock

SMALLEST = 200  # below, the plain way has the shorter delay
PLAIN = "sale.completed"

COPY_LEDGER = """
COPY ledger (organization_id, source, event_id, type, occurred_at, customer_id, sale_id, entry, store_id, terminal_id,
             amount, discount, lines) FROM STDIN (FORMAT binary)
"""
LEDGER_TYPES = ["text", "text", "text", "text", "timestamptz", *["text"] * 5, "int8", "int8", "text"]
COPY_SUMS = "COPY sums FROM STDIN (FORMAT binary)"
SUMS_TYPES = ["text", "text", "int8", "int4", "timestamptz", "timestamptz"]
# Lists and histories are read for the customers of `touched`.
TOUCH = "INSERT INTO touched SELECT organization_id, customer_id FROM sums"
# Whether any of these sales or customers needs a second look.
UNUSUAL = """
WITH b AS (SELECT * FROM unnest(%s::text[], %s::text[], %s::text[]) AS b (organization_id, sale_id, customer_id))
SELECT EXISTS (SELECT FROM waiting_adjustment w JOIN b USING (organization_id, sale_id))
    OR EXISTS (SELECT FROM customer_merge m JOIN b USING (organization_id, customer_id))
    OR EXISTS (SELECT FROM erasure e JOIN b ON e.organization_id = b.organization_id
               AND e.customer_digest = sha256(convert_to(b.organization_id || '/' || b.customer_id, 'UTF8')))
"""
RARE = """
SELECT EXISTS (SELECT FROM waiting_adjustment WHERE organization_id = ANY(%(ids)s))
    OR EXISTS (SELECT FROM customer_merge WHERE organization_id = ANY(%(ids)s))
    OR EXISTS (SELECT FROM erasure WHERE organization_id = ANY(%(ids)s))
"""
# What the rows of customers will be, and where they stood when they were read.
AFTER = {
    "total_spent": "coalesce(c.total_spent, 0) + s.spent",
    "visit_count": "coalesce(c.visit_count, 0) + s.visits",
    "first_visit_at": "least(c.first_visit_at, s.first_at)",
    "last_visit_at": "greatest(c.last_visit_at, s.last_at)",
    "registered_at": "coalesce(c.registered_given_at, least(c.first_event_at, s.first_at))",
}
READ = sql.SQL("""
WITH these AS MATERIALIZED (
    SELECT {values}, c.ctid AS place, c.xmin AS version, coalesce(c.total_spent, 0) + s.spent AS after_spent,
           coalesce(c.visit_count, 0) + s.visits AS after_visits, least(c.first_visit_at, s.first_at) AS after_first,
           greatest(c.last_visit_at, s.last_at) AS after_last, least(c.first_event_at, s.first_at) AS after_event
    FROM sums s LEFT JOIN customer c USING (organization_id, customer_id)
    WHERE s.organization_id = %s ORDER BY s.customer_id
), noted AS (
    INSERT INTO seen SELECT {organization_id}, customer_id, place, version, after_spent, after_visits, after_first,
                            after_last, after_event FROM these
)
SELECT {aggregates} FROM these
""")
# What is to be written: sums, and where something moved, memberships and schedule.
DECIDE = """
INSERT INTO decided
SELECT s.*, m.customer_id IS NOT NULL, m.memberships, m.scheduled_at
FROM seen s LEFT JOIN moved m USING (organization_id, customer_id)
"""
# By their place: the planner, which knows little of temporary tables, would rather read all customers.
BY_PLACE = "SELECT set_config('enable_hashjoin', %s, true), set_config('enable_mergejoin', %s, true)"
# One write a customer, if the row is still the one that was read.
UPDATE = """
UPDATE customer c SET
    total_spent = d.total_spent, visit_count = d.visit_count, first_visit_at = d.first_visit_at,
    last_visit_at = d.last_visit_at, first_event_at = d.first_event_at,
    memberships = CASE WHEN d.is_moved THEN d.memberships ELSE c.memberships END,
    scheduled_at = CASE WHEN d.is_moved THEN d.scheduled_at ELSE c.scheduled_at END
FROM decided d
WHERE c.ctid = d.place AND c.xmin = d.version AND c.organization_id = d.organization_id
"""
APPEAR = """
INSERT INTO customer (organization_id, customer_id, total_spent, visit_count, first_visit_at, last_visit_at,
                      first_event_at, memberships, scheduled_at)
SELECT organization_id, customer_id, total_spent, visit_count, first_visit_at, last_visit_at, first_event_at,
       coalesce(memberships, ''), scheduled_at
FROM decided WHERE place IS NULL ORDER BY organization_id, customer_id
ON CONFLICT DO NOTHING
"""


class UnusualError(Exception):
    """The batch must take the plain way."""


def divide(rows: Sequence[Row]) -> tuple[list[Row], list[Row]]:
    """Plain sales, and the rest: other events, and the sales of whom and what these name."""
    others = [row for row in rows if row[4] != PLAIN]
    if not others:
        return list(rows), []
    customers = {(row[1], row[6]) for row in others if row[6] is not None}
    sales = {(row[1], row[7]) for row in others}
    plain = [
        row for row in rows if row[4] == PLAIN and (row[1], row[6]) not in customers and (row[1], row[7]) not in sales
    ]
    chosen = {row[0] for row in plain}
    return plain, [row for row in rows if row[0] not in chosen]


def count(connection: Connection, rows: Sequence[Row], programs: Sequence[Program], clock: Clock, moves: Moves) -> None:
    """Count plain sales of the organizations of `programs`. Raises UnusualError or psycopg's UniqueViolation."""
    _insist_on_the_usual(connection, rows)
    copy(connection, COPY_LEDGER, LEDGER_TYPES, (row[1:14] for row in rows))
    copy(connection, COPY_SUMS, SUMS_TYPES, _sums(rows))
    if any(program.static_slots or program.series for program in programs):
        connection.execute(TOUCH)
    for program in programs:
        names = arrays.needed(program.columns)
        statement = READ.format(
            values=arrays.values(names, AFTER),
            organization_id=sql.Literal(program.organization_id),
            aggregates=arrays.aggregates(names),
        )
        customers = arrays.first(
            connection, statement, program.organization_id, names, program.time_zone, program.width
        )
        if customers is not None and program.segments:
            evaluate(connection, program, customers, clock(), "event", moves)
    connection.execute(DECIDE)
    known = connection.execute("SELECT count(place), count(*) FROM decided").fetchone() or (0, 0)
    connection.execute(BY_PLACE, ["off", "off"])
    written = connection.execute(UPDATE).rowcount
    connection.execute(BY_PLACE, ["on", "on"])
    appeared = connection.execute(APPEAR).rowcount if known[1] > known[0] else 0
    if (written, appeared) != (known[0], known[1] - known[0]):
        raise UnusualError  # somebody else wrote one of the rows meanwhile
    for program in programs:
        connection.execute(SCHEDULE, [program.organization_id])


def _insist_on_the_usual(connection: Connection, rows: Sequence[Row]) -> None:
    known = {"ids": list({row[1] for row in rows})}
    if connection.execute(RARE, known).fetchone() == (True,):
        columns = [[row[place] for row in rows] for place in (1, 7, 6)]
        if connection.execute(UNUSUAL, columns).fetchone() == (True,):
            raise UnusualError


def _sums(rows: Sequence[Row]) -> list[tuple[str, str, int, int, datetime, datetime]]:
    """What the sales add to each customer."""
    sums: dict[tuple[str, str], list[Any]] = {}
    for row in rows:
        if row[6] is None:
            continue
        at, known = row[5], sums.get((row[1], row[6]))
        if known is None:
            sums[row[1], row[6]] = [row[11], 1, at, at]
        else:
            known[0] += row[11]
            known[1] += 1
            known[2] = min(known[2], at)
            known[3] = max(known[3], at)
    return [(*key, *known) for key, known in sorted(sums.items())]
