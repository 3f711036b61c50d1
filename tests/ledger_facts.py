"""Strategies of what happens in a shop, in any combination: facts, and the events that tell them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import strategies as st

from tests.model_events import Event, entry_of
from tests.till import NOW

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
TICK = timedelta(microseconds=1)
CUSTOMERS = ["c-1", "c-2", 'it\'s "a\\b"', "ü" * 64]
SALES = ["R-1", "R-2", "R-3", "R'\\4"]
CODES = ["K1", "K2"]
STORES = ["s1", "s2"]
PRODUCTS = {"bread": "Bakery", "cake": "Bakery", "milk": "Dairy"}

# At the edges of windows and beside them, on a leap day, and in the future of now.
TIMES = [
    NOW - offset
    for offset in (
        timedelta(0), HOUR, DAY, 30 * DAY - TICK, 30 * DAY, 30 * DAY + TICK, 60 * DAY, 61 * DAY, 400 * DAY, -HOUR
    )
] + [datetime(2024, 2, 29, 20, 0, tzinfo=UTC)]  # fmt: skip


customers = st.sampled_from(CUSTOMERS)
customers_or_none = customers | st.none()
times = st.sampled_from(TIMES)
amounts = st.sampled_from([0, 1, 99, 100, 500, 10_000])

FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "name": st.sampled_from(["Ann", "Bé \\ 'x'", ""]),
    "email": st.sampled_from(["a@example.com", "A@example.com", "b@example.com"]),
    "email_verified": st.booleans(),
    "verified_email": st.sampled_from(["a@example.com", "B@example.com"]),
    "phone": st.just("1"),
    "birthday": st.sampled_from(["1990-02-28", "--02-29"]),
    "anniversary": st.just("2001-12-31"),
    "tags": st.lists(st.sampled_from(["VIP", "Ünï'code\\", "x"]), max_size=3),
    "preferred_contact_time": st.sampled_from(["morning", "evening"]),
    "email_frequency": st.sampled_from(["weekly", "daily"]),
    "time_zone": st.sampled_from(["Asia/Kolkata", "UTC"]),
    "locale": st.just("en-IN"),
    "registered_at": st.sampled_from(["2026-11-20T00:00:00+05:30", "2020-01-01T00:00:00Z"]),
}


def fixed(**data: Any) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(data)


receipts = st.lists(
    st.builds(
        lambda product, quantity, total: {
            "product_id": product, "category": PRODUCTS[product], "quantity": quantity, "total": total
        },
        st.sampled_from(sorted(PRODUCTS)), st.sampled_from([0.25, 1, 1.25, 2]), amounts,
    ), max_size=2,
)  # fmt: skip


def as_receipt(data: dict[str, Any]) -> dict[str, Any]:
    """With a total that the lines give, where there are any."""
    lines = data["lines"]
    return data | {"total": sum(line["total"] for line in lines)} if lines else data


def facts(*, identity: str) -> st.SearchStrategy[Event]:
    """What happened: type, time and data. `identity` says which of merges and erasures occur."""
    profile = st.fixed_dictionaries(
        {"customer_id": customers}, optional={name: st.none() | values for name, values in FIELDS.items()}
    )
    consent = fixed(customer_id=customers, marketing_consent=st.booleans(), where=st.none() | st.just("till"))
    sales = st.sampled_from(SALES)
    stores = st.sampled_from(STORES)
    mail = fixed(customer_id=customers, message_id=st.just("m"), campaign_id=st.just("m"))
    kinds: dict[str, st.SearchStrategy[dict[str, Any]]] = {
        "sale.completed": fixed(
            sale_id=sales,
            customer_id=customers_or_none,
            total=amounts,
            currency=st.just("USD"),
            store_id=stores,
            lines=receipts,
        ).map(as_receipt),
        "sale.refunded": fixed(
            sale_id=sales,
            customer_id=customers_or_none,
            refund_id=st.sampled_from(["F1", "F2"]),
            total=amounts,
            lines=receipts,
        ).map(as_receipt),
        "sale.voided": fixed(sale_id=sales, customer_id=customers_or_none),
        "coupon.redeemed": fixed(
            sale_id=sales, customer_id=customers_or_none, coupon_code=st.sampled_from(CODES), discount=amounts
        ),
        "coupon.redemption_reversed": fixed(
            sale_id=sales, customer_id=customers_or_none, coupon_code=st.sampled_from(CODES)
        ),
        "customer.upserted": profile,
        "customer.consent_changed": consent,
        "mail.opened": mail,
        "mail.clicked": mail.map(lambda data: data | {"link": "https://example.com/"}),
    }
    if "merge" in identity:
        pairs = st.lists(customers, min_size=2, max_size=2, unique=True)
        kinds["customer.merged"] = pairs.map(lambda pair: {"customer_id": pair[0], "into_customer_id": pair[1]})
    if "erase" in identity:
        kinds["customer.erased"] = fixed(customer_id=customers)
    often = [("sale.completed", kinds["sale.completed"])]
    often += [(kind, of) for kind, of in kinds.items() if kind in {"customer.merged", "customer.erased"}] * 2
    return st.one_of(*(fact(kind, of) for kind, of in [*kinds.items(), *often]))


def fact(kind: str, data: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[Event]:
    return st.builds(lambda at, said: {"type": kind, "time": at.isoformat(), "data": said}, times, data)


RUBBISH = [b"{", b"\xff", b"[]", b'{"specversion":"0.3"}', b'{"specversion":"1.0","type":"sale.invented"}']


def published(organization_id: str, told: Sequence[Event | bytes]) -> list[Event | bytes]:
    """Facts as events of an organization."""
    made: list[Event | bytes] = []
    for fact in told:
        if isinstance(fact, bytes):
            made.append(fact)
            continue
        data = {"organization_id": organization_id, "store_id": "s", **fact["data"]}
        made.append({"specversion": "1.0", "source": "/t", **fact, "data": data})
    return made


def consistent(told: Sequence[Event]) -> list[Event]:
    """Facts with an id each, where the same sale, refund, void or use always says the same, told by whom it may be."""
    first: dict[Any, Event] = {}
    made = []
    for number, fact in enumerate(told):
        one = {"organization_id": "", **fact["data"]}
        same = first.setdefault(entry_of({"type": fact["type"], "data": one}) or number, fact)
        made.append(same | {"id": f"e{number}"})
    return made
