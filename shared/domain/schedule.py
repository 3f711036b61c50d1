"""The customer's calendar: which minute suits, and when the next day, week or month begins. Safe over daylight-saving
changes: local times become instants by zoneinfo, and every step moves forward.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

CONTACT_TIMES: Final = {
    "morning": (time(9), time(12)),
    "afternoon": (time(12), time(17)),
    "evening": (time(17), time(20)),
}
DAY: Final = timedelta(days=1)


class Quiet(NamedTuple):
    """No marketing mail from one local time of day until another; past midnight when `start` is the later one."""

    start: time
    end: time

    def holds(self, at: time) -> bool:
        """Whether a local time lies in it. Equal ends are no quiet hours."""
        if self.start <= self.end:
            return self.start <= at < self.end
        return at >= self.start or at < self.end

    def leaves(self, start: time, end: time) -> bool:
        """Whether anything of a span within one day lies outside of it."""
        return not self.holds(start) or start <= self.end < end


@cache
def zone(name: str) -> ZoneInfo:
    """A time zone; one that this machine does not know is taken as UTC."""
    try:
        return ZoneInfo(name)
    except (LookupError, ValueError, OSError):
        return ZoneInfo("UTC")


def local_day(at: datetime, name: str) -> date:
    """The date on the customer's calendar."""
    return at.astimezone(zone(name)).date()


def slot_start(today: date, frequency: str | None) -> date:
    """The first day of the present slot: the day itself, the ISO week's Monday or the month's first."""
    if frequency == "weekly":
        return today - timedelta(days=today.weekday())
    return today.replace(day=1) if frequency == "monthly" else today


def next_slot(now: datetime, name: str, frequency: str | None) -> datetime:
    """The instant at which the next day, week or month begins for the customer."""
    start = slot_start(local_day(now, name), frequency)
    if frequency == "weekly":
        following = start + 7 * DAY
    elif frequency == "monthly":
        following = slot_start(start + 31 * DAY, frequency)
    else:
        following = start + DAY
    return instant(following, time(0), name)


def instant(day: date, at: time, name: str) -> datetime:
    """When a local clock first shows that time on that day, or has just jumped over it."""
    return datetime.combine(day, at, zone(name)).astimezone(UTC)


def first_allowed(at: datetime, name: str, contact_time: str | None, quiet: Quiet | None) -> tuple[datetime, bool]:
    """The first instant from `at` on that lies in the contact time and outside the quiet hours, and whether quiet hours
    moved it. Where they leave nothing of the contact time, any minute outside of them has to do.
    """
    window = CONTACT_TIMES.get(contact_time or "")
    if window is not None and quiet is not None and not quiet.leaves(*window):
        window = None
    moment, moved_by_quiet = at, False
    while True:
        local = moment.astimezone(zone(name)).time()
        if quiet is not None and quiet.holds(local):
            moment, moved_by_quiet = _next(moment, quiet.end, name), True
        elif window is not None and not window[0] <= local < window[1]:
            moment = _next(moment, window[0], name)
        else:
            return moment, moved_by_quiet


def _next(after: datetime, at: time, name: str) -> datetime:
    """The next instant at which a local clock shows `at`."""
    today = local_day(after, name)
    for day in (today, today + DAY, today + 2 * DAY):
        for fold in (0, 1):  # an hour that the clock runs through twice counts twice
            candidate = instant(day, at.replace(fold=fold), name)
            if candidate > after:
                return candidate
    raise AssertionError("a local clock shows every time of day within two days")
