"""How topics are made and clients are configured. Nothing connects at import."""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import Any

from kafka import KafkaAdminClient, KafkaProducer
from kafka.admin import NewTopic
from kafka.errors import KafkaError, TopicAlreadyExistsError

from shared.kafka_access import client_arguments
from shared.settings import Settings
from shared.topics import Topic

__all__ = ["LARGEST_LETTER", "Topic", "create_topics", "discard", "is_reachable", "producer"]

# Bytes: a dead letter is as large as any record that the other topics take, and its reason beside it.
LARGEST_LETTER = 4_194_304


def create_topics(settings: Settings) -> None:
    """Create what is missing; present topics stay as they are."""
    admin = KafkaAdminClient(**client_arguments(settings), client_id="regulars-topics")
    try:
        present = set(admin.list_topics())
        missing = [
            NewTopic(
                name=topic.on(settings),
                num_partitions=settings.partitions,
                replication_factor=settings.replication,
                topic_configs={"max.message.bytes": str(LARGEST_LETTER)} if topic is Topic.DEAD_LETTERS else {},
            )
            for topic in Topic
            if topic.on(settings) not in present
        ]
        if missing:
            admin.create_topics(missing)
    except TopicAlreadyExistsError:
        return  # another process was first
    finally:
        admin.close()


def producer(settings: Settings, **options: Any) -> KafkaProducer:
    """A producer that loses nothing it acknowledged: acks=all, idempotent, back quickly after an outage."""
    return KafkaProducer(
        **client_arguments(settings),
        acks="all",
        enable_idempotence=True,
        reconnect_backoff_max_ms=1000,
        **{"batch_size": 65_536, "linger_ms": 0, "max_request_size": 2_000_000, **options},
    )


def discard(sender: KafkaProducer) -> None:
    """Close a producer now, with an error for all that it still holds.

    kafka-python 3.0's idempotent producer stops sending for good once it gave up a batch that it had sent: whoever gets
    an error from one discards it and makes another. `close` alone first waits for what will never be acknowledged, and
    then leaves the network thread running.
    """
    sender._sender.force_close()  # noqa: SLF001
    with suppress(KafkaError):
        sender.close(1)


def is_reachable(settings: Settings) -> bool:
    """Whether any of the bootstrap servers takes a connection: quicker to ask than to let a client find out."""
    return any(_accepts(server) for server in settings.kafka.split(","))


def _accepts(server: str) -> bool:
    host, _, port = server.strip().rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=1):
            return True
    except (OSError, ValueError):
        return False
