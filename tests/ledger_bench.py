"""Two lanes of the segmenter on one database, which may crash after any batch, and time that is moved by hand."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import psycopg
from hypothesis import strategies as st

from services.segmenter.batch import Batches, process_or_split
from services.segmenter.connection import connect
from services.segmenter.flips import Flips
from tests.criteria_model import Criteria
from tests.ledger_facts import CUSTOMERS, DAY, HOUR, TICK
from tests.segments import add_organization
from tests.till import NOW, Record

MAIL_TOPIC = "crm.mail.v1"

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
WAITS = [TICK, HOUR, HOUR + TICK, DAY, 30 * DAY - TICK]
LISTED = CUSTOMERS[1:3]


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
    """The process died there."""


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


@contextmanager
def lane(database: str) -> Iterator[Fragile]:
    with connect(database) as connection:
        yield Fragile(connection, MAIL_TOPIC)
