"""The values of mails' variables, as people write them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, datetime
from functools import lru_cache
from typing import Final, NamedTuple

from shared.database.campaigns import Organization
from shared.domain.money import format_money
from shared.domain.schedule import zone
from shared.domain.templating import COUPON_VARIABLES


class People(NamedTuple):
    """Customers as their mails name them, by column; null where nobody is there."""

    name: Sequence[str | None]
    total_spent: Sequence[int | None]
    visit_count: Sequence[int | None]
    last_visit_at: Sequence[datetime | None]
    time_zone: Sequence[str | None]


def values_of(names: frozenset[str], people: People, sender: Organization) -> dict[str, list[str]]:
    """Each one's value for each of `names`, those of a coupon aside (services/mailer/coupons.py); empty where there is
    none.
    """
    return {name: VALUES[name](people, sender) for name in sorted(names - COUPON_VARIABLES)}


def day_in_words(at: datetime | None, time_zone: str) -> str:
    """3 March 2026."""
    if at is None:
        return ""
    return _in_words(at.astimezone(zone(time_zone)).date())


@lru_cache(maxsize=4096)
def _in_words(day: date) -> str:
    return f"{day.day} {day:%B %Y}"


Values = Callable[[People, Organization], list[str]]

VALUES: Final[dict[str, Values]] = {
    "customer_name": lambda people, _: [name or "" for name in people.name],
    "first_name": lambda people, _: [next(iter((name or "").split(None, 1)), "") for name in people.name],
    "organization_name": lambda people, sender: [sender.name] * len(people.name),
    "total_spent": lambda people, sender: [format_money(spent or 0, sender.currency) for spent in people.total_spent],
    "visit_count": lambda people, _: [str(count or 0) for count in people.visit_count],
    "last_visit_date": lambda people, sender: [
        day_in_words(at, time_zone or sender.time_zone)
        for at, time_zone in zip(people.last_visit_at, people.time_zone, strict=True)
    ],
}
