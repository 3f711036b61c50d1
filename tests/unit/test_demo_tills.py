"""The simulated terminals: whatever they sell is an event that ingest takes, and it adds up."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from services.local.demo import catalog, tills
from services.local.demo.cashier import Cashier
from services.local.demo.catalog import Catalog, Product
from shared.domain.events import (
    CouponRedeemed,
    CustomerConsentChanged,
    CustomerUpserted,
    Event,
    SaleCompleted,
    SaleRefunded,
    SaleVoided,
    decode_till,
)

NOW = datetime(2026, 7, 14, 12, tzinfo=UTC)
SHOP = Catalog(
    currency="USD",
    sales=3,
    stores=["s1", "s2"],
    products=[Product("p1", "Milk", 199), Product("p2", "Bread", 349), Product("p3", "Cheese", 1_299)],
    coupons=["C18U1", "C18U2"],
    customers=["hh-1", "hh-2", "hh-3"],
)


def _day(visits: int) -> list[Event]:
    cashier = Cashier(SHOP, random.Random(7))
    return [event for minute in range(visits) for event in cashier.serve(NOW + timedelta(minutes=minute))]


def test_every_event_keeps_the_contract() -> None:
    for event in _day(2_000):
        assert decode_till(msgspec.json.encode(event), event.time) == event


def test_every_kind_of_visit_happens() -> None:
    kinds = {type(event) for event in _day(2_000)}
    assert kinds == {
        SaleCompleted,
        SaleRefunded,
        SaleVoided,
        CouponRedeemed,
        CustomerUpserted,
        CustomerConsentChanged,
    }


def test_a_sale_is_given_back_at_most_once_and_never_more_than_was_paid() -> None:
    sales: dict[str, SaleCompleted] = {}
    ended: set[str] = set()
    for event in _day(3_000):
        if isinstance(event, SaleCompleted):
            sales[event.data.sale_id] = event
        elif isinstance(event, SaleRefunded | SaleVoided):
            sale = sales[event.data.sale_id]
            assert event.data.sale_id not in ended
            assert event.data.customer_id == sale.data.customer_id
            ended.add(event.data.sale_id)
            if isinstance(event, SaleRefunded):
                assert event.data.total <= sale.data.total
    assert len(ended) > 50


def test_who_is_new_registers_with_consent_before_the_first_purchase_and_comes_again() -> None:
    events = _day(3_000)
    new = [event for event in events if isinstance(event, CustomerUpserted)]
    agreed = {event.data.customer_id for event in events if isinstance(event, CustomerConsentChanged)}
    visits = [event.data.customer_id for event in events if isinstance(event, SaleCompleted)]
    assert len(new) > 50
    assert all(event.data.email_verified and event.data.customer_id in agreed for event in new)
    for index, event in enumerate(events):
        if isinstance(event, CustomerUpserted):
            first = events[index + 2]
            assert isinstance(first, SaleCompleted)
            assert (first.data.customer_id, first.time) == (event.data.customer_id, event.time)
    assert any(visits.count(event.data.customer_id) > 1 for event in new)


def test_a_till_sends_the_same_events_until_ingest_has_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tills, "POLL_SECONDS", 0.0)
    bodies: list[bytes] = []

    def ingest(request: httpx.Request) -> httpx.Response:
        bodies.append(request.content)
        if len(bodies) == 1:
            raise httpx.ConnectError("refused")
        if len(bodies) == 2:
            return httpx.Response(503)
        return httpx.Response(202, json={"accepted": 1, "rejected": []})

    with httpx.Client(base_url="http://ingest", transport=httpx.MockTransport(ingest)) as client:
        tills.send(client, _day(1))
    assert len(bodies) == 3
    assert len(set(bodies)) == 1


def test_a_till_does_not_repeat_what_ingest_refuses() -> None:
    asked: list[Any] = []

    def ingest(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(400, json={"title": "no good event"})

    with httpx.Client(base_url="http://ingest", transport=httpx.MockTransport(ingest)) as client:
        tills.send(client, _day(1))
    assert len(asked) == 1


def test_the_tills_stay_closed_until_the_catalog_is_there(tmp_path: Path) -> None:
    assert catalog.read(tmp_path) is None
    catalog.write(tmp_path, SHOP)
    assert catalog.read(tmp_path) == SHOP
