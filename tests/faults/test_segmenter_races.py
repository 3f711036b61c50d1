"""Two lanes at one time, and a crash between the steps of a batch, each at the one moment at which it could hurt."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from services.segmenter.backfill import Backfill
from services.segmenter.batch import Batches, process_or_split
from services.segmenter.connection import connect
from shared.settings import SegmenterSettings
from tests.segments import SEGMENTS, add_organization
from tests.stack import eventually
from tests.till import NOW, Event, event, records, redeemed, refund, sale, upserted, void

pytestmark = pytest.mark.faults
DAY = timedelta(days=1)


@contextmanager
def connected(database: str) -> Iterator[Batches]:
    with connect(database) as connection:
        yield Batches(connection, "crm.mail.v1", lambda: NOW)


@pytest.fixture
def lanes(database: str) -> Iterator[tuple[Batches, Batches]]:
    with connected(database) as one, connected(database) as two:
        add_organization(one.connection, "demo", SEGMENTS)
        yield one, two


def count(batches: Batches, *events: Event | bytes) -> None:
    process_or_split(batches, records(events))


def stats(batches: Batches, customer_id: str) -> tuple[Any, ...] | None:
    query = (
        "SELECT total_spent, visit_count, coupon_redemptions, discount_received FROM customer WHERE customer_id = %s"
    )
    return batches.connection.execute(query, [customer_id]).fetchone()


class CrashError(Exception):
    pass


def crash(*_: object) -> None:
    raise CrashError


def count_and_crash(batches: Batches, monkeypatch: pytest.MonkeyPatch, *events: Event | bytes) -> None:
    """The batch's transaction is committed, what follows it never happens."""
    with monkeypatch.context() as patched:
        patched.setattr(batches, "settle", crash)
        with pytest.raises(CrashError):
            count(batches, *events)


@contextmanager
def at_the_end_of(batches: Batches, *events: Event) -> Iterator[None]:
    """Runs its body while a batch has done all of its work and has not committed it."""
    reached, go = threading.Event(), threading.Event()

    def hold(taken: int, refused: int) -> None:
        reached.set()
        assert go.wait(20)

    thread = threading.Thread(target=batches.process, args=(records(events), hold))
    thread.start()
    try:
        assert reached.wait(20)
        yield
    finally:
        go.set()
        thread.join(20)


def meet(database: str, one: Batches, first: Sequence[Event], two: Batches, then: Sequence[Event]) -> None:
    """`then` runs in the second lane, as far as it comes, while `first` is done and not committed in the first."""
    second = threading.Thread(target=two.process, args=(records(then),))
    waiting = "SELECT wait_event_type = 'Lock' FROM pg_stat_activity WHERE pid = %s"
    with at_the_end_of(one, *first), connect(database) as watch:
        second.start()
        pid = two.connection.info.backend_pid
        eventually(lambda: not second.is_alive() or watch.execute(waiting, [pid]).fetchone() == (True,), deadline=20)
    second.join(20)
    assert not second.is_alive()


SALE = sale(1, "c-1", 9_000)
ADJUSTMENTS: dict[str, Callable[[], Event]] = {
    "a refund": lambda: refund(1, "R-1", "c-1", 2_000),
    "a void": lambda: void(1, "R-1", "c-1"),
}
AFTER = {"a refund": (7_000, 1, 0, 0), "a void": (0, 0, 0, 0)}


@pytest.mark.parametrize("kind", ADJUSTMENTS)
def test_an_adjustment_survives_a_crash_before_it_is_settled_when_its_sale_comes_in_the_repeated_batch(
    lanes: tuple[Batches, Batches], monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    adjustment = ADJUSTMENTS[kind]()
    count_and_crash(lanes[0], monkeypatch, adjustment)
    count(lanes[0], adjustment, SALE)
    assert stats(lanes[0], "c-1") == AFTER[kind]


@pytest.mark.parametrize("kind", ADJUSTMENTS)
def test_an_adjustment_survives_a_crash_before_it_is_settled_when_its_sale_comes_first_after_it(
    lanes: tuple[Batches, Batches], monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    adjustment = ADJUSTMENTS[kind]()
    count_and_crash(lanes[0], monkeypatch, adjustment)
    count(lanes[1], SALE)
    count(lanes[0], adjustment)
    assert stats(lanes[0], "c-1") == AFTER[kind]


@pytest.mark.parametrize("customer_id", ["c-1", "c-2", None])
def test_an_adjustment_meets_its_sale_that_another_lane_has_not_committed(
    database: str, lanes: tuple[Batches, Batches], customer_id: str | None
) -> None:
    one, two = lanes
    adjustment = refund(1, "R-1", "c-1", 2_000)
    adjustment["data"]["customer_id"] = customer_id
    meet(database, one, [SALE], two, [adjustment])
    assert stats(one, "c-1") == (7_000, 1, 0, 0)


@pytest.mark.parametrize("named", ["c-2", None])
def test_a_redemption_meets_its_reversal_in_another_lane(
    database: str, lanes: tuple[Batches, Batches], named: str | None
) -> None:
    """The buyer is the one whom the reversal names; the coupon was another's."""
    one, two = lanes
    count(one, sale(1, named, 9_000))
    who: dict[str, Any] = {"customer_id": named} if named else {}
    back = event("coupon.redemption_reversed", 1, coupon_code="K", sale_id="R-1", **who)
    meet(database, one, [redeemed(1, "K", "R-1", "c-1", 500)], two, [back])
    assert stats(one, "c-1") == (0, 0, 0, 0)


def test_an_identity_whose_first_event_is_refused_counts_with_its_second(lanes: tuple[Batches, Batches]) -> None:
    count(lanes[0], sale(1, "c-0", 100))
    doubled, new = (sale(number, "c-1", total) | {"id": "same"} for number, total in ((1, 300), (2, 500)))
    count(lanes[0], doubled, new)
    assert stats(lanes[0], "c-1") == (500, 1, 0, 0)
    reasons = lanes[0].connection.execute("SELECT reason FROM dead_letter").fetchall()
    assert reasons == [("duplicate_sale",)]


def test_what_was_personal_goes_even_where_later_events_keep_the_customer(lanes: tuple[Batches, Batches]) -> None:
    count(lanes[0], upserted(1, "c-1", NOW - DAY, name="Ann", email="ann@example.com", tags=["VIP"]))
    count(lanes[0], sale(1, "c-1", 100, NOW))
    count(lanes[0], event("customer.erased", 1, NOW - DAY / 2, customer_id="c-1"))
    row = lanes[0].connection.execute("SELECT name, email, tags, total_spent FROM customer").fetchone()
    assert row == (None, None, [], 100)


def test_of_two_merges_the_newer_counts_whichever_comes_first(lanes: tuple[Batches, Batches]) -> None:
    old = event("customer.merged", 1, NOW - DAY, customer_id="c-1", into_customer_id="c-2")
    new = event("customer.merged", 2, NOW, customer_id="c-1", into_customer_id="c-3")
    count(lanes[0], SALE, old)
    count(lanes[0], new)
    owner = (
        lanes[0].connection.execute("SELECT customer_id, total_spent FROM customer WHERE total_spent > 0").fetchall()
    )
    assert owner == [("c-3", 9_000)]


def test_criteria_over_a_list_that_is_gone_stop_nobody(lanes: tuple[Batches, Batches]) -> None:
    add = "INSERT INTO segment (organization_id, segment_id, name, kind, criteria, slot) VALUES ('demo', 'x', 'x', 'dynamic', %s, 9)"
    criteria = psycopg.types.json.Jsonb({"field": "segment", "op": "not_in", "value": "gone"})
    lanes[0].connection.execute(add, [criteria])
    count(lanes[0], SALE)
    assert stats(lanes[0], "c-1") == (9_000, 1, 0, 0)


def test_a_customer_whom_a_list_names_before_the_first_event_is_its_member(lanes: tuple[Batches, Batches]) -> None:
    connection = lanes[0].connection
    connection.execute(
        "INSERT INTO segment (organization_id, segment_id, name, kind, slot) VALUES ('demo', 'list', 'list', 'static', 9)"
    )
    connection.execute("INSERT INTO static_member VALUES ('demo', 'list', 'c-1')")
    count(lanes[0], SALE)
    assert connection.execute("SELECT member_count FROM segment WHERE segment_id = 'list'").fetchone() == (1,)


def test_a_large_batch_of_sales_leaves_who_stands_in_a_list_there(lanes: tuple[Batches, Batches]) -> None:
    connection = lanes[0].connection
    connection.execute(
        "INSERT INTO segment (organization_id, segment_id, name, kind, slot) VALUES ('demo', 'list', 'list', 'static', 9)"
    )
    connection.execute("INSERT INTO static_member VALUES ('demo', 'list', 'c-1')")
    for start in (0, 200):
        count(lanes[0], *(sale(start + n, f"c-{n % 5}", 100) for n in range(200)))
        assert connection.execute("SELECT member_count FROM segment WHERE segment_id = 'list'").fetchone() == (1,)


def test_a_fill_overtaken_by_an_edit_loses_no_count(database: str, lanes: tuple[Batches, Batches]) -> None:
    connection = lanes[0].connection
    count(lanes[0], SALE)
    add = (
        "INSERT INTO segment (organization_id, segment_id, name, kind, criteria, slot, state, version) "
        "VALUES ('demo', 'x', 'x', 'dynamic', %s, 9, 'filling', 2)"
    )
    connection.execute(add, [psycopg.types.json.Jsonb({"field": "visit_count", "op": "gte", "value": 1})])
    fill = Backfill(SegmenterSettings(database=database))
    fill._fill(connection, "demo", "UTC", "x", 1)
    fill._fill(connection, "demo", "UTC", "x", 2)
    assert connection.execute("SELECT member_count, state FROM segment WHERE segment_id = 'x'").fetchone() == (
        1,
        "live",
    )
