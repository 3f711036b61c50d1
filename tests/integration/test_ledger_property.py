"""Invariant 1: any order, repetition or crash of the same events gives what the model gives."""

from __future__ import annotations

import itertools
import random
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from psycopg.rows import dict_row
from sqlalchemy import select

from services.segmenter import arrays, express, staging, verify_recent
from services.segmenter.batch import Batches, process_or_split
from services.segmenter.flips import Flips
from shared.database.engine import connect, sql, statement
from shared.database.ledger_stats import stats_from_ledger
from shared.database.predicate import predicate
from shared.database.tables import customer as customer_table
from shared.domain.criteria import parse
from shared.settings import SegmenterSettings
from tests import crowd
from tests.criteria_model import Criteria, Customer
from tests.integration.conftest import add_organization
from tests.model import Event, Model, entry_of
from tests.till import NOW, Record, records

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
TICK = timedelta(microseconds=1)
MAIL_TOPIC = "crm.mail.v1"
EXAMPLES = settings(
    phases=[Phase.explicit, Phase.generate],  # an example that fails is small enough to read
    suppress_health_check=list(HealthCheck),
    database=None,
)
# Some are live together in one byte of the memberships, some far away: slots as they come after deletions.
CRITERIA: dict[int, Criteria] = {
    0: {"field": "total_spent", "op": "gte", "value": 500},
    1: {
        "all": [
            {"field": "visit_count", "op": "between", "value": [1, 2]},
            {"field": "registered", "op": "within_last", "days": 30},
        ]
    },
    6: {"field": "last_visit", "op": "more_than_ago", "days": 60},
    7: {"not": {"field": "last_visit", "op": "more_than_ago", "days": 60}},
    8: {"field": "tags", "op": "has_any", "value": ["VIP", "Ünï'code\\"]},
    9: {"any": [{"field": "coupon_redemptions", "op": "eq", "value": 1}, {"field": "first_visit", "op": "never"}]},
    63: {"field": "average_basket", "op": "lt", "value": 200},
    64: {"field": "marketing_consent", "op": "is", "value": True},
    71: {"field": "email_frequency", "op": "in", "value": ["weekly", "never"]},
    2: {"field": "spend", "op": "gte", "value": 500, "last_days": 30},
    3: {"field": "units", "op": "gt", "value": 1.5, "last_days": 60, "category": "Bakery"},
    4: {"not": {"field": "visits", "op": "gte", "value": 1, "last_days": 1}},
    10: {"field": "bought", "op": "has_any", "store_ids": ["s2"], "last_days": 30},
    11: {"field": "redeemed", "op": "has_none", "coupon_codes": ["K1"], "last_days": 60},
    12: {"field": "birthday", "op": "in_next", "days": 7},
    13: {"field": "anniversary", "op": "today"},
    14: {"field": "last_open", "op": "within_last", "days": 30},
    130: {
        "all": [
            {"field": "email_verified", "op": "is", "value": True},
            {"field": "total_spent", "op": "lt", "value": 0},
        ]
    },
}
LIST = 5  # the slot of a static segment
FIRST_TREE = 140  # slots of the segments that an example draws
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
WAITS = [TICK, HOUR, HOUR + TICK, DAY, 30 * DAY - TICK]

LISTED = CUSTOMERS[1:3]

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


@dataclass(frozen=True)
class Step:
    """Perhaps time passes; a batch of `size` events; then perhaps a crash, before or after what follows the commit."""

    size: int
    lane: int
    fate: str
    wait: timedelta = timedelta(0)


steps = st.lists(
    st.builds(
        Step,
        st.integers(1, 6),
        st.integers(0, 1),
        st.sampled_from(["", "", "", "unsettled", "uncommitted"]),
        st.sampled_from([*[timedelta(0)] * 20, *WAITS]),
    ),
    min_size=3,
    max_size=16,
)


class CrashError(Exception):
    pass


class Hands:
    """A clock that is set by hand."""

    now = NOW

    def __call__(self) -> datetime:
        return self.now


class Fragile(Batches):
    """Batches whose process can die between the batch's commit and what follows it."""

    fragile = False

    def settle(self, strays: Sequence[Any]) -> None:
        if self.fragile:
            raise CrashError
        super().settle(strays)


@dataclass
class Bench:
    """Two lanes on one database; each run has an organization of its own."""

    lanes: list[Fragile]
    numbers: Iterator[int]
    clock: Hands
    flips: Flips
    segments: dict[str, dict[int, Criteria]] = field(default_factory=dict)
    """Of each organization, by slot."""

    def organize(self, trees: Sequence[Criteria] = (), *, listed: bool = False) -> str:
        """An organization with all segments, and `trees`; `listed`: with two customers in its list."""
        organization_id = f"o{next(self.numbers)}"
        connection = self.lanes[0].connection
        self.clock.now = NOW
        connection.execute("DELETE FROM flip")  # of examples before
        self.segments[organization_id] = CRITERIA | {FIRST_TREE + n: tree for n, tree in enumerate(trees)}
        add_organization(connection, organization_id, {})
        with connection.cursor() as cursor:
            cursor.executemany(
                "INSERT INTO segment (organization_id, segment_id, name, kind, criteria, slot) VALUES (%s, %s, %s, 'dynamic', %s, %s)",
                [
                    (organization_id, f"s{slot}", f"s{slot}", psycopg.types.json.Jsonb(tree), slot)
                    for slot, tree in self.segments[organization_id].items()
                ],
            )
        add = "INSERT INTO segment (organization_id, segment_id, name, kind, slot) VALUES (%s, %s, %s, 'static', %s)"
        connection.execute(add, [organization_id, f"s{LIST}", f"s{LIST}", LIST])
        for customer_id in LISTED if listed else ():
            connection.execute(
                "INSERT INTO static_member VALUES (%s, %s, %s)", [organization_id, f"s{LIST}", customer_id]
            )
        return organization_id

    def run(self, arrivals: Sequence[Record], plan: Sequence[Step]) -> None:
        """One batch after the other; what was not committed to Kafka comes again, cut anew."""
        position = 0
        for step in [*plan, *[Step(7, n % 2, "") for n in range(len(arrivals))]]:
            if step.wait:
                self.clock.now += step.wait
                if step.lane:  # else the timer stands still, and catches up later
                    self.flips.work(self.lanes[0].connection)
            lane, taken = self.lanes[step.lane], arrivals[position : position + step.size]
            if not taken:
                break
            lane.fragile = step.fate == "unsettled"
            try:
                process_or_split(lane, taken)
            except CrashError:
                continue
            if not step.fate:
                position += step.size
        self.flips.work(self.lanes[0].connection)

    def run_at_once(self, arrivals: Sequence[Record], size: int) -> None:
        """Both lanes at the same time, each with every other batch."""
        batches = [arrivals[n : n + size] for n in range(0, len(arrivals), size)]
        errors: list[BaseException] = []

        def work(lane: Fragile, own: Sequence[Sequence[Record]]) -> None:
            try:
                for batch in own:
                    insist(lambda batch=batch: process_or_split(lane, batch))  # type: ignore[misc]
            except BaseException as error:  # noqa: BLE001 - shown by the test's thread
                errors.append(error)

        for lane in self.lanes:
            lane.fragile = False
        threads = [threading.Thread(target=work, args=(lane, batches[n::2])) for n, lane in enumerate(self.lanes)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
        assert not any(thread.is_alive() for thread in threads)
        assert errors == []


def insist(work: Callable[[], object]) -> None:
    """As a lane does: a batch that lost a deadlock is repeated."""
    while True:
        try:
            work()
        except psycopg.errors.DeadlockDetected:
            continue
        return


@pytest.fixture(scope="module", params=["plain", "express"])
def bench(request: pytest.FixtureRequest, database_server: str, template: str) -> Iterator[Bench]:
    """Once with every batch on the plain way, once with every one that can on the express way."""
    from tests.conftest import _new_database  # noqa: PLC0415 - a database for the module

    with _new_database(database_server, template) as (_, database), lane(database) as one, lane(database) as two:
        for each in (one, two):  # a second for each deadlock would be the longest part of the test
            each.connection.execute(
                "SELECT set_config('deadlock_timeout', '50ms', false) FROM pg_roles "
                "WHERE rolname = current_user AND rolsuper"
            )
        with pytest.MonkeyPatch.context() as patched:
            if request.param == "plain":
                patched.setattr(express, "divide", lambda rows: ([], list(rows)))
            clock = Hands()
            for each in (one, two):
                each.clock = clock
            yield Bench([one, two], itertools.count(), clock, Flips(SegmenterSettings(database=database), clock))


@contextmanager
def lane(database: str) -> Iterator[Fragile]:
    with connect(database, autocommit=True) as connection:
        staging.prepare(connection)
        arrays.prepare(connection)
        yield Fragile(connection, MAIL_TOPIC)


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


def stored(bench: Bench, organization_id: str) -> dict[str, dict[str, Any]]:
    with bench.lanes[0].connection.cursor(row_factory=dict_row) as cursor:
        cursor.execute("SELECT * FROM customer WHERE organization_id = %s", [organization_id])
        return {row["customer_id"]: row for row in cursor}


def expected_columns(customer: Customer) -> dict[str, Any]:
    """The columns of a customer as the table names them."""
    profile = dict(customer.profile)
    for name in ("birthday", "anniversary"):
        day = profile[name]
        profile[name] = int(day[-5:-3]) * 100 + int(day[-2:]) if day else None
        profile[f"{name}_year"] = int(day[:4]) if day and day[0] != "-" else None
    profile |= {"consent_where": profile.pop("where"), "consent_wording": profile.pop("wording")}
    numbers = ("total_spent", "visit_count", "coupon_redemptions", "discount_received")
    instants = ("first_visit_at", "last_visit_at", "registered_at", "last_open_at", "last_click_at")
    return profile | {name: getattr(customer, name) for name in (*numbers, *instants)}


def assert_members(bench: Bench, organization_id: str, model: Model | None, rows: dict[str, dict[str, Any]]) -> None:
    """Bits, counters and the outbox replayed say the same, and what SQL says and the model."""
    segments, now = bench.segments[organization_id], bench.clock.now
    connection = bench.lanes[0].connection
    counts = dict(
        connection.execute("SELECT slot, member_count FROM segment WHERE organization_id = %s", [organization_id])
    )
    members: dict[int, set[str]] = {slot: set() for slot in (LIST, *bench.segments[organization_id])}
    for customer_id, row in rows.items():
        bits = int.from_bytes(row["memberships"], "little")
        for slot in range(bits.bit_length()):
            if bits >> slot & 1:
                members[slot].add(customer_id)
    assert counts == {slot: len(found) for slot, found in members.items()}
    assert replayed(bench, organization_id) == members
    in_list = listed(bench, organization_id)
    for slot, tree in segments.items():
        meant = select(customer_table.c.customer_id).where(predicate(parse(tree), organization_id, "UTC", now))
        assert {row[0] for row in connection.execute(*statement(meant))} == members[slot], (tree, now)
        if model is not None:
            assert model.members(organization_id, tree, now) == members[slot], (tree, now)
    assert members[LIST] == set(rows) & in_list


def listed(bench: Bench, organization_id: str) -> set[str]:
    """Who stands in the list."""
    query = "SELECT customer_id FROM static_member WHERE organization_id = %s"
    return {row[0] for row in bench.lanes[0].connection.execute(query, [organization_id])}


def replayed(bench: Bench, organization_id: str) -> dict[int, set[str]]:
    """The members after every change that the outbox tells; each must be a change."""
    members: dict[int, set[str]] = {slot: set() for slot in (LIST, *bench.segments[organization_id])}
    connection = bench.lanes[0].connection
    slot_of = dict(
        connection.execute("SELECT segment_id, slot FROM segment WHERE organization_id = %s", [organization_id])
    )
    changes = 'SELECT customer_id, entered, "left" FROM segment_change WHERE organization_id = %s ORDER BY change_id'
    for customer_id, entered, left in connection.execute(changes, [organization_id]):
        for slot in map(slot_of.__getitem__, left):
            members[slot].remove(customer_id)
        for slot in map(slot_of.__getitem__, entered):
            assert customer_id not in members[slot]
            members[slot].add(customer_id)
    return members


def assert_equal(bench: Bench, organization_id: str, model: Model) -> None:
    rows, customers = stored(bench, organization_id), model.customers(organization_id)
    assert set(rows) == set(customers)
    for customer_id, customer in customers.items():
        expected = expected_columns(customer)
        assert {name: rows[customer_id][name] for name in expected} == expected, customer_id
    assert_members(bench, organization_id, model, rows)


def assert_recomputed(bench: Bench, organization_id: str) -> None:
    """The stats and the recent sales that the stream kept are those that the ledger gives."""
    connection = bench.lanes[0].connection
    columns = [column.name for column in stats_from_ledger().selected_columns]
    fresh = set(connection.execute(f"{sql(stats_from_ledger())} HAVING own.organization_id = %s", [organization_id]))
    kept = f"SELECT {', '.join(columns)} FROM customer WHERE organization_id = %s"
    assert set(connection.execute(kept, [organization_id])) == fresh
    assert verify_recent.compared(connection, organization_id, "UTC", bench.clock.now, None) == []


def letters(bench: Bench, arrivals: Sequence[Record]) -> list[str | None]:
    """The reason of each record's dead letter."""
    query = 'SELECT "offset", reason FROM dead_letter WHERE "offset" = ANY(%s)'
    reasons = dict(bench.lanes[0].connection.execute(query, [[record.offset for record in arrivals]]).fetchall())
    return [reasons.get(record.offset) for record in arrivals]


def assert_forgotten(bench: Bench, organization_id: str, events: Sequence[Event]) -> None:
    """Nothing stands in the ledger under an erased name, or with its data, from before the erasure."""
    kept = (
        "SELECT source, event_id FROM ledger WHERE organization_id = %s AND occurred_at <= %s "
        "AND coalesce(published_customer_id, customer_id) = %s"
    )
    for event in events:
        if event["type"] == "customer.erased":
            known = [organization_id, event["time"], event["data"]["customer_id"]]
            assert bench.lanes[0].connection.execute(kept, known).fetchall() == []


def in_list(leaf: dict[str, Any]) -> dict[str, Any]:
    """Where it asks for a static segment: ours."""
    return leaf | {"value": f"s{LIST}"} if leaf["field"] == "segment" else leaf


# Any two events may share an identity or a sale, whatever they say: the first to arrive counts.
anything = st.builds(lambda told, number: told | {"id": f"e{number}"}, facts(identity=""), st.integers(0, 25))


# Any leaf, the windowed ones as often as all others.
trees = st.lists(crowd.tree(NOW, crowd.leaf(NOW).map(in_list) | crowd.windowed()), min_size=1, max_size=8)


@given(
    told=st.lists(st.one_of(*[anything] * 6, st.sampled_from(RUBBISH)), min_size=10, max_size=40),
    plan=steps,
    drawn=trees,
    chance=st.randoms(use_true_random=False),
)
@settings(EXAMPLES, max_examples=30)
def test_what_comes_first_counts_through_repetitions_and_crashes(
    bench: Bench, told: list[Any], plan: list[Step], drawn: list[Criteria], chance: random.Random
) -> None:
    organization_id = bench.organize(drawn, listed=True)
    model = Model({organization_id: "USD"}, NOW, {f"s{LIST}": LISTED})
    events = published(organization_id, told)
    arrivals = records(events)
    bench.run(arrivals, plan)
    codes = model.take_all(events)
    assert letters(bench, arrivals) == codes
    assert_equal(bench, organization_id, model)
    for edge in edges(bench, model, chance):
        bench.clock.now = edge
        bench.flips.work(bench.lanes[0].connection)
        assert_equal(bench, organization_id, model)
    assert_recomputed(bench, organization_id)


def edges(bench: Bench, model: Model, chance: random.Random) -> list[datetime]:
    """Two instants to come at which an event leaves a window, or just beside them, in order."""
    days = (1, 30, 60)
    sales = [event for event in model.counted if event["type"] == "sale.completed"]
    found = [datetime.fromisoformat(event["time"]) + n * DAY for event in sales for n in days]
    later = sorted(at for at in set(found) if at > bench.clock.now)
    chosen = sorted(chance.sample(later, min(2, len(later))))
    return [at + chance.choice([-TICK, 0 * TICK, 0 * TICK]) for at in chosen]


def consistent(told: Sequence[Event]) -> list[Event]:
    """Facts with an id each, where the same sale, refund, void or use always says the same, told by whom it may be."""
    first: dict[Any, Event] = {}
    made = []
    for number, fact in enumerate(told):
        one = {"organization_id": "", **fact["data"]}
        same = first.setdefault(entry_of({"type": fact["type"], "data": one}) or number, fact)
        made.append(same | {"id": f"e{number}"})
    return made


@pytest.mark.parametrize("identity", ["nobody", "merge", "erase"])
def test_the_order_of_arrival_does_not_matter(bench: Bench, identity: str) -> None:
    @given(
        told=st.lists(facts(identity=identity), min_size=10, max_size=40).map(consistent),
        seed=st.integers(0, 2**32),
        plan=steps,
    )
    @settings(EXAMPLES, max_examples=15)
    def holds(told: list[Event], seed: int, plan: list[Step]) -> None:
        chance = random.Random(seed)
        told = told + chance.choices(told, k=len(told) // 5)
        one_by_one, at_once = (bench.organize(listed=identity == "nobody") for _ in range(2))
        chance.shuffle(told)
        bench.run(records(published(one_by_one, told)), plan)
        model = Model({one_by_one: "USD"}, NOW)
        model.take_all(published(one_by_one, told))
        assert_equal(bench, one_by_one, model)
        chance.shuffle(told)
        bench.run_at_once(records(published(at_once, told)), chance.randint(1, 6))
        model = Model({at_once: "USD"}, NOW)
        model.take_all(published(at_once, told))
        assert_equal(bench, at_once, model)

    holds()


@given(told=st.lists(facts(identity="merge erase"), min_size=10, max_size=40).map(consistent), plan=steps)
@settings(EXAMPLES, max_examples=15)
def test_merges_and_erasures_together_keep_the_revenue_and_nothing_personal(
    bench: Bench, told: list[Event], plan: list[Step]
) -> None:
    organization_id = bench.organize()
    events = published(organization_id, told)
    bench.run(records(events), plan)
    model = Model({organization_id: "USD"}, NOW)
    model.take_all(events)
    revenue = "SELECT coalesce(sum(amount), 0) FROM ledger WHERE organization_id = %s AND type = 'sale.completed'"
    assert bench.lanes[0].connection.execute(revenue, [organization_id]).fetchone() == (model.revenue(organization_id),)
    assert_forgotten(bench, organization_id, model.counted)
    assert_members(bench, organization_id, None, stored(bench, organization_id))
    assert_recomputed(bench, organization_id)
