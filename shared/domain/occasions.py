"""What makes a mail due, and its name: one mail at most for each (campaign, customer, occasion)."""

from __future__ import annotations

from calendar import isleap
from datetime import date, timedelta
from typing import Final

SEND: Final = "send"
LEAP_DAY: Final = 229


def entered(event_id: str) -> str:
    """The occasion of an entry into a segment."""
    return f"entered-{event_id}"


def kept_on(day: date) -> list[int]:
    """The days of the year, as month x 100 + day, that are celebrated on a date: 29 February on 28 February in years
    without one.
    """
    days = [day.month * 100 + day.day]
    if days[0] == LEAP_DAY - 1 and not isleap(day.year):
        days.append(LEAP_DAY)
    return days


def kept_between(first: date, last: date) -> list[tuple[int, date]]:
    """Every day of the year that is celebrated from `first` to `last`, with the date."""
    dates = [first + timedelta(days=n) for n in range((last - first).days + 1)]
    return [(day, on) for on in dates for day in kept_on(on)]
