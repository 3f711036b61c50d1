"""A producer for customers' events, or the clear word that Kafka is away."""

from __future__ import annotations

from typing import Any

from kafka import KafkaProducer
from kafka.errors import KafkaError

from shared.errors import TransientError
from shared.kafka import producer
from shared.kafka_trouble import trouble_with
from shared.logging import logger
from shared.settings import Settings

RETRY_SECONDS = 5.0
log = logger(__name__)


def connect(settings: Settings, **options: Any) -> KafkaProducer:
    """A producer that has found a broker. Raises TransientError."""
    # Asked before: a producer that finds nobody leaves its thread and its sockets behind, and does not say why.
    if why := trouble_with(settings):
        log.error("kafka.unusable", why=why)
        raise TransientError(why, RETRY_SECONDS)
    try:
        return producer(settings, allow_auto_create_topics=False, metrics_enabled=False, **options)
    except KafkaError as error:
        raise TransientError(f"Kafka at {settings.kafka} cannot be used now: {error}.", RETRY_SECONDS) from error
