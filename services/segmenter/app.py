"""Composition: a Faust application that hosts the stream, the relay, the timer and the backfill."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import faust
from faust.types import ServiceT
from mode import Service

from services.segmenter.backfill import Backfill
from services.segmenter.flips import Flips
from services.segmenter.relay import Relay
from services.segmenter.stream import Stream
from shared.settings import SegmenterSettings
from shared.worker import broker_arguments


class App(faust.App):
    """A Faust application without topics of its own: what it hosts reads and writes Kafka itself, in whole batches."""

    class BootStrategy(faust.app.BootStrategy):
        """Starts none of Faust's own clients."""

        enable_kafka = False

    def __init__(self, settings: SegmenterSettings, hosted: Sequence[Service]) -> None:
        super().__init__(
            f"{settings.topic_prefix}segmenter-app",
            **broker_arguments(settings),
            web_enabled=False,
            datadir=Path(tempfile.gettempdir()) / "regulars-faust",  # it keeps nothing there and makes it all the same
        )
        self.hosted = hosted

    def on_init_dependencies(self) -> list[ServiceT]:
        return [*super().on_init_dependencies(), *self.hosted]


class Segmenter:
    """The application and the services that it hosts."""

    def __init__(self, settings: SegmenterSettings) -> None:
        self.kafka_trouble: str | None = None
        self.stream = Stream(settings)
        self.app = App(
            settings, [self.stream, Relay(settings, self.stream.backlog.is_long), Flips(settings), Backfill(settings)]
        )

    def tell_of_kafka(self, trouble: str | None) -> None:
        """Readiness is to say why Kafka cannot be used; None when it can."""
        self.kafka_trouble = trouble

    def not_ready_because(self) -> str | None:
        """None while it consumes."""
        return self.kafka_trouble or self.stream.not_ready_because()
