"""Days of an organization's calendar, of which a table tells."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Final
from zoneinfo import ZoneInfo

from fastapi import Query

from shared.errors import InvalidError

USUAL: Final = 30
MOST: Final = 731
DAY: Final = timedelta(days=1)

From = Annotated[date | None, Query(alias="from", description="The first day; 30 days up to the last one if absent.")]
Until = Annotated[date | None, Query(description="The last day, which counts as well; today if absent.")]


@dataclass(frozen=True, slots=True)
class Span:
    """From the first day to the last, both counted. `now` is for tables that go by it alone."""

    now: datetime
    zone: str
    first: date
    last: date

    @property
    def starts(self) -> datetime:
        """The first instant of the first day."""
        return self._midnight(self.first)

    @property
    def ends(self) -> datetime:
        """The first instant that is not in it."""
        return self._midnight(self.last + DAY)

    @property
    def days(self) -> list[date]:
        """All of them, the last one first."""
        return [self.last - n * DAY for n in range((self.last - self.first).days + 1)]

    def _midnight(self, day: date) -> datetime:
        return datetime.combine(day, time(), ZoneInfo(self.zone)).astimezone(UTC)


def span(now: datetime, zone: str, first: date | None = None, last: date | None = None) -> Span:
    """What was asked for, or the usual. Raises InvalidError."""
    last = last or now.astimezone(ZoneInfo(zone)).date()
    if last.year < 2000 or last.year > 9000:  # noqa: PLR2004 - room on both sides, whatever the zone
        raise InvalidError("must be a day that a till can have seen", "until")
    first = first or last - (USUAL - 1) * DAY
    if first > last:
        raise InvalidError(f"must not be after the last day, {last}", "from")
    if (last - first).days >= MOST:
        raise InvalidError(f"must be within {MOST} days of the last day, {last}", "from")
    return Span(now, zone, first, last)
