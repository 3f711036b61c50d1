"""What a batch does to the ledger, the customers and their memberships, on a real PostgreSQL."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from services.segmenter.batch import Batches, process_or_split
from services.segmenter.flips import Flips
from shared.settings import SegmenterSettings
from tests.till import NOW, Event, event, records, redeemed, refund, sale, upserted, void

DAY = timedelta(days=1)


def count(batches: Batches, *events: Event | bytes) -> None:
    process_or_split(batches, records(events))


def stats(batches: Batches, customer_id: str) -> dict[str, Any]:
    names = "total_spent, visit_count, first_visit_at, last_visit_at, coupon_redemptions, discount_received, registered_at, tags, name"
    cursor = batches.connection.execute(f"SELECT {names} FROM customer WHERE customer_id = %s", [customer_id])
    row = cursor.fetchone()
    return dict(zip(names.split(", "), row, strict=True)) if row else {}


def members(batches: Batches, segment_id: str) -> set[str]:
    query = (
        "SELECT c.customer_id FROM customer c JOIN segment s USING (organization_id) WHERE s.segment_id = %s "
        "AND CASE WHEN length(memberships) > slot / 8 THEN get_bit(memberships, slot) = 1 ELSE false END"
    )
    found = {row[0] for row in batches.connection.execute(query, [segment_id])}
    counted = batches.connection.execute(
        "SELECT member_count FROM segment WHERE segment_id = %s", [segment_id]
    ).fetchone()
    assert counted == (len(found),)
    return found


def changes(batches: Batches) -> list[tuple[Any, ...]]:
    """All of them are still to be published."""
    found = 'SELECT customer_id, cause, entered, "left" FROM segment_change WHERE change_id >> 24 IN '
    return batches.connection.execute(f"{found} (SELECT batch_id FROM outbox) ORDER BY change_id").fetchall()


def letters(batches: Batches) -> list[tuple[str, str]]:
    return batches.connection.execute('SELECT reason, message FROM dead_letter ORDER BY "offset"').fetchall()


def test_sales_add_up_and_the_customer_appears(batches: Batches) -> None:
    count(batches, sale(1, "c-1", 9_000, NOW - DAY), sale(2, "c-1", 1_000))
    found = stats(batches, "c-1")
    assert (found["total_spent"], found["visit_count"]) == (10_000, 2)
    assert (found["first_visit_at"], found["last_visit_at"], found["registered_at"]) == (NOW - DAY, NOW, NOW - DAY)


def test_an_event_counts_once_however_often_it_comes(batches: Batches) -> None:
    count(batches, sale(1, "c-1", 500), sale(1, "c-1", 500))
    count(batches, sale(1, "c-1", 500), sale(2, "c-1", 300))
    assert stats(batches, "c-1")["total_spent"] == 800
    assert letters(batches) == []


def test_a_second_event_of_the_same_sale_goes_to_the_dead_letters(batches: Batches) -> None:
    other = sale(1, "c-1", 700) | {"id": "another"}
    count(batches, sale(1, "c-1", 500), other)
    count(batches, other)
    assert stats(batches, "c-1")["total_spent"] == 500
    assert [reason for reason, _ in letters(batches)] == ["duplicate_sale", "duplicate_sale"]


def test_a_refund_lowers_the_total_and_keeps_the_visit(batches: Batches) -> None:
    count(batches, sale(1, "c-1", 9_000))
    count(batches, refund(1, "R-1", "c-1", 2_500))
    assert (stats(batches, "c-1")["total_spent"], stats(batches, "c-1")["visit_count"]) == (6_500, 1)


def test_a_void_takes_sale_refund_and_coupon_use_back(batches: Batches) -> None:
    count(batches, sale(1, "c-1", 9_000), redeemed(1, "WELCOME10", "R-1", "c-1", 900), refund(1, "R-1", "c-1", 100))
    count(batches, void(1, "R-1", "c-1"))
    found = stats(batches, "c-1")
    assert (found["total_spent"], found["visit_count"], found["last_visit_at"]) == (0, 0, None)
    assert (found["coupon_redemptions"], found["discount_received"]) == (0, 0)


def test_an_adjustment_before_its_sale_waits_for_it(batches: Batches) -> None:
    count(batches, void(1, "R-1", "c-1"), refund(2, "R-2", "c-2", 300))
    count(batches, sale(1, "c-1", 9_000), sale(2, "c-2", 1_000))
    assert (stats(batches, "c-1")["total_spent"], stats(batches, "c-2")["total_spent"]) == (0, 700)


def test_a_void_that_names_another_customer_takes_the_buyers_sale_back(batches: Batches) -> None:
    count(batches, sale(1, "c-1", 9_000))
    count(batches, void(1, "R-1", "somebody-else"))
    assert stats(batches, "c-1")["total_spent"] == 0


def test_the_newest_time_wins_for_each_field(batches: Batches) -> None:
    count(batches, upserted(1, "c-1", NOW, name="New", tags=["VIP"]))
    count(batches, upserted(2, "c-1", NOW - DAY, name="Old", phone="123", tags=["old"]))
    found = batches.connection.execute("SELECT name, phone, tags FROM customer").fetchone()
    assert found == ("New", "123", ["VIP"])
    assert members(batches, "tagged") == {"c-1"}


def test_memberships_follow_each_event_and_each_change_is_told_once(batches: Batches) -> None:
    count(batches, *(sale(n, "c-1", 4_000) for n in range(2)))
    count(batches, sale(3, "c-1", 4_000))
    count(batches, void(1, "R-3", "c-1"))
    assert members(batches, "vip") == set()
    assert changes(batches) == [
        ("c-1", "event", ["new"], []),
        ("c-1", "event", ["vip"], []),
        ("c-1", "event", [], ["vip"]),
    ]


def test_rubbish_goes_to_the_dead_letters_and_its_neighbours_count(batches: Batches) -> None:
    unknown = sale(8, "c-1", 5) | {"data": sale(8, "c-1", 5)["data"] | {"organization_id": "nobody"}}
    euro = sale(9, "c-1", 5, currency="EUR")
    count(batches, sale(1, "c-1", 100), b"{", unknown, euro, b"\xff", sale(2, "c-1", 100))
    assert stats(batches, "c-1")["total_spent"] == 200
    assert [reason for reason, _ in letters(batches)] == [
        "invalid_json",
        "unknown_organization",
        "wrong_currency",
        "invalid_utf8",
    ]


def test_what_the_database_refuses_spoils_no_neighbour(batches: Batches) -> None:
    huge = [sale(n, "c-1", 10**15) for n in range(5)]
    batches.connection.execute(
        "INSERT INTO customer (organization_id, customer_id, total_spent) VALUES ('demo', 'c-1', %s)", [2**63 - 1]
    )
    count(batches, sale("a", "c-2", 100), *huge, sale("b", "c-2", 100))
    assert stats(batches, "c-2")["total_spent"] == 200
    assert [reason for reason, _ in letters(batches)] == ["not_storable"] * 5


def test_a_merged_customers_events_count_for_the_other_early_and_late(batches: Batches) -> None:
    count(batches, *(sale(n, "c-old", 5_000) for n in range(2)), upserted(1, "c-old", NOW, name="Ann"))
    count(batches, event("customer.merged", "m", NOW, customer_id="c-old", into_customer_id="c-new"))
    count(batches, sale(3, "c-old", 5_000), sale(4, "c-new", 100))
    assert stats(batches, "c-old") == {}
    found = stats(batches, "c-new")
    assert (found["total_spent"], found["visit_count"], found["name"]) == (15_100, 4, "Ann")
    assert members(batches, "vip") == {"c-new"}


def test_an_erased_customer_is_gone_and_the_revenue_stays(batches: Batches) -> None:
    count(batches, sale(1, "c-1", 5_000, NOW - DAY), upserted(1, "c-1", NOW - DAY, name="Ann"))
    count(batches, event("customer.erased", "x", NOW, customer_id="c-1"))
    count(batches, sale(2, "c-1", 700, NOW - 2 * DAY), upserted(2, "c-1", NOW - DAY, name="Ann"))
    assert stats(batches, "c-1") == {}
    revenue = batches.connection.execute(
        "SELECT sum(amount), count(customer_id), count(payload) FROM ledger"
    ).fetchone()
    assert revenue == (5_700, 0, 0)
    count(batches, sale(3, "c-1", 100, NOW + DAY / 24))
    assert stats(batches, "c-1")["total_spent"] == 100


@pytest.mark.parametrize("is_late", [False, True])
@pytest.mark.parametrize("erased", ["c-1", "c-2"])
def test_an_erasure_reaches_who_was_merged_before_it_also_when_the_merge_comes_late(
    batches: Batches, erased: str, *, is_late: bool
) -> None:
    count(
        batches, sale(1, "c-1", 5_000, NOW - DAY), sale(2, "c-2", 700, NOW - DAY), upserted(1, "c-2", NOW, name="Ann")
    )
    merge = event("customer.merged", "m", NOW - DAY / 24, customer_id="c-1", into_customer_id="c-2")
    erasure = event("customer.erased", "x", NOW, customer_id=erased)
    for each in (erasure, merge) if is_late else (merge, erasure):
        count(batches, each)
    count(batches, sale(3, "c-1", 30, NOW - 2 * DAY), sale(4, "c-2", 1, NOW - 2 * DAY))
    assert (stats(batches, "c-1"), stats(batches, "c-2")) == ({}, {})
    left = batches.connection.execute("SELECT sum(amount), count(customer_id), count(payload) FROM ledger").fetchone()
    assert left == (5_731, 0, 0)
    count(batches, sale(5, "c-2", 100, NOW + DAY / 24), sale(6, "c-1", 20, NOW + DAY / 24))
    assert stats(batches, "c-2")["total_spent"] == 100
    assert stats(batches, "c-1")["total_spent"] == 20
    assert batches.connection.execute("SELECT count(*) FROM customer_merge").fetchone() == (0,)


@pytest.mark.parametrize("is_late", [False, True])
def test_what_the_erased_do_later_is_each_ones_own_whatever_comes_first(batches: Batches, *, is_late: bool) -> None:
    merge = event("customer.merged", "m", NOW - DAY / 24, customer_id="c-1", into_customer_id="c-2")
    erasure = event("customer.erased", "x", NOW, customer_id="c-2")
    later = [sale(1, "c-1", 20, NOW + DAY / 24), sale(2, "c-2", 100, NOW + DAY / 24)]
    for each in (merge, *later, erasure) if is_late else (merge, erasure, *later):
        count(batches, each)
    assert [stats(batches, each)["total_spent"] for each in ("c-1", "c-2")] == [20, 100]


def test_nothing_names_the_erased_once_their_last_moves_are_published(batches: Batches, database: str) -> None:
    flips = Flips(SegmenterSettings(database=database), batches.clock)
    held = ("flip", "segment_change")

    def naming() -> list[int]:
        queries = [f"SELECT count(*) FROM {table} WHERE customer_id IN ('c-1', 'c-2')" for table in held]
        return [row[0] for query in queries for row in batches.connection.execute(query)]

    count(batches, *(sale(n, f"c-{1 + n % 2}", 5_000) for n in range(6)), sale(9, "c-3", 5_000))
    count(batches, event("customer.merged", "m", NOW, customer_id="c-1", into_customer_id="c-2"))
    count(batches, event("customer.erased", "x", NOW, customer_id="c-2"))
    flips.work(batches.connection)
    assert all(naming())
    batches.connection.execute("DELETE FROM outbox")  # the relay's work
    flips.clock = lambda: NOW + DAY / 24
    flips.work(batches.connection)
    assert naming() == [0, 0]
    assert batches.connection.execute("SELECT count(*) > 0 FROM segment_change").fetchone() == (True,)


def test_a_mails_day_follows_a_merge(batches: Batches) -> None:
    count(batches, *(sale(n, f"c-{n}", 100) for n in range(3)))
    slot = "INSERT INTO mail_slot VALUES ('demo', %s, %s, NULL, %s, 'send')"
    for name, day in (("c-0", "2026-11-20"), ("c-1", "2026-11-18"), ("c-2", "2026-11-19")):
        batches.connection.execute(slot, [name, day, f"of {name}"])
    for name in ("c-0", "c-2"):
        count(batches, event("customer.merged", f"m{name}", NOW, customer_id=name, into_customer_id="c-1"))
    kept = batches.connection.execute("SELECT customer_id, last_on::text, campaign_id FROM mail_slot").fetchall()
    assert kept == [("c-1", "2026-11-20", "of c-0")]


def test_organizations_do_not_mix(batches: Batches) -> None:
    batches.connection.execute(
        "INSERT INTO organization (organization_id, name, currency, time_zone) VALUES ('other', 'Other', 'USD', 'UTC')"
    )
    theirs = sale(1, "c-1", 333)
    theirs["data"]["organization_id"] = "other"
    count(batches, sale(1, "c-1", 111), theirs)
    found = batches.connection.execute("SELECT organization_id, total_spent FROM customer ORDER BY 1").fetchall()
    assert found == [("demo", 111), ("other", 333)]


def test_each_day_knows_how_many_entered_and_left(batches: Batches) -> None:
    count(batches, *(sale(n, "c-1", 5_000, NOW - DAY) for n in range(3)))
    count(batches, void(1, "R-0", "c-1"))
    days = batches.connection.execute('SELECT segment_id, day, entered, "left" FROM segment_day ORDER BY segment_id')
    today = NOW.date()
    assert days.fetchall() == [("new", today, 1, 0), ("vip", today, 1, 1)]
