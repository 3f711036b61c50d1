"""How long the backlog is, as the stream takes and counts."""

from __future__ import annotations

from typing import Any

from aiokafka import TopicPartition

from services.segmenter.backlog import LONG, Backlog
from shared import metrics
from tests.till import Record

SALES, MAIL = TopicPartition("t.pos.sales.v1", 3), TopicPartition("t.crm.mail.v1", 0)


class Ends:
    """What a consumer knows of the partitions' ends."""

    def __init__(self, ends: dict[TopicPartition, int]) -> None:
        self.ends = ends

    def highwater(self, partition: TopicPartition) -> int | None:
        return self.ends.get(partition)


def found(partition: TopicPartition, first: int, last: int) -> Any:
    return {partition: [Record(partition.topic, partition.partition, n, 0, None, b"") for n in (first, last)]}


def test_what_is_taken_but_not_counted_belongs_to_it() -> None:
    backlog = Backlog("t.")
    consumer: Any = Ends({SALES: LONG + 100, MAIL: 50})
    backlog.take(found(SALES, 100, LONG + 99), consumer)
    assert not backlog.is_long()
    backlog.take(found(MAIL, 49, 49), consumer)
    assert backlog.is_long(), "over all partitions"
    backlog.count(found(SALES, 100, LONG + 99))
    assert not backlog.is_long()
    assert metrics.consumer_lag.labels("pos.sales.v1", 3)._value.get() == 0


def test_it_grows_by_what_kafka_holds_later() -> None:
    backlog = Backlog("t.")
    consumer: Any = Ends({SALES: 10})
    backlog.take(found(SALES, 0, 4), consumer)
    backlog.count(found(SALES, 0, 4))
    consumer.ends[SALES] = LONG + 20
    backlog.take(found(SALES, 5, 9), consumer)
    backlog.count(found(SALES, 5, 9))
    assert backlog.is_long()
    assert metrics.consumer_lag.labels("pos.sales.v1", 3)._value.get() == LONG + 10
    backlog.forget()
    assert not backlog.is_long()
    backlog.count(found(SALES, 10, 14))
    assert not backlog.is_long(), "it is somebody else's by now"


def test_a_partition_of_which_nothing_is_known_counts_for_nothing() -> None:
    backlog = Backlog("")
    backlog.take(found(SALES, 0, 1), Ends({}))  # type: ignore[arg-type]
    backlog.count(found(SALES, 0, 1))
    assert not backlog.is_long()
