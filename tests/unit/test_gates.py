from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.gates import (
    GIVE_WAY,
    Facts,
    Moment,
    Reason,
    Send,
    Skip,
    Wait,
    capped,
    closed_gate,
    decide,
    held_out,
)
from shared.domain.schedule import CONTACT_TIMES, Quiet, first_allowed, local_day, next_slot, slot_start

NOW = datetime(2026, 6, 10, 12, tzinfo=UTC)  # a Wednesday
OPEN = Facts(email="a@example.com", email_verified=True, marketing_consent=True)
AT_NOON = Moment(now=NOW, zone="UTC")
SHUT = {
    "left_segment": True,
    "day_moved": True,
    "email": None,
    "email_verified": False,
    "marketing_consent": False,
    "suppressed": True,
    "email_frequency": "never",
    "capped": True,
    "held_out": True,
    "coupon_used_up": True,
}
ORDER = [
    "left_segment",
    "day_moved",
    "no_email",
    "not_verified",
    "no_consent",
    "suppressed",
    "frequency_never",
    "frequency_cap",
    "holdout",
]
ORDER += ["coupon_used_up"]
# Zones whose clocks jump at midnight, by half an hour, or hardly ever; and both sides of the date line.
ZONES = st.sampled_from(
    [
        "UTC",
        "Asia/Kolkata",
        "America/New_York",
        "Europe/London",
        "Australia/Lord_Howe",
        "America/Havana",
        "Asia/Beirut",
        "Africa/Cairo",
        "Pacific/Apia",
        "Pacific/Kiritimati",
        "America/St_Johns",
        "Asia/Kathmandu",
    ]
)
INSTANTS = st.integers(0, 6 * 366 * 24 * 60).map(
    lambda minutes: datetime(2024, 1, 1, tzinfo=UTC) + timedelta(minutes=minutes)
)
FREQUENCIES = st.sampled_from([None, "daily", "weekly", "monthly"])
TIMES = st.builds(time, st.integers(0, 23), st.sampled_from([0, 15, 30]))
QUIETS = st.none() | st.builds(Quiet, TIMES, TIMES)
CONTACT = st.sampled_from([None, *CONTACT_TIMES])


def test_an_open_way_sends() -> None:
    assert decide(OPEN, AT_NOON) == Send()


def test_the_gates_stop_in_the_order_that_is_promised() -> None:
    facts, found = Facts(**SHUT), []
    for name in SHUT:
        found.append(closed_gate(facts))
        facts = replace(facts, **{name: getattr(OPEN, name)})
    assert (found, closed_gate(facts)) == (ORDER, None)


@pytest.mark.parametrize(("fact", "reason"), [*zip(SHUT, ORDER, strict=True)])
def test_each_gate_alone_skips_but_the_cap_waits(fact: str, reason: str) -> None:
    decision = decide(replace(OPEN, **{fact: SHUT[fact]}), AT_NOON)
    if reason == "frequency_cap":
        assert decision == Wait(datetime(2026, 6, 11, tzinfo=UTC), Reason.FREQUENCY_CAP)
    else:
        assert decision == Skip(Reason(reason))


@pytest.mark.parametrize(
    ("frequency", "free"), [(None, (6, 11)), ("daily", (6, 11)), ("weekly", (6, 15)), ("monthly", (7, 1))]
)
def test_a_cap_waits_until_the_next_day_week_or_month(frequency: str | None, free: tuple[int, int]) -> None:
    facts = replace(OPEN, capped=True, email_frequency=frequency)
    assert decide(facts, AT_NOON) == Wait(datetime(2026, *free, tzinfo=UTC), Reason.FREQUENCY_CAP)


def test_a_capped_mail_waits_for_the_first_minute_that_suits_in_its_next_slot() -> None:
    facts = replace(OPEN, capped=True, email_frequency="weekly")
    moment = replace(AT_NOON, contact_time="morning", quiet=Quiet(time(21), time(10, 30)), zone="Asia/Kolkata")
    assert decide(facts, moment) == Wait(datetime(2026, 6, 15, 5, tzinfo=UTC), Reason.FREQUENCY_CAP)


def test_what_would_wait_past_its_expiry_is_skipped() -> None:
    assert decide(replace(OPEN, capped=True), replace(AT_NOON, expires_at=NOW + timedelta(hours=12))) == Skip(
        Reason.EXPIRED
    )
    assert decide(OPEN, replace(AT_NOON, expires_at=NOW)) == Skip(Reason.EXPIRED)


def test_a_closed_gate_is_a_better_reason_than_expiry() -> None:
    assert decide(replace(OPEN, email=None), replace(AT_NOON, expires_at=NOW)) == Skip(Reason.NO_EMAIL)


def test_what_is_unknown_opens_no_gate_that_needs_a_yes() -> None:
    assert closed_gate(replace(OPEN, marketing_consent=None)) is Reason.NO_CONSENT
    assert closed_gate(replace(OPEN, email_verified=None)) is Reason.NOT_VERIFIED


@pytest.mark.parametrize("fact", ["email", "email_verified", "marketing_consent"])
def test_a_profile_that_may_still_come_is_waited_for_in_growing_steps(fact: str) -> None:
    stranger = replace(OPEN, **{fact: SHUT[fact]})
    reason = closed_gate(stranger)
    moment = replace(AT_NOON, planned_at=NOW, profile_until=NOW + timedelta(minutes=10))
    looks = []
    while isinstance(decision := decide(stranger, moment), Wait):
        assert decision.reason is reason
        looks.append((decision.until - NOW).total_seconds())
        moment = replace(moment, now=decision.until)
    assert (looks, decision) == ([2, 4, 8, 16, 32, 64, 128, 256, 512, 600], Skip(reason))
    assert decide(OPEN, replace(moment, now=NOW)) == Send()
    assert decide(
        replace(stranger, suppressed=True, email="a", email_verified=True, marketing_consent=True), moment
    ) == Skip(Reason.SUPPRESSED)


def test_a_mail_gives_way_to_one_of_higher_priority_in_the_same_slot_only() -> None:
    later, tomorrow = NOW + timedelta(hours=3), datetime(2026, 6, 11, tzinfo=UTC)
    assert decide(OPEN, replace(AT_NOON, rival_at=later)) == Wait(later + GIVE_WAY, Reason.PRIORITY)
    assert decide(OPEN, replace(AT_NOON, rival_at=tomorrow)) == Send()
    weekly = replace(OPEN, email_frequency="weekly")
    assert decide(weekly, replace(AT_NOON, rival_at=tomorrow)) == Wait(tomorrow + GIVE_WAY, Reason.PRIORITY)


def test_contact_time_and_quiet_hours_choose_the_minute_and_say_which_it_was() -> None:
    evening = datetime(2026, 6, 10, 17, tzinfo=UTC)
    assert decide(OPEN, replace(AT_NOON, contact_time="evening")) == Wait(evening, Reason.CONTACT_TIME)
    quiet = replace(AT_NOON, quiet=Quiet(time(11), time(13)))
    assert decide(OPEN, quiet) == Wait(datetime(2026, 6, 10, 13, tzinfo=UTC), Reason.QUIET_HOURS)


def test_quiet_hours_win_where_they_leave_nothing_of_the_contact_time() -> None:
    until, by_quiet = first_allowed(datetime(2026, 6, 10, 17, tzinfo=UTC), "UTC", "evening", Quiet(time(16), time(9)))
    assert (until, by_quiet) == (datetime(2026, 6, 11, 9, tzinfo=UTC), True)


@given(INSTANTS, ZONES, CONTACT, QUIETS)
def test_the_chosen_minute_is_the_first_that_is_not_quiet_and_suits_where_quiet_hours_leave_any(
    now: datetime, zone: str, contact: str | None, quiet: Quiet | None
) -> None:
    def is_quiet(at: time) -> bool:
        if quiet is None or quiet.start == quiet.end:
            return False
        inside = min(quiet) <= at < max(quiet)
        return inside if quiet.start < quiet.end else not inside

    minutes = [time(minute // 60, minute % 60) for minute in range(0, 24 * 60, 15)]
    start, end = CONTACT_TIMES[contact] if contact is not None else (time(0), time.max)
    suiting = {at for at in minutes if start <= at < end and not is_quiet(at)}
    suiting = suiting or {at for at in minutes if not is_quiet(at)}

    def suits(at: datetime) -> bool:
        local = at.astimezone(ZoneInfo(zone)).time()
        return local.replace(minute=local.minute - local.minute % 15) in suiting

    until, _ = first_allowed(now, zone, contact, quiet)
    assert until >= now
    assert suits(until)
    probe = now
    while probe < until:
        assert not suits(probe)
        probe += timedelta(minutes=5)


@given(INSTANTS, ZONES, FREQUENCIES)
def test_the_next_slot_is_the_first_instant_at_which_the_cap_is_off(
    now: datetime, zone: str, frequency: str | None
) -> None:
    free = next_slot(now, zone, frequency)
    today = local_day(now, zone)
    assert free > now
    assert capped(today, local_day(free - timedelta(seconds=1), zone), frequency)
    assert not capped(today, local_day(free, zone), frequency)


@given(st.dates(date(2020, 1, 1), date(2040, 1, 1)), FREQUENCIES)
def test_a_slot_begins_at_or_before_its_day(today: date, frequency: str | None) -> None:
    start = slot_start(today, frequency)
    assert start <= today
    assert slot_start(start, frequency) == start
    assert frequency != "weekly" or start.isoweekday() == 1
    assert frequency != "monthly" or (start.day, start.month) == (1, today.month)


def test_who_had_no_mail_is_not_capped() -> None:
    assert not capped(None, date(2026, 6, 10), "monthly")


def test_a_holdout_is_stable_and_grows_with_its_share() -> None:
    people = [f"c{n}" for n in range(2_000)]
    small, large = ({each for each in people if held_out("spring", each, share)} for share in (10, 20))
    other = {each for each in people if held_out("autumn", each, 10)}
    assert small < large
    assert 140 < len(small) < 260
    assert small != other
    assert not any(held_out("spring", each, 0) for each in people)
    assert all(held_out("spring", each, 100) for each in people)
