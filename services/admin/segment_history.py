"""How a segment grew and shrank, day by day."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from pydantic import BaseModel, Field
from sqlalchemy import Connection, select

from services.admin import organizations, segments
from shared.database.tables import segment_day


class Day(BaseModel):
    """A day in the organization's time zone."""

    date: date
    members: int = Field(description="At the end of the day; today: now.")
    entered: int
    left: int


class History(BaseModel):
    """The last days, the oldest first; today is the last one."""

    items: list[Day]


def of(connection: Connection, organization_id: str, segment_id: str, days: int, now: datetime) -> History:
    """Every day of the last `days`, also those without a change. Raises NotFoundError."""
    members = segments.read(connection, organization_id, segment_id).member_count
    return many(connection, organization_id, {segment_id: members}, days, now)[segment_id]


def many(
    connection: Connection, organization_id: str, members: Mapping[str, int], days: int, now: datetime
) -> dict[str, History]:
    """As `of`, of some segments by their ids, given how many members they have now."""
    today = now.astimezone(ZoneInfo(organizations.read(connection, organization_id).time_zone)).date()
    first = today - timedelta(days=days - 1)
    wanted = select(segment_day.c.segment_id, segment_day.c.day, segment_day.c.entered, segment_day.c.left).where(
        segment_day.c.organization_id == organization_id,
        segment_day.c.segment_id.in_(members),
        segment_day.c.day >= first,
    )
    moved: dict[str, dict[date, tuple[int, int]]] = {segment_id: {} for segment_id in members}
    for segment_id, day, entered, left in connection.execute(wanted):
        moved[segment_id][day] = (entered, left)
    return {
        segment_id: History(items=_backwards(number, moved[segment_id], first, max([today, *moved[segment_id]])))
        for segment_id, number in members.items()
    }


def _backwards(members: int, moved: Mapping[date, tuple[int, int]], first: date, last: date) -> list[Day]:
    """From the size now, back to `first`; given the oldest first."""
    items = []
    for back in range((last - first).days + 1):
        day = last - timedelta(days=back)
        entered, left = moved.get(day, (0, 0))
        items.append(Day(date=day, members=members, entered=entered, left=left))
        members -= entered - left
    return items[::-1]
