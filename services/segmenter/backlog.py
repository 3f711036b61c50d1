"""The backlog: how many records this process has yet to count, of those that Kafka holds for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from shared import metrics

LONG = 10_000  # records: half a second's work

Found = Mapping[TopicPartition, Sequence[ConsumerRecord[bytes, bytes]]]


class Backlog:
    """Written where records are taken and counted; any thread may ask `is_long`."""

    def __init__(self, topic_prefix: str) -> None:
        self.topic_prefix = topic_prefix
        self.ends: dict[TopicPartition, int] = {}  # offsets after the last record that Kafka was known to hold
        self.uncounted: dict[TopicPartition, int] = {}  # records

    def take(self, found: Found, consumer: AIOKafkaConsumer) -> None:
        """Some records were taken from Kafka."""
        for partition, records in found.items():
            end = consumer.highwater(partition)
            if end is not None:
                self.ends[partition] = end
                self.uncounted.setdefault(partition, end - records[0].offset)

    def count(self, found: Found) -> None:
        """Some records are counted."""
        for partition, records in found.items():
            if partition in self.ends:
                lag = self.uncounted[partition] = self.ends[partition] - records[-1].offset - 1
                topic = partition.topic.removeprefix(self.topic_prefix)
                metrics.consumer_lag.labels(topic, partition.partition).set(lag)

    def forget(self) -> None:
        """The partitions go to somebody else, or nothing is counted any more."""
        self.ends, self.uncounted = {}, {}

    def is_long(self) -> bool:
        """Whether events should go before everything that can wait."""
        return sum(tuple(self.uncounted.values())) > LONG
