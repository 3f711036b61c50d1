"""Verification: everything that the stream keeps against a recompute from the ledger by plain SQL (stream = recompute).

It is asked in parts, several at a time, on connections that see the same instant of the database. What differs is
looked at again for a moment, since a flip may be due at this very instant; what still differs is wrong.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from sqlalchemy import Connection, Engine, func, select, text, true

from services.segmenter import verify_memberships, verify_recent, verify_redemptions, verify_stats
from services.segmenter.differences import Difference, Part
from shared.clock import utc_now
from shared.database.engine import engine
from shared.database.ledger_stats import STATS
from shared.database.predicate import hold_sets
from shared.database.tables import customer, ledger, organization
from shared.errors import NotFoundError

LOOKED_AGAIN = 2.5  # seconds for which suspects are looked at again, once at least
BETWEEN_LOOKS = 0.5
READERS = 2

Tell = Callable[[str, int, int], None]
"""Hears the organization, how many parts of it are done, and how many there are."""


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
            "differences": [difference._asdict() for difference in self.differences],
        }


def verify(database: str, organization_id: str | None = None, tell: Tell = lambda *_: None) -> Report:
    """Check one organization, or all. `tell` hears what is being checked. Raises NotFoundError for an unknown one."""
    report = Report()
    reader = engine(database, pool_size=READERS + 1).execution_options(isolation_level="REPEATABLE READ")
    try:
        with reader.connect() as connection:
            mine = organization.c.organization_id == organization_id if organization_id else true()
            query = select(organization.c.organization_id, organization.c.time_zone).where(mine)
            found = connection.execute(query.order_by(organization.c.organization_id)).all()
        if organization_id and not found:
            raise NotFoundError(f"There is no organization {organization_id!r}, so nothing was checked.")
        for name, time_zone in found:
            report.differences += _wrong(reader, name, time_zone, report, tell)
    finally:
        reader.dispose()
    return report


def _wrong(reader: Engine, name: str, time_zone: str, report: Report, tell: Tell) -> list[Difference]:
    with _snapshot(reader) as (connection, snapshot):
        _count(connection, name, report)
        parts = list(_parts(connection, name, time_zone))
        suspects = _ask(reader, snapshot, parts, partial(tell, name))
    until = time.monotonic() + LOOKED_AGAIN
    is_over = False
    while suspects and not is_over:
        time.sleep(BETWEEN_LOOKS)
        is_over = time.monotonic() > until
        with _snapshot(reader) as (connection, snapshot):
            parts = list(_parts(connection, name, time_zone, suspects))
            again = {each.place for each in _ask(reader, snapshot, parts, lambda *_: None)}
        suspects = [each for each in suspects if each.place in again]
    return suspects


def _parts(
    connection: Connection, name: str, time_zone: str, suspects: Sequence[Difference] | None = None
) -> Iterator[Part]:
    """What there is to ask; of `suspects` only, if given."""
    abouts = None if suspects is None else {each.about for each in suspects}
    ids = None if suspects is None else sorted({each.customer_id for each in suspects})
    if abouts is None or not abouts.isdisjoint(STATS):
        yield partial(verify_stats.differences, organization_id=name, ids=ids)
    if abouts is None or verify_recent.ABOUT in abouts:
        yield partial(verify_recent.differences, organization_id=name, time_zone=time_zone, now=utc_now(), ids=ids)
    if abouts is None or any(about.startswith(("redemption:", "coupon:")) for about in abouts):
        yield partial(verify_redemptions.differences, organization_id=name)
    yield from verify_memberships.parts(connection, name, time_zone, utc_now(), abouts, ids)


@contextmanager
def _snapshot(reader: Engine) -> Iterator[tuple[Connection, str]]:
    """A connection, and the name by which others see what it sees."""
    with reader.connect() as connection:
        yield connection, connection.scalar(select(func.pg_export_snapshot())) or ""


def _ask(reader: Engine, snapshot: str, parts: Sequence[Part], tell: Callable[[int, int], None]) -> list[Difference]:
    def ask(part: Part) -> list[Difference]:
        with reader.connect() as connection:
            connection.execute(text(f"SET TRANSACTION SNAPSHOT '{snapshot}'"))
            hold_sets(connection)
            return part(connection)

    found: list[Difference] = []
    tell(0, len(parts))
    with ThreadPoolExecutor(READERS) as pool:
        for done, answer in enumerate(as_completed([pool.submit(ask, part) for part in parts]), 1):
            found += answer.result()
            tell(done, len(parts))
    return sorted(found, key=lambda each: each.place)


def _count(connection: Connection, name: str, report: Report) -> None:
    customers = connection.scalar(select(func.count()).select_from(customer).where(customer.c.organization_id == name))
    redemptions = select(func.count()).where(ledger.c.organization_id == name, ledger.c.type == "coupon.redeemed")
    report.customers_checked += customers or 0
    report.memberships_checked += (customers or 0) * len(verify_memberships.live(connection, name))
    report.redemptions_checked += connection.scalar(redemptions) or 0
