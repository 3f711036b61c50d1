"""Hypothesis strategies: criteria trees over every leaf, and customers whose values lie on and around their edges."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import strategies as st

DAY = timedelta(days=1)
TICK = timedelta(microseconds=1)
NOWS = st.sampled_from(
    [
        datetime(2026, 11, 22, 12, 0, tzinfo=UTC),
        datetime(2024, 2, 28, 23, 59, 59, 999_999, tzinfo=UTC),
        datetime(2024, 2, 29, 0, 0, tzinfo=UTC),
        datetime(2026, 2, 28, 10, 30, tzinfo=UTC),
        datetime(2026, 12, 31, 23, 30, tzinfo=UTC),
        datetime(2026, 3, 29, 1, 0, tzinfo=UTC),
        datetime(2026, 3, 1, 3, 30, tzinfo=UTC),
        datetime(2026, 3, 7, 20, 0, tzinfo=UTC),  # Havana: the next day starts at one o'clock
        datetime(2026, 10, 31, 20, 0, tzinfo=UTC),  # Havana: the next day has two midnights
    ]
)
ZONES = st.sampled_from(
    [
        None,
        "UTC",
        "Asia/Kolkata",
        "America/New_York",
        "Pacific/Auckland",
        "Pacific/Kiritimati",
        "Europe/Berlin",
        "America/Havana",
    ]
)
DAYS = st.sampled_from([1, 2, 7, 30, 60])
TAGS = ["VIP", "local", "staff", "Ünïcode"]
NUMBERS = st.sampled_from([-1, 0, 1, 2, 3, 10, 50, 99, 100, 101, 1_000, 10_000])


def compare(field: str) -> st.SearchStrategy[dict[str, Any]]:
    single = st.builds(
        lambda op, value: {"field": field, "op": op, "value": value},
        st.sampled_from(["gte", "gt", "lte", "lt", "eq"]),
        NUMBERS,
    )
    between = st.builds(
        lambda one, two: {"field": field, "op": "between", "value": sorted([one, two])}, NUMBERS, NUMBERS
    )
    return single | between


def instant(now: datetime) -> st.SearchStrategy[datetime | None]:
    """Instants at and beside the edges that the leaves have."""
    offsets = st.sampled_from([timedelta(0), TICK, -TICK, DAY, -DAY / 2])
    return st.none() | st.builds(
        lambda days, more: now - days * DAY + more, st.sampled_from([0, 1, 2, 7, 30, 60, -1]), offsets
    )


def leaf(now: datetime) -> st.SearchStrategy[dict[str, Any]]:
    instants = st.sampled_from(["last_visit", "first_visit", "registered", "last_open", "last_click"])
    days = st.sampled_from(["birthday", "anniversary"])
    edges = instant(now).filter(lambda value: value is not None).map(lambda value: value.isoformat())
    return st.one_of(
        *(compare(field) for field in ("total_spent", "visit_count", "average_basket", "coupon_redemptions")),
        st.builds(
            lambda field, op, days: {"field": field, "op": op, "days": days},
            instants,
            st.sampled_from(["within_last", "more_than_ago"]),
            DAYS,
        ),
        st.builds(
            lambda field, op, value: {"field": field, "op": op, "value": value},
            instants,
            st.sampled_from(["before", "after"]),
            edges,
        ),
        st.builds(lambda field: {"field": field, "op": "never"}, instants),
        st.builds(
            lambda op, tags: {"field": "tags", "op": op, "value": tags},
            st.sampled_from(["has_any", "has_all", "has_none"]),
            st.lists(st.sampled_from(TAGS), min_size=1, max_size=3),
        ),
        st.builds(
            lambda field, value: {"field": field, "op": "is", "value": value},
            st.sampled_from(["marketing_consent", "email_verified"]),
            st.booleans(),
        ),
        st.builds(
            lambda value: {"field": "preferred_contact_time", "op": "is", "value": value},
            st.sampled_from(["morning", "evening"]),
        ),
        st.builds(
            lambda value: {"field": "email_frequency", "op": "in", "value": value},
            st.lists(st.sampled_from(["daily", "weekly", "monthly", "never"]), min_size=1, max_size=2),
        ),
        st.builds(lambda field, op: {"field": field, "op": op}, days, st.sampled_from(["today", "this_month"])),
        st.builds(
            lambda field, n: {"field": field, "op": "in_next", "days": n}, days, st.sampled_from([0, 1, 7, 60, 365])
        ),
        st.builds(lambda op: {"field": "segment", "op": op, "value": "listed"}, st.sampled_from(["in", "not_in"])),
    )


def windowed() -> st.SearchStrategy[dict[str, Any]]:
    """Leaves over what was bought and redeemed; the days are those around which events lie."""
    days = {"last_days": st.sampled_from([1, 30, 60])}
    of = st.sampled_from(
        [{}, {"product_id": "bread"}, {"category": "Bakery"}, {"category": "Dairy"}, {"store_id": "s1"}]
    )
    what = st.sampled_from([{"product_ids": ["milk", "cake"]}, {"categories": ["Bakery"]}, {"store_ids": ["s1", "s2"]}])
    codes = {"coupon_codes": st.lists(st.sampled_from(["K1", "K2"]), min_size=1, max_size=2)}
    op = {"op": st.sampled_from(["has_any", "has_none"])}
    quantities = st.builds(
        lambda op, value: {"field": "units", "op": op, "value": value},
        st.sampled_from(["gte", "lt", "eq"]), st.sampled_from([0, 0.5, 1, 1.25, 3]),
    )  # fmt: skip
    sums = st.one_of(compare("spend"), compare("visits"), quantities)
    return st.one_of(
        st.builds(lambda sums, of, days: sums | of | {"last_days": days}, sums, of, days["last_days"]),
        st.builds(lambda one, what: {"field": "bought"} | one | what, st.fixed_dictionaries(op, optional=days), what),
        st.fixed_dictionaries({"field": st.just("redeemed")} | op | codes, optional=days),
    )


def tree(now: datetime, leaves: st.SearchStrategy[dict[str, Any]] | None = None) -> st.SearchStrategy[dict[str, Any]]:
    return st.recursive(
        leaf(now) if leaves is None else leaves,
        lambda inner: st.one_of(
            st.builds(lambda parts: {"all": parts}, st.lists(inner, min_size=1, max_size=3)),
            st.builds(lambda parts: {"any": parts}, st.lists(inner, min_size=1, max_size=3)),
            st.builds(lambda part: {"not": part}, inner),
        ),
        max_leaves=6,
    )


def customer(now: datetime) -> st.SearchStrategy[dict[str, Any]]:
    """A row of the customer table, and whether it is `listed`."""
    around = st.builds(
        lambda offset: int((now + offset * DAY).strftime("%m%d")),
        st.sampled_from([-1, 0, 1, 2, 7, 8, 60]),
    )
    day = st.none() | st.sampled_from([229, 228, 301, 1231, 101]) | around
    return st.fixed_dictionaries(
        {
            "total_spent": NUMBERS,
            "visit_count": st.sampled_from([0, 1, 2, 3, 10]),
            "coupon_redemptions": st.sampled_from([0, 1, 2]),
            "first_visit_at": instant(now),
            "last_visit_at": instant(now),
            "registered_given_at": instant(now),
            "last_open_at": instant(now),
            "last_click_at": instant(now),
            "birthday": day,
            "anniversary": day,
            "tags": st.lists(st.sampled_from(TAGS), max_size=3, unique=True),
            "marketing_consent": st.booleans(),
            "email_verified": st.booleans(),
            "preferred_contact_time": st.sampled_from([None, "morning", "evening"]),
            "email_frequency": st.sampled_from([None, "daily", "never"]),
            "time_zone": ZONES,
            "listed": st.booleans(),
        }
    )
