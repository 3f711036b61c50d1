"""The gates: why a customer gets no marketing mail, or not yet. Each is one row of data that gives both the decision on
one customer and the column of a set-based statement, so the two can not differ.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import ColumnElement, Date, Integer, Numeric, Text, case, cast, func, literal, null, true

from shared.domain.schedule import Quiet, first_allowed, next_slot, slot_start


class Reason(StrEnum):
    """Why a message was skipped or waits; what the decision log, the counts and the metric show."""

    NO_EMAIL = "no_email"
    NOT_VERIFIED = "not_verified"
    NO_CONSENT = "no_consent"
    SUPPRESSED = "suppressed"
    FREQUENCY_NEVER = "frequency_never"
    FREQUENCY_CAP = "frequency_cap"
    HOLDOUT = "holdout"
    COUPON_USED_UP = "coupon_used_up"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    CONTACT_TIME = "contact_time"
    QUIET_HOURS = "quiet_hours"
    AB_TEST = "ab_test"
    PRIORITY = "priority"
    LEFT_SEGMENT = "left_segment"
    DAY_MOVED = "day_moved"
    MERGED = "merged"


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the gates look at. `left_segment`: who entered the segment that the mail follows is no longer in it.
    `day_moved`: the birthday or anniversary that the mail is for is now another day.
    """

    email: str | None
    email_verified: bool | None
    marketing_consent: bool | None
    suppressed: bool = False
    email_frequency: str | None = None
    capped: bool = False
    held_out: bool = False
    coupon_used_up: bool = False
    left_segment: bool = False
    day_moved: bool = False


@dataclass(frozen=True, slots=True)
class Gate:
    """Closed when a fact has this value. What has to be true is closed, too, while it is unknown."""

    reason: Reason
    fact: str
    closed_at: str | bool | None


GATES: Final = (
    Gate(Reason.LEFT_SEGMENT, "left_segment", closed_at=True),
    Gate(Reason.DAY_MOVED, "day_moved", closed_at=True),
    Gate(Reason.NO_EMAIL, "email", None),
    Gate(Reason.NOT_VERIFIED, "email_verified", closed_at=False),
    Gate(Reason.NO_CONSENT, "marketing_consent", closed_at=False),
    Gate(Reason.SUPPRESSED, "suppressed", closed_at=True),
    Gate(Reason.FREQUENCY_NEVER, "email_frequency", "never"),
    Gate(Reason.FREQUENCY_CAP, "capped", closed_at=True),
    Gate(Reason.HOLDOUT, "held_out", closed_at=True),
    Gate(Reason.COUPON_USED_UP, "coupon_used_up", closed_at=True),
)


def closed_gate(facts: Facts) -> Reason | None:
    """The first gate that is closed."""
    return next((gate.reason for gate in GATES if _is_closed(gate, getattr(facts, gate.fact))), None)


def closed_gate_column(facts: Mapping[str, ColumnElement[Any]]) -> ColumnElement[str | None]:
    """The same of columns, one for each field of Facts."""
    closed = [(_is_closed_column(gate, facts[gate.fact]), literal(str(gate.reason), Text)) for gate in GATES]
    return case(*closed, else_=null())


def held_out(campaign_id: str, customer_id: str, percent: int) -> bool:
    """Whether a customer belongs to the campaign's holdout: always the same answer, spread evenly."""
    digest = hashlib.md5(f"{campaign_id}/{customer_id}".encode(), usedforsecurity=False).hexdigest()
    return int(digest[:7], 16) % 100 < percent


def held_out_column(
    campaign_id: ColumnElement[str], customer_id: ColumnElement[str], percent: ColumnElement[int]
) -> ColumnElement[bool]:
    """The same of columns."""
    digest = func.substr(func.md5(campaign_id.concat("/").concat(customer_id)), 1, 7)
    return cast(func.concat("0x", digest), Integer) % 100 < percent


# A last mail may lie a day ahead where a time zone changed. Further ahead it was a clock that ran ahead: it counts for
# nothing, or its customers would get no mail until then.
AHEAD: Final = timedelta(days=1)


def capped(last_on: date | None, today: date, frequency: str | None) -> bool:
    """Whether the customer had a mail in the present day, ISO week or month (by their own choice; None is daily)."""
    return last_on is not None and slot_start(today, frequency) <= last_on <= today + AHEAD


def capped_column(
    last_on: ColumnElement[date | None], today: ColumnElement[date], frequency: ColumnElement[str | None]
) -> ColumnElement[bool]:
    """The same of columns."""
    monday = today - cast(cast(func.extract("isodow", today), Numeric), Integer) + 1
    first = cast(func.date_trunc("month", today), Date)
    start = case((frequency == "weekly", monday), (frequency == "monthly", first), else_=today)
    return func.coalesce(last_on.between(start, today + AHEAD.days), literal(value=False))


@dataclass(frozen=True, slots=True)
class Skip:
    """It will never go."""

    reason: Reason


@dataclass(frozen=True, slots=True)
class Wait:
    """Not now: to be looked at again at `until`."""

    until: datetime
    reason: Reason


@dataclass(frozen=True, slots=True)
class Send:
    """It goes now."""


Decision = Skip | Wait | Send

# How long after a mail of higher priority is due a lower one asks again whether that mail took the slot.
GIVE_WAY: Final = timedelta(seconds=30)
# What a customer's profile, still on its way, would open.
AWAITED: Final = frozenset({Reason.NO_EMAIL, Reason.NOT_VERIFIED, Reason.NO_CONSENT})
SOON: Final = timedelta(seconds=2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """When a message is decided, and what bounds its time. `rival_at` is when the next mail of higher priority for the
    same customer is due; `contact_time` is None where it is not to be respected. Until `profile_until` the customer's
    profile may still come: it is a message of `planned_at` that somebody's first sale has brought.
    """

    now: datetime
    zone: str
    expires_at: datetime | None = None
    contact_time: str | None = None
    quiet: Quiet | None = None
    rival_at: datetime | None = None
    planned_at: datetime | None = None
    profile_until: datetime | None = None


def decide(facts: Facts, moment: Moment) -> Decision:
    """What becomes of a message that is due. `facts.capped` must be of the customer's local day at `moment.now`."""
    gate = closed_gate(facts)
    if moment.expires_at is not None and moment.now >= moment.expires_at:
        return Skip(Reason.EXPIRED if gate in {None, Reason.FREQUENCY_CAP} else gate)
    if gate in AWAITED and moment.profile_until is not None and moment.now < moment.profile_until:
        # Twice as long each time: a profile that comes late is not waited for in short steps.
        waited = moment.now - (moment.planned_at or moment.now)
        return Wait(min(moment.now + max(SOON, waited), moment.profile_until), gate)
    if gate is not None and gate is not Reason.FREQUENCY_CAP:
        return Skip(gate)
    next_free = next_slot(moment.now, moment.zone, facts.email_frequency)
    if gate is Reason.FREQUENCY_CAP:
        return _wait(next_free, gate, moment)
    if moment.rival_at is not None and moment.rival_at < next_free:
        return _wait(max(moment.rival_at, moment.now) + GIVE_WAY, Reason.PRIORITY, moment)
    return _wait(moment.now, Reason.CONTACT_TIME, moment)


def _wait(earliest: datetime, reason: Reason, moment: Moment) -> Decision:
    """From `earliest` on, at the first minute that contact time and quiet hours leave."""
    until, held_by_quiet = first_allowed(earliest, moment.zone, moment.contact_time, moment.quiet)
    if until <= moment.now:
        return Send()
    if moment.expires_at is not None and until >= moment.expires_at:
        return Skip(Reason.EXPIRED)
    if reason is Reason.CONTACT_TIME and held_by_quiet:
        return Wait(until, Reason.QUIET_HOURS)
    return Wait(until, reason)


def _is_closed(gate: Gate, fact: str | bool | None) -> bool:
    return fact is not True if gate.closed_at is False else fact == gate.closed_at


def _is_closed_column(gate: Gate, fact: ColumnElement[Any]) -> ColumnElement[bool]:
    if isinstance(gate.closed_at, bool):
        return fact.is_(true()) if gate.closed_at else fact.is_not(true())
    return fact.is_not_distinct_from(null() if gate.closed_at is None else literal(gate.closed_at))
