"""Verification: everything that the stream keeps against a recompute from the ledger by plain SQL (stream = recompute).

What differs is looked at again for a moment, since a flip may be due at this very instant; what still differs is wrong.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, case, column, func, or_, select, true, values
from sqlalchemy import Text as SqlText

from services.segmenter import verify_redemptions
from shared.clock import utc_now
from shared.database.engine import engine
from shared.database.ledger_stats import STATS, stats_from_ledger
from shared.database.predicate import inside, listed, predicate
from shared.database.tables import customer, ledger, organization, segment
from shared.domain.criteria import parse

LOOKS = 5
BETWEEN_LOOKS = 0.5

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Difference:
    """What was expected of a customer, by the ledger, and what was found. `about` is a stat, `segment:ID`,
    `redemption:CODE:SALE` or `coupon:CODE`.
    """

    organization_id: str
    customer_id: str
    about: str
    expected: Any
    found: Any


@dataclass
class Report:
    """What was checked, and what is wrong."""

    customers_checked: int = 0
    memberships_checked: int = 0
    redemptions_checked: int = 0
    differences: list[Difference] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """As `regulars verify --json` prints it."""
        return {
            "customers_checked": self.customers_checked,
            "memberships_checked": self.memberships_checked,
            "redemptions_checked": self.redemptions_checked,
            "differences": [vars(difference) for difference in self.differences],
        }


def verify(database: str, organization_id: str | None = None, tell: Tell = lambda _: None) -> Report:
    """Check one organization, or all. `tell` hears what is being checked."""
    report = Report()
    reader = engine(database).execution_options(isolation_level="REPEATABLE READ")
    try:
        with reader.connect() as connection:
            mine = organization.c.organization_id == organization_id if organization_id else true()
            query = select(organization.c.organization_id, organization.c.time_zone).where(mine)
            found = connection.execute(query.order_by(organization.c.organization_id)).all()
        for name, time_zone in found:
            tell(name)
            with reader.connect() as connection:
                _count(connection, name, report)
                suspects = _differences(connection, name, time_zone, utc_now())
            for _ in range(LOOKS):
                if not suspects:
                    break
                time.sleep(BETWEEN_LOOKS)
                with reader.connect() as connection:
                    ids = sorted({each.customer_id for each in suspects})
                    again = {_place(each) for each in _differences(connection, name, time_zone, utc_now(), ids)}
                suspects = [each for each in suspects if _place(each) in again]
            report.differences += suspects
    finally:
        reader.dispose()
    return report


def _place(difference: Difference) -> tuple[str, str]:
    return difference.customer_id, difference.about


def _count(connection: Connection, name: str, report: Report) -> None:
    customers = connection.scalar(select(func.count()).select_from(customer).where(customer.c.organization_id == name))
    segments = connection.scalar(select(func.count()).select_from(segment).where(_live(name)))
    redemptions = select(func.count()).where(ledger.c.organization_id == name, ledger.c.type == "coupon.redeemed")
    report.customers_checked += customers or 0
    report.memberships_checked += (customers or 0) * (segments or 0)
    report.redemptions_checked += connection.scalar(redemptions) or 0


def _live(name: str) -> ColumnElement[bool]:
    return and_(segment.c.organization_id == name, segment.c.state == "live")


def _differences(
    connection: Connection, name: str, time_zone: str, now: datetime, ids: Sequence[str] | None = None
) -> list[Difference]:
    return [
        *_stats(connection, name, ids),
        *_memberships(connection, name, time_zone, now, ids),
        *_counts(connection, name),
        *(Difference(name, *difference) for difference in verify_redemptions.differences(connection, name)),
    ]


def _stats(connection: Connection, name: str, ids: Sequence[str] | None) -> list[Difference]:
    scope = None
    if ids is not None:
        named = values(column("organization_id", SqlText), column("customer_id", SqlText), name="named")
        scope = named.data([(name, customer_id) for customer_id in ids]).alias("scope")
    fresh = stats_from_ledger(scope).subquery("fresh")
    expected = select(fresh).where(fresh.c.organization_id == name).subquery("expected")
    found = select(customer).where(customer.c.organization_id == name).subquery("found")
    if ids is not None:
        found = (
            select(customer)
            .where(customer.c.organization_id == name, customer.c.customer_id.in_(ids))
            .subquery("found")
        )
    differs = or_(*(expected.c[stat].is_distinct_from(found.c[stat]) for stat in STATS))
    query = (
        select(
            func.coalesce(expected.c.customer_id, found.c.customer_id),
            *(expected.c[stat] for stat in STATS),
            *(found.c[stat] for stat in STATS),
        )
        .select_from(expected.outerjoin(found, expected.c.customer_id == found.c.customer_id, full=True))
        .where(differs)
    )
    differences = []
    for customer_id, *stats in connection.execute(query):
        for stat, wanted, got in zip(STATS, stats[: len(STATS)], stats[len(STATS) :], strict=True):
            if wanted != got:
                differences.append(Difference(name, customer_id, stat, _plain(wanted), _plain(got)))
    return differences


def _memberships(
    connection: Connection, name: str, time_zone: str, now: datetime, ids: Sequence[str] | None
) -> list[Difference]:
    differences = []
    query = select(segment.c.segment_id, segment.c.kind, segment.c.criteria, segment.c.slot).where(_live(name))
    for segment_id, kind, criteria, slot in connection.execute(query.order_by(segment.c.segment_id)).all():
        wanted = predicate(parse(criteria), name, time_zone, now) if kind == "dynamic" else listed(name, segment_id)
        has_bit = inside(slot)
        wrong = select(customer.c.customer_id, has_bit).where(customer.c.organization_id == name, wanted != has_bit)
        if ids is not None:
            wrong = wrong.where(customer.c.customer_id.in_(ids))
        differences += [
            Difference(name, customer_id, f"segment:{segment_id}", not is_in, is_in)
            for customer_id, is_in in connection.execute(wrong)
        ]
    return differences


def _counts(connection: Connection, name: str) -> list[Difference]:
    """Member counts against the memberships themselves."""
    bits = customer.c.memberships
    has_bit = case((func.length(bits) > segment.c.slot // 8, func.get_bit(bits, segment.c.slot) == 1), else_=False)
    counted = (
        select(segment.c.segment_id, segment.c.member_count, func.count(customer.c.customer_id).filter(has_bit))
        .select_from(segment.outerjoin(customer, customer.c.organization_id == segment.c.organization_id))
        .where(_live(name))
        .group_by(segment.c.segment_id, segment.c.member_count)
    )
    return [
        Difference(name, "", f"member_count:{segment_id}", expected, found)
        for segment_id, found, expected in connection.execute(counted)
        if found != expected
    ]


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else int(value) if value is not None else None
