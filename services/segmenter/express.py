"""The express way of plain sales: the same as ledger, fold and memberships, with half the writes.

Sales go straight into the ledger by COPY, and each customer's row is written once, with its sums and its memberships.
It holds only where nothing is unusual: no event or sale is known already, nobody was merged or erased, no adjustment
waits. Otherwise it raises, the transaction is rolled back, and the batch takes the plain way. The two ways are held
equal by the same tests.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from psycopg import sql

from services.segmenter import arrays, parameters
from services.segmenter.arrays import INFINITY
from services.segmenter.intake import Row
from services.segmenter.memberships import Verdict, evaluate, schedule
from services.segmenter.moves import Moves
from services.segmenter.program import Program
from services.segmenter.staging import (
    AMOUNT,
    CUSTOMER_ID,
    INCOMING,
    INCOMING_TYPES,
    NUMBER,
    OCCURRED_AT,
    ORGANIZATION_ID,
    PAYLOAD,
    SALE_ID,
    TYPE,
    Connection,
    copy,
)
from shared.clock import Clock
from shared.domain.criteria import MISSING

# What criteria ask of a customer's row that is added up here.
SUMMED = ("total_spent", "visit_count", "first_visit_at", "last_visit_at", "registered_at")
PLAIN = "sale.completed"

# Of a sale's row what the ledger keeps: all but its number in the batch, and no payload.
KEPT = slice(ORGANIZATION_ID, PAYLOAD)
COPY_LEDGER = f"COPY ledger ({', '.join(name for name, _ in INCOMING[KEPT])}) FROM STDIN (FORMAT binary)"
LEDGER_TYPES = INCOMING_TYPES[KEPT]
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
# Buyers as they are stored, and where their rows stand; a row for each, also for who is new.
READ = sql.SQL("""
SELECT {aggregates}, array_agg(visits), array_agg(first_at), array_agg(last_at), array_agg(event_at),
       array_agg(given_at), array_agg(spent), array_agg(place), array_agg(version)
FROM (
    SELECT {values}, coalesce(c.visit_count, 0)::bigint AS visits, coalesce(c.first_visit_at, 'infinity') AS first_at,
           coalesce(c.last_visit_at, '-infinity') AS last_at, coalesce(c.first_event_at, 'infinity') AS event_at,
           coalesce(c.registered_given_at, 'infinity') AS given_at, coalesce(c.total_spent, 0) AS spent,
           coalesce(c.ctid, '(0,0)') AS place, coalesce(c.xmin, '0') AS version
    FROM unnest(string_to_array(%s, E'\\x1f')) WITH ORDINALITY AS b (customer_id, n)
    LEFT JOIN customer c ON c.organization_id = {organization_id} AND c.customer_id = b.customer_id
    ORDER BY b.n
) AS these
""")
# One write a customer, by the row's place, if it is still the one that was read.
UPDATE = """
UPDATE customer c SET
    total_spent = d.spent, visit_count = d.visits, first_visit_at = d.first_at, last_visit_at = d.last_at,
    first_event_at = d.event_at, memberships = d.memberships, scheduled_at = nullif(d.scheduled_at, 'infinity'),
    recent = nullif(d.recent, '')
FROM unnest(%s::tid[], %s::xid[], %s::bigint[], %s::bigint[], %s::timestamptz[], %s::timestamptz[], %s::timestamptz[],
            %s::bytea[], %s::timestamptz[], %s::bytea[])
     AS d (place, version, spent, visits, first_at, last_at, event_at, memberships, scheduled_at, recent)
WHERE c.ctid = d.place AND c.xmin = d.version AND c.organization_id = %s
"""
# Who buys for the first time.
APPEAR = """
INSERT INTO customer (organization_id, customer_id, total_spent, visit_count, first_visit_at, last_visit_at,
                      first_event_at, memberships, scheduled_at, recent)
SELECT %s, customer_id, spent, visits, first_at, last_at, event_at, memberships, nullif(scheduled_at, 'infinity'),
       nullif(recent, '')
FROM unnest(string_to_array(%s, E'\\x1f'), %s::bigint[], %s::bigint[], %s::timestamptz[], %s::timestamptz[],
            %s::timestamptz[], %s::bytea[], %s::timestamptz[], %s::bytea[])
     AS d (customer_id, spent, visits, first_at, last_at, event_at, memberships, scheduled_at, recent)
ORDER BY customer_id
ON CONFLICT DO NOTHING
"""


Integers = npt.NDArray[np.int64]
Places = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Bought:
    """What sales add to their buyers, in the order of `ids`; sale n is the buyer's at `places[n]`."""

    ids: Sequence[str]
    places: Places
    spent: Integers
    visits: Integers
    first: Integers
    last: Integers

    @classmethod
    def by(cls, sales: Sequence[Row]) -> Bought:
        """Of sales that each have a buyer."""
        buyers = [row[CUSTOMER_ID] for row in sales]
        ids = sorted(set(buyers))
        place_of = {customer_id: place for place, customer_id in enumerate(ids)}
        places = np.fromiter(map(place_of.__getitem__, buyers), np.intp, len(buyers))
        at = arrays.instants([row[OCCURRED_AT] for row in sales])
        spent, visits = np.zeros(len(ids), np.int64), np.bincount(places, minlength=len(ids))
        np.add.at(spent, places, np.array([row[AMOUNT] for row in sales], np.int64))
        first, last = np.full(len(ids), INFINITY), np.full(len(ids), MISSING)
        np.minimum.at(first, places, at)
        np.maximum.at(last, places, at)
        return cls(ids, places, spent, visits, first, last)


class UnusualError(Exception):
    """The batch must take the plain way."""


def divide(rows: Sequence[Row]) -> tuple[list[Row], list[Row]]:
    """Plain sales, and the rest: other events, and the sales of whom and what these name."""
    others = [row for row in rows if row[TYPE] != PLAIN]
    if not others:
        return list(rows), []
    customers = {(row[ORGANIZATION_ID], row[CUSTOMER_ID]) for row in others if row[CUSTOMER_ID] is not None}
    sales = {(row[ORGANIZATION_ID], row[SALE_ID]) for row in others}
    plain = [
        row
        for row in rows
        if row[TYPE] == PLAIN
        and (row[ORGANIZATION_ID], row[CUSTOMER_ID]) not in customers
        and (row[ORGANIZATION_ID], row[SALE_ID]) not in sales
    ]
    chosen = {row[NUMBER] for row in plain}
    return plain, [row for row in rows if row[NUMBER] not in chosen]


def count(connection: Connection, rows: Sequence[Row], programs: Sequence[Program], clock: Clock, moves: Moves) -> None:
    """Count plain sales of the organizations of `programs`. Raises UnusualError or psycopg's UniqueViolation."""
    _insist_on_the_usual(connection, rows)
    copy(connection, COPY_LEDGER, LEDGER_TYPES, (row[KEPT] for row in rows))
    sales: dict[str, list[Row]] = {program.organization_id: [] for program in programs}
    for row in rows:
        if row[CUSTOMER_ID] is not None:
            sales[row[ORGANIZATION_ID]].append(row)
    for program in programs:
        if sales[program.organization_id]:
            _add(connection, program, sales[program.organization_id], clock, moves)


def _add(connection: Connection, program: Program, sales: Sequence[Row], clock: Clock, moves: Moves) -> None:
    """Add to the customers of an organization what they bought, and bring their memberships to what holds then."""
    bought = Bought.by(sales)
    ids = bought.ids
    names = arrays.needed(program.columns)
    others = [name for name in names if name not in SUMMED]
    statement = READ.format(
        values=arrays.values(others),
        organization_id=sql.Literal(program.organization_id),
        aggregates=arrays.aggregates(others),
    )
    found: tuple[Any, ...] = connection.execute(statement, [parameters.texts(ids)], binary=True).fetchone() or ()
    read, (visits, first, last, event, given, spent, places, versions) = found[:-8], found[-8:]
    columns = [
        spent + bought.spent,
        visits + bought.visits,
        np.minimum(first, bought.first),
        np.maximum(last, bought.last),
        np.minimum(event, bought.first),
    ]
    if (columns[0] < spent).any():
        raise UnusualError  # more money than there is: the plain way tells whose event cannot be stored
    registered = np.where(given == INFINITY, columns[4], given)
    after = dict(zip(SUMMED, [*columns[:4], registered], strict=True)) | dict(zip(others, read[2:], strict=True))
    values = [after[name] for name in names]
    customers = arrays.Customers([ids, *read[:2], *values], names, program.time_zone, program.width)
    if customers.recent is not None:
        customers.last_visits = arrays.from_postgres(last, MISSING)
        customers.bought = list(zip(bought.places.tolist(), sales, strict=True))
    verdict = evaluate(connection, program, customers, clock(), "event", moves)
    stay = np.flatnonzero(places["offset"])
    written = connection.execute(
        UPDATE,
        [
            parameters.places(places[stay]),
            parameters.versions(versions[stay]),
            *_values(columns, verdict, stay),
            program.organization_id,
        ],
    ).rowcount
    if stay.size < len(ids):
        new = np.flatnonzero(places["offset"] == 0)
        name = [program.organization_id, parameters.texts([ids[row] for row in new.tolist()])]
        written += connection.execute(APPEAR, [*name, *_values(columns, verdict, new)]).rowcount
    if written != len(ids):
        raise UnusualError  # somebody else wrote one of the rows meanwhile
    schedule(connection, program, customers, verdict)


def _values(columns: list[Integers], verdict: Verdict, rows: Places) -> list[parameters.Parameter]:
    """Sums and memberships of some rows, in the order in which both statements take them."""
    spent, visits, first, last, event = (column[rows] for column in columns)
    return [
        parameters.numbers(spent),
        parameters.numbers(visits),
        parameters.instants(first),
        parameters.instants(last),
        parameters.instants(event),
        verdict.memberships(rows),
        parameters.instants(arrays.to_postgres(verdict.scheduled[rows])),
        verdict.recent(rows),
    ]


def _insist_on_the_usual(connection: Connection, rows: Sequence[Row]) -> None:
    known = {"ids": list({row[ORGANIZATION_ID] for row in rows})}
    if connection.execute(RARE, known).fetchone() == (True,):
        columns = [[row[place] for row in rows] for place in (ORGANIZATION_ID, SALE_ID, CUSTOMER_ID)]
        if connection.execute(UNUSUAL, columns).fetchone() == (True,):
            raise UnusualError
