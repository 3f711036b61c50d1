"""The segmenter as a process of its own, and what it left behind in Kafka and in the database."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from kafka import KafkaConsumer, TopicPartition
from kafka.consumer.fetcher import ConsumerRecord

from services.local import ports, probes
from services.local.program import Program
from services.segmenter.verify import verify
from shared.clock import utc_now
from shared.database.engine import connect
from shared.domain.events import topic_of
from shared.kafka import Topic, create_topics, producer
from shared.kafka_access import client_arguments, variables
from shared.settings import SegmenterSettings
from tests.criteria_model import Criteria, Customer
from tests.model import Model
from tests.model_events import Event
from tests.segments import add_organization
from tests.stack import eventually

Place = tuple[str, int, int]
"""topic, partition, offset of a record"""

CRITERIA: dict[str, Criteria] = {
    "spenders": {"field": "total_spent", "op": "gte", "value": 30_000},
    "at-risk": {"field": "last_visit", "op": "more_than_ago", "days": 60},
    "new": {
        "all": [
            {"field": "visit_count", "op": "between", "value": [1, 12]},
            {"field": "registered", "op": "within_last", "days": 30},
        ]
    },
    "tagged": {"field": "tags", "op": "has_any", "value": ["VIP"]},
    "silent": {"not": {"field": "marketing_consent", "op": "is", "value": True}},
    "users": {"field": "coupon_redemptions", "op": "gt", "value": 2},
}
COUNTED = "SELECT count(*) FROM ledger"
WAITING = """
SELECT (SELECT count(*) FROM outbox) + (SELECT count(*) FROM dead_letter WHERE published_at IS NULL)
     + (SELECT count(*) FROM flip WHERE due_at <= now())
"""
KEPT = """
SELECT customer_id, total_spent, visit_count, first_visit_at, last_visit_at, coupon_redemptions, discount_received,
       registered_at, name, tags, marketing_consent, email_verified FROM customer WHERE organization_id = 'demo'
"""


class Segmenter:
    """The real service with the organization `demo` and its segments, to be killed and started again."""

    def __init__(self, settings: SegmenterSettings, folder: Path, **environment: str) -> None:
        self.settings = settings
        self.log = folder / "segmenter.log"
        self.port = ports.free()
        self.url = f"http://{ports.LOOPBACK}:{self.port}"
        self.environment = {
            **variables(settings),
            "REGULARS_DATABASE": settings.database,
            "REGULARS_TOPIC_PREFIX": settings.topic_prefix,
            "REGULARS_METRICS_PORT": str(self.port),
            **environment,
        }
        self._folder = folder
        self._process: Any = None

    def start(self, **environment: str) -> None:
        command = [sys.executable, "-P", "-m", "services.cli", "segmenter"]
        program = Program("segmenter", command, Path.cwd(), self.environment | environment)
        self._process = program.start(self.log, self._folder)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)

    def stop(self) -> int:
        """Ask it to end; its exit status."""
        self._process.terminate()
        status: int = self._process.wait(60)
        return status

    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def why_not_ready(self) -> str | None:
        return probes.why_not_ready(self.url)

    def wait_until_drained(self, deadline: float = 90) -> None:
        """Return once all that Kafka holds is counted and told."""
        with connect(self.settings.database, autocommit=True) as connection:
            eventually(lambda: self.lag() == 0, deadline, 0.1)
            eventually(lambda: connection.execute(WAITING).fetchone() == (0,), deadline, 0.1)

    def counted(self) -> int:
        """Events in the ledger."""
        with connect(self.settings.database, autocommit=True) as connection:
            return int((connection.execute(COUNTED).fetchone() or (0,))[0])

    def count_to(self, events: int, deadline: float = 90) -> None:
        """Return once so many events stand in the ledger. Read `counted` before what is to be counted is published."""
        with connect(self.settings.database, autocommit=True) as connection:
            eventually(lambda: (connection.execute(COUNTED).fetchone() or (0,))[0] >= events, deadline, 0.002)

    def lag(self) -> int:
        """Records whose offsets are not committed."""
        consumer = KafkaConsumer(
            **client_arguments(self.settings),
            group_id=f"{self.settings.topic_prefix}segmenter",
            enable_auto_commit=False,
            metrics_enabled=False,
        )
        try:
            found = [
                TopicPartition(topic.on(self.settings), number)
                for topic in (Topic.SALES, Topic.COUPONS, Topic.CUSTOMERS)
                for number in range(self.settings.partitions)
            ]
            ends = consumer.end_offsets(found)
            return sum(ends[each] - (consumer.committed(each) or 0) for each in found if ends[each])
        finally:
            consumer.close()


@contextmanager
def of_its_own(settings: SegmenterSettings, folder: Path, **environment: str) -> Iterator[Segmenter]:
    """A segmenter that takes small batches, so that there is much to interrupt; its log is shown when a test fails."""
    folder.mkdir(exist_ok=True)
    made = Segmenter(settings, folder, **{"REGULARS_BATCH_EVENTS": "400", **environment})
    try:
        yield made
    finally:
        made.kill()
        if made.log.exists():
            print(made.log.read_text()[-6000:])  # noqa: T201


def organize(settings: SegmenterSettings, segments: dict[str, Criteria] | None = None) -> None:
    """Topics, and the organization `demo` with live segments."""
    create_topics(settings)
    with connect(settings.database, autocommit=True) as connection:
        add_organization(connection, "demo", dict(CRITERIA if segments is None else segments))


def publish(settings: SegmenterSettings, events: Iterable[Event | bytes | None]) -> list[Place]:
    """Hand events to Kafka as tills do; rubbish goes to the topic of sales. Returns where each stands."""
    sending = producer(settings, linger_ms=5)
    try:
        futures = [sending.send(*_addressed(settings, event)) for event in events]
        sent = [future.get(timeout=60) for future in futures]
    finally:
        sending.close()
    return [(each.topic, each.partition, each.offset) for each in sent]


def _addressed(settings: SegmenterSettings, event: Event | bytes | None) -> tuple[str, bytes | None, bytes | None]:
    """Topic, value, key."""
    if not isinstance(event, dict):
        return Topic.SALES.on(settings), event, b"demo/rubbish"
    data = event["data"]
    key = f"{data['organization_id']}/{data.get('customer_id') or data['sale_id']}".encode()
    return settings.topic_prefix + topic_of(event["type"]), json.dumps(event).encode(), key


def consume(settings: SegmenterSettings, topic: Topic) -> list[ConsumerRecord]:
    """All that a topic holds, in the order of each partition."""
    consumer = KafkaConsumer(**client_arguments(settings), metrics_enabled=False, max_poll_records=5_000)
    try:
        found = [TopicPartition(topic.on(settings), number) for number in range(settings.partitions)]
        ends = consumer.end_offsets(found)
        consumer.assign(found)
        consumer.seek_to_beginning(*found)
        records: list[ConsumerRecord] = []
        while any(consumer.position(each) < ends[each] for each in found):
            for batch in consumer.poll(timeout_ms=500).values():
                records += batch
        return records
    finally:
        consumer.close()


def assert_right(
    settings: SegmenterSettings,
    events: Sequence[Event | bytes | None],
    places: list[Place],
    criteria: dict[str, Criteria] | None = None,
) -> None:
    """Customers, memberships, dead letters and all that was told are what the model makes of the events."""
    now = utc_now()
    model = Model({"demo": "USD"}, now)
    codes = model.take_all(b"" if event is None else event for event in events)
    with connect(settings.database, autocommit=True) as connection:
        assert_customers(connection, model.customers("demo"))
        assert_dead_letters(
            settings, connection, {place: code for place, code in zip(places, codes, strict=True) if code}
        )
        members = memberships(connection)
        assert members == {name: model.members("demo", tree, now) for name, tree in (criteria or CRITERIA).items()}
        told = {each for each in replayed(settings) if each[0] in members}  # not of segments that were deleted
        assert told == {(name, each) for name, found in members.items() for each in found}
    assert verify(settings.database).differences == []


def assert_customers(connection: psycopg.Connection[Any], expected: dict[str, Customer]) -> None:
    kept = {row[0]: row[1:] for row in connection.execute(KEPT)}
    wanted = {
        customer_id: (
            each.total_spent,
            each.visit_count,
            each.first_visit_at,
            each.last_visit_at,
            each.coupon_redemptions,
            each.discount_received,
            each.registered_at,
            *(each.profile[name] for name in ("name", "tags", "marketing_consent", "email_verified")),
        )
        for customer_id, each in expected.items()
    }
    differences = {
        name: (kept.get(name), wanted.get(name)) for name in kept | wanted if kept.get(name) != wanted.get(name)
    }
    assert not differences, f"{len(differences)} customers differ (kept, wanted): {dict(list(differences.items())[:3])}"


def assert_dead_letters(
    settings: SegmenterSettings, connection: psycopg.Connection[Any], expected: dict[Place, str]
) -> None:
    """In the table and, once by their place, in the topic."""
    rows = connection.execute('SELECT topic, partition, "offset", reason FROM dead_letter').fetchall()
    found = {(row[0], row[1], row[2]): row[3] for row in rows}
    differing = {at: (found.get(at), expected.get(at)) for at in found | expected if found.get(at) != expected.get(at)}
    assert not differing, f"{len(differing)} letters differ (kept, wanted): {dict(list(differing.items())[:3])}"
    told = {}
    for record in consume(settings, Topic.DEAD_LETTERS):
        headers = {name: value.decode() for name, value in record.headers}
        told[headers["topic"], int(headers["partition"]), int(headers["offset"])] = headers["reason"]
    assert told == expected


def memberships(connection: psycopg.Connection[Any]) -> dict[str, set[str]]:
    """Members by segment, from the customers' bits; the segments' counters must agree."""
    query = """
    SELECT s.segment_id, s.member_count, array_agg(c.customer_id) FILTER (
        WHERE CASE WHEN length(c.memberships) > s.slot / 8 THEN get_bit(c.memberships, s.slot) = 1 ELSE false END)
    FROM segment s LEFT JOIN customer c USING (organization_id) WHERE s.organization_id = 'demo' GROUP BY 1, 2
    """
    found = {row[0]: (row[1], set(row[2] or [])) for row in connection.execute(query)}
    assert {name: number for name, (number, _) in found.items()} == {
        name: len(each) for name, (_, each) in found.items()
    }
    return {name: each for name, (_, each) in found.items()}


def replayed(settings: SegmenterSettings) -> set[tuple[str, str]]:
    """(segment, customer) after all that crm.segments.v1 tells, an event counted once by its id."""
    members: Counter[tuple[str, str]] = Counter()
    seen: set[str] = set()
    for record in consume(settings, Topic.SEGMENTS):
        event = json.loads(record.value)
        if event["id"] in seen:
            continue
        seen.add(event["id"])
        whose = (event["data"]["segment_id"], event["data"]["customer_id"])
        members[whose] += 1 if event["type"] == "segment.entered" else -1
        assert members[whose] in {0, 1}, f"{event} is no change"
    return set(+members)
