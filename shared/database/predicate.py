"""From criteria to SQL over the real tables: what previews, backfills, audiences and `verify` ask."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ColumnElement, Connection, and_, case, func, select, text

from shared.database.tables import customer, ledger, static_member
from shared.domain.criteria import Criteria, Tables

BITS = 8  # of a byte
# For this transaction: a statement may hold a set of up to a gigabyte (about 25 million customers, as PostgreSQL
# guesses) in memory; it takes what the set needs. And what several workers can look through, they do.
HOLD_SETS = text(
    "SELECT set_config('work_mem', '64MB', true), set_config('hash_mem_multiplier', '16', true), "
    "set_config('parallel_tuple_cost', '0.001', true)"
)


def tables_of(organization_id: str, time_zone: str) -> Tables:
    """The real tables; `time_zone` is the organization's."""
    return Tables(customer, static_member, ledger, organization_id, time_zone)


def predicate(criteria: Criteria, organization_id: str, time_zone: str, now: datetime) -> ColumnElement[bool]:
    """True for the organization's customers that meet the criteria at `now`; `time_zone` is the organization's."""
    meant = criteria.where(tables_of(organization_id, time_zone), now)
    return and_(customer.c.organization_id == organization_id, meant)


def hold_sets(connection: Connection) -> None:
    """Before a predicate is asked of many customers. A set that PostgreSQL does not hold is gone through once for each
    customer: at a million, a query of seconds takes days.
    """
    connection.execute(HOLD_SETS)


def listed(organization_id: str, segment_id: str) -> ColumnElement[bool]:
    """True for the customers whom a static segment's list names."""
    named = select(static_member.c.customer_id).where(
        static_member.c.organization_id == organization_id, static_member.c.segment_id == segment_id
    )
    return and_(customer.c.organization_id == organization_id, customer.c.customer_id.in_(named))


def inside(slot: int) -> ColumnElement[bool]:
    """Whether a customer's bit `slot` is set. A row holds no more bytes than it needs."""
    bits = customer.c.memberships
    return case((func.octet_length(bits) > slot // BITS, func.get_bit(bits, slot) == 1), else_=False)
