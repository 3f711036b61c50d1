"""The planner again, slow and obvious: one customer at a time, a quarter of an hour at a time. What it says in plain loops
the mailer must do with its indexes, claims and waits.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from zoneinfo import ZoneInfo

from shared.domain.gates import held_out
from shared.domain.schedule import Quiet

TICK = timedelta(minutes=15)
DAY = timedelta(days=1)
WINDOWS = {"morning": (9, 12), "afternoon": (12, 17), "evening": (17, 20)}
BY_TYPE = {"birthday": 10, "anniversary": 10, "welcome": 20, "follow_up": 20, "promotional": 30, "newsletter": 40}
# How long before its day a celebration is known, so that others give way to it.
KNOWN = timedelta(hours=1)


@dataclass(frozen=True)
class Person:
    customer_id: str
    zone: str
    frequency: str | None
    contact: str | None
    birthday: tuple[int, int] | None
    shut: str | None = None  # a gate that is closed to them for good

    def clock(self, at: datetime) -> datetime:
        return at.astimezone(ZoneInfo(self.zone))

    def period(self, at: datetime) -> tuple[int, ...]:
        """The day, week or month in which one mail may go."""
        day = self.clock(at).date()
        if self.frequency == "weekly":
            return day.isocalendar()[:2]
        return (day.year, day.month) if self.frequency == "monthly" else (day.year, day.month, day.day)


@dataclass(frozen=True)
class Plan:
    campaign_id: str
    type: str
    expires: timedelta
    priority: int | None = None
    respects: bool = True
    holdout: int = 0
    at: datetime | None = None  # of a one-off
    days_before: int | None = None  # of a birthday
    delay: timedelta | None = None  # of a welcome
    cool_down: timedelta = timedelta()

    @property
    def rank(self) -> tuple[int, str]:
        return BY_TYPE[self.type] if self.priority is None else self.priority, self.campaign_id


@dataclass
class Mail:
    plan: Plan
    occasion: str
    due: datetime
    known: datetime
    state: str = "open"  # or sent, or the reason of its end
    at: datetime | None = None
    put_off: bool = False  # to a minute of a later day, week or month: before that nobody looks at it again

    @property
    def expires(self) -> datetime:
        return self.due + self.plan.expires


def birthdays(person: Person, plan: Plan, first: datetime, last: datetime) -> list[Mail]:
    """Those whose day has come on the customer's calendar from the day of `first` on."""
    found = []
    day = person.clock(first).date()
    while person.birthday and plan.days_before is not None and day <= person.clock(last + DAY).date():
        kept = day + plan.days_before * DAY
        if person.birthday in _celebrated(kept):
            due = _midnight(person, day)
            if due - KNOWN <= last:
                found.append(Mail(plan, f"birthday-{kept.year}", due, due - KNOWN))
        day += DAY
    return found


def live(person: Person, mails: list[Mail], quiet: Quiet | None, since: datetime) -> list[Mail]:
    """The mails with their ends, of a mailer that runs `since` then; those that a cool-down forbids are missing."""
    lived: list[Mail] = []
    coming = sorted(mails, key=lambda mail: mail.known)
    now = max(coming[0].known, since) if coming else datetime.max.replace(tzinfo=UTC)
    while True:
        while coming and coming[0].known <= now:
            mail = coming.pop(0)
            if not _cooling(mail, lived):
                lived.append(mail)
        for mail in sorted(lived, key=lambda mail: mail.plan.rank):
            if mail.state == "open" and mail.due <= now:
                mail.state, mail.at = _decide(person, mail, lived, now, quiet)
        waiting = [mail for mail in lived if mail.state == "open"]
        if any(mail.due <= now for mail in waiting):
            now += TICK
        elif waiting or coming:
            now = min([mail.due for mail in waiting] + [mail.known for mail in coming[:1]])
        else:
            return lived


def _decide(
    person: Person, mail: Mail, lived: list[Mail], now: datetime, quiet: Quiet | None
) -> tuple[str, datetime | None]:
    period = person.period(now)
    is_capped = any(other.at and person.period(other.at) == period for other in lived)
    if person.shut is not None:
        return person.shut, None
    if now >= mail.expires:
        return "expired", None
    mail.put_off |= is_capped
    is_looked_at = not is_capped and (not mail.put_off or _suits(person, mail.plan, now, quiet))
    if is_looked_at and held_out(mail.plan.campaign_id, person.customer_id, mail.plan.holdout):
        return "holdout", None
    if is_capped or not _suits(person, mail.plan, now, quiet) or _gives_way(person, mail, lived, now, quiet):
        return "open", None
    return "sent", now


def _gives_way(person: Person, mail: Mail, lived: list[Mail], now: datetime, quiet: Quiet | None) -> bool:
    """Whether a mail of higher priority comes due, or is due and will go, in the present period."""
    higher = [other for other in lived if other.state == "open" and other.plan.rank[0] < mail.plan.rank[0]]
    return any(
        _will_go(person, other, now, quiet) if other.due <= now else person.period(other.due) == person.period(now)
        for other in higher
    )


def _will_go(person: Person, mail: Mail, now: datetime, quiet: Quiet | None) -> bool:
    """Whether there is a time for it in the present period."""
    at, period = now, person.period(now)
    while at < mail.expires and person.period(at) == period:
        if _suits(person, mail.plan, at, quiet):
            return True
        at += TICK
    return False


def _suits(person: Person, plan: Plan, at: datetime, quiet: Quiet | None) -> bool:
    return person.clock(at).time() in _suiting(person.contact if plan.respects else None, quiet)


@cache
def _suiting(contact: str | None, quiet: Quiet | None) -> list[time]:
    quarters = [time(hour, minute) for hour in range(24) for minute in (0, 15, 30, 45)]
    loud = [at for at in quarters if not _is_quiet(at, quiet)]
    first, last = WINDOWS[contact] if contact else (0, 24)
    return [at for at in loud if first <= at.hour < last] or loud


def _is_quiet(at: time, quiet: Quiet | None) -> bool:
    if quiet is None or quiet.start == quiet.end:
        return False
    if quiet.start < quiet.end:
        return quiet.start <= at < quiet.end
    return not quiet.end <= at < quiet.start


def _cooling(mail: Mail, lived: list[Mail]) -> bool:
    return any(
        other.plan is mail.plan
        and other.state in {"open", "sent"}
        and mail.plan.cool_down
        and other.known > mail.known - mail.plan.cool_down
        for other in lived
    )


def _celebrated(day: date) -> list[tuple[int, int]]:
    is_leap = (date(day.year, 3, 1) - DAY).day == 29
    return [(day.month, day.day)] + ([(2, 29)] if (day.month, day.day) == (2, 28) and not is_leap else [])


def _midnight(person: Person, day: date) -> datetime:
    """When the day begins; where the clock shows its midnight twice, the second time."""
    at = datetime.combine(day - DAY, time(0), UTC)
    ticks = [at + n * TICK for n in range(4 * 72)]
    begun = [tick for tick in ticks if person.clock(tick).date() == day]
    return max([tick for tick in begun if person.clock(tick).time() == time(0)], default=begun[0])
