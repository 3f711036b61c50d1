"""The values of a mail's variables for one customer, as people write them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime
from functools import lru_cache
from typing import Any, Final

from shared.database.campaigns import Organization
from shared.domain.money import format_money
from shared.domain.schedule import zone
from shared.domain.templating import COUPON_VARIABLES

Person = Any
"""A row with the columns name, total_spent, visit_count, last_visit_at, time_zone; all null when nobody is there."""


def values_of(names: frozenset[str], person: Person, sender: Organization) -> dict[str, str]:
    """A value for each of `names`, those of a coupon aside (services/mailer/coupons.py); empty where there is none."""
    return {name: read(person, sender) for name, read in _reads(names)}


@lru_cache(maxsize=256)
def _reads(names: frozenset[str]) -> list[tuple[str, Value]]:
    return [(name, VALUES[name]) for name in sorted(names - COUPON_VARIABLES)]


def day_in_words(at: datetime | None, time_zone: str) -> str:
    """3 March 2026."""
    if at is None:
        return ""
    return _in_words(at.astimezone(zone(time_zone)).date())


@lru_cache(maxsize=4096)
def _in_words(day: date) -> str:
    return f"{day.day} {day:%B %Y}"


Value = Callable[[Person, Organization], str]

VALUES: Final[dict[str, Value]] = {
    "customer_name": lambda person, _: person.name or "",
    "first_name": lambda person, _: next(iter((person.name or "").split(None, 1)), ""),
    "organization_name": lambda _, sender: sender.name,
    "total_spent": lambda person, sender: format_money(person.total_spent or 0, sender.currency),
    "visit_count": lambda person, _: str(person.visit_count or 0),
    "last_visit_date": lambda person, sender: day_in_words(person.last_visit_at, person.time_zone or sender.time_zone),
}
