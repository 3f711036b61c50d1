"""Memberships against their criteria by plain SQL, and segments' counters against the memberships.

Criteria that a customer's row answers are asked many at a time, in one pass over the customers. One that looks
elsewhere is asked by itself: the set that it needs is held in memory meanwhile.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from sqlalchemy import ColumnElement, Connection, RowMapping, any_, case, func, literal, or_, select
from sqlalchemy import Text as SqlText
from sqlalchemy.dialects.postgresql import ARRAY

from services.segmenter.differences import Difference, Part
from shared.database.predicate import inside, listed, predicate
from shared.database.tables import customer, segment
from shared.domain.criteria import Criteria, parse
from shared.domain.criteria.windows import series_of

AT_ONCE = 25  # segments in a statement


@dataclass(frozen=True)
class Membership:
    """Who should be in a segment, and who is."""

    segment_id: str
    wanted: ColumnElement[bool]
    has_bit: ColumnElement[bool]


def parts(  # noqa: PLR0917 - whose, when, which
    connection: Connection,
    organization_id: str,
    time_zone: str,
    now: datetime,
    abouts: Collection[str] | None = None,
    ids: Sequence[str] | None = None,
) -> Iterator[Part]:
    """What there is to ask; of `abouts` (`segment:ID`, `member_count:ID`) and the customers `ids` only, if given."""
    together: list[Membership] = []
    counted: list[RowMapping] = []
    for row in live(connection, organization_id):
        if abouts is None or f"member_count:{row['segment_id']}" in abouts:
            counted.append(row)
        if abouts is not None and f"segment:{row['segment_id']}" not in abouts:
            continue
        criteria = parse(row["criteria"]) if row["kind"] == "dynamic" else None
        wanted = (
            listed(organization_id, row["segment_id"])
            if criteria is None
            else predicate(criteria, organization_id, time_zone, now)
        )
        membership = Membership(row["segment_id"], wanted, inside(row["slot"]))
        if criteria is not None and _says_the_row(criteria):
            together.append(membership)
        else:
            yield partial(_wrong, organization_id=organization_id, memberships=[membership], ids=ids)
    for first in range(0, len(together), AT_ONCE):
        some = together[first : first + AT_ONCE]
        yield partial(_wrong, organization_id=organization_id, memberships=some, ids=ids)
    for first in range(0, len(counted), AT_ONCE):
        yield partial(_miscounted, organization_id=organization_id, segments=counted[first : first + AT_ONCE])


def live(connection: Connection, organization_id: str) -> Sequence[RowMapping]:
    """The segments whose memberships hold."""
    wanted = select(segment).where(segment.c.organization_id == organization_id, segment.c.state == "live")
    return connection.execute(wanted.order_by(segment.c.segment_id)).mappings().all()


def _says_the_row(criteria: Criteria) -> bool:
    """Whether a customer's row alone answers them."""
    return not series_of(criteria.leaves()) and not any(name.startswith("segment:") for name in criteria.columns)


def _wrong(
    connection: Connection, organization_id: str, memberships: Sequence[Membership], ids: Sequence[str] | None
) -> list[Difference]:
    wrong = [each.wanted != each.has_bit for each in memberships]
    found = [case((differs, each.has_bit)) for differs, each in zip(wrong, memberships, strict=True)]
    query = select(customer.c.customer_id, *found).where(customer.c.organization_id == organization_id, or_(*wrong))
    if ids is not None:
        query = query.where(customer.c.customer_id == any_(literal(list(ids), ARRAY(SqlText))))
    return [
        Difference(organization_id, customer_id, f"segment:{each.segment_id}", not is_in, is_in)
        for customer_id, *bits in connection.execute(query)
        for each, is_in in zip(memberships, bits, strict=True)
        if is_in is not None
    ]


def _miscounted(connection: Connection, organization_id: str, segments: Sequence[RowMapping]) -> list[Difference]:
    counts = [func.count().filter(inside(row["slot"])) for row in segments]
    query = select(*counts).select_from(customer).where(customer.c.organization_id == organization_id)
    return [
        Difference(organization_id, "", f"member_count:{row['segment_id']}", expected, row["member_count"])
        for row, expected in zip(segments, connection.execute(query).one(), strict=True)
        if row["member_count"] != expected
    ]
